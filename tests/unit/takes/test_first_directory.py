"""docs/first-directory.md is walked: its statements, definitions and commands, in their order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import Engine, text

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.qualtrics_api import TOKEN
from tests.unit.channels.conftest import set_connection  # noqa: F401 - a fixture
from tests.unit.directory.lakes.delta_tables import DeltaFolder
from tests.unit.directory.lakes.iceberg_tables import IcebergFolder, environment
from tests.unit.takes.conftest import POSTGRESQL
from tests.unit.test_docs import Block, blocks_of, lines_of, page

PAGE = page("first-directory.md")
SEGUE = (sys.executable, "-c", "from segue.cli.main import main; main()")
DAYS = {20: {"007": "silver", "008": "gold"}, 21: {"007": "gold", "008": "gold"}}
IN_POSTGRESQL = pytest.mark.parametrize("engine", POSTGRESQL[1:], indirect=True)


def blocks_below(heading: str) -> list[Block]:
    """Return the blocks of a section."""
    lines = PAGE.read_text().splitlines()
    start = lines.index(f"## {heading}") + 1
    end = next(n for n, line in enumerate([*lines, "## "][start:], start) if line.startswith("## "))
    blocks = [block for block in blocks_of(PAGE) if start < block.line <= end]
    assert blocks
    return blocks


def comparable(shown: str) -> list[str]:
    """Return lines, sorted, as two streams are one on a terminal; with no time of a clock."""
    shown = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "INSTANT", shown)
    shown = re.sub(r", in .*", "", shown)
    return sorted(lines_of(shown))


class Walk:
    """A reader who types what a section shows, in an empty folder."""

    def __init__(self, folder: Path, engine: Engine | None = None) -> None:
        self.folder, self._engine = folder, engine

    def follow(self, heading: str) -> list[str]:
        """Do all that a section says, and return what the commands printed."""
        kinds = {"yaml": self.write, "sql": self.execute, "shell": self.type, "console": self.ask}
        printed: list[str] = []
        for block in blocks_below(heading):
            printed += kinds[block.language](block) or []
        return printed

    def write(self, block: Block) -> None:
        name = re.match(r"# (mine/\S+)\n", block.text)
        assert name is not None, str(block)
        path = self.folder / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def execute(self, block: Block) -> None:
        assert self._engine is not None
        with self._engine.begin() as connection:
            for statement in filter(str.strip, block.text.split(";")):
                connection.execute(text(statement.replace(":", r"\:")))

    def type(self, block: Block) -> None:
        if block.text.strip() != "segue sandbox":  # which runs already
            subprocess.run(["bash", "-ec", block.text], check=True, cwd=self.folder)

    def ask(self, block: Block) -> list[str]:
        printed = []
        for part in re.split(r"(?m)^\$ ", block.text)[1:]:
            line, _, shown = part.partition("\n")
            if line.startswith("export AIRFLOW_CONN_"):  # here it is another server's
                continue
            command = [*SEGUE, *shlex.split(line)[1:]]
            answer = subprocess.run(
                command, cwd=self.folder, check=False, capture_output=True, text=True
            )
            everything = answer.stdout + answer.stderr
            assert answer.returncode == 0, f"{block}: {everything}"
            if shown.strip():
                assert comparable(everything) == comparable(shown), str(block)
            printed.append(everything)
        return printed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the environment of a terminal in it."""
    monkeypatch.setenv("SEGUE_HOME", "mine")
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "walk").mkdir()
    return tmp_path / "walk"


def connect(engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = engine.url.set(drivername="postgresql")
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}", url.render_as_string(hide_password=False))


@IN_POSTGRESQL
def test_sql(folder, engine, monkeypatch):
    connect(engine, "SHOP_DB", monkeypatch)
    Walk(folder, engine).follow("SQL")


@IN_POSTGRESQL
def test_days_in_the_table(folder, engine, monkeypatch):
    connect(engine, "WAREHOUSE_DB", monkeypatch)
    Walk(folder, engine).follow("Days in the table, dbt")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def test_qualtrics(folder, sandbox, set_connection):  # noqa: F811
    fields: dict[str, Any] = {"conn_type": "http", "password": TOKEN}
    fields |= {"host": f"{sandbox.url}/qualtrics", "extra": {"segue_rate": "none"}}
    set_connection("qualtrics_default", **fields)
    [printed] = Walk(folder).follow("Qualtrics")
    assert "contacts: 200 rows\n" in printed


def test_delta_and_iceberg(folder, monkeypatch):
    pytest.importorskip("deltalake")
    pytest.importorskip("pyiceberg")
    for name, value in environment(folder / "iceberg").items():
        monkeypatch.setenv(name, value)
    delta, iceberg = (
        DeltaFolder(folder / "lake/customers"),
        IcebergFolder(folder / "iceberg", "customers"),
    )
    for day, tiers in DAYS.items():
        columns = {"contact_id": list(tiers), "tier": list(tiers.values())}
        rows = pa.table({**columns, "no_mail": [False, False]})
        noon = datetime(2026, 11, day, 12, tzinfo=UTC)
        if day == min(DAYS):
            iceberg.create(rows.schema)
        delta.write(noon, rows, mode="overwrite")
        iceberg.at(noon, lambda table, rows=rows: table.overwrite(rows))
    Walk(folder).follow("Delta, Iceberg")


def test_files(folder):
    Walk(folder).follow("Files")
