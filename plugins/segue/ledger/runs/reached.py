"""Members whom a workflow has reached: by an enrolment, or because they were added.

A daily run and an enrolment find the same contact independently, either may wait for a person's
answer meanwhile, and an ``added`` that failed or was skipped may come back without the guard. So
whoever was reached is looked for when changes are recorded, and again when they are released. A
released enrolment ends the ``added`` of its contacts that could come back; a released ``added``
ends what an older enrolment of its contact has not sent yet: all of it under the workflow's lock.
So of a contact's ``added`` and ``enrolled`` one at most is free to be claimed; but for an
``added`` that failed or was skipped before an enrolment at an older snapshot was released, and is
tried again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from segue.ledger.base import (
    STATE,
    batched,
    change_deliveries,
    move_deliveries,
    same_change,
    unindexed,
)
from segue.ledger.facts import IN_NOBODYS_HANDS, SpanKind
from segue.ledger.reasons import FINAL_SKIPS, Reason
from segue.ledger.schema import deliveries, spans
from segue.ledger.states import (
    ACTED_ON,
    COMES_BACK,
    NOT_RELEASED,
    RELEASED_UNSENT,
    UNDER_WAY,
    State,
    Step,
)
from segue.segments.kinds import ChangeKind

REJECTED_BEFORE = 1  # in ``barred``, of what is left to another span
BARRED_BY_QUARANTINE, BARRED_BY_ADDITION = 1, 2  # in ``barred``, of what is under way or in doubt
BARRED_BY_POLICY: Mapping[str, int] = {  # likewise; those of POLICY_REASONS may be lifted again
    Reason.BACKFILL: 3,
    Reason.MAX_AGE: 4,
    Reason.PRUNED: 5,
}
_WHY_BARRED = {
    BARRED_BY_ADDITION: Reason.REACHED,
    **{number: reason for reason, number in BARRED_BY_POLICY.items()},
}


def rejected() -> ColumnElement[bool]:
    """Deliveries that a person, or the deadline, rejected."""
    return and_(deliveries.c.state == State.SUPPRESSED, deliveries.c.reason == Reason.REJECTED)


def reached() -> ColumnElement[bool]:
    """Deliveries that are left out because the workflow has reached the contact as a member."""
    return and_(deliveries.c.state == State.SUPPRESSED, deliveries.c.reason == Reason.REACHED)


def reject_if_judged_again(connection: Connection, span_ids: Collection[int]) -> None:
    """Let what is left out as reached be rejected, once detect_changes judges it again.

    Not now: no branch of the run has it, so that an approval would release it for nobody.
    """
    mine = update(deliveries).where(deliveries.c.span.in_(span_ids), reached())
    connection.execute(mine.values(barred=REJECTED_BEFORE))


def rejected_before() -> ColumnElement[int | None]:
    """What ``barred`` becomes of what is left to another span: a rejection is remembered."""
    return case((rejected(), REJECTED_BEFORE), else_=None)


def waiting(actions: Collection[str] | None = None) -> ColumnElement[bool]:
    """Deliveries that a person's approval would release: planned, or rejected before.

    What was rejected waits as long as its change is one: a mended snapshot may have none of it.
    ``actions`` are those that are defined, None for all: nothing sends any other.
    """
    waits = or_(
        deliveries.c.state == State.PLANNED, and_(rejected(), exists().where(same_change()))
    )
    return waits if actions is None else and_(waits, deliveries.c.action.in_(actions))


def end_overtaken(
    connection: Connection, span_ids: Collection[int], which: ColumnElement[bool], now: datetime
) -> None:
    """Suppress ``added`` that failed or were skipped, of those whom an enrolment reaches now.

    For the enrolments among the spans, of which ``which`` is about to be released. A person who
    clears such a run later, or asks for a retry, would send both. It comes before the last look
    for who was reached: whoever is claimed meanwhile is seen there.
    """
    query = select(spans).where(spans.c.id.in_(span_ids), spans.c.kind == SpanKind.ENROLMENT)
    for enrolment in connection.execute(query).all():
        suppress_reached(connection, [enrolment.id], now)
        members = select(deliveries.c.contact_id).where(deliveries.c.span == enrolment.id, which)
        for batch in batched(connection.execute(members.distinct()).scalars().all()):
            values = {"reason": Reason.REACHED, "updated_at": now}
            move_deliveries(connection, Step.END, _added_before(enrolment, batch), values)


def _added_before(enrolment: Row[Any], contact_ids: Sequence[str]) -> Sequence[ColumnElement[bool]]:
    """``added`` that failed or were skipped, of spans compared with no snapshot after it."""
    earlier = spans.alias("earlier")
    previous_keys = select(earlier.c.previous_key).where(
        earlier.c.namespace == enrolment.namespace,
        earlier.c.workflow == enrolment.workflow,
        earlier.c.previous_as_of <= enrolment.current_as_of,
        earlier.c.previous_key.is_not(None),
    )
    span_ids = select(spans.c.id).where(
        spans.c.namespace == enrolment.namespace,
        spans.c.workflow == enrolment.workflow,
        spans.c.previous_key.in_(previous_keys),
    )
    return (
        deliveries.c.contact_id.in_(contact_ids),
        unindexed(deliveries.c.span).in_(span_ids),
        unindexed(deliveries.c.change) == ChangeKind.ADDED,
        STATE.in_(COMES_BACK),
        deliveries.c.reason != Reason.NO_LONGER_A_CHANGE,
    )


def end_enrolled(connection: Connection, span_ids: Collection[int], now: datetime) -> None:
    """Suppress what older enrolments have not sent, of those whose ``added`` is released here.

    They were removed in between, and their addition is news: of the two messages it is the one
    that is true now. What is under way is not called again, should it come to nothing. The spans
    are looked at together, so that the enrolments' deliveries are locked in one order.
    """
    here = spans.alias("here")
    enrolments = select(spans.c.id).where(
        exists().where(
            here.c.id.in_(span_ids),
            here.c.namespace == spans.c.namespace,
            here.c.workflow == spans.c.workflow,
        ),
        spans.c.kind == SpanKind.ENROLMENT,
    )
    enrolment_ids = connection.execute(enrolments).scalars().all()
    if not enrolment_ids:
        return
    additions = deliveries.alias("additions")
    overtaken = (
        deliveries.c.span.in_(enrolment_ids),
        deliveries.c.reason.not_in(FINAL_SKIPS),
        exists().where(
            additions.c.contact_id == deliveries.c.contact_id,
            unindexed(additions.c.span).in_(span_ids),
            unindexed(additions.c.change) == ChangeKind.ADDED,
            unindexed(additions.c.state) == State.RELEASED,
        ),
    )
    open_ones = (*overtaken, deliveries.c.state.in_((*RELEASED_UNSENT, *UNDER_WAY)))
    change_deliveries(connection, open_ones, {"barred": BARRED_BY_ADDITION})  # locks them all
    leave_claims_in_doubt(connection, overtaken, now)
    unsent = *overtaken, deliveries.c.state.in_(RELEASED_UNSENT)
    values = {"reason": Reason.REACHED, "barred": None, "updated_at": now, **IN_NOBODYS_HANDS}
    move_deliveries(connection, Step.END, unsent, values, lock=False)


def leave_claims_in_doubt(
    connection: Connection, which: Sequence[ColumnElement[bool]], now: datetime
) -> None:
    """Let what was claimed to be sent once more be uncertain again: its first call may be out.

    It comes before what is claimed is suppressed or skipped, and after it was locked.
    """
    once_more = *which, deliveries.c.state == State.CLAIMED, deliveries.c.resent == 1
    as_before = {"resent": 0, "owner": None, "lease_until": None, "updated_at": now}
    move_deliveries(connection, Step.DOUBT_AGAIN, once_more, as_before, lock=False)


def reason_of_barred() -> ColumnElement[str]:
    """Why a call that was barred while it was under way, and came to nothing, is left out."""
    return case(_WHY_BARRED, value=deliveries.c.barred, else_=Reason.REJECTED)


def suppress_reached(connection: Connection, span_ids: Collection[int], now: datetime) -> None:
    """Suppress what waits in these spans for contacts whom the workflow has reached as members.

    What reached them may come to nothing: a run that is cleared from detect_changes judges it anew.
    ``enrolled``, where an ``added`` went out. ``added``, where the contact was enrolled at a
    snapshot that is not before the one its span is compared with: who was a member there and is
    added later was removed in between, and that is news.
    """
    enrolments = spans.alias("enrolments")
    has_enrolled = exists().where(
        enrolments.c.namespace == spans.c.namespace,
        enrolments.c.workflow == spans.c.workflow,
        enrolments.c.kind == SpanKind.ENROLMENT,
    )
    query = select(spans.c.id, spans.c.kind, _compared_with().label("compared_with")).where(
        spans.c.id.in_(span_ids), has_enrolled
    )
    for span in connection.execute(query).all():
        is_unreleased = or_(deliveries.c.state == State.PLANNED, rejected())
        which = deliveries.c.span == span.id, is_unreleased, _reached(span)
        values = {"reason": Reason.REACHED, "barred": rejected_before(), "updated_at": now}
        move_deliveries(connection, Step.LEAVE_OUT, which, values, lock=False)


def _compared_with() -> ColumnElement[datetime]:
    """As-of of the snapshot that a span is compared with; of an enrolment and a baseline its own.

    One that is compared over kept spans begins at the end of the last of them; the first of them
    begins at that snapshot.
    """
    begins = spans.alias("begins")
    same_snapshot = (
        select(func.min(begins.c.previous_as_of))
        .where(
            begins.c.namespace == spans.c.namespace,
            begins.c.workflow == spans.c.workflow,
            begins.c.previous_key == spans.c.previous_key,
        )
        .scalar_subquery()
    )
    return func.coalesce(same_snapshot, spans.c.previous_as_of)


def _reached(span: Any) -> ColumnElement[bool]:
    """Deliveries of a span to contacts who were reached: of an enrolment, or of changes."""
    other = deliveries.alias("other")
    was_enrolled = and_(
        deliveries.c.change == ChangeKind.ADDED,
        other.c.change == ChangeKind.ENROLLED,
        other.c.state.not_in(NOT_RELEASED),
        other.c.reason != Reason.NO_LONGER_A_CHANGE,
        other.c.event_at >= span.compared_with,
    )
    was_added = and_(
        deliveries.c.change == ChangeKind.ENROLLED,
        other.c.change == ChangeKind.ADDED,
        unindexed(other.c.state).in_(ACTED_ON),
    )
    return exists().where(
        other.c.contact_id == deliveries.c.contact_id,
        unindexed(other.c.namespace) == deliveries.c.namespace,
        unindexed(other.c.workflow) == deliveries.c.workflow,
        was_added if span.kind == SpanKind.ENROLMENT else was_enrolled,
    )
