"""Memberships of snapshots on disk, opt states, and the store that keeps them."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import find_snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.consent import opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.loading import load_opt_states
from segue.segments.membership import store as module
from segue.segments.membership.changes import segment_changes
from segue.segments.membership.store import MembershipStore, membership, membership_key, missing_for

LATER = datetime.now(UTC) + timedelta(days=1)
GOLD = {"field": "tier", "equals": "gold"}


class Folder:
    """A directory of CSV snapshots that a test writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = DirectoryDefinition(directory="customers", snapshots=str(root))

    def write(self, key: str, **tables: str):
        folder = self.root / key
        folder.mkdir(parents=True, exist_ok=True)
        for name, lines in tables.items():
            (folder / f"{name}.csv").write_text(lines.replace(" ", "\n") + "\n")
        return find_snapshot(self.directory, key, now=LATER)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "snapshots")


def segment(match=None, name="gold"):
    data = {"segment": name, "directory": "customers", "match": match or GOLD}
    return SegmentDefinition.model_validate(data)


def rows(frame):
    return list(frame.itertuples(index=False, name=None))


def test_a_membership_has_the_members_sorted_with_their_opt_state(folder):
    snapshot = folder.write(
        "2026-11-22", contacts="contact_id,tier 9,gold 007,gold b,silver a,gold"
    )
    found = membership(segment(), folder.directory, snapshot)
    assert rows(found) == [("007", True), ("9", True), ("a", True)]
    assert found["opted_in"].dtype == bool
    assert pd.api.types.is_string_dtype(found["contact_id"])


def test_a_contact_is_opted_out_by_the_directory_or_by_this_segment(folder):
    snapshot = folder.write(
        "2026-11-22",
        contacts="contact_id,tier,unsubscribed a,gold,true b,gold,false c,gold, d,gold,no e,gold,0",
        subscriptions=(
            "contact_id,scope,opted_in b,directory,false c,segment:gold,no c,directory,yes "
            "d,segment:other,false e,directory,true stranger,directory,false"
        ),
    )
    found = membership(segment(), folder.directory, snapshot)
    assert rows(found) == [("a", False), ("b", False), ("c", False), ("d", True), ("e", True)]
    tables = SnapshotTables(folder.directory, snapshot)
    some = load_opt_states(segment(), tables, only=["d", "x", "c"])
    assert some.contacts["contact_id"].tolist() == ["c", "d"]
    assert opt_states(some, "gold").tolist() == [False, True]
    assert opt_states(some, "other").tolist() == [True, False]


def test_what_a_snapshot_lacks_is_told_before_anything_is_computed(folder):
    match = {"all": [GOLD, {"transactions": {}, "sum": {"field": "amount", "at_least": 1}}]}
    bare = folder.write("2026-11-21", contacts="contact_id a")
    full = folder.write(
        "2026-11-22", contacts="contact_id,tier a,gold", transactions="contact_id,date a,2026-11-01"
    )
    lacks = [missing_for(segment(match), SnapshotTables(folder.directory, s)) for s in (bare, full)]
    assert lacks == [["contacts.tier", "transactions"], ["transactions.amount"]]
    with pytest.raises(DataError, match="transactions"):
        membership(segment(match), folder.directory, bare)


def test_the_changes_of_a_segment_tell_who_was_deleted(folder, tmp_path):
    previous = folder.write("2026-11-21", contacts="contact_id,tier a,gold b,gold c,gold d,silver")
    current = folder.write("2026-11-22", contacts="contact_id,tier a,gold b,silver d,gold")
    store = MembershipStore(str(tmp_path / "state"))
    found = segment_changes(segment(), folder.directory, previous, current, store)
    assert rows(found.changes) == [
        ("b", "removed", "no_longer_matches"),
        ("c", "removed", "deleted"),
        ("d", "added", ""),
    ]
    assert (found.previous_size, found.current_size) == (3, 2)


# The store


@pytest.fixture
def computed(monkeypatch):
    """Count how many memberships are computed."""
    calls = []
    compute = module._compute

    def counting(*arguments):
        calls.append(arguments)
        return compute(*arguments)

    monkeypatch.setattr(module, "_compute", counting)
    return calls


def files(root):
    return sorted(path for path in Path(root).rglob("*") if path.is_file())


def test_a_stored_membership_is_read_again(folder, tmp_path, computed):
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier b,gold a,gold")
    store = MembershipStore(str(tmp_path / "state"))
    first = store.membership(segment(), folder.directory, snapshot)
    again = MembershipStore(str(tmp_path / "state")).membership(
        segment(), folder.directory, snapshot
    )
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, membership(segment(), folder.directory, snapshot))
    assert len(computed) == 2  # once by the store, once here
    assert len(files(tmp_path / "state")) == 1


def break_at(position, size=64):
    def broken(path):
        data = bytearray(path.read_bytes())
        start = int(len(data) * position)
        data[start : start + size] = bytes(byte ^ 0x55 for byte in data[start : start + size])
        path.write_bytes(bytes(data))

    return broken


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b"not parquet at all"),
        lambda path: pq.write_table(pa.table({"contact_id": ["x"], "opted_in": [True]}), path),
        break_at(0.1),
        break_at(0.9),
    ],
    ids=["deleted", "empty", "half", "text", "foreign", "flipped bytes", "flipped footer"],
)
def test_a_broken_file_is_computed_again(folder, tmp_path, computed, harm):
    ids = " ".join(f"id{n:05},gold" for n in range(2000))
    snapshot = folder.write("2026-11-22", contacts=f"contact_id,tier {ids}")
    store = MembershipStore(str(tmp_path / "state"))
    first = store.membership(segment(), folder.directory, snapshot)
    (path,) = files(tmp_path / "state")
    harm(path)
    pd.testing.assert_frame_equal(first, store.membership(segment(), folder.directory, snapshot))
    store.membership(segment(), folder.directory, snapshot)
    assert len(computed) == 2


def test_a_file_that_breaks_off_in_the_middle_is_computed_again(
    folder, tmp_path, computed, monkeypatch
):
    monkeypatch.setattr(module, "_PIECE", 500)
    ids = " ".join(f"id{n:05},gold" for n in range(2000))
    snapshot = folder.write("2026-11-22", contacts=f"contact_id,tier {ids}")
    store = MembershipStore(str(tmp_path / "state"))
    first = store.membership(segment(), folder.directory, snapshot)
    (path,) = files(tmp_path / "state")
    break_at(0.5)(path)
    pieces = list(store.pieces(segment(), folder.directory, snapshot))
    assert len(pieces) > 1  # some of it could be read
    assert len(computed) == 2
    again = pa.concat_tables(pieces).to_pandas()
    assert again["contact_id"].tolist() == first["contact_id"].tolist()
    assert len(list(store.pieces(segment(), folder.directory, snapshot))) == 4


def test_the_key_covers_everything_a_membership_follows_from(folder):
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier a,gold")
    base = membership_key(segment(), folder.directory, snapshot)
    directory = folder.directory
    others = [
        (segment({"field": "tier", "equals": "silver"}), directory),
        (segment(name="other"), directory),
        (segment(), directory.model_copy(update={"timezone": "Asia/Tokyo"})),
        (segment(), directory.model_copy(update={"date_keys": "start_of_day"})),
        (segment(), directory.model_copy(update={"columns": {"contacts": {"tier": "x"}}})),
    ]
    keys = {membership_key(*other, snapshot) for other in others}
    rewritten = folder.write("2026-11-22", contacts="contact_id,tier a,gold b,gold")
    keys.add(membership_key(segment(), directory, rewritten))
    assert len(keys) == len(others) + 1
    assert base not in keys


def test_a_file_of_the_same_size_and_time_is_not_taken_for_the_one_before(folder, tmp_path):
    """Archives and copies give files whatever time they like."""
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier a,gold b,blue")
    store = MembershipStore(str(tmp_path / "state"))
    path = Path(snapshot.location.path, "contacts.csv")
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    before = store.membership(segment(), folder.directory, snapshot)
    path.write_text("contact_id,tier\na,blue\nb,gold\n")
    os.utime(path, ns=times)
    after = store.membership(segment(), folder.directory, snapshot)
    assert [list(each["contact_id"]) for each in (before, after)] == [["a"], ["b"]]


def test_a_description_does_not_change_the_key(folder):
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier a,gold")
    described = segment().model_copy(update={"description": "the best"})
    assert membership_key(described, folder.directory, snapshot) == membership_key(
        segment(), folder.directory, snapshot
    )


def test_the_store_lives_on_any_file_system(folder):
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier a,gold")
    store = MembershipStore("memory://segue-state")
    for _ in range(2):
        assert rows(store.membership(segment(), folder.directory, snapshot)) == [("a", True)]
    stored = fsspec.filesystem("memory").find("/segue-state")
    assert len(stored) == 1
    assert stored[0].endswith(".parquet")


def test_writers_at_the_same_time_leave_one_whole_file(folder, tmp_path):
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier a,gold b,gold")
    store = MembershipStore(str(tmp_path / "state"))
    found = []

    def work():
        found.append(rows(store.membership(segment(), folder.directory, snapshot)))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[("a", True), ("b", True)]] * 6
    assert len(files(tmp_path / "state")) == 1


def test_an_empty_membership_is_kept_like_any_other(folder, tmp_path, computed):
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier a,silver")
    store = MembershipStore(str(tmp_path / "state"))
    for _ in range(2):
        found = store.membership(segment(), folder.directory, snapshot)
        assert rows(found) == []
        assert list(found.columns) == ["contact_id", "opted_in"]
    assert len(computed) == 1


def test_a_failed_write_leaves_nothing_behind(folder, tmp_path, monkeypatch):
    snapshot = folder.write("2026-11-22", contacts="contact_id,tier a,gold")
    store = MembershipStore(str(tmp_path / "state"))

    def full(table, file, **options):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(module.pq, "write_table", full)
    with pytest.raises(OSError, match="no space"):
        store.membership(segment(), folder.directory, snapshot)
    assert files(tmp_path / "state") == []
