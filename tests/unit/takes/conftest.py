"""Directories that take their own snapshots, from a database of the test's own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.takes.adbc import opened_by_adbc
from segue.takes.database import opened
from segue.takes.moments import Moment
from segue.takes.reader import TakeReader
from segue.takes.take import TakeResult, take_snapshot

MARIADB = os.environ.get("SEGUE_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/test")
SERVER = os.environ.get("SEGUE_TEST_POSTGRESQL", "postgresql+psycopg://127.0.0.1:5432/postgres")
MOMENT = Moment("2026-11-22", datetime(2026, 11, 23, tzinfo=UTC))


class Shop:
    """A directory, the database that it is taken from, and the folder that it is taken into."""

    def __init__(self, root: UPath, engine: Engine, *, by_adbc: bool = False) -> None:
        self.root, self.engine, self.by_adbc = root, engine, by_adbc

    def connect(self, tables: dict[str, Any]) -> AbstractContextManager[TakeReader]:
        """Connect as a take of these tables does."""
        take = self.definition(tables).take
        assert take is not None
        assert take.tables is not None
        if self.by_adbc:
            url = self.engine.url.set(drivername="postgresql")
            return opened_by_adbc(url.render_as_string(hide_password=False), take.tables)
        return opened(self.engine, take.tables)

    def execute(self, *statements: str) -> None:
        """Change the database."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def definition(self, tables: dict[str, Any], **keys: Any) -> DirectoryDefinition:
        """Return the directory whose tables are read so."""
        take = {"connection": "shop", "start": "2026-11-01", "tables": tables}
        content = {"directory": "shop", "snapshots": str(self.root), "consent": "none"}
        return DirectoryDefinition.model_validate({**content, "take": take, **keys})

    def take(self, tables: dict[str, Any], moment: Moment = MOMENT, **keys: Any) -> TakeResult:
        """Take a snapshot."""
        return take_snapshot(
            self.definition(tables),
            moment,
            partial(self.connect, tables),
            remark=_say_nothing,
            **keys,
        )

    def snapshot(self, tables: dict[str, Any], key: str = MOMENT.key) -> SnapshotTables:
        """Return a snapshot that was published."""
        directory = self.definition(tables)
        [match] = [
            item for item in list_snapshots(directory, now=datetime.now(UTC)) if item.key == key
        ]
        assert match.complete, match.why_incomplete
        return SnapshotTables(directory, match)

    def files(self) -> list[str]:
        """Return the names of all files below the folder of snapshots."""
        fs, root = self.root.fs, self.root.path.rstrip("/")
        return sorted(name[len(root) :] for name in fs.find(self.root.path))


def _say_nothing(_remark: str) -> None:
    pass


def postgresql() -> Engine:
    """Return an engine, or skip."""
    return _answering("PostgreSQL", SERVER)


def _answering(name: str, server: str) -> Engine:
    engine = create_engine(server, poolclass=NullPool)
    try:
        engine.connect().close()
    except Exception as error:
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"{name} does not answer at {server}: {type(error).__name__}")
    return engine


POSTGRESQL = [pytest.param(each, marks=pytest.mark.postgres) for each in ("postgresql", "adbc")]
SERVERS = [*POSTGRESQL, pytest.param("mariadb", marks=pytest.mark.mariadb)]


@pytest.fixture(params=["sqlite", *SERVERS])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        yield create_engine(f"sqlite:///{tmp_path / 'shop.db'}", poolclass=NullPool)
        return
    is_mariadb = request.param == "mariadb"
    server = _answering("MariaDB", MARIADB) if is_mariadb else postgresql()
    admin = server.execution_options(isolation_level="AUTOCOMMIT")
    name = f"segue_test_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield create_engine(admin.url.set(database=name), poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}{'' if is_mariadb else ' WITH (FORCE)'}"))


@pytest.fixture
def root(tmp_path: Path) -> UPath:
    """The folder of snapshots."""
    (tmp_path / "snapshots").mkdir()
    return UPath(tmp_path / "snapshots")


@pytest.fixture
def shop(request: pytest.FixtureRequest, root: UPath, engine: Engine) -> Shop:
    """A shop of three customers, two of whom came later."""
    shop = Shop(root, engine, by_adbc="adbc" in request.node.callspec.params.values())
    shop.execute(
        "CREATE TABLE customers (id VARCHAR(20), name VARCHAR(20), since TIMESTAMP)",
        "INSERT INTO customers VALUES ('007', 'Ann', '2026-11-20 00:00:00'), "
        "('8', NULL, '2026-11-22 12:00:00'), ('9', 'Zoë', '2026-11-24 00:00:00')",
    )
    return shop


CUSTOMERS: dict[str, Any] = {
    "contacts": "SELECT id AS contact_id, name AS first_name FROM customers WHERE since < :as_of"
}
