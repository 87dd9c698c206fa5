"""Segments that are judged together, and who of those that ask at the same time judges."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from segue.directory.id_hashes import id_keys
from segue.errors import DataError
from segue.segments.columns.id_keys import KeySet
from segue.segments.membership import shared as module
from segue.segments.membership import slices
from segue.segments.membership import store as stored
from segue.segments.membership.shared import SharedMemberships
from segue.segments.membership.store import MembershipStore, plain_members
from segue.workflows.segments_in_use import segments_in_use
from tests.unit.segments.home import Home

DAY = "2026-11-22"
NAMES = ["gold", "rich", "listed", "active"]
WORKFLOW = """workflow: {0}
segment: {0}
changes: [added]
schedule: "0 6 * * *"
start: 2026-11-01
actions: [{{id: tell, slack_message: {{channel: "#x", text: hello}}}}]
"""


@pytest.fixture
def home(tmp_path):
    """Four segments of what a snapshot has, one of what it lacks, and one of Python."""
    home = Home(tmp_path)
    home.segment("gold", "match: {field: tier, equals: gold}")
    home.segment(
        "rich", "match: {all: [{segment: gold, is: member}, {field: points, at_least: 6}]}"
    )
    home.segment("listed", "match: {mailing_list: News, is: opted_in}")
    home.segment("active", "match: {transactions: {in_past: 1w}, count: {at_least: 1}}")
    home.segment("lacking", "match: {field: nowhere, equals: x}")
    home.write("rules.py", "def members(directory):\n    return ['a']\n")
    home.segment("python", "python: ../rules.py:members")
    home.snapshot(
        DAY,
        contacts="contact_id,tier,points a,gold,5 b,gold,7 c,silver,9",
        mailing_lists="contact_id,mailing_list,opted_in a,News,yes b,News,no c,News,yes",
        transactions="contact_id,date a,2026-11-20 c,2026-10-01",
        subscriptions="contact_id,scope,opted_in a,segment:active,no c,directory,no",
    )
    return home


@pytest.fixture
def passes(monkeypatch):
    """Note which segments are judged in each pass over a snapshot."""
    passes = []

    def counting(segments, *asked):
        passes.append([segment.segment for segment in segments])
        return slices.sliced_members(segments, *asked)

    monkeypatch.setattr(stored, "sliced_members", counting)
    return passes


@contextmanager
def free(_name):
    yield True


def shared(home, *names, alone=free):
    store = MembershipStore(str(home.root / "state"))
    return SharedMemberships(store, lambda: [home.catalog.segment(name) for name in names], alone)


def asked(home, name):
    tables = home.tables(DAY)
    return home.catalog.segment(name), tables.directory, tables.snapshot


def test_who_asks_first_judges_for_all(home, passes):
    store = shared(home, *NAMES, "lacking", "python")
    for name in NAMES:
        found = list(store.pieces(*asked(home, name)))
        assert found[0].equals(plain_members(*asked(home, name))), name
    assert passes == [NAMES]


def test_what_the_snapshot_lacks_is_the_error_of_who_asks_for_it(home, passes):
    store = shared(home, *NAMES)
    with pytest.raises(DataError, match="nowhere"):
        list(store.pieces(*asked(home, "lacking")))
    assert passes == []
    store.membership(*asked(home, "gold"))
    assert passes == [NAMES]


def test_segments_on_python_keep_their_own_way(home, passes):
    store = shared(home, *NAMES)
    assert store.membership(*asked(home, "python"))["contact_id"].tolist() == ["a"]
    assert passes == [["python"]]


def test_segments_of_another_directory_are_left_out(home, passes):
    home.define("directories/others", "directory: others\nsnapshots: ../elsewhere\n")
    home.segment("foreign", "match: {field: tier, equals: gold}", directory="others")
    shared(home, "gold", "foreign").membership(*asked(home, "rich"))
    assert passes == [["rich", "gold"]]


def test_one_that_breaks_while_it_is_judged_stops_no_other(home, passes, monkeypatch, caplog):
    of_evaluator = slices.Evaluator.compare

    def breaking(self, column, comparison):
        if any(test.data == "gold" for test in comparison.tests):
            raise DataError("gold cannot be judged")
        return of_evaluator(self, column, comparison)

    monkeypatch.setattr(slices.Evaluator, "compare", breaking)
    store = shared(home, "listed", "gold", "active")
    assert len(store.membership(*asked(home, "listed"))) == 2
    store.membership(*asked(home, "active"))
    assert passes == [["listed", "gold", "active"], ["listed"], ["gold"], ["active"]]
    assert "the segment gold is left to who asks: gold cannot be judged" in caplog.text
    with pytest.raises(DataError, match="gold cannot be judged"):
        store.membership(*asked(home, "gold"))


def test_leavers_are_those_of_the_segment_that_is_asked_for(home):
    ids = home.tables(DAY).slices("contacts")[0].read(["contact_id"]).column(0)
    keys = id_keys(ids)
    keys.sort()
    leavers = slices.Leavers(KeySet(keys))
    list(shared(home, *NAMES).pieces(*asked(home, "listed"), leavers))
    assert leavers.ids.to_pylist() == ["b"]
    assert leavers.sample.tolist() == keys.tolist()


def test_a_snapshot_that_changes_while_it_is_read_is_not_kept(home, monkeypatch):
    def rewriting(segments, *asked):
        members = slices.sliced_members(segments, *asked)
        home.snapshot(DAY, contacts="contact_id,tier,points a,gold,5")
        return members

    monkeypatch.setattr(stored, "sliced_members", rewriting)
    store = MembershipStore(str(home.root / "state"))
    segment, directory, snapshot = asked(home, "gold")
    assert store.keep([segment], directory, snapshot) == 0
    assert not list(home.root.rglob("state/**/*.parquet"))


class Turns:
    """Whether nobody else judges, look by look; ``then`` happens before the look ``after``."""

    def __init__(self, *answers, then=lambda: None):
        self.answers, self.then, self.looks = list(answers), then, 0

    @contextmanager
    def __call__(self, name):
        self.looks += 1
        if self.looks == len(self.answers):
            self.then()
        yield self.answers[self.looks - 1]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(module, "_WAIT", 0.0)


def test_the_others_wait_for_who_judges(home, passes):
    judge = shared(home, *NAMES)
    turns = Turns(False, False, False, then=lambda: judge.membership(*asked(home, "active")))
    shared(home, *NAMES, alone=turns).membership(*asked(home, "gold"))
    assert turns.looks == 3
    assert len(passes) == 1


def test_what_is_judged_just_before_a_process_is_alone_is_not_judged_again(home, passes):
    judge = shared(home, *NAMES)
    turns = Turns(True, then=lambda: judge.membership(*asked(home, "active")))
    shared(home, *NAMES, alone=turns).membership(*asked(home, "gold"))
    assert len(passes) == 1


def test_who_waits_goes_on_where_the_judge_is_gone(home, passes):
    turns = Turns(False, False, True)
    shared(home, *NAMES, alone=turns).membership(*asked(home, "gold"))
    assert turns.looks == 3
    assert passes == [["gold", "rich", "listed", "active"]]


def test_nobody_waits_for_ever(home, passes, monkeypatch, caplog):
    monkeypatch.setattr(module, "_LONGEST_WAIT", 0.0)
    turns = Turns(*[False] * 9)
    assert len(shared(home, *NAMES, alone=turns).membership(*asked(home, "gold"))) == 2
    assert passes == [["gold"]]
    assert "judging alone" in caplog.text


def test_segments_in_use_are_those_of_workflows_that_can_be_read(home):
    for name in ("gold", "rich", "python"):
        home.define(f"workflows/{name}", WORKFLOW.format(name))
    home.define("workflows/broken", "workflow: broken\nsegment: active\n")
    home.define("workflows/nowhere", WORKFLOW.format("nowhere"))
    segments = segments_in_use(home.catalog, "customers")
    assert [segment.segment for segment in segments] == ["gold", "python", "rich"]
    assert [each.segment for each in segments[2].refers_to] == ["gold"]
    assert segments_in_use(home.catalog, "others") == []
