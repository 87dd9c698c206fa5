"""What a directory does not expect, or its segments miss, is not published by a real take."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, NullPool, create_engine, text

from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import everything_stored
from tests.unit.takes.conftest import postgresql

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
SHOP = """
directory: shop
snapshots: ../../snapshots
consent: none
expect:
  contacts:
    columns: {first_name: {matches: "^[A-Z][a-z]+$"}, phone: {set_at_least: 90%}}
    rows: {change_at_most: 50%}
take:
  connection: shop_stored
  start: 2026-11-01
  tables:
    contacts: "SELECT id AS contact_id, first_name, phone FROM people WHERE :as_of > '2026-01-01'"
"""
GOLD = "segment: gold\ndirectory: shop\nmatch: {field: phone, is_set: true}\n"
UNEXPECTED = """
contacts: expected rows change_at_most: 50%, found 4 after 2 (+100.0%)
contacts.first_name: expected matches: '^[A-Z][a-z]+$', found 1 of 4 values that do not
contacts.phone: expected set_at_least: 90%, found 2 of 4 rows with a value (50.0%)
""".strip().splitlines()  # fmt: skip


@pytest.fixture
def people() -> Iterator[Engine]:
    """A database of two people."""
    admin = postgresql().execution_options(isolation_level="AUTOCOMMIT")
    name = f"segue_test_{uuid.uuid4().hex[:12]}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(admin.url.set(database=name), poolclass=NullPool)
    change(
        engine,
        "CREATE TABLE people (id TEXT, first_name TEXT, phone TEXT)",
        "INSERT INTO people VALUES ('007', 'Ann', '+1'), ('8', 'Bob', '+2')",
    )
    yield engine
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def change(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


class Project:
    """Definitions, and an Airflow that has the connection in its database alone."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        (folder / "dags").mkdir()
        shutil.copy(ROOT / "dags/segue_dags.py", folder / "dags")
        self.define("directories", "shop", SHOP)
        self.define("segments", "gold", GOLD)
        environment = {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)]),
            "SEGUE_HOME": str(folder / "include"),
            "SEGUE_LEDGER": f"sqlite:///{folder / 'segue.db'}",
            "SEGUE_STATE": str(folder / "state"),
        }
        place = folder / "airflow"
        self.airflow = DrivenAirflow(place, dags=folder / "dags", environment=environment)
        self.airflow.run("db", "migrate")
        with engine.connect() as connection:
            user = connection.exec_driver_sql("SELECT current_user").scalar_one()
        where = {"host": engine.url.host, "port": engine.url.port, "schema": engine.url.database}
        own = {"conn_type": "postgres", "login": user, "password": engine.url.password, **where}
        self.airflow.run("connections", "add", "shop_stored", "--conn-json", json.dumps(own))

    def define(self, folder: str, name: str, definition: str) -> None:
        path = self.folder / "include" / folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(definition)

    def take(self, key: str) -> tuple[bool, str]:
        """Take a snapshot; tell whether the run succeeded, and all that it printed."""
        conf = ("--conf", json.dumps({"key": key}))
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "dags", "test", "segue_take_shop", *conf],
            env=self.airflow.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0, done.stdout + done.stderr

    def published(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob("snapshots/*/_segue.json"))


def test_what_a_run_could_not_use_is_not_published_and_no_contact_is_told(tmp_path, people):
    project = Project(tmp_path, people)
    is_taken, output = project.take("2026-11-20")
    assert is_taken, output[-4_000:]
    change(people, "INSERT INTO people VALUES ('9', 'Zoë Secret', NULL), ('10', 'Cid', NULL)")
    is_taken, unexpected = project.take("2026-11-21")
    assert not is_taken
    assert [line for line in UNEXPECTED if line not in unexpected] == []

    change(people, "DELETE FROM people WHERE phone IS NULL")
    without_phone = SHOP.replace(", phone FROM", " FROM").replace(
        ", phone: {set_at_least: 90%}", ""
    )
    project.define("directories", "shop", without_phone)
    is_taken, dropped = project.take("2026-11-22")
    assert not is_taken
    assert "contacts.phone is gone, which 2026-11-20 has; read by segment gold" in dropped
    assert project.published() == ["2026-11-20"]

    project.define("directories", "shop", SHOP)
    is_taken, output = project.take("2026-11-22")
    assert is_taken, output[-4_000:]
    assert project.published() == ["2026-11-20", "2026-11-22"]
    assert "Secret" not in unexpected + everything_stored(tmp_path / "airflow/airflow.db")
