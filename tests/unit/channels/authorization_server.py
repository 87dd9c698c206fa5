"""An authorization server and an API behind it, judged by libraries that are not the client's.

oauthlib gives the tokens and checks them (client credentials, refresh tokens, also such as rotate);
PyJWT checks the assertions of RFC 7523, which oauthlib has no grant for. The client under test is
made of neither.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from oauthlib.oauth2 import RequestValidator, Server

CLIENT_ID, CLIENT_SECRET = "segue-client", "client-secret-of-the-tests"
SCOPES = ["read", "write"]
REFRESH_TOKEN = "refresh-token-of-the-tests"
_HTTPS = "https://as.example.com/token"  # oauthlib wants TLS; the tests have loopback
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class Granted:
    client_id: str
    scopes: list[str]
    ends_at: float


class _Validator(RequestValidator):
    def __init__(self, site: AuthorizationServer) -> None:
        self.site = site

    def authenticate_client(self, request, *args, **kwargs):
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        basic = tuple(b64decode(value).decode().split(":", 1)) if scheme == "Basic" else None
        given = basic or (request.client_id, request.client_secret)
        self.site.ways.append("header" if basic else "body")
        request.client = type("Client", (), {"client_id": given[0]})()
        return given == (CLIENT_ID, CLIENT_SECRET)

    def client_authentication_required(self, request, *args, **kwargs):
        return True

    def validate_grant_type(self, client_id, grant_type, client, request, *args, **kwargs):
        return grant_type in ("client_credentials", "refresh_token")

    def get_default_scopes(self, client_id, request, *args, **kwargs):
        return SCOPES

    def get_original_scopes(self, refresh_token, request, *args, **kwargs):
        return SCOPES

    def validate_scopes(self, client_id, scopes, client, request, *args, **kwargs):
        return set(scopes) <= set(SCOPES)

    def validate_refresh_token(self, refresh_token, client, request, *args, **kwargs):
        return refresh_token in self.site.refresh_tokens

    def rotate_refresh_token(self, request):
        return self.site.rotates

    def save_bearer_token(self, token, request, *args, **kwargs):
        ends_at = time.time() + token["expires_in"]
        granted = Granted(request.client.client_id, request.scopes, ends_at)
        self.site.granted[token["access_token"]] = granted
        if self.site.rotates and request.grant_type == "refresh_token":
            self.site.refresh_tokens = {token["refresh_token"]}

    def validate_bearer_token(self, token, scopes, request):
        granted = self.site.granted.get(token)
        return granted is not None and granted.ends_at > time.time()


@dataclass
class AuthorizationServer:
    """What the server is to do, and what it has seen."""

    life: int = 3600  # seconds of a token
    rotates: bool = False
    public_key: str = ""  # for assertions
    algorithm: str = "RS256"
    audience: str = ""  # of assertions; the endpoint where it is left out
    endpoint_answers: tuple[int, dict[str, str], str] | None = None  # in place of a token
    api_refuses: bool = False
    url: str = ""
    refresh_tokens: set[str] = field(default_factory=lambda: {REFRESH_TOKEN})
    granted: dict[str, Granted] = field(default_factory=dict)
    ways: list[str] = field(default_factory=list)  # how clients said who they are
    token_requests: list[dict[str, str]] = field(default_factory=list)
    assertions: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, Any]] = field(default_factory=list)  # of assertions
    effects: list[str] = field(default_factory=list)  # bodies that the API has acted on
    calls: list[str] = field(default_factory=list)  # what the API was sent: heads and bodies
    refusals: int = 0  # calls that the API answered with 401
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.server = Server(_Validator(self), token_expires_in=lambda _: self.life)

    @property
    def endpoint(self) -> str:
        return f"{self.url}/token"

    def revoke(self) -> None:
        """Make every access token invalid, as an administrator may."""
        self.granted.clear()

    def give_token(self, body: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.token_requests.append(form)
        if self.endpoint_answers is not None:
            return self.endpoint_answers
        if form["grant_type"] == _JWT_BEARER:
            return self.give_for_assertion(form["assertion"])
        given, answer, status = self.server.create_token_response(_HTTPS, "POST", body, headers)
        return status, dict(given), answer

    def give_for_assertion(self, assertion: str) -> tuple[int, dict[str, str], str]:
        try:
            claims = jwt.decode(
                assertion,
                self.public_key,
                algorithms=[self.algorithm],
                audience=self.audience or self.endpoint,
                issuer=CLIENT_ID,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except jwt.PyJWTError:
            return 400, {}, json.dumps({"error": "invalid_grant"})
        self.assertions.append(claims)
        self.headers.append(jwt.get_unverified_header(assertion))
        token = f"from-assertion-{len(self.assertions)}"
        self.granted[token] = Granted(CLIENT_ID, SCOPES, time.time() + self.life)
        # as Salesforce answers: it does not say how long the token lives
        return 200, {}, json.dumps({"access_token": token, "token_type": "Bearer"})

    def call(self, method: str, path: str, body: str, headers: dict[str, str]):
        self.calls.append(f"{method} {path} {headers} {body}")
        is_valid, _ = self.server.verify_request(_HTTPS, method, body, headers, SCOPES)
        if self.api_refuses or not is_valid:
            self.refusals += 1
            return 401, {}, json.dumps({"error": "invalid_token"})
        if method != "GET":
            self.effects.append(body)
        return 200, {}, json.dumps({"id": len(self.effects), "plan": "gold"})


@contextmanager
def authorization_server(**options: Any) -> Iterator[AuthorizationServer]:
    """Serve tokens at ``/token`` and an API everywhere else, on loopback."""
    site = AuthorizationServer(**options)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            headers = dict(self.headers)
            with site.lock:
                if self.path == "/token":
                    status, given, text = site.give_token(body, headers)
                else:
                    status, given, text = site.call(self.command, self.path, body, headers)
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **given}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - http.server's names

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
