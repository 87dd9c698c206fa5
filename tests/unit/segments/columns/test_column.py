"""How values are read: as numbers, text, booleans and instants (docs/conditions.md, "Fields")."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from segue.durations import localize
from segue.errors import DataError
from segue.segments.columns.column_source import column_of
from segue.segments.columns.exact_sums import group_sums, rounded_sum
from segue.segments.columns.ordered import Doubles, ExactNumbers, ScaledIntegers
from segue.segments.conditions.registry import Moment, find_operator, operator_names

LONDON = ZoneInfo("Europe/London")
HOSTILE = [
    "5",
    None,
    "",
    "x",
    7,
    2.5,
    True,
    float("nan"),
    pd.NaT,
    Decimal("1.50"),
    date(2026, 1, 2),
]


def column(values, dtype=None, zone=LONDON):
    return column_of(pd.Series(values, dtype=dtype), zone)


def read(column, view):
    values = getattr(column, view)
    return [values.value(row) for row in range(column.size)]


def instants(values, dtype=None, zone=LONDON):
    found = read(column(values, dtype, zone), "instants")
    return [None if time is None else time.isoformat() for time in found]


# Missing


def test_null_nan_nat_and_empty_text_are_missing():
    assert column(["a", None, ""]).missing.tolist() == [False, True, True]
    assert column([1.5, None, np.nan]).missing.tolist() == [False, True, True]
    assert column(pd.to_datetime(["2026-01-01", None])).missing.tolist() == [False, True]
    assert column([True, None], "boolean").missing.tolist() == [False, True]
    mixed = column(HOSTILE, object).missing
    assert np.flatnonzero(mixed).tolist() == [1, 2, 7, 8]


def test_blanks_are_text_and_not_missing():
    assert column([" "]).missing.tolist() == [False]


# Numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("5", 5), (" 5\t", 5), ("+5", 5), ("-5.50", "-5.5"), (".5", "0.5"), ("5.", 5)],
        *[("007", 7), ("1e3", 1000), ("1.5E-2", "0.015"), ("-0", 0)],
        *[("9007199254740993", 9007199254740993), ("12345678901234567890.5",) * 2],
        *[(text, None) for text in ("inf", "nan", "1_000", "0x1F", "12,5", "5 5", "", "e5", ".")],
        *[(text, None) for text in ("٣", "5\u00a0", "--5", "5e", "½")],
    ],
)
def test_text_is_a_number_only_in_the_plain_grammar(text, number):
    alone = read(column([text]), "numbers")[0]
    beside_others = read(column([text, "1", "x", None]), "numbers")[0]
    one_by_one = read(column([text, 1], object), "numbers")[0]
    expected = None if number is None else Decimal(number)
    assert alone == beside_others == one_by_one == expected


def test_text_with_an_exponent_beyond_doubles_is_still_larger_than_any_number():
    numbers = column(["1e999", "-1e99999999999999999999", "1e-999999"]).numbers
    assert numbers.above(10**300).tolist() == [True, False, False]
    assert numbers.below(-(10**300)).tolist() == [False, True, False]
    assert numbers.equal(0).tolist() == [False, False, True]


def test_booleans_and_dates_are_missing_as_numbers():
    assert read(column([True, False]), "numbers") == [None, None]
    assert read(column(pd.to_datetime(["2026-01-01"])), "numbers") == [None]
    assert read(column(HOSTILE, object), "numbers") == [
        *[5, None, None, None, 7, 2.5, None, None, None, Decimal("1.5"), None]
    ]


def test_integers_compare_exactly_beyond_the_doubles():
    big = 2**53
    numbers = column([big, big + 1]).numbers
    assert numbers.equal(big + 1).tolist() == [False, True]
    assert numbers.above(big).tolist() == [False, True]
    assert numbers.below(float(big) + 2).tolist() == [True, True]
    assert numbers.at_least(10**30).tolist() == [False, False]
    assert numbers.at_most(10**30).tolist() == [True, True]


def test_doubles_compare_exactly_with_integers_they_cannot_hold():
    numbers = column([2.0**53, 2.0**53 + 2]).numbers
    assert isinstance(numbers, Doubles)
    assert numbers.equal(2**53 + 1).tolist() == [False, False]
    assert numbers.below(2**53 + 1).tolist() == [True, False]
    assert numbers.at_least(2**53 + 1).tolist() == [False, True]
    assert numbers.below(10**400).tolist() == [True, True]


def test_unsigned_integers_keep_their_range():
    numbers = column([2**64 - 1, 0], "uint64").numbers
    assert numbers.equal(2**64 - 1).tolist() == [True, False]
    assert numbers.at_least(-1).tolist() == [True, True]


def test_a_decimal_equals_the_operand_as_it_was_written():
    decimals = column_of(pa.array([Decimal("19.99"), None], pa.decimal128(10, 2)), LONDON)
    assert isinstance(decimals.numbers, ScaledIntegers)
    assert decimals.numbers.equal(19.99).tolist() == [True, False]
    assert decimals.numbers.at_most(19.98).tolist() == [False, False]
    assert column(["19.99"]).numbers.equal(19.99).tolist() == [True]
    assert column([19.99]).numbers.equal(19.99).tolist() == [True]


def test_decimals_that_exceed_64_bits_stay_exact():
    wide = column_of(pa.array([Decimal(f"{10**30}.01")], pa.decimal128(38, 2)), LONDON)
    assert isinstance(wide.numbers, ExactNumbers)
    assert wide.numbers.above(10**30).tolist() == [True]


# Text


def test_numbers_are_shown_as_text_without_a_trailing_zero_however_they_are_stored():
    texts = ["5", "-0.5", "19.9", "100"]
    decimals = [Decimal("5.00"), Decimal("-0.50"), Decimal("19.90"), Decimal("100.00")]
    stored = pa.array(decimals, pa.decimal128(10, 2))
    assert column([5.0, -0.5, 19.9, 100.0]).texts.arrow.to_pylist() == texts
    assert column_of(stored, LONDON).texts.arrow.to_pylist() == texts
    assert column(decimals, object).texts.arrow.to_pylist() == texts
    assert column([5, 7]).texts.arrow.to_pylist() == ["5", "7"]
    assert column([1e20, 1e-7, np.nan]).texts.arrow.to_pylist() == ["1e+20", "1e-07", None]


def test_a_text_column_is_left_as_it_is():
    assert column(["5.0", " 5"]).texts.equal("5").tolist() == [False, False]


def test_booleans_are_shown_as_words():
    assert column([True, False, None], "boolean").texts.arrow.to_pylist() == [
        "true",
        "false",
        None,
    ]


def test_case_is_ignored_one_code_point_at_a_time():
    texts = column(["STRASSE", "straße", "ΟΔΟΣ", "İ"]).ignoring_case().texts
    assert texts.equal("Strasse").tolist() == [True, False, False, False]
    assert texts.equal("οδοσ").tolist() == [False, False, True, False]
    assert texts.one_of(["i", "STRASSE"]).tolist() == [True, False, False, True]
    assert texts.contains("TRAS").tolist() == [True, False, False, False]


def test_text_is_compared_by_code_points():
    composed, decomposed = "é", "e\u0301"
    assert column([composed, decomposed]).texts.equal(composed).tolist() == [True, False]


# Booleans


def test_booleans_understand_words_and_one_and_zero():
    words = column(["true", "YES", "1", "False", "no", "0", "on", "", None]).booleans
    assert words.true.tolist() == [True] * 3 + [False] * 6
    assert words.false.tolist() == [False] * 3 + [True] * 3 + [False] * 3
    assert column([1, 0, 2]).booleans.true.tolist() == [True, False, False]
    assert column([1.0, 0.0, None]).booleans.false.tolist() == [False, True, False]
    mixed = column([True, "no", 1, 0.0, None, "x"], object).booleans
    assert mixed.true.tolist() == [True, False, True, False, False, False]
    assert mixed.false.tolist() == [False, True, False, True, False, False]


@pytest.mark.parametrize("opaque", [[1], {"a": 1}, b"x", time(9), timedelta(1)])
@pytest.mark.parametrize("view", ["numbers", "texts", "booleans", "instants"])
def test_what_no_condition_reads_is_an_error_among_values_of_several_types_too(opaque, view):
    """Whether it is there can be asked; an empty list is not."""
    found = column(["a", 1, opaque, [], None], object)
    assert found.missing.tolist() == [False, False, False, True, True]
    with pytest.raises(DataError, match=f"of the type {type(opaque).__name__}, which a condition"):
        getattr(found, view)


# Instants


def test_a_naive_time_is_in_the_zone_and_a_date_is_its_midnight():
    assert instants(["2026-07-01", "2026-07-01T10:00", "2026-01-01T10:00"]) == [
        "2026-06-30T23:00:00+00:00",
        "2026-07-01T09:00:00+00:00",
        "2026-01-01T10:00:00+00:00",
    ]


def test_a_time_that_does_not_exist_moves_forward_and_of_two_the_first_is_meant():
    texts = ["2026-03-29T01:30:00", "2026-10-25T01:30:00"]
    expected = ["2026-03-29T01:30:00+00:00", "2026-10-25T00:30:00+00:00"]
    assert instants(texts) == expected
    assert instants(pd.to_datetime(texts)) == expected
    assert instants([*texts, 5], object)[:2] == expected


def test_offsets_fractions_and_what_is_no_instant():
    texts = ["2026-11-22T06:00:00Z", "2026-11-22 06:00+05:30", "2026-11-22T06:00:00.5-0100"]
    assert instants(texts) == [
        "2026-11-22T06:00:00+00:00",
        "2026-11-22T00:30:00+00:00",
        "2026-11-22T07:00:00.500000+00:00",
    ]
    others = ["2026-02-30", "1795305600", "22.11.2026", "2026-11", "0000-01-01", "2026-11-22T25:00"]
    assert instants(others) == [None] * len(others)
    assert instants([1795305600]) == [None]


def test_typed_dates_and_times_of_every_unit():
    day = pa.array([date(2026, 7, 1), None], pa.date32())
    assert instants(pd.Series(day, dtype=pd.ArrowDtype(pa.date32()))) == [
        "2026-06-30T23:00:00+00:00",
        None,
    ]
    for unit in ("s", "ms", "us", "ns"):
        times = pa.array([datetime.fromisoformat("2026-07-01T10:00"), None], pa.timestamp(unit))
        assert read(column_of(times, LONDON), "instants") == [
            datetime(2026, 7, 1, 9, tzinfo=UTC),
            None,
        ]
        aware = pa.array([datetime(2026, 7, 1, 10, tzinfo=UTC)], pa.timestamp(unit, "UTC"))
        assert read(column_of(aware, LONDON), "instants") == [datetime(2026, 7, 1, 10, tzinfo=UTC)]


@pytest.mark.parametrize("zone", ["America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"])
def test_whole_columns_are_localized_as_single_times_are(zone):
    wall = pd.date_range("1890-01-01", "2070-01-01", periods=4001).floor("s").to_series()
    wall = pd.concat([wall, pd.date_range("2011-12-29", "2012-04-02", freq="15min").to_series()])
    expected = [localize(time.to_pydatetime(), ZoneInfo(zone)) for time in wall]
    assert read(column(wall.tolist(), None, ZoneInfo(zone)), "instants") == expected


def test_nanoseconds_count():
    late = column_of(pa.array([1], pa.timestamp("ns", "UTC")), LONDON).instants
    assert late.above(datetime(1970, 1, 1, tzinfo=UTC)).tolist() == [True]


def test_the_last_day_of_the_calendar_can_be_compared():
    far = column(["9999-12-31T23:59:59", "0001-01-01"], zone=ZoneInfo("Asia/Tokyo")).instants
    assert far.above(datetime(2026, 1, 1, tzinfo=UTC)).tolist() == [True, False]


# Storage


def test_the_same_values_read_the_same_from_any_storage():
    texts = ["a", "5", None, "2026-11-22"]
    plain = column(texts)
    for stored in (
        column(texts, object),
        column(texts, "category"),
        column(texts, pd.ArrowDtype(pa.string())),
        column_of(pa.array(texts).dictionary_encode(), LONDON),
        column_of(pa.chunked_array([texts[:1], texts[1:]], pa.string()), LONDON),
    ):
        assert stored.texts.arrow.to_pylist() == plain.texts.arrow.to_pylist()
        assert read(stored, "numbers") == read(plain, "numbers")
        assert read(stored, "instants") == read(plain, "instants")
        assert stored.missing.tolist() == plain.missing.tolist()


def test_a_slice_of_decimals_reads_its_own_rows():
    decimals = pa.array([Decimal(n) for n in range(5)], pa.decimal128(10, 2)).slice(2, 2)
    assert read(column_of(decimals, LONDON), "numbers") == [2, 3]


def test_an_empty_column_answers_everything():
    for dtype in ("str", "int64", "float64", "object", "datetime64[us]"):
        empty = column([], dtype)
        assert not len(empty.missing)
        assert not len(empty.numbers.below(5))
        assert not len(empty.texts.equal("x"))
        assert not len(empty.instants.below(datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("view", ["numbers", "texts", "booleans", "instants"])
def test_lists_are_set_and_refused_by_whoever_reads_them(view):
    lists = column_of(pa.array([[1], [], None]), LONDON, "contacts.tags")
    assert lists.missing.tolist() == [False, True, True]
    with pytest.raises(DataError, match=r"contacts\.tags holds lists"):
        getattr(lists, view)


# Sums


def test_sums_of_doubles_are_rounded_once_in_any_order():
    values = np.array([1e16, 1.0, -1e16, 0.1, 0.2, 0.3, 1e308, 1e308, -1e308])
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    for order in (np.arange(9), np.arange(9)[::-1]):
        assert group_sums(values[order], groups[order], 4).tolist() == [1.0, 0.6, 1e308, 0.0]


def test_long_groups_and_infinities_are_summed_too():
    long = np.full(1000, 0.1)
    assert group_sums(long, np.zeros(1000, dtype=np.int64), 1).tolist() == [rounded_sum(long)]
    infinite = group_sums(np.array([np.inf, 1.0, np.inf, -np.inf]), np.array([0, 0, 1, 1]), 2)
    assert infinite[0] == np.inf
    assert np.isnan(infinite[1])


def test_sums_of_integers_do_not_overflow():
    numbers = column([2**62, 2**62, 2**62, 5]).numbers
    sums = numbers.sums(np.array([0, 0, 0, 1]), 3)
    assert [sums.value(row) for row in range(3)] == [3 * 2**62, 5, 0]


def test_sums_of_mixed_numbers_are_exact_until_a_float_joins():
    numbers = column([Decimal("0.1"), 2, 0.5, 0.25], object).numbers
    sums = numbers.sums(np.array([0, 0, 1, 0]), 2)
    assert [sums.value(row) for row in range(2)] == [2.35, 0.5]
    exact = column([Decimal("0.1"), Decimal("0.2")], object).numbers.sums(np.array([0, 0]), 1)
    assert exact.value(0) == Decimal("0.3")


# Text that is not UTF-8

STORED = pa.array([b"gold\xff", b"gold", b"5\xff", b"5", b"2026-11-20", b"yes", b"\xff", b""] * 40)
WRONG = pc.match_substring(STORED, b"\xff")
UNREADABLE = pc.cast(STORED, options=pc.CastOptions(pa.large_string(), allow_invalid_utf8=True))
OPERANDS = ["gold", "o", "5", 5, [5, 6], ["gold"], True, "30d", "2026-11-20", "2026-11-21"]


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("ignore_case", [False, True])
@pytest.mark.parametrize("operator", operator_names())
def test_text_that_is_not_utf8_is_missing_to_every_operator(operator, ignore_case, encoded):
    """And so its complement is true; only ``is_set`` sees that something is there."""
    values = pa.DictionaryArray.from_arrays(list(range(8)) * 40, UNREADABLE[:8])
    stored = column_of(values if encoded else UNREADABLE, LONDON)
    missing = column_of(pc.if_else(WRONG, None, UNREADABLE), LONDON)
    registered = find_operator(operator)
    moment = Moment(datetime(2026, 11, 23, tzinfo=UTC), LONDON)
    tried = 0
    for data in OPERANDS:
        try:
            operand = registered.operator.takes.parse(data)
        except ValueError:
            continue
        tried += 1
        both = (each.ignoring_case() if ignore_case else each for each in (stored, missing))
        holds = partial(registered.holds, operand=operand, moment=moment)
        found, expected = (each.verdicts(holds) for each in both)
        if operator in ("is_empty", "is_set"):
            empty = [text == b"" for text in STORED.to_pylist()]
            assert found.tolist() == [each is (operator == "is_empty") for each in empty]
        else:
            assert found.tolist() == expected.tolist(), data
    assert tried
