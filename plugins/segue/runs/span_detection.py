"""Detection: which span a run covers, and which changes it holds (docs/design.md, "Time").

Everything here is a function of the definitions, the snapshots and what the ledger has recorded;
the clock is a parameter.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from segue.directory.snapshots import Snapshot, find_snapshot, list_snapshots
from segue.errors import DataError, SettingsError, SnapshotMissing
from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, RecordedSpan, SpanKind, SpanTaken
from segue.ledger.states import OPEN_STATES
from segue.ledger.stretches import Point, Stretch, overlap, uncovered, usable_part
from segue.runs.comparison import compare, enrolment
from segue.runs.context import RunContext
from segue.runs.kept_spans import unsent_part
from segue.runs.refusals import (
    refuse_another_answer,
    refuse_changed_namespace,
    refuse_lost_before,
    refuse_lost_since,
    refuse_moved_instants,
)
from segue.runs.snapshot_pair import point_of, snapshots_for
from segue.runs.suppression import suppressing_policy, within_retention
from segue.segments.membership.changes import Memberships

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Detection:
    """What a run covers: its spans, or why there are none."""

    outcome: str  # recorded | covered | skipped
    reason: str
    spans: Sequence[RecordedSpan]


@dataclass(frozen=True, slots=True)
class _Demand:
    """The time that a run would cover, and what others have recorded of it."""

    wanted: Stretch
    parts: Sequence[Stretch]  # that no run has taken, as they can be compared
    lost: Sequence[Stretch]  # that nobody can compare: a snapshot is quarantined
    others: Sequence[RecordedSpan]  # that share time with it

    @property
    def inner(self) -> list[RecordedSpan]:
        """Those of the others that lie within it: a person may have them taken over."""
        return [span for span in self.others if self.wanted.contains(span.stretch)]

    @property
    def wider(self) -> list[RecordedSpan]:
        """Those that reach beyond it."""
        return [span for span in self.others if not self.wanted.contains(span.stretch)]


def detect(context: RunContext, store: Memberships) -> Detection:
    """Record the spans, changes and planned deliveries of a run; a recorded run is refreshed.

    Raises SnapshotMissing when there is nothing to compare yet, SnapshotRewritten when a recorded
    snapshot's files changed and the run does not accept that, DataError for unusable snapshots,
    SettingsError where the ledger knows other namespaces, and this one not at all, RunHalted where
    the workflow is another project's.
    """
    refuse_changed_namespace(context.ledger)
    context.ledger.runs.claim(context.run.workflow, context.resolved.project)
    for _ in range(_ATTEMPTS):
        try:
            return _detect(context, store)
        except SpanTaken:
            continue
    raise DataError(
        f"other runs of {context.run.workflow} keep taking this span; clear this task later"
    )


def _detect(context: RunContext, store: Memberships) -> Detection:
    record = context.find_record()
    spans = context.live_spans(record) if record else []
    if spans:
        return _detect_again(context, spans, store)
    if context.wishes.enroll_current_members:
        return _enrol(context, store)
    return _detect_first(context, store)


def _detect_first(context: RunContext, store: Memberships) -> Detection:
    ledger, run = context.ledger, context.run
    recorded_spans = ledger.runs.all_spans(run.workflow)
    if any(span.run_id == run.run_id for span in recorded_spans):
        raise SpanTaken  # a worker that was given up has recorded this very run meanwhile
    refuse_moved_instants(context.resolved, recorded_spans)
    if (early := _before_start(context)) is not None:
        return _record_nothing(context, "skipped", early)
    previous, current = snapshots_for(context)
    if current is None:
        return _without_current(context)
    demand = _demand(context, previous, current, recorded_spans)
    overtaken = demand.inner if context.wishes.deliver else []
    if demand.parts:
        last = _last_end_before(current, recorded_spans)
        refuse_lost_since(context, last, previous, current)
        spans = [_compare_part(context, part, recorded_spans, store) for part in demand.parts]
        recorded_only = context.records_only
        is_larger = _record(context, spans, recorded_only=recorded_only, take_over=overtaken)
    else:
        is_larger = bool(overtaken) and ledger.runs.take_over(run, overtaken, context.now)
    if is_larger:  # the ledger knows all that is the run's by now, whatever becomes of this process
        return _detect(context, store)
    if demand.parts:
        return _detection_on_record(context)
    return _record_covered(context, demand, current)


def _before_start(context: RunContext) -> str | None:
    """Return why a run that follows its directory compares nothing: what landed is too early.

    Airflow itself leaves out runs of a schedule that are before the start.
    """
    run, start = context.run, context.resolved.definition.start_instant(context.directory.zone)
    if not run.landed or run.interval is None or run.interval[1] > start:
        return None
    return f"{run.landed[-1]} is not after the workflow's start, {start:%Y-%m-%dT%H:%MZ}"


def _demand(
    context: RunContext,
    previous: Snapshot | None,
    current: Snapshot,
    recorded_spans: Sequence[RecordedSpan],
) -> _Demand:
    start = point_of(previous) if previous else _last_end_before(current, recorded_spans)
    stretch = Stretch(start, point_of(current))
    others = [span for span in recorded_spans if overlap(span.stretch, stretch)]
    if previous is None and stretch.is_empty:
        return _Demand(stretch, [stretch], [], others)  # the baseline of a workflow's first run
    stretches = [span.stretch for span in recorded_spans]
    parts, blind_parts = _open_parts(stretch, stretches, context.quarantine_reasons())
    return _Demand(stretch, parts, blind_parts, others)


def _open_parts(
    stretch: Stretch, stretches: Sequence[Stretch], bad_keys: Collection[str]
) -> tuple[list[Stretch], list[Stretch]]:
    """Return the parts that no run has taken: as they can be compared, and those that cannot."""
    parts = [
        (part, usable_part(part, stretches, bad_keys)) for part in uncovered(stretch, stretches)
    ]
    blind_parts = [part for part, usable in parts if usable is None]
    return [usable for _, usable in parts if usable], blind_parts


def _last_end_before(current: Snapshot, recorded_spans: Sequence[RecordedSpan]) -> Point:
    """Return where the last span before ``current`` ends; ``current`` itself where there is none.

    Without an earlier snapshot it is a baseline only in a workflow that has covered nothing yet.
    """
    ends = [span.stretch.current for span in recorded_spans]
    return max((end for end in ends if end.as_of < current.as_of), default=point_of(current))


def _compare_part(
    context: RunContext,
    part: Stretch,
    others: Sequence[RecordedSpan],
    store: Memberships,
    record: RecordedSpan | None = None,
) -> DetectedSpan:
    """Return the changes of a part of time as they may be recorded beside other spans.

    ``record``: the span that is compared again. What was a baseline then stays one: nobody is
    messaged in retrospect.
    """
    resolved, now, wishes = context.resolved, context.now, context.wishes
    span = compare(
        resolved,
        part,
        store=store,
        now=now,
        begin_anew=wishes.accept_rewritten,
        expectations=context.expectations,
    )
    if span.kind == SpanKind.CHANGES:
        record_only = context.records_only
        policy = suppressing_policy(resolved, part, now, wishes, record_only=record_only)
        span = replace(span, suppressed=policy)
    if record is not None:
        refuse_another_answer(context, record, span)
    if record is not None and record.kind == SpanKind.BASELINE:
        span = replace(span, kind=record.kind, reason=record.reason, changes=())
    return unsent_part(context, span, others, record)


def _record(
    context: RunContext,
    spans: Sequence[DetectedSpan],
    *,
    recorded_only: bool,
    take_over: Sequence[RecordedSpan] = (),
) -> bool:
    """Record spans as a run's; returns whether it took others over besides."""
    run, resolved = context.run, context.resolved
    return context.ledger.runs.record_spans(
        run,
        [within_retention(span, context.ledger, run.workflow) for span in spans],
        resolved.action_ids,
        resolved.fingerprint,
        context.now,
        recorded_only=recorded_only,
        take_over=take_over,
    )


def _detect_again(
    context: RunContext, spans: Sequence[RecordedSpan], store: Memberships
) -> Detection:
    """Compare a recorded run's snapshots again; whether it may send is asked of it as it is now.

    A backfill over a scheduled run is a backfill, whatever it was when it was first recorded.
    """
    ledger, run, resolved = context.ledger, context.run, context.resolved
    mine = {span.id for span in spans}
    others = [span for span in ledger.runs.all_spans(run.workflow) if span.id not in mine]
    pairs = []
    for span in spans:
        if span.kind == SpanKind.ENROLMENT:
            comparison = _enrolled_again(context, span, store)
        else:
            comparison = _compare_part(context, span.stretch, others, store, span)
        pairs.append((span, within_retention(comparison, ledger, run.workflow)))
    ledger.runs.record_again(
        run,
        pairs,
        resolved.action_ids,
        resolved.fingerprint,
        context.now,
        recorded_only=context.records_only,
    )
    return _detection_on_record(context)


def _enrolled_again(context: RunContext, span: RecordedSpan, store: Memberships) -> DetectedSpan:
    current = find_snapshot(context.directory, span.stretch.current.key, now=context.now)
    reached_ids = context.ledger.queries.reached_contacts(context.run.workflow, but_span=span.id)
    comparison = _enrolment(context, current, reached_ids, store)
    refuse_another_answer(context, span, comparison)
    return comparison


def _enrolment(
    context: RunContext, current: Snapshot, reached_ids: Collection[str], store: Memberships
) -> DetectedSpan:
    return enrolment(
        context.resolved,
        current,
        reached_ids,
        store,
        now=context.now,
        expectations=context.expectations,
    )


def _enrol(context: RunContext, store: Memberships) -> Detection:
    """Plan an action for every present member whom this workflow has not reached yet."""
    if context.run.interval is not None or context.wishes.previous is not None:
        raise SettingsError(
            "enroll_current_members is for a run that a person triggers, without an interval; "
            "beside it, current may name the snapshot, and previous means nothing"
        )
    current = snapshots_for(context)[1]
    if current is None:
        return _without_current(context)
    refuse_lost_before(context, current)
    reached_ids = context.ledger.queries.reached_contacts(context.run.workflow)
    everybody = _enrolment(context, current, reached_ids, store)
    _record(context, [everybody], recorded_only=False)
    return _detection_on_record(context)


def _detection_on_record(context: RunContext) -> Detection:
    return Detection("recorded", "", context.live_spans(context.record()))


def _record_covered(context: RunContext, demand: _Demand, current: Snapshot) -> Detection:
    """Record that there is nothing left to take; a person who wants it delivered is told why."""
    why = f"there is no snapshot after {current.key}"
    if demand.others:
        why = _covered_by(demand.others, context.ledger)
    wider = demand.wider if context.wishes.deliver else []
    reasons = [
        why,
        *(f"{span.stretch} reaches beyond that and is not taken over" for span in wider),
        *(f"{part} is looked at by nobody: a snapshot is quarantined" for part in demand.lost),
    ]
    return _record_nothing(context, "covered", "; ".join(reasons))


def _covered_by(spans: Sequence[RecordedSpan], ledger: Ledger) -> str:
    runs = ", ".join(sorted({span.run_id for span in spans}))
    tally = ledger.queries.tally([span.id for span in spans])
    open_count = sum(
        count
        for counts in tally.values()
        for (state, _), count in counts.items()
        if state in OPEN_STATES
    )
    note = f", where {open_count} deliveries are not finished" if open_count else ""
    return f"the span up to {spans[-1].stretch.current.key} is covered by {runs}{note}"


def _without_current(context: RunContext) -> Detection:
    """Record that a run's interval has no snapshot; SnapshotMissing where that is not to be."""
    name = context.directory.directory
    if context.run.interval is None:
        raise SnapshotMissing(f"the directory {name} has no complete snapshot")
    start, end = context.run.interval
    bad_keys = context.quarantine_reasons()
    snapshots = list_snapshots(context.directory, now=context.now)
    first = next((item for item in snapshots if item.key not in bad_keys), None)
    if first is not None and end < first.as_of:
        reason = f"the interval ends before the first snapshot ({first.key})"
        return _record_nothing(context, "skipped", reason)
    bad = [item for item in snapshots if item.key in bad_keys]
    but = _but_quarantined(bad, start, end)
    lack = f"no {context.run.what_it_needs}{but}"
    if context.resolved.definition.policies.missing_snapshot == "skip":
        return _record_nothing(context, "skipped", lack)
    raise SnapshotMissing(f"the directory {name} has {lack}")


def _but_quarantined(snapshots: Sequence[Snapshot], start: datetime, end: datetime) -> str:
    keys = ", ".join(item.key for item in snapshots if start < item.as_of <= end)
    return f" but {keys}, which is quarantined" if keys else ""


def _record_nothing(context: RunContext, outcome: str, reason: str) -> Detection:
    context.ledger.runs.record_nothing(context.run, outcome, reason, context.now)
    return Detection(outcome, reason, ())
