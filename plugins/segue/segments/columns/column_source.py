"""Make a column from whatever type a frame has it in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa

from segue.directory.plain_columns import TEXT, ArrowArray, ArrowColumn, is_bytes, pc, plain
from segue.directory.python_values import python_values
from segue.segments.columns.column import (
    BooleanColumn,
    Booleans,
    Column,
    EncodedColumn,
    InstantColumn,
    NumberColumn,
    TextColumn,
)
from segue.segments.columns.instants import Instants
from segue.segments.columns.mixed_column import MixedColumn
from segue.segments.columns.opaque_column import OpaqueColumn
from segue.segments.columns.ordered import Doubles, ScaledIntegers
from segue.segments.columns.readings import mask_of, unscaled
from segue.segments.columns.wall_clock import to_utc

_SCALES = {"s": 0, "ms": 3, "us": 6, "ns": 9}
# Object columns that Arrow turns into one type without changing a value.
_UNIFORM = {"string", "integer", "boolean", "floating", "date", "empty"}


def column_of(
    values: pd.Series[Any] | ArrowArray | ArrowColumn, zone: ZoneInfo, name: str = "a column"
) -> Column:
    """Return a column of whatever type a frame has it in; ``zone`` is that of naive times.

    ``name`` is for the DataError of whoever reads what no condition can.
    """
    arrow = _to_arrow(values)
    if arrow is None:
        return MixedColumn(list(values), zone, name)
    kind = arrow.type
    if pa.types.is_dictionary(kind):
        return _from_dictionary(arrow, zone, name)
    if pa.types.is_null(kind):
        return TextColumn(arrow.cast(TEXT), zone)
    for matches, make in _STORED_AS:
        if matches(kind):
            return make(arrow, zone)
    return OpaqueColumn(arrow, zone, name)


def _to_arrow(values: pd.Series[Any] | ArrowArray | ArrowColumn) -> ArrowColumn | None:
    """Return the values as one Arrow column; None if they are objects of several types."""
    if isinstance(values, pa.ChunkedArray):
        return values
    if isinstance(values, pa.Array):
        return pa.chunked_array([values])
    if values.dtype == object and pd.api.types.infer_dtype(values) not in _UNIFORM:
        return None
    try:
        return _to_arrow(pa.array(values, from_pandas=True))
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        return None


def _from_dictionary(dictionary_column: ArrowColumn, zone: ZoneInfo, name: str) -> Column:
    one: Any = dictionary_column.unify_dictionaries().combine_chunks()
    values = one.dictionary
    codes = pc.fill_null(one.indices.cast(pa.int64()), len(values)).to_numpy()
    return EncodedColumn(
        codes,
        column_of(pa.chunked_array([values, pa.nulls(1, values.type)]), zone, name),
        lambda: column_of(dictionary_column.cast(values.type), zone, name),
    )


def _from_integers(values: ArrowColumn, zone: ZoneInfo) -> Column:
    integers = values if pa.types.is_uint64(values.type) else values.cast(pa.int64())
    present = mask_of(values.is_valid())
    return NumberColumn(ScaledIntegers(pc.fill_null(integers, 0).to_numpy(), present), zone)


def _from_floats(values: ArrowColumn, zone: ZoneInfo) -> Column:
    doubles = pc.fill_null(values.cast(pa.float64()), math.nan)
    return NumberColumn(Doubles(doubles.to_numpy()), zone)


def _from_decimals(values: ArrowColumn, zone: ZoneInfo) -> Column:
    if pa.types.is_decimal128(values.type) and values.type.scale >= 0:
        units, fit = unscaled(values)
        if fit:
            present = mask_of(values.is_valid())
            return NumberColumn(ScaledIntegers(units, present, values.type.scale), zone)
    return MixedColumn(python_values(values), zone)


def _from_booleans(values: ArrowColumn, zone: ZoneInfo) -> Column:
    return BooleanColumn(Booleans(mask_of(values), mask_of(pc.invert(values))), zone)


def _from_dates(values: ArrowColumn, zone: ZoneInfo) -> Column:
    if pa.types.is_date64(values.type):  # milliseconds, of which date32 does not hold all
        days = pc.fill_null(values.cast(pa.int64()), 0).to_numpy() // 86_400_000
    else:
        days = pc.fill_null(values.cast(pa.int32()).cast(pa.int64()), 0).to_numpy()
    seconds = days * 86_400
    instants = ScaledIntegers(to_utc(seconds, 0, zone), mask_of(values.is_valid()), 0)
    return InstantColumn(Instants(instants), zone, dates=True)


def _from_timestamps(values: ArrowColumn, zone: ZoneInfo) -> Column:
    scale = _SCALES[values.type.unit]
    units = pc.fill_null(values.cast(pa.int64()), 0).to_numpy()
    utc = units if values.type.tz is not None else to_utc(units, scale, zone)
    return InstantColumn(Instants(ScaledIntegers(utc, mask_of(values.is_valid()), scale)), zone)


_STORED_AS: tuple[tuple[Callable[[Any], bool], Callable[[Any, ZoneInfo], Column]], ...] = (
    (pa.types.is_string, TextColumn),
    (pa.types.is_large_string, TextColumn),
    (pa.types.is_string_view, TextColumn),
    (is_bytes, lambda values, zone: TextColumn(plain(values), zone)),
    (pa.types.is_integer, _from_integers),
    (pa.types.is_floating, _from_floats),
    (pa.types.is_decimal, _from_decimals),
    (pa.types.is_boolean, _from_booleans),
    (pa.types.is_date, _from_dates),
    (pa.types.is_timestamp, _from_timestamps),
)
