"""Qualtrics tickets: the key goes with the event, and the workflow keeps it as ticket data."""

from __future__ import annotations

from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.qualtrics_api import EVENT
from tests.channels.case import ChannelCase, Sent, Written
from tests.channels.cases.survey_invitation import ONE_LINE, REFUSALS, connection

OWNER, TEAM = "UR_gPeCWWsgL0fDcB6", "ROL_6j8dx7wzwYu"


def received(message: Message) -> dict[str, Any]:
    ticket = message.fields["ticket"]
    return {
        "kind": message.kind,
        **{n: v for n, v in ticket.items() if n not in ("key", "createdAt")},
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    return {"external_id": None, "url": None, "results": {}}


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "ticket",
        "name": f"Call {sent.first_name} ({sent.contact_id})",
        "ownerId": OWNER,
        "ticketTeamId": TEAM,
        "priority": "High",
        "status": "In Progress",
        "comment": f"They said: {sent.note}",
        "data": {"tier": "gold", "calls": 5, "segue_delivery": sent.key},
    }


CASE = ChannelCase(
    channel="qualtrics_ticket",
    service="qualtrics",
    connection_id="qualtrics_default",
    connection=connection,
    action=Written(
        {
            "connection": "qualtrics_default",
            "audience": "contact",
            "event": EVENT,
            "name": "Call {{ contact.first_name }} ({{ contact.contact_id }})",
            "owner": OWNER,
            "team": TEAM,
            "priority": "High",
            "status": "In Progress",
            "comment": "They said: {{ contact.note }}",
            "data": {"tier": "{{ contact.tier }}", "calls": 5},
        },
        expected,
        outcomes={"line_breaks_in_a_line": f"failed(name: {ONE_LINE})"},
    ),
    received=received,
    receipt=receipt,
    refused="failed(the event is larger than the 100000 bytes that Qualtrics takes)",
    refusals=REFUSALS,
    contacts={"refused": {"first_name": "x" * 100_000}},
    mark=r'"segue_delivery": ?"([0-9a-f]{64})"',
    short={"event": EVENT, "name": "Hello {{ contact.contact_id }}"},
    can_deny=False,
    look_up={"path": "/tickets/search"},
)
