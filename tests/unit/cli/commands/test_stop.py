"""``segue stop`` and ``go``."""

from __future__ import annotations

import getpass
import json

import pytest


@pytest.fixture
def upgraded(segue):
    """An empty ledger."""
    segue("db", "upgrade")


def stops(segue) -> list[str]:
    return [
        stop["workflow"] for stop in json.loads(segue("stop", "--list", "--format", "json").out)
    ]


def test_a_workflow_is_stopped_and_goes_again(segue, upgraded):
    answer = segue("stop", "welcome", "--reason", "wrong text")
    assert answer.code == 0
    assert answer.out.startswith("welcome was stopped by ")
    assert answer.out.endswith(" UTC: wrong text\n")
    assert stops(segue) == ["welcome"]
    assert segue("go", "welcome").out == "welcome may go\n"
    assert stops(segue) == []


def test_lifting_one_stop_says_that_everything_is_still_stopped(segue, upgraded):
    segue("stop", "--all")
    answer = segue("go", "welcome")
    assert answer.out == "welcome was not stopped\n"
    assert answer.err.startswith("still stopped: everything was stopped by ")


def test_lifting_the_stop_of_all_names_what_stays_stopped(segue, upgraded):
    segue("stop", "welcome")
    segue("stop", "--all")
    answer = segue("go", "--all")
    assert answer.out == "everything may go\n"
    assert answer.err.startswith("still stopped: welcome was stopped by ")


def test_a_mistyped_workflow_is_an_error_with_the_nearest(segue, upgraded):
    answer = segue("stop", "welcom")
    assert answer.code == 2
    assert "did you mean 'welcome'?" in answer.err
    assert stops(segue) == []


@pytest.mark.parametrize("arguments", [[], ["welcome", "--all"]])
def test_what_to_stop_must_be_said_once(segue, upgraded, arguments):
    answer = segue("stop", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "expected one of: the name of a workflow, --all" in answer.err


def test_a_stop_never_goes_into_a_ledger_of_its_own(segue, home):
    """A mistyped SEGUE_LEDGER would stop nothing."""
    answer = segue("stop", "welcome")
    assert answer.code == 2
    assert "there is no ledger at " in answer.err
    assert not (home.root / "segue.db").exists()


def test_a_user_without_a_name_can_stop_too(segue, upgraded, monkeypatch):
    def nobody() -> str:
        raise OSError("no username set")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert "stopped by uid-" in segue("stop", "welcome").out
