"""Resumption: deliveries that no run of their workflow will take up by itself.

``segue_release`` resumes what was held and is due, and settles calls in doubt, through the same
door as every run. What a delivery needs is read again from the snapshots that its change lies
between, and the workflow is the one that is defined now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from segue.delivery.branches import Change
from segue.delivery.door import REAL_CLOCK, Clock, Pass
from segue.delivery.ledger import (
    SKIPPED_CONDITIONS,
    SKIPPED_NOT_FOUND,
    DueDelivery,
    Ledger,
)
from segue.delivery.resolved import ResolvedWorkflow
from segue.delivery.steps import send
from segue.delivery.verdicts import by_details, judge
from segue.directory.snapshots import find_snapshot
from segue.errors import DataError
from segue.segments.changes import Memberships
from segue.segments.evaluation import Population
from segue.segments.kinds import RemovalReason
from segue.workflows.details import load_details

AT_ONCE = 2000  # deliveries of one pass, so that a pass ends within minutes


@dataclass(slots=True)
class Resumed:
    """What came of a resumption: the passes through the door, and what could not be read."""

    passes: list[Pass] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def resume(
    resolved: ResolvedWorkflow,
    action_id: str,
    ledger: Ledger,
    *,
    owner: str,
    memberships: Memberships | None = None,
    at_once: int = AT_ONCE,
    clock: Clock = REAL_CLOCK,
) -> Resumed:
    """Take up what is due of one action. Messages whose snapshot is gone stay where they are."""
    now = clock.now()
    channel = resolved.channels[action_id]
    in_doubt_since = now - timedelta(seconds=channel.longest_call)
    due = ledger.due(resolved.name, action_id, now, in_doubt_since, at_once)
    found = Resumed()
    for snapshot, changes in by_details([_change(item) for item in due]):
        try:
            details = _details(resolved, snapshot, changes, memberships, now)
        except DataError as error:
            found.problems.append(f"{len(changes)} deliveries of {snapshot}: {error}")
            continue
        passed = _passing(resolved, action_id, changes, details, ledger, now)
        found.passes.append(
            send(
                resolved,
                resolved.definition.action(action_id),
                passed,
                partial(_same, details),
                ledger,
                owner=f"{owner}/{snapshot}",
                memberships=memberships,
                clock=clock,
            )
        )
    return found


def _same(details: Population, _: str) -> Population:
    return details


def _change(item: DueDelivery) -> Change:
    at = item.previous if item.reason == RemovalReason.DELETED else item.current
    return Change(item.contact_id, item.change, item.reason, item.current, at or item.current)


def _details(
    resolved: ResolvedWorkflow,
    key: str,
    changes: Sequence[Change],
    memberships: Memberships | None,
    now: datetime,
) -> Population:
    return load_details(
        resolved.definition,
        resolved.directory,
        find_snapshot(resolved.directory, key, now=now),
        {change.contact_id for change in changes},
        referred=resolved.referred,
        memberships=memberships,
    )


def _passing(
    resolved: ResolvedWorkflow,
    action_id: str,
    changes: Sequence[Change],
    details: Population,
    ledger: Ledger,
    now: datetime,
) -> list[Change]:
    """Return the changes that the workflow's conditions hold for; the others are skipped."""
    passed, failed, missing = judge(resolved, changes, partial(_same, details))
    for refused, reason in ((failed, SKIPPED_CONDITIONS), (missing, SKIPPED_NOT_FOUND)):
        keys = [
            ledger.key(resolved.name, action_id, item.contact_id, item.change, item.snapshot)
            for item in refused
        ]
        ledger.skip(keys, reason, now)
    return passed
