"""Retention: old runs leave the ledger, and a watermark stays, so that nothing is ever sent again.

A key that was deleted says no more that its message was sent. So a workflow's watermark is the
as-of up to which spans were deleted, and whatever begins before it is never acted on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select

from segue.ledger.base import LedgerDatabase, lock_deliveries
from segue.ledger.facts import COVERING_KINDS
from segue.ledger.reasons import Reason
from segue.ledger.schema import changes, definitions, deliveries, requests, runs, spans, workflows
from segue.ledger.states import DUE_LATER, OPEN_STATES, State
from segue.segments.kinds import ChangeKind

UNFINISHED = frozenset({*OPEN_STATES, *DUE_LATER, State.UNCERTAIN})


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows were deleted. ``kept_spans`` are old and still have something to be done."""

    spans: int
    changes: int
    deliveries: int
    runs: int
    definitions: int
    requests: int
    kept_spans: int


@dataclass(frozen=True, slots=True)
class _Span:
    id: int
    workflow: str
    current_as_of: datetime
    current_key: str


class Pruning(LedgerDatabase):
    """Deleting what is older than people want to keep."""

    def watermark(self, workflow: str) -> datetime | None:
        """Return up to which as-of spans of a workflow were deleted; None where none was."""
        query = select(workflows.c.watermark).where(
            workflows.c.namespace == self.namespace, workflows.c.workflow == workflow
        )
        with self._read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def prune(self, cut: datetime, workflow: str | None = None) -> Pruned:
        """Delete spans that end before ``cut``, with all that hangs on them.

        A span stays whole while anything in it is open, held or uncertain, waits for what another
        span has in hand, or is ``enrolled``:
        an enrolment's key has no snapshot, so no watermark could stand in for it. So does one that
        a later one is compared over, which would find its changes again. One transaction
        per span, which sets the watermark as well.
        """
        old, kept_count = self._old_spans(cut, workflow)
        removals = [counts for span in old if (counts := self._prune_span(span))]
        with self._write() as connection:
            old_runs = self._old_runs(cut, workflow)
            removed_runs = connection.execute(delete(runs).where(old_runs)).rowcount
            obsolete = delete(definitions).where(self._unused(cut, workflow))
            removed_definitions = connection.execute(obsolete).rowcount
            request_count = 0 if workflow else self._delete_requests(connection, cut)
        return Pruned(
            spans=len(removals),
            changes=sum(counts[0] for counts in removals),
            deliveries=sum(counts[1] for counts in removals),
            runs=removed_runs,
            definitions=removed_definitions,
            requests=request_count,
            kept_spans=kept_count + len(old) - len(removals),
        )

    def would_prune(self, cut: datetime, workflow: str | None = None) -> Pruned:
        """Return what ``prune`` would delete now."""
        old, kept_count = self._old_spans(cut, workflow)
        doomed_spans = select(spans.c.id).where(*self._free(cut, workflow))
        with self._read() as connection:

            def count(table: Any, condition: ColumnElement[bool]) -> int:
                query = select(func.count()).select_from(table).where(condition)
                return int(connection.execute(query).scalar_one())

            return Pruned(
                spans=len(old),
                changes=count(changes, changes.c.span.in_(doomed_spans)),
                deliveries=count(deliveries, deliveries.c.span.in_(doomed_spans)),
                runs=count(runs, self._old_runs(cut, workflow, doomed_spans)),
                definitions=count(definitions, self._unused(cut, workflow, doomed_spans)),
                requests=0 if workflow else count(requests, self._old_requests(cut)),
                kept_spans=kept_count,
            )

    def needed_runs(self, since: datetime) -> set[tuple[str, str]]:
        """Return (workflow, run id) of runs recorded since then, and of unfinished ones."""
        is_unfinished = exists().where(
            spans.c.run == runs.c.id,
            deliveries.c.span == spans.c.id,
            deliveries.c.state.in_(UNFINISHED),
        )
        query = select(runs.c.workflow, runs.c.run_id).where(
            runs.c.namespace == self.namespace, or_(runs.c.recorded_at >= since, is_unfinished)
        )
        with self._read() as connection:
            return {(row.workflow, row.run_id) for row in connection.execute(query)}

    def needed_snapshots(self) -> dict[str, str]:
        """Return the keys of snapshots that a span still needs, and what for.

        Of all namespaces, for they may have one folder: the last that each workflow has used, with
        which its next run compares, and both of a span of which anything is open, held or
        uncertain.
        """
        last = (
            select(
                spans.c.namespace, spans.c.workflow, func.max(spans.c.current_as_of).label("as_of")
            )
            .group_by(spans.c.namespace, spans.c.workflow)
            .subquery()
        )
        is_last = and_(
            spans.c.namespace == last.c.namespace,
            spans.c.workflow == last.c.workflow,
            spans.c.current_as_of == last.c.as_of,
        )
        of_the_last = select(spans.c.workflow, spans.c.current_key).join(last, is_last)
        is_open = exists().where(
            deliveries.c.span == spans.c.id, deliveries.c.state.in_(UNFINISHED)
        )
        of_open = select(spans.c.workflow, spans.c.previous_key, spans.c.current_key).where(is_open)
        with self._read() as connection:
            needs = {
                key: f"the last that {workflow} has used"
                for workflow, key in connection.execute(of_the_last)
            }
            for workflow, *keys in connection.execute(of_open):
                needs |= dict.fromkeys(filter(None, keys), f"{workflow} has deliveries to make")
        return needs

    def _old_spans(self, cut: datetime, workflow: str | None) -> tuple[list[_Span], int]:
        """Return the spans to delete, in order of time, and how many old ones have to stay."""
        columns = spans.c.id, spans.c.workflow, spans.c.current_as_of, spans.c.current_key
        query = select(*columns).where(*self._free(cut, workflow))
        every = select(func.count()).select_from(spans).where(*self._old(cut, workflow))
        with self._read() as connection:
            rows = connection.execute(query.order_by(spans.c.current_as_of, spans.c.id))
            old_spans = [_Span(*row) for row in rows]
            return old_spans, int(connection.execute(every).scalar_one()) - len(old_spans)

    def _old(self, cut: datetime, workflow: str | None) -> list[ColumnElement[bool]]:
        old = [spans.c.namespace == self.namespace, spans.c.current_as_of < cut]
        return old if workflow is None else [*old, spans.c.workflow == workflow]

    def _free(self, cut: datetime, workflow: str | None) -> list[ColumnElement[bool]]:
        is_compared_over = spans.c.id.in_(self._compared_over())
        return [*self._old(cut, workflow), ~_has_to_stay(spans.c.id), ~is_compared_over]

    def _compared_over(self) -> Any:
        """Select the spans, kept in quarantine, that a later one is compared over.

        See ``segue.ledger.stretches.compared_over``. The two go one after the other, the later
        first.
        """
        earlier, later = spans.alias("earlier"), spans.alias("later")
        follows = and_(
            earlier.c.namespace == later.c.namespace,
            earlier.c.workflow == later.c.workflow,
            earlier.c.current_as_of == later.c.previous_as_of,
        )
        return (
            select(earlier.c.id)
            .join(later, follows)
            .where(
                later.c.namespace == self.namespace,
                later.c.kind.in_(COVERING_KINDS),
                later.c.current_as_of > later.c.previous_as_of,
                later.c.previous_key != earlier.c.current_key,
            )
        )

    def _is_compared_over(self, connection: Connection, span: _Span) -> bool:
        """Tell the same of one span: only the one that follows it in time may begin at its end."""
        query = (
            select(spans.c.previous_as_of, spans.c.previous_key)
            .where(
                spans.c.namespace == self.namespace,
                spans.c.workflow == span.workflow,
                spans.c.kind.in_(COVERING_KINDS),
                spans.c.current_as_of > span.current_as_of,
            )
            .order_by(spans.c.current_as_of, spans.c.id)
            .limit(1)
        )
        later = connection.execute(query).first()
        begins_there = later is not None and later.previous_as_of == span.current_as_of
        return later is not None and begins_there and later.previous_key != span.current_key

    def _prune_span(self, span: _Span) -> tuple[int, int] | None:
        """Delete one span; returns how many (changes, deliveries), or None where it has to stay.

        The workflow's row is locked first, as a run does that records a span.
        """
        with self._write() as connection:
            self._raise_watermark(connection, span)
            query = select(spans.c.id).where(spans.c.id == span.id).with_for_update()
            there = connection.execute(query).first()
            has_to_stay = connection.execute(select(_has_to_stay(span.id))).scalar_one()
            if there is None or has_to_stay or self._is_compared_over(connection, span):
                return None
            lock_deliveries(connection, deliveries.c.span == span.id)
            its_deliveries = delete(deliveries).where(deliveries.c.span == span.id)
            delivery_count = connection.execute(its_deliveries).rowcount
            change_count = connection.execute(
                delete(changes).where(changes.c.span == span.id)
            ).rowcount
            connection.execute(delete(spans).where(spans.c.id == span.id))
            return change_count, delivery_count

    def _raise_watermark(self, connection: Connection, span: _Span) -> None:
        """Set the watermark to the span's end, unless it is higher.

        It stays where the span turns out to have to stay: nothing that old is sent any more.
        """
        insert = self._insert(workflows).values(
            namespace=self.namespace, workflow=span.workflow, watermark=span.current_as_of
        )
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["namespace", "workflow"],
                set_={"watermark": insert.excluded.watermark},
                where=or_(
                    workflows.c.watermark.is_(None),
                    workflows.c.watermark < insert.excluded.watermark,
                ),
            )
        )

    def _old_runs(
        self, cut: datetime, workflow: str | None, without: Any = ()
    ) -> ColumnElement[bool]:
        """Runs of before ``cut`` that have no span but those that are to be deleted."""
        has_span = exists().where(spans.c.run == runs.c.id, spans.c.id.not_in(without))
        parts = [
            runs.c.namespace == self.namespace,
            func.coalesce(runs.c.interval_end, runs.c.recorded_at) < cut,
            ~has_span,
        ]
        if workflow is not None:
            parts.append(runs.c.workflow == workflow)
        return and_(*parts)

    def _unused(
        self, cut: datetime, workflow: str | None, without: Any = ()
    ) -> ColumnElement[bool]:
        is_used = exists().where(
            spans.c.definition == definitions.c.hash, spans.c.id.not_in(without)
        )
        parts = [definitions.c.recorded_at < cut, ~is_used]
        if workflow is not None:
            parts.append(definitions.c.workflow == workflow)
        return and_(*parts)

    def _delete_requests(self, connection: Connection, cut: datetime) -> int:
        return connection.execute(delete(requests).where(self._old_requests(cut))).rowcount

    def _old_requests(self, cut: datetime) -> ColumnElement[bool]:
        return and_(requests.c.namespace == self.namespace, requests.c.done_at < cut)


def _has_to_stay(span_id: Any) -> Any:
    return exists().where(
        deliveries.c.span == span_id,
        or_(
            deliveries.c.state.in_(UNFINISHED),
            and_(
                deliveries.c.state == State.SUPPRESSED,
                deliveries.c.reason == Reason.IN_HAND,
            ),
            deliveries.c.change == ChangeKind.ENROLLED,
        ),
    )
