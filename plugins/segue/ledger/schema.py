"""The ledger's tables: runs, spans, changes and deliveries, the only memory that decides.

Times are UTC. ``namespace`` keeps prod and staging apart in one database. Every table is written
through ``segue.ledger``; migrations stand in ``migrations/versions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

REVISIONS = ("0001", "0008", "0009", "0010", "0011")  # of migrations/versions, in order
REVISION = REVISIONS[-1]
VERSION_TABLE = (
    "segue_alembic_version"  # where the revision stands; the ledger may share a database
)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant, kept as UTC; SQLite has no zones, so none is stored."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class present_number(FunctionElement[int]):  # noqa: N801 - a function of SQL
    """The number that a row is written under: what is exported next is told by it (``feed.py``).

    On PostgreSQL the transaction's; on SQLite, which has one writer at a time, that of the newest
    export.
    """

    type = BigInteger()
    inherit_cache = True


@compiles(present_number, "postgresql")
def _transaction(*_: Any, **_options: Any) -> str:
    return "txid_current()"


@compiles(present_number, "sqlite")
def _newest_export(*_: Any, **_options: Any) -> str:
    return "(SELECT coalesce(max(number), 0) FROM feed_clock)"


def _changed_in() -> Column[int]:
    """Return the column of what is exported: the number under which a row was last written."""
    number = present_number()
    return Column(
        "changed_in",
        BigInteger,
        nullable=False,
        default=number,
        onupdate=number,
        server_default="0",
    )


# ids of contacts are compared and sorted byte by byte, on PostgreSQL too
ContactId = String(collation=None).with_variant(Text(collation="C"), "postgresql")
Serial = BigInteger().with_variant(Integer, "sqlite")
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)


def _index_of_few(column: str, *others: str, after: Sequence[str] = ()) -> Index:
    """Return an index of the rows that have a value in a column: nearly none has."""
    some = text(f"{column} IS NOT NULL")
    return Index(None, *after, column, *others, sqlite_where=some, postgresql_where=some)


definitions = Table(
    "definitions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("workflow", String(64), nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON of workflow, segment and directory
    Column("recorded_at", UtcDateTime, nullable=False),
)

workflows = Table(  # one row per workflow: what a transaction that takes spans locks
    "workflows",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("workflow", String(64), primary_key=True),
    Column("watermark", UtcDateTime),  # pruned up to here: earlier changes are never sent again
    Column("project", String(32), nullable=False, server_default=""),  # whose release takes it up
)

runs = Table(
    "runs",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("namespace", String(64), nullable=False),
    Column("workflow", String(64), nullable=False),
    Column("run_id", String(250), nullable=False),
    Column("outcome", String(16), nullable=False),  # recorded | covered | skipped
    Column("reason", Text, nullable=False, default=""),
    Column("recorded_only", Integer, nullable=False, default=0),  # 1: a backfill that only records
    Column("interval_start", UtcDateTime),
    Column("interval_end", UtcDateTime),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("decision", String(16)),  # what a person, or the deadline, said to the guard's question
    Column("decided_by", String(250)),
    Column("decided_at", UtcDateTime),
    _changed_in(),
    UniqueConstraint("namespace", "workflow", "run_id"),
)

spans = Table(
    "spans",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("run", Serial, ForeignKey("runs.id"), nullable=False),
    Column("namespace", String(64), nullable=False),
    Column("workflow", String(64), nullable=False),
    Column("segment", String(64), nullable=False, server_default=""),  # as the definition says
    Column("kind", String(16), nullable=False),  # changes | baseline | enrolment | withdrawn
    Column("reason", Text, nullable=False, default=""),  # why it is a baseline
    Column("previous_key", String(32)),
    Column("current_key", String(32), nullable=False),
    Column("previous_as_of", UtcDateTime, nullable=False),  # of a first baseline: current_as_of
    Column("current_as_of", UtcDateTime, nullable=False),
    Column("previous_fingerprint", String(64)),
    Column("current_fingerprint", String(64), nullable=False),
    Column("previous_size", BigInteger),
    Column("current_size", BigInteger, nullable=False),
    Column("definition", String(64), ForeignKey("definitions.hash"), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    _changed_in(),
    Index(None, "namespace", "workflow", "current_as_of"),
    Index(None, "namespace", "segment", "workflow", "current_as_of"),
    Index(None, "run"),
)

changes = Table(
    "changes",
    metadata,
    Column("span", Serial, ForeignKey("spans.id"), primary_key=True),
    Column("contact_id", ContactId, primary_key=True),
    Column("change", String(16), primary_key=True),
    Column("reason", String(32), nullable=False, default=""),
    _changed_in(),
    Index(None, "contact_id"),
    Index(None, "span", "change"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("namespace", String(64), nullable=False),
    Column("workflow", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("contact_id", ContactId, nullable=False),
    Column("change", String(16), nullable=False),
    Column("snapshot", String(32), nullable=False),
    Column("span", Serial, ForeignKey("spans.id"), nullable=False),
    Column("channel", String(64), nullable=False, server_default=""),  # of the last call
    Column("addressed_to", String(16), nullable=False, server_default=""),  # contact | team
    Column("event_at", UtcDateTime),  # the as-of of the snapshot that shows the change
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("external_id", Text),
    Column("url", Text),
    Column("results", Text),  # JSON object: what templates see as results.<action>
    Column("digest", String(64)),  # SHA-256 of the rendered message
    Column("attempts", Integer, nullable=False, default=0),
    Column("refused_at", UtcDateTime),  # by whose fault is open, and not tried since; else NULL
    Column("resent", Integer, nullable=False, server_default="0"),  # 1: called again in doubt
    Column("message_key", String(64)),  # of the digest that the last call sent; else NULL
    Column("owner", String(250)),
    Column("lease_until", UtcDateTime),
    Column("held_until", UtcDateTime),  # segue_release takes up what is due, until it is settled
    Column("held_since", UtcDateTime),  # when quiet hours first held it back
    Column("failed_at_clear", Integer),  # the run's clear number when it failed
    Column("trace", Text),  # JSON object: where a message of the last call can be looked for
    Column("barred", Integer),  # during the call; in vain: 1 rejected, 2 reached, 3-5 policies
    Column("untold", Integer),  # 1: went wrong outside of its run, and nobody was told yet
    Column("waits_for", String(64)),  # of what is skipped(after): the action it waits for
    Column("request", Serial),  # the request, not yet carried out, that means this delivery
    Column("planned_at", UtcDateTime, nullable=False),
    Column("called_at", UtcDateTime),  # when the last call began
    Column("delivered_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    _changed_in(),
    Index(None, "span", "action", "state"),
    Index(None, "span", "state", "contact_id", "change"),
    Index(None, "namespace", "workflow", "state", "updated_at"),
    Index(None, "namespace", "workflow", "event_at", "state"),
    Index(None, "contact_id"),
    Index(None, "state", "lease_until"),
    *(_index_of_few(name) for name in ("untold", "request", "held_until", "waits_for")),
    _index_of_few("held_until", "key", after=("namespace", "workflow", "action")),
)

requests = Table(  # what people ask of segue_release: only Airflow tasks send
    "requests",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("namespace", String(64), nullable=False),
    Column("kind", String(16), nullable=False),  # retry | settle | check | test
    Column("body", Text, nullable=False),  # JSON object: which deliveries, and what is to be done
    Column("requested_by", String(250), nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("done_at", UtcDateTime),
    Column("outcome", Text, nullable=False, server_default=""),
    Index(None, "namespace", "done_at"),
)

stops = Table(  # what `segue stop` stopped; the workflow "*" is all of them
    "stops",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("workflow", String(64), primary_key=True),
    Column("reason", Text, nullable=False, server_default=""),
    Column("stopped_by", String(250), nullable=False),
    Column("stopped_at", UtcDateTime, nullable=False),
)

rates = Table(  # when the next call under a limit may begin; shared by all tasks
    "rates",
    metadata,
    Column("scope", String(250), primary_key=True),
    Column("next_at", UtcDateTime, nullable=False),  # by the limit's own spacing
    Column("asked_until", UtcDateTime),  # the vendor asked for a pause until then
)

suppressions = Table(  # contacts who are never written to, or forgotten altogether
    "suppressions",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),  # keyed digest of the contact id
    Column("contact_id", ContactId),  # NULL where the contact was forgotten
    Column("reason", Text, nullable=False, server_default=""),
    Column("added_by", String(250), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
)

quarantines = Table(  # snapshots that no run may use
    "quarantines",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("directory", String(128), primary_key=True),  # after its project, where that has a name
    Column("key", String(32), primary_key=True),
    Column("reason", Text, nullable=False, server_default=""),
    Column("added_by", String(250), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
)

feed_clock = Table(  # one row: which ledger this is, and how its changes are numbered
    "feed_clock",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1
    Column("ledger", String(32), nullable=False),  # a random name, the same in its backups
    Column("era", Integer, nullable=False),  # one more where numbers began anew, on another server
    Column("number", BigInteger, nullable=False),  # SQLite: of the newest export; else who wrote it
)

feeds = Table(  # what was exported whereto: a ledger that is put back from a backup is told by it
    "feeds",
    metadata,
    Column("namespace", String(64), primary_key=True),
    Column("destination", String(64), primary_key=True),  # SHA-256 of its address
    Column("token", String(32), nullable=False),  # of the newest export that was begun
    Column("previous_token", String(32)),  # of the one that was finished before it
)
