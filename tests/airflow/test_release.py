"""What segue_release does on a real scheduler: it sends, and tries, what a person asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from segue.ledger.schema import deliveries
from tests.airflow.world import SLACK, World, contact

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]


def begun(world: World, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Begin a command as a person does."""
    command = [str(Path(sys.executable).parent / "segue"), *arguments]
    settings = {**os.environ, **world.settings, **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=settings, stdout=pipe, stderr=pipe, text=True)


def segue(world: World, *arguments: str) -> str:
    """Run the command line to its end, and return what it printed."""
    running = begun(world, *arguments)
    out, err = running.communicate(timeout=240)
    assert running.returncode == 0, out + err
    return out


def waited_for(world: World, *arguments: str) -> tuple[int, str, str]:
    """Run a command that waits for segue_release, which comes by; return code, stdout, stderr."""
    before = len(world.ledger.people.list_requests())
    running = begun(world, *arguments)
    deadline = time.monotonic() + 240
    while len(world.ledger.people.list_requests()) == before:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert release(world)["try_out", -1] == "success"
    out, err = running.communicate(timeout=240)
    return running.returncode, out, err


def release(world: World) -> dict[tuple[str, int], str]:
    """Let segue_release run once; return the states of its tasks."""
    world.airflow.unpause("segue_release")
    before = len([run for run in world.airflow.runs() if run["dag_id"] == "segue_release"])
    run_id = world.airflow.trigger("segue_release")
    assert world.airflow.finish("segue_release", expected=before + 1)[run_id] == "success"
    return world.airflow.task_states("segue_release", run_id)


def test_what_failed_is_mended_asked_for_again_and_sent_once(world: World):
    """A contact without a name fails; the template gets a default; `segue retry` sends it.

    Not while the workflow's DAG is paused.
    """
    run_id, state = world.pair("asked_again")
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
    world.airflow.pause("asked_again")
    release(world)
    assert world.outcomes("asked_again")["again2", "alert"].startswith("held(retry requested")
    world.airflow.unpause("asked_again")
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


def test_an_action_that_waits_is_sent_when_its_wait_is_over(world: World):
    """Not by the run, not by segue_release before that, and not to who has left by then."""
    run_id, state = world.pair("journeys")
    assert state == "success"
    states = world.airflow.task_states("journeys", run_id)
    assert {state for (task, _), state in states.items() if task.endswith("alert")} == {"skipped"}
    assert world.outcomes("journeys")["journey1", "alert"] == "waiting(wait)"
    world.snapshot("journeys", "2026-11-03", [contact("journey1"), contact("journey2", tier="tin")])
    release(world)
    assert world.outcomes("journeys")["journey1", "alert"] == "waiting(wait)"
    quarter_of_an_hour_passes(world, "journeys")
    world.snapshot(
        "journeys", "2026-11-04", [contact("journey1"), contact("journey2", tier="silver")]
    )
    release(world)
    assert world.outcomes("journeys") == {
        **{(f"journey{n}", "ticket"): "delivered" for n in (1, 2)},
        ("journey1", "alert"): "delivered",
        ("journey2", "alert"): "skipped(left)",
    }
    assert world.again("journeys", run_id) == "success"
    release(world)
    slack = [found.text for found in world.sandbox.messages(service="slack", contains="journey")]
    assert slack == ["journey1 added"]


def quarter_of_an_hour_passes(world: World, workflow: str) -> None:
    """Let what a workflow has delivered, and what waits of it, be a quarter of an hour older."""
    with world.ledger.engine.begin() as connection:
        for column in (deliveries.c.held_until, deliveries.c.delivered_at):
            mine = deliveries.c.workflow == workflow, column.is_not(None)
            for key, instant in connection.execute(select(deliveries.c.key, column).where(*mine)):
                row = update(deliveries).where(deliveries.c.key == key)
                connection.execute(row.values({column: instant - timedelta(minutes=15)}))


def test_connections_are_tried_and_nothing_is_sent(world: World):
    before = len(world.sandbox.messages())
    code, out, err = waited_for(world, "check-connections", "tried_out", "--format", "json")
    found = {(row["connection"], row["channel"]): row for row in json.loads(out)}
    assert {place: row["result"] for place, row in found.items()} == {
        ("absent", "slack_message"): "failed",
        ("slack_default", "slack_message"): "ok",
        ("smtp_default", "email"): "untried",
        ("zendesk_default", "http_request"): "ok",
        ("zendesk_default", "zendesk_ticket"): "ok",
    }
    absent = found["absent", "slack_message"]
    assert "'absent'" in absent["detail"]
    assert absent["used_by"] == ["tried_out.lost"]
    assert found["slack_default", "slack_message"]["detail"] == "segue in the workspace Sandbox"
    assert code == 1
    assert "5 connections: 3 ok, 1 untried, 1 failed" in err
    assert len(world.sandbox.messages()) == before
    assert "xoxb" not in out + err


@pytest.mark.parametrize(
    ("action", "to", "service"),
    [("mail", "tester@example.com", "smtp"), ("alert", "#tests", "slack")],
)
def test_a_tester_gets_the_contacts_message_and_the_contact_none(world, action, to, service):
    arguments = ("tried_out", "--contact", "tried1", "--to", to, "--action", action)
    code, out, err = waited_for(world, "send-test", *arguments)
    assert (code, out.startswith(f"sent to {to} as ")) == (0, True), out + err
    [message] = [
        found
        for found in world.sandbox.messages(service=service, contains="tried1")
        if found.to == to
    ]
    if service == "smtp":
        assert message.fields["rcpt_to"] == [to]
        assert (message.subject, message.text.strip()) == ("[test] Hello", "Firstname-tried1")
        assert "boss@" not in message.raw["mail"]
    else:
        assert message.text == "[test] tried1 added"
    assert world.received("tried1@people.example.com").total() == 0
    assert world.ledger.queries.list_deliveries(workflow="tried_out") == []
    assert "Firstname-tried1" not in out + world.everything_airflow_stores() + world.logs()


def test_conditions_that_would_have_held_it_back_are_told(world: World):
    arguments = ("tried_out", "--contact", "tried2", "--to", "tester@example.com")
    code, out, _ = waited_for(world, "send-test", *arguments, "--action", "mail")
    assert code == 0
    assert out.rstrip().endswith("; a run would not have sent it: skipped (conditions)")
    assert world.received("Firstname-tried2").total() == 1


def test_nobody_waits_where_segue_release_is_paused(world: World):
    world.airflow.pause("segue_release")
    arguments = ("check-connections", "tried_out", "--timeout", "4m")
    running = begun(world, *arguments, **world.airflow.environment)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (2, "")
    assert "segue_release is paused, and carries out nothing" in err
    assert "airflow dags unpause segue_release" in err
    assert "nobody carries request" in err
    release(world)
    assert world.ledger.people.open_trials() == []
