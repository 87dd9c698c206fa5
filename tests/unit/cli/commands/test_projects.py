"""``segue projects``: whose each workflow is, and one that was moved."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def claimed(segue):
    """A ledger in which growth has taken the workflow welcome."""
    segue("db", "upgrade")
    from segue.ledger import Ledger
    from segue.settings import Settings

    current = Settings.from_environment()
    ledger = Ledger.open(current.ledger, current.namespace)
    ledger.runs.claim("welcome", "growth")
    return ledger


def test_whose_a_workflow_is_is_listed_and_changed_by_a_persons_word(segue, claimed):
    def listed():
        return json.loads(segue("projects", "list", "--format", "json").out)

    row = {"workflow": "welcome", "project": "growth", "release": "segue_release_growth"}
    assert listed() == [row]
    answer = segue("projects", "move", "welcome", "--to", "sales")
    assert answer.out == "welcome is sales's: segue_release_sales sends\n"
    assert segue("projects", "move", "welcome", "--to", "-").code == 0
    assert listed() == [{**row, "project": "", "release": "segue_release"}]
    requests = json.loads(segue("requests", "--format", "json").out)
    assert [each["outcome"] for each in requests] == [
        "moved from growth to sales",
        "moved from sales to no project",
    ]


@pytest.mark.parametrize(
    ("workflow", "project", "message"),
    [
        ("wellcome", "growth", "no run of the workflow wellcome has begun"),
        ("welcome", "Growth", "--to is 'Growth'; allowed: up to 31 lower-case letters"),
    ],
)
def test_a_slip_of_the_pen_moves_nothing(segue, claimed, workflow, project, message):
    answer = segue("projects", "move", workflow, "--to", project)
    assert (answer.code, message in answer.err) == (2, True)
    assert claimed.runs.owners() == {"welcome": "growth"}
