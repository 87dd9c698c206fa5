"""What changed between two snapshots, as a workflow wants it (docs/design.md, "Changes").

A function of the definitions and the snapshots' files: which two are compared, and what becomes of
their changes, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from segue.contacts.fields import uses_of_workflow
from segue.directory.snapshot_content import fingerprint
from segue.directory.snapshots import Snapshot, find_snapshot
from segue.directory.tables import SnapshotTables
from segue.directory.unread import refuse_unread, unread_findings
from segue.errors import DataError, SnapshotMissing
from segue.ledger.facts import DetectedSpan, SpanKind
from segue.ledger.stretches import Stretch
from segue.runs.keepable import keepable_changes
from segue.runs.sanity import odd_about
from segue.runs.snapshot_pair import stretch_between
from segue.segments.consent import new_opt_states, refuse_lost_opt_outs
from segue.segments.expectations.remembered import UNREMEMBERED, Expectations
from segue.segments.fitness import require_answers, require_comparable, require_sound, tables_read
from segue.segments.kinds import ChangeKind
from segue.segments.membership.changes import ChangeSet, Memberships, enrolments, segment_changes
from segue.segments.membership.store import describe_missing, missing_for
from segue.segments.unreadable import Unreadable
from segue.workflows.resolved import ResolvedWorkflow


def compare(
    resolved: ResolvedWorkflow,
    part: Stretch,
    *,
    store: Memberships,
    now: datetime,
    begin_anew: bool = False,
    expectations: Expectations = UNREMEMBERED,
) -> DetectedSpan:
    """Return the changes between the two ends of ``part``, be they suppressed or not.

    ``begin_anew``: where the earlier snapshot is gone, the later one is a baseline. Raises
    DataError for a snapshot that cannot be used.
    """
    current = SnapshotTables(
        resolved.directory, find_snapshot(resolved.directory, part.current.key, now=now)
    )
    unreadable = _require_answers(resolved, current)
    expectations.require_met(current, now)
    if part.is_empty:
        return _baseline(resolved, part, None, current, "no earlier snapshot", store)
    snapshot = _earlier_snapshot(resolved, part.previous.key, now, begin_anew)
    if snapshot is None:
        return _baseline(resolved, part, None, current, f"{part.previous.key} is gone", store)
    previous = SnapshotTables(resolved.directory, snapshot)
    expectations.require_comparable(previous, now)
    refuse_lost_opt_outs(previous, current)
    incomparable = _why_incomparable(resolved, previous, current)
    if incomparable is not None:
        return _baseline(resolved, part, previous, current, incomparable, store)
    return _changes(resolved, part, previous, current, unreadable, store)


def enrolment(
    resolved: ResolvedWorkflow,
    current: Snapshot,
    reached_ids: Collection[str],
    store: Memberships,
    *,
    now: datetime,
    expectations: Expectations = UNREMEMBERED,
) -> DetectedSpan:
    """Return the present members but those of ``reached_ids`` as ``enrolled``; it takes no time."""
    tables = SnapshotTables(resolved.directory, current)
    _require_answers(resolved, tables)
    expectations.require_met(tables, now)
    members = store.membership(resolved.segment, resolved.directory, current)
    frame = enrolments(members)
    ids = [contact_id for contact_id in frame["contact_id"] if contact_id not in reached_ids]
    rows = [(contact_id, str(ChangeKind.ENROLLED), "") for contact_id in ids]
    changes, left_out = keepable_changes(rows, tables)
    return DetectedSpan(
        kind=SpanKind.ENROLMENT,
        reason="\n".join(left_out),
        stretch=stretch_between(None, current),
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
    complaint = describe_missing(segment, tables)
    if complaint is not None:
        raise DataError(complaint)
    require_sound(tables, ["mailing_lists"])  # the membership reads the others whole
    live = () if resolved.live is None else resolved.live.provides
    uses = uses_of_workflow(resolved.definition, segment, live)
    return require_answers(segment, tables, uses, resolved.definition.all_conditions(), live)


def _earlier_snapshot(
    resolved: ResolvedWorkflow, key: str, now: datetime, begin_anew: bool
) -> Snapshot | None:
    try:
        return find_snapshot(resolved.directory, key, now=now)
    except SnapshotMissing as error:
        if begin_anew:
            return None
        raise SnapshotMissing(
            f"{error}. The last run ended there, so nothing after it can be compared. Put the "
            'snapshot back, or run again with {"accept_rewritten": true} to begin anew with a '
            "baseline: the changes in between are then not acted on"
        ) from None


def _why_incomparable(
    resolved: ResolvedWorkflow, previous: SnapshotTables, current: SnapshotTables
) -> str | None:
    """Say why nothing between two snapshots is news, in words; None where they can be compared."""
    key = previous.snapshot.key
    columns = missing_for(resolved.segment, previous)
    if columns:
        return f"new column: {key} lacks {', '.join(columns)}"
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
    previous: SnapshotTables | None,
    current: SnapshotTables,
    reason: str,
    store: Memberships,
) -> DetectedSpan:
    members = store.membership(resolved.segment, resolved.directory, current.snapshot)
    return DetectedSpan(
        kind=SpanKind.BASELINE,
        reason=reason,
        stretch=part,
        previous_fingerprint=fingerprint(previous.snapshot) if previous else None,
        current_fingerprint=fingerprint(current.snapshot),
        previous_size=None,
        current_size=len(members),
        changes=(),
    )


def _changes(
    resolved: ResolvedWorkflow,
    part: Stretch,
    previous: SnapshotTables,
    current: SnapshotTables,
    unreadable: Collection[Unreadable],
    store: Memberships,
) -> DetectedSpan:
    """``unreadable`` is what of the current snapshot the workflow cannot read."""
    segment, ends = resolved.segment, (previous.snapshot, current.snapshot)
    both_unreadable = require_comparable(segment, previous, unreadable), unreadable
    print_before, print_after = map(fingerprint, ends)
    difference = segment_changes(segment, resolved.directory, *ends, store)
    if (print_before, print_after) != tuple(map(fingerprint, ends)):
        keys = f"{ends[0].key} or {ends[1].key}"
        raise DataError(f"a snapshot ({keys}) changed while it was read")
    changes, left_out = keepable_changes(_wanted_rows(resolved, difference), current, previous)
    conditions = [condition for _, condition in resolved.definition.all_conditions()]
    tables, limits = tables_read(segment, conditions), resolved.definition.guard
    odd = odd_about(limits, previous, current, both_unreadable, tables, difference.sample)
    return DetectedSpan(
        kind=SpanKind.CHANGES,
        reason="\n".join([*odd, *left_out]),
        stretch=part,
        previous_fingerprint=print_before,
        current_fingerprint=print_after,
        previous_size=difference.previous_size,
        current_size=difference.current_size,
        changes=changes,
    )


def _wanted_rows(resolved: ResolvedWorkflow, difference: ChangeSet) -> list[tuple[str, str, str]]:
    """Return (contact id, change, reason) of the kinds of change that the workflow names."""
    frame = difference.changes
    rows = frame[frame["change"].isin(list(resolved.definition.changes))]
    return list(zip(rows["contact_id"], rows["change"], rows["reason"], strict=True))
