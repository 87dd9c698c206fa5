"""Rates that all tasks share: when the next call under a vendor's limit may begin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, case, select, update

from segue.ledger.base import LedgerDatabase
from segue.ledger.schema import rates

if TYPE_CHECKING:
    from segue.contracts.channel import Limit

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_SCOPE = 200  # characters; a longer one is known by its digest
Limits = Sequence["Limit"]


class Rates(LedgerDatabase):
    """The next free moment of each scope; calls are spaced evenly, without bursts."""

    def reserve(
        self, calls: Sequence[Limits], now: Callable[[], datetime] | datetime
    ) -> tuple[int, float]:
        """Let the first of these calls begin now, as many as their limits allow.

        ``calls`` holds the limits that each call counts under. Returns how many may begin and, if
        not all, the seconds until the next may. By its spacing a limit is free within one spacing:
        a later moment was written by a clock that is ahead, or was since set back. ``now`` is the
        clock, which is read once the scopes are locked: a moment from before the wait for them
        would take what others reserved meanwhile for such a one. A test may give the moment.
        """
        scopes = sorted({_name(limit.scope) for limits in calls for limit in limits})
        if not scopes:
            return len(calls), 0.0
        count, pause = 0, 0.0
        with self._write() as connection:
            moments_by_scope = self._next_moments(connection, scopes)
            present = now() if callable(now) else now
            free = {scope: moments.next_at for scope, moments in moments_by_scope.items()}
            for limits in calls:
                for limit in limits:
                    scope = _name(limit.scope)
                    free[scope] = min(free[scope], present + limit.spacing)
                moment = max([present, *_moments(limits, free, moments_by_scope)])
                if moment > present:
                    pause = (moment - present).total_seconds()
                    break
                count += 1
                for limit in limits:
                    free[_name(limit.scope)] = present + limit.spacing
            _write_moments(connection, free)
        return count, pause

    def hold_back(self, scopes: Iterable[str], until: datetime) -> None:
        """Let no call under these scopes begin before ``until``, as a vendor asked."""
        names = sorted({_name(scope) for scope in scopes})
        if not names:
            return
        with self._write() as connection:
            self._next_moments(connection, names)
            asked_until = rates.c.asked_until
            later = case((asked_until > until, asked_until), else_=until)
            mine = rates.c.scope.in_(names)
            connection.execute(update(rates).where(mine).values(asked_until=later))

    def _next_moments(self, connection: Connection, scopes: Sequence[str]) -> dict[str, Row[Any]]:
        """Lock the scopes, in order, and return when each is free, by spacing and as asked."""
        rows = [{"scope": scope, "next_at": _LONG_AGO} for scope in scopes]
        connection.execute(self._insert(rates).on_conflict_do_nothing(), rows)
        query = select(rates).where(rates.c.scope.in_(scopes)).order_by(rates.c.scope)
        return {row.scope: row for row in connection.execute(query.with_for_update())}


def _moments(
    limits: Limits, free: Mapping[str, datetime], asked: Mapping[str, Row[Any]]
) -> Iterator[datetime]:
    """Yield when each limit is free, by its spacing and as the vendor asked."""
    for limit in limits:
        scope = _name(limit.scope)
        yield free[scope]
        if asked[scope].asked_until is not None:
            yield asked[scope].asked_until


def _name(scope: str) -> str:
    if len(scope) <= _LONGEST_SCOPE:
        return scope
    return scope[:100] + hashlib.sha256(scope.encode()).hexdigest()


def _write_moments(connection: Connection, free: Mapping[str, datetime]) -> None:
    query = update(rates).where(rates.c.scope == bindparam("of_scope"))
    values = [{"of_scope": scope, "moment": moment} for scope, moment in free.items()]
    connection.execute(query.values(next_at=bindparam("moment")), values)
