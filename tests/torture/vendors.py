"""The servers that are tortured: one for each channel, as its case in tests/channels says."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from segue.contracts.channel import channel_class
from segue.sandbox.server import Sandbox
from tests.channels.case import ChannelCase, Servers, text_of
from tests.channels.cases import CASES

ID = "{{ contact.contact_id }}"
LIST = f"{{% for contact in digest.contacts %}}told {ID} {{% endfor %}}"


@dataclass(frozen=True)
class Vendor:
    """One channel and the server behind it."""

    case: ChannelCase

    @property
    def service(self) -> str:
        """The sandbox's name of the server."""
        return self.case.service

    @property
    def can_tell(self) -> bool:
        """Whether the server says yes or no to every question."""
        return self.case.can_be_asked and self.case.can_deny

    @property
    def takes_digests(self) -> bool:
        """Whether a message of the channel may be about many contacts."""
        return not channel_class(self.case.channel).about_one

    @property
    def look_up(self) -> dict[str, Any]:
        """The options of a fault that hits questions alone; empty where nobody can be asked."""
        return dict(self.case.look_up)

    def marks_in(self, text: str) -> list[str]:
        """Return the marks in a request's body or in a mail."""
        return re.findall(self.case.mark, text)

    @property
    def digest_fields(self) -> Any:
        """The fields of an action that is a digest: it lists its contacts."""
        to_team = {"to": "team@example.com"} if self.case.channel == "email" else {}
        return _listing({**self.case.short, **to_team})

    def received(self, sandbox: Sandbox) -> Counter[str]:
        """Return how often the server has each message: its own count, and nothing of ours."""
        messages = sandbox.messages(service=self.service)
        return Counter(mark for message in messages for mark in self.case.marks_in(message))

    def told(self, sandbox: Sandbox) -> Counter[str]:
        """Return how many messages told the server of each contact, in digests.

        What is sent as a form has a plus for a blank.
        """
        messages = sandbox.messages(service=self.service)
        return Counter(
            contact
            for message in messages
            for contact in set(re.findall(r"told[ +](c\d{5})", text_of(message)))
        )

    def connection(self, sandbox: Sandbox, *, host: str | None = None, timeout: int = 10) -> str:
        """Return the Airflow connection to the sandbox, or to another host, as JSON."""
        url, mail = (f"http://{host}", host) if host else (sandbox.url, sandbox.host)
        servers = Servers(url, mail, sandbox.smtp_port)
        return self.case.connection_json(servers, segue_rate="none", timeout=timeout)


def _listing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listing(item) for key, item in value.items()}
    return value.replace(ID, LIST) if isinstance(value, str) else value


BY_NAME = {name: Vendor(case) for name, case in CASES.items()}
