"""Publish a snapshot: its files under names of their own, then, at once, the manifest that counts.

Whoever is killed leaves files that nobody reads; of two that take one snapshot the first to write
the manifest has taken it. No lock is held, so none is left behind, and none expires too early.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from segue.directory.layout import find_file, list_folder, storage_errors, without_password
from segue.directory.manifest import MANIFEST, OF_A_TAKE, Manifest, read_manifest
from segue.errors import DataError

_ROWS_OF_A_GROUP = 100_000  # at least, but in the last: drivers give some hundred at a time


class Publication:
    """The files that one take writes into the folder of its snapshot."""

    def __init__(self, folder: UPath, *, replaces: bool) -> None:
        """``replaces``: they are to take the place of what the snapshot is, where it is one."""
        self._folder = folder
        self._fs: AbstractFileSystem = folder.fs
        self._replaces = replaces
        self._token = secrets.token_hex(6)
        self.where = f"the folder {without_password(folder)}"
        self.names: list[str] = []

    def part(self, table: str, schema: pa.Schema) -> PartFile:
        """Return the next file of a table, to be written in ``schema``."""
        count = sum(name.startswith(f"{table}/") for name in self.names)
        kind = "again" if self._replaces else "part"
        name = f"{table}/{kind}-{self._token}-{count:04}.parquet"
        self.names.append(name)
        with storage_errors(self.where, "written"):
            while True:
                self._fs.makedirs(f"{self._folder.path}/{table}", exist_ok=True)
                with suppress(FileNotFoundError):  # another take withdrew, its empty folder too
                    return PartFile(self._fs, self._path(name), schema, self.where)

    def sizes(self) -> dict[str, int]:
        """Return the size in bytes of each file that was written."""
        with storage_errors(self.where):
            return {name: int(self._fs.size(self._path(name))) for name in self.names}

    def commit(self, manifest: Manifest) -> bool:
        """Make the files the snapshot; False where another take has been first."""
        content = manifest.to_json().encode()
        with storage_errors(self.where, "written"):
            earlier = self._manifest()
            if self._replaces:
                self._replace(content)
            elif not self._create(content):
                self.withdraw()
                return False
        self._clear_away(() if earlier is None else earlier.files, manifest.files)
        return True

    def discard(self, table: str) -> None:
        """Delete what was written of a table, which is read once more."""
        names = [name for name in self.names if name.split("/")[0] == table]
        self._delete(names)
        self.names = [name for name in self.names if name not in names]

    def withdraw(self) -> None:
        """Delete what was written, unless it is the snapshot by now.

        Whoever is ended after the manifest was written has published. Where nobody can tell, files
        stay that nobody reads.
        """
        try:
            manifest = self._manifest()
        except DataError:  # of a storage that is away; whoever calls has an error of its own
            return
        if manifest is not None and not manifest.files.keys().isdisjoint(self.names):
            return
        self._delete(self.names)
        if isinstance(self._fs, LocalFileSystem):
            folders = {name.split("/")[0] for name in self.names}
            for folder in (*(self._path(name) for name in folders), self._folder.path):
                with suppress(OSError):  # somebody else's files are in it
                    Path(folder).rmdir()

    def is_late(self) -> bool:
        """Tell whether another take has published the snapshot, and so deleted what was written."""
        return not self._replaces and find_file(self._folder / MANIFEST, self.where) is not None

    def _create(self, content: bytes) -> bool:
        path = self._path(MANIFEST)
        try:
            if isinstance(self._fs, LocalFileSystem):
                aside = self._aside(content)
                try:
                    os.link(aside, path)  # fails where it is there, whole or not at all
                finally:
                    aside.unlink()
                _sync_folder(aside.parent)
            else:
                self._fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def _replace(self, content: bytes) -> None:
        if isinstance(self._fs, LocalFileSystem):
            aside = self._aside(content)
            aside.replace(self._path(MANIFEST))
            _sync_folder(aside.parent)
        else:
            self._fs.pipe_file(self._path(MANIFEST), content)

    def _aside(self, content: bytes) -> Path:
        path = Path(self._path(f"_segue.{self._token}"))
        with path.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        return path

    def _manifest(self) -> Manifest | None:
        """Return what the snapshot is now; None where nobody published it, or not as Segue does."""
        file = find_file(self._folder / MANIFEST, self.where)
        return None if file is None else read_manifest(file, self._fs, self.where)

    def _clear_away(self, earlier: Iterable[str], present: Collection[str]) -> None:
        """Delete what was the snapshot before, and what takes left that were ended.

        Once there is a manifest none of these can publish theirs: only who replaces can, whose
        files have other names, so that of two none deletes what the other is about to publish.
        """
        files = list_folder(self._folder, self.where).files
        matches = (OF_A_TAKE.fullmatch(file.name) for file in files)
        strays = {match[0] for match in matches if match and match["kind"] == "part"}
        self._delete(sorted({*earlier, *strays} - {*present}))

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):  # what stays is read by nobody
                self._fs.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._folder.path.rstrip('/')}/{name}"


class PartFile:
    """One file of a table."""

    def __init__(self, fs: AbstractFileSystem, path: str, schema: pa.Schema, where: str) -> None:
        self._where = where
        self._stream = fs.open(path, "wb")
        self._is_local = isinstance(fs, LocalFileSystem)
        self._writer = pq.ParquetWriter(self._stream, schema, compression="zstd")
        self._pending: list[pa.RecordBatch] = []
        self.schema = schema

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows of the file's schema."""
        self._pending.append(batch)
        if sum(each.num_rows for each in self._pending) >= _ROWS_OF_A_GROUP:
            with storage_errors(self._where, "written"):
                self._write_group()

    def _write_group(self) -> None:
        rows = pa.Table.from_batches(self._pending, self.schema)
        self._writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
        self._pending.clear()

    def close(self) -> None:
        """End the file, so that it outlasts the machine's."""
        with storage_errors(self._where, "written"):
            if self._pending:
                self._write_group()
            self._writer.close()
            if self._is_local:
                self._stream.flush()
                os.fsync(self._stream.fileno())
            self._stream.close()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
