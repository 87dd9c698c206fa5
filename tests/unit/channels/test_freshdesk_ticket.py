"""Freshdesk tickets, sent to the sandbox."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from segue.channels.freshdesk_ticket import FreshdeskTicket, delivery_tag
from segue.delivery.channel import Audience
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import HOSTILE, KEY, OTHER_KEY, deliver


def ticket(**fields: object) -> FreshdeskTicket:
    base = {
        "email": "team@example.com",
        "subject": "{{ contact.contact_id }} opted out",
        "description": "<p>{{ contact.first_name }}</p>",
    }
    return FreshdeskTicket.model_validate(base | fields)


def test_a_ticket_arrives_field_by_field(sandbox: Sandbox):
    receipt = deliver(
        ticket(
            email="{{ contact.email }}",
            audience="contact",
            name="{{ contact.first_name }}",
            priority="urgent",
            status="pending",
            tags=["segue", "opt_out"],
        )
    )
    [received] = sandbox.messages(service="freshdesk")
    assert json.loads(received.raw["body"]) == {
        "email": "ana@example.com",
        "name": "Ana",
        "subject": "c-1 opted out",
        "description": "<p>Ana</p>",
        "priority": 4,
        "status": 3,
        "tags": ["segue", "opt_out", delivery_tag(KEY)],
    }
    number = str(received.fields["ticket"]["id"])
    url = f"{sandbox.url}/freshdesk/a/tickets/{number}"
    assert (receipt.external_id, receipt.url) == (number, url)
    assert receipt.results == {"id": number, "url": url}


def test_priority_and_status_have_freshdesks_own_defaults(sandbox: Sandbox):
    deliver(ticket())
    [received] = sandbox.messages(service="freshdesk")
    assert (received.fields["ticket"]["priority"], received.fields["ticket"]["status"]) == (1, 2)


def test_the_tag_of_a_delivery_is_as_long_as_freshdesk_allows():
    assert delivery_tag(KEY) == f"segue-{KEY[:26]}"
    assert len(delivery_tag(KEY)) == 32
    assert delivery_tag(KEY) != delivery_tag(OTHER_KEY)


def test_it_is_for_the_team():
    assert ticket().addressed_to is Audience.TEAM


@pytest.mark.parametrize("name", HOSTILE)
def test_contact_text_is_escaped_in_the_description(sandbox: Sandbox, name: str):
    deliver(ticket(), first_name=HOSTILE[name])
    [received] = sandbox.messages(service="freshdesk")
    inner = received.html.removeprefix("<p>").removesuffix("</p>")
    assert not set("<>\"'") & set(inner)
    assert f"<p>{inner}</p>" == received.html


def test_a_refused_ticket_is_of_the_contact_and_names_fields_only(sandbox: Sandbox):
    with pytest.raises(ContactFailure) as raised:
        deliver(ticket(email="{{ contact.email }}", audience="contact"), email="ana@nowhere")
    assert str(raised.value) == "Freshdesk answered 400: email, invalid_value"


def test_wrong_credentials_are_of_the_connection(sandbox: Sandbox, set_connection):
    host = f"{sandbox.url}/freshdesk"
    set_connection("freshdesk_default", conn_type="http", host=host, login="x", password="X")
    with pytest.raises(ConnectionFailure, match="401: invalid_credentials"):
        deliver(ticket())


def test_a_rate_limit_is_transient_and_says_how_long(sandbox: Sandbox):
    sandbox.fault("freshdesk", "rate_limited", retry_after=30)
    with pytest.raises(TransientFailure) as raised:
        deliver(ticket())
    assert raised.value.retry_after == 30


def test_a_server_that_is_unwell_is_transient(sandbox: Sandbox):
    sandbox.fault("freshdesk", "server_error")
    with pytest.raises(TransientFailure, match="500: internal_error"):
        deliver(ticket())


@pytest.mark.parametrize("fault", ["reset_after_effect", "time_out_after_effect"])
def test_a_lost_answer_is_unknown_and_leaves_a_tag_to_find_it_by(sandbox: Sandbox, fault: str):
    sandbox.fault("freshdesk", fault, **({"delay": 2} if "time_out" in fault else {}))
    with pytest.raises(OutcomeUnknown):
        deliver(ticket())
    [received] = sandbox.messages(service="freshdesk")
    assert delivery_tag(KEY) in received.fields["ticket"]["tags"]


@pytest.mark.parametrize("fields", [{"priority": 1}, {"status": "solved"}, {"tags": "one"}])
def test_fields_that_cannot_be_are_refused(fields):
    with pytest.raises(ValidationError):
        ticket(**fields)
