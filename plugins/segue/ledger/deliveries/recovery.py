"""What dead workers left behind: claims that are free again, calls whose outcome is in doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, or_, select, union, update

from segue.ledger.base import (
    STATE,
    LedgerDatabase,
    batched,
    change_deliveries,
    lock_deliveries,
    move_deliveries,
    same_change,
    unindexed,
)
from segue.ledger.deliveries.claims import delivery_row, free_again
from segue.ledger.deliveries.outcomes import NOT_SENT_AGAIN, SENT_AGAIN
from segue.ledger.facts import NOT_HELD, DeliveryRow, DueDelivery, LateOutcome, Untold
from segue.ledger.reasons import Reason
from segue.ledger.schema import changes, deliveries, runs, spans, workflows
from segue.ledger.states import DUE_LATER, State, Step


class Recovery(LedgerDatabase):
    """Deliveries whose lease ran out."""

    def free_expired(self, now: datetime) -> int:
        """Return claims under a lease that ran out to where they came from; returns how many."""
        dead_claims = (
            deliveries.c.namespace == self.namespace,
            deliveries.c.state.in_(Step.GIVE_BACK.origins),
            deliveries.c.lease_until < now,
        )
        with self._write() as connection:
            return change_deliveries(connection, dead_claims, free_again(now))

    def call_uncertain(
        self,
        keys: Iterable[str],
        ended: datetime,
        now: datetime,
        *,
        resends: bool = False,
        in_run: bool = True,
    ) -> int:
        """Mark calls in doubt ``uncertain``: their channel cannot be asked. Returns how many.

        In doubt is what stands in ``sending`` under a lease that ran out before ``ended``. With
        ``resends``, what was not sent once more yet is due for it; the rest is to be told, where
        no run does (``in_run``).
        """
        why = "the worker ended during the call"
        is_sent_again = and_(
            literal(resends), deliveries.c.resent == 0, deliveries.c.barred.is_(None)
        )
        values = {
            "reason": case((deliveries.c.resent == 1, f"{SENT_AGAIN}: {why}"), else_=why),
            "lease_until": None,  # the owner stays: its late answer is still welcome
            "held_until": case((is_sent_again, now), else_=None),
            "held_since": None,
            "untold": None if in_run else case((is_sent_again, None), else_=1),
            "updated_at": now,
        }
        total = 0
        for batch in batched(sorted(keys)):
            doubtful = deliveries.c.key.in_(batch), _in_doubt(ended)
            with self._write() as connection:
                total += move_deliveries(connection, Step.CALL_UNCERTAIN, doubtful, values)
        return total

    def take_doubtful(
        self, keys: Iterable[str], ended: datetime, *, owner: str, lease_until: datetime
    ) -> list[DeliveryRow]:
        """Take calls in doubt, so that nobody else asks about them or sends them meanwhile.

        In doubt is what stands in ``sending`` under a lease that ran out before ``ended``.
        """
        claims: list[DeliveryRow] = []
        for batch in batched(sorted(keys)):
            with self._write() as connection:
                query = select(deliveries).where(deliveries.c.key.in_(batch), _in_doubt(ended))
                query = query.with_for_update(skip_locked=True)
                rows = [delivery_row(row) for row in connection.execute(query)]
                mine = deliveries.c.key.in_([row.key for row in rows])
                values = {"owner": owner, "lease_until": lease_until}
                connection.execute(update(deliveries).where(mine).values(values))
            claims += rows
        return claims

    def actions_with_work(self, now: datetime, project: str = "") -> list[tuple[str, str]]:
        """Return (workflow, action) of all deliveries that are due, in doubt, or to be told of.

        Of the workflows of one project.
        """
        others = select(workflows.c.workflow).where(
            workflows.c.namespace == self.namespace, workflows.c.project != project
        )
        mine = and_(self._is_own, deliveries.c.workflow.not_in(others))
        pair = deliveries.c.workflow, deliveries.c.action
        conditions = (_due(now), _may_follow(), _in_doubt(now), deliveries.c.untold.is_not(None))
        query = union(*(select(*pair).where(mine, each) for each in conditions))
        with self._read() as connection:
            self._find_few(connection)
            return sorted((row.workflow, row.action) for row in connection.execute(query))

    @property
    def _is_own(self) -> ColumnElement[bool]:
        """The deliveries of the namespace, for conditions that have an index of their own."""
        return unindexed(deliveries.c.namespace) == self.namespace

    def in_doubt(self, workflow: str, action: str, now: datetime) -> list[str]:
        """Return the keys of an action's calls whose lease ran out."""
        query = select(deliveries.c.key).where(
            deliveries.c.namespace == self.namespace,
            deliveries.c.workflow == workflow,
            deliveries.c.action == action,
            _in_doubt(now),
        )
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def expire(self, keys: Iterable[str], now: datetime) -> int:
        """Skip what was held for too long, for good; returns how many. It is to be told."""
        values = {"reason": Reason.EXPIRED, **NOT_HELD, "untold": 1, "updated_at": now}
        total = 0
        for batch in batched(sorted(keys)):
            mine = [deliveries.c.key.in_(batch)]
            with self._write() as connection:
                total += move_deliveries(connection, Step.EXPIRE, mine, values)
        return total

    def let_rest(self, workflow: str, action: str, now: datetime, *, resends: bool) -> None:
        """Leave to a person what is uncertain and may not be sent once more any longer.

        The workflow does not say ``resend`` now, it was sent again since, its snapshot was
        quarantined, or its change is none any more.
        """
        no_more = or_(
            literal(not resends),
            deliveries.c.resent == 1,
            deliveries.c.barred.is_not(None),
            ~exists().where(same_change(by_contact=True)),
        )
        due = (
            deliveries.c.namespace == self.namespace,
            deliveries.c.workflow == workflow,
            deliveries.c.action == action,
            deliveries.c.state == State.UNCERTAIN,
            deliveries.c.held_until.is_not(None),
            no_more,
        )
        with self._write() as connection:
            change_deliveries(connection, due, {**NOT_HELD, "untold": 1, "updated_at": now})

    def leave_in_doubt(self, keys: Iterable[str], reason: str, now: datetime) -> None:
        """Leave to a person what is uncertain, because ``reason`` forbids to send it once more."""
        for batch in batched(sorted(keys)):
            due = STATE == State.UNCERTAIN, deliveries.c.held_until.is_not(None)
            values = {"reason": f"{NOT_SENT_AGAIN}: {reason}", "untold": 1, "updated_at": now}
            with self._write() as connection:
                mine = deliveries.c.key.in_(batch), *due
                change_deliveries(connection, mine, {**values, **NOT_HELD})

    def untold(self, workflow: str, action: str) -> Untold:
        """Return what went wrong of an action outside of its runs and nobody was told of yet."""
        wrong = case(
            (deliveries.c.reason == Reason.EXPIRED, Reason.EXPIRED),
            (deliveries.c.state.in_((State.FAILED, State.UNCERTAIN)), deliveries.c.state),
            else_=None,
        )
        query = (
            select(deliveries.c.key, deliveries.c.updated_at, runs.c.id, runs.c.run_id, wrong)
            .join(spans, spans.c.id == deliveries.c.span)
            .join(runs, runs.c.id == spans.c.run)
            .where(self._untold_of(workflow, action))
        )
        with self._read() as connection:
            rows = connection.execute(query).all()
        counts = Counter((run, run_id, outcome) for _, _, run, run_id, outcome in rows if outcome)
        outcomes = [LateOutcome(*which, counts[which]) for which in sorted(counts)]
        return Untold(outcomes, {row.key: row.updated_at for row in rows})

    def mark_told(self, told: Untold) -> None:
        """Note that people were told of this; what has changed since it was read is still news."""
        for batch in batched(sorted(told.seen)):
            mine = deliveries.c.key.in_(batch), deliveries.c.untold.is_not(None)
            with self._write() as connection:
                lock_deliveries(connection, *mine)
                rows = connection.execute(
                    select(deliveries.c.key, deliveries.c.updated_at).where(*mine)
                )
                same = [row.key for row in rows if row.updated_at == told.seen[row.key]]
                as_told = update(deliveries).where(deliveries.c.key.in_(same))
                connection.execute(as_told.values(untold=None))

    def failed_of_runs(self, runs_: Iterable[int]) -> dict[int, int]:
        """Return how many deliveries of each of these runs have failed."""
        query = (
            select(spans.c.run, func.count())
            .join(deliveries, deliveries.c.span == spans.c.id)
            .where(spans.c.run.in_(list(runs_)), deliveries.c.state == State.FAILED)
            .group_by(spans.c.run)
        )
        with self._read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def _untold_of(self, workflow: str, action: str) -> ColumnElement[bool]:
        return and_(
            deliveries.c.untold.is_not(None),
            deliveries.c.namespace == self.namespace,
            deliveries.c.workflow == workflow,
            deliveries.c.action == action,
        )

    def drop_withdrawn(self, now: datetime) -> int:
        """Skip what is due of changes that were taken back meanwhile; returns how many."""
        withdrawn = (
            self._is_own,
            _due(now),
            unindexed(deliveries.c.state).in_(DUE_LATER),
            ~exists().where(same_change(by_contact=True)),
        )
        values = {"reason": Reason.NO_LONGER_A_CHANGE, "updated_at": now, **NOT_HELD}
        with self._write() as connection:
            self._find_few(connection)
            return move_deliveries(connection, Step.DROP_WITHDRAWN, withdrawn, values)

    def postpone(self, keys: Iterable[str], reason: str, until: datetime, now: datetime) -> None:
        """Let what is due wait on: it cannot be read now."""
        for batch in batched(sorted(keys)):
            these = deliveries.c.key.in_(batch), STATE.in_(DUE_LATER)
            values = {"held_until": until, "reason": reason, "updated_at": now}
            with self._write() as connection:
                change_deliveries(connection, these, values)

    def hold_followers(self, keys: Iterable[str], now: datetime) -> None:
        """Let what was skipped because of an action before it be held, and due.

        Then a pass that does not finish it, or dies, leaves it due; as ``released`` it were lost.
        """
        for batch in batched(sorted(keys)):
            followers = deliveries.c.key.in_(batch), deliveries.c.waits_for.is_not(None)
            values = {"held_until": now, "updated_at": now}
            with self._write() as connection:
                move_deliveries(connection, Step.HOLD_FOLLOWER, followers, values)

    def due(
        self, workflow: str, action: str, now: datetime, limit: int | None
    ) -> list[DueDelivery]:
        """Return an action's deliveries that are due, by when they are; then what may follow.

        Due is what was held, or waited, until now, what is uncertain and to be sent once more, and
        what was skipped because of an action before it that has been delivered since.
        """
        query = (
            select(
                deliveries.c.contact_id,
                deliveries.c.change,
                changes.c.reason,
                spans.c.previous_key,
                spans.c.current_key,
            )
            .join(spans, spans.c.id == deliveries.c.span)
            .join(changes, same_change(by_contact=True))
            .where(
                deliveries.c.namespace == self.namespace,
                deliveries.c.workflow == workflow,
                deliveries.c.action == action,
            )
        )
        followers = query.where(_may_follow()).order_by(deliveries.c.updated_at, deliveries.c.key)
        due = query.where(_due(now)).order_by(deliveries.c.held_until, deliveries.c.key)
        with self._read() as connection:
            rows = [*connection.execute(due.limit(limit))]
            remainder = None if limit is None else limit - len(rows)
            rows += connection.execute(followers.limit(remainder))
            return [DueDelivery(*row) for row in rows]


def _due(now: datetime) -> ColumnElement[bool]:
    """What was held, or waited, until now, and what is to be sent once more in doubt."""
    states = unindexed(deliveries.c.state).in_((*DUE_LATER, State.UNCERTAIN))
    return and_(states, deliveries.c.held_until <= now)


def _may_follow() -> ColumnElement[bool]:
    """What was skipped because of an action before it that has been delivered since."""
    predecessor = deliveries.alias("before")
    waited_for = exists().where(
        predecessor.c.contact_id == deliveries.c.contact_id,
        unindexed(predecessor.c.span) == deliveries.c.span,
        predecessor.c.change == deliveries.c.change,
        unindexed(predecessor.c.state) == State.DELIVERED,
        predecessor.c.action == deliveries.c.waits_for,
    )
    is_skipped = unindexed(deliveries.c.state) == State.SKIPPED
    return and_(is_skipped, deliveries.c.waits_for.is_not(None), waited_for)


def _in_doubt(ended: datetime) -> ColumnElement[bool]:
    return and_(deliveries.c.state == State.SENDING, deliveries.c.lease_until < ended)
