"""Columns of lists, structs, maps, times of day and durations.

A condition can tell whether there is a value, and nothing else: an operator that read one would
never hold, and its complement always, for people whom it was meant to leave out.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from segue.directory.column_kinds import ColumnKind
from segue.directory.plain_columns import ArrowColumn, kind_of, pc
from segue.directory.python_values import python_value
from segue.errors import DataError
from segue.segments.columns.column import Column
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import mask_of

_HOLDS = {
    ColumnKind.LIST: "lists",
    ColumnKind.STRUCT: "structs or maps",
    ColumnKind.TIME: "times of day",
    ColumnKind.DURATION: "durations",
}


class OpaqueColumn(Column):
    """Values of which a condition sees only whether they are there; an empty list is not."""

    def __init__(self, values: ArrowColumn, zone: ZoneInfo, name: str) -> None:
        super().__init__(len(values), zone)
        self._values, self._name = values, name

    def find_missing(self) -> Mask:
        missing = mask_of(self._values.is_null())
        kind = self._values.type
        if pa.types.is_map(kind):
            return missing | _empty_maps(self._values)
        if kind_of(kind) == ColumnKind.LIST:
            return missing | mask_of(pc.equal(pc.list_value_length(self._values), 0))
        return missing

    def value(self, row: int) -> Any:
        return python_value(self._values[row])

    def require_readable(self) -> None:
        holds = _HOLDS.get(kind_of(self._values.type), str(self._values.type))
        raise DataError(
            f"{self._name} holds {holds}, which a condition reads; allowed operators: is_empty, "
            "is_set"
        )


def _empty_maps(values: ArrowColumn) -> Mask:
    """Return which maps have no entry; Arrow counts those of lists alone, as maps are stored."""
    kind: Any = values.type
    entries: Any = pa.list_(pa.struct([kind.key_field, kind.item_field]))
    lists = [chunk.view(entries) for chunk in values.chunks]
    return mask_of(pc.equal(pc.list_value_length(pa.chunked_array(lists, entries)), 0))
