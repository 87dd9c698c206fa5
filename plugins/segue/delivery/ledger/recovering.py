"""What dead workers left behind: claims that are free again, calls whose outcome is in doubt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select, update

from segue.delivery.ledger.database import LedgerDatabase, batched
from segue.delivery.ledger.records import DeliveryRow, DueDelivery
from segue.delivery.ledger.sending import delivery_row, where_from
from segue.delivery.schema import State, changes, deliveries, spans


class Recovering(LedgerDatabase):
    """Deliveries whose lease ran out."""

    def free_expired(self, now: datetime) -> int:
        """Return claims under a lease that ran out to where they came from; returns how many."""
        query = (
            update(deliveries)
            .where(
                deliveries.c.namespace == self.namespace,
                deliveries.c.state == State.CLAIMED,
                deliveries.c.lease_until < now,
            )
            .values(state=where_from(), owner=None, lease_until=None, updated_at=now)
        )
        with self._write() as connection:
            return connection.execute(query).rowcount

    def call_uncertain(self, keys: Iterable[str], ended: datetime, now: datetime) -> int:
        """Mark calls in doubt ``uncertain``: their channel cannot be asked. Returns how many.

        In doubt is what stands in ``sending`` under a lease that ran out before ``ended``.
        """
        values = {
            "state": State.UNCERTAIN,
            "reason": "the worker ended during the call",
            "lease_until": None,  # the owner stays: its late answer is still welcome
            "updated_at": now,
        }
        total = 0
        for batch in batched(sorted(keys)):
            query = update(deliveries).where(deliveries.c.key.in_(batch), _in_doubt(ended))
            with self._write() as connection:
                total += connection.execute(query.values(values)).rowcount
        return total

    def take_doubtful(
        self, keys: Iterable[str], ended: datetime, *, owner: str, lease_until: datetime
    ) -> list[DeliveryRow]:
        """Take calls in doubt, so that nobody else asks about them or sends them meanwhile.

        In doubt is what stands in ``sending`` under a lease that ran out before ``ended``.
        """
        taken: list[DeliveryRow] = []
        for batch in batched(sorted(keys)):
            with self._write() as connection:
                query = select(deliveries).where(deliveries.c.key.in_(batch), _in_doubt(ended))
                query = query.with_for_update(skip_locked=True)
                rows = [delivery_row(row) for row in connection.execute(query)]
                mine = deliveries.c.key.in_([row.key for row in rows])
                values = {"owner": owner, "lease_until": lease_until}
                connection.execute(update(deliveries).where(mine).values(values))
            taken += rows
        return taken

    def actions_with_work(self, now: datetime) -> list[tuple[str, str]]:
        """Return (workflow, action) of all deliveries that are held and due, or in doubt."""
        query = (
            select(deliveries.c.workflow, deliveries.c.action)
            .where(deliveries.c.namespace == self.namespace, _to_take_up(now, now))
            .distinct()
            .order_by(deliveries.c.workflow, deliveries.c.action)
        )
        with self._read() as connection:
            return [(row.workflow, row.action) for row in connection.execute(query)]

    def due(
        self, workflow: str, action: str, now: datetime, ended: datetime, limit: int
    ) -> list[DueDelivery]:
        """Return an action's deliveries that are held and due, or in doubt; the oldest first."""
        query = (
            select(
                deliveries.c.contact_id,
                deliveries.c.change,
                changes.c.reason,
                spans.c.previous_key,
                spans.c.current_key,
            )
            .join(spans, spans.c.id == deliveries.c.span)
            .join(
                changes,
                and_(
                    changes.c.span == deliveries.c.span,
                    changes.c.contact_id == deliveries.c.contact_id,
                    changes.c.change == deliveries.c.change,
                ),
            )
            .where(
                deliveries.c.namespace == self.namespace,
                deliveries.c.workflow == workflow,
                deliveries.c.action == action,
                _to_take_up(now, ended),
            )
            .order_by(deliveries.c.planned_at, deliveries.c.contact_id, deliveries.c.key)
            .limit(limit)
        )
        with self._read() as connection:
            return [DueDelivery(*row) for row in connection.execute(query)]


def _to_take_up(now: datetime, ended: datetime) -> ColumnElement[bool]:
    held = and_(deliveries.c.state == State.HELD, deliveries.c.held_until <= now)
    return or_(held, _in_doubt(ended))


def _in_doubt(ended: datetime) -> ColumnElement[bool]:
    return and_(deliveries.c.state == State.SENDING, deliveries.c.lease_until < ended)
