"""Quarantine: snapshots that no run may use, and what recorded spans become of it.

A span that begins or ends at such a snapshot is withdrawn as long as nothing of it was sent: it
covers no time any more, and the next run compares with the snapshot before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, delete, or_, select, update

from segue.documents import full_name
from segue.ledger.base import LedgerDatabase, change_deliveries, move_deliveries
from segue.ledger.facts import IN_NOBODYS_HANDS, Quarantined, RecordedSpan, SpanKind
from segue.ledger.reasons import FINAL_SKIPS, Reason
from segue.ledger.runs.overlaps import in_another_ones_hands
from segue.ledger.runs.owners import directory_of
from segue.ledger.runs.reached import (
    BARRED_BY_ADDITION,
    BARRED_BY_QUARANTINE,
    leave_claims_in_doubt,
    reject_if_judged_again,
)
from segue.ledger.runs.recording import recorded_span, spans_query
from segue.ledger.schema import definitions, deliveries, quarantines, spans, workflows
from segue.ledger.states import MAY_HAVE_ARRIVED, UNDER_WAY, UNSENT, Step

# an approval lifts the bar of a quarantine, and not that of an addition, which went out instead
_BAR = case(
    (deliveries.c.barred == BARRED_BY_ADDITION, BARRED_BY_ADDITION), else_=BARRED_BY_QUARANTINE
)


class QuarantineRows(LedgerDatabase):
    """What a quarantine does to recorded spans, within a transaction."""

    def _quarantine(self, connection: Connection, values: Mapping[str, Any]) -> Quarantined:
        directory, key, now = values["directory"], values["key"], values["added_at"]
        self._lock_directory(connection, directory, alone=True)
        insert = self._insert(quarantines).values(values).on_conflict_do_nothing()
        connection.execute(insert)
        candidates = self._touching(connection, directory, key)
        for workflow in sorted({span.workflow for span in candidates}):
            self._lock_workflow(connection, workflow)
        neighbours = self._touching(connection, directory, key)
        rejections = self._reject_unsent(connection, [span.id for span in neighbours], now)
        tried_ids = self._tried(connection, [span.id for span in neighbours])
        withdrawn = [span for span in neighbours if span.id not in tried_ids]
        self._withdraw_spans(connection, [span.id for span in withdrawn], key)
        kept_spans = [span for span in neighbours if span.id in tried_ids]
        return Quarantined(withdrawn, kept_spans, rejections)

    def _touching(self, connection: Connection, directory: str, key: str) -> list[RecordedSpan]:
        """Return the directory's spans that begin or end at a snapshot."""
        of_its_workflow = and_(
            workflows.c.namespace == spans.c.namespace, workflows.c.workflow == spans.c.workflow
        )
        query = (
            spans_query()
            .add_columns(definitions.c.body, workflows.c.project)
            .join(definitions, definitions.c.hash == spans.c.definition)
            .join(workflows, of_its_workflow)
            .where(
                spans.c.namespace == self.namespace,
                or_(spans.c.current_key == key, spans.c.previous_key == key),
                spans.c.kind != SpanKind.WITHDRAWN,
            )
            .order_by(spans.c.workflow, spans.c.current_as_of, spans.c.id)
        )
        return [
            recorded_span(row)
            for row in connection.execute(query)
            if full_name(directory_of(row.body), row.project) == directory
        ]

    def _reject_unsent(self, connection: Connection, span_ids: Sequence[int], now: datetime) -> int:
        """Reject what waits, and bar what is under way: it is not begun again if it was in vain.

        All rows are barred first, which locks them, so that none changes hands in between.
        """
        reject_if_judged_again(connection, span_ids)
        theirs = deliveries.c.span.in_(span_ids)
        open_ones = deliveries.c.state.in_((*UNSENT, *UNDER_WAY))
        a_change = deliveries.c.reason.not_in(FINAL_SKIPS)
        change_deliveries(connection, (theirs, open_ones, a_change), {"barred": _BAR})
        leave_claims_in_doubt(connection, (theirs, a_change), now)
        unsent = or_(deliveries.c.state.in_(UNSENT), in_another_ones_hands())
        values = {"reason": Reason.REJECTED, "barred": None, "updated_at": now}
        values |= IN_NOBODYS_HANDS
        return move_deliveries(connection, Step.END, (theirs, unsent, a_change), values, lock=False)

    def _tried(self, connection: Connection, span_ids: Sequence[int]) -> set[int]:
        """Return the spans of which a call was begun, be it in vain."""
        query = select(deliveries.c.span).where(
            deliveries.c.span.in_(span_ids),
            or_(
                deliveries.c.state.in_(MAY_HAVE_ARRIVED),
                and_(deliveries.c.attempts > 0, deliveries.c.reason != Reason.NO_LONGER_A_CHANGE),
            ),
        )
        return set(connection.execute(query.distinct()).scalars())

    def _withdraw_spans(self, connection: Connection, span_ids: Sequence[int], key: str) -> None:
        values = {"kind": SpanKind.WITHDRAWN, "reason": f"snapshot {key} is quarantined"}
        connection.execute(update(spans).where(spans.c.id.in_(span_ids)).values(values))


class Quarantines(QuarantineRows):
    """The quarantined snapshots of a namespace."""

    def quarantined(self, directory: str) -> dict[str, str]:
        """Return the quarantined snapshots of a directory: their keys, and why."""
        query = select(quarantines.c.key, quarantines.c.reason).where(
            quarantines.c.namespace == self.namespace, quarantines.c.directory == directory
        )
        with self._read() as connection:
            return {row.key: row.reason for row in connection.execute(query)}

    def quarantine(
        self, directory: str, key: str, *, reason: str, by: str, now: datetime
    ) -> Quarantined:
        """Let no run use a snapshot from now on; reject what was not sent of its changes.

        Spans that begin or end there are withdrawn where nothing of them was tried. Safe to
        repeat.
        """
        identity = {"namespace": self.namespace, "directory": directory, "key": key}
        values = {**identity, "reason": reason, "added_by": by, "added_at": now}
        with self._write() as connection:
            return self._quarantine(connection, values)

    def end_quarantine(self, directory: str, key: str) -> bool:
        """Let runs use a snapshot again; False where it was not quarantined."""
        query = delete(quarantines).where(
            quarantines.c.namespace == self.namespace,
            quarantines.c.directory == directory,
            quarantines.c.key == key,
        )
        with self._write() as connection:
            return bool(connection.execute(query).rowcount)
