"""Mail: the Message-ID carries the key, and nobody can be asked for it."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

from segue.sandbox.store import Message
from tests.channels.case import ChannelCase, Sent, Servers, Written, quoted_alike

HEADERS = ("Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post")
ONE_LINE = "a line break or control character in a field that is one line"


def connection(servers: Servers) -> dict[str, Any]:
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "segue@example.com"}
    host = {"host": servers.smtp_host, "port": servers.smtp_port}
    return {"conn_type": "smtp", **host, "extra": extra}


def received(message: Message) -> dict[str, Any]:
    names = ("mail_from", "rcpt_to", "from", "to", "cc", "reply_to", "message_id", "attachments")
    headers = dict(message.fields["headers"])
    return {
        **{name: message.fields[name] for name in names},
        **{name: headers.get(name) for name in HEADERS},
        "all headers": sorted(headers),
        "subject": message.subject,
        "text": message.text,
        "html": quoted_alike(message.html),
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    number = message.fields["message_id"]
    return {"external_id": number, "url": None, "results": {"message_id": number}}


def lines(text: str) -> str:
    """Return a text as a mail has it: it ends with a line's end, its own or one more."""
    return text.replace("\r\n", "\n").removesuffix("\n") + "\n"


def expected(sent: Sent) -> dict[str, Any]:
    note = escape(sent.note)
    return {
        "mail_from": "shop@example.com",
        "rcpt_to": [sent.email, f"{sent.place}@example.com", "archive@example.com"],
        "from": "Shop <shop@example.com>",
        "to": f"{sent.contact_id} <{sent.email}>",
        "cc": f"{sent.place}@example.com",
        "reply_to": "Care <care@example.com>",
        "message_id": f"<{sent.key}@segue.example.com>",
        "attachments": [{"name": "benefits.csv", "content_type": "text/csv"}],
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<https://example.com/leave?c={sent.contact_id}"
        f"&n={quote(sent.first_name[:30], safe='')}>, <mailto:leave@example.com>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "all headers": sorted(
            [
                *("Auto-Submitted", "Cc", "Content-Type", "Date", "From", "List-Unsubscribe"),
                *("List-Unsubscribe-Post", "MIME-Version", "Message-ID", "Reply-To", "Subject"),
                "To",
            ]
        ),
        "subject": f"Hello {sent.first_name} ({sent.contact_id})",
        "text": lines(f"You said: {sent.note}"),
        "html": lines(f"<p>You said: {note}</p>"),
    }


CASE = ChannelCase(
    channel="email",
    service="smtp",
    connection_id="smtp_default",
    connection=connection,
    action=Written(
        {
            "connection": "smtp_default",
            "audience": "contact",
            "from": "Shop <shop@example.com>",
            "to": "{{ contact.contact_id }} <{{ contact.email }}>",
            "cc": ["{{ contact.place }}@example.com"],
            "bcc": "archive@example.com",
            "reply_to": "Care <care@example.com>",
            "subject": "Hello {{ contact.first_name }} ({{ contact.contact_id }})",
            "text": "You said: {{ contact.note }}",
            "html": "<p>You said: {{ contact.note }}</p>",
            "attachments": ["benefits.csv"],
            "unsubscribe_url": "https://example.com/leave?c={{ contact.contact_id }}"
            "&n={{ contact.first_name[:30] }}",
            "unsubscribe_mailto": "leave@example.com",
        },
        expected,
        outcomes={"line_breaks_in_a_line": f"failed(subject: {ONE_LINE})"},
    ),
    received=received,
    receipt=receipt,
    refused="failed(the mail server refuses the recipient in cc: 550 5.1.1)",
    refusals={
        "unauthorized": "the mail server refuses the connection: 535",
        "rate_limited": "the mail server refuses the message: 451 4.7.1",
        "server_error": "the mail server refuses the message: 451 4.3.0",
    },
    contacts={"refused": {"place": "reject-550"}},
    mark=r"(?im)^Message-ID:\s*<([0-9a-f]{64})@",
    short={
        "subject": "Hello {{ contact.contact_id }}",
        "text": "Hello {{ contact.contact_id }}",
    },
    can_be_asked=False,
    says_when=False,
)
