"""Real runs by ``airflow dags test``: of a workflow, and of the snapshot DAG in the docs."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
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
PAGE = (ROOT / "docs/snapshots.md").read_text()
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


# ---- the DAG that photographs a database --------------------------------------------------------

TABLES = """
CREATE TABLE customers (
    id text, first_name text, last_name text, email text, phone text, unsubscribed boolean,
    tier text, created_at timestamptz, valid_from timestamptz, valid_to timestamptz
);
INSERT INTO customers VALUES
('007', 'Ann', 'O"Neil, A.', 'ann@example.com', NULL, false, 'gold', '2026-01-01', '2026-01-01',
 '2026-11-20 12:00Z'),
('008', 'Łukasz', NULL, '', '+44', true, 'silver', '2026-01-01', '2026-11-20 12:00Z', 'infinity'),
('009', 'Late', NULL, NULL, NULL, NULL, 'gold', 'infinity', 'infinity', 'infinity');
CREATE TABLE events (customer_id text, occurred_at timestamptz, type text, amount numeric);
INSERT INTO events VALUES
('007', now() - interval '1 day', 'purchase', 12.50), ('007', '2020-01-01', 'purchase', 1);
"""


def blocks() -> tuple[str, str]:
    """Return the page's DAG, and the task of a database that keeps history."""
    section = PAGE.split("## A DAG that photographs a database")[1].split("\n## ")[0]
    whole, task = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return whole, task


def of_history(whole: str, task: str) -> str:
    """Change the DAG as the second block's comment says."""
    body = re.sub(r"(?ms)^    @task.*?^    photograph\(\)$", f"{task}\n    photograph()", whole)
    present = "created_at < %(as_of)s"
    past = "valid_from <= %(as_of)s AND valid_to > %(as_of)s"
    for old, new in {
        present: past,
        "catchup=False": "catchup=True",
        '"30 0 * * *"': 'CronDataIntervalTimetable("0 0 * * *", timezone="Europe/London")',
        "import DAG, BaseHook, task": "import DAG, BaseHook, CronDataIntervalTimetable, task",
        "from pathlib import Path\n": "from pathlib import Path\nfrom zoneinfo import ZoneInfo\n",
        '"snapshot_customers"': '"snapshot_history"',
    }.items():
        assert old in body, old
        body = body.replace(old, new)
    return body


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


def tables_of(root: Path) -> list[SnapshotTables]:
    """Return the complete snapshots of a folder, as runs read them."""
    fields = {"directory": "customers", "snapshots": str(root), "complete_marker": "_SUCCESS"}
    directory = DirectoryDefinition.model_validate({**fields, "timezone": "Europe/London"})
    snapshots = list_snapshots(directory, now=datetime.now(UTC))
    return [SnapshotTables(directory, item) for item in snapshots if item.complete]


def ids_of(tables: SnapshotTables) -> list[str]:
    return tables.contacts(["unsubscribed"])["contact_id"].tolist()


@pytest.mark.postgres
def test_the_dag_in_the_docs_photographs_the_present(airflow, warehouse, tmp_path):
    """The snapshot is named by the instant of reading, whatever date the run is of."""
    root = tmp_path / "customers"
    whole = blocks()[0].replace("/mnt/segue/customers", str(root))
    (airflow.home.parent / "dags/snapshot_customers.py").write_text(whole)
    airflow.run("dags", "test", "snapshot_customers", "2026-11-02T00:30:00+00:00")
    [tables] = tables_of(root)
    age = datetime.now(UTC) - tables.snapshot.as_of
    assert timedelta(0) <= age < timedelta(minutes=5)
    assert ids_of(tables) == ["007", "008"]
    assert tables.contacts(["last_name"])["last_name"].iloc[0] == 'O"Neil, A.'
    assert tables.rows("transactions")["amount"].tolist() == ["12.50"]


@pytest.mark.slow
@pytest.mark.postgres
def test_with_history_a_day_is_written_as_it_was(airflow, warehouse, tmp_path):
    """Before and after the change of the 20th at noon."""
    root = tmp_path / "customers"
    whole = of_history(*blocks()).replace("/mnt/segue/customers", str(root))
    (airflow.home.parent / "dags/snapshot_history.py").write_text(whole)
    for day in (20, 21):
        airflow.run("dags", "test", "snapshot_history", f"2026-11-{day}T00:00:00+00:00")
    found = {tables.snapshot.key: ids_of(tables) for tables in tables_of(root)}
    assert found == {"2026-11-19": ["007"], "2026-11-20": ["008"]}
