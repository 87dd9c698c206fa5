"""Slack messages: text is Slack's markup, and the key goes as metadata."""

from __future__ import annotations

import json
from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.slack_api import TOKEN, channel_id, direct_messages_id, user_id
from tests.channels.case import ChannelCase, Sent, Servers, Written, text_of


def connection(servers: Servers) -> dict[str, Any]:
    extra = {"base_url": f"{servers.url}/slack/api/"}
    return {"conn_type": "slack", "password": TOKEN, "extra": extra}


def received(message: Message) -> dict[str, Any]:
    asked = json.loads(text_of(message))
    return {
        "kind": message.kind,
        **{name: value for name, value in message.fields.items() if name != "ts"},
        **{name: asked[name] for name in ("parse", "unfurl_links", "unfurl_media", "link_names")},
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    ts, channel = message.fields["ts"], message.fields["channel"]
    return {"external_id": ts, "url": None, "results": {"ts": ts, "channel": channel}}


def escaped(text: str) -> str:
    """Escape what Slack's formatting page says: three characters, and no others."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def expected(sent: Sent) -> dict[str, Any]:
    note, name = escaped(sent.note), escaped(sent.first_name)
    return {
        "kind": "message",
        "channel": channel_id(sent.place),
        "channel_name": f"#{sent.place}",
        "text": f"<!here> *{name}* ({sent.contact_id}): {note}",
        "metadata": {"event_type": "segue_delivery", "event_payload": {"delivery": sent.key}},
        "parse": "none",
        "unfurl_links": False,
        "unfurl_media": False,
        "link_names": False,
    }


def to_person(user: str, sent: Sent) -> dict[str, Any]:
    """Return what direct messages differ in."""
    return {
        **expected(sent),
        "channel": direct_messages_id(user),
        "channel_name": f"@{user}",
        "text": sent.contact_id,
    }


def expected_by_address(sent: Sent) -> dict[str, Any]:
    marked = f"*{escaped(sent.first_name[:60])}* {sent.contact_id}"
    return {
        **to_person(user_id(sent.email), sent),
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": sent.first_name[:60]}},
            {"type": "section", "text": {"type": "mrkdwn", "text": marked, "verbatim": True}},
        ],
    }


CASE = ChannelCase(
    channel="slack_message",
    service="slack",
    connection_id="slack_default",
    connection=connection,
    action=Written(
        {
            "connection": "slack_default",
            "audience": "team",
            "channel": "#{{ contact.place }}",
            "text": "<!here> *{{ contact.first_name }}* ({{ contact.contact_id }}): "
            "{{ contact.note }}",
        },
        expected,
    ),
    received=received,
    receipt=receipt,
    refused="failed(Slack answered channel_not_found)",
    refusals={
        "unauthorized": "Slack answered invalid_auth",
        "rate_limited": "Slack answered ratelimited",
        "server_error": "Slack answered service_unavailable",
    },
    contacts={
        "refused": {"place": "missing-place"},
        "lost": {"place": "alerts"},  # two that the workspace has before anybody posts
        "unsent": {"place": "escalations"},
    },
    mark=r'"delivery": ?"([0-9a-f]{64})"',
    short={"channel": "#alerts", "text": "Hello {{ contact.contact_id }}"},
    look_up={"path": "conversations.history"},
    variants={
        "by_id": Written(
            {"user": "U0123456789", "text": "{{ contact.contact_id }}"},
            lambda sent: to_person("U0123456789", sent),
        ),
        "by_address": Written(
            {
                "email": "{{ contact.email }}",
                "audience": "contact",
                "text": "{{ contact.contact_id }}",
                "blocks": [
                    {
                        "type": "header",
                        "text": {"type": "plain_text", "text": "{{ contact.first_name[:60] }}"},
                    },
                    {
                        "type": "section",
                        "text": {
                            "type": "mrkdwn",
                            "text": "*{{ contact.first_name[:60] }}* {{ contact.contact_id }}",
                        },
                    },
                ],
            },
            expected_by_address,
        ),
    },
)
