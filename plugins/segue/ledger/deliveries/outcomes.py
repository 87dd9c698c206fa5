"""What came of calls, written: one statement for all outcomes that come together.

What was barred meanwhile (``barred`` of the table) and came to nothing is not given back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    String,
    and_,
    bindparam,
    case,
    func,
    literal,
    not_,
    or_,
    update,
)
from sqlalchemy.types import TypeEngine

from segue.ledger.base import STATE
from segue.ledger.facts import Finished
from segue.ledger.reasons import Reason
from segue.ledger.runs.reached import reason_of_barred
from segue.ledger.schema import UtcDateTime, deliveries
from segue.ledger.states import DUE_LATER, IN_ONES_HANDS, MAY_HAVE_ARRIVED, State, Step

SENT_AGAIN = "sent again"  # begins what is said of a call that was made once more, in doubt
# and of one that stays in doubt, because something forbids that
NOT_SENT_AGAIN = "not sent again"
REFUSED = "refused (whose fault is open)"  # and of a refusal, until others have proven whose
_IS_BARRED = deliveries.c.barred.is_not(None)
# a second call that had no effect leaves the first as it was: in doubt
_DOUBT_STAYS = and_(_IS_BARRED, bindparam("is_claimed") == 1, deliveries.c.resent == 1)
_BARRED_NOW = and_(_IS_BARRED, bindparam("stays_barred") == 0, not_(_DOUBT_STAYS))
_ENDED_NOW = or_(_BARRED_NOW, _DOUBT_STAYS)
_HELD_UNTIL = bindparam("new_held_until", type_=UtcDateTime())


def _as_called_before(column: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """What is known of the last call, where a further one was in vain: the call before that."""
    earlier = bindparam(f"earlier_{column}", type_=kind)
    return case((bindparam("was_in_vain") == 1, earlier), else_=deliveries.c[column])


_OUTCOME = (
    update(deliveries)
    .where(
        deliveries.c.key == bindparam("of_key"),
        deliveries.c.owner == bindparam("of_owner"),
        # an answer that comes after recovery called the delivery uncertain is still the truth
        or_(*(STATE == state for state in Step.DOUBT.origins)),  # noqa: SIM300
    )
    .values(
        state=case(
            (_BARRED_NOW, Step.BAR.to),
            (_DOUBT_STAYS, Step.DOUBT.to),
            else_=bindparam("new_state", type_=String()),
        ),
        reason=case(
            (_BARRED_NOW, reason_of_barred()),
            (_DOUBT_STAYS, literal(f"{NOT_SENT_AGAIN}: ") + reason_of_barred()),
            else_=bindparam("new_reason", type_=String()),
        ),
        barred=case((_BARRED_NOW, None), else_=deliveries.c.barred),
        refused_at=case((_ENDED_NOW, None), else_=bindparam("new_refused_at", type_=UtcDateTime())),
        waits_for=case((_ENDED_NOW, None), else_=bindparam("new_waits_for", type_=String())),
        owner=case(
            (or_(bindparam("let_go") == 1, _ENDED_NOW), None),
            else_=deliveries.c.owner,
        ),
        lease_until=case((_ENDED_NOW, None), else_=bindparam("new_lease", type_=UtcDateTime())),
        held_until=case(
            (_ENDED_NOW, None),
            (
                bindparam("still_open") == 1,
                func.coalesce(_HELD_UNTIL, deliveries.c.held_until),
            ),
            else_=_HELD_UNTIL,
        ),
        held_since=case(
            (_ENDED_NOW, None),
            (
                bindparam("still_open") == 1,
                func.coalesce(deliveries.c.held_since, bindparam("new_held_since")),
            ),
            else_=None,
        ),
        external_id=func.coalesce(bindparam("new_external_id"), deliveries.c.external_id),
        url=func.coalesce(bindparam("new_url"), deliveries.c.url),
        results=func.coalesce(bindparam("new_results"), deliveries.c.results),
        digest=func.coalesce(bindparam("new_digest"), deliveries.c.digest),
        message_key=_as_called_before("message_key", String()),
        trace=_as_called_before("trace", String()),
        called_at=_as_called_before("called_at", UtcDateTime()),
        resent=case(
            (or_(bindparam("waits_anew") == 1, _DOUBT_STAYS), 0), else_=deliveries.c.resent
        ),
        failed_at_clear=func.coalesce(bindparam("new_clear"), deliveries.c.failed_at_clear, 0),
        delivered_at=func.coalesce(bindparam("new_delivered_at"), deliveries.c.delivered_at),
        untold=case(
            (_BARRED_NOW, None),
            (_DOUBT_STAYS, bindparam("untold_in_doubt", type_=Integer())),
            else_=bindparam("new_untold", type_=Integer()),
        ),
        updated_at=bindparam("new_updated_at"),
    )
)


def write_outcomes(
    connection: Connection,
    finished: Sequence[Finished],
    owner: str,
    now: datetime,
    lease_until: datetime,
    clear_number: int | None,
) -> None:
    """Write outcomes of what is in ``owner``'s hands, or was in doubt since; others stay."""
    if finished:
        values = [_values(item, owner, now, lease_until, clear_number) for item in finished]
        connection.execute(_OUTCOME, values)


def _values(
    item: Finished, owner: str, now: datetime, lease_until: datetime, clear_number: int | None
) -> dict[str, Any]:
    is_delivered = item.state is State.DELIVERED
    in_ones_hands = item.state in IN_ONES_HANDS
    results = {name: _stored(text) for name, text in (item.results or {}).items()}
    return {
        "of_key": item.key,
        "of_owner": owner,
        "new_state": item.state,
        "new_reason": _stored(item.reason),
        "new_refused_at": now if item.refused else None,
        "new_waits_for": item.waits_for,
        "stays_barred": int(item.state in MAY_HAVE_ARRIVED),
        "is_claimed": int(item.state is State.CLAIMED),
        "untold_in_doubt": 1 if clear_number is None else None,
        "let_go": int(item.state in DUE_LATER),
        "new_lease": lease_until if in_ones_hands else None,
        "still_open": int(item.state in (*IN_ONES_HANDS, State.HELD)),
        "new_held_until": item.held_until,
        "new_held_since": now if item.reason == Reason.QUIET_HOURS else None,
        "new_external_id": _stored(item.external_id),
        "new_url": _stored(item.url),
        "new_results": json.dumps(results) if is_delivered else None,
        "new_digest": item.digest,
        "was_in_vain": int(item.earlier is not None),
        "earlier_message_key": item.earlier and item.earlier.message_key,
        "earlier_trace": item.earlier and json.dumps(dict(item.earlier.trace), sort_keys=True),
        "earlier_called_at": item.earlier and item.earlier.called_at,
        "waits_anew": int(item.state in DUE_LATER or _is_sent_once_more(item)),
        "new_clear": clear_number if item.state in (State.FAILED, *DUE_LATER) else None,
        "new_delivered_at": now if is_delivered else None,
        "new_untold": 1 if clear_number is None and _is_to_be_told(item) else None,
        "new_updated_at": now,
    }


def _stored(text: str | None) -> str | None:
    """Return a text as every database keeps it: vendors answer with NUL and halves of pairs.

    What a team's own channel gives for one is made one.
    """
    if text is None:
        return None
    return str(text).encode(errors="replace").decode().replace("\0", "?")


def _is_to_be_told(item: Finished) -> bool:
    """True for what a run's report would have told of; here there is no run any more."""
    if item.state is State.UNCERTAIN:
        return not _is_sent_once_more(item)
    return item.state is State.FAILED or item.reason == Reason.EXPIRED


def _is_sent_once_more(item: Finished) -> bool:
    return item.state is State.UNCERTAIN and item.held_until is not None
