"""How long a caller waits for its turn: as a rate asks, and as a vendor asks up to a minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from segue.contracts.channel import Limit

LONGEST_PAUSE = 60.0  # seconds; a vendor that asks for more is left to the next try


def longest_pause(limits: Sequence[Limit]) -> float:
    """Return the seconds that a call under these limits may have to wait for its turn.

    The turn of a slow rate is waited for however far away: no retry would come earlier.
    """
    return max([LONGEST_PAUSE, *(limit.spacing.total_seconds() for limit in limits)])


class Pause:
    """How long no call may begin; it does not grow when the clock is set back meanwhile."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._left = 0.0

    @property
    def left(self) -> float:
        """The seconds that are left of it."""
        now = self._clock()
        seconds = max(0.0, (now - self._looked_at).total_seconds())
        self._looked_at, self._left = now, max(0.0, self._left - seconds)
        return self._left

    def extend(self, seconds: float) -> None:
        """Let it last for so many seconds from now, if it does not last longer anyway."""
        self._left = max(self.left, seconds)
