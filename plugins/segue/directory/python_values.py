"""Arrow's values as plain Python: what a message prints, a condition shows, a look-up is told.

Arrow holds more than Python does: PostgreSQL's ``infinity``, years beyond 9999, text that is not
UTF-8. What Python cannot hold is None here, for that one value: it must not keep the others from
being read.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

Column: TypeAlias = "pa.ChunkedArray[Any] | pa.Array[Any]"
# LookupError: a zone that nobody knows
_BEYOND = (ValueError, OverflowError, LookupError, pa.ArrowException)


def python_values(column: Column) -> list[Any]:
    """Return one value per row: None where it is missing, or beyond what Python holds.

    Times are ``datetime``, in their column's zone, or in UTC where that cannot be; what is within
    lists, structs and maps is treated alike.
    """
    if _is_plain(column.type):
        try:
            return list(column.to_pylist())
        except _BEYOND:
            pass
    return [python_value(scalar) for scalar in column]


def python_value(scalar: pa.Scalar[Any]) -> Any:
    """Return one value; see ``python_values``."""
    if not scalar.is_valid:
        return None
    read = next((read for matches, read in _READERS if matches(scalar.type)), _simple)
    return read(scalar)


def _is_plain(kind: pa.DataType) -> bool:
    read_alone = any(matches(kind) for matches, _ in _READERS)
    return not read_alone and not pa.types.is_nested(kind)


def _simple(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except _BEYOND:
        return None


def _time(scalar: Any) -> datetime | None:
    value = _simple(scalar)
    if value is None and scalar.type.tz is not None:  # the last hours of the calendar elsewhere
        value = _simple(scalar.cast(pa.timestamp(scalar.type.unit, "UTC")))
        value = None if value is None else value.replace(tzinfo=UTC)
    return value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value


def _duration(scalar: Any) -> timedelta | None:
    value = _simple(scalar)
    return value.to_pytimedelta() if isinstance(value, pd.Timedelta) else value


def _struct(scalar: Any) -> dict[str, Any]:
    fields = (scalar.type.field(index) for index in range(scalar.type.num_fields))
    return {field.name: python_value(scalar[index]) for index, field in enumerate(fields)}


def _map(scalar: Any) -> list[tuple[Any, Any]]:
    entries = scalar.values  # noqa: PD011 - Arrow's
    keys, items = (python_values(entries.field(index)) for index in (0, 1))
    return list(zip(keys, items, strict=True))


_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_READERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (pa.types.is_timestamp, _time),
    (pa.types.is_duration, _duration),
    (pa.types.is_map, _map),
    *((test, lambda scalar: python_values(scalar.values)) for test in _LISTS),
    (pa.types.is_struct, _struct),
    (pa.types.is_dictionary, lambda scalar: python_value(scalar.value)),
)
