"""Reading the ledger: what reports, listings and the fan-out ask of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, distinct, exists, func, not_, or_, select

from segue.ledger.base import STATE, LedgerDatabase, batched, same_change, unindexed
from segue.ledger.facts import DeliveryInFull, ListedDelivery
from segue.ledger.reasons import Reason
from segue.ledger.runs.planned_rows import never_released
from segue.ledger.runs.reached import rejected, waiting
from segue.ledger.schema import UtcDateTime, changes, definitions, deliveries, runs, spans
from segue.ledger.states import ACTED_ON, State
from segue.segments.kinds import ChangeKind


class RunQueries(LedgerDatabase):
    """Counts and listings."""

    def workflow_names(self) -> set[str]:
        """Return the workflows that have recorded anything, be they defined still or not."""
        query = select(runs.c.workflow).where(runs.c.namespace == self.namespace)
        with self._read() as connection:
            return set(connection.execute(query.distinct()).scalars())

    def count_digests(self, span_ids: Collection[int]) -> dict[str, int]:
        """Return, per action that is a digest, how many messages the delivered ones arrived in."""
        query = (
            select(
                deliveries.c.action,
                func.count(distinct(deliveries.c.message_key)).label("messages"),
            )
            .where(
                deliveries.c.span.in_(span_ids),
                deliveries.c.state == State.DELIVERED,
                deliveries.c.message_key.is_not(None),
            )
            .group_by(deliveries.c.action)
        )
        with self._read() as connection:
            return {row.action: row.messages for row in connection.execute(query)}

    def tally(self, span_ids: Collection[int]) -> dict[str, Counter[tuple[str, str]]]:
        """Return, per action, how many deliveries of the spans' changes stand in (state, reason).

        Deliveries of changes that were withdrawn are not counted.
        """
        query = (
            select(deliveries.c.action, deliveries.c.state, deliveries.c.reason, func.count())
            .join(changes, same_change())
            .where(deliveries.c.span.in_(span_ids))
            .group_by(deliveries.c.action, deliveries.c.state, deliveries.c.reason)
        )
        result: dict[str, Counter[tuple[str, str]]] = {}
        with self._read() as connection:
            self._join_sets(connection)
            for action, state, reason, count in connection.execute(query):
                result.setdefault(action, Counter())[(state, reason)] += count
        return result

    def latencies(self, span_ids: Collection[int]) -> dict[str, timedelta]:
        """Return, per action with a delivered one, the longest time from an as-of to delivery.

        The as-of is that of the snapshot that shows the change. All changes of a snapshot have one.
        """
        table = deliveries.c
        last = func.max(table.delivered_at, type_=UtcDateTime)
        query = (
            select(table.action, table.event_at, last)
            .join(changes, same_change())
            .where(
                table.span.in_(span_ids),
                table.state == State.DELIVERED,
                table.event_at.is_not(None),
                table.delivered_at.is_not(None),
            )
            .group_by(table.action, table.event_at)
        )
        result: dict[str, timedelta] = {}
        with self._read() as connection:
            self._join_sets(connection)
            for action, event_at, delivered_at in connection.execute(query):
                latency = delivered_at - event_at
                result[action] = max(latency, result.get(action, latency))
        return result

    def count_changes(self, span_ids: Collection[int]) -> Counter[str]:
        """Return how many changes of each kind the spans hold."""
        query = (
            select(changes.c.change, func.count())
            .where(changes.c.span.in_(span_ids))
            .group_by(changes.c.change)
        )
        with self._read() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})

    def tally_withdrawn(self, span_ids: Collection[int]) -> Counter[str]:
        """Return in which states deliveries of changes stand that are none any more.

        Together with ``tally`` they are all deliveries of the spans.
        """
        query = (
            select(deliveries.c.state, func.count())
            .where(deliveries.c.span.in_(span_ids), ~exists().where(same_change()))
            .group_by(deliveries.c.state)
        )
        with self._read() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})

    def expected_deliveries(self, span_ids: Collection[int]) -> Counter[str]:
        """Return how many deliveries each action has to have: one for each change of the spans.

        Of the actions that were defined when a span was recorded, or recorded again last: one that
        was added since has none yet.
        """
        per_definition = (
            select(func.count())
            .where(changes.c.span == spans.c.id)
            .correlate(spans)
            .scalar_subquery()
        )
        query = (
            select(definitions.c.body, per_definition)
            .join(spans, spans.c.definition == definitions.c.hash)
            .where(spans.c.id.in_(span_ids))
        )
        counts: Counter[str] = Counter()
        with self._read() as connection:
            for body, count in connection.execute(query):
                for action in json.loads(body)["workflow"]["actions"]:
                    counts[action["id"]] += count
        return counts

    def count_planned(
        self, span_ids: Collection[int], actions: Collection[str] | None = None
    ) -> Counter[str]:
        """Return, per kind of change, how many contacts have a delivery that waits for release."""
        is_planned = deliveries.c.state == State.PLANNED
        return self._count_contacts(span_ids, and_(is_planned, waiting(actions)))

    def count_rejected(
        self, span_ids: Collection[int], actions: Collection[str] | None = None
    ) -> Counter[str]:
        """Return, per kind of change, how many contacts have a delivery that was rejected."""
        return self._count_contacts(span_ids, and_(rejected(), waiting(actions)))

    def count_waiting(
        self, span_ids: Collection[int], actions: Collection[str] | None = None
    ) -> Counter[str]:
        """Return, per kind of change, how many contacts an approval of ``actions`` would release.

        None: of all. Likewise in what follows.
        """
        return self._count_contacts(span_ids, waiting(actions))

    def waiting_changes(
        self, span_ids: Collection[int], actions: Collection[str] | None = None
    ) -> frozenset[tuple[str, str]]:
        """Return (contact_id, change) of all that an approval would release."""
        query = (
            select(deliveries.c.contact_id, deliveries.c.change)
            .where(deliveries.c.span.in_(span_ids), waiting(actions))
            .distinct()
        )
        with self._read() as connection:
            return frozenset((row[0], row[1]) for row in connection.execute(query))

    def waiting_contacts(
        self,
        span_ids: Collection[int],
        change: str,
        limit: int,
        actions: Collection[str] | None = None,
    ) -> list[str]:
        """Return the first ids of contacts with a planned or rejected delivery of one kind."""
        query = (
            select(deliveries.c.contact_id)
            .where(
                deliveries.c.span.in_(span_ids),
                deliveries.c.change == change,
                waiting(actions),
            )
            .distinct()
            .order_by(deliveries.c.contact_id)
            .limit(limit)
        )
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def reached_contacts(self, workflow: str, *, but_span: int | None = None) -> set[str]:
        """Return whom an enrolment leaves out: those whose ``added`` or ``enrolled`` went out.

        ``added`` counts when it was delivered or may yet be, one that waits at the guard included;
        ``enrolled`` when it was ever released. ``but_span`` is an enrolment that is detected
        again: its own do not count.
        """
        states = (*ACTED_ON, State.PLANNED)
        by_added = and_(deliveries.c.change == ChangeKind.ADDED, deliveries.c.state.in_(states))
        by_enrolled = and_(deliveries.c.change == ChangeKind.ENROLLED, not_(never_released()))
        query = select(deliveries.c.contact_id).where(
            deliveries.c.namespace == self.namespace,
            deliveries.c.workflow == workflow,
            or_(by_added, by_enrolled),
        )
        if but_span is not None:
            query = query.where(deliveries.c.span != but_span)
        with self._read() as connection:
            return set(connection.execute(query.distinct()).scalars())

    def earlier_deliveries(
        self, workflow: str, action: str, contact_ids: Iterable[str]
    ) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield (contact_id, external_id, trace) of what an action delivered, newest first."""
        table = deliveries.c
        for batch in batched(sorted(set(contact_ids))):
            query = (
                select(table.contact_id, table.external_id, table.trace)
                .where(
                    table.contact_id.in_(batch),
                    unindexed(table.namespace) == self.namespace,
                    unindexed(table.workflow) == workflow,
                    table.action == action,
                    STATE == State.DELIVERED,
                    table.external_id.is_not(None),
                )
                .order_by(table.delivered_at.desc(), table.key)
            )
            with self._read() as connection:
                rows = connection.execute(query).all()
            for contact_id, external_id, trace in rows:
                yield contact_id, external_id, json.loads(trace or "{}")

    def sent_actions(self, span_ids: Collection[int]) -> set[tuple[str, str, str]]:
        """Return (contact_id, change, action) of what the spans have sent."""
        query = select(deliveries.c.contact_id, deliveries.c.change, deliveries.c.action).where(
            deliveries.c.span.in_(span_ids), deliveries.c.state == State.DELIVERED
        )
        with self._read() as connection:
            return {(row[0], row[1], row[2]) for row in connection.execute(query)}

    def changes_of(self, span_id: int) -> set[tuple[str, str]]:
        """Return (contact_id, change) of all changes that a span has on record."""
        query = select(changes.c.contact_id, changes.c.change).where(changes.c.span == span_id)
        with self._read() as connection:
            return {(row[0], row[1]) for row in connection.execute(query)}

    def count_left_to_others(self, span_ids: Collection[int]) -> int:
        """Return how many deliveries of the spans another one has sent, or has in its hands."""
        reasons = (Reason.SENT_BEFORE, Reason.IN_HAND)
        query = select(func.count()).where(
            deliveries.c.span.in_(span_ids),
            deliveries.c.state == State.SUPPRESSED,
            deliveries.c.reason.in_(reasons),
        )
        with self._read() as connection:
            return int(connection.execute(query).scalar_one())

    def _count_contacts(
        self, span_ids: Collection[int], waiting: ColumnElement[bool]
    ) -> Counter[str]:
        query = (
            select(deliveries.c.change, func.count(distinct(deliveries.c.contact_id)))
            .where(deliveries.c.span.in_(span_ids), waiting)
            .group_by(deliveries.c.change)
        )
        with self._read() as connection:
            return Counter({row[0]: row[1] for row in connection.execute(query)})

    def changes_to_handle(self, span_id: int) -> list[tuple[str, str, str]]:
        """Return (contact_id, change, reason) of a span whose deliveries are not all suppressed.

        Those that a person rejected are among them: the guard asks again, and an answer may
        release them. A run that only records has nothing to handle. Sorted by contact id, then
        change.
        """
        sends = exists().where(
            spans.c.id == span_id, runs.c.id == spans.c.run, runs.c.recorded_only == 0
        )
        is_handled = exists().where(
            deliveries.c.span == span_id,
            same_change(),
            or_(deliveries.c.state != State.SUPPRESSED, rejected()),
        )
        query = (
            select(changes.c.contact_id, changes.c.change, changes.c.reason)
            .where(changes.c.span == span_id, is_handled, sends)
            .order_by(changes.c.contact_id, changes.c.change)
        )
        with self._read() as connection:
            self._join_sets(connection)
            return [tuple(row) for row in connection.execute(query)]

    def list_deliveries(
        self,
        *,
        workflow: str | None = None,
        action: str | None = None,
        contact_id: str | None = None,
        snapshot: str | None = None,
        outcome: str | None = None,
        message: str | None = None,
        error: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> list[ListedDelivery]:
        """Return deliveries, ordered by workflow, snapshot, contact, action.

        ``message`` is the key of the digest they went out with; ``error`` is contained in the
        reason, whatever its case; ``since`` is the earliest last change of a row.
        """
        table = deliveries.c
        query = select(*LISTED).where(table.namespace == self.namespace)
        for column, value in (
            (table.workflow, workflow),
            (table.action, action),
            (table.contact_id, contact_id),
            (table.snapshot, snapshot),
            (table.state, outcome),
            (table.message_key, message),
        ):
            if value is not None:
                query = query.where(column == value)
        if error is not None:
            query = query.where(table.reason.icontains(error, autoescape=True))
        if since is not None:
            query = query.where(table.updated_at >= since)
        query = query.order_by(
            table.workflow, table.snapshot, table.contact_id, table.change, table.action
        )
        with self._read() as connection:
            return [
                ListedDelivery(**row._mapping) for row in connection.execute(query.limit(limit))
            ]

    def definition(self, digest: str) -> str | None:
        """Return the canonical JSON of a workflow as it was when a span was recorded, or None."""
        query = select(definitions.c.body).where(definitions.c.hash == digest)
        with self._read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def newest_definition(self, workflow: str) -> str | None:
        """Return the canonical JSON of a workflow as its newest run recorded it, or None."""
        query = (
            select(definitions.c.body)
            .join(spans, spans.c.definition == definitions.c.hash)
            .join(runs, runs.c.id == spans.c.run)
            .where(runs.c.namespace == self.namespace, runs.c.workflow == workflow)
            .order_by(runs.c.recorded_at.desc(), spans.c.id.desc())
            .limit(1)
        )
        with self._read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def find_delivery(self, key: str) -> DeliveryInFull | None:
        """Return all that is known of one delivery, its run and its span included, or None."""
        table = deliveries.c
        query = (
            select(
                *LISTED,
                table.results,
                spans.c.definition,
                runs.c.run_id,
                spans.c.kind.label("span_kind"),
                spans.c.previous_key,
                spans.c.previous_as_of,
                spans.c.current_key,
                spans.c.current_as_of,
                changes.c.reason.label("change_reason"),
            )
            .join(spans, spans.c.id == table.span)
            .join(runs, runs.c.id == spans.c.run)
            .outerjoin(changes, same_change())
            .where(table.namespace == self.namespace, table.key == key)
        )
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        results = json.loads(row.results or "{}")
        return DeliveryInFull(**{**row._mapping, "results": results})


LISTED = (  # the columns of ListedDelivery
    deliveries.c.workflow,
    deliveries.c.action,
    deliveries.c.contact_id,
    deliveries.c.change,
    deliveries.c.snapshot,
    deliveries.c.state.label("outcome"),
    deliveries.c.reason,
    deliveries.c.external_id,
    deliveries.c.url,
    deliveries.c.attempts,
    deliveries.c.updated_at,
    deliveries.c.key,
    deliveries.c.channel,
    deliveries.c.event_at,
    deliveries.c.planned_at,
    deliveries.c.called_at,
    deliveries.c.delivered_at,
    deliveries.c.held_until,
    deliveries.c.digest,
    deliveries.c.message_key,
    deliveries.c.request,
)
