"""Write one table: batches whose types differ, into files whose types a reader brings together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from segue.takes.publication import PartFile, Publication

Batches = Callable[[frozenset[str]], Iterator[pa.RecordBatch]]
Progress = Callable[[str, int], None]


def write_table(name: str, batches: Batches, publication: Publication, progress: Progress) -> int:
    """Write a table's batches; return the number of rows.

    ``batches`` are asked for with the columns that are to be text: those whose values are of kinds
    that no other type holds, of which a later batch tells, and then the table is read once more.
    """
    as_text: frozenset[str] = frozenset()
    while True:
        writer = _TableWriter(name, publication, progress)
        try:
            return writer.write(batches(as_text))
        except _TypesDiffer as differ:
            as_text |= {differ.column}
            publication.discard(name)


class _TypesDiffer(Exception):
    """A column has values for which there is no type that holds the earlier ones, too."""

    def __init__(self, column: str) -> None:
        self.column = column


class _TableWriter:
    """The files of one table: a new one is begun where the present has no room for a value."""

    def __init__(self, name: str, publication: Publication, progress: Progress) -> None:
        self._name, self._publication, self._progress = name, publication, progress
        self._file: PartFile | None = None
        self._rows = 0

    def write(self, batches: Iterator[pa.RecordBatch]) -> int:
        """Write all batches, each while the next is read; return the number of rows."""
        try:
            with ThreadPoolExecutor(1) as thread:
                pending: Future[None] | None = None
                for batch in batches:
                    if pending is not None:
                        pending.result()
                    pending = thread.submit(self._append, batch)
                    self._rows += batch.num_rows
                    self._progress(self._name, self._rows)
            if pending is not None:
                pending.result()
        finally:
            if self._file is not None:
                self._file.close()
        return self._rows

    def _append(self, batch: pa.RecordBatch) -> None:
        schema = batch.schema if self._file is None else _both(self._file.schema, batch.schema)
        if self._file is None or schema != self._file.schema:
            if self._file is not None:
                self._file.close()
            self._file = self._publication.part(self._name, schema)
        self._file.write(_in_types(batch, schema))


def _both(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return a schema that holds the values of both."""
    fields: list[pa.Field[Any]] = []
    for mine, theirs in zip(one, other, strict=True):
        pair = [pa.schema([mine]), pa.schema([theirs])]
        try:
            fields += pa.unify_schemas(pair, promote_options="permissive")
        except (pa.ArrowException, ValueError):
            raise _TypesDiffer(mine.name) from None
    return pa.schema(fields)


def _in_types(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field, values in zip(schema, batch.columns, strict=True):
        try:
            columns.append(
                pa.nulls(len(values), field.type)
                if pa.types.is_null(values.type)  # there is no cast to some types
                else (values if values.type == field.type else values.cast(field.type))
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # a number beyond its precision
            raise _TypesDiffer(field.name) from None
    return pa.RecordBatch.from_arrays(columns, schema=schema)
