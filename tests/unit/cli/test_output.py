"""Tables, CSV and JSON: what is printed is what there is, and nothing steers the terminal."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime

import pytest

from segue.cli.output import Format, Reference, fitted, plain, print_listing, working

ODD = ['a,b "c"', "two\nlines", "old\rmac", " blanks ", "007", "NA", "[bold]x[/bold]", ":smile:"]


def test_csv_gives_back_every_value(capsys):
    print_listing(("id", "n"), ([value, 1] for value in ODD), Format.CSV)
    read = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    assert read == [["id", "n"], *([value, "1"] for value in ODD)]


def test_csv_writes_booleans_instants_and_missing_values_plainly(capsys):
    row = [True, False, None, datetime(2026, 11, 22, 6, tzinfo=UTC), {"a": [1, None]}]
    print_listing(("a", "b", "c", "d", "e"), [row], Format.CSV)
    second = capsys.readouterr().out.splitlines()[1]
    assert second == 'true,false,,2026-11-22T06:00:00Z,"{""a"": [1, null]}"'


@pytest.mark.parametrize("rows", [[], [["x"]], [["x"], ["y"]]])
def test_json_is_an_array_of_objects(capsys, rows):
    print_listing(("id",), rows, Format.JSON)
    assert json.loads(capsys.readouterr().out) == [{"id": row[0]} for row in rows]


def test_a_piped_table_cuts_nothing(capsys):
    long = "x" * 500
    print_listing(("id", "detail"), [[long, Reference(long)]], Format.TABLE)
    assert capsys.readouterr().out.splitlines()[2].split() == [long, long]


@pytest.mark.parametrize(
    ("widths", "available", "expected"),
    [
        ([10, 20, 30], 60, [10, 20, 30]),
        ([10, 20, 30], 40, [10, 20, 10]),
        ([10, 20, 30], 39, [10, 14, 14]),
        ([10, 20, 5], 35, [10, 20, 5]),
        ([10, 20, 5], 30, [10, 15, 5]),
        ([9, 9], 1, [1, 1]),
    ],
)
def test_the_last_column_gives_way_first_then_the_widest(widths, available, expected):
    assert fitted(widths, available) == expected


def test_a_table_shows_markup_as_it_is(capsys):
    print_listing(("id",), [["[bold]x[/bold]"], [":smile:"]], Format.TABLE)
    assert capsys.readouterr().out.split()[-2:] == ["[bold]x[/bold]", ":smile:"]


def test_a_table_of_thousands_has_one_header_and_every_row(capsys):
    ids = [f"{'wide' * (number == 2500)}{number}" for number in range(3000)]
    print_listing(("id",), ([one] for one in ids), Format.TABLE)
    lines = capsys.readouterr().out.split()
    assert lines[0] == "id"
    assert lines[2:] == ids


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb", "a\\nb"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
    ],
)
def test_control_characters_are_shown(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize("text", ["नमस्ते", "نیم\u200cفاصله", "👩\u200d👩\u200d👧", "Nguyễn"])
def test_the_characters_of_every_script_are_left_alone(text):
    assert plain(text) == text


def test_progress_is_silent_without_a_terminal(capsys):
    with working("Thinking"):
        pass
    assert capsys.readouterr() == ("", "")
