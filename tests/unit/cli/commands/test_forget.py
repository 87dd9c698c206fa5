"""``segue forget``."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.cli.commands.test_ledger import ledger

__all__ = ["ledger"]


@pytest.fixture(autouse=True)
def _secret(monkeypatch):
    monkeypatch.setenv("SEGUE_SECRET", "a long secret text")


def test_what_was_erased_is_printed_and_nothing_of_the_contact_is_listed(segue, ledger):
    answer = segue("forget", "c2", "--yes")
    assert answer.code == 0
    assert answer.lines[1:] == [
        "  1 delivery",
        "  1 change",
        "  0 requests",
        "  0 run areas",
        "  0 stored memberships",
    ]
    assert answer.err.startswith("1 delivery of this contact in the ledger\n")
    assert "c2" not in segue("deliveries", "--format", "json").out
    [listed] = json.loads(segue("suppress", "--list", "--format", "json").out)
    assert (listed["contact_id"], listed["kind"]) == (None, "forgotten")


def test_a_contact_that_is_nowhere_is_forgotten_for_the_future(segue, ledger):
    answer = segue("forget", "nobody", "--yes")
    assert answer.lines[1] == "  0 deliveries"
    assert len(json.loads(segue("suppress", "--list", "--format", "json").out)) == 1


def test_without_a_secret_forgetting_is_refused_with_the_remedy(segue, ledger, monkeypatch):
    monkeypatch.delenv("SEGUE_SECRET")
    answer = segue("forget", "c2", "--yes")
    assert (answer.code, answer.out) == (2, "")
    assert "set SEGUE_SECRET to a long random text" in answer.err
    assert "c2" in segue("deliveries", "--format", "json").out


def test_in_a_script_yes_must_be_said(segue, ledger):
    answer = segue("forget", "c2")
    assert answer.code == 2
    assert "add --yes" in answer.err
    assert json.loads(segue("suppress", "--list", "--format", "json").out) == []


@pytest.mark.parametrize("secret", ["x", "fifteen letters"])
def test_a_short_secret_is_refused_before_anything_is_forgotten(segue, ledger, monkeypatch, secret):
    monkeypatch.setenv("SEGUE_SECRET", secret)
    answer = segue("forget", "c2", "--yes")
    assert (answer.code, answer.out) == (2, "")
    assert f"SEGUE_SECRET has {len(secret)} characters; expected" in answer.err
    assert json.loads(segue("suppress", "--list", "--format", "json").out) == []


def test_a_short_secret_that_a_ledger_uses_already_stays(segue, ledger, monkeypatch):
    monkeypatch.setattr("segue.ledger.people.suppressions._SHORTEST_SECRET", 1)
    monkeypatch.setenv("SEGUE_SECRET", "short")
    assert segue("forget", "c1", "--yes").code == 0
    monkeypatch.undo()
    monkeypatch.setenv("SEGUE_SECRET", "short")
    monkeypatch.setenv("SEGUE_NAMESPACE", "test")
    monkeypatch.setenv("SEGUE_LEDGER", str(ledger.engine.url))
    assert segue("forget", "c2", "--yes").code == 0


def test_who_forgot_somebody_is_noted_and_not_whom(segue, ledger):
    segue("forget", "c2", "--yes")
    (note,) = json.loads(segue("requests", "--format", "json").out)
    assert (note["kind"], note["outcome"]) == ("forget", "a contact is forgotten")
    assert "c2" not in str(note)


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_a_plan_leaves_out_who_was_forgotten_and_no_verdict_is_explained(segue, ledger, output):
    """Snapshots still have them, and no run looks at them."""
    options = ("--at", "2026-11-22", "--format", output)
    assert "Bob" in segue("plan", "welcome", *options).out
    segue("forget", "c2", "--yes")
    answer = segue("plan", "welcome", *options)
    assert answer.code == 0
    assert not re.search(r"\bc2\b|Bob", answer.out)
    assert "c3" in answer.out
    assert "1 forgotten contact left out, as a run leaves them out" in answer.err
    answer = segue("plan", "welcome", *options, "--contact", "c2")
    assert "the contact 'c2' was forgotten, and nothing of it is shown" in answer.err
    answer = segue("explain", "gold", "c2", "--at", "2026-11-22", "--format", output)
    assert (answer.code, answer.out) == (2, "")
    assert "the contact 'c2' was forgotten, and nothing of it is shown" in answer.err


@pytest.mark.parametrize("command", [("plan", "welcome"), ("explain", "gold", "c2")])
def test_where_nobody_can_tell_who_was_forgotten_nobody_is_shown(
    segue, ledger, monkeypatch, command
):
    segue("forget", "c2", "--yes")
    monkeypatch.delenv("SEGUE_SECRET")
    answer = segue(*command, "--at", "2026-11-22")
    assert (answer.code, answer.out) == (2, "")
    assert "SEGUE_SECRET" in answer.err
