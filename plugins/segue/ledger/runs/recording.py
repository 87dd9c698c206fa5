"""Recording runs: their spans, changes and planned deliveries, once and without overlap."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, or_, select, update

from segue.ledger.base import (
    STATE,
    batched,
    change_deliveries,
    lock_deliveries,
    move_deliveries,
    unindexed,
)
from segue.ledger.deliveries.claims import NOT_SENT_AGAIN
from segue.ledger.facts import (
    COVERING_KINDS,
    IN_NOBODYS_HANDS,
    NOT_HELD,
    Decision,
    DetectedSpan,
    RecordedRun,
    RecordedSpan,
    Run,
    SpanKind,
    SpanTaken,
)
from segue.ledger.people.suppressions import SuppressionRows
from segue.ledger.reasons import FINAL_SKIPS, POLICY_REASONS, Reason
from segue.ledger.runs.overlaps import leave_to_others, take_back
from segue.ledger.runs.reached import (
    BARRED_BY_POLICY,
    leave_claims_in_doubt,
    rejected,
    suppress_reached,
)
from segue.ledger.schema import (
    changes,
    definitions,
    deliveries,
    quarantines,
    runs,
    spans,
    workflows,
)
from segue.ledger.states import NOT_RELEASED, UNDER_WAY, UNSENT, State, Step
from segue.ledger.stretches import Point, Stretch, overlap


class Recording(SuppressionRows):
    """Runs and spans."""

    def find_run(self, workflow: str, run_id: str) -> RecordedRun | None:
        """Return what is recorded of a run, or None."""
        with self._read() as connection:
            row = connection.execute(self._run_query(workflow, run_id)).one_or_none()
            return None if row is None else _recorded_run(row)

    def spans_of(self, run: RecordedRun) -> list[RecordedSpan]:
        """Return the spans that a run took, withdrawn ones too, in order of time."""
        with self._read() as connection:
            query = spans_query().where(spans.c.run == run.id)
            in_order = query.order_by(spans.c.current_as_of, spans.c.id)
            return [recorded_span(row) for row in connection.execute(in_order)]

    def all_spans(self, workflow: str) -> list[RecordedSpan]:
        """Return the spans of a workflow that cover time, in order of time."""
        with self._read() as connection:
            return self._all_spans(connection, workflow)

    def foreign_namespaces(self) -> list[str]:
        """Return the namespaces that workflows have taken spans under, where this one is new."""
        this = select(workflows.c.workflow).where(workflows.c.namespace == self.namespace)
        query = select(workflows.c.namespace).where(~this.exists()).distinct()
        with self._read() as connection:
            return sorted(connection.execute(query).scalars())

    def record_nothing(self, run: Run, outcome: str, reason: str, now: datetime) -> None:
        """Record that a run took no span: ``covered`` or ``skipped``, and why."""
        with self._write() as connection:
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
        take_over: Sequence[RecordedSpan] = (),
    ) -> bool:
        """Record a run's spans, their changes and planned deliveries, all or nothing.

        ``definition`` is (hash, canonical JSON); ``take_over`` are spans to take over in the same
        transaction, as the method of that name does. Returns whether any was. Raises SpanTaken
        when another run has recorded an overlapping span since the caller looked, or a snapshot
        was quarantined, SettingsError where who was forgotten cannot be told.
        """
        directory = directory_of(definition[1])
        with self._write() as connection:
            self._lock_directory(connection, directory, alone=False)
            self._lock_workflow(connection, run.workflow)
            self._lock_forgetting(connection, alone=False)
            detected = [self._without_forgotten(connection, span) for span in detected]
            taken = [span.stretch for span in self._all_spans(connection, run.workflow)]
            bad = self._quarantined_keys(connection, directory)
            for span in detected:
                if any(_share_time(span.stretch, other) for other in taken):
                    raise SpanTaken
                if not bad.isdisjoint(span.stretch.keys):
                    raise SpanTaken
            self._record_definition(connection, run.workflow, definition, now)
            number = self._upsert_run(connection, run, "recorded", "", recorded_only, now)
            for span in detected:
                row = self._span_values(run, number, span, definition, now)
                result = connection.execute(spans.insert().values(row).returning(spans.c.id))
                span_id = result.scalar_one()
                self._insert_changes(connection, span_id, span)
                self._adopt(connection, run.workflow, span_id, span, actions, now)
                take_back(connection, span_id, now)
                self._insert_deliveries(connection, run.workflow, span_id, span, actions, now)
                self._judge(connection, span_id, span.suppressed, now)
            return self._take_over(connection, run, take_over, now)

    def take_over(self, run: Run, taken: Sequence[RecordedSpan], now: datetime) -> bool:
        """Make recorded spans ``run``'s own where nothing of them was ever released.

        For a person who decides to deliver what an earlier run only recorded. What was rejected
        stays so: the guard asks again. Returns whether any span was taken.
        """
        with self._write() as connection:
            self._lock_workflow(connection, run.workflow)
            return self._take_over(connection, run, taken, now)

    def _take_over(
        self, connection: Connection, run: Run, taken: Sequence[RecordedSpan], now: datetime
    ) -> bool:
        released = exists().where(deliveries.c.span == spans.c.id, ~never_released())
        query = select(spans.c.id).where(
            spans.c.id.in_([span.id for span in taken]),
            spans.c.kind == SpanKind.CHANGES,  # as it is now: a quarantine may have withdrawn one
            ~released,
        )
        ids = list(connection.execute(query).scalars())
        if not ids:
            return False
        number = self._upsert_run(connection, run, "recorded", "", False, now)
        connection.execute(update(spans).where(spans.c.id.in_(ids)).values(run=number))
        return True

    def record_again(
        self,
        run: Run,
        again: Sequence[tuple[RecordedSpan, DetectedSpan]],
        actions: Sequence[str],
        definition: tuple[str, str],
        now: datetime,
        *,
        recorded_only: bool = False,
    ) -> None:
        """Bring a cleared run's recorded spans up to what was detected now.

        New changes are added, what is not a change any more is withdrawn, and the policies judge
        everything that was not sent once more. ``recorded_only`` is the run as it is now. A span
        is one transaction; a run that dies between two does the rest when it is tried again.
        Raises SpanTaken when a quarantine has withdrawn a span since the caller looked.
        """
        for recorded, span in again:
            with self._write() as connection:
                self._lock_workflow(connection, run.workflow)
                self._lock_forgetting(connection, alone=False)
                detected = self._without_forgotten(connection, span)
                self._record_definition(connection, run.workflow, definition, now)
                self._touch_run(connection, run, recorded_only, now)
                _lock_open(connection, recorded.id)
                _count_clears_of(connection, run, recorded.id)
                refreshed = {
                    "kind": detected.kind,
                    "definition": definition[0],
                    "segment": segment_of(definition[1]),
                    "current_fingerprint": detected.current_fingerprint,
                    "previous_fingerprint": detected.previous_fingerprint,
                    "current_size": detected.current_size,
                    "previous_size": detected.previous_size,
                    "reason": detected.reason,
                }
                live = and_(spans.c.id == recorded.id, spans.c.kind != SpanKind.WITHDRAWN)
                if not connection.execute(update(spans).where(live).values(refreshed)).rowcount:
                    raise SpanTaken
                self._insert_changes(connection, recorded.id, detected)
                self._adopt(connection, run.workflow, recorded.id, detected, actions, now)
                take_back(connection, recorded.id, now)
                self._insert_deliveries(
                    connection, run.workflow, recorded.id, detected, actions, now
                )
                self._withdraw(connection, run.workflow, recorded.id, detected, actions, now)
                self._judge(connection, recorded.id, detected.suppressed, now)

    def withhold(self, span_id: int, suppressed: str | None, now: datetime) -> None:
        """Suppress what a span has not sent and is not to send by now; it gives nothing back.

        ``suppressed`` is the reason of the policy that forbids all of it, or None. Whom the
        workflow has reached as a member meanwhile, or by another span, is left out in either case.
        """
        with self._write() as connection:
            if suppressed is not None:
                _lock_open(connection, span_id)
                self._suppress(connection, span_id, suppressed, now)
            suppress_reached(connection, [span_id], now)
            leave_to_others(connection, [span_id], now)

    def _without_forgotten(self, connection: Connection, span: DetectedSpan) -> DetectedSpan:
        """Return a span without contacts who were forgotten, be it while it was compared."""
        if not span.changes or self._secret_in_use(connection) is None:
            return span
        contacts = {contact for contact, _, _ in span.changes}
        forgotten_ids: set[str] = set()
        for batch in batched(contacts):
            forgotten_ids |= self._forgotten(connection, batch)
        return replace(
            span, changes=[each for each in span.changes if each[0] not in forgotten_ids]
        )

    def _run_query(self, workflow: str, run_id: str) -> Any:
        return select(runs).where(self._is_run(workflow, run_id))

    def _is_run(self, workflow: str, run_id: str) -> ColumnElement[bool]:
        return and_(
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

    def _touch_run(
        self, connection: Connection, run: Run, recorded_only: bool, now: datetime
    ) -> None:
        """Note that a run was recorded again: its run area is needed as long as a new one's."""
        values = {
            "outcome": "recorded",
            "reason": "",
            "recorded_only": int(recorded_only),
            "recorded_at": now,
        }
        this = self._is_run(run.workflow, run.run_id)
        connection.execute(update(runs).where(this).values(values))

    def _all_spans(self, connection: Connection, workflow: str) -> list[RecordedSpan]:
        query = (
            spans_query()
            .where(
                spans.c.namespace == self.namespace,
                spans.c.workflow == workflow,
                spans.c.kind.in_(COVERING_KINDS),
            )
            .order_by(spans.c.current_as_of, spans.c.id)
        )
        return [recorded_span(row) for row in connection.execute(query)]

    def _quarantined_keys(self, connection: Connection, directory: str) -> set[str]:
        query = select(quarantines.c.key).where(
            quarantines.c.namespace == self.namespace, quarantines.c.directory == directory
        )
        return set(connection.execute(query).scalars())

    def _record_definition(
        self, connection: Connection, workflow: str, definition: tuple[str, str], now: datetime
    ) -> None:
        digest, body = definition
        values = {"hash": digest, "workflow": workflow, "body": body, "recorded_at": now}
        connection.execute(self._insert(definitions).values(values).on_conflict_do_nothing())

    def _span_values(
        self,
        run: Run,
        number: int,
        span: DetectedSpan,
        definition: tuple[str, str],
        now: datetime,
    ) -> dict[str, Any]:
        stretch = span.stretch
        return {
            "run": number,
            "namespace": self.namespace,
            "workflow": run.workflow,
            "segment": segment_of(definition[1]),
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
            "definition": definition[0],
            "recorded_at": now,
        }

    def _insert_changes(self, connection: Connection, span_id: int, span: DetectedSpan) -> None:
        def with_its_new_reason(query: Any) -> Any:
            return query.on_conflict_do_update(
                index_elements=["span", "contact_id", "change"],
                set_={"reason": query.excluded.reason},
            )

        columns = ("contact_id", "change", "reason")
        same = {"span": span_id}
        self._fill(connection, changes, columns, span.changes, same, with_its_new_reason)

    def _insert_deliveries(
        self,
        connection: Connection,
        workflow: str,
        span_id: int,
        span: DetectedSpan,
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        same = {
            "namespace": self.namespace,
            "workflow": workflow,
            "snapshot": span.stretch.current.key,
            "span": span_id,
            "event_at": span.stretch.current.as_of,
            "state": (Step.RECORD_SUPPRESSED if span.suppressed else Step.RECORD).to,
            "reason": span.suppressed or "",
            "planned_at": now,
            "updated_at": now,
        }
        columns = ("key", "action", "contact_id", "change")
        rows = self._planned(workflow, span, actions)
        self._fill(
            connection, deliveries, columns, rows, same, lambda it: it.on_conflict_do_nothing()
        )

    def _adopt(
        self,
        connection: Connection,
        workflow: str,
        span_id: int,
        span: DetectedSpan,
        actions: Sequence[str],
        now: datetime,
    ) -> None:
        """Move deliveries of the same key here from spans that were withdrawn, or never released.

        Without it the span's changes would have none: a key is unique. Each span stays accounted
        for, since the change moves with its deliveries. What is suppressed stays so.
        """
        loose = set(connection.execute(self._loose_spans(workflow, span_id)).scalars())
        if not loose:
            return
        values = {
            "span": span_id,
            "snapshot": span.stretch.current.key,
            "event_at": span.stretch.current.as_of,
            "updated_at": now,
        }
        for batch in batched(self._planned(workflow, span, actions)):
            by_key = {key: (contact_id, kind) for key, _, contact_id, kind in batch}
            free = (
                deliveries.c.key.in_(list(by_key)),
                unindexed(deliveries.c.span).in_(loose),
                never_released(),
            )
            lock_deliveries(connection, *free)
            query = select(deliveries.c.key, deliveries.c.span).where(*free)
            moved = connection.execute(query).all()
            keys = [row.key for row in moved]
            mine = update(deliveries).where(deliveries.c.key.in_(keys))
            connection.execute(mine.values(values))
            again = deliveries.c.key.in_(keys), STATE == State.SKIPPED
            move_deliveries(connection, Step.PLAN_AGAIN, again, {"reason": ""}, lock=False)
            _delete_changes(connection, {(row.span, *by_key[row.key]) for row in moved})

    def _loose_spans(self, workflow: str, but: int) -> Any:
        return select(spans.c.id).where(
            spans.c.namespace == self.namespace,
            spans.c.workflow == workflow,
            spans.c.kind.not_in(COVERING_KINDS),
            spans.c.id != but,
        )

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
        """Skip what was planned and is none any more; take back what is planned again.

        It is no change any more, or its action is not defined any more.
        """
        self._delete_changes(connection, span_id, span)
        produced = {key for key, *_ in self._planned(workflow, span, actions)}
        unsent = deliveries.c.span == span_id, _unsent()
        columns = deliveries.c.key, deliveries.c.reason, deliveries.c.state, deliveries.c.resent
        rows = connection.execute(select(*columns).where(*unsent)).all()
        leavers = [row for row in rows if row.key not in produced]
        in_doubt = {row.key for row in leavers if row.state == State.CLAIMED and row.resent}
        for batch in batched(sorted(in_doubt)):
            leave_claims_in_doubt(connection, [deliveries.c.key.in_(batch)], now)
        gone = [row.key for row in leavers if row.key not in in_doubt]
        back = [
            row.key
            for row in rows
            if row.reason == Reason.NO_LONGER_A_CHANGE and row.key in produced
        ]
        for keys, step, reason in (
            (gone, Step.WITHDRAW, Reason.NO_LONGER_A_CHANGE),
            (back, Step.PLAN_AGAIN, ""),
        ):
            values = {"reason": reason, "updated_at": now, **IN_NOBODYS_HANDS}
            for batch in batched(keys):
                move_deliveries(connection, step, [deliveries.c.key.in_(batch)], values, lock=False)

    def _delete_changes(self, connection: Connection, span_id: int, span: DetectedSpan) -> None:
        produced = {(contact_id, change) for contact_id, change, _ in span.changes}
        columns = changes.c.contact_id, changes.c.change
        recorded = connection.execute(select(*columns).where(changes.c.span == span_id))
        gone = {tuple(row) for row in recorded} - produced
        _delete_changes(connection, {(span_id, *change) for change in gone})

    def _judge(
        self, connection: Connection, span_id: int, suppressed: str | None, now: datetime
    ) -> None:
        """Let the policies decide anew about all that a span has not sent."""
        if suppressed is None:
            self._take_policies_back(connection, span_id, now)
        else:
            self._suppress(connection, span_id, suppressed, now)
        suppress_reached(connection, [span_id], now)
        leave_to_others(connection, [span_id], now)

    def _take_policies_back(self, connection: Connection, span_id: int, now: datetime) -> None:
        """Plan what a policy kept from being sent, and let what it barred be called again."""
        mine = deliveries.c.span == span_id
        by_policy = (
            deliveries.c.state == State.SUPPRESSED,
            deliveries.c.reason.in_(POLICY_REASONS),
        )
        bars = [number for reason, number in BARRED_BY_POLICY.items() if reason in POLICY_REASONS]
        is_barred = deliveries.c.barred.in_(bars)
        values = {"reason": "", "updated_at": now}
        move_deliveries(connection, Step.PLAN_AGAIN, (mine, *by_policy), values, lock=False)
        connection.execute(update(deliveries).where(mine, is_barred).values(barred=None))

    def _suppress(self, connection: Connection, span_id: int, reason: str, now: datetime) -> None:
        """Suppress what a policy forbids to send, and bar what is under way or in doubt.

        That is not called again; should it turn out to have come to nothing, it is suppressed.
        """
        which = and_(_unsent(), deliveries.c.reason.not_in(FINAL_SKIPS))
        if reason == Reason.PRUNED:  # no answer may release what the ledger has forgotten
            which = or_(which, rejected())
        in_doubt = and_(
            deliveries.c.state.in_(UNDER_WAY),
            or_(
                deliveries.c.barred.is_(None),
                deliveries.c.barred.in_(list(BARRED_BY_POLICY.values())),
            ),
        )
        mine = deliveries.c.span == span_id
        leave_claims_in_doubt(connection, (mine,), now)
        bar = {"barred": BARRED_BY_POLICY[reason]}
        connection.execute(update(deliveries).where(mine, in_doubt).values(bar))
        due = deliveries.c.state == State.UNCERTAIN, deliveries.c.held_until.is_not(None)
        doubt = {"reason": f"{NOT_SENT_AGAIN}: {reason}", **NOT_HELD, "updated_at": now}
        connection.execute(update(deliveries).where(mine, *due).values(doubt))
        values = {"reason": reason, "updated_at": now, **IN_NOBODYS_HANDS}
        move_deliveries(connection, Step.END, (mine, which), values, lock=False)


def _lock_open(connection: Connection, span_id: int) -> None:
    """Lock all of a span that may still change, at once and in order.

    Each step of a cleared run changes some of it: locked step by step, it were in no order.
    """
    lock_deliveries(connection, deliveries.c.span == span_id, STATE != State.DELIVERED)


def _unsent() -> ColumnElement[bool]:
    """What a policy or an edited definition may still take back; a rejection stays.

    What a worker has claimed is among it: the worker finds out when it wants to begin the call,
    and where it is dead nothing would come of the claim but a delivery that no branch sends.
    """
    return or_(
        deliveries.c.state.in_(UNSENT),
        and_(
            deliveries.c.state == State.SUPPRESSED,
            deliveries.c.reason.in_(POLICY_REASONS),
        ),
    )


def never_released() -> ColumnElement[bool]:
    """Deliveries of which the guard released none: planned, suppressed, or withdrawn before that.

    What is suppressed for good, as of a forgotten contact or before the watermark, counts as
    such, whatever became of it earlier: it stands in nobody's way.
    """
    return or_(
        STATE.in_(NOT_RELEASED),
        and_(
            STATE == State.SKIPPED,
            deliveries.c.reason == Reason.NO_LONGER_A_CHANGE,
            deliveries.c.attempts == 0,
        ),
    )


def _delete_changes(connection: Connection, gone: Iterable[tuple[int, str, str]]) -> None:
    """Delete changes, each a (span, contact id, change)."""
    contacts: dict[tuple[int, str], list[str]] = {}
    for span_id, contact_id, change in gone:
        contacts.setdefault((span_id, change), []).append(contact_id)
    for (span_id, change), ids in sorted(contacts.items()):
        for batch in batched(sorted(ids)):
            connection.execute(
                delete(changes).where(
                    changes.c.contact_id.in_(batch),
                    unindexed(changes.c.span) == span_id,
                    unindexed(changes.c.change) == change,
                )
            )


def _count_clears_of(connection: Connection, run: Run, span_id: int) -> None:
    """Let what failed under a higher clear number be tried when ``run`` is cleared next.

    Airflow counts from 0 again where a run was deleted and made anew.
    """
    higher = deliveries.c.span == span_id, deliveries.c.failed_at_clear > run.clear_number
    change_deliveries(connection, higher, {"failed_at_clear": run.clear_number})


def _share_time(one: Stretch, other: Stretch) -> bool:
    """Tell whether two spans take the same time; a first baseline takes none."""
    return not one.is_empty and not other.is_empty and overlap(one, other)


def segment_of(definition: str) -> str:
    """Return the segment's name in a recorded definition, which is canonical JSON."""
    return str(json.loads(definition)["segment"]["segment"])


def directory_of(definition: str) -> str:
    """Return the directory's name in a recorded definition, which is canonical JSON."""
    return str(json.loads(definition)["directory"]["directory"])


def spans_query() -> Any:
    """Return the query of spans with the run id of each."""
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
        Decision(row.decision, row.decided_by or "", row.decided_at) if row.decision else None,
    )


def recorded_span(row: Row[Any]) -> RecordedSpan:
    """Return a row of ``spans_query`` as a fact."""
    current = Point(row.current_as_of, row.current_key)
    previous = Point(row.previous_as_of, row.previous_key) if row.previous_key else current
    return RecordedSpan(
        row.id,
        row.workflow,
        row.run_id,
        SpanKind(row.kind),
        row.reason,
        Stretch(previous, current),
        row.previous_fingerprint,
        row.current_fingerprint,
        row.previous_size,
        row.current_size,
    )
