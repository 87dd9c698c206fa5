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
    from segue.directory.tables import SnapshotTables
    from segue.errors import Problem

Columns = Mapping[str, Collection[str]]  # table: names
_INVALID = 2


@dataclass(frozen=True)
class _Checked:
    """The columns that fields are checked against, and where they come from."""

    columns: Mapping[str, Columns]  # by directory
    sources: Sequence[str]
    unchecked: Sequence[str]  # why the fields of a directory are not checked
    problems: Sequence[Problem]  # of the newest snapshots: what is not read there
    silent: Sequence[str]  # directories in which nothing says who opted out


def validate(home: Home = None, output: OutputFormat = Format.TABLE) -> None:
    """Check every definition; exit code 2 when something is wrong.

    Fields are checked against the directory's `fields:`, else the newest complete snapshot.
    """
    from segue.cli.workspace import Workspace
    from segue.directory.tables import NOTHING_SAYS
    from segue.validation import find_problems

    workspace = Workspace.open(home)
    with working("Checking"):
        checked = _known_columns(workspace)
        problems = [*find_problems(workspace.catalog, checked.columns), *checked.problems]
    for reason in checked.unchecked:
        note(f"fields are not checked: {reason}")
    for name in checked.silent:
        note(f"directory {name}: {NOTHING_SAYS}")
    _print_problems(problems, output)
    if problems:
        raise typer.Exit(_INVALID)
    _print_summary(workspace, checked, output)


def _known_columns(workspace: Workspace) -> _Checked:
    from segue.errors import DataError, DefinitionError

    columns: dict[str, Columns] = {}
    sources, unchecked, silent = [], [], []
    problems: list[Problem] = []
    for name in workspace.catalog.names("directories"):
        try:
            directory = workspace.catalog.directory(name)
        except DefinitionError:
            continue  # among the catalog's problems
        if directory.fields:
            columns[name] = _declared(directory)
            sources.append(f"{name} (its fields)")
        try:
            tables = _newest(workspace, directory)
            if not directory.fields:
                columns[name] = _columns_of(tables)
                sources.append(f"{name} ({tables.snapshot.key})")
        except DataError as error:
            if not directory.fields:
                unchecked.append(str(error))
            continue
        problems += _unread(workspace, tables)
        if directory.consent is None and not tables.opt_sources():
            silent.append(name)
    return _Checked(columns, sources, unchecked, problems, silent)


def _newest(workspace: Workspace, directory: DirectoryDefinition) -> SnapshotTables:
    """Return the tables of the newest complete snapshot; raise DataError where there is none."""
    from segue.directory.snapshots import describe_unkeyed, unkeyed_folders
    from segue.directory.tables import SnapshotTables
    from segue.errors import SnapshotMissing

    complete = workspace.complete_snapshots(directory)
    if not complete:
        others = describe_unkeyed(unkeyed_folders(directory))
        found = f"directory {directory.directory} has no complete snapshot yet"
        raise SnapshotMissing(f"{found}; {others}" if others else found)
    return SnapshotTables(directory, complete[-1])


def _columns_of(tables: SnapshotTables) -> Columns:
    from segue.directory.layout import TABLES

    return {name: tables.columns(name) for name in TABLES if tables.has(name)}


def _unread(workspace: Workspace, tables: SnapshotTables) -> list[Problem]:
    """Return what looks like an opt state in the newest snapshot and is not read, or cannot be."""
    from segue.errors import DataError

    document = workspace.catalog.document("directories", tables.directory.directory)
    at = ("consent",) if tables.directory.consent else ("snapshots",)
    try:
        messages = [str(found) for found in tables.unread()]
    except DataError as error:
        messages = [str(error)]
    return [document.problem(at, message) for message in messages]


def _declared(directory: DirectoryDefinition) -> Columns:
    """Return the declared fields with the columns that every table has."""
    from segue.directory.tables import NEEDED

    declared = {"contacts": (), **directory.fields}
    return {table: [*dict.fromkeys([*NEEDED[table], *names])] for table, names in declared.items()}


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
