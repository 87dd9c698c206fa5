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
    SMTP,
    TOKENS,
    Call,
    Row,
    Silence,
    Table,
)
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    Deferral,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)

PAGE = Path(__file__).parents[3] / "docs" / "channels.md"
VENDORS = {"http": HTTP, "slack": SLACK, "slack webhook": SLACK_WEBHOOK}
OVER_HTTP = {**VENDORS, "tokens": TOKENS}
TABLES = {**OVER_HTTP, "smtp": SMTP}
EFFECTS = {Call.EFFECT, Call.ASKABLE, Call.FIXED_PLACE}
WORDS = {
    ContactFailure: "refused",
    TransientFailure: "again later",
    ConnectionFailure: "the slice stops",
    OutcomeUnknown: "doubtful",
    UnprovenRefusal: "by proof",
    Deferral: "the next pass",
}


def label(row: Row) -> str:
    """Return a row's answers as the page has them: statuses plain, codes as code."""
    plain = re.compile(r"[1-9](\d\d|xx)|" + "|".join(map(re.escape, Silence)))
    answers = [a if plain.fullmatch(a) else f"`{a}`" for a in row.answers.split(", ")]
    condition = " without a code" if row.without_code else ""
    return ", ".join(answers) + (" with Retry-After" if row.with_pause else condition)


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


@pytest.mark.parametrize("name", OVER_HTTP)
def test_a_429_comes_again_whatever_was_called(name: str):
    table = OVER_HTTP[name]
    assert {table.outcome(call, 429).error for call in table.calls} == {TransientFailure}


@pytest.mark.parametrize("answer", [Silence.LOST, 504])
@pytest.mark.parametrize("name", OVER_HTTP)
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


@pytest.mark.parametrize("status", [403, 404, 405, 410])
@pytest.mark.parametrize("name", VENDORS)
def test_what_may_be_anybodys_is_left_to_proof_whatever_may_have_an_effect(name: str, status: int):
    """A proxy's answer, and a vendor's own without a code that says more."""
    table = VENDORS[name]
    calls = [call for call in table.calls if call in {*EFFECTS, Call.DETAILS, Call.ADDRESS}]
    assert {table.outcome(call, status).error for call in calls} == {UnprovenRefusal}


def test_a_403_that_says_when_to_come_back_is_a_limit():
    for call in HTTP.calls:
        assert HTTP.outcome(call, 403, pauses=True).error is TransientFailure
        assert HTTP.outcome(call, 404, pauses=True).error is not TransientFailure


@pytest.mark.parametrize("code", ["5.7.1", "5.1.0", "5.1.8", "5.4.5", "5.7.60", "5.2.252", None])
@pytest.mark.parametrize("call", SMTP.calls)
def test_what_servers_say_of_a_sender_or_a_login_is_no_recipients(call: Call, code: str | None):
    for status in (550, 553, 554):
        assert SMTP.outcome(call, status, code).error is UnprovenRefusal


def test_a_reply_for_the_time_being_holds_up_others_where_it_is_the_systems():
    replies = {"4.2.0": Deferral, "4.7.1": Deferral, None: Deferral, "4.3.2": TransientFailure}
    for code, error in replies.items():
        assert SMTP.outcome(Call.RCPT, 450, code).error is error
        assert SMTP.outcome(Call.DATA, 450, code).error is TransientFailure
    assert SMTP.outcome(Call.RCPT, 421, "4.7.0").error is TransientFailure
