"""Workflows that start as snapshots land, on a real scheduler: taken, announced, late and twice."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from sqlalchemy import NullPool, create_engine, text

from segue.airflow_compat import PartitionedAssetTimetable, question_needs_triggerer
from segue.cli.main import main
from segue.demo.run import connections
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import SLACK, World
from tests.unit.takes.conftest import postgresql

pytestmark = [pytest.mark.airflow, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
TAKE, FOLLOWER, OWN = "segue_take_shop", "welcome", "write_customers"
DAYS = range(1, 11)
MISSING, LATE, TWICE = 6, 4, 7
QUERY = "SELECT id AS contact_id, 'gold' AS tier FROM people WHERE since < :as_of"


def key(day: int) -> str:
    return f"2026-11-{day:02}"


def _definitions(include: Path, snapshots: Path) -> None:
    """A directory that takes its snapshots, one that a team's own DAG writes, and followers."""
    take = {"connection": "shop", "schedule": "30 0 * * *", "start": "2027-01-01"}
    take["tables"] = {"contacts": QUERY}
    files = {
        "directories/shop": {"directory": "shop", "take": take},
        "directories/customers": {"directory": "customers", "complete_marker": "_SUCCESS"},
    }
    for name, workflow in (("shop", FOLLOWER), ("customers", "greet")):
        files[f"directories/{name}"] |= {"snapshots": str(snapshots / name), "consent": "none"}
        match = {"field": "tier", "equals": "gold"}
        files[f"segments/{name}"] = {"segment": name, "directory": name, "match": match}
        files[f"workflows/{workflow}"] = {
            "workflow": workflow,
            "segment": name,
            "changes": ["added"],
            "schedule": "on_snapshot",
            "start": "2026-11-01",
            "policies": {"max_age": None},
            "actions": [SLACK],
        }
    for place, content in files.items():
        path = include / f"{place}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))


@contextmanager
def _database() -> Iterator[dict[str, str | int | None]]:
    """Twenty old contacts, and one more each day: day03 on the 3rd; yields Airflow's connection."""
    admin = postgresql().execution_options(isolation_level="AUTOCOMMIT")
    name = f"segue_test_{uuid.uuid4().hex[:12]}"
    people = [{"id": f"old{n:02}", "since": "2026-10-01T00:00:00Z"} for n in range(20)]
    people += [{"id": f"day{day:02}", "since": f"{key(day)}T12:00:00Z"} for day in DAYS]
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        user = connection.exec_driver_sql("SELECT current_user").scalar_one()
    url = admin.url.set(database=name)
    own = create_engine(url, poolclass=NullPool)
    with own.begin() as connection:
        connection.execute(text("CREATE TABLE people (id TEXT, since TIMESTAMPTZ)"))
        connection.execute(text("INSERT INTO people VALUES (:id, :since)"), people)
    yield {
        "conn_type": "postgres",
        "host": url.host,
        "port": url.port,
        "schema": name,
        "login": user,
        "password": url.password,
    }
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def example() -> str:
    """Return the DAG of a team's own that docs/snapshots.md shows."""
    text = (ROOT / "docs/snapshots.md").read_text()
    [code] = [
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if OWN in block
    ]
    return str(code)


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An Airflow of its own: only where it schedules do events start runs."""
    home = tmp_path_factory.mktemp("landing")
    shutil.copytree(ROOT / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    code = example().replace("/data/customers", str(home / "snapshots/customers"))
    (home / "dags/write_customers.py").write_text(code)
    (home / "snapshots/customers").mkdir(parents=True)
    _definitions(home / "include", home / "snapshots")
    with _database() as shop, Sandbox() as sandbox:
        ledger = f"sqlite:///{home / 'segue.db'}"
        airflow = DrivenAirflow(
            home / "airflow",
            dags=home / "dags",
            environment={
                **connections(sandbox),
                "AIRFLOW_CONN_SHOP": json.dumps(shop),
                "SEGUE_HOME": str(home / "include"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(home / "state"),
            },
            with_triggerer=question_needs_triggerer(),
            scheduled=True,
        )
        with airflow:
            airflow.wait_for_dags(TAKE, FOLLOWER, OWN, "greet", seconds=480)
            for name in (TAKE, FOLLOWER, OWN, "greet"):
                airflow.unpause(name)
            yield World(home, airflow, sandbox, ledger)


def ended(world: World, dag_id: str, expected: int) -> list[dict]:
    """Wait until a DAG has so many runs and all have ended; return them, oldest first."""
    deadline = time.monotonic() + 300
    while True:
        world.airflow.alive()
        runs = world.airflow.call("GET", f"dags/{dag_id}/dagRuns?limit=100&order_by=run_after")
        states = Counter(run["state"] for run in runs["dag_runs"])
        if states["success"] + states["failed"] == expected == states.total():
            return list(runs["dag_runs"])
        assert time.monotonic() < deadline, (dag_id, states)
        time.sleep(0.5)


def take(world: World, day: int, taken: int) -> None:
    """Take a day's snapshot, and wait until what follows it has ended."""
    world.airflow.trigger(TAKE, {"key": key(day)})
    states = [run["state"] for run in ended(world, TAKE, taken)]
    assert set(states) == {"success"}
    states = [run["state"] for run in ended(world, FOLLOWER, taken)]
    assert set(states) == {"success"}


def spans(world: World, workflow: str) -> list[tuple[str, str]]:
    return [span.stretch.keys for span in world.ledger.runs.all_spans(workflow)]


def test_ten_days_one_late_one_twice_one_missing(landing: World, monkeypatch, capsys):
    """As by cron: the missing is bridged and told, the late one covered, nobody written to twice"""
    order = [day for day in DAYS if day not in {MISSING, LATE}]
    order.insert(order.index(LATE + 1) + 1, LATE)  # after a newer one
    order.insert(order.index(TWICE) + 1, TWICE)
    for number, day in enumerate(order, start=1):
        take(landing, day, number)
    compared = [day for day in DAYS if day not in {MISSING, LATE}]
    pairs = [(key(a), key(b)) for a, b in pairwise(compared)]
    assert spans(landing, FOLLOWER) == [(key(1), key(1)), *pairs]
    for day in DAYS:
        expected = Counter() if day == 1 else Counter({"slack": 1})
        assert landing.received(f"day{day:02} added") == expected, day
    runs = ended(landing, FOLLOWER, len(order))
    if PartitionedAssetTimetable is not None:
        assert [run["partition_key"] for run in runs] == [key(day) for day in order]
    outcomes = [landing.ledger.runs.find_run(FOLLOWER, run["dag_run_id"]).outcome for run in runs]
    again = [order.index(LATE), order.index(TWICE) + 1]
    assert [number for number, each in enumerate(outcomes) if each == "covered"] == again
    for name, value in landing.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["segue", "gaps", FOLLOWER])
    with pytest.raises(SystemExit):
        main()
    assert f"bridges the snapshot {key(MISSING)}, which was missing" in capsys.readouterr().err


def test_a_dag_of_a_teams_own_starts_what_follows(landing: World):
    """The example of docs/snapshots.md, run as a person triggers it."""
    for number, day in enumerate((1, 2), start=1):
        landing.airflow.trigger(OWN, {"day": key(day)})
        assert {run["state"] for run in ended(landing, OWN, number)} == {"success"}
        assert {run["state"] for run in ended(landing, "greet", number)} == {"success"}
    assert spans(landing, "greet") == [(key(1), key(1)), (key(1), key(2))]


@pytest.mark.skipif(PartitionedAssetTimetable is None, reason="Airflow 3.3's API names partitions")
def test_airflows_api_tells_of_a_snapshot_and_of_one_that_was_told_already(landing: World):
    assets = landing.airflow.call("GET", "assets?name_pattern=segue_snapshots_customers")
    body = {"asset_id": assets["assets"][0]["id"], "partition_key": key(2)}
    before = len(ended(landing, "greet", 2))
    landing.airflow.call("POST", "assets/events", json=body)
    last = ended(landing, "greet", before + 1)[-1]
    record = landing.ledger.runs.find_run("greet", last["dag_run_id"])
    assert (last["partition_key"], record.outcome) == (key(2), "covered")
