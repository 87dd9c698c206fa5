"""The login comes first: before a body is read, before it is known whether there is such a page.

FastAPI reads a request's body, and looks for its method, before it asks who sends it. So a small
application asks, and hands on to the pages what somebody who is signed in has sent.
"""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from segue.web.errors import add_error_answers
from segue.web.headers import METHODS, Headers


def signed_in(request: Request, user: GetUserDep) -> None:
    """Note who sends a request; Airflow answers 401 to nobody."""
    request.state.segue_user = user.get_id()


def behind_login(pages: FastAPI) -> FastAPI:
    """Return the application that asks for a login, and then for a page."""

    def hand_on() -> Response:
        return _HandedOn(pages)

    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(signed_in)]
    )
    app.add_api_route("/{path:path}", hand_on, methods=[*METHODS], include_in_schema=False)
    app.add_middleware(Headers)
    add_error_answers(app)
    return app


class _HandedOn(Response):
    """The answer of another application to the same request."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
