"""What segue_release does on a real scheduler: it sends what a person asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow.world import SLACK, World

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]


def segue(world: World, *arguments: str) -> str:
    """Run the command line as a person does, and return what it printed."""
    environment = {**os.environ, **world.settings}
    command = [str(Path(sys.executable).parent / "segue"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def release(world: World) -> dict[tuple[str, int], str]:
    """Let segue_release run once; return the states of its tasks."""
    world.airflow.unpause("segue_release")
    before = len([run for run in world.airflow.runs() if run["dag_id"] == "segue_release"])
    run_id = world.airflow.trigger("segue_release")
    assert world.airflow.finish("segue_release", expected=before + 1)[run_id] == "success"
    return world.airflow.task_states("segue_release", run_id)


def test_what_failed_is_mended_asked_for_again_and_sent_once(world: World):
    """A contact without a name fails; the template gets a default; `segue retry` sends it."""
    run_id, state = world.pair("asked_again", "2026-11-01", "2026-11-02", expected=1)
    assert state == "failed"
    outcomes = world.outcomes("asked_again")
    assert outcomes["again2", "alert"].startswith("failed(text: missing field")
    world.workflow(
        "asked_again",
        [
            {
                **SLACK,
                "slack_message": {
                    "channel": "#team",
                    "text": "{{ contact.contact_id }} {{ contact.last_name | default('nobody') }}",
                },
            }
        ],
    )
    assert "request 1 is filed" in segue(world, "retry", "asked_again", "--yes")
    states = release(world)
    assert (states["find_work", -1], states["resume", 0]) == ("success", "success")
    [message] = world.sandbox.messages(service="slack", contains="again2")
    assert message.text == "again2 nobody"
    assert world.received("again1").total() == 1
    [request] = json.loads(segue(world, "requests", "--format", "json"))
    assert request["done_at"] is not None

    states = release(world)  # nothing is left to do
    assert ("resume", 0) not in states
    assert world.received("again2").total() == 1
    assert world.again("asked_again", run_id) == "success"
    assert world.received("again2").total() == 1
