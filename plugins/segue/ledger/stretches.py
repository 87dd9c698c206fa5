"""Spans: which part of time a run covers, so that no change is acted on by two runs.

A span is a pair (previous, current] of snapshots. Recorded spans of a workflow never overlap: a
run takes only what no other run has taken (docs/design.md, "Time").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """A snapshot as a point in time."""

    as_of: datetime
    key: str


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """The time after ``previous`` up to and including ``current``."""

    previous: Point
    current: Point

    @property
    def is_empty(self) -> bool:
        """True where nothing lies between the two points, as of a first baseline."""
        return self.previous.as_of >= self.current.as_of

    @property
    def keys(self) -> tuple[str, str]:
        """The keys of the two snapshots."""
        return self.previous.key, self.current.key

    def contains(self, other: Stretch) -> bool:
        """Tell whether all the time of another stretch lies within this one."""
        return (
            self.previous.as_of <= other.previous.as_of
            and other.current.as_of <= self.current.as_of
        )

    def __str__(self) -> str:
        return f"{self.previous.key} → {self.current.key}"


def overlap(one: Stretch, other: Stretch) -> bool:
    """Tell whether two stretches share some time."""
    return one.previous.as_of < other.current.as_of and other.previous.as_of < one.current.as_of


def uncovered(wanted: Stretch, recorded: Iterable[Stretch]) -> list[Stretch]:
    """Return the parts of ``wanted`` that no recorded stretch covers, in order of time."""
    parts = []
    start = wanted.previous
    for stretch in sorted(recorded):
        if stretch.current.as_of <= start.as_of or stretch.is_empty:
            continue
        if stretch.previous.as_of >= wanted.current.as_of:
            break
        if stretch.previous.as_of > start.as_of:
            parts.append(Stretch(start, stretch.previous))
        start = stretch.current
    if start.as_of < wanted.current.as_of:
        parts.append(Stretch(start, wanted.current))
    return parts


def uncovered_steps(points: Sequence[Point], recorded: Iterable[Stretch]) -> Iterator[Stretch]:
    """Yield what no recorded stretch covers from each of successive points to the next."""
    if not points:
        return
    open_parts = deque(uncovered(Stretch(points[0], points[-1]), recorded))
    for previous, current in pairwise(points):
        while open_parts and open_parts[0].previous.as_of < current.as_of:
            part = open_parts[0]
            begin = part.previous if part.previous.as_of > previous.as_of else previous
            end = part.current if part.current.as_of < current.as_of else current
            if begin.as_of < end.as_of:
                yield Stretch(begin, end)
            if part.current.as_of > current.as_of:
                break
            open_parts.popleft()


def usable_part(
    part: Stretch, recorded: Iterable[Stretch], quarantined: Collection[str]
) -> Stretch | None:
    """Return an uncovered part as it can be compared without quarantined snapshots, or None.

    Where the span before it ends at one and was kept, because something was sent, the part begins
    at the same instant and is compared with the snapshot that the kept span was compared with;
    where that one is quarantined by now, with the one before, and so on.
    """
    if part.current.key in quarantined:
        return None
    if part.previous.key not in quarantined:
        return part
    begins = {
        stretch.current.key: stretch.previous.key for stretch in recorded if not stretch.is_empty
    }
    pairs = part.previous.key
    while pairs in quarantined and pairs in begins:
        pairs = begins[pairs]
    if pairs in quarantined:
        return None
    return Stretch(Point(part.previous.as_of, pairs), part.current)


def by_end(recorded: Iterable[Stretch]) -> dict[datetime, Stretch]:
    """Return recorded stretches by the as-of that they end at."""
    return {stretch.current.as_of: stretch for stretch in recorded if not stretch.is_empty}


def compared_over(later: Stretch, ends: Mapping[datetime, Stretch]) -> Iterator[Stretch]:
    """Yield the recorded stretches that a later one is compared over, the last one first.

    It begins at the end of the last of them and is compared with a snapshot before it, as
    ``usable_part`` says: both may hold the same change. ``ends`` are all recorded ones, ``by_end``.
    """
    begin = later.previous
    while not later.is_empty and begin.as_of in ends:
        earlier = ends[begin.as_of]
        if earlier.current.key == later.previous.key:
            return
        yield earlier
        begin = earlier.previous
