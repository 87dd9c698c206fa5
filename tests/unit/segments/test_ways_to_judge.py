"""Which segments are judged slice by slice, and that both ways agree for every kind of leaf."""

from __future__ import annotations

import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.errors import DataError
from segue.preview.plan import Uncached
from segue.segments.conditions import registry
from segue.segments.conditions.operands import Number
from segue.segments.membership import store as module
from segue.segments.membership.changes import segment_changes
from segue.segments.membership.slices import sliced_members
from segue.segments.membership.store import MembershipStore, membership, plain_members
from tests.unit.segments.home import Home

DAY, NEXT = "2026-11-22", "2026-11-23"
CONTACTS = "contact_id,tier,points,unsubscribed a,gold,5,no b,gold,7,yes c,silver,,no d,,9,no"
TABLES = {
    "contacts": CONTACTS,
    "transactions": "contact_id,date,amount a,2026-11-20,5 a,2026-11-01,7 c,2026-11-21,1",
    "mailing_lists": "contact_id,mailing_list,opted_in a,News,yes b,News,no",
    "subscriptions": (
        "contact_id,scope,opted_in a,segment:tried,no c,directory,no d,segment:gold,no"
    ),
}


@pytest.fixture
def home(tmp_path):
    found = Home(tmp_path)
    found.segment("gold", "match: {field: tier, equals: gold}")
    found.snapshot(DAY, **TABLES)
    return found


def asked(home, name="tried", key=DAY):
    tables = home.tables(key)
    return home.catalog.segment(name), tables.directory, tables.snapshot


def in_slices(home, **options):
    """Tell whether the segment is judged slice by slice; both ways must agree."""
    arguments = asked(home, **options)
    assert module._compute(*arguments).equals(plain_members(*arguments))
    return sliced_members([arguments[0]], *arguments[1:]) is not None


WHERE = "{where: {field: amount, at_least: 6}}"
COUNT = "{transactions: {in_past: 1w}, count: {at_least: 1}}"


@pytest.mark.parametrize(
    ("match", "sliced"),
    [
        ("{field: tier, equals: gold}", True),
        ("{field: points, not_between: [6, 8]}", True),
        (COUNT, True),
        ("{transactions: {}, mean: {field: amount, at_least: 6}}", True),
        ("{transactions: {}, earliest: {field: date, before: 2026-11-10}}", True),
        (f"{{transactions: {WHERE}, max: {{field: amount, at_most: 9}}}}", True),
        ("{not: {any: [{field: tier, equals: gold}, " + COUNT + "]}}", True),
        ("{mailing_list: News, is: member}", True),
        ("{mailing_list: News, is: opted_out}", True),
        ("{subscription: this_segment, is: opted_out}", True),
        ("{subscription: directory, is: opted_out}", True),
        ("{subscription: gold, is: opted_in}", True),
        ("{segment: gold, is: member}", True),
        ("{segment: gold, is: not_member}", True),
        ("{sample: 50%, salt: x}", True),
        ("{all: [{field: tier, equals: gold}, {not: {sample: 50%, salt: x}}]}", True),
        ("{any: [" + COUNT + ", {mailing_list: News, is: member}]}", True),
    ],
)
def test_slices_are_judged_only_where_they_are_known_to_tell(home, match, sliced):
    home.segment("tried", f"match: {match}")
    assert in_slices(home) == sliced


def test_opt_states_are_the_same_in_slices(home):
    home.segment("tried", "match: {not: {field: contact_id, equals: x}}")
    assert in_slices(home)
    assert home.members("tried") == [("a", False), ("b", False), ("c", False), ("d", True)]


def test_other_ways_to_decide_are_not_sliced(home):
    home.write("rules.py", "def members(directory):\n    return ['a', 'b']\n")
    home.segment("tried", "python: ../rules.py:members")
    assert not in_slices(home)
    home.write(f"imports/{DAY}.csv", "contact_id,opted_in\na,yes\nd,no\n")
    home.segment("tried", "imported: {path: '../imports/{key}.csv'}")
    assert not in_slices(home)
    assert home.members("tried") == [("a", False), ("d", False)]


def test_an_operator_of_a_team_sees_the_whole_column(home, monkeypatch):
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    sizes = []

    @registry.register
    class Exceeds(registry.Operator):
        name, takes = "exceeds", Number()

        def holds(self, column, operand, moment):
            sizes.append(column.size)
            return column.numbers.above(operand)

    home.segment("tried", "match: {field: points, exceeds: 5}")
    assert not in_slices(home)
    assert set(sizes) == {4}
    home.segment(
        "tried", "match: {transactions: {where: {field: amount, exceeds: 5}}, count: {at_least: 1}}"
    )
    assert not in_slices(home)
    assert home.ids("tried") == ["a"]


def test_files_that_give_a_column_in_several_types_are_read_together(home):
    folder = home.root / "snapshots" / NEXT / "contacts"
    folder.mkdir(parents=True)
    whole = pa.table({"contact_id": ["a"], "points": pa.array([5], pa.int64())})
    parts = pa.table({"contact_id": ["b"], "points": pa.array([0.5])})
    home.segment("tried", "match: {field: points, greater_than: 1}")
    pq.write_table(whole, folder / "part-0.parquet")
    pq.write_table(whole.set_column(0, "contact_id", [["b"]]), folder / "part-1.parquet")
    assert in_slices(home, key=NEXT)
    pq.write_table(parts, folder / "part-1.parquet")
    assert not in_slices(home, key=NEXT)


@pytest.mark.parametrize(
    "match", ["{field: tier, equals: gold}", "{mailing_list: News, is: not_member}"]
)
def test_a_mapped_opt_state_that_is_not_there_is_refused_in_both_ways(home, match):
    home.define(
        "directories/customers",
        "directory: customers\nsnapshots: ../snapshots\n"
        "columns: {contacts: {unsubscribed: no_mails}}\n",
    )
    home.segment("tried", f"match: {match}")
    with pytest.raises(DataError, match="no_mails"):
        membership(*asked(home))
    with pytest.raises(DataError, match="no_mails"):
        plain_members(*asked(home))


COUNTED = """
import threading
from pathlib import Path

def members(directory):
    calls = Path(__file__).parent / "calls"
    known = calls.read_text() if calls.exists() else ""
    calls.write_text(known + directory.key + " " + threading.current_thread().name + "\\n")
    return ["a", "b"] if known else ["a"]
"""


def test_a_function_is_asked_once_per_snapshot_on_the_callers_thread(home):
    home.snapshot(NEXT, **TABLES)
    home.write("rules.py", COUNTED)
    home.segment("tried", "python: ../rules.py:members")
    segment, directory, before = asked(home)
    found = segment_changes(segment, directory, before, asked(home, key=NEXT)[2], Uncached())
    assert found.changes[["contact_id", "change"]].to_numpy().tolist() == [["b", "added"]]
    name = threading.current_thread().name
    assert (home.root / "calls").read_text().splitlines() == [f"{DAY} {name}", f"{NEXT} {name}"]


def test_a_broken_stored_membership_is_not_completed_by_another_answer(home, tmp_path, monkeypatch):
    home.write("rules.py", f"{COUNTED}# functions are told apart by their text\n")
    home.segment("tried", "python: ../rules.py:members")
    store = MembershipStore(str(tmp_path / "state"))
    assert len(store.membership(*asked(home))) == 1
    read = store._read

    def broken(path):
        yield from read(path)
        raise OSError("the rest is gone")

    monkeypatch.setattr(store, "_read", broken)
    found = pa.concat_tables(store.pieces(*asked(home)))
    assert found.column("contact_id").to_pylist() == ["a", "b"]
