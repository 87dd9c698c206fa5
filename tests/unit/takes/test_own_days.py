"""Tables that keep their own days: daily partitions, and rows with the times they are valid in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Column, Date, MetaData, String, Table
from typer.testing import CliRunner

from segue.cli.main import app
from segue.cli.workspace import Workspace
from segue.errors import DataError, SettingsError
from segue.takes.moments import Moment
from segue.takes.own_days import days_at_source

from .conftest import POSTGRESQL, Shop

NOW = datetime(2026, 11, 25, 6, tzinfo=UTC)
HOSTILE = 'd"s; DROP:as_of 5%'


def partitioned(column: str = "ds") -> dict[str, Any]:
    return {"contacts": {"table": "daily", "partition": column}}


VALID = {"contacts": {"table": "history", "valid_from": "dbt_valid_from", "valid_to": "until"}}


def ids(shop: Shop, tables: dict[str, Any], key: str) -> list[str]:
    return list(shop.snapshot(tables, key).contacts()["contact_id"])


def moment(day: int) -> Moment:
    return Moment(f"2026-11-{day:02}", datetime(2026, 11, day + 1, tzinfo=UTC))


def fill(shop: Shop, kind: str, column: str = "ds") -> None:
    """Two days, of which the second has one contact more; a text's other values are no days."""
    other = ", ('9', '2026-11-2')" if kind.startswith("VARCHAR") else ""
    days = Column(column, Date() if kind == "DATE" else String(10))
    table = Table("daily", MetaData(), Column("contact_id", String(9)), days)
    with shop.engine.begin() as connection:
        table.create(connection)
        connection.exec_driver_sql(
            "INSERT INTO daily VALUES ('007', '2026-11-22'), ('007', '2026-11-23'), "
            f"('8', '2026-11-23'), ('7', NULL){other}"
        )


@pytest.mark.parametrize("kind", ["DATE", "VARCHAR(10)"])
def test_a_partition_is_the_snapshot_of_its_day(shop, kind):
    fill(shop, kind)
    shop.take(partitioned())
    shop.take(partitioned(), moment(23))
    assert ids(shop, partitioned(), "2026-11-22") == ["007"]
    assert ids(shop, partitioned(), "2026-11-23") == ["007", "8"]


def test_names_are_names_and_nothing_else(shop):
    fill(shop, "DATE", HOSTILE)
    shop.take(partitioned(HOSTILE))
    assert ids(shop, partitioned(HOSTILE), "2026-11-22") == ["007"]


@pytest.mark.parametrize("kind", ["DATE", "VARCHAR(10)"])
def test_a_day_that_is_not_there_is_no_snapshot(shop, kind):
    """Missing, not filled yet or kept no longer: of contacts, and of any other table."""
    fill(shop, kind)
    span = r"\(it has 2, from 2026-11-22 to 2026-11-23\)"
    with pytest.raises(DataError, match=rf"daily has no row whose ds is 2026-11-24: .*{span}"):
        shop.take(partitioned(), moment(24))
    tables = {
        "contacts": {"query": "SELECT id AS contact_id FROM customers WHERE since < :as_of"},
        "mailing_lists": {"table": "daily", "partition": "ds"},
    }
    with pytest.raises(DataError, match=r"take\.tables\.mailing_lists: daily has no row"):
        shop.take(tables, moment(21))
    assert shop.files() == []
    shop.execute("INSERT INTO daily VALUES ('1', '2026-11-24')")
    shop.take(partitioned(), moment(24))


def history(shop: Shop, kind: str = "TIMESTAMP") -> None:
    """One who changes on the last instant of a day, and one who comes and goes."""
    shop.execute(
        f"CREATE TABLE history (contact_id VARCHAR(9), tier VARCHAR(9), dbt_valid_from {kind}, "
        f"until {kind})",
        "INSERT INTO history VALUES "
        "('1', 'new', '2026-11-20 12:00:00', '2026-11-23 00:00:00'), "
        "('1', 'gold', '2026-11-23 00:00:00', NULL), "
        "('2', 'new', '2026-11-21 09:00:00', '2026-11-22 15:00:00')",
    )


def tiers(shop: Shop, day: int) -> dict[str, str]:
    shop.take(VALID, moment(day))
    rows = shop.snapshot(VALID, moment(day).key).contacts(["tier"])
    return dict(zip(rows["contact_id"], rows["tier"], strict=True))


def test_a_row_is_of_the_days_it_is_valid_in(shop):
    """The as-of is the first instant that is not known: what changes at it has not changed."""
    history(shop)
    assert tiers(shop, 20) == {"1": "new"}
    assert tiers(shop, 21) == {"1": "new", "2": "new"}
    assert tiers(shop, 22) == {"1": "new"}
    assert tiers(shop, 23) == {"1": "gold"}


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "Asia/Tokyo"])
def test_a_time_without_a_zone_is_utc(shop, zone):
    """Whatever the server's own zone is."""
    history(shop)
    with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = shop.engine.url.database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET timezone = '{zone}'")
    assert tiers(shop, 22) == {"1": "new"}
    assert tiers(shop, 23) == {"1": "gold"}


@pytest.mark.parametrize("engine", POSTGRESQL, indirect=True)
def test_an_instant_is_that_instant(shop):
    history(shop, "TIMESTAMPTZ")
    shop.execute("UPDATE history SET until = '2026-11-23 01:00:00+01' WHERE tier = 'new'")
    assert tiers(shop, 22)["1"] == "new"
    assert "2" in tiers(shop, 21)


def test_a_day_before_the_first_row_is_not_known(shop):
    history(shop)
    message = "history does not know 2026-11-19: its dbt_valid_from begins at 2026-11-20T12:00:00Z"
    with pytest.raises(DataError, match=message):
        shop.take(VALID, moment(19))
    shop.execute("DELETE FROM history")
    with pytest.raises(DataError, match="its dbt_valid_from has no row"):
        shop.take(VALID, moment(20))
    assert shop.files() == []


def days(shop: Shop, tables: dict[str, Any], **keys: Any) -> list[date]:
    directory = shop.definition(tables, **keys)
    with shop.connect(tables) as reader:
        return days_at_source(reader, directory, NOW)


@pytest.mark.parametrize("kind", ["DATE", "VARCHAR(10)"])
def test_the_source_is_asked_for_its_days(shop, kind):
    fill(shop, kind)
    history(shop)
    shop.execute("INSERT INTO daily VALUES ('1', '2026-11-25')")  # not over yet
    assert days(shop, partitioned()) == [date(2026, 11, 22), date(2026, 11, 23)]
    assert days(shop, VALID) == [date(2026, 11, day) for day in range(20, 25)]
    shop.execute("DELETE FROM history WHERE dbt_valid_from < '2026-11-22'")
    both = {**partitioned(), "mailing_lists": VALID["contacts"]}
    assert days(shop, both) == [date(2026, 11, 23)]
    shop.execute("DELETE FROM history")
    assert days(shop, both) == []


def test_nobody_knows_the_days_of_a_query(shop):
    tables = {"contacts": "SELECT id AS contact_id FROM customers WHERE since < :as_of"}
    with pytest.raises(SettingsError, match="no table of `take` keeps its own days"):
        days(shop, tables)


def test_every_day_that_the_source_knows_can_be_taken(shop):
    history(shop)
    for day in days(shop, VALID):
        assert shop.take(VALID, moment(day.day)).is_own


@pytest.mark.parametrize("engine", POSTGRESQL[:1], indirect=True)
def test_the_page_shows_what_the_source_knows(shop, tmp_path, monkeypatch):
    history(shop)
    shop.take(VALID, moment(21))
    (tmp_path / "home" / "directories").mkdir(parents=True)
    definition = shop.definition(VALID).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "home" / "directories" / "shop.yaml").write_text(yaml.safe_dump(definition))
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    url = shop.engine.url.set(drivername="postgres")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", url.render_as_string(hide_password=False))
    opened = Workspace.open
    now = datetime(2026, 11, 23, 6, tzinfo=UTC)
    monkeypatch.setattr(Workspace, "open", lambda *home: replace(opened(*home), now=now))
    result = CliRunner().invoke(app, ["snapshots", "shop", "--source"])
    page = (Path(__file__).parents[3] / "docs" / "snapshots.md").read_text()
    [shown] = re.findall(r"\$ segue snapshots shop --source\n(.*?)```", page, re.DOTALL)
    assert result.exit_code == 0, result.output
    lines = [line.rstrip() for line in result.output.splitlines()]
    assert lines == shown.splitlines()
