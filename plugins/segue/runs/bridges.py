"""Bridges: spans over runs of the schedule that had no snapshot (docs/design.md, "Time").

A bridge covers all its time, and so is no gap: who is in the segment at one end and not at the
other is found. Who was in it only in between is not, as with a window of a day over a missing day.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from segue.cron import longest_step, ticks_after
from segue.directory.snapshot_keys import parse_key
from segue.durations import localize
from segue.ledger.facts import RecordedSpan, SpanKind
from segue.ledger.stretches import Stretch
from segue.segments.conditions.window_lengths import windows
from segue.workflows.resolved import ResolvedWorkflow

_AN_HOUR = timedelta(hours=1)  # that clocks may have been changed by
_MOST = 1000  # runs of the schedule that are looked at in one span
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Bridge:
    """A span with runs of the schedule inside that compared nothing."""

    workflow: str
    stretch: Stretch
    missing: Sequence[str]  # keys that snapshots of those runs would have, or the runs' times
    windows: Sequence[str]  # those of the segment that are shorter than the span
    by_run: bool = False  # ``missing`` are times: after a pause the keys cannot be told

    def __str__(self) -> str:
        names = ", ".join(self.missing[:_SHOWN])
        more = f" and {len(self.missing) - _SHOWN} more" if len(self.missing) > _SHOWN else ""
        one = len(self.missing) == 1
        verb, noun = ("was", "snapshot") if one else ("were", "snapshots")
        if self.by_run:
            noun += " of the run of" if one else " of the runs of"
        short = f"; shorter than that: {' and '.join(self.windows)}" if self.windows else ""
        return (
            f"{self.stretch} bridges the {noun} {names}{more}, which {verb} missing: who was in "
            f"the segment only in between is not seen{short}"
        )


def bridges(resolved: ResolvedWorkflow, spans: Iterable[RecordedSpan]) -> list[Bridge]:
    """Return those of a workflow's recorded spans that are bridges, in order of time."""
    stretches = sorted(span.stretch for span in spans if span.kind == SpanKind.CHANGES)
    return [
        bridge
        for bridge in (_bridge(resolved, stretch) for stretch in stretches)
        if bridge is not None
    ]


def _bridge(resolved: ResolvedWorkflow, stretch: Stretch) -> Bridge | None:
    ticks = _ticks(resolved, stretch)
    if len(ticks) < 4:  # one before, one behind, and that of the run which had the earlier snapshot
        return None
    zone = resolved.directory.zone
    key_parts = parse_key(resolved.directory, stretch.previous.key)
    # after a kept span of a quarantined snapshot, that is one before the time that is taken
    compared_from = key_parts[1] if key_parts else stretch.previous.as_of
    missing, by_run = _missing(stretch, ticks, compared_from, zone)
    if not missing:
        return None
    length = _wall(stretch.current.as_of, zone) - _wall(compared_from, zone)
    segments = [resolved.segment, *resolved.segment.refers_to]
    every = (window for each in segments if each.match for window in windows(each.match))
    short = dict.fromkeys(window.written for window in every if window.length < length)
    return Bridge(resolved.name, stretch, missing, list(short), by_run)


def _missing(
    stretch: Stretch, ticks: Sequence[datetime], compared_from: datetime, zone: ZoneInfo
) -> tuple[Sequence[str], bool]:
    """Return what names the snapshots of the runs inside ``stretch``, and whether it is the runs.

    ``ticks`` are as ``_ticks`` returns them, ``compared_from`` is the as-of of the earlier key.
    Where ticks are not evenly spaced, nobody can say which keys the snapshots of a workflow that
    pauses at weekends would have.
    """
    first, *others = ticks[1:-1]
    start, end = (_wall(point.as_of, zone) for point in (stretch.previous, stretch.current))
    steps = [after - before for before, after in pairwise(ticks)]
    late = min(steps) / 2  # a snapshot that is a little late is still that run's
    absent = [tick for tick in others if end - (start + (tick - first)) > late]
    since = start - _wall(compared_from, zone)
    pairs = [
        (tick, _key(stretch.previous.key, compared_from, since + tick - first, zone))
        for tick in absent
    ]
    pairs = [(tick, key) for tick, key in pairs if key not in stretch.keys]
    return _names(pairs, by_run=len(set(steps[:-1])) > 1)


def _names(pairs: Sequence[tuple[datetime, str]], *, by_run: bool) -> tuple[Sequence[str], bool]:
    if by_run:
        return [f"{tick:%Y-%m-%d %H:%M}" for tick, _ in pairs], True
    return list(dict.fromkeys(key for _, key in pairs)), False


def _ticks(resolved: ResolvedWorkflow, stretch: Stretch) -> list[datetime]:
    """Return the schedule's ticks inside ``stretch``, one before and one behind, on the wall."""
    cron = resolved.snapshot_cron
    if cron is None or stretch.is_empty:
        return []
    zone = resolved.directory.zone
    ticks: list[datetime] = []
    for tick in ticks_after(cron, stretch.previous.as_of - longest_step(cron) - _AN_HOUR, zone):
        if tick < stretch.previous.as_of:
            ticks = []
        ticks.append(tick)
        if tick >= stretch.current.as_of or len(ticks) == _MOST + 2:
            break
    return [_wall(tick, zone) for tick in ticks]


def _key(key: str, as_of: datetime, step: timedelta, zone: ZoneInfo) -> str:
    """Return the key of a snapshot so long after that of ``key`` and ``as_of``."""
    try:
        return (date.fromisoformat(key) + step).isoformat()
    except ValueError:  # keys that are times
        instant = localize(_wall(as_of, zone) + step, zone)
        return instant.isoformat().replace("+00:00", "Z")


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
