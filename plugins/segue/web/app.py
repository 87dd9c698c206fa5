"""The application: which routes there are, what all of them share, and what errors look like."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segue.errors import SegueError
from segue.web import actions, api, contacts, deliveries, runs, segments, workflows
from segue.web.connections import NothingRecorded
from segue.web.pages import STATIC, page

log = logging.getLogger(__name__)

ROUTERS = (
    workflows.router,
    runs.router,
    deliveries.router,
    segments.router,
    contacts.router,
    actions.router,
    api.router,
)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}  # a new version has a new address
_TITLES = {
    401: "You are not signed in",
    403: "You may not see this",
    404: "There is nothing here",
    405: "This cannot be done here",
    409: "There is nothing to do any more",
    422: "This address is not complete",
}


@lru_cache(maxsize=1)
def the_app() -> FastAPI:
    """Return this process's application."""
    return create_app()


def create_app() -> FastAPI:
    """Return the application; each of its routes needs a login."""
    app = FastAPI(
        title="Segue",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(_signed_in)],
    )
    app.add_api_route("/static/{path:path}", _static, name="static", include_in_schema=False)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/{path:path}", _nothing, methods=["GET", "POST"], include_in_schema=False)
    app.add_middleware(_Headers)
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SegueError, _unusable)
    app.add_exception_handler(Exception, _defect)
    return app


def _signed_in(request: Request, user: GetUserDep) -> None:
    request.state.segue_user = user.get_id()


def _static(path: str) -> FileResponse:
    """Return one file of the folder ``static``."""
    file = (STATIC / path).resolve()
    if not file.is_relative_to(STATIC) or not file.is_file():
        raise HTTPException(404, "There is no such file.")
    return FileResponse(file, headers=_FOR_A_DAY)


def _nothing(path: str) -> None:
    raise HTTPException(404, f"Segue has no page at /{path}.")


class _Headers:
    """Adds to every answer what a browser must not do with it; a route's own header goes first."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


# ---- errors, as a page or as JSON -------------------------------------------------------------


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    status = error.status_code
    return _answer(request, status, _TITLES.get(status, "This did not work"), str(error.detail))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [
        f"{'.'.join(str(part) for part in problem['loc'][1:])}: {problem['msg']}"
        for problem in error.errors()
    ]
    return _answer(request, 422, _TITLES[422], "\n".join(wrong))


def _unusable(request: Request, error: Exception) -> Response:
    """Show an error of ours: its message says what was found and what to do."""
    if isinstance(error, NothingRecorded):
        title = "Nothing is recorded yet"
        text = f"{error}. The first run of a workflow makes it; segue db upgrade does, too."
        return _answer(request, 503, title, text)
    log.warning("%s: %s", request.url.path, error)
    return _answer(request, 503, "Segue cannot show this now", str(error))


def _defect(request: Request, error: Exception) -> Response:
    log.error("a defect in the page %s", request.url.path, exc_info=error)
    text = "This is a defect of Segue. The API server's log has the details."
    return _answer(request, 500, "Something went wrong", text)


def _answer(request: Request, status: int, title: str, detail: str) -> Response:
    if _wants_json(request):
        return JSONResponse({"title": title, "detail": detail}, status, HEADERS)
    values: dict[str, Any] = {"title": title, "detail": detail, "code": status}
    response = page(request, "error.html", status=status, **values)
    response.headers.update(HEADERS)  # a defect's answer does not pass _Headers
    return response


def _wants_json(request: Request) -> bool:
    root: str = request.scope.get("root_path", "")
    path: str = request.scope["path"]
    return path.removeprefix(root).startswith("/api/")
