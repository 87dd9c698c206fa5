"""Details from a database: one query per contact, or one for many, over Airflow's own hooks.

Any connection does whose hook is a ``DbApiHook`` (PostgreSQL, MySQL, Snowflake, BigQuery …). The
contacts' ids are bound parameters, never part of the query's text. Which error means what is
PEP 249's (https://peps.python.org/pep-0249/#exceptions): DataError is of a value, hence of a
contact; OperationalError and InterfaceError may pass; all others are of the query. BigQuery's are
of google.api_core instead (https://googleapis.dev/python/google-api-core/latest/exceptions.html),
and have an HTTP status for a code.

Ids are compared exactly, as Segue does everywhere. Many a database does not, by default MySQL and
SQL Server: to them ``CID_abc`` and ``CID_ABC`` are the same. So a row is of the contact whose id it
has in the column ``contact_id``; a query without that column is tried with other capitals, once.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence, Set
from contextlib import suppress
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from segue.channels.airflow_connections import find_connection, use_connection
from segue.contracts.channel import Finding, Tried
from segue.contracts.live_source import Answer, FoundByName, LiveReader, LiveSource
from segue.documents import did_you_mean
from segue.errors import ConnectionFailure, ContactFailure, TransientFailure
from segue.live.placeholders import MANY, PARAMETER, bound, style_of

log = logging.getLogger(__name__)

AT_ONCE = 500  # contacts of one query with :contact_ids

_ONE = "contact_id"
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
    return {match[1] for match in PARAMETER.finditer(query) if match[1]}


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
        return AT_ONCE if MANY in _parameters(self.query) else 1

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
        self._connection = use_connection(source.connection, lambda: self._connect(hook))
        self._style = style_of(hook, self._connection)
        self._is_exact = False  # once the database is seen to tell capitals apart

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
        if not self._many and _ONE not in names:
            self._require_exact_comparison(ids[0], rows)
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
        query, parameters = bound(self._source.query, ids, self._style)
        cursor = self._connection.cursor()
        try:
            cursor.execute(query, parameters)
            columns = [str(column[0]).lower() for column in cursor.description or ()]
            return columns, list(cursor.fetchall())
        except Exception as error:  # noqa: BLE001 - drivers have classes of their own
            raise self._failure(error) from None
        finally:
            cursor.close()

    def _require_exact_comparison(self, contact: str, rows: Sequence[Sequence[Any]]) -> None:
        """Raise ConnectionFailure where ids that differ in capitals are the same to the database.

        It is, where the same row comes for the id of a contact and for that in other capitals.
        """
        other = contact.swapcase()
        if self._is_exact or not rows or other == contact:
            return
        rows_of_other: Sequence[Sequence[Any]] = ()
        with suppress(ContactFailure):  # it can be no id
            _, rows_of_other = self._rows([other])
        if [tuple(row) for row in rows] == [tuple(row) for row in rows_of_other]:
            raise ConnectionFailure(
                f"the database of {self._source.connection!r} takes ids for the same that differ "
                f"in capitals; let the query give a column {_ONE}, which is compared exactly"
            )
        self._is_exact = True

    def _failure(self, error: Exception) -> Exception:
        """Return what a driver's error stands for; its text may quote what is in the tables."""
        kind, words = _kind(error), _class_and_code(error)
        where = f"the database of {self._source.connection!r}"
        if kind is None:
            return _failure_by_status(error, where)
        if kind == "DataError":
            return ContactFailure(f"{where} cannot take a value: {words}")
        if kind in _MAY_PASS and getattr(error, "sqlite_errorname", "") != "SQLITE_ERROR":
            return TransientFailure(f"{where} did not answer: {words}")
        return ConnectionFailure(f"{where} refuses the query of the look-up: {words}")

    def _answers(
        self, ids: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> dict[str, Answer]:
        own = self._column(_ONE, names) if self._many or _ONE in names else None
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
        if not answers.keys() <= set(ids):
            log.warning("%s gives rows of ids that were not asked for", self._source.connection)
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


def _failure_by_status(error: Exception, where: str) -> Exception:
    """Return what an error with an HTTP status stands for; any other as it is."""
    statuses = (getattr(error, name, None) for name in ("code", "status_code"))
    status = next((int(each) for each in statuses if isinstance(each, int)), 0)
    if status < 400:
        return error
    if status >= 500 or status in (408, 429):
        return TransientFailure(f"{where} did not answer: {status}")
    return ConnectionFailure(f"{where} refuses the query of the look-up: {status}")


def _kind(error: Exception) -> str | None:
    """Return the class of PEP 249 that an error of a driver is, by name; None of any other."""
    names = [each.__name__ for each in type(error).__mro__]
    return next((name for name in names if name in _PEP_249), None)


def _class_and_code(error: Exception) -> str:
    """Return an error's class, and its code where it has one."""
    codes = (getattr(error, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
    code = next((str(code) for code in codes if code), "")
    return f"{type(error).__name__} {code}".strip()
