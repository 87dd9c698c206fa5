"""What people ask of segue_release: retry what failed, settle what is uncertain, drop what waits.

A request means the deliveries that it meant when it was filed, as far as they still stand so: what
fails later was not seen by whoever asked. Nobody else's request means them until it is carried out:
of two people who contradict each other, the first is heard.

The command line and the UI only file a request; an Airflow task carries it out, and what is to be
sent becomes ``held`` and due, so that it goes through the one door like everything else. What
moves no delivery, such as trying connections, is in ``tester_requests``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select, true, update

from segue.errors import LedgerError, SettingsError
from segue.ledger.base import LedgerDatabase, change_deliveries, lock_deliveries, move_deliveries
from segue.ledger.facts import NOT_HELD
from segue.ledger.reasons import Reason
from segue.ledger.runs.reached import reason_of_barred
from segue.ledger.schema import UtcDateTime, deliveries, requests
from segue.ledger.states import DUE_LATER, State, Step


class RequestKind(StrEnum):
    """What is asked for."""

    RETRY = "retry"  # send failed deliveries again
    SETTLE = "settle"  # say what became of uncertain ones
    DROP = "drop"  # give up what is held, or is to be sent once more in doubt
    CHECK = "check"  # try connections, sending nothing
    TEST = "test"  # send one message to a tester


class Settlement(StrEnum):
    """What a person found out about an uncertain delivery."""

    DELIVERED = "delivered"
    NOT_DELIVERED = "not_delivered"  # send it again


_FREE = deliveries.c.request.is_(None)
_OVER = timedelta(hours=1)  # after its lease, a call has surely ended
_CONCERNS = {
    RequestKind.RETRY: (State.FAILED,),
    RequestKind.SETTLE: (State.UNCERTAIN,),
    RequestKind.DROP: (*DUE_LATER, State.SENDING, State.UNCERTAIN),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries are meant: those that all given parts hold for. At least one is given.

    ``error`` is contained in the reason, whatever its case.
    """

    workflow: str | None = None
    action: str | None = None
    contact: str | None = None
    error: str | None = None
    keys: Sequence[str] = ()

    def __str__(self) -> str:
        fields = [
            f"{name} {value}"
            for name in ("workflow", "action", "contact", "error")
            if (value := getattr(self, name)) is not None
        ]
        return ", ".join([*fields, *(f"key {key}" for key in self.keys)])


@dataclass(frozen=True, slots=True)
class Request:
    """One request; ``done_at`` is None until it was carried out, ``outcome`` says what came of it.

    ``settlement`` is of a ``settle``. ``asked`` is what else was said of a ``check`` or ``test``,
    ``result`` its outcome in a word, ``found`` what a check found, by connection.
    """

    id: int
    kind: str
    selection: Selection
    settlement: str | None
    requested_by: str
    requested_at: datetime
    done_at: datetime | None
    outcome: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    begun: Mapping[str, str] = field(default_factory=dict)  # of a test: the worker, and until when
    result: str = ""
    found: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a person was shown: how many deliveries, of which the last moved at ``until``.

    What moves afterwards was not seen, and is not meant.
    """

    count: int
    until: datetime | None  # None where there are none


class ReleaseRequests(LedgerDatabase):
    """Requests: filed by people, carried out by segue_release."""

    def matching(self, kind: RequestKind, selection: Selection) -> int:
        """Return how many deliveries a request would concern now."""
        return self.look(kind, selection).count

    def look(self, kind: RequestKind, selection: Selection, seen: Seen | None = None) -> Seen:
        """Return what a request would concern now; of what was ``seen`` before, what is left."""
        which = self._meant(kind, selection, datetime.now(UTC)), _FREE, *_of_seen(seen)
        last = func.max(deliveries.c.updated_at, type_=UtcDateTime)
        with self._read() as connection:
            count, until = connection.execute(select(func.count(), last).where(*which)).one()
        return Seen(int(count), until)

    def states_of(self, keys: Sequence[str], workflow: str | None) -> dict[str, State]:
        """Return the state of each of these deliveries, by key; of one workflow, or of any."""
        table = deliveries.c
        query = select(table.key, table.state).where(
            table.namespace == self.namespace, table.key.in_(keys)
        )
        if workflow is not None:
            query = query.where(table.workflow == workflow)
        with self._read() as connection:
            return {key: State(state) for key, state in connection.execute(query)}

    def meant_already(self, kind: RequestKind, selection: Selection) -> list[int]:
        """Return the open requests, by number, that mean deliveries this one would concern too."""
        which = self._meant(kind, selection, datetime.now(UTC))
        query = select(deliveries.c.request).where(which, ~_FREE).distinct()
        with self._read() as connection:
            return sorted(connection.execute(query).scalars())

    def file_request(
        self,
        kind: RequestKind,
        selection: Selection,
        by: str,
        now: datetime,
        settlement: Settlement | None = None,
        seen: Seen | None = None,
    ) -> int:
        """Record what a person asks for and return the request's number.

        It means what no open request means already, and of that what the person has ``seen``.
        Raises SettingsError, and records nothing, where more is meant than was seen.
        """
        if not any(asdict(selection).values()):
            raise LedgerError("a request must say which deliveries it means")
        if kind not in _CONCERNS or (kind is RequestKind.SETTLE) != (settlement is not None):
            raise LedgerError(f"a request to {kind} with the settlement {settlement}")
        return self._file(kind, selection, by, now, seen, settlement=settlement)

    def open_requests(self) -> list[Request]:
        """Return the requests about deliveries that are not done, oldest first."""
        return self._undone(*_CONCERNS)

    def find_request(self, number: int) -> Request | None:
        """Return one request; None where there is none of that number."""
        mine = (requests.c.namespace == self.namespace) & (requests.c.id == number)
        with self._read() as connection:
            row = connection.execute(select(requests).where(mine)).one_or_none()
            return None if row is None else read_request(row)

    def list_requests(self) -> list[Request]:
        """Return all requests, oldest first."""
        query = (
            select(requests).where(requests.c.namespace == self.namespace).order_by(requests.c.id)
        )
        with self._read() as connection:
            return [read_request(row) for row in connection.execute(query)]

    def carry_out(self, request: Request, now: datetime) -> str:
        """Do what a request asks for, once, and return its outcome in words.

        It moves rows and sends nothing. One transaction: a request that is done already, be it by
        another worker in the meantime, returns the outcome that it had.
        """
        with self._write() as connection:
            query = select(requests).where(requests.c.id == request.id).with_for_update()
            row = read_request(connection.execute(query).one())
            if row.done_at is not None:
                return row.outcome
            lock_deliveries(connection, deliveries.c.request == request.id)
            outcome = self._carry_out(connection, row, now)
            its_row = update(requests).where(requests.c.id == request.id)
            connection.execute(its_row.values(done_at=now, outcome=outcome))
            rest = update(deliveries).where(deliveries.c.request == request.id)
            connection.execute(rest.values(request=None))  # not as they were: not meant any more
            return outcome

    def _file(
        self,
        kind: RequestKind,
        selection: Selection,
        by: str,
        now: datetime,
        seen: Seen | None = None,
        **more: Any,
    ) -> int:
        body = {"selection": asdict(selection), "settlement": None, **more}
        values = {
            "namespace": self.namespace,
            "kind": kind,
            "body": json.dumps(body, ensure_ascii=False),
            "requested_by": by,
            "requested_at": now,
        }
        query = requests.insert().values(values).returning(requests.c.id)
        with self._write() as connection:
            number = int(connection.execute(query).scalar_one())
            if kind in _CONCERNS:
                which = self._meant(kind, selection, now), _FREE, *_of_seen(seen)
                count = change_deliveries(connection, which, {"request": number})
                if seen is not None and count > seen.count:  # committed late, with an earlier time
                    raise SettingsError(
                        f"{count} deliveries are meant by now, and you saw {seen.count}; look "
                        "again. Nothing was requested"
                    )
            return number

    def _undone(self, *kinds: RequestKind) -> list[Request]:
        """Return the requests of these kinds that are not done, oldest first."""
        query = (
            select(requests)
            .where(
                requests.c.namespace == self.namespace,
                requests.c.done_at.is_(None),
                requests.c.kind.in_(kinds),
            )
            .order_by(requests.c.id)
        )
        with self._read() as connection:
            return [read_request(row) for row in connection.execute(query)]

    def _carry_out(self, connection: Connection, request: Request, now: datetime) -> str:
        kind = RequestKind(request.kind)
        which = deliveries.c.request == request.id, self._is_as_it_was(request, now)
        common = {"owner": None, "lease_until": None, "untold": None, "updated_at": now}
        if request.settlement == Settlement.DELIVERED:
            settlement = {
                "reason": f"settled by {request.requested_by}",
                "delivered_at": func.coalesce(deliveries.c.called_at, now),
                **NOT_HELD,
            }
            values = {**settlement, **common}
            count = move_deliveries(connection, Step.SETTLE_DELIVERED, which, values, lock=False)
            return f"{count} settled as delivered"
        if kind is RequestKind.DROP:
            return self._drop(connection, which, common)
        wish = "retry requested" if kind is RequestKind.RETRY else "settled as not delivered"
        is_barred = deliveries.c.barred.is_not(None)
        refusal = {"reason": reason_of_barred(), "barred": None, **NOT_HELD, **common}
        refusal_count = move_deliveries(
            connection, Step.REFUSE_AGAIN, (*which, is_barred), refusal, lock=False
        )
        due = {
            "reason": f"{wish} by {request.requested_by}",
            "held_until": now,
            "held_since": None,  # it waits anew
            "resent": 0,  # a person has taken the doubt upon himself
            **common,
        }
        count = move_deliveries(connection, Step.SEND_AGAIN, which, due, lock=False)
        barred_by = (
            "their snapshot is quarantined, the contact was added since, or a policy of their run "
            "keeps them back"
        )
        refusals = f", {refusal_count} not: {barred_by}" if refusal_count else ""
        return f"{count} to be sent again{refusals}"

    def _drop(
        self,
        connection: Connection,
        meant: Sequence[ColumnElement[bool]],
        common: Mapping[str, Any],
    ) -> str:
        drop = {"reason": Reason.DROPPED, **NOT_HELD, **common}
        count = move_deliveries(connection, Step.DROP, meant, drop, lock=False)
        unknown = {"reason": "nobody was asked: it was dropped", **common}
        doubts = move_deliveries(connection, Step.DROP_UNASKED, meant, unknown, lock=False)
        doubtful = update(deliveries).where(*meant, deliveries.c.state == State.UNCERTAIN)
        doubts += connection.execute(doubtful.values(**NOT_HELD, **common)).rowcount
        in_doubt = f", {doubts} calls in doubt are uncertain" if doubts else ""
        return f"{count} dropped{in_doubt}"

    def _meant(self, kind: RequestKind, selection: Selection, now: datetime) -> ColumnElement[bool]:
        """Return what a request would concern: of a digest in doubt, all contacts that are in it.

        It was one message, which arrived or did not.
        """
        stands = self._stands(kind, now)
        selection_part = self._chosen(selection)
        is_part_of_digests = selection.keys or selection.contact or selection.error
        if kind is not RequestKind.SETTLE or not is_part_of_digests:  # a digest is of one action
            return and_(stands, selection_part)
        in_digests = select(deliveries.c.message_key).where(
            stands, selection_part, deliveries.c.message_key.is_not(None)
        )
        return and_(
            stands, or_(selection_part, deliveries.c.message_key.in_(in_digests.correlate(None)))
        )

    def _is_as_it_was(self, request: Request, now: datetime) -> ColumnElement[bool]:
        """Return what of a request's deliveries it still concerns: no failure of after it."""
        kind = RequestKind(request.kind)
        stands = self._stands(kind, now)
        if kind is RequestKind.SETTLE:
            return stands
        return and_(stands, self._chosen(request.selection))

    def _stands(self, kind: RequestKind, now: datetime) -> ColumnElement[bool]:
        """Return the deliveries that are in a state which requests of this kind are about."""
        table = deliveries.c
        parts = [table.namespace == self.namespace, table.state.in_(_CONCERNS[kind])]
        if kind is RequestKind.DROP:  # a call that may be under way is nobody's to drop
            is_over = and_(table.state == State.SENDING, table.lease_until < now - _OVER)
            is_due = and_(table.state == State.UNCERTAIN, table.held_until.is_not(None))
            parts.append(or_(table.state.in_(DUE_LATER), is_over, is_due))
        return and_(*parts)

    def _chosen(self, selection: Selection) -> ColumnElement[bool]:
        table = deliveries.c
        parts: list[ColumnElement[bool]] = [true()]
        for column, value in (
            (table.workflow, selection.workflow),
            (table.action, selection.action),
            (table.contact_id, selection.contact),
        ):
            if value is not None:
                parts.append(column == value)
        if selection.error is not None:
            parts.append(table.reason.icontains(selection.error, autoescape=True))
        if selection.keys:
            parts.append(table.key.in_(selection.keys))
        return and_(*parts)


def _of_seen(seen: Seen | None) -> list[ColumnElement[bool]]:
    """Return the condition that a delivery has not moved since it was seen."""
    if seen is None or seen.until is None:
        return []
    return [deliveries.c.updated_at <= seen.until]


def read_request(row: Row[Any]) -> Request:
    """Return a row of the table as a request."""
    body: Mapping[str, Any] = json.loads(row.body)
    return Request(
        row.id,
        row.kind,
        Selection(**body["selection"]),
        body["settlement"],
        row.requested_by,
        row.requested_at,
        row.done_at,
        row.outcome,
        body.get("asked", {}),
        body.get("begun", {}),
        body.get("result", ""),
        body.get("found", ()),
    )
