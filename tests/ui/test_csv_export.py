"""CSV for spreadsheets: nothing in it is calculated, and nothing is changed without a trace."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest

from segue.web.csv_export import _text

CALCULATED = [
    *("=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1+1", "\n\n =1", " =1", "\u00a0=1"),
    *("＝1+1", "＋1", "－1", "＠x", "\ufeff=1", "\u200b=1", "\x0b=1", "'x", "\n\uff1d1"),
]
CHANGED = [
    *("007", "1E5", "1e+5", "12345678901234567890", "123456789012", "1.10", "5.", ".5", "1-2"),
    *("3/4", "12-05-26", "12/2026", "00", "2026-11-22", "1.5", "1,000", "12:30", "12:30 pm", "50%"),
    *("(5)", "$5", "1 2/3", "MAR1", "1-Sep", "Sept 2", "5 May 2026", "TRUE", "false", "1.2.2026"),
    *("1.5E3", "12 345", " 7"),
]
LEFT = [
    "7",
    "CID_1",
    "Łukasz",
    "a=b",
    *(
        "0",
        "MARCH",
        "MAY",
        "Maria 1",
        "Decker 7",
        "deadbeef12",
        "a1b2",
        "1a2",
        "v1.2",
        "1st",
        "A 1",
    ),
    "ann@example.com",
    "",
    "1a",
    "12345678901",
]


def cells(*values: object) -> list[str]:
    """Return a row as a program reads it."""
    text = "".join(_text(["a"] * len(values), [values]))
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))[1]


@pytest.mark.parametrize("value", [*CALCULATED, *CHANGED])
def test_what_a_spreadsheet_would_not_leave_alone_has_a_quote(value: str):
    assert cells(value) == [f"'{value}"]


@pytest.mark.parametrize("value", LEFT)
def test_everything_else_is_as_it_is(value: str):
    assert cells(value, 3) == [value, "3"]


def test_one_quote_taken_away_gives_the_value():
    values = [*CALCULATED, *CHANGED, *LEFT]
    assert [
        cell.removeprefix("'") if cell[:1] == "'" else cell for cell in cells(*values)
    ] == values


def test_what_is_no_text_is_no_formula():
    when = datetime(2026, 11, 22, tzinfo=UTC)
    assert cells(-5, None, when) == ["-5", "", "2026-11-22T00:00:00+00:00"]
