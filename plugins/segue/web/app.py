"""The application: which routes there are, and what all of them share."""

from __future__ import annotations

from functools import lru_cache

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from starlette.routing import Match

from segue.web import actions, api, contacts, deliveries, directories, runs, segments, workflows
from segue.web.errors import add_error_answers
from segue.web.headers import METHODS, Headers
from segue.web.login import behind_login, signed_in
from segue.web.pages import static_files
from segue.web.parameters import require_texts

ROUTERS = (
    workflows.router,
    runs.router,
    deliveries.router,
    segments.router,
    directories.router,
    contacts.router,
    actions.router,
    api.router,
)
_FOR_A_DAY = {"Cache-Control": "private, max-age=86400"}  # a new version has a new address


@lru_cache(maxsize=1)
def the_app() -> FastAPI:
    """Return this process's application: its pages, behind the login."""
    return behind_login(create_app())


def create_app() -> FastAPI:
    """Return the application; each of its routes needs a login, and texts for parameters."""
    app = FastAPI(
        title="Segue",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(signed_in), Depends(require_texts)],
    )
    app.add_api_route("/static/{path:path}", _static, name="static", include_in_schema=False)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/{path:path}", _nothing, methods=[*METHODS], include_in_schema=False)
    app.add_middleware(Headers)
    add_error_answers(app)
    return app


def _static(path: str) -> FileResponse:
    """Return one file of the folder ``static``: no path that somebody wrote is ever opened."""
    file = static_files().get(path)
    if file is None:
        raise HTTPException(404, "There is no such file.")
    return FileResponse(file, headers=_FOR_A_DAY)


def _nothing(path: str, request: Request) -> None:
    """Answer what no route does: a 405 where another method is meant, after the login as well."""
    others = {
        method
        for route in request.app.routes
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is Match.PARTIAL
        for method in route.methods
    }
    if others:
        methods = ", ".join(sorted(others))
        raise HTTPException(405, f"/{path} is for {methods} alone.", headers={"Allow": methods})
    raise HTTPException(404, f"Segue has no page at /{path}.")
