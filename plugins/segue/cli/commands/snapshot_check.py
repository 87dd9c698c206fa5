"""``segue snapshots check``: whether a run could use a snapshot, and all that speaks against it."""

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
    from segue.directory.snapshot_check import TableReport
    from segue.directory.tables import SnapshotTables
    from segue.segments.definition import SegmentDefinition
    from segue.segments.strangers import Strangers
    from segue.segments.unreadable import Unreadable, Use, WordsForNothing

_UNSOUND = 2
_CHECK_COLUMNS = ("table", "rows", "unknown_contacts", "without_date", "problem", "remark")


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


def check(
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="Name of the directory.")],
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="[KEY]", help="Key of the snapshot; the newest complete one by default."
        ),
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Read a snapshot whole and check its data; exit code 2 where a run could not use it.

    Checked are the rules of every snapshot, what the directory expects, and what its segments and
    workflows read.
    """
    from segue.cli.workspace import Workspace
    from segue.directory.opt_outs import count_opt_outs
    from segue.directory.snapshots import describe_twins, list_snapshots
    from segue.directory.tables import SnapshotTables

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    tables = SnapshotTables(definition, workspace.snapshot(definition, key))
    key = tables.snapshot.key
    with working(f"Checking {key}"):
        examination = _examined(workspace, tables)
    _print_examination(examination, output)
    if examination.problems:
        note(f"{count(len(examination.problems), 'problem')} found in {key}")
        raise typer.Exit(_UNSOUND)
    note(str(count_opt_outs(tables)))
    every = list_snapshots(definition, now=workspace.now)
    for text in describe_twins(item for item in every if item.as_of == tables.snapshot.as_of):
        note(text)
    remarks = len(examination.remarks)
    note(f"{key} is sound" + (f"; {count(remarks, 'remark')}" if remarks else ""))


def _examined(workspace: Workspace, tables: SnapshotTables) -> _Examination:
    """Read a snapshot whole, once its tables are what they must be."""
    from segue.directory.snapshot_check import check_snapshot, table_reports
    from segue.errors import DataError
    from segue.segments.strangers import find_strangers

    unsound = [(each.table, each.message) for each in check_snapshot(tables)]
    if unsound:
        further = _lost_opt_outs(workspace, tables)
        with suppress(DataError):  # of what is broken, and told
            further += _unexpected(workspace, tables)
        return _Examination(unsound, further, (), ())
    facts = table_reports(tables)
    unreadable = _remarks(workspace, tables)
    strangers = find_strangers(tables)
    further = [
        *_undated(unreadable),
        *((each.table, each.problem) for each in strangers if each.problem),
        *_unexpected(workspace, tables),
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


def _unexpected(workspace: Workspace, tables: SnapshotTables) -> list[tuple[str, str]]:
    """Return what the directory expects and the snapshot is not."""
    from segue.segments.expectations.judging import find_unmet

    return [(each.table, str(each)) for each in find_unmet(tables, workspace.before(tables))]


def _lacking(workspace: Workspace, tables: SnapshotTables) -> list[tuple[str, str]]:
    """Return what the segments and workflows of a directory need and the snapshot lacks."""
    from segue.contacts.columns_read import find_losses
    from segue.segments.outside import outside_missing

    losses = find_losses(workspace.catalog, tables, workspace.before(tables))
    name, key = tables.directory.directory, tables.snapshot.key
    outside = [
        f"snapshot {key} of {name} lacks {each}, which the segment {segment.segment} needs"
        for segment in _segments(workspace, name)
        for each in outside_missing(segment, tables.snapshot)
    ]
    return [("", text) for text in (*losses.since_before, *losses.all_along, *outside)]


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
