"""Detection: which span a run covers, and which changes it holds (docs/design.md, "Time").

Everything here is a function of the definitions, the snapshots and what the ledger has recorded;
the clock is a parameter.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from segue.contacts.fields import uses_of_workflow
from segue.directory.snapshot_content import fingerprint
from segue.directory.snapshot_keys import parse_key
from segue.directory.snapshots import (
    Snapshot,
    find_snapshot,
    list_snapshots,
    newest_complete,
    usable_snapshots,
)
from segue.directory.tables import SnapshotTables
from segue.directory.unread import refuse_unread, unread_findings
from segue.errors import DataError, SettingsError, SnapshotMissing, SnapshotRewritten
from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, RecordedSpan, Run, SpanKind, SpanTaken, Wishes
from segue.ledger.states import OPEN_STATES
from segue.ledger.stretches import Point, Stretch, overlap, uncovered, usable_part
from segue.runs.keepable import keepable
from segue.runs.kept_spans import beside
from segue.runs.sanity import odd_about
from segue.runs.snapshot_pair import snapshots_for
from segue.runs.suppression import bounded, suppressing_policy
from segue.segments.columns.id_keys import Keys
from segue.segments.consent import lost_opt_outs, new_opt_states, refuse_lost_opt_outs
from segue.segments.fitness import (
    require_answers,
    require_comparable,
    require_sound,
    tables_read,
)
from segue.segments.membership.changes import ChangeKind, Memberships, enrolments, segment_changes
from segue.segments.membership.store import describe_missing, missing_for
from segue.segments.unreadable import Unreadable
from segue.workflows.resolved import ResolvedWorkflow

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Detection:
    """What a run covers: its spans, or why there are none."""

    outcome: str  # recorded | covered | skipped
    reason: str
    spans: Sequence[RecordedSpan]


def detect(
    resolved: ResolvedWorkflow,
    run: Run,
    wishes: Wishes,
    *,
    ledger: Ledger,
    store: Memberships,
    now: datetime,
) -> Detection:
    """Record the spans, changes and planned deliveries of a run; a recorded run is refreshed.

    Raises SnapshotMissing when there is nothing to compare yet, SnapshotRewritten when a recorded
    snapshot's files changed and the run does not accept that, DataError for unusable snapshots,
    SettingsError where the ledger knows other namespaces, and this one not at all.
    """
    _refuse_changed_namespace(ledger)
    for _ in range(_ATTEMPTS):
        try:
            return _detect(resolved, run, wishes, ledger, store, now)
        except SpanTaken:
            continue
    raise DataError(f"other runs of {run.workflow} keep taking this span; clear this task later")


def _refuse_changed_namespace(ledger: Ledger) -> None:
    """Raise SettingsError where a changed variable would let everything begin anew, and be sent.

    Whatever the workflow: the first one that began there would let the others begin, too.
    """
    others = [] if ledger.is_new else ledger.runs.foreign_namespaces()
    if others:
        raise SettingsError(
            f"SEGUE_NAMESPACE is {ledger.namespace}, which this ledger does not know, and it knows "
            f"{', '.join(others)}: what was sent there would be sent again. "
            "Set it back; or, to begin with an empty memory, set "
            f"SEGUE_NEW_NAMESPACE={ledger.namespace}"
        )


def _detect(
    resolved: ResolvedWorkflow,
    run: Run,
    wishes: Wishes,
    ledger: Ledger,
    store: Memberships,
    now: datetime,
) -> Detection:
    recorded = ledger.runs.find_run(run.workflow, run.run_id)
    if recorded is not None:
        spans = ledger.runs.spans_of(recorded)
        live = [span for span in spans if not span.is_withdrawn]
        if live:
            return _detect_again(resolved, run, wishes, live, ledger, store, now)
    if wishes.enroll_current_members:
        return _enrol(resolved, run, wishes, ledger, store, now)
    return _detect_first(resolved, run, wishes, ledger, store, now)


def _detect_first(
    resolved: ResolvedWorkflow,
    run: Run,
    wishes: Wishes,
    ledger: Ledger,
    store: Memberships,
    now: datetime,
) -> Detection:
    recorded = ledger.runs.all_spans(run.workflow)
    if any(span.run_id == run.run_id for span in recorded):
        raise SpanTaken  # a worker that was given up has recorded this very run meanwhile
    _refuse_moved_instants(resolved, recorded)
    previous, current = snapshots_for(resolved, run, wishes, ledger, now)
    if current is None:
        return _without_current(resolved, run, ledger, now)
    start = _point(previous) if previous else _last_end_before(current, recorded)
    wanted = Stretch(start, _point(current))
    is_first = previous is None and wanted.is_empty
    parts, lost = ([wanted], []) if is_first else _open_parts(resolved, wanted, recorded, ledger)
    others = [span for span in recorded if overlap(span.stretch, wanted)]
    inside = [span for span in others if _contains(wanted, span.stretch)]
    asked_for = inside if wishes.deliver else []
    if parts:
        if not wishes.accept_rewritten:
            _refuse_lost_since(resolved, previous, current, recorded, now)
        record_only = _records_only(resolved, run, wishes)
        detected = [
            compare(resolved, part, record_only, wishes, store=store, now=now) for part in parts
        ]
        detected = [beside(resolved, span, recorded, ledger) for span in detected]
        taken = ledger.runs.record_spans(
            run,
            [bounded(span, ledger, run.workflow) for span in detected],
            resolved.action_ids,
            resolved.fingerprint,
            now,
            recorded_only=record_only,
            take_over=asked_for,
        )
    else:
        taken = bool(asked_for) and ledger.runs.take_over(run, asked_for, now)
    if taken:  # the ledger knows all that is the run's by now, whatever becomes of this process
        return _detect(resolved, run, wishes, ledger, store, now)
    if parts:
        return _recorded(ledger, run)
    wider = [span for span in others if span not in inside] if wishes.deliver else []
    reasons = [
        _covered_by(others, ledger) if others else f"there is no snapshot after {current.key}",
        *(f"{_pair(span.stretch)} reaches beyond that and is not taken over" for span in wider),
        *(f"{_pair(part)} is looked at by nobody: a snapshot is quarantined" for part in lost),
    ]
    reason = "; ".join(reasons)
    ledger.runs.record_nothing(run, "covered", reason, now)
    return Detection("covered", reason, ())


def _last_end_before(current: Snapshot, recorded: Sequence[RecordedSpan]) -> Point:
    """Return where the last span before ``current`` ends; ``current`` itself where there is none.

    Without an earlier snapshot it is a baseline only in a workflow that has covered nothing yet.
    """
    ends = [span.stretch.current for span in recorded]
    return max((end for end in ends if end.as_of < current.as_of), default=_point(current))


def _open_parts(
    resolved: ResolvedWorkflow, wanted: Stretch, recorded: Sequence[RecordedSpan], ledger: Ledger
) -> tuple[list[Stretch], list[Stretch]]:
    """Return the parts that no run has taken: as they can be compared, and those that cannot."""
    taken = [span.stretch for span in recorded]
    bad = ledger.people.quarantined(resolved.directory.directory)
    found = [(part, usable_part(part, taken, bad)) for part in uncovered(wanted, taken)]
    return [use for _, use in found if use], [part for part, use in found if use is None]


def _contains(wanted: Stretch, part: Stretch) -> bool:
    return (
        wanted.previous.as_of <= part.previous.as_of and part.current.as_of <= wanted.current.as_of
    )


def _detect_again(
    resolved: ResolvedWorkflow,
    run: Run,
    wishes: Wishes,
    recorded: Sequence[RecordedSpan],
    ledger: Ledger,
    store: Memberships,
    now: datetime,
) -> Detection:
    """Compare a recorded run's snapshots again; whether it may send is asked of it as it is now.

    A backfill over a scheduled run is a backfill, whatever it was when it was first recorded.
    """
    again = []
    record_only = _records_only(resolved, run, wishes)
    mine = {span.id for span in recorded}
    others = [span for span in ledger.runs.all_spans(run.workflow) if span.id not in mine]
    for span in recorded:
        if span.kind == SpanKind.ENROLMENT:
            current = find_snapshot(resolved.directory, span.stretch.current.key, now=now)
            reached = ledger.queries.reached_contacts(run.workflow, but_span=span.id)
            detected = enrolment(resolved, current, reached, store)
        else:
            detected = compare(resolved, span.stretch, record_only, wishes, store=store, now=now)
        if not wishes.accept_rewritten:
            _refuse_rewritten(span, detected)
        _refuse_baseline(span, detected)
        # what was a baseline when it was recorded stays one: nobody is messaged in retrospect
        if span.kind == SpanKind.BASELINE:
            detected = replace(detected, kind=span.kind, reason=span.reason, changes=())
        detected = beside(resolved, detected, others, ledger, span)
        again.append((span, bounded(detected, ledger, run.workflow)))
    ledger.runs.record_again(
        run, again, resolved.action_ids, resolved.fingerprint, now, recorded_only=record_only
    )
    return _recorded(ledger, run)


def _enrol(
    resolved: ResolvedWorkflow,
    run: Run,
    wishes: Wishes,
    ledger: Ledger,
    store: Memberships,
    now: datetime,
) -> Detection:
    """Plan an action for every present member whom this workflow has not reached yet."""
    if run.interval is not None or wishes.previous is not None:
        raise SettingsError(
            "enroll_current_members is for a run that a person triggers, without an interval; "
            "beside it, current may name the snapshot, and previous means nothing"
        )
    current = snapshots_for(resolved, run, wishes, ledger, now)[1]
    if current is None:
        return _without_current(resolved, run, ledger, now)
    _refuse_lost_opt_outs(resolved, current, ledger, now)
    everybody = enrolment(resolved, current, ledger.queries.reached_contacts(run.workflow), store)
    detected = bounded(everybody, ledger, run.workflow)
    ledger.runs.record_spans(
        run, [detected], resolved.action_ids, resolved.fingerprint, now, recorded_only=False
    )
    return _recorded(ledger, run)


def _refuse_lost_opt_outs(
    resolved: ResolvedWorkflow, current: Snapshot, ledger: Ledger, now: datetime
) -> None:
    """Raise DataError where the snapshot before says who opted out, and ``current`` does not."""
    directory = resolved.directory
    usable = usable_snapshots(directory, ledger.people.quarantined(directory.directory), now=now)
    before = newest_complete(usable, before=current.as_of)
    if before is not None:
        refuse_lost_opt_outs(SnapshotTables(directory, before), SnapshotTables(directory, current))


def _refuse_lost_since(
    resolved: ResolvedWorkflow,
    previous: Snapshot | None,
    current: Snapshot,
    recorded: Sequence[RecordedSpan],
    now: datetime,
) -> None:
    """Raise DataError where the snapshot that a run last used says who opted out, unlike this one.

    The run after it was refused, and its snapshot lacks the opt states as well: against that one
    alone, nothing would be missing.
    """
    last = _last_end_before(current, recorded)
    if last.key in (current.key, previous and previous.key):
        return
    directory = resolved.directory
    try:
        used = find_snapshot(directory, last.key, now=now)
    except SnapshotMissing:
        return  # deleted since: nobody knows any more what it had
    loss = lost_opt_outs(SnapshotTables(directory, used), SnapshotTables(directory, current))
    if loss is not None:
        raise DataError(
            f"{loss}. Where that is meant, let a person run over this snapshot once with "
            '{"accept_rewritten": true}'
        )


def enrolment(
    resolved: ResolvedWorkflow, current: Snapshot, reached: Collection[str], store: Memberships
) -> DetectedSpan:
    """Return the present members but those ``reached`` as ``enrolled``; it takes no time."""
    tables = SnapshotTables(resolved.directory, current)
    _require_answers(resolved, tables)
    members = store.membership(resolved.segment, resolved.directory, current)
    rows = enrolments(members)
    ids = [contact_id for contact_id in rows["contact_id"] if contact_id not in reached]
    enrolled = [(contact_id, str(ChangeKind.ENROLLED), "") for contact_id in ids]
    changes, left_out = keepable(enrolled, tables)
    point = _point(current)
    return DetectedSpan(
        kind=SpanKind.ENROLMENT,
        reason="\n".join(left_out),
        stretch=Stretch(point, point),
        previous_fingerprint=None,
        current_fingerprint=fingerprint(current),
        previous_size=None,
        current_size=len(members),
        changes=changes,
    )


def _require_answers(resolved: ResolvedWorkflow, tables: SnapshotTables) -> list[Unreadable]:
    """Return what of a snapshot the workflow cannot read.

    Raises DataError where it lacks or cannot answer what is asked, or hides opt-outs.
    """
    segment = resolved.segment
    refuse_unread(tables)
    lacking = describe_missing(segment, tables)
    if lacking is not None:
        raise DataError(lacking)
    require_sound(tables, ["mailing_lists"])  # the membership reads the others whole
    live = () if resolved.live is None else resolved.live.provides
    uses = uses_of_workflow(resolved.definition, segment, live)
    return require_answers(segment, tables, uses, resolved.definition.all_conditions(), live)


def compare(
    resolved: ResolvedWorkflow,
    part: Stretch,
    record_only: bool,
    wishes: Wishes,
    *,
    store: Memberships,
    now: datetime,
) -> DetectedSpan:
    """Return the changes between the two ends of ``part`` as the workflow wants them.

    Raises DataError for a snapshot that cannot be used. ``record_only``: a backfill's run.
    """
    directory, segment = resolved.directory, resolved.segment
    current = find_snapshot(directory, part.current.key, now=now)
    current_tables = SnapshotTables(directory, current)
    now_unreadable = _require_answers(resolved, current_tables)
    if part.is_empty:
        return _baseline(resolved, part, None, current, "no earlier snapshot", store)
    try:
        previous = find_snapshot(directory, part.previous.key, now=now)
    except SnapshotMissing as error:
        if wishes.accept_rewritten:
            return _baseline(resolved, part, None, current, f"{part.previous.key} is gone", store)
        raise SnapshotMissing(
            f"{error}. The last run ended there, so nothing after it can be compared. Put the "
            'snapshot back, or run again with {"accept_rewritten": true} to begin anew with a '
            "baseline: the changes in between are then not acted on"
        ) from None
    previous_tables = SnapshotTables(directory, previous)
    refuse_lost_opt_outs(previous_tables, current_tables)
    incomparable = _why_incomparable(resolved, previous_tables, current_tables)
    if incomparable is not None:
        return _baseline(resolved, part, previous, current, incomparable, store)
    unreadable = require_comparable(segment, previous_tables, now_unreadable), now_unreadable
    read = fingerprint(previous), fingerprint(current)
    found = segment_changes(segment, directory, previous, current, store)
    if read != (fingerprint(previous), fingerprint(current)):
        raise DataError(f"a snapshot ({previous.key} or {current.key}) changed while it was read")
    frame = found.changes
    wanted = frame[frame["change"].isin(list(resolved.definition.changes))]
    rows = list(zip(wanted["contact_id"], wanted["change"], wanted["reason"], strict=True))
    changes, left_out = keepable(rows, current_tables, previous_tables)
    odd = _odd(resolved, previous_tables, current_tables, unreadable, found.sample)
    return DetectedSpan(
        kind=SpanKind.CHANGES,
        reason="\n".join([*odd, *left_out]),
        stretch=part,
        previous_fingerprint=read[0],
        current_fingerprint=read[1],
        previous_size=found.previous_size,
        current_size=found.current_size,
        changes=changes,
        suppressed=suppressing_policy(resolved, part, wishes, now, record_only=record_only),
    )


def _odd(
    resolved: ResolvedWorkflow,
    previous: SnapshotTables,
    current: SnapshotTables,
    unreadable: tuple[Collection[Unreadable], Collection[Unreadable]],
    sample: Keys | None,
) -> list[str]:
    conditions = [condition for _, condition in resolved.definition.all_conditions()]
    read = tables_read(resolved.segment, conditions)
    return odd_about(resolved.definition.guard, previous, current, unreadable, read, sample)


def _why_incomparable(
    resolved: ResolvedWorkflow, previous: SnapshotTables, current: SnapshotTables
) -> str | None:
    """Say why nothing between two snapshots is news, in words; None where they can be compared."""
    key = previous.snapshot.key
    lacking = missing_for(resolved.segment, previous)
    if lacking:
        return f"new column: {key} lacks {', '.join(lacking)}"
    if unread_findings(previous):  # it was corrected since
        return f"{key} has opt states, or tables, that are not read"
    kinds = set(resolved.definition.changes) & {ChangeKind.OPTED_IN, ChangeKind.OPTED_OUT}
    needs = resolved.segment.needs
    tables = ["contacts", "subscriptions"] if kinds or needs.subscriptions else []
    tables += ["mailing_lists"] if needs.mailing_lists else []
    return new_opt_states(previous, current, tables)


def _baseline(
    resolved: ResolvedWorkflow,
    part: Stretch,
    previous: Snapshot | None,
    current: Snapshot,
    reason: str,
    store: Memberships,
) -> DetectedSpan:
    members = store.membership(resolved.segment, resolved.directory, current)
    return DetectedSpan(
        kind=SpanKind.BASELINE,
        reason=reason,
        stretch=part,
        previous_fingerprint=fingerprint(previous) if previous else None,
        current_fingerprint=fingerprint(current),
        previous_size=None,
        current_size=len(members),
        changes=(),
    )


def _records_only(resolved: ResolvedWorkflow, run: Run, wishes: Wishes) -> bool:
    return (
        run.is_backfill
        and resolved.definition.policies.backfill == "record"
        and (not wishes.deliver)
    )


def _without_current(
    resolved: ResolvedWorkflow, run: Run, ledger: Ledger, now: datetime
) -> Detection:
    name = resolved.directory.directory
    quarantined = ledger.people.quarantined(name)
    every = list_snapshots(resolved.directory, now=now)
    snapshots = [item for item in every if item.key not in quarantined]
    if run.interval is None:
        raise SnapshotMissing(f"the directory {name} has no complete snapshot")
    start, end = run.interval
    bad = [item.key for item in every if start < item.as_of <= end and item.key in quarantined]
    but = f" but {', '.join(bad)}, which is quarantined" if bad else ""
    if snapshots and end < snapshots[0].as_of:
        reason = f"the interval ends before the first snapshot ({snapshots[0].key})"
    elif resolved.definition.policies.missing_snapshot == "skip":
        reason = f"no complete snapshot in ({start:%Y-%m-%d %H:%M}, {end:%Y-%m-%d %H:%M}] UTC{but}"
    else:
        raise SnapshotMissing(
            f"the directory {name} has no complete snapshot with an as-of in "
            f"({start:%Y-%m-%dT%H:%MZ}, {end:%Y-%m-%dT%H:%MZ}]{but}"
        )
    ledger.runs.record_nothing(run, "skipped", reason, now)
    return Detection("skipped", reason, ())


def _covered_by(by: Sequence[RecordedSpan], ledger: Ledger) -> str:
    runs = ", ".join(sorted({span.run_id for span in by}))
    tally = ledger.queries.tally([span.id for span in by])
    unfinished = sum(
        count
        for counts in tally.values()
        for (state, _), count in counts.items()
        if state in OPEN_STATES
    )
    note = f", where {unfinished} deliveries are not finished" if unfinished else ""
    return f"the span up to {by[-1].stretch.current.key} is covered by {runs}{note}"


def _refuse_moved_instants(resolved: ResolvedWorkflow, recorded: Sequence[RecordedSpan]) -> None:
    """Raise DataError where the directory now gives a recorded key another as-of.

    Under an edited time zone or ``date_keys`` spans would overlap, or leave a day out, unseen.
    """
    if not recorded:
        return
    newest = max(recorded, key=lambda span: span.stretch.current)
    point = newest.stretch.current
    parsed = parse_key(resolved.directory, point.key)
    if parsed is not None and parsed[1] != point.as_of:
        raise DataError(
            f"the snapshot {point.key} was recorded with the as-of {point.as_of:%Y-%m-%dT%H:%MZ} "
            f"and has {parsed[1]:%Y-%m-%dT%H:%MZ} now: timezone or date_keys of the directory "
            f"{resolved.directory.directory} was edited. Put it back, or give the workflow a new "
            "name to begin anew"
        )


def _recorded(ledger: Ledger, run: Run) -> Detection:
    recorded = ledger.runs.find_run(run.workflow, run.run_id)
    assert recorded is not None
    spans = [span for span in ledger.runs.spans_of(recorded) if not span.is_withdrawn]
    return Detection("recorded", "", spans)


def _refuse_rewritten(span: RecordedSpan, detected: DetectedSpan) -> None:
    changed = [
        key
        for key, before, after in (
            (
                span.stretch.previous.key,
                span.previous_fingerprint,
                detected.previous_fingerprint,
            ),
            (
                span.stretch.current.key,
                span.current_fingerprint,
                detected.current_fingerprint,
            ),
        )
        if before is not None and before != after
    ]
    if changed:
        raise SnapshotRewritten(
            f"the files of snapshot {', '.join(changed)} changed after this run recorded them. To "
            "go on with the new files, run it again by a backfill of its interval with "
            '--reprocess-behavior completed and --dag-run-conf \'{"accept_rewritten": true, '
            '"deliver": true}\'; without deliver it records the new changes and sends nothing'
        )


def _refuse_baseline(span: RecordedSpan, detected: DetectedSpan) -> None:
    """Raise DataError where what was compared cannot be any more: all of it would be withdrawn."""
    if span.kind == SpanKind.CHANGES and detected.kind == SpanKind.BASELINE:
        raise DataError(
            f"this run has recorded the changes of {_pair(span.stretch)}, which cannot be compared "
            f"now: {detected.reason}. What it recorded stays as it is; clear it again once the "
            "definition, or the snapshot, is as it was"
        )


def _pair(stretch: Stretch) -> str:
    return f"{stretch.previous.key} → {stretch.current.key}"


def _point(snapshot: Snapshot) -> Point:
    return Point(snapshot.as_of, snapshot.key)
