"""How segments grew and shrank, as their workflows' runs recorded it; no snapshot is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, case, func, or_, select

from segue.ledger.base import LedgerDatabase
from segue.ledger.facts import SpanKind
from segue.ledger.runs.owners import full_segment
from segue.ledger.schema import changes, definitions, spans

VERSIONS = 50  # of a definition that a history goes back


@dataclass(frozen=True, slots=True)
class Size:
    """How many members a segment had in one snapshot, as a run of one workflow counted them.

    ``previous`` is how many there were in the snapshot before, by the same definition; None where
    the run compared nothing.
    """

    segment: str
    workflow: str
    key: str
    as_of: datetime
    members: int
    previous: int | None = None


@dataclass(frozen=True, slots=True)
class Crossings:
    """How many contacts made one kind of change, as a run of one workflow recorded it.

    A workflow records the kinds that it acts on, and no others.
    """

    segment: str
    workflow: str
    as_of: datetime  # of the snapshot that shows them
    change: str
    count: int


@dataclass(frozen=True, slots=True)
class Version:
    """A definition that a workflow's runs began to use; ``body`` is canonical JSON."""

    workflow: str
    key: str  # the first snapshot that was judged by it
    as_of: datetime
    recorded_at: datetime
    digest: str
    body: str


class Sizes(LedgerDatabase):
    """Sizes, changes and definitions of segments over time."""

    def sizes_since(
        self, segments: Collection[str], workflows: Collection[str], since: datetime
    ) -> Sequence[Size]:
        """Return the sizes of segments in snapshots since then, in order of time."""
        query = (
            select(*_SIZE)
            .where(*self._of_segments(segments, workflows), spans.c.current_as_of >= since)
            .order_by(spans.c.current_as_of, spans.c.id)
        )
        with self._read() as connection:
            return [Size(*row) for row in connection.execute(query)]

    def newest_size(self, segment: str, workflows: Collection[str]) -> Size | None:
        """Return the size of a segment in the newest snapshot that a run used, however old."""
        query = (
            select(*_SIZE)
            .where(*self._of_segments([segment], workflows))
            .order_by(spans.c.current_as_of.desc(), spans.c.id.desc())
        )
        with self._read() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else Size(*row)

    def judged_by(
        self, segment: str, workflow: str, key: str, previous: str | None
    ) -> Version | None:
        """Return the definition that a workflow's run judged a snapshot by, the last that did.

        Of those that compared it with ``previous``, where there are such; enrolments, which compare
        nothing, have None, and may have been made under a later definition.
        """
        of_the_pair = spans.c.previous_key.is_not_distinct_from(previous)
        query = (
            select(
                spans.c.workflow,
                spans.c.current_key,
                spans.c.current_as_of,
                spans.c.recorded_at,
                spans.c.definition,
                definitions.c.body,
            )
            .join(definitions, definitions.c.hash == spans.c.definition)
            .where(*self._of_segments([segment], [workflow]), spans.c.current_key == key)
            .order_by(case((of_the_pair, 0), else_=1), spans.c.id.desc())
        )
        with self._read() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else Version(*row)

    def crossings_since(
        self, segments: Collection[str], workflows: Collection[str], since: datetime
    ) -> Sequence[Crossings]:
        """Return how many changes of each kind the snapshots since then show, in order of time."""
        span_ids = select(spans.c.id).where(
            *self._of_segments(segments, workflows), spans.c.current_as_of >= since
        )
        totals = (
            select(changes.c.span, changes.c.change, func.count().label("count"))
            .where(changes.c.span.in_(span_ids))
            .group_by(changes.c.span, changes.c.change)
            .subquery()
        )
        query = (
            select(
                full_segment(),
                spans.c.workflow,
                spans.c.current_as_of,
                totals.c.change,
                totals.c.count,
            )
            .join(spans, spans.c.id == totals.c.span)
            .order_by(spans.c.current_as_of, totals.c.change)
        )
        with self._read() as connection:
            return [Crossings(*row) for row in connection.execute(query)]

    def versions_since(
        self, segment: str, workflows: Collection[str], since: datetime
    ) -> Sequence[Version]:
        """Return the definitions that runs used since then, the newest first, up to VERSIONS.

        Each is a definition of a workflow as a whole: what changed need not be the segment.
        """
        order = (spans.c.current_as_of, spans.c.id)
        predecessor = func.lag(spans.c.definition).over(
            partition_by=spans.c.workflow, order_by=order
        )
        uses = (
            select(
                spans.c.workflow,
                spans.c.current_key,
                spans.c.current_as_of,
                spans.c.recorded_at,
                spans.c.definition,
                predecessor.label("before"),
            )
            .where(*self._of_segments([segment], workflows), spans.c.current_as_of >= since)
            .subquery()
        )
        is_first = or_(uses.c.before.is_(None), uses.c.before != uses.c.definition)
        query = (
            select(
                uses.c.workflow,
                uses.c.current_key,
                uses.c.current_as_of,
                uses.c.recorded_at,
                uses.c.definition,
                definitions.c.body,
            )
            .join(definitions, definitions.c.hash == uses.c.definition)
            .where(is_first)
            .order_by(uses.c.current_as_of.desc(), uses.c.workflow)
        )
        with self._read() as connection:
            return [Version(*row) for row in connection.execute(query.limit(VERSIONS))]

    def recorded_segments(self) -> set[tuple[str, str]]:
        """Return (segment, workflow) of everything recorded, be it defined still or not."""
        query = select(full_segment(), spans.c.workflow).where(
            spans.c.namespace == self.namespace, spans.c.segment != ""
        )
        with self._read() as connection:
            return {(row.segment, row.workflow) for row in connection.execute(query.distinct())}

    def _of_segments(
        self, segments: Collection[str], workflows: Collection[str]
    ) -> Sequence[ColumnElement[bool]]:
        return (
            spans.c.namespace == self.namespace,
            spans.c.segment.in_({name.rpartition("/")[2] for name in segments}),  # by the index
            full_segment().element.in_(sorted(segments)),
            spans.c.workflow.in_(sorted(workflows)),
            spans.c.kind != SpanKind.WITHDRAWN,
        )


_SIZE = (
    full_segment(),
    spans.c.workflow,
    spans.c.current_key,
    spans.c.current_as_of,
    spans.c.current_size,
    case((spans.c.kind == SpanKind.CHANGES, spans.c.previous_size)).label("previous"),
)
