"""A snapshot that Airflow takes from Qualtrics, over a connection that its database alone has."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.ledger import Ledger
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.qualtrics_api import TOKEN
from segue.workflows.catalog import Catalog
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import everything_stored
from tests.unit.upkeep.test_thinning import days, publish

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]
DIRECTORY = """
directory: xm
snapshots: ../../snapshots
keep: {days: 2}
take:
  schedule: "0 1 * * *"
  start: 2026-11-01
  qualtrics:
    directory: POOL_of200
    connection: xm_stored
    embedded_data: [tier]
    segments: all
"""


def test_a_snapshot_is_taken_over_a_connection_that_airflow_stores(tmp_path: Path):
    (tmp_path / "dags").mkdir()
    shutil.copy(ROOT / "dags/segue_dags.py", tmp_path / "dags")
    (tmp_path / "include/directories").mkdir(parents=True)
    (tmp_path / "include/directories/xm.yaml").write_text(DIRECTORY)
    publish(tmp_path / "snapshots", *days("2026-10-01", 3))
    Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "default").engine.dispose()
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)]),
        "SEGUE_HOME": str(tmp_path / "include"),
        "SEGUE_LEDGER": f"sqlite:///{tmp_path / 'segue.db'}",
        "SEGUE_STATE": str(tmp_path / "state"),
    }
    airflow = DrivenAirflow(tmp_path / "airflow", dags=tmp_path / "dags", environment=environment)
    with Sandbox() as sandbox:
        airflow.run("db", "migrate")
        place = {"conn_type": "segue_qualtrics", "host": f"{sandbox.url}/qualtrics"}
        connection = json.dumps({**place, "password": TOKEN})
        airflow.run("connections", "add", "xm_stored", "--conn-json", connection)
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "dags", "test", "segue_take_xm"],
            env=airflow.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-4_000:]
    directory = Catalog(tmp_path / "include").directory("xm")
    *earlier, snapshot = list_snapshots(directory, now=datetime.now(UTC))
    assert [each.key for each in earlier] == ["2026-10-03"]  # two had to go, and one is spared
    assert snapshot.complete, snapshot.why_incomplete
    tables = SnapshotTables(directory, snapshot)
    assert (tables.count("contacts"), tables.count("mailing_lists")) == (200, 70)
    assert re.search(r"snapshot \S+Z: 270 rows", done.stdout + done.stderr)
    texts = done.stdout + done.stderr + everything_stored(tmp_path / "airflow/airflow.db")
    assert "contact17@example.com" not in texts
