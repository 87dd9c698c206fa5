"""Zendesk tickets: the key is the ticket's external_id, and the Idempotency-Key."""

from __future__ import annotations

import re
from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.zendesk_api import API_TOKEN, EMAIL_ADDRESS
from tests.channels.case import ChannelCase, Sent, Servers, Written

FIELDS = (
    "external_id",
    "subject",
    "description",
    "is_public",
    "priority",
    "type",
    "tags",
    "group_id",
    "assignee_id",
    "status",
    "ticket_form_id",
    "custom_fields",
)


def connection(servers: Servers) -> dict[str, Any]:
    login = {"login": f"{EMAIL_ADDRESS}/token", "password": API_TOKEN}
    return {"conn_type": "http", "host": f"{servers.url}/zendesk", **login}


def received(message: Message) -> dict[str, Any]:
    ticket, requester = message.fields["ticket"], message.fields["requester"]
    return {
        "kind": message.kind,
        **{name: ticket[name] for name in FIELDS},
        "requester": {name: requester[name] for name in ("email", "name")},
        "idempotency_key": message.fields["idempotency_key"],
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    number = str(message.fields["ticket"]["id"])
    link = f"{url}/zendesk/agent/tickets/{number}"
    return {"external_id": number, "url": link, "results": {"id": number, "url": link}}


def escaped(text: str) -> str:
    """Escape what is a mark in CommonMark, or an address to GitHub's Markdown."""
    return re.sub(r"[\\`*_{}\[\]()<>~|]|:(?=//)|@(?=\w+\.)", r"\\\g<0>", text)


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "ticket",
        "external_id": sent.key,
        "subject": f"Call {sent.first_name} ({sent.contact_id})",
        "description": f"They said: {escaped(sent.note)}",
        "is_public": False,
        "priority": "high",
        "type": "task",
        "tags": ["segue", sent.place],
        "group_id": 7,
        "assignee_id": 8,
        "status": "pending",
        "ticket_form_id": 9,
        "custom_fields": [{"id": 360001, "value": sent.place}, {"id": 360002, "value": 5}],
        "requester": {"email": sent.email, "name": sent.first_name},
        "idempotency_key": sent.key,
    }


def expected_of_html(sent: Sent) -> dict[str, Any]:
    return {
        **expected(sent),
        "subject": "Call",
        "description": f"<p>{sent.contact_id}</p>",
        "is_public": True,
        "tags": [],
        **dict.fromkeys(("priority", "type", "group_id", "assignee_id", "ticket_form_id")),
        "status": "new",
        "custom_fields": [],
        "requester": {"email": EMAIL_ADDRESS, "name": "Sandbox agent"},
    }


CASE = ChannelCase(
    channel="zendesk_ticket",
    service="zendesk",
    connection_id="zendesk_default",
    connection=connection,
    action=Written(
        {
            "connection": "zendesk_default",
            "audience": "contact",
            "subject": "Call {{ contact.first_name }} ({{ contact.contact_id }})",
            "comment": "They said: {{ contact.note }}",
            "public": False,
            "priority": "high",
            "type": "task",
            "tags": ["segue", "{{ contact.place }}"],
            "requester": {"email": "{{ contact.email }}", "name": "{{ contact.first_name }}"},
            "group_id": 7,
            "assignee_id": 8,
            "status": "pending",
            "ticket_form_id": 9,
            "custom_fields": {"360001": "{{ contact.place }}", "360002": {"number": "5"}},
            "on_existing": "comment",
        },
        expected,
        outcomes={
            "line_breaks_in_a_line": "failed(subject: a line break or control character in a "
            "field that is one line)"
        },
    ),
    received=received,
    receipt=receipt,
    refused="failed(Zendesk answered 422: RecordInvalid, requester)",
    refusals={
        "unauthorized": "Zendesk answered 401",
        "rate_limited": "Zendesk answered 429: APIRateLimitExceeded",
        "server_error": "Zendesk answered 503: ServiceUnavailable",
    },
    contacts={"refused": {"email": "nobody at all"}},
    mark=r'"external_id": ?"([0-9a-f]{64})"',
    short={
        "subject": "Hello {{ contact.contact_id }}",
        "comment": "Hello {{ contact.contact_id }}",
    },
    look_up={"path": "users/me"},
    variants={
        "html": Written(
            {"subject": "Call", "comment_html": "<p>{{ contact.contact_id }}</p>"},
            expected_of_html,
        )
    },
)
