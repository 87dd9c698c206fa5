"""``segue members``, ``changes`` and ``explain``."""

from __future__ import annotations

import json

import pytest

CHANGES = """contact_id,change,reason
c2,added,
c3,opted_out,
c4,removed,deleted
c5,added,
c6,added,
c7,added,
c8,added,
"""


def test_members_as_csv_are_id_and_opt_state_sorted_by_id(segue):
    answer = segue("members", "gold", "--at", "2026-11-22", "--format", "csv")
    assert answer.code == 0
    assert answer.out == (
        "contact_id,opted_in\nc1,true\nc2,true\nc3,false\nc5,true\nc6,true\nc7,true\nc8,true\n"
    )
    assert answer.err == "7 members at 2026-11-22, 1 of them opted out\n"


def test_ids_are_sorted_by_their_bytes(segue, home):
    home.snapshot(
        "2026-11-23", "".join(f"{i},x,,,gold,us,no\n" for i in ("b", "é", "B", "10", "9"))
    )
    answer = segue("members", "gold", "--format", "csv")
    assert [line.split(",")[0] for line in answer.lines[1:]] == ["10", "9", "B", "b", "é"]


def test_the_newest_complete_snapshot_is_the_default_and_named(segue):
    answer = segue("members", "gold", "--format", "json")
    assert json.loads(answer.out)[2] == {"contact_id": "c3", "opted_in": False}
    assert answer.err.startswith("at 2026-11-22, the newest complete snapshot\n")


def test_an_empty_segment_prints_a_header_only(segue, home):
    match = "match: {field: tier, equals: platinum}\n"
    home.define("segments", "empty", f"segment: empty\ndirectory: customers\n{match}")
    assert segue("members", "empty", "--format", "csv").out == "contact_id,opted_in\n"
    assert segue("members", "empty", "--format", "json").out == "[]\n"


def test_changes_as_csv_are_id_change_and_reason_sorted_by_id(segue):
    span = ("--from", "2026-11-21", "--to", "2026-11-22")
    answer = segue("changes", "gold", *span, "--format", "csv")
    assert answer.code == 0
    assert answer.out == CHANGES
    assert answer.err == (
        "2026-11-21 to 2026-11-22: 3 to 7 members; 5 added, 1 opted_out, 1 removed\n"
    )


def test_changes_are_by_default_those_of_the_newest_snapshot(segue):
    answer = segue("changes", "gold", "--format", "csv")
    assert answer.out == CHANGES
    assert "from 2026-11-21, the complete snapshot before it" in answer.err


def test_changes_before_the_first_snapshot_are_an_error(segue):
    answer = segue("changes", "gold", "--to", "2026-11-21")
    assert answer.code == 2
    assert "nothing to compare: 2026-11-21 is the first complete snapshot" in answer.err


def test_changes_backwards_are_an_error(segue):
    answer = segue("changes", "gold", "--from", "2026-11-22", "--to", "2026-11-21")
    assert answer.code == 2
    assert "--from 2026-11-22 must be earlier than 2026-11-21" in answer.err


@pytest.mark.parametrize("command", ["members", "explain", "plan"])
def test_an_unknown_snapshot_is_an_error_that_names_the_nearest(segue, command):
    name = {"members": ["gold"], "explain": ["gold", "c1"], "plan": ["welcome"]}[command]
    answer = segue(command, *name, "--at", "2026-11-20")
    assert answer.code == 2
    assert "has no snapshot 2026-11-20; the nearest: 2026-11-21, 2026-11-22" in answer.err


def test_explain_shows_value_and_verdict_of_every_node(segue, home):
    match = (
        "match:\n  any:\n    - {field: tier, equals: gold}\n"
        "    - not: {field: email, contains: example}\n    - {field: score, is_set: true}\n"
    )
    home.define("segments", "mixed", f"segment: mixed\ndirectory: customers\n{match}")
    columns = "contact_id,tier,email,score,unsubscribed"
    home.snapshot("2026-11-23", "c1,silver,ann@example.com,,yes\n", columns)
    answer = segue("explain", "mixed", "c1")
    assert answer.lines == [
        "c1 is not in mixed at 2026-11-23; opted out",
        "✗ any of",
        "├── ✗ tier: equals gold  it is silver",
        "├── ✗ not",
        "│   └── ✓ email: contains example  it is ann@example.com",
        "└── ✗ score: is_set true  it is missing",
    ]


def test_explain_as_json_is_a_tree(segue):
    tree = json.loads(segue("explain", "gold", "c2", "--at", "2026-11-21", "--format", "json").out)
    assert tree == {
        "contact_id": "c2",
        "segment": "gold",
        "snapshot": "2026-11-21",
        "member": False,
        "opted_in": True,
        "explanation": {
            "condition": "tier: equals gold",
            "holds": False,
            "value": "silver",
            "tests": [{"operator": "equals", "operand": "gold", "holds": False}],
        },
    }


def test_explain_as_csv_has_a_row_per_node(segue):
    answer = segue("explain", "gold", "c1", "--format", "csv")
    assert answer.lines == ["node,condition,value,holds", "match,tier: equals gold,gold,true"]


def test_explain_helps_with_an_id_that_is_almost_right(segue):
    answer = segue("explain", "gold", "C1")
    assert answer.code == 2
    assert "there is no contact 'C1' in snapshot 2026-11-22" in answer.err
    assert "did you mean 'c1'?" in answer.err


def test_looking_leaves_no_trace(segue, home):
    before = home.files()
    segue("validate")
    segue("snapshots", "customers")
    segue("members", "gold")
    segue("changes", "gold")
    segue("explain", "gold", "c1")
    segue("plan", "welcome")
    segue("deliveries")
    segue("gaps")
    assert home.files() == before
