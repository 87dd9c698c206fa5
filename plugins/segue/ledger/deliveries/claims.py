"""What may be sent, and who sends it: claims under a lease, and the marks before calls."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    case,
    func,
    or_,
    select,
    update,
)

from segue.ledger.base import (
    STATE,
    LedgerDatabase,
    batched,
    change_deliveries,
    lock_deliveries,
    move_deliveries,
    unindexed,
)
from segue.ledger.deliveries.outcomes import write_outcomes
from segue.ledger.facts import NOT_HELD, DeliveryRow, Finished, Started, StartRules
from segue.ledger.reasons import FINAL_SKIPS, Reason
from segue.ledger.schema import deliveries
from segue.ledger.states import DUE_LATER, IN_ONES_HANDS, MAY_HAVE_ARRIVED, State, Step

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

        These are: released; held, or waiting, until now; claimed under a lease that ran out;
        skipped at the door before (the reason is judged again); failed before a person cleared
        the task (``clear_number``); with ``resend_uncertain``, uncertain and not sent again before.
        What a person's open request means is left to it, where it is held, waiting or uncertain.
        What is held under this clear number and fails later waits for a person to clear it once
        more.
        """
        free = _free(now, clear_number, resend_uncertain=resend_uncertain)
        values = {**_CLAIMED, "owner": owner, "lease_until": lease_until, "updated_at": now}
        claims: list[DeliveryRow] = []
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
                own_keys = [row.key for row in rows]
                mine = deliveries.c.key.in_(own_keys)
                move_deliveries(connection, Step.CLAIM, [mine], values, lock=False)
            claims += rows
        return claims

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
            keys_to_lock = [*(item.key for item in finished), *starting]
            for batch in batched(sorted(keys_to_lock)):
                lock_deliveries(connection, deliveries.c.key.in_(batch))
            write_outcomes(connection, finished, owner, now, lease_until, clear_number)
            if not starting:
                return Started()
            refusals: dict[str, str] = {}
            waiting_keys: set[str] = set()
            if rules.look_at_contacts:
                refusals, waiting_keys = self._judge_contacts(
                    connection, list(starting), rules, now
                )
            mine: set[str] = set()
            may_start = [key for key in starting if key not in refusals and key not in waiting_keys]
            if together is not None:
                may_start = _still_claimed(connection, may_start, owner)
                if len(may_start) < len(starting):
                    return Started(frozenset(may_start), refusals)
            for trace, keys in _by_trace(starting, may_start):
                call = {"trace": trace, "message_key": together, "lease_until": lease_until}
                mine.update(_mark(connection, keys, owner, rules, now, call))
            return Started(frozenset(mine), refusals)

    def renew(self, owner: str, lease_until: datetime) -> None:
        """Extend the lease of all that ``owner`` has in its hands."""
        in_hand = deliveries.c.owner == owner, deliveries.c.state.in_(IN_ONES_HANDS)
        # what the pass itself has locked gets its lease there; waiting for it could be a deadlock
        free = select(deliveries.c.key).where(*in_hand).with_for_update(skip_locked=True)
        # nothing that is exported: the row does not count as changed
        values = {"lease_until": lease_until, "changed_in": deliveries.c.changed_in}
        query = update(deliveries).where(deliveries.c.key.in_(free)).values(values)
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
            to_release = deliveries.c.key.in_(batch), deliveries.c.reason == reason
            values = {"reason": "", "updated_at": now}
            with self._write() as connection:
                total += move_deliveries(connection, Step.RELEASE_MET, to_release, values)
        return total

    def latest_success(self, workflow: str, action: str, since: datetime) -> datetime | None:
        """Return when the call began that was the last to deliver, if one was since then.

        Of a workflow that delivered a lot meanwhile the newest row is the first of the index.
        """
        newest = (
            select(deliveries.c.called_at)
            .where(
                deliveries.c.namespace == self.namespace,
                deliveries.c.workflow == workflow,
                deliveries.c.state == State.DELIVERED,
                deliveries.c.updated_at > since,
                deliveries.c.action == action,
                deliveries.c.called_at > since,
            )
            .order_by(deliveries.c.updated_at.desc())
            .limit(1)
        )
        with self._read() as connection:
            return connection.execute(newest).scalar()

    def unsettled(self, spans: Iterable[int], action: str, most: int) -> list[str]:
        """Return the keys of an action's deliveries of these spans that wait, up to so many."""
        waits = (State.RELEASED, *DUE_LATER, *IN_ONES_HANDS)
        query = select(deliveries.c.key).where(
            deliveries.c.span.in_(sorted(spans)),
            deliveries.c.action == action,
            deliveries.c.state.in_(waits),
        )
        with self._read() as connection:
            return list(connection.execute(query.limit(most)).scalars())

    def rows(self, keys: Iterable[str]) -> dict[str, DeliveryRow]:
        """Return the deliveries with these keys, by key."""
        by_key: dict[str, DeliveryRow] = {}
        for batch in batched(sorted(set(keys))):
            with self._read() as connection:
                query = select(deliveries).where(deliveries.c.key.in_(batch))
                by_key |= {row.key: delivery_row(row) for row in connection.execute(query)}
        return by_key

    def _judge_contacts(
        self, connection: Connection, starting: Sequence[str], rules: StartRules, now: datetime
    ) -> tuple[dict[str, str], set[str]]:
        """Return what the rules refuse, by key, and what has to wait for another's outcome.

        Calls for one contact begin one transaction at a time, so of two that race one is seen.
        """
        rows = [
            row
            for batch in batched(starting)
            for row in connection.execute(select(deliveries).where(deliveries.c.key.in_(batch)))
        ]
        own = sorted(rows, key=lambda row: (row.contact_id, row.key))
        contacts = {row.contact_id for row in own}
        self._lock_contacts(connection, contacts)
        by_contact = self._reached(connection, contacts)  # and then what this transaction begins
        refusals: dict[str, str] = {}
        waiting_keys: set[str] = set()
        for row in own:
            rivals = [other for other in by_contact.get(row.contact_id, ()) if other.key != row.key]
            against = _once(rules, row, rivals) or _cap(rules, rivals, now)
            if against is None:
                by_contact.setdefault(row.contact_id, []).append(row)
                continue
            reason, is_final = against
            if is_final:
                refusals[row.key] = reason
            else:
                waiting_keys.add(row.key)
        return refusals, waiting_keys

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
        by_contact: dict[str, list[Row[Any]]] = {}
        for batch in batched(sorted(contacts)):
            query = select(deliveries).where(
                deliveries.c.contact_id.in_(batch),
                unindexed(deliveries.c.namespace) == self.namespace,
                STATE.in_(MAY_HAVE_ARRIVED),
            )
            for row in connection.execute(query):
                by_contact.setdefault(row.contact_id, []).append(row)
        return by_contact


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
    at_most, period = rules.cap
    recent = [
        other
        for other in rivals
        if other.state == State.CLAIMED  # begun in this transaction, and read before that
        or (
            (other.channel, other.addressed_to) == (rules.channel, rules.addressed_to)
            and other.called_at > now - period
        )
    ]
    return _against(Reason.FREQUENCY_CAP, recent, at_most)


def _against(reason: str, rivals: list[Row[Any]], enough: int) -> tuple[str, bool] | None:
    """Final where the rivals that have been sent suffice; else those under way must end first."""
    if len(rivals) < enough:
        return None
    ends = [other for other in rivals if other.state in (State.DELIVERED, State.UNCERTAIN)]
    return reason, len(ends) >= enough


_IN_DOUBT = STATE == State.UNCERTAIN
_LEFT_IN_DOUBT = and_(STATE == State.CLAIMED, deliveries.c.resent == 1)  # by a dead worker
# what a person has given up, or settled, is not called before segue_release has come to it
_UNASKED = deliveries.c.request.is_(None)
_REFUSED_BEFORE = deliveries.c.refused_at.is_not(None)
_CLAIMED = {
    "reason": case(
        (or_(_IN_DOUBT, _LEFT_IN_DOUBT, _REFUSED_BEFORE), deliveries.c.reason), else_=""
    ),
    "refused_at": deliveries.c.refused_at,
    # whoever cleared what failed has taken the doubt upon himself
    "resent": case((_IN_DOUBT, 1), (STATE == State.FAILED, 0), else_=deliveries.c.resent),
}


def _free(
    now: datetime, clear_number: int | None, *, resend_uncertain: bool
) -> ColumnElement[bool]:
    ways = [
        STATE == State.RELEASED,
        and_(STATE.in_(DUE_LATER), deliveries.c.held_until <= now, _UNASKED),
        and_(STATE == State.CLAIMED, deliveries.c.lease_until < now),
        and_(STATE == State.SKIPPED, deliveries.c.reason.not_in(FINAL_SKIPS)),
    ]
    if clear_number is not None:
        failed_before = deliveries.c.failed_at_clear < clear_number
        ways.append(and_(STATE == State.FAILED, failed_before))
    if resend_uncertain:
        doubtful = STATE == State.UNCERTAIN, deliveries.c.resent == 0, _UNASKED
        ways.append(and_(*doubtful, deliveries.c.barred.is_(None)))
    return or_(*ways)


def _note_clear(connection: Connection, keys: Sequence[str], clear_number: int) -> None:
    """Note that a run's task came by what is held: only a later clearing was after that."""
    held_ones = deliveries.c.key.in_(keys), deliveries.c.state.in_(DUE_LATER)
    change_deliveries(connection, held_ones, {"failed_at_clear": clear_number})


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
    own_keys: list[str] = []
    for batch in batched(sorted(keys)):
        query = select(deliveries.c.key).where(
            deliveries.c.key.in_(batch),
            deliveries.c.owner == owner,
            STATE == State.CLAIMED,
        )
        own_keys += connection.execute(query.with_for_update()).scalars()
    return own_keys


def _mark(
    connection: Connection,
    keys: Sequence[str],
    owner: str,
    rules: StartRules,
    now: datetime,
    call: Mapping[str, Any],
) -> Iterable[str]:
    """Mark calls that are about to begin; returns the keys of those that ``owner`` still has."""
    claims = deliveries.c.key.in_(keys), deliveries.c.owner == owner
    mark = (
        update(deliveries)
        .where(*claims, STATE.in_(Step.BEGIN.origins))
        .values(
            state=Step.BEGIN.to,
            attempts=deliveries.c.attempts + 1,
            channel=rules.channel,
            addressed_to=rules.addressed_to,
            called_at=now,
            updated_at=now,
            request=None,  # who asked has not seen what comes of this call
            **call,
        )
        .returning(deliveries.c.key)
    )
    return connection.execute(mark).scalars()


def _by_trace(
    starting: Mapping[str, Mapping[str, str]], keys: Iterable[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the keys with the same trace, as many as one statement may name."""
    by_trace: dict[str, list[str]] = {}
    for key in keys:
        by_trace.setdefault(json.dumps(dict(starting[key]), sort_keys=True), []).append(key)
    for trace, same in by_trace.items():
        for batch in batched(same):
            yield trace, batch


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
        row.refused_at,
        row.delivered_at,
    )
