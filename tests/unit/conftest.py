"""A ledger on SQLite and on PostgreSQL, and ways to fill it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.schema import metadata

POSTGRESQL = os.environ.get("SEGUE_TEST_POSTGRESQL", "postgresql+psycopg://127.0.0.1:5432/postgres")
_END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with nothing in it, to be copied: migrations take longer than most tests."""
    file = tmp_path_factory.mktemp("ledger") / "segue.db"
    engine = open_engine(f"sqlite:///{file}")
    upgrade(engine)
    engine.dispose()
    return file


@pytest.fixture(scope="session")
def empty_database() -> Iterator[URL]:
    """The same on PostgreSQL, to be the template of others; nobody is connected to it."""
    admin = _postgresql()
    with _database(admin) as url:
        engine = open_engine(url.render_as_string(hide_password=False))
        upgrade(engine)
        engine.dispose()
        yield url
    admin.dispose()


@pytest.fixture(scope="session")
def engine_of_file(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """One engine for the files of all tests: what it has compiled once, it need not again.

    Its path is a link, which leads to the file of the present test.
    """
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('present') / 'segue.db'}")

    @event.listens_for(engine, "connect")
    def _hurry(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous=OFF")  # no power cut is played here

    return engine


@pytest.fixture(scope="session")
def engine_of_database(shared_database: Connection) -> Engine:
    """The same for the database of all tests on PostgreSQL."""
    return open_engine(shared_database.engine.url.render_as_string(hide_password=False))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A new, empty ledger."""
    if request.param == "sqlite":
        engine = request.getfixturevalue("engine_of_file")
        file = shutil.copy(request.getfixturevalue("empty_file"), tmp_path / "segue.db")
        link = Path(engine.url.database)
        link.unlink(missing_ok=True)
        link.symlink_to(file)
    else:
        url = request.getfixturevalue("database")
        engine = request.getfixturevalue("engine_of_database")
        if url != engine.url:  # a module's own
            engine = open_engine(url.render_as_string(hide_password=False))
    yield Ledger(engine, "test")
    engine.dispose()


@pytest.fixture
def database(shared_database: Connection) -> URL:
    """The worker's own database on PostgreSQL, emptied, which is quicker than a new one.

    A module whose tests change more than rows takes ``new_database`` instead.
    """
    shared_database.execute(text(_END_OTHERS))  # what an earlier test left open may hold locks
    _empty(shared_database)
    return shared_database.engine.url


def _empty(connection: Connection) -> None:
    """Remove all rows and count from one again; in new files, where rows lie as they come."""
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))


@pytest.fixture
def new_database(empty_database: URL) -> Iterator[URL]:
    """A database for one test on PostgreSQL."""
    with _copy_of(empty_database) as url:
        yield url


@pytest.fixture(scope="session")
def shared_database(empty_database: URL) -> Iterator[Connection]:
    """A connection to a database for all tests of this process on PostgreSQL."""
    with _copy_of(empty_database) as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection
        engine.dispose()


@contextmanager
def _copy_of(template: URL) -> Iterator[URL]:
    admin = _postgresql()
    with _database(admin, template.database or "") as url:
        yield url
    admin.dispose()


@contextmanager
def _database(admin: Engine, template: str = "template1") -> Iterator[URL]:
    """A new database, and its end; no test outlives a power cut, so commits need not either."""
    name = f"segue_test_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    yield admin.url.set(database=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def _postgresql() -> Engine:
    engine = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    try:
        engine.connect().close()
    except Exception as error:
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"PostgreSQL does not answer at {POSTGRESQL}: {type(error).__name__}")
    return engine
