"""The plan: what a run between two snapshots would do, down to each rendered message.

It goes the way of a run (detection, then ``rehearsal``) with the same functions, and stops where a
run would write or send.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from segue.contacts.change import changes_of_span
from segue.contacts.recheck import current_consent
from segue.contracts.live_source import stand_ins
from segue.ledger.facts import DetectedSpan, SpanKind
from segue.preview.rehearsal import PlannedAction, PlannedChange, rehearse
from segue.preview.standing import Standing
from segue.runs.comparison import compare
from segue.runs.guard_question import beyond_limits
from segue.runs.snapshot_pair import stretch_between
from segue.runs.suppression import suppressing_policy
from segue.segments.expectations.remembered import UNREMEMBERED, Expectations
from segue.segments.membership.store import membership, membership_pieces
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshots import Snapshot
    from segue.ledger import Ledger
    from segue.segments.definition import SegmentDefinition
    from segue.segments.membership.changes import Memberships
    from segue.segments.membership.slices import Leavers


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run over (previous, current] would do, were it released now."""

    workflow: str
    segment: str
    previous: str | None
    current: str
    baseline: str | None  # why nothing is compared and nothing sent
    suppressed: str | None  # the policy that would keep all of it from being sent
    previous_size: int | None
    current_size: int
    beyond_guard: Sequence[str]  # why the guard would ask a person first
    changes: Sequence[PlannedChange]
    counts: Mapping[str, int]  # of all changes by kind, be they among ``changes`` or not
    left_out: Sequence[str] = ()  # whose changes a run could not record, in words
    digests: Sequence[PlannedAction] = ()  # of each digest the one message, about all its changes
    forgotten: int = 0  # contacts who were forgotten: no run looks at them

    def outcomes(self) -> dict[str, Counter[str]]:
        """Return, per action, how many changes would have each outcome: ``skipped (if)``."""
        counts: dict[str, Counter[str]] = {}
        for action_plan in (action for change in self.changes for action in change.actions):
            short = action_plan.reason.split(":")[0]
            name = f"{action_plan.outcome} ({short})" if action_plan.outcome == "skipped" else None
            counts.setdefault(action_plan.action, Counter())[name or action_plan.outcome] += 1
        return counts

    def without_repeats(self) -> Plan:
        """Return the plan with each digest's message at the first of its changes alone."""
        actions_so_far: set[str] = set()
        changes = []
        for change in self.changes:
            actions = [
                replace(action, message=None) if action.action in actions_so_far else action
                for action in change.actions
            ]
            actions_so_far |= {
                action.action for action in actions if action.digest_of and action.message
            }
            changes.append(replace(change, actions=actions))
        return replace(self, changes=changes)


def plan(
    resolved: ResolvedWorkflow,
    previous: Snapshot | None,
    current: Snapshot,
    *,
    namespace: str,
    now: datetime,
    quarantined: Collection[str] = (),
    most: int | None = None,
    ledger: Ledger | None = None,
    without_forgotten: Callable[[DetectedSpan], DetectedSpan] = lambda span: span,
) -> Plan:
    """Return what a run that compares ``previous`` with ``current`` would do; writes nothing.

    Consent is judged, as when sending, on the newest complete snapshot that is not among the
    ``quarantined``. Of more changes than ``most``, the first by contact id are shown; a digest is
    about all. With a ``ledger``, what it has of the changes counts, and who was forgotten is left
    out; without one, ``without_forgotten`` does that alone. Raises DataError where a snapshot
    cannot be used, SettingsError where nobody can tell who was forgotten.
    """
    whole = compare_pair(
        resolved,
        previous,
        current,
        store=Uncached(),
        now=now,
        expectations=Expectations(None, lambda: quarantined),
    )
    span = without_forgotten(whole) if ledger is None else ledger.runs.without_forgotten(whole)
    has_digests = any(action.digest for action in resolved.definition.actions)
    changes = sorted(changes_of_span(span.stretch, span.changes))[: None if has_digests else most]
    since = previous.as_of if previous else None
    standing = Standing() if ledger is None else Standing.of(ledger, resolved, changes, since)
    snapshots = {item.key: item for item in (previous, current) if item is not None}
    consent = current_consent(resolved, changes, now, quarantined)
    plans = rehearse(
        resolved,
        changes,
        snapshots,
        namespace=namespace,
        consent=consent,
        standing_in=stand_ins(resolved.live),
        standing=standing,
    )
    sizes = _whole_run(resolved, previous, current, whole, span)
    return replace(sizes, changes=plans[:most], digests=_digests(plans))


def _whole_run(
    resolved: ResolvedWorkflow,
    previous: Snapshot | None,
    current: Snapshot,
    whole: DetectedSpan,
    span: DetectedSpan,
) -> Plan:
    """Return what a plan says of the run as a whole; ``whole`` has who was forgotten, too."""
    return Plan(
        workflow=resolved.name,
        segment=resolved.segment.segment,
        previous=previous.key if previous else None,
        current=current.key,
        baseline=span.reason if span.kind == "baseline" else None,
        suppressed=span.suppressed,
        previous_size=span.previous_size,
        current_size=span.current_size,
        beyond_guard=stopped_by(resolved, span),
        changes=[],
        counts=Counter(kind for _, kind, _ in span.changes),
        left_out=span.left_out,
        digests=[],
        forgotten=len({contact for contact, _, _ in {*whole.changes} - {*span.changes}}),
    )


def _digests(changes: Iterable[PlannedChange]) -> list[PlannedAction]:
    """Return the first action of each digest, which holds the message about all its changes."""
    first_ones: dict[str, PlannedAction] = {}
    for action in (action for change in changes for action in change.actions):
        if action.digest_of:
            first_ones.setdefault(action.action, action)
    return list(first_ones.values())


def stopped_by(resolved: ResolvedWorkflow, span: DetectedSpan) -> list[str]:
    """Return why the guard would ask a person before it releases anything of a span."""
    counts = Counter(kind for _, kind, _ in span.changes)
    odd = span.findings if counts else []
    return [*beyond_limits(resolved.definition.guard, counts, span.previous_size), *odd]


class Uncached:
    """Memberships computed when asked for and kept nowhere: looking must leave no trace."""

    def membership(
        self, segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
    ) -> pd.DataFrame:
        """Return the membership as ``segue.segments.membership.store`` computes it."""
        return membership(segment, directory, snapshot)

    def pieces(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the same in Arrow tables."""
        return membership_pieces(segment, directory, snapshot, leavers)


def compare_pair(
    resolved: ResolvedWorkflow,
    previous: Snapshot | None,
    current: Snapshot,
    *,
    store: Memberships,
    now: datetime,
    expectations: Expectations = UNREMEMBERED,
) -> DetectedSpan:
    """Return the changes between two snapshots as detection finds them; raise DataError."""
    part = stretch_between(previous, current)
    span = compare(resolved, part, store=store, now=now, expectations=expectations)
    policy = suppressing_policy(resolved, part, now)
    return replace(span, suppressed=policy) if span.kind == SpanKind.CHANGES else span
