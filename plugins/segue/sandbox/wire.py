"""The parts of HTTP that all look-alikes share: reading a request, credentials, answering JSON."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

REMOVED = "(removed)"
EMAIL = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+\.[^@\s<>\".]+")

_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-token"})
_SIGNATURE_IN_PATH = re.compile(r"([?&]sig=)[^&]*")
_TOKEN_IN_BODY = re.compile(r'((?:^|&)token=|"token"\s*:\s*")[^&"]*')


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One HTTP request, read to its end."""

    method: str
    path: str  # with the query
    headers: dict[str, str]  # lower-case names
    query: dict[str, str]
    body: str

    @property
    def content_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def form(self) -> dict[str, str]:
        """Return the fields of a URL-encoded body."""
        return dict(parse_qsl(self.body, keep_blank_values=True))

    def raw(self) -> dict[str, Any]:
        """Return what the inbox keeps of the request: all but the credentials."""
        headers = {
            name: REMOVED if name in _SECRET_HEADERS else value
            for name, value in self.headers.items()
        }
        body = _TOKEN_IN_BODY.sub(rf"\g<1>{REMOVED}", self.body)
        path = _SIGNATURE_IN_PATH.sub(rf"\g<1>{REMOVED}", self.path)
        return {"method": self.method, "path": path, "headers": headers, "body": body}


async def read_request(request: Request) -> ReceivedRequest:
    """Read a request to its end."""
    query = f"?{request.url.query}" if request.url.query else ""
    return ReceivedRequest(
        method=request.method,
        path=request.url.path + query,
        headers=dict(request.headers),
        query=dict(request.query_params),
        body=(await request.body()).decode("utf-8", "replace"),
    )


def mount_url(request: Request) -> str:
    """Return the address of the look-alike that serves a request, without a slash at its end."""
    return str(request.url.replace(path=request.scope["root_path"], query="")).rstrip("/")


def basic_credentials(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Return user and password of HTTP basic authentication, or None."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Return the token of an ``Authorization: Bearer`` header, or None."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, or None where there is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def json_answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON; written in ASCII, so that any text a client sent can be sent back."""
    return Response(
        json.dumps(content),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/json; charset=utf-8",
    )


def vendor_app() -> FastAPI:
    """Make an application without FastAPI's own pages, which no vendor has."""
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


class Refused(Exception):
    """A request that a look-alike does not accept, with the vendor's answer to it."""

    def __init__(self, answer: Response) -> None:
        super().__init__(f"refused with {answer.status_code}")
        self.answer = answer


def answer_refusals(app: FastAPI, not_found: Response, not_allowed: Response) -> None:
    """Give a vendor's own answers to refused requests, unknown paths and wrong methods."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return error.answer

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: Exception) -> Response:
        return not_allowed if getattr(error, "status_code", 404) == 405 else not_found
