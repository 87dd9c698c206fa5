from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from segue.sandbox.access_tokens import CLIENT_ID, CLIENT_SECRET, LIFE
from segue.sandbox.server import Sandbox

PATH = "/zendesk/oauth/tokens"
REQUEST = {
    "grant_type": "client_credentials",
    "client_id": CLIENT_ID,
    "client_secret": CLIENT_SECRET,
}


def ask(web: httpx.Client, *, form: bool = False, **changes: Any) -> httpx.Response:
    body = {**REQUEST, **changes}
    return web.post(PATH, data=body) if form else web.post(PATH, json=body)


def me(web: httpx.Client, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return web.get("/zendesk/api/v2/users/me.json", headers=headers)


@pytest.mark.parametrize("form", [False, True])
def test_a_client_gets_a_token_that_works(web: httpx.Client, form: bool) -> None:
    answer = ask(web, form=form, scope="read write")
    assert answer.status_code == 200
    token = answer.json()
    assert (token["token_type"], token["scope"], token["expires_in"]) == (
        "bearer",
        "read write",
        LIFE,
    )
    assert me(web, token["access_token"]).status_code == 200


def test_a_client_may_say_who_it_is_in_a_header(web: httpx.Client) -> None:
    body = {"grant_type": "client_credentials"}
    answer = web.post(PATH, data=body, auth=(CLIENT_ID, CLIENT_SECRET))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": None}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "everything"}, 400, "invalid_scope"),
        ({"expires_in": 300}, 400, "invalid_request"),
        ({"expires_in": 172_800}, 400, "invalid_request"),
        ({"expires_in": "soon"}, 400, "invalid_request"),
    ],
)
def test_what_a_client_may_not_ask_for(web: httpx.Client, changes, status: int, code: str) -> None:
    answer = ask(web, **changes)
    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_a_token_comes_to_its_end() -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    with Sandbox(clock=lambda: now) as sandbox, httpx.Client(base_url=sandbox.url) as web:
        short, long = (ask(web, **life).json() for life in ({}, {"expires_in": 600}))
        now += timedelta(seconds=LIFE)
        refused = me(web, short["access_token"])
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
        assert me(web, long["access_token"]).status_code == 200


def test_a_scope_is_what_a_token_may_do(web: httpx.Client) -> None:
    token = ask(web, scope="read").json()["access_token"]
    assert me(web, token).status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    ticket = {"ticket": {"subject": "a", "comment": {"body": "b"}}}
    refused = web.post("/zendesk/api/v2/tickets.json", json=ticket, headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (403, "Forbidden")


def test_a_fault_hits_the_endpoint_only_where_it_says_so(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    sandbox.fault("zendesk", "server_error")
    assert ask(web).status_code == 200
    sandbox.clear()
    sandbox.fault("zendesk", "server_error", path="/oauth/tokens")
    assert [ask(web).status_code, ask(web).status_code] == [503, 200]
