"""``segue members``, ``changes`` and ``explain``."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.unit.cli.conftest import WORKFLOW

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


CALLS = """
segment: at_risk
directory: customers
match:
  all:
    - {segment: gold, is: member}
    - transactions: {in_past: 30d}
      count: {at_least: 5}
"""


@pytest.fixture
def calls(home):
    """c1 called four times by the 21st and once more on the 22nd; c2 never."""
    home.define("segments", "at_risk", CALLS)
    dates = ["2026-11-01", "2026-11-02", "2026-11-20", "2026-11-21", "2026-11-22"]
    for key, known in (("2026-11-21", dates[:4]), ("2026-11-22", dates)):
        rows = "".join(f"c1,{day}\n" for day in known)
        path = home.snapshots / key / "transactions.csv"
        path.write_text(f"contact_id,date\n{rows}")
    return home


def test_explain_across_a_change_shows_both_values_and_verdicts(segue, calls):
    answer = segue("explain", "at_risk", "c1", "--from", "2026-11-21", "--at", "2026-11-22")
    assert answer.lines == [
        "c1 was not in at_risk at 2026-11-21; opted in",
        "c1 is in at_risk at 2026-11-22; opted in",
        "✗→✓ all of",
        "├── ✓ segment gold: is member  it was member, it is member",
        "│   └── ✓ tier: equals gold  it was gold, it is gold",
        "└── ✗→✓ count of transactions (in_past 30d): at_least 5  it was 4, it is 5",
    ]


def test_explain_across_a_change_as_json_has_the_earlier_verdict_at_each_node(segue, calls):
    span = ("--from", "2026-11-21", "--at", "2026-11-22", "--format", "json")
    found = json.loads(segue("explain", "at_risk", "c1", *span).out)
    assert found["from"] == {"snapshot": "2026-11-21", "member": False, "opted_in": True}
    assert (found["snapshot"], found["member"]) == ("2026-11-22", True)
    count = found["explanation"]["parts"][1]
    assert (count["value"], count["holds"]) == (5, True)
    assert (count["from"]["value"], count["from"]["holds"]) == (4, False)
    assert count["tests"] == [{"operator": "at_least", "operand": 5, "holds": True}]


def test_explain_across_a_change_as_csv_has_both_sides_in_a_row(segue, calls):
    span = ("--from", "2026-11-21", "--at", "2026-11-22", "--format", "csv")
    lines = segue("explain", "at_risk", "c1", *span).lines
    assert lines[0] == "node,condition,value,holds,value_from,holds_from"
    assert lines[-1].endswith("at_least 5,5,true,4,false")


def test_explain_of_somebody_who_was_deleted(segue, home):
    answer = segue("explain", "gold", "c4", "--from", "2026-11-21", "--at", "2026-11-22")
    assert answer.lines == [
        "c4 was in gold at 2026-11-21; opted in",
        "c4 is not in the directory at 2026-11-22",
        "✓→– tier: equals gold  it was gold, it is not there",
    ]


def test_explain_shows_what_lists_subscriptions_and_samples_decided_by(segue, home):
    parts = [
        "{mailing_list: News, is: member}",
        "{subscription: this_segment, is: opted_out}",
        "{sample: 10%, salt: spring}",
        "{segment: vip, is: not_member}",
        "{field: tier, equals: gold, not_equals: silver}",
    ]
    lines = "".join(f"    - {part}\n" for part in parts)
    home.define("segments", "many", f"segment: many\ndirectory: customers\nmatch:\n  any:\n{lines}")
    home.define("segments", "vip", "segment: vip\ndirectory: customers\npython: vip.py:members\n")
    (home.include / "segments" / "vip.py").write_text("def members(at):\n    return ['c3']\n")
    lists = home.snapshots / "2026-11-22" / "mailing_lists.csv"
    lists.write_text("contact_id,mailing_list,opted_in\nc3,News,no\n")
    answer = segue("explain", "many", "c3", "--at", "2026-11-22")
    assert answer.lines[1:] == [
        "✓ any of",
        "├── ✓ mailing list News: is member  it is opted_out",
        "├── ✓ subscription this_segment: is opted_out  it is opted_out",
        f"├── ✗ sample: 10% with salt spring  it is {drawn('spring', 'c3')}",
        "├── ✗ segment vip: is not_member  it is member",
        "│   └── ✓ python: vip.py:members  it is member",
        "└── ✓ tier: equals gold, not_equals silver  it is gold",
    ]
    found = json.loads(segue("explain", "many", "c3", "--at", "2026-11-22", "--format", "json").out)
    tests = found["explanation"]["parts"][-1]["tests"]
    assert [(test["operator"], test["holds"]) for test in tests] == [
        ("equals", True),
        ("not_equals", True),
    ]


def drawn(salt, contact):
    digest = hashlib.sha256(f"{salt}\0{contact}".encode()).digest()
    return f"{int.from_bytes(digest[:8], 'big') / 2**64 * 100:.4f}%"


def test_opt_states_that_are_new_are_told(segue, home):
    """`changes` compares; a run takes the first day on which somebody says no as a baseline."""
    path = home.snapshots / "2026-11-21" / "contacts.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    told = "records a baseline here (new column: 2026-11-21 lacks contacts.unsubscribed)"
    assert told in segue("changes", "gold").err


def test_what_a_run_refuses_every_command_about_a_segment_refuses(segue, home):
    """Dates nobody can read, and columns of which no value can answer: one door for all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    recent = "match: {transactions: {in_past: 30d}, count: {at_least: 1}}\n"
    late = "match: {field: since, in_past: 30d}\n"
    home.define("segments", "recent", f"segment: recent\ndirectory: customers\n{recent}")
    home.define("segments", "late", f"segment: late\ndirectory: customers\n{late}")
    for name in ("recent", "late"):
        workflow = WORKFLOW.replace("welcome", name).replace("gold", name)
        home.define("workflows", name, workflow)
    for key in ("2026-11-21", "2026-11-22"):
        folder = home.snapshots / key
        (folder / "transactions.csv").write_text("contact_id,date\nc1,20/11/2026\nc2,20/11/2026\n")
        (folder / "contacts.csv").unlink()
        names = {name: [f"{name}1", f"{name}2"] for name in ("name", "email", "phone", "country")}
        rows = {"contact_id": ["c1", "c2"], "since": [1, 2], **names}
        pq.write_table(pa.table(rows), folder / "contacts.parquet")
    wrong = {"recent": "2 of 2 values cannot be read as a date", "late": "holds numbers"}
    for name, message in wrong.items():
        for command in (
            ("members", name), ("changes", name), ("explain", name, "c1"),
            ("plan", name), ("simulate", name),
        ):  # fmt: skip
            answer = segue(*command)
            assert (answer.code, message in answer.err) == (2, True), (command, answer.err)
            assert "Traceback" not in answer.err
