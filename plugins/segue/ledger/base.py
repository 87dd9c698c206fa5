"""What all parts of the ledger share: one database, one namespace, one way to batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Self, TypeVar

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    Table,
    Text,
    and_,
    bindparam,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from segue.ledger.delivery_keys import delivery_key
from segue.ledger.engine import open_engine, reachable, require_current_schema
from segue.ledger.schema import changes, deliveries, workflows
from segue.ledger.states import Step

BATCH = 2000  # rows of one statement
T = TypeVar("T")


class LedgerDatabase:
    """The ledger of one namespace in one database.

    ``secret`` keys the digests that stand for forgotten contacts. ``is_new`` says that the
    namespace may begin with an empty memory where workflows have run under another one.
    """

    def __init__(
        self, engine: Engine, namespace: str, secret: str | None = None, *, is_new: bool = False
    ) -> None:
        self.engine = engine
        self.namespace = namespace
        self.secret = secret
        self.is_new = is_new

    @classmethod
    def open(
        cls,
        url: str,
        namespace: str,
        secret: str | None = None,
        *,
        may_upgrade: bool = True,
        is_new: bool = False,
    ) -> Self:
        """Open the ledger; raise LedgerError when it is unreachable or of another schema."""
        engine = open_engine(url)
        require_current_schema(engine, may_upgrade=may_upgrade)
        return cls(engine, namespace, secret, is_new=is_new)

    def key(self, workflow: str, action: str, contact_id: str, change: str, snapshot: str) -> str:
        """Return the key of a delivery in this namespace."""
        return delivery_key(self.namespace, workflow, action, contact_id, change, snapshot)

    def clock_ahead(self, now: Callable[[], datetime]) -> timedelta:
        """Return by how much a host, whose clock ``now`` reads, is ahead of the ledger's database.

        Nothing where the database's time lies between asking and hearing, however long that took.
        """
        if self.engine.dialect.name != "postgresql":
            return timedelta()  # a file on the same host
        question_at = now()
        with self._read() as connection:
            theirs: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        answer_at = now()
        return max(question_at - theirs, timedelta()) or min(answer_at - theirs, timedelta())

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        options = {"segue_read_only": True}
        with reachable(self.engine), self.engine.connect() as connection:
            yield connection.execution_options(**options)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with reachable(self.engine), self.engine.begin() as connection:
            yield connection

    def _join_sets(self, connection: Connection) -> None:
        """Let what follows in this transaction join whole sets of rows, never row by row.

        A planner that takes a new run's rows for one row, as PostgreSQL's may until it has
        counted them, would read the run once for each of them.
        """
        if self.engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_nestloop = off")

    def _find_few(self, connection: Connection) -> None:
        """Let what follows in this transaction go by an index: what it looks for are few rows.

        A planner that has no statistics yet, as PostgreSQL's of a table just filled, takes them for
        a third of the table and reads all of it.
        """
        if self.engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")

    def _lock_workflow(self, connection: Connection, workflow: str) -> None:
        """Let nobody else record, release, reject or withdraw until the transaction ends."""
        values = {"namespace": self.namespace, "workflow": workflow}
        connection.execute(self._insert(workflows).values(values).on_conflict_do_nothing())
        query = select(workflows).filter_by(**values).with_for_update()
        connection.execute(query).one()

    def _lock_directory(self, connection: Connection, directory: str, *, alone: bool) -> None:
        """Keep apart, until the transaction ends, a quarantine (``alone``) and recorded spans.

        Comes before any workflow's lock.
        """
        self._lock_name(connection, f"directories/{directory}", alone=alone)

    def _lock_forgetting(self, connection: Connection, *, alone: bool) -> None:
        """Keep apart, until the transaction ends, who forgets a contact and who records changes.

        Comes before the lock of any delivery.
        """
        self._lock_name(connection, "forgetting", alone=alone)

    def _lock_name(self, connection: Connection, name: str, *, alone: bool) -> None:
        """Lock a name of the namespace; on SQLite there is one writer at a time anyway."""
        if self.engine.dialect.name == "postgresql":
            lock = func.pg_advisory_xact_lock if alone else func.pg_advisory_xact_lock_shared
            number = func.hashtextextended(f"{self.namespace}/{name}", 0)
            connection.execute(select(lock(number)))

    def _fill(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        same: Mapping[str, Any],
        unless: Callable[[Any], Any],
    ) -> None:
        """Insert rows of texts, ``columns``, with the ``same`` values in the other columns of each.

        ``unless`` says what becomes of rows that are there already. A run has millions of rows, so
        what is the same in all of them is handed to the database once per statement.
        """
        texts, pack = self._texts_of_a_batch(columns)
        literals = {name: literal(value, table.c[name].type) for name, value in same.items()}
        source = select(*texts, *literals.values()).where(
            true()
        )  # SQLite's grammar wants a condition
        query = unless(self._insert(table).from_select([*columns, *literals], source))
        for batch in batched(rows):
            connection.execute(query, pack(batch))

    def _texts_of_a_batch(
        self, columns: Sequence[str]
    ) -> tuple[Sequence[ColumnElement[str]], Callable[[Sequence[Sequence[str]]], dict[str, Any]]]:
        """Return columns of texts that one statement is handed, and how rows become its values."""
        if self.engine.dialect.name == "sqlite":
            lines = func.json_each(bindparam("rows")).table_valued("value")
            texts = [func.json_extract(lines.c.value, f"$[{at}]") for at in range(len(columns))]
            return texts, lambda batch: {"rows": json.dumps(batch)}
        arrays = [bindparam(name, type_=ARRAY(Text)) for name in columns]
        source = func.unnest(*arrays).table_valued(*columns).render_derived()
        return list(source.c), lambda batch: dict(
            zip(columns, map(list, zip(*batch, strict=True)), strict=True)
        )

    def _insert(self, table: Table) -> Any:
        module = sqlite if self.engine.dialect.name == "sqlite" else postgresql
        return module.insert(table)


def lock_deliveries(connection: Connection, *which: ColumnElement[bool]) -> None:
    """Lock deliveries in the order of their keys, until the transaction ends.

    Comes before any change of several that others may have in hand: of two transactions that want
    the same, one then waits, and neither has what the other needs. On SQLite there is one writer
    at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        mine = select(deliveries.c.key).where(*which).order_by(deliveries.c.key)
        lock = mine.with_for_update().subquery()
        connection.execute(select(func.count()).select_from(lock))


def change_deliveries(
    connection: Connection, which: Sequence[ColumnElement[bool]], values: Mapping[str, Any]
) -> int:
    """Change the deliveries that all of ``which`` holds for; returns how many. Locks them first."""
    lock_deliveries(connection, *which)
    return connection.execute(update(deliveries).where(*which).values(values)).rowcount


def move_deliveries(
    connection: Connection,
    step: Step,
    which: Sequence[ColumnElement[bool]],
    values: Mapping[str, Any],
    *,
    lock: bool = True,
) -> int:
    """Let the deliveries that all of ``which`` holds for take a step; returns how many did.

    Those that stand in none of the step's origins stay as they are. ``lock`` locks them first, in
    order; without it they are locked already, or nobody else has them.
    """
    which = (*which, STATE.in_(step.origins))
    if lock:
        lock_deliveries(connection, *which)
    columns = {"state": step.to, "waits_for": None, "refused_at": None, **values}
    return connection.execute(update(deliveries).where(*which).values(columns)).rowcount


def same_change(*, by_contact: bool = False) -> ColumnElement[bool]:
    """Join ``changes`` and ``deliveries``: the delivery is of this change.

    ``by_contact`` lets no other index than that of contacts be chosen (see ``unindexed``), for
    deliveries that are looked up row by row.
    """
    span, change = changes.c.span, changes.c.change
    return and_(
        changes.c.contact_id == deliveries.c.contact_id,
        (unindexed(span) if by_contact else span) == deliveries.c.span,
        (unindexed(change) if by_contact else change) == deliveries.c.change,
    )


def unindexed(column: ColumnElement[T]) -> ColumnElement[T]:
    """Return a column for a condition that no index is chosen for.

    Where there are no statistics yet, or those of before a large run, a database cannot tell how
    few rows an index leads to: by a state or a workflow it may read a whole run for every row of
    another. So whatever is looked up row by row, or by key, has one condition with an index.
    """
    return column + 0 if isinstance(column.type, Integer) else column.concat("")


def batched(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Yield the items in tuples of at most BATCH."""
    iterator = iter(items)
    while batch := tuple(islice(iterator, BATCH)):
        yield batch


STATE = unindexed(deliveries.c.state)  # of what is found by its key, its contact or its span
