"""``segue try`` for real: its own Airflow reaches the look-alikes, and nobody else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.demo.run import connections
from segue.ledger import Ledger
from segue.sandbox.server import Sandbox

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(600)]


def segue(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "segue"), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


def test_a_trial_sends_everything_to_look_alikes_and_leaves_nothing(tmp_path: Path):
    """Not to the connections of this shell, which lead to a sandbox that stands for the world."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Sandbox() as world:
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("SEGUE_")},
            **connections(world),
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "SEGUE_HOME": str(tmp_path / "airflow/include"),
            "SEGUE_LEDGER": f"sqlite:///{tmp_path / 'segue.db'}",
            "TMPDIR": str(temporary),
        }
        assert segue(environment, "init").returncode == 0
        ledger = Ledger.open(environment["SEGUE_LEDGER"], "default")
        ledger.people.suppress(["C-3"], "una", "asked", datetime.now(UTC))
        answer = segue(environment, "try", "welcome_gold", "--format", "json")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        [message] = json.loads(answer.stdout)
        assert (message["service"], message["to"]) == ("smtp", "lukasz@example.com")
        assert message["text"].startswith("Dear Łukasz,")
        assert "3 deliveries" in answer.stderr
        assert world.messages() == []
    assert ledger.queries.list_deliveries() == []
    assert list(temporary.iterdir()) == []


def test_a_trial_that_fails_says_why(tmp_path: Path):
    """A template of a field that is not there: the run fails, as the real one would."""
    environment = {
        **{name: text for name, text in os.environ.items() if not name.startswith("SEGUE_")},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "SEGUE_HOME": str(tmp_path / "airflow/include"),
    }
    assert segue(environment, "init").returncode == 0
    workflow = tmp_path / "airflow/include/workflows/welcome_gold.yaml"
    workflow.write_text(workflow.read_text().replace("contact.first_name", "contact.nick_name"))
    answer = segue(environment, "try", "welcome_gold")
    assert answer.returncode == 1
    assert "missing field: contact.nick_name" in answer.stdout
    assert "the run failed; these are the last lines of its log" in answer.stderr
