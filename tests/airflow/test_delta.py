"""A workflow over a Delta table on a real Airflow: four days, the last of them done again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from segue.demo.run import connections
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import SLACK, World
from tests.unit.directory.lakes.delta_tables import DeltaFolder

pytest.importorskip("deltalake")
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(900)]
TIERS = {  # at noon of each day of November: who is of which tier, all others being gone
    1: {"a": "-", "b": "-", "c": "gold", "d": "-"},
    2: {"a": "gold", "b": "-", "c": "gold", "d": "-"},
    3: {"a": "gold", "b": "gold", "c": "gold", "d": "-"},
    4: {"a": "-", "b": "gold", "d": "gold"},
    5: {"a": "gold", "b": "gold", "d": "gold", "e": "gold"},
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "dags").mkdir()
    shutil.copy(ROOT / "dags/segue_dags.py", tmp_path / "dags")
    ledger = f"sqlite:///{tmp_path / 'segue.db'}"
    with Sandbox() as sandbox:
        airflow = DrivenAirflow(
            tmp_path / "airflow",
            dags=tmp_path / "dags",
            environment={
                **connections(sandbox),
                "SEGUE_HOME": str(tmp_path / "include"),
                "SEGUE_LEDGER": ledger,
                "SEGUE_STATE": str(tmp_path / "state"),
            },
        )
        world = World(tmp_path, airflow, sandbox, ledger)
        world.workflow("lake", [SLACK])
        table = DeltaFolder(tmp_path / "lake" / "customers")
        for day, tiers in TIERS.items():
            rows = pa.table({"contact_id": list(tiers), "tier": list(tiers.values())})
            table.write(datetime(2026, 11, day, 12, tzinfo=UTC), rows, mode="overwrite")
        lake = {"format": "delta", "tables": {"contacts": "../../lake/customers"}}
        definition = {"directory": "lake", "consent": "none", "lake": lake}
        path = tmp_path / "include" / "directories" / "lake.yaml"
        path.write_text(yaml.safe_dump(definition))
        with airflow:
            airflow.wait_for_dags("lake", seconds=480)
            airflow.unpause("lake")
            yield world


def test_days_of_a_delta_table_are_delivered_once(world: World) -> None:
    states = world.days("lake", 3, 6)
    assert set(states.values()) == {"success"}
    expected = {"a added": 2, "b added": 1, "c added": 0, "d added": 1, "e added": 1}
    assert {text: world.received(text)["slack"] for text in expected} == expected
    run_id = max(states)
    world.airflow.clear("lake", run_id)  # the day is read again, and nothing is sent again
    assert world.airflow.finish("lake", expected=4, seconds=480)[run_id] == "success"
    assert {text: world.received(text)["slack"] for text in expected} == expected
