"""The ledger: records runs, spans, changes and deliveries, and decides what may be sent.

All of Segue's memory about deliveries goes through this class. Each public method is one
transaction, or several where it works in batches and any prefix of them is a valid state.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Table,
    and_,
    distinct,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from segue.delivery.database import open_engine, require_current_schema
from segue.delivery.keys import delivery_key
from segue.delivery.schema import (
    State,
    changes,
    definitions,
    deliveries,
    runs,
    spans,
    workflows,
)
from segue.delivery.spans import Point, Stretch

_BATCH = 2000
T = TypeVar("T")

# why a delivery is skipped or suppressed; what follows a colon is for the reader
SKIPPED_CONDITIONS = "conditions"
SKIPPED_IF = "if"
SKIPPED_AFTER = "after"
SKIPPED_OPTED_OUT = "opted_out"
SKIPPED_DELETED = "deleted"
SKIPPED_NO_ADDRESS = "no_address"
SKIPPED_NOT_FOUND = "contact_not_found"
NO_LONGER_A_CHANGE = "no_longer_a_change"
SUPPRESSED_BACKFILL = "backfill"
SUPPRESSED_MAX_AGE = "max_age"
POLICY_REASONS = (SUPPRESSED_BACKFILL, SUPPRESSED_MAX_AGE)


class SpanTaken(Exception):
    """Another run took part of the span in the meantime; detect again with what is left."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow, as the ledger knows it. ``interval`` is (start, end], or None."""

    workflow: str
    run_id: str
    interval: tuple[datetime, datetime] | None = None
    is_backfill: bool = False
    clear_number: int = 0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked of a run through its parameters."""

    previous: str | None = None
    current: str | None = None
    deliver: bool = False
    accept_rewritten: bool = False


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the ledger holds of a run: its outcome and why."""

    id: int
    workflow: str
    run_id: str
    outcome: str
    reason: str
    recorded_only: bool
    interval: tuple[datetime, datetime] | None


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """One span as recorded; ``id`` is None while it is not."""

    id: int
    run_id: str
    kind: str
    reason: str
    stretch: Stretch
    previous_fingerprint: str | None
    current_fingerprint: str
    previous_size: int | None
    current_size: int


@dataclass(frozen=True, slots=True)
class DetectedSpan:
    """A span with its changes, ready to be recorded.

    ``changes`` holds (contact_id, change, reason), sorted; ``suppressed`` is the policy reason
    that keeps all of its deliveries from being released, or None.
    """

    kind: str  # changes | baseline
    reason: str
    stretch: Stretch
    previous_fingerprint: str | None
    current_fingerprint: str
    previous_size: int | None
    current_size: int
    changes: Sequence[tuple[str, str, str]]
    suppressed: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """What later steps need of one delivery."""

    key: str
    action: str
    contact_id: str
    change: str
    span: int
    state: State
    reason: str
    results: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome of one delivery, to be written."""

    key: str
    state: State
    reason: str = ""
    external_id: str | None = None
    url: str | None = None
    results: Mapping[str, str] | None = None
    digest: str | None = None


class Ledger:
    """The ledger of one namespace in one database."""

    def __init__(self, engine: Engine, namespace: str) -> None:
        self.engine = engine
        self.namespace = namespace

    @classmethod
    def open(cls, url: str, namespace: str) -> Ledger:
        """Open the ledger; raise LedgerError when it is unreachable or of another schema."""
        engine = open_engine(url)
        require_current_schema(engine)
        return cls(engine, namespace)

    def key(self, workflow: str, action: str, contact_id: str, change: str, snapshot: str) -> str:
        """Return the key of a delivery in this namespace."""
        return delivery_key(self.namespace, workflow, action, contact_id, change, snapshot)

    # ---- runs and spans ------------------------------------------------------------------

    def find_run(self, workflow: str, run_id: str) -> RecordedRun | None:
        """Return what is recorded of a run, or None."""
        with self._read() as connection:
            row = connection.execute(self._run_query(workflow, run_id)).one_or_none()
            return None if row is None else _recorded_run(row)

    def spans_of(self, run: RecordedRun) -> list[RecordedSpan]:
        """Return the spans that a run took, in order of time."""
        with self._read() as connection:
            query = _spans_query().where(spans.c.run == run.id).order_by(spans.c.current_as_of)
            return [_recorded_span(row) for row in connection.execute(query)]

    def all_spans(self, workflow: str) -> list[RecordedSpan]:
        """Return all recorded spans of a workflow, in order of time."""
        with self._read() as connection:
            return self._all_spans(connection, workflow)

    def record_nothing(self, run: Run, outcome: str, reason: str, now: datetime) -> None:
        """Record that a run took no span: ``covered`` or ``skipped``, and why."""
        with self.engine.begin() as connection:
            self._upsert_run(connection, run, outcome, reason, False, now)

    def record_spans(
        self,
        run: Run,
        detected: Sequence[DetectedSpan],
        actions: Sequence[str],
        definition: tuple[str, str],
        now: datetime,
        *,
        recorded_only: bool,
    ) -> None:
        """Record a run's spans, their changes and planned deliveries, all or nothing.

        ``definition`` is (hash, canonical JSON). Raises SpanTaken when another run has recorded
        an overlapping span since the caller looked.
        """
        with self.engine.begin() as connection:
            self._lock_workflow(connection, run.workflow)
            taken = [span.stretch for span in self._all_spans(connection, run.workflow)]
            for span in detected:
                if any(_overlap(span.stretch, other) for other in taken):
                    raise SpanTaken
            self._record_definition(connection, run.workflow, definition, now)
            number = self._upsert_run(connection, run, "recorded", "", recorded_only, now)
            for span in detected:
                row = self._span_values(run, number, span, definition[0], now)
                result = connection.execute(spans.insert().values(row))
                span_id = result.inserted_primary_key[0]
                self._insert_changes(connection, span_id, span)
                self._insert_deliveries(connection, run.workflow, span_id, span, actions, now)

    def record_again(
        self,
        run: Run,
        again: Sequence[tuple[RecordedSpan, DetectedSpan]],
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        """Bring a cleared run's recorded spans up to what was detected now.

        New changes are added, what is not a change any more is skipped, and the policies judge
        everything that was not sent, failed or rejected once more.
        """
        for recorded, detected in again:
            with self.engine.begin() as connection:
                refreshed = {
                    "current_fingerprint": detected.current_fingerprint,
                    "previous_fingerprint": detected.previous_fingerprint,
                    "current_size": detected.current_size,
                    "previous_size": detected.previous_size,
                }
                query = update(spans).where(spans.c.id == recorded.id).values(refreshed)
                connection.execute(query)
                self._insert_changes(connection, recorded.id, detected)
                self._insert_deliveries(
                    connection, run.workflow, recorded.id, detected, actions, now
                )
                self._withdraw(connection, run.workflow, recorded.id, detected, actions, now)
                self._judge_again(connection, recorded.id, detected.suppressed, now)

    # ---- releasing, claiming, sending ----------------------------------------------------

    def release(self, span_ids: Collection[int], now: datetime) -> int:
        """Turn ``planned`` into ``released``: the guard's permission to send. Returns how many."""
        query = (
            update(deliveries)
            .where(deliveries.c.span.in_(span_ids), deliveries.c.state == State.PLANNED)
            .values(state=State.RELEASED, updated_at=now)
        )
        with self.engine.begin() as connection:
            return connection.execute(query).rowcount

    def claim(
        self,
        keys: Iterable[str],
        *,
        owner: str,
        now: datetime,
        lease_until: datetime,
        clear_number: int = 0,
    ) -> list[DeliveryRow]:
        """Take the deliveries that may be tried now, for ``owner`` until ``lease_until``.

        These are: released; claimed under a lease that ran out; skipped at the door before (the
        reason is judged again); failed before a person cleared the task (``clear_number``).
        """
        free = or_(
            deliveries.c.state == State.RELEASED,
            and_(deliveries.c.state == State.CLAIMED, deliveries.c.lease_until < now),
            and_(
                deliveries.c.state == State.SKIPPED,
                deliveries.c.reason != NO_LONGER_A_CHANGE,
            ),
            and_(
                deliveries.c.state == State.FAILED,
                deliveries.c.failed_at_clear < clear_number,
            ),
        )
        values = {
            "state": State.CLAIMED,
            "reason": "",
            "owner": owner,
            "lease_until": lease_until,
            "updated_at": now,
        }
        claimed: list[DeliveryRow] = []
        for batch in _batched(sorted(keys)):
            with self.engine.begin() as connection:
                query = (
                    select(deliveries)
                    .where(deliveries.c.key.in_(batch), free)
                    .with_for_update(skip_locked=True)
                )
                rows = [_delivery_row(row) for row in connection.execute(query)]
                taken = [row.key for row in rows]
                connection.execute(
                    update(deliveries).where(deliveries.c.key.in_(taken)).values(values)
                )
            claimed += rows
        return claimed

    def advance(
        self,
        finished: Sequence[Finished],
        starting: Sequence[str],
        *,
        owner: str,
        now: datetime,
        lease_until: datetime,
        clear_number: int = 0,
    ) -> set[str]:
        """Write outcomes and mark the calls about to start, in one transaction.

        Returns the keys of ``starting`` that are now ``sending`` and may be called; one that is
        missing was lost to another owner. Renews the lease of all that ``owner`` has claimed.
        """
        with self.engine.begin() as connection:
            for outcome in finished:
                self._finish(connection, outcome, owner, now, clear_number)
            mine = and_(deliveries.c.owner == owner, deliveries.c.state == State.CLAIMED)
            renewed = update(deliveries).where(mine).values(lease_until=lease_until)
            connection.execute(renewed)
            if not starting:
                return set()
            mark = (
                update(deliveries)
                .where(mine, deliveries.c.key.in_(starting))
                .values(state=State.SENDING, attempts=deliveries.c.attempts + 1, updated_at=now)
                .returning(deliveries.c.key)
            )
            return set(connection.execute(mark).scalars())

    def give_back(self, owner: str, now: datetime) -> int:
        """Return all that ``owner`` has claimed and not begun to ``released``."""
        query = (
            update(deliveries)
            .where(deliveries.c.owner == owner, deliveries.c.state == State.CLAIMED)
            .values(
                state=State.RELEASED,
                owner=None,
                lease_until=None,
                updated_at=now,
            )
        )
        with self.engine.begin() as connection:
            return connection.execute(query).rowcount

    def recover(self, now: datetime, keys: Collection[str] | None = None) -> Counter[State]:
        """Settle what dead workers left: expired claims are free, expired sends uncertain."""
        expired = and_(
            deliveries.c.namespace == self.namespace,
            deliveries.c.lease_until < now,
        )
        if keys is not None:
            expired = and_(expired, deliveries.c.key.in_(keys))
        ended = {"owner": None, "lease_until": None, "updated_at": now}
        free = (
            update(deliveries)
            .where(expired, deliveries.c.state == State.CLAIMED)
            .values(state=State.RELEASED, **ended)
        )
        doubtful = (
            update(deliveries)
            .where(expired, deliveries.c.state == State.SENDING)
            .values(
                state=State.UNCERTAIN,
                reason="the worker ended during the call",
                **{**ended, "owner": deliveries.c.owner},  # its late answer is still welcome
            )
        )
        with self.engine.begin() as connection:
            return Counter(
                {
                    State.RELEASED: connection.execute(free).rowcount,
                    State.UNCERTAIN: connection.execute(doubtful).rowcount,
                }
            )

    def skip(self, keys: Iterable[str], reason: str, now: datetime) -> int:
        """Record ``skipped(reason)`` for deliveries that were released and not sent."""
        skippable = (State.RELEASED, State.SKIPPED)
        return self._move(keys, skippable, State.SKIPPED, reason, now, NO_LONGER_A_CHANGE)

    def unskip(self, keys: Iterable[str], reason: str, now: datetime) -> int:
        """Return deliveries that were skipped for ``reason``, and pass now, to ``released``."""
        total = 0
        for batch in _batched(keys):
            query = (
                update(deliveries)
                .where(
                    deliveries.c.key.in_(batch),
                    deliveries.c.state == State.SKIPPED,
                    deliveries.c.reason == reason,
                )
                .values(state=State.RELEASED, reason="", updated_at=now)
            )
            with self.engine.begin() as connection:
                total += connection.execute(query).rowcount
        return total

    def rows(self, keys: Iterable[str]) -> dict[str, DeliveryRow]:
        """Return the deliveries with these keys, by key."""
        found: dict[str, DeliveryRow] = {}
        for batch in _batched(sorted(set(keys))):
            with self._read() as connection:
                query = select(deliveries).where(deliveries.c.key.in_(batch))
                found |= {row.key: _delivery_row(row) for row in connection.execute(query)}
        return found

    # ---- reading ---------------------------------------------------------------------------

    def tally(self, span_ids: Collection[int]) -> dict[str, Counter[tuple[str, str]]]:
        """Return, per action, how many deliveries stand in each (state, reason)."""
        query = (
            select(deliveries.c.action, deliveries.c.state, deliveries.c.reason, func.count())
            .where(deliveries.c.span.in_(span_ids))
            .group_by(deliveries.c.action, deliveries.c.state, deliveries.c.reason)
        )
        result: dict[str, Counter[tuple[str, str]]] = {}
        with self._read() as connection:
            for action, state, reason, count in connection.execute(query):
                result.setdefault(action, Counter())[(state, reason)] += count
        return result

    def count_changes(self, span_ids: Collection[int]) -> Counter[str]:
        """Return how many changes of each kind the spans hold."""
        query = (
            select(changes.c.change, func.count())
            .where(changes.c.span.in_(span_ids))
            .group_by(changes.c.change)
        )
        with self._read() as connection:
            return Counter({kind: count for kind, count in connection.execute(query)})

    def count_planned(self, span_ids: Collection[int]) -> Counter[str]:
        """Return, per kind of change, how many contacts have a delivery that waits for release."""
        query = (
            select(
                deliveries.c.change,
                func.count(distinct(deliveries.c.contact_id)),
            )
            .where(deliveries.c.span.in_(span_ids), deliveries.c.state == State.PLANNED)
            .group_by(deliveries.c.change)
        )
        with self._read() as connection:
            return Counter({kind: count for kind, count in connection.execute(query)})

    def changes_to_handle(self, span_id: int) -> list[tuple[str, str, str]]:
        """Return (contact_id, change, reason) of a span whose deliveries are not all suppressed.

        Sorted by contact id, then change.
        """
        handled = exists().where(
            deliveries.c.span == span_id,
            deliveries.c.contact_id == changes.c.contact_id,
            deliveries.c.change == changes.c.change,
            deliveries.c.state != State.SUPPRESSED,
        )
        query = (
            select(changes.c.contact_id, changes.c.change, changes.c.reason)
            .where(changes.c.span == span_id, handled)
            .order_by(changes.c.contact_id, changes.c.change)
        )
        with self._read() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def list_deliveries(
        self,
        *,
        workflow: str | None = None,
        contact_id: str | None = None,
        outcome: str | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return deliveries as plain mappings, ordered by workflow, snapshot, contact, action."""
        table = deliveries.c
        query = select(
            table.workflow,
            table.action,
            table.contact_id,
            table.change,
            table.snapshot,
            table.state.label("outcome"),
            table.reason,
            table.external_id,
            table.url,
            table.attempts,
            table.updated_at,
            table.key,
        ).where(table.namespace == self.namespace)
        for column, value in (
            (table.workflow, workflow),
            (table.contact_id, contact_id),
            (table.state, outcome),
        ):
            if value is not None:
                query = query.where(column == value)
        query = query.order_by(
            table.workflow, table.snapshot, table.contact_id, table.change, table.action
        )
        with self._read() as connection:
            return [dict(row._mapping) for row in connection.execute(query.limit(limit))]

    # ---- within a transaction --------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        options = {"segue_read_only": True}
        with self.engine.connect().execution_options(**options) as connection:
            yield connection

    def _insert(self, table: Table) -> Any:
        module = sqlite if self.engine.dialect.name == "sqlite" else postgresql
        return module.insert(table)

    def _lock_workflow(self, connection: Connection, workflow: str) -> None:
        values = {"namespace": self.namespace, "workflow": workflow}
        connection.execute(self._insert(workflows).values(values).on_conflict_do_nothing())
        query = select(workflows).filter_by(**values).with_for_update()
        connection.execute(query).one()

    def _run_query(self, workflow: str, run_id: str) -> Any:
        return select(runs).where(
            runs.c.namespace == self.namespace,
            runs.c.workflow == workflow,
            runs.c.run_id == run_id,
        )

    def _upsert_run(
        self,
        connection: Connection,
        run: Run,
        outcome: str,
        reason: str,
        recorded_only: bool,
        now: datetime,
    ) -> int:
        start, end = run.interval or (None, None)
        changing = {
            "outcome": outcome,
            "reason": reason,
            "recorded_only": int(recorded_only),
            "interval_start": start,
            "interval_end": end,
            "recorded_at": now,
        }
        fixed = {
            "namespace": self.namespace,
            "workflow": run.workflow,
            "run_id": run.run_id,
        }
        query = (
            self._insert(runs)
            .values(**fixed, **changing)
            .on_conflict_do_update(index_elements=list(fixed), set_=changing)
            .returning(runs.c.id)
        )
        return int(connection.execute(query).scalar_one())

    def _all_spans(self, connection: Connection, workflow: str) -> list[RecordedSpan]:
        query = (
            _spans_query()
            .where(spans.c.namespace == self.namespace, spans.c.workflow == workflow)
            .order_by(spans.c.current_as_of)
        )
        return [_recorded_span(row) for row in connection.execute(query)]

    def _record_definition(
        self, connection: Connection, workflow: str, definition: tuple[str, str], now: datetime
    ) -> None:
        digest, body = definition
        values = {"hash": digest, "workflow": workflow, "body": body, "recorded_at": now}
        connection.execute(self._insert(definitions).values(values).on_conflict_do_nothing())

    def _span_values(
        self, run: Run, number: int, span: DetectedSpan, definition: str, now: datetime
    ) -> dict[str, Any]:
        stretch = span.stretch
        return {
            "run": number,
            "namespace": self.namespace,
            "workflow": run.workflow,
            "kind": span.kind,
            "reason": span.reason,
            "previous_key": None if stretch.is_empty else stretch.previous.key,
            "current_key": stretch.current.key,
            "previous_as_of": stretch.previous.as_of,
            "current_as_of": stretch.current.as_of,
            "previous_fingerprint": span.previous_fingerprint,
            "current_fingerprint": span.current_fingerprint,
            "previous_size": span.previous_size,
            "current_size": span.current_size,
            "definition": definition,
            "recorded_at": now,
        }

    def _insert_changes(self, connection: Connection, span_id: int, span: DetectedSpan) -> None:
        for batch in _batched(span.changes):
            rows = [
                {"span": span_id, "contact_id": contact_id, "change": change, "reason": reason}
                for contact_id, change, reason in batch
            ]
            connection.execute(self._insert(changes).on_conflict_do_nothing(), rows)

    def _insert_deliveries(
        self,
        connection: Connection,
        workflow: str,
        span_id: int,
        span: DetectedSpan,
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        state = State.SUPPRESSED if span.suppressed else State.PLANNED
        common = {
            "namespace": self.namespace,
            "workflow": workflow,
            "snapshot": span.stretch.current.key,
            "span": span_id,
            "state": state,
            "reason": span.suppressed or "",
            "planned_at": now,
            "updated_at": now,
        }
        for batch in _batched(self._planned(workflow, span, actions)):
            rows = [
                {"key": key, "action": action, "contact_id": contact, "change": kind, **common}
                for key, action, contact, kind in batch
            ]
            connection.execute(self._insert(deliveries).on_conflict_do_nothing(), rows)

    def _planned(
        self, workflow: str, span: DetectedSpan, actions: Sequence[str]
    ) -> Iterator[tuple[str, str, str, str]]:
        """Yield (key, action, contact_id, change) of every delivery of a span."""
        snapshot = span.stretch.current.key
        for contact_id, change, _ in span.changes:
            for action in actions:
                key = self.key(workflow, action, contact_id, change, snapshot)
                yield key, action, contact_id, change

    def _withdraw(
        self,
        connection: Connection,
        workflow: str,
        span_id: int,
        span: DetectedSpan,
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        """Skip what was planned and is not a change any more; take back what is one again."""
        produced = {key for key, *_ in self._planned(workflow, span, actions)}
        unsent = (State.PLANNED, State.RELEASED, State.SKIPPED, State.SUPPRESSED)
        query = select(deliveries.c.key, deliveries.c.reason).where(
            deliveries.c.span == span_id, deliveries.c.state.in_(unsent)
        )
        rows = connection.execute(query).all()
        gone = [row.key for row in rows if row.key not in produced]
        back = [row.key for row in rows if row.reason == NO_LONGER_A_CHANGE and row.key in produced]
        for keys, state, reason in (
            (gone, State.SKIPPED, NO_LONGER_A_CHANGE),
            (back, State.PLANNED, ""),
        ):
            for batch in _batched(keys):
                values = {"state": state, "reason": reason, "updated_at": now}
                connection.execute(
                    update(deliveries).where(deliveries.c.key.in_(batch)).values(values)
                )

    def _judge_again(
        self, connection: Connection, span_id: int, suppressed: str | None, now: datetime
    ) -> None:
        in_span = deliveries.c.span == span_id
        if suppressed is None:
            query = (
                update(deliveries)
                .where(
                    in_span,
                    deliveries.c.state == State.SUPPRESSED,
                    deliveries.c.reason.in_(POLICY_REASONS),
                )
                .values(state=State.PLANNED, reason="", updated_at=now)
            )
        else:
            query = (
                update(deliveries)
                .where(in_span, deliveries.c.state.in_((State.PLANNED, State.RELEASED)))
                .values(state=State.SUPPRESSED, reason=suppressed, updated_at=now)
            )
        connection.execute(query)

    def _finish(
        self,
        connection: Connection,
        outcome: Finished,
        owner: str,
        now: datetime,
        clear_number: int,
    ) -> None:
        values: dict[str, Any] = {
            "state": outcome.state,
            "reason": outcome.reason,
            "lease_until": None,
            "updated_at": now,
        }
        if outcome.state is State.DELIVERED:
            values |= {
                "external_id": outcome.external_id,
                "url": outcome.url,
                "results": json.dumps(dict(outcome.results or {})),
            }
        if outcome.digest is not None:
            values["digest"] = outcome.digest
        if outcome.state is State.FAILED:
            values["failed_at_clear"] = clear_number
        # an answer that comes after recovery called the delivery uncertain is still the truth
        undecided = (State.CLAIMED, State.SENDING, State.UNCERTAIN)
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.key == outcome.key,
                deliveries.c.owner == owner,
                deliveries.c.state.in_(undecided),
            )
            .values(values)
        )

    def _move(
        self,
        keys: Iterable[str],
        sources: Collection[State],
        target: State,
        reason: str,
        now: datetime,
        except_reason: str,
    ) -> int:
        total = 0
        for batch in _batched(keys):
            query = (
                update(deliveries)
                .where(
                    deliveries.c.key.in_(batch),
                    deliveries.c.state.in_(sources),
                    deliveries.c.reason != except_reason,
                )
                .values(state=target, reason=reason, updated_at=now)
            )
            with self.engine.begin() as connection:
                total += connection.execute(query).rowcount
        return total


def _batched(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    iterator = iter(items)
    while batch := tuple(islice(iterator, _BATCH)):
        yield batch


def _overlap(one: Stretch, other: Stretch) -> bool:
    return (
        not one.is_empty
        and not other.is_empty
        and one.previous.as_of < other.current.as_of
        and other.previous.as_of < one.current.as_of
    )


def _spans_query() -> Any:
    return select(spans, runs.c.run_id).join(runs, runs.c.id == spans.c.run)


def _recorded_run(row: Row[Any]) -> RecordedRun:
    interval = (row.interval_start, row.interval_end) if row.interval_end else None
    return RecordedRun(
        row.id,
        row.workflow,
        row.run_id,
        row.outcome,
        row.reason,
        bool(row.recorded_only),
        interval,
    )


def _recorded_span(row: Row[Any]) -> RecordedSpan:
    current = Point(row.current_as_of, row.current_key)
    previous = Point(row.previous_as_of, row.previous_key) if row.previous_key else current
    return RecordedSpan(
        row.id,
        row.run_id,
        row.kind,
        row.reason,
        Stretch(previous, current),
        row.previous_fingerprint,
        row.current_fingerprint,
        row.previous_size,
        row.current_size,
    )


def _delivery_row(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(
        row.key,
        row.action,
        row.contact_id,
        row.change,
        row.span,
        State(row.state),
        row.reason,
        json.loads(row.results) if row.results else {},
    )
