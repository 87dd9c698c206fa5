"""Every value of a file is read exactly, whatever type the file and its neighbours have it in."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory.python_values import python_values
from segue.directory.snapshot_check import check_snapshot
from segue.errors import DataError

from .conftest import KEY

EVER = dt.datetime.fromisoformat("9999-12-31")
FIRST = dt.datetime.fromisoformat("0001-01-01")


def values_of(folder, *parts, **options):
    """Write one part file per column of values and read the column back, whole and by slices."""
    for number, part in enumerate(parts):
        ids = [f"{number}{row}" for row in range(len(part))]
        sink = io.BytesIO()
        pq.write_table(pa.table({"contact_id": ids, "value": part}), sink, **options)
        folder.write(f"{KEY}/contacts/{number}.parquet", sink.getvalue())
    tables = folder.tables()
    whole = python_values(tables.contacts(["value"])["value"].array.__arrow_array__())
    only = [f"{number}{row}" for number, part in enumerate(parts) for row in range(len(part))]
    some = python_values(tables.contacts(["value"], only=only)["value"].array.__arrow_array__())
    assert some == whole
    if tables.table("contacts").has_one_type(["value"]):
        pieces = [piece.read(["value"]).column("value") for piece in tables.slices("contacts")]
        apart = [value for piece in pieces for value in python_values(piece)]
        assert [as_bytes(value) for value in apart] == [as_bytes(value) for value in whole]
    return whole


def as_bytes(value):
    """Return text and bytes alike: files of which one has bytes are read apart as they are."""
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_floats_are_their_shortest_decimal(folder, kind):
    """A float of 0.7 is 0.7, not the double that its bits happen to be."""
    assert values_of(folder, pa.array([0.7, 1.5, None], pa.float64()).cast(kind)) == [
        0.7,
        1.5,
        None,
    ]


@pytest.mark.parametrize("other", [pa.array([0.7]), pa.array([7]), pa.nulls(1)])
def test_floats_keep_it_among_other_parts(folder, other):
    """Parts of other types do not change what a float is."""
    assert values_of(folder, pa.array([0.7], pa.float32()), other)[0] == 0.7


@pytest.mark.parametrize("day", [EVER, FIRST, None])
def test_old_timestamps_of_spark(folder, day):
    """INT96, which Spark wrote by default, does not end in 2262."""
    column = pa.array([day], pa.timestamp("us"))
    assert values_of(folder, column, use_deprecated_int96_timestamps=True) == [day]


@pytest.mark.parametrize(
    "some", [pa.array([7]), pa.array(["a"]), pa.array([EVER]), pa.array([True]), pa.array([[1]])]
)
@pytest.mark.parametrize("nothing_first", [True, False])
def test_a_part_without_values(folder, some, nothing_first):
    """What is null throughout, as pandas writes a column of None, goes with any type."""
    parts = [pa.nulls(1), some] if nothing_first else [some, pa.nulls(1)]
    found = values_of(folder, *parts)
    assert sorted(found, key=lambda value: value is None) == [some[0].as_py(), None]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([Decimal("1.25")], pa.decimal128(5, 2)), pa.array([2**62])),
        (pa.array([Decimal("1.25")], pa.decimal128(5, 2)), pa.array([255], pa.uint8())),
        (pa.array([Decimal("1.25")], pa.decimal128(38, 30)), pa.array([-(2**63)])),
        (pa.array([Decimal("1.25")], pa.decimal128(5, 2)), pa.array([2**64 - 1], pa.uint64())),
        (pa.array([5], pa.int32()), pa.array([2**62])),
        (pa.array([5]), pa.array([0.5])),
    ],
)
def test_numbers_of_differing_types(folder, one, other):
    """Decimals, integers and floats beside each other keep their values."""
    assert values_of(folder, one, other) == [one[0].as_py(), other[0].as_py()]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
             pa.binary_view(), pa.binary(4)]
)  # fmt: skip
@pytest.mark.parametrize("dictionary", [True, False])
def test_text_of_every_kind(folder, kind, dictionary):
    """Text, and bytes that are UTF-8 as Hive and Impala write them, are text."""
    found = values_of(folder, pa.array([b"gold", None], kind), use_dictionary=dictionary)
    assert found == ["gold", None]


def test_text_beside_bytes(folder):
    """Parts of which one has text and another bytes are text together."""
    assert values_of(folder, pa.array(["gold"]), pa.array([b"silver"])) == ["gold", "silver"]


def test_bytes_that_are_no_text_are_nobody_elses_trouble(folder):
    """Nobody is given a part of them as text, and the text beside them stays text."""
    bytes_ = pa.array([b"\xff", b"silver", b""])
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        found = values_of(folder, pa.array(["gold"]), bytes_.cast(kind))
        assert found == ["gold", None, "silver", ""], kind


@pytest.mark.parametrize(
    ("one", "other"),
    [(pa.array([1]), pa.array(["a"])), (pa.array([True]), pa.array([1])),
     (pa.array([EVER.date()]), pa.array([EVER])), (pa.array([0.5]), pa.array([2**53 + 1]))],
)  # fmt: skip
def test_values_that_do_not_go_together(folder, one, other):
    """What no one type holds is refused with both types and files, and nothing is lost."""
    with pytest.raises(DataError) as error:
        values_of(folder, one, other)
    assert "column 'value'" in str(error.value)
    assert "expected one type" in str(error.value)


def test_a_table_without_rows_may_have_no_types(folder):
    """What a writer of nothing knows no type of is a column of text, an id too."""
    folder.write(f"{KEY}/contacts.parquet", pa.table({"contact_id": ["a"]}))
    nothing = pa.table({name: pa.nulls(0) for name in ("contact_id", "scope", "opted_in")})
    folder.write(f"{KEY}/subscriptions.parquet", nothing)
    assert len(folder.tables().rows("subscriptions")) == 0
    assert check_snapshot(folder.tables()) == []
