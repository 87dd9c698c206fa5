"""Open the files of one table: each with the reader of its format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fsspec import AbstractFileSystem

from segue.directory.csv_parts import CsvPart
from segue.directory.layout import FORMATS, StoredFile, suffix_of
from segue.directory.parquet_parts import ParquetPart
from segue.directory.parts import Part
from segue.errors import DataError


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
