"""The servers that are tortured: one for each channel, as its case in tests/channels says."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from segue.sandbox.server import Sandbox
from tests.channels.case import ChannelCase, Servers
from tests.channels.cases import CASES


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
    def look_up(self) -> dict[str, Any]:
        """The options of a fault that hits questions alone; empty where nobody can be asked."""
        return dict(self.case.look_up)

    def marks_in(self, text: str) -> list[str]:
        """Return the marks in a request's body or in a mail."""
        return re.findall(self.case.mark, text)

    def received(self, sandbox: Sandbox) -> Counter[str]:
        """Return how often the server has each delivery: its own count, and nothing of ours."""
        messages = sandbox.messages(service=self.service)
        return Counter(mark for message in messages for mark in self.case.marks_in(message))

    def connection(self, sandbox: Sandbox, *, host: str | None = None, timeout: int = 10) -> str:
        """Return the Airflow connection to the sandbox, or to another host, as JSON."""
        url, mail = (f"http://{host}", host) if host else (sandbox.url, sandbox.host)
        servers = Servers(url, mail, sandbox.smtp_port)
        return self.case.connection_json(servers, segue_rate="none", timeout=timeout)


BY_NAME = {name: Vendor(case) for name, case in CASES.items()}
