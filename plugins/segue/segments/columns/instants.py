"""Points in time, compared exactly, and by the day of the year on which they fall."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np

from segue.segments.columns.ordered import Groups, Mask, Ordered, ScaledIntegers
from segue.segments.columns.wall_clock import local_days

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Instants(Ordered[datetime]):
    """Points in time: seconds since 1970 in UTC."""

    seconds: ScaledIntegers

    @property
    def present(self) -> Mask:  # type: ignore[override]
        return self.seconds.present

    def below(self, operand: datetime) -> Mask:
        return self.seconds.below(_seconds(operand))

    def at_most(self, operand: datetime) -> Mask:
        return self.seconds.at_most(_seconds(operand))

    def rows(self, mask: Mask) -> Instants:
        """Return the chosen rows."""
        return Instants(self.seconds.rows(mask))

    def latest(self, groups: Groups, size: int) -> Instants:
        """Return the last instant of each of ``size`` groups; missing where there is none."""
        return Instants(self.seconds.greatest(groups, size))

    def earliest(self, groups: Groups, size: int) -> Instants:
        """Return the first instant of each of ``size`` groups; missing where there is none."""
        return Instants(self.seconds.least(groups, size))

    def on_anniversary(self, days: Collection[tuple[int, int]], zone: ZoneInfo) -> Mask:
        """Return where (month, day) in ``zone`` is one of ``days``; the year does not matter."""
        local = local_days(self.seconds.units, self.seconds.scale, zone).astype("datetime64[D]")
        months = local.astype("datetime64[M]")
        month = months.astype(np.int64) % 12 + 1
        day = (local - months).astype(np.int64) + 1
        day_numbers = np.array([month * 100 + day for month, day in sorted(days)], dtype=np.int64)
        is_on_day: Mask = np.isin(month * 100 + day, day_numbers)
        return self.present & is_on_day

    def value(self, row: int) -> datetime | None:
        """Return one instant in UTC, cut to microseconds; None too where Python's calendar ends."""
        if not self.present[row]:
            return None
        microseconds = int(self.seconds.units[row]) * 10**6 // 10**self.seconds.scale
        try:
            return EPOCH + timedelta(microseconds=microseconds)
        except OverflowError:
            return None

    def beyond(self, row: int) -> str:
        """Say on which side of Python's calendar an instant lies that ``value`` cannot return."""
        return "later than 9999-12-31" if self.seconds.units[row] > 0 else "earlier than 0001-01-01"


def _seconds(instant: datetime) -> Fraction:
    return Fraction((instant - EPOCH) // timedelta(microseconds=1), 10**6)
