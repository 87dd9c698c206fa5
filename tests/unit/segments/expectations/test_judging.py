"""Each expectation finds what is not so, whatever the values are, and tells no contact's text."""

from __future__ import annotations

import random
import time
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import find_snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.columns import id_keys
from segue.segments.expectations import repeats
from segue.segments.expectations.judging import find_unmet

KEY = "2026-11-22"
LATER = datetime.now(UTC) + timedelta(hours=1)
wall = datetime.fromisoformat  # of a time without a zone
SECRET = "Zoë Secret <zoe@example.com>"


class Days:
    """A directory's folder, into which a test writes tables."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, columns, table="contacts", key=KEY, *, group=1 << 20) -> None:
        """Write columns of Parquet, or a text of CSV; ids are made up where there are none."""
        folder = self.root / key
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(columns, str):
            (folder / f"{table}.csv").write_text(columns)
            return
        content = pa.table(columns)
        if "contact_id" not in content.column_names:
            ids = pa.array([f"c{row}" for row in range(content.num_rows)], pa.string())
            content = content.append_column("contact_id", ids)
        pq.write_table(content, folder / f"{table}.parquet", row_group_size=group)

    def tables(self, expect, key=KEY, **keys) -> SnapshotTables:
        directory = DirectoryDefinition.model_validate(
            {
                "directory": "people",
                "snapshots": str(self.root),
                "timezone": "Europe/London",
                "expect": expect,
                **keys,
            }
        )
        return SnapshotTables(directory, find_snapshot(directory, key, now=LATER))

    def unmet(self, expect, earlier=None, **keys) -> list[str]:
        before = self.tables(expect, earlier) if earlier else None
        return [str(each) for each in find_unmet(self.tables(expect, **keys), before)]

    def column(self, values, **expected) -> list[str]:
        """What is wrong with a column x of these values."""
        self.write({"x": values})
        return self.unmet({"contacts": {"columns": {"x": expected}}})


@pytest.fixture
def days(tmp_path):
    return Days(tmp_path / "snapshots")


def test_a_snapshot_as_it_is_expected_has_nothing_unmet(days):
    days.write({"email": ["a@x", "b@x", None], "tier": ["gold", "silver", "gold"]})
    days.write({"date": [datetime(2026, 11, 22, 20, tzinfo=UTC)] * 3}, "transactions")
    expect = {
        "contacts": {
            "columns": {
                "email": {"type": "text", "set_at_least": "60%", "matches": "@", "unique": True},
                "tier": {"allowed": ["gold", "silver"]},
                "contact_id": {},
            },
            "rows": {"at_least": 3, "at_most": 3},
        },
        "transactions": {"freshness": {"date": "36h"}, "unique": ["contact_id", "date"]},
    }
    assert days.unmet(expect) == []


def test_all_that_is_wrong_is_told_at_once(days):
    days.write({"email": ["a@x", SECRET, "nobody"], "age": [1, 2, 300]})
    expect = {
        "contacts": {
            "columns": {
                "email": {"matches": "^[a-z]+@x$"},
                "age": {"at_most": 100, "at_least": 2},
                "emial": {"set_at_least": "1%"},
            },
            "rows": {"at_least": 5},
        },
        "transactions": {"rows": {"at_least": 1}},
    }
    assert (
        days.unmet(expect)
        == """
contacts: expected rows at_least: 5, found 3
contacts.emial: expected the column, found none: there is no column 'emial'; did you mean 'email'?
contacts.email: expected matches: '^[a-z]+@x$', found 2 of 3 values that do not; contacts 'c1', 'c2'
contacts.age: expected at_least: 2, found 1 of 3 values that are less, or no numbers; contacts 'c0'
contacts.age: expected at_most: 100, found 1 of 3 values that are more, or no numbers; contacts 'c2'
transactions: expected a table of this name, found none
""".strip().splitlines()
    )


def test_no_more_than_ten_contacts_are_told_of_in_the_order_of_the_rows(days):
    days.write({"x": ["bad"] * 25}, group=4)
    [line] = days.unmet({"contacts": {"columns": {"x": {"matches": "good"}}}})
    assert line.endswith("contacts " + ", ".join(f"'c{row}'" for row in range(10)))
    assert "25 of 25 values" in line


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1, 2]), "number"),
        (pa.array([1.5, float("nan")]), "number"),
        (pa.array([Decimal("1.50"), None]), "number"),
        (pa.array(["1", " 2.5 ", "", None]), "number"),
        (pa.array([True, None]), "boolean"),
        (pa.array(["yes", "F"]), "boolean"),
        (pa.array([date(2026, 1, 1)]), "date"),
        (pa.array([wall("2026-01-01")], pa.timestamp("ns")), "date"),
        (pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "Asia/Tokyo")), "date"),
        (pa.array(["2026-01-01", "2026-01-01T00:00:00+13:45"]), "date"),
        (pa.array(["a\0b", "x" * 10_000, "Zoë"]), "text"),
        (pa.array([b"bytes"]), "text"),
        (pa.array(["a", "a"]).dictionary_encode(), "text"),
        *((pa.array([None, None], pa.null()), kind) for kind in ("text", "number", "date")),
        *((pa.array([None], pa.string()), kind) for kind in ("number", "boolean", "date")),
    ],
)
def test_values_are_of_a_type_as_conditions_read_them(days, values, kind):
    assert days.column(values, type=kind) == []


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        (pa.array([1]), "text", "values of the kind number"),
        (pa.array([True]), "number", "values of the kind boolean"),
        (pa.array([date(2026, 1, 1)]), "number", "values of the kind date"),
        (pa.array([[1]]), "text", "values of the kind list"),
        (pa.array([{"a": 1}]), "text", "values of the kind struct"),
        (pa.array(["1", "one"]), "number", "1 of 2 values that are no numbers; contacts 'c1'"),
        (pa.array(["22/11/2026"]), "date", "1 of 1 values that are no dates; contacts 'c0'"),
        (pa.array(["maybe", "no"]), "boolean", "1 of 2 values that are no booleans; contacts 'c0'"),
        (pa.array([b"\xff\xfe", b"a"]), "text", "1 of 2 values that are not UTF-8; contacts 'c0'"),
        (pa.array(["1", "one"]).dictionary_encode(), "number", "1 of 2 values that are no numbers"),
    ],
)
def test_another_type_is_told(days, values, kind, found):
    [line] = days.column(values, type=kind)
    assert line.startswith(f"contacts.x: expected type: {kind}, found {found}")


@pytest.mark.parametrize(
    "missing", [None, "", pytest.param(b"", id="no bytes"), pytest.param(float("nan"), id="NaN")]
)
def test_what_is_missing_is_not_set_and_fails_nothing_else(days, missing):
    one = {bytes: b"9", float: 9.0}.get(type(missing), "9")
    values = pa.array([one, missing, missing, one])
    assert days.column(values, set_at_least="50%", matches="9", allowed=["9", 9], at_least=9) == []
    [line] = days.column(values, set_at_least="51%")
    assert line == (
        "contacts.x: expected set_at_least: 51%, found 2 of 4 rows with a value (50.0%)"
    )


def test_a_column_without_a_value_is_told(days):
    [line] = days.column(pa.array([None, None], pa.null()), set_at_least="1%")
    assert "0 of 2 rows with a value (0.0%)" in line


def test_a_table_without_rows_lacks_rows_and_nothing_of_each(days):
    days.write({"x": ["a"]})
    days.write(
        {"date": pa.array([], pa.timestamp("us")), "x": pa.array([], pa.string())}, "transactions"
    )
    column = {
        "type": "number",
        "set_at_least": "90%",
        "matches": "@",
        "unique": True,
        "allowed": [1],
    }
    expected = {"rows": {"at_least": 1}, "columns": {"x": column}, "freshness": {"date": "36h"}}
    assert days.unmet({"transactions": {**expected, "unique": ["x", "date"]}}) == [
        "transactions: expected rows at_least: 1, found 0",
        "transactions.date: expected freshness: 36h, found no date before the snapshot's as-of",
    ]


def test_a_csv_without_rows_is_read_too(days):
    days.write("contact_id,x\n", "transactions")
    days.write({"x": ["a"]})
    column = {"type": "number", "set_at_least": "90%", "matches": "@", "unique": True}
    assert days.unmet({"transactions": {"columns": {"x": column}}}) == []


@pytest.mark.parametrize("bound", [0.1, 19.99])
def test_a_bound_means_the_decimal_that_is_written(days, bound):
    exact = pa.array([Decimal(str(bound))])
    for values in (exact, pa.array([bound]), pa.array([str(bound)])):
        assert days.column(values, at_least=bound, at_most=bound) == []


def test_large_integers_are_not_rounded(days):
    assert days.column(pa.array([2**53 + 1]), at_most=2**53) != []
    assert days.column(pa.array([2**53]), at_most=2**53) == []


def test_allowed_values_are_compared_by_their_own_type(days):
    assert days.column(pa.array(["1", "gold"]), allowed=[1, "gold"]) == []
    assert days.column(pa.array(["1.0"]), allowed=["1"]) != []
    assert days.column(pa.array([True, False]), allowed=[True]) != []
    [line] = days.column(pa.array([SECRET]), allowed=list(map(str, range(50))))
    assert "allowed: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]" in line
    assert SECRET not in line


def test_a_pattern_takes_linear_time_whatever_the_text(days):
    """A backtracking engine needs 2**10000 steps for this one."""
    values = pa.array(["a" * 10_000 + "!"] * 200)
    begin = time.monotonic()
    [line] = days.column(values, matches="^(a+)+$")
    assert time.monotonic() - begin < 10
    assert "200 of 200" in line
    assert "aaa" not in line.replace("(a+)+", "")


def test_nul_characters_and_line_breaks_are_text_like_any_other(days):
    assert days.column(pa.array(["a\0b"]), matches=r"^a\x00b$") == []
    assert days.column(pa.array(["a\nb"]), matches="^a.b$") != []
    assert days.column(pa.array(["a\nb"]), matches="(?s)^a.b$") == []


def test_no_text_of_a_contact_is_told(days):
    values = pa.array([SECRET, SECRET, "x"])
    days.write({"x": values, "n": values})
    everything = {"type": "date", "matches": "^[0-9]$", "allowed": [1], "unique": True}
    columns = {"x": everything, "n": {"type": "number", "at_least": 1}}
    lines = days.unmet({"contacts": {"columns": columns, "unique": ["x", "n"]}})
    assert len(lines) == 7
    assert not any(part in "".join(lines) for part in ("Zoë", "zoe", "Secret"))


# Rows


@pytest.mark.parametrize(
    ("now", "limit", "found"),
    [
        (12, "20%", None),
        (8, "20%", None),
        (13, "20%", "+30.0%"),
        (7, "20%", "-30.0%"),
        (0, "99%", "-100.0%"),
    ],
)
def test_a_change_of_rows_is_measured_by_the_snapshot_before(days, now, limit, found):
    for key, size in (("2026-11-21", 10), (KEY, now)):
        days.write({"x": ["a"]}, key=key)
        days.write({"x": pa.array(["a"] * size, pa.string())}, "transactions", key)
    lines = days.unmet({"transactions": {"rows": {"change_at_most": limit}}}, "2026-11-21")
    expected = f"transactions: expected rows change_at_most: {limit}, found {now} after 10"
    assert lines == ([] if found is None else [f"{expected} ({found})"])


def test_without_a_snapshot_before_nothing_has_changed(days):
    days.write({"x": ["a"]})
    days.write({"x": ["a"]}, key="2026-11-21")
    days.write({"x": ["a"]}, "transactions")
    expect = {"transactions": {"rows": {"change_at_most": "1%"}}}
    assert days.unmet(expect) == []
    assert days.unmet(expect, "2026-11-21") == []  # the table is new


def test_rows_after_none_are_a_change_beyond_any_share(days):
    days.write({"x": ["a"]})
    days.write({"x": ["a"]}, key="2026-11-21")
    days.write({"x": ["a"]}, "transactions")
    days.write({"x": pa.array([], pa.string())}, "transactions", "2026-11-21")
    [line] = days.unmet({"transactions": {"rows": {"change_at_most": "100%"}}}, "2026-11-21")
    assert line.endswith("found 1 after 0")


# Repeats


@pytest.mark.parametrize("group", [2, 1000])
def test_a_value_that_occurs_twice_is_told_with_whose_it_is(days, group):
    days.write({"x": ["a", "b", None, "", "a", None, "c", "b", "a"]}, group=group)
    [line] = days.unmet({"contacts": {"columns": {"x": {"unique": True}}}})
    assert line == (
        "contacts.x: expected unique, found 5 rows that share their values with another; "
        "contacts 'c0', 'c1', 'c4', 'c7', 'c8'"
    )


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["x" * 10_000, "x" * 9_999 + "y", "x" * 10_000]),
        pa.array(["a\0", "a", "a\0"]),
        pa.array([b"\xff", b"\xfe", b"\xff"]),
        pa.array([1.5, 2.5, 1.5]),
        pa.array([Decimal("1.50"), Decimal("1.51"), Decimal("1.50")]),
        pa.array([wall("2026-01-01"), wall("2026-01-02"), wall("2026-01-01")]),
        pa.array([-(2**63), 0, -(2**63)], pa.int64()).cast(pa.timestamp("us")),
        pa.array([date(1, 1, 1), date(9999, 12, 31), date(1, 1, 1)]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
    ],
)
def test_values_of_every_kind_can_repeat(days, values):
    [line] = days.column(values, unique=True)
    assert line.endswith("2 rows that share their values with another; contacts 'c0', 'c2'")
    assert days.column(values[:2], unique=True) == []


def test_several_columns_are_unique_together(days):
    """Neither alone, nor their texts side by side: ab and c are not a and bc."""
    days.write({"x": ["ab", "a", "ab", "ab"], "n": ["c", "bc", None, "d"]})
    assert days.unmet({"contacts": {"unique": ["x", "n"]}}) == []
    days.write({"x": ["ab", "a", "ab", "ab"], "n": ["c", "bc", None, "c"]})
    [line] = days.unmet({"contacts": {"unique": ["x", "n"]}})
    assert line.startswith("contacts.x, n: expected unique, found 2 rows")


def test_different_values_of_one_key_are_different(days, monkeypatch):
    """Somebody may make ids whose keys are alike; the values themselves are compared."""
    monkeypatch.setattr(repeats, "id_keys", lambda texts: np.zeros(len(texts), np.uint64))
    assert days.column(pa.array(["a", "b", "c"]), unique=True) == []
    assert days.column(pa.array(["a", "b", "a"]), unique=True) != []
    assert id_keys.id_keys is not repeats.id_keys


def test_a_constant_column_of_many_rows_is_found_in_bounded_memory(days):
    days.write({"x": ["y" * 100] * 300_000}, group=10_000)
    tracemalloc.start()
    [line] = days.unmet({"contacts": {"columns": {"x": {"unique": True}}}})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "300000 rows" in line
    assert peak < 30e6


def test_lists_cannot_be_compared(days):
    [line] = days.column(pa.array([[1], [1]]), unique=True)
    assert line == "contacts.x: expected unique, found values of the kind list"
    [line] = days.column(pa.array([[1], [1]]), matches="1")
    assert line == "contacts.x: expected matches, found values of the kind list"
    assert days.column(pa.array([[1], [1]]), set_at_least="100%") == []


# Freshness: the as-of of 2026-11-22 is the midnight after it in London


@pytest.mark.parametrize(
    ("values", "age", "found"),
    [
        ([datetime(2026, 11, 21, 12, tzinfo=UTC)], "36h", None),
        ([datetime(2026, 11, 21, 11, 59, tzinfo=UTC)], "36h", "2026-11-21T11:59:00Z"),
        ([wall("2026-11-22"), None], "24h", None),  # without a zone: London's
        ([date(2026, 11, 22), date(2020, 1, 1)], "1d", None),
        ([date(2026, 11, 21)], "36h", "2026-11-21T00:00:00Z"),
        (["2026-11-22T09:00:00+09:00", "nonsense"], "1d", None),
        (["2026-11-22T08:59:00+09:00"], "1d", "2026-11-21T23:59:00Z"),
        ([wall("2026-11-01"), wall("2062-01-01")], "36h", "2026-11-01T00:00:00Z"),
        ([wall("2062-01-01")], "36h", "no date before the snapshot's as-of"),
        ([None], "36h", "no date before the snapshot's as-of"),
        ([1, 2], "36h", "values of the kind number"),
    ],
)
def test_the_newest_date_is_of_the_last_hours(days, values, age, found):
    days.write({"date": values})
    lines = days.unmet({"contacts": {"freshness": {"date": age}}})
    if found is None:
        assert lines == []
    else:
        [line] = lines
        assert line.startswith(f"contacts.date: expected freshness: {age}, found {found}")


def test_summer_time_counts_in_the_directory_s_zone(days):
    """The day that begins on 2026-03-29 in London has 23 hours."""
    days.write({"date": [wall("2026-03-29")]}, key="2026-03-29")
    tables = days.tables({"contacts": {"freshness": {"date": "1d"}}}, "2026-03-29")
    assert find_unmet(tables, None) == []
    days.write({"date": [wall("2026-03-28T23:59")]}, key="2026-03-29")
    assert find_unmet(tables, None) != []


# Names, files


def test_columns_go_by_the_directory_s_names_for_them(days):
    days.write({"CustomerID": ["a"], "Mail": ["x"]} | {"contact_id": ["b"]})
    columns = {"contacts": {"email": "Mail"}}
    expect = {"contacts": {"columns": {"email": {"matches": "@"}}}}
    [line] = days.unmet(expect, columns=columns)
    assert line.startswith("contacts.email: expected matches: '@'")


def test_only_the_columns_that_are_asked_about_are_read(days, monkeypatch):
    from segue.directory.parquet_parts import ParquetSlice

    days.write({"x": ["a"], "y": ["b"], "z": ["c"]})
    columns = []
    read = ParquetSlice.read

    def noted(self, names, id_column=None):
        columns.extend(names)
        return read(self, names, id_column)

    monkeypatch.setattr(ParquetSlice, "read", noted)
    assert days.unmet({"contacts": {"columns": {"x": {"matches": "a"}, "z": {}}}}) == []
    assert columns == ["x"]


def test_a_table_that_cannot_be_read_is_an_error(days):
    days.write({"x": ["a"]})
    path = days.root / KEY / "contacts.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        days.unmet({"contacts": {"columns": {"x": {"matches": "a"}}}})


def test_rows_of_hostile_text_agree_with_python(days):
    """Every expectation, against the plain meaning of it, over values of every kind of mess."""
    draw = random.Random(1)
    pool = [
        None,
        "",
        "\0",
        "a@x",
        "A@X",
        "é@x",
        " 12 ",
        "1e3",
        "007",
        "x" * 50,
        "true",
        "2026-11-22",
    ]
    values = [draw.choice(pool) for _ in range(20_000)]
    days.write({"x": pa.array(values, pa.string())}, group=999)
    expected = {"matches": "@", "allowed": ["a@x", 12], "set_at_least": "99%"}
    lines = days.unmet({"contacts": {"columns": {"x": expected}}})
    present = [value for value in values if value]
    no_match = sum("@" not in value for value in present)
    others = sum(value not in ("a@x", " 12 ") for value in present)
    assert [line.split("found ")[1].split(" ")[0] for line in lines] == [
        str(len(present)), str(no_match), str(others)
    ]  # fmt: skip
