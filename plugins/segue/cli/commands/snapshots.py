"""``segue snapshots``: which there are, whether one is sound, and which no run may use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, count, note, print_listing, working

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshot_check import TableReport
    from segue.directory.tables import SnapshotTables
    from segue.ledger.facts import RecordedSpan
    from segue.segments.definition import SegmentDefinition
    from segue.segments.strangers import Strangers
    from segue.segments.unreadable import Unreadable, Use, WordsForNothing

_UNSOUND = 2
_COLUMNS = ("snapshot", "as_of", "complete", "tables", "why_incomplete", "quarantined")
_IN_A_TABLE = ("snapshot", "as_of", "complete", "tables")
_CHECK_COLUMNS = ("table", "rows", "unknown_contacts", "without_date", "problem", "remark")


def snapshots(
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="Name of the directory.")],
    check: Annotated[
        str | None,
        typer.Option(
            "--check",
            metavar="KEY",
            help="Read this snapshot whole and check its data; exit code 2 if it is not sound.",
        ),
    ] = None,
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
    """List the snapshots of a directory, or check the data of one of them."""
    from segue.cli.workspace import Workspace

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    if check is not None:
        _check(workspace, definition, check, output)
        return
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
        note(f"directory {directory.directory} has no snapshot yet")
    for text in remarks:
        note(text)
    if output is Format.TABLE:
        print_listing(_IN_A_TABLE, map(_table_row, rows), output)
    else:
        print_listing(_COLUMNS, rows, output)


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


@dataclass(frozen=True)
class _Examination:
    """What is known of a snapshot's data; problems are (table, words)."""

    unsound: Sequence[tuple[str, str]]  # where there are any, nothing else was looked at
    further: Sequence[tuple[str, str]]
    facts: Sequence[TableReport]
    remarks: Sequence[Unreadable | WordsForNothing | Strangers]

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Everything that is wrong."""
        return [*self.unsound, *self.further]

    def rows(self) -> Iterator[list[Any]]:
        """Yield problems, facts and remarks under the columns of a check."""
        for table, text in self.problems:
            yield [table, None, None, None, text, None]
        for fact in self.facts:
            without_date = fact.without_date + _unread_dates(fact.table, self.remarks)
            yield [fact.table, fact.rows, fact.unknown_contacts, without_date, None, None]
        for each in self.remarks:
            yield [each.table, None, None, None, None, str(each)]


def _check(workspace: Workspace, directory: DirectoryDefinition, key: str, output: Format) -> None:
    from segue.directory.opt_outs import count_opt_outs
    from segue.directory.snapshots import describe_twins, list_snapshots
    from segue.directory.tables import SnapshotTables

    tables = SnapshotTables(directory, workspace.snapshot(directory, key))
    with working(f"Checking {key}"):
        examination = _examined(workspace, tables)
    _print_examination(examination, output)
    if examination.problems:
        note(f"{count(len(examination.problems), 'problem')} found in {key}")
        raise typer.Exit(_UNSOUND)
    note(str(count_opt_outs(tables)))
    every = list_snapshots(directory, now=workspace.now)
    for text in describe_twins(item for item in every if item.as_of == tables.snapshot.as_of):
        note(text)
    remarks = len(examination.remarks)
    note(f"{key} is sound" + (f"; {count(remarks, 'remark')}" if remarks else ""))


def _examined(workspace: Workspace, tables: SnapshotTables) -> _Examination:
    """Read a snapshot whole, once its tables are what they must be."""
    from segue.directory.snapshot_check import check_snapshot, table_reports
    from segue.segments.strangers import find_strangers

    unsound = [(each.table, each.message) for each in check_snapshot(tables)]
    if unsound:
        return _Examination(unsound, _lost_opt_outs(workspace, tables), (), ())
    facts = table_reports(tables)
    unreadable = _remarks(workspace, tables)
    strangers = find_strangers(tables)
    further = [
        *_undated(unreadable),
        *((each.table, each.problem) for each in strangers if each.problem),
        *_lost_opt_outs(workspace, tables),
        *_lacking(workspace, tables),
    ]
    remarks = [*(each for each in strangers if not each.problem), *unreadable]
    return _Examination((), further, facts, remarks)


def _lost_opt_outs(workspace: Workspace, tables: SnapshotTables) -> list[tuple[str, str]]:
    loss = workspace.lost_opt_outs(tables)
    return [] if loss is None else [("contacts", loss)]


def _print_examination(examination: _Examination, output: Format) -> None:
    rows = list(examination.rows())
    if output is not Format.TABLE:
        print_listing(_CHECK_COLUMNS, rows, output)
    elif examination.unsound:
        print(*(text for _, text in examination.problems), sep="\n")
    else:
        print_listing(_CHECK_COLUMNS[:4], [row[:4] for row in rows if row[1] is not None], output)
        for text in (*(text for _, text in examination.further), *examination.remarks):
            print(text)


def _unread_dates(table: str, remarks: Sequence[object]) -> int:
    from segue.segments.unreadable import DATES, Unreadable

    dates = [each for each in remarks if isinstance(each, Unreadable) and each.use == DATES[-1]]
    return sum(each.count for each in dates if each.table == table)


def _remarks(workspace: Workspace, tables: SnapshotTables) -> list[Unreadable | WordsForNothing]:
    """Return what cannot be read as what a definition uses it for, and words for nothing.

    Text that is not UTF-8 is of no use to anybody, so it is looked for in every column.
    """
    from segue.segments.unreadable import (
        DATES,
        find_unreadable,
        find_words_for_nothing,
        text_uses,
    )

    uses = {*DATES, *_uses(workspace, tables.directory.directory)}
    uses |= text_uses(tables, besides={(use.table, use.column) for use in uses})
    names = [name for name in ("contacts", "transactions") if tables.has(name)]
    words = [each for table in names for each in find_words_for_nothing(tables, table)]
    return [*find_unreadable(tables, uses), *words]


def _segments(workspace: Workspace, directory: str) -> Iterator[SegmentDefinition]:
    """Yield the segments of a directory; broken ones are for validate."""
    from segue.errors import SegueError

    for name in workspace.catalog.names("segments"):
        with suppress(SegueError):
            segment = workspace.catalog.segment(name)
            if segment.directory == directory:
                yield segment


def _lacking(workspace: Workspace, tables: SnapshotTables) -> list[tuple[str, str]]:
    """Return which tables and columns a segment needs that the snapshot lacks, in words."""
    from segue.segments.membership.store import describe_missing

    segments = _segments(workspace, tables.directory.directory)
    problems = (describe_missing(segment, tables) for segment in segments)
    return [("", problem) for problem in problems if problem is not None]


def _uses(workspace: Workspace, directory: str) -> Iterator[Use]:
    """Yield what the segments and workflows of a directory read; broken ones are for validate."""
    from segue.contacts.fields import uses_of_workflow
    from segue.errors import SegueError
    from segue.segments.unreadable import uses_of

    catalog = workspace.catalog
    for segment in _segments(workspace, directory):
        yield from uses_of(segment)
    for name in catalog.names("workflows"):
        with suppress(SegueError):
            workflow = catalog.workflow(name)
            segment = catalog.segment(workflow.segment)
            if segment.directory == directory:
                yield from uses_of_workflow(workflow, segment)


def _undated(remarks: Sequence[object]) -> list[tuple[str, str]]:
    from segue.segments.unreadable import Unreadable, undated_problem

    problem = undated_problem([each for each in remarks if isinstance(each, Unreadable)])
    return [] if problem is None else [("transactions", problem)]
