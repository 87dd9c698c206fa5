"""The guard's question on a real scheduler: its answers, quarantine and enrolment."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.airflow.definitions import ASKING
from tests.airflow.test_scheduler import run_of_day
from tests.airflow.world import World

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]
ONCE = Counter({"zendesk": 1, "slack": 1})
ENROL = {"enroll_current_members": True}


@pytest.fixture(scope="module")
def runs(world: World) -> dict[str, str]:
    """The ids of the runs whose guards ask, by the workflow."""
    return world.begin(*ASKING) | world.begin("enrolled", **ENROL)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def action_states(world: World, dag_id: str, run_id: str) -> dict[str, set[str]]:
    states = world.airflow.task_states(dag_id, run_id)
    found: dict[str, set[str]] = {}
    for (task, _), state in states.items():
        found.setdefault(task, set()).add(state)
    return found


def test_beyond_a_limit_the_guard_asks_and_an_approval_releases(world: World, runs):
    """Counts, limits and ids, no contact text; who approved is in the ledger and the report."""
    name = "asks_approved"
    run_id = runs[name]
    question = world.asked(name, run_id)
    assert question["subject"] == f"{name}: act on 2 added?"
    assert "2 contacts added, guard.at_most is 1" in question["body"]
    assert f"| added | 2 | `{name}0`, `{name}1` |" in question["body"]
    assert "Firstname" not in str(question)
    assert list(question["params"]) == ["quarantine"]
    assert f"{name}: act on 2 added?" in world.told()
    assert world.received(name) == Counter()
    world.answer(name, run_id, "Approve")
    assert world.end(name, run_id) == "success"
    assert world.received(f"{name}0") == world.received(f"{name}1") == ONCE
    decision = world.ledger.runs.find_run(name, run_id).decision
    assert (decision.word, bool(decision.by)) == ("approved", True)
    assert f"decision: approved by {decision.by}" in world.airflow.task_log(name, run_id, "report")


def test_a_rejection_sends_nothing_and_the_run_ends_well_until_a_person_approves(
    world: World, runs
):
    """Tasks behind ``after`` run and skip themselves; cleared, the guard asks anew."""
    name = "asks_rejected"
    run_id = runs[name]
    world.answer(name, run_id, "Reject")
    assert world.end(name, run_id) == "success"
    states = action_states(world, name, run_id)
    assert states["contact.ticket"] == states["contact.alert"] == {"skipped"}
    assert (states["guard"], states["report"]) == ({"success"}, {"success"})
    assert set(world.outcomes(name).values()) == {"suppressed(rejected)"}
    world.airflow.clear(name, run_id)
    world.asked(name, run_id)
    assert world.received(name) == Counter()
    world.answer(name, run_id, "Approve")
    assert world.end(name, run_id) == "success"
    assert world.received(f"{name}0") == world.received(f"{name}1") == ONCE


def test_without_an_answer_by_the_deadline_the_run_fails_and_nothing_is_sent(world: World, runs):
    """Rejected by the deadline; ``on_failure`` tells."""
    name = "asks_late"
    run_id = runs[name]
    assert world.end(name, run_id) == "failed"
    assert action_states(world, name, run_id)["guard"] == {"failed"}
    assert set(world.outcomes(name).values()) == {"suppressed(rejected)"}
    assert world.ledger.runs.find_run(name, run_id).decision.word == "timed_out"
    assert world.received(name) == Counter()
    wait_until(lambda: f"{name} failed" in world.told())  # by the DAG processor, in its own time


def test_an_approval_that_also_quarantines_decides_nothing(world: World, runs):
    """The two contradict each other: the guard fails, all of it stays planned."""
    name = "asks_contradicted"
    run_id = runs[name]
    world.answer(name, run_id, "Approve", quarantine=True)
    assert world.end(name, run_id) == "failed"
    assert set(world.outcomes(name).values()) == {"planned"}
    assert world.ledger.people.quarantined(name) == {}


def test_half_a_snapshot_waits_and_once_quarantined_the_next_day_is_normal(world: World):
    """Half the rows are missing on the 2nd: nobody is messaged as removed, nor added on the 3rd."""
    name = "half"
    world.airflow.backfill(
        name, "2026-11-02T06:00:00Z", "2026-11-02T06:00:00Z", conf={"deliver": True}
    )
    bad = run_of_day(3)
    question = world.asked(name, bad)
    assert "2026-11-02 has 6 contacts, 50% of the 12 of 2026-11-01" in question["body"]
    world.answer(name, bad, "Reject", quarantine=True)
    assert world.end(name, bad) == "success"
    assert world.received("half") == Counter()
    assert world.days(name, 4, 4) == {run_of_day(4): "success"}
    assert world.received("half") == Counter({"zendesk": 1, "slack": 1})
    assert world.received("half03") == ONCE
    [span] = world.ledger.runs.all_spans(name)
    assert (span.stretch.previous.key, span.stretch.current.key) == ("2026-11-01", "2026-11-03")
    report = world.airflow.task_log(name, bad, "report")
    assert "2026-11-01 → 2026-11-02: withdrawn (snapshot 2026-11-02 is quarantined)" in report


def test_present_members_are_enrolled_once_and_only_after_approval(world: World, runs):
    """An old snapshot is no obstacle; a second enrolment finds nobody new."""
    name = "enrolled"
    run_id = runs[name]
    assert "a person asked for it" in world.asked(name, run_id)["body"]
    world.answer(name, run_id, "Approve")
    assert world.end(name, run_id) == "success"
    assert world.received("enrol0 enrolled") == Counter({"slack": 1})
    again = world.begin(name, **ENROL)[name]
    assert world.end(name, again, expected=2) == "success"
    assert world.received("enrol") == Counter({"slack": 2})
