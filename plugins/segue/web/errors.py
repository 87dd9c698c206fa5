"""What goes wrong, as a page or as JSON: what was found and what to do, and never where things are.

Where the ledger is, and what its database says, stands in the API server's log alone: whoever may
read one DAG may open these pages.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from markupsafe import Markup
from starlette.exceptions import HTTPException

from segue.errors import DefinitionError, LedgerError, NotSetUp, SchemaDiffers, SegueError
from segue.web.connections import without_home
from segue.web.headers import HEADERS
from segue.web.legible import legible
from segue.web.pages import STATIC, page

log = logging.getLogger(__name__)

_TITLES = {
    401: "You are not signed in",
    403: "You may not see this",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "There is nothing to do any more",
    422: "This address is not complete",
}
_LOGIN_OVER = "There is no login of yours, or it has ended. Sign in to Airflow, and come back."
_NO_LEDGER = (
    "There is no ledger yet. The first run of a workflow makes it; segue db upgrade does, too."
)
_LEDGER_AWAY = (
    "The ledger's database cannot be used. The API server's log says why; segue deliveries on the "
    "command line does, too."
)


def add_error_answers(app: FastAPI) -> None:
    """Let every error of the application become a page, or JSON below ``/api/``."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SegueError, _unusable)
    app.add_exception_handler(Exception, _defect)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    title = _TITLES.get(status, "This did not work")
    return _answer(request, status, title, str(error.detail), error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [
        f"{'.'.join(str(part) for part in problem['loc'][1:])}: {problem['msg']}"
        for problem in error.errors()
    ]
    return _answer(request, 422, _TITLES[422], "\n".join(wrong))


def _unusable(request: Request, error: Exception) -> Response:
    """Show an error of ours: its message says what was found and what to do."""
    if isinstance(error, DefinitionError):
        return _answer(request, 409, "A definition has errors", without_home(error))
    if isinstance(error, NotSetUp):
        return _answer(request, 503, "Nothing is recorded yet", _NO_LEDGER)
    log.warning("%s: %s", request.url.path, error)
    is_secret = isinstance(error, LedgerError) and not isinstance(error, SchemaDiffers)
    text = _LEDGER_AWAY if is_secret else without_home(error)
    return _answer(request, 503, "Segue cannot show this now", text)


def _defect(request: Request, error: Exception) -> Response:
    log.error("a defect in the page %s", request.url.path, exc_info=error)
    text = "This is a defect of Segue. The API server's log has the details."
    return _answer(request, 500, "Something went wrong", text)


def _answer(
    request: Request, status: int, title: str, detail: str, more: Mapping[str, str] | None = None
) -> Response:
    detail = detail.encode("utf-8", "replace").decode()  # JSON may hold half a character
    headers = {**HEADERS, **(more or {})}  # a defect's answer does not pass the middleware
    if _wants_json(request):
        return JSONResponse({"title": title, "detail": detail}, status, headers)
    words = legible(detail, blanks=False, keep="\n\t")
    values: dict[str, Any] = {"title": title, "detail": words, "code": status}
    if getattr(request.state, "segue_user", None) is None:
        return _signed_out(request, values, headers)
    response = page(request, "error.html", status=status, **values)
    response.headers.update(headers)
    return response


def _signed_out(
    request: Request, values: Mapping[str, Any], headers: Mapping[str, str]
) -> Response:
    """Return a page that needs no other file: those want a login as well."""
    style, script = ((STATIC / f"signed_out.{kind}").read_text() for kind in ("css", "js"))
    words = {**values, "detail": _LOGIN_OVER} if values["code"] == 401 else values
    response = page(
        request,
        "signed_out.html",
        status=values["code"],
        **words,
        style=Markup(style),  # noqa: S704 - files of ours
        script=Markup(script),  # noqa: S704
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )
    response.headers.update({**headers, "Content-Security-Policy": policy})
    return response


def _hash(text: str) -> str:
    """Return the source by which a policy allows one inline text and no other."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _wants_json(request: Request) -> bool:
    root: str = request.scope.get("root_path", "")
    path: str = request.scope["path"]
    return path.removeprefix(root).startswith("/api/")
