"""Members whom a workflow has reached: by an enrolment, or because they were added.

A daily run and an enrolment find the same contact independently, and either may wait for a
person's answer meanwhile. So whoever was reached is looked for when changes are recorded, and
again when they are released, under the workflow's lock: only one of the two goes out.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, update

from segue.delivery.ledger.records import (
    NO_LONGER_A_CHANGE,
    SUPPRESSED_REACHED,
    SUPPRESSED_REJECTED,
)
from segue.delivery.schema import State, deliveries, spans
from segue.segments.kinds import ChangeKind

GONE_OUT = (
    State.DELIVERED,
    State.UNCERTAIN,
    State.SENDING,
    State.CLAIMED,
    State.RELEASED,
    State.HELD,
)


def rejected() -> ColumnElement[bool]:
    """Deliveries that a person, or the deadline, rejected."""
    return and_(deliveries.c.state == State.SUPPRESSED, deliveries.c.reason == SUPPRESSED_REJECTED)


def suppress_reached(connection: Connection, span_ids: Collection[int], now: datetime) -> None:
    """Suppress what waits in these spans for contacts whom the workflow has reached as members.

    ``enrolled``, where an ``added`` went out. ``added``, where the contact was enrolled at a
    snapshot that is not before the one its span begins at: who was a member there and is added
    later was removed in between, and that is news.
    """
    other = deliveries.alias("other")
    was_enrolled = and_(
        deliveries.c.change == ChangeKind.ADDED,
        other.c.change == ChangeKind.ENROLLED,
        other.c.state.not_in((State.PLANNED, State.SUPPRESSED)),
        other.c.reason != NO_LONGER_A_CHANGE,
        other.c.event_at >= spans.c.previous_as_of,
    )
    was_added = and_(
        deliveries.c.change == ChangeKind.ENROLLED,
        other.c.change == ChangeKind.ADDED,
        other.c.state.in_(GONE_OUT),
    )
    reached = exists().where(
        spans.c.id == deliveries.c.span,
        other.c.contact_id == deliveries.c.contact_id,
        other.c.namespace == deliveries.c.namespace,
        other.c.workflow == deliveries.c.workflow,
        or_(was_enrolled, was_added),
    )
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.span.in_(span_ids),
            or_(deliveries.c.state == State.PLANNED, rejected()),
            reached,
        )
        .values(state=State.SUPPRESSED, reason=SUPPRESSED_REACHED, updated_at=now)
    )
