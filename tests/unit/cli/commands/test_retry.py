"""``segue retry``, ``settle``, ``drop`` and ``requests``."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from io import StringIO

import pytest

from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, Finished, Run
from segue.ledger.states import State
from tests.unit.builders import advance
from tests.unit.cli.commands.test_ledger import NOW, Stretch, point


@pytest.fixture
def ledger(home):
    """Of one run c2 failed and c3 is uncertain."""
    ledger = Ledger.open(f"sqlite:///{home.root / 'segue.db'}", "test")
    changes = [("c2", "added", ""), ("c3", "added", "")]
    span = DetectedSpan("changes", "", Stretch(point(21), point(22)), "a", "b", 3, 7, changes)
    run = Run("welcome", "run-1")
    definition = (
        "0" * 64,
        '{"directory": {"directory": "customers"}, "segment": {"segment": "vip"}}',
    )
    ledger.runs.record_spans(run, [span], ["mail"], definition, NOW, recorded_only=False)
    spans = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    ledger.runs.release([span.id for span in spans], NOW)
    keys = [key(ledger, "c2"), key(ledger, "c3")]
    mine = {"owner": "me", "now": NOW, "lease_until": NOW}
    ledger.deliveries.claim(keys, **mine)
    advance(ledger, [], keys, **mine)
    failed = Finished(keys[0], State.FAILED, "550 no such user")
    advance(ledger, [failed, Finished(keys[1], State.UNCERTAIN, "lost")], [], **mine)
    yield ledger
    ledger.engine.dispose()


def key(ledger: Ledger, contact: str) -> str:
    return ledger.key("welcome", "mail", contact, "added", "2026-11-22")


def requests(segue) -> list[dict]:
    return json.loads(segue("requests", "--format", "json").out)


def test_a_retry_is_filed_and_sends_nothing(segue, ledger):
    answer = segue("retry", "welcome", "--error", "NO SUCH", "--yes")
    assert answer.code == 0
    assert answer.out == ("request 1 is filed; segue_release carries it out within five minutes\n")
    assert answer.err == "1 failed delivery of workflow welcome, error NO SUCH\n"
    assert [row.outcome for row in ledger.queries.list_deliveries()] == ["failed", "uncertain"]
    [request] = requests(segue)
    assert (request["kind"], request["workflow"], request["error"]) == (
        *("retry", "welcome", "NO SUCH"),
    )
    assert request["done_at"] is None


def test_what_became_of_a_request_is_listed(segue, ledger):
    segue("retry", "welcome", "--yes")
    ledger.people.carry_out(ledger.people.open_requests()[0], datetime.now(UTC))
    segue("settle", key(ledger, "c3"), "--delivered", "--yes")
    answer = segue("requests")
    assert "1 to be sent again" in answer.lines[2]
    assert f"settle as delivered: key {key(ledger, 'c3')}" in answer.lines[3]
    assert answer.lines[3].endswith("open")
    assert answer.err == "2 requests, 1 open\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry", "welcome", "--action", "ticket"),
        ("retry", "welcome", "--contact", "c3"),
        ("settle", "--workflow", "welcome", "--action", "ticket", "--delivered"),
    ],
)
def test_a_request_that_means_nothing_is_not_filed(segue, ledger, arguments):
    answer = segue(*arguments, "--yes")
    assert (answer.code, answer.out) == (2, "")
    assert "nothing was requested" in answer.err
    assert requests(segue) == []


def test_in_a_script_yes_must_be_said(segue, ledger, monkeypatch):
    answer = segue("retry", "welcome")
    assert answer.code == 2
    assert "add --yes" in answer.err
    assert requests(segue) == []


@pytest.mark.parametrize(("said", "filed"), [("y\n", 1), ("n\n", 0)])
def test_on_a_terminal_a_person_is_asked(segue, ledger, monkeypatch, said, filed):
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(said))
    answer = segue("retry", "welcome")
    assert "Send again? [y/N]" in answer.err
    assert len(requests(segue)) == filed


def test_a_mistyped_workflow_is_an_error_with_the_nearest(segue, ledger):
    answer = segue("retry", "welcom", "--yes")
    assert answer.code == 2
    assert "did you mean 'welcome'?" in answer.err


def test_what_is_not_uncertain_cannot_be_settled(segue, ledger):
    answer = segue("settle", key(ledger, "c2"), "nonsense", "--not-delivered", "--yes")
    assert answer.code == 2
    assert f"{key(ledger, 'c2')}: it is failed\n" in answer.err
    assert "nonsense: there is no such delivery" in answer.err
    assert requests(segue) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("k",), "expected one of: --delivered, --not-delivered"),
        (("k", "--delivered", "--not-delivered"), "expected one of: --delivered"),
        (("--delivered",), "expected one of: keys of deliveries, --workflow"),
        (("k", "--workflow", "welcome", "--delivered"), "expected one of: keys"),
        (("k", "--action", "mail", "--delivered"), "--action goes with --workflow"),
    ],
)
def test_a_settlement_must_be_said_clearly(segue, ledger, arguments, message):
    answer = segue("settle", *arguments, "--yes")
    assert answer.code == 2
    assert message in answer.err


def test_a_retry_of_what_is_stopped_says_that_it_waits(segue, ledger):
    segue("stop", "--all")
    answer = segue("retry", "welcome", "--yes")
    assert "it waits until segue go: everything was stopped by" in answer.err


def test_what_is_held_is_given_up_and_nothing_else(segue, ledger):
    answer = segue("drop", "welcome", "--yes")
    assert answer.code == 2
    assert (
        "there is no held or waiting delivery of workflow welcome; nothing was requested"
        in answer.err
    )
    segue("retry", "welcome", "--yes")
    ledger.people.carry_out(ledger.people.open_requests()[0], datetime.now(UTC))
    answer = segue("drop", "welcome", "--action", "mail", "--yes")
    assert answer.err == "1 held or waiting delivery of workflow welcome, action mail\n"
    assert (
        ledger.people.carry_out(ledger.people.open_requests()[0], datetime.now(UTC)) == "1 dropped"
    )
    outcomes = {(row.outcome, row.reason) for row in ledger.queries.list_deliveries()}
    assert outcomes == {("suppressed", "dropped"), ("uncertain", "lost")}
