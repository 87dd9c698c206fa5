"""The four channels: their Airflow connections, and how a delivery is known at the server."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segue.sandbox.server import Sandbox

TEXT = "Hello {{ contact.contact_id }}"
LIST = "{% for contact in digest.contacts %}told {{ contact.contact_id }}\n{% endfor %}"


@dataclass(frozen=True)
class Vendor:
    """One channel and the server behind it."""

    service: str  # the sandbox's name
    channel: str  # the key in a workflow's YAML
    fields: Mapping[str, Any]  # of the action
    mark: str  # regular expression of what carries the key in a request or a mail
    look_up: str | None = None  # a path that is only called to ask, where it can be asked

    @property
    def connection_variable(self) -> str:
        """The environment variable of the connection that the action uses by default."""
        return f"AIRFLOW_CONN_{self.service.upper()}_DEFAULT"

    def mark_of(self, key: str) -> str:
        """Return what a server sees of a delivery's key; Freshdesk's tags are short."""
        return f"segue-{key}"[:32] if self.service == "freshdesk" else key

    def marks_in(self, text: str) -> list[str]:
        """Return the marks in a request's body or in a mail."""
        return re.findall(self.mark, text)

    @property
    def digest_fields(self) -> dict[str, Any]:
        """The fields of an action that is a digest: its contacts stand in the text alone."""
        listing = {"text", "comment", "description"} & self.fields.keys()
        headings = dict.fromkeys({"subject"} & self.fields.keys(), "A digest")
        to_team = {"to": "team@example.com"} if self.channel == "email" else {}
        return {**self.fields, **to_team, **headings, **dict.fromkeys(listing, LIST)}

    def received(self, sandbox: Sandbox) -> Counter[str]:
        """Return how often the server has each message: its own count, and nothing of ours."""
        return Counter(mark for text in self._texts(sandbox) for mark in self.marks_in(text))

    def told(self, sandbox: Sandbox) -> Counter[str]:
        """Return how often the server has been told of each contact, in digests."""
        return Counter(
            contact
            for text in self._texts(sandbox)
            for contact in re.findall(r"told (c\d{5})", text)
        )

    def _texts(self, sandbox: Sandbox) -> list[str]:
        messages = sandbox.messages(service=self.service)
        return [message.raw.get("body") or message.raw.get("mail", "") for message in messages]

    def connection(self, sandbox: Sandbox, *, host: str | None = None, timeout: int = 10) -> str:
        """Return the Airflow connection to the sandbox, or to another host, as JSON."""
        url = host or sandbox.url
        extra: dict[str, Any] = {"segue_rate": "none", "timeout": timeout}
        if self.service == "smtp":
            name = host.removeprefix("http://").partition(":")[0] if host else sandbox.host
            extra |= {"disable_ssl": True, "disable_tls": True, "from_email": "segue@example.com"}
            fields = {"conn_type": "smtp", "host": name, "port": sandbox.smtp_port}
        elif self.service == "slack":
            extra["base_url"] = f"{url}/slack/api/"
            fields = {"conn_type": "slack", "password": "xoxb-sandbox"}
        else:
            login = "agent@example.com/token" if self.service == "zendesk" else "sandbox"
            fields = {"conn_type": "http", "host": f"{url}/{self.service}", "login": login}
            fields["password"] = "sandbox"
        return json.dumps({**fields, "extra": extra})


VENDORS = (
    Vendor(
        "slack",
        "slack_message",
        {"channel": "#alerts", "text": TEXT},
        r'"delivery": ?"([0-9a-f]{64})"',
        look_up="conversations.history",
    ),
    Vendor(
        "zendesk",
        "zendesk_ticket",
        {"subject": TEXT, "comment": TEXT},
        r'"external_id": ?"([0-9a-f]{64})"',
        look_up="users/me",
    ),
    Vendor(
        "freshdesk",
        "freshdesk_ticket",
        {"email": "team@example.com", "subject": TEXT, "description": TEXT},
        r'"(segue-[0-9a-f]{26})"',
        look_up="agents/me",
    ),
    Vendor(
        "smtp",
        "email",
        {"subject": TEXT, "text": TEXT},
        r"(?im)^Message-ID:\s*<([0-9a-f]{64})@",
    ),
)
BY_NAME = {vendor.service: vendor for vendor in VENDORS}
