"""Which two snapshots a run compares, and what it has to wait for (docs/design.md, "Time")."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from segue.directory.snapshots import Snapshot, choose_span, find_usable, newest_complete
from segue.errors import RunHalted, SettingsError, SnapshotMissing
from segue.ledger.facts import RecordedSpan, Run
from segue.ledger.stretches import Point, Stretch
from segue.runs.context import RunContext

log = logging.getLogger(__name__)


def waiting_for(context: RunContext) -> str | None:
    """Return what a run has to wait for, in words, or None when it can go on.

    A run waits for a current snapshot, and for a newer one of its interval that is being written.
    Raises SettingsError where no time helps: a parameter is no key, or names a quarantined one.
    """
    if context.find_record() is not None:
        return None
    name, snapshots = context.directory.directory, context.usable_snapshots()
    try:
        _, current = _pair_among(snapshots, context)
    except SnapshotMissing as error:
        return str(error)
    if context.run.interval is None or context.wishes.current is not None:
        return None if current else f"the directory {name} has no complete snapshot"
    return _lack_of(name, snapshots, context.run)


def _lack_of(directory: str, snapshots: Sequence[Snapshot], run: Run) -> str | None:
    """Return, in words, what an interval lacks; nothing where it ends before the first snapshot."""
    assert run.interval is not None
    start, end = run.interval
    if snapshots and end < snapshots[0].as_of:
        return None
    inside = [item for item in snapshots if start < item.as_of <= end]
    if not inside:
        what = run.what_it_needs if run.landed else "snapshot of the run's interval"
        return f"the directory {directory} has no {what} yet"
    newest = inside[-1]
    if newest.complete:
        return None
    return f"snapshot {newest.key} of {directory} is not complete: {newest.why_incomplete}"


def has_current(context: RunContext) -> bool:
    """Tell whether a run has a complete current snapshot, be there a newer one or not."""
    try:
        return snapshots_for(context)[1] is not None
    except SnapshotMissing:
        return False


def can_go_on(context: RunContext, begin: datetime) -> bool:
    """Tell whether a run has nothing to wait for any more; its patience counts from ``begin``.

    After its deadline it goes on with what there is, or records that there is nothing; with
    ``missing_snapshot: fail`` RunHalted is raised instead.
    """
    reason = waiting_for(context)
    if reason is None:
        return True
    policies, deadline = context.resolved.definition.policies, deadline_of(context, begin)
    if context.now < deadline:
        log.info("%s; waiting until %s", reason, f"{deadline:%Y-%m-%d %H:%M} UTC")
        return False
    if has_current(context):
        log.warning("%s; going on with the last complete one", reason)
    elif policies.missing_snapshot == "fail":
        raise RunHalted(f"{reason}, and the deadline {deadline} has passed")
    return True


def deadline_of(context: RunContext, begin: datetime) -> datetime:
    """Return until when a run waits for its snapshot, from ``begin`` on."""
    timeout = context.resolved.definition.policies.wait_timeout
    return timeout.after(begin, context.directory.zone)


def snapshots_for(context: RunContext) -> tuple[Snapshot | None, Snapshot | None]:
    """Return the (previous, current) snapshots that a run is to compare; None is missing.

    A quarantined snapshot is neither.
    """
    return _pair_among(context.usable_snapshots(), context)


def _pair_among(
    snapshots: Sequence[Snapshot], context: RunContext
) -> tuple[Snapshot | None, Snapshot | None]:
    """Choose from those that are listed already: on object storage each listing is a request."""
    wishes = context.wishes
    if wishes.current is not None:
        return _named_pair(snapshots, context, wishes.current)
    if wishes.previous is not None:
        raise SettingsError("the parameter previous needs the parameter current beside it")
    if context.run.interval is not None:
        return choose_span(snapshots, *context.run.interval)
    return _since_last_span(snapshots, context.ledger.runs.all_spans(context.run.workflow))


def _named_pair(
    snapshots: Sequence[Snapshot], context: RunContext, current_key: str
) -> tuple[Snapshot | None, Snapshot]:
    """Return the snapshots that the run's parameters name; the one before where they name one."""
    directory, reasons = context.directory, context.quarantine_reasons()
    current = find_usable(directory, current_key, reasons, now=context.now)
    if context.wishes.previous is None:
        return newest_complete(snapshots, before=current.as_of), current
    previous = find_usable(directory, context.wishes.previous, reasons, now=context.now)
    if previous.as_of >= current.as_of:
        raise SettingsError(
            f"the parameter previous ({previous.key}) must be before current ({current.key})"
        )
    return previous, current


def _since_last_span(
    snapshots: Sequence[Snapshot], spans: Sequence[RecordedSpan]
) -> tuple[Snapshot | None, Snapshot | None]:
    """A manual run without parameters: from the last recorded span to the newest snapshot."""
    current = newest_complete(snapshots)
    if current is None:
        return None, None
    if not spans:
        return newest_complete(snapshots, before=current.as_of), current
    end = max(span.stretch.current for span in spans)
    return newest_complete([item for item in snapshots if item.as_of <= end.as_of]), current


def stretch_between(previous: Snapshot | None, current: Snapshot) -> Stretch:
    """Return the time from one snapshot to the next; without a previous one it is empty."""
    end = point_of(current)
    return Stretch(point_of(previous) if previous else end, end)


def point_of(snapshot: Snapshot) -> Point:
    """Return where a snapshot stands in time."""
    return Point(snapshot.as_of, snapshot.key)
