"""``segue snapshots``: which there are, whether one is sound, and which no run may use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, count, note, print_listing, working

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.tables import SnapshotTables
    from segue.ledger import RecordedSpan
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
        _check(workspace, definition, check, output)
        return
    from segue.directory.snapshot_check import clashing_files
    from segue.directory.snapshots import (
        describe_twins,
        describe_unkeyed,
        list_snapshots,
        listed_files,
        unkeyed_folders,
    )
    from segue.directory.tables import SnapshotTables

    with working(f"Listing {directory}"):
        reasons = workspace.quarantined(definition)
        all_snapshots = list_snapshots(definition, now=workspace.now)
        tables = [
            SnapshotTables(definition, item, files=listed_files(item)) for item in all_snapshots
        ]
        rows = [[*_row(each), reasons.get(each.snapshot.key)] for each in tables]
        clashes = [text for each in tables for text in clashing_files(each)]
        left_out = describe_unkeyed(unkeyed_folders(definition))
    if not rows:
        note(f"directory {directory} has no snapshot yet")
    for text in (*clashes, *([] if left_out is None else [left_out])):
        note(text)
    for text in describe_twins(all_snapshots):
        note(text)
    if output is Format.TABLE:
        print_listing(_IN_A_TABLE, map(_table_row, rows), output)
    else:
        print_listing(_COLUMNS, rows, output)


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
        outcome = asking.quarantine(ledger, directory, canonical, person(), reason, this_second())
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
    reading = parse_key(workspace.catalog.directory(directory), key)
    canonical = reading[0] if reading else key
    with writing_ledger(workspace.settings) as ledger:
        if not asking.release(ledger, directory, canonical, person(), this_second()):
            keys = ", ".join(sorted(ledger.quarantined(directory))) or "none"
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


def _check(workspace: Workspace, directory: DirectoryDefinition, key: str, output: Format) -> None:
    from segue.directory.opt_outs import count_opt_outs
    from segue.directory.snapshot_check import check_snapshot, table_reports
    from segue.directory.snapshots import describe_twins, list_snapshots
    from segue.directory.tables import SnapshotTables
    from segue.segments.strangers import find_strangers

    tables = SnapshotTables(directory, workspace.snapshot(directory, key))
    with working(f"Checking {key}"):
        report = check_snapshot(tables)
        problems = [(each.table, each.message) for each in report]
        facts = [] if problems else table_reports(tables)
        unreadable = [] if problems else _remarks(workspace, tables)
        strangers = [] if problems else find_strangers(tables)
        further = [] if problems else _undated(unreadable)
        further += [(each.table, each.problem) for each in strangers if each.problem]
        loss = workspace.lost_opt_outs(tables)
        further += [] if loss is None else [("contacts", loss)]
        further += [] if report else _lacking(workspace, tables)
    remarks: list[Unreadable | WordsForNothing | Strangers] = [
        *(each for each in strangers if not each.problem),
        *unreadable,
    ]
    problems += further
    rows: list[list[Any]] = [[table, *[None] * 3, text, None] for table, text in problems]
    for fact in facts:
        without_date = fact.without_date + _unread_dates(fact.table, remarks)
        rows.append([fact.table, fact.rows, fact.unknown_contacts, without_date, None, None])
    rows += [[each.table, *[None] * 4, str(each)] for each in remarks]
    if output is not Format.TABLE:
        print_listing(_CHECK_COLUMNS, rows, output)
    elif report:
        print(*(text for _, text in problems), sep="\n")
    else:
        print_listing(_CHECK_COLUMNS[:4], [row[:4] for row in rows if row[1] is not None], output)
        for text in (*(text for _, text in further), *remarks):
            print(text)
    if problems:
        note(f"{count(len(problems), 'problem')} found in {key}")
        raise typer.Exit(_UNSOUND)
    note(str(count_opt_outs(tables)))
    every = list_snapshots(directory, now=workspace.now)
    for text in describe_twins(item for item in every if item.as_of == tables.snapshot.as_of):
        note(text)
    note(f"{key} is sound" + (f"; {count(len(remarks), 'remark')}" if remarks else ""))


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
