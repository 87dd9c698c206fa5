"""Bridges: spans over runs of the schedule that had no snapshot (docs/design.md, "Time").

A bridge covers all its time, and so is no gap: who is in the segment at one end and not at the
other is found. Who was in it only in between is not, as with a window of a day over a missing day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from segue.delivery.ledger import RecordedSpan, SpanKind
from segue.delivery.resolved import ResolvedWorkflow
from segue.delivery.spans import Stretch
from segue.durations import localize
from segue.segments.conditions.windows import windows
from segue.workflows.schedule import ticks_after

_JUST = timedelta(microseconds=1)
_MOST = 1000  # runs of the schedule that are looked at in one span
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Bridge:
    """A span with runs of the schedule inside that compared nothing."""

    workflow: str
    stretch: Stretch
    missing: Sequence[str]  # keys that snapshots of those runs would have
    windows: Sequence[str]  # those of the segment that are shorter than the span

    def __str__(self) -> str:
        shown = ", ".join(self.missing[:_SHOWN])
        more = f" and {len(self.missing) - _SHOWN} more" if len(self.missing) > _SHOWN else ""
        verb = "was" if len(self.missing) == 1 else "were"
        noun = "snapshot" if len(self.missing) == 1 else "snapshots"
        short = f"; shorter than that: {' and '.join(self.windows)}" if self.windows else ""
        ends = f"{self.stretch.previous.key} → {self.stretch.current.key}"
        return (
            f"{ends} bridges the {noun} {shown}{more}, which {verb} missing: who was in the "
            f"segment only in between is not seen{short}"
        )


def bridges(resolved: ResolvedWorkflow, spans: Iterable[RecordedSpan]) -> list[Bridge]:
    """Return those of a workflow's recorded spans that are bridges, in order of time."""
    stretches = sorted(span.stretch for span in spans if span.kind == SpanKind.CHANGES)
    found = (_bridge(resolved, stretch) for stretch in stretches)
    return [bridge for bridge in found if bridge is not None]


def _bridge(resolved: ResolvedWorkflow, stretch: Stretch) -> Bridge | None:
    missing = _missing(resolved, stretch)
    if not missing:
        return None
    zone = resolved.directory.zone
    length = _wall(stretch.current.as_of, zone) - _wall(stretch.previous.as_of, zone)
    judged = [resolved.segment, *resolved.segment.refers_to]
    every = (window for each in judged if each.match for window in windows(each.match))
    short = dict.fromkeys(window.written for window in every if window.length < length)
    return Bridge(resolved.name, stretch, missing, list(short))


def _missing(resolved: ResolvedWorkflow, stretch: Stretch) -> list[str]:
    """Return the keys that snapshots for the runs inside ``stretch`` would have."""
    cron = resolved.definition.schedule
    if cron is None or stretch.is_empty:
        return []
    zone = resolved.directory.zone
    ticks = ticks_after(cron, stretch.previous.as_of - _JUST, zone)
    inside = takewhile(lambda tick: tick < stretch.current.as_of, ticks)
    runs = [_wall(tick, zone) for tick in islice(inside, _MOST)]
    if len(runs) < 2:
        return []
    first, *others = runs
    start, end = (_wall(point.as_of, zone) for point in (stretch.previous, stretch.current))
    late = (others[0] - first) / 2  # a snapshot that is a little late is still that run's
    steps = [tick - first for tick in others if end - (start + (tick - first)) > late]
    keys = [_key(stretch, step, zone) for step in steps]
    return [key for key in dict.fromkeys(keys) if key not in stretch.keys]


def _key(stretch: Stretch, step: timedelta, zone: ZoneInfo) -> str:
    """Return the key of a snapshot so long after the first of ``stretch``, as that is written."""
    previous = stretch.previous
    try:
        return (date.fromisoformat(previous.key) + step).isoformat()
    except ValueError:  # keys that are times
        at = localize(_wall(previous.as_of, zone) + step, zone)
        return at.isoformat().replace("+00:00", "Z")


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
