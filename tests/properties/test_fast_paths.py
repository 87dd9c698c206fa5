"""The fast paths give what the plain ones give, whatever the data and the files look like."""

from __future__ import annotations

import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.parquet_parts import ParquetSlice
from segue.directory.plain_columns import is_text
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.conditions.inspection import named_segments
from segue.segments.definition import SegmentDefinition
from segue.segments.membership import slices as sliced_membership
from segue.segments.membership import sorted_changes
from segue.segments.membership import store as membership
from segue.segments.membership.changes import changes_of_pieces, plain_changes
from segue.segments.membership.slices import sliced_members
from segue.segments.membership.store import plain_members
from tests.properties.test_segments import (
    AS_OF,
    COLUMNS,
    CONDITIONS,
    leaves,
    nested,
    populations,
    transaction_leaves,
)

# Memberships

LETTERS = st.sampled_from(["a", "b", "\0", "é", "😀", "00000000", "CID_"])
IDS = st.lists(LETTERS, min_size=1, max_size=6).map("".join)
MEMBERSHIPS = st.dictionaries(IDS, st.booleans(), max_size=25)


def table(members, order=sorted):
    ids = order(members)
    states = pa.array([members[one] for one in ids], pa.bool_())
    return pa.table([pa.array(ids, pa.large_string()), states], schema=sorted_changes.MEMBERS)


def pieces(members, size):
    return lambda: iter([members.slice(at, size) for at in range(0, len(members), size)])


@given(MEMBERSHIPS, MEMBERSHIPS, st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=300)
def test_one_pass_over_sorted_pieces_finds_what_the_plain_way_finds(a, b, size, other):
    previous, current = table(a), table(b)
    found = changes_of_pieces(pieces(previous, size), pieces(current, other))
    assert found.equals(plain_changes(previous, current))


@given(MEMBERSHIPS, MEMBERSHIPS)
def test_pieces_in_any_order_are_compared_all_the_same(a, b):
    found = changes_of_pieces(pieces(table(a, list), 3), pieces(table(b, reversed_ids), 2))
    assert found.equals(plain_changes(table(a), table(b)))


def reversed_ids(members):
    return sorted(members, reverse=True)


def members(ids, opted_in=True):
    return table(dict.fromkeys(ids, opted_in))


@pytest.fixture
def plainly(monkeypatch):
    """Count the members that were compared in the plain way."""
    compared = []

    def counting(previous, current):
        compared.append((len(previous), len(current)))
        return plain_changes(previous, current)

    monkeypatch.setattr("segue.segments.membership.changes.plain_changes", counting)
    return compared


def diff(previous, current):
    found = changes_of_pieces(pieces(previous, 100), pieces(current, 100))
    assert found.equals(plain_changes(previous, current))
    return found


def test_only_ids_that_share_their_bytes_with_others_are_compared_plainly(plainly):
    tied = [f"b-2345678-{number}" for number in range(5)]
    diff(members(["a", *tied, "c"]), members(["a", *tied[1:], "d"], opted_in=False))
    assert plainly == [(5, 4)]


def test_nothing_is_compared_plainly_where_eight_bytes_tell_ids_apart(plainly):
    ids = [f"CID_{number:09}" for number in range(300)]
    assert len(diff(members(ids[:200]), members(ids[5:]))) == 105
    assert plainly == []


def test_two_ids_with_the_same_eight_bytes_on_different_sides_are_two_contacts(plainly):
    found = diff(members(["12345678-old", "a"]), members(["12345678-new", "a"]))
    assert found.column("change").to_pylist() == ["added", "removed"]
    assert plainly == []


def test_a_repeated_or_unsorted_id_sends_both_sides_to_the_plain_way(plainly):
    unsorted = pa.concat_tables([members(["b"]), members(["a"])])
    changes_of_pieces(pieces(unsorted, 1), pieces(members(["a"]), 1))
    repeated = pa.concat_tables([members(["a"]), members(["a"])])
    changes_of_pieces(pieces(repeated, 2), pieces(members(["b"]), 1))
    assert plainly == [(2, 1), (2, 1)]


def test_no_thread_outlives_a_comparison_that_is_given_up():
    before = set(threading.enumerate())
    unsorted = pa.concat_tables([members(["b"]), members(["a"]), members(["c"])])
    with pytest.raises(sorted_changes.NotSortedError) as raised:
        sorted_changes.sorted_changes(
            pieces(unsorted, 1)(), pieces(members(["a", "b", "c"]), 1)(), plain_changes
        )
    assert raised.traceback  # which keeps the frames, as an error that is being handled does
    assert set(threading.enumerate()) == before


# Snapshots


def write(folder, name, frame, draw):
    """Write a table as part files with small row groups."""
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    at = draw(st.integers(0, len(rows)))
    (folder / name).mkdir()
    for number, part in enumerate([rows.slice(0, at), rows.slice(at)]):
        size = draw(st.integers(1, 4))
        pq.write_table(part, folder / name / f"part-{number}.parquet", row_group_size=size)


OTHER = {"segment": "other", "directory": "d", "match": {"field": "integer", "at_least": 1}}
SLICEABLE = nested(leaves([name for name in COLUMNS if name != "mixed"]) | transaction_leaves())


@contextmanager
def stored(population, data):
    """Write a population's tables as files; give the directory and the snapshot."""
    contacts = population.contacts.drop(columns="mixed")
    contacts["mixed"] = [None if v is None or v != v else str(v) for v in population.contacts.mixed]
    contacts = contacts.astype({"mixed": "str"})
    with tempfile.TemporaryDirectory() as root:
        write(Path(root), "contacts", contacts, data.draw)
        write(Path(root), "transactions", population.transactions, data.draw)
        for name, frame in [
            ("mailing_lists", population.mailing_lists),
            ("subscriptions", population.subscriptions),
        ]:
            write(Path(root), name, frame.astype({"opted_in": "bool"}), data.draw)
        directory = DirectoryDefinition(
            directory="d", snapshots=root, timezone=str(population.zone)
        )
        with pytest.MonkeyPatch.context() as patch:
            if data.draw(st.booleans()):  # text stays encoded, as in files with more rows
                patch.setattr(ParquetSlice, "_has_few_values", is_text_column)
            yield directory, Snapshot("2026-11-23T00:00:00Z", AS_OF, UPath(root), complete=True)


def named(name, match):
    """Return a segment that knows what it refers to."""
    segment = SegmentDefinition.model_validate({"segment": name, "directory": "d", "match": match})
    if any(mention.evaluated for mention in named_segments(segment.match)):
        return segment.referring_to([SegmentDefinition.model_validate(OTHER)])
    return segment


def agreeing(population, match, data):
    """Judge a population's tables, as files, in both ways; return whether slices were judged."""
    segment = named("this", match)
    with stored(population, data) as asked:
        found = membership._compute(segment, *asked)
        in_slices = sliced_members([segment], *asked) is not None
        assert found.equals(plain_members(segment, *asked))
        return in_slices


@given(populations(), SLICEABLE, st.data())
@settings(max_examples=120, deadline=None)
def test_judging_slice_by_slice_finds_what_judging_everything_finds(population, match, data):
    assert agreeing(population, match, data)


@given(populations(), CONDITIONS, st.data())
@settings(max_examples=120, deadline=None)
def test_every_condition_is_judged_as_the_plain_way_judges_it(population, match, data):
    assert agreeing(population, match, data)


NAMES = ["this", "other", "third", "fourth", "fifth"]  # subscriptions know the first two


@given(populations(), st.lists(CONDITIONS, min_size=2, max_size=5), st.data())
@settings(max_examples=120, deadline=None)
def test_segments_judged_together_are_what_each_is_alone(population, matches, data):
    segments = [named(name, match) for name, match in zip(NAMES, matches, strict=False)]
    with stored(population, data) as asked:
        together = sliced_members(segments, *asked)
        for place, segment in enumerate(segments):
            alone = plain_members(segment, *asked)
            assert together.of(place).cast(alone.schema).equals(alone)


def is_text_column(piece, column):
    return is_text(piece.part.schema.field(column).type)


GOLD = {"field": "tier", "equals": "gold"}


def snapshot_of(folder, ids, tiers):
    rows = pa.table({"contact_id": ids, "tier": tiers})
    pq.write_table(rows, folder / "contacts.parquet", row_group_size=2)
    directory = DirectoryDefinition(directory="d", snapshots=str(folder))
    segment = SegmentDefinition.model_validate({"segment": "s", "directory": "d", "match": GOLD})
    return segment, directory, Snapshot("2026-11-23T00:00:00Z", AS_OF, UPath(folder), complete=True)


def test_contacts_with_one_key_are_judged_in_the_plain_way(tmp_path, monkeypatch):
    asked = snapshot_of(tmp_path, ["b", "a", "c"], ["gold", "gold", "x"])
    assert sliced_members([asked[0]], *asked[1:]) is not None
    monkeypatch.setattr(
        sliced_membership, "id_keys", lambda ids: np.zeros(len(ids), dtype=np.uint64)
    )
    assert sliced_members([asked[0]], *asked[1:]) is None
    assert membership._compute(*asked).column("contact_id").to_pylist() == ["a", "b"]


def test_a_contact_that_is_there_twice_is_found_across_slices(tmp_path):
    asked = snapshot_of(tmp_path, ["a", "b", "c", "a"], ["gold", "x", "x", "gold"])
    with pytest.raises(DataError, match="'a' \\(row 1, row 4\\)"):
        membership._compute(*asked)
    asked = snapshot_of(tmp_path, ["a", "b", None], ["gold", "x", "x"])
    with pytest.raises(DataError, match="row 3"):
        membership._compute(*asked)


def test_text_of_few_values_is_read_encoded_and_judged_the_same(tmp_path):
    ids = [f"id{number:04}" for number in range(3000)]
    tiers = [("gold", "silver", None, "Gold")[number % 4] for number in range(3000)]
    _, directory, snapshot = snapshot_of(tmp_path, ids, tiers)
    rows = pa.table({"contact_id": ids, "tier": tiers})
    pq.write_table(rows, tmp_path / "contacts.parquet", row_group_size=2000)
    (first, _) = SnapshotTables(directory, snapshot).slices("contacts")
    assert pa.types.is_dictionary(first.read(["contact_id", "tier"]).column("tier").type)
    for match, expected in [
        (GOLD, 750),
        ({"field": "tier", "equals": "gold", "ignore_case": True}, 1500),
        ({"field": "tier", "is_empty": True}, 750),
        ({"field": "tier", "not_equals": "gold"}, 2250),
    ]:
        data = {"segment": "s", "directory": "d", "match": match}
        found = membership._compute(SegmentDefinition.model_validate(data), directory, snapshot)
        assert len(found) == expected


RECENT = {"transactions": {"in_past": "7d"}, "count": {"at_least": 1}}
NOON = np.datetime64("2026-11-22T12:00", "us")  # half a day before as-of


@pytest.fixture
def counted(monkeypatch):
    """Note, for every slice whose rows are counted, how many it has and the columns read of it."""
    slices = []
    of_evaluator = sliced_membership.Evaluator.looks_at

    def counting(self, leaf, *, all_in_time=False):
        mask = of_evaluator(self, leaf, all_in_time=all_in_time)
        slices.append((len(mask), list(self._population.transactions.columns)))
        return mask

    monkeypatch.setattr(sliced_membership.Evaluator, "looks_at", counting)
    return slices


def recent(folder, dates, match=RECENT, **columns):
    """Return who has transactions of the last week; ten to a slice, one after the other's."""
    segment, directory, snapshot = snapshot_of(folder, ["a", "b"], ["gold", "gold"])
    ids = [("a", "b")[row // 10 % 2] for row in range(len(dates))]
    rows = pa.table({"contact_id": ids, "date": dates, **columns})
    pq.write_table(rows, folder / "transactions.parquet", row_group_size=10)
    asked = SegmentDefinition.model_validate({**segment.model_dump(), "match": match})
    found = membership._compute(asked, directory, snapshot)
    assert found.equals(plain_members(asked, directory, snapshot))
    return found.column("contact_id").to_pylist()


def test_slices_whose_dates_are_outside_the_window_are_not_read(tmp_path, counted):
    days = NOON - np.arange(100) * np.timedelta64(1, "D")
    assert recent(tmp_path, days) == ["a"]
    assert counted[0] == (10, ["date"])
    assert len(counted) == 2  # a slice, and the plain way


def test_dates_are_not_read_of_slices_that_are_wholly_in_the_window(tmp_path, counted):
    hours = NOON - np.timedelta64(2, "D") - np.arange(20) * np.timedelta64(1, "h")
    assert recent(tmp_path, hours) == ["a", "b"]
    assert [columns for _, columns in counted[:2]] == [["contact_id"]] * 2
    match = {**RECENT, "transactions": {"in_past": "7d", "where": {"field": "n", "at_least": 15}}}
    assert recent(tmp_path, hours, match, n=range(20)) == ["b"]
    assert [columns for _, columns in counted[3:5]] == [["n"]] * 2
    latest = {"transactions": {"in_past": "7d"}, "latest": {"field": "date", "after": "2026-11-22"}}
    assert recent(tmp_path, hours, latest) == []


@pytest.mark.parametrize(
    "dates",
    [
        [None, *[NOON - np.timedelta64(2, "D")] * 9],
        [NOON - np.timedelta64(6, "D"), *[NOON - np.timedelta64(7, "D")] * 9],
        [NOON, *[NOON + np.timedelta64(1, "D")] * 9],
    ],
    ids=["one is missing", "some are too old", "some are not yet"],
)
def test_dates_are_read_where_one_of_them_may_not_count(tmp_path, counted, dates):
    enough = {**RECENT, "count": {"at_least": 10}}
    assert recent(tmp_path, pa.array(dates, pa.timestamp("us")), enough) == []
    assert counted[0] == (10, ["date"])
