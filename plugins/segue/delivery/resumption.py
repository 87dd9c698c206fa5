"""Resumption: deliveries that no run of their workflow will take up by itself.

``segue_release`` resumes what was held and is due, and settles calls in doubt, through the same
door as every run. What a delivery needs is read again from the snapshots that its change lies
between, after a wait from the newest, and the workflow is the one that is defined now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from segue.clock import REAL_CLOCK, Clock
from segue.contacts.change import Change
from segue.contacts.conditions import by_details, judge
from segue.contacts.live_look_up import Desk, PartlyLookedUp
from segue.contacts.loading import EarlierTries, live_details_of
from segue.contacts.recheck import consent_at, newest_sound
from segue.delivery.calls import Pass
from segue.delivery.policies import start_rules, waited_too_long
from segue.delivery.recovery import Recovery
from segue.delivery.steps import Slice, send
from segue.directory.snapshots import Snapshot, find_snapshot
from segue.errors import ConnectionFailure, DataError, TransientFailure
from segue.ledger import Ledger
from segue.ledger.facts import DueDelivery
from segue.ledger.people.release_requests import RequestKind, Selection
from segue.ledger.reasons import Reason
from segue.segments.membership.changes import Memberships
from segue.segments.population import Population
from segue.workflows.definition import Policies
from segue.workflows.resolved import ResolvedWorkflow

AT_ONCE = 5_000  # deliveries whose details are read at a time
_LONGEST = timedelta(minutes=4, seconds=30)  # of one resumption: the next comes in five minutes
_LATER = timedelta(hours=1)  # when what cannot be read is looked at again


@dataclass(slots=True)
class Resumed:
    """What came of a resumption: the passes through the door, and what did not work."""

    passes: list[Pass] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def may_go_on(self) -> bool:
        """False once a pass had to end: what comes next would meet the same."""
        return not any(each.is_over or each.stopped for each in self.passes)


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
    paused: bool = False,
) -> Resumed:
    """Settle the calls of one action that are in doubt, and take up what is due.

    As much as the vendor's rate allows within minutes; the rest stays due. What cannot be read,
    because a snapshot is gone, waits for an hour and is a problem. Where a live source cannot be
    asked, it waits for the next time. Of a digest all that is due becomes one message, whose
    template sees ``link``. Of a workflow that is ``paused`` nothing is sent.
    """
    work = _Resumption(resolved, action_id, ledger, owner, memberships, clock, link)
    work.settle_doubts()
    if not paused:
        work.take_up(at_once)
    return work.found


def await_definition(workflow: str, action: str, ledger: Ledger, now: datetime) -> int:
    """Leave everything of an action that is not defined as it is; returns how much waits.

    A folder may be missing for a while, or half copied: what was held is sent when it is back.
    """
    due = ledger.deliveries.due(workflow, action, now, None)
    keys = [_change(item).key(ledger.namespace, workflow, action) for item in due]
    ledger.deliveries.hold_followers(keys, now)
    return ledger.people.matching(RequestKind.DROP, Selection(workflow, action))


class _Resumption:
    """One action's deliveries, taken up portion by portion."""

    def __init__(
        self,
        resolved: ResolvedWorkflow,
        action_id: str,
        ledger: Ledger,
        owner: str,
        memberships: Memberships | None,
        clock: Clock,
        link: str | None,
    ) -> None:
        self.resolved, self.ledger, self.owner = resolved, ledger, owner
        self.action = resolved.definition.action(action_id)
        self.memberships, self.clock, self.link = memberships, clock, link
        self.began = clock.now()
        self.found = Resumed()
        self._portions = 0

    @property
    def _policies(self) -> Policies:
        return self.resolved.definition.policies

    @property
    def _resends(self) -> bool:
        return self._policies.on_uncertain == "resend"

    def settle_doubts(self) -> None:
        """Ask the channel for the calls whose outcome nobody wrote down."""
        name, channel = self.resolved.name, self.resolved.channels[self.action.id]
        rules = start_rules(channel, self._policies, self.resolved.directory.zone)
        keys = self.ledger.deliveries.in_doubt(name, self.action.id, self.began)
        owner, resends = f"{self.owner}/doubts", self._resends
        recovery = Recovery(
            self.ledger, channel, rules, owner, self.began, resends=resends, in_run=False
        )
        trouble = recovery.settle(keys)
        if trouble is not None:
            self.found.problems.append(str(trouble))
        self.ledger.deliveries.let_rest(name, self.action.id, self.began, resends=resends)

    def take_up(self, at_once: int) -> None:
        """Take all that is due through the door, each delivery once, what waits longest first."""
        most = None if self.action.digest else at_once
        changes_so_far: set[Change] = set()
        while self.found.may_go_on and self.clock.now() < self.began + _LONGEST:
            due = self.ledger.deliveries.due(self.resolved.name, self.action.id, self.began, most)
            fresh = [change for item in due if (change := _change(item)) not in changes_so_far]
            if not fresh:
                return
            changes_so_far.update(fresh)
            self._portions += 1
            self._take_up(self._without_expired(fresh))
            if most is None:
                return

    def _without_expired(self, changes: Sequence[Change]) -> Sequence[Change]:
        """Return what was not held for too long; that is judged whatever can be read of it."""
        if self._policies.quiet_hours is None:
            return changes
        keys, now = self._keys(changes), self.clock.now()
        zone = self.resolved.directory.zone
        rows = self.ledger.deliveries.rows(keys)
        late = {row.key for row in rows.values() if waited_too_long(row, self._policies, zone, now)}
        self.ledger.deliveries.expire(late, now)
        return [change for change, key in zip(changes, keys, strict=True) if key not in late]

    def _take_up(self, due: Sequence[Change]) -> None:
        now = self.clock.now()
        self.ledger.deliveries.hold_followers(self._keys(due), now)
        readable: list[Slice] = []
        try:
            due = self._as_it_stands(due, now)
        except DataError as error:
            self._postpone(due, "the newest snapshot", error)
            return
        for key, changes in by_details(due):
            try:
                snapshot = find_snapshot(self.resolved.directory, key, now=now)
                some, details = self._details(snapshot, changes)
                passes = self._passing(some, details)
                readable.append(Slice(passes, partial(_same, details)))
                if not self.action.digest:
                    self._deliver(readable[-1:], key)
            except DataError as error:
                self._postpone(changes, key, error)
            except (ConnectionFailure, TransientFailure) as error:
                self.found.problems.append(f"{len(changes)} deliveries of {key} wait: {error}")
        if self.action.digest and readable:
            try:
                self._deliver(readable, "digest")
            except DataError as error:
                every = [change for each in readable for change in each.changes]
                self._postpone(every, "the digest", error)

    def _as_it_stands(self, due: Sequence[Change], now: datetime) -> Sequence[Change]:
        """Return changes that have waited with the details of the newest complete snapshot.

        Whoever is gone from it keeps the details of before. Raises DataError where it cannot tell.
        """
        if not self.resolved.waits(self.action) or not due:
            return due
        quarantined_keys = self.ledger.people.quarantined(self.resolved.directory.full_name)
        newest = newest_sound(self.resolved.directory, due, now, quarantined_keys)
        present = consent_at(self.resolved, due, newest)
        return [
            replace(change, details_at=newest.key) if change.contact_id in present else change
            for change in due
        ]

    def _details(
        self, snapshot: Snapshot, changes: Sequence[Change]
    ) -> tuple[Sequence[Change], Population]:
        """Return the details, and whose they are: a slow source has not answered for all by now."""
        desk = Desk(self.ledger, self.clock, self.began + _LONGEST)
        load = partial(live_details_of, self.resolved, snapshot, desk=desk)
        try:
            return changes, load(changes, memberships=self.memberships)
        except PartlyLookedUp as error:
            part = [change for change in changes if change.contact_id in error.found]
            so_far = EarlierTries(error.found)
            return part, load(part, memberships=self.memberships, earlier=so_far)

    def _deliver(self, slices: Sequence[Slice], part: str) -> None:
        each = send(
            self.resolved,
            self.action,
            slices,
            self.ledger,
            owner=f"{self.owner}/{self._portions}/{part}",
            link=self.link,
            memberships=self.memberships,
            clock=self.clock,
            until=self.began + _LONGEST,
        )
        self.found.passes.append(each)

    def _postpone(self, changes: Sequence[Change], part: str, error: DataError) -> None:
        now = self.clock.now()
        self.ledger.deliveries.postpone(self._keys(changes), f"waits: {error}", now + _LATER, now)
        self.found.problems.append(
            f"{len(changes)} deliveries of {part} wait for an hour: {error}. To give them up: "
            f"segue drop {self.resolved.name} --action {self.action.id}"
        )

    def _passing(self, changes: Sequence[Change], details: Population) -> list[Change]:
        """Return the changes that the workflow's conditions hold for; the others are skipped."""
        passes, failures, missing = judge(self.resolved, changes, partial(_same, details))
        for those, reason in ((failures, Reason.CONDITIONS), (missing, Reason.NOT_FOUND)):
            self.ledger.deliveries.skip(self._keys(those), reason, self.clock.now())
            self.ledger.deliveries.leave_in_doubt(self._keys(those), reason, self.clock.now())
        return passes

    def _keys(self, changes: Sequence[Change]) -> list[str]:
        namespace, name = self.ledger.namespace, self.resolved.name
        return [change.key(namespace, name, self.action.id) for change in changes]


def _same(details: Population, _: str) -> Population:
    return details


def _change(item: DueDelivery) -> Change:
    return Change.between(item.previous, item.current, item.contact_id, item.change, item.reason)
