"""Details from a database: one query per contact, or one for many, over Airflow's own hooks.

Any connection does whose hook is a ``DbApiHook`` (PostgreSQL, MySQL, Snowflake, BigQuery …). The
contacts' ids are bound parameters, never part of the query's text. Which error means what is
PEP 249's (https://peps.python.org/pep-0249/#exceptions): DataError is of a value, hence of a
contact; OperationalError and InterfaceError may pass; all others are of the query.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import suppress
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from segue.channels.airflow_connections import find_connection, use_connection
from segue.contracts.channel import Finding, Tried
from segue.contracts.live_source import Answer, FoundByName, LiveReader, LiveSource
from segue.documents import did_you_mean
from segue.errors import ConnectionFailure, ContactFailure, TransientFailure

AT_ONCE = 500  # contacts of one query with :contact_ids

_ONE, _MANY = "contact_id", "contact_ids"
# texts, quoted names and comments are left alone; a cast such as ::date is no parameter
_PARAMETER = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|(?<![:\w]):(contact_ids?)\b", re.DOTALL
)
_PEP_249 = (
    *("DataError", "OperationalError", "InterfaceError", "IntegrityError", "InternalError"),
    *("ProgrammingError", "NotSupportedError", "DatabaseError", "Error"),
)
_MAY_PASS = ("OperationalError", "InterfaceError")


def _query(query: str) -> str:
    parameters = _parameters(query)
    if "{{" in query or "{%" in query:
        raise ValueError("a query is no template; the contact's id is the parameter :contact_id")
    if len(parameters) != 1:
        names = " and ".join(f":{name}" for name in sorted(parameters)) or "neither"
        raise ValueError(
            f"found {names}; allowed: `= :contact_id` for a query per contact, or "
            "`IN (:contact_ids)` for one query for many"
        )
    return query


def _parameters(query: str) -> set[str]:
    return {match[1] for match in _PARAMETER.finditer(query) if match[1]}


Query = Annotated[str, AfterValidator(_query)]


class SqlDetails(LiveSource):
    """Ask a database for contacts' details.

    ``query`` has the contact's id as ``:contact_id``, or those of many as ``IN (:contact_ids)``;
    then one of its columns is ``contact_id``. ``fields`` are columns; as in SQL, capitals do not
    matter.
    """

    name: ClassVar[str] = "sql"
    reads: ClassVar[frozenset[str]] = frozenset()
    concurrency: ClassVar[int] = 1  # one connection per task, and few drivers share one

    query: Query
    fields: FoundByName

    @property
    def at_once(self) -> int:
        """Many where the query takes many."""
        return AT_ONCE if _MANY in _parameters(self.query) else 1

    @property
    def provides(self) -> Collection[str]:
        """Those of ``fields``."""
        return tuple(self.fields)

    def connect(self) -> SqlReader:
        """Connect to the database."""
        from airflow.providers.common.sql.hooks.sql import DbApiHook

        connection = find_connection(self.connection)
        hook = use_connection(self.connection, connection.get_hook)
        if not isinstance(hook, DbApiHook):
            raise ConnectionFailure(
                f"the Airflow connection {self.connection!r} is of type {connection.conn_type}, "
                "which takes no SQL"
            )
        return SqlReader(self, hook)


class SqlReader(LiveReader):
    """An open connection to a database."""

    def __init__(self, source: SqlDetails, hook: Any) -> None:
        self._source = source
        self._many = source.at_once > 1
        self._placeholder = str(hook.placeholder)
        self._connection = use_connection(source.connection, lambda: self._connect(hook))

    def __exit__(self, *exc: object) -> None:
        self._connection.close()

    def look_up(self, contacts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Answer]:
        """Ask for these contacts; where one's id cannot be a key, for smaller parts of them."""
        ids = list(contacts)
        try:
            names, rows = self._rows(ids)
        except ContactFailure as failure:
            if len(ids) == 1:
                return {ids[0]: failure}
            half = len(ids) // 2
            parts = [{key: contacts[key] for key in part} for part in (ids[:half], ids[half:])]
            return {key: answer for part in parts for key, answer in self.look_up(part).items()}
        return self._answers(ids, names, rows)

    def check(self, needs: Set[str]) -> Finding:
        """Run the query for a contact that nobody is."""
        with suppress(ContactFailure):  # ids are numbers there; the query was understood
            names, rows = self._rows([""])
            self._answers([""], names, rows[:0])
        return Finding(Tried.OK, "the query of the look-up runs")

    def _connect(self, hook: Any) -> Any:
        try:
            connection = hook.get_conn()
            if hook.supports_autocommit:  # an error must not spoil the next query
                hook.set_autocommit(connection, True)
        except Exception as error:
            if _kind(error) is None:
                raise
            raise ConnectionFailure(
                f"the database of the Airflow connection {self._source.connection!r} cannot be "
                f"reached, or refuses the login ({_class_and_code(error)})"
            ) from None
        return connection

    def _rows(self, ids: Sequence[str]) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the names of the columns and the rows; raise ContactFailure for a bad value."""
        query, parameters = bound(self._source.query, ids, self._placeholder)
        cursor = self._connection.cursor()
        try:
            cursor.execute(query, parameters)
            columns = [str(column[0]).lower() for column in cursor.description or ()]
            return columns, list(cursor.fetchall())
        except Exception as error:  # noqa: BLE001 - drivers have classes of their own
            raise self._failure(error) from None
        finally:
            cursor.close()

    def _failure(self, error: Exception) -> Exception:
        """Return what a driver's error stands for; its text may quote what is in the tables."""
        kind, words = _kind(error), _class_and_code(error)
        where = f"the database of {self._source.connection!r}"
        if kind is None:
            return error
        if kind == "DataError":
            return ContactFailure(f"{where} cannot take a value: {words}")
        if kind in _MAY_PASS and getattr(error, "sqlite_errorname", "") != "SQLITE_ERROR":
            return TransientFailure(f"{where} did not answer: {words}")
        return ConnectionFailure(f"{where} refuses the query of the look-up: {words}")

    def _answers(
        self, ids: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> dict[str, Answer]:
        own = None if not self._many else self._column(_ONE, names)
        columns = {
            name: self._column(column, names) for name, column in self._source.fields.items()
        }
        answers: dict[str, Answer] = {}
        for row in rows:
            contact = ids[0] if own is None else str(row[own])
            if contact in answers:
                answers[contact] = ContactFailure("the query gives more than one row")
            else:
                answers[contact] = {name: row[index] for name, index in columns.items()}
        return {contact: answers[contact] for contact in ids if contact in answers}

    def _column(self, name: str, names: Sequence[str]) -> int:
        """Return where a column is; raise ConnectionFailure where it is not, or twice."""
        if names.count(name.lower()) != 1:
            hint = did_you_mean(name.lower(), names)
            raise ConnectionFailure(
                f"the query of the look-up gives {names.count(name.lower()) or 'no'} columns "
                f"{name!r}; it gives: {', '.join(names) or 'no rows at all'}{hint}"
            )
        return names.index(name.lower())


def bound(query: str, ids: Sequence[str], placeholder: str) -> tuple[str, tuple[str, ...]]:
    """Return the query as a driver takes it, and its parameters in order."""
    parameters: list[str] = []

    def placeholders(match: re.Match[str]) -> str:
        if not match[1]:
            return _escape(match[0], placeholder)
        values = ids if match[1] == _MANY else ids[:1]
        parameters.extend(values)
        return ", ".join([placeholder] * len(values))

    parts, end = [], 0
    for match in _PARAMETER.finditer(query):
        parts += [_escape(query[end : match.start()], placeholder), placeholders(match)]
        end = match.end()
    parts.append(_escape(query[end:], placeholder))
    return "".join(parts), tuple(parameters)


def _escape(text: str, placeholder: str) -> str:
    """Double the per cent signs where the driver's placeholder begins with one."""
    return text.replace("%", "%%") if placeholder.startswith("%") else text


def _kind(error: Exception) -> str | None:
    """Return the class of PEP 249 that an error of a driver is, by name; None of any other."""
    names = [each.__name__ for each in type(error).__mro__]
    return next((name for name in names if name in _PEP_249), None)


def _class_and_code(error: Exception) -> str:
    """Return an error's class, and its code where it has one."""
    codes = (getattr(error, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
    code = next((str(code) for code in codes if code), "")
    return f"{type(error).__name__} {code}".strip()
