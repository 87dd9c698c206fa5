"""Real runs by ``airflow dags test``: of a workflow, and of a directory's takes."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from sqlalchemy import URL, create_engine, text

from segue.demo.run import connections
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.errors import SegueError
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import SLACK, World, contact

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = {"2026-11-01": "a", "2026-11-02": "ab", "2026-11-03": "abc", "2026-11-04": "abcd"}

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> DrivenAirflow:
    """An Airflow of which nothing runs but what a command runs."""
    home = tmp_path_factory.mktemp("alone")
    (home / "dags").mkdir()
    shutil.copy(ROOT / "dags/segue_dags.py", home / "dags")
    made = DrivenAirflow(
        home / "airflow",
        dags=home / "dags",
        environment={
            **connections(sandbox),
            "PYTHONPATH": str(ROOT / "plugins"),
            "SEGUE_HOME": str(home / "include"),
            "SEGUE_LEDGER": f"sqlite:///{home / 'segue.db'}",
            "SEGUE_STATE": str(home / "state"),
        },
    )
    made.run("db", "migrate")
    return made


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def world(airflow: DrivenAirflow, sandbox: Sandbox) -> World:
    home = airflow.home.parent
    made = World(home, airflow, sandbox, f"sqlite:///{home / 'segue.db'}")
    for name in ("by_clock", "by_hand"):
        for key, golden in GOLDEN.items():
            rows = [contact(f"{name}-{x}", tier="gold" if x in golden else "-") for x in "abcdef"]
            made.snapshot(name, key, rows)
    lenient = {"guard": {"share": None, "shrunk_to": None}, "policies": {"max_age": None}}
    made.workflow("by_clock", [SLACK], **lenient)
    made.workflow("by_hand", [SLACK], schedule=None, **lenient)
    return made


@pytest.mark.parametrize("name", [pytest.param("by_clock", marks=pytest.mark.slow), "by_hand"])
def test_dags_test_acts_on_the_date_that_it_is_given(world, name):
    """And not on the newest snapshot, be there a schedule or none; the same date is done once."""
    for _ in range(2 if name == "by_clock" else 1):
        world.airflow.run("dags", "test", name, "2026-11-04T06:00:00+00:00")
    assert world.outcomes(name) == {(f"{name}-c", "alert"): "delivered"}
    assert world.received(name) == {"slack": 1}


@pytest.mark.slow
def test_dags_test_ends_where_a_connection_does_not_work_and_goes_on_when_it_is_mended(world):
    """Its retries would take a day, in the foreground."""
    world.workflow("broken", [SLACK], guard={"share": None}, policies={"max_age": None})
    for key in ("2026-11-03", "2026-11-04"):
        rows = [contact(f"broken-{x}", tier="gold" if key[-1] == "4" else "-") for x in "ab"]
        world.snapshot("broken", key, rows)
    world.sandbox.fault("slack", "unauthorized", times=100)
    command = ("dags", "test", "broken", "2026-11-05T06:00:00+00:00")
    with pytest.raises(SegueError, match="2 deliveries were not tried to the end"):
        world.airflow.run(*command)
    outcomes = world.outcomes("broken").values()
    assert [each.startswith("released(Slack answered") for each in outcomes] == [True, True]
    world.sandbox.clear()
    world.airflow.run(*command)
    assert set(world.outcomes("broken").values()) == {"delivered"}


ALERTS = """
from pathlib import Path
HERE = Path(__file__).parent / "alerts.txt"
def page(context):
    with HERE.open("a") as file:
        print(context["dag_run"].dag_id, getattr(context.get("ti"), "task_id", "-"), file=file)
"""


@pytest.mark.slow
def test_a_task_that_takes_too_long_ends_in_order_and_the_rest_is_sent_by_the_next(world):
    """At the timeout one call is under way: it is heard to its end. A function hears of it."""
    modules = world.home / "modules"
    modules.mkdir()
    (modules / "our_alerts.py").write_text(ALERTS)
    world.airflow.environment["PYTHONPATH"] += f"{os.pathsep}{modules}"
    names = [f"late-{number}" for number in range(8)]
    for key in ("2026-11-03", "2026-11-04"):
        rows = [contact(name, tier="gold" if key[-1] == "4" else "-") for name in names]
        world.snapshot("late", key, rows)
    own = {"execution_timeout": "4s", "on_failure_callback": "our_alerts.page"}
    lenient = {"guard": {"share": None}, "policies": {"max_age": None}, "branches": {"max": 1}}
    world.workflow("late", [{**SLACK, "airflow": own}], **lenient)
    world.sandbox.fault("slack", "time_out_after_effect", match="late-2", delay=5)
    command = ("dags", "test", "late", "2026-11-05T06:00:00+00:00")
    with pytest.raises(SegueError, match="deliveries were not tried to the end"):
        world.airflow.run(*command)
    outcomes = Counter(world.outcomes("late").values())
    assert 0 < outcomes["delivered"] < len(names)
    assert {state.split("(")[0] for state in outcomes} == {"delivered", "released"}
    assert (modules / "alerts.txt").read_text() == "late contact.alert\n"
    world.workflow("late", [{**SLACK, "airflow": {"execution_timeout": "5m"}}], **lenient)
    world.airflow.run(*command)
    assert set(world.outcomes("late").values()) == {"delivered"}
    assert [world.received(name)["slack"] for name in names] == [1] * len(names)


# ---- a directory that takes its own snapshots ---------------------------------------------------

TABLES = """
CREATE TABLE customers (
    id text, first_name text, no_mail boolean, valid_from timestamptz, valid_to timestamptz
);
INSERT INTO customers VALUES
('007', 'Ann', false, '2026-01-01', '2026-11-20 12:00Z'),
('008', 'Łukasz', true, '2026-11-20 12:00Z', 'infinity');
"""
HISTORY = (
    "SELECT id AS contact_id, first_name, no_mail FROM customers "
    "WHERE valid_from <= :as_of AND valid_to > :as_of"
)
PRESENT = {"query": "SELECT id AS contact_id, no_mail FROM customers", "knows": "now"}


Define = Callable[[str, object], DirectoryDefinition]


@pytest.fixture
def warehouse(airflow: DrivenAirflow, new_database: URL) -> URL:
    """A database of customers that Airflow has a connection to."""
    engine = create_engine(new_database)
    with engine.begin() as connection:
        connection.execute(text(TABLES))
    engine.dispose()
    url = new_database.set(drivername="postgres").render_as_string(hide_password=False)
    airflow.environment["AIRFLOW_CONN_WAREHOUSE"] = url
    return new_database


@pytest.fixture
def taken(
    airflow: DrivenAirflow, world: World, tmp_path: Path
) -> Callable[..., DirectoryDefinition]:
    """A directory of the world whose contacts are taken by such a query."""

    def define(name: str, contacts: object) -> DirectoryDefinition:
        root = tmp_path / name
        root.mkdir()
        content = {
            "directory": name,
            "snapshots": str(root),
            "timezone": "Europe/London",
            "consent": {"opted_out": "no_mail"},
            "take": {
                "connection": "warehouse",
                "schedule": "30 0 * * *",
                "start": "2026-11-01",
                "tables": {"contacts": contacts},
            },
        }
        path = airflow.home.parent / "include/directories" / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return DirectoryDefinition.model_validate(content)

    return define


def ids_by_key(directory: DirectoryDefinition) -> dict[str, list[str]]:
    """Return the contacts of each complete snapshot."""
    snapshots = list_snapshots(directory, now=datetime.now(UTC))
    return {
        item.key: SnapshotTables(directory, item).contacts([])["contact_id"].tolist()
        for item in snapshots
        if item.complete
    }


@pytest.mark.postgres
@pytest.mark.parametrize("day", [20, pytest.param(21, marks=pytest.mark.slow)])
def test_a_directory_takes_the_day_that_its_run_is_of(airflow, warehouse, taken, day):
    """Before and after the change of the 20th at noon."""
    directory = taken(f"history_{day}", HISTORY)
    airflow.run("dags", "test", f"segue_take_history_{day}", f"2026-11-{day}T00:30:00+00:00")
    ids = {20: {"2026-11-19": ["007"]}, 21: {"2026-11-20": ["008"]}}
    assert ids_by_key(directory) == ids[day]


@pytest.mark.postgres
def test_what_knows_only_the_present_is_not_taken_for_the_past(airflow, warehouse, taken):
    directory = taken("present", PRESENT)
    output = airflow.run("dags", "test", "segue_take_present", "2026-11-02T00:30:00+00:00")
    assert "contacts (`knows: now`) would give it the rows of the present" in output
    assert ids_by_key(directory) == {}
