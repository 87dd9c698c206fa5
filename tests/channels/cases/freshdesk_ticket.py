"""Freshdesk tickets: the key goes as a tag, as much of it as a tag holds."""

from __future__ import annotations

from html import escape
from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.freshdesk_api import API_KEY
from tests.channels.case import ChannelCase, Sent, Servers, Written, quoted_alike

FIELDS = (
    *("subject", "priority", "status", "tags", "source", "type", "cc_emails"),
    *("group_id", "responder_id", "custom_fields"),
)


def connection(servers: Servers) -> dict[str, Any]:
    login = {"login": API_KEY, "password": "X"}
    return {"conn_type": "http", "host": f"{servers.url}/freshdesk", **login}


def received(message: Message) -> dict[str, Any]:
    ticket, requester = message.fields["ticket"], message.fields["requester"]
    return {
        "kind": message.kind,
        **{name: ticket[name] for name in FIELDS},
        "description": quoted_alike(ticket["description"]),
        "requester": {name: requester[name] for name in ("email", "name")},
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    number = str(message.fields["ticket"]["id"])
    link = f"{url}/freshdesk/a/tickets/{number}"
    return {"external_id": number, "url": link, "results": {"id": number, "url": link}}


def mark_of(key: str, contact_id: str) -> str:
    return f"segue-{key[:26]}"


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "ticket",
        "subject": f"Call {sent.first_name} ({sent.contact_id})",
        "description": f'<p title="{escape(sent.place)}">{escape(sent.note)}</p>',
        "priority": 4,
        "status": 3,
        "tags": ["at-risk", sent.place, mark_of(sent.key, sent.contact_id)],
        "source": 3,
        "type": "Incident",
        "cc_emails": ["boss@example.com"],
        "group_id": 3,
        "responder_id": 4,
        "custom_fields": {"cf_tier": sent.place, "cf_calls": 5},
        "requester": {"email": sent.email, "name": sent.first_name},
    }


CASE = ChannelCase(
    channel="freshdesk_ticket",
    service="freshdesk",
    connection_id="freshdesk_default",
    connection=connection,
    action=Written(
        {
            "connection": "freshdesk_default",
            "audience": "contact",
            "email": "{{ contact.email }}",
            "name": "{{ contact.first_name }}",
            "subject": "Call {{ contact.first_name }} ({{ contact.contact_id }})",
            "description": '<p title="{{ contact.place }}">{{ contact.note }}</p>',
            "priority": "urgent",
            "status": "pending",
            "tags": ["at-risk", "{{ contact.place }}"],
            "source": "phone",
            "type": "Incident",
            "cc_emails": ["boss@example.com"],
            "group_id": 3,
            "responder_id": 4,
            "custom_fields": {"cf_tier": "{{ contact.place }}", "cf_calls": {"number": "5"}},
            "on_existing": "comment",
            "public": True,
        },
        expected,
        outcomes={
            "line_breaks_in_a_line": "failed(name: a line break or control character in a "
            "field that is one line)",
            "ten_kilobytes": "failed(Freshdesk answered 400: subject, invalid_value)",
        },
    ),
    received=received,
    receipt=receipt,
    refused="failed(Freshdesk answered 400: tags, invalid_value)",
    refusals={
        "unauthorized": "Freshdesk answered 401: invalid_credentials",
        "rate_limited": "Freshdesk answered 429",
        "server_error": "Freshdesk answered 503",
    },
    contacts={"refused": {"place": "more than the 32 characters of a tag"}},
    mark=r'"(segue-[0-9a-f]{26})"',
    mark_of=mark_of,
    short={
        "email": "team@example.com",
        "subject": "Hello {{ contact.contact_id }}",
        "description": "Hello {{ contact.contact_id }}",
    },
    look_up={"path": "agents/me"},
    secret="login",
)
