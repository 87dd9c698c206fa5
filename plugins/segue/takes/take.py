"""Take one snapshot: read every table, check what was written, publish it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from upath import UPath

from segue.contacts.columns_read import find_losses
from segue.directory.definition import DirectoryDefinition
from segue.directory.layout import list_folder
from segue.directory.manifest import Manifest
from segue.directory.snapshot_check import check_snapshot
from segue.directory.snapshots import Snapshot, list_snapshots, newest_complete
from segue.directory.tables import SnapshotTables, readable
from segue.errors import DataError
from segue.extras import storage_path
from segue.ledger import Ledger
from segue.segments.expectations.judging import find_unmet
from segue.takes.moments import Moment
from segue.takes.own_days import refuse_unknown_day
from segue.takes.publication import Publication
from segue.takes.reader import DatabaseReader, TakeReader
from segue.takes.tables import write_table
from segue.workflows.catalog import Catalog

_log = logging.getLogger(__name__)
_BETWEEN = 10  # seconds between two remarks on how far it is
Connect = Callable[[], AbstractContextManager[TakeReader]]
Remark = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TakeResult:
    """What a take did: whether the snapshot is its own, and what it wrote."""

    key: str
    is_own: bool  # False: it was there already, or another take was first
    is_published: bool = True
    rows: int = 0
    size: int = 0  # bytes
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.is_own:
            return f"snapshot {self.key} is there already; nothing was written"
        rate = self.rows / max(self.seconds, 0.001)
        what = "snapshot" if self.is_published else "not published:"
        return (
            f"{what} {self.key}: {self.rows:,} rows, {self.size / 1e6:,.1f} MB, in "
            f"{self.seconds:.1f} s ({rate:,.0f} rows a second)"
        )


def take_snapshot(
    directory: DirectoryDefinition,
    moment: Moment,
    connect: Connect,
    *,
    replaces: bool = False,
    publishes: bool = True,
    definitions: Catalog | None = None,
    quarantined: Collection[str] = (),
    remark: Remark = _log.info,
) -> TakeResult:
    """Read a directory's tables as of ``moment`` and publish them as its snapshot.

    One that is there is left as it is, and nothing is read, unless the take ``replaces`` it. One
    that does not ``publish`` reads and checks everything, and deletes it. What the segments
    and workflows of ``definitions`` read must not get lost; it is compared with the newest complete
    snapshot before that is not ``quarantined``, by its key.
    Raises DataError where the source or the storage fails, or the tables break a rule of
    snapshots; then nothing is published.
    """
    snapshots = list_snapshots(directory, now=datetime.now(UTC))
    present = next((item for item in snapshots if item.key == moment.key), None)
    if present is not None and present.complete and publishes and not replaces:
        return TakeResult(moment.key, is_own=False)
    folder = present.folder if present else storage_path(directory.snapshots) / moment.key
    earlier = newest_complete(snapshots, before=moment.as_of)
    usable = [item for item in snapshots if item.key not in quarantined]
    predecessor = newest_complete(usable, before=moment.as_of)
    publication = Publication(folder, replaces=replaces)
    take = _Take(
        directory, moment, folder, predecessor, definitions, publication, publishes, remark
    )
    return take.carry_out(connect, earlier.as_of if earlier else None)


def unusable_snapshots(directory: DirectoryDefinition, ledger: Ledger) -> Collection[str]:
    """Return the keys of the quarantined snapshots: no other is compared with one of them."""
    return ledger.people.quarantined(directory.full_name)


@dataclass(frozen=True, slots=True)
class _Take:
    """One snapshot being taken."""

    directory: DirectoryDefinition
    moment: Moment
    folder: UPath
    predecessor: Snapshot | None  # what it is compared with
    definitions: Catalog | None
    publication: Publication
    publishes: bool
    remark: Remark

    def carry_out(self, connect: Connect, previous: datetime | None) -> TakeResult:
        begin, taken_at = time.monotonic(), datetime.now(UTC)
        try:
            with connect() as reader:
                is_one_view = reader.has_one_view
                rows = self._write(reader, previous)
            self._check()
            sizes = self.publication.sizes()
            seconds = round(time.monotonic() - begin, 3)
            manifest = Manifest(
                self.moment.as_of, taken_at, seconds, is_one_view, rows=rows, files=sizes
            )
            is_own = not self.publishes or self.publication.commit(manifest)
        except BaseException as error:
            self.publication.withdraw()
            if isinstance(error, DataError) and self.publishes and self.publication.is_late():
                return TakeResult(self.moment.key, is_own=False)
            raise
        if not self.publishes:
            self.publication.withdraw()
        if not is_own:
            return TakeResult(self.moment.key, is_own=False)
        total, size = sum(rows.values()), sum(sizes.values())
        return TakeResult(self.moment.key, True, self.publishes, total, size, seconds)

    def _write(self, reader: TakeReader, previous: datetime | None) -> dict[str, int]:
        """Write every table; return the number of rows of each."""
        take = self.directory.take
        assert take is not None
        rows: dict[str, int] = {}
        place = "tables" if take.source is None else take.source.name
        for name in take.table_names:
            batches = partial(reader.batches, name, self.moment, previous)
            progress = _Progress(self.remark)
            try:
                rows[name] = write_table(name, batches, self.publication, progress)
                if rows[name] == 0 and isinstance(reader, DatabaseReader):
                    refuse_unknown_day(reader, (take.tables or {})[name], self.moment)
            except DataError as error:
                where = f"directory {self.directory.directory}, take.{place}.{name}"
                raise DataError(f"{where}: {error}") from None
            self.remark(f"{name}: {rows[name]:,} rows")
        return rows

    def _check(self) -> None:
        """Raise DataError where what was written is no snapshot that a run could use."""
        listing = list_folder(self.folder, self.publication.where)
        own = [file for file in listing.files if file.name in self.publication.names]
        snapshot = Snapshot(self.moment.key, self.moment.as_of, self.folder, complete=True)
        tables = SnapshotTables(self.directory, snapshot, files=own)
        problems = [*map(str, check_snapshot(tables, every_column=False))]
        try:
            problems += self._further_problems(tables)
        except DataError:
            if not problems:  # else it is of what is broken, and told already
                raise
        if problems:
            raise DataError(
                "nothing is published, for a run could not use it: " + "; ".join(problems)
            )

    def _further_problems(self, tables: SnapshotTables) -> list[str]:
        """Return what the directory does not expect, and what its segments and workflows miss."""
        earlier = None
        if self.predecessor is not None:
            earlier = readable(SnapshotTables(self.directory, self.predecessor))
        problems = [*map(str, find_unmet(tables, earlier))]
        if self.definitions is not None:
            losses = find_losses(self.definitions, tables, earlier)
            problems += losses.since_before
            for each in losses.all_along:
                self.remark(each)
        return problems


class _Progress:
    """Says how far a table is, now and then."""

    def __init__(self, remark: Remark) -> None:
        self._remark, self._begun = remark, time.monotonic()
        self._next = self._begun + _BETWEEN

    def __call__(self, table: str, rows: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BETWEEN
            rate = rows / (now - self._begun)
            self._remark(f"{table}: {rows:,} rows so far, {rate:,.0f} a second")
