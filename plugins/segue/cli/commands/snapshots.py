"""``segue snapshots``: which there are, and which no run may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, count, note, print_listing, working

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.tables import SnapshotTables
    from segue.ledger.facts import RecordedSpan

_COLUMNS = ("snapshot", "as_of", "complete", "tables", "why_incomplete", "quarantined")
_IN_A_TABLE = ("snapshot", "as_of", "complete", "tables")


def snapshots(
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="Name of the directory.")],
    source: Annotated[
        bool,
        typer.Option(
            "--source",
            help="List the days that the database's own tables still know, over a connection that "
            "AIRFLOW_CONN_… or a secrets backend holds.",
        ),
    ] = False,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List the snapshots of a directory."""
    from segue.cli.workspace import Workspace

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    if source:
        _list_source(workspace, definition, output)
        return
    _list(workspace, definition, output)


def _list(workspace: Workspace, directory: DirectoryDefinition, output: Format) -> None:
    from segue.directory.snapshots import list_snapshots, listed_files
    from segue.directory.tables import SnapshotTables

    with working(f"Listing {directory.directory}"):
        reasons = workspace.quarantined(directory)
        all_snapshots = list_snapshots(directory, now=workspace.now)
        tables = [
            SnapshotTables(directory, item, files=listed_files(item)) for item in all_snapshots
        ]
        rows = [[*_row(each), reasons.get(each.snapshot.key)] for each in tables]
        remarks = _on_all(directory, tables)
    if not rows:
        note(f"directory {directory.directory} has no snapshot yet{_why_none(directory)}")
    for text in remarks:
        note(text)
    if output is Format.TABLE:
        print_listing(_IN_A_TABLE, map(_table_row, rows), output)
    else:
        print_listing(_COLUMNS, rows, output)


def _why_none(directory: DirectoryDefinition) -> str:
    """Say of a lake's tables when their first snapshot is there; of folders nothing."""
    if directory.lake is None:
        return ""
    from segue.directory.lakes.snapshots import describe_beginning

    why = describe_beginning(directory)
    return f": {why}" if why else ""


def _list_source(workspace: Workspace, directory: DirectoryDefinition, output: Format) -> None:
    """List the days that the source still knows, and which of them are snapshots."""
    from segue.directory.snapshots import list_snapshots
    from segue.errors import SettingsError
    from segue.takes.own_days import days_at_source

    if directory.take is None:
        raise SettingsError(
            f"directory {directory.directory} takes no snapshots: its definition has no `take`"
        )
    from segue.operators.databases import opened_for

    with working(f"Asking the source of {directory.directory}"):
        keys_taken = {
            each.key for each in list_snapshots(directory, now=workspace.now) if each.complete
        }
        with opened_for(directory.take) as reader:
            days = days_at_source(reader, directory, workspace.now)
    keys = [day.isoformat() for day in days]
    print_listing(("day", "taken"), [[key, key in keys_taken] for key in keys], output)
    missing = sum(key not in keys_taken for key in keys)
    note(f"{count(len(keys), 'day')} known to the source; {missing} of them not taken")


def _on_all(directory: DirectoryDefinition, tables: Sequence[SnapshotTables]) -> list[str]:
    """Return remarks on a directory's snapshots: files that clash, folders left out, twins."""
    from segue.directory.snapshot_check import clashing_files
    from segue.directory.snapshots import describe_twins, describe_unkeyed, unkeyed_folders

    clashes = [text for each in tables for text in clashing_files(each)]
    left_out = describe_unkeyed(unkeyed_folders(directory))
    twins = describe_twins([each.snapshot for each in tables])
    return [*clashes, *([] if left_out is None else [left_out]), *twins]


_Key = Annotated[str, typer.Argument(metavar="KEY", help="Key of the snapshot.")]
_Directory = Annotated[
    str, typer.Option("--directory", metavar="DIRECTORY", help="Name of the directory.")
]


def quarantine(
    key: _Key,
    directory: _Directory,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for others to read.")
    ] = "",
    home: Home = None,
) -> None:
    """Let no run use a snapshot; the next run compares with the one before it.

    What was not sent of its changes is rejected; what was sent stays recorded.
    """
    from segue.cli.workspace import Workspace, person, this_second, writing_ledger
    from segue.directory.snapshot_keys import require_key
    from segue.directory.snapshots import find_snapshot
    from segue.errors import SegueError
    from segue.upkeep import interventions as asking

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    canonical = require_key(definition, key)[0]
    with writing_ledger(workspace.settings) as ledger:
        name, now = definition.full_name, this_second()
        outcome = asking.quarantine(ledger, name, canonical, person(), reason, now)
    print(f"{canonical} of {directory} is quarantined: no run uses it")
    for span in outcome.withdrawn:
        print(f"withdrawn: {_of_span(span)}")
    for span in outcome.kept:
        print(f"kept, because something of it was sent: {_of_span(span)}")
    note(f"{count(outcome.rejected, 'delivery', 'deliveries')} not sent, and rejected")
    try:
        find_snapshot(definition, canonical, now=workspace.now)
    except SegueError as error:  # deleted already, or being written anew; or its storage is away
        note(str(error))


def release(key: _Key, directory: _Directory, home: Home = None) -> None:
    """Let runs use a quarantined snapshot again."""
    from segue.cli.workspace import Workspace, person, this_second, writing_ledger
    from segue.directory.snapshot_keys import parse_key
    from segue.errors import SettingsError
    from segue.upkeep import interventions as asking

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    reading = parse_key(definition, key)
    canonical = reading[0] if reading else key
    with writing_ledger(workspace.settings) as ledger:
        name = definition.full_name
        if not asking.release(ledger, name, canonical, person(), this_second()):
            keys = ", ".join(sorted(ledger.people.quarantined(name))) or "none"
            raise SettingsError(f"{key} of {directory} is not quarantined; quarantined: {keys}")
    print(f"{canonical} of {directory} may be used again")
    note("clear the runs that were withdrawn, from wait_for_snapshot, to do them anew")


def _of_span(span: RecordedSpan) -> str:
    keys = dict.fromkeys((span.stretch.previous.key, span.stretch.current.key))
    return f"{span.workflow} {' → '.join(keys)} (run {span.run_id})"


def _row(tables: SnapshotTables) -> list[Any]:
    from segue.directory.layout import TABLES

    snapshot = tables.snapshot
    names = [name for name in TABLES if tables.has(name)]
    return [snapshot.key, snapshot.as_of, snapshot.complete, names, snapshot.why_incomplete]


def _table_row(row: list[Any]) -> list[Any]:
    key, as_of, complete, tables, why, reason = row
    if reason is not None:
        return [key, as_of, f"quarantined: {reason}".removesuffix(": "), tables]
    return [key, as_of, complete or f"no: {why}", tables]
