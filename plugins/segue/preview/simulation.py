"""The simulation: what a workflow would have done, had it run after every snapshot of a period.

It goes the way of ``segue.preview.plan``, one pair of snapshots after another. Each membership is
computed once and kept only until the next pair is done; nothing is written and nothing sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from segue.contacts.change import Change, changes_of_span
from segue.contacts.recheck import consent_at
from segue.contracts.live_source import stand_ins
from segue.errors import DataError, SnapshotMissing
from segue.ledger.facts import DetectedSpan
from segue.preview.plan import compare_pair, stopped_by
from segue.preview.rehearsal import PlannedChange, rehearse
from segue.segments.membership.changes import members_table
from segue.segments.membership.store import membership
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshots import Snapshot
    from segue.segments.definition import SegmentDefinition
    from segue.segments.membership.slices import Leavers

Outcomes = Mapping[str, Mapping[str, int]]  # by action: send, skipped, failed


@dataclass(frozen=True, slots=True)
class Day:
    """What the run after one snapshot would have found, and whether it would have sent it."""

    previous: str
    snapshot: str
    members: int | None  # at this snapshot; None where the run would have failed
    changes: Mapping[str, int]  # contacts by each kind of change that the workflow wants
    stopped: Sequence[str] = ()  # the guard's limits for which nothing would have been released
    baseline: str | None = None  # why nothing could be compared
    error: str | None = None  # why the run would have failed
    outcomes: Outcomes | None = None  # where messages were judged; of what the guard let through

    @property
    def total(self) -> int:
        """The contacts that changed."""
        return sum(self.changes.values())

    @property
    def remark(self) -> str:
        """What there is to say about the day beside its numbers."""
        if self.error is not None:
            return f"the run fails: {self.error}"
        if self.baseline is not None:
            return f"a baseline: {self.baseline}"
        return f"stopped by the guard: {'; '.join(self.stopped)}" if self.stopped else ""


@dataclass(frozen=True, slots=True)
class Simulation:
    """The days of a period, in order of time, and how many different contacts they touch."""

    days: Sequence[Day]
    contacts: int  # that changed at least once
    reached: int  # that did so on a day that the guard let through

    @property
    def largest(self) -> Day | None:
        """The day with the most changes, the first of several; None where nothing changed."""
        largest = max(self.days, key=lambda day: day.total)
        return largest if largest.total else None

    @property
    def stopped(self) -> list[Day]:
        """The days of which the guard would have released nothing."""
        return [day for day in self.days if day.stopped]

    @property
    def totals(self) -> Counter[str]:
        """The changes of all days by kind."""
        return sum((Counter(day.changes) for day in self.days), Counter())

    def outcomes(self) -> dict[str, Counter[str]]:
        """Return, per action, how many changes of all days would have each outcome."""
        counts: dict[str, Counter[str]] = {}
        for day in self.days:
            for action, counts_of_day in (day.outcomes or {}).items():
                counts.setdefault(action, Counter()).update(counts_of_day)
        return counts


def simulate(
    resolved: ResolvedWorkflow,
    snapshots: Sequence[Snapshot],
    *,
    messages: bool,
    namespace: str,
    now: datetime,
    done: Callable[[Day], None] = lambda _day: None,
) -> Simulation:
    """Return what runs after each of ``snapshots`` but the first would have done.

    With ``messages`` every message is judged and rendered; consent is that of the day's own
    snapshot. A day whose snapshot cannot be used goes on to the next, as runs do; DataError is
    raised where all of them cannot. ``done`` is called after each day.
    """
    if len(snapshots) < 2:
        only = f" but {snapshots[0].key}" if snapshots else ""
        raise SnapshotMissing(f"nothing to compare: there is no complete snapshot{only}")
    study = _Study(resolved, messages, namespace, now)
    days: list[Day] = []
    for previous, current in pairwise(sorted(snapshots)):
        days.append(study.day(previous, current))
        done(days[-1])
    if all(day.error is not None for day in days):
        raise DataError(days[-1].error)
    return Simulation(days, len(study.contacts), len(study.reached))


class _LastTwo:
    """Memberships of the last two snapshots: what was *current* is the next pair's *previous*."""

    def __init__(self) -> None:
        self._known: dict[str, pd.DataFrame] = {}

    def membership(
        self, segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
    ) -> pd.DataFrame:
        """Return the membership as ``segue.segments.membership.store`` computes it."""
        if snapshot.key not in self._known:
            self._known = dict(list(self._known.items())[-1:])
            self._known[snapshot.key] = membership(segment, directory, snapshot)
        return self._known[snapshot.key]

    def pieces(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the same as one Arrow table."""
        yield members_table(self.membership(segment, directory, snapshot))


class _Study:
    """One workflow over one pair of snapshots after another."""

    def __init__(
        self, resolved: ResolvedWorkflow, messages: bool, namespace: str, now: datetime
    ) -> None:
        self._resolved = resolved
        self._messages = messages
        self._namespace = namespace
        self._now = now
        self._store = _LastTwo()
        self.contacts: set[str] = set()
        self.reached: set[str] = set()

    def day(self, previous: Snapshot, current: Snapshot) -> Day:
        try:
            span = compare_pair(self._resolved, previous, current, store=self._store, now=self._now)
            return self._counted(span, previous, current)
        except DataError as error:
            return Day(previous.key, current.key, None, {}, error=str(error))

    def _counted(self, span: DetectedSpan, previous: Snapshot, current: Snapshot) -> Day:
        changes = changes_of_span(span.stretch, span.changes)
        stop_reasons = stopped_by(self._resolved, span)
        outcomes = None
        if self._messages:
            outcomes = self._outcomes([] if stop_reasons else changes, previous, current)
        ids = {change.contact_id for change in changes}
        self.contacts |= ids
        self.reached |= set() if stop_reasons else ids
        return Day(
            previous=previous.key,
            snapshot=current.key,
            members=span.current_size,
            changes=Counter(change.change for change in changes),
            stopped=stop_reasons,
            baseline=span.reason if span.kind == "baseline" else None,
            outcomes=outcomes,
        )

    def _outcomes(
        self, changes: Sequence[Change], previous: Snapshot, current: Snapshot
    ) -> Outcomes:
        plan = rehearse(
            self._resolved,
            changes,
            {item.key: item for item in (previous, current)},
            namespace=self._namespace,
            consent=consent_at(self._resolved, changes, current) if changes else {},
            standing_in=stand_ins(self._resolved.live),
        )
        return {action: _counts(plan, action) for action in self._resolved.action_ids}


def _counts(planned: Sequence[PlannedChange], action: str) -> Counter[str]:
    return Counter(
        item.outcome for change in planned for item in change.actions if item.action == action
    )
