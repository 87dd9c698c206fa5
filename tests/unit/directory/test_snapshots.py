from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from upath import UPath

from segue.directory.layout import StoredFile, folders_in
from segue.directory.snapshot_content import fingerprint, same_content
from segue.directory.snapshot_keys import parse_key
from segue.directory.snapshots import (
    Snapshot,
    choose_span,
    describe_unkeyed,
    find_snapshot,
    list_snapshots,
    unkeyed_folders,
)
from segue.errors import DataError, SettingsError, SnapshotMissing

from .conftest import LATER, SnapshotFolder

CONTACTS = "contact_id\nC1\n"


def keys(snapshots):
    return [snapshot.key for snapshot in snapshots]


def at(text):
    return datetime.fromisoformat(text).astimezone(UTC)


class TestKeys:
    @pytest.mark.parametrize(
        "spelling",
        [
            "2026-11-22T06:00:00Z",
            "2026-11-22T060000Z",
            "2026-11-22T06:00Z",
            "2026-11-22T06Z",
            "2026-11-22T06:00:00+00:00",
            "2026-11-22T07:00:00+01:00",
            "2026-11-22T010000-0500",
            "2026-11-22T06:00:00.000Z",
            "2026-11-22T06:00:00",  # London keeps UTC in November
        ],
    )
    def test_spellings_of_a_time(self, local, spelling):
        """Every spelling of one instant is the same key; a naive one is in the directory's zone."""
        key, as_of = parse_key(local.definition(timezone="Europe/London"), spelling)
        assert key == "2026-11-22T06:00:00Z"
        assert as_of == at("2026-11-22T06:00:00Z")

    @pytest.mark.parametrize(
        "text",
        ["", "latest", "2026-02-30", "2026-13-01", "20261122", "2026-11", "2026-11-22T25:00:00Z",
         "9999-12-31", "2026-11-22 06:00", "v2026-11-22"],
    )  # fmt: skip
    def test_no_keys(self, local, text):
        """A name that is no ISO date or time, or no day of the calendar, is no key."""
        assert parse_key(local.definition(), text) is None

    @pytest.mark.parametrize(
        ("zone", "date_keys", "as_of"),
        [
            ("UTC", "end_of_day", "2026-11-23T00:00:00Z"),
            ("UTC", "start_of_day", "2026-11-22T00:00:00Z"),
            ("America/New_York", "end_of_day", "2026-11-23T05:00:00Z"),
            ("Asia/Kolkata", "start_of_day", "2026-11-21T18:30:00Z"),
        ],
    )
    def test_as_of_of_a_date(self, local, zone, date_keys, as_of):
        """A date's as-of is midnight at the end (or start) of that day in the directory's zone."""
        definition = local.definition(timezone=zone, date_keys=date_keys)
        assert parse_key(definition, "2026-11-22") == ("2026-11-22", at(as_of))

    def test_midnight_that_does_not_exist(self, local):
        """Where clocks jump at midnight, the day ends when the next one begins."""
        definition = local.definition(timezone="Africa/Cairo")  # 24 April 2026, 00:00 -> 01:00
        assert parse_key(definition, "2026-04-23")[1] == at("2026-04-23T22:00:00Z")


class TestListing:
    def test_folder_names(self, folder):
        """Folders KEY, snapshot=KEY and ds=KEY are snapshots, in order of as-of; others are not."""
        for name in (
            "ds=2026-11-23",
            "2026-11-22T060000Z",
            "snapshot=2026-11-21",
            "archive",
            "tmp",
        ):
            folder.write(f"{name}/contacts.csv", CONTACTS)
        folder.write("2026-11-20.csv", CONTACTS)
        found = list_snapshots(folder.definition(), now=LATER)
        assert keys(found) == ["2026-11-21", "2026-11-22T06:00:00Z", "2026-11-23"]
        assert all(snapshot.complete for snapshot in found)
        assert found[1].location.name == "2026-11-22T060000Z"

    @pytest.mark.parametrize("prefix", ["dt=", "date=", "day=", "DS=", "Snapshot="])
    def test_prefixes_of_other_programs(self, folder, prefix):
        """What warehouses call their folders of a day is understood, in any case."""
        folder.write(f"{prefix}2026-11-22/contacts.csv", CONTACTS)
        assert keys(list_snapshots(folder.definition(), now=LATER)) == ["2026-11-22"]

    def test_names_that_are_no_keys(self, folder):
        """They are counted, with an example; other programs' own are not."""
        for name in ("20261122", "2026-11-22_full", "year=2026", "_logs", ".tmp", "lost+found"):
            folder.write(f"{name}/contacts.csv", CONTACTS)
        found = unkeyed_folders(folder.definition())
        assert found == ["2026-11-22_full", "20261122", "year=2026"]
        told = "the names of 3 folders are no keys, such as '2026-11-22_full'; a key is a date"
        assert describe_unkeyed(found).startswith(told)
        one = "the name of the folder 'year=2026' is no key; a key is a date"
        assert describe_unkeyed(found[2:]).startswith(one)
        assert describe_unkeyed([]) is None

    def test_folders_that_are_never_entered(self, local):
        """A folder that is no snapshot need not be readable: volumes have their lost+found."""
        local.write("2026-11-22/contacts.csv", CONTACTS)
        local.write("lost+found/deep/contacts.csv", CONTACTS)
        entered = []
        walk = os.walk

        def seen(*args, **keys):
            for folder, folders, names in walk(*args, **keys):
                entered.append(Path(folder).name)
                yield folder, folders, names

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "walk", seen)
            (found,) = list_snapshots(local.definition(), now=LATER)
            assert not entered  # nobody has asked whether it is complete
            assert found.complete
        assert "2026-11-22" in entered
        assert "lost+found" not in entered

    def test_escaped_colons(self, folder):
        """Hive-style writers escape the colons of a time; the key is the time all the same."""
        folder.write("ds=2026-11-22T06%3A00%3A00Z/contacts.csv", CONTACTS)
        (found,) = list_snapshots(folder.definition(), now=LATER)
        assert found.key == "2026-11-22T06:00:00Z"
        assert len(list(found.location.iterdir())) == 1

    def test_same_key_twice(self, folder):
        """Two folders with one canonical key are an error that names both."""
        folder.write("2026-11-22T06:00:00Z/contacts.csv", CONTACTS)
        folder.write("ds=2026-11-22T070000+0100/contacts.csv", CONTACTS)
        with pytest.raises(DataError) as error:
            list_snapshots(folder.definition(), now=LATER)
        assert "'2026-11-22T06:00:00Z'" in str(error.value)
        assert "'ds=2026-11-22T070000+0100'" in str(error.value)

    def test_missing_root(self, folder):
        """A root that does not exist is an error with its path and the directory's name."""
        with pytest.raises(DataError, match=r"directory customers: .*snapshots does not exist"):
            list_snapshots(folder.definition(), now=LATER)

    def test_empty_root(self, folder):
        """A root without snapshots has none; that is no error."""
        folder.root.mkdir(parents=True)
        assert list_snapshots(folder.definition(), now=LATER) == []

    def test_root_is_a_file(self, tmp_path):
        """A root that is a file is an error."""
        (tmp_path / "snapshots").write_text("")
        with pytest.raises(DataError, match="is a file; expected a folder"):
            list_snapshots(SnapshotFolder(UPath(tmp_path / "snapshots")).definition(), now=LATER)

    def test_unknown_protocol(self, local):
        """A URL that no file system understands is an error, and shows no password."""
        definition = local.definition(snapshots="nope://me:secret@host/snapshots")
        with pytest.raises(DataError, match=r"nope://\*\*\*@host") as error:
            list_snapshots(definition, now=LATER)
        assert "secret" not in str(error.value)

    def test_fresh_listing(self, folder):
        """A snapshot that arrives between two listings is seen by the second."""
        folder.write("2026-11-21/contacts.csv", CONTACTS)
        assert len(list_snapshots(folder.definition(), now=LATER)) == 1
        folder.write("2026-11-22/contacts.csv", CONTACTS)
        assert len(list_snapshots(folder.definition(), now=LATER)) == 2

    def test_links(self, local, tmp_path):
        """On the local disk, a linked folder or file is what it points to; a broken one is none."""
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "contacts.csv").write_text(CONTACTS)
        local.write("2026-11-21/contacts.csv", CONTACTS)
        root = tmp_path / "snapshots"
        (root / "2026-11-22").symlink_to(tmp_path / "elsewhere")
        (root / "2026-11-23").mkdir()
        (root / "2026-11-23" / "contacts.csv").symlink_to(tmp_path / "nowhere")
        (root / "2026-11-21" / "loop").symlink_to(root)
        found = list_snapshots(local.definition(), now=LATER)
        assert [snapshot.complete for snapshot in found] == [True, True, False]


class TestCompleteness:
    @pytest.mark.parametrize(
        "name",
        ["transactions.csv", "contacts.xlsx", "_contacts/contacts.csv", "contacts/_part.csv"],
    )
    def test_no_contacts(self, folder, name):
        """A snapshot without a contacts table is incomplete."""
        folder.write(f"2026-11-22/{name}", CONTACTS)
        (found,) = list_snapshots(folder.definition(), now=LATER)
        assert not found.complete
        assert found.why_incomplete.startswith("no contacts table")

    def test_empty_folder(self, folder):
        """An empty folder is an incomplete snapshot."""
        (folder.root / "2026-11-22").mkdir(parents=True)
        (found,) = list_snapshots(folder.definition(), now=LATER)
        assert found.why_incomplete == "no contacts table"

    @pytest.mark.parametrize(
        "name",
        ["contacts.parquet", "contacts.csv.gz", "contacts/p.csv", "contacts.parquet/p.parquet"],
    )
    def test_contacts(self, folder, name):
        """One file or a folder of files is a contacts table, also as Spark names the folder."""
        folder.write(f"2026-11-22/{name}", CONTACTS)
        assert list_snapshots(folder.definition(), now=LATER)[0].complete

    def test_settle(self, local, tmp_path):
        """Without a marker, a snapshot is complete `settle` after its newest file, not before."""
        local.write("2026-11-22/contacts.csv", CONTACTS)
        local.write("2026-11-22/transactions/part-0.csv", "contact_id,date\n")
        changed = datetime(2026, 11, 23, 1, tzinfo=UTC)
        for path, age in (("contacts.csv", 3600), ("transactions/part-0.csv", 0)):
            file = tmp_path / "snapshots" / "2026-11-22" / path
            os.utime(file, times=(changed.timestamp() - age,) * 2)
        definition = local.definition(settle="90s")
        (early,) = list_snapshots(definition, now=changed + timedelta(seconds=89))
        (settled,) = list_snapshots(definition, now=changed + timedelta(seconds=90))
        assert not early.complete
        assert early.why_incomplete == "a file changed at 2026-11-23T01:00:00Z, less than 90s ago"
        assert settled.complete

    def test_settle_in_memory(self, folder):
        """A file just written has not settled."""
        folder.write("2026-11-22/contacts.csv", CONTACTS)
        assert not list_snapshots(folder.definition(), now=datetime.now(UTC))[0].complete

    def test_marker(self, folder):
        """With a marker, a snapshot is complete once the marker is there, however new it is."""
        folder.write("2026-11-22/contacts.csv", CONTACTS)
        definition = folder.definition(complete_marker="_SUCCESS")
        (before,) = list_snapshots(definition, now=LATER)
        assert before.why_incomplete == "no marker file _SUCCESS"
        folder.write("2026-11-22/_SUCCESS", "")
        (after,) = list_snapshots(definition, now=datetime.now(UTC))
        assert after.complete

    def test_marker_without_contacts(self, folder):
        """A marker does not make a snapshot of nothing complete."""
        folder.write("2026-11-22/_SUCCESS", "")
        (found,) = list_snapshots(folder.definition(complete_marker="_SUCCESS"), now=LATER)
        assert found.why_incomplete == "no contacts table"

    @pytest.mark.parametrize("more", [{}, {"complete_marker": "_SUCCESS"}])
    def test_a_future_as_of(self, folder, more):
        """A snapshot that knows what has not happened is not complete, be it moments."""
        for key in ("2026-11-22", "2026-11-22T12:00:00Z", "2062-11-22"):
            folder.write(f"{key}/contacts.csv", CONTACTS)
            folder.write(f"{key}/_SUCCESS", "")
        definition = folder.definition(settle="0s", **more)

        def complete(now):
            return keys(s for s in list_snapshots(definition, now=at(now)) if s.complete)

        assert complete("2026-11-22T11:59:59Z") == []
        if more:  # the files are as old as the test, and have not settled then
            assert complete("2026-11-22T12:00:00Z") == ["2026-11-22T12:00:00Z"]
            assert len(complete("2026-11-23T00:00:00Z")) == 2
            assert len(complete("2062-11-23T00:00:00Z")) == 3
        *_, last = list_snapshots(definition, now=at("2026-11-22T12:00:00Z"))
        assert last.why_incomplete == "its as-of 2062-11-23T00:00:00Z is in the future"
        early = list_snapshots(definition, now=at("2026-11-22T12:00:00Z"))[1]
        assert early.why_incomplete.endswith("say date_keys: start_of_day")

    def test_marker_in_the_folders_of_tables(self, folder):
        """Spark writes one into each folder that it writes: each table needs its own then."""
        definition = folder.definition(complete_marker="_SUCCESS")

        def why():
            return list_snapshots(definition, now=LATER)[0].why_incomplete

        folder.write("2026-11-22/contacts/part-0.csv", CONTACTS)
        folder.write("2026-11-22/transactions/part-0.csv", "contact_id,date\n")
        assert why() == "no marker file _SUCCESS"
        folder.write("2026-11-22/contacts/_SUCCESS", "")
        assert why() == "no marker file transactions/_SUCCESS"
        folder.write("2026-11-22/transactions/_SUCCESS", "")
        assert why() is None
        folder.write("2026-11-22/subscriptions.csv", "contact_id,scope,opted_in\n")
        assert why() == "no marker file _SUCCESS"

    @pytest.mark.parametrize("name", ["Contacts.CSV", "contacts.xlsx", "contacts.csv.zip"])
    def test_contacts_of_almost_the_right_name(self, folder, name):
        """The file that is meant is named."""
        folder.write(f"2026-11-22/{name}", CONTACTS)
        (found,) = list_snapshots(folder.definition(), now=LATER)
        assert found.why_incomplete == (
            f"no contacts table; {name!r} is not read: expected contacts.parquet, .csv or .csv.gz"
        )


class TestFinding:
    def test_any_spelling(self, folder):
        """A snapshot is found by any spelling of its key."""
        folder.write("2026-11-22T060000Z/contacts.csv", CONTACTS)
        found = find_snapshot(folder.definition(), "2026-11-22T08:00:00+02:00", now=LATER)
        assert found.key == "2026-11-22T06:00:00Z"

    def test_nearest(self, folder):
        """A key that is not there is an error with the nearest keys."""
        for day in (1, 2, 10, 11, 30):
            folder.write(f"2026-11-{day:02}/contacts.csv", CONTACTS)
        with pytest.raises(SnapshotMissing) as error:
            find_snapshot(folder.definition(), "2026-11-09", now=LATER)
        assert "nearest: 2026-11-02, 2026-11-10, 2026-11-11 (5 in all" in str(error.value)

    def test_none_yet(self, folder):
        """A directory without snapshots says so."""
        folder.root.mkdir(parents=True)
        with pytest.raises(SnapshotMissing, match="has no snapshot 2026-11-09; it has none yet"):
            find_snapshot(folder.definition(), "2026-11-09", now=LATER)

    def test_no_key(self, folder):
        """What is no key is an error that shows the two forms of one."""
        with pytest.raises(SettingsError, match="'yesterday' is not a snapshot key; allowed: a d"):
            find_snapshot(folder.definition(), "yesterday", now=LATER)

    def test_incomplete(self, folder):
        """An incomplete snapshot is an error that says what it lacks."""
        folder.write("2026-11-22/transactions.csv", CONTACTS)
        with pytest.raises(SnapshotMissing, match="2026-11-22 is not complete: no contacts table"):
            find_snapshot(folder.definition(), "2026-11-22", now=LATER)


class TestSpan:
    @staticmethod
    def snapshot(day, *, complete=True):
        as_of = datetime(2026, 11, day, tzinfo=UTC) + timedelta(days=1)
        return Snapshot(f"2026-11-{day}", as_of, UPath("/nowhere"), complete)

    def choose(self, snapshots, start, end):
        span = choose_span(snapshots, at(start), at(end))
        return tuple(snapshot and snapshot.key for snapshot in span)

    def test_daily_run(self):
        """The run of 06:00 on the 23rd compares the snapshots of the 21st and the 22nd."""
        days = [self.snapshot(day) for day in (20, 21, 22, 23)]
        span = self.choose(days, "2026-11-22T06:00:00Z", "2026-11-23T06:00:00Z")
        assert span == ("2026-11-21", "2026-11-22")

    def test_bounds(self):
        """As-of equal to the start is previous, equal to the end is current."""
        days = [self.snapshot(day) for day in (20, 21, 22)]
        span = self.choose(days, "2026-11-21T00:00:00Z", "2026-11-23T00:00:00Z")
        assert span == ("2026-11-20", "2026-11-22")

    def test_missing_sides(self):
        """A side without a snapshot is None."""
        days = [self.snapshot(21)]
        assert self.choose(days, "2026-11-22T06:00Z", "2026-11-23T06:00Z") == ("2026-11-21", None)
        assert self.choose(days, "2026-11-21T06:00Z", "2026-11-22T06:00Z") == (None, "2026-11-21")
        assert self.choose([], "2026-11-21T06:00Z", "2026-11-22T06:00Z") == (None, None)

    def test_incomplete_ones_do_not_count(self):
        """An incomplete snapshot is neither previous nor current, and order does not matter."""
        days = [
            self.snapshot(22, complete=False),
            self.snapshot(21, complete=False),
            self.snapshot(20),
            self.snapshot(19),
        ]
        assert self.choose(days, "2026-11-22T06:00Z", "2026-11-23T06:00Z") == ("2026-11-20", None)

    def test_order(self):
        """Snapshots sort by as-of."""
        assert min(self.snapshot(22), self.snapshot(21)).key == "2026-11-21"


class TestFingerprint:
    def first(self, folder, **keys):
        return list_snapshots(folder.definition(**keys), now=LATER)[0]

    def test_stable(self, folder):
        """The same files have the same fingerprint; a marker or a foreign file changes nothing."""
        folder.write("2026-11-22/contacts.csv", CONTACTS)
        before = fingerprint(self.first(folder))
        folder.write("2026-11-22/_SUCCESS", "")
        folder.write("2026-11-22/README.txt", "hello")
        assert fingerprint(self.first(folder)) == before

    def test_new_content(self, folder):
        """A file of another size, or an added one, changes the fingerprint."""
        folder.write("2026-11-22/contacts.csv", CONTACTS)
        snapshot = self.first(folder)
        before = fingerprint(snapshot)
        folder.write("2026-11-22/contacts.csv", CONTACTS + "C2\n")
        larger = fingerprint(snapshot)
        folder.write("2026-11-22/transactions.csv", "contact_id,date\n")
        assert len({before, larger, fingerprint(snapshot)}) == 3

    def test_rewritten(self, local, tmp_path):
        """A file of the same size but written later changes the fingerprint."""
        local.write("2026-11-22/contacts.csv", CONTACTS)
        before = fingerprint(self.first(local))
        os.utime(tmp_path / "snapshots/2026-11-22/contacts.csv", times=(1, 1))
        assert fingerprint(self.first(local)) != before

    def test_checksum_over_time(self, local, monkeypatch):
        """Where the file system has checksums, writing the same content again changes nothing."""
        from segue.directory.layout import _remote_file

        info = {"size": 3, "type": "file", "ETag": '"abc"'}
        first = _remote_file("c", "b/c", {**info, "LastModified": datetime(2026, 1, 1, tzinfo=UTC)})
        again = _remote_file("c", "b/c", {**info, "LastModified": datetime(2026, 1, 2, tzinfo=UTC)})
        assert first.version == again.version
        assert first.modified != again.modified


@pytest.mark.parametrize("end", ["", "/"])
def test_a_remote_folder_of_the_roots_own_name_is_listed(end):
    """The root itself, which object storage lists beside what is in it, is none of them."""
    root = UPath(f"memory://2026-11-22{end}")
    for key in ("2026-11-21", "2026-11-22"):
        root.fs.pipe(f"/2026-11-22/{key}/contacts.csv", b"contact_id")
    try:
        assert folders_in(root, "the folder") == ["2026-11-21", "2026-11-22"]
    finally:
        root.fs.rm("/2026-11-22", recursive=True)


def test_imports():
    """Finding snapshots imports neither pandas nor pyarrow: sensors and DAG files do it."""
    code = (
        "import sys, segue.directory.snapshots; "
        "print({'pandas', 'pyarrow', 'numpy', 'airflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

    def test_same_content_is_what_files_hold(self, local):
        """Equal sizes and times, as an unpacked archive has them, do not make files equal."""
        for key, contact in (("2026-11-21", "C1"), ("2026-11-22", "C2"), ("2026-11-23", "C1")):
            local.write(f"{key}/contacts.csv", f"contact_id\n{contact}\n")
            os.utime(local.root / key / "contacts.csv", (1, 1))
        first, second, third = list_snapshots(local.definition(), now=LATER)
        assert not same_content(first, second)
        assert same_content(first, third)

    def test_equal_checksums_are_not_read(self, local, monkeypatch):
        """Where the file system keeps checksums they decide, and nothing is opened."""
        for key in ("2026-11-21", "2026-11-22"):
            local.write(f"{key}/contacts.csv", CONTACTS)
        one, other = list_snapshots(local.definition(), now=LATER)
        file = StoredFile("contacts.csv", "nowhere", 1, "sum", None, is_checksum=True)
        monkeypatch.setattr(
            "segue.directory.snapshot_content._table_files", lambda snapshot: [file]
        )
        assert same_content(one, other)
