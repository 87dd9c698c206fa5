"""Two projects in one Airflow, one of them in a Git bundle that is edited while it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from segue.demo.run import connections
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import EMAIL, SLACK, World, contact

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
NAME = "welcome_growth"
SYNCED = "welcome_synced"
RELEASE = "segue_release_growth"
DAG_FILE = """\
\"\"\"Airflow DAGs of the project growth.\"\"\"
from segue.dag_builder import all_dags, check_definitions

globals().update(all_dags(__file__, project="growth"))
check_definitions(__file__, project="growth")
"""


class Repository:
    """A Git repository with a project's DAG file and definitions, as a team has one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "dags").mkdir(parents=True)
        (folder / "dags/growth_dags.py").write_text(DAG_FILE)
        self._git("init", "-q", "-b", "main")

    def commit(self) -> str:
        """Commit everything; return the commit."""
        self._git("add", "-A")
        self._git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "edit")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Growth(World):
    """The world of the project growth, whose definitions are in the repository."""

    def define(self, version: str, *, quiet: bool) -> None:
        """Write the definitions; each message says which version of them it is of."""
        now = datetime.now(UTC)
        begin, end = (f"{now + timedelta(hours=hours):%H:%M}" for hours in (-1, 2))
        slack, mail = SLACK["slack_message"], EMAIL["email"]
        actions: list[dict[str, Any]] = [
            {
                **SLACK,
                "slack_message": {**slack, "text": f"{version} {{{{ contact.contact_id }}}}"},
            },
            {**EMAIL, "email": {**mail, "subject": f"{version} hello"}},
        ]
        policies: dict[str, Any] = {"max_age": None}
        if quiet:
            policies["quiet_hours"] = {"from": begin, "to": end, "timezone": "UTC"}
        self.workflow(NAME, actions, policies=policies, guard={"at_most": 1})
        self._write(
            "directories",
            NAME,
            {
                "directory": NAME,
                "snapshots": str(self.home.parent / "snapshots"),
                "complete_marker": "_SUCCESS",
            },
        )


def synced_checkout(root: Path, version: str) -> Path:
    """Write a checkout of the project without a name: its DAG files and definitions."""
    folder = root / ".worktrees" / version
    (folder / "dags").mkdir(parents=True)
    for name in ("segue_dags.py", "segue_definitions_check.py"):
        shutil.copy(ROOT / "dags" / name, folder / "dags")
    texts = {"text": version + " {{ contact.contact_id }} of the link"}
    action = {**SLACK, "slack_message": {**SLACK["slack_message"], **texts}}
    world = World(folder, None, None, "")  # type: ignore[arg-type] - it only writes
    world.workflow(SYNCED, [action], guard={"at_most": 1})
    directory = folder / "include/directories" / f"{SYNCED}.yaml"
    directory.write_text(
        f"directory: {SYNCED}\nsnapshots: {root.parent / 'snapshots'}\ncomplete_marker: _SUCCESS\n"
    )
    return folder


@pytest.fixture(scope="module")
def growth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Growth, Repository]]:
    """An Airflow with a DAGs folder of its own project, and the Git bundle ``growth``."""
    home = tmp_path_factory.mktemp("bundles")
    repository = Repository(home / "growth")
    unnamed = home / "synced/current"  # as git-sync has it: a link to a hidden checkout
    unnamed.parent.mkdir()
    synced_checkout(unnamed.parent, "first")
    unnamed.symlink_to(".worktrees/first")
    for key, tier in (("2026-11-01", "silver"), ("2026-11-02", "gold")):
        folder = home / "snapshots" / key
        folder.mkdir(parents=True)
        rows = [contact(name, tier=tier) for name in ("ann", "bob")]
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        (folder / "contacts.csv").write_text("\n".join(lines))
        (folder / "_SUCCESS").touch()
    bundles = [
        {
            "name": "unnamed",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(unnamed / "dags")},
        },
        {
            "name": "growth",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {
                "repo_url": str(repository.folder),
                "tracking_ref": "main",
                "subdir": "dags",
                "refresh_interval": 2,
            },
        },
    ]
    ledger = f"sqlite:///{home / 'segue.db'}"
    with Sandbox() as sandbox:
        airflow = DrivenAirflow(
            home / "airflow",
            dags=unnamed / "dags",
            environment={
                **connections(sandbox),
                "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
                # a commit that leaves the DAG file alone is read when the file is due again
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
                "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "checkouts"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(home / "state"),
            },
        )
        made = Growth(repository.folder, airflow, sandbox, ledger)
        made.define("first", quiet=True)
        repository.commit()
        with airflow:
            names = (NAME, SYNCED, RELEASE, "segue_release")
            airflow.wait_for_dags(*names, seconds=240)
            for name in names:
                airflow.unpause(name)
            yield made, repository


def read_by_airflow(growth: Growth, version: str) -> None:
    """Wait until Airflow has read a version of the bundle."""
    deadline = time.monotonic() + 120
    while growth.airflow.call("GET", f"dags/{NAME}")["bundle_version"] != version:
        assert time.monotonic() < deadline, "the new commit was not read"
        time.sleep(1)


def release(growth: Growth, dag_id: str) -> dict[tuple[str, int], str]:
    before = len([run for run in growth.airflow.runs() if run["dag_id"] == dag_id])
    run_id = growth.airflow.trigger(dag_id)
    assert growth.airflow.finish(dag_id, expected=before + 1)[run_id] == "success"
    return growth.airflow.task_states(dag_id, run_id)


def texts(growth: Growth, service: str) -> list[str]:
    return sorted(message.text for message in growth.sandbox.messages(service=service))


def growths_texts(growth: Growth) -> list[str]:
    return [text for text in texts(growth, "slack") if "of the link" not in text]


def test_a_run_ends_with_the_version_it_began_with_and_what_it_held_is_judged_by_the_present(
    growth,
):
    """A commit while the guard asks; then the other project's release, and its own."""
    world, repository = growth
    run_id = world.begin(NAME)[NAME]
    world.asked(NAME, run_id)
    world.define("second", quiet=False)
    read_by_airflow(world, repository.commit())
    world.answer(NAME, run_id, "Approve")
    assert world.end(NAME, run_id) == "success"
    assert growths_texts(world) == ["first ann", "first bob"]
    held = {state for (_, action), state in world.outcomes(NAME).items() if action == "mail"}
    assert {state.partition("(")[0] for state in held} == {"held"}
    assert texts(world, "smtp") == []

    due = {"held_until": datetime.now(UTC) - timedelta(minutes=1)}
    with world.ledger.engine.begin() as connection:
        is_held = deliveries.c.state == State.HELD
        connection.execute(update(deliveries).where(is_held).values(due))
    assert ("resume", 0) not in release(world, "segue_release")
    assert len([one for one in world.outcomes(NAME).values() if one.startswith("held")]) == 2
    assert release(world, RELEASE)["resume", 0] == "success"
    subjects = sorted(mail.subject for mail in world.sandbox.messages(service="smtp"))
    assert subjects == ["second hello", "second hello"]
    assert growths_texts(world) == ["first ann", "first bob"]


def test_pages_read_the_definitions_of_a_bundle_that_nobody_has_set(growth):
    """The API server makes a checkout of its own by Airflow's class, as a worker does."""
    world, _ = growth
    address = f"{world.airflow.url}/segue/workflow"
    answer = world.airflow.get(address, params={"workflow": NAME})
    assert f"segment=growth%2F{NAME}" in answer
    assert "not among those that this server reads" not in answer


def test_a_link_that_is_swapped_in_the_middle_of_a_run_leads_its_tasks_to_the_new_checkout(growth):
    """As git-sync swaps it; the old checkout is gone at once. Nothing fails and nothing is lost."""
    world, _ = growth
    run_id = world.begin(SYNCED)[SYNCED]
    world.asked(SYNCED, run_id)
    root = world.home.parent / "synced"
    synced_checkout(root, "second")
    (root / "next").symlink_to(".worktrees/second")
    (root / "next").replace(root / "current")
    shutil.rmtree(root / ".worktrees/first")
    world.answer(SYNCED, run_id, "Approve")
    assert world.end(SYNCED, run_id) == "success"
    synced = [text for text in texts(world, "slack") if "of the link" in text]
    assert synced == ["second ann of the link", "second bob of the link"]
