"""Members whom a workflow has reached: by an enrolment, or because they were added.

A daily run and an enrolment find the same contact independently, and either may wait for a
person's answer meanwhile. So whoever was reached is looked for when changes are recorded, and
again when they are released, under the workflow's lock: only one of the two goes out.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, update

from segue.delivery.ledger.database import unindexed
from segue.delivery.ledger.records import (
    NO_LONGER_A_CHANGE,
    SUPPRESSED_REACHED,
    SUPPRESSED_REJECTED,
    SpanKind,
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
    enrolments = spans.alias("enrolments")
    has_enrolled = exists().where(
        enrolments.c.namespace == spans.c.namespace,
        enrolments.c.workflow == spans.c.workflow,
        enrolments.c.kind == SpanKind.ENROLMENT,
    )
    query = select(spans.c.id, spans.c.kind, spans.c.previous_as_of).where(
        spans.c.id.in_(span_ids), has_enrolled
    )
    for span in connection.execute(query).all():
        waiting = or_(deliveries.c.state == State.PLANNED, rejected())
        connection.execute(
            update(deliveries)
            .where(deliveries.c.span == span.id, waiting, _reached(span))
            .values(state=State.SUPPRESSED, reason=SUPPRESSED_REACHED, updated_at=now)
        )


def _reached(span: Any) -> ColumnElement[bool]:
    """Deliveries of a span to contacts who were reached: of an enrolment, or of changes."""
    other = deliveries.alias("other")
    was_enrolled = and_(
        deliveries.c.change == ChangeKind.ADDED,
        other.c.change == ChangeKind.ENROLLED,
        other.c.state.not_in((State.PLANNED, State.SUPPRESSED)),
        other.c.reason != NO_LONGER_A_CHANGE,
        other.c.event_at >= span.previous_as_of,
    )
    was_added = and_(
        deliveries.c.change == ChangeKind.ENROLLED,
        other.c.change == ChangeKind.ADDED,
        unindexed(other.c.state).in_(GONE_OUT),
    )
    return exists().where(
        other.c.contact_id == deliveries.c.contact_id,
        unindexed(other.c.namespace) == deliveries.c.namespace,
        unindexed(other.c.workflow) == deliveries.c.workflow,
        was_added if span.kind == SpanKind.ENROLMENT else was_enrolled,
    )
