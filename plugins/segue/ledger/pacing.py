"""One rule for whoever calls a vendor: its turn, its pauses, and how often it tries.

A call waits for its turn as the limits that all tasks share have it, and as a vendor asks, up to a
minute; after a failure that time may cure it is tried again, three times in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock

from segue.clock import Clock
from segue.contracts.channel import Limit
from segue.errors import TransientFailure
from segue.ledger.deliveries.turns import Limits, Rates

TRIES = 3  # of one call within one task
# so many refusals in a row that may be anybody's count as the connection's: where one contact in
# ten is refused, five in a row are so by chance once in a hundred thousand times
REFUSALS = 5
LONGEST_PAUSE = 60.0  # seconds; a vendor that asks for more is left to the next try
_NAP = 2.0  # seconds; a pause is slept in naps, so that `segue stop` is obeyed meanwhile


class NoTurn(TransientFailure):
    """The next turn is too far away: nobody was asked."""


class Pacer:
    """Says when calls may begin. Several threads may share it.

    After ``until`` no further call begins. ``too_far`` says, with the seconds, that the next turn
    is too far away.
    """

    def __init__(
        self,
        rates: Rates,
        clock: Clock,
        until: datetime | None = None,
        too_far: str = "the next call may begin in {:.0f} s",
    ) -> None:
        self._rates, self._clock, self._until, self._too_far = rates, clock, until, too_far
        self._pause = Pause(clock.now)
        self._lock = Lock()
        self.too_long: float | None = None  # seconds of a pause that nobody here waits for

    @property
    def left(self) -> float:
        """The seconds until the next call may begin."""
        with self._lock:
            return self._pause.left

    @property
    def is_in_time(self) -> bool:
        """Whether the next call may begin before it is too late for any."""
        begins = self._clock.now() + timedelta(seconds=self.left)
        return self._until is None or begins <= self._until

    def reserve(self, calls: Sequence[Limits]) -> int:
        """Let the first of these calls begin now, as many as their limits allow.

        ``calls`` holds the limits that each call counts under. However slow the rate, the next
        one's turn is waited for; only a vendor's own longer pause is ``too_long``.
        """
        if self.left:
            return 0
        count, seconds = self._rates.reserve(calls, self._clock.now)
        self._put_off(seconds, longest_pause([limit for limits in calls for limit in limits]))
        return count

    def take_turn(self, limits: Limits) -> None:
        """Sleep until a call may begin; raise NoTurn where that is too far away."""
        while True:
            seconds = self.left
            if self.too_long is not None or not self.is_in_time:
                raise NoTurn(self._too_far.format(seconds), retry_after=seconds)
            if seconds:
                self._clock.sleep(seconds)
            elif self.reserve([limits]):
                return

    def heed(
        self,
        failure: TransientFailure,
        limits: Limits,
        backoff: float = 1.0,
        longest: float = LONGEST_PAUSE,
    ) -> None:
        """Let no call begin for as long as a vendor asked, else for ``backoff`` seconds.

        What a vendor asks holds for all tasks that share the limits; beyond ``longest`` seconds
        nobody here waits for it.
        """
        if failure.retry_after:
            until = self._clock.now() + timedelta(seconds=failure.retry_after)
            self._rates.hold_back([limit.scope for limit in limits], until)
        self._put_off(failure.retry_after or backoff, longest)

    def _put_off(self, seconds: float, longest: float) -> None:
        with self._lock:
            if seconds > longest:
                self.too_long = max(seconds, self.too_long or 0.0)
            self._pause.extend(seconds)


def longest_pause(limits: Sequence[Limit]) -> float:
    """Return the seconds that a call under these limits may have to wait for its turn.

    The turn of a slow rate is waited for however far away: no retry would come earlier.
    """
    return max([LONGEST_PAUSE, *(limit.spacing.total_seconds() for limit in limits)])


def rest(seconds: float, sleep: Callable[[float], None], is_stopped: Callable[[], bool]) -> None:
    """Sleep, unless the workflow is stopped meanwhile."""
    while seconds > 0 and not is_stopped():
        sleep(min(_NAP, seconds))
        seconds -= _NAP


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
