"""Waiting for a snapshot in Airflow's triggerer, with a triggerer and without."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.demo.run import connections
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import PAIR, SLACK, World, contact

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[World]:
    """A workflow that waits in a triggerer for its second snapshot, and an Airflow with one."""
    (tmp_path / "dags").mkdir()
    shutil.copy(ROOT / "dags/segue_dags.py", tmp_path / "dags")
    ledger = f"sqlite:///{tmp_path / 'segue.db'}"
    with Sandbox() as sandbox:
        airflow = DrivenAirflow(
            tmp_path / "airflow",
            dags=tmp_path / "dags",
            with_triggerer=True,
            environment={
                **connections(sandbox),
                "SEGUE_HOME": str(tmp_path / "include"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(tmp_path / "state"),
            },
        )
        world = World(tmp_path, airflow, sandbox, ledger)
        world.snapshot("patient", "2026-11-01", [contact("a", tier="-")])
        world.workflow("patient", [SLACK], airflow={"deferrable": True})
        with airflow:
            airflow.wait_for_dags("patient", seconds=480)
            airflow.unpause("patient")
            yield world


def test_a_run_that_waits_in_the_triggerer_goes_on_with_the_news(patient: World):
    run_id = patient.begin("patient", **PAIR)["patient"]
    deadline = time.monotonic() + 240
    while (state := states(patient, run_id).get("wait_for_snapshot")) != "deferred":
        assert time.monotonic() < deadline, state
        time.sleep(1)
    patient.snapshot("patient", "2026-11-02", [contact("a")])
    assert patient.end("patient", run_id) == "success"
    assert patient.received("a added") == {"slack": 1}


def states(world: World, run_id: str) -> dict[str, str]:
    return {
        task: state for (task, _), state in world.airflow.task_states("patient", run_id).items()
    }
