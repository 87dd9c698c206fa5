"""The snapshots of a directory that reads tables of a lake: which days all of them still know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from segue.directory.completeness import why_early
from segue.directory.definition import DirectoryDefinition
from segue.directory.lakes.history import LakeTable, Version, describe_oldest, version_at
from segue.directory.parallel import in_parallel
from segue.directory.parts import Part
from segue.directory.snapshot_keys import key_of_folder, parse_key
from segue.directory.snapshots import Snapshot
from segue.directory.take_source import TableName
from segue.errors import DataError

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LakeSnapshot(Snapshot):
    """A lake's tables at one instant; a table is asked for its version when somebody reads it."""

    tables: Mapping[str, LakeTable] = field(default_factory=dict, compare=False, kw_only=True)
    tag: str | None = field(default=None, kw_only=True)

    def version(self, table: str) -> Version:
        """Return a table's version: that of the tag, or what held before as-of."""
        lake_table = self.tables[table]
        version = lake_table.tags.get(self.tag) if self.tag else version_at(lake_table, self.as_of)
        if version is None:
            raise DataError(describe_oldest(lake_table))
        return version

    def parts(self, table: str) -> list[Part]:
        """Return the readers of a table's files; raise DataError where they cannot be told."""
        return self.tables[table].parts(self.version(table))

    @property
    def content(self) -> list[tuple[str, str, int]]:
        """Each table, its identity and the number of its version, sorted."""
        versions = {name: self.version(name) for name in self.tables}
        return sorted(
            (name, self.tables[name].identity(version), version.number)
            for name, version in versions.items()
        )


def lake_snapshots(directory: DirectoryDefinition, now: datetime) -> list[LakeSnapshot]:
    """Return the snapshots that all tables still know, in ascending order of as-of.

    Of days and hours those that are over. Raises DataError where a table cannot be asked.
    """
    tables = _tables(directory)
    assert directory.lake is not None
    tagged = directory.lake.keys == "tags"
    snapshots = _tagged(directory, tables, now) if tagged else _timed(directory, tables, now)
    start = directory.lake.start_instant(directory.zone)
    return sorted(each for each in snapshots if start is None or each.as_of > start)


def describe_unknown(directory: DirectoryDefinition, as_of: datetime) -> str | None:
    """Say which tables no longer know an instant, or did not yet; None where all do."""
    tables = _tables(directory).values()
    lacking = [describe_oldest(each) for each in tables if version_at(each, as_of) is None]
    return "; ".join(lacking) or None


def describe_beginning(directory: DirectoryDefinition) -> str | None:
    """Say since when all tables of a lake are known; None where its snapshots are tags."""
    if directory.lake is None or directory.lake.keys == "tags":
        return None
    since = max(table.versions[0].since for table in _tables(directory).values())
    unit = "day" if directory.lake.keys == "daily" else "hour"
    return (
        f"its tables are known since {since:%Y-%m-%dT%H:%M:%SZ}, and there is a snapshot of each "
        f"{unit} that ends after that, once it is over"
    )


def _tables(directory: DirectoryDefinition) -> Mapping[TableName, LakeTable]:
    """Return the tables, each asked for its history."""
    assert directory.lake is not None
    lake, where = directory.lake, f"directory {directory.directory}"

    def opened(name: TableName) -> LakeTable:
        place = lake.tables[name]
        table = _iceberg(lake.catalog, place, name, where) if lake.catalog else None
        table = table or _delta(place, name, where)
        assert table.versions
        return table

    return dict(zip(lake.tables, in_parallel(opened, list(lake.tables)), strict=True))


def _iceberg(catalog: str, place: str, name: str, where: str) -> LakeTable:
    from segue.directory.lakes.iceberg import IcebergTable

    return IcebergTable(catalog, place, name, where)


def _delta(place: str, name: str, where: str) -> LakeTable:
    from segue.directory.lakes.delta import DeltaLog

    return DeltaLog(place, name, where)


def _timed(
    directory: DirectoryDefinition, tables: Mapping[TableName, LakeTable], now: datetime
) -> Iterator[LakeSnapshot]:
    assert directory.lake is not None
    since = max(table.versions[0].since for table in tables.values())
    keys = _days if directory.lake.keys == "daily" else _hours
    for key in keys(directory, since, now):
        reading = parse_key(directory, key)
        assert reading is not None
        as_of = reading[1]
        if since < as_of <= now:
            yield _snapshot(directory, reading, tables, now)


def _days(directory: DirectoryDefinition, since: datetime, now: datetime) -> Iterator[str]:
    """Yield days whose as-of may lie between two instants, and one more at each end."""
    day = since.astimezone(directory.zone).date() - timedelta(days=1)
    last: date = now.astimezone(directory.zone).date()
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)


def _hours(_: DirectoryDefinition, since: datetime, now: datetime) -> Iterator[str]:
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while hour <= now:
        yield hour.isoformat()
        hour += _HOUR


def _tagged(
    directory: DirectoryDefinition, tables: Mapping[TableName, LakeTable], now: datetime
) -> Iterator[LakeSnapshot]:
    """Yield what tags that all tables have name; others' are no keys, as with folders."""
    common = set.intersection(*(set(table.tags) for table in tables.values()))
    keys: dict[str, str] = {}
    for tag in sorted(common):
        reading = key_of_folder(directory, tag)
        if reading is None:
            continue
        if reading[0] in keys:
            raise DataError(
                f"directory {directory.directory}: the tags {keys[reading[0]]!r} and {tag!r} are "
                f"both snapshot {reading[0]}; keep one of them"
            )
        keys[reading[0]] = tag
        yield _snapshot(directory, reading, tables, now, tag)


def _snapshot(
    directory: DirectoryDefinition,
    reading: tuple[str, datetime],
    tables: Mapping[TableName, LakeTable],
    now: datetime,
    tag: str | None = None,
) -> LakeSnapshot:
    key, as_of = reading
    why = why_early(directory, as_of, now)
    if why is None and tag is None:
        why = _why_unsettled(directory, as_of, now)
    of_names = {str(name): table for name, table in tables.items()}
    return LakeSnapshot(key, as_of, None, why is None, why, tables=of_names, tag=tag)


def _why_unsettled(directory: DirectoryDefinition, as_of: datetime, now: datetime) -> str | None:
    """Say that a commit of before as-of may still appear: clocks and writers take a while."""
    if now < directory.settle.after(as_of, directory.zone):
        return f"its as-of was less than {directory.settle} ago: a commit may still be on its way"
    return None
