"""Read an Iceberg table at one of its snapshots, through PyIceberg's own scan.

Which snapshot held at an instant is told by the table's log of its main branch. The catalog and its
credentials are PyIceberg's configuration: variables such as ``PYICEBERG_CATALOG__CRM__URI``, or
``.pyiceberg.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from segue.directory.column_kinds import ColumnKind
from segue.directory.lakes.files import NoFiles, TableShape
from segue.directory.lakes.history import Version, instant_of_millis, lake_errors
from segue.directory.parallel import Lazy
from segue.directory.parquet_parts import may_hold
from segue.directory.parts import FileGone, Part, Slice, read_errors
from segue.directory.plain_columns import ArrowArray, pc, plain_table
from segue.errors import DataError
from segue.extras import extra

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, Table

_PURPOSE = "an Iceberg table"


@dataclass(frozen=True)
class IcebergTable:
    """One Iceberg table: its metadata are read once, and no data file is asked for."""

    catalog: str
    place: str  # namespace and name in the catalog
    name: str  # of the table in the directory
    directory: str  # what messages call it

    @property
    def where(self) -> str:
        return f"{self.name} ({self.catalog}: {self.place})"

    @Lazy
    def versions(self) -> Sequence[Version]:
        versions: list[Version] = []
        for entry in self._table.history():
            if self._table.snapshot_by_id(entry.snapshot_id) is None:
                versions.clear()  # expired: what came before it is not whole any more
                continue
            since = instant_of_millis(entry.timestamp_ms)
            if versions and since < versions[-1].since:
                since = versions[-1].since  # a clock that went back changes no day that is over
            versions.append(Version(entry.snapshot_id, since))
        if not versions:
            raise DataError(f"{self.directory}, {self.where}: the table has no snapshot yet")
        return versions

    @Lazy
    def tags(self) -> Mapping[str, Version]:
        """The snapshots that have a name of their own."""
        tags = {
            name: self._table.snapshot_by_id(reference.snapshot_id)
            for name, reference in self._table.metadata.refs.items()
            if reference.snapshot_ref_type == "tag"
        }
        return {
            name: Version(snapshot.snapshot_id, instant_of_millis(snapshot.timestamp_ms))
            for name, snapshot in tags.items()
            if snapshot is not None
        }

    def identity(self, version: Version) -> str:
        return str(self._table.metadata.table_uuid)

    def parts(self, version: Version) -> list[Part]:
        return _parts(self, version)

    def open(self, version: Version) -> list[Part]:
        """Return the readers of a snapshot's files; its manifests are read."""
        from pyiceberg.io.pyarrow import schema_to_pyarrow

        where = f"{self.directory}, {self.where}, snapshot {version.number}"
        with lake_errors(where):
            scan = self._table.scan(snapshot_id=version.number)
            schema = scan.projection()
            types = schema_to_pyarrow(schema, include_field_ids=False)
            shape = TableShape(types, {name: name for name in types.names})
            tasks = sorted(scan.plan_files(), key=lambda task: task.file.file_path)
        files = [IcebergFile(self._table, schema, shape, task, self.name) for task in tasks]
        return [*files] or [NoFiles(self.name, shape)]

    @Lazy
    def _table(self) -> Table:
        with lake_errors(f"{self.directory}, {self.where}"):
            return _catalog(self.catalog).load_table(self.place)


@lru_cache(maxsize=8)
def _parts(table: IcebergTable, version: Version) -> list[Part]:
    """Return what a snapshot never changes: in one process its manifests are read once."""
    return table.open(version)


def _catalog(name: str) -> Catalog:
    """Return a catalog by PyIceberg's configuration, as it is now."""
    with extra("iceberg", _PURPOSE):
        from pyiceberg.utils.config import Config
    properties = Config().get_catalog_config(name)
    if properties is None:
        raise DataError(
            f"the catalog {name!r} is not configured: expected PYICEBERG_CATALOG__"
            f"{name.upper()}__URI and what else it needs in the environment, or {name!r} in "
            ".pyiceberg.yaml"
        )
    return _known_catalog(name, tuple(sorted(properties.items())))


@lru_cache(maxsize=8)
def _known_catalog(name: str, properties: tuple[tuple[str, Any], ...]) -> Catalog:
    from pyiceberg.catalog import load_catalog

    return load_catalog(name, **dict(properties))


@dataclass(frozen=True, eq=False)
class IcebergFile:
    """One data file of a snapshot, with the deletes that concern it; it is its only slice."""

    table: Table
    own_schema: Schema
    shape: TableShape
    task: FileScanTask
    prefix: str

    @property
    def name(self) -> str:
        return f"{self.prefix}/{self.task.file.file_path.rsplit('/', 1)[-1]}"

    @property
    def columns(self) -> list[str]:
        return self.shape.types.names

    @property
    def schema(self) -> pa.Schema:
        return self.shape.plain

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        return self.shape.kinds

    @property
    def is_utf8(self) -> bool:
        return False

    def slices(self) -> Sequence[Slice]:
        return [self]

    def count(self) -> int:
        if not self.task.delete_files:
            return int(self.task.file.record_count)
        return self._rows(self.columns[:1]).num_rows

    def read(
        self, columns: Sequence[str], id_column: str | None = None, only: ArrowArray | None = None
    ) -> pa.Table:
        if only is None or id_column is None:
            return plain_table(self._rows(columns), id_column)
        none = self.shape.empty(columns, id_column)
        if not may_hold(self.bounds(id_column), only):
            return none
        ids = plain_table(self._rows([id_column]), id_column)
        mask = pc.is_in(ids.column(0), value_set=only)
        if not pc.any(mask).as_py():
            return none
        return plain_table(self._rows(columns), id_column).filter(mask)

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        kind = self.own_schema.find_type(column)
        notes = (self.task.file.lower_bounds, self.task.file.upper_bounds)
        identifier = self.own_schema.find_field(column).field_id
        least, greatest = ((each or {}).get(identifier) for each in notes)
        if least is None or greatest is None:
            return None
        bounds = (_read_bound(kind, least), _read_bound(kind, greatest))
        return None if None in bounds else bounds

    def is_complete(self, column: str) -> bool:
        counts = self.task.file.null_value_counts or {}
        return counts.get(self.own_schema.find_field(column).field_id) == 0

    def _rows(self, columns: Sequence[str]) -> pa.Table:
        """Return columns of the rows that are not deleted, in the file's order."""
        from pyiceberg.expressions import AlwaysTrue
        from pyiceberg.io.pyarrow import ArrowScan

        names = list(dict.fromkeys(columns))
        schema = self.own_schema.select(*names)
        scan = ArrowScan(self.table.metadata, self.table.io, schema, AlwaysTrue())
        try:
            with lake_errors(self.name), read_errors(self.name):
                batches = list(scan.to_record_batches([self.task]))
        except FileGone:
            raise DataError(
                f"{self.name}: the file is gone: the snapshot was expired, or its files deleted"
            ) from None
        types = pa.schema([self.shape.types.field(name) for name in names])
        rows = [batch.select(names) for batch in batches]
        cast = [pa.Table.from_batches([batch]).cast(types) for batch in rows]
        return pa.concat_tables([types.empty_table(), *cast]).select(list(columns))


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _read_bound(kind: Any, value: bytes) -> Any:
    """Return a bound of a text, a date or a time; of texts it may be shorter than the value."""
    from pyiceberg.types import DateType, StringType, TimestampType, TimestamptzType
    from pyiceberg.utils import datetime as times

    if isinstance(kind, StringType):
        return _text(value)
    readers = {
        DateType: (4, times.days_to_date),
        TimestampType: (8, times.micros_to_timestamp),
        TimestamptzType: (8, times.micros_to_timestamptz),
    }
    size, read = readers.get(type(kind), (0, None))
    if read is None or len(value) != size:
        return None
    return read(int.from_bytes(value, "little", signed=True))
