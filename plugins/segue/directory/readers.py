"""Read one Parquet or CSV file of a table: only the asked columns, only the asked contacts.

A reader gives *plain* Arrow columns: text is ``large_string``, dictionaries are decoded, a
floating NaN is null. Contact ids become text here, so that ``007`` and 7 are told apart once.
Errors carry the reason only, never a cell's content; the caller knows directory and snapshot.
"""

from __future__ import annotations

import csv
import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import IO, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from segue.directory.column_kinds import ColumnKind
from segue.directory.layout import FORMATS, StoredFile, suffix_of
from segue.errors import DataError

Column: TypeAlias = "pa.ChunkedArray[Any]"
Ids: TypeAlias = "pa.Array[Any]"
pc: Any = pyarrow.compute  # the overloads of its stubs refuse correct calls
TEXT = pa.large_string()
Item = TypeVar("Item")
Result = TypeVar("Result")
RaggedRows: TypeAlias = Callable[[Any], Literal["skip"]]
_THREADS = min(8, os.cpu_count() or 1)  # each holds one slice in memory
_worker = threading.local()  # ``busy`` is set on the threads that work for ``in_parallel``
_BLOCK = 1 << 24  # bytes of CSV parsed at a time
_LONGEST_ROW = 1 << 28  # bytes of CSV parsed at a time where a row does not fit into a block
_WRITE_UTF8 = "it is not UTF-8 text; write the file in UTF-8"
_HEAD = 1 << 20  # bytes of CSV in which its columns' names are looked for
_GZIP = b"\x1f\x8b"
_TIMES: Any = {"coerce_int96_timestamp_unit": "us"}  # nanoseconds end in 2262
_CELLS, _FEWEST_ROWS = 1 << 20, 1 << 10  # of Parquet decoded at a time to find a few contacts
_PIECE = 1 << 16  # bytes of each column read at a time meanwhile
_PANDAS_INDEX = "__index_level_"  # columns that pandas adds to keep a frame's index


class _Lazy(Generic[Result]):
    """A property that is computed once and kept, without a lock.

    Python 3.11's ``cached_property`` has one lock for all instances of a class: files would be read
    one by one. Two threads that ask one file at once may both read it.
    """

    def __init__(self, work: Callable[[Any], Result]) -> None:
        self._work, self._name, self.__doc__ = work, work.__name__, work.__doc__

    def __get__(self, part: Any, _: type[Any]) -> Result:
        value = self._work(part)
        part.__dict__[self._name] = value  # hides this property, which has no __set__
        return value


class Slice(Protocol):
    """Some rows of a file that can be read alone: a row group of Parquet, or the whole of a CSV."""

    @property
    def name(self) -> str:
        """The file's name, relative to the snapshot's folder."""

    def read(self, columns: Sequence[str], id_column: str | None = None) -> pa.Table:
        """Return the asked columns; text with few values may stay dictionary-encoded."""

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        """Return the least and the greatest value of a column where the file notes them."""

    def is_complete(self, column: str) -> bool:
        """Tell whether the file notes that no value of a column is missing."""


class Part(Protocol):
    """One file of a table, whatever its format."""

    @property
    def name(self) -> str:
        """The file's name, relative to the snapshot's folder."""

    @property
    def columns(self) -> list[str]:
        """The file's own column names, in its order."""

    @property
    def schema(self) -> pa.Schema:
        """The plain types of the columns."""

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """What the columns hold, by the file's own names."""

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: Ids | None = None
    ) -> pa.Table:
        """Return the asked columns in file order; ``only`` keeps the rows of these contacts."""

    @property
    def is_utf8(self) -> bool:
        """Whether reading a column proves that its text is UTF-8."""

    def slices(self) -> Sequence[Slice]:
        """Return the parts of the file that can be read alone, in file order."""

    def count(self) -> int:
        """Return the number of rows; of a Parquet file its footer says so."""


@dataclass(frozen=True)
class ParquetPart:
    """A Parquet file; with ``only``, row groups without these contacts are not decoded."""

    name: str
    path: str
    fs: AbstractFileSystem

    @_Lazy
    def columns(self) -> list[str]:
        return [name for name in self._arrow_schema.names if not name.startswith(_PANDAS_INDEX)]

    @_Lazy
    def schema(self) -> pa.Schema:
        return _plain_table(self._arrow_schema.empty_table().select(self.columns)).schema

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        return {name: kind_of(self._arrow_schema.field(name).type) for name in self.columns}

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: Ids | None = None
    ) -> pa.Table:
        with read_errors(self.name), self._opened() as file:
            if only is None or id_column is None:
                return _plain_table(file.read(columns=list(columns)).select(columns), id_column)
        tables = in_parallel(lambda piece: piece.read_only(columns, id_column, only), self.slices())
        none = _plain_table(self._arrow_schema.empty_table().select(columns), id_column)
        return pa.concat_tables([none, *tables], promote_options="permissive")  # text and bytes

    @property
    def is_utf8(self) -> bool:
        return False

    def slices(self) -> Sequence[ParquetSlice]:
        return [ParquetSlice(self, index) for index in range(self.metadata.num_row_groups)]

    def count(self) -> int:
        return int(self.metadata.num_rows)

    @_Lazy
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

    @_Lazy
    def _footer(self) -> tuple[pq.FileMetaData, pa.Schema]:
        """The footer and the types that columns are read in, from one reading."""
        with read_errors(self.name), self._opened() as file:
            return file.metadata, file.schema_arrow

    @contextmanager
    def opened(
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
        with self._opened(**settings, **options) as file:
            yield file

    @contextmanager
    def _opened(self, **options: Any) -> Iterator[pq.ParquetFile]:
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
        with read_errors(self.part.name), self.part.opened(dictionaries) as file:
            return _plain_table(self._read(file, columns), id_column, dictionaries)

    def read_only(self, columns: Sequence[str], id_column: str, only: Ids) -> pa.Table:
        """Return the rows of these contacts; other columns are decoded only if there are any.

        They are decoded batch by batch, so that a few rows never cost the memory of all.
        """
        with read_errors(self.part.name), self.part.opened(piecemeal=True) as file:
            none = _plain_table(file.schema_arrow.empty_table().select(columns), id_column)
            if not _may_hold(self.bounds(id_column), only):
                return none
            ids = self._read(file, [id_column])
            mask = pc.is_in(id_text(ids.column(0)), value_set=only)
            if not pc.any(mask).as_py():
                return none
            if list(columns) == [id_column]:
                return _plain_table(ids, id_column).filter(mask)
            tables = self._chosen(file, columns, id_column, mask)
            return pa.concat_tables([none, *tables], promote_options="permissive")

    def _chosen(
        self, file: pq.ParquetFile, columns: Sequence[str], id_column: str, mask: Column
    ) -> Iterator[pa.Table]:
        """Yield the rows that ``mask`` chooses, batch by batch, up to the last of them."""
        names, start, last = list(columns), 0, pc.indices_nonzero(mask)[-1].as_py()
        size = max(_FEWEST_ROWS, _CELLS // len(names))
        for batch in file.iter_batches(size, [self.index], names, use_threads=False):
            here = mask.slice(start, batch.num_rows)
            if pc.any(here).as_py():
                rows = pa.Table.from_batches([batch]).select(names)
                yield _plain_table(rows, id_column).filter(here)
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


@dataclass(frozen=True)
class CsvPart:
    """A CSV file, gzipped or not: every column is text, and only the empty field is missing."""

    name: str
    path: str
    fs: AbstractFileSystem

    @_Lazy
    def columns(self) -> list[str]:
        with read_errors(self.name):
            try:
                try:
                    return self._with_room(self._names, _HEAD)
                except pa.ArrowInvalid as error:
                    if not _is_ragged(error):
                        raise
                self._require_utf8()
                return self._with_room(lambda block: self._names(block, lambda _: "skip"), _HEAD)
            except UnicodeDecodeError:
                raise DataError(f"line 1, of the columns' names: {_WRITE_UTF8}") from None

    def _names(self, block: int, ragged: RaggedRows | None = None) -> list[str]:
        options = pacsv.ReadOptions(use_threads=False, block_size=block)
        parse = pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=ragged)
        with (
            self._opened() as stream,
            pacsv.open_csv(stream, read_options=options, parse_options=parse) as reader,
        ):
            return list(reader.schema.names)

    @_Lazy
    def schema(self) -> pa.Schema:
        return pa.schema([(name, TEXT) for name in self.columns])

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        return dict.fromkeys(self.columns, ColumnKind.TEXT)

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: Ids | None = None
    ) -> pa.Table:
        with read_errors(self.name):
            try:
                table = self._with_room(
                    lambda block: self._read(columns, id_column, only, block), _BLOCK
                )
            except pa.ArrowInvalid as error:
                if "UTF8" in str(error):
                    self._require_utf8()
                if not _is_ragged(error):
                    raise
                self._require_utf8()
                raise DataError(self._with_room(self._describe_ragged, _BLOCK)) from None
        return table.select(list(columns))

    def _with_room(self, read: Callable[[int], Result], block: int) -> Result:
        """Read block by block, or in the largest blocks there are where a row does not fit."""
        try:
            return read(block)
        except pa.ArrowInvalid as error:
            if not _does_not_fit(error):
                raise
        try:
            return read(_LONGEST_ROW)
        except pa.ArrowInvalid as error:
            if not _does_not_fit(error):
                raise
            most = f"{_LONGEST_ROW >> 20} MiB"
            raise DataError(
                f"a row, with what is quoted in it, is longer than {most}, which is the most; "
                "look for a quote that is never closed, or write the table as Parquet"
            ) from None

    def _read(
        self, columns: Sequence[str], id_column: str | None, only: Ids | None, block: int
    ) -> pa.Table:
        options = self._options(columns, block)
        with self._opened() as stream:
            quotes = cast(_QuoteReader, stream)
            try:
                if only is None or id_column is None:
                    table = pacsv.read_csv(stream, **options)
                else:
                    table = self._read_only(stream, id_column, only, options)
            except pa.ArrowInvalid as error:
                if block == _LONGEST_ROW and _does_not_fit(error):  # one that is never closed
                    quotes.check_quotes()
                raise
            quotes.check_quotes()
        return table

    def _require_utf8(self) -> None:
        """Raise DataError that says in which line and column stands the first text that is not."""
        with self._stored() as stream:
            head = next(stream, b"")
            lines = enumerate(stream, start=2)
            number, line = next((each for each in lines if not _is_utf8(each[1])), (0, b""))
        if not _is_utf8(head):
            raise DataError(f"line 1, of the columns' names: {_WRITE_UTF8}")
        if not number:
            return
        names, fields = (_fields(text.decode("utf-8-sig", "replace")) for text in (head, line))
        places = [place for place, text in enumerate(fields) if "\ufffd" in text]
        column = f", column {names[places[0]]!r}" if len(fields) == len(names) and places else ""
        raise DataError(f"line {number}{column}: {_WRITE_UTF8}")

    @property
    def is_utf8(self) -> bool:
        return True

    def slices(self) -> Sequence[CsvPart]:
        return [self]

    def count(self) -> int:
        return self.read(self.columns[:1]).num_rows

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        return None

    def is_complete(self, column: str) -> bool:
        return False

    def _read_only(
        self,
        stream: IO[bytes],
        id_column: str,
        only: Ids,
        options: dict[str, Any],
    ) -> pa.Table:
        with pacsv.open_csv(stream, **options) as reader:
            tables = [reader.schema.empty_table()]
            for batch in reader:
                mask = pc.is_in(batch.column(id_column), value_set=only)
                tables.append(pa.Table.from_batches([batch]).filter(mask))
        return pa.concat_tables(tables)

    def _options(
        self,
        columns: Sequence[str],
        block: int,
        ragged: RaggedRows | None = None,
        *,
        threads: bool = True,
    ) -> dict[str, Any]:
        return {
            "read_options": pacsv.ReadOptions(use_threads=threads, block_size=block),
            "parse_options": pacsv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=ragged
            ),
            "convert_options": pacsv.ConvertOptions(
                column_types=dict.fromkeys(columns, TEXT),
                include_columns=list(columns),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        }

    def _describe_ragged(self, block: int) -> str:
        """Read again on one thread, which is how Arrow knows the rows' numbers.

        Raises DataError for quotes that are out of place: they are why rows are ragged.
        """
        invalid_rows: list[Any] = []

        def note(row: Any) -> Literal["skip"]:
            invalid_rows.append(row)
            return "skip"

        options = self._options(self.columns[:1], block, note, threads=False)
        with self._opened() as stream:
            pacsv.read_csv(stream, **options)
            cast(_QuoteReader, stream).check_quotes()
        rows = ", ".join(
            f"row {row.number - 1} has {row.actual_columns}" for row in invalid_rows[:10]
        )
        what = f"rows with another number of fields than the header's {len(self.columns)}"
        return f"{what} ({len(invalid_rows)} of them): {rows}"

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        with self._stored() as stream:
            quotes = _QuoteReader(stream)
            try:
                yield cast(IO[bytes], quotes)
            finally:
                quotes.close()  # Arrow reads ahead, also after an error

    @contextmanager
    def _stored(self) -> Iterator[IO[bytes]]:
        compression = "gzip" if self.name.lower().endswith(".gz") else None
        with self.fs.open(self.path, "rb", compression=compression) as stream:
            yield stream


def _fields(line: str) -> list[str]:
    """Return the values of one line; none of what is no line of CSV."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:  # a bare carriage return, or more than Python takes for a value
        return []


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_ragged(error: pa.ArrowInvalid) -> bool:
    """Tell whether a row has another number of fields than the header.

    Arrow tells a handler of such rows one by one, and only those that are UTF-8: it is given one
    where the file is.
    """
    return "CSV parse error" in str(error) and " columns, got " in str(error)


def _does_not_fit(error: pa.ArrowInvalid) -> bool:
    return "straddl" in str(error) or "file or block" in str(error)


class _QuoteReader:
    """A stream that looks at every quote character passing, for one that is out of place.

    Arrow joins what follows an opening quote until the next one, over as many lines as it takes:
    the rows in between would be lost in silence. By RFC 4180 an opening quote begins a value and
    a closing one ends it; in between a quote is doubled, so that it closes and opens again.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.closed = False
        self._stream = stream
        self._quotes = 0
        self._lines = 1
        self._last = b"\n"  # the byte before those to come
        self._problem: str | None = None

    def read(self, size: int = -1) -> bytes:
        data = b"" if self.closed else self._stream.read(size)
        if self._lines == 1 and 0 < len(data) < size and not data.endswith((b"\r", b"\n")):
            # Arrow takes a header alone, without its end, for one that is too long
            data += self._stream.read(1) or b"\n"
        if self._lines == 1 and self._last == b"\n" and data.startswith(_GZIP):
            raise DataError(
                "it is compressed with gzip, more than its name says: a file that is ends in "
                ".csv.gz, and is compressed once"
            )
        if self._last == b"\n" and self._lines == 1 and data.startswith(_BOM):
            self._look(data[len(_BOM) :])
        else:
            self._look(data)
        return data

    def close(self) -> None:
        self.closed = True

    def check_quotes(self) -> None:
        """Raise DataError if a quote character is out of place, or a value is never closed."""
        if self._problem is not None:
            raise DataError(self._problem)
        if self._quotes % 2:
            raise DataError(
                "it holds an odd number of quote characters: a quoted value is never closed, or "
                "one with a quote in it is not quoted (RFC 4180)"
            )

    def _look(self, data: bytes) -> None:
        if not data or self._problem is not None:
            return
        if b'"' in data or self._last == b'"':
            self._problem = self._out_of_place(self._last + data)
            self._quotes += data.count(b'"')
        self._lines += data.count(b"\n") or data.count(b"\r")
        self._last = data[-1:]

    def _out_of_place(self, data: bytes) -> str | None:
        """Judge the quotes after the first byte, and the first byte by the one that follows it.

        A quote in the last place that closes a value is judged with the next bytes.
        """
        characters = np.frombuffer(data, np.uint8)
        places = np.flatnonzero(characters == ord('"'))
        closed = (self._quotes - int(data[:1] == b'"')) % 2  # whether the first one closes a value
        opening, closing = places[closed::2], places[1 - closed :: 2]
        opening, closing = opening[opening > 0], closing[closing + 1 < len(data)]
        wrong = [
            *opening[~_BESIDE_QUOTES[characters[opening - 1]]][:1],
            *closing[~_BESIDE_QUOTES[characters[closing + 1]]][:1],
        ]
        if not wrong:
            return None
        index = int(np.searchsorted(places, min(wrong)))
        line, start = (self._line(data, places[max(n, 0)]) for n in (index, index - 1))
        opens = index % 2 == closed
        since = "" if opens or start == line else f", for a value that begins in line {start}"
        return (
            f"line {line}: a quote character is out of place{since}; a value that holds one is "
            "quoted as a whole and the quote in it doubled (RFC 4180): a backslash does not do"
        )

    def _line(self, data: bytes, place: int) -> int:
        text = data[1 : int(place)]
        return self._lines + (text.count(b"\n") or text.count(b"\r"))


_BOM = b"\xef\xbb\xbf"
_BESIDE_QUOTES = np.isin(np.arange(256), list(b',\r\n"'))  # what a quote may stand beside


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the work's results in the items' order; Arrow and numpy leave Python's lock free.

    Work that asks for it again does its items one by one: it holds a thread already.
    """
    if len(items) < 2 or getattr(_worker, "busy", False):
        return [work(item) for item in items]
    return list(_workers().map(work, items))


@cache
def _workers() -> ThreadPoolExecutor:
    """Start threads that stay: the memory a thread has used is at hand for its next work."""
    return ThreadPoolExecutor(_THREADS, initializer=setattr, initargs=(_worker, "busy", True))


os.register_at_fork(after_in_child=_workers.cache_clear)  # threads do not live on in a child


def open_parts(files: Sequence[StoredFile], fs: AbstractFileSystem) -> list[Part]:
    """Return the readers of one table's files; raise DataError if they do not go together."""
    formats = {file.name: _format_of(file) for file in files}
    if len({name.split("/")[0] for name in formats}) > 1 or len(set(formats.values())) > 1:
        names = ", ".join(list(formats)[:10])
        raise DataError(f"{names}: expected one file, or one folder of files of one format")
    if "csv" in formats.values():
        return [CsvPart(file.name, file.path, fs) for file in files]
    return [_parquet_part(file, fs) for file in files]


def _parquet_part(file: StoredFile, fs: AbstractFileSystem) -> ParquetPart:
    """Return a file's reader: in one process the same, footer and all, while the content is."""
    make = _known_parquet_part if file.is_checksum else ParquetPart
    return make(file.name, file.path, fs, *([file.version] if file.is_checksum else []))


@lru_cache(maxsize=1024)
def _known_parquet_part(name: str, path: str, fs: AbstractFileSystem, _version: str) -> ParquetPart:
    return ParquetPart(name, path, fs)


def _format_of(file: StoredFile) -> str:
    if file.name.count("/") > 1:
        raise DataError(
            f"{file.name}: is in a folder within the table's; expected none: what "
            "its name says, as in country=GB, is written into the files as a column"
        )
    suffix = suffix_of(file.name)
    if not suffix:
        raise DataError(f"{file.name}: is of no known format; allowed: {', '.join(FORMATS)}")
    return FORMATS[suffix]


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Turn what Arrow and file systems raise into a DataError that begins with the file's name."""
    try:
        yield
    except DataError as error:
        raise error if str(error).startswith(name) else DataError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{name}: the file is gone") from None
    except UnicodeDecodeError:
        raise DataError(f"{name}: cannot be read: it is not UTF-8 text") from None
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: cannot be read: {_reason(error)}") from error


def plain(column: Column) -> Column:
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
        stored = column.cast(pa.large_binary())
        return cast(Column, pc.cast(stored, options=_UNSEEN))
    return _as_doubles(column) if pa.types.is_floating(kind) else column


_UNSEEN = pc.CastOptions(TEXT, allow_invalid_utf8=True)


def _as_doubles(column: Column) -> Column:
    doubles: Any = _WIDENED.get(column.type, lambda values: values)(column)
    not_a_number = pc.is_nan(doubles)
    if pc.any(not_a_number).as_py():
        doubles = pc.if_else(not_a_number, pa.scalar(None, pa.float64()), doubles)
    return cast(Column, doubles)


def _from_floats(column: Column) -> Column:
    return column.cast(TEXT).cast(pa.float64())  # Arrow writes the shortest decimal


def _from_halves(column: Column) -> Column:
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
    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Tell whether a type holds bytes."""
    return any(
        test(kind)
        for test in (
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
            pa.types.is_fixed_size_binary,
        )
    )


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a type holds numbers."""
    return any(
        test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    )


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
    return next(found for holds, found in _KINDS if holds(kind))


def id_text(column: Column) -> Column:
    """Return contact ids, as plain text; whole numbers become their decimal digits."""
    stored, column = column.type, plain(column)
    kind = column.type
    if is_text(kind):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raise DataError(
                f"contact ids are {stored} with bytes that are not UTF-8; allowed: text, or whole "
                "numbers of an integer type"
            ) from None
    if is_text(kind) or pa.types.is_null(kind):  # null: a table without rows, or ids without values
        return column.cast(TEXT)
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return column.cast(TEXT)
    raise DataError(f"contact ids are {kind}; allowed: text, or whole numbers of an integer type")


def _plain_table(
    table: pa.Table, id_column: str | None = None, encoded: Collection[str] = ()
) -> pa.Table:
    columns = [
        id_text(column) if name == id_column else (column if name in encoded else plain(column))
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return pa.table(columns, names=table.column_names)


def _may_hold(bounds: tuple[Any, Any] | None, only: Ids) -> bool:
    """Judge by the least and greatest id that a file notes for a row group of text ids."""
    if bounds is None or not all(isinstance(bound, str) for bound in bounds):
        return True
    inside = pc.and_(pc.greater_equal(only, bounds[0]), pc.less_equal(only, bounds[1]))
    return bool(pc.any(inside).as_py())


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
