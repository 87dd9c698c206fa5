"""Columns of Python objects of several types, judged one by one: exact, and slow."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.directory.checks import FALSE_WORDS, TRUE_WORDS
from segue.directory.plain_columns import TEXT
from segue.errors import DataError
from segue.segments.columns.column import Booleans, Column, Texts, instant_text
from segue.segments.columns.instant_spellings import read_instant
from segue.segments.columns.instants import EPOCH, Instants
from segue.segments.columns.ordered import (
    Exact,
    ExactNumbers,
    Mask,
    Numbers,
    ScaledIntegers,
    exact_number,
    number_text,
)
from segue.segments.columns.readings import read_number
from segue.segments.columns.wall_clock import to_utc


class MixedColumn(Column):
    """Python objects of several types; of others, lists say, only whether they are there is seen.

    Reading one of those raises DataError, as in a column that holds nothing else.
    """

    def __init__(self, values: Sequence[Any], zone: ZoneInfo, name: str = "a column") -> None:
        super().__init__(len(values), zone)
        self._values = [_plain(value) for value in values]
        self._name = name

    def find_missing(self) -> Mask:
        return np.array([_is_missing(value) for value in self._values], dtype=bool)

    @cached_property
    def numbers(self) -> Numbers:
        return ExactNumbers([_as_number(value) for value in self._readable])

    @cached_property
    def texts(self) -> Texts:
        strings = [_as_text(value) for value in self._readable]
        return Texts(pa.chunked_array([pa.array(strings, TEXT)]))

    @cached_property
    def booleans(self) -> Booleans:
        read = [_as_boolean(value) for value in self._readable]
        true = np.array([value is True for value in read], dtype=bool)
        return Booleans(true, np.array([value is False for value in read], dtype=bool))

    @cached_property
    def instants(self) -> Instants:
        times = [_as_time(value) for value in self._readable]
        present = np.array([t is not None for t in times], dtype=bool)
        naive = np.array([t is not None and t.tzinfo is None for t in times], dtype=bool)
        units = np.array([0 if t is None else _microseconds(t) for t in times], dtype=np.int64)
        units = np.where(naive, to_utc(units, 6, self.zone), units)
        return Instants(ScaledIntegers(units, present, 6))

    def value(self, row: int) -> Any:
        return self._values[row]

    @cached_property
    def _readable(self) -> Sequence[Any]:
        kinds = {type(value).__name__ for value in self._values if not _can_be_read(value)}
        if kinds:
            raise DataError(
                f"{self._name} holds values of the type {', '.join(sorted(kinds))}, which a "
                "condition reads; allowed operators: is_empty, is_set"
            )
        return self._values


def _can_be_read(value: Any) -> bool:
    return _is_missing(value) or isinstance(value, str | bool | int | float | Decimal | date)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, Sized) and len(value) == 0)


def _plain(value: Any) -> Any:
    """Return an object as None, text, a bool, a number or a time; others stay what they are."""
    if isinstance(value, np.generic):
        value = pd.Timestamp(value) if isinstance(value, np.datetime64) else value.item()
    if value is None or value is pd.NA or value is pd.NaT or value == "":
        return None
    if isinstance(value, str):
        return value.encode(errors="replace").decode()  # a lone surrogate is no text
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime(warn=False)
    return _plain_number(value)


def _plain_number(value: Any) -> Any:
    """Return a number as one that conditions compare; others stay what they are."""
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
    if word in TRUE_WORDS or (isinstance(value, int | float | Decimal) and value == 1):
        return True
    if word in FALSE_WORDS or (isinstance(value, int | float | Decimal) and value == 0):
        return False
    return None


def _as_time(value: Any) -> datetime | None:
    if isinstance(value, str):
        return read_instant(value)
    if isinstance(value, datetime):
        return value
    return datetime.combine(value, time.min) if isinstance(value, date) else None


def _microseconds(instant: datetime) -> int:
    epoch = EPOCH.replace(tzinfo=None) if instant.tzinfo is None else EPOCH
    return (instant - epoch) // timedelta(microseconds=1)
