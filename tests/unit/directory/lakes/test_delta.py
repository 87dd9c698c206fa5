"""Delta tables read in place: which version a day is, and its rows as the library shows them."""

from __future__ import annotations

import json
import os
import shutil
import struct
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory.column_kinds import ColumnKind
from segue.directory.snapshot_check import check_snapshot
from segue.directory.snapshot_content import fingerprint, same_content
from segue.directory.snapshots import choose_span, find_snapshot, list_snapshots
from segue.errors import DataError, SnapshotMissing
from tests.unit.directory.lakes.delta_tables import (
    NOW,
    DeltaFolder,
    definition,
    noon,
    people,
    tables_of,
)

deltalake = pytest.importorskip("deltalake")

LONG = "x" * 10_000 + "é雨"
WALL = [datetime(2026, 11, 1, 1, 2, 3, 4), None, None, datetime(1, 1, 1)]  # noqa: DTZ001
MONEY = [Decimal("0.10"), None, Decimal("-99999999.99"), Decimal(0)]
INSTANTS = [datetime(2026, 10, 25, 1, 30, tzinfo=UTC), None, None, None]
HOSTILE = {
    "contact_id": ["007", "7", "a b", "é"],
    "amount": pa.array(MONEY, pa.decimal128(10, 2)),
    "seen": pa.array(WALL, pa.timestamp("us")),
    "at": pa.array(INSTANTS, pa.timestamp("us", "UTC")),
    "born": pa.array([None, None, None, date(1969, 12, 31)], pa.date32()),
    "note": [LONG, "", None, "a\x00b\n\"',;"],
    "ratio": pa.array([0.7, float("nan"), None, -0.0], pa.float32()),
    "vip": [True, None, False, None],
    "tags": pa.array([["a", None], [], None, ["b"]], pa.list_(pa.string())),
    "home": pa.array([{"city": "Köln", "zip": "050667"}, None, {"city": None, "zip": ""}, None]),
    "raw": pa.array([b"caf\xe9", b"", None, b"ok"], pa.binary()),
    "small": pa.array([1, None, -128, 127], pa.int8()),
}


@pytest.fixture
def contacts(tmp_path):
    return DeltaFolder(tmp_path / "lake" / "contacts")


@pytest.fixture
def directory(contacts):
    return definition(tables={"contacts": str(contacts.path)})


def keys_of(directory, now=NOW):
    return [each.key for each in list_snapshots(directory, now=now)]


def ids_at(directory, key, now=NOW):
    return tables_of(directory, key, now).contacts([])["contact_id"].tolist()


class TestDays:
    def test_are_those_that_are_over_since_the_first_commit(self, contacts, directory):
        contacts.write(noon("2026-11-26"), people("a"))
        assert keys_of(directory) == ["2026-11-26", "2026-11-27", "2026-11-28", "2026-11-29"]

    def test_hold_what_was_committed_before_their_end(self, contacts, directory):
        midnight = datetime(2026, 11, 28, tzinfo=UTC)
        contacts.write(noon("2026-11-26"), people("a"))
        contacts.write(midnight - timedelta(milliseconds=1), people("b"), mode="append")
        contacts.write(midnight, people("c"), mode="append")
        assert ids_at(directory, "2026-11-26") == ["a"]
        assert ids_at(directory, "2026-11-27") == ["a", "b"]
        assert ids_at(directory, "2026-11-28") == ["a", "b", "c"]

    @pytest.mark.parametrize(
        ("date_keys", "zone", "since"),
        [
            ("end_of_day", "Europe/Berlin", "2026-11-27T22:59:59Z"),
            ("start_of_day", "Europe/Berlin", "2026-11-26T22:59:59Z"),
            ("end_of_day", "America/New_York", "2026-11-28T04:59:59Z"),
        ],
    )
    def test_end_by_the_directorys_rules(self, contacts, date_keys, zone, since):
        when = datetime.fromisoformat(since)
        contacts.write(when - timedelta(days=3), people("a"))
        contacts.write(when, people("b"), mode="append")
        contacts.write(when + timedelta(seconds=1), people("c"), mode="append")
        place = {"contacts": str(contacts.path)}
        directory = definition(tables=place, timezone=zone, date_keys=date_keys)
        assert ids_at(directory, "2026-11-27") == ["a", "b"]

    def test_are_complete_once_they_have_settled(self, contacts, directory):
        contacts.write(noon("2026-11-28"), people("a"))
        early = datetime(2026, 11, 29, 0, 0, 30, tzinfo=UTC)
        (day,) = list_snapshots(directory, now=early)
        assert not day.complete
        assert day.why_incomplete == (
            "its as-of was less than 60s ago: a commit may still be on its way"
        )
        (day,) = list_snapshots(directory, now=early + timedelta(seconds=30))
        assert day.complete

    def test_may_be_hours(self, contacts):
        contacts.write(noon("2026-11-30") - timedelta(hours=2.5), people("a"))
        directory = definition(tables={"contacts": str(contacts.path)}, keys="hourly")
        assert keys_of(directory) == [f"2026-11-30T{hour}:00:00Z" for hour in (10, 11, 12)]

    def test_begin_where_the_directory_says(self, contacts):
        contacts.write(noon("2026-11-20"), people("a"))
        place = {"contacts": str(contacts.path)}
        directory = definition(tables=place, start="2026-11-28")
        assert keys_of(directory) == ["2026-11-28", "2026-11-29"]

    def test_are_those_that_all_tables_know(self, contacts, tmp_path):
        calls = DeltaFolder(tmp_path / "lake" / "calls")
        contacts.write(noon("2026-11-20"), people("a"))
        calls.write(noon("2026-11-28"), people("a", date=[NOW]))
        places = {"contacts": str(contacts.path), "transactions": str(calls.path)}
        directory = definition(tables=places)
        assert keys_of(directory) == ["2026-11-28", "2026-11-29"]
        with pytest.raises(SnapshotMissing) as error:
            find_snapshot(directory, "2026-11-22", now=NOW)
        assert str(error.value) == (
            f"directory customers has no snapshot 2026-11-22; transactions ({calls.path}) knows "
            "nothing before 2026-11-28T12:00:00Z, its oldest version that is kept (0); "
            "the nearest: 2026-11-28, 2026-11-29 (2 in all, from 2026-11-28 to 2026-11-29)"
        )

    def test_are_chosen_by_a_run_as_any(self, contacts, directory):
        contacts.write(noon("2026-11-20"), people("a"))
        start, end = (datetime(2026, 11, day, 6, tzinfo=UTC) for day in (27, 28))
        previous, current = choose_span(list_snapshots(directory, now=NOW), start, end)
        assert (previous.key, current.key) == ("2026-11-26", "2026-11-27")

    def test_follow_commits_of_clocks_that_go_back(self, contacts, directory):
        """Delta's rule, by which no day is rewritten: each commit is later than the one before."""
        contacts.write(noon("2026-11-28"), people("a"))
        contacts.write(noon("2026-11-26"), people("b"), mode="append")
        assert keys_of(directory) == ["2026-11-28", "2026-11-29"]
        assert ids_at(directory, "2026-11-28") == ["a", "b"]

    def test_go_by_the_times_in_commits_where_they_are(self, contacts, directory):
        """A table that was copied: its files are of today, its commits of their days."""
        for day in range(20, 26):
            contacts.write(noon("2026-11-30"), people(f"c{day}"), mode="append")
        for number, day in enumerate(range(20, 26)):
            if number >= 2:  # in-commit timestamps were turned on then
                contacts.note_time(number, noon(f"2026-11-{day}"))
        assert ids_at(directory, "2026-11-22") == ["c20", "c21", "c22"]
        assert ids_at(directory, "2026-11-24") == ["c20", "c21", "c22", "c23", "c24"]
        assert keys_of(directory)[0] == "2026-11-22"


class TestValues:
    def test_are_those_that_the_library_shows(self, contacts, directory):
        contacts.write(noon("2026-11-28"), pa.table(HOSTILE))
        tables = tables_of(directory, "2026-11-28")
        rows = pa.table(deltalake.DeltaTable(str(contacts.path)).to_pyarrow_table())
        expected = {row["contact_id"]: row for row in rows.to_pylist()}
        columns = [name for name in HOSTILE if name != "raw"]
        answer = tables.table("contacts").read(columns, None).to_pylist()
        assert [row["contact_id"] for row in answer] == HOSTILE["contact_id"]
        assert [row.pop("ratio") for row in answer] == [0.7, None, None, 0.0]  # as in any Parquet
        for row in expected.values():
            del row["ratio"], row["raw"]
        assert {row["contact_id"]: row for row in answer} == expected
        raw = tables.contacts(["raw"])["raw"].array._pa_array.cast(pa.large_binary())
        assert raw.to_pylist() == HOSTILE["raw"].to_pylist()
        assert not check_snapshot(tables)
        kinds = tables.kinds("contacts")
        assert kinds["seen"] is kinds["at"] is ColumnKind.INSTANT
        assert kinds["tags"] is ColumnKind.LIST
        assert kinds["raw"] is ColumnKind.BYTES

    def test_of_partitions_are_columns(self, contacts, directory):
        tiers = ["gold", "x y/é%20=", None, "007"]
        rows = people("a", "b", "c", "d", tier=tiers, year=[2026, 2025, None, 0])
        contacts.write(noon("2026-11-28"), rows, partition_by=["tier", "year"])
        tables = tables_of(directory, "2026-11-28")
        frame = tables.contacts(["tier", "year"])
        assert frame["tier"].tolist()[:2] == tiers[:2]
        assert frame["tier"].isna().tolist() == [False, False, True, False]
        assert frame["year"].tolist()[0] == 2026
        assert tables.kinds("contacts")["year"] is ColumnKind.NUMBER
        assert tables.contacts(["tier"], only=["b"])["tier"].tolist() == ["x y/é%20="]
        assert tables.count("contacts") == 4
        pieces = {tuple(piece.read(["contact_id"]).column(0).to_pylist()): piece
                  for piece in tables.slices("contacts")}  # fmt: skip
        assert pieces["a",].bounds("year") == (2026, 2026)
        assert pieces["c",].bounds("year") is None
        assert not pieces["c",].is_complete("year")

    def test_by_a_partition_of_dates_prune(self, contacts, tmp_path):
        calls = DeltaFolder(tmp_path / "calls")
        contacts.write(noon("2026-11-20"), people("a"))
        days = pa.array([noon("2026-11-01").date(), noon("2026-11-02").date()])
        calls.write(noon("2026-11-20"), people("a", "a", date=days), partition_by=["date"])
        places = {"contacts": str(contacts.path), "transactions": str(calls.path)}
        slices = tables_of(definition(tables=places), "2026-11-28").slices("transactions")
        assert sorted(piece.bounds("date")[0].day for piece in slices) == [1, 2]

    def test_of_columns_that_came_later_are_missing_before(self, contacts, directory):
        contacts.write(noon("2026-11-26"), people("a", tier=["gold"]))
        news = people("b", tier=["silver"], score=[1])
        contacts.write(noon("2026-11-27"), news, mode="append", schema_mode="merge")
        assert tables_of(directory, "2026-11-26").columns("contacts") == ["contact_id", "tier"]
        frame = tables_of(directory, "2026-11-27").contacts()
        assert frame["score"].isna().tolist() == [True, False]
        assert frame["score"].tolist()[1] == 1

    def test_of_columns_under_other_names_in_files(self, contacts, directory):
        """Column mapping: files have names that no rename changes, of nested fields too."""
        homes = pa.array([{"city": "Köln", "lines": [{"no": 1}]}, None])
        rows = people("007", "b", tier=["gold", None], home=homes)
        settings = {"delta.columnMapping.mode": "name"}
        contacts.write(noon("2026-11-28"), rows, configuration=settings)
        (file,) = contacts.path.rglob("*.parquet")
        assert "tier" not in pq.read_schema(file).names
        frame = tables_of(directory, "2026-11-28").contacts()
        assert frame["contact_id"].tolist() == ["007", "b"]
        assert frame["tier"].tolist()[0] == "gold"
        assert frame["home"].tolist()[0] == {"city": "Köln", "lines": [{"no": 1}]}
        (row,) = tables_of(directory, "2026-11-28").contacts(only=["b"])["contact_id"]
        assert row == "b"

    def test_of_times_as_spark_writes_them_are_instants(self, contacts, directory):
        """INT96, which names no zone: of a Delta table it is UTC, whatever the directory's zone."""
        when = pa.array([datetime(2026, 7, 1, 12, tzinfo=UTC)], pa.timestamp("us", "UTC"))
        contacts.write(noon("2026-11-28"), people("a", seen=when))
        (file,) = contacts.path.glob("*.parquet")
        pq.write_table(pq.read_table(file), file, use_deprecated_int96_timestamps=True)
        frame = tables_of(directory, "2026-11-28").contacts()
        assert frame["seen"].dtype.pyarrow_dtype == pa.timestamp("us", "UTC")
        assert frame["seen"].tolist() == [datetime(2026, 7, 1, 12, tzinfo=UTC)]

    def test_in_a_narrower_type_than_the_tables_are_widened(self, contacts, directory):
        numbers = {"n": pa.array([2**40], pa.int64())}
        contacts.write(noon("2026-11-28"), people("a", **numbers))
        (file,) = contacts.path.glob("*.parquet")
        pq.write_table(people("a", n=pa.array([7], pa.int32())), file)
        assert tables_of(directory, "2026-11-28").contacts()["n"].tolist() == [7]


class TestDeletedRows:
    def test_of_a_rewritten_file_are_gone(self, contacts, directory):
        contacts.write(noon("2026-11-26"), people("a", "b", "c", tier=["x"] * 3))
        table = deltalake.DeltaTable(str(contacts.path))
        contacts.at(noon("2026-11-27"), lambda: table.delete("contact_id = 'b'"))
        contacts.at(
            noon("2026-11-28"),
            lambda: table.update(updates={"tier": "'y'"}, predicate="contact_id = 'c'"),
        )
        assert ids_at(directory, "2026-11-26") == ["a", "b", "c"]
        assert ids_at(directory, "2026-11-27") == ["a", "c"]
        assert tables_of(directory, "2026-11-28").contacts(["tier"])["tier"].tolist() == ["x", "y"]

    def test_by_deletion_vectors_are_gone(self, contacts, directory):
        ids = [f"{number:04}" for number in range(5000)]
        settings = {"delta.enableDeletionVectors": "true"}
        numbers = list(range(5000))
        contacts.write(noon("2026-11-26"), people(*ids, n=numbers), configuration=settings)
        (file,) = contacts.path.glob("*.parquet")
        pq.write_table(pq.read_table(file), file, row_group_size=1000)
        contacts.at(noon("2026-11-27"), lambda: _delete_rows(contacts, [0, 999, 1000, 4321, 4999]))
        assert len(ids_at(directory, "2026-11-26")) == 5000
        tables = tables_of(directory, "2026-11-27")
        expected = [each for each in ids if each not in ("0000", "0999", "1000", "4321", "4999")]
        frame = tables.contacts()
        assert frame["contact_id"].tolist() == expected
        assert frame["n"].tolist() == [int(each) for each in expected]
        assert tables.count("contacts") == 4995
        assert tables.contacts(["n"], only=["1000", "1001"])["n"].tolist() == [1001]
        library = pa.table(deltalake.DeltaTable(str(contacts.path)).scan(columns=["contact_id"]))
        assert sorted(library.column("contact_id").to_pylist()) == expected

    def test_all_of_them_leave_an_empty_table(self, contacts, directory):
        contacts.write(noon("2026-11-26"), people("a", tier=["x"]))
        table = deltalake.DeltaTable(str(contacts.path))
        contacts.at(noon("2026-11-27"), table.delete)
        tables = tables_of(directory, "2026-11-27")
        assert tables.count("contacts") == 0
        assert tables.columns("contacts") == ["contact_id", "tier"]
        assert tables.contacts(only=["a"]).empty
        (problem,) = check_snapshot(tables)
        assert str(problem).endswith("contacts: the table has no rows")


class TestContent:
    def test_is_the_tables_own_version(self, contacts, directory):
        contacts.write(noon("2026-11-25"), people("a"))
        contacts.write(noon("2026-11-27"), people("b"), mode="append")
        table = deltalake.DeltaTable(str(contacts.path))
        contacts.at(noon("2026-11-28"), table.optimize.compact)
        first, second, third, fourth, fifth = list_snapshots(directory, now=NOW)
        assert same_content(first, second)
        assert fingerprint(first) == fingerprint(second)
        assert not same_content(second, third)
        assert fingerprint(third) != fingerprint(fourth) == fingerprint(fifth)
        contacts.write(noon("2026-11-30"), people("c"), mode="append")
        again = list_snapshots(directory, now=NOW + timedelta(days=2))
        assert list(map(fingerprint, again[:5])) == list(
            map(fingerprint, (first, second, third, fourth, fifth))
        )

    def test_of_another_table_at_its_place_is_another(self, contacts, directory):
        contacts.write(noon("2026-11-28"), people("a"))
        (before, _) = list_snapshots(directory, now=NOW)
        print_before = fingerprint(before)
        shutil.rmtree(contacts.path)
        contacts.write(noon("2026-11-28") + timedelta(hours=1), people("a"))
        (after, _) = list_snapshots(directory, now=NOW)
        assert fingerprint(after) != print_before


class TestGone:
    def test_after_the_log_was_cleaned(self, contacts, directory):
        for day in range(20, 30):
            contacts.write(noon(f"2026-11-{day}"), people(f"c{day}"), mode="append")
            if day == 25:
                deltalake.DeltaTable(str(contacts.path)).create_checkpoint()
        for path in contacts.commits()[:5]:
            path.unlink()
        assert keys_of(directory)[0] == "2026-11-25"
        assert ids_at(directory, "2026-11-25") == [f"c{day}" for day in range(20, 26)]
        with pytest.raises(SnapshotMissing, match=r"nothing before 2026-11-25T12.*\(5\)"):
            find_snapshot(directory, "2026-11-22", now=NOW)

    def test_after_a_vacuum(self, contacts, directory):
        contacts.write(noon("2026-11-26"), people("a", "b"))
        table = deltalake.DeltaTable(str(contacts.path))
        contacts.at(noon("2026-11-27"), lambda: table.delete("contact_id = 'b'"))

        def vacuum():
            table.vacuum(0, dry_run=False, enforce_retention_duration=False)

        contacts.at(noon("2026-11-28"), vacuum)
        assert ids_at(directory, "2026-11-27") == ["a"]
        with pytest.raises(DataError) as error:
            tables_of(directory, "2026-11-26").contacts()
        assert "version 0, of 2026-11-26T12:00:00Z, can no longer be read" in str(error.value)
        assert "the table was vacuumed" in str(error.value)
        (problem, *_) = check_snapshot(tables_of(directory, "2026-11-26"))
        assert "vacuumed" in problem.message

    def test_while_it_is_written_nothing_changes(self, contacts, directory):
        contacts.write(noon("2026-11-26"), people("a", "b"))
        tables = tables_of(directory, "2026-11-27")
        first = tables.contacts()
        table = deltalake.DeltaTable(str(contacts.path))
        contacts.write(noon("2026-11-30"), people("c"), mode="append")
        contacts.at(noon("2026-11-30"), lambda: table.delete("contact_id = 'b'"))
        contacts.at(noon("2026-11-30"), table.optimize.compact)
        assert tables.contacts().equals(first)
        assert tables_of(directory, "2026-11-27").contacts().equals(first)


class TestErrors:
    def test_of_no_table(self, directory, contacts):
        with pytest.raises(DataError) as error:
            list_snapshots(directory, now=NOW)
        assert str(error.value) == (
            f"directory customers, contacts ({contacts.path}): is no Delta table that can be read: "
            "it has no folder _delta_log"
        )

    def test_of_a_log_with_a_gap(self, contacts, directory):
        for day in (20, 21, 22):
            contacts.write(noon(f"2026-11-{day}"), people("a"), mode="append")
        contacts.commits()[1].unlink()
        with pytest.raises(DataError, match="no commit with all that came before it"):
            list_snapshots(directory, now=NOW)

    def test_of_a_table_that_asks_for_more(self, contacts, directory):
        settings = {"delta.enableDeletionVectors": "true"}
        contacts.write(noon("2026-11-26"), people("a"), configuration=settings)
        path = contacts.commits()[0]
        path.write_text(path.read_text().replace("deletionVectors", "timeMachine"))
        os.utime(path, (noon("2026-11-26").timestamp(),) * 2)
        with pytest.raises(DataError, match=r"customers, contacts .*timeMachine"):
            tables_of(directory, "2026-11-26").contacts()

    def test_of_a_torn_commit(self, contacts, directory):
        contacts.write(noon("2026-11-26"), people("a"))
        contacts.commits()[0].write_text("{")
        with pytest.raises(DataError, match=r"directory customers, contacts .* cannot be read"):
            list_snapshots(directory, now=NOW)


def _delete_rows(folder, rows):
    """Commit a deletion vector, as the protocol has it inline: no library for Python writes one."""
    from pyroaring import BitMap64

    bitmap = BitMap64(rows)
    data = struct.pack("<I", 1681511377) + bitmap.serialize()
    vector = {
        "storageType": "i",
        "pathOrInlineDv": _z85(data),
        "sizeInBytes": len(data),
        "cardinality": len(rows),
    }
    lines = folder.commits()[-1].read_text().splitlines()
    add = next(json.loads(line)["add"] for line in lines if '"add"' in line)
    remove = {
        "path": add["path"], "deletionTimestamp": 1, "dataChange": True,
        "extendedFileMetadata": True, "partitionValues": {}, "size": add["size"],
    }  # fmt: skip
    size = (folder.path / unquote(add["path"])).stat().st_size
    info = {"commitInfo": {"timestamp": 1, "operation": "DELETE"}}
    news = {"add": {**add, "size": size, "deletionVector": vector}}
    path = folder.log / f"{len(folder.commits()):020}.json"
    path.write_text("\n".join(map(json.dumps, (info, {"remove": remove}, news))))


_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def _z85(data):
    """Encode as ZeroMQ's Base85, which the protocol uses."""
    data += b"\x00" * (-len(data) % 4)
    text = ""
    for (word,) in struct.iter_unpack(">I", data):
        digits = [word // 85**power % 85 for power in (4, 3, 2, 1, 0)]
        text += "".join(_ALPHABET[digit] for digit in digits)
    return text
