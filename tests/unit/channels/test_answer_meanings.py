"""The tables of what answers mean: whole, never rash, and the same in the docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.channels.answer_meanings import (
    HTTP,
    SLACK,
    SLACK_WEBHOOK,
    TOKENS,
    Call,
    Row,
    Silence,
    Table,
)
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure

PAGE = Path(__file__).parents[3] / "docs" / "channels.md"
TABLES = {"http": HTTP, "tokens": TOKENS, "slack": SLACK, "slack webhook": SLACK_WEBHOOK}
EFFECTS = {Call.EFFECT, Call.ASKABLE}
WORDS = {
    ContactFailure: "refused",
    TransientFailure: "again later",
    ConnectionFailure: "the slice stops",
    OutcomeUnknown: "doubtful",
}


def label(row: Row) -> str:
    """Return a row's answers as the page has them: statuses plain, codes as code."""
    plain = re.compile(r"[1-9](\d\d|xx)|" + "|".join(map(re.escape, Silence)))
    answers = [a if plain.fullmatch(a) else f"`{a}`" for a in row.answers.split(", ")]
    return ", ".join(answers) + (" without a code" if row.without_code else "")


def rows_of(table: Table) -> Iterator[str]:
    yield f"| the answer | {' | '.join(table.calls)} |"
    yield "|---" * (len(table.calls) + 1) + "|"
    for row in table.rows:
        outcomes = row.outcomes if len(row.outcomes) > 1 else [*row.outcomes] * len(table.calls)
        yield f"| {label(row)} | {' | '.join(WORDS[each.error] for each in outcomes)} |"


@pytest.mark.parametrize("name", TABLES)
def test_the_page_has_the_table(name: str):
    assert "\n".join(rows_of(TABLES[name])) in PAGE.read_text()


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_an_outcome_for_each_kind_of_call_or_one_for_all(name: str):
    table = TABLES[name]
    assert {len(row.outcomes) for row in table.rows} <= {1, len(table.calls)}


@pytest.mark.parametrize("code", [None, "of_nobody"])
@pytest.mark.parametrize("name", TABLES)
def test_every_status_means_something_for_each_kind_of_call(name: str, code: str | None):
    """Servers have answered 999, and Slack's SDK says 0 where there was no status."""
    table = TABLES[name]
    for call in table.calls:
        for status in (0, *range(100, 1000)):
            assert table.outcome(call, status, code).error in WORDS


@pytest.mark.parametrize("name", TABLES)
def test_a_429_comes_again_whatever_was_called(name: str):
    table = TABLES[name]
    assert {table.outcome(call, 429).error for call in table.calls} == {TransientFailure}


@pytest.mark.parametrize("answer", [Silence.LOST, 504])
@pytest.mark.parametrize("name", TABLES)
def test_an_answer_that_was_lost_leaves_an_effect_in_doubt_and_no_question(name: str, answer):
    table = TABLES[name]
    for call in table.calls:
        expected = OutcomeUnknown if call in EFFECTS else TransientFailure
        assert table.outcome(call, answer).error is expected


@pytest.mark.parametrize("name", TABLES)
def test_no_question_about_a_call_is_answered_by_a_refusal(name: str):
    """A refusal would be read as "it is not there", and the message be sent again."""
    table = TABLES[name]
    if Call.QUESTION in table.calls:
        outcomes = [table.outcome(Call.QUESTION, status) for status in range(200, 600)]
        assert ContactFailure not in {outcome.error for outcome in outcomes}


def test_a_row_without_a_code_is_not_about_an_answer_that_has_one():
    assert SLACK.outcome(Call.ASKABLE, 500).error is OutcomeUnknown
    assert SLACK.outcome(Call.ASKABLE, 500, "ratelimited").error is TransientFailure
    assert SLACK.outcome(Call.ASKABLE, 200, "internal_error").error is OutcomeUnknown


def test_a_pause_is_told_where_it_comes_again():
    failure = HTTP.outcome(Call.EFFECT, 503).failure(answer="it answered 503", pause=12.0)
    assert isinstance(failure, TransientFailure)
    assert (str(failure), failure.retry_after) == ("it answered 503", 12.0)
