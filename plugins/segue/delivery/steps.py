"""The steps of a branch: load details, check conditions, deliver an action.

Airflow's operators are one call into this module each; nothing here knows Airflow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from segue.delivery.branches import BranchRef, Change, RunArea
from segue.delivery.channel import Audience
from segue.delivery.door import Candidate, Door, Pass
from segue.delivery.ledger import SKIPPED_CONDITIONS, SKIPPED_NOT_FOUND, DeliveryRow, Ledger
from segue.delivery.resolved import ResolvedWorkflow
from segue.directory.snapshots import Snapshot, find_snapshot, parse_key, usable_snapshots
from segue.directory.tables import SnapshotTables
from segue.errors import DataError, SnapshotMissing
from segue.segments.changes import Memberships
from segue.segments.conditions import Condition
from segue.segments.consent import refuse_lost_opt_outs
from segue.segments.evaluation import Population, evaluate
from segue.segments.loading import load_opt_states
from segue.segments.membership import opt_states
from segue.workflows.definition import Action, prerequisites
from segue.workflows.details import contact_fields, load_details


def load_branch(
    resolved: ResolvedWorkflow,
    ref: BranchRef,
    now: datetime,
    memberships: Memberships | None = None,
) -> int:
    """Write the details of a branch's contacts to the run area; returns how many were found."""
    area = _area(resolved, ref)
    found = 0
    for key, changes in _by_details(area.read_slice(ref.number)):
        snapshot = find_snapshot(resolved.directory, key, now=now)
        ids = {change.contact_id for change in changes}
        population = load_details(
            resolved.definition,
            resolved.directory,
            snapshot,
            ids,
            referred=resolved.referred,
            memberships=memberships,
        )
        area.write_details(ref.number, key, population)
        found += len(population.contacts)
    return found


def check_branch(
    resolved: ResolvedWorkflow, ref: BranchRef, ledger: Ledger, now: datetime
) -> tuple[int, int]:
    """Judge the workflow's conditions for a branch; returns (passed, judged).

    Records ``skipped(conditions)`` for contacts that fail and takes that back for those who pass.
    """
    area = _area(resolved, ref)
    changes = area.read_slice(ref.number)
    passed, failed, missing = judge(
        resolved, changes, lambda key: area.read_details(ref.number, key)
    )
    ledger.skip(_keys(resolved, ledger, failed), SKIPPED_CONDITIONS, now)
    ledger.skip(_keys(resolved, ledger, missing), SKIPPED_NOT_FOUND, now)
    ledger.unskip(_keys(resolved, ledger, passed), SKIPPED_CONDITIONS, now)
    ledger.unskip(_keys(resolved, ledger, passed), SKIPPED_NOT_FOUND, now)
    area.write_passed(ref.number, passed)
    return len(passed), len(changes)


def judge(
    resolved: ResolvedWorkflow, changes: Sequence[Change], details: Any
) -> tuple[list[Change], list[Change], list[Change]]:
    """Split changes into passed, failed and contact-not-found, by the workflow's conditions.

    ``details`` returns the Population of the contacts for a snapshot key.
    """
    passed: list[Change] = []
    failed: list[Change] = []
    missing: list[Change] = []
    for key, group in _by_details(changes):
        verdicts = holds(resolved.definition.conditions, details(key), group)
        for change, verdict in zip(group, verdicts, strict=True):
            target = missing if verdict is None else passed if verdict else failed
            target.append(change)
    return passed, failed, missing


def holds(
    condition: Condition | None, population: Population, changes: Sequence[Change]
) -> list[bool | None]:
    """Return whether ``condition`` holds for each change; None where the contact is missing."""
    rows = {contact: row for row, contact in enumerate(population.contacts["contact_id"])}
    if condition is None:
        return [True if change.contact_id in rows else None for change in changes]
    by_kind = {
        kind: evaluate(condition, population.with_change(kind))
        for kind in {change.change for change in changes}
    }
    return [
        bool(by_kind[change.change][rows[change.contact_id]]) if change.contact_id in rows else None
        for change in changes
    ]


def deliver_action(
    resolved: ResolvedWorkflow,
    action: Action,
    ref: BranchRef,
    ledger: Ledger,
    *,
    owner: str,
    clear_number: int,
) -> Pass:
    """Deliver one action to the contacts of a branch that passed the conditions."""
    now = datetime.now(UTC)
    area = _area(resolved, ref)
    passed = area.read_passed(ref.number)
    channel = resolved.channels[action.id]
    to_contact = channel.addressed_to is Audience.CONTACT
    quarantined = ledger.quarantined(resolved.directory.directory)
    consent = current_consent(resolved, passed, now, quarantined) if to_contact else {}
    candidates = [
        candidate
        for key, group in _by_details(passed)
        for candidate in _candidates(
            resolved, action, group, area.read_details(ref.number, key), consent, ledger
        )
    ]
    door = Door(
        ledger,
        channel,
        owner=owner,
        clear_number=clear_number,
        variables=resolved.variables,
    )
    return door.deliver(candidates)


def current_consent(
    resolved: ResolvedWorkflow,
    changes: Sequence[Change],
    now: datetime,
    quarantined: Collection[str] = (),
) -> Mapping[str, bool]:
    """Return the effective opt state per contact on the newest complete, usable snapshot.

    A contact that is not there any more is left out. Raises SnapshotMissing while the newest
    complete snapshot is older than the changes: it could not know their contacts.
    """
    if not changes:
        return {}
    directory = resolved.directory
    usable = usable_snapshots(directory, quarantined, now=now)
    complete = [item for item in usable if item.complete]
    keys = sorted({change.snapshot for change in changes})
    instants = [parsed[1] for key in keys if (parsed := parse_key(directory, key))]
    if not complete or complete[-1].as_of < max(instants):
        raise SnapshotMissing(
            f"consent cannot be judged: snapshot {keys[-1]} of {directory.directory} is not "
            "complete any more, and no newer one is"
        )
    tables = SnapshotTables(directory, complete[-1])
    for snapshot in complete:
        if snapshot.key in keys:
            refuse_lost_opt_outs(SnapshotTables(directory, snapshot), tables)
    return consent_at(resolved, changes, complete[-1])


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


def _area(resolved: ResolvedWorkflow, ref: BranchRef) -> RunArea:
    """Open a branch's run area; raise DataError where other contacts would be acted on now.

    Messages may be mended and sent again, but who is acted on was decided in detect_changes.
    """
    area = RunArea(ref.area)
    if area.read_audience() != resolved.audience:
        raise DataError(
            "the segment, the conditions or the directory were edited after this run detected its "
            "changes; clear the run from detect_changes to go on with the new definition"
        )
    return area


def _candidates(
    resolved: ResolvedWorkflow,
    action: Action,
    changes: Sequence[Change],
    population: Population,
    consent: Mapping[str, bool],
    ledger: Ledger,
) -> Iterable[Candidate]:
    fields = contact_fields(resolved.definition, population)
    verdicts = holds(action.condition, population, changes)
    before = {
        other: _keys_of(resolved, ledger, other, changes)
        for other in sorted(
            prerequisites(resolved.definition, action), key=resolved.action_ids.index
        )
    }
    rows: dict[str, DeliveryRow] = {}
    for keys in before.values():
        rows |= ledger.rows(keys)
    own = _keys_of(resolved, ledger, action.id, changes)
    for index, (change, verdict) in enumerate(zip(changes, verdicts, strict=True)):
        yield Candidate(
            key=own[index],
            contact_id=change.contact_id,
            change=change.change,
            snapshot=change.snapshot,
            fields=fields.get(change.contact_id),
            opted_in=consent.get(change.contact_id),
            passes_if=bool(verdict),
            before={other: rows.get(keys[index]) for other, keys in before.items()},
        )


def _keys_of(
    resolved: ResolvedWorkflow, ledger: Ledger, action: str, changes: Sequence[Change]
) -> list[str]:
    return [
        ledger.key(resolved.name, action, change.contact_id, change.change, change.snapshot)
        for change in changes
    ]


def _keys(resolved: ResolvedWorkflow, ledger: Ledger, changes: Sequence[Change]) -> list[str]:
    """Return the keys of all actions for these changes."""
    return [
        key for action in resolved.action_ids for key in _keys_of(resolved, ledger, action, changes)
    ]


def _by_details(changes: Iterable[Change]) -> Iterable[tuple[str, list[Change]]]:
    """Group changes by the snapshot that their contacts' details come from."""
    ordered = sorted(changes, key=lambda change: (change.details_at, change))
    for key, group in groupby(ordered, key=lambda change: change.details_at):
        yield key, list(group)
