from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from segue.sandbox import access_tokens
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import zendesk_api

AUTH = (f"{zendesk_api.EMAIL_ADDRESS}/token", zendesk_api.API_TOKEN)
TICKETS = "/zendesk/api/v2/tickets.json"
TICKET = {
    "subject": "Call the customer",
    "comment": {"body": "CID_1 called five times"},
    "priority": "high",
    "external_id": "abc",
    "requester": {"name": "Ada Example", "email": "ada@example.com"},
    "tags": ["segue"],
}


def create(
    web: httpx.Client, ticket: dict[str, Any] | None = None, key: str | None = None
) -> httpx.Response:
    """Ask for a ticket."""
    headers = {"Idempotency-Key": key} if key else {}
    body = {"ticket": TICKET if ticket is None else ticket}
    return web.post(TICKETS, json=body, headers=headers, auth=AUTH)


def test_a_ticket_is_created_shown_and_kept(web: httpx.Client, sandbox: Sandbox) -> None:
    """201 with ticket, audit and Location; the ticket can be read at that address."""
    answer = create(web)

    assert answer.status_code == 201
    ticket = answer.json()["ticket"]
    assert answer.json()["audit"]["ticket_id"] == ticket["id"]
    assert (ticket["priority"], ticket["status"]) == ("high", "new")
    shown = web.get(answer.headers["Location"], auth=AUTH)
    assert shown.json() == {"ticket": ticket}
    [message] = sandbox.messages(service="zendesk")
    assert (message.kind, message.to, message.subject) == (
        "ticket",
        "ada@example.com",
        "Call the customer",
    )
    assert "Basic" not in str(message.raw)


def test_the_suffix_json_and_bearer_tokens_are_optional(web: httpx.Client) -> None:
    """Both forms of the address and both ways to authenticate work."""
    client = {"client_id": access_tokens.CLIENT_ID, "client_secret": access_tokens.CLIENT_SECRET}
    request = {"grant_type": "client_credentials", **client}
    token = web.post("/zendesk/oauth/tokens", json=request).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = web.post("/zendesk/api/v2/tickets", json={"ticket": TICKET}, headers=headers)

    assert answer.status_code == 201
    me = web.get("/zendesk/api/v2/users/me.json", headers=headers)
    assert me.json()["user"]["email"] == zendesk_api.EMAIL_ADDRESS


@pytest.mark.parametrize("auth", [("", ""), AUTH[::-1], (zendesk_api.EMAIL_ADDRESS, AUTH[1])])
def test_wrong_credentials_are_401(
    web: httpx.Client, sandbox: Sandbox, auth: tuple[str, str]
) -> None:
    """Without e-mail/token and API token there is the documented error, and no ticket."""
    answer = web.post(TICKETS, json={"ticket": TICKET}, auth=auth)

    assert (answer.status_code, answer.json()) == (401, {"error": "Couldn't authenticate you"})
    assert sandbox.messages() == []


def test_no_credentials_are_401(web: httpx.Client) -> None:
    """A request without any credentials is answered like one with wrong ones."""
    assert web.get("/zendesk/api/v2/users/me.json").status_code == 401
    bearer = {"Authorization": "Bearer wrong"}
    refused = web.get("/zendesk/api/v2/users/me.json", headers=bearer)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")


@pytest.mark.parametrize(
    ("change", "attribute"),
    [
        ({"comment": None}, "base"),
        ({"comment": {"body": " "}}, "base"),
        ({"comment": "text"}, "comment"),
        ({"priority": "highest"}, "priority"),
        ({"status": "waiting"}, "status"),
        ({"type": "bug"}, "type"),
        ({"tags": "segue"}, "tags"),
        ({"custom_fields": {"1": "x"}}, "custom_fields"),
        ({"requester": {"name": "Ada"}}, "requester"),
        ({"requester": {"email": "new@example.com"}}, "requester"),
        ({"requester": {"name": "Ada", "email": "not an address"}}, "requester"),
        ({"requester": None, "requester_id": 999}, "requester"),
    ],
)
def test_wrong_tickets_are_422_with_the_attribute_at_fault(
    web: httpx.Client, sandbox: Sandbox, change: dict[str, Any], attribute: str
) -> None:
    """RecordInvalid names the attribute in its details, and nothing is created."""
    answer = create(web, {**TICKET, **change})

    assert answer.status_code == 422
    body = answer.json()
    assert (body["error"], body["description"]) == ("RecordInvalid", "Record validation errors")
    assert list(body["details"]) == [attribute]
    assert body["details"][attribute][0]["description"]
    assert sandbox.messages() == []


def test_a_known_requester_needs_no_name(web: httpx.Client) -> None:
    """The second ticket of an address belongs to the same user, named or not."""
    first = create(web).json()["ticket"]
    second = create(web, {**TICKET, "requester": {"email": "Ada@example.com"}})

    assert second.json()["ticket"]["requester_id"] == first["requester_id"]


def test_unreadable_bodies_are_refused(web: httpx.Client) -> None:
    """Broken JSON is 422, JSON without a ticket 400."""
    broken = web.post(TICKETS, content=b"{", auth=AUTH)
    without = web.post(TICKETS, json={"subject": "x"}, auth=AUTH)

    assert (broken.status_code, broken.json()["error"]) == (422, "Unprocessable Entity")
    assert without.status_code == 400


def test_the_same_key_and_parameters_create_one_ticket(web: httpx.Client, sandbox: Sandbox) -> None:
    """A repeat is answered like the first, says hit, and has no effect."""
    first = create(web, key="k1")
    again = create(web, dict(reversed(TICKET.items())), key="k1")

    assert first.headers["x-idempotency-lookup"] == "miss"
    assert (again.status_code, again.headers["x-idempotency-lookup"]) == (201, "hit")
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert len(sandbox.messages(service="zendesk")) == 1


def test_the_same_key_with_other_parameters_is_an_error(
    web: httpx.Client, sandbox: Sandbox
) -> None:
    """A key cannot be used for a second, different ticket."""
    create(web, key="k1")
    other = create(web, {**TICKET, "priority": "low"}, key="k1")

    assert (other.status_code, other.json()["error"]) == (400, "IdempotentRequestError")
    assert len(sandbox.messages()) == 1


def test_without_a_key_a_repeat_is_a_second_ticket(web: httpx.Client) -> None:
    """Idempotency is only for those who ask for it."""
    first, second = create(web), create(web)

    assert first.json()["ticket"]["id"] != second.json()["ticket"]["id"]
    assert "x-idempotency-lookup" not in first.headers


def test_a_refused_request_leaves_its_key_unused(web: httpx.Client) -> None:
    """After a validation error the corrected ticket can be sent under the same key."""
    assert create(web, {**TICKET, "priority": "highest"}, key="k1").status_code == 422
    assert create(web, key="k1").headers["x-idempotency-lookup"] == "miss"


def test_a_key_lives_for_two_hours() -> None:
    """Within its life-time a key hits; after it, the same request is a new ticket."""
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    with (
        Sandbox(clock=lambda: now) as sandbox,
        httpx.Client(base_url=sandbox.url) as web,
    ):
        lookups = [create(web, key="k1").headers["x-idempotency-lookup"]]
        now += timedelta(hours=2)
        lookups.append(create(web, key="k1").headers["x-idempotency-lookup"])
        now += timedelta(seconds=1)
        lookups.append(create(web, key="k1").headers["x-idempotency-lookup"])

        assert lookups == ["miss", "hit", "miss"]
        assert len(sandbox.messages()) == 2


def test_tickets_are_found_by_external_id(web: httpx.Client) -> None:
    """The look-up after a lost answer finds the one ticket, or none."""
    create(web)
    create(web, {**TICKET, "external_id": "def"})

    found = web.get(TICKETS, params={"external_id": "def"}, auth=AUTH).json()
    missing = web.get(TICKETS, params={"external_id": "ghi"}, auth=AUTH).json()

    assert [ticket["external_id"] for ticket in found["tickets"]] == ["def"]
    assert (missing["tickets"], missing["count"]) == ([], 0)


def test_lists_have_pages(web: httpx.Client) -> None:
    """next_page leads to the rest and is null on the last page."""
    for _ in range(3):
        create(web)

    first = web.get(TICKETS, params={"per_page": 2}, auth=AUTH).json()
    last = web.get(first["next_page"], auth=AUTH).json()

    assert (len(first["tickets"]), first["count"]) == (2, 3)
    assert (len(last["tickets"]), last["next_page"]) == (1, None)


@pytest.mark.parametrize("size", [{"page[size]": 1}, {"per_page": 1}])
def test_the_next_page_of_a_list_is_where_its_link_says(web: httpx.Client, size: dict[str, int]):
    """By cursor where its size is asked for so, else by number; what was asked for stays."""
    made = [create(web).json()["ticket"]["id"] for _ in range(2)]
    create(web, {**TICKET, "external_id": "other"})
    first = web.get(TICKETS, params={**size, "external_id": "abc"}, auth=AUTH).json()
    link = first["links"]["next"] if "links" in first else first["next_page"]
    second = web.get(link, auth=AUTH).json()
    assert [one["tickets"][0]["id"] for one in (first, second)] == made
    assert (second["links"]["next"] if "links" in second else second["next_page"]) is None


def test_a_ticket_is_updated_until_it_is_closed(web: httpx.Client, sandbox: Sandbox) -> None:
    """PUT changes and is received; a closed ticket takes no more updates."""
    url = create(web).headers["Location"]

    solved = web.put(url, json={"ticket": {"status": "closed", "tags": []}}, auth=AUTH)
    refused = web.put(url, json={"ticket": {"status": "open"}}, auth=AUTH)

    assert solved.status_code == 200
    assert (solved.json()["ticket"]["status"], solved.json()["ticket"]["tags"]) == ("closed", [])
    assert refused.status_code == 422
    assert [message.kind for message in sandbox.messages()] == ["ticket", "ticket_update"]


def test_unknown_tickets_and_addresses_are_404(web: httpx.Client) -> None:
    """A ticket that is not there, an id that is no number, an address nobody serves."""
    tickets = "/zendesk/api/v2/tickets"
    missing = web.get(f"{tickets}/999.json", auth=AUTH)
    assert (missing.status_code, missing.json()["error"]) == (404, "RecordNotFound")
    assert web.get(f"{tickets}/abc.json", auth=AUTH).status_code == 400
    nowhere = web.get("/zendesk/api/v2/triggers.json", auth=AUTH)
    assert (nowhere.status_code, nowhere.json()["error"]) == (404, "InvalidEndpoint")


def test_rate_limits_are_429_with_retry_after(web: httpx.Client, sandbox: Sandbox) -> None:
    """The fault refuses once with Retry-After and creates nothing."""
    sandbox.fault("zendesk", "rate_limited", retry_after=93)

    refused = create(web, key="k1")

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "93")
    assert create(web, key="k1").headers["x-idempotency-lookup"] == "miss"
    assert len(sandbox.messages()) == 1


def test_an_update_leaves_an_audit_with_its_metadata(web: httpx.Client) -> None:
    """Audits and comments are listed oldest first, by cursor."""
    url = create(web).headers["Location"]
    update = {"comment": {"html_body": "<b>more</b>", "public": False}, "metadata": {"mark": "k"}}
    assert web.put(url, json={"ticket": update}, auth=AUTH).status_code == 200

    page = url.replace(".json", "/audits.json")
    first = web.get(page, params={"page[size]": 1}, auth=AUTH).json()
    after = {"page[size]": 1, "page[after]": first["meta"]["after_cursor"]}
    last = web.get(page, params=after, auth=AUTH).json()
    marks = [audit["metadata"]["custom"] for audit in first["audits"] + last["audits"]]
    assert marks == [{}, {"mark": "k"}]
    assert (first["meta"]["has_more"], last["meta"]["has_more"]) == (True, False)
    comments = web.get(url.replace(".json", "/comments.json"), auth=AUTH).json()["comments"]
    shown = [(one["html_body"], one["public"]) for one in comments]
    assert shown == [("CID_1 called five times", True), ("<b>more</b>", False)]


def test_a_safe_update_needs_the_newest_ticket() -> None:
    """An update made of an older state is 409, and changes nothing."""
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    with Sandbox(clock=lambda: now) as sandbox, httpx.Client(base_url=sandbox.url) as web:
        created = create(web)
        url, stamp = created.headers["Location"], created.json()["ticket"]["updated_at"]
        safe = {"safe_update": True, "updated_stamp": stamp}
        now += timedelta(seconds=5)
        assert web.put(url, json={"ticket": {**safe, "tags": ["a"]}}, auth=AUTH).status_code == 200
        late = web.put(url, json={"ticket": {**safe, "tags": ["b"]}}, auth=AUTH)
        assert (late.status_code, late.json()["error"]) == (409, "UpdateConflict")
        assert web.get(url, auth=AUTH).json()["ticket"]["tags"] == ["a"]


def test_many_tickets_are_shown_but_for_those_that_are_gone(web: httpx.Client) -> None:
    """A deleted ticket is in no list, and cannot be shown."""
    first, second = (create(web).json()["ticket"] for _ in range(2))
    assert web.delete(first["url"], auth=AUTH).status_code == 204

    ids = {"ids": f"{first['id']},{second['id']},999"}
    shown = web.get("/zendesk/api/v2/tickets/show_many.json", params=ids, auth=AUTH).json()
    assert [ticket["id"] for ticket in shown["tickets"]] == [second["id"]]
    assert web.get(first["url"], auth=AUTH).status_code == 404


@pytest.mark.parametrize(
    ("number", "value"),
    [(360002, "five"), (360003, "22.11.2026"), (360004, "yes"), (360005, "one")],
)
def test_custom_fields_have_types(web: httpx.Client, number: int, value: object) -> None:
    """A wrong value is refused; what the account does not have is ignored."""
    refused = create(web, {**TICKET, "custom_fields": [{"id": number, "value": value}]})
    assert (refused.status_code, list(refused.json()["details"])) == (422, ["base"])
    ignored = create(web, {**TICKET, "custom_fields": [{"id": 1, "value": value}]})
    assert ignored.status_code == 201
