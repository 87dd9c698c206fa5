"""The look-alike of no API in particular."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import http_api

HEADERS = {"Authorization": f"Bearer {http_api.TOKEN}"}


def post(sandbox: Sandbox, path: str = "/notes", key: str | None = None, **arguments):
    headers = HEADERS | ({"Idempotency-Key": key} if key else {})
    return httpx.post(f"{sandbox.url}/http{path}", headers=headers, **arguments)


def items(sandbox: Sandbox, path: str = "/notes", **query: str) -> list[int]:
    answer = httpx.get(f"{sandbox.url}/http{path}", headers=HEADERS, params=query)
    return [item["id"] for item in answer.json()["items"]]


def test_a_thing_is_created_listed_and_shown_in_the_inbox(sandbox: Sandbox) -> None:
    """The answer has id, status and a link; the inbox has method and path."""
    answer = post(sandbox, "/contacts/c-1/notes", json={"text": "hello inbox"})
    number = answer.json()["id"]

    assert answer.status_code == 201
    link = f"{sandbox.url}/http/contacts/c-1/notes/{number}"
    assert answer.json() == {"id": number, "status": "created", "links": {"self": link}}
    assert items(sandbox, "/contacts/c-1/notes") == [number]
    page = httpx.get(f"{sandbox.url}/?service=http").text
    assert "POST /contacts/c-1/notes" in page
    assert "hello inbox" in page


@pytest.mark.parametrize("auth", [("anybody", "sandbox"), None])
def test_basic_credentials_work_and_none_do_not(sandbox: Sandbox, auth) -> None:
    """401, and nothing is received."""
    answer = httpx.post(f"{sandbox.url}/http/notes", auth=auth)

    assert answer.status_code == (201 if auth else 401)
    assert len(sandbox.messages(service="http")) == (1 if auth else 0)


def test_the_same_key_and_request_give_the_first_answer_again(sandbox: Sandbox) -> None:
    """One effect, and the second answer says that it is a replay."""
    first, second = (post(sandbox, key="k", json={"a": 1}) for _ in range(2))

    assert first.json() == second.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(sandbox.messages(service="http")) == 1


@pytest.mark.parametrize(
    "other", [{"json": {"a": 2}}, {"json": {"a": 1}, "path": "/tasks"}, {"data": {"a": 1}}]
)
def test_the_same_key_with_another_request_is_an_error(sandbox: Sandbox, other) -> None:
    """400 of the type idempotency_error, without an effect."""
    post(sandbox, key="k", json={"a": 1})
    answer = post(sandbox, key="k", **other)

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "idempotency_error"
    assert len(sandbox.messages(service="http")) == 1


def test_a_key_is_forgotten_after_a_day() -> None:
    """Then the same request makes a second thing."""
    now = [datetime(2026, 11, 23, tzinfo=UTC)]
    with Sandbox(clock=lambda: now[0]) as sandbox:
        first = post(sandbox, key="k").json()["id"]
        now[0] += timedelta(hours=24, seconds=1)
        assert post(sandbox, key="k").json()["id"] != first


def test_things_are_found_by_a_field_or_by_their_key(sandbox: Sandbox) -> None:
    """Other fields, other collections and unknown values find nothing."""
    number = post(sandbox, key="k", json={"external_id": "e"}).json()["id"]

    assert items(sandbox, external_id="e") == items(sandbox, idempotency_key="k") == [number]
    assert items(sandbox, external_id="f") == items(sandbox, "/tasks", external_id="e") == []


@pytest.mark.parametrize(("method", "status"), [("PUT", "updated"), ("DELETE", "deleted")])
def test_other_methods_have_an_effect_each_time(sandbox: Sandbox, method, status) -> None:
    """Keys are for POST, as with Stripe."""
    headers = HEADERS | {"Idempotency-Key": "k"}
    for _ in range(2):
        answer = httpx.request(method, f"{sandbox.url}/http/notes/1", headers=headers)
        assert answer.json()["status"] == status
    assert len(sandbox.messages(service="http")) == 2


def test_what_says_it_is_json_must_be(sandbox: Sandbox) -> None:
    """400, and nothing is received."""
    headers = {**HEADERS, "Content-Type": "application/json"}
    answer = httpx.post(f"{sandbox.url}/http/notes", headers=headers, content=b"{")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
    assert sandbox.messages() == []


@pytest.mark.parametrize("path", ["/contacts/missing-c1/notes", "/missing-notes"])
def test_there_is_nothing_at_a_path_that_says_missing(sandbox: Sandbox, path) -> None:
    assert post(sandbox, path, json={}).status_code == 404
    assert httpx.get(f"{sandbox.url}/http{path}", headers=HEADERS).status_code == 404
    assert sandbox.messages(service="http") == []


def test_a_kept_request_has_the_number_of_what_it_made(sandbox: Sandbox) -> None:
    number = post(sandbox, json={}).json()["id"]
    [message] = sandbox.messages(service="http")
    assert message.fields["id"] == number
