"""A clock for look-ups, whose calls wait in several threads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Lock

from segue.clock import Clock

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


class Wrist:
    """A clock that moves while somebody sleeps, and never back: two may sleep at once."""

    def __init__(self) -> None:
        self.now = NOW
        self.sleeps: list[float] = []  # seconds
        self.clock = Clock(lambda: self.now, self._sleep)
        self._lock = Lock()

    def _sleep(self, seconds: float) -> None:
        with self._lock:
            self.sleeps.append(seconds)
            self.now += timedelta(seconds=seconds)
