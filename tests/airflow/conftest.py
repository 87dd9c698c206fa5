"""One Airflow for all scheduler tests: the DAGs of dags/, with definitions of the tests' own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.airflow_compat import question_needs_triggerer
from segue.demo.run import connections
from segue.sandbox.server import Sandbox
from tests.airflow import definitions
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import World

ROOT = Path(__file__).resolve().parents[2]


HERE = Path(__file__).parent
_running: list[DrivenAirflow] = []


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End Airflow with the folder: idle, it would take a quarter of a core from all other tests."""
    if nextitem is None or nextitem.path.parent != HERE:
        while _running:
            _running.pop().stop()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running Airflow, and the sandbox that its connections lead to."""
    home = tmp_path_factory.mktemp("world")
    dags = home / "dags"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/airflow/guard_that_releases_nothing.py", dags)
    modules = home / "modules"
    modules.mkdir()
    shutil.copy(ROOT / "tests/airflow/told.py", modules)
    ledger = f"sqlite:///{home / 'segue.db'}"
    with Sandbox() as sandbox:
        airflow = DrivenAirflow(
            home / "airflow",
            dags=dags,
            environment={
                **connections(sandbox),
                "PYTHONPATH": os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")]),
                "SEGUE_HOME": str(home / "include"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(home / "state"),
            },
            with_triggerer=question_needs_triggerer(),
        )
        made = World(home, airflow, sandbox, ledger)
        definitions.write(made)
        with airflow:
            _running.append(airflow)
            airflow.wait_for_dags(*definitions.NAMES, seconds=480)
            for name in definitions.NAMES:
                airflow.unpause(name)
            yield made
