"""Python values and frames' columns as Arrow's arrays, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from segue.directory.plain_columns import TEXT, ArrowArray
from segue.directory.python_values import python_values


def array_of(values: Sequence[Any]) -> ArrowArray:
    """Return Python values as an array; as text where they are not of one kind, or too large."""
    if _are_of_one_kind(values):
        try:
            array: ArrowArray = pa.array(values)
        except (pa.ArrowException, OverflowError):
            pass
        else:
            return array.cast(TEXT) if pa.types.is_null(array.type) else array
    return pa.array([None if value is None else _text(value) for value in values])


def _are_of_one_kind(values: Sequence[Any]) -> bool:
    kinds = {(type(value), _is_aware(value)) for value in values if value is not None}
    return len(kinds) <= 1 or {kind for kind, _ in kinds} == {int, float}


def values_of(series: pd.Series[Any]) -> list[Any]:
    """Return a frame's column as plain Python; see ``python_values``."""
    if isinstance(series.dtype, pd.ArrowDtype):
        return python_values(pa.chunked_array(pa.array(series)))
    return [None if value is pd.NA or value is pd.NaT else value for value in series]


def _is_aware(value: Any) -> bool:
    return getattr(value, "tzinfo", None) is not None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
