"""``segue suppress``."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(autouse=True)
def _upgraded(segue):
    segue("db", "upgrade")


def listed(segue) -> list[str]:
    rows = json.loads(segue("suppress", "--list", "--format", "json").out)
    return [row["contact_id"] for row in rows]


def test_contacts_are_put_on_the_list_and_taken_off(segue):
    assert segue("suppress", "c1", "007", "--reason", "asked").out == "2 contacts put on the list\n"
    assert listed(segue) == ["007", "c1"]
    answer = segue("suppress", "c1", "--remove")
    assert answer.out == "1 contact taken off the list\n"
    assert listed(segue) == ["007"]


def test_the_list_says_who_put_them_on_and_why(segue):
    segue("suppress", "c1", "--reason", "asked on the phone")
    answer = segue("suppress", "--list")
    assert answer.lines[0].split() == ["contact_id", "kind", "added_at", "added_by", "reason"]
    assert answer.lines[2].startswith("c1          suppressed  ")
    assert answer.lines[2].endswith("  asked on the phone")
    assert answer.err == "1 contact\n"


def test_ids_are_read_from_a_file_as_they_stand(segue, tmp_path):
    file = tmp_path / "ids.csv"
    file.write_text('name,contact_id\nAnn,007\nBob,"a, b"\n', encoding="utf-8-sig")
    assert segue("suppress", "--file", str(file)).code == 0
    assert listed(segue) == ["007", "a, b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c1\nc2\n", "has no column contact_id; its first line has: c1"),
        ("", "has no column contact_id; its first line has: nothing"),
        ("contact_id,name\nc1,Ann\n,Bob\n", "ids.csv:3: the contact_id is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_and_nobody_is_listed(
    segue, tmp_path, text, message
):
    file = tmp_path / "ids.csv"
    file.write_text(text)
    answer = segue("suppress", "--file", str(file))
    assert answer.code == 2
    assert message in answer.err
    assert listed(segue) == []


def test_a_file_of_another_encoding_is_an_error_that_names_the_line(segue, tmp_path):
    file = tmp_path / "ids.csv"
    file.write_bytes("contact_id,name\nc1,Ann\nc2,René\n".encode("latin-1"))
    answer = segue("suppress", "--file", str(file))
    assert answer.code == 2
    assert "ids.csv:3: the byte 0xe9 is not UTF-8; save it as UTF-8" in answer.err
    assert listed(segue) == []


@pytest.mark.parametrize(("before", "line"), [("", 1), ("contact_id\n", 2)])
def test_a_field_that_is_too_long_is_an_error_that_names_the_line(segue, tmp_path, before, line):
    file = tmp_path / "ids.csv"
    file.write_text(f"{before}{'x' * 200_000}\n")
    answer = segue("suppress", "--file", str(file))
    assert answer.code == 2
    assert f"ids.csv:{line}: cannot be read as CSV: field larger than" in answer.err
    assert listed(segue) == []


def test_a_file_that_is_not_there_is_one_message(segue, tmp_path):
    answer = segue("suppress", "--file", str(tmp_path / "none.csv"))
    assert answer.code == 2
    assert "No such file" in answer.err


def test_nobody_named_is_an_error(segue):
    answer = segue("suppress")
    assert answer.code == 2
    assert "expected one of: ids of contacts, --file, --list" in answer.err


def test_who_is_on_the_list_already_is_counted_apart(segue):
    segue("suppress", "c1")
    answer = segue("suppress", "c1", "c2")
    assert answer.out == "1 contact put on the list\n"
    assert answer.err == "1 contact on it already, or forgotten\n"


def test_ids_of_nobody_are_told(segue, home):
    """A bounce list holds addresses, and numbers lose their zeros: neither stops a message."""
    answer = segue("suppress", "c1", "ann@example.com", "1")
    assert answer.out == "3 contacts put on the list\n"
    told = "2 ids of nobody: 'ann@example.com', '1'; no contact of customers (2026-11-22)"
    assert told in answer.err
    assert "of nobody" not in segue("suppress", "c2").err
    assert "of nobody" not in segue("suppress", "x", "--remove").err


def test_a_contact_of_another_directory_is_somebody(segue, home):
    home.define("directories", "staff", "directory: staff\nsnapshots: ../staff\nsettle: 0s\n")
    (home.include / "staff" / "2026-11-01").mkdir(parents=True)
    (home.include / "staff" / "2026-11-01" / "contacts.csv").write_text("contact_id\ns1\n")
    assert "of nobody" not in segue("suppress", "s1").err


def test_it_is_said_where_nobody_can_tell(segue, home):
    for path in home.snapshots.rglob("_SUCCESS"):
        path.unlink()
    answer = segue("suppress", "c1")
    assert answer.code == 0
    assert "whether these are ids of contacts is not known" in answer.err
