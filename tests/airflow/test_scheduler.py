"""What a workflow does on a real scheduler, with servers that count what they receive."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.airflow import definitions
from tests.airflow.world import World

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]


BY_HAND = ("conditions_hold_back", "guarded", "one_fails", "slice_of_hundreds", "consent")


@pytest.fixture(scope="module")
def runs(world: World) -> dict[str, str]:
    """The ids of one run by hand of each workflow that needs no other, by the workflow."""
    return world.begin(*BY_HAND)


@pytest.fixture(scope="module")
def held_back(world: World, runs) -> str:
    """The finished run of four contacts, two of whom have no phone."""
    run_id = runs["conditions_hold_back"]
    assert world.end("conditions_hold_back", run_id) == "success"
    return run_id


def test_a_condition_that_fails_holds_back_that_contact_alone(world: World, held_back: str):
    """Two of four contacts have no phone: their action tasks are skipped, nothing is sent."""
    name = "conditions_hold_back"
    states = world.airflow.task_states(name, held_back)
    for index, contact_id in enumerate(("cond0", "cond1", "cond2", "cond3")):
        expected = "skipped" if index % 2 else "success"
        tasks = ("conditions", "ticket", "alert", "mail")
        assert {states[f"contact.{task}", index] for task in tasks} == {expected}
        assert world.received(contact_id).total() == (0 if index % 2 else 3)
    outcomes = world.outcomes(name)
    assert outcomes["cond1", "mail"] == "skipped(conditions)"
    assert outcomes["cond2", "alert"] == "delivered"
    [slack] = world.sandbox.messages(service="slack", contains="cond2")
    assert slack.text == "cond2 added"


def test_each_branch_is_labelled_with_its_contact(world: World, held_back: str):
    """The mapped instances carry contact ids in the grid."""
    path = f"dags/conditions_hold_back/dagRuns/{held_back}/taskInstances?limit=100"
    found = world.airflow.call("GET", path)["task_instances"]
    labels = {
        item["rendered_map_index"] for item in found if item["task_id"] == "contact.conditions"
    }
    assert labels == {"cond0", "cond1", "cond2", "cond3"}


def test_a_guard_that_releases_nothing_means_nothing_is_sent(world: World, runs):
    """Every action task runs, those behind ``after`` too; the servers hear nothing."""
    run_id = runs["guarded"]
    assert world.end("guarded", run_id) == "failed"  # by its report: three were never tried
    states = world.airflow.task_states("guarded", run_id)
    assert states["contact.conditions", 0] == "success"
    tasks = ("contact.ticket", "contact.alert", "contact.mail")
    assert {states[task, 0] for task in tasks} == {"skipped"}  # they ran, and sent nothing
    assert world.received("guard1") == Counter()
    assert set(world.outcomes("guarded").values()) == {"planned"}


def run_of_day(day: int) -> str:
    """The id of the run whose interval ends on a day."""
    return f"backfill__2026-11-{day:02}T06:00:00+00:00"


def test_nothing_is_sent_twice_however_a_day_is_done_again(world: World):
    """Clear a task, clear the run, run the pair again, backfill over it and the next: each once."""
    once = Counter({"zendesk": 1, "slack": 1})
    run_id = run_of_day(3)
    assert world.days("once", 3, 3) == {run_id: "success"}
    assert world.received("once1") == once
    assert world.again("once", run_id, "contact.ticket") == "success"
    assert world.again("once", run_id) == "success"
    by_hand, state = world.pair("once", expected=2)
    assert state == "success"
    assert world.airflow.task_states("once", by_hand)["detect_changes", -1] == "skipped"
    covered = world.ledger.runs.find_run("once", by_hand)
    assert (covered.outcome, run_id in covered.reason) == ("covered", True)
    states = world.days("once", 3, 4)
    assert states == dict.fromkeys(map(run_of_day, (3, 4)), "success")
    for number in range(1, 5):
        assert world.received(f"once{number}") == once
    assert world.received("once5") == Counter()


def test_a_day_that_arrives_late_is_bridged_and_nothing_is_lost_or_doubled(world: World):
    """The 3rd is missing: its run fails, the next bridges it; cleared later it does nothing."""
    states = world.days("late_day", 3, 5)
    assert states == {
        run_of_day(3): "success",
        run_of_day(4): "failed",
        run_of_day(5): "success",
    }
    definitions.late_day(world, 3)
    assert world.again("late_day", run_of_day(4)) == "success"
    assert world.ledger.runs.find_run("late_day", run_of_day(4)).outcome == "covered"
    for number in (2, 3, 4):
        assert world.received(f"late{number}") == Counter({"slack": 1})


def test_a_fresh_backfill_records_and_sends_nothing_until_a_person_asks(world: World):
    """``airflow backfill create`` over two days: suppressed; with deliver: true it is sent."""
    days = ("2026-11-02T06:00:00Z", "2026-11-03T06:00:00Z")
    name = "fresh_backfill"
    world.airflow.backfill(name, *days)
    states = world.airflow.finish(name, expected=2, seconds=180)
    assert set(states.values()) == {"success"}
    assert set(world.outcomes(name).values()) == {"suppressed(backfill)"}
    before = datetime.now(UTC)
    assert world.received("fresh") == Counter()
    world.airflow.backfill(name, *days, conf={"deliver": True}, reprocess="completed")
    for ended in world.airflow.wait_for_runs(name, expected=2, seconds=180, after=before):
        assert {run["state"] for run in ended} <= {"success"}
    assert world.received("fresh2") == world.received("fresh3") == Counter({"slack": 1})


def test_one_contacts_failure_fails_the_run_and_stops_nobody_else(world: World, runs):
    """A branch of one: the template lacks a field for fail1; fail0 and fail2 get their mail."""
    run_id = runs["one_fails"]
    assert world.end("one_fails", run_id) == "failed"
    states = world.airflow.task_states("one_fails", run_id)
    assert [states["contact.mail", index] for index in range(3)] == ["success", "failed", "success"]
    assert states["report", -1] == "failed"
    assert [world.received(f"fail{n}@").total() for n in range(3)] == [1, 0, 1]
    outcome = world.outcomes("one_fails")["fail1", "mail"]
    assert outcome == "failed(text: missing field: contact.first_name)"


def test_in_a_slice_of_hundreds_one_failure_stops_nobody_else(world: World, runs):
    """250 contacts in two slices; one has no name."""
    name = "slice_of_hundreds"
    assert world.end(name, runs[name]) == "failed"
    states = world.airflow.task_states(name, runs[name])
    assert sorted(index for task, index in states if task == "contact.mail") == [0, 1]
    counts = Counter(world.outcomes(name).values())
    assert counts["delivered"] == definitions.SLICE - 1
    assert world.received("@many.example.com") == Counter({"smtp": definitions.SLICE - 1})
    assert world.received("many007@") == Counter()


def test_an_opted_out_contact_gets_no_email_and_the_team_hears_of_it(world: World, runs):
    """Consent binds messages to the contact alone."""
    assert world.end("consent", runs["consent"]) == "success"
    assert world.received("consent1") == Counter({"slack": 1})
    assert world.received("consent2") == Counter({"slack": 1, "smtp": 1})
    assert world.outcomes("consent")["consent1", "mail"] == "skipped(opted_out)"


def test_airflow_keeps_no_text_of_a_contact(world: World, held_back: str):
    """No name, address or phone number in Airflow's database, XCom or task logs; ids only.

    The last test, so that it sees the runs of all others, failed ones included.
    """
    stored, logs = world.everything_airflow_stores(), world.logs()
    assert "cond2" in stored  # the ids are there: the search looks at the right place
    assert "cond2" in logs
    for text in ("Firstname", "Lastname", "people.example", "many.example", "+44 20 7946"):
        assert text not in stored
        assert text not in logs
