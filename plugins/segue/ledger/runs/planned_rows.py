"""A span's changes and planned deliveries: recorded, adopted, withdrawn, and judged by policies.

All of it happens within a transaction of who records the span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from segue.ledger.base import (
    STATE,
    LedgerDatabase,
    batched,
    change_deliveries,
    lock_deliveries,
    move_deliveries,
    unindexed,
)
from segue.ledger.deliveries.outcomes import NOT_SENT_AGAIN
from segue.ledger.facts import COVERING_KINDS, IN_NOBODYS_HANDS, NOT_HELD, DetectedSpan, Run
from segue.ledger.reasons import FINAL_SKIPS, POLICY_REASONS, Reason
from segue.ledger.runs.overlaps import leave_to_others
from segue.ledger.runs.reached import (
    BARRED_BY_POLICY,
    leave_claims_in_doubt,
    rejected,
    suppress_reached,
)
from segue.ledger.schema import changes, deliveries, present_number, spans
from segue.ledger.states import NOT_RELEASED, UNDER_WAY, UNSENT, State, Step


class PlannedRows(LedgerDatabase):
    """What is recorded of spans."""

    def _insert_changes(self, connection: Connection, span_id: int, span: DetectedSpan) -> None:
        def with_its_new_reason(query: Any) -> Any:
            return query.on_conflict_do_update(
                index_elements=["span", "contact_id", "change"],
                set_={"reason": query.excluded.reason, "changed_in": present_number()},
                where=changes.c.reason != query.excluded.reason,
            )

        columns = ("contact_id", "change", "reason")
        same = {"span": span_id}
        self._fill(connection, changes, columns, span.changes, same, with_its_new_reason)

    def _insert_deliveries(
        self,
        connection: Connection,
        workflow: str,
        span_id: int,
        span: DetectedSpan,
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        same = {
            "namespace": self.namespace,
            "workflow": workflow,
            "snapshot": span.stretch.current.key,
            "span": span_id,
            "event_at": span.stretch.current.as_of,
            "state": (Step.RECORD_SUPPRESSED if span.suppressed else Step.RECORD).to,
            "reason": span.suppressed or "",
            "planned_at": now,
            "updated_at": now,
        }
        columns = ("key", "action", "contact_id", "change")
        rows = self._planned(workflow, span, actions)
        self._fill(
            connection, deliveries, columns, rows, same, lambda it: it.on_conflict_do_nothing()
        )

    def _adopt(
        self,
        connection: Connection,
        workflow: str,
        span_id: int,
        span: DetectedSpan,
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        """Move deliveries of the same key here from spans that were withdrawn, or never released.

        Without it the span's changes would have none: a key is unique. Each span stays accounted
        for, since the change moves with its deliveries. What is suppressed, or skipped for good,
        stays so.
        """
        loose = set(connection.execute(self._loose_spans(workflow, span_id)).scalars())
        if not loose:
            return
        values = {
            "span": span_id,
            "snapshot": span.stretch.current.key,
            "event_at": span.stretch.current.as_of,
            "updated_at": now,
        }
        for batch in batched(self._planned(workflow, span, actions)):
            by_key = {key: (contact_id, kind) for key, _, contact_id, kind in batch}
            free = (
                deliveries.c.key.in_(list(by_key)),
                unindexed(deliveries.c.span).in_(loose),
                or_(never_released(), _skipped_for_good()),
            )
            lock_deliveries(connection, *free)
            query = select(deliveries.c.key, deliveries.c.span).where(*free)
            rows = connection.execute(query).all()
            keys = [row.key for row in rows]
            mine = update(deliveries).where(deliveries.c.key.in_(keys))
            connection.execute(mine.values(values))
            withdrawn_ones = (
                deliveries.c.key.in_(keys),
                STATE == State.SKIPPED,
                ~_skipped_for_good(),
            )
            move_deliveries(connection, Step.PLAN_AGAIN, withdrawn_ones, {"reason": ""}, lock=False)
            _delete_changes(connection, {(row.span, *by_key[row.key]) for row in rows})

    def _loose_spans(self, workflow: str, but: int) -> Any:
        return select(spans.c.id).where(
            spans.c.namespace == self.namespace,
            spans.c.workflow == workflow,
            spans.c.kind.not_in(COVERING_KINDS),
            spans.c.id != but,
        )

    def _planned(
        self, workflow: str, span: DetectedSpan, actions: Sequence[str]
    ) -> Iterator[tuple[str, str, str, str]]:
        """Yield (key, action, contact_id, change) of every delivery of a span."""
        snapshot = span.stretch.current.key
        for contact_id, change, _ in span.changes:
            for action in actions:
                key = self.key(workflow, action, contact_id, change, snapshot)
                yield key, action, contact_id, change

    def _withdraw(
        self,
        connection: Connection,
        workflow: str,
        span_id: int,
        span: DetectedSpan,
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        """Skip what was planned and is none any more; take back what is planned again.

        It is no change any more, or its action is not defined any more.
        """
        self._delete_changes(connection, span_id, span)
        keys_now = {key for key, *_ in self._planned(workflow, span, actions)}
        unsent = deliveries.c.span == span_id, _unsent()
        columns = deliveries.c.key, deliveries.c.reason, deliveries.c.state, deliveries.c.resent
        rows = connection.execute(select(*columns).where(*unsent)).all()
        leavers = [row for row in rows if row.key not in keys_now]
        in_doubt = {row.key for row in leavers if row.state == State.CLAIMED and row.resent}
        for batch in batched(sorted(in_doubt)):
            leave_claims_in_doubt(connection, [deliveries.c.key.in_(batch)], now)
        leaver_keys = [row.key for row in leavers if row.key not in in_doubt]
        returner_keys = [
            row.key
            for row in rows
            if row.reason == Reason.NO_LONGER_A_CHANGE and row.key in keys_now
        ]
        for keys, step, reason in (
            (leaver_keys, Step.WITHDRAW, Reason.NO_LONGER_A_CHANGE),
            (returner_keys, Step.PLAN_AGAIN, ""),
        ):
            values = {"reason": reason, "updated_at": now, **IN_NOBODYS_HANDS}
            for batch in batched(keys):
                move_deliveries(connection, step, [deliveries.c.key.in_(batch)], values, lock=False)

    def _delete_changes(self, connection: Connection, span_id: int, span: DetectedSpan) -> None:
        changes_now = {(contact_id, change) for contact_id, change, _ in span.changes}
        columns = changes.c.contact_id, changes.c.change
        rows = connection.execute(select(*columns).where(changes.c.span == span_id))
        leavers = {tuple(row) for row in rows} - changes_now
        _delete_changes(connection, {(span_id, *change) for change in leavers})

    def _judge(
        self, connection: Connection, span_id: int, suppressed: str | None, now: datetime
    ) -> None:
        """Let the policies decide anew about all that a span has not sent."""
        if suppressed is None:
            self._take_policies_back(connection, span_id, now)
        else:
            self._suppress(connection, span_id, suppressed, now)
        suppress_reached(connection, [span_id], now)
        leave_to_others(connection, [span_id], now)

    def _take_policies_back(self, connection: Connection, span_id: int, now: datetime) -> None:
        """Plan what a policy kept from being sent, and let what it barred be called again."""
        mine = deliveries.c.span == span_id
        by_policy = (
            deliveries.c.state == State.SUPPRESSED,
            deliveries.c.reason.in_(POLICY_REASONS),
        )
        bars = [number for reason, number in BARRED_BY_POLICY.items() if reason in POLICY_REASONS]
        is_barred = deliveries.c.barred.in_(bars)
        values = {"reason": "", "updated_at": now}
        move_deliveries(connection, Step.PLAN_AGAIN, (mine, *by_policy), values, lock=False)
        connection.execute(update(deliveries).where(mine, is_barred).values(barred=None))

    def _suppress(self, connection: Connection, span_id: int, reason: str, now: datetime) -> None:
        """Suppress what a policy forbids to send, and bar what is under way or in doubt.

        That is not called again; should it turn out to have come to nothing, it is suppressed.
        """
        which = and_(_unsent(), deliveries.c.reason.not_in(FINAL_SKIPS))
        if reason == Reason.PRUNED:  # no answer may release what the ledger has forgotten
            which = or_(which, rejected())
        in_doubt = and_(
            deliveries.c.state.in_(UNDER_WAY),
            or_(
                deliveries.c.barred.is_(None),
                deliveries.c.barred.in_(list(BARRED_BY_POLICY.values())),
            ),
        )
        mine = deliveries.c.span == span_id
        leave_claims_in_doubt(connection, (mine,), now)
        bar = {"barred": BARRED_BY_POLICY[reason]}
        connection.execute(update(deliveries).where(mine, in_doubt).values(bar))
        due = deliveries.c.state == State.UNCERTAIN, deliveries.c.held_until.is_not(None)
        doubt = {"reason": f"{NOT_SENT_AGAIN}: {reason}", **NOT_HELD, "updated_at": now}
        connection.execute(update(deliveries).where(mine, *due).values(doubt))
        values = {"reason": reason, "updated_at": now, **IN_NOBODYS_HANDS}
        move_deliveries(connection, Step.END, (mine, which), values, lock=False)


def lock_open(connection: Connection, span_id: int) -> None:
    """Lock all of a span that may still change, at once and in order.

    Each step of a cleared run changes some of it: locked step by step, it were in no order.
    """
    lock_deliveries(connection, deliveries.c.span == span_id, STATE != State.DELIVERED)


def _unsent() -> ColumnElement[bool]:
    """What a policy or an edited definition may still take back; a rejection stays.

    What a worker has claimed is among it: the worker finds out when it wants to begin the call,
    and where it is dead nothing would come of the claim but a delivery that no branch sends.
    """
    return or_(
        deliveries.c.state.in_(UNSENT),
        and_(
            deliveries.c.state == State.SUPPRESSED,
            deliveries.c.reason.in_(POLICY_REASONS),
        ),
    )


def never_released() -> ColumnElement[bool]:
    """Deliveries of which the guard released none: planned, suppressed, or withdrawn before that.

    What is suppressed for good, as of a forgotten contact or before the watermark, counts as
    such, whatever became of it earlier: it stands in nobody's way.
    """
    return or_(
        STATE.in_(NOT_RELEASED),
        and_(
            STATE == State.SKIPPED,
            deliveries.c.reason == Reason.NO_LONGER_A_CHANGE,
            deliveries.c.attempts == 0,
        ),
    )


def _skipped_for_good() -> ColumnElement[bool]:
    """What no later pass judges again, though it is a change."""
    reasons = [reason for reason in FINAL_SKIPS if reason is not Reason.NO_LONGER_A_CHANGE]
    return and_(STATE == State.SKIPPED, deliveries.c.reason.in_(reasons))


def _delete_changes(connection: Connection, gone: Iterable[tuple[int, str, str]]) -> None:
    """Delete changes, each a (span, contact id, change)."""
    contacts: dict[tuple[int, str], list[str]] = {}
    for span_id, contact_id, change in gone:
        contacts.setdefault((span_id, change), []).append(contact_id)
    for (span_id, change), ids in sorted(contacts.items()):
        for batch in batched(sorted(ids)):
            connection.execute(
                delete(changes).where(
                    changes.c.contact_id.in_(batch),
                    unindexed(changes.c.span) == span_id,
                    unindexed(changes.c.change) == change,
                )
            )


def count_clears_of(connection: Connection, run: Run, span_id: int) -> None:
    """Let what failed under a higher clear number be tried when ``run`` is cleared next.

    Airflow counts from 0 again where a run was deleted and made anew.
    """
    higher = deliveries.c.span == span_id, deliveries.c.failed_at_clear > run.clear_number
    change_deliveries(connection, higher, {"failed_at_clear": run.clear_number})
