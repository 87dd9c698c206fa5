"""What stops a run before it records: something would be sent twice, or to whom it must not."""

from __future__ import annotations

from collections.abc import Sequence

from segue.directory.snapshot_keys import parse_key
from segue.directory.snapshots import Snapshot, find_snapshot, newest_complete
from segue.directory.tables import SnapshotTables
from segue.errors import DataError, SettingsError, SnapshotMissing, SnapshotRewritten
from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, RecordedSpan, SpanKind
from segue.ledger.stretches import Point
from segue.runs.context import RunContext
from segue.segments.consent import lost_opt_outs, refuse_lost_opt_outs
from segue.workflows.resolved import ResolvedWorkflow


def refuse_changed_namespace(ledger: Ledger) -> None:
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


def refuse_moved_instants(
    resolved: ResolvedWorkflow, recorded_spans: Sequence[RecordedSpan]
) -> None:
    """Raise DataError where the directory now gives a recorded key another as-of.

    Under an edited time zone or ``date_keys`` spans would overlap, or leave a day out, unseen.
    """
    if not recorded_spans:
        return
    newest = max(recorded_spans, key=lambda span: span.stretch.current)
    point = newest.stretch.current
    key_parts = parse_key(resolved.directory, point.key)
    if key_parts is not None and key_parts[1] != point.as_of:
        raise DataError(
            f"the snapshot {point.key} was recorded with the as-of {point.as_of:%Y-%m-%dT%H:%MZ} "
            f"and has {key_parts[1]:%Y-%m-%dT%H:%MZ} now: timezone or date_keys of the directory "
            f"{resolved.directory.directory} was edited. Put it back, or give the workflow a new "
            "name to begin anew"
        )


def refuse_lost_before(context: RunContext, current: Snapshot) -> None:
    """Raise DataError where the snapshot before says who opted out, and ``current`` does not."""
    directory = context.directory
    earlier = newest_complete(context.usable_snapshots(), before=current.as_of)
    if earlier is not None:
        refuse_lost_opt_outs(SnapshotTables(directory, earlier), SnapshotTables(directory, current))


def refuse_lost_since(
    context: RunContext, last: Point, previous: Snapshot | None, current: Snapshot
) -> None:
    """Raise DataError where the snapshot that a run ended with says who opted out, unlike this one.

    The run after it was refused, and its snapshot, ``previous``, lacks the opt states as well:
    against that one alone, nothing would be missing.
    """
    is_compared = last.key in (current.key, previous and previous.key)
    if is_compared or context.wishes.accept_rewritten:
        return
    directory = context.directory
    try:
        used = find_snapshot(directory, last.key, now=context.now)
    except SnapshotMissing:
        return  # deleted since: nobody knows any more what it had
    loss = lost_opt_outs(SnapshotTables(directory, used), SnapshotTables(directory, current))
    if loss is not None:
        raise DataError(
            f"{loss}. Where that is meant, let a person run over this snapshot once with "
            '{"accept_rewritten": true}'
        )


def refuse_another_answer(
    context: RunContext, span: RecordedSpan, comparison: DetectedSpan
) -> None:
    """Raise DataError where a recorded span is compared again and must not change.

    SnapshotRewritten, one of them, where its files are others and the run does not accept that.
    """
    if not context.wishes.accept_rewritten:
        _refuse_rewritten(span, comparison)
    _refuse_baseline(span, comparison)


def _refuse_rewritten(span: RecordedSpan, comparison: DetectedSpan) -> None:
    ends = (
        (span.stretch.previous.key, span.previous_fingerprint, comparison.previous_fingerprint),
        (span.stretch.current.key, span.current_fingerprint, comparison.current_fingerprint),
    )
    keys = [key for key, before, after in ends if before is not None and before != after]
    if keys:
        raise SnapshotRewritten(
            f"the files of snapshot {', '.join(keys)} changed after this run recorded them. To "
            "go on with the new files, run it again by a backfill of its interval with "
            '--reprocess-behavior completed and --dag-run-conf \'{"accept_rewritten": true, '
            '"deliver": true}\'; without deliver it records the new changes and sends nothing'
        )


def _refuse_baseline(span: RecordedSpan, comparison: DetectedSpan) -> None:
    """What was compared cannot be any more: all of it would be withdrawn."""
    if span.kind == SpanKind.CHANGES and comparison.kind == SpanKind.BASELINE:
        raise DataError(
            f"this run has recorded the changes of {span.stretch}, which cannot be compared "
            f"now: {comparison.reason}. What it recorded stays as it is; clear it again once the "
            "definition, or the snapshot, is as it was"
        )
