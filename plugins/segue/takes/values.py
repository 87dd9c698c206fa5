"""Rows as a database's driver gives them, turned into Arrow columns: every value as it is, or text.

    whole numbers                    int64; where one is beyond it, decimals
    decimals                         as many digits as the rows need; NaN is missing
    floating point, booleans, text   the same; bytes stay bytes
    times with a zone                instants in UTC, to the microsecond
    times without one, dates, times of day, durations    the same
    times of day with a zone         text
    all others, and columns of several kinds             text

As text an array or a JSON value is JSON, a time is ISO 8601, yes and no are ``true`` and ``false``,
and whatever else there is (UUIDs, addresses, ranges) is as Python writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from operator import attrgetter
from typing import Any

import pyarrow as pa

from segue.directory.plain_columns import pc

Values = Sequence[Any]
Array = Any  # pyarrow's arrays: its stubs make each a class of its own

_INSTANT = pa.timestamp("us", tz="UTC")
_LONGEST = 76  # digits of a decimal
_EXACT = 2**53  # whole numbers up to it are the same as floating point
_PLAIN = frozenset({str, bool, int, float, date, timedelta})
_MISSING = frozenset({type(None)})


def column(values: Values) -> Array:
    """Return the values of one column as an array of the one type that holds them all."""
    kinds = frozenset(map(type, values)) - _MISSING
    for is_fit, make in _WAYS:
        if is_fit(kinds):
            try:
                return make(values)
            except (pa.ArrowException, OverflowError, ValueError, TypeError):
                continue
    return texts(values)


def texts(values: Values) -> Array:
    """Return the values as text; ValueError where one is no valid Unicode."""
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def decimals(texts: Array) -> Array:
    """Return decimals of as many digits as they need; text where one is no number, as infinity."""
    texts = pc.if_else(pc.equal(pc.utf8_lower(texts), "nan"), None, texts)
    length = pc.utf8_length(pc.utf8_ltrim(texts, "-"))
    point = pc.find_substring(texts, ".")
    fraction = pc.if_else(pc.equal(point, -1), 0, pc.subtract(pc.utf8_length(texts), point))
    scale = max((pc.max(fraction).as_py() or 0) - 1, 0)
    whole = pc.max(pc.subtract(length, fraction)).as_py() or 1
    precision = max(whole + scale, 1)
    if precision > _LONGEST:
        return texts
    kind = pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return texts


def _plain(values: Values) -> Array:
    return pa.array(values)


def _times_of_day(values: Values) -> Array:
    if _zones(values) != {None}:
        raise ValueError("times of day with a zone, which Arrow has no type for")
    return pa.array(values)


def _times(values: Values) -> Array:
    """Return times that all have a zone, or all have none."""
    zones = _zones(values)
    if None in zones and len(zones) > 1:
        raise ValueError("times with and without a zone")
    return pa.array(values, pa.timestamp("us") if None in zones else _INSTANT)


def _zones(values: Values) -> set[tzinfo | None]:
    return {*map(attrgetter("tzinfo"), (value for value in values if value is not None))}


def _decimals(values: Values) -> Array:
    written = pa.array([None if value is None else str(value) for value in values], pa.string())
    exact = decimals(written)
    if pa.types.is_decimal(exact.type):
        return exact
    numbers = [None if value is None else Decimal(value) for value in values]  # such as 1E+5
    return pa.array([None if value is None or value.is_nan() else value for value in numbers])


def _floats(values: Values) -> Array:
    if any(isinstance(value, int) and abs(value) > _EXACT for value in values):
        raise ValueError("a whole number that floating point does not hold")
    return pa.array([None if value is None else float(value) for value in values])


def _bytes(values: Values) -> Array:
    return pa.array([None if value is None else bytes(value) for value in values], pa.binary())


def _text(value: object) -> str:
    return next((write for kind, write in _WRITTEN.items() if isinstance(value, kind)), str)(value)


_WRITTEN: Mapping[Any, Callable[[Any], str]] = {
    str: str,
    bool: lambda value: "true" if value else "false",
    (dict, list, tuple): lambda value: json.dumps(value, ensure_ascii=False, default=str),
    (date, time): lambda value: value.isoformat(),
    (bytes, bytearray, memoryview): lambda value: bytes(value).decode(),
}
# which kinds of values a way is tried for, and the way; the first that holds them all is taken
_WAYS: Sequence[tuple[Callable[[frozenset[type]], bool], Callable[[Values], Array]]] = (
    (lambda kinds: len(kinds) <= 1 and kinds <= _PLAIN, _plain),
    (lambda kinds: kinds == {time}, _times_of_day),
    (lambda kinds: kinds == {datetime}, _times),
    (lambda kinds: bool(kinds) and kinds <= {int, Decimal}, _decimals),
    (lambda kinds: kinds == {int, float}, _floats),
    (lambda kinds: bool(kinds) and kinds <= {bytes, bytearray, memoryview}, _bytes),
)
