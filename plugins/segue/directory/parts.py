"""What a file of a table can be asked, whatever its format; how reading one fails.

A part gives *plain* columns. Errors carry the reason only, never a cell's content; the caller knows
directory and snapshot.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa

from segue.directory.column_kinds import ColumnKind
from segue.directory.plain_columns import ArrowArray
from segue.errors import DataError


class FileGone(DataError):
    """A file is no longer where it was when its table was listed."""


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
        self, columns: Sequence[str], id_column: str | None = None, only: ArrowArray | None = None
    ) -> pa.Table:
        """Return the asked columns in file order; ``only`` keeps the rows of these contacts."""

    @property
    def is_utf8(self) -> bool:
        """Whether reading a column proves that its text is UTF-8."""

    def slices(self) -> Sequence[Slice]:
        """Return the parts of the file that can be read alone, in file order."""

    def count(self) -> int:
        """Return the number of rows; of a Parquet file its footer says so."""


@contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Turn what Arrow and file systems raise into a DataError that begins with the file's name."""
    try:
        yield
    except DataError as error:
        raise error if str(error).startswith(name) else DataError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise FileGone(f"{name}: the file is gone") from None
    except UnicodeDecodeError:
        raise DataError(f"{name}: cannot be read: it is not UTF-8 text") from None
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
