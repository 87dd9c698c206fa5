"""What may be sent, who sends it, and what came of it: each delivery's way through its states."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select, update

from segue.delivery.ledger.database import LedgerDatabase, batched
from segue.delivery.ledger.records import NO_LONGER_A_CHANGE, DeliveryRow, Finished
from segue.delivery.schema import State, deliveries


class Sending(LedgerDatabase):
    """The states of deliveries."""

    def claim(
        self,
        keys: Iterable[str],
        *,
        owner: str,
        now: datetime,
        lease_until: datetime,
        clear_number: int = 0,
    ) -> list[DeliveryRow]:
        """Take the deliveries that may be tried now, for ``owner`` until ``lease_until``.

        These are: released; claimed under a lease that ran out; skipped at the door before (the
        reason is judged again); failed before a person cleared the task (``clear_number``).
        """
        free = or_(
            deliveries.c.state == State.RELEASED,
            and_(deliveries.c.state == State.CLAIMED, deliveries.c.lease_until < now),
            and_(
                deliveries.c.state == State.SKIPPED,
                deliveries.c.reason != NO_LONGER_A_CHANGE,
            ),
            and_(
                deliveries.c.state == State.FAILED,
                deliveries.c.failed_at_clear < clear_number,
            ),
        )
        values = {
            "state": State.CLAIMED,
            "reason": "",
            "owner": owner,
            "lease_until": lease_until,
            "updated_at": now,
        }
        claimed: list[DeliveryRow] = []
        for batch in batched(sorted(keys)):
            with self._write() as connection:
                query = (
                    select(deliveries)
                    .where(deliveries.c.key.in_(batch), free)
                    .with_for_update(skip_locked=True)
                )
                rows = [_delivery_row(row) for row in connection.execute(query)]
                taken = [row.key for row in rows]
                connection.execute(
                    update(deliveries).where(deliveries.c.key.in_(taken)).values(values)
                )
            claimed += rows
        return claimed

    def advance(
        self,
        finished: Sequence[Finished],
        starting: Sequence[str],
        *,
        owner: str,
        now: datetime,
        lease_until: datetime,
        clear_number: int = 0,
    ) -> set[str]:
        """Write outcomes and mark the calls about to start, in one transaction.

        Returns the keys of ``starting`` that are now ``sending`` and may be called; one that is
        missing was lost to another owner. Renews the lease of all that ``owner`` has claimed.
        """
        with self._write() as connection:
            for outcome in finished:
                self._finish(connection, outcome, owner, now, clear_number)
            mine = and_(deliveries.c.owner == owner, deliveries.c.state == State.CLAIMED)
            renewed = update(deliveries).where(mine).values(lease_until=lease_until)
            connection.execute(renewed)
            if not starting:
                return set()
            mark = (
                update(deliveries)
                .where(mine, deliveries.c.key.in_(starting))
                .values(state=State.SENDING, attempts=deliveries.c.attempts + 1, updated_at=now)
                .returning(deliveries.c.key)
            )
            return set(connection.execute(mark).scalars())

    def give_back(self, owner: str, now: datetime) -> int:
        """Return all that ``owner`` has claimed and not begun to ``released``."""
        query = (
            update(deliveries)
            .where(deliveries.c.owner == owner, deliveries.c.state == State.CLAIMED)
            .values(
                state=State.RELEASED,
                owner=None,
                lease_until=None,
                updated_at=now,
            )
        )
        with self._write() as connection:
            return connection.execute(query).rowcount

    def recover(self, now: datetime, keys: Iterable[str] | None = None) -> Counter[State]:
        """Settle what dead workers left: expired claims are free, expired sends uncertain.

        ``keys`` limits it to some deliveries; None means all of the namespace.
        """
        expired = and_(deliveries.c.namespace == self.namespace, deliveries.c.lease_until < now)
        if keys is None:
            return self._settle_expired(expired, now)
        settled: Counter[State] = Counter()
        for batch in batched(sorted(keys)):
            settled += self._settle_expired(and_(expired, deliveries.c.key.in_(batch)), now)
        return settled

    def _settle_expired(self, expired: ColumnElement[bool], now: datetime) -> Counter[State]:
        ended = {"lease_until": None, "updated_at": now}
        free = (
            update(deliveries)
            .where(expired, deliveries.c.state == State.CLAIMED)
            .values(state=State.RELEASED, owner=None, **ended)
        )
        doubtful = (  # the owner stays: its late answer is still welcome
            update(deliveries)
            .where(expired, deliveries.c.state == State.SENDING)
            .values(state=State.UNCERTAIN, reason="the worker ended during the call", **ended)
        )
        with self._write() as connection:
            freed = connection.execute(free).rowcount
            return Counter(
                {State.RELEASED: freed, State.UNCERTAIN: connection.execute(doubtful).rowcount}
            )

    def skip(self, keys: Iterable[str], reason: str, now: datetime) -> int:
        """Record ``skipped(reason)`` for deliveries that were released and not sent."""
        skippable = (State.RELEASED, State.SKIPPED)
        return self._move(keys, skippable, State.SKIPPED, reason, now, NO_LONGER_A_CHANGE)

    def unskip(self, keys: Iterable[str], reason: str, now: datetime) -> int:
        """Return deliveries that were skipped for ``reason``, and pass now, to ``released``."""
        total = 0
        for batch in batched(keys):
            query = (
                update(deliveries)
                .where(
                    deliveries.c.key.in_(batch),
                    deliveries.c.state == State.SKIPPED,
                    deliveries.c.reason == reason,
                )
                .values(state=State.RELEASED, reason="", updated_at=now)
            )
            with self._write() as connection:
                total += connection.execute(query).rowcount
        return total

    def rows(self, keys: Iterable[str]) -> dict[str, DeliveryRow]:
        """Return the deliveries with these keys, by key."""
        found: dict[str, DeliveryRow] = {}
        for batch in batched(sorted(set(keys))):
            with self._read() as connection:
                query = select(deliveries).where(deliveries.c.key.in_(batch))
                found |= {row.key: _delivery_row(row) for row in connection.execute(query)}
        return found

    def _finish(
        self,
        connection: Connection,
        outcome: Finished,
        owner: str,
        now: datetime,
        clear_number: int,
    ) -> None:
        values: dict[str, Any] = {
            "state": outcome.state,
            "reason": outcome.reason,
            "lease_until": None,
            "updated_at": now,
        }
        if outcome.state is State.DELIVERED:
            values |= {
                "external_id": outcome.external_id,
                "url": outcome.url,
                "results": json.dumps(dict(outcome.results or {})),
            }
        if outcome.digest is not None:
            values["digest"] = outcome.digest
        if outcome.state is State.FAILED:
            values["failed_at_clear"] = clear_number
        # an answer that comes after recovery called the delivery uncertain is still the truth
        undecided = (State.CLAIMED, State.SENDING, State.UNCERTAIN)
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.key == outcome.key,
                deliveries.c.owner == owner,
                deliveries.c.state.in_(undecided),
            )
            .values(values)
        )

    def _move(
        self,
        keys: Iterable[str],
        sources: Collection[State],
        target: State,
        reason: str,
        now: datetime,
        except_reason: str,
    ) -> int:
        total = 0
        for batch in batched(keys):
            query = (
                update(deliveries)
                .where(
                    deliveries.c.key.in_(batch),
                    deliveries.c.state.in_(sources),
                    deliveries.c.reason != except_reason,
                )
                .values(state=target, reason=reason, updated_at=now)
            )
            with self._write() as connection:
                total += connection.execute(query).rowcount
        return total


def _delivery_row(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(
        row.key,
        row.action,
        row.contact_id,
        row.change,
        row.span,
        State(row.state),
        row.reason,
        json.loads(row.results) if row.results else {},
    )
