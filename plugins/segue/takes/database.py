"""Read tables from a database, in batches, and from one view of it where it has one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy.exc
from sqlalchemy import Connection, CursorResult, Engine, TextClause, text

from segue.directory.layout import without_password
from segue.directory.take_definition import TableSource
from segue.directory.take_source import TableName
from segue.errors import DataError
from segue.takes.moments import Moment
from segue.takes.own_days import table_query
from segue.takes.reader import DatabaseReader, TakeReader
from segue.takes.values import column, texts

_ROWS = 20_000  # fetched at once
# what follows a quote may have quotes and ends of lines in it: nobody can tell where it ends
_QUOTED = re.compile(r"(?<!\w)['\"].*", re.DOTALL)
_INSTANTS_OF_MYSQL = 7  # the driver's code of TIMESTAMP: an instant, told in the session's zone


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How one kind of database is asked for one view of all tables."""

    options: Mapping[str, Any]  # of the connection
    statements: tuple[str, ...] = ()  # before the first query
    has_one_view: bool = True


_OF_MYSQL = _Dialect(
    {"isolation_level": "REPEATABLE READ"},
    ("SET time_zone = '+00:00'", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"),
)
_DIALECTS: Mapping[str, _Dialect] = {
    "postgresql": _Dialect(
        {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
        ("SET TIME ZONE 'UTC'",),
    ),
    "mysql": _OF_MYSQL,
    "mariadb": _OF_MYSQL,
    "sqlite": _Dialect({}, ("BEGIN",)),
}
_OTHERS = _Dialect({}, has_one_view=False)


class AnyDatabase(DatabaseReader):
    """One that SQLAlchemy has a dialect for."""

    def __init__(self, connection: Connection, tables: Mapping[TableName, TableSource]) -> None:
        self._connection, self._tables = connection, tables
        self._dialect = connection.dialect.name

    @property
    def has_one_view(self) -> bool:
        """Whether the dialect is one of which it is known how to ask for one view."""
        return _DIALECTS.get(self._dialect, _OTHERS).has_one_view

    def batches(
        self,
        table: TableName,
        moment: Moment,
        previous: datetime | None,
        as_text: Collection[str],
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches, as the base does."""
        source = self._tables[table]
        with _database_errors():
            statement = self._statement(source, moment.key)
            values = {"as_of": moment.as_of, "previous": previous}
            bound = {name: self._instant(values[name]) for name in sorted(source.parameters)}
            result = self._connection.execute(
                statement, bound, execution_options={"yield_per": _ROWS}
            )
            if not result.returns_rows:
                raise DataError("the query returns no rows; expected a SELECT")
            names = list(result.keys())
            refuse_twins(names)
            instants = self._instants(result)
            for rows in _partitions(result):
                columns = zip(*rows, strict=True) if rows else [()] * len(names)
                yield _batch(names, columns, as_text, instants)

    def quote(self, name: str) -> str:
        """Return a name as it stands in SQLAlchemy's ``text``, which reads colons."""
        in_sql = str(self._connection.dialect.identifier_preparer.quote(name))
        if "%" in name and in_sql.count("%") == 2 * name.count("%"):
            in_sql = in_sql.replace("%%", "%")  # ``text`` doubles them, too
        return in_sql.replace(":", r"\:")

    def values(self, query: str) -> list[Any]:
        """Return the first column of a query."""
        with _database_errors():
            return list(self._connection.execute(text(query)).scalars())

    def _statement(self, source: TableSource, day: str) -> TextClause:
        if source.sql is not None:
            return text(source.bound_sql)
        return text(table_query(source, day, ":as_of", self.quote))

    def _instant(self, instant: datetime | None) -> object:
        """Return an instant as the database compares it; UTC, where it knows no zones."""
        if instant is None or self._dialect not in ("sqlite", "mysql", "mariadb"):
            return instant
        plain = instant.astimezone(UTC).replace(tzinfo=None)
        return plain.isoformat(" ") if self._dialect == "sqlite" else plain

    def _instants(self, result: CursorResult[Any]) -> set[str]:
        """Return the columns that are instants and come without a zone."""
        if self._dialect not in ("mysql", "mariadb") or result.cursor is None:
            return set()
        return {each[0] for each in result.cursor.description if each[1] == _INSTANTS_OF_MYSQL}


@contextmanager
def opened(engine: Engine, tables: Mapping[TableName, TableSource]) -> Iterator[TakeReader]:
    """Connect, and let the database show one view of itself until the end.

    Raises DataError where it cannot be reached.
    """
    dialect = _DIALECTS.get(engine.dialect.name, _OTHERS)
    with (
        _database_errors(),
        _connected(engine.execution_options(**dialect.options)) as connection,
    ):
        for statement in dialect.statements:
            connection.exec_driver_sql(statement)
        yield AnyDatabase(connection, tables)


def _connected(engine: Engine) -> Connection:
    """Connect; DataError where a provider's driver is not the one that the dialect expects."""
    try:
        return engine.connect()
    except (AttributeError, TypeError) as error:
        raise DataError(
            f"the database cannot be asked: {type(error).__name__}: {beginning(error)}; the "
            f"provider's driver and SQLAlchemy's dialect {engine.dialect.name!r} do not fit"
        ) from None


@contextmanager
def _database_errors() -> Iterator[None]:
    """Tell a driver's complaint in a line; where it is about values, without these."""
    try:
        yield
    except (sqlalchemy.exc.DataError, sqlalchemy.exc.IntegrityError) as error:
        message = beginning(without_values(str(error.orig)))
        raise DataError(f"the database says of a value: {message}") from None
    except sqlalchemy.exc.DBAPIError as error:
        raise DataError(f"the database says: {beginning(error.orig)}") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise DataError(f"the database cannot be asked: {beginning(error)}") from None


def without_values(message: str) -> str:
    """Return a database's message up to what it quotes: a contact's text may be in it."""
    return _QUOTED.sub("'…'", message)


def beginning(error: object) -> str:
    """Return the first line of a driver's message, without a password."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return without_password(lines[0] if lines else type(error).__name__)


def refuse_twins(names: Sequence[str]) -> None:
    """Raise DataError where two columns have one name."""
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise DataError(f"the query returns more than one column {twins[0]!r}; name them with AS")


def _partitions(result: CursorResult[Any]) -> Iterator[Any]:
    """Yield lists of rows; an empty one where there are none."""
    is_empty = True
    for rows in result.partitions(_ROWS):
        is_empty = False
        yield rows
    if is_empty:
        yield []


def _batch(
    names: list[str], columns: Any, as_text: Collection[str], instants: Collection[str]
) -> pa.RecordBatch:
    arrays = []
    for name, values in zip(names, columns, strict=True):
        try:
            array = texts(values) if name in as_text else column(values)
        except ValueError:
            raise DataError(f"column {name!r} has text that is not valid Unicode") from None
        if name in instants and pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp("us", "UTC"))
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, names=names)
