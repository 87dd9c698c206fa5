"""What ``SnapshotTables.kinds`` says of every type that a file may have."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pyarrow as pa
import pytest

from segue.directory.column_kinds import ColumnKind, are_alike

from .conftest import KEY

INSTANT = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)
COLUMNS = {
    "text": [
        pa.array(["a"]),
        pa.array(["a"], pa.large_string()),
        pa.array(["a"], pa.string_view()),
        pa.array(["a"]).dictionary_encode(),
        pa.array([uuid.UUID(int=1).bytes], pa.uuid()),
    ],
    "number": [
        *(pa.array([1], kind) for kind in (pa.int8(), pa.int64(), pa.uint64())),
        *(pa.array([1.0]).cast(kind) for kind in (pa.float16(), pa.float32(), pa.float64())),
        *(pa.array([Decimal("1.5")], kind) for kind in (pa.decimal128(5, 2), pa.decimal256(50, 2))),
    ],
    "boolean": [pa.array([True])],
    "null": [pa.nulls(1)],
    "date": [pa.array([INSTANT.date()], kind) for kind in (pa.date32(), pa.date64())],
    "instant": [
        pa.array([INSTANT], pa.timestamp(unit, zone))
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/London")
    ],
    "time": [pa.array([dt.time(9)], kind) for kind in (pa.time32("s"), pa.time64("us"))],
    "duration": [pa.array([dt.timedelta(hours=1)], pa.duration("us"))],
    "bytes": [
        pa.array([b"gold"], kind)
        for kind in (pa.binary(), pa.large_binary(), pa.binary(4), pa.binary_view())
    ],
    "list": [pa.array([["a"]]), pa.array([["a"]], pa.large_list(pa.string()))],
    "struct": [pa.array([{"a": 1}]), pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))],
}


def test_every_type_has_its_kind(folder):
    """The kind follows from the type as the file notes it, whatever the values."""
    wanted = {
        f"{kind}_{number}": kind
        for kind, columns in COLUMNS.items()
        for number in range(len(columns))
    }
    columns = dict(zip(wanted, (one for many in COLUMNS.values() for one in many), strict=True))
    folder.write(f"{KEY}/contacts.parquet", pa.table({"contact_id": ["a"], **columns}))
    assert folder.tables().kinds("contacts") == {"contact_id": "text", **wanted}


def test_everything_in_a_csv_is_text(folder):
    """CSV notes no types; a table that is not there has no kinds."""
    folder.write(f"{KEY}/contacts.csv", "contact_id,age\na,5\n")
    assert folder.tables().kinds("contacts") == {"contact_id": "text", "age": "text"}
    assert folder.tables().kinds("transactions") == {}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_part_without_values_goes_with_the_others(folder, order):
    """A column that is null in one part has the kind of the other part."""
    parts = pa.array([5]), pa.nulls(1)
    for number, place in enumerate(order):
        table = pa.table({"contact_id": [str(number)], "age": parts[place]})
        folder.write(f"{KEY}/contacts/{number}.parquet", table)
    assert folder.tables().kinds("contacts")["age"] == "number"


def test_which_kinds_are_read_alike():
    """Days and instants are both dates, bytes are text, and no value at all goes with anything."""
    alike = {(one, other) for one in ColumnKind for other in ColumnKind if are_alike(one, other)}
    assert ("date", "instant") in alike
    assert ("bytes", "text") in alike
    assert {("null", kind) for kind in ColumnKind} < alike
    assert not {("text", "number"), ("boolean", "number"), ("time", "instant")} & alike
