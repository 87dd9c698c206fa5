"""Lists for people: one page at a time, filtered and sorted by the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_

from segue.errors import LedgerError
from segue.ledger.base import BATCH, LedgerDatabase, same_change
from segue.ledger.facts import DeliveryOfRun, ListedDelivery
from segue.ledger.queries.runs import LISTED
from segue.ledger.reasons import Reason
from segue.ledger.schema import changes, deliveries, runs, spans
from segue.ledger.states import State

_LAST = chr(0x10FFFF)  # no contact id has a later character
_JUDGED_BEFORE = frozenset({State.PLANNED, State.RELEASED, State.SUPPRESSED})  # or not at all


_Change = tuple[str, str, int]  # contact id, change, span


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list is narrowed down to; empty means everything.

    ``contact`` is how the contact's id begins, ``error`` what the reason contains, whatever its
    case, of what is not delivered unless that is asked for. An ``action`` alone narrows nothing
    down: every change has a delivery of each.
    """

    contact: str = ""
    change: str = ""
    action: str = ""
    state: str = ""
    error: str = ""
    contacts: Sequence[str] | None = None  # of one branch

    @property
    def concerns_deliveries(self) -> bool:
        """True where a contact is listed for one of its deliveries."""
        return bool(self.state or self.error)


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One contact of a run: what changed, and each of its deliveries."""

    contact_id: str
    change: str
    reason: str  # of the change
    span: int
    deliveries: Sequence[ListedDelivery] = field(default_factory=tuple)

    @property
    def verdict(self) -> str:
        """What came of the conditions, as far as the ledger tells, in words."""
        reasons = {item.reason for item in self.deliveries if item.outcome == State.SKIPPED}
        if Reason.CONDITIONS in reasons:
            return "do not hold"
        if Reason.NOT_FOUND in reasons:
            return "contact not found"
        if all(item.outcome in _JUDGED_BEFORE for item in self.deliveries):
            return "not judged"
        return "hold"


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of a workflow, with the snapshots of its last span."""

    run_id: str
    outcome: str
    reason: str
    recorded_at: datetime
    decision: str | None
    decided_by: str | None
    previous: str | None
    current: str | None


class Pages(LedgerDatabase):
    """Pages of runs, of a run's contacts, and of deliveries."""

    def recent_runs(
        self, workflow: str, limit: int, before: tuple[datetime, str] | None = None
    ) -> Sequence[RunRow]:
        """Return the runs of a workflow, the newest first.

        ``before`` is (recorded_at, run_id) of the last one of the page before.
        """
        last = (
            select(spans.c.run, func.max(spans.c.id).label("span")).group_by(spans.c.run).subquery()
        )
        query = (
            select(
                runs.c.run_id,
                runs.c.outcome,
                runs.c.reason,
                runs.c.recorded_at,
                runs.c.decision,
                runs.c.decided_by,
                spans.c.previous_key,
                spans.c.current_key,
            )
            .outerjoin(last, last.c.run == runs.c.id)
            .outerjoin(spans, spans.c.id == last.c.span)
            .where(runs.c.namespace == self.namespace, runs.c.workflow == workflow)
            .order_by(runs.c.recorded_at.desc(), runs.c.run_id.desc())
        )
        if before is not None:
            query = query.where(_comes_after(before, runs.c.recorded_at, runs.c.run_id))
        with self._read() as connection:
            return [RunRow(*row) for row in connection.execute(query.limit(limit))]

    def outcomes_of_spans(self, span_ids: Sequence[int]) -> dict[str, Counter[State]]:
        """Return, per action, how many deliveries of the spans stand in each state."""
        table = deliveries.c
        query = (
            select(table.action, table.state, func.count())
            .where(table.span.in_(span_ids))
            .group_by(table.action, table.state)
        )
        counts: dict[str, Counter[State]] = {}
        with self._read() as connection:
            for action, state, count in connection.execute(query):
                counts.setdefault(action, Counter())[State(state)] = count
        return counts

    def count_rows(self, span_ids: Sequence[int], chosen: Filter) -> int:
        """Return how many changes of the spans a list has."""
        query = select(func.count()).select_from(self._rows(span_ids, chosen).subquery())
        with self._read() as connection:
            return int(connection.execute(query).scalar_one())

    def change_rows(
        self,
        span_ids: Sequence[int],
        chosen: Filter,
        *,
        limit: int,
        offset: int = 0,
        descending: bool = False,
        after: ChangeRow | None = None,
    ) -> list[ChangeRow]:
        """Return a page of the spans' changes by contact id, each with all of its deliveries.

        It begins after ``offset`` rows, or after the row ``after``.
        """
        query = self._rows(span_ids, chosen)
        order = list(query.selected_columns)
        if after is not None:
            query = query.where(tuple_(*order) > (after.contact_id, after.change, after.span))
        query = query.order_by(*([part.desc() for part in order] if descending else order))
        with self._read() as connection:
            page = connection.execute(query.limit(limit).offset(offset)).all()
            if not page:
                return []
            rows = list(
                connection.execute(self._of_page(span_ids, [row.contact_id for row in page]))
            )
        reasons: dict[_Change, str] = {}
        by_change: dict[_Change, list[ListedDelivery]] = {}
        for contact_id, change, span, reason, *columns in rows:
            reasons[contact_id, change, span] = reason
            item = ListedDelivery(*columns)
            if item.key is not None:  # of an outer join
                by_change.setdefault((contact_id, change, span), []).append(item)
        keys: list[_Change] = [(row.contact_id, row.change, row.span) for row in page]
        return [
            ChangeRow(*key[:2], reasons.get(key, ""), key[2], by_change.get(key, ()))
            for key in keys
        ]

    def all_change_rows(self, span_ids: Sequence[int], chosen: Filter) -> Iterator[ChangeRow]:
        """Yield every row of a list, read in pages: what an export writes."""
        last: ChangeRow | None = None
        while rows := self.change_rows(span_ids, chosen, limit=BATCH // 4, after=last):
            yield from rows
            last = rows[-1]

    def newest_deliveries(
        self,
        workflow: str,
        chosen: Filter,
        *,
        limit: int,
        before: tuple[datetime, str] | None = None,
    ) -> list[DeliveryOfRun]:
        """Return deliveries of a workflow in one state, the last moved first.

        ``before`` is (updated_at, key) of the
        last one of the page before. Raises LedgerError where no state is chosen: an index leads to
        the newest of one state.
        """
        if not chosen.state:
            raise LedgerError("a list of the newest deliveries is of one state")
        table = deliveries.c
        query = (
            select(*LISTED, runs.c.run_id)
            .join(spans, spans.c.id == table.span)
            .join(runs, runs.c.id == spans.c.run)
            .where(table.namespace == self.namespace, table.workflow == workflow)
            .where(*_of_delivery(chosen), *_of_contact(table, chosen))
            .order_by(table.updated_at.desc(), table.key.desc())
        )
        if before is not None:
            query = query.where(_comes_after(before, table.updated_at, table.key))
        with self._read() as connection:
            return [DeliveryOfRun(**row._mapping) for row in connection.execute(query.limit(limit))]

    def actions_of(self, workflow: str) -> list[str]:
        """Return the actions that the workflow's newest span has deliveries of, sorted."""
        newest = (
            select(func.max(spans.c.id))
            .where(spans.c.namespace == self.namespace, spans.c.workflow == workflow)
            .scalar_subquery()
        )
        query = select(deliveries.c.action).where(deliveries.c.span == newest).distinct()
        with self._read() as connection:
            return sorted(connection.execute(query).scalars())

    def knows_contact(self, workflow: str, contact_id: str) -> bool:
        """Tell whether the workflow has any delivery to, or about, a contact."""
        table = deliveries.c
        query = select(table.key).where(
            table.namespace == self.namespace,
            table.workflow == workflow,
            table.contact_id == contact_id,
        )
        with self._read() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def _rows(self, span_ids: Sequence[int], chosen: Filter) -> Select[Any]:
        """Return (contact, change, span) of a list: from the changes, or from their deliveries.

        Nearly every run has one span, and then an index has the rows in order.
        """
        table = deliveries.c if chosen.concerns_deliveries else changes.c
        one = len(span_ids) == 1
        query = select(table.contact_id, table.change, table.span)
        query = query.where(
            table.span == span_ids[0] if one else table.span.in_(span_ids),
            *_of_contact(table, chosen),
        )
        if chosen.concerns_deliveries:
            query = query.where(*_of_delivery(chosen)).distinct()
        return query

    def _of_page(self, span_ids: Sequence[int], contact_ids: Sequence[str]) -> Select[Any]:
        return (
            select(
                *(changes.c.contact_id, changes.c.change, changes.c.span, changes.c.reason),
                *LISTED,
            )
            .outerjoin(deliveries, same_change())
            .where(changes.c.span.in_(span_ids), changes.c.contact_id.in_(set(contact_ids)))
            .order_by(deliveries.c.action)
        )


def _comes_after(
    last: tuple[datetime, str], instant: ColumnElement[datetime], name: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return what of a list, the newest first, comes after the last row of the page before."""
    return or_(instant < last[0], and_(instant == last[0], name < last[1]))


def _of_contact(table: Any, chosen: Filter) -> list[ColumnElement[bool]]:
    parts: list[ColumnElement[bool]] = []
    if chosen.contact:  # a range, so that an index on ids helps
        parts += [table.contact_id >= chosen.contact, table.contact_id < chosen.contact + _LAST]
    if chosen.contacts is not None:
        parts.append(table.contact_id.in_(chosen.contacts))
    if chosen.change:
        parts.append(table.change == chosen.change)
    return parts


def _of_delivery(chosen: Filter) -> list[ColumnElement[bool]]:
    table = deliveries.c
    parts: list[ColumnElement[bool]] = []
    if chosen.action:
        parts.append(table.action == chosen.action)
    if chosen.state:
        parts.append(table.state == chosen.state)
    elif chosen.error:  # nearly all are delivered, and have no reason
        parts.append(table.state.in_([state for state in State if state is not State.DELIVERED]))
    if chosen.error:
        parts.append(table.reason.icontains(chosen.error, autoescape=True))
    return parts
