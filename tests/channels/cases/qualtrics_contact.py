"""Contacts of XM Directory: an update has no key, and the contact itself shows its values."""

from __future__ import annotations

from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.qualtrics_api import DIRECTORY
from tests.channels.case import ChannelCase, Sent, Written
from tests.channels.cases.survey_invitation import COMMON as INVITATION
from tests.channels.cases.survey_invitation import ONE_LINE, REFUSALS, connection

COMMON = {"connection": INVITATION["connection"], "directory": DIRECTORY}
SAME = ("firstName", "lastName", "email", "phone", "language", "extRef", "embeddedData")
TOO_LONG = "failed(embedded_data.note: over 1024 characters)"


def received(message: Message) -> dict[str, Any]:
    contact = message.fields["contact"]
    return {
        "kind": message.kind,
        "contact": message.to,
        **{name: contact[name] for name in SAME},
        "opted out": contact["directoryUnsubscribed"],
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    return {"external_id": message.to, "url": None, "results": {"id": message.to}}


def contact_of(sent: Sent) -> str:
    return f"{sent.place}-{sent.contact_id}"


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "contact_update",
        "contact": contact_of(sent),
        "firstName": sent.first_name,
        "lastName": "Sandbox",
        "email": sent.email,
        "phone": "+447700900123",
        "language": "EN",
        "extRef": sent.contact_id,
        "embeddedData": {"note": sent.note, "points": "5"},
        "opted out": True,
    }


CASE = ChannelCase(
    channel="qualtrics_contact",
    service="qualtrics",
    connection_id="qualtrics_default",
    connection=connection,
    action=Written(
        {
            **COMMON,
            "contact": "{{ contact.place }}-{{ contact.contact_id }}",
            "first_name": "{{ contact.first_name }}",
            "last_name": "Sandbox",
            "email": "{{ contact.email }}",
            "phone": "+447700900123",
            "language": "EN",
            "external_reference": "{{ contact.contact_id }}",
            "unsubscribed": True,
            "embedded_data": {"note": "{{ contact.note }}", "points": 5},
        },
        expected,
        outcomes={
            "line_breaks_in_a_line": f"failed(first_name: {ONE_LINE})",
            "ten_kilobytes": TOO_LONG,
        },
    ),
    received=received,
    receipt=receipt,
    refused="failed(Qualtrics answered 404: GET_CONTACT_NOT_FOUND)",
    refusals=REFUSALS,
    contacts={"refused": {"place": "missing"}},
    mark=r'"extRef": ?"([^"]+)"',
    mark_of=lambda key, contact_id: contact_id,
    short={**COMMON, "external_reference": "{{ contact.contact_id }}"},
    look_up={"path": "/contacts/", "method": "GET"},
)
