"""One change that two spans hold: a span that was kept in quarantine, and those compared over it.

Whichever is released first acts on it, action by action. The other leaves out what was sent, and
what is in the first one's hands or in doubt until its outcome is known: looked for when changes
are recorded, when the guard judges, and when they are released, under the workflow's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select, update

from segue.ledger.base import move_deliveries, unindexed
from segue.ledger.facts import COVERING_KINDS
from segue.ledger.reasons import Reason
from segue.ledger.runs.reached import (
    REJECTED_BEFORE,
    reached,
    rejected,
    rejected_before,
)
from segue.ledger.schema import deliveries, spans
from segue.ledger.states import NOT_RELEASED, State, Step
from segue.ledger.stretches import Point, Stretch, by_end, compared_over


def in_another_ones_hands() -> ColumnElement[bool]:
    """Deliveries whose action another span has in hand for the same change."""
    return and_(deliveries.c.state == State.SUPPRESSED, deliveries.c.reason == Reason.IN_HAND)


def left_to_another() -> ColumnElement[bool]:
    """Deliveries that are left out for what another span does, which may come to nothing yet."""
    return or_(in_another_ones_hands(), reached())


def leave_to_others(connection: Connection, span_ids: Collection[int], now: datetime) -> None:
    """Suppress what waits in these spans and another one has sent, or has in its hands.

    What comes after it finds the results of what was sent here.
    """
    for span_id, others in _with_the_same_changes(connection, span_ids):
        theirs = deliveries.alias("theirs")
        same = (
            theirs.c.contact_id == deliveries.c.contact_id,
            unindexed(theirs.c.change) == deliveries.c.change,
            unindexed(theirs.c.action) == deliveries.c.action,
            unindexed(theirs.c.span).in_(others),
        )
        is_sent = unindexed(theirs.c.state) == State.DELIVERED
        in_hand = and_(
            unindexed(theirs.c.state).not_in(NOT_RELEASED),
            theirs.c.reason != Reason.NO_LONGER_A_CHANGE,
        )
        results = (
            select(func.coalesce(theirs.c.results, "{}"))
            .where(*same, is_sent)
            .limit(1)
            .scalar_subquery()
        )
        is_waiting = or_(deliveries.c.state == State.PLANNED, rejected())
        mine = deliveries.c.span == span_id, is_waiting
        for theirs_are, why in (
            (is_sent, {"reason": Reason.SENT_BEFORE, "results": results, "barred": None}),
            (in_hand, {"reason": Reason.IN_HAND, "barred": rejected_before()}),
        ):
            which = *mine, exists().where(*same, theirs_are)
            values = {**why, "updated_at": now}
            move_deliveries(connection, Step.LEAVE_OUT, which, values, lock=False)


def take_back(connection: Connection, span_id: int, now: datetime) -> None:
    """Let what was left to another span be judged again: it stands as it did before."""
    was_rejected = deliveries.c.barred == REJECTED_BEFORE
    connection.execute(
        update(deliveries)
        .where(deliveries.c.span == span_id, left_to_another())
        .values(
            state=case((was_rejected, Step.REJECT.to), else_=Step.PLAN_AGAIN.to),
            reason=case((was_rejected, Reason.REJECTED), else_=""),
            barred=None,
            updated_at=now,
        )
    )


def _with_the_same_changes(
    connection: Connection, span_ids: Collection[int]
) -> list[tuple[int, Sequence[int]]]:
    """Return those of the spans that share changes with others, and the ids of these."""
    columns = (spans.c.id, spans.c.namespace, spans.c.workflow)
    mine = connection.execute(select(*columns).where(spans.c.id.in_(span_ids))).all()
    rivals: dict[int, list[int]] = {row.id: [] for row in mine}
    for namespace, workflow in {(row.namespace, row.workflow) for row in mine}:
        ids = _stretches(connection, namespace, workflow)
        ends = by_end(ids)
        for stretch, number in ids.items():
            for earlier in compared_over(stretch, ends):
                for one, other in ((number, ids[earlier]), (ids[earlier], number)):
                    if one in rivals:
                        rivals[one].append(other)
    return [(span_id, others) for span_id, others in rivals.items() if others]


def _stretches(connection: Connection, namespace: str, workflow: str) -> dict[Stretch, int]:
    query = select(spans).where(
        spans.c.namespace == namespace,
        spans.c.workflow == workflow,
        spans.c.kind.in_(COVERING_KINDS),
        spans.c.previous_key.is_not(None),
    )
    return {_stretch(row): row.id for row in connection.execute(query)}


def _stretch(row: Any) -> Stretch:
    return Stretch(
        Point(row.previous_as_of, row.previous_key), Point(row.current_as_of, row.current_key)
    )
