"""One value per contact or transaction, seen as numbers, as text, as booleans or as instants.

The operand decides the type, not the column (CONDITIONS.md, "Meaning" 1 and 2), so every column
answers all of these, and a value that cannot be read in the asked way is missing in that view.
Views are made when first asked for and kept. Masks and arrays are shared: never write to them.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.segments.arrow import TEXT, ArrowArray, ArrowColumn, pc
from segue.segments.conditions.operands import parse_instant
from segue.segments.ordered import (
    EPOCH,
    Doubles,
    Exact,
    ExactNumbers,
    Instants,
    Mask,
    Numbers,
    ScaledIntegers,
    exact_number,
    no_numbers,
    number_text,
)
from segue.segments.readings import (
    mask_of,
    read_instants,
    read_number,
    read_numbers,
    to_utc,
    unscaled,
)

_SCALES = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
# Object columns that Arrow turns into one type without changing a value.
_UNIFORM = {"string", "integer", "boolean", "floating", "date", "empty"}


@dataclass(frozen=True)
class Texts:
    """Text; empty text is missing. ``ignore_case`` lowers both sides, one code point at a time."""

    values: ArrowColumn
    ignore_case: bool = False

    def equal(self, text: str) -> Mask:
        """The text is exactly ``text``."""
        return mask_of(pc.equal(self.values, self._operand(text)))

    def one_of(self, texts: Sequence[str]) -> Mask:
        """The text is exactly one of ``texts``."""
        wanted = pa.array([self._operand(text).as_py() for text in texts], TEXT)
        return mask_of(pc.is_in(self.values, value_set=wanted))

    def contains(self, part: str) -> Mask:
        """``part`` is somewhere in the text."""
        return mask_of(pc.match_substring(self.values, self._operand(part).as_py()))

    def ignoring_case(self) -> Texts:
        """Return the same text, compared without regard to case."""
        return self if self.ignore_case else Texts(pc.utf8_lower(self.values), ignore_case=True)

    def _operand(self, text: str) -> Any:
        operand = pa.scalar(text, TEXT)
        return pc.utf8_lower(operand) if self.ignore_case else operand


@dataclass(frozen=True)
class Booleans:
    """Which rows are true, and which false; missing rows are neither."""

    true: Mask
    false: Mask

    def equal(self, value: bool) -> Mask:
        """The value is ``value``."""
        return self.true if value else self.false


class Column(ABC):
    """One value per row. Subclasses differ in what the values are stored as."""

    def __init__(self, size: int, zone: ZoneInfo) -> None:
        self.size = size
        self.zone = zone

    @abstractmethod
    def find_missing(self) -> Mask:
        """Return which rows have no value."""

    @abstractmethod
    def value(self, row: int) -> Any:
        """Return one value for people to read: None, text, a number, a boolean or a time."""

    @cached_property
    def missing(self) -> Mask:
        """Rows without a value: null, NaN, NaT, empty text."""
        return self.find_missing()

    @property
    def dates_only(self) -> bool:
        """Whether the values are calendar days, to be shown without a time."""
        return False

    @cached_property
    def everywhere(self) -> Mask:
        """True in every row."""
        return np.ones(self.size, dtype=bool)

    @cached_property
    def numbers(self) -> Numbers:
        """The values as numbers."""
        return no_numbers(self.size)

    @cached_property
    def texts(self) -> Texts:
        """The values as text."""
        return Texts(pa.chunked_array([pa.nulls(self.size, TEXT)]))

    @cached_property
    def booleans(self) -> Booleans:
        """The values as booleans."""
        return Booleans(~self.everywhere, ~self.everywhere)

    @cached_property
    def instants(self) -> Instants:
        """The values as points in time."""
        return Instants(no_numbers(self.size))

    def ignoring_case(self) -> Column:
        """Return the same column with its text compared without regard to case."""
        return self._lowered

    @cached_property
    def _lowered(self) -> Column:
        texts = self.texts.ignoring_case()
        column = copy.copy(self)
        column.__dict__["texts"] = texts
        return column


class TextColumn(Column):
    """Text, as CSV has it in every column."""

    def __init__(self, values: ArrowColumn, zone: ZoneInfo) -> None:
        super().__init__(len(values), zone)
        # Views into one buffer of text are all there is: Arrow compares large strings only alike.
        self._values = pc.if_else(pc.equal(pc.binary_length(values), 0), None, values.cast(TEXT))

    def find_missing(self) -> Mask:
        return mask_of(self._values.is_null())

    @cached_property
    def texts(self) -> Texts:
        return Texts(self._values)

    @cached_property
    def numbers(self) -> Numbers:
        return read_numbers(self._values)

    @cached_property
    def booleans(self) -> Booleans:
        lowered = self.texts.ignoring_case()
        return Booleans(lowered.one_of(_TRUE), lowered.one_of(_FALSE))

    @cached_property
    def instants(self) -> Instants:
        return read_instants(self._values, self.zone)

    def value(self, row: int) -> Any:
        return self._values[row].as_py()


class NumberColumn(Column):
    """Integers, decimals or floats, or an aggregate that is a number."""

    def __init__(self, numbers: Numbers, zone: ZoneInfo) -> None:
        super().__init__(len(numbers.present), zone)
        self.numbers = numbers

    def find_missing(self) -> Mask:
        return ~self.numbers.present

    @cached_property
    def texts(self) -> Texts:
        return Texts(pa.chunked_array([self.numbers.texts()]))

    @cached_property
    def booleans(self) -> Booleans:
        return Booleans(self.numbers.equal(1), self.numbers.equal(0))

    def value(self, row: int) -> Any:
        return self.numbers.value(row)


class BooleanColumn(Column):
    """Booleans."""

    def __init__(self, booleans: Booleans, zone: ZoneInfo) -> None:
        super().__init__(len(booleans.true), zone)
        self.booleans = booleans

    def find_missing(self) -> Mask:
        return ~(self.booleans.true | self.booleans.false)

    @cached_property
    def texts(self) -> Texts:
        shown = np.where(self.booleans.true, "true", "false")
        values = pc.if_else(pa.array(self.missing), None, pa.array(shown, TEXT))
        return Texts(pa.chunked_array([values]))

    def value(self, row: int) -> Any:
        return None if self.missing[row] else bool(self.booleans.true[row])


class InstantColumn(Column):
    """Dates or times, or an aggregate that is one; shown in the zone."""

    def __init__(self, instants: Instants, zone: ZoneInfo, *, dates: bool = False) -> None:
        super().__init__(len(instants.present), zone)
        self.instants = instants
        self._dates = dates

    @property
    def dates_only(self) -> bool:
        return self._dates

    def find_missing(self) -> Mask:
        return ~self.instants.present

    @cached_property
    def texts(self) -> Texts:
        shown = [instant_text(self.value(row)) for row in range(self.size)]
        return Texts(pa.chunked_array([pa.array(shown, TEXT)]))

    def value(self, row: int) -> Any:
        instant = self.instants.value(row)
        if instant is None:
            return None
        try:
            local = instant.astimezone(self.zone)
        except OverflowError:
            return instant
        return local.date() if self._dates else local


class MixedColumn(Column):
    """Python objects of several types, one by one: exact, and slow."""

    def __init__(self, values: Sequence[Any], zone: ZoneInfo) -> None:
        super().__init__(len(values), zone)
        self._values = [_plain(value) for value in values]

    def find_missing(self) -> Mask:
        return np.array([value is None for value in self._values], dtype=bool)

    @cached_property
    def numbers(self) -> Numbers:
        return ExactNumbers([_as_number(value) for value in self._values])

    @cached_property
    def texts(self) -> Texts:
        shown = [_as_text(value) for value in self._values]
        return Texts(pa.chunked_array([pa.array(shown, TEXT)]))

    @cached_property
    def booleans(self) -> Booleans:
        read = [_as_boolean(value) for value in self._values]
        true = np.array([value is True for value in read], dtype=bool)
        return Booleans(true, np.array([value is False for value in read], dtype=bool))

    @cached_property
    def instants(self) -> Instants:
        times = [_as_time(value) for value in self._values]
        present = np.array([t is not None for t in times], dtype=bool)
        naive = np.array([t is not None and t.tzinfo is None for t in times], dtype=bool)
        units = np.array([0 if t is None else _microseconds(t) for t in times], dtype=np.int64)
        units = np.where(naive, to_utc(units, 6, self.zone), units)
        return Instants(ScaledIntegers(units, present, 6))

    def value(self, row: int) -> Any:
        return self._values[row]


def column_of(values: pd.Series[Any] | ArrowArray | ArrowColumn, zone: ZoneInfo) -> Column:
    """Return a column of whatever type a frame has it in; ``zone`` is that of naive times."""
    arrow = _to_arrow(values)
    if arrow is None:
        return MixedColumn(list(values), zone)
    kind = arrow.type
    if pa.types.is_dictionary(kind):
        return column_of(arrow.cast(kind.value_type), zone)
    if pa.types.is_null(kind):
        return TextColumn(arrow.cast(TEXT), zone)
    for matches, make in _STORED_AS:
        if matches(kind):
            return make(arrow, zone)
    return MixedColumn(arrow.to_pylist(), zone)


def instant_text(value: date | None) -> str | None:
    """Return a date or time in ISO 8601."""
    return None if value is None else value.isoformat()


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


def _from_integers(values: ArrowColumn, zone: ZoneInfo) -> Column:
    stored = values if pa.types.is_uint64(values.type) else values.cast(pa.int64())
    present = mask_of(values.is_valid())
    return NumberColumn(ScaledIntegers(pc.fill_null(stored, 0).to_numpy(), present), zone)


def _from_floats(values: ArrowColumn, zone: ZoneInfo) -> Column:
    doubles = pc.fill_null(values.cast(pa.float64()), math.nan)
    return NumberColumn(Doubles(doubles.to_numpy()), zone)


def _from_decimals(values: ArrowColumn, zone: ZoneInfo) -> Column:
    if pa.types.is_decimal128(values.type) and values.type.scale >= 0:
        units, fit = unscaled(values)
        if fit:
            present = mask_of(values.is_valid())
            return NumberColumn(ScaledIntegers(units, present, values.type.scale), zone)
    return MixedColumn(values.to_pylist(), zone)


def _from_booleans(values: ArrowColumn, zone: ZoneInfo) -> Column:
    return BooleanColumn(Booleans(mask_of(values), mask_of(pc.invert(values))), zone)


def _from_dates(values: ArrowColumn, zone: ZoneInfo) -> Column:
    days = values.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
    seconds = pc.fill_null(days, 0).to_numpy() * 86_400
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
    (pa.types.is_integer, _from_integers),
    (pa.types.is_floating, _from_floats),
    (pa.types.is_decimal, _from_decimals),
    (pa.types.is_boolean, _from_booleans),
    (pa.types.is_date, _from_dates),
    (pa.types.is_timestamp, _from_timestamps),
)


def _plain(value: Any) -> Any:
    """Return an object as None, text, a bool, a number or a time; others stay what they are."""
    if isinstance(value, np.datetime64):
        value = pd.Timestamp(value)
    elif isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT or value == "":
        return None
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # a lone surrogate is no text
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Decimal):
        return _plain_decimal(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**400:
        return math.inf if value > 0 else -math.inf
    return value


def _plain_decimal(value: Decimal) -> Exact | None:
    if value.is_nan():
        return None
    return exact_number(str(value)) if value.is_finite() else float(value)


def _as_number(value: Any) -> Exact | None:
    if isinstance(value, str):
        return read_number(value)
    return _number_or_none(value)


def _number_or_none(value: Any) -> Exact | None:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return value if is_number else None


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return number_text(value)
    if isinstance(value, date):
        return instant_text(value)
    return value if isinstance(value, str) else None


def _as_boolean(value: Any) -> bool | None:
    word = value.lower() if isinstance(value, str) else None
    if word in _TRUE or (isinstance(value, int | float | Decimal) and value == 1):
        return True
    if word in _FALSE or (isinstance(value, int | float | Decimal) and value == 0):
        return False
    return None


def _as_time(value: Any) -> datetime | None:
    if isinstance(value, str):
        return parse_instant(value)
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time.min) if isinstance(value, date) else None


def _microseconds(instant: datetime) -> int:
    epoch = EPOCH.replace(tzinfo=None) if instant.tzinfo is None else EPOCH
    return (instant - epoch) // timedelta(microseconds=1)
