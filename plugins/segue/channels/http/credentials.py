"""What authorises a call over HTTP: a login, an access token, and secrets in places of their own.

All of it stands in the Airflow connection and is put into a request when it goes out, after it was
rendered, so that no definition, preview, trace or result ever has it; what an answer repeats of it
is crossed out before anybody reads it. The extra's key ``placed_secrets`` says which secrets go
where: a path in front of every path, parameters of the query, members of the body, and the key of
a signature.

Followed:
    https://requests.readthedocs.io/en/latest/user/authentication/#new-forms-of-authentication
    RFC 2104 (HMAC); https://docs.stripe.com/webhooks#verify-manually and
    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries (how signatures
    are written into headers)
"""

from __future__ import annotations

import hmac
import html
import json
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, quote, quote_plus, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from segue.channels.airflow_connections import find_connection, use_connection
from segue.channels.http.fields import header_problem, path_problem
from segue.channels.oauth2 import OAUTH2, AccessTokens, read_settings, tokens_of
from segue.errors import ConnectionFailure, TransientFailure

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

SECRETS = "placed_secrets"  # the key in a connection's extra
SHORTEST_SECRET = 6  # characters; Airflow masks no shorter one
LATEST_START = 15.0  # seconds after which a call that waits for a token is not begun any more

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_CROSSED_OUT = b"***"
_LONG_SEGMENT = 20  # characters; a shorter one of a path may be a word
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|key", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")


def _long_enough(secrets: Iterable[SecretStr]) -> None:
    if any(len(secret.get_secret_value()) < SHORTEST_SECRET for secret in secrets):
        raise ValueError(f"a secret has {SHORTEST_SECRET} characters or more, or nobody masks it")


def _only(text: str, *allowed: str) -> None:
    others = set(_PLACEHOLDER.findall(text)) - set(allowed)
    if others:
        raise ValueError(f"found {', '.join(sorted(others))}; allowed: {', '.join(allowed)}")


class Signature(BaseModel):
    """An HMAC over the body, and the headers that carry it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: SecretStr
    headers: dict[str, str]  # {"X-Signature": "sha256={hex}"}
    payload: str = "{body}"  # what is signed: "{timestamp}.{body}"
    algorithm: Literal["sha256", "sha384", "sha512"] = "sha256"

    @field_validator("key")
    @classmethod
    def _key(cls, key: SecretStr) -> SecretStr:
        _long_enough([key])
        return key

    @field_validator("payload")
    @classmethod
    def _payload(cls, payload: str) -> str:
        _only(payload, "{timestamp}", "{body}")
        return payload

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            problem = header_problem(name)
            if problem or not _HEADER_VALUE.fullmatch(value):
                raise ValueError(problem or f"{name}: a header carries ASCII only, on one line")
            _only(value, "{timestamp}", "{hex}", "{base64}")
        if not any("{hex}" in value or "{base64}" in value for value in headers.values()):
            raise ValueError("none of them has the signature: {hex} or {base64}")
        return headers

    def sign(self, request: PreparedRequest) -> None:
        """Write the signature of a request's body into its headers."""
        content, stamp = _content(request), str(int(time.time()))
        # the body last, so that nothing in it is taken for a placeholder
        payload = self.payload.replace("{timestamp}", stamp).encode().replace(b"{body}", content)
        digest = hmac.digest(self.key.get_secret_value().encode(), payload, self.algorithm)
        for name, value in self.headers.items():
            text = value.replace("{timestamp}", stamp).replace("{hex}", digest.hex())
            request.headers[name] = text.replace("{base64}", b64encode(digest).decode())


class Secrets(BaseModel):
    """What ``placed_secrets`` in a connection's extra says: which secret goes where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: SecretStr | None = None  # in front of every path; behind it "/" is nothing
    query: dict[str, SecretStr] = {}
    body: dict[str, SecretStr] = {}  # of a JSON object, or a form
    sign: Signature | None = None

    @field_validator("path")
    @classmethod
    def _path(cls, path: SecretStr | None) -> SecretStr | None:
        text = path.get_secret_value() if path else ""
        problem = path_problem(text) if path else None
        if problem or text.endswith("/"):
            raise ValueError(problem or "ends with /; the action's path begins with it")
        _long_enough([path] if path else [])
        return path

    @field_validator("query", "body")
    @classmethod
    def _values(cls, values: dict[str, SecretStr]) -> dict[str, SecretStr]:
        _long_enough(values.values())
        return values

    def texts(self) -> Iterator[str]:
        """Yield every secret."""
        for secret in (self.path, *self.query.values(), *self.body.values()):
            if secret is not None:
                yield secret.get_secret_value()
        if self.sign is not None:
            yield self.sign.key.get_secret_value()


class Credentials:
    """What authorises the calls of a connection; requests gives it each prepared request."""

    def __init__(
        self,
        login: Callable[[PreparedRequest], PreparedRequest] | None = None,
        tokens: AccessTokens | None = None,
        secrets: Secrets | None = None,
        others: Iterable[str] = (),  # which the session puts into requests
    ) -> None:
        self._login = login
        self._others = tuple(others)
        self._tokens = tokens
        self._secrets = secrets or Secrets()

    @property
    def has_tokens(self) -> bool:
        """Whether the calls carry access tokens that have to be asked for."""
        return self._tokens is not None

    @property
    def caveat(self) -> str | None:
        """What is wrong with the access tokens, although there are some."""
        return self._tokens.caveat if self._tokens else None

    def path(self, path: str) -> str:
        """Return the path that a call goes to, below the host's."""
        secret = self._secrets.path
        if secret is None:
            return path
        return secret.get_secret_value() + ("" if path == "/" else path)

    def authorize(self, began: float) -> None:
        """See to an access token for a call that began at an instant, by ``time.monotonic``.

        Raises ConnectionFailure, or TransientFailure, also where it came too late for a call to
        end in time.
        """
        if self._tokens is None:
            return
        self._tokens.current()
        if time.monotonic() - began > LATEST_START:
            raise TransientFailure("there was no access token in time; nothing was sent")

    def renew(self, refused: PreparedRequest, began: float) -> bool:
        """See to another token than that of a call that was answered 401; False if none helps."""
        if self._tokens is None:
            return False
        token = _header(refused, "Authorization").removeprefix("Bearer ")
        return self._tokens.renew(token, since=began)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put into a request what authorises it; the signature is over all of the body."""
        _put_into_query(request, _revealed(self._secrets.query))
        _put_into_body(request, _revealed(self._secrets.body))
        if self._tokens is not None:
            request.headers["Authorization"] = f"Bearer {self._tokens.current()}"
        elif self._login is not None:
            self._log_in(self._login, request)
        if self._secrets.sign is not None:
            self._secrets.sign.sign(request)
        return request

    @staticmethod
    def _log_in(login: Callable[[PreparedRequest], object], request: PreparedRequest) -> None:
        try:
            login(request)
        except UnicodeEncodeError:  # whose message has a character of the password
            raise ConnectionFailure(
                "the login or the password of the Airflow connection has a character that HTTP "
                "cannot carry there; allowed: those of Latin-1; nothing was sent"
            ) from None

    def cross_out(self, response: Response) -> None:
        """Cross out what an answer that was read repeats of the secrets."""
        for pattern in map(_however_written, self._texts()):
            response._content = re.sub(pattern.encode(), _CROSSED_OUT, response.content)
            for name, value in response.headers.items():
                response.headers[name] = re.sub(pattern, _CROSSED_OUT.decode(), value)

    def mask(self) -> None:
        """Have Airflow mask the secrets in logs, as they are and as they stand in URLs."""
        from airflow.sdk.log import mask_secret

        for form in self._forms():
            mask_secret(form.decode())

    def _texts(self) -> list[str]:
        """Return the secrets, the long segments of a path among them; the longest first."""
        tokens = self._tokens.given() if self._tokens else ()
        path = self._secrets.path.get_secret_value() if self._secrets.path else ""
        segments = [part for part in path.split("/") if len(part) >= _LONG_SEGMENT]
        texts = {text for text in (*self._secrets.texts(), *tokens) if len(text) >= SHORTEST_SECRET}
        return sorted(texts.union(segments, self._others), key=len, reverse=True)

    def _forms(self) -> set[bytes]:
        """Return the secrets as they may be written: plain, in a URL, in JSON."""
        texts = self._texts()
        ways = (str, quote_plus, lambda text: quote(text, safe=""), lambda t: json.dumps(t)[1:-1])
        return {way(text).encode() for text in texts for way in ways}


def credentials_of(connection: str, session: Session) -> Credentials:
    """Return what authorises the calls of a connection, beside its headers.

    Raises ConnectionFailure where its extra cannot be read, or says two things at once.
    """
    tokens = tokens_of(connection, session)
    if tokens is not None and "Authorization" in session.headers:
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} has both {OAUTH2!r} and an Authorization in "
            "its extra; one of them is needed"
        )
    fields = find_connection(connection)
    content = use_connection(connection, lambda: fields.extra_dejson.get(SECRETS))
    secrets = None if content is None else read_settings(connection, SECRETS, Secrets, content)
    login = session.auth if tokens is None and callable(session.auth) else None
    others = _long_secrets(fields, session) if tokens is None else ()
    credentials = Credentials(login, tokens, secrets, others)
    credentials.mask()
    return credentials


def _long_secrets(fields: Any, session: Session) -> Iterator[str]:
    """Yield what the login and the headers of a connection authorise with, where it is no word."""
    from requests.auth import HTTPBasicAuth

    headers = session.headers.items()
    values = [str(value) for name, value in headers if _SECRET_HEADER.search(name)]
    user, password = fields.login or "", fields.password
    if isinstance(session.auth, HTTPBasicAuth):  # a channel's own way to log in, too
        user, password = str(session.auth.username), session.auth.password
    if password:
        values += [password, b64encode(f"{user}:{password}".encode()).decode()]
    for part in (part for value in values for part in value.split()):
        if len(part) >= _LONG_SEGMENT:
            yield part


def _however_written(text: str) -> str:
    r"""Return a pattern of a text as URLs, JSON and HTML write it: ``\/``, ``\u002B``, ``%2f``."""

    def ways(character: str) -> str:
        if character.isalnum() and character.isascii():
            return character
        url, in_json = quote(character, safe=""), json.dumps(character)[1:-1]
        code = "".join(f"\\u{unit:04x}" for unit in _utf16(character))
        forms = {character, f"\\{character}", url, in_json, code, html.escape(character)}
        forms |= {"+"} if character == " " else set()
        in_order = sorted(forms, key=len, reverse=True)
        return f"(?i:{'|'.join(map(re.escape, in_order))})"

    return "".join(map(ways, text))


def _utf16(character: str) -> tuple[int, ...]:
    units = character.encode("utf-16-be")
    return tuple(int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))


def _revealed(values: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: secret.get_secret_value() for name, secret in values.items()}


def _put_into_query(request: PreparedRequest, values: Mapping[str, str]) -> None:
    if values:
        url = str(request.url)
        query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
        _refuse_both("the query", dict(query), values)
        request.prepare_url(url, dict(values))


def _put_into_body(request: PreparedRequest, values: Mapping[str, str]) -> None:
    """Add to a JSON object or a form; a request without a body, as a question is, stays so."""
    if not values or not request.body:
        return
    body = _content(request).decode()
    kind = _header(request, "Content-Type").partition(";")[0].strip().lower()
    if kind == _FORM:
        _refuse_both("the form", dict(parse_qsl(body, keep_blank_values=True)), values)
        request.body = f"{body}&{urlencode(values)}".encode()
        return
    content: Any = json.loads(body) if kind == _JSON else None
    if not isinstance(content, dict):
        raise ConnectionFailure(
            f"{SECRETS}.body: the action sends neither a JSON object nor a form to put it into"
        )
    _refuse_both("the JSON", content, values)
    request.body = json.dumps({**values, **content}).encode()


def _refuse_both(where: str, written: Mapping[str, Any], values: Mapping[str, str]) -> None:
    for name in sorted(written.keys() & values.keys()):
        raise ConnectionFailure(
            f"{name!r} stands in {where} of the action and in {SECRETS} of its connection; one of "
            "them is needed"
        )


def _content(request: PreparedRequest) -> bytes:
    """Return a body, which is never a stream here."""
    body = request.body or b""
    assert isinstance(body, str | bytes)
    return body.encode() if isinstance(body, str) else body


def _header(request: PreparedRequest, name: str) -> str:
    value = request.headers.get(name, "")
    return value if isinstance(value, str) else value.decode("latin-1")
