"""The files below a folder, on any file system, and the table each of them belongs to.

A folder is listed once, recursively, never file by file: on object storage every question is a
request. Nothing here reads a file's content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from segue.directory.definition import STANDARD_COLUMNS
from segue.directory.look_alikes import looks_like_table
from segue.errors import DataError

TABLES = tuple(STANDARD_COLUMNS)
FORMATS: dict[str, Literal["parquet", "csv"]] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".csv.gz": "csv",
}
_CHECKSUMS = ("md5Hash", "ETag", "etag", "checksum", "content_md5", "crc32c")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_LAKES = {"_delta_log": "Delta", ".hoodie": "Hudi"}  # the folder of a log, and whose it is
_DEEPEST = 8  # levels followed below a local root, so that a loop of links ends


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file; ``version`` changes whenever its content does."""

    name: str  # relative to the folder that was listed, with slashes
    path: str  # as its file system knows it
    size: int
    version: str
    modified: datetime | None
    is_checksum: bool = False  # ``version`` follows from the content, not from the clock
    is_gone: bool = False  # a link to a file that is not there
    # ns; when a local file was last written or renamed, whatever its times say
    change_time: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """What is below a folder: its files by name, and the folders directly in it."""

    files: tuple[StoredFile, ...]
    folders: tuple[str, ...]


def list_folder(
    folder: UPath, where: str, is_entered: Callable[[str], bool] | None = None
) -> Listing:
    """Return everything below ``folder``; one that does not exist, or is a file, is empty.

    Of the folders directly in it only those that are ``entered`` are looked into; local ones that
    are not need not be readable, such as the ``lost+found`` of a mounted volume. Raises DataError,
    which begins with ``where``, if the file system cannot be asked.
    """
    with storage_errors(where):
        if isinstance(folder.fs, LocalFileSystem):
            entries = list(_local_entries(folder.path, is_entered))
        else:
            entries = list(_remote_entries(folder))
    files = [entry for entry in entries if isinstance(entry, StoredFile)]
    folders = {entry for entry in entries if isinstance(entry, str)}
    folders |= {_top(file.name) for file in files if "/" in file.name}
    return Listing(tuple(sorted(files, key=lambda file: file.name)), tuple(sorted(folders)))


def folders_in(folder: UPath, where: str) -> list[str]:
    """Return the names of the folders directly in ``folder``, sorted, from one flat listing.

    One that does not exist, or is a file, has none. Raises DataError as ``list_folder`` does.
    """
    with storage_errors(where), suppress(FileNotFoundError, NotADirectoryError):
        if isinstance(folder.fs, LocalFileSystem):
            with os.scandir(folder.path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        folder.fs.invalidate_cache()
        listing = folder.fs.ls(folder.path, detail=True)
        paths = {info["name"].strip("/") for info in listing if info["type"] == "directory"}
        return sorted(path.rsplit("/", 1)[-1] for path in paths - {folder.path.strip("/")})
    return []


def find_file(path: UPath, where: str) -> StoredFile | None:
    """Return one file, asked for alone; None where there is none."""
    with storage_errors(where), suppress(FileNotFoundError, NotADirectoryError):
        if isinstance(path.fs, LocalFileSystem):
            return _local_file(path.name, Path(path.path)) if path.is_file() else None
        path.fs.invalidate_cache()
        info = path.fs.info(path.path)
        return _remote_file(path.name, path.path, info) if info["type"] == "file" else None
    return None


def table_files(files: Iterable[StoredFile]) -> dict[str, list[StoredFile]]:
    """Return the files of each table that is there, by the table's name.

    ``contacts.parquet``, everything in ``contacts/``, and everything in a folder that is itself
    called ``contacts.parquet``, as Spark writes it. Names that begin with ``_`` or ``.`` are
    other programs' own files. Whether the files go together is for the reader to judge.
    """
    files_by_table: dict[str, list[StoredFile]] = {}
    for file in files:
        parts = file.name.split("/")
        if _is_private(file.name):
            continue
        table = _without_suffix(parts[0])
        if table in TABLES and (len(parts) > 1 or table != parts[0]):
            files_by_table.setdefault(table, []).append(file)
    return files_by_table


def unread_tables(listing: Listing, marker: str | None = None) -> list[str]:
    """Return the files and folders of a snapshot that seem to be tables and are none, sorted.

    A folder without a file, too, and a file in a folder of another name. Names that begin with
    ``_`` or ``.`` are other programs' own, and ``marker`` is the directory's.
    """
    table_names = {file.name for files in table_files(listing.files).values() for file in files}
    tables = set(map(_top, table_names))
    names = {file.name for file in listing.files if file.name != marker} - table_names
    tops = set(filter(looks_like_table, {*map(_top, names), *listing.folders} - tables))
    alike = tops | _tables_inside(names, tables | tops)
    return sorted(name for name in alike if not _is_private(name))


def _tables_inside(names: Iterable[str], others: set[str]) -> set[str]:
    """Return the files that look like tables, in folders that are none of ``others``."""
    inside = (name for name in names if "/" in name and _top(name) not in others)
    return {name for name in inside if looks_like_table(name.rsplit("/", 1)[-1])}


def _top(name: str) -> str:
    return name.split("/", maxsplit=1)[0]


def _is_private(name: str) -> bool:
    """Tell whether a file or folder is another program's own."""
    return any(part.startswith(("_", ".")) for part in name.split("/"))


def lake_of(table: str, files: Iterable[StoredFile]) -> str | None:
    """Return the format of a table's folder that keeps several versions; None for plain files.

    Their files hold rows that were deleted since: only their own log tells which count.
    """
    for file in files:
        top, *path = file.name.split("/")
        if path and _without_suffix(top) == table:
            lake = next((_LAKES[part] for part in path[:-1] if part in _LAKES), None)
            if lake is not None or path[-1].endswith(".metadata.json"):
                return lake or "Iceberg"
    return None


def suffix_of(name: str) -> str:
    """Return ``.parquet``, ``.csv`` or ``.csv.gz``; an empty string for any other file."""
    return next((suffix for suffix in FORMATS if name.lower().endswith(suffix)), "")


def without_password(location: object) -> str:
    """Return a path or URL for a message, without a password in it."""
    return re.sub(r"//[^/@]*@", "//***@", str(location))


@contextmanager
def storage_errors(where: str, what: str = "read") -> Iterator[None]:
    """Turn whatever a file system raises into a DataError that begins with ``where``."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"{where} needs a package to be {what}: {error}") from None
    except Exception as error:  # each fsspec implementation raises errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{where} cannot be {what}: {without_password(reason)}") from error


def _without_suffix(name: str) -> str:
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix else name


def _local_entries(
    root: str, is_entered: Callable[[str], bool] | None
) -> Iterator[StoredFile | str]:
    """Yield files, and the names of folders directly in ``root``; links are followed."""
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_raise_unless_missing):
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        if not prefix:
            yield from folders
            folders[:] = folders if is_entered is None else filter(is_entered, folders)
        if prefix.count("/") >= _DEEPEST:
            folders.clear()
        for name in names:
            with suppress(FileNotFoundError):  # gone since
                yield _local_file(prefix + name, Path(folder, name))


def _local_file(name: str, path: Path) -> StoredFile:
    """Return a file; of a link to nowhere the link, whose content nobody can read."""
    is_gone = False
    try:
        status = path.stat()
    except FileNotFoundError:
        status, is_gone = path.lstat(), True
    time = datetime.fromtimestamp(status.st_mtime, UTC)
    return StoredFile(
        name,
        str(path),
        status.st_size,
        str(status.st_mtime_ns),
        time,
        is_gone=is_gone,
        change_time=status.st_ctime_ns,
    )


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _remote_entries(folder: UPath) -> Iterator[StoredFile | str]:
    """Yield files, and the names of folders directly in ``folder``, from one fresh listing."""
    root = folder.path.rstrip("/")
    folder.fs.invalidate_cache()  # a sensor asks again and again in one process
    for path, info in folder.fs.find(folder.path, withdirs=True, detail=True).items():
        name = path.rstrip("/")[len(root) :].lstrip("/")
        if info["type"] == "file" and name:
            yield _remote_file(name, path, info)
        elif info["type"] == "directory" and name and "/" not in name:
            yield name


def _remote_file(name: str, path: str, info: Mapping[str, Any]) -> StoredFile:
    time = next((_instant(info[key]) for key in _TIMES if info.get(key)), None)
    checksum = next((str(info[key]) for key in _CHECKSUMS if info.get(key)), None)
    version = checksum or (time.isoformat() if time else "")
    size = int(info.get("size") or 0)
    return StoredFile(name, path, size, version, time, is_checksum=checksum is not None)


def _instant(value: Any) -> datetime | None:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
