"""What in a snapshot looks like an opt state or a table and is not read, or cannot be.

A message that goes by these is a message to somebody who said no.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import pandas as pd

from segue.directory import checks
from segue.directory.checks import OPT_STATES, CheckFinding
from segue.directory.layout import TABLES, unread_tables
from segue.directory.look_alikes import opt_state_columns
from segue.directory.opt_outs import opt_sources
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import pc
from segue.directory.stored_table import StoredTable, TableSlice
from segue.directory.tables import SnapshotTables, as_frame
from segue.documents import did_you_mean
from segue.errors import DataError

_UNREAD_TABLE = (
    "seems to be a table and is not read; a table is a file NAME.parquet, NAME.csv or NAME.csv.gz, "
    f"or a folder NAME of such files, and NAME is one of {', '.join(TABLES)}. What is none begins "
    "with _"
)


def unread_findings(tables: SnapshotTables) -> list[CheckFinding]:
    """Return what looks like an opt state or a table and is not read, in words.

    Of files and columns the names are compared; of subscriptions the scopes are read.
    """
    messages = _unread_names(tables)
    findings = [CheckFinding("contacts", message) for message in messages]
    if tables.has("subscriptions"):
        findings += [CheckFinding("subscriptions", text) for text in _unread_scopes(tables)]
    return findings


def refuse_unread(tables: SnapshotTables, *, rows: bool = True) -> None:
    """Raise DataError where something is unread; ``rows`` reads those of subscriptions."""
    messages = [*map(str, unread_findings(tables))] if rows else _unread_names(tables)
    if messages:
        raise DataError("; ".join(messages))


def subscriptions_in_force(
    tables: SnapshotTables, only: Collection[str] | None
) -> pd.DataFrame | None:
    """Return the rows of subscriptions, as ``SnapshotTables.rows`` does; None without the table.

    Raises DataError where one opts out of what nobody knows, too: it would have no effect.
    """
    if not tables.has("subscriptions"):
        return None
    rows = tables.table("subscriptions").read(["scope", "opted_in"], only)
    if pc.any(checks.unknown_scopes(rows, tables.directory)).as_py():
        refuse_unread(tables)
    return as_frame(rows)


def broken_opt_states(
    tables: SnapshotTables, names: Collection[str] = tuple(OPT_STATES)
) -> list[CheckFinding]:
    """Return which opt states are none, or missing where each must say.

    Of the tables ``names`` the column of opt states is read, and nothing else.
    """
    there = [tables.table(name) for name in names if tables.has(name)]
    with_states = [table for table in there if OPT_STATES[table.name][0] in table.sources]
    problems = [(table.name, _why_unsound(table)) for table in with_states]
    return [CheckFinding(name, message) for name, message in problems if message is not None]


def _why_unsound(table: StoredTable) -> str | None:
    """Return why the opt states of a table cannot be read."""
    column = OPT_STATES[table.name][0]
    try:
        in_parallel(lambda piece: piece.read([column]).num_rows, table.slices())
    except DataError as error:
        return str(error)
    return None


def _unread_names(tables: SnapshotTables) -> list[str]:
    """Return what is unread by the names of files and columns."""
    names = unread_tables(tables.listing, tables.directory.complete_marker)
    messages = [f"{tables.where}, {name}: {_UNREAD_TABLE}" for name in names]
    places = opt_sources(tables)
    if tables.directory.consent == "none" and places:
        where = ", ".join(places.values())
        messages.append(f"{tables.where}: has {where}, and the directory says `consent: none`")
    for table in (tables.table(name) for name in OPT_STATES if tables.has(name)):
        problems = [_absent_opt_state(table), _describe_unread(table)]
        messages += [str(table.error(problem)) for problem in problems if problem is not None]
    return messages


def _absent_opt_state(table: StoredTable) -> str | None:
    """Say that the opt state which the directory names is not there; None where it is.

    Without it everybody would count as opted in.
    """
    state, _ = OPT_STATES[table.name]
    column = table.names.opt_state
    if state in table.sources or not (column or state in table.mapping):
        return None
    if column is None:
        return table.names.describe_unknown(state)
    text = f"there is no column {column!r}, as the directory's `consent` calls it"
    return text + did_you_mean(column, table.sources)


def _describe_unread(table: StoredTable) -> str | None:
    """Say which columns look like an opt state and are none; None where there are none."""
    columns = _unread_columns(table)
    if not columns:
        return None
    state = OPT_STATES[table.name][0]
    remedy = f"`columns: {{{table.name}: {{{state}: COLUMN}}}}`"
    if table.name == "contacts":
        remedy = "`consent: {opted_out: COLUMN}`, `consent: {opted_in: COLUMN}`"
    return (
        f"{checks.list_names(columns)} looks like an opt state and is not read: say in the "
        f"directory what it is, with {remedy} or, of a field like any other, "
        "`consent: {not_opt_states: [COLUMN]}`"
    )


def _unread_columns(table: StoredTable) -> list[str]:
    """Return those columns as the files call them, by that name or the directory's for them."""
    state = table.sources.get(OPT_STATES[table.name][0])
    fields = set(table.directory.opt_state.not_opt_states)
    names_of = {own: {own} for own in table.names.own}
    for standard, own in table.sources.items():
        names_of[own].add(standard)
    return [
        own
        for own, names in names_of.items()
        if own != state
        and not names & fields
        and opt_state_columns(names, others_read=state is not None)
    ]


def _unread_scopes(tables: SnapshotTables) -> Iterator[str]:
    """Yield what is wrong with the scopes of subscriptions; they are read slice by slice."""
    table, columns = tables.table("subscriptions"), ["scope", "opted_in"]

    def is_wrong(piece: TableSlice) -> bool:
        marks = checks.unknown_scopes(piece.read(columns), tables.directory)
        return bool(pc.any(marks).as_py())

    def describe(rows: checks.LocatedRows) -> str | None:
        return checks.describe_unknown_scopes(rows, tables.directory)

    if any(in_parallel(is_wrong, table.slices())):
        yield str(table.broken_rule(describe, *columns))
