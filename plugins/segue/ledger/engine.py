"""Opening the ledger's database, and keeping its schema at this version's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, String, column, create_engine, event, inspect, select
from sqlalchemy import table as sql_table
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateTable

from segue.errors import LedgerError, NotSetUp, SchemaDiffers
from segue.extras import missing_extra
from segue.ledger.schema import REVISION, REVISIONS, VERSION_TABLE, metadata

# SQLite has one writer at a time, and a run of a million changes is one transaction
_SECONDS_FOR_A_LOCK = 300
_CACHE_IN_KIB = 65536  # with SQLite's own 2 MB, every insert of a large run reads an index's page


def open_engine(url: str) -> Engine:
    """Return an engine for ``sqlite:///…`` or ``postgresql://…``; raise LedgerError otherwise."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    if address is None or "@" in (address.host or ""):
        raise LedgerError(
            "SEGUE_LEDGER is not a database URL; allowed: sqlite:////path/to/segue.db or "
            "postgresql://user:password@host/database, with the password percent-encoded"
        )
    backend = address.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, address.database)
    if backend in ("postgresql", "postgres"):
        return _postgresql(address.set(drivername="postgresql+psycopg"))
    raise LedgerError(f"the ledger cannot be kept in {backend}; allowed: sqlite, postgresql")


def empty_engine() -> Engine:
    """Return an engine whose every connection sees the tables, empty, and cannot write to them."""
    engine = create_engine(
        "sqlite://",
        poolclass=QueuePool,
        connect_args={"check_same_thread": False},
        hide_parameters=True,
    )
    statements = [str(CreateTable(table).compile(engine)) for table in metadata.sorted_tables]

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        for statement in (*statements, "PRAGMA query_only=ON"):
            connection.execute(statement)

    return engine


def missing_file(url: str) -> str | None:
    """Return the file of a SQLite URL if it does not exist: opening it would make it."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return None  # opening it says what is wrong
    in_a_file = address.get_backend_name() == "sqlite" and address.database not in (
        None,
        ":memory:",
    )
    if not in_a_file or not Path(str(address.database)).is_absolute():
        return None  # opening it refuses a path that is another one in every folder
    return None if Path(str(address.database)).exists() else address.database


def upgrade(engine: Engine) -> str:
    """Bring the schema to this version's and return its revision.

    Raises LedgerError where it is a newer version's, or where its tables' names are taken.
    """
    from alembic import command  # only a migration needs it; every task opens the ledger
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with reachable(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # one migration at a time
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5347375545)")
        revision = _revision(connection)
        _refuse_unknown(revision)
        if revision is None:
            _refuse_tables_of_others(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)
        return REVISION


def require_current_schema(engine: Engine, *, may_upgrade: bool = True) -> None:
    """Raise LedgerError unless the schema is this version's; SQLite upgrades itself if it may.

    NotSetUp is raised where there are no tables yet.
    """
    looking = engine.execution_options(segue_read_only=True)  # waits for nobody who writes
    with reachable(engine), looking.connect() as connection:
        revision = _revision(connection)
    if revision == REVISION:
        return
    _refuse_unknown(revision)
    if may_upgrade and engine.dialect.name == "sqlite":
        upgrade(engine)
        return
    state = "has no tables yet" if revision is None else f"is at revision {revision}"
    kind = NotSetUp if revision is None else SchemaDiffers
    raise kind(
        f"the ledger's schema {state}, this version needs {REVISION}; run: segue db upgrade "
        "(without a shell: trigger the DAG segue_housekeeping with upgrade_ledger)"
    )


def _refuse_unknown(revision: str | None) -> None:
    """Raise SchemaDiffers for a revision that no migration of this version leads from."""
    if revision is None or revision in REVISIONS:
        return
    state = f"the ledger's schema is at revision {revision}"
    if revision > REVISION:
        raise SchemaDiffers(
            f"{state}, this version needs {REVISION}; install the newer version of Segue"
        )
    raise SchemaDiffers(
        f"{state}, which no release of Segue has made; allowed: {', '.join(REVISIONS)}. Restore a "
        "backup of the ledger, or begin a new one, which remembers nothing that was sent"
    )


def _refuse_tables_of_others(connection: Connection) -> None:
    """Raise LedgerError where a name of ours is taken, by another program or by half a ledger."""
    taken = sorted(metadata.tables.keys() & set(inspect(connection).get_table_names()))
    if taken:
        raise LedgerError(
            f"the ledger's database has the tables {', '.join(taken)} already, and no "
            f"{VERSION_TABLE} that says they are a ledger's: give the ledger a database or a "
            "schema of its own, such as by ?options=-csearch_path%3Dsegue in its URL"
        )


def _revision(connection: Connection) -> str | None:
    """Return the ledger's revision, or all that are noted; None where there is no ledger yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    table = sql_table(VERSION_TABLE)
    query = select(column("version_num", String())).select_from(table)
    revisions = connection.execute(query).scalars().all()
    return " and ".join(sorted(revisions)) if revisions else None


def _sqlite(url: str, database: str | None) -> Engine:
    if not database or not Path(database).is_absolute():
        raise LedgerError(
            f"the ledger cannot be kept in {url}: it would be another one in every process or "
            "folder; allowed: an absolute path such as sqlite:////var/lib/segue/segue.db"
        )
    try:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"the ledger's folder cannot be made: {error}") from None
    connect = {"timeout": _SECONDS_FOR_A_LOCK}
    engine = create_engine(url, connect_args=connect, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, see below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a committed row survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_IN_KIB}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE: a transaction that reads first and then writes never meets SQLITE_BUSY
        read_only = connection.get_execution_options().get("segue_read_only")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: URL) -> Engine:
    """Return an engine that relies on no default of the server, nor on one session staying ours.

    Locks are taken first and rows read after, which is sound under READ COMMITTED alone. A pooler
    such as PgBouncer hands each transaction another session: none has our prepared statements.
    """
    ours: dict[str, Any] = {"prepare_threshold": None, "client_encoding": "utf8"}
    if "connect_timeout" not in url.query:
        ours["connect_timeout"] = 10
    try:
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            connect_args=ours,
            hide_parameters=True,
        )
    except ImportError as error:
        raise LedgerError(missing_extra("postgres", "a ledger in PostgreSQL", error)) from None


@contextmanager
def reachable(engine: Engine) -> Iterator[None]:
    """Turn a database's failure into a LedgerError of one line, without its parameters."""
    try:
        yield
    except NoSuchModuleError as error:
        raise LedgerError(f"the ledger's database driver is missing: {error}") from None
    except DBAPIError as error:
        reason = re.sub(r"\s+", " ", str(error.orig)).strip()
        raise LedgerError(f"the ledger at {shown(engine)} cannot be used: {reason}") from None


def shown(engine: Engine) -> str:
    """Return where the ledger is, for people: without its password and its options."""
    return engine.url.set(query={}).render_as_string(hide_password=True)
