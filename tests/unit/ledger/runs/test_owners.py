"""Whose a workflow is, where one Airflow has several projects; on both databases."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import update

from segue.errors import RunHalted
from segue.ledger import Ledger
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.builders import DEFINITION, NOW, added, detected, record, run, stretch

PEOPLE = json.loads(DEFINITION[1])["directory"]["directory"]


@pytest.fixture
def held(ledger) -> Ledger:
    """A delivery of the workflow welcome that is held, and due."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    due = {"state": State.HELD, "held_until": NOW - timedelta(hours=1)}
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(due))
    return ledger


def quarantine(ledger: Ledger, directory: str, key: str):
    return ledger.people.quarantine(directory, key, reason="half", by="ann", now=NOW)


def test_what_nobody_named_a_project_for_is_anybodys(held):
    """As all workflows of a ledger from before: the project without a name takes them up."""
    assert held.runs.owner_of("welcome") == held.runs.owner_of("never_seen") == ""
    assert held.runs.owners() == {"welcome": ""}
    held.runs.claim("welcome", "")
    held.runs.require_owner("welcome", "growth")
    assert held.deliveries.actions_with_work(NOW) == [("welcome", "mail")]


def test_only_its_own_project_takes_up_what_is_held(held):
    held.runs.claim("welcome", "growth")
    assert held.deliveries.actions_with_work(NOW) == []
    assert held.deliveries.actions_with_work(NOW, "sales") == []
    assert held.deliveries.actions_with_work(NOW, "growth") == [("welcome", "mail")]


@pytest.mark.parametrize("other", ["sales", ""])
def test_a_workflow_of_one_name_in_another_project_is_refused(held, other):
    """One DAG id and one memory cannot be two projects': nobody takes it over in silence."""
    held.runs.claim("welcome", "growth")
    held.runs.claim("welcome", "growth")
    message = "the workflow welcome is the project growth's.*segue projects move welcome --to"
    with pytest.raises(RunHalted, match=message):
        held.runs.claim("welcome", other)
    with pytest.raises(RunHalted, match=message):
        held.runs.require_owner("welcome", other)
    assert held.runs.owner_of("welcome") == "growth"
    assert held.runs.move("welcome", other) == "growth"
    held.runs.claim("welcome", other)


def test_a_quarantine_is_of_one_projects_directory(held):
    """Two directories of one name: neither the list nor what is rejected is the other's."""
    held.runs.claim("welcome", "growth")
    effect = quarantine(held, f"sales/{PEOPLE}", "2026-11-22")
    assert (effect.withdrawn, effect.rejected) == ([], 0)
    assert held.people.quarantined(f"growth/{PEOPLE}") == held.people.quarantined(PEOPLE) == {}
    effect = quarantine(held, f"growth/{PEOPLE}", "2026-11-22")
    assert ([span.workflow for span in effect.withdrawn], effect.rejected) == (["welcome"], 1)


def test_no_run_records_a_snapshot_that_its_own_project_has_quarantined(ledger):
    """Nor is it kept from one of another project's directory."""
    from segue.ledger.facts import SpanTaken

    ledger.runs.claim("welcome", "growth")
    quarantine(ledger, PEOPLE, "2026-11-22")
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    quarantine(ledger, f"growth/{PEOPLE}", "2026-11-23")
    with pytest.raises(SpanTaken):
        record(ledger, run("run-2"), detected(stretch(22, 23), added("b")))


def test_quarantines_hold_whoever_the_workflow_belongs_to_then(held):
    """A bad snapshot does not become a good one because a project was given a name."""
    quarantine(held, PEOPLE, "2026-11-22")
    held.runs.claim("welcome", "growth")
    assert held.people.quarantined(f"growth/{PEOPLE}") == {"2026-11-22": "half"}
    held.runs.move("welcome", "sales")
    assert held.people.quarantined(f"sales/{PEOPLE}") == {"2026-11-22": "half"}
