"""An end to every answer: what comes over a socket is read until an instant, however slowly.

A socket's timeout bounds the wait for the next byte alone. A server that sends one each second, or
``100 Continue`` without end, would hold a call for as long as it likes: beyond the time after which
a delivery is asked for, and with it the pass that all others wait in.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from socket import socket
from typing import Any


class _InTime(io.RawIOBase):
    """The bytes that a socket receives, until an instant by ``time.monotonic``."""

    def __init__(self, sock: socket, ends: float) -> None:
        self._sock, self._ends = sock, ends
        self._bytes: Any = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """Read what has come; raise TimeoutError where nothing more does in time."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        timeout = self._sock.gettimeout()
        self._sock.settimeout(left if timeout is None else min(timeout, left))
        try:
            count: int | None = self._bytes.readinto(buffer)
        finally:
            self._sock.settimeout(timeout)
        return count

    def close(self) -> None:
        """Let the socket go."""
        self._bytes.close()
        super().close()


def read_in_time(sock: socket, seconds: float) -> io.BufferedReader:
    """Return a file of what a socket receives within some seconds from now.

    Reading on raises TimeoutError.
    """
    return io.BufferedReader(_InTime(sock, time.monotonic() + seconds))


class AnswerInTime(HTTPResponse):
    """An answer over HTTP, head and body, within some seconds from when it is waited for."""

    def __init__(self, sock: socket, *args: Any, seconds: float, **named: Any) -> None:
        super().__init__(sock, *args, **named)
        self.fp.close()
        self.fp = read_in_time(sock, seconds)
