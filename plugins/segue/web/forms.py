"""Forms that only our own pages can send: a token that is bound to the person who was shown it.

A page of somebody else can make a browser send a POST, with the login's cookie, but cannot read
the token. It is signed with Airflow's own secret key, which all of its API servers share. A
request that carries its credential itself (``Authorization``) needs none.
"""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import Depends, Form, HTTPException, Request
from fastapi.security.utils import get_authorization_scheme_param
from itsdangerous import BadSignature, URLSafeTimedSerializer
from markupsafe import Markup

_LIFETIME = 12 * 3600  # seconds
_STALE = "This form is too old, or was not sent by one of Segue's pages. Load the page again."


def carries_token(request: Request) -> bool:
    """Tell whether a request is somebody's by a token in its header, not by the cookie.

    As FastAPI's HTTPBearer reads it, which Airflow asks: a scheme without a token is none, and the
    cookie counts.
    """
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    return scheme.lower() == "bearer" and bool(token.strip())


def csrf_field(request: Request) -> Markup:
    """Return the hidden field for a form of the person who sent the request."""
    token = _serializer().dumps(request.state.segue_user)
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def _safe(request: Request, user: GetUserDep, csrf: Annotated[str, Form()] = "") -> None:
    if carries_token(request):
        return
    try:
        owner = _serializer().loads(csrf, max_age=_LIFETIME)
    except BadSignature:
        raise HTTPException(403, _STALE) from None
    if owner != user.get_id():
        raise HTTPException(403, _STALE)


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key"), salt="segue-form")


SafeForm = Annotated[None, Depends(_safe)]
