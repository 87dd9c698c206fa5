"""Stops: of one workflow and of all; on both databases."""

from __future__ import annotations

from datetime import timedelta

from segue.ledger import Ledger
from tests.unit.builders import NOW

LATER = NOW + timedelta(hours=1)


def test_a_stopped_workflow_is_stopped_until_it_goes(ledger):
    assert ledger.people.stopped("welcome") is None
    ledger.people.stop("welcome", "ann@host", "wrong text", NOW)
    found = ledger.people.stopped("welcome")
    assert (found.workflow, found.stopped_by, found.reason) == ("welcome", "ann@host", "wrong text")
    assert found.stopped_at == NOW
    assert ledger.people.stopped("other") is None
    assert ledger.people.go("welcome")
    assert ledger.people.stopped("welcome") is None


def test_a_stop_of_all_counts_for_every_workflow(ledger):
    ledger.people.stop(None, "ann", "", NOW)
    assert ledger.people.stopped("whatever").workflow is None


def test_a_workflows_own_stop_outlives_that_of_all(ledger):
    ledger.people.stop("welcome", "ann", "", NOW)
    ledger.people.stop(None, "bob", "", NOW)
    assert [stop.workflow for stop in ledger.people.stops()] == [None, "welcome"]
    ledger.people.go(None)
    assert ledger.people.stopped("welcome").stopped_by == "ann"
    assert ledger.people.stopped("other") is None


def test_stopping_again_keeps_the_first_word(ledger):
    ledger.people.stop("welcome", "ann", "first", NOW)
    again = ledger.people.stop("welcome", "bob", "second", LATER)
    assert (again.stopped_by, again.reason, again.stopped_at) == ("ann", "first", NOW)


def test_lifting_what_was_not_stopped_says_so(ledger):
    assert not ledger.people.go("welcome")


def test_stops_are_of_one_namespace(ledger):
    Ledger(ledger.engine, "staging").people.stop(None, "ann", "", NOW)
    assert ledger.people.stopped("welcome") is None
    assert ledger.people.stops() == []
