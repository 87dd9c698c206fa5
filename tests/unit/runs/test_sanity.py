"""What looks odd about a snapshot as the successor of the one before."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_content import same_content
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.runs.sanity import odd_about
from segue.workflows.definition import GuardLimits

LIMITS = GuardLimits()


class Pair:
    """Two snapshots as folders: ``before`` (the 21st) and ``now`` (the 22nd)."""

    def __init__(self, folder: Path) -> None:
        self.before, self.now = folder / "2026-11-21", folder / "2026-11-22"
        for path in (self.before, self.now):
            path.mkdir(parents=True)

    def write(self, folder: Path, rows: int, *, table: str = "contacts", suffix=".parquet", **more):
        frame = pd.DataFrame({"contact_id": [f"c{n}" for n in range(rows)], **more})
        if suffix == ".csv":
            frame.to_csv(folder / f"{table}.csv", index=False)
        else:
            frame.to_parquet(folder / f"{table}.parquet", index=False)

    def tables(self, folder: Path, **mapping) -> SnapshotTables:
        directory = DirectoryDefinition.model_validate(
            {"directory": "people", "snapshots": str(folder.parent), "columns": mapping}
        )
        as_of = datetime(2026, 11, int(folder.name[-2:]) + 1, tzinfo=UTC)
        return SnapshotTables(directory, Snapshot(folder.name, as_of, UPath(str(folder)), True))

    def odd(self, limits: GuardLimits = LIMITS, **mapping) -> list[str]:
        before, now = self.tables(self.before, **mapping), self.tables(self.now, **mapping)
        return odd_about(limits, before, now)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_snapshot_with_half_of_the_contacts_or_fewer_is_odd(pair, suffix):
    """51 of 100 are not, 50 are; the limit can be another one, or none."""
    pair.write(pair.before, 100, suffix=suffix)
    pair.write(pair.now, 51, suffix=suffix)
    assert pair.odd() == []
    assert len(pair.odd(GuardLimits(shrunk_to="60%"))) == 1
    pair.write(pair.now, 50, suffix=suffix)
    assert pair.odd() == [
        "snapshot 2026-11-22 has 50 contacts, 50% of the 100 of 2026-11-21; guard.shrunk_to is 50%"
    ]
    assert pair.odd(GuardLimits(shrunk_to=None)) == []


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_snapshot_without_contacts_is_odd_whatever_the_limits(pair, suffix):
    """Only the header was written."""
    pair.write(pair.before, 3, suffix=suffix)
    pair.write(pair.now, 0, suffix=suffix)
    [found] = [line for line in pair.odd(GuardLimits(shrunk_to=None)) if "has no" in line]
    assert found == "snapshot 2026-11-22 has no contacts; 2026-11-21 had 3"


@pytest.mark.parametrize("before", [0, 50])
def test_the_day_on_which_missing_contacts_come_back_is_odd_too(pair, before):
    """Half were missing on the 21st, and nobody looked: they would all be new."""
    pair.write(pair.before, before, suffix=".csv")
    pair.write(pair.now, 100, suffix=".csv")
    [found] = pair.odd()
    assert found.startswith(
        f"snapshot 2026-11-22 has 100 contacts, and 2026-11-21 had {before or 'none'}"
    )
    assert found.endswith("quarantine 2026-11-21, not 2026-11-22")


def test_a_copy_of_the_snapshot_before_is_stale_and_a_single_refreshed_table_is_not(pair):
    """The copy's files are newer and hold the same; then the transactions grow."""
    for table in ("contacts", "transactions"):
        pair.write(pair.before, 5, table=table)
        shutil.copyfile(pair.before / f"{table}.parquet", pair.now / f"{table}.parquet")
    assert pair.odd() == [
        "snapshot 2026-11-22 is stale: its files are those of 2026-11-21, byte for byte"
    ]
    assert pair.odd(GuardLimits(stale=False)) == []
    pair.write(pair.now, 6, table="transactions")
    assert pair.odd() == []


def test_files_of_the_same_size_and_other_content_are_not_stale(pair):
    """One letter differs."""
    for folder, letter in ((pair.before, "a"), (pair.now, "b")):
        (folder / "contacts.csv").write_text(f"contact_id\n{letter}\n")
    before, now = pair.tables(pair.before), pair.tables(pair.now)
    assert not same_content(before.snapshot, now.snapshot)
    (pair.now / "contacts.csv").write_text("contact_id\na\n")
    assert same_content(before.snapshot, now.snapshot)


def test_a_column_that_is_gone_is_odd_and_a_new_one_is_not(pair):
    """Under the directory's own names."""
    pair.write(pair.before, 2, Mail=["x", "y"])
    pair.write(pair.now, 2, tier=["gold", "gold"])
    found = pair.odd(contacts={"email": "Mail"})
    assert found == ["contacts of 2026-11-22 lacks 'email', which 2026-11-21 has"]


def test_a_table_that_is_gone_is_odd(pair):
    """No transactions today: everybody would look inactive."""
    pair.write(pair.before, 2)
    pair.write(pair.before, 2, table="transactions", amount=[1, 2])
    pair.write(pair.now, 3)
    assert pair.odd() == ["snapshot 2026-11-22 has no table transactions; 2026-11-21 has one"]


def test_a_changed_type_is_odd_and_another_size_of_number_is_not(pair):
    """Integers with a gap are written as floating; a number that became text is news."""
    pair.write(pair.before, 2, table="transactions", amount=[1, 2], code=[1, 2])
    pair.write(pair.now, 2, table="transactions", amount=[1.5, None], code=["1", "2"])
    pair.write(pair.before, 2)
    pair.write(pair.now, 2, tier=["a", "b"])
    [found] = pair.odd()
    assert found.startswith("transactions of 2026-11-22: a column's type changed since 2026-11-21:")
    assert found.endswith(" 'code' from number to text")


def test_small_numbers_come_and_go_unasked(pair):
    """3 contacts and 6: up to ``floor`` make no difference, in either direction."""
    pair.write(pair.before, 3)
    pair.write(pair.now, 6)
    assert pair.odd() == []
    assert len(pair.odd(GuardLimits(floor=2))) == 1
    pair.before, pair.now = pair.now, pair.before
    assert pair.odd() == []
    assert len(pair.odd(GuardLimits(floor=2))) == 1


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_shrunken_and_emptied_transactions_are_odd(pair, suffix):
    """They decide who is a member as contacts do."""
    for folder, rows in ((pair.before, 100), (pair.now, 50)):
        pair.write(folder, 2 if folder is pair.now else 3, suffix=suffix)
        pair.write(folder, rows, table="transactions", suffix=suffix)
    assert pair.odd() == [
        (
            "snapshot 2026-11-22 has 50 transactions, 50% of the 100 of 2026-11-21; "
            "guard.shrunk_to is 50%"
        )
    ]
    pair.write(pair.now, 0, table="transactions", suffix=suffix)
    assert "snapshot 2026-11-22 has no transactions; 2026-11-21 had 100" in pair.odd()


def test_an_emptied_table_of_subscriptions_is_odd_however_small(pair):
    """Two who opted out would get messages."""
    for folder, rows in ((pair.before, 2), (pair.now, 0)):
        pair.write(folder, 3, tier=["a", "b", "c"])
        no = {"scope": ["directory"] * rows, "opted_in": ["false"] * rows}
        pair.write(folder, rows, table="subscriptions", suffix=".csv", **no)
    assert "snapshot 2026-11-22 has no subscriptions; 2026-11-21 had 2" in pair.odd()
    assert "snapshot 2026-11-22 has no opt-outs; 2026-11-21 had 2" in pair.odd()


def test_opt_outs_that_vanish_are_odd_though_no_row_does(pair):
    """``unsubscribed`` lost its values, under the directory's own name; then 40 of 100 did."""
    pair.write(pair.before, 100, Optout=[True] * 100)
    pair.write(pair.now, 100, Optout=[None] * 99 + [False])
    mapping = {"contacts": {"unsubscribed": "Optout"}}
    assert "snapshot 2026-11-22 has no opt-outs; 2026-11-21 had 100" in pair.odd(**mapping)
    pair.write(pair.now, 100, Optout=[True] * 40 + [False] * 60)
    [found] = pair.odd(**mapping)
    assert found.startswith("snapshot 2026-11-22 has 40 opt-outs, 40% of the 100 of 2026-11-21")
    pair.write(pair.now, 100, Optout=[True] * 60 + [False] * 40)
    assert pair.odd(**mapping) == []


def _with_ids(pair, folder, ids):
    pd.DataFrame({"contact_id": list(ids)}).to_csv(folder / "contacts.csv", index=False)


@pytest.mark.parametrize(
    "spelling", [lambda n: f"{n}.0", lambda n: f"{n:07}", lambda n: f"C{n}", lambda n: f"{n}AAA"]
)
@pytest.mark.parametrize("size", [4, 400, 40_000])
def test_ids_in_another_spelling_are_odd_whatever_the_size(pair, spelling, size):
    """1001 on one day and 1001.0 on the next: everybody would leave and enter."""
    _with_ids(pair, pair.before, range(size))
    _with_ids(pair, pair.now, map(spelling, range(size)))
    [found] = pair.odd()
    assert found.startswith("100% of the contact ids of 2026-11-21 are gone, and 100% of those of")


@pytest.mark.parametrize(
    ("gone", "kept", "new", "is_odd"),
    [(0, 100, 60, False), (15, 85, 15, False), (0, 20_000, 0, False), (250, 750, 250, True),
     (2, 3, 2, False), (3, 2, 3, True), (0, 1, 5, False), (5_000, 45_000, 5_000, False),
     (15_000, 45_000, 15_000, True)],
)  # fmt: skip
def test_people_come_and_go_without_a_question(pair, gone, kept, new, is_odd):
    """Much of both sides must be others: a directory that grows or shrinks is not in question."""
    _with_ids(pair, pair.before, range(gone + kept))
    _with_ids(pair, pair.now, range(gone, gone + kept + new))
    assert bool([line for line in pair.odd() if "contact ids" in line]) == is_odd


def test_opt_outs_that_find_nobody_any_more_are_odd(pair):
    """The rows are as many as before; whom they keep from a message is nobody."""
    no = {"scope": ["directory"] * 40, "opted_in": ["false"] * 40}
    for folder in (pair.before, pair.now):
        pair.write(folder, 100 if folder is pair.now else 99, suffix=".csv")
        pair.write(folder, 40, table="subscriptions", suffix=".csv", **no)
    assert pair.odd() == []
    path = pair.now / "subscriptions.csv"
    path.write_text(path.read_text().replace("\nc", "\nold-c"))
    found = "\n".join(pair.odd())
    assert "snapshot 2026-11-22 has no opt-outs; 2026-11-21 had 40" in found
    assert "in snapshot 2026-11-22, subscriptions: 40 of 40 rows that opt out (100.0%)" in found
