"""Each value of a driver is in the column as it was, or as text that says the same."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest

from segue.takes.values import column, texts

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
LOCAL = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - it has no zone


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None], pa.int64(), [1, None]),
        ([2**63, 1], pa.decimal128(19, 0), [Decimal(2**63), Decimal(1)]),
        ([10**80, 1], pa.string(), ["1" + "0" * 80, "1"]),
        ([Decimal("1.10"), 3], pa.decimal128(3, 2), [Decimal("1.10"), Decimal("3.00")]),
        ([Decimal("NaN"), Decimal(1)], pa.decimal128(1, 0), [None, Decimal(1)]),
        ([Decimal("-NaN"), Decimal("0.5")], pa.decimal128(1, 1), [None, Decimal("0.5")]),
        ([Decimal("Infinity"), Decimal(1)], pa.string(), ["Infinity", "1"]),
        (
            [Decimal("1E+5"), Decimal("-1.25")],
            pa.decimal128(8, 2),
            [Decimal(100000), Decimal("-1.25")],
        ),
        ([Decimal("1E-7"), 1], pa.decimal128(8, 7), [Decimal("1E-7"), Decimal(1)]),
        (
            [time(1, 2), None, time(1, tzinfo=UTC)],
            pa.string(),
            ["01:02:00", None, "01:00:00+00:00"],
        ),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([2**60 + 1, 2.5], pa.string(), [str(2**60 + 1), "2.5"]),
        ([None, None], pa.null(), [None, None]),
        ([], pa.null(), []),
        (["", "007", "a\x00b"], pa.string(), ["", "007", "a\x00b"]),
        (["007", 7], pa.string(), ["007", "7"]),
        ([True, None], pa.bool_(), [True, None]),
        ([True, 1], pa.string(), ["true", "1"]),
        ([b"\xff", memoryview(b"x")], pa.binary(), [b"\xff", b"x"]),
        ([NOON], pa.timestamp("us", "UTC"), [NOON.astimezone(UTC)]),
        ([LOCAL], pa.timestamp("us"), [LOCAL]),
        ([LOCAL, NOON], pa.string(), ["2026-01-01T12:00:00", "2026-01-01T12:00:00+02:00"]),
        ([date(2026, 1, 1)], pa.date32(), [date(2026, 1, 1)]),
        ([date(2026, 1, 1), LOCAL], pa.string(), ["2026-01-01", "2026-01-01T12:00:00"]),
        ([time(1, 2)], pa.time64("us"), [time(1, 2)]),
        ([time(1, 2, tzinfo=UTC)], pa.string(), ["01:02:00+00:00"]),
        ([timedelta(days=1)], pa.duration("us"), [timedelta(days=1)]),
        ([{"a": "ü"}, [1, None]], pa.string(), ['{"a": "ü"}', "[1, null]"]),
        ([uuid.UUID(int=7)], pa.string(), ["00000000-0000-0000-0000-000000000007"]),
    ],
)
def test_a_column_has_the_type_of_its_values(values, kind, expected):
    array = column(values)
    assert array.type == kind
    assert array.to_pylist() == expected


def test_as_text_everything_says_the_same():
    assert texts([1, 2.5, True, None, "x", date(2026, 1, 1)]).to_pylist() == [
        "1",
        "2.5",
        "true",
        None,
        "x",
        "2026-01-01",
    ]


def test_text_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="can't decode"):
        column(["x", b"\xff"])
