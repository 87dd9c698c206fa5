"""Iceberg tables read in place: which snapshot a day is, and its rows as PyIceberg shows them."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, date, datetime, timedelta
from functools import partial
from operator import methodcaller

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory.column_kinds import ColumnKind
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_check import check_snapshot
from segue.directory.snapshot_content import fingerprint, same_content
from segue.directory.snapshots import find_snapshot, list_snapshots
from segue.errors import DataError, SnapshotMissing
from segue.preview.plan import Uncached
from segue.segments.definition import SegmentDefinition
from segue.segments.membership.changes import segment_changes
from tests.unit.directory.lakes.delta_tables import NOW, after, definition, noon, people, tables_of
from tests.unit.directory.lakes.iceberg_tables import CATALOG, IcebergFolder, environment
from tests.unit.directory.lakes.test_delta import HOSTILE

pytest.importorskip("pyiceberg")
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    write_manifest,
)
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, StringType


@pytest.fixture
def contacts(tmp_path, monkeypatch):
    folder = IcebergFolder(tmp_path / "lake", "contacts")
    for name, value in environment(folder.root).items():
        monkeypatch.setenv(name, value)
    return folder


def directory_of(keys="daily", **tables):
    places = {name: folder.place for name, folder in tables.items()}
    return definition(fmt="iceberg", catalog=CATALOG, keys=keys, tables=places)


def ids_at(directory, key, now=NOW):
    return tables_of(directory, key, now).contacts([])["contact_id"].tolist()


def keys_of(directory):
    return [each.key for each in list_snapshots(directory, now=NOW)]


class TestDays:
    def test_hold_what_was_committed_before_their_end(self, contacts):
        midnight = datetime(2026, 11, 28, tzinfo=UTC)
        contacts.append(noon("2026-11-26"), people("a"))
        contacts.append(midnight - timedelta(milliseconds=1), people("b"))
        contacts.append(midnight, people("c"))
        directory = directory_of(contacts=contacts)
        assert keys_of(directory) == ["2026-11-26", "2026-11-27", "2026-11-28", "2026-11-29"]
        assert ids_at(directory, "2026-11-26") == ["a"]
        assert ids_at(directory, "2026-11-27") == ["a", "b"]
        assert ids_at(directory, "2026-11-28") == ["a", "b", "c"]

    def test_are_those_that_all_tables_know(self, contacts):
        calls = IcebergFolder(contacts.root, "calls")
        contacts.append(noon("2026-11-20"), people("a"))
        calls.append(noon("2026-11-28"), people("a", date=[NOW]))
        directory = directory_of(contacts=contacts, transactions=calls)
        assert keys_of(directory) == ["2026-11-28", "2026-11-29"]
        with pytest.raises(SnapshotMissing, match=r"\(lake: crm.calls\) knows nothing"):
            find_snapshot(directory, "2026-11-22", now=NOW)

    def test_that_were_expired_are_told(self, contacts):
        for day in range(24, 28):
            contacts.append(noon(f"2026-11-{day}"), people(f"c{day}"))
        directory = directory_of(contacts=contacts)
        assert keys_of(directory)[0] == "2026-11-24"
        table = contacts.load()
        oldest = [entry.snapshot_id for entry in table.history()[:2]]
        table.maintenance.expire_snapshots().by_ids(oldest).commit()
        assert keys_of(directory)[0] == "2026-11-26"
        assert ids_at(directory, "2026-11-26") == ["c24", "c25", "c26"]
        with pytest.raises(SnapshotMissing) as error:
            find_snapshot(directory, "2026-11-25", now=NOW)
        assert "knows nothing before 2026-11-26T12:00:00Z, its oldest version" in str(error.value)


class TestTags:
    def test_are_snapshots_where_their_names_are_keys(self, contacts):
        calls = IcebergFolder(contacts.root, "calls")
        contacts.append(noon("2026-11-20"), people("a"))
        calls.append(noon("2026-11-20"), people("a", date=[NOW]))
        for folder in (contacts, calls):
            (entry,) = folder.load().history()
            snapshots = folder.load().manage_snapshots()
            snapshots = snapshots.create_tag(entry.snapshot_id, "ds=2026-11-20")
            snapshots.create_tag(entry.snapshot_id, "release").commit()
        first = contacts.load().history()[0].snapshot_id
        contacts.load().manage_snapshots().create_tag(first, "2026-11-21").commit()
        contacts.append(noon("2026-11-21"), people("b"))
        directory = directory_of(keys="tags", contacts=contacts, transactions=calls)
        assert keys_of(directory) == ["2026-11-20"]  # the other one is of one table alone
        assert ids_at(directory, "2026-11-20") == ["a"]
        with pytest.raises(SnapshotMissing, match="has no snapshot 2026-11-21; the nearest"):
            find_snapshot(directory, "2026-11-21", now=NOW)


class TestValues:
    def test_are_those_that_the_library_shows(self, contacts):
        rows = pa.table(HOSTILE)
        rows = rows.set_column(rows.schema.get_field_index("small"), "small",
                               rows["small"].cast(pa.int32()))  # fmt: skip
        contacts.append(noon("2026-11-28"), rows)
        tables = tables_of(directory_of(contacts=contacts), "2026-11-28")
        expected = contacts.load().scan().to_arrow().drop_columns(["ratio", "raw"]).to_pylist()
        columns = [name for name in HOSTILE if name not in ("ratio", "raw")]
        assert tables.table("contacts").read(columns, None).to_pylist() == expected
        ratios = tables.table("contacts").read(["ratio"], None).column("ratio")
        assert ratios.to_pylist() == [0.7, None, None, 0.0]
        raw = tables.contacts(["raw"])["raw"].array._pa_array.cast(pa.large_binary())
        assert raw.to_pylist() == HOSTILE["raw"].to_pylist()
        assert not check_snapshot(tables)
        assert tables.kinds("contacts")["tags"] is ColumnKind.LIST
        assert tables.contacts(["note"], only=["é", "nobody"])["note"].tolist() == ["a\x00b\n\"',;"]

    def test_follow_columns_through_renames_promotions_and_deletions(self, contacts):
        numbers = pa.array([1, 2], pa.int32())
        contacts.append(noon("2026-11-25"), people("a", "b", n=numbers, old=["x", "y"]))
        with contacts.load().update_schema() as update:
            update.update_column("n", LongType())
            update.rename_column("n", "number")
            update.delete_column("old")
            update.add_column("tier", StringType())
        contacts.append(noon("2026-11-26"), people("c", number=[2**40], tier=["gold"]))
        directory = directory_of(contacts=contacts)
        before = tables_of(directory, "2026-11-25")
        assert before.columns("contacts") == ["contact_id", "n", "old"]
        assert before.contacts()["n"].tolist() == [1, 2]
        assert before.contacts()["old"].tolist() == ["x", "y"]
        after = tables_of(directory, "2026-11-26")
        assert after.columns("contacts") == ["contact_id", "number", "tier"]
        assert after.contacts()["number"].tolist() == [1, 2, 2**40]
        assert after.contacts(["tier"])["tier"].isna().tolist() == [True, True, False]
        assert after.contacts(["number"], only=["b"])["number"].tolist() == [2]

    def test_of_partitions_and_bounds(self, contacts):
        from pyiceberg.transforms import IdentityTransform

        calls = IcebergFolder(contacts.root, "calls")
        contacts.append(noon("2026-11-20"), people("a"))
        days = pa.array([date(2026, 11, 1), date(2026, 11, 2)], pa.date32())
        rows = people("a", "a", date=days)
        table = calls.create(rows.schema)
        with table.update_spec() as update:
            update.add_field("date", IdentityTransform(), "date")
        calls.append(noon("2026-11-20"), rows)
        directory = directory_of(contacts=contacts, transactions=calls)
        slices = tables_of(directory, "2026-11-28").slices("transactions")
        assert sorted(piece.bounds("date")[0].day for piece in slices) == [1, 2]
        assert all(piece.is_complete("date") for piece in slices)
        assert len(tables_of(directory, "2026-11-28").rows("transactions")) == 2


class TestDeletedRows:
    def test_are_gone(self, contacts):
        ids = [f"{number:04}" for number in range(3000)]
        contacts.append(noon("2026-11-25"), people(*ids, n=list(range(3000))))
        contacts.at(noon("2026-11-26"), lambda table: table.delete("n < 10"))
        tables = tables_of(directory_of(contacts=contacts), "2026-11-26")
        assert tables.contacts()["n"].tolist() == list(range(10, 3000))
        assert tables.count("contacts") == 2990
        assert tables.contacts(["n"], only=["0009", "0010"])["n"].tolist() == [10]
        assert len(ids_at(directory_of(contacts=contacts), "2026-11-25")) == 3000

    def test_by_position_deletes_are_gone(self, contacts):
        """Merge-on-read, as Spark and Trino write it: PyIceberg reads it, and does not write it."""
        ids = [f"{number:04}" for number in range(3000)]
        contacts.append(noon("2026-11-25"), people(*ids, n=list(range(3000))))
        contacts.at(noon("2026-11-26"), lambda table: _delete_rows(table, [0, 17, 2999]))
        directory = directory_of(contacts=contacts)
        tables = tables_of(directory, "2026-11-26")
        expected = [number for number in range(3000) if number not in (0, 17, 2999)]
        assert tables.contacts()["n"].tolist() == expected
        assert tables.count("contacts") == 2997
        assert tables.contacts(["n"], only=["0017", "0018"])["n"].tolist() == [18]
        assert len(ids_at(directory, "2026-11-25")) == 3000

    def test_by_equality_deletes_are_refused(self, contacts):
        contacts.append(noon("2026-11-25"), people("a", "b"))
        contacts.at(noon("2026-11-26"), lambda table: _delete_rows(table, [0], by_value=True))
        with pytest.raises(DataError, match=r"snapshot .* does not yet support equality deletes"):
            tables_of(directory_of(contacts=contacts), "2026-11-26").contacts()

    def test_all_of_them_leave_an_empty_table(self, contacts):
        contacts.append(noon("2026-11-25"), people("a", tier=["x"]))
        contacts.at(noon("2026-11-26"), lambda table: table.delete("contact_id = 'a'"))
        tables = tables_of(directory_of(contacts=contacts), "2026-11-26")
        assert tables.count("contacts") == 0
        assert tables.columns("contacts") == ["contact_id", "tier"]

    def test_are_read_on_while_others_write(self, contacts):
        contacts.append(noon("2026-11-25"), people("a", "b"))
        directory = directory_of(contacts=contacts)
        tables = tables_of(directory, "2026-11-26")
        first = tables.contacts()
        contacts.at(noon("2026-11-30"), lambda table: table.overwrite(people("c")))
        assert tables.contacts().equals(first)
        assert tables_of(directory, "2026-11-26").contacts().equals(first)


def test_the_content_is_the_tables_own_snapshot(contacts):
    contacts.append(noon("2026-11-26"), people("a"))
    contacts.append(noon("2026-11-28"), people("b"))
    directory = directory_of(contacts=contacts)
    first, second, third, _ = list_snapshots(directory, now=NOW)
    assert same_content(first, second)
    assert fingerprint(first) == fingerprint(second) != fingerprint(third)


def test_ten_days_give_the_changes_of_ten_folders(contacts, tmp_path):
    """Rows are appended, updated, deleted and overwritten, and a column comes on the way."""
    chance, tiers = random.Random(16), {f"{number:03}": "silver" for number in range(40)}
    contacts.create(rows_of({}).schema)
    for number in range(10):
        day = after("2026-11-20", number)
        news = {f"n{number}{each}": chance.choice(["gold", None]) for each in range(3)}
        edits = {each: chance.choice(["gold", "x/y"]) for each in chance.sample(sorted(tiers), 6)}
        gone = sorted({*tiers} - {*edits})[:2]
        tiers = {each: tier for each, tier in tiers.items() if each not in gone} | edits
        if number == 5:
            with contacts.load().update_schema() as update:
                update.add_column("city", StringType())
        rows = partial(rows_of, has_city=number >= 5)
        ids = ", ".join(f"'{each}'" for each in gone)
        if number in (0, 5, 7):  # an upsert of PyIceberg fails where old files lack the column
            contacts.at(noon(day), methodcaller("overwrite", rows(tiers)))
        else:
            contacts.at(noon(day), methodcaller("upsert", rows(edits), ["contact_id"]))
            contacts.at(noon(day), methodcaller("delete", f"contact_id in ({ids})"))
        contacts.at(noon(day), methodcaller("append", rows(news)))
        tiers |= news
        (tmp_path / "days" / day).mkdir(parents=True)
        pq.write_table(rows_of(tiers), tmp_path / "days" / day / "contacts.parquet")
    folders = {"directory": "customers", "snapshots": str(tmp_path / "days"), "consent": "none"}
    expected = changes_of(DirectoryDefinition.model_validate(folders))
    assert len(expected) == 9
    assert all(expected)
    assert changes_of(directory_of(contacts=contacts)) == expected


def _delete_rows(table, rows, *, by_value=False):
    """Commit a delete file for rows of the table's one file, by PyIceberg's own parts."""
    (task,) = table.scan().plan_files()
    path = task.file.file_path.rsplit("/", 1)[0] + "/deletes.parquet"
    kinds = pa.schema(
        [
            pa.field("file_path", pa.string(), False, {"PARQUET:field_id": "2147483546"}),
            pa.field("pos", pa.int64(), False, {"PARQUET:field_id": "2147483545"}),
        ]
    )
    places = {"file_path": [task.file.file_path] * len(rows), "pos": rows}
    with table.io.new_output(path).create() as stream:
        pq.write_table(pa.table(places, schema=kinds), stream)
    content = DataFileContent.EQUALITY_DELETES if by_value else DataFileContent.POSITION_DELETES
    file = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=len(rows),
        file_size_in_bytes=len(table.io.new_input(path)),
        equality_ids=[1] if by_value else None,
    )
    file.spec_id = 0
    with table.transaction() as transaction:
        snapshot = transaction.update_snapshot().fast_append()
        old = snapshot._manifests
        with write_manifest(
            format_version=2,
            spec=table.spec(),
            schema=table.schema(),
            output_file=table.io.new_output(path.replace(".parquet", ".avro")),
            snapshot_id=snapshot._snapshot_id,
            avro_compression="deflate",
        ) as writer:
            writer.content = lambda: ManifestContent.DELETES
            entry = ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=snapshot._snapshot_id, data_file=file
            )
            writer.add_entry(entry)
        snapshot._manifests = lambda: [writer.to_manifest_file(), *old()]
        snapshot.commit()


def rows_of(tiers, *, has_city=False):
    ids, values = (pa.array(list(each), pa.string()) for each in (tiers, tiers.values()))
    city = {"city": pa.nulls(len(tiers), pa.string())} if has_city else {}
    return pa.table({"contact_id": ids, "tier": values, **city})


def changes_of(directory):
    """Return what changed in the segment from day to day."""
    match = {"field": "tier", "equals": "gold"}
    content = {"segment": "gold", "directory": "customers", "match": match}
    segment = SegmentDefinition.model_validate(content)
    pairs = itertools.pairwise(list_snapshots(directory, now=NOW))
    changes = (segment_changes(segment, directory, *pair, Uncached()).changes for pair in pairs)
    return [each.astype(str).to_numpy().tolist() for each in changes]


class TestErrors:
    def test_of_a_catalog_that_is_not_configured(self, contacts, monkeypatch):
        for name in environment(contacts.root):
            monkeypatch.delenv(name)
        with pytest.raises(DataError, match=r"'lake' is not configured.*CATALOG__LAKE__URI"):
            list_snapshots(directory_of(contacts=contacts), now=NOW)

    def test_of_no_table(self, contacts):
        contacts._catalog()
        with pytest.raises(DataError, match=r"contacts \(lake: crm.contacts\).*does not exist"):
            list_snapshots(directory_of(contacts=contacts), now=NOW)

    def test_of_a_table_without_a_snapshot(self, contacts):
        contacts.create(people("a").schema)
        with pytest.raises(DataError, match="the table has no snapshot yet"):
            list_snapshots(directory_of(contacts=contacts), now=NOW)

    def test_of_files_that_are_gone(self, contacts):
        contacts.append(noon("2026-11-26"), people("a"))
        for path in contacts.root.rglob("*.parquet"):
            path.unlink()
        with pytest.raises(DataError, match="the file is gone: the snapshot was expired"):
            tables_of(directory_of(contacts=contacts), "2026-11-26").contacts()
