"""The one type that a column has in all files of a table, and the way of values into it.

Types go together where their values usually do: whole numbers with others, and what is null
throughout with any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from segue.directory.checks import list_names
from segue.directory.parts import Part
from segue.directory.plain_columns import TEXT, ArrowColumn
from segue.errors import DataError


def common_types(parts: Sequence[Part], id_column: str) -> dict[str, pa.DataType]:
    """Return the type that each column has in all files together, by the files' own names.

    Raises DataError unless they have the same columns, of types that go together.
    """
    for part in parts:
        _require_same_names(part, parts[0])
    types = {name: _common_type(name, parts) for name in parts[0].columns if name != id_column}
    return {id_column: TEXT, **types}  # ids of any type become text


def in_types(
    rows: pa.Table, types: Mapping[str, pa.DataType], file: str, parts: Sequence[Part]
) -> pa.Table:
    """Return rows of one of the files in the types that all files have.

    Raises DataError where a file has values that no one type of all files holds. Whatever is
    known to be right already stays as it is: dictionaries and ids.
    """
    columns: dict[str, Any] = dict(zip(rows.column_names, rows.columns, strict=True))
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type) or column.type == types[name]:
            continue
        try:
            columns[name] = _cast(column, types[name])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            kinds = {part.name: part.schema.field(name).type for part in parts}
            same = (column.type, pa.null())
            other = next(part for part, kind in kinds.items() if kind not in same)
            raise DataError(
                f"{file}: column {name!r} is {column.type} with values that no {types[name]} "
                f"equals; in {other} it is {kinds[other]}; expected one type"
            ) from None
    return pa.table(columns)


def _cast(column: ArrowColumn, kind: Any) -> ArrowColumn:
    if pa.types.is_decimal(column.type) and pa.types.is_floating(kind):
        return column.cast(TEXT).cast(kind)  # Arrow's own way rounds twice
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), kind)])  # there is no cast to some kinds
    return column.cast(kind)


def _common_type(name: str, parts: Sequence[Part]) -> pa.DataType:
    common: pa.DataType = pa.null()
    for part in parts:
        kind = part.schema.field(name).type
        try:
            common = _both(common, kind)
        except (pa.ArrowException, ValueError):  # the latter of more digits than decimals have
            raise DataError(
                f"{part.name}: column {name!r} is {kind}; in the files before it it is {common}; "
                "expected one type"
            ) from None
    return TEXT if pa.types.is_null(common) else common


def _both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of both; raise ArrowException if there is none."""
    pairs: list[tuple[Any, Any]] = [(one, other), (other, one)]
    for decimal, whole in pairs:
        if pa.types.is_decimal(decimal) and pa.types.is_integer(whole):
            return _decimal_for(decimal, whole)
    schemas = [pa.schema([("", kind)]) for kind in (one, other)]
    common: pa.DataType = pa.unify_schemas(schemas, promote_options="permissive").types[0]
    return common


def _decimal_for(decimal: Any, whole: Any) -> pa.DataType:
    """Return a decimal with room for every integer; Arrow's own is a digit short."""
    digits = max(decimal.precision - decimal.scale, len(str(2**whole.bit_width)))
    precision = digits + max(decimal.scale, 0)
    wide = pa.decimal256(precision, decimal.scale) if precision > 38 else None
    return wide or pa.decimal128(precision, decimal.scale)


def _require_same_names(part: Part, first: Part) -> None:
    problem = _twins(part) or _difference(part, first)
    if problem is not None:
        raise DataError(f"{part.name}: {problem}")


def _twins(part: Part) -> str | None:
    twins = [name for name, count in Counter(part.columns).items() if count > 1]
    return f"two columns are named {list_names(twins)}" if twins else None


def _difference(part: Part, first: Part) -> str | None:
    names, first_names = dict.fromkeys(part.columns), dict.fromkeys(first.columns)
    missing = [name for name in first_names if name not in names]
    extra = [name for name in names if name not in first_names]
    if missing and len(missing) == len(first_names):
        return f"has none of the columns of {first.name}"
    if missing:
        return f"has no column {list_names(missing)}, which {first.name} has"
    return f"has a column {list_names(extra)}, which {first.name} has not" if extra else None
