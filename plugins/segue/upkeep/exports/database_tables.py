"""Tables of a database, beside whatever else it has: rows and mark in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    cast,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects.mysql import CHAR, DATETIME, LONGTEXT
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

from segue.errors import DataError
from segue.ledger.base import batched
from segue.ledger.feed import Forgotten, Mark
from segue.ledger.feed_columns import FEED, OF_CONTACTS, ColumnType, FeedTable
from segue.upkeep.exports.export import Finished

PREFIX = "segue_"
_TYPES: Mapping[ColumnType, TypeEngine[Any]] = {
    # the server's own collation may take Ann for ann
    ColumnType.TEXT: Text().with_variant(
        LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    ),
    ColumnType.INTEGER: BigInteger(),
    ColumnType.BOOLEAN: Boolean(),
    ColumnType.TIMESTAMP: DateTime(timezone=True).with_variant(DATETIME(fsp=6), "mysql", "mariadb"),
}
# of what is text, what names rows: some databases index no text without an end
_SHORT = {"namespace": 64, "key": 64, "workflow": 64}


class DatabaseTables:
    """The tables ``segue_runs``, … of one schema, and ``segue_exports`` with a row per export.

    The database needs transactions: rows that come without their mark would come again.
    """

    def __init__(self, engine: Engine, address: str, schema: str | None = None) -> None:
        self.engine = engine
        self.address = address
        self.metadata = MetaData(schema=schema)
        self.exports = Table(
            f"{PREFIX}exports",
            self.metadata,
            Column("namespace", String(64), nullable=False, primary_key=True),
            Column("export", BigInteger, nullable=False, primary_key=True, autoincrement=False),
            Column("exported_at", _TYPES[ColumnType.TIMESTAMP], nullable=False),
            Column("row_counts", _TYPES[ColumnType.TEXT], nullable=False),  # JSON object, by table
            Column("mark", _TYPES[ColumnType.TEXT]),  # JSON object; of the newest export alone
        )
        self.tables = {table.name: _table_of(table, self.metadata) for table in FEED.values()}

    def newest(self, namespace: str) -> Finished | None:
        """Return the mark; None where nothing was exported yet."""
        with self._reachable():
            if not inspect(self.engine).has_table(self.exports.name, self.metadata.schema):
                return None
            with self.engine.connect() as connection:
                query = select(self.exports).where(
                    self.exports.c.namespace == namespace, self.exports.c.mark.is_not(None)
                )
                row = connection.execute(query).one_or_none()
        return Finished(row.export, Mark(**json.loads(row.mark))) if row else None

    @contextmanager
    def begin(self, namespace: str, number: int) -> Iterator[_Parcel]:
        """Begin an export in a transaction, which is undone unless it is finished."""
        with self._reachable():
            self.metadata.create_all(self.engine)
            with self.engine.connect() as connection, connection.begin() as transaction:
                parcel = _Parcel(self, connection, namespace, number)
                yield parcel
                if not parcel.is_finished:
                    transaction.rollback()

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turn the database's failure into an error of one line, without its parameters."""
        try:
            yield
        except SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            raise DataError(f"{self.address} cannot be exported to: {reason}") from None


class _Parcel:
    def __init__(
        self, place: DatabaseTables, connection: Connection, namespace: str, number: int
    ) -> None:
        self.place = place
        self.connection = connection
        self.namespace = namespace
        self.number = number
        self.is_finished = False

    def add(self, table: FeedTable, rows: Iterable[Sequence[Sequence[Any]]]) -> int:
        names = [each.name for each in table.columns]
        booleans = [each.name for each in table.columns if each.type is ColumnType.BOOLEAN]
        count = 0
        for batch in rows:
            lines = [{"export": self.number, **dict(zip(names, row, strict=True))} for row in batch]
            for line in lines:
                line.update({name: bool(line[name]) for name in booleans})
            if lines:
                self.connection.execute(insert(self.place.tables[table.name]), lines)
            count += len(lines)
        return count

    def erase(self, forgotten: Forgotten) -> int:
        count = 0
        for name in OF_CONTACTS:
            columns = self.place.tables[name].c
            ours = columns.namespace == self.namespace
            exactly, contact_id = _exact(columns.contact_id, self.connection.dialect.name)
            ids = self.connection.execute(select(exactly).where(ours).distinct())
            values = [each for (each,) in ids if contact_id(each) in forgotten]
            for batch in batched(values):
                query = delete(self.place.tables[name]).where(ours, exactly.in_(batch))
                count += self.connection.execute(query).rowcount
        return count

    def finish(self, mark: Mark, rows: Mapping[str, int], now: datetime) -> None:
        table = self.place.exports
        older = table.c.namespace == self.namespace, table.c.mark.is_not(None)
        self.connection.execute(update(table).where(*older).values(mark=None))
        row = {
            "namespace": self.namespace,
            "export": self.number,
            "exported_at": now.astimezone(UTC),
            "row_counts": json.dumps(dict(rows)),
            "mark": json.dumps(asdict(mark)),
        }
        self.connection.execute(insert(table), [row])
        self.is_finished = True


def _exact(column: Column[Any], dialect: str) -> tuple[ColumnElement[Any], Callable[[str], str]]:
    """Return what differs wherever two texts do, and how its value is read as the text.

    To MySQL and MariaDB texts are the same but for case, accents or blanks at the end, by their
    collation.
    """
    if dialect not in ("mysql", "mariadb"):
        return column, str
    text = func.hex(cast(column, CHAR(charset="utf8mb4")))
    return text, lambda value: bytes.fromhex(value).decode()


def _table_of(table: FeedTable, metadata: MetaData) -> Table:
    columns: list[Column[Any]] = [
        Column(
            each.name,
            String(_SHORT[each.name]) if each.name in _SHORT else _TYPES[each.type],
            nullable=each.name not in table.key,
        )
        for each in table.columns
    ]
    number: Column[Any] = Column("export", BigInteger, nullable=False)
    return Table(f"{PREFIX}{table.name}", metadata, number, *columns)
