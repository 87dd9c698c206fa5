"""What may be sent, who sends it, and what came of it: each delivery's way through its states."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    String,
    and_,
    bindparam,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.types import TypeEngine

from segue.ledger.base import (
    STATE,
    LedgerDatabase,
    batched,
    change_deliveries,
    lock_deliveries,
    move_deliveries,
    unindexed,
)
from segue.ledger.facts import NOT_HELD, DeliveryRow, Finished, Started, StartRules
from segue.ledger.reasons import FINAL_SKIPS, Reason
from segue.ledger.runs.reached import reason_of_barred
from segue.ledger.schema import UtcDateTime, deliveries
from segue.ledger.states import IN_ONES_HANDS, MAY_HAVE_ARRIVED, State, Step

SENT_AGAIN = "sent again"  # begins what is said of a call that was made once more, in doubt
NOT_SENT_AGAIN = "not sent again"  # and of one that stays in doubt, because something forbids that
_LOCKS = 256  # of a transaction at most


class Claims(LedgerDatabase):
    """The states of deliveries."""

    def claim(
        self,
        keys: Iterable[str],
        *,
        owner: str,
        now: datetime,
        lease_until: datetime,
        clear_number: int | None = 0,
        resend_uncertain: bool = False,
    ) -> list[DeliveryRow]:
        """Take the deliveries that may be tried now, for ``owner`` until ``lease_until``.

        These are: released; held until now; claimed under a lease that ran out; skipped at the
        door before (the reason is judged again); failed before a person cleared the task
        (``clear_number``); with ``resend_uncertain``, uncertain and not sent again before. What is
        held under this clear number and fails later waits for a person to clear it once more.
        """
        free = _free(now, clear_number, resend_uncertain=resend_uncertain)
        in_doubt = STATE == State.UNCERTAIN
        left_in_doubt = and_(STATE == State.CLAIMED, deliveries.c.resent == 1)  # by a dead worker
        values = {
            "reason": case((or_(in_doubt, left_in_doubt), deliveries.c.reason), else_=""),
            "resent": case(
                (in_doubt, 1), (STATE == State.FAILED, 0), else_=deliveries.c.resent
            ),  # whoever cleared what failed has taken the doubt upon himself
            "owner": owner,
            "lease_until": lease_until,
            "updated_at": now,
        }
        claimed: list[DeliveryRow] = []
        for batch in batched(sorted(keys)):
            with self._write() as connection:
                if clear_number is not None:
                    _note_clear(connection, batch, clear_number)
                query = (
                    select(deliveries)
                    .where(deliveries.c.key.in_(batch), free)
                    .with_for_update(skip_locked=True)
                )
                rows = [delivery_row(row) for row in connection.execute(query)]
                taken = [row.key for row in rows]
                mine = deliveries.c.key.in_(taken)
                move_deliveries(connection, Step.CLAIM, [mine], values, lock=False)
            claimed += rows
        return claimed

    def advance(
        self,
        finished: Sequence[Finished],
        starting: Mapping[str, Mapping[str, str]],
        *,
        rules: StartRules,
        owner: str,
        now: datetime,
        lease_until: datetime,
        clear_number: int | None = 0,
        together: str | None = None,
    ) -> Started:
        """Write outcomes and mark the calls about to start, in one transaction.

        ``starting`` maps the keys of those calls to their traces. With ``together``, the key of a
        digest, they are one call: all of them begin, or none.
        """
        with self._write() as connection:
            moving = [*(item.key for item in finished), *starting]
            for batch in batched(sorted(moving)):
                lock_deliveries(connection, deliveries.c.key.in_(batch))
            _finish(connection, finished, owner, now, lease_until, clear_number)
            if not starting:
                return Started()
            refused: dict[str, str] = {}
            waiting: set[str] = set()
            if rules.look_at_contacts:
                refused, waiting = self._judge_contacts(connection, list(starting), rules, now)
            mine: set[str] = set()
            may_start = [key for key in starting if key not in refused and key not in waiting]
            if together is not None:
                may_start = _still_claimed(connection, may_start, owner)
                if len(may_start) < len(starting):
                    return Started(frozenset(may_start), refused)
            for trace, keys in _by_trace(starting, may_start):
                mark = (
                    update(deliveries)
                    .where(
                        deliveries.c.key.in_(keys),
                        deliveries.c.owner == owner,
                        STATE.in_(Step.BEGIN.origins),
                    )
                    .values(
                        state=Step.BEGIN.to,
                        attempts=deliveries.c.attempts + 1,
                        channel=rules.channel,
                        addressed_to=rules.addressed_to,
                        trace=trace,
                        message_key=together,
                        called_at=now,
                        lease_until=lease_until,
                        updated_at=now,
                    )
                    .returning(deliveries.c.key)
                )
                mine.update(connection.execute(mark).scalars())
            return Started(frozenset(mine), refused)

    def renew(self, owner: str, lease_until: datetime) -> None:
        """Extend the lease of all that ``owner`` has in its hands."""
        held = deliveries.c.owner == owner, deliveries.c.state.in_(IN_ONES_HANDS)
        # what the pass itself has locked gets its lease there; waiting for it could be a deadlock
        free = select(deliveries.c.key).where(*held).with_for_update(skip_locked=True)
        query = update(deliveries).where(deliveries.c.key.in_(free)).values(lease_until=lease_until)
        with self._write() as connection:
            connection.execute(query)

    def give_back(self, owner: str, now: datetime) -> int:
        """Return all that ``owner`` has claimed and not begun to where it was taken from."""
        mine = deliveries.c.owner == owner, deliveries.c.state.in_(Step.GIVE_BACK.origins)
        with self._write() as connection:
            return change_deliveries(connection, mine, free_again(now))

    def skip(self, keys: Iterable[str], reason: str, now: datetime) -> int:
        """Record ``skipped(reason)`` for deliveries that were released, or held, and not sent.

        What failed is among them: conditions are judged again only where a person cleared it.
        """
        values = {"reason": reason, **NOT_HELD, "updated_at": now}
        total = 0
        for batch in batched(keys):
            unsent = deliveries.c.key.in_(batch), deliveries.c.reason.not_in(FINAL_SKIPS)
            with self._write() as connection:
                total += move_deliveries(connection, Step.SKIP_UNMET, unsent, values)
        return total

    def unskip(self, keys: Iterable[str], reason: str, now: datetime) -> int:
        """Return deliveries that were skipped for ``reason``, and pass now, to ``released``."""
        total = 0
        for batch in batched(keys):
            skipped = deliveries.c.key.in_(batch), deliveries.c.reason == reason
            values = {"reason": "", "updated_at": now}
            with self._write() as connection:
                total += move_deliveries(connection, Step.RELEASE_MET, skipped, values)
        return total

    def rows(self, keys: Iterable[str]) -> dict[str, DeliveryRow]:
        """Return the deliveries with these keys, by key."""
        found: dict[str, DeliveryRow] = {}
        for batch in batched(sorted(set(keys))):
            with self._read() as connection:
                query = select(deliveries).where(deliveries.c.key.in_(batch))
                found |= {row.key: delivery_row(row) for row in connection.execute(query)}
        return found

    def _judge_contacts(
        self, connection: Connection, starting: Sequence[str], rules: StartRules, now: datetime
    ) -> tuple[dict[str, str], set[str]]:
        """Return what the rules refuse, by key, and what has to wait for another's outcome.

        Calls for one contact begin one transaction at a time, so of two that race one is seen.
        """
        found = [
            row
            for batch in batched(starting)
            for row in connection.execute(select(deliveries).where(deliveries.c.key.in_(batch)))
        ]
        own = sorted(found, key=lambda row: (row.contact_id, row.key))
        contacts = {row.contact_id for row in own}
        self._lock_contacts(connection, contacts)
        reached = self._reached(connection, contacts)  # and then what this transaction begins
        refused: dict[str, str] = {}
        waiting: set[str] = set()
        for row in own:
            rivals = [other for other in reached.get(row.contact_id, ()) if other.key != row.key]
            against = _once(rules, row, rivals) or _cap(rules, rivals, now)
            if against is None:
                reached.setdefault(row.contact_id, []).append(row)
                continue
            reason, decided = against
            if decided:
                refused[row.key] = reason
            else:
                waiting.add(row.key)
        return refused, waiting

    def _lock_contacts(self, connection: Connection, contacts: Iterable[str]) -> None:
        """Let no other transaction begin calls for these contacts; on SQLite there is none.

        A lock stands for many contacts: a digest has more than a PostgreSQL server has locks.
        """
        if self.engine.dialect.name == "postgresql":
            for lock in sorted({zlib.crc32(one.encode()) % _LOCKS for one in contacts}):
                name = func.hashtextextended(f"{self.namespace}/contacts/{lock}", 0)
                connection.execute(select(func.pg_advisory_xact_lock(name)))

    def _reached(
        self, connection: Connection, contacts: Iterable[str]
    ) -> dict[str, list[Row[Any]]]:
        """Return, by contact, the deliveries that reached it, or may have."""
        found: dict[str, list[Row[Any]]] = {}
        for batch in batched(sorted(contacts)):
            query = select(deliveries).where(
                deliveries.c.contact_id.in_(batch),
                unindexed(deliveries.c.namespace) == self.namespace,
                STATE.in_(MAY_HAVE_ARRIVED),
            )
            for row in connection.execute(query):
                found.setdefault(row.contact_id, []).append(row)
        return found


def _once(rules: StartRules, row: Row[Any], rivals: list[Row[Any]]) -> tuple[str, bool] | None:
    """Return why a delivery may not begin, and whether that is final, or None."""
    once = rules.once
    if once is None:
        return None
    near = [
        other
        for other in rivals
        if (other.workflow, other.action) == (row.workflow, row.action)
        and once.forbids(other.event_at, row.event_at)
    ]
    return _against(Reason.ONCE_PER_CONTACT, near, 1)


def _cap(rules: StartRules, rivals: list[Row[Any]], now: datetime) -> tuple[str, bool] | None:
    if rules.cap is None:
        return None
    at_most, within = rules.cap
    recent = [
        other
        for other in rivals
        if other.state == State.CLAIMED  # begun in this transaction, and read before that
        or (
            (other.channel, other.addressed_to) == (rules.channel, rules.addressed_to)
            and other.called_at > now - within
        )
    ]
    return _against(Reason.FREQUENCY_CAP, recent, at_most)


def _against(reason: str, rivals: list[Row[Any]], enough: int) -> tuple[str, bool] | None:
    """Final where the rivals that have been sent suffice; else those under way must end first."""
    if len(rivals) < enough:
        return None
    settled = [other for other in rivals if other.state in (State.DELIVERED, State.UNCERTAIN)]
    return reason, len(settled) >= enough


def _free(
    now: datetime, clear_number: int | None, *, resend_uncertain: bool
) -> ColumnElement[bool]:
    ways = [
        STATE == State.RELEASED,
        and_(STATE == State.HELD, deliveries.c.held_until <= now),
        and_(STATE == State.CLAIMED, deliveries.c.lease_until < now),
        and_(STATE == State.SKIPPED, deliveries.c.reason.not_in(FINAL_SKIPS)),
    ]
    if clear_number is not None:
        failed_before = deliveries.c.failed_at_clear < clear_number
        ways.append(and_(STATE == State.FAILED, failed_before))
    if resend_uncertain:
        doubtful = STATE == State.UNCERTAIN, deliveries.c.resent == 0
        ways.append(and_(*doubtful, deliveries.c.barred.is_(None)))
    return or_(*ways)


def _note_clear(connection: Connection, keys: Sequence[str], clear_number: int) -> None:
    """Note that a run's task came by what is held: only a later clearing was after that."""
    held = deliveries.c.key.in_(keys), deliveries.c.state == State.HELD
    change_deliveries(connection, held, {"failed_at_clear": clear_number})


def free_again(now: datetime) -> dict[str, Any]:
    """Return the columns of a claim that is given up: what was held is due, behind the others.

    What was to be sent once more, in doubt, stays in doubt.
    """
    was_held, in_doubt = deliveries.c.held_until.is_not(None), deliveries.c.resent == 1
    return {
        "state": case(
            (in_doubt, Step.DOUBT_AGAIN.to),
            (was_held, Step.HOLD_AGAIN.to),
            else_=Step.GIVE_BACK.to,
        ),
        "resent": 0,
        "held_until": case((was_held, now), else_=None),
        "owner": None,
        "lease_until": None,
        "updated_at": now,
    }


def _still_claimed(connection: Connection, keys: Iterable[str], owner: str) -> list[str]:
    """Lock those that ``owner`` has claimed, so that nobody takes one before it is marked."""
    found: list[str] = []
    for batch in batched(sorted(keys)):
        query = select(deliveries.c.key).where(
            deliveries.c.key.in_(batch),
            deliveries.c.owner == owner,
            STATE == State.CLAIMED,
        )
        found += connection.execute(query.with_for_update()).scalars()
    return found


def _by_trace(
    starting: Mapping[str, Mapping[str, str]], keys: Iterable[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the keys with the same trace, as many as one statement may name."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(json.dumps(dict(starting[key]), sort_keys=True), []).append(key)
    for trace, same in found.items():
        for batch in batched(same):
            yield trace, batch


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


def _finish(
    connection: Connection,
    finished: Sequence[Finished],
    owner: str,
    now: datetime,
    lease_until: datetime,
    clear_number: int | None,
) -> None:
    if finished:
        values = [_values(item, owner, now, lease_until, clear_number) for item in finished]
        connection.execute(_OUTCOME, values)


def _values(
    item: Finished, owner: str, now: datetime, lease_until: datetime, clear_number: int | None
) -> dict[str, Any]:
    delivered = item.state is State.DELIVERED
    in_ones_hands = item.state in IN_ONES_HANDS
    return {
        "of_key": item.key,
        "of_owner": owner,
        "new_state": item.state,
        "new_reason": item.reason,
        "new_waits_for": item.waits_for,
        "stays_barred": int(item.state in MAY_HAVE_ARRIVED),
        "is_claimed": int(item.state is State.CLAIMED),
        "untold_in_doubt": 1 if clear_number is None else None,
        "let_go": int(item.state is State.HELD),
        "new_lease": lease_until if in_ones_hands else None,
        "still_open": int(item.state in (*IN_ONES_HANDS, State.HELD)),
        "new_held_until": item.held_until,
        "new_held_since": now if item.reason == Reason.QUIET_HOURS else None,
        "new_external_id": item.external_id,
        "new_url": item.url,
        "new_results": json.dumps(dict(item.results or {})) if delivered else None,
        "new_digest": item.digest,
        "was_in_vain": int(item.earlier is not None),
        "earlier_message_key": item.earlier and item.earlier.message_key,
        "earlier_trace": item.earlier and json.dumps(dict(item.earlier.trace), sort_keys=True),
        "earlier_called_at": item.earlier and item.earlier.called_at,
        "waits_anew": int(item.state is State.HELD or _is_sent_once_more(item)),
        "new_clear": clear_number if item.state in (State.FAILED, State.HELD) else None,
        "new_delivered_at": now if delivered else None,
        "new_untold": 1 if clear_number is None and _is_to_be_told(item) else None,
        "new_updated_at": now,
    }


def _is_to_be_told(item: Finished) -> bool:
    """True for what a run's report would have told of; here there is no run any more."""
    if item.state is State.UNCERTAIN:
        return not _is_sent_once_more(item)
    return item.state is State.FAILED or item.reason == Reason.EXPIRED


def _is_sent_once_more(item: Finished) -> bool:
    return item.state is State.UNCERTAIN and item.held_until is not None


def delivery_row(row: Row[Any]) -> DeliveryRow:
    """Return a row of the table as plain facts."""
    return DeliveryRow(
        row.key,
        row.action,
        row.contact_id,
        row.change,
        row.span,
        State(row.state),
        row.reason,
        json.loads(row.results) if row.results else {},
        row.planned_at,
        row.event_at,
        row.called_at,
        row.held_since,
        json.loads(row.trace) if row.trace else {},
        bool(row.resent),
        row.message_key,
        row.held_until,
        bool(row.barred),
    )
