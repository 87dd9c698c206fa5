"""``segue members`` and ``segue changes``: who is in a segment, and who crossed its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.arguments import At, Home, OutputFormat
from segue.cli.output import Format, count, note, print_listing, working

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition
    from segue.segments.definition import SegmentDefinition

Segment = Annotated[str, typer.Argument(metavar="SEGMENT", help="Name of the segment.")]


def members(
    segment: Segment, at: At = None, home: Home = None, output: OutputFormat = Format.TABLE
) -> None:
    """List the contacts of a segment at one snapshot, and whether they are opted in."""
    from segue.cli.workspace import Workspace
    from segue.directory.tables import SnapshotTables
    from segue.segments.fitness import require_answers
    from segue.segments.membership.store import membership

    workspace = Workspace.open(home)
    definition, directory = load(workspace, segment)
    snapshot = workspace.snapshot(directory, at)
    with working(f"Evaluating {segment} at {snapshot.key}"):
        require_answers(definition, SnapshotTables(directory, snapshot))
        contacts = membership(definition, directory, snapshot)
    rows = zip(contacts["contact_id"].tolist(), contacts["opted_in"].tolist(), strict=True)
    print_listing(("contact_id", "opted_in"), rows, output)
    opted_out = len(contacts) - int(contacts["opted_in"].sum())
    note(f"{count(len(contacts), 'member')} at {snapshot.key}, {opted_out:,} of them opted out")


def changes(
    segment: Segment,
    previous: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="KEY",
            help="Key of the earlier snapshot; the one before the later by default.",
        ),
    ] = None,
    current: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="KEY",
            help="Key of the later snapshot; the newest complete one by default.",
        ),
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List who was added, removed, opted in or opted out between two snapshots."""
    from segue.cli.workspace import Workspace
    from segue.directory.tables import SnapshotTables
    from segue.errors import SnapshotMissing
    from segue.preview.plan import Uncached
    from segue.segments.consent import lost_opt_outs, new_opt_states
    from segue.segments.fitness import require_answers, require_comparable
    from segue.segments.membership.changes import segment_changes

    workspace = Workspace.open(home)
    definition, directory = load(workspace, segment)
    begin, end = workspace.pair(directory, previous, current)
    if begin is None:
        raise SnapshotMissing(f"nothing to compare: {end.key} is the first complete snapshot")
    with working(f"Comparing {begin.key} with {end.key}"):
        require_answers(definition, SnapshotTables(directory, end))
        require_comparable(definition, SnapshotTables(directory, begin))
        comparison = segment_changes(definition, directory, begin, end, Uncached())
    columns = ("contact_id", "change", "reason")
    rows = zip(*(comparison.changes[name].tolist() for name in columns), strict=True)
    print_listing(columns, rows, output)
    kinds = comparison.changes["change"].value_counts().sort_index()
    counts = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
    note(
        f"{begin.key} to {end.key}: {comparison.previous_size:,} to "
        f"{comparison.current_size:,} members; " + (counts or "no change")
    )
    both = SnapshotTables(directory, begin), SnapshotTables(directory, end)
    loss, new = lost_opt_outs(*both), new_opt_states(*both)
    if loss is not None:
        note(f"a run refuses these two: {loss}")
    if new is not None:
        note(f"a run that acts on opted_in or opted_out records a baseline here ({new})")


def load(workspace: Workspace, segment: str) -> tuple[SegmentDefinition, DirectoryDefinition]:
    """Return a segment and its directory; raise DefinitionError."""
    definition = workspace.catalog.segment(segment)
    return definition, workspace.catalog.directory(definition.directory)
