"""Everything that is wrong in one snapshot, at once, and facts about its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from segue.directory import checks
from segue.directory.checks import ID, CheckFinding
from segue.directory.id_hashes import Keys, all_differ, id_keys
from segue.directory.layout import TABLES
from segue.directory.parallel import in_parallel
from segue.directory.parts import Slice
from segue.directory.plain_columns import ArrowArray, is_text, pc
from segue.directory.readers import open_parts
from segue.directory.stored_table import StoredTable, TableSlice
from segue.directory.tables import SnapshotTables
from segue.directory.unread import unread_findings
from segue.errors import DataError

NEEDED = {
    "contacts": (ID,),
    "transactions": (ID, "date"),
    "mailing_lists": (ID, "mailing_list"),
    "subscriptions": (ID, "scope", "opted_in"),
}


@dataclass(frozen=True, slots=True)
class TableReport:
    """Facts about one table that are worth knowing and are not errors."""

    table: str
    rows: int
    unknown_contacts: int  # rows whose contact is not in contacts
    without_date: int  # rows of transactions whose date is missing or empty


def check_snapshot(tables: SnapshotTables, *, every_column: bool = True) -> list[CheckFinding]:
    """Return everything that is wrong in the snapshot, slice by slice.

    ``every_column`` is read; otherwise those alone that a rule is about.
    """
    if not tables.has("contacts"):
        return [CheckFinding("contacts", str(tables.absence("contacts")))]
    findings = [
        CheckFinding(name, message)
        for name in TABLES
        if tables.has(name)
        for message in _problems(tables, name, every_column)
    ]
    return list(dict.fromkeys([*findings, *_unread_or_broken(tables, findings)]))


def table_reports(tables: SnapshotTables) -> list[TableReport]:
    """Return the facts about each table that is there; raise DataError where one is broken."""
    contacts = tables.table("contacts").read([], None).column(ID).combine_chunks()
    return [_facts(tables.table(name), contacts) for name in TABLES if tables.has(name)]


def lacking_columns(tables: SnapshotTables) -> list[CheckFinding]:
    """Return the columns that each table must have and lacks, by their standard names.

    Left out are those that the directory maps to another name. No row is read. A table whose
    columns cannot be told lacks them all, and why is said once.
    """
    return list(
        dict.fromkeys(
            CheckFinding(name, message)
            for name in TABLES
            if tables.has(name)
            for message in _missing_columns(tables, name)
        )
    )


def clashing_files(tables: SnapshotTables) -> list[str]:
    """Return which files do not go together as one table, by their names; none is opened."""
    messages: list[str] = []
    if tables.snapshot.location is None:
        return []
    for files in tables.files.values():
        try:
            open_parts(files, tables.snapshot.folder.fs)
        except DataError as error:
            messages.append(f"{tables.where}, {error}")
    return messages


def _missing_columns(tables: SnapshotTables, name: str) -> list[str]:
    try:
        table = tables.table(name)
        missing = [column for column in NEEDED[name] if column not in table.sources]
    except DataError as error:
        return [str(error)]
    return [
        str(table.error(table.names.describe_unknown(column)))
        for column in missing
        if column not in table.mapping
    ]


def _unread_or_broken(
    tables: SnapshotTables, findings: Sequence[CheckFinding]
) -> list[CheckFinding]:
    """Return what is unread; what cannot be told for broken tables is among ``findings``."""
    try:
        return unread_findings(tables)
    except DataError:
        if findings:
            return []
        raise


def _problems(tables: SnapshotTables, name: str, every_column: bool) -> Iterator[str]:
    """Yield what is wrong with a table; what later steps need ends the search."""
    try:
        table = tables.table(name)
        sources = table.sources
    except DataError as error:
        yield str(error)
        return
    for column in dict.fromkeys([*NEEDED[name], *table.mapping]):
        if column not in sources:
            yield str(table.error(table.names.describe_unknown(column)))
    no_names = table.describe_no_names()
    if no_names is not None:
        yield str(table.error(no_names))
        return
    unreadable = list(_unreadable(table)) if every_column else []
    yield from unreadable
    if ID in sources and not unreadable:
        yield from _broken_rules(table)


def _unreadable(table: StoredTable) -> Iterator[str]:
    """Yield why a file cannot be read, of each such file; no more than a slice is in memory."""
    for part in table.parts:
        columns = part.columns

        def is_read(piece: Slice, columns: Sequence[str] = columns) -> bool:
            return piece.read(columns).num_rows >= 0

        try:
            with table.located_errors():
                in_parallel(is_read, part.slices())
        except DataError as error:
            yield str(error)


def _broken_rules(table: StoredTable) -> Iterator[str]:
    """Yield which rules the rows break; only where there are any, all rows are held at once."""
    states = [state for state in (table.opt_state,) if state in table.sources]
    mixed = [name for name in table.sources if not table.has_one_type([name])]
    if _keeps_rules(table, list(dict.fromkeys([ID, *states, *mixed]))):
        return
    try:
        rows = table.locate(*states, *mixed)
    except DataError as error:
        yield str(error)
        return
    rules = [checks.describe_missing_ids, checks.describe_unfit_ids]
    if table.name == "contacts":
        rules += [checks.describe_duplicate_ids, _describe_emptiness]
    if states:
        rules += [table.describe_opt_states, table.describe_opt_states_missing]
    yield from (str(table.error(message)) for rule in rules if (message := rule(rows)))


def _keeps_rules(table: StoredTable, columns: Sequence[str]) -> bool:
    """Tell whether all rows are sound, slice by slice: of ids their keys are kept, of contacts."""
    is_of_contacts = table.name == "contacts"

    def keys_of_sound(piece: TableSlice) -> Keys | None:
        ids = piece.read(columns).column(ID)
        if pc.any(checks.unfit_ids(ids)).as_py():
            return None
        return np.sort(id_keys(ids)) if is_of_contacts else id_keys(ids.slice(0, 0))

    try:
        keys = in_parallel(keys_of_sound, table.slices())
    except DataError:
        return False
    sound = [each for each in keys if each is not None]
    if len(sound) < len(keys):
        return False
    return not is_of_contacts or (any(map(len, sound)) and all_differ(sound))


def _describe_emptiness(rows: checks.LocatedRows) -> str | None:
    return None if rows.columns.num_rows else "the table has no rows"


def _facts(table: StoredTable, contacts: ArrowArray) -> TableReport:
    has_dates = table.name == "transactions" and "date" in table.sources
    rows = table.read(["date"] if has_dates else [], None)
    of_contacts = pc.sum(pc.is_in(rows.column(ID), value_set=contacts)).as_py() or 0
    count_undated = _count_undated(rows) if table.name == "transactions" else 0
    return TableReport(table.name, rows.num_rows, rows.num_rows - of_contacts, count_undated)


def _count_undated(transactions: pa.Table) -> int:
    if "date" not in transactions.column_names:
        return transactions.num_rows
    date = transactions.column("date")
    missing = checks.missing_ids(date) if is_text(date.type) else pc.is_null(date)
    return int(pc.sum(missing).as_py() or 0)
