"""Databases that Airflow's connections lead to."""

from __future__ import annotations

import difflib
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from sqlalchemy import URL, NullPool
from sqlalchemy.exc import NoSuchModuleError

from segue.airflow_compat import AirflowException, AirflowNotFoundException
from segue.directory.layout import without_password
from segue.documents import did_you_mean
from segue.errors import SettingsError
from segue.extras import extra
from segue.settings import AIRFLOW

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy import Engine

    from segue.directory.take_definition import Take
    from segue.takes.reader import TakeReader
    from segue.upkeep.exports.export import Destination

_POSTGRESQL = ("postgres", "postgresql")
_PACKAGES = {  # of the types that databases' connections have
    kind: f"apache-airflow-providers-{name}"
    for kind, name in {
        "databricks": "databricks",
        "gcpbigquery": "google",
        "mssql": "microsoft-mssql",
        "mysql": "mysql",
        "oracle": "oracle",
        "postgres": "postgres",
        "postgresql": "postgres",
        "redshift": "amazon",
        "snowflake": "snowflake",
        "sqlite": "sqlite",
        "trino": "trino",
        "vertica": "vertica",
    }.items()
}
_OF_FIELDS = frozenset({"host", "port", "user", "password", "dbname"})  # not an extra's


def opened_for(take: Take) -> AbstractContextManager[TakeReader]:
    """Open what a directory's snapshots are taken from; a database by ADBC where it is installed.

    Raises SettingsError where there is no such connection, or it is none to a database, and
    DataError where it cannot be reached.
    """
    if take.source is not None:
        from segue.takes.reader import opened_source

        return opened_source(take.source)
    assert take.connection is not None
    assert take.tables is not None
    connection = _connection(take.connection, None)
    if connection.conn_type in _POSTGRESQL and find_spec("adbc_driver_postgresql") is not None:
        from segue.takes.adbc import opened_by_adbc

        url = postgresql_url(connection, f"the connection {take.connection!r}, one")
        return opened_by_adbc(_as_libpq_reads(url), take.tables)
    from segue.takes.database import opened

    return opened(_engine_of(connection), take.tables)


def database_destination(place: str, unknown: str | None = None) -> Destination:
    """Return the tables that ``airflow://conn_id`` means, of a schema where ``/schema`` follows.

    ``unknown`` says what is the matter where Airflow's connection is not found. Raises
    SettingsError.
    """
    from segue.upkeep.exports.database_tables import DatabaseTables

    conn_id, _, schema = place.removeprefix(AIRFLOW).partition("/")
    try:
        engine = _engine_of(_connection(conn_id, unknown))
    except SettingsError as error:
        raise SettingsError(f"{place} cannot be exported to: {error}") from None
    return DatabaseTables(engine, place, schema or None)


def _connection(conn_id: str, unknown: str | None) -> Connection:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise SettingsError(unknown or _no_connection(conn_id)) from None


def _no_connection(conn_id: str) -> str:
    return (
        f"Airflow has no connection {conn_id!r}: on a terminal, set AIRFLOW_CONN_{conn_id.upper()} "
        "(or a secrets backend); what Airflow itself stores, only a DAG can use"
    )


def _engine_of(connection: Connection) -> Engine:
    """Return an engine whose connections are the hook's own, with all that the extra says."""
    conn_id = connection.conn_id
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call]
    except AirflowException as error:  # of a type whose provider is not installed
        advice = _advice(connection.conn_type) if "Unknown hook type" in str(error) else ""
        raise SettingsError(f"the connection {conn_id!r} cannot be used: {error}{advice}") from None
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise SettingsError(
            f"the connection {conn_id!r} is one of {type(hook).__name__}; expected a database"
        )
    options = {"creator": hook.get_conn, "poolclass": NullPool}
    try:
        engine: Engine = hook.get_sqlalchemy_engine(options)
    except (NoSuchModuleError, ImportError) as error:
        raise SettingsError(
            f"the connection {conn_id!r} cannot be used: {without_password(str(error))}; "
            f"install SQLAlchemy's dialect and driver for {connection.conn_type!r}"
        ) from None
    return engine


def _advice(conn_type: str | None) -> str:
    """Return which package has the connections of a type that nothing installed has."""
    package = _PACKAGES.get(conn_type or "")
    if package is None:
        return "; no provider that is installed has connections of this type"
    return f"; pip install {package}"


def postgresql_url(connection: Connection, what: str) -> str:
    """Return a connection to PostgreSQL as a URL; SettingsError, which begins with ``what``."""
    if connection.conn_type not in _POSTGRESQL:
        raise SettingsError(f"{what} of type {connection.conn_type!r}; allowed: postgres")
    host = connection.host or ""
    options = _libpq_options(connection, what)
    if host.startswith("/"):  # the folder of a socket
        options["host"], host = host, ""
    return URL.create(
        "postgresql",
        username=connection.login or None,
        password=connection.password or None,
        host=host or None,
        port=connection.port,
        database=connection.schema or None,
        query=options,
    ).render_as_string(hide_password=False)


def _as_libpq_reads(url: str) -> str:
    """Return SQLAlchemy's URL for PostgreSQL's own client, which knows ``%20`` alone for a blank.

    It refuses a blank in a password, and its error has the password.
    """
    place, mark, options = url.partition("?")
    return place.replace(" ", "%20") + mark + options.replace("+", "%20")


def _libpq_options(connection: Connection, what: str) -> dict[str, str]:
    """Return the extras that PostgreSQL's client library knows, as text.

    Extras that other programs read, such as ``cursor``, are left out. One that looks like a slip
    of the pen is an error: without ``sslmode`` a connection may be made that nobody wanted.
    """
    with extra("postgres", "PostgreSQL"):
        from psycopg.pq import Conninfo

    extras = connection.extra_dejson
    if extras.get("iam") in (True, "true"):
        raise SettingsError(
            f"{what} whose extra has iam: true; a password cannot be "
            "fetched from AWS: give the connection a login and a password"
        )
    options = {option.keyword.decode() for option in Conninfo.get_defaults()} - _OF_FIELDS
    for key in extras.keys() - options - _OF_FIELDS:
        if difflib.get_close_matches(key.lower(), options, n=1, cutoff=0.8):
            raise SettingsError(
                f"{what} whose extra has {key!r}, which PostgreSQL does not "
                f"know{did_you_mean(key, options)}"
            )
    return {key: _option(what, key, extras[key]) for key in extras.keys() & options}


def _option(what: str, key: str, value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str | int | float):
        return str(value)
    raise SettingsError(
        f"{what} whose extra {key!r} is {type(value).__name__}; "
        "allowed: a text, a number, true or false"
    )
