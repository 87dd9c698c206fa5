"""What a take reads tables from: a database (``database.py``, ``adbc.py``), or another source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa

from segue.directory.take_source import SnapshotReader, SnapshotSource, TableName
from segue.errors import DataError, SegueError
from segue.takes.moments import Moment
from segue.takes.values import Array, texts


class TakeReader(ABC):
    """One open connection to where a directory's contacts live."""

    @property
    @abstractmethod
    def has_one_view(self) -> bool:
        """Whether all tables are read as they stood at one instant."""

    @abstractmethod
    def batches(
        self,
        table: TableName,
        moment: Moment,
        previous: datetime | None,
        as_text: Collection[str],
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in batches, whose types may differ; at least one, if empty.

        The columns ``as_text`` are text in all. Raises DataError where the source refuses, or a
        value cannot be kept.
        """


class DatabaseReader(TakeReader):
    """One connection to a database, which is asked by SQL."""

    @abstractmethod
    def quote(self, name: str) -> str:
        """Return a name as it stands in a query for ``values``."""

    @abstractmethod
    def values(self, query: str) -> list[Any]:
        """Return the first column of a query of our own, as Python's values."""


class _SourceReader(TakeReader):
    """A source of a class of its own."""

    def __init__(self, name: str, reader: SnapshotReader) -> None:
        self._name, self._reader = name, reader

    @property
    def has_one_view(self) -> bool:
        return bool(self._reader.has_one_view)

    def batches(
        self,
        table: TableName,
        moment: Moment,
        previous: datetime | None,
        as_text: Collection[str],
    ) -> Iterator[pa.RecordBatch]:
        """Yield what the source does, in plain types; DataError for what is no batch."""
        names: list[str] | None = None
        with _source_errors(self._name):
            for item in self._reader.batches(table, moment.as_of, previous):
                for batch in _batches_of(item):
                    names = names or batch.schema.names
                    _require_columns(names, batch.schema.names)
                    yield _plain(batch, names, as_text)
        if names is None:
            raise DataError(
                f"the source {self._name!r} gave nothing; expected one batch, if an empty one, "
                "which has the columns"
            )


@contextmanager
def opened_source(source: SnapshotSource) -> Iterator[TakeReader]:
    """Open a source that is no database; raise DataError where it fails."""
    with ExitStack() as stack:
        with _source_errors(source.name):
            reader = stack.enter_context(source.connect())
        yield _SourceReader(source.name, reader)


@contextmanager
def _source_errors(name: str) -> Iterator[None]:
    """Tell of whatever somebody else's class raises, by its kind: its text may be contacts'."""
    try:
        yield
    except SegueError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a class of a team's own raises
        raise DataError(
            f"the source {name!r} failed: {type(error).__name__}{_place_of(error)}; its text is "
            "left out, for a contact's may be in it"
        ) from None


def _place_of(error: Exception) -> str:
    """Return the file and line where an error arose."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def _batches_of(item: object) -> Iterator[pa.RecordBatch]:
    """Yield the batches of whatever Arrow reads as columns; at least one."""
    if isinstance(item, pa.RecordBatch):
        yield item
        return
    if not (hasattr(item, "__arrow_c_stream__") or hasattr(item, "__arrow_c_array__")):
        raise DataError(
            f"a source yielded {type(item).__name__}; expected batches: a pyarrow.RecordBatch, a "
            "pyarrow.Table, or a frame of pandas or Polars"
        )
    frame: Any = item
    table = pa.table(frame)
    yield from table.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]


def _require_columns(expected: list[str], names: list[str]) -> None:
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"a batch has more than one column {twins[0]!r}")
    if set(names) != set(expected):
        odd = min({*names} ^ {*expected})
        raise DataError(
            f"a batch has other columns than the first, which has {', '.join(expected)}; the "
            f"column {odd!r} is not in all of them"
        )


def _plain(batch: pa.RecordBatch, names: list[str], as_text: Collection[str]) -> pa.RecordBatch:
    """Return a batch of plain types, its columns in the order of ``names``."""
    return pa.RecordBatch.from_arrays(
        [_plain_column(batch.column(name), name in as_text) for name in names], names=names
    )


def _plain_column(values: Array, is_text: bool) -> Array:
    """Return a column without extension types and dictionaries; as JSON where it is nested."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if is_text or pa.types.is_nested(values.type):
        return texts(values.to_pylist())
    return values
