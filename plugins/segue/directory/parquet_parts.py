"""Read one Parquet file: only the asked columns, only the row groups of the asked contacts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from segue.directory.column_kinds import ColumnKind
from segue.directory.parallel import Lazy, in_parallel
from segue.directory.parts import read_errors
from segue.directory.plain_columns import (
    ArrowArray,
    ArrowColumn,
    id_text,
    is_text,
    kind_of,
    pc,
    plain_table,
)

_TIMES: Any = {"coerce_int96_timestamp_unit": "us"}  # nanoseconds end in 2262
_CELLS, _FEWEST_ROWS = 1 << 20, 1 << 10  # decoded at a time to find a few contacts
_PIECE = 1 << 16  # bytes of each column read at a time meanwhile
_PANDAS_INDEX = "__index_level_"  # columns that pandas adds to keep a frame's index


@dataclass(frozen=True)
class ParquetPart:
    """A Parquet file; with ``only``, row groups without these contacts are not decoded."""

    name: str
    path: str
    fs: AbstractFileSystem

    @Lazy
    def columns(self) -> list[str]:
        return [name for name in self._arrow_schema.names if not name.startswith(_PANDAS_INDEX)]

    @Lazy
    def schema(self) -> pa.Schema:
        return plain_table(self._arrow_schema.empty_table().select(self.columns)).schema

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        return {name: kind_of(self._arrow_schema.field(name).type) for name in self.columns}

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: ArrowArray | None = None
    ) -> pa.Table:
        with read_errors(self.name), self._open() as file:
            if only is None or id_column is None:
                return plain_table(file.read(columns=list(columns)).select(columns), id_column)
        tables = in_parallel(lambda piece: piece.read_only(columns, id_column, only), self.slices())
        none = plain_table(self._arrow_schema.empty_table().select(columns), id_column)
        return pa.concat_tables([none, *tables], promote_options="permissive")  # text and bytes

    @property
    def is_utf8(self) -> bool:
        return False

    def slices(self) -> Sequence[ParquetSlice]:
        return [ParquetSlice(self, index) for index in range(self.metadata.num_row_groups)]

    def count(self) -> int:
        return int(self.metadata.num_rows)

    @Lazy
    def places(self) -> dict[str, int]:
        """Where in a row group stands each column."""
        schema = self.metadata.schema
        places: dict[str, int] = {}
        for place in range(len(schema)):
            places.setdefault(schema.column(place).path, place)
        return places

    @property
    def metadata(self) -> pq.FileMetaData:
        """The file's footer."""
        return self._footer[0]

    @property
    def _arrow_schema(self) -> pa.Schema:
        return self._footer[1]

    @Lazy
    def _footer(self) -> tuple[pq.FileMetaData, pa.Schema]:
        """The footer and the types that columns are read in, from one reading."""
        with read_errors(self.name), self._open() as file:
            return file.metadata, file.schema_arrow

    @contextmanager
    def open(
        self, dictionaries: Sequence[str] = (), *, piecemeal: bool = False
    ) -> Iterator[pq.ParquetFile]:
        """Open the file anew, without its footer; text columns that are to stay encoded.

        ``piecemeal``: a column is not read whole before its first rows are decoded; on object
        storage it is, because there every piece would be a request.
        """
        is_local = isinstance(self.fs, LocalFileSystem)
        options = {"buffer_size": _PIECE} if piecemeal and is_local else {}
        settings: dict[str, Any] = {
            "metadata": self.metadata,
            "read_dictionary": list(dictionaries),
        }
        with self._open(**settings, **options) as file:
            yield file

    @contextmanager
    def _open(self, **options: Any) -> Iterator[pq.ParquetFile]:
        if isinstance(self.fs, LocalFileSystem):
            with pq.ParquetFile(self.path, pre_buffer=False, **_TIMES, **options) as file:
                yield file
        else:
            with (
                self.fs.open(self.path, "rb") as stream,
                pq.ParquetFile(stream, **_TIMES, **options) as file,
            ):
                yield file


@dataclass(frozen=True)
class ParquetSlice:
    """One row group of a Parquet file."""

    part: ParquetPart
    index: int

    @property
    def name(self) -> str:
        return self.part.name

    def read(self, columns: Sequence[str], id_column: str | None = None) -> pa.Table:
        dictionaries = [
            name for name in columns if name != id_column and self._has_few_values(name)
        ]
        with read_errors(self.part.name), self.part.open(dictionaries) as file:
            return plain_table(self._read(file, columns), id_column, dictionaries)

    def read_only(self, columns: Sequence[str], id_column: str, only: ArrowArray) -> pa.Table:
        """Return the rows of these contacts; other columns are decoded only if there are any.

        They are decoded batch by batch, so that a few rows never cost the memory of all.
        """
        with read_errors(self.part.name), self.part.open(piecemeal=True) as file:
            none = plain_table(file.schema_arrow.empty_table().select(columns), id_column)
            if not may_hold(self.bounds(id_column), only):
                return none
            ids = self._read(file, [id_column])
            mask = pc.is_in(id_text(ids.column(0)), value_set=only)
            if not pc.any(mask).as_py():
                return none
            if list(columns) == [id_column]:
                return plain_table(ids, id_column).filter(mask)
            tables = self._chosen_rows(file, columns, id_column, mask)
            return pa.concat_tables([none, *tables], promote_options="permissive")

    def _chosen_rows(
        self, file: pq.ParquetFile, columns: Sequence[str], id_column: str, mask: ArrowColumn
    ) -> Iterator[pa.Table]:
        """Yield the rows that ``mask`` chooses, batch by batch, up to the last of them."""
        names, start, last = list(columns), 0, pc.indices_nonzero(mask)[-1].as_py()
        size = max(_FEWEST_ROWS, _CELLS // len(names))
        for batch in file.iter_batches(size, [self.index], names, use_threads=False):
            here = mask.slice(start, batch.num_rows)
            if pc.any(here).as_py():
                rows = pa.Table.from_batches([batch]).select(names)
                yield plain_table(rows, id_column).filter(here)
            start += batch.num_rows
            if start > last:
                return

    def _read(self, file: pq.ParquetFile, columns: Sequence[str]) -> pa.Table:
        names = list(columns)  # on this thread alone: others read other slices
        return file.read_row_group(self.index, columns=names, use_threads=False).select(names)

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        chunk = self._chunk(column)
        statistics = None if chunk is None else chunk.statistics
        if statistics is None or not statistics.has_min_max:
            return None
        try:
            return statistics.min, statistics.max
        except (OverflowError, ValueError):  # a date that Python's calendar does not have
            return None

    def is_complete(self, column: str) -> bool:
        chunk = self._chunk(column)
        statistics = None if chunk is None else chunk.statistics
        return statistics is not None and statistics.null_count == 0

    def _has_few_values(self, column: str) -> bool:
        """Tell whether text is dictionary-encoded throughout: a byte or two per row, no more."""
        chunk = self._chunk(column)
        return (
            chunk is not None
            and is_text(self.part.schema.field(column).type)
            and any(encoding.endswith("DICTIONARY") for encoding in chunk.encodings)
            and chunk.total_uncompressed_size <= 2 * chunk.num_values
        )

    def _chunk(self, column: str) -> pq.ColumnChunkMetaData | None:
        place = self.part.places.get(column)
        return None if place is None else self.part.metadata.row_group(self.index).column(place)


def may_hold(bounds: tuple[Any, Any] | None, only: ArrowArray) -> bool:
    """Judge by the least and greatest id that a file notes for a row group of text ids."""
    if bounds is None or not all(isinstance(bound, str) for bound in bounds):
        return True
    inside = pc.and_(pc.greater_equal(only, bounds[0]), pc.less_equal(only, bounds[1]))
    return bool(pc.any(inside).as_py())
