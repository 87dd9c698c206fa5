"""``segue prune``."""

from __future__ import annotations

import pytest

from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.cli.commands.test_ledger import ledger

__all__ = ["ledger"]


@pytest.fixture
def finished(ledger):
    """Nothing is open any more."""
    with ledger.engine.begin() as connection:
        connection.execute(deliveries.update().values(state=State.DELIVERED))
    return ledger


def printed(lines: list[str]) -> dict[str, str]:
    return dict(line.split() for line in lines[1:])


def test_old_spans_are_deleted_and_counted(segue, finished):
    answer = segue("prune", "--older-than", "1s")
    assert answer.code == 0
    assert answer.lines[0].startswith("deleted (before ")
    assert printed(answer.lines).items() >= {"spans": "1", "changes": "2"}.items()
    assert segue("deliveries", "--format", "json").out == "[]\n"


def test_a_dry_run_deletes_nothing(segue, finished):
    answer = segue("prune", "--older-than", "1s", "--dry-run")
    assert answer.lines[0].startswith("would be deleted (before ")
    assert printed(answer.lines)["deliveries"] == "2"
    assert len(finished.queries.list_deliveries()) == 2


def test_what_is_unfinished_stays_and_is_mentioned(segue, ledger):
    answer = segue("prune", "--older-than", "1s")
    assert printed(answer.lines)["spans"] == "0"
    assert answer.err.startswith("left as they are: 1 old span with something open")
    assert len(ledger.queries.list_deliveries()) == 2


def test_pruned_days_are_no_gaps(segue, finished):
    segue("prune", "--older-than", "1s")
    assert segue("gaps").err == "no gap: every snapshot since the start is covered\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--older-than", "400"), "--older-than: '400' is not a duration; allowed: "),
        (("--older-than", "9999y"), "--older-than: 9999y ago is before the year 1"),
        (("--older-than", "999999d"), "--older-than: 999999d ago is before the year 1"),
        (("--older-than", "1d", "--workflow", "welcom"), "did you mean 'welcome'?"),
        ((), "Missing option '--older-than'"),
    ],
)
def test_what_cannot_be_understood_deletes_nothing(segue, finished, arguments, message):
    answer = segue("prune", *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert len(finished.queries.list_deliveries()) == 2
