"""Read a snapshot's tables, under Segue's column names, and check what every run relies on.

Frames are Arrow-backed pandas: every column is a ``pd.ArrowDtype``, and every missing value is one
that ``isna()`` finds. A Parquet file's types become

    text, also dictionary-encoded; UUID; only nulls         large_string
    integers, decimals, booleans, dates, times, durations   the same type
    floating point                                          the same type, NaN as missing
    lists, structs, maps, bytes                             the same type

A CSV file's columns are all ``large_string``; only the empty field, quoted or not, is missing.
``contact_id`` is always ``large_string`` without a missing value. The opt states, ``unsubscribed``
of contacts and ``opted_in`` of mailing_lists and subscriptions, are always ``bool`` without one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

import pandas as pd
import pyarrow as pa

from segue.directory import checks
from segue.directory.checks import ID
from segue.directory.column_kinds import ColumnKind
from segue.directory.definition import DirectoryDefinition
from segue.directory.lakes.snapshots import LakeSnapshot
from segue.directory.layout import TABLES, Listing, StoredFile, lake_of, table_files
from segue.directory.manifest import snapshot_listing
from segue.directory.parallel import Lazy
from segue.directory.plain_columns import pc
from segue.directory.readers import open_parts
from segue.directory.snapshots import Snapshot
from segue.directory.stored_table import StoredTable, TableSlice
from segue.errors import DataError

_LAKE = (
    "the folder holds a {kind} table, whose files are of several versions; expected plain files: "
    "export the version that the snapshot stands for"
)


class SnapshotTables:
    """The tables of one snapshot; its files are listed once, when first asked for."""

    def __init__(
        self,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        *,
        label: str | None = None,
        files: Sequence[StoredFile] | None = None,
    ) -> None:
        """``label`` is what messages call a snapshot that was made up, instead of its files.

        ``files`` are those of the snapshot, for who has listed them already.
        """
        self.directory = directory
        self.snapshot = snapshot
        self.where = label or f"directory {directory.directory}, snapshot {snapshot.key}"
        self._is_made_up = label is not None
        self._files_before = files
        self._tables: dict[str, StoredTable] = {}

    def has(self, table: str) -> bool:
        """Tell whether the snapshot has this table."""
        return table in (self.files if self._lake is None else self._lake.tables)

    def columns(self, table: str) -> list[str]:
        """Return the table's columns by their standard names, in file order; [] if it is absent.

        A column that the directory's mapping names and the files lack is left out. Raises
        DataError where the files cannot be read or do not go together.
        """
        return list(self.table(table).sources) if self.has(table) else []

    def count(self, table: str) -> int:
        """Return the table's number of rows, cheaply where the files note it; 0 if it is absent."""
        return self.table(table).count() if self.has(table) else 0

    def kinds(self, table: str) -> dict[str, ColumnKind]:
        """Return what each column holds, by standard name; {} if the table is absent.

        One of ``ColumnKind`` (they are strings: ``text``, ``number`` …), for all files together.
        It follows from the types that the files note; no row is read, so this is as cheap as
        ``columns``. In CSV every column is ``text``. A column that is ``null`` in some files has
        the kind of the others; one that is ``null`` has no value in any file.
        """
        return self.table(table).kinds if self.has(table) else {}

    def contacts(
        self, columns: Collection[str] | None = None, *, only: Collection[str] | None = None
    ) -> pd.DataFrame:
        """Return one row per contact, sorted by contact_id in code point order.

        ``contact_id`` comes first, then the asked columns (all when None) in the order asked. Ids
        are unique and never missing. ``only`` keeps these contacts; ids that the snapshot does
        not have are left out. Raises DataError where the table breaks a rule.
        """
        contacts = self.table("contacts")
        rows = _sorted_by_id(contacts.read(columns, only))
        if checks.has_repeats(rows.column(ID)):
            raise contacts.broken_rule(checks.describe_duplicate_ids)
        return as_frame(rows)

    def rows(
        self,
        table: str,
        columns: Collection[str] | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return one row per row of ``table``, in the order of its files and of their rows.

        ``contact_id`` comes first and is never missing; ``only`` keeps these contacts' rows.
        Raises DataError where the table breaks a rule or is absent: ask ``has`` first.
        """
        return as_frame(self.table(table).read(columns, only))

    def slices(self, table: str) -> list[TableSlice]:
        """Return the pieces that ``table`` can be read in, in the order of its rows.

        Reading them all checks what ``rows`` checks; that contacts are unique is for the caller.
        """
        return self.table(table).slices()

    def table(self, name: str) -> StoredTable:
        """Return one table; raise DataError where it is absent, or no plain files."""
        if name not in self._tables:
            if not self.has(name):
                raise self.absence(name)
            kind = lake_of(name, self._all_files)
            if kind is not None:
                raise DataError(f"{self.where}, {name}: {_LAKE.format(kind=kind)}")
            self._tables[name] = self._of_lake(name) if self._lake else self._of_files(name)
        return self._tables[name]

    def _of_lake(self, name: str) -> StoredTable:
        assert self._lake is not None
        return StoredTable(name, self.directory, partial(self._lake.parts, name), self.where, name)

    def _of_files(self, name: str) -> StoredTable:
        files = self.files[name]
        is_one_file = len(files) == 1 and not self._is_made_up
        label = files[0].name if is_one_file else name
        parts = partial(open_parts, files, self.snapshot.folder.fs)
        return StoredTable(name, self.directory, parts, self.where, label)

    @property
    def _lake(self) -> LakeSnapshot | None:
        return self.snapshot if isinstance(self.snapshot, LakeSnapshot) else None

    def absence(self, table: str) -> DataError:
        """Return an error that says which tables there are instead of this one."""
        there = self.files if self._lake is None else self._lake.tables
        names = ", ".join(there) or "no table"
        return DataError(f"{self.where}, {table}: there is no such table; the snapshot has {names}")

    @Lazy
    def files(self) -> dict[str, list[StoredFile]]:
        """The files of each table that is there."""
        return table_files(self._all_files)

    @Lazy
    def listing(self) -> Listing:
        """Everything in the snapshot's folder; a lake's has none."""
        if self._lake is not None:
            return Listing((), ())
        return snapshot_listing(self.snapshot.folder, self.where)

    @property
    def _all_files(self) -> Sequence[StoredFile]:
        return self.listing.files if self._files_before is None else self._files_before


def readable(tables: SnapshotTables) -> SnapshotTables | None:
    """Return a snapshot's tables where all of them have columns; None where files are broken.

    For who compares with it and can do without.
    """
    try:
        for name in TABLES:
            tables.kinds(name)
    except DataError:
        return None
    return tables


def _sorted_by_id(rows: pa.Table) -> pa.Table:
    ids = rows.column(ID)
    if pc.all(pc.less(ids[:-1], ids[1:])).as_py():
        return rows
    order = pc.sort_indices(ids)
    return rows.combine_chunks().take(order)


def as_frame(rows: pa.Table) -> pd.DataFrame:
    """Return rows as a frame of Arrow's types."""
    return rows.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
