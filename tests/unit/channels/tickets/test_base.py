"""What both ticket channels do alike: open tickets of a contact, comments, custom fields."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from segue.channels.tickets.base import MOST_EARLIER, HelpDeskTicket
from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket, delivery_tag
from segue.channels.tickets.zendesk_ticket import MARK, ZendeskTicket
from segue.contracts.channel import OpenTicket, Receipt
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from tests.unit.channels.hostile import markdown_text
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    OTHER_KEY,
    deliver,
    deliver_after,
    find,
    http,
    variables,
    vendor,
)

VENDORS = ("zendesk", "freshdesk")
THIRD_KEY = "a" * 64
LOST = ("reset_after_effect", "reset_mid_answer", "malformed_answer", "bad_gateway_after_effect")
AUTH = {"zendesk": ("agent@example.com/token", "sandbox"), "freshdesk": ("sandbox", "X")}
DONE: dict[str, list[Any]] = {"zendesk": ["solved", "closed"], "freshdesk": [4, 5]}
UNFINISHED: dict[str, list[Any]] = {
    "zendesk": ["open", "pending", "hold"],
    "freshdesk": [2, 3, 7],
}


def channel(name: str, **fields: Any) -> HelpDeskTicket:
    if name == "zendesk":
        base = {"subject": "s", "comment": "{{ contact.first_name }}!", "on_existing": "comment"}
        return ZendeskTicket.model_validate(base | fields)
    base = {
        "email": "team@example.com",
        "subject": "s",
        "description": "<p>{{ contact.first_name }}!</p>",
        "on_existing": "comment",
    }
    return FreshdeskTicket.model_validate(base | fields)


def url_of(sandbox: Sandbox, name: str, number: str | None) -> str:
    return f"{sandbox.url}/{name}/api/v2/tickets/{number}"


def set_status(sandbox: Sandbox, name: str, number: str | None, status: Any) -> None:
    body = {"ticket": {"status": status}} if name == "zendesk" else {"status": status}
    answer = httpx.put(url_of(sandbox, name, number), json=body, auth=AUTH[name])
    assert answer.status_code == 200


def shown(sandbox: Sandbox, name: str, number: str | None) -> dict[str, Any]:
    """A ticket, but for when it was changed."""
    found = httpx.get(url_of(sandbox, name, number), auth=AUTH[name]).json()
    return {**found.get("ticket", found), "updated_at": ""}


def comments(sandbox: Sandbox, name: str, number: str | None) -> list[tuple[str, bool]]:
    """The comments that were added to a ticket, and whether the requester may see them."""
    url = url_of(sandbox, name, number)
    if name == "zendesk":
        found = httpx.get(f"{url}/comments.json", auth=AUTH[name]).json()["comments"][1:]
        return [(one["body"], one["public"]) for one in found]
    found = httpx.get(f"{url}/conversations", auth=AUTH[name]).json()
    return [(one["body"], not one["private"]) for one in found]


def sent(made: HelpDeskTicket, *earlier: str, key: str = OTHER_KEY):
    return key, made.render({**variables(), "earlier": earlier})


@pytest.mark.parametrize("name", VENDORS)
def test_a_contact_with_an_open_ticket_gets_a_comment(sandbox: Sandbox, name: str):
    """Delivered with that ticket's number and link, and nothing else of it is changed."""
    first = deliver(channel(name))
    before = shown(sandbox, name, first.external_id)
    assert deliver_after(channel(name, tags=["new"]), str(first.external_id)) == first
    [(text, is_public)] = comments(sandbox, name, first.external_id)
    assert "Ana!" in text
    assert is_public is (name == "zendesk")
    assert shown(sandbox, name, first.external_id) == before
    assert len(sandbox.messages()) == 2


@pytest.mark.parametrize(("name", "public"), [("zendesk", False), ("freshdesk", True)])
def test_who_sees_a_comment_may_be_said(sandbox: Sandbox, name: str, public: bool):
    first = deliver(channel(name))
    deliver_after(channel(name, public=public), str(first.external_id))
    assert [seen for _, seen in comments(sandbox, name, first.external_id)] == [public]


@pytest.mark.parametrize("name", VENDORS)
def test_a_contact_with_an_open_ticket_is_skipped(sandbox: Sandbox, name: str):
    first = deliver(channel(name))
    with pytest.raises(OpenTicket, match=f"^{first.external_id}$"):
        deliver_after(channel(name, on_existing="skip"), str(first.external_id))
    assert [message.kind for message in sandbox.messages()] == ["ticket"]


@pytest.mark.parametrize("name", VENDORS)
def test_by_default_everybody_gets_a_ticket_of_their_own(sandbox: Sandbox, name: str):
    made = channel(name, on_existing="create")
    assert not made.looks_back
    first = deliver(made)
    assert deliver_after(made, str(first.external_id)).external_id != first.external_id


@pytest.mark.parametrize(("name", "status"), [(n, s) for n in VENDORS for s in DONE[n]])
@pytest.mark.parametrize("on_existing", ["comment", "skip"])
def test_a_ticket_that_is_done_is_followed_by_another(
    sandbox: Sandbox, name: str, status: Any, on_existing: str
):
    made = channel(name, on_existing=on_existing)
    first = deliver(made)
    set_status(sandbox, name, first.external_id, status)
    assert deliver_after(made, str(first.external_id)).external_id != first.external_id


@pytest.mark.parametrize(("name", "status"), [(n, s) for n in VENDORS for s in UNFINISHED[n]])
def test_any_other_status_is_open(sandbox: Sandbox, set_connection, name: str, status: Any):
    """A team's own status of Freshdesk, too."""
    ticket = {"id": 7, "status": status, "updated_at": "2026-11-22T06:00:00Z"}
    answer = {"tickets": [ticket]} if name == "zendesk" else ticket
    with vendor(http("200 OK", json.dumps(answer))) as url:
        set_connection(f"{name}_default", conn_type="http", host=url)
        with pytest.raises(OpenTicket):
            deliver_after(channel(name, on_existing="skip"), "7")


@pytest.mark.parametrize("name", VENDORS)
def test_a_ticket_that_was_deleted_is_followed_by_another(sandbox: Sandbox, name: str):
    first = deliver(channel(name))
    httpx.delete(url_of(sandbox, name, first.external_id), auth=AUTH[name])
    for number in (str(first.external_id), "999"):
        key = (number * 64)[:64]
        assert deliver_after(channel(name), number, key=key).external_id != first.external_id


@pytest.mark.parametrize("name", VENDORS)
def test_of_several_the_newest_that_is_open_gets_the_comment(sandbox: Sandbox, name: str):
    made = channel(name)
    old, middle, new = (deliver(made, key=key) for key in (KEY, THIRD_KEY, "b" * 64))
    set_status(sandbox, name, new.external_id, DONE[name][0])
    numbers = [str(one.external_id) for one in (new, middle, old)]
    assert deliver_after(made, *numbers) == middle


@pytest.mark.parametrize("name", VENDORS)
def test_only_the_newest_are_looked_at(name: str):
    numbers = [str(number) for number in range(100, 150)]
    message = channel(name).render({**variables(), "earlier": numbers})
    assert message["earlier"] == numbers[:MOST_EARLIER]
    assert channel(name).trace(message) == {"earlier": " ".join(numbers[:MOST_EARLIER])}


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("fault", LOST)
def test_a_comment_whose_answer_was_lost_is_found(sandbox: Sandbox, name: str, fault: str):
    """With the same receipt, so that it is not written twice."""
    made = channel(name)
    first = deliver(made)
    path = "notes" if name == "freshdesk" else f"{first.external_id}.json"
    sandbox.fault(name, fault, path=path)
    with pytest.raises(OutcomeUnknown):
        deliver_after(made, str(first.external_id))
    assert len(comments(sandbox, name, first.external_id)) == 1
    assert find(made, sent(made, str(first.external_id))) == {OTHER_KEY: first}


@pytest.mark.parametrize("name", VENDORS)
def test_a_comment_that_never_arrived_is_left_out(sandbox: Sandbox, name: str):
    made = channel(name)
    first = deliver(made)
    deliver_after(made, str(first.external_id), key=THIRD_KEY)
    assert find(made, sent(made, str(first.external_id))) == {}


@pytest.mark.parametrize("name", VENDORS)
def test_tickets_and_comments_are_found_in_one_question(sandbox: Sandbox, name: str):
    made = channel(name)
    first = deliver(made)
    deliver_after(made, str(first.external_id))
    second = deliver_after(made, key=THIRD_KEY)
    number = str(first.external_id)
    found = find(made, sent(made, key=KEY), sent(made, number), sent(made, number, key=THIRD_KEY))
    assert found == {KEY: first, OTHER_KEY: first, THIRD_KEY: second}


@pytest.mark.parametrize("name", VENDORS)
def test_comments_are_looked_for_page_by_page(sandbox: Sandbox, monkeypatch, name: str):
    monkeypatch.setattr(f"segue.channels.tickets.{name}_ticket.PAGE_SIZE", 2)
    made = channel(name)
    first = deliver(made)
    keys = [f"{number}" * 64 for number in range(5)]
    for key in keys:
        deliver_after(made, str(first.external_id), key=key)
    for key in keys:
        assert find(made, sent(made, str(first.external_id), key=key)) == {key: first}


@pytest.mark.parametrize("name", VENDORS)
def test_a_commented_ticket_that_is_gone_cannot_tell(sandbox: Sandbox, name: str):
    with pytest.raises(OutcomeUnknown, match="404"):
        find(channel(name), sent(channel(name), "999"))


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("name_of_text", HOSTILE)
def test_contact_text_is_data_in_a_comment(sandbox: Sandbox, name: str, name_of_text: str):
    first = deliver(channel(name))
    deliver_after(channel(name), str(first.external_id), first_name=HOSTILE[name_of_text])
    [(text, _)] = comments(sandbox, name, first.external_id)
    if name == "zendesk":
        assert markdown_text(text).split() == f"{HOSTILE[name_of_text]}!".split()
    else:
        inner = text.removeprefix("<p>").partition("</p>")[0]
        assert not set("<>\"'") & set(inner)
        assert text == f"<p>{inner}</p><p>{delivery_tag(OTHER_KEY)}</p>"


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("rate_limited", TransientFailure),
        ("unauthorized", ConnectionFailure),
        ("server_error", TransientFailure),
        ("reset", TransientFailure),
        ("malformed_answer", TransientFailure),
    ],
)
def test_a_look_that_fails_sends_nothing(sandbox: Sandbox, name: str, fault: str, expected):
    """Whatever becomes of the question, there is no doubt about the message."""
    first = deliver(channel(name))
    sandbox.fault(name, fault)
    with pytest.raises(expected):
        deliver_after(channel(name), str(first.external_id))
    assert len(sandbox.messages()) == 1


@pytest.mark.parametrize("name", VENDORS)
def test_where_nobody_can_tell_nothing_is_sent(set_connection, name: str):
    """A ticket that the agent may not see could be open; a second one would be the worse."""
    with vendor(http("403 Forbidden")) as url:
        set_connection(f"{name}_default", conn_type="http", host=url)
        with pytest.raises(UnprovenRefusal, match="cannot be told"):
            deliver_after(channel(name), "7")


def test_an_agent_who_does_not_see_every_ticket_cannot_say_that_none_is_open(set_connection):
    def answer(request: str) -> bytes:
        if "/users/me" in request:
            return http("200 OK", '{"user": {"ticket_restriction": "groups"}}')
        return http("200 OK", '{"tickets": []}')

    with vendor(answer) as url:
        set_connection("zendesk_default", conn_type="http", host=url)
        with pytest.raises(UnprovenRefusal, match="does not see every ticket"):
            deliver_after(channel("zendesk"), "7")


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("zendesk", "409 Conflict", '{"error": "UpdateConflict"}'),
        ("zendesk", "404 Not Found", '{"error": "RecordNotFound"}'),
        ("freshdesk", "404 Not Found", ""),
    ],
)
def test_a_ticket_that_changed_meanwhile_is_looked_at_again(
    set_connection, name: str, status: str, body: str
):
    ticket = {"id": 7, "status": "open" if name == "zendesk" else 2, "updated_at": "x"}
    seen = {"tickets": [ticket]} if name == "zendesk" else ticket

    def answer(request: str) -> bytes:
        return http("200 OK", json.dumps(seen)) if request[:3] == "GET" else http(status, body)

    with vendor(answer) as url:
        set_connection(f"{name}_default", conn_type="http", host=url)
        with pytest.raises(TransientFailure, match="meanwhile; nothing was sent"):
            deliver_after(channel(name), "7")


def test_a_comment_on_zendesk_is_a_safe_update_that_carries_the_key(sandbox: Sandbox):
    first = deliver(channel("zendesk"))
    deliver_after(channel("zendesk", comment=None, comment_html="<b>hi</b>"), first.external_id)
    [made, updated] = sandbox.messages(service="zendesk")
    assert json.loads(updated.raw["body"])["ticket"] == {
        "comment": {"html_body": "<b>hi</b>", "public": True},
        "metadata": {MARK: OTHER_KEY},
        "safe_update": True,
        "updated_stamp": made.fields["ticket"]["updated_at"],
    }
    assert "idempotency-key" not in updated.raw["headers"]  # Zendesk knows it of creations only


def test_a_look_counts_under_zendesks_limit(sandbox: Sandbox):
    """Two calls for a contact who had a ticket before, so half as many contacts a minute."""
    made = channel("zendesk")
    with made.connect() as sender:
        [alone] = sender.limits(made.render(variables()))
        [after] = sender.limits(made.render({**variables(), "earlier": ("7",)}))
    assert (alone.count / alone.seconds, alone.scope) == (200 / 60, after.scope)
    assert after.count / after.seconds == 100 / 60


@pytest.mark.parametrize("earlier", [(), ("7",), tuple("0123456789")])
def test_each_look_counts_under_freshdesks_limit(sandbox: Sandbox, earlier):
    """It asks for one ticket after the other."""
    made = channel("freshdesk")
    with made.connect() as sender:
        [limit] = sender.limits(made.render({**variables(), "earlier": earlier}))
    assert limit.count / limit.seconds == pytest.approx(80 / 60 / (1 + len(earlier)))


def test_a_look_that_takes_long_is_too_old_to_act_on(sandbox: Sandbox, monkeypatch):
    """Otherwise a call could end later than the door may assume."""
    monkeypatch.setattr("segue.channels.tickets.base.LONGEST_LOOK", -1.0)
    with pytest.raises(TransientFailure, match="too long"):
        deliver_after(channel("zendesk"), "7")
    assert sandbox.messages() == []


# ---- custom fields ----------------------------------------------------------------------------

NUMBER = {"number": "{{ contact.calls }}"}
BOOLEAN = {"boolean": "{{ contact.vip }}"}


def custom_fields(sandbox: Sandbox) -> Any:
    [received] = sandbox.messages()
    body = json.loads(received.raw["body"])
    return body.get("ticket", body).get("custom_fields")


def test_custom_fields_of_zendesk_arrive_with_their_types(sandbox: Sandbox):
    fields = {
        "360001": "tier {{ contact.tier }}",
        "360002": NUMBER,
        "360003": "2026-11-22",
        "360004": BOOLEAN,
        "360005": ["a", "{{ contact.tier }}", "{{ contact.none | default('') }}"],
        "360006": 5,
    }
    made = channel("zendesk", custom_fields=fields, ticket_form_id=4, status="pending")
    deliver(made, tier="gold", calls=5.0, vip=True)
    assert custom_fields(sandbox) == [
        {"id": 360001, "value": "tier gold"},
        {"id": 360002, "value": 5},
        {"id": 360003, "value": "2026-11-22"},
        {"id": 360004, "value": True},
        {"id": 360005, "value": ["a", "gold"]},
        {"id": 360006, "value": 5},
    ]
    [received] = sandbox.messages()
    ticket = received.fields["ticket"]
    assert (ticket["ticket_form_id"], ticket["status"]) == (4, "pending")


def test_custom_fields_of_freshdesk_arrive_with_their_types(sandbox: Sandbox):
    fields = {
        "cf_tier": "{{ contact.tier }}",
        "cf_calls": NUMBER,
        "cf_revenue": {"number": "1.5"},
        "cf_vip": BOOLEAN,
        "cf_interests": ["{{ contact.tier }}"],
        "cf_segue_key": "{{ contact.none | default('') }}",
    }
    made = channel(
        "freshdesk",
        custom_fields=fields,
        type="Incident",
        source="phone",
        group_id=3,
        responder_id=4,
        cc_emails=["boss@example.com"],
    )
    deliver(made, tier="gold", calls="5", vip="no")
    assert custom_fields(sandbox) == {
        "cf_tier": "gold",
        "cf_calls": 5,
        "cf_revenue": 1.5,
        "cf_vip": False,
        "cf_interests": ["gold"],
    }
    [received] = sandbox.messages()
    ticket = received.fields["ticket"]
    named = ("type", "source", "group_id", "responder_id", "cc_emails")
    assert [ticket[name] for name in named] == ["Incident", 3, 3, 4, ["boss@example.com"]]


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [("zendesk", "360002", NUMBER), ("freshdesk", "cf_calls", NUMBER)],
)
@pytest.mark.parametrize("text", ["five", "1e9", "nan", "٣", "9" * 10_000, HOSTILE["html"]])
def test_a_text_that_is_no_number_fails_the_contact(
    sandbox: Sandbox, name: str, field: str, value: Any, text: str
):
    with pytest.raises(ContactFailure) as raised:
        deliver(channel(name, custom_fields={field: value}), calls=text)
    assert str(raised.value) == f"custom_fields.{field}: the text is not a number"
    assert sandbox.messages() == []


def test_a_text_that_is_no_boolean_fails_the_contact(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match=r"^custom_fields\.cf_vip: the text is not a boolean$"):
        deliver(channel("freshdesk", custom_fields={"cf_vip": BOOLEAN}), vip="perhaps")


def test_a_field_that_the_account_does_not_have_is_of_the_contact(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match=r"invalid_field") as raised:
        deliver(channel("freshdesk", custom_fields={"cf_nothing": "x"}))
    assert "custom_fields.cf_nothing" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("zendesk", {"custom_fields": {"tier": "x"}}, "custom_fields"),
        ("zendesk", {"custom_fields": {"1": None}}, "allowed: a text, a number"),
        ("zendesk", {"custom_fields": {"1": {"number": 5}}}, "allowed: text"),
        ("zendesk", {"custom_fields": {"1": ["a", 5]}}, "allowed: text"),
        ("zendesk", {"custom_fields": {"1": "{{ nobody }}"}}, "unknown name 'nobody'"),
        ("zendesk", {"comment_html": "<p>x</p>"}, "found both of comment and comment_html"),
        ("zendesk", {"comment": None}, "found neither of comment and comment_html"),
        ("zendesk", {"status": "closed"}, "status"),
        ("zendesk", {"on_existing": "update"}, "on_existing"),
        ("freshdesk", {"custom_fields": {"tier": "x"}}, "custom_fields"),
        ("freshdesk", {"source": 3}, "source"),
        ("freshdesk", {"public": True, "on_existing": "skip"}, "a ticket is always public"),
        ("freshdesk", {"cc_emails": ["{{ contact.email }}"]}, r"cc_emails\[0\]"),
    ],
)
def test_what_cannot_be_is_refused(name: str, fields: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        channel(name, **fields)


def test_templates_of_custom_fields_are_known_by_their_places():
    fields = {"cf_a": "{{ contact.a }}", "cf_b": NUMBER, "cf_c": ["x"], "cf_d": 5}
    places = [at for at, _ in channel("freshdesk", custom_fields=fields).templates()]
    assert [at[1:] for at in places if at[0] == "custom_fields"] == [
        ("cf_a",),
        ("cf_b", "number"),
        ("cf_c", 0),
    ]


def test_a_receipt_has_the_ticket(sandbox: Sandbox):
    receipt = deliver(channel("zendesk"))
    url = f"{sandbox.url}/zendesk/agent/tickets/{receipt.external_id}"
    number = str(receipt.external_id)
    assert receipt == Receipt(number, url, {"id": number, "url": url})
