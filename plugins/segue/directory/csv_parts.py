"""Read one CSV file block by block, and say of one that is none where it breaks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Literal, TypeAlias, TypeVar, cast

import pyarrow as pa
import pyarrow.csv as pacsv
from fsspec import AbstractFileSystem

from segue.directory.column_kinds import ColumnKind
from segue.directory.csv_quotes import QuoteReader
from segue.directory.parallel import Lazy
from segue.directory.parts import read_errors
from segue.directory.plain_columns import TEXT, ArrowArray, pc
from segue.errors import DataError

Result = TypeVar("Result")
RaggedRows: TypeAlias = Callable[[Any], Literal["skip"]]
_BLOCK = 1 << 24  # bytes parsed at a time
_LONGEST_ROW = 1 << 28  # bytes parsed at a time where a row does not fit into a block
_HEAD = 1 << 20  # bytes in which the columns' names are looked for
_WRITE_UTF8 = "it is not UTF-8 text; write the file in UTF-8"


@dataclass(frozen=True)
class CsvPart:
    """A CSV file, gzipped or not: every column is text, and only the empty field is missing."""

    name: str
    path: str
    fs: AbstractFileSystem

    @Lazy
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

    def _names(self, block: int, on_ragged: RaggedRows | None = None) -> list[str]:
        options = pacsv.ReadOptions(use_threads=False, block_size=block)
        parse = pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_ragged)
        with (
            self._open() as stream,
            pacsv.open_csv(stream, read_options=options, parse_options=parse) as reader,
        ):
            return list(reader.schema.names)

    @Lazy
    def schema(self) -> pa.Schema:
        return pa.schema([(name, TEXT) for name in self.columns])

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        return dict.fromkeys(self.columns, ColumnKind.TEXT)

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: ArrowArray | None = None
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
        self, columns: Sequence[str], id_column: str | None, only: ArrowArray | None, block: int
    ) -> pa.Table:
        options = self._options(columns, block)
        with self._open() as stream:
            quotes = cast(QuoteReader, stream)
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
        with self._open_unchecked() as stream:
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
        self, stream: IO[bytes], id_column: str, only: ArrowArray, options: dict[str, Any]
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
        on_ragged: RaggedRows | None = None,
        *,
        threads: bool = True,
    ) -> dict[str, Any]:
        return {
            "read_options": pacsv.ReadOptions(use_threads=threads, block_size=block),
            "parse_options": pacsv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=on_ragged
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
        with self._open() as stream:
            pacsv.read_csv(stream, **options)
            cast(QuoteReader, stream).check_quotes()
        rows = ", ".join(
            f"row {row.number - 1} has {row.actual_columns}" for row in invalid_rows[:10]
        )
        what = f"rows with another number of fields than the header's {len(self.columns)}"
        return f"{what} ({len(invalid_rows)} of them): {rows}"

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with self._open_unchecked() as stream:
            quotes = QuoteReader(stream)
            try:
                yield cast(IO[bytes], quotes)
            finally:
                quotes.close()  # Arrow reads ahead, also after an error

    @contextmanager
    def _open_unchecked(self) -> Iterator[IO[bytes]]:
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
