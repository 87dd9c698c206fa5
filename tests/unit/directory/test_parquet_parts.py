"""Parquet files: their types, ids and names."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from .conftest import KEY, contacts_of, fails, ids


class TestParquet:
    def test_more_digits_than_any_decimal_has(self, folder):
        """Whole numbers beside a decimal that has no room for them are told like other types."""
        wide = pa.array([Decimal(1)], pa.decimal256(76, 60))
        folder.write(f"{KEY}/contacts/a.parquet", pa.table({"contact_id": ["a"], "v": wide}))
        folder.write(f"{KEY}/contacts/b.parquet", pa.table({"contact_id": ["b"], "v": [3]}))
        fails(folder.tables().contacts, "column 'v' is int64", "expected one type")

    def test_dtypes(self, folder):
        """Types are kept, dictionaries decoded, text is large_string, NaN is missing."""
        noon = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
        table = pa.table(
            {
                "contact_id": pa.array(["a", "b"]),
                "tier": pa.array(["gold", None]).dictionary_encode(),
                "score": pa.array([1.5, float("nan")]),
                "count": pa.array([2**60, None], pa.int64()),
                "price": pa.array([Decimal("0.10"), None], pa.decimal128(10, 2)),
                "vip": pa.array([True, None]),
                "born": pa.array([dt.date(1990, 1, 2), None]),
                "created_at": pa.array([noon, None], pa.timestamp("us", "UTC")),
                "nothing": pa.nulls(2),
                "uid": pa.array([uuid.UUID(int=1).bytes, None], pa.uuid()),
                "tags": pa.array([["x"], None]),
            }
        )
        frame = contacts_of(folder, table, "parquet").contacts()
        assert {name: str(kind.pyarrow_dtype) for name, kind in frame.dtypes.items()} == {
            "contact_id": "large_string",
            "tier": "large_string",
            "score": "double",
            "count": "int64",
            "price": "decimal128(10, 2)",
            "vip": "bool",
            "born": "date32[day]",
            "created_at": "timestamp[us, tz=UTC]",
            "nothing": "large_string",
            "uid": "large_string",
            "tags": "list<element: string>",
        }
        assert frame.iloc[1].drop("contact_id").isna().all()
        assert frame["count"][0] == 2**60
        assert frame["price"][0] == Decimal("0.10")
        assert frame["uid"][0] == str(uuid.UUID(int=1))

    @pytest.mark.parametrize("kind", [pa.int64(), pa.uint8(), pa.decimal128(20, 0), None])
    def test_whole_numbers_as_ids(self, folder, kind):
        """Ids of an integer type become their decimal text, and sort as text."""
        numbers = pa.array([10, 9, 101], pa.int64())
        table = pa.table(
            {"contact_id": numbers.cast(kind) if kind else numbers.dictionary_encode()}
        )
        tables = contacts_of(folder, table, "parquet")
        assert ids(tables.contacts()) == ["10", "101", "9"]
        assert ids(tables.contacts(only=["101", "x"])) == ["101"]

    @pytest.mark.parametrize(
        "values", [[1.0, 2.0], [Decimal("1.5")], [b"a", b"\xff"], [dt.date(2026, 1, 1)], [True]]
    )
    def test_other_types_as_ids(self, folder, values):
        """Ids of floating point, or anything that is not text or whole numbers, are an error."""
        tables = contacts_of(folder, pa.table({"contact_id": values}), "parquet")
        fails(tables.contacts, "contacts.parquet: contact ids are ", "allowed: text, or whole")
        fails(lambda: tables.contacts(only=["1"]), "contacts.parquet: contact ids are ")

    def test_empty_text_stays(self, folder):
        """An empty text of a Parquet column is left as it is; conditions treat it as missing."""
        frame = contacts_of(
            folder, pa.table({"contact_id": ["a"], "x": [""]}), "parquet"
        ).contacts()
        assert frame["x"].tolist() == [""]

    def test_pandas_index(self, folder):
        """The index that pandas keeps in a file is neither a column nor the frame's index."""
        sink = io.BytesIO()
        frame = pd.DataFrame({"contact_id": ["b", "a"]}, index=[5, 3])
        frame.to_parquet(sink)
        tables = contacts_of(folder, sink.getvalue(), "parquet")
        assert tables.columns("contacts") == ["contact_id"]
        assert tables.contacts().index.equals(pd.RangeIndex(2))

    def test_dots_in_names(self, folder):
        """A column whose name has a dot is not confused with a field of a struct."""
        table = pa.table({"contact_id": ["a"], "a.b": [1], "a": [{"b": 2}]})
        frame = contacts_of(folder, table, "parquet").contacts(["a.b"])
        assert frame["a.b"].tolist() == [1]

    @pytest.mark.parametrize("content", [b"", b"PAR1 this is not Parquet PAR1"])
    def test_unreadable(self, folder, content):
        """A file that is no Parquet is an error that names it."""
        fails(contacts_of(folder, content, "parquet").contacts, "contacts.parquet: cannot be read")

    def test_file_gone(self, folder):
        """A file that disappears between listing and reading is an error."""
        tables = contacts_of(folder, pa.table({"contact_id": ["a"]}), "parquet")
        assert tables.has("contacts")
        (folder.root / KEY / "contacts.parquet").unlink()
        fails(tables.contacts, "contacts.parquet: the file is gone")
