"""Which two snapshots a run compares, and what it has to wait for (docs/design.md, "Time")."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from segue.directory.snapshots import (
    Snapshot,
    choose_span,
    find_usable,
    newest_complete,
    usable_snapshots,
)
from segue.errors import SettingsError, SnapshotMissing
from segue.ledger import Ledger
from segue.ledger.facts import RecordedSpan, Run, Wishes
from segue.workflows.resolved import ResolvedWorkflow


def waiting_for(
    resolved: ResolvedWorkflow, run: Run, wishes: Wishes, ledger: Ledger, now: datetime
) -> str | None:
    """Return what a run has to wait for, in words, or None when it can go on.

    A run waits for a current snapshot, and for a newer one of its interval that is being written.
    Raises SettingsError where no time helps: a parameter is no key, or names a quarantined one.
    """
    if ledger.runs.find_run(run.workflow, run.run_id) is not None:
        return None
    name = resolved.directory.directory
    snapshots = usable_snapshots(resolved.directory, ledger.people.quarantined(name), now=now)
    try:
        _, current = _chosen(snapshots, resolved, run, wishes, ledger, now)
    except SnapshotMissing as error:
        return str(error)
    if run.interval is None or wishes.current is not None:
        return None if current else f"the directory {name} has no complete snapshot"
    start, end = run.interval
    if snapshots and end < snapshots[0].as_of:
        return None
    inside = [item for item in snapshots if start < item.as_of <= end]
    if inside and not inside[-1].complete:
        return f"snapshot {inside[-1].key} of {name} is not complete: {inside[-1].why_incomplete}"
    return None if inside else f"the directory {name} has no snapshot of the run's interval yet"


def has_current(
    resolved: ResolvedWorkflow, run: Run, wishes: Wishes, ledger: Ledger, now: datetime
) -> bool:
    """Tell whether a run has a complete current snapshot, be there a newer one or not."""
    try:
        return snapshots_for(resolved, run, wishes, ledger, now)[1] is not None
    except SnapshotMissing:
        return False


def snapshots_for(
    resolved: ResolvedWorkflow, run: Run, wishes: Wishes, ledger: Ledger, now: datetime
) -> tuple[Snapshot | None, Snapshot | None]:
    """Return the (previous, current) snapshots that a run is to compare; None is missing.

    A quarantined snapshot is neither.
    """
    quarantined = ledger.people.quarantined(resolved.directory.directory)
    snapshots = usable_snapshots(resolved.directory, quarantined, now=now)
    return _chosen(snapshots, resolved, run, wishes, ledger, now)


def _chosen(
    snapshots: Sequence[Snapshot],
    resolved: ResolvedWorkflow,
    run: Run,
    wishes: Wishes,
    ledger: Ledger,
    now: datetime,
) -> tuple[Snapshot | None, Snapshot | None]:
    """Choose from those that are listed already: on object storage each listing is a request."""
    if wishes.current is not None:
        directory = resolved.directory
        quarantined = ledger.people.quarantined(directory.directory)
        current = find_usable(directory, wishes.current, quarantined, now=now)
        if wishes.previous is None:
            return newest_complete(snapshots, before=current.as_of), current
        previous = find_usable(directory, wishes.previous, quarantined, now=now)
        if previous.as_of >= current.as_of:
            raise SettingsError(
                f"the parameter previous ({previous.key}) must be before current ({current.key})"
            )
        return previous, current
    if wishes.previous is not None:
        raise SettingsError("the parameter previous needs the parameter current beside it")
    if run.interval is not None:
        return choose_span(snapshots, *run.interval)
    return _since_last_span(snapshots, ledger.runs.all_spans(run.workflow))


def _since_last_span(
    snapshots: Sequence[Snapshot], recorded: Sequence[RecordedSpan]
) -> tuple[Snapshot | None, Snapshot | None]:
    """A manual run without parameters: from the last recorded span to the newest snapshot."""
    current = newest_complete(snapshots)
    if current is None:
        return None, None
    if not recorded:
        return newest_complete(snapshots, before=current.as_of), current
    end = max(span.stretch.current for span in recorded)
    return newest_complete([item for item in snapshots if item.as_of <= end.as_of]), current
