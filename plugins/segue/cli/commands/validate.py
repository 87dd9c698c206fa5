"""``segue validate``: everything that is wrong in all definitions, at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, count, note, plain, print_listing, where, working

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.tables import SnapshotTables
    from segue.errors import DataError, Problem
    from segue.segments.unreadable import Unreadable
    from segue.workflows.data_problems import Newest

Columns = Mapping[str, Collection[str]]  # table: names
Loaded = TypeVar("Loaded")
_INVALID = 2


@dataclass
class _Checked:
    """What the directories are found to be, one after the other."""

    # what fields are checked against, and what the newest snapshots hold, by directory
    columns: dict[str, Columns] = field(default_factory=dict)
    newest: dict[str, Newest] = field(default_factory=dict)
    directories: dict[str, DirectoryDefinition] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)  # where the columns come from
    unchecked: list[str] = field(default_factory=list)  # why a directory's fields are not checked
    problems: list[Problem] = field(default_factory=list)  # of the newest snapshots
    silent: list[str] = field(default_factory=list)  # directories that say of nobody who opted out
    unreadable: list[str] = field(default_factory=list)  # what conditions cannot read

    def add(self, workspace: Workspace, directory: DirectoryDefinition) -> None:
        """Look at a directory's definition and at its newest snapshot."""
        from segue.errors import DataError

        name = directory.directory
        self.directories[name] = _without_place(directory)
        if directory.fields:
            self._take(name, _declared(directory), "its fields")
        try:
            tables = _newest(workspace, directory)
        except DataError as error:
            if _is_mistake(workspace, directory, error):
                self.problems += _placed(workspace, name, "snapshots", [str(error)])
            elif not directory.fields:
                self.unchecked.append(str(error))
            return
        try:
            self.newest[name] = _held(tables)
            if not directory.fields:
                self._take(name, _columns_of(tables), tables.snapshot.key)
        except DataError as error:  # the definition and the snapshot do not go together
            self.problems += _placed(workspace, name, "columns", [str(error)])
            return
        self._examine(workspace, tables)

    def _take(self, name: str, columns: Columns, source: str) -> None:
        self.columns[name] = columns
        self.sources.append(f"{name} ({source})")

    def _examine(self, workspace: Workspace, tables: SnapshotTables) -> None:
        from segue.directory.opt_outs import opt_sources

        problems, remarks = _examined(workspace, tables)
        self.problems += problems
        self.unreadable += remarks
        if tables.directory.consent != "none" and not opt_sources(tables):
            self.silent.append(tables.directory.directory)


def validate(
    home: Home = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="One profile of segue.yaml; all otherwise."),
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Check every definition, under each profile; exit code 2 when something is wrong.

    Fields are checked against the directory's `fields:`, else the newest complete snapshot.
    """
    from segue.cli.workspace import Workspace
    from segue.directory.opt_outs import NOTHING_SAYS
    from segue.workflows.validation import find_remarks, in_order

    here = Workspace.open(home)
    profiles = _profiles(here, profile)
    workspace = here.under(profiles[0])
    with working("Checking"):
        checked = _checked(workspace)
        definition_problems = _definition_problems(here, profiles, checked)
        problems = in_order([*definition_problems, *checked.problems])
        remarks = find_remarks(workspace.catalog, checked.newest)
    for reason in checked.unchecked:
        note(f"fields are not checked: {reason}")
    for name in checked.silent:
        note(f"directory {name}: {NOTHING_SAYS}")
    for message in (*checked.unreadable, *map(_line, remarks)):
        note(plain(message))
    _print_problems(problems, output)
    if problems:
        raise typer.Exit(_INVALID)
    _print_summary(workspace, checked, output)
    if profiles != [None]:
        note(f"profiles: {', '.join(each or 'none' for each in profiles)}")


def _profiles(workspace: Workspace, wanted: str | None) -> list[str | None]:
    """Return the profiles to check, None for being without one; the data is the first one's."""
    shared, in_use = workspace.catalog.shared, workspace.settings.profile
    if wanted is not None:
        return [wanted]
    others: list[str | None] = [name for name in shared.settings.profiles if name != in_use]
    if in_use is not None:
        return [in_use, *others]
    bare: list[str | None] = [None] if shared.is_complete or not others else []
    return [*bare, *others]


def _definition_problems(
    workspace: Workspace, profiles: Sequence[str | None], checked: _Checked
) -> list[Problem]:
    """Return what is wrong with definitions, each once, with the profiles that have it."""
    from segue.workflows.profiles import told_once
    from segue.workflows.validation import find_problems

    problems: dict[str | None, list[Problem]] = {}
    for profile in profiles:
        catalog = workspace.under(profile).catalog
        alike = {
            name
            for name, directory in _sound(catalog.names("directories"), catalog.directory)
            if checked.directories.get(name) == _without_place(directory)
        }
        columns = {name: each for name, each in checked.columns.items() if name in alike}
        newest = {name: each for name, each in checked.newest.items() if name in alike}
        problems[profile] = find_problems(catalog, columns, newest)
    return told_once(problems)


def _without_place(directory: DirectoryDefinition) -> DirectoryDefinition:
    """Return a directory wherever its snapshots are: a profile's columns are those of another."""
    return directory.model_copy(update={"snapshots": "", "lake": None})


def _checked(workspace: Workspace) -> _Checked:
    """Look at every directory whose definition is sound; the catalog has the problems of others."""
    catalog = workspace.catalog
    checked = _Checked()
    for _, directory in _sound(catalog.names("directories"), catalog.directory):
        checked.add(workspace, directory)
    return checked


def _newest(workspace: Workspace, directory: DirectoryDefinition) -> SnapshotTables:
    """Return the tables of the newest complete snapshot; raise DataError where there is none."""
    from segue.directory.tables import SnapshotTables
    from segue.errors import SnapshotMissing

    complete = workspace.complete_snapshots(directory)
    if complete:
        return SnapshotTables(directory, complete[-1])
    raise SnapshotMissing(workspace.why_none(directory))


def _is_mistake(workspace: Workspace, directory: DirectoryDefinition, error: DataError) -> bool:
    """Tell whether a directory without a snapshot to read is one by mistake, not for a while.

    Another machine's storage may be out of reach here, and so may a folder whose columns are
    declared; a name that nothing reads is no snapshot to come.
    """
    from segue.directory.layout import unread_tables
    from segue.directory.manifest import snapshot_listing
    from segue.directory.snapshots import list_snapshots, unkeyed_folders
    from segue.errors import SnapshotMissing

    if not isinstance(error, SnapshotMissing):
        return not directory.is_elsewhere and not directory.fields
    newest = list_snapshots(directory, now=workspace.now)[-1:]
    if not newest:
        return bool(unkeyed_folders(directory))
    if newest[0].location is None:
        return False
    listing = snapshot_listing(newest[0].folder, f"directory {directory.directory}")
    found = unread_tables(listing, directory.complete_marker)
    return not newest[0].complete and bool(found)


def _columns_of(tables: SnapshotTables) -> Columns:
    from segue.directory.layout import TABLES

    return {name: tables.columns(name) for name in TABLES if tables.has(name)}


def _unread(workspace: Workspace, tables: SnapshotTables) -> list[Problem]:
    """Return what looks like an opt state in the newest snapshot and is not read, or cannot be."""
    from segue.directory.unread import broken_opt_states, unread_findings
    from segue.errors import DataError

    key = "consent" if tables.directory.consent else "snapshots"
    try:
        messages = [*map(str, (*unread_findings(tables), *broken_opt_states(tables)))]
    except DataError as error:
        messages = [str(error)]
    return _placed(workspace, tables.directory.directory, key, messages)


def _examined(workspace: Workspace, tables: SnapshotTables) -> tuple[list[Problem], list[str]]:
    """Return what is wrong with what the newest snapshot holds, and remarks on it."""
    from segue.directory.snapshot_check import lacking_columns
    from segue.errors import DataError
    from segue.segments.fitness import require_sound_ids

    name = tables.directory.directory
    problems = _placed(workspace, name, "columns", map(str, lacking_columns(tables)))
    if problems:
        return problems, []
    problems += _unread(workspace, tables)
    loss = workspace.lost_opt_outs(tables)
    problems += _placed(workspace, name, "snapshots", [] if loss is None else [loss])
    try:
        require_sound_ids(tables)
        further, remarks = _of_values(workspace, tables)
    except DataError as error:
        news = {str(error)} - {problem.message for problem in problems}
        return [*problems, *_placed(workspace, name, "snapshots", news)], []
    return [*problems, *further], remarks


def _of_values(workspace: Workspace, tables: SnapshotTables) -> tuple[list[Problem], list[str]]:
    """Return what is wrong with the values that a snapshot holds, and remarks on them."""
    from segue.segments.strangers import find_strangers

    name = tables.directory.directory
    where = f"directory {name}, snapshot {tables.snapshot.key}"
    strangers = find_strangers(tables)
    values = _unreadable(workspace, tables)
    wrong = [f"{where}, {each.problem}" for each in strangers if each.problem]
    useless = [message for message, is_useless in values if is_useless]
    remarks = [message for message, is_useless in values if not is_useless]
    remarks += [f"{where}, {each}" for each in strangers if not each.problem]
    placed = _placed(workspace, name, "snapshots", wrong)
    return [*placed, *_placed(workspace, name, "columns", useless)], remarks


def _unreadable(workspace: Workspace, tables: SnapshotTables) -> list[tuple[str, bool]]:
    """Return what segments and workflows cannot read of a snapshot, and whether that is too much.

    Too much is what runs refuse, or all: a condition holds for nobody then, or for everybody.
    """
    from segue.contacts.fields import uses_of_workflow
    from segue.segments.unreadable import Use, find_unreadable, is_too_much, uses_of

    catalog = workspace.catalog
    users: dict[Use, list[str]] = {}
    for name, segment in _sound(catalog.names("segments"), catalog.segment):
        if segment.directory == tables.directory.directory:
            for use in uses_of(segment):
                users.setdefault(use, []).append(f"segment {name}")
    for name, resolved in _sound(catalog.names("workflows"), catalog.resolve):
        if resolved.directory == tables.directory:
            live = () if resolved.live is None else resolved.live.provides
            for use in uses_of_workflow(resolved.definition, resolved.segment, live):
                users.setdefault(use, []).append(f"workflow {name}")
    where = f"directory {tables.directory.directory}, snapshot {tables.snapshot.key}"
    return [
        (f"{where}, {each}; read by {', '.join(users[each.use])}{_form(each)}", is_too_much(each))
        for each in find_unreadable(tables, users)
        if tables.kinds(each.use.table)[each.use.column] in ("text", "bytes")  # else: a misfit
    ]


def _form(unreadable: Unreadable) -> str:
    """Say how dates are written where too few of a column can be read."""
    from segue.segments.unreadable import DATES_ARE, Reading, is_too_much

    are_dates = unreadable.use.reading is Reading.DATE
    return f". {DATES_ARE}" if are_dates and is_too_much(unreadable) else ""


def _sound(names: Iterable[str], load: Callable[[str], Loaded]) -> Iterator[tuple[str, Loaded]]:
    """Yield the definitions that can be loaded; the others are among the catalog's problems."""
    from segue.errors import DefinitionError

    for name in names:
        try:
            yield name, load(name)
        except DefinitionError:
            continue


def _placed(
    workspace: Workspace, directory: str, key: str, messages: Iterable[str]
) -> list[Problem]:
    """Return what is wrong with a snapshot as problems at a key of its directory's definition."""
    document = workspace.catalog.document("directories", directory)
    key = "lake" if key == "snapshots" and "lake" in document.data else key
    return [document.problem((key,), message) for message in messages]


def _held(tables: SnapshotTables) -> Newest:
    from segue.segments.fitness import kinds_of, mailing_list_names
    from segue.workflows.data_problems import Newest

    return Newest(tables.snapshot.key, kinds_of(tables), mailing_list_names(tables))


def _declared(directory: DirectoryDefinition) -> Columns:
    """Return the declared fields with the columns that every table has."""
    from segue.directory.snapshot_check import NEEDED

    fields = {"contacts": (), **directory.fields}
    return {table: [*dict.fromkeys([*NEEDED[table], *names])] for table, names in fields.items()}


def _print_problems(problems: Sequence[Problem], output: Format) -> None:
    if output is Format.TABLE:
        for problem in problems:
            print(plain(_line(problem)))
        if problems:
            note(f"{count(len(problems), 'problem')} found")
        return
    columns = ("file", "line", "column", "path", "message")
    rows = [[where(p), p.line, p.column, p.path, p.message] for p in problems]
    print_listing(columns, rows, output)


def _line(problem: Problem) -> str:
    return str(replace(problem, file=where(problem)))


def _print_summary(workspace: Workspace, checked: _Checked, output: Format) -> None:
    names = workspace.catalog.names
    actions = len(names("actions"))
    parts = [
        count(len(names("directories")), "directory", "directories"),
        count(len(names("segments")), "segment"),
        *([count(actions, "reusable action")] if actions else []),
        count(len(names("workflows")), "workflow"),
    ]
    text = f"{', '.join(parts)}: no problem found in {workspace.settings.home}"
    print(text) if output is Format.TABLE else note(text)
    if checked.sources:
        note(f"fields checked against {', '.join(checked.sources)}")
