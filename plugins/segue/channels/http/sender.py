"""The sender of a channel over HTTP: its calls, and one limit for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segue.channels.http.calls import HttpCalls
from segue.delivery.channel import Limit, Sender


class HttpSender(Sender):
    """An open connection to an API over HTTP; ``self._calls`` are what a subclass calls with."""

    def __init__(self, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        self._calls = calls
        self._limits = limits

    def __exit__(self, *exc: object) -> None:
        self._calls.close()

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the connection's limits; they are the same for every call."""
        return self._limits
