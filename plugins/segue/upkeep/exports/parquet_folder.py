"""A folder of Parquet files, on a disk or at any URL that fsspec opens.

``NAMESPACE/TABLE/000012.parquet`` has what export 12 took of a table, and the manifest,
``NAMESPACE/manifest.json``, names every file that counts. It is written last, and whole: files of
an export that did not come to its end are not in it, and the next export takes them away.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy.exc import SQLAlchemyError
from upath import UPath

from segue.directory.layout import without_password
from segue.directory.whole_files import whole_file
from segue.errors import DataError, SegueError, SettingsError
from segue.extras import storage_path
from segue.ledger.feed import Forgotten, Mark
from segue.ledger.feed_columns import FEED, OF_CONTACTS, ColumnType, FeedTable
from segue.upkeep.exports.export import Finished

FORMAT = 1
MANIFEST = "manifest.json"
_TYPES: Mapping[ColumnType, pa.DataType] = {
    ColumnType.TEXT: pa.string(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}
_ROWS_OF_A_GROUP = 100_000


def arrow_schema(table: FeedTable) -> pa.Schema:
    """Return the columns of a table's files: the number of the export, and those of the feed."""
    fields = [pa.field(each.name, _TYPES[each.type]) for each in table.columns]
    return pa.schema([pa.field("export", pa.int64()), *fields])


@dataclass
class _Parcel:
    folder: ParquetFolder
    namespace: str
    number: int
    files: list[dict[str, Any]]  # of the manifest: path, table, export, rows
    exports: list[dict[str, Any]]
    replaced: list[str] = field(default_factory=list)

    def add(self, table: FeedTable, rows: Iterable[Sequence[Sequence[Any]]]) -> int:
        batches = iter(rows)
        first = next((batch for batch in batches if batch), None)
        if first is None:
            return 0
        path = f"{table.name}/{self.number:06}.parquet"
        with self._writer(path, arrow_schema(table)) as writer:
            count = _write_rows(writer, table, self.number, chain([first], batches))
        self.files.append(self.entry(path, table.name, self.number, count))
        return count

    def erase(self, forgotten: Forgotten) -> int:
        count = 0
        for entry in [each for each in self.files if each["table"] in OF_CONTACTS]:
            lines = self._lines_of(entry, forgotten)
            if not lines:
                continue
            self.files.remove(entry)
            self.replaced.append(entry["path"])
            if len(lines) < entry["rows"]:
                self.files.append(self._rewritten(entry, forgotten, entry["rows"] - len(lines)))
            count += len(lines)
        return count

    def finish(self, mark: Mark, rows: Mapping[str, int], now: datetime) -> None:
        entry = {"export": self.number, "exported_at": now.isoformat(), "rows": dict(rows)}
        self.exports.append(entry)
        content = {
            "format": FORMAT,
            "namespace": self.namespace,
            "mark": asdict(mark),
            "exports": self.exports,
            "files": sorted(self.files, key=lambda each: (each["table"], each["export"])),
        }
        path = self.folder.path_of(self.namespace, MANIFEST)
        with whole_file(self.folder.fs, path) as file:
            file.write(json.dumps(content, indent=1).encode())
        for each in self.replaced:
            self.folder.fs.rm(self.folder.path_of(self.namespace, each))

    @contextmanager
    def _writer(self, path: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        target = self.folder.path_of(self.namespace, path)
        with (
            whole_file(self.folder.fs, target) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            yield writer

    @contextmanager
    def _opened(self, entry: Mapping[str, Any]) -> Iterator[pq.ParquetFile]:
        path = self.folder.path_of(self.namespace, entry["path"])
        with self.folder.fs.open(path, "rb") as file:
            yield pq.ParquetFile(file)

    def _lines_of(self, entry: Mapping[str, Any], forgotten: Forgotten) -> list[int]:
        """Return which rows of a file name a forgotten contact."""
        with self._opened(entry) as file:
            batches = file.iter_batches(columns=["contact_id"])
            ids = (str(value) for batch in batches for value in batch.column(0).to_pylist())
            return [line for line, value in enumerate(ids) if value in forgotten]

    def _rewritten(
        self, entry: Mapping[str, Any], forgotten: Forgotten, count: int
    ) -> dict[str, Any]:
        table, number = FEED[entry["table"]], entry["export"]
        path = f"{table.name}/{number:06}-{self.number:06}.parquet"
        with self._opened(entry) as file, self._writer(path, file.schema_arrow) as writer:
            for batch in file.iter_batches(_ROWS_OF_A_GROUP):
                ids = map(str, batch.column("contact_id").to_pylist())
                others = pa.array([each not in forgotten for each in ids])
                writer.write_batch(batch.filter(others))
        return self.entry(path, table.name, number, count)

    @staticmethod
    def entry(path: str, table: str, number: int, rows: int) -> dict[str, Any]:
        return {"path": path, "table": table, "export": number, "rows": rows}


class ParquetFolder:
    """The folder below which each namespace has its files."""

    def __init__(self, place: str) -> None:
        try:
            root = storage_path(place)
        except ValueError as error:  # of a scheme that fsspec has nothing for
            raise SettingsError(
                f"{place} cannot be exported to: {error}; allowed: a folder, a URL that fsspec "
                "opens, airflow://conn_id"
            ) from None
        is_local = isinstance(root.fs, LocalFileSystem)
        # one folder has one address, by which exports to it keep apart
        self.root = UPath(Path(root.path).resolve()) if is_local else root
        self.address = str(self.root)
        self.fs = self.root.fs

    def path_of(self, namespace: str, name: str) -> str:
        """Return the path of a file as the file system has it."""
        return str((self.root / namespace / name).path)

    def newest(self, namespace: str) -> Finished | None:
        """Return what the manifest says; None where there is none."""
        with self._reachable():
            content = self._manifest(namespace)
        return None if content is None else _finished(content)

    @contextmanager
    def begin(self, namespace: str, number: int) -> Iterator[_Parcel]:
        """Begin an export; files that no manifest names go."""
        with self._reachable():
            content = self._manifest(namespace) or {"files": [], "exports": []}
            self._remove_others(namespace, {each["path"] for each in content["files"]})
            yield _Parcel(self, namespace, number, content["files"], content["exports"])

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Turn whatever a file system raises into an error of one line; the ledger's pass."""
        try:
            yield
        except (SegueError, SQLAlchemyError):
            raise
        except Exception as error:  # each fsspec implementation raises errors of its own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            where = without_password(self.address)
            raise DataError(f"{where} cannot be exported to: {without_password(reason)}") from error

    def _manifest(self, namespace: str) -> dict[str, Any] | None:
        path = self.path_of(namespace, MANIFEST)
        try:
            content: dict[str, Any] = json.loads(self.fs.cat_file(path))
            is_ours = content["format"] == FORMAT
            _finished(content)
            content["files"] = [
                _Parcel.entry(each["path"], each["table"], each["export"], each["rows"])
                for each in content["files"]
            ]
        except FileNotFoundError:
            return None
        except (ValueError, LookupError, TypeError):
            is_ours = False
        if not is_ours:
            raise SettingsError(f"{path} is no manifest of an export in format {FORMAT}")
        return content

    def _remove_others(self, namespace: str, paths: set[str]) -> None:
        for table in FEED:
            folder = self.path_of(namespace, table)
            with suppress(FileNotFoundError):
                for path in self.fs.ls(folder, detail=False):
                    if f"{table}/{posixpath.basename(path)}" not in paths:
                        self.fs.rm(path)


def _finished(content: Mapping[str, Any]) -> Finished:
    return Finished(int(content["exports"][-1]["export"]), Mark(**content["mark"]))


def _write_rows(
    writer: pq.ParquetWriter,
    table: FeedTable,
    number: int,
    batches: Iterable[Sequence[Sequence[Any]]],
) -> int:
    """Write rows in groups of ``_ROWS_OF_A_GROUP``; return how many."""
    schema, count = arrow_schema(table), 0
    for group in _groups(batches):
        columns: list[Any] = [pa.array([number] * len(group), pa.int64())]
        types = schema.types[1:]
        values = zip(*group, strict=True)
        columns += [_array(each, kind) for each, kind in zip(values, types, strict=True)]
        writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        count += len(group)
    return count


def _array(values: Sequence[Any], kind: pa.DataType) -> Any:
    if kind == pa.bool_():  # 0 and 1 in the ledger
        values = [None if value is None else bool(value) for value in values]
    return pa.array(values, kind)


def _groups(batches: Iterable[Sequence[Sequence[Any]]]) -> Iterator[list[Sequence[Any]]]:
    group: list[Sequence[Any]] = []
    for batch in batches:
        group.extend(batch)
        if len(group) >= _ROWS_OF_A_GROUP:
            yield group
            group = []
    if group:
        yield group
