"""A segment's sizes and changes by day, as numbers for Chart.js."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise

from segue.ledger.queries.sizes import Crossings, Size
from segue.segments.kinds import ChangeKind


@dataclass(frozen=True, slots=True)
class Course:
    """What became of a segment day by day; each of the days is there, the earliest first."""

    days: Sequence[date]
    members: Mapping[date, int]  # at the end of a day; only of days that a run looked at
    changes: Mapping[date, Counter[str]]  # by kind
    told_by_sizes: frozenset[str] = frozenset()  # kinds that no workflow here acts on

    @property
    def sizes(self) -> dict[str, object]:
        """Return the line of sizes; days without a snapshot are gaps in it."""
        values = [self.members.get(day) for day in self.days]
        return self._chart([{"name": "members", "values": values}])

    @property
    def crossings(self) -> dict[str, object]:
        """Return the stacked bars of changes, of the kinds that there are."""
        kinds = [kind for kind in map(str, ChangeKind) if self.total[kind]]
        return self._chart(
            [
                {"name": kind, "values": [self.changes[day][kind] for day in self.days]}
                for kind in kinds
            ]
        )

    @property
    def total(self) -> Counter[str]:
        """The changes of all days, by kind."""
        return sum(self.changes.values(), Counter[str]())

    @property
    def known(self) -> Sequence[date]:
        """The days of which the size is known."""
        return [day for day in self.days if day in self.members]

    @property
    def growth(self) -> int | None:
        """How many more members there are than on the earliest of the days that are known."""
        if len(self.known) < 2:
            return None
        return self.members[self.known[-1]] - self.members[self.known[0]]

    def words(self) -> str:
        """Return the sizes as a sentence, for who cannot see the line."""
        if not self.known:
            return "no snapshot in these days"
        first, last = self.known[0], self.known[-1]
        return f"{self.members[first]:,} members on {first}, {self.members[last]:,} on {last}"

    def change_words(self) -> str:
        """Return the changes as a sentence."""
        sums = [f"{count:,} {kind.replace('_', ' ')}" for kind, count in self.total.items()]
        return ", ".join(sums) or "no changes"

    def _chart(self, series: list[dict[str, object]]) -> dict[str, object]:
        return {"labels": [day.isoformat() for day in self.days], "series": series}


def course(
    sizes: Iterable[Size],
    crossings: Iterable[Crossings],
    now: datetime,
    number: int,
    zone: tzinfo = UTC,
    kinds: Mapping[str, Collection[str]] | None = None,
) -> Course:
    """Return the last ``number`` days of one segment.

    A snapshot's as-of is the first instant that it does not know, so its day is the one before.
    Workflows on one segment see the same changes, each of the ``kinds`` that it acts on: of what
    several recorded the largest number counts, and nothing is counted twice. Who came or left
    without a workflow that acts on it is told by the sizes.
    """
    sizes, crossings = list(sizes), list(crossings)
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in reversed(range(number))]
    members = {_day(size.as_of, zone): size.members for size in sizes}
    totals: dict[tuple[date, str], Counter[str]] = defaultdict(Counter)
    rest = _told_by_sizes(sizes, crossings, kinds or {})
    for item in (*crossings, *rest):
        totals[_day(item.as_of, zone), item.change][item.workflow] += item.count
    changes: dict[date, Counter[str]] = {day: Counter() for day in days}
    for (day, kind), by_workflow in totals.items():
        if day in changes:
            changes[day][kind] = max(by_workflow.values())
    silent = {item.change for item in rest} - {item.change for item in crossings}
    return Course(days, members, changes, frozenset(silent))


def _told_by_sizes(
    sizes: Iterable[Size], crossings: Iterable[Crossings], kinds: Mapping[str, Collection[str]]
) -> list[Crossings]:
    """Return the changes that follow from a snapshot's size, the one before, and what is recorded.

    Members now are those before, with who was added and without who was removed. So of a workflow
    that acts on one of the two, the other is known; of one that acts on neither, nothing is.
    """
    counts: Counter[tuple[str, datetime, str]] = Counter()
    for item in crossings:
        counts[item.workflow, item.as_of, item.change] += item.count
    rest = []
    for size in sizes:
        acts_on = {ChangeKind.ADDED, ChangeKind.REMOVED} & set(kinds.get(size.workflow, ()))
        if size.previous is None or len(acts_on) != 1:
            continue
        (own,) = acts_on
        growth = size.members - size.previous
        number = counts[size.workflow, size.as_of, own]
        count = number - growth if own == ChangeKind.ADDED else number + growth
        other = ChangeKind.REMOVED if own == ChangeKind.ADDED else ChangeKind.ADDED
        if count > 0:
            rest.append(Crossings(size.segment, size.workflow, size.as_of, str(other), count))
    return rest


def is_late(sizes: Sequence[Size], newest: Size, now: datetime) -> bool:
    """Tell whether the newest snapshot is older than twice the usual time between two."""
    instants = sorted({size.as_of for size in sizes})
    steps = sorted(later - earlier for earlier, later in pairwise(instants))
    usual = steps[len(steps) // 2] if steps else timedelta(days=1)
    return now - newest.as_of > 2 * usual


def age(instant: datetime, now: datetime) -> str:
    """Return how long ago something was, in its largest unit: ``3 hours``."""
    seconds = (now - instant).total_seconds()
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number:,} {name}{'' if number == 1 else 's'} ago"
    return "just now"


def _day(as_of: datetime, zone: tzinfo) -> date:
    return (as_of - timedelta(microseconds=1)).astimezone(zone).date()
