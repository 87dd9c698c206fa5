"""Requests to check connections and to send tests, as the ledger keeps them; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from segue.ledger import Ledger
from segue.ledger.people.release_requests import RequestKind, Selection
from segue.ledger.people.tester_requests import TrialResult, Wanted
from tests.unit.builders import NOW

LATER = NOW + timedelta(minutes=5)
WANTED = Wanted("welcome", "mail", "c1", "me@example.com", "added", "2026-11-22")


def begun(ledger: Ledger, owner: str = "w1") -> int:
    number = ledger.people.file_test(WANTED, "ann@host", NOW)
    assert ledger.people.begin_test(number, owner, LATER)
    return number


def finish(ledger: Ledger, number: int, owner: str, outcome: str = "sent to me") -> None:
    ledger.people.finish_trial(number, TrialResult.SENT, outcome, LATER, owner=owner)


def test_what_was_asked_for_is_kept_with_who_asked(ledger):
    check = ledger.people.file_check(["welcome"], "ann@host", NOW)
    number = ledger.people.file_test(WANTED, "bob@host", NOW)
    first, second = ledger.people.open_trials()
    assert (first.id, first.kind, first.asked) == (check, "check", {"workflows": ["welcome"]})
    assert (second.id, second.kind, second.requested_by) == (number, "test", "bob@host")
    assert second.selection == Selection("welcome", "mail", "c1", None, [])
    asked = {"to": "me@example.com", "change": "added", "snapshot": "2026-11-22"}
    assert second.asked == asked


def test_they_are_no_business_of_those_who_move_deliveries(ledger):
    ledger.people.file_check([], "ann", NOW)
    ledger.people.file_test(WANTED, "ann", NOW)
    assert ledger.people.open_requests() == []
    ledger.people.file_request(RequestKind.RETRY, Selection("welcome"), "ann", NOW)
    assert [request.kind for request in ledger.people.open_requests()] == ["retry"]
    assert [request.kind for request in ledger.people.open_trials()] == ["check", "test"]


def test_of_many_workers_one_begins_a_test(ledger):
    number = ledger.people.file_test(WANTED, "ann", NOW)
    with ThreadPoolExecutor(4) as pool:
        began = list(pool.map(lambda i: ledger.people.begin_test(number, f"w{i}", LATER), range(8)))
    assert began.count(True) == 1
    assert ledger.people.open_trials() == []
    assert ledger.people.find_request(number).done_at is None


def test_a_test_that_is_done_is_not_begun_again(ledger):
    number = begun(ledger)
    finish(ledger, number, "w1")
    assert not ledger.people.begin_test(number, "w2", LATER)


def test_a_worker_that_ended_during_its_call_leaves_it_uncertain(ledger):
    number = begun(ledger)
    assert ledger.people.end_dead_tests(LATER) == []  # it may be at it still
    assert ledger.people.end_dead_tests(LATER + timedelta(seconds=1)) == [number]
    found = ledger.people.find_request(number)
    assert (found.result, found.done_at) == ("uncertain", LATER + timedelta(seconds=1))
    assert "perhaps sent" in found.outcome
    assert ledger.people.end_dead_tests(LATER + timedelta(days=1)) == []
    assert ledger.people.open_trials() == []


def test_a_late_answer_of_its_own_worker_is_believed(ledger):
    number = begun(ledger)
    ledger.people.end_dead_tests(LATER + timedelta(seconds=1))
    finish(ledger, number, "w1", "sent after all")
    assert ledger.people.find_request(number).outcome == "sent after all"


def test_nobody_else_says_what_became_of_a_test(ledger):
    number = begun(ledger, "w1")
    finish(ledger, number, "w2")
    assert ledger.people.find_request(number).done_at is None
    finish(ledger, number, "w1", "first")
    finish(ledger, number, "w2", "second")
    assert ledger.people.find_request(number).outcome == "first"


def test_a_check_is_finished_by_whoever_comes_first(ledger):
    number = ledger.people.file_check([], "ann", NOW)
    found = [{"connection": "slack_default", "result": "ok"}]
    ledger.people.finish_trial(number, "ok", "1 ok", LATER, owner="w1", found=found)
    ledger.people.finish_trial(number, "failed", "1 failed", LATER, owner="w2")
    done = ledger.people.find_request(number)
    assert (done.result, done.outcome, done.found) == ("ok", "1 ok", found)
    assert ledger.people.open_trials() == []


def test_trials_are_of_one_namespace(ledger):
    number = ledger.people.file_test(WANTED, "ann", NOW)
    staging = Ledger(ledger.engine, "staging")
    assert staging.people.open_trials() == []
    assert staging.people.find_request(number) is None


def test_a_number_that_nobody_was_given_is_none(ledger):
    assert ledger.people.find_request(12345) is None


@pytest.mark.parametrize("kind", [RequestKind.CHECK, RequestKind.TEST])
def test_a_trial_is_not_filed_as_a_request_about_deliveries(ledger, kind):
    from segue.errors import LedgerError

    with pytest.raises(LedgerError):
        ledger.people.file_request(kind, Selection("welcome"), "ann", NOW)


def test_a_forgotten_contact_is_in_no_test(ledger):
    known = Ledger(ledger.engine, "test", "a long secret text")
    number = known.people.file_test(WANTED, "ann", NOW)
    assert known.retention.forget("c1", "ann", LATER).requests == 1
    found = known.people.find_request(number)
    assert found.selection.contact.startswith("forgotten:")
    assert found.asked["to"] == "me@example.com"
