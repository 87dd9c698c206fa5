"""What a directory may expect of its snapshots, and how a slip in it is told."""

from __future__ import annotations

import sys
import time
from subprocess import run

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.documents import parse_document, validate
from segue.errors import DefinitionError

DIRECTORY = "directory: people\nsnapshots: .\nexpect:\n  contacts:\n"


def read(text: str) -> DirectoryDefinition:
    return validate(DirectoryDefinition, parse_document(DIRECTORY + text, "people.yaml"))


def problem(text: str) -> str:
    with pytest.raises(DefinitionError) as error:
        read(text)
    [only] = error.value.problems
    return str(only)


def test_expectations_are_read_as_they_are_written():
    directory = read(
        "    rows: {at_least: 10, change_at_most: 20%}\n"
        "    columns:\n"
        "      email: {type: text, set_at_least: 90%, matches: '@', unique: true}\n"
        "      tier: {allowed: [gold, 1, true, 0.5]}\n"
        "      score: {at_least: -1, at_most: 1.5}\n"
        "      phone: {}\n"
        "    unique: [email, tier]\n"
        "    freshness: {modified_at: 36h}\n"
    )
    expected = directory.expect["contacts"]
    assert expected.rows.change_at_most == 0.2
    assert expected.columns["email"].set_at_least == 0.9
    assert expected.columns["tier"].allowed == ("gold", 1, True, 0.5)
    assert str(expected.freshness["modified_at"]) == "36h"
    assert expected.column_names == ["email", "tier", "score", "phone", "modified_at"]
    assert DirectoryDefinition.model_validate(directory.model_dump(mode="json")) == directory


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("    colums: {}", "5:5: expect.contacts.colums: unknown key 'colums'; allowed: columns, "),
        ("    columns: {a: {at_last: 1}}", "did you mean 'at_least'?"),
        ("    columns: {a: {type: txt}}", "columns.a.type: found 'txt'; allowed: 'text', "),
        ("    columns: {a: {set_at_least: 90}}", "found 90; allowed: a share such as 5%"),
        ("    columns: {a: {matches: '(a'}}", "'(a' is not a regular expression of RE2"),
        ("    columns: {a: {matches: '(?<=a)b'}}", "no look-around"),
        (r"    columns: {a: {matches: '(a)\1'}}", "no backreferences"),
        ("    columns: {a: {matches: '((a{100}){100}){100}'}}", "is not a regular expression"),
        ("    columns: {a: {allowed: []}}", "found an empty list"),
        ("    columns: {a: {allowed: [a, '']}}", 'allowed[1]: found ""; an empty text'),
        ("    columns: {a: {allowed: [null]}}", "allowed[0]: expected a text, a number, true"),
        ("    columns: {a: {at_least: 2, at_most: 1}}", "at_most: found 1, and at_least is 2"),
        ("    columns: {a: {type: date, at_least: 2}}", "a bound is a number, and type is date"),
        ("    columns: {a: }", "expect.contacts.columns.a: expected a mapping, found None"),
        ("    rows: {at_least: -1}", "rows.at_least: expected greater than or equal to 0"),
        ("    rows: {at_least: 2, at_most: 1}", "rows.at_most: found 1, and at_least is 2"),
        ("    freshness: {date: 3 hours}", "'3 hours' is not a duration"),
        ("    {}\n  contact: {}", "found 'contact'; allowed: 'contacts', "),
    ],
)
def test_a_slip_is_told_with_its_place(text, told):
    message = problem(text)
    assert message.startswith("people.yaml:")
    assert told in message


def test_a_pattern_is_judged_in_no_time():
    begin = time.monotonic()
    read("    columns: {a: {matches: '^(([a-z])+.)+[A-Z]([a-z])+$'}}\n")
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(("pattern", "is_there"), [("", False), ("matches: '@'", True)])
def test_arrow_is_imported_for_patterns_alone(tmp_path, pattern, is_there):
    """A DAG file that names a directory is parsed again and again."""
    path = tmp_path / "people.yaml"
    path.write_text(f"{DIRECTORY}    columns: {{a: {{{pattern}}}}}\n")
    code = (
        "import sys, pathlib\n"
        "from segue.directory.definition import DirectoryDefinition\n"
        "from segue.documents import read_document, validate\n"
        f"validate(DirectoryDefinition, read_document(pathlib.Path({str(path)!r})))\n"
        "print('pyarrow' in sys.modules)\n"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(is_there)
