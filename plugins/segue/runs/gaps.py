"""Gaps: time since a workflow's ``start`` that no recorded span covers.

Whoever was added or removed in a gap was never looked at. A gap is filled by a run that names its
two snapshots; the first snapshot of all is a baseline and needs no filling.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from segue.cron import next_tick
from segue.directory.snapshots import Snapshot
from segue.ledger.stretches import Stretch, uncovered_steps, usable_part
from segue.runs.snapshot_pair import point_of
from segue.workflows.resolved import ResolvedWorkflow

LEFT_OVER = "a snapshot at its ends is quarantined, and what was sent from that one stays"
_JUST = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Gap:
    """The time between two successive snapshots that no span of the workflow covers."""

    workflow: str
    stretch: Stretch
    due: datetime | None = None  # when a scheduled run is to cover it by itself; UTC
    too_old: bool = False  # older than ``max_age``: filling it records and sends nothing
    fillable: bool = True  # False: it ends at a quarantined snapshot of which something was sent

    @property
    def command(self) -> str:
        """The shell command whose run fills the gap; empty where none does."""
        if not self.fillable:
            return ""
        keys = {"previous": self.stretch.previous.key, "current": self.stretch.current.key}
        conf = shlex.quote(json.dumps(keys))
        return f"airflow dags trigger {shlex.quote(self.workflow)} --conf {conf}"


def gaps(
    resolved: ResolvedWorkflow,
    recorded_stretches: Iterable[Stretch],
    snapshots: Iterable[Snapshot],
    now: datetime,
    bad_keys: Collection[str] = (),
    watermark: datetime | None = None,
) -> list[Gap]:
    """Return the gaps of a workflow up to the newest complete snapshot, in order of time.

    ``recorded_stretches`` are those of the workflow, ``snapshots`` those of its directory that runs
    may use, ``bad_keys`` those that are quarantined: what a kept span of one leaves over is filled
    as runs fill it, or not at all. What lies before the ``watermark`` of its retention is no gap:
    nobody knows any more what was covered.
    """
    complete = [snapshot for snapshot in snapshots if snapshot.complete]
    points = [point_of(snapshot) for snapshot in _compared_snapshots(resolved, complete)]
    stretches = sorted(recorded_stretches)
    holes = []
    for part in uncovered_steps(points, stretches):
        usable = usable_part(part, stretches, bad_keys)
        due, too_old = _due(resolved, part, now), _is_too_old(resolved, part, now)
        holes.append(Gap(resolved.name, usable or part, due, too_old, usable is not None))
    return [gap for gap in holes if watermark is None or gap.stretch.previous.as_of >= watermark]


def _compared_snapshots(resolved: ResolvedWorkflow, complete: Sequence[Snapshot]) -> list[Snapshot]:
    """Return the snapshots that runs since ``start`` compare.

    The first is the last that the first run's interval begins with: what its run calls previous.
    """
    zone = resolved.directory.zone
    first = resolved.definition.start_instant(zone)
    cron = resolved.definition.cron
    if cron is not None:
        first = next_tick(cron, first - _JUST, zone)
    earlier = sorted(snapshot for snapshot in complete if snapshot.as_of <= first)
    return earlier[-1:] + sorted(snapshot for snapshot in complete if snapshot.as_of > first)


def _due(resolved: ResolvedWorkflow, part: Stretch, now: datetime) -> datetime | None:
    """Return when a scheduled run will cover ``part``; None if that time has passed, or never."""
    cron = resolved.definition.cron
    if cron is None:
        return None
    just_before = part.current.as_of - _JUST
    tick = next_tick(cron, just_before, resolved.directory.zone)
    return tick if tick > now else None


def _is_too_old(resolved: ResolvedWorkflow, part: Stretch, now: datetime) -> bool:
    max_age = resolved.definition.policies.max_age
    oldest = None if max_age is None else max_age.before(now, resolved.directory.zone)
    return oldest is not None and part.current.as_of < oldest
