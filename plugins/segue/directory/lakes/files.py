"""Read the data files of a lake's table under the table's own columns and types.

A file may lack columns that came later and those the table is partitioned by, call them otherwise,
have them in a narrower type, and hold rows that were deleted since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pyarrow as pa

from segue.directory.column_kinds import ColumnKind
from segue.directory.parallel import Lazy, in_parallel
from segue.directory.parquet_parts import ParquetPart, ParquetSlice, may_hold
from segue.directory.parts import FileGone, Part, Slice
from segue.directory.plain_columns import (
    ArrowArray,
    ArrowColumn,
    id_text,
    is_text,
    kind_of,
    pc,
    plain_table,
)
from segue.errors import DataError

Constants = Mapping[str, Any]  # columns that are not in a file, by their one value


@dataclass(frozen=True)
class TableShape:
    """The columns of a table at one version, for all its files."""

    types: pa.Schema  # the table's own, in its order
    names_in_files: Mapping[str, str]  # by the table's own; of all columns
    # how values of a column are read whose type a cast does not reach
    converters: Mapping[str, Callable[[ArrowColumn], ArrowColumn]] = field(default_factory=dict)

    @Lazy
    def plain(self) -> pa.Schema:
        """The plain types."""
        return plain_table(self.types.empty_table()).schema

    @Lazy
    def kinds(self) -> dict[str, ColumnKind]:
        """What the columns hold."""
        return {column.name: kind_of(column.type) for column in self.types}

    def empty(self, columns: Sequence[str], id_column: str | None) -> pa.Table:
        """Return no rows of these columns."""
        return plain_table(self.types.empty_table().select(list(columns)), id_column)


@dataclass(frozen=True)
class NoFiles:
    """The one part of a table without files."""

    name: str
    shape: TableShape

    @property
    def columns(self) -> list[str]:
        return self.shape.types.names

    @property
    def schema(self) -> pa.Schema:
        return self.shape.plain

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        return self.shape.kinds

    @property
    def is_utf8(self) -> bool:
        return True

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: ArrowArray | None = None
    ) -> pa.Table:
        return self.shape.empty(columns, id_column)

    def slices(self) -> Sequence[Slice]:
        return []

    def count(self) -> int:
        return 0


@dataclass(frozen=True)
class LakeFile:
    """One Parquet file of a table's version."""

    file: ParquetPart
    shape: TableShape
    constants: Constants
    rows: int | None  # as the table notes them
    mask: ArrowArray | None  # which rows are not deleted; None: all
    why_gone: str  # what it means where the file is no longer there

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def columns(self) -> list[str]:
        return self.shape.types.names

    @property
    def schema(self) -> pa.Schema:
        return self.shape.plain

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        return self.shape.kinds

    @property
    def is_utf8(self) -> bool:
        return False

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: ArrowArray | None = None
    ) -> pa.Table:
        pieces = in_parallel(lambda piece: piece.read_only(columns, id_column, only), self.slices())
        none = self.shape.empty(columns, id_column)
        return pa.concat_tables([none, *pieces], promote_options="permissive")

    def slices(self) -> Sequence[LakeSlice]:
        try:
            counts = [
                self.file.metadata.row_group(index).num_rows
                for index in range(self.file.metadata.num_row_groups)
            ]
        except FileGone:
            raise DataError(f"{self.name}: {self.why_gone}") from None
        starts = [sum(counts[:index]) for index in range(len(counts))]
        return [
            LakeSlice(self, ParquetSlice(self.file, index), starts[index], counts[index])
            for index in range(len(counts))
        ]

    def count(self) -> int:
        if self.mask is None and self.rows is not None:
            return self.rows
        return sum(piece.count() for piece in self.slices())

    def name_in_file(self, column: str) -> str | None:
        """Return what the file calls a column; None where it has none."""
        if column in self.constants:
            return None
        name = self.shape.names_in_files[column]
        return name if name in self.file.columns else None


@dataclass(frozen=True)
class LakeSlice:
    """One row group of a table's file."""

    part: LakeFile
    piece: ParquetSlice
    start: int  # its first row in the file
    size: int

    @property
    def name(self) -> str:
        return self.part.name

    def read(self, columns: Sequence[str], id_column: str | None = None) -> pa.Table:
        return self.read_only(columns, id_column, None)

    def read_only(
        self, columns: Sequence[str], id_column: str | None, only: ArrowArray | None
    ) -> pa.Table:
        """Return the rows of these contacts, or all; others' columns are not looked at."""
        if only is None or id_column is None:
            return self._all_rows(columns, id_column)
        none = self.part.shape.empty(columns, id_column)
        if not may_hold(self.bounds(id_column), only):
            return none
        own_id, mask = self.part.name_in_file(id_column), self._mask()
        if own_id is not None and mask is None:
            names = dict.fromkeys([own_id, *self._names_in_file(columns)])
            rows = self.piece.read_only(list(names), own_id, only)
            return self._under_own_names(rows, columns, id_column)
        is_asked = pc.is_in(self._all_rows([id_column], id_column).column(0), value_set=only)
        if not pc.any(is_asked).as_py():
            return none
        return self._all_rows(columns, id_column).filter(is_asked)

    def count(self) -> int:
        """Return how many of its rows are not deleted."""
        mask = self._mask()
        return self.size if mask is None else pc.sum(mask).as_py() or 0

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        if column in self.part.constants:
            value = self.part.constants[column]
            return None if value is None else (value, value)
        name = self.part.name_in_file(column)
        return self.piece.bounds(name) if name and self._is_as_noted(column, name) else None

    def is_complete(self, column: str) -> bool:
        if column in self.part.constants:
            return self.part.constants[column] is not None
        name = self.part.name_in_file(column)
        return name is not None and self.piece.is_complete(name)

    def _is_as_noted(self, column: str, name: str) -> bool:
        """Tell whether what the file notes of a column is in the column's own type."""
        return bool(self.part.file.schema.field(name).type == self.part.schema.field(column).type)

    def _mask(self) -> ArrowArray | None:
        return None if self.part.mask is None else self.part.mask.slice(self.start, self.size)

    def _names_in_file(self, columns: Sequence[str]) -> list[str]:
        names = (self.part.name_in_file(column) for column in columns)
        return list(dict.fromkeys(name for name in names if name is not None))

    def _all_rows(self, columns: Sequence[str], id_column: str | None) -> pa.Table:
        names = self._names_in_file(columns)
        own_id = self.part.name_in_file(id_column) if id_column else None
        rows = self.piece.read(names, own_id) if names else _without_columns(self.size)
        table, mask = self._under_own_names(rows, columns, id_column), self._mask()
        return table if mask is None else table.filter(mask)

    def _under_own_names(
        self, rows: pa.Table, columns: Sequence[str], id_column: str | None
    ) -> pa.Table:
        """Return a file's rows as the table has them."""
        values: dict[str, Any] = {}
        for column in columns:
            name = self.part.name_in_file(column)
            if name is not None:
                values[column] = self._in_own_type(column, rows.column(name))
            else:
                values[column] = self._repeated(column, rows.num_rows)
                if column == id_column:
                    values[column] = id_text(values[column])
        return pa.table(values)

    def _repeated(self, column: str, size: int) -> ArrowColumn:
        """Return the one value of a column that the file has not; null where there is none."""
        kind: Any = self.part.schema.field(column).type
        value = pa.scalar(self.part.constants.get(column), kind)
        return pa.chunked_array([cast("Any", pa.repeat(value, size))])

    def _in_own_type(self, column: str, values: ArrowColumn) -> ArrowColumn:
        """Return a column in the table's plain type; ids that were read are text already."""
        if column in self.part.shape.converters:
            return self.part.shape.converters[column](values)
        kind: Any = self.part.schema.field(column).type
        if values.type == kind or is_text(values.type) or pa.types.is_dictionary(values.type):
            return values
        # naive times are UTC, as Spark writes them; finer ones than the table's are cut
        return values.cast(kind, safe=not pa.types.is_timestamp(kind))


def _without_columns(size: int) -> pa.Table:
    return pa.table({"": pa.nulls(size)})


def parts_or_none(parts: Collection[Part], name: str, shape: TableShape) -> list[Part]:
    """Return a table's parts, at least one."""
    return list(parts) or [NoFiles(name, shape)]
