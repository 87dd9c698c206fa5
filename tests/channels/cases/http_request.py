"""Requests to any HTTP API: JSON that can be asked for again, a form, and plain text."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlencode

from segue.sandbox.store import Message
from segue.sandbox.vendors.http_api import TOKEN
from tests.channels.case import ChannelCase, Sent, Servers, Written, text_of
from tests.channels.people import KINDS

LOOK_UP = {
    "path": "/notes",
    "query": {"external_id": "{{ key }}"},
    "found": "items[?external_id == key()]",
    "results": {"id": "id", "url": "links.self"},
}
RESULTS = {"id": "id", "url": "links.self"}


def connection(servers: Servers) -> dict[str, Any]:
    extra = {"Authorization": f"Bearer {TOKEN}", "X-Everywhere": "yes"}
    return {"conn_type": "http", "host": f"{servers.url}/http", "extra": extra}


def received(message: Message) -> dict[str, Any]:
    headers = message.raw["headers"]
    body, content_type = text_of(message), headers["content-type"]
    if content_type == "application/json":
        body = json.loads(body)
    elif content_type == "application/x-www-form-urlencoded":
        body = dict(parse_qsl(body, keep_blank_values=True))
    return {
        "to": message.to,
        "path": message.raw["path"],
        "content-type": content_type,
        "body": body,
        **{name: headers.get(name) for name in ("x-everywhere", "x-team", "idempotency-key")},
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    number = message.fields["id"]
    link = f"{url}/http/notes/{number}"
    return {"external_id": str(number), "url": link, "results": {"id": str(number), "url": link}}


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "to": "POST /notes",
        "path": "/http/notes?" + urlencode({"source": "segue", "copies": 2, "dry_run": "false"}),
        "content-type": "application/json",
        "body": {
            "external_id": sent.key,
            "contact": {"id": sent.contact_id, "name": sent.first_name},
            "notes": [sent.note, 3, True, None],
        },
        "x-everywhere": "yes",
        "x-team": sent.place,
        "idempotency-key": sent.key,
    }


def expected_form(sent: Sent) -> dict[str, Any]:
    return {
        "to": f"PUT /contacts/{sent.contact_id}/note",
        "path": f"/http/contacts/{sent.contact_id}/note",
        "content-type": "application/x-www-form-urlencoded",
        "body": {"external_id": sent.key, "note": sent.note, "copies": "2", "pinned": "true"},
        "x-everywhere": "yes",
        "x-team": None,
        "idempotency-key": None,
    }


def expected_text(sent: Sent) -> dict[str, Any]:
    return {
        "to": "POST /log",
        "path": "/http/log?" + urlencode({"who": sent.first_name}),
        "content-type": "text/csv",
        "body": f'"external_id": "{sent.key}"\n{sent.note}',
        "x-everywhere": "yes",
        "x-team": None,
        "idempotency-key": sent.key,
    }


CASE = ChannelCase(
    channel="http_request",
    service="http",
    connection_id="crm",
    connection=connection,
    action=Written(
        {
            "connection": "crm",
            "audience": "team",
            "method": "POST",
            "path": "/{{ contact.place }}",
            "query": {"source": "segue", "copies": 2, "dry_run": False},
            "json": {
                "external_id": "{{ key }}",
                "contact": {"id": "{{ contact.contact_id }}", "name": "{{ contact.first_name }}"},
                "notes": ["{{ contact.note }}", 3, True, None],
            },
            "headers": {"X-Team": "{{ contact.place }}"},
            "idempotency_header": "Idempotency-Key",
            "success": "status == 'created'",
            "delivered_on": [409],
            "of_the_contact": [403],
            "results": RESULTS,
            "look_up": LOOK_UP,
            "check": "/notes",
        },
        expected,
    ),
    variants={
        "form": Written(
            {
                "connection": "crm",
                "method": "PUT",
                "path": "/contacts/{{ contact.contact_id }}/note",
                "form": {
                    "external_id": "{{ key }}",
                    "note": "{{ contact.note }}",
                    "copies": 2,
                    "pinned": True,
                },
                "idempotency_header": None,
            },
            expected_form,
        ),
        "text": Written(
            {
                "connection": "crm",
                "path": "/log",
                "query": {"who": "{{ contact.first_name }}"},
                "text": '"external_id": "{{ key }}"\n{{ contact.note }}',
                "content_type": "text/csv",
            },
            expected_text,
        ),
    },
    received=received,
    receipt=receipt,
    refused="failed(crm answered 404: not_found)",
    refusals={
        "unauthorized": "crm answered 401: unauthorized",
        "rate_limited": "crm answered 429: rate_limited",
        "server_error": "crm answered 503: unavailable",
    },
    contacts={
        **{kind: {"place": "notes"} for kind in KINDS},
        "refused": {"place": "missing-notes"},
    },
    mark=r'external_id(?:": ?"|=)([0-9a-f]{64})',
    short={
        "connection": "crm",
        "path": "/notes",
        "json": {"external_id": "{{ key }}", "contact": "{{ contact.contact_id }}"},
        "idempotency_header": None,  # nothing but the look-up keeps it from being sent twice
        "results": RESULTS,
        "look_up": LOOK_UP,
    },
    look_up={"path": "/notes", "method": "GET"},
    secret="Authorization",
)
