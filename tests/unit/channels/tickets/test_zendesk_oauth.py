"""Zendesk by an OAuth client, whose tokens come to their end: sent to the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from segue.channels import oauth2
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.errors import ConnectionFailure, OutcomeUnknown, TransientFailure
from segue.sandbox.access_tokens import CLIENT_ID, CLIENT_SECRET, LIFE
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import KEY, deliver, find, variables

TICKET = ZendeskTicket.model_validate({"subject": "Call", "comment": "{{ contact.contact_id }}"})


def connect(set_connection, sandbox: Sandbox, password: str = CLIENT_SECRET) -> None:
    oauth = {"endpoint": f"{sandbox.url}/zendesk/oauth/tokens", "scope": "read write"}
    set_connection(
        "zendesk_default",
        conn_type="http",
        host=f"{sandbox.url}/zendesk",
        login=CLIENT_ID,
        password=password,
        extra={"oauth2": oauth},
    )


@pytest.fixture(autouse=True)
def another_process(monkeypatch) -> None:
    monkeypatch.setattr(oauth2, "_ALL", {})


def test_tickets_are_made_looked_up_and_the_connection_tried(sandbox: Sandbox, set_connection):
    connect(set_connection, sandbox)
    receipt = deliver(TICKET)
    assert find(TICKET, (KEY, TICKET.render(variables()))) == {KEY: receipt}
    with TICKET.connect() as sender:
        assert sender.check(frozenset()).detail == "the admin 1"
    [message] = sandbox.messages(service="zendesk")
    assert json.loads(message.raw["body"])["ticket"]["external_id"] == KEY


def test_a_token_that_came_to_its_end_is_replaced_and_every_ticket_is_made_once(set_connection):
    """Whatever the vendor said of its life; the sandbox's clock is ahead of ours here."""
    now = datetime.now(UTC)
    with Sandbox(clock=lambda: now) as sandbox:
        connect(set_connection, sandbox)
        with TICKET.connect() as sender:
            for number in range(12):
                if number % 4 == 3:
                    now += timedelta(seconds=LIFE)
                message = TICKET.render(variables(contact_id=f"c-{number}"))
                sender.send(message, key=f"{number:064x}")
        tickets = [message.fields["ticket"] for message in sandbox.messages(service="zendesk")]
    assert sorted(ticket["external_id"] for ticket in tickets) == [f"{n:064x}" for n in range(12)]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("server_error", TransientFailure),
        ("rate_limited", TransientFailure),
        ("reset", TransientFailure),
        ("malformed_answer", ConnectionFailure),
        ("unauthorized", ConnectionFailure),
    ],
)
def test_without_a_token_nothing_is_made(sandbox: Sandbox, set_connection, fault: str, expected):
    connect(set_connection, sandbox)
    sandbox.fault("zendesk", fault, path="/oauth/tokens")
    with pytest.raises(expected):
        deliver(TICKET)
    assert sandbox.messages(service="zendesk") == []
    deliver(TICKET)


def test_a_wrong_secret_is_of_the_connection(sandbox: Sandbox, set_connection):
    connect(set_connection, sandbox, password="hunter2")
    with pytest.raises(ConnectionFailure, match="401: invalid_client; check `endpoint`") as raised:
        deliver(TICKET)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("fault", ["reset_after_effect", "bad_gateway_after_effect"])
def test_what_was_lost_is_looked_up_with_a_new_token(sandbox: Sandbox, set_connection, fault: str):
    connect(set_connection, sandbox)
    sandbox.fault("zendesk", fault)
    with pytest.raises(OutcomeUnknown):
        deliver(TICKET)
    assert set(find(TICKET, (KEY, TICKET.render(variables())))) == {KEY}
