"""What of the ledger is exported: the tables, their columns and what each means (docs/watching.md).

People build on these names and types: one is added, never renamed or taken away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement

from segue.ledger.schema import changes, deliveries, runs, spans

_RUN, _SPAN, _CHANGE, _DELIVERY = runs.c, spans.c, changes.c, deliveries.c


class ColumnType(StrEnum):
    """What a column holds; a timestamp is an instant in UTC, to the microsecond."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class FeedColumn:
    """One column of what is exported. ``source`` is where it stands in the ledger."""

    name: str
    type: ColumnType
    meaning: str
    source: ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class FeedTable:
    """One table: ``key`` names a row for ever, ``changed_at`` tells when it last changed."""

    name: str
    key: Sequence[str]
    columns: Sequence[FeedColumn]
    changed_at: ColumnElement[Any]
    changed_in: ColumnElement[int]
    namespace: ColumnElement[str]


def _text(name: str, source: ColumnElement[Any], meaning: str) -> FeedColumn:
    return FeedColumn(name, ColumnType.TEXT, meaning, source)


def _integer(name: str, source: ColumnElement[Any], meaning: str) -> FeedColumn:
    return FeedColumn(name, ColumnType.INTEGER, meaning, source)


def _boolean(name: str, source: ColumnElement[Any], meaning: str) -> FeedColumn:
    return FeedColumn(name, ColumnType.BOOLEAN, meaning, source)


def _instant(name: str, source: ColumnElement[Any], meaning: str) -> FeedColumn:
    return FeedColumn(name, ColumnType.TIMESTAMP, meaning, source)


_RUNS = FeedTable(
    "runs",
    ("run",),
    (
        _text("namespace", _RUN.namespace, "`SEGUE_NAMESPACE`"),
        _integer("run", _RUN.id, "the run's number in the ledger"),
        _text("workflow", _RUN.workflow, "the workflow, which is the DAG's id"),
        _text("run_id", _RUN.run_id, "Airflow's id of the DAG run"),
        _text("outcome", _RUN.outcome, "`recorded`, `covered` or `skipped`"),
        _text("reason", _RUN.reason, "why it is covered or skipped, in words"),
        _boolean("recorded_only", _RUN.recorded_only, "whether it is a backfill that only records"),
        _instant("interval_start", _RUN.interval_start, "the data interval's start, if any"),
        _instant("interval_end", _RUN.interval_end, "the data interval's end, if any"),
        _instant("recorded_at", _RUN.recorded_at, "when it was last recorded"),
        _text("decision", _RUN.decision, "what a person, or the deadline, said to the guard"),
        _text("decided_by", _RUN.decided_by, "who said so"),
        _instant("decided_at", _RUN.decided_at, "and when"),
    ),
    changed_at=_RUN.recorded_at,
    changed_in=_RUN.changed_in,
    namespace=_RUN.namespace,
)
_SPANS = FeedTable(
    "spans",
    ("span",),
    (
        _text("namespace", _SPAN.namespace, "`SEGUE_NAMESPACE`"),
        _integer("span", _SPAN.id, "the span's number in the ledger"),
        _integer("run", _SPAN.run, "the run that recorded it: `runs.run`"),
        _text("workflow", _SPAN.workflow, "the workflow"),
        _text("segment", _SPAN.segment, "the segment"),
        _text("kind", _SPAN.kind, "`changes`, `baseline`, `enrolment` or `withdrawn`"),
        _text("reason", _SPAN.reason, "why it is a baseline"),
        _text("previous_key", _SPAN.previous_key, "key of the snapshot compared from, if any"),
        _text("current_key", _SPAN.current_key, "key of the snapshot compared to"),
        _instant("previous_as_of", _SPAN.previous_as_of, "where the span begins"),
        _instant("current_as_of", _SPAN.current_as_of, "where the span ends"),
        _integer("previous_size", _SPAN.previous_size, "members before"),
        _integer("current_size", _SPAN.current_size, "members after"),
        _text("definition", _SPAN.definition, "SHA-256 of the definitions it was judged by"),
        _instant("recorded_at", _SPAN.recorded_at, "when it was recorded"),
    ),
    changed_at=_SPAN.recorded_at,
    changed_in=_SPAN.changed_in,
    namespace=_SPAN.namespace,
)
_CHANGES = FeedTable(
    "changes",
    ("span", "contact_id", "change"),
    (
        _text("namespace", _SPAN.namespace, "`SEGUE_NAMESPACE`"),
        _text("workflow", _SPAN.workflow, "the workflow"),
        _integer("span", _CHANGE.span, "the span that it belongs to: `spans.span`"),
        _text("contact_id", _CHANGE.contact_id, "the contact; `forgotten:…` of a forgotten one"),
        _text("change", _CHANGE.change, "`added`, `removed`, `opted_in`, `opted_out`, `enrolled`"),
        _text("reason", _CHANGE.reason, "of `removed`: `no_longer_matches` or `deleted`"),
    ),
    changed_at=_SPAN.recorded_at,
    changed_in=_CHANGE.changed_in,
    namespace=_SPAN.namespace,
)
_DELIVERIES = FeedTable(
    "deliveries",
    ("key",),
    (
        _text("namespace", _DELIVERY.namespace, "`SEGUE_NAMESPACE`"),
        _text("key", _DELIVERY.key, "the delivery's key, the one that vendors are given"),
        _text("workflow", _DELIVERY.workflow, "the workflow"),
        _text("action", _DELIVERY.action, "the action's id"),
        _integer("span", _DELIVERY.span, "the span of its change: `spans.span`"),
        _text("contact_id", _DELIVERY.contact_id, "the contact; `forgotten:…` of a forgotten one"),
        _text("change", _DELIVERY.change, "the kind of change"),
        _text("snapshot", _DELIVERY.snapshot, "key of the snapshot that shows the change"),
        _text("channel", _DELIVERY.channel, "the channel of the last call; empty before one"),
        _text("addressed_to", _DELIVERY.addressed_to, "`contact`, `team`, or empty before a call"),
        _instant("event_at", _DELIVERY.event_at, "as-of of that snapshot"),
        _text("state", _DELIVERY.state, "the state: docs/design.md has all of them"),
        _text("reason", _DELIVERY.reason, "why it is skipped, held, waiting, suppressed or failed"),
        _text("external_id", _DELIVERY.external_id, "what the vendor calls it"),
        _text("url", _DELIVERY.url, "where the vendor shows it"),
        _text("message_digest", _DELIVERY.digest, "SHA-256 of the rendered message"),
        _text("message_key", _DELIVERY.message_key, "of the digest that it was sent in, if any"),
        _integer("attempts", _DELIVERY.attempts, "calls so far"),
        _boolean("resent", _DELIVERY.resent, "whether it was called again in doubt"),
        _instant("held_until", _DELIVERY.held_until, "when what is held, or waits, is due"),
        _instant("planned_at", _DELIVERY.planned_at, "when it was recorded"),
        _instant("called_at", _DELIVERY.called_at, "when the last call began"),
        _instant("delivered_at", _DELIVERY.delivered_at, "when it was delivered"),
        _instant("updated_at", _DELIVERY.updated_at, "when its state last changed"),
    ),
    changed_at=_DELIVERY.updated_at,
    changed_in=_DELIVERY.changed_in,
    namespace=_DELIVERY.namespace,
)
FEED: Mapping[str, FeedTable] = {
    table.name: table for table in (_RUNS, _SPANS, _CHANGES, _DELIVERIES)
}
OF_CONTACTS = ("changes", "deliveries")  # the tables that name contacts
