"""What the guard decides: the only way from ``planned`` to ``released``.

Each decision holds the workflow's lock, so that it cannot cross with a quarantine: nothing of a
span that was withdrawn is ever released.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, or_, select, update

from segue.ledger.base import change_deliveries, move_deliveries
from segue.ledger.facts import Decision, Quarantined, RecordedRun, SpanKind
from segue.ledger.people.quarantines import QuarantineRows
from segue.ledger.reasons import Reason
from segue.ledger.runs.overlaps import (
    in_another_ones_hands,
    leave_to_others,
    left_to_another,
)
from segue.ledger.runs.reached import (
    BARRED_BY_QUARANTINE,
    end_enrolled,
    end_overtaken,
    reject_if_judged_again,
    suppress_reached,
    waiting,
)
from segue.ledger.schema import deliveries, runs, spans
from segue.ledger.states import State, Step


class Releases(QuarantineRows):
    """Releases and rejections of whole spans."""

    def release(
        self, span_ids: Collection[int], now: datetime, actions: Collection[str] | None = None
    ) -> int:
        """Turn ``planned`` into ``released``: the guard's permission to send. Returns how many.

        Of ``actions``, those that are defined now, None for all: what is planned of others is
        skipped, because nothing would send it.
        """
        with self._write() as connection:
            return self._release(connection, span_ids, _PLANNED, actions, now)

    def begin_asking(self, run: RecordedRun) -> None:
        """Take an earlier answer back: the question is open again."""
        with self._write() as connection:
            self._write_decision(connection, run, None)

    def approve(
        self,
        run: RecordedRun,
        span_ids: Collection[int],
        decision: Decision,
        actions: Collection[str] | None = None,
    ) -> int:
        """Record a person's approval and release what is planned or was rejected before.

        Of ``actions``, as ``release`` does; what was rejected of others stays so.
        """
        with self._write() as connection:
            self._lock_workflow(connection, run.workflow)
            self._write_decision(connection, run, decision)
            mine = deliveries.c.span.in_(span_ids), deliveries.c.barred == BARRED_BY_QUARANTINE
            change_deliveries(connection, (*mine, ~left_to_another()), {"barred": None})
            return self._release(connection, span_ids, waiting(actions), actions, decision.at)

    def reject(self, run: RecordedRun, span_ids: Collection[int], decision: Decision) -> int:
        """Record a rejection; what is planned becomes ``suppressed(rejected)``. Returns how many.

        That is sticky: only ``approve`` takes it back.
        """
        with self._write() as connection:
            return self._reject(connection, run, span_ids, decision)

    def reject_snapshot(
        self,
        run: RecordedRun,
        span_ids: Collection[int],
        decision: Decision,
        *,
        directory: str,
        key: str,
    ) -> Quarantined:
        """Record a rejection and quarantine the snapshot it is about: both, or neither."""
        values = {
            "namespace": self.namespace,
            "directory": directory,
            "key": key,
            "reason": f"rejected in {run.workflow}",
            "added_by": decision.by,
            "added_at": decision.at,
        }
        with self._write() as connection:
            result = self._quarantine(
                connection, values
            )  # first: the directory's lock is the outer
            others = self._reject(connection, run, span_ids, decision)
            return replace(result, rejected=result.rejected + others)

    def _reject(
        self,
        connection: Connection,
        run: RecordedRun,
        span_ids: Collection[int],
        decision: Decision,
    ) -> int:
        self._lock_workflow(connection, run.workflow)
        self._write_decision(connection, run, decision)
        reject_if_judged_again(connection, span_ids)
        waits = deliveries.c.span.in_(span_ids), or_(_PLANNED, in_another_ones_hands())
        values = {"reason": Reason.REJECTED, "barred": None, "updated_at": decision.at}
        return move_deliveries(connection, Step.REJECT, waits, values)

    def _release(
        self,
        connection: Connection,
        span_ids: Collection[int],
        which: ColumnElement[bool],
        actions: Collection[str] | None,
        now: datetime,
    ) -> int:
        these_spans = spans.c.id.in_(span_ids)
        for workflow in connection.execute(
            select(spans.c.workflow).where(these_spans).distinct()
        ).all():
            self._lock_workflow(connection, workflow[0])
        if actions is not None:
            _leave_out_removed(connection, span_ids, actions, now)
        end_overtaken(connection, span_ids, which, now)
        suppress_reached(connection, span_ids, now)
        live = select(spans.c.id).where(these_spans, spans.c.kind != SpanKind.WITHDRAWN)
        in_order = live.order_by(spans.c.current_as_of, spans.c.id)
        live_ids = connection.execute(in_order).scalars().all()
        count = 0
        for span_id in live_ids:  # one after the other: two of them may hold the same change
            leave_to_others(connection, [span_id], now)
            these = deliveries.c.span == span_id, which
            values = {"reason": "", "updated_at": now}
            count += move_deliveries(connection, Step.RELEASE, these, values, lock=False)
        end_enrolled(connection, live_ids, now)
        return count

    def _write_decision(
        self, connection: Connection, run: RecordedRun, decision: Decision | None
    ) -> None:
        values = {
            "decision": decision.word if decision else None,
            "decided_by": decision.by if decision else None,
            "decided_at": decision.at if decision else None,
        }
        connection.execute(update(runs).where(runs.c.id == run.id).values(values))


_PLANNED = deliveries.c.state == State.PLANNED


def _leave_out_removed(
    connection: Connection, span_ids: Collection[int], actions: Collection[str], now: datetime
) -> None:
    """Skip what is planned of actions that are not defined any more, as a cleared run does.

    Defined again, it is planned again once the run is cleared from detect_changes.
    """
    of_removed = deliveries.c.span.in_(span_ids), _PLANNED, deliveries.c.action.not_in(actions)
    values = {"reason": Reason.NO_LONGER_A_CHANGE, "updated_at": now}
    move_deliveries(connection, Step.WITHDRAW, of_removed, values, lock=False)
