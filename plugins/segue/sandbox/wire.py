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

from starlette.responses import Response

REMOVED = "(removed)"
TOKENS_PATHS = ("/oauth/tokens", "/oauth2/token")  # where look-alikes give access tokens
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

    def names(self, parameter: str) -> list[str]:
        """Return the names that a parameter of the query has, with commas between."""
        return [name for name in self.query.get(parameter, "").split(",") if name]

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
