"""Opening the ledger's database, and keeping its schema at this version's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from segue.errors import LedgerError

_SECONDS_FOR_A_LOCK = 60


def open_engine(url: str) -> Engine:
    """Return an engine for ``sqlite:///…`` or ``postgresql://…``; raise LedgerError otherwise."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerError(
            "SEGUE_LEDGER is not a database URL; allowed: sqlite:////path/to/segue.db or "
            "postgresql://user:password@host/database"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url, parsed.database)
    if backend in ("postgresql", "postgres"):
        return _postgresql(parsed.set(drivername="postgresql+psycopg"))
    raise LedgerError(f"the ledger cannot be kept in {backend}; allowed: sqlite, postgresql")


def upgrade(engine: Engine) -> str:
    """Bring the schema to this version's and return its revision."""
    with _reachable(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":  # one migration at a time
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5347375545)")
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return _head()


def require_current_schema(engine: Engine) -> None:
    """Raise LedgerError unless the schema is this version's; SQLite upgrades itself."""
    with _reachable(engine), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == _head():
        return
    if engine.dialect.name == "sqlite" and _is_older(found):
        upgrade(engine)
        return
    state = "has no tables yet" if found is None else f"is at revision {found}"
    remedy = "run: segue db upgrade" if _is_older(found) else "install the newer version of Segue"
    raise LedgerError(f"the ledger's schema {state}, this version needs {_head()}; {remedy}")


def _sqlite(url: str, database: str | None) -> Engine:
    if database and database != ":memory:":
        try:
            Path(database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"the ledger's folder cannot be made: {error}") from None
    engine = create_engine(url, connect_args={"timeout": _SECONDS_FOR_A_LOCK})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, see below
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a committed row survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # IMMEDIATE: a transaction that reads first and then writes never meets SQLITE_BUSY
        read_only = connection.get_execution_options().get("segue_read_only")
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _postgresql(url: Any) -> Engine:
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})


def _alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _head() -> str:
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None
    return head


def _is_older(revision: str | None) -> bool:
    script = ScriptDirectory.from_config(_alembic_config())
    return revision is None or revision in {found.revision for found in script.walk_revisions()}


@contextmanager
def _reachable(engine: Engine) -> Iterator[None]:
    try:
        yield
    except NoSuchModuleError as error:
        raise LedgerError(f"the ledger's database driver is missing: {error}") from None
    except DBAPIError as error:
        url = engine.url.render_as_string(hide_password=True)
        reason = re.sub(r"\s+", " ", str(error.orig)).strip()
        raise LedgerError(f"the ledger at {url} cannot be used: {reason}") from None
