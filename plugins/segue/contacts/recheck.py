"""Whether a change still stands when its message is sent: consent, and what may have changed since.

Both are judged on the newest complete snapshot, whatever the run's own are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from segue.contacts.change import Change
from segue.contacts.conditions import Verdict, holds, not_judged
from segue.contacts.loading import details_of
from segue.contacts.overlay import lay_over
from segue.contracts.live_source import Answer
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_keys import parse_key
from segue.directory.snapshots import Snapshot, newest_complete, usable_snapshots
from segue.directory.tables import SnapshotTables
from segue.directory.unread import refuse_unread
from segue.errors import DataError, SegueError, SnapshotMissing, log_defect
from segue.segments.consent import opt_states, refuse_lost_opt_outs
from segue.segments.fitness import require_answers, require_sound
from segue.segments.kinds import ChangeKind, RemovalReason
from segue.segments.loading import judge, load_opt_states, load_population
from segue.segments.membership.changes import Memberships
from segue.segments.strangers import refuse_strangers
from segue.workflows.resolved import ResolvedWorkflow

log = logging.getLogger(__name__)

Judge: TypeAlias = Callable[[Sequence[Change]], dict[Change, str | None]]


def current_consent(
    resolved: ResolvedWorkflow,
    changes: Sequence[Change],
    now: datetime,
    quarantined: Collection[str] = (),
) -> Mapping[str, bool]:
    """Return the effective opt state per contact on the newest complete, usable snapshot.

    A contact that is not there any more is left out. Raises as ``newest_sound`` does.
    """
    if not changes:
        return {}
    return consent_at(
        resolved, changes, newest_sound(resolved.directory, changes, now, quarantined)
    )


def newest_sound(
    directory: DirectoryDefinition,
    changes: Sequence[Change],
    now: datetime,
    quarantined: Collection[str] = (),
) -> Snapshot:
    """Return the newest complete, usable snapshot, if it can say how these contacts stand.

    Raises SnapshotMissing while it is older than the changes, and DataError where it cannot be
    read, or has lost who opted out.
    """
    usable = usable_snapshots(directory, quarantined, now=now)
    newest = newest_complete(usable)
    keys = sorted({change.snapshot for change in changes})
    if newest is None or newest.as_of < _latest(directory, keys):
        why = "quarantined" if keys[-1] in quarantined else "not complete any more"
        raise SnapshotMissing(
            f"consent cannot be judged: snapshot {keys[-1]} of {directory.directory} is {why}, "
            "and no newer one is complete"
        )
    tables = SnapshotTables(directory, newest)
    for snapshot in usable:
        if snapshot.key in keys and snapshot.complete:
            refuse_lost_opt_outs(SnapshotTables(directory, snapshot), tables)
    if newest.key not in keys:  # else the run that detected the changes has looked
        _refuse_unsound(tables)
    return newest


def _latest(directory: DirectoryDefinition, keys: Iterable[str]) -> datetime:
    """Return the latest as-of of snapshots with these keys."""
    parts = (parse_key(directory, key) for key in keys)
    return max(as_of for _, as_of in filter(None, parts))


def _refuse_unsound(tables: SnapshotTables) -> None:
    """Raise DataError where a snapshot that no run has looked at cannot say who may be written to.

    One without contacts would say that they all are gone.
    """
    where = f"directory {tables.directory.directory}, snapshot {tables.snapshot.key}"
    if not tables.count("contacts"):
        raise DataError(f"{where}: contacts is empty; expected at least one row")
    refuse_unread(tables)
    require_sound(tables)
    refuse_strangers(tables, ["subscriptions"])


def consent_at(
    resolved: ResolvedWorkflow, changes: Sequence[Change], snapshot: Snapshot
) -> dict[str, bool]:
    """Return the effective opt state per contact at a snapshot; who is not there is left out."""
    contact_ids = {change.contact_id for change in changes}
    tables = SnapshotTables(resolved.directory, snapshot)
    population = load_opt_states(resolved.segment, tables, only=contact_ids)
    states = opt_states(population, resolved.segment.segment)
    ids = population.contacts["contact_id"]
    return dict(zip(ids, map(bool, states), strict=True))


def recheck(
    resolved: ResolvedWorkflow,
    changes: Sequence[Change],
    now: datetime,
    quarantined: Collection[str] = (),
    memberships: Memberships | None = None,
    answers: Mapping[str, Answer] | None = None,
) -> dict[Change, str]:
    """Return why changes do not stand any more on the newest complete, usable snapshot, in words.

    A change stands while its contact is in the segment (after ``removed``: is not), in the opt
    state that the change brought about, and the workflow's conditions hold. Of a deleted contact
    only the first is known. ``answers`` are what was looked up live of the contacts. One contact
    that cannot be judged does not stand, and is in nobody's way.
    """
    usable = usable_snapshots(resolved.directory, quarantined, now=now)
    newest = newest_complete(usable)
    older = [change for change in changes if newest and change.snapshot != newest.key]
    if newest is None or not older:
        return {}
    reasons = _by_halves(
        lambda some: _withdrawn(resolved, some, newest, memberships, answers or {}), older
    )
    return {change: reason for change, reason in reasons.items() if reason is not None}


def _by_halves(judged: Judge, changes: Sequence[Change]) -> dict[Change, str | None]:
    """Judge all changes at once, or by halves until whoever cannot be judged is alone."""
    try:
        return judged(changes)
    except SegueError:
        raise
    except Exception as error:  # noqa: BLE001 - of any kind: the others are judged
        if len(changes) > 1:
            middle = len(changes) // 2
            return _by_halves(judged, changes[:middle]) | _by_halves(judged, changes[middle:])
        kind = log_defect(log, error, f"at the recheck of {changes[0].contact_id}")
        return {changes[0]: f"it cannot be judged of this contact ({kind})"}


def _withdrawn(
    resolved: ResolvedWorkflow,
    asked: Sequence[Change],
    newest: Snapshot,
    memberships: Memberships | None,
    answers: Mapping[str, Answer],
) -> dict[Change, str | None]:
    """Return why each change does not stand any more; None where it does."""
    states = _states(resolved, asked, newest)
    reasons = {change: _why_not(change, states.get(change.contact_id)) for change in asked}
    to_judge = [
        change
        for change in asked
        if reasons[change] is None and change.reason != RemovalReason.DELETED
    ]
    verdicts = _conditions(resolved, to_judge, newest, memberships, answers)
    return reasons | {
        change: not_judged(verdict) or (None if verdict else "the conditions do not hold any more")
        for change, verdict in zip(to_judge, verdicts, strict=True)
    }


def _states(
    resolved: ResolvedWorkflow, changes: Sequence[Change], snapshot: Snapshot
) -> dict[str, tuple[bool, bool]]:
    """Return (is a member, is opted in) of the contacts that are in the snapshot."""
    tables = SnapshotTables(resolved.directory, snapshot)
    require_answers(resolved.segment, tables)
    ids = {change.contact_id for change in changes}
    population = load_population(resolved.segment, tables, only=ids)
    members = judge(resolved.segment, population)
    opted_in = opt_states(population, resolved.segment.segment)
    pairs = zip(map(bool, members), map(bool, opted_in), strict=True)
    return dict(zip(population.contacts["contact_id"], pairs, strict=True))


def _why_not(change: Change, state: tuple[bool, bool] | None) -> str | None:
    if change.change == ChangeKind.REMOVED:
        return "a member again" if state and state[0] else None
    if state is None:
        return "not in the directory any more"
    is_member, opted_in = state
    if not is_member:
        return "not a member any more"
    if change.change == ChangeKind.OPTED_IN and not opted_in:
        return "opted out again"
    if change.change == ChangeKind.OPTED_OUT and opted_in:
        return "opted in again"
    return None


def _conditions(
    resolved: ResolvedWorkflow,
    changes: Sequence[Change],
    snapshot: Snapshot,
    memberships: Memberships | None,
    answers: Mapping[str, Answer],
) -> list[Verdict]:
    if not changes or resolved.definition.conditions is None:
        return [True] * len(changes)
    details = details_of(resolved, snapshot, changes, memberships)
    if resolved.live is not None:
        details = lay_over(details, resolved.live, answers)
    return holds(resolved.definition.conditions, details, changes)
