"""Text messages: the key goes as a tag; what Twilio does not list may be there all the same."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from segue.sandbox.store import Message
from segue.sandbox.vendors.twilio_api import ACCOUNT_SID, AUTH_TOKEN, MESSAGING_SERVICE
from tests.channels import people
from tests.channels.case import ChannelCase, Sent, Servers, Written, text_of

SENDER = "+15005550006"
TEXT = "Hello {{ contact.first_name }} ({{ contact.contact_id }}): {{ contact.note }}"
FIELDS = {
    "connection": "twilio_default",
    "audience": "contact",
    "to": "{{ contact.place }}",
    "text": TEXT,
}
TOO_LONG = {"ten_kilobytes": "failed(text: more than 1600 characters)"}


def connection(servers: Servers) -> dict[str, Any]:
    login = {"login": ACCOUNT_SID, "password": AUTH_TOKEN}
    return {"conn_type": "http", "host": f"{servers.url}/twilio", **login}


def received(message: Message) -> dict[str, Any]:
    return {
        "kind": message.kind,
        "to": message.to,
        "from": message.fields["from"],
        "text": message.text,
        "tags": message.fields["tags"],
        "parameters": sorted(parse_qs(text_of(message))),
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    sid = message.fields["sid"]
    return {"external_id": sid, "url": None, "results": {"id": sid}}


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "text",
        "to": sent.place.replace(" ", ""),
        "from": SENDER,
        "text": f"Hello {sent.first_name} ({sent.contact_id}): {sent.note}",
        "tags": {"segue_delivery": sent.key},
        "parameters": ["Body", "From", "Tags", "To"],
    }


def of_the_service(sent: Sent) -> dict[str, Any]:
    chosen = {
        "from": MESSAGING_SERVICE,
        "parameters": ["Body", "MessagingServiceSid", "Tags", "To"],
    }
    return {**expected(sent), **chosen}


CASE = ChannelCase(
    channel="text_message",
    service="twilio",
    connection_id="twilio_default",
    connection=connection,
    action=Written({**FIELDS, "from": SENDER}, expected, outcomes=TOO_LONG),
    variants={
        "service": Written(
            {**FIELDS, "messaging_service": MESSAGING_SERVICE}, of_the_service, outcomes=TOO_LONG
        )
    },
    received=received,
    receipt=receipt,
    refused="failed(Twilio answered 400: error-21612)",
    refusals={
        "unauthorized": "Twilio answered 401: error-20003",
        "rate_limited": "Twilio answered 429: error-20429",
        "server_error": "Twilio answered 503: error-20503",
    },
    contacts={
        **{kind: {"place": f"+44 7700 90{n:04}"} for n, kind in enumerate(people.KINDS)},
        people.REFUSED: {"place": "+15005550002"},
    },
    mark=r"segue_delivery%22%3A\+%22([0-9a-f]{64})",
    short={"to": "+447700900123", "from": SENDER, "text": "Hello {{ contact.contact_id }}"},
    look_up={"method": "GET"},
    can_deny=False,
)
