"""Read tables from PostgreSQL through ADBC: in Arrow's own batches, many times as fast.

Of types that the driver leaves in PostgreSQL's own bytes, and of those that a snapshot has no place
for, the server is asked for text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa

from segue.directory.plain_columns import pc
from segue.directory.take_definition import TableSource
from segue.directory.take_source import TableName
from segue.errors import DataError
from segue.takes.database import beginning, refuse_twins, without_values
from segue.takes.moments import Moment
from segue.takes.own_days import table_query
from segue.takes.reader import DatabaseReader, TakeReader
from segue.takes.values import Array, decimals

_BEGIN = ("SET TIME ZONE 'UTC'", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
_OF_VALUES = "22"  # the class of SQLSTATE: a value that does not fit
_WRITTEN = {"money": "text", "oid": "bigint"}  # of types that the driver takes for other numbers
# the years 1 to 9999, in days and in microseconds: what is beyond them no reader can show, and of
# what is beyond 64 bits, as infinity is, the driver makes another time
_DAY = 86_400_000_000
_DAYS = (-719_162, 2_932_896)


class AdbcPostgresql(DatabaseReader):
    """One connection, and one transaction: all tables are read as they stood at one instant."""

    has_one_view = True

    def __init__(self, connection: Any, tables: Mapping[TableName, TableSource]) -> None:
        self._connection, self._tables = connection, tables

    def batches(
        self,
        table: TableName,
        moment: Moment,
        previous: datetime | None,
        as_text: Collection[str],
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches, as the base does."""
        query = _query(self._tables[table], moment, previous)
        with _driver_errors(), closing(self._connection.cursor()) as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) AS q LIMIT 0")  # noqa: S608 - the team's own
            schema = cursor.fetch_record_batch().schema
            refuse_twins(schema.names)
            columns = ", ".join(_expression(field, as_text) for field in schema)
            cursor.execute(f"SELECT {columns} FROM ({query}\n) AS q")  # noqa: S608
            reader = cursor.fetch_record_batch()
            is_empty = True
            for batch in reader:
                is_empty = False
                _refuse_beyond(batch)
                yield _plain(batch)
            if is_empty:
                yield _plain(pa.RecordBatch.from_pylist([], schema=reader.schema))

    def quote(self, name: str) -> str:
        """Return a name as it stands in a query."""
        return _quoted(name)

    def values(self, query: str) -> list[Any]:
        """Return the first column of a query."""
        with _driver_errors(), closing(self._connection.cursor()) as cursor:
            cursor.execute(query)
            return [row[0] for row in cursor.fetchall()]


@contextmanager
def opened_by_adbc(uri: str, tables: Mapping[TableName, TableSource]) -> Iterator[TakeReader]:
    """Connect to PostgreSQL by libpq's URI; raise DataError where it cannot be reached."""
    from adbc_driver_postgresql import dbapi

    with _driver_errors():
        connection = dbapi.connect(uri)
    with closing(connection):
        with _driver_errors(), closing(connection.cursor()) as cursor:
            for statement in _BEGIN:
                cursor.execute(statement)
        yield AdbcPostgresql(connection, tables)


@contextmanager
def _driver_errors() -> Iterator[None]:
    from adbc_driver_manager import dbapi

    try:
        yield
    except dbapi.Error as error:
        if str(error.sqlstate or "").startswith(_OF_VALUES):
            raise DataError(f"the database says of a value: {_without_values(error)}") from None
        raise DataError(f"the database says: {beginning(error)}") from None
    except (OSError, pa.ArrowException) as error:  # between two batches; it does not say of what
        raise DataError(f"the database says of a value: {_without_values(error)}") from None


def _without_values(error: Exception) -> str:
    return beginning(without_values(str(error)))


def _query(source: TableSource, moment: Moment, previous: datetime | None) -> str:
    """Return the query with the instants in it: with bound parameters the driver keeps all rows.

    They are no text of anybody's but made here.
    """
    instants = {"as_of": moment.as_of, "previous": previous}
    literals = {
        name: "NULL::timestamptz" if instant is None else f"TIMESTAMPTZ '{instant.isoformat()}'"
        for name, instant in instants.items()
    }
    if source.sql is None:
        return table_query(source, moment.key, literals["as_of"], _quoted)
    return source.sql_with(literals).strip().rstrip(";")


def _expression(field: pa.Field[Any], as_text: Collection[str]) -> str:
    """Return how a column is asked for: as it is, as text, or as JSON."""
    name = _quoted(field.name)
    kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
    if pa.types.is_nested(field.type):
        return f"to_json({name})::text AS {name}"
    if kind == "inet":  # as clients show it; the cast to text adds a mask
        return f"NULLIF(format('%s', {name}), '') AS {name}"
    if kind in _WRITTEN and field.name not in as_text:
        return f"{name}::{_WRITTEN[kind]} AS {name}"
    is_opaque = isinstance(field.type, pa.OpaqueType) and field.type.type_name != "numeric"
    is_unkept = isinstance(field.type, pa.UuidType) or pa.types.is_interval(field.type)
    is_text = field.name in as_text or is_opaque or is_unkept
    return f"{name}::text AS {name}" if is_text else name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _refuse_beyond(batch: pa.RecordBatch) -> None:
    """Raise DataError for a day that is none of the years 1 to 9999, or an hour after the last."""
    column: Array
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if pa.types.is_date32(field.type):
            first, last = _DAYS
            numbers = column.cast(pa.int32())
        elif pa.types.is_timestamp(field.type):
            first, last = _DAYS[0] * _DAY, (_DAYS[1] + 1) * _DAY - 1
            numbers = column.cast(pa.int64())
        elif pa.types.is_time64(field.type):
            first, last = 0, _DAY - 1
            numbers = column.cast(pa.int64())
        else:
            continue
        ends = pc.min_max(numbers).as_py()
        if ends["min"] is not None and not first <= ends["min"] <= ends["max"] <= last:
            raise DataError(
                f"column {field.name!r} has a date before the year 1 or after 9999, as infinity "
                "is, or the time 24:00, and a snapshot keeps none; let the query return NULL or "
                f"another date, as NULLIF({field.name}, 'infinity') does"
            )


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch of Arrow's plain types."""
    columns: list[Array] = []
    column: Array
    for column in batch.columns:
        if isinstance(column.type, pa.OpaqueType):
            columns.append(decimals(column.storage))
        elif isinstance(column.type, pa.BaseExtensionType):
            columns.append(column.storage)
        else:
            columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
