"""Cards in Teams: the key is the id of the card's first element, and nobody can be asked for it."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from segue.sandbox.store import Message
from segue.sandbox.vendors.teams_api import WEBHOOK
from tests.channels.case import ChannelCase, Sent, Servers, Written, text_of

PAGE = "https://crm.example.com/contacts/{{ contact.contact_id }}"
ONE_LINE = "a line break or control character in a field that is one line"


def connection(servers: Servers) -> dict[str, Any]:
    return {"conn_type": "http", "password": f"{servers.url}/teams{WEBHOOK}"}


def received(message: Message) -> dict[str, Any]:
    return {
        "kind": message.kind,
        "card": message.fields["card"],
        "type": json.loads(text_of(message))["type"],
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    run = message.fields["run"]
    return {"external_id": run, "url": None, "results": {"run": run}}


def escaped(text: str) -> str:
    """Escape what is a mark in CommonMark, as its section on backslashes says."""
    return re.sub(r"[\\`*_{}\[\]()<>~]", r"\\\g<0>", text)


def expected(sent: Sent) -> dict[str, Any]:
    name, note = escaped(sent.first_name), escaped(sent.note)
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.2",
        "body": [
            {
                "type": "TextBlock",
                "id": f"segue-{sent.key}",
                "text": f"**{name}** ({escaped(sent.contact_id)})",
                "size": "medium",
                "weight": "bolder",
                "wrap": True,
            },
            {"type": "TextBlock", "text": f"They said: {note}", "wrap": True},
            {"type": "FactSet", "facts": [{"title": "Place", "value": escaped(sent.place)}]},
        ],
        "actions": [
            {
                "type": "Action.OpenUrl",
                "title": f"Open {sent.first_name[:40]}",
                "url": f"https://crm.example.com/contacts/{quote(sent.contact_id, safe='')}",
            }
        ],
    }
    return {"kind": "card", "type": "message", "card": card}


def of_ones_own(sent: Sent) -> dict[str, Any]:
    card = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "id": f"segue-{sent.key}", "text": escaped(sent.note)},
            {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": sent.first_name}]},
        ],
        "actions": [
            {
                "type": "Action.OpenUrl",
                "title": "Open",
                "url": f"https://crm.example.com/contacts/{quote(sent.contact_id, safe='')}",
            }
        ],
    }
    return {"kind": "card", "type": "message", "card": card}


CASE = ChannelCase(
    channel="teams_message",
    service="teams",
    connection_id="teams_default",
    connection=connection,
    action=Written(
        {
            "connection": "teams_default",
            "audience": "team",
            "title": "**{{ contact.first_name }}** ({{ contact.contact_id }})",
            "text": "They said: {{ contact.note }}",
            "facts": {"Place": "{{ contact.place }}"},
            "link": {"title": "Open {{ contact.first_name[:40] }}", "url": PAGE},
        },
        expected,
        outcomes={"line_breaks_in_a_line": f"failed(link.title: {ONE_LINE})"},
    ),
    variants={
        "own": Written(
            {
                "card": {
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "body": [
                        {
                            "type": "TextBlock",
                            "id": "segue-{{ key }}",
                            "text": "{{ contact.note }}",
                        },
                        {
                            "type": "RichTextBlock",
                            "inlines": [{"type": "TextRun", "text": "{{ contact.first_name }}"}],
                        },
                    ],
                    "actions": [{"type": "Action.OpenUrl", "title": "Open", "url": PAGE}],
                }
            },
            of_ones_own,
        )
    },
    received=received,
    receipt=receipt,
    refused="failed(the message has more than 28,000 bytes)",
    refusals={
        "unauthorized": "Teams answered 401: AuthorizationFailed",
        "rate_limited": "Teams answered 429: TooManyRequests",
        "server_error": "Teams answered 503: ServiceUnavailable",
    },
    contacts={"refused": {"place": "x" * 30_000}},
    mark=r'"id": ?"segue-([0-9a-f]{64})"',
    short={"text": "Hello {{ contact.contact_id }}"},
    can_be_asked=False,
)
