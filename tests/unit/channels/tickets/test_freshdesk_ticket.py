"""Freshdesk tickets, sent to the sandbox."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import ValidationError

from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket, delivery_tag
from segue.errors import OutcomeUnknown
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import (
    KEY,
    OTHER_KEY,
    deliver,
    find,
    http,
    vendor,
)


def ticket(**fields: object) -> FreshdeskTicket:
    base = {
        "email": "team@example.com",
        "subject": "{{ contact.contact_id }} opted out",
        "description": "<p>{{ contact.first_name }}</p>",
    }
    return FreshdeskTicket.model_validate(base | fields)


def test_priority_and_status_have_freshdesks_own_defaults(sandbox: Sandbox):
    deliver(ticket())
    [received] = sandbox.messages(service="freshdesk")
    assert (received.fields["ticket"]["priority"], received.fields["ticket"]["status"]) == (1, 2)


def test_the_tag_of_a_delivery_is_as_long_as_freshdesk_allows():
    assert delivery_tag(KEY) == f"segue-{KEY[:26]}"
    assert len(delivery_tag(KEY)) == 32
    assert delivery_tag(KEY) != delivery_tag(OTHER_KEY)


def test_a_server_that_stumbles_may_have_made_the_ticket(set_connection):
    with vendor(http("500 X", '{"code": "internal_error"}')) as url:
        set_connection("freshdesk_default", conn_type="http", host=url)
        with pytest.raises(OutcomeUnknown, match="500: internal_error"):
            deliver(ticket())


@pytest.mark.parametrize("fields", [{"priority": 1}, {"status": "solved"}, {"tags": "one"}])
def test_fields_that_cannot_be_are_refused(fields):
    with pytest.raises(ValidationError):
        ticket(**fields)


# ---- asking whether a ticket is there ---------------------------------------------------------


def sent(key: str = KEY):
    return key, {}


def listed(number: int, at: str = "2100-01-01T00:00:00Z", tags: object = ()) -> dict[str, object]:
    return {"id": number, "created_at": at, "tags": list(tags) if tags is not None else None}


def account(
    *pages: list[dict[str, object]], scope: int = 1, next_pages: bool = False, **filtered: object
):
    """Return a script of an account with these pages of tickets, and what it was asked."""
    requests: list[str] = []

    def answer(request: str) -> bytes:
        requests.append(request.partition(" HTTP")[0])
        if "/agents/me" in request:
            return http("200 OK", json.dumps({"ticket_scope": scope}))
        asked = parse_qs(requests[-1].partition("?")[2])
        number = int(asked["page"][0])
        all_pages = [filtered.get(asked["filter"][0], [])] if "filter" in asked else pages
        page = all_pages[number - 1] if number <= len(all_pages) else []
        more = next_pages or number < len(all_pages)
        link = {"Link": '<https://example.com/?page=2>; rel="next"'} if more else {}
        return http("200 OK", json.dumps(page), link)

    return answer, requests


def at(set_connection, url: str) -> FreshdeskTicket:
    set_connection("freshdesk_default", conn_type="http", host=url, login="x", password="X")
    return ticket()


def test_a_ticket_in_spam_or_in_the_trash_is_there(sandbox: Sandbox):
    spam = deliver(ticket(subject="spam- and nothing else"))
    deleted = deliver(ticket(), key=OTHER_KEY)
    auth = ("sandbox", "X")
    url = f"{sandbox.url}/freshdesk/api/v2/tickets/{deleted.external_id}"
    assert httpx.delete(url, auth=auth).status_code == 204
    assert find(ticket(), sent(KEY), sent(OTHER_KEY)) == {KEY: spam, OTHER_KEY: deleted}


def test_tickets_are_listed_page_by_page_to_the_end(sandbox: Sandbox, monkeypatch):
    monkeypatch.setattr("segue.channels.tickets.freshdesk_ticket.PAGE_SIZE", 2)
    first = deliver(ticket())
    for number in range(4):
        deliver(ticket(), key=f"{number}" * 64)
    assert find(ticket(), sent()) == {KEY: first}


def test_the_newest_come_first_and_older_ones_end_the_list(set_connection):
    old = listed(1, "2020-01-01T00:00:00Z", [delivery_tag(KEY)])
    answer, requests = account([listed(2), old], [listed(0, "2019-01-01T00:00:00Z")])
    with vendor(answer) as url:
        assert find(at(set_connection, url), sent()) == {}
    assert [re.findall(r"filter=\w+|\bpage=\d+|agents", one) for one in requests] == [
        ["page=1"],
        ["filter=spam", "page=1"],
        ["filter=deleted", "page=1"],
        ["agents"],
    ]
    assert "order_by=created_at&order_type=desc&per_page=100" in requests[0]


def test_the_list_begins_five_minutes_before_the_call(set_connection):
    answer, requests = account([listed(1, tags=[delivery_tag(KEY)])])
    since = datetime.now(UTC).replace(microsecond=0)
    with vendor(answer) as url:
        find(at(set_connection, url), sent(), since=since)
    begin = parse_qs(requests[0].partition("?")[2])["updated_since"][0]
    assert datetime.fromisoformat(begin) == since - timedelta(minutes=5)


def test_a_list_without_an_end_is_unknown(set_connection, monkeypatch):
    monkeypatch.setattr("segue.channels.tickets.freshdesk_ticket.LAST_PAGE", 3)
    answer, requests = account([listed(3)], [listed(2)], [listed(1)], next_pages=True)
    with vendor(answer) as url, pytest.raises(OutcomeUnknown, match="Freshdesk lists no more"):
        find(at(set_connection, url), sent())
    assert len(requests) == 3


def test_an_agent_who_does_not_see_every_ticket_cannot_tell(set_connection):
    answer, _ = account([], scope=2)
    with (
        vendor(answer) as url,
        pytest.raises(OutcomeUnknown, match="does not see every ticket"),
    ):
        find(at(set_connection, url), sent())


@pytest.mark.parametrize(
    "page",
    [
        [listed(1, tags=None)],
        [{"id": 1, "created_at": "2100-01-01T00:00:00Z"}],
        [listed(1, "2100-01-01T00:00:00")],
        [listed(1, "2100-01-01T00:00:00Z"), listed(2, "2100-01-02T00:00:00Z")],  # oldest first
    ],
)
def test_a_list_that_does_not_tell_is_unknown(set_connection, page):
    answer, _ = account(page)
    with vendor(answer) as url, pytest.raises(OutcomeUnknown):
        find(at(set_connection, url), sent())


# ---- who reads it -----------------------------------------------------------------------------


def test_a_requester_that_a_template_finds_needs_an_audience():
    with pytest.raises(ValidationError, match="'email' is a template; say 'audience: contact' or"):
        ticket(email="{{ contact.email }}")
