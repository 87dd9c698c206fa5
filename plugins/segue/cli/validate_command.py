"""``segue validate``: everything that is wrong in all definitions, at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, count, note, plain, print_listing, where, working

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition
    from segue.errors import Problem

Columns = Mapping[str, Collection[str]]  # table: names
_INVALID = 2


@dataclass(frozen=True)
class _Checked:
    """The columns that fields are checked against, and where they come from."""

    columns: Mapping[str, Columns]  # by directory
    sources: Sequence[str]
    unchecked: Sequence[str]  # why the fields of a directory are not checked


def validate(home: Home = None, output: OutputFormat = Format.TABLE) -> None:
    """Check every definition; exit code 2 when something is wrong.

    Fields are checked against the directory's `fields:`, else the newest complete snapshot.
    """
    from segue.cli.workspace import Workspace
    from segue.validation import find_problems

    workspace = Workspace.open(home)
    with working("Checking"):
        checked = _known_columns(workspace)
        problems = find_problems(workspace.catalog, checked.columns)
    for reason in checked.unchecked:
        note(f"fields are not checked: {reason}")
    _print_problems(problems, output)
    if problems:
        raise typer.Exit(_INVALID)
    _print_summary(workspace, checked, output)


def _known_columns(workspace: Workspace) -> _Checked:
    from segue.errors import DataError, DefinitionError

    columns: dict[str, Columns] = {}
    sources, unchecked = [], []
    for name in workspace.catalog.names("directories"):
        try:
            directory = workspace.catalog.directory(name)
            columns[name], source = _columns_of(workspace, directory)
            sources.append(f"{name} ({source})")
        except DefinitionError:
            continue  # among the catalog's problems
        except DataError as error:
            unchecked.append(str(error))
    return _Checked(columns, sources, unchecked)


def _columns_of(workspace: Workspace, directory: DirectoryDefinition) -> tuple[Columns, str]:
    """Return the columns per table, and in words where they come from."""
    from segue.directory.layout import TABLES
    from segue.directory.tables import SnapshotTables
    from segue.errors import SnapshotMissing

    if directory.fields:
        return _declared(directory), "its fields"
    complete = workspace.complete_snapshots(directory)
    if not complete:
        raise SnapshotMissing(f"directory {directory.directory} has no complete snapshot yet")
    tables = SnapshotTables(directory, complete[-1])
    found = {name: tables.columns(name) for name in TABLES if tables.has(name)}
    return found, complete[-1].key


def _declared(directory: DirectoryDefinition) -> Columns:
    """Return the declared fields with the columns that every table has."""
    always = {"contacts": ["contact_id"], "transactions": ["contact_id", "date"]}
    declared = {"contacts": (), **directory.fields}
    return {
        table: [*dict.fromkeys([*always.get(table, ["contact_id"]), *names])]
        for table, names in declared.items()
    }


def _print_problems(problems: Sequence[Problem], output: Format) -> None:
    if output is Format.TABLE:
        for problem in problems:
            place = [where(problem), *(str(n) for n in (problem.line, problem.column) if n)]
            path = f"{problem.path}: " if problem.path else ""
            print(plain(f"{':'.join(place)}: {path}{problem.message}"))
        if problems:
            note(f"{count(len(problems), 'problem')} found")
        return
    columns = ("file", "line", "column", "path", "message")
    rows = [[where(p), p.line, p.column, p.path, p.message] for p in problems]
    print_listing(columns, rows, output)


def _print_summary(workspace: Workspace, checked: _Checked, output: Format) -> None:
    names = workspace.catalog.names
    parts = [
        count(len(names("directories")), "directory", "directories"),
        count(len(names("segments")), "segment"),
        count(len(names("workflows")), "workflow"),
    ]
    text = f"{', '.join(parts)}: no problem found in {workspace.settings.home}"
    print(text) if output is Format.TABLE else note(text)
    if checked.sources:
        note(f"fields checked against {', '.join(checked.sources)}")
