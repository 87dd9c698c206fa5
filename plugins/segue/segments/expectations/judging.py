"""Every expectation of a directory that a snapshot does not meet.

Only the columns that something is expected of are read, slice by slice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

import numpy as np

from segue.directory.column_kinds import ColumnKind
from segue.directory.expect_definition import RowExpectations, TableExpectations
from segue.directory.parallel import in_parallel
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.durations import Duration
from segue.segments.columns.column_source import column_of
from segue.segments.expectations.repeats import find_repeats
from segue.segments.expectations.unmet import Unmet
from segue.segments.expectations.values import OPAQUE, unmet_by_values

_UNDATED = (ColumnKind.NUMBER, ColumnKind.BOOLEAN)


def find_unmet(tables: SnapshotTables, earlier: SnapshotTables | None) -> list[Unmet]:
    """Return what the directory expects and the snapshot is not, in the order of the definition.

    ``earlier`` is the newest complete snapshot before, by which a change of the number of rows is
    measured; None where there is none. Raises DataError where a table cannot be read.
    """
    return [
        each
        for name, expected in tables.directory.expect.items()
        for each in _of_table(tables, earlier, name, expected)
    ]


def _of_table(
    tables: SnapshotTables, earlier: SnapshotTables | None, name: str, expected: TableExpectations
) -> Iterator[Unmet]:
    if not tables.has(name):
        yield Unmet(name, "", "a table of this name", "none")
        return
    table = tables.table(name)
    before = earlier.count(name) if earlier is not None and earlier.has(name) else None
    yield from _of_rows(name, expected.rows, table.count(), before)
    absent = [column for column in expected.column_names if column not in table.sources]
    for column in absent:
        yield Unmet(name, column, "the column", f"none: {table.names.describe_unknown(column)}")
    there = {key: each for key, each in expected.columns.items() if key not in absent}
    yield from unmet_by_values(tables, name, there)
    yield from _of_repeats(tables, name, expected, absent)
    for column, age in expected.freshness.items():
        if column not in absent:
            yield from _of_freshness(tables, name, column, age)


def _of_rows(
    table: str, expected: RowExpectations, count: int, before: int | None
) -> Iterator[Unmet]:
    if expected.at_least is not None and count < expected.at_least:
        yield Unmet(table, "", f"rows at_least: {expected.at_least}", str(count))
    if expected.at_most is not None and count > expected.at_most:
        yield Unmet(table, "", f"rows at_most: {expected.at_most}", str(count))
    limit = expected.change_at_most
    if limit is not None and before is not None and abs(count - before) > limit * before:
        change = f" ({(count - before) / before:+.1%})" if before else ""
        fact = f"{count} after {before}{change}"
        yield Unmet(table, "", f"rows change_at_most: {limit * 100:g}%", fact)


def _of_repeats(
    tables: SnapshotTables, name: str, expected: TableExpectations, absent: Collection[str]
) -> Iterator[Unmet]:
    """Yield what occurs more than once and must not; rows that lack a value are not compared."""
    alone = [(column,) for column, each in expected.columns.items() if each.unique]
    together = [tuple(expected.unique)] if expected.unique else []
    for columns in (*alone, *together):
        if {*columns} & {*absent}:
            continue
        opaque = [column for column in columns if tables.kinds(name)[column] in OPAQUE]
        if opaque:
            kind = tables.kinds(name)[opaque[0]]
            yield Unmet(name, opaque[0], "unique", f"values of the kind {kind}")
            continue
        repeats = find_repeats(tables.table(name), columns)
        if repeats.rows:
            fact = f"{repeats.rows} rows that share their values with another"
            yield Unmet(name, ", ".join(columns), "unique", fact, repeats.contacts)


def _of_freshness(tables: SnapshotTables, name: str, column: str, age: Duration) -> Iterator[Unmet]:
    """Yield where the newest date before the snapshot's as-of is too old.

    What is dated later is a slip, or a plan: it tells nothing of how new the table is.
    """
    expectation = f"freshness: {age}"
    kind = tables.kinds(name)[column]
    if kind in (*_UNDATED, *OPAQUE):
        yield Unmet(name, column, expectation, f"values of the kind {kind}")
        return
    as_of, zone = tables.snapshot.as_of, tables.directory.zone
    newest = _newest(tables, name, column, as_of)
    if newest is None:
        yield Unmet(name, column, expectation, "no date before the snapshot's as-of")
    elif newest < age.before(as_of, zone):
        fact = f"{newest:%Y-%m-%dT%H:%M:%SZ} as the newest date before {as_of:%Y-%m-%dT%H:%M:%SZ}"
        yield Unmet(name, column, expectation, fact)


def _newest(tables: SnapshotTables, name: str, column: str, as_of: datetime) -> datetime | None:
    """Return the last instant of a column before ``as_of``, in UTC."""
    zone = tables.directory.zone

    def newest(piece: TableSlice) -> datetime | None:
        instants = column_of(piece.read([column]).column(column), zone).instants
        dates = instants.rows(instants.below(as_of))
        everyone = np.zeros(len(dates.present), np.int64)
        return dates.latest(everyone, 1).value(0)

    dates = in_parallel(newest, tables.slices(name))
    return max((date for date in dates if date is not None), default=None)
