"""The course of one contact: where it went in and out, and what was sent or not, and why."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, exists, func, select, union

from segue.ledger.base import STATE, LedgerDatabase, unindexed
from segue.ledger.facts import ListedDelivery
from segue.ledger.queries.runs import LISTED
from segue.ledger.reasons import Reason
from segue.ledger.runs.owners import full_segment
from segue.ledger.schema import changes, deliveries, runs, spans
from segue.ledger.states import NOT_RELEASED
from segue.segments.kinds import ChangeKind

_LAST = chr(0x10FFFF)  # no contact id has a later character


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a contact that one workflow recorded, with its deliveries.

    ``reason`` is the change's; None where the change is none any more and only its deliveries are
    left.
    """

    span: int
    change: str
    reason: str | None
    segment: str
    workflow: str
    run_id: str
    kind: str  # of the span
    previous: str | None  # keys of the two snapshots
    current: str
    as_of: datetime  # of the current one
    deliveries: Sequence[ListedDelivery] = field(default_factory=tuple)


class History(LedgerDatabase):
    """What the ledger knows of one contact."""

    def count_events(self, contact_id: str, workflows: Collection[str]) -> int:
        """Return how many events of a contact these workflows have recorded."""
        query = select(func.count()).select_from(self._events_of(contact_id, workflows).subquery())
        with self._read() as connection:
            return int(connection.execute(query).scalar_one())

    def events(
        self, contact_id: str, workflows: Collection[str], *, limit: int, offset: int = 0
    ) -> list[Event]:
        """Return a page of a contact's events, the newest first.

        Those of one segment between the same snapshots follow each other.
        """
        query = self._events_of(contact_id, workflows).order_by(
            spans.c.current_as_of.desc(), spans.c.segment, "change", spans.c.workflow, spans.c.id
        )
        with self._read() as connection:
            event_rows = connection.execute(query.limit(limit).offset(offset)).all()
            delivery_rows = connection.execute(
                _deliveries_of(contact_id, [row.span for row in event_rows])
            )
            by_event: dict[tuple[int, str], list[ListedDelivery]] = {}
            for span, *columns in delivery_rows:
                item = ListedDelivery(*columns)
                by_event.setdefault((span, item.change), []).append(item)
        return [
            Event(**row._mapping, deliveries=by_event.get((row.span, row.change), ()))
            for row in event_rows
        ]

    def contacts_beginning(
        self, text: str, workflows: Collection[str], limit: int
    ) -> Sequence[str]:
        """Return the first ids of contacts that begin so and that these workflows know."""
        is_known = exists().where(  # not a join: ids are read in order, until there are enough
            spans.c.id == changes.c.span,
            spans.c.namespace == self.namespace,
            spans.c.workflow.in_(sorted(workflows)),
        )
        query = (
            select(changes.c.contact_id)
            .where(
                changes.c.contact_id >= text,
                changes.c.contact_id < text + _LAST,
                is_known,
            )
            .distinct()
            .order_by(changes.c.contact_id)
        )
        with self._read() as connection:
            return list(connection.execute(query.limit(limit)).scalars())

    def acted_on(
        self, workflow: str, contact_ids: Collection[str], since: datetime
    ) -> Sequence[ListedDelivery]:
        """Return what a workflow has released of changes to snapshots since then, by contact.

        ``since`` is the as-of of the snapshot that a run compares with. A run leaves out what is
        here of another span (``leave_to_others``, ``suppress_reached``): of the same change, or an
        enrolment. That at ``since`` itself counts for enrolments alone.
        """
        table = deliveries.c
        query = select(*LISTED).where(
            table.contact_id.in_(sorted(contact_ids)),
            unindexed(table.namespace) == self.namespace,
            unindexed(table.workflow) == workflow,
            table.event_at >= since,
            STATE.not_in(NOT_RELEASED),
            table.reason != Reason.NO_LONGER_A_CHANGE,
        )
        with self._read() as connection:
            rows = [ListedDelivery(**row._mapping) for row in connection.execute(query)]
        return [row for row in rows if row.change == ChangeKind.ENROLLED or row.event_at != since]

    def _events_of(self, contact_id: str, workflows: Collection[str]) -> Select[Any]:
        of_changes = select(changes.c.span, changes.c.change).where(
            changes.c.contact_id == contact_id
        )
        of_deliveries = select(deliveries.c.span, deliveries.c.change).where(
            deliveries.c.contact_id == contact_id
        )
        events = union(of_changes, of_deliveries).subquery()
        mine = and_(
            changes.c.span == events.c.span,
            changes.c.contact_id == contact_id,
            changes.c.change == events.c.change,
        )
        return (
            select(
                events.c.span,
                events.c.change,
                changes.c.reason,
                full_segment(),
                spans.c.workflow,
                runs.c.run_id,
                spans.c.kind,
                spans.c.previous_key.label("previous"),
                spans.c.current_key.label("current"),
                spans.c.current_as_of.label("as_of"),
            )
            .join(spans, spans.c.id == events.c.span)
            .join(runs, runs.c.id == spans.c.run)
            .outerjoin(changes, mine)
            .where(
                spans.c.namespace == self.namespace,
                spans.c.workflow.in_(sorted(workflows)),
            )
        )


def _deliveries_of(contact_id: str, span_ids: Sequence[int]) -> Select[Any]:
    table = deliveries.c
    return (
        select(table.span, *LISTED)
        .where(table.contact_id == contact_id, table.span.in_(span_ids))
        .order_by(func.coalesce(table.called_at, table.updated_at), table.action)
    )
