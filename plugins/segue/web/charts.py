"""Outcomes by day, for charts: as numbers for Chart.js, and as bars of a small drawing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from segue.ledger.queries.totals import Outcomes
from segue.ledger.states import OPEN_STATES

# from the bottom of a bar to its top; what is under way is one of them
SERIES = (
    *("delivered", "under_way", "held", "waiting"),
    *("skipped", "suppressed", "uncertain", "failed"),
)
_HEIGHT = 28  # of a small drawing


@dataclass(frozen=True, slots=True)
class Days:
    """Outcomes per day, from the earliest; every day of the time is there."""

    days: Sequence[date]
    counts: Mapping[date, Counter[str]]  # by name of SERIES

    @property
    def total(self) -> Counter[str]:
        """The sum over all days."""
        return sum(self.counts.values(), Counter[str]())

    def words(self) -> str:
        """Return the sums as a sentence, for who cannot see the drawing."""
        sums = [f"{self.total[name]:,} {name.replace('_', ' ')}" for name in SERIES]
        return ", ".join(text for text in sums if not text.startswith("0 ")) or "nothing"

    def data(self) -> dict[str, object]:
        """Return what Chart.js draws, only of the outcomes that there are."""
        return {
            "labels": [day.isoformat() for day in self.days],
            "series": [
                {"name": name, "values": [self.counts[day][name] for day in self.days]}
                for name in SERIES
                if self.total[name]
            ],
        }


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a stacked bar, in units of the drawing."""

    series: str
    x: int
    y: float
    height: float


def by_day(found: Iterable[Outcomes], now: datetime, number: int, zone: tzinfo = UTC) -> Days:
    """Return outcomes by the day of the change in a zone, for the last ``number`` days.

    A snapshot's as-of is the first instant that it does not know, so its day is the one before.
    """
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in reversed(range(number))]
    counts: dict[date, Counter[str]] = {day: Counter() for day in days}
    for item in found:
        day = (item.event_at - timedelta(microseconds=1)).astimezone(zone).date()
        name = "under_way" if item.state in OPEN_STATES else str(item.state)
        if day in counts:
            counts[day][name] += item.count
    return Days(days, counts)


def bars(days: Days) -> list[Bar]:
    """Return the pieces of a small drawing, four units wide per day and ``_HEIGHT`` high."""
    highest = max((sum(counts.values()) for counts in days.counts.values()), default=0)
    pieces: list[Bar] = []
    for index, day in enumerate(days.days):
        top = float(_HEIGHT)
        for name in SERIES:
            if count := days.counts[day][name]:
                height = max(1.0, _HEIGHT * count / highest)
                top = max(0.0, top - height)
                pieces.append(Bar(name, index * 4, round(top, 2), round(height, 2)))
    return pieces
