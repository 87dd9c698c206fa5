"""Resumption: deliveries that no run of their workflow will take up by itself.

``segue_release`` resumes what was held and is due, and settles calls in doubt, through the same
door as every run. What a delivery needs is read again from the snapshots that its change lies
between, and the workflow is the one that is defined now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from segue.delivery.branches import Change
from segue.delivery.details import live_details_of
from segue.delivery.door import REAL_CLOCK, Clock, Pass
from segue.delivery.ledger import (
    SKIPPED_CONDITIONS,
    SKIPPED_NOT_FOUND,
    SKIPPED_REMOVED,
    DueDelivery,
    Ledger,
)
from segue.delivery.looking_up import Desk
from segue.delivery.policies import start_rules
from segue.delivery.recovery import recover
from segue.delivery.resolved import ResolvedWorkflow
from segue.delivery.steps import Slice, send
from segue.delivery.verdicts import by_details, judge
from segue.directory.snapshots import find_snapshot
from segue.errors import ConnectionFailure, DataError, TransientFailure
from segue.segments.changes import Memberships
from segue.segments.evaluation import Population
from segue.segments.kinds import RemovalReason

AT_ONCE = 500  # deliveries of one pass, so that a pass ends within minutes
_LATER = timedelta(hours=1)  # when what cannot be read is looked at again


@dataclass(slots=True)
class Resumed:
    """What came of a resumption: the passes through the door, and what did not work."""

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
    link: str | None = None,
) -> Resumed:
    """Settle the calls of one action that are in doubt, and take up what is due.

    What cannot be read, because a snapshot is gone, waits for an hour and is a problem. Where a
    live source cannot be asked, it waits for the next time. Of a digest all that is due becomes
    one message, whose template sees ``link``.
    """
    now = clock.now()
    found = Resumed()
    action = resolved.definition.action(action_id)
    _settle_doubts(resolved, action_id, ledger, owner, now, found)
    most = None if action.digest else at_once
    due = [_change(item) for item in ledger.due(resolved.name, action_id, now, most)]
    ledger.hold_followers(_keys(resolved, action_id, due, ledger), now)

    def deliver(slices: Sequence[Slice], part: str) -> None:
        each = send(
            resolved,
            action,
            slices,
            ledger,
            owner=f"{owner}/{part}",
            link=link,
            memberships=memberships,
            clock=clock,
        )
        found.passes.append(each)

    def wait(changes: Sequence[Change], part: str, error: DataError) -> None:
        keys = _keys(resolved, action_id, changes, ledger)
        ledger.postpone(keys, f"waits: {error}", now + _LATER, now)
        found.problems.append(f"{len(changes)} deliveries of {part}: {error}")

    readable: list[Slice] = []
    for key, changes in by_details(due):
        try:
            snapshot = find_snapshot(resolved.directory, key, now=now)
            details = live_details_of(resolved, snapshot, changes, Desk(ledger, clock), memberships)
            passed = _passing(resolved, action_id, changes, details, ledger, now)
            readable.append(Slice(passed, partial(_same, details)))
            if not action.digest:
                deliver(readable[-1:], key)
        except DataError as error:
            wait(changes, key, error)
        except (ConnectionFailure, TransientFailure) as error:
            found.problems.append(f"{len(changes)} deliveries of {key} wait: {error}")
    if action.digest and readable:
        try:
            deliver(readable, "digest")
        except DataError as error:
            wait([change for each in readable for change in each.changes], "the digest", error)
    return found


def forget_action(workflow: str, action: str, ledger: Ledger) -> str:
    """Settle what is left of an action that is not defined any more; returns what was done.

    What is held is skipped, and of calls in doubt nobody can tell: there is no channel to ask.
    """
    now = datetime.now(UTC)
    uncertain = ledger.call_uncertain(ledger.in_doubt(workflow, action, now), now, now)
    skipped = ledger.settle_removed(workflow, action, SKIPPED_REMOVED, now)
    return f"{skipped} that were held are skipped, {uncertain} calls in doubt are uncertain"


def _settle_doubts(
    resolved: ResolvedWorkflow,
    action_id: str,
    ledger: Ledger,
    owner: str,
    now: datetime,
    found: Resumed,
) -> None:
    channel = resolved.channels[action_id]
    rules = start_rules(channel, resolved.definition.policies, resolved.directory.zone)
    keys = ledger.in_doubt(resolved.name, action_id, now)
    trouble = recover(ledger, channel, rules, keys, owner=f"{owner}/doubts", now=now)
    if trouble is not None:
        found.problems.append(str(trouble))


def _same(details: Population, _: str) -> Population:
    return details


def _change(item: DueDelivery) -> Change:
    at = item.previous if item.reason == RemovalReason.DELETED else item.current
    return Change(item.contact_id, item.change, item.reason, item.current, at or item.current)


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
        ledger.skip(_keys(resolved, action_id, refused, ledger), reason, now)
    return passed


def _keys(
    resolved: ResolvedWorkflow, action_id: str, changes: Sequence[Change], ledger: Ledger
) -> list[str]:
    return [
        ledger.key(resolved.name, action_id, item.contact_id, item.change, item.snapshot)
        for item in changes
    ]
