"""Zendesk tickets, sent to the sandbox."""

from __future__ import annotations

import json

import pytest
import requests
from pydantic import ValidationError

from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.contracts.channel import Audience
from segue.errors import ContactFailure, OutcomeUnknown, TransientFailure
from segue.sandbox.access_tokens import CLIENT_ID, CLIENT_SECRET
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import (
    KEY,
    OTHER_KEY,
    deliver,
    find,
    http,
    messages_of,
    variables,
    vendor,
)


def ticket(**fields: object) -> ZendeskTicket:
    return ZendeskTicket.model_validate(
        {"subject": "Call {{ contact.first_name }}", "comment": "{{ contact.contact_id }}"} | fields
    )


def test_what_is_left_out_is_not_sent(sandbox: Sandbox):
    deliver(ticket())
    [received] = sandbox.messages(service="zendesk")
    assert set(json.loads(received.raw["body"])["ticket"]) == {
        "external_id",
        "subject",
        "comment",
        "tags",
    }


def test_the_same_key_makes_one_ticket(sandbox: Sandbox):
    assert deliver(ticket()) == deliver(ticket())
    assert deliver(ticket(), key=OTHER_KEY).external_id != deliver(ticket()).external_id
    assert len(sandbox.messages(service="zendesk")) == 2


def test_the_same_key_with_other_text_is_unknown(sandbox: Sandbox):
    deliver(ticket())
    with pytest.raises(OutcomeUnknown, match=KEY):
        deliver(ticket(comment="another text"))


def test_a_collision_at_zendesk_is_tried_again(set_connection):
    """409: somebody else wrote at the same moment. Under its key it makes no second ticket."""
    body = json.dumps({"error": "DatabaseConflict", "description": "Database collision"})
    with vendor(http("409 Conflict", body)) as url:
        set_connection("zendesk_default", conn_type="http", host=url, login="x", password="X")
        with pytest.raises(TransientFailure, match="409: DatabaseConflict; nothing was created"):
            deliver(ticket())


def test_a_missing_field_names_its_place(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match=r"^requester\.name: missing field: contact\.nick$"):
        asked_by = {"email": "{{ contact.email }}", "name": "{{ contact.nick }}"}
        deliver(ticket(requester=asked_by, audience="contact"))
    assert sandbox.messages() == []


def test_a_bearer_token_in_the_extra_works(sandbox: Sandbox, set_connection):
    host = f"{sandbox.url}/zendesk"
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    request = {"grant_type": "client_credentials", **client}
    token = requests.post(f"{host}/oauth/tokens", json=request, timeout=10).json()["access_token"]
    extra = {"Authorization": f"Bearer {token}"}
    set_connection("zendesk_default", conn_type="http", host=host, extra=extra)
    assert deliver(ticket()).external_id


@pytest.mark.parametrize("fault", ["reset_after_effect", "time_out_after_effect"])
def test_after_a_lost_answer_sending_again_makes_no_second_ticket(
    sandbox: Sandbox, be_patient, fault: str
):
    sandbox.fault("zendesk", fault)
    with pytest.raises(OutcomeUnknown):
        deliver(ticket())
    be_patient()
    assert len(messages_of(sandbox, "zendesk")) == 1
    assert deliver(ticket()).external_id
    assert len(sandbox.messages(service="zendesk")) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": "medium"},
        {"type": "bug"},
        {"group_id": "seven"},
        {"tags": "one"},
        {"colour": 1},
    ],
)
def test_fields_that_cannot_be_are_refused(fields):
    with pytest.raises(ValidationError):
        ticket(**fields)


# ---- asking whether a ticket is there ---------------------------------------------------------


def sent(key: str = KEY):
    return key, {}


def listing(*tickets: dict[str, object], restriction: str | None = None):
    """Return a script of an account whose list holds these tickets, whatever is asked for."""

    def answer(request: str) -> bytes:
        if "/users/me" in request:
            return http("200 OK", json.dumps({"user": {"ticket_restriction": restriction}}))
        return http("200 OK", json.dumps({"tickets": tickets}))

    return answer


def at(set_connection, url: str) -> ZendeskTicket:
    set_connection("zendesk_default", conn_type="http", host=url, login="x", password="y")
    return ticket()


def test_a_ticket_whose_key_was_reused_is_found(sandbox: Sandbox):
    receipt = deliver(ticket())
    with pytest.raises(OutcomeUnknown):
        deliver(ticket(comment="another text"))
    assert find(ticket(), sent()) == {KEY: receipt}


def test_of_several_tickets_with_one_external_id_the_first_counts(set_connection):
    both = [{"id": 9, "external_id": KEY}, {"id": 7, "external_id": KEY}]
    with vendor(listing(*both)) as url:
        assert find(at(set_connection, url), sent())[KEY].external_id == "7"


def test_an_agent_who_does_not_see_every_ticket_cannot_tell(set_connection):
    with (
        vendor(listing(restriction="assigned")) as url,
        pytest.raises(OutcomeUnknown, match="does not see every ticket"),
    ):
        find(at(set_connection, url), sent())


def test_what_such_an_agent_does_see_is_there(set_connection):
    seen = {"id": 7, "external_id": KEY}
    with vendor(listing(seen, restriction="assigned")) as url:
        assert find(at(set_connection, url), sent()).keys() == {KEY}


@pytest.mark.parametrize(
    "body", ['{"tickets": null}', '{"tickets": [{"id": 7, "external_id": "another"}]}']
)
def test_a_list_that_does_not_tell_is_unknown(set_connection, body: str):
    with vendor(http("200 OK", body)) as url, pytest.raises(OutcomeUnknown):
        find(at(set_connection, url), sent())


# ---- who reads it -----------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["{{ contact.email }}", "{% if true %}a@example.com{% endif %}"])
def test_a_requester_that_a_template_finds_needs_an_audience(email: str):
    with pytest.raises(ValidationError, match=r"'requester\.email' is a template; say 'audience:"):
        ticket(requester={"email": email})


def test_a_requester_who_is_always_the_same_needs_none():
    assert ticket(requester={"email": "team@example.com"}).addressed_to is Audience.TEAM


@pytest.mark.parametrize("tag", ["gold vip_bypass", "a,b", "a\u00a0b"])
def test_a_tag_is_never_two(tag: str):
    channel = ZendeskTicket.model_validate(
        {"subject": "a", "comment": "b", "tags": ["segue", "{{ contact.tier }}"]}
    )
    with pytest.raises(ContactFailure, match=r"tags\[1\]: a tag has no blank"):
        channel.render(variables(tier=tag))


def test_a_requester_is_never_two():
    fields = {"subject": "a", "comment": "b", "audience": "contact"}
    channel = ZendeskTicket.model_validate(
        {**fields, "requester": {"email": "{{ contact.email }}"}}
    )
    with pytest.raises(ContactFailure, match=r"requester\.email: it is more than one"):
        channel.render(variables(email="a@example.com,b@example.com"))
