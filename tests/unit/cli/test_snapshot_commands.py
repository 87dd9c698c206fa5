"""``segue snapshots``: the list, and the check of one."""

from __future__ import annotations

import json


def test_snapshots_are_listed_in_order_with_what_is_missing(segue, home):
    (home.snapshots / "2026-11-22" / "_SUCCESS").unlink()
    found = json.loads(segue("snapshots", "customers", "--format", "json").out)
    assert found == [
        {
            "snapshot": "2026-11-21",
            "as_of": "2026-11-22T00:00:00Z",
            "complete": True,
            "tables": ["contacts"],
            "why_incomplete": None,
            "quarantined": None,
        },
        {
            "snapshot": "2026-11-22",
            "as_of": "2026-11-23T00:00:00Z",
            "complete": False,
            "tables": ["contacts"],
            "why_incomplete": "no marker file _SUCCESS",
            "quarantined": None,
        },
    ]


def test_the_table_says_why_a_snapshot_is_not_complete(segue, home):
    (home.snapshots / "2026-11-22" / "_SUCCESS").unlink()
    lines = segue("snapshots", "customers").lines
    assert lines[0].split() == ["snapshot", "as_of", "complete", "tables"]
    assert "no: no marker file _SUCCESS" in lines[3]


def test_a_sound_snapshot_is_reported(segue):
    answer = segue("snapshots", "customers", "--check", "2026-11-22", "--format", "csv")
    assert answer.code == 0
    assert answer.lines == [
        "table,rows,unknown_contacts,without_date,problem",
        "contacts,7,0,0,",
    ]
    assert answer.err == "2026-11-22 is sound\n"


def test_an_unsound_snapshot_is_exit_code_2_and_every_problem(segue, home):
    rows = "c1,Ann,,,gold,us,perhaps\nc1,Ann,,,gold,us,no\n,Bob,,,gold,us,no\n"
    home.snapshot("2026-11-23", rows)
    answer = segue("snapshots", "customers", "--check", "2026-11-23")
    assert answer.code == 2
    assert len(answer.lines) == 3
    assert "1 row without a contact_id: row 3" in answer.out
    assert "'c1' (row 1, row 2)" in answer.out
    assert "'perhaps'" in answer.out
    assert answer.err == "3 problems found in 2026-11-23\n"


def test_an_unknown_directory_is_an_error(segue):
    answer = segue("snapshots", "custmers")
    assert answer.code == 2
    assert "there is no directory 'custmers'; allowed: customers" in answer.err


def test_a_directory_without_snapshots_says_so(segue, home):
    empty = home.root / "include" / "none"
    empty.mkdir()
    home.define("directories", "customers", "directory: customers\nsnapshots: ../none\n")
    answer = segue("snapshots", "customers", "--format", "csv")
    assert answer.code == 0
    assert answer.lines == ["snapshot,as_of,complete,tables,why_incomplete,quarantined"]
    assert answer.err == "directory customers has no snapshot yet\n"
