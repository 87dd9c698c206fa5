"""Recording runs: their spans, changes and planned deliveries, once and without overlap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, select, update

from segue.ledger.base import (
    batched,
)
from segue.ledger.facts import (
    COVERING_KINDS,
    Decision,
    DetectedSpan,
    RecordedRun,
    RecordedSpan,
    Run,
    SpanKind,
    SpanTaken,
)
from segue.ledger.people.suppressions import SuppressionRows
from segue.ledger.runs.overlaps import leave_to_others, take_back
from segue.ledger.runs.owners import Owners
from segue.ledger.runs.planned_rows import PlannedRows, count_clears_of, lock_open, never_released
from segue.ledger.runs.reached import (
    suppress_reached,
)
from segue.ledger.schema import (
    definitions,
    deliveries,
    present_number,
    quarantines,
    runs,
    spans,
    workflows,
)
from segue.ledger.stretches import Point, Stretch, overlap


class Recording(Owners, PlannedRows, SuppressionRows):
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

    def without_forgotten(self, span: DetectedSpan) -> DetectedSpan:
        """Return a span as it would be recorded: without contacts who were forgotten."""
        with self._read() as connection:
            return self._without_forgotten(connection, span)

    def record_nothing(self, run: Run, outcome: str, reason: str, now: datetime) -> None:
        """Record that a run took no span: ``covered`` or ``skipped``, and why."""
        with self._write() as connection:
            self._upsert_run(connection, run, outcome, reason, False, now)

    def record_spans(
        self,
        run: Run,
        new_spans: Sequence[DetectedSpan],
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
        with self._write() as connection:
            directory = self._directory_of(connection, run.workflow, definition[1])
            self._lock_directory(connection, directory, alone=False)
            self._lock_workflow(connection, run.workflow)
            self._lock_forgetting(connection, alone=False)
            new_spans = [self._without_forgotten(connection, span) for span in new_spans]
            stretches = [span.stretch for span in self._all_spans(connection, run.workflow)]
            bad = self._quarantined_keys(connection, directory)
            for span in new_spans:
                if any(_share_time(span.stretch, other) for other in stretches):
                    raise SpanTaken
                if not bad.isdisjoint(span.stretch.keys):
                    raise SpanTaken
            self._record_definition(connection, run.workflow, definition, now)
            number = self._upsert_run(connection, run, "recorded", "", recorded_only, now)
            for span in new_spans:
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
        was_released = exists().where(deliveries.c.span == spans.c.id, ~never_released())
        query = select(spans.c.id).where(
            spans.c.id.in_([span.id for span in taken]),
            spans.c.kind == SpanKind.CHANGES,  # as it is now: a quarantine may have withdrawn one
            ~was_released,
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
        for row, span in again:
            with self._write() as connection:
                self._lock_workflow(connection, run.workflow)
                self._lock_forgetting(connection, alone=False)
                span_now = self._without_forgotten(connection, span)
                self._record_definition(connection, run.workflow, definition, now)
                self._touch_run(connection, run, recorded_only, now)
                lock_open(connection, row.id)
                count_clears_of(connection, run, row.id)
                _refresh(connection, row.id, span_now, definition)
                self._insert_changes(connection, row.id, span_now)
                self._adopt(connection, run.workflow, row.id, span_now, actions, now)
                take_back(connection, row.id, now)
                self._insert_deliveries(connection, run.workflow, row.id, span_now, actions, now)
                self._withdraw(connection, run.workflow, row.id, span_now, actions, now)
                self._judge(connection, row.id, span_now.suppressed, now)

    def withhold(self, span_id: int, suppressed: str | None, now: datetime) -> None:
        """Suppress what a span has not sent and is not to send by now; it gives nothing back.

        ``suppressed`` is the reason of the policy that forbids all of it, or None. Whom the
        workflow has reached as a member meanwhile, or by another span, is left out in either case.
        """
        with self._write() as connection:
            if suppressed is not None:
                lock_open(connection, span_id)
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
        values = {
            "outcome": outcome,
            "reason": reason,
            "recorded_only": int(recorded_only),
            "interval_start": start,
            "interval_end": end,
            "recorded_at": now,
        }
        identity = {
            "namespace": self.namespace,
            "workflow": run.workflow,
            "run_id": run.run_id,
        }
        query = (
            self._insert(runs)
            .values(**identity, **values)
            .on_conflict_do_update(
                index_elements=list(identity), set_={**values, "changed_in": present_number()}
            )
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


def _refresh(
    connection: Connection, span_id: int, span: DetectedSpan, definition: tuple[str, str]
) -> None:
    """Bring a span's row up to what was detected; raise SpanTaken where it was withdrawn."""
    values = {
        "kind": span.kind,
        "definition": definition[0],
        "segment": segment_of(definition[1]),
        "current_fingerprint": span.current_fingerprint,
        "previous_fingerprint": span.previous_fingerprint,
        "current_size": span.current_size,
        "previous_size": span.previous_size,
        "reason": span.reason,
    }
    live = and_(spans.c.id == span_id, spans.c.kind != SpanKind.WITHDRAWN)
    if not connection.execute(update(spans).where(live).values(values)).rowcount:
        raise SpanTaken


def _share_time(one: Stretch, other: Stretch) -> bool:
    """Tell whether two spans take the same time; a first baseline takes none."""
    return not one.is_empty and not other.is_empty and overlap(one, other)


def segment_of(definition: str) -> str:
    """Return the segment's name in a recorded definition, which is canonical JSON."""
    return str(json.loads(definition)["segment"]["segment"])


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
