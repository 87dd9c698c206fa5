"""``segue snapshots``: which snapshots a directory has, and whether one of them is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, count, note, print_listing, working

if TYPE_CHECKING:
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshots import Snapshot

_UNSOUND = 2
_COLUMNS = ("snapshot", "as_of", "complete", "tables", "why_incomplete")
_IN_A_TABLE = ("snapshot", "as_of", "complete", "tables")
_CHECK_COLUMNS = ("table", "rows", "unknown_contacts", "without_date", "problem")


def snapshots(
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="Name of the directory.")],
    check: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Read this snapshot whole and check its data; exit code 2 if it is not sound.",
            show_default=False,
        ),
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List the snapshots of a directory, or check the data of one of them."""
    from segue.cli.workspace import Workspace

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    if check is not None:
        _check(definition, workspace.snapshot(definition, check), output)
        return
    from segue.directory.snapshots import list_snapshots

    with working(f"Listing {directory}"):
        rows = [_row(definition, item) for item in list_snapshots(definition, now=workspace.now)]
    if not rows:
        note(f"directory {directory} has no snapshot yet")
    if output is Format.TABLE:
        print_listing(_IN_A_TABLE, map(_table_row, rows), output)
    else:
        print_listing(_COLUMNS, rows, output)


def _row(directory: DirectoryDefinition, snapshot: Snapshot) -> list[Any]:
    from segue.directory.layout import TABLES
    from segue.directory.tables import SnapshotTables

    tables = SnapshotTables(directory, snapshot)
    found = [name for name in TABLES if tables.has(name)]
    return [snapshot.key, snapshot.as_of, snapshot.complete, found, snapshot.why_incomplete]


def _table_row(row: list[Any]) -> list[Any]:
    key, as_of, complete, tables, why = row
    return [key, as_of, complete or f"no: {why}", tables]


def _check(directory: DirectoryDefinition, snapshot: Snapshot, output: Format) -> None:
    from segue.directory.tables import SnapshotTables

    tables = SnapshotTables(directory, snapshot)
    with working(f"Checking {snapshot.key}"):
        findings = tables.check()
        facts = [] if findings else tables.report()
    rows: list[list[Any]] = [[found.table, None, None, None, found.message] for found in findings]
    rows += [[f.table, f.rows, f.unknown_contacts, f.without_date, None] for f in facts]
    if output is not Format.TABLE:
        print_listing(_CHECK_COLUMNS, rows, output)
    elif findings:
        print(*findings, sep="\n")
    else:
        print_listing(_CHECK_COLUMNS[:-1], [row[:-1] for row in rows], output)
    if findings:
        note(f"{count(len(findings), 'problem')} found in {snapshot.key}")
        raise typer.Exit(_UNSOUND)
    note(f"{snapshot.key} is sound")
