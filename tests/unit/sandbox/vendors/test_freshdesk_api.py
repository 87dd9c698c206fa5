from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import freshdesk_api

AUTH = (freshdesk_api.API_KEY, "X")
TICKETS = "/freshdesk/api/v2/tickets"
TICKET = {
    "subject": "Call the customer",
    "description": "<p>CID_1 called <b>five</b> times</p>",
    "email": "ada@example.com",
    "priority": 3,
    "status": 2,
    "source": 2,
    "tags": ["segue"],
    "custom_fields": {"cf_segue_key": "abc"},
}


def create(web: httpx.Client, **changes: Any) -> httpx.Response:
    """Ask for a ticket; a field set to None is left out."""
    fields = {name: value for name, value in {**TICKET, **changes}.items() if value is not None}
    return web.post(TICKETS, json=fields, auth=AUTH)


def test_a_ticket_is_created_shown_and_kept(web: httpx.Client, sandbox: Sandbox) -> None:
    """201 with the ticket itself and Location; it can be read at that address."""
    answer = create(web)

    assert answer.status_code == 201
    ticket = answer.json()
    assert (ticket["priority"], ticket["status"], ticket["source"]) == (3, 2, 2)
    assert ticket["description_text"].split() == ["CID_1", "called", "five", "times"]
    assert ticket["custom_fields"] == {"cf_segue_key": "abc"}
    assert web.get(answer.headers["Location"], auth=AUTH).json() == ticket
    [message] = sandbox.messages(service="freshdesk")
    assert (message.kind, message.to) == ("ticket", "ada@example.com")


@pytest.mark.parametrize("auth", [("", ""), ("wrong", "X")])
def test_wrong_credentials_are_401(
    web: httpx.Client, sandbox: Sandbox, auth: tuple[str, str]
) -> None:
    """Without the API key there is the documented error, and no ticket."""
    answer = web.post(TICKETS, json=TICKET, auth=auth)

    assert answer.status_code == 401
    assert answer.json() == {
        "code": "invalid_credentials",
        "message": "You have to be logged in to perform this action.",
    }
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"subject": None}, "subject", "missing_field"),
        ({"description": None}, "description", "missing_field"),
        ({"email": None}, "requester_id", "missing_field"),
        ({"email": None, "phone": "+441632960001"}, "name", "missing_field"),
        ({"email": "not an address"}, "email", "invalid_value"),
        ({"email": None, "requester_id": 999}, "requester_id", "invalid_value"),
        ({"priority": 5}, "priority", "invalid_value"),
        ({"priority": "high"}, "priority", "datatype_mismatch"),
        ({"status": 1}, "status", "invalid_value"),
        ({"source": 4}, "source", "invalid_value"),
        ({"tags": "segue"}, "tags", "datatype_mismatch"),
        ({"tags": ["x" * 33]}, "tags", "invalid_value"),
        ({"subject": "x" * 256}, "subject", "invalid_value"),
        ({"custom_fields": {"segue": 1}}, "custom_fields.segue", "invalid_field"),
        ({"custom_fields": {"cf_calls": "5"}}, "custom_fields.cf_calls", "datatype_mismatch"),
        ({"custom_fields": {"cf_calls": True}}, "custom_fields.cf_calls", "datatype_mismatch"),
        ({"urgency": 1}, "urgency", "invalid_field"),
    ],
)
def test_wrong_tickets_are_400_with_field_message_and_code(
    web: httpx.Client, sandbox: Sandbox, changes: dict[str, Any], field: str, code: str
) -> None:
    """Validation failed names the field and the documented code, and nothing is created."""
    answer = create(web, **changes)

    assert answer.status_code == 400
    assert answer.json()["description"] == "Validation failed"
    [error] = answer.json()["errors"]
    assert (error["field"], error["code"]) == (field, code)
    assert error["message"]
    assert sandbox.messages() == []


def test_unreadable_bodies_are_refused(web: httpx.Client) -> None:
    """Broken JSON is 400 invalid_json, another content type 415."""
    headers = {"Content-Type": "application/json"}
    broken = web.post(TICKETS, content=b"{", headers=headers, auth=AUTH)
    form = web.post(TICKETS, data={"subject": "x"}, auth=AUTH)

    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_json")
    assert form.status_code == 415


def test_a_repeat_is_a_second_ticket(web: httpx.Client, sandbox: Sandbox) -> None:
    """Freshdesk has no idempotency, whatever the headers say."""
    headers = {"Idempotency-Key": "k1"}
    for _ in range(2):
        web.post(TICKETS, json=TICKET, headers=headers, auth=AUTH)

    assert len(sandbox.messages(service="freshdesk")) == 2


def test_the_same_address_is_the_same_requester(web: httpx.Client) -> None:
    """A contact is made once, and may then be named by number."""
    first = create(web).json()["requester_id"]
    again = create(web, email="ADA@example.com").json()["requester_id"]
    by_number = create(web, email=None, requester_id=first).json()["requester_id"]
    other = create(web, email="bob@example.com").json()["requester_id"]

    assert first == again == by_number != other


def test_lists_are_newest_first_and_filter_by_address(web: httpx.Client) -> None:
    """email= selects a contact's tickets; descriptions come only when included."""
    create(web, subject="one")
    create(web, subject="two")
    create(web, email="bob@example.com")

    plain = web.get(TICKETS, params={"email": "ada@example.com"}, auth=AUTH).json()
    full = web.get(TICKETS, params={"include": "description"}, auth=AUTH).json()

    assert [ticket["subject"] for ticket in plain] == ["two", "one"]
    assert "description" not in plain[0]
    assert full[0]["description"] == TICKET["description"]


def test_an_unknown_address_cannot_be_listed(web: httpx.Client) -> None:
    """Filtering by an address without a contact is a validation error."""
    answer = web.get(TICKETS, params={"email": "nobody@example.com"}, auth=AUTH)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "email")


def test_updated_since_finds_what_changed_and_what_is_old() -> None:
    """A list holds 30 days of new tickets; updated_since looks further back."""
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    with (
        Sandbox(clock=lambda: now) as sandbox,
        httpx.Client(base_url=sandbox.url) as web,
    ):
        create(web)
        now += timedelta(days=31)

        def count(**params: str) -> int:
            return len(web.get(TICKETS, params=params, auth=AUTH).json())

        assert count() == 0
        assert count(updated_since="2026-11-22T06:00:00Z") == 1
        assert count(updated_since="2026-11-22T06:00:01Z") == 0


def test_lists_have_pages(web: httpx.Client) -> None:
    """The Link header leads to the rest and is absent on the last page."""
    for _ in range(3):
        create(web)

    first = web.get(TICKETS, params={"per_page": 2}, auth=AUTH)
    last = web.get(first.links["next"]["url"], auth=AUTH)

    assert (len(first.json()), len(last.json())) == (2, 1)
    assert "Link" not in last.headers
    assert web.get(TICKETS, params={"per_page": 101}, auth=AUTH).status_code == 400


def test_lists_come_in_the_order_that_is_asked_for(web: httpx.Client) -> None:
    """Newest first by default; a field or direction that is not documented is refused."""
    for subject in ("one", "two"):
        create(web, subject=subject)

    def subjects(**params: str) -> list[str]:
        return [ticket["subject"] for ticket in web.get(TICKETS, params=params, auth=AUTH).json()]

    assert subjects() == subjects(order_by="created_at", order_type="desc") == ["two", "one"]
    assert subjects(order_type="asc") == ["one", "two"]
    for params in ({"order_by": "subject"}, {"order_type": "down"}, {"filter": "mine"}):
        assert web.get(TICKETS, params=params, auth=AUTH).status_code == 400


def test_spam_and_deleted_tickets_are_listed_by_filter_only(web: httpx.Client) -> None:
    """The usual list leaves both out, with updated_since too."""
    create(web, subject="usual")
    create(web, subject="spam-like")
    url = create(web, subject="mistake").headers["Location"]
    assert web.delete(url, auth=AUTH).status_code == 204

    def subjects(**params: str) -> list[str]:
        params = {"updated_since": "2020-01-01T00:00:00Z", **params}
        return [ticket["subject"] for ticket in web.get(TICKETS, params=params, auth=AUTH).json()]

    assert subjects() == ["usual"]
    assert subjects(filter="spam") == ["spam-like"]
    assert subjects(filter="deleted") == ["mistake"]


def test_there_is_no_page_301(web: httpx.Client) -> None:
    """A list ends at 300 pages."""
    statuses = [
        web.get(TICKETS, params={"page": page}, auth=AUTH).status_code for page in (300, 301)
    ]

    assert statuses == [200, 400]


def test_a_ticket_is_updated(web: httpx.Client, sandbox: Sandbox) -> None:
    """PUT changes what it names, merges custom fields, and is received."""
    url = create(web).headers["Location"]

    answer = web.put(url, json={"status": 4, "custom_fields": {"cf_calls": 1}}, auth=AUTH)

    assert answer.json()["status"] == 4
    assert answer.json()["custom_fields"] == {"cf_segue_key": "abc", "cf_calls": 1}
    assert web.put(url, json={"status": 9}, auth=AUTH).status_code == 400
    assert [message.kind for message in sandbox.messages()] == ["ticket", "ticket_update"]


def test_unknown_tickets_are_404_without_a_body(web: httpx.Client) -> None:
    """Freshdesk says nothing about what is not there."""
    answer = web.get(f"{TICKETS}/999", auth=AUTH)

    assert (answer.status_code, answer.content) == (404, b"")


def test_the_agent_of_the_key_is_shown(web: httpx.Client) -> None:
    """The connection test's address answers with the agent."""
    me = web.get("/freshdesk/api/v2/agents/me", auth=AUTH)

    assert me.json()["contact"]["email"] == freshdesk_api.AGENT_EMAIL


def test_a_rate_limit_is_429_with_retry_after(web: httpx.Client, sandbox: Sandbox) -> None:
    """The fault refuses once and creates nothing."""
    create(web)
    sandbox.fault("freshdesk", "rate_limited", retry_after=12)
    refused = create(web)

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "12")
    assert len(sandbox.messages()) == 1


def test_notes_are_kept_by_page(web: httpx.Client, sandbox: Sandbox) -> None:
    """A note is private unless it says otherwise; oldest first, with a Link."""
    url = f"{TICKETS}/{create(web).json()['id']}"
    note = web.post(f"{url}/notes", json={"body": "<p>one</p>"}, auth=AUTH)
    web.post(f"{url}/notes", json={"body": "two", "private": False}, auth=AUTH)
    web.post(f"{url}/notes", json={"body": "three"}, auth=AUTH)

    assert (note.status_code, note.json()["body_text"], note.json()["private"]) == (
        201,
        "one",
        True,
    )
    first = web.get(f"{url}/conversations", params={"per_page": 2}, auth=AUTH)
    rest = web.get(first.links["next"]["url"], auth=AUTH)
    shown = [(item["body_text"], item["private"]) for item in first.json() + rest.json()]
    assert shown == [("one", True), ("two", False), ("three", True)]
    kinds = [message.kind for message in sandbox.messages()]
    assert kinds == ["ticket", "note", "note", "note"]


@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "missing_field"), ({"body": "x", "text": "y"}, "invalid_field")],
)
def test_wrong_notes_are_400(web: httpx.Client, body: dict[str, Any], code: str) -> None:
    """As wrong tickets are; a note of a ticket that is not there is 404."""
    url = f"{TICKETS}/{create(web).json()['id']}/notes"
    refused = web.post(url, json=body, auth=AUTH)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, code)
    missing = web.post(f"{TICKETS}/999/notes", json={"body": "x"}, auth=AUTH)
    assert missing.status_code == 404
