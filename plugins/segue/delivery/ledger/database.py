"""What all parts of the ledger share: one database, one namespace, one way to batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from segue.delivery.database import open_engine, reachable, require_current_schema
from segue.delivery.keys import delivery_key
from segue.delivery.schema import workflows

BATCH = 2000  # rows of one statement
T = TypeVar("T")


class LedgerDatabase:
    """The ledger of one namespace in one database.

    ``secret`` keys the digests that stand for forgotten contacts.
    """

    def __init__(self, engine: Engine, namespace: str, secret: str | None = None) -> None:
        self.engine = engine
        self.namespace = namespace
        self.secret = secret

    @classmethod
    def open(
        cls, url: str, namespace: str, secret: str | None = None, *, may_upgrade: bool = True
    ) -> Self:
        """Open the ledger; raise LedgerError when it is unreachable or of another schema."""
        engine = open_engine(url)
        require_current_schema(engine, may_upgrade=may_upgrade)
        return cls(engine, namespace, secret)

    def key(self, workflow: str, action: str, contact_id: str, change: str, snapshot: str) -> str:
        """Return the key of a delivery in this namespace."""
        return delivery_key(self.namespace, workflow, action, contact_id, change, snapshot)

    def clock_ahead(self, now: datetime) -> timedelta:
        """Return by how much a host whose time is ``now`` is ahead of the ledger's database."""
        if self.engine.dialect.name != "postgresql":
            return timedelta()  # a file on the same host
        with self._read() as connection:
            theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now - theirs

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        options = {"segue_read_only": True}
        with reachable(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with reachable(self.engine), self.engine.begin() as connection:
            yield connection

    def _lock_workflow(self, connection: Connection, workflow: str) -> None:
        """Let nobody else record, release, reject or withdraw until the transaction ends."""
        values = {"namespace": self.namespace, "workflow": workflow}
        connection.execute(self._insert(workflows).values(values).on_conflict_do_nothing())
        query = select(workflows).filter_by(**values).with_for_update()
        connection.execute(query).one()

    def _lock_directory(self, connection: Connection, directory: str, *, alone: bool) -> None:
        """Keep apart, until the transaction ends, a quarantine (``alone``) and recorded spans.

        Comes before any workflow's lock. On SQLite there is one writer at a time anyway.
        """
        if self.engine.dialect.name == "postgresql":
            lock = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
            name = func.hashtextextended(f"{self.namespace}/directories/{directory}", 0)
            connection.execute(select(lock(name)))

    def _insert(self, table: Table) -> Any:
        module = sqlite if self.engine.dialect.name == "sqlite" else postgresql
        return module.insert(table)


def unindexed(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return a column of texts for a condition that no index is chosen for.

    Where there are no statistics yet, or those of before a large run, a database cannot tell how
    few rows an index leads to: by a state or a workflow it may read a whole run for every row of
    another. So whatever is looked up row by row, or by key, has one condition with an index.
    """
    return column.concat("")


def batched(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Yield the items in tuples of at most BATCH."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, BATCH)):
        yield batch
