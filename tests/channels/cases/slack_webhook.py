"""Incoming webhooks of Slack: nothing carries the key, so the text names the contact."""

from __future__ import annotations

import json
from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.slack_api import WEBHOOK, channel_id
from tests.channels.case import ChannelCase, Sent, Servers, Written, text_of
from tests.channels.cases.slack_message import escaped


def connection(servers: Servers) -> dict[str, Any]:
    host = f"{servers.url}/slack/services"
    return {"conn_type": "slackwebhook", "host": host, "password": WEBHOOK, "extra": {}}


def received(message: Message) -> dict[str, Any]:
    fields = {name: value for name, value in message.fields.items() if name != "ts"}
    return {"kind": message.kind, **fields, "body": sorted(json.loads(text_of(message)))}


def receipt(message: Message, url: str) -> dict[str, Any]:
    return {"external_id": None, "url": None, "results": {}}


def expected(sent: Sent) -> dict[str, Any]:
    image = {"type": "image", "image_url": f"https://example.com/{sent.place}", "alt_text": "a"}
    return {
        "kind": "webhook_message",
        "channel": channel_id("general"),
        "channel_name": "#general",
        "text": f"{sent.contact_id}: *{escaped(sent.first_name)}* {escaped(sent.note)}",
        "blocks": [image],
        "body": ["blocks", "parse", "text", "unfurl_links", "unfurl_media"],
    }


CASE = ChannelCase(
    channel="slack_webhook",
    service="slack",
    connection_id="slack_webhook_default",
    connection=connection,
    action=Written(
        {
            "connection": "slack_webhook_default",
            "audience": "team",
            "text": "{{ contact.contact_id }}: *{{ contact.first_name }}* {{ contact.note }}",
            "blocks": [
                {
                    "type": "image",
                    "image_url": "{% if contact.place == 'nowhere' %}ftp{% else %}https{% endif %}"
                    "://example.com/{{ contact.place }}",
                    "alt_text": "a",
                }
            ],
        },
        expected,
    ),
    received=received,
    receipt=receipt,
    refused="failed(blocks[0].image_url: allowed: a URL that begins with http:// or https://)",
    refusals={
        "unauthorized": "Slack answered 403: invalid_token",
        "rate_limited": "Slack answered 429: rate_limited",
        "server_error": "Slack answered 503: service_unavailable",
    },
    contacts={"refused": {"place": "nowhere"}},
    mark=r'^\{"text": "([\w-]+)',
    mark_of=lambda key, contact_id: contact_id,
    short={"text": "{{ contact.contact_id }}"},
    can_be_asked=False,
)
