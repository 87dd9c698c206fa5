"""A ledger on SQLite and on PostgreSQL, and ways to fill it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from segue.delivery.database import open_engine, upgrade
from segue.delivery.ledger import Ledger

POSTGRESQL = os.environ.get("SEGUE_TEST_POSTGRESQL", "postgresql+psycopg://127.0.0.1:5432/postgres")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A new, empty ledger."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'segue.db'}")
        upgrade(engine)
        yield Ledger(engine, "test")
        engine.dispose()
        return
    admin = _postgresql()
    name = f"segue_test_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = open_engine(admin.url.set(database=name).render_as_string(hide_password=False))
    upgrade(engine)
    yield Ledger(engine, "test")
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def _postgresql():
    engine = create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    try:
        engine.connect().close()
    except Exception as error:
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise
        pytest.skip(f"PostgreSQL does not answer at {POSTGRESQL}: {type(error).__name__}")
    return engine
