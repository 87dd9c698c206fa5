"""Arrow's columns as the engine reads them: few types, one way to be missing, ids as text.

*Plain* is a column whose text is ``large_string``, without dictionaries, and whose floating NaN is
null. Contact ids become text here, so that ``007`` and 7 are told apart once.

pyarrow makes its compute functions at run time, and the stubs that describe them refuse most
calls on a chunked array: ``pc`` has them plainly untyped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute

from segue.directory.column_kinds import ColumnKind
from segue.errors import DataError

ArrowColumn: TypeAlias = "pa.ChunkedArray[Any]"
ArrowArray: TypeAlias = "pa.Array[Any]"
pc: Any = pyarrow.compute
TEXT: Any = pa.large_string()


def plain(column: ArrowColumn) -> ArrowColumn:
    """Return a column without dictionary, extension or NaN.

    Text is large_string, and so are bytes, UTF-8 or not: what is no text is missing for its row
    alone (see ``python_values``). Floating point is double, each value the one that is nearest to
    its shortest decimal: a ``float`` of 0.7 is 0.7.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if isinstance(kind, pa.UuidType):
        values = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(values, TEXT)])
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.cast(kind.storage_type))
    if is_text(kind):
        return column.cast(TEXT)
    if is_bytes(kind):
        binary = column.cast(pa.large_binary())
        return cast(ArrowColumn, pc.cast(binary, options=_UNSEEN))
    return _as_doubles(column) if pa.types.is_floating(kind) else column


_UNSEEN = pc.CastOptions(TEXT, allow_invalid_utf8=True)


def _as_doubles(column: ArrowColumn) -> ArrowColumn:
    doubles: Any = _WIDENED.get(column.type, lambda values: values)(column)
    not_a_number = pc.is_nan(doubles)
    if pc.any(not_a_number).as_py():
        doubles = pc.if_else(not_a_number, pa.scalar(None, pa.float64()), doubles)
    return cast(ArrowColumn, doubles)


def _from_floats(column: ArrowColumn) -> ArrowColumn:
    return column.cast(TEXT).cast(pa.float64())  # Arrow writes the shortest decimal


def _from_halves(column: ArrowColumn) -> ArrowColumn:
    doubles = [_halves().take(chunk.view(pa.uint16())) for chunk in column.chunks]
    return pa.chunked_array(doubles, pa.float64())


@cache
def _halves() -> Any:
    """Return the double of every half-precision number, by its bits."""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return pa.array([float(str(number)) for number in every])


_WIDENED = {pa.float16(): _from_halves, pa.float32(): _from_floats}


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type holds text."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def is_bytes(kind: pa.DataType) -> bool:
    """Tell whether a type holds bytes."""
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(test(kind) for test in (*tests, pa.types.is_fixed_size_binary))


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a type holds numbers."""
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(test(kind) for test in tests)


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], ColumnKind], ...] = (
    (is_text, ColumnKind.TEXT),
    (is_number, ColumnKind.NUMBER),
    (pa.types.is_boolean, ColumnKind.BOOLEAN),
    (pa.types.is_null, ColumnKind.NULL),
    (pa.types.is_date, ColumnKind.DATE),
    (pa.types.is_timestamp, ColumnKind.INSTANT),
    (pa.types.is_time, ColumnKind.TIME),
    (pa.types.is_temporal, ColumnKind.DURATION),
    (is_bytes, ColumnKind.BYTES),
    (lambda kind: pa.types.is_struct(kind) or pa.types.is_map(kind), ColumnKind.STRUCT),
    (pa.types.is_nested, ColumnKind.LIST),
)


def kind_of(kind: pa.DataType) -> ColumnKind:
    """Return what a column of this Arrow type holds."""
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if isinstance(kind, pa.UuidType):
        return ColumnKind.TEXT
    if isinstance(kind, pa.BaseExtensionType):
        return kind_of(kind.storage_type)
    return next(content for holds, content in _KINDS if holds(kind))


def id_text(column: ArrowColumn) -> ArrowColumn:
    """Return contact ids, as plain text; whole numbers become their decimal digits."""
    own_kind, column = column.type, plain(column)
    kind = column.type
    if is_text(kind):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raise DataError(
                f"contact ids are {own_kind} with bytes that are not UTF-8; allowed: text, or "
                "whole numbers of an integer type"
            ) from None
    is_whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
    # null: a table without rows, or ids without values
    if is_text(kind) or pa.types.is_null(kind) or is_whole:
        return column.cast(TEXT)
    raise DataError(f"contact ids are {kind}; allowed: text, or whole numbers of an integer type")


def plain_table(
    table: pa.Table, id_column: str | None = None, dictionaries: Collection[str] = ()
) -> pa.Table:
    """Return a table of plain columns; text of ``dictionaries`` stays encoded."""
    columns = [
        id_text(column)
        if name == id_column
        else (column if name in dictionaries else plain(column))
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)
