"""The one base of senders over HTTP: their calls, and one limit for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from segue.channels.http.answers import Codes
from segue.channels.http.calls import HttpCalls, LogIn, open_calls
from segue.channels.rates import limits_of
from segue.contracts.channel import Channel, Limit, Sender


class HttpSender(Sender):
    """An open connection to an API over HTTP; ``self._calls`` are what a subclass calls with."""

    def __init__(self, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        self._calls = calls
        self._limits = limits

    @classmethod
    def open(
        cls,
        channel: Channel,
        vendor: str,
        rate: str,
        codes: Codes,
        own: Collection[str] = (),
        log_in: LogIn | None = None,
    ) -> Self:
        """Open a session over a channel's connection; ``rate`` is the vendor's, published limit.

        ``codes``, ``own`` and ``log_in`` as in ``open_calls``.
        """
        limits = limits_of(channel.connection, default=rate)
        can_be_asked = channel.can_be_asked
        calls = open_calls(
            vendor,
            channel.connection,
            codes=codes,
            can_be_asked=can_be_asked,
            own=own,
            log_in=log_in,
        )
        return cls(calls, limits)

    def __exit__(self, *exc: object) -> None:
        self._calls.close()

    @property
    def caveat(self) -> str | None:
        """That of the access tokens, if there are any."""
        return self._calls.caveat

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the connection's limits; they are the same for every call."""
        return self._limits
