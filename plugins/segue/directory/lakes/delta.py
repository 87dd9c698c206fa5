"""Read a Delta table at one of its versions.

Which version held at an instant is told by Delta's own rule (its protocol, "In-Commit Timestamps"
and "Time travel"): the time in the commit where the table has them, else when the log's file was
written, each commit later than the one before it.
"""

from __future__ import annotations

import json
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as arrow_fs
from fsspec import AbstractFileSystem
from fsspec.implementations.arrow import ArrowFSWrapper
from fsspec.implementations.local import LocalFileSystem

from segue.directory.lakes.files import LakeFile, TableShape, parts_or_none
from segue.directory.lakes.history import (
    Version,
    instant_of_millis,
    lake_errors,
)
from segue.directory.layout import without_password
from segue.directory.parallel import Lazy
from segue.directory.parquet_parts import ParquetPart
from segue.directory.parts import Part
from segue.directory.plain_columns import ArrowArray, ArrowColumn, plain
from segue.errors import DataError
from segue.extras import extra

if TYPE_CHECKING:
    from deltalake import DeltaTable

_LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\..+")
_TICK = timedelta(milliseconds=1)
_HEAD = 1 << 16  # bytes of a commit in which its first line is looked for
# what a reader must know of a table and this one does; of widened types values are cast
_FEATURES = {
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "variantType",
    "variantType-preview",
    "vacuumProtocolCheck",
}
_MAPPED_NAME = "delta.columnMapping.physicalName"


@dataclass(frozen=True)
class DeltaLog:
    """The log of one Delta table: its commits are listed once, and no data file is asked for."""

    place: str
    name: str  # of the table in the directory
    directory: str  # what messages call it

    @property
    def where(self) -> str:
        return f"{self.name} ({without_password(self.place)})"

    @Lazy
    def versions(self) -> Sequence[Version]:
        where = f"{self.directory}, {self.where}"
        with lake_errors(where):
            files = self._log_files()
            commits = _kept_commits(files)
            if not commits:
                why = "no commit with all that came before it" if files else f"no folder {_LOG}"
                raise DataError(f"{where}: is no Delta table that can be read: it has {why}")
            return CommitTimes(commits, self._noted_time)

    @property
    def tags(self) -> Mapping[str, Version]:
        return {}

    def identity(self, version: Version) -> str:
        return _opened(self, version)[0]

    def parts(self, version: Version) -> list[Part]:
        return _opened(self, version)[1]

    def open(self, version: Version) -> tuple[str, list[Part]]:
        """Return the table's id, and the readers of a version's files."""
        where = f"{self.directory}, {self.where}, version {version.number}"
        with lake_errors(where):
            table = self._table(version.number)
            _require_known_features(table, where)
            shape = _shape(table)
            files = list(self._files(table, shape, version))
            return str(table.metadata().id), parts_or_none(files, self.name, shape)

    def _files(self, table: DeltaTable, shape: TableShape, version: Version) -> Iterator[LakeFile]:
        actions = pa.table(table.get_add_actions())
        masks = _masks(table) if _has_feature(table, "deletionVectors") else {}
        why_gone = (
            f"the file is gone, so that version {version.number}, of "
            f"{version.since:%Y-%m-%dT%H:%M:%SZ}, can no longer be read: the table was vacuumed; "
            "its delta.deletedFileRetentionDuration says how long it keeps its past"
        )
        for action in sorted(actions.to_pylist(), key=lambda each: each["path"]):
            path = unquote(action["path"])
            if "://" in path or path.startswith("/"):
                raise DataError(f"has files in another folder ({without_password(path)})")
            file = ParquetPart(f"{self.name}/{path}", self._path(path), self._fs)
            constants = action.get("partition") or {}
            mask = next((mask for end, mask in masks.items() if end.endswith(f"/{path}")), None)
            yield LakeFile(file, shape, constants, action["num_records"], mask, why_gone)

    def _path(self, path: str) -> str:
        return str(Path(self._root, path)) if self._is_local else path

    @property
    def _is_local(self) -> bool:
        return "://" not in self.place or self.place.startswith("file://")

    @property
    def _root(self) -> str:
        return self.place.removeprefix("file://")

    @Lazy
    def _fs(self) -> AbstractFileSystem:
        if self._is_local:
            return LocalFileSystem()
        return ArrowFSWrapper(self._arrow_fs, skip_instance_cache=True)

    @Lazy
    def _arrow_fs(self) -> arrow_fs.FileSystem:
        """The table's folder as the library reads it, with the environment's credentials."""
        if self._is_local:
            return arrow_fs.SubTreeFileSystem(self._root, arrow_fs.LocalFileSystem())
        from deltalake.fs import DeltaStorageHandler

        return arrow_fs.PyFileSystem(DeltaStorageHandler(self.place, _storage_options()))

    def _log_files(self) -> dict[str, datetime]:
        """Return when each file of the log was written, by name; none where there is no log."""
        with extra("delta", "a Delta table"):
            import deltalake  # noqa: F401 - of local files only Arrow is used here
        selector = arrow_fs.FileSelector(_LOG, allow_not_found=True)
        infos = self._arrow_fs.get_file_info(selector)
        times = {info.base_name: info.mtime for info in infos if info.is_file}
        return {name: time.astimezone(UTC) for name, time in times.items() if time is not None}

    def _noted_time(self, number: int) -> datetime | None:
        """Return a commit's own time; None where it has none."""
        with (
            lake_errors(f"{self.directory}, {self.where}"),
            self._arrow_fs.open_input_file(f"{_LOG}/{number:020}.json") as file,
        ):
            first = json.loads(bytes(file.read(_HEAD)).partition(b"\n")[0])
        millis = first.get("commitInfo", {}).get("inCommitTimestamp")
        return None if millis is None else instant_of_millis(millis)

    def _table(self, number: int) -> DeltaTable:
        from deltalake import DeltaTable

        place = self._root if self._is_local else self.place
        return DeltaTable(place, version=number, storage_options=_storage_options())


@lru_cache(maxsize=8)
def _opened(log: DeltaLog, version: Version) -> tuple[str, list[Part]]:
    """Return what a version never changes: in one process it is loaded once, footers and all."""
    return log.open(version)


class CommitTimes(Sequence[Version]):
    """The versions of a table with their times, each later than the one before it.

    A commit that notes its time is read when somebody asks for it: of a long log a few are.
    """

    def __init__(
        self, written: Mapping[int, datetime], noted_time: Callable[[int], datetime | None]
    ) -> None:
        self._numbers, self._noted_time = list(written), cache(noted_time)
        first = len(self._numbers)
        if self._noted_time(self._numbers[-1]) is not None:
            first = bisect_left(self._numbers, 1, key=self._is_noted)
        self._times: list[datetime] = []  # of those whose file tells
        for number in self._numbers[:first]:
            time = _in_millis(written[number])
            self._times.append(max(time, self._times[-1] + _TICK) if self._times else time)
        if self._times and first < len(self._numbers):
            self._keep_before(self._time_noted(first))

    def _is_noted(self, number: int) -> int:
        return int(self._noted_time(number) is not None)

    def _keep_before(self, limit: datetime) -> None:
        """Of a table that was copied the files are younger than what its commits note."""
        for index in reversed(range(len(self._times))):
            limit -= _TICK
            self._times[index] = min(self._times[index], limit)

    def _time_noted(self, index: int) -> datetime:
        time = self._noted_time(self._numbers[index])
        assert time is not None  # the newest has one, and so have all from the first on that has
        return time

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Version: ...

    @overload
    def __getitem__(self, index: slice) -> list[Version]: ...

    def __getitem__(self, index: int | slice) -> Version | list[Version]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        times = self._times
        time = times[index] if index < len(times) else self._time_noted(index)
        return Version(self._numbers[index], time)


def _in_millis(time: datetime) -> datetime:
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _kept_commits(files: Mapping[str, datetime]) -> dict[int, datetime]:
    """Return the commits that can still be read, with the time of each file, in order.

    Those from a checkpoint on, or from the first one, up to the last, without a gap.
    """
    matches = {match: time for name, time in files.items() if (match := _COMMIT.fullmatch(name))}
    written = {int(match[1]): time for match, time in matches.items()}
    if not written:
        return {}
    last = first = max(written)
    while first - 1 in written:
        first -= 1
    checkpoints = {int(match[1]) for name in files if (match := _CHECKPOINT.fullmatch(name))}
    oldest = min((each for each in checkpoints | {0} if first <= each <= last), default=None)
    if first - 1 in checkpoints:  # whose own commit was cleaned away
        oldest = first
    if oldest is None:
        return {}
    return {number: written[number] for number in range(oldest, last + 1)}


def _storage_options() -> dict[str, str]:
    """Return what the library asks for beside the environment's variables."""
    is_plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return {"AWS_ALLOW_HTTP": "true"} if is_plain else {}


def _has_feature(table: DeltaTable, feature: str) -> bool:
    return feature in (table.protocol().reader_features or ())


def _require_known_features(table: DeltaTable, where: str) -> None:
    unknown = sorted({*(table.protocol().reader_features or ())} - _FEATURES)
    if unknown:
        raise DataError(
            f"{where}: the table asks its readers for {', '.join(unknown)}, which are not known; "
            f"known: {', '.join(sorted(_FEATURES))}"
        )


def _shape(table: DeltaTable) -> TableShape:
    """Return a table's columns; where it maps them, by which names its files have them."""
    schema = table.schema()
    fields = json.loads(schema.to_json())["fields"]
    names = {each["name"]: each["metadata"].get(_MAPPED_NAME, each["name"]) for each in fields}
    types: pa.Schema = pa.schema(cast("Any", schema.to_arrow()))
    nested = [each for each in fields if _is_mapped_within(each["type"])]
    converters = {
        each["name"]: partial(_renamed_within, of=each["type"], into=types.field(each["name"]).type)
        for each in nested
    }
    return TableShape(types, names, converters)


def _is_mapped_within(kind: Any) -> bool:
    return isinstance(kind, Mapping) and _MAPPED_NAME in json.dumps(kind)


def _renamed_within(values: ArrowColumn, of: Any, into: pa.DataType) -> ArrowColumn:
    """Return structs under the table's names for their fields."""
    rows = [_renamed(value, of) for value in values.to_pylist()]
    return plain(pa.chunked_array([pa.array(rows, into)]))


def _renamed(value: Any, of: Any) -> Any:
    if value is None or not isinstance(of, Mapping):
        return value
    if of["type"] == "array":
        return [_renamed(each, of["elementType"]) for each in value]
    if of["type"] == "map":
        kinds = (of["keyType"], of["valueType"])
        return [tuple(map(_renamed, pair, kinds)) for pair in value]
    return {
        each["name"]: _renamed(value.get(each["metadata"].get(_MAPPED_NAME)), each["type"])
        for each in of["fields"]
    }


def _masks(table: DeltaTable) -> dict[str, ArrowArray]:
    """Return which rows of a file are not deleted, by its whole address."""
    reader: Any = pa.RecordBatchReader.from_stream(table.deletion_vectors())
    return {
        unquote(path.as_py()): mask.values
        for batch in reader
        for path, mask in zip(*map(batch.column, ("filepath", "selection_vector")), strict=True)
    }
