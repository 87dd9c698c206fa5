"""``segue members``, ``changes``, ``explain``: who is in a segment, who crossed its line, why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import At, Home, OutputFormat
from segue.cli.output import (
    Format,
    console,
    count,
    json_of,
    note,
    plain,
    print_csv,
    print_listing,
    shown,
    working,
)
from segue.errors import SettingsError

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from segue.cli.workspace import Workspace
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshots import Snapshot
    from segue.segments.definition import SegmentDefinition
    from segue.segments.explanation import Explanation
    from segue.segments.population import Population

Segment = Annotated[str, typer.Argument(metavar="SEGMENT", help="Name of the segment.")]


def members(
    segment: Segment, at: At = None, home: Home = None, output: OutputFormat = Format.TABLE
) -> None:
    """List the contacts of a segment at one snapshot, and whether they are opted in."""
    from segue.cli.workspace import Workspace
    from segue.segments.membership import membership

    workspace = Workspace.open(home)
    definition, directory = _load(workspace, segment)
    snapshot = workspace.snapshot(directory, at)
    with working(f"Evaluating {segment} at {snapshot.key}"):
        found = membership(definition, directory, snapshot)
    rows = zip(found["contact_id"].tolist(), found["opted_in"].tolist(), strict=True)
    print_listing(("contact_id", "opted_in"), rows, output)
    opted_out = len(found) - int(found["opted_in"].sum())
    note(f"{count(len(found), 'member')} at {snapshot.key}, {opted_out:,} of them opted out")


def changes(
    segment: Segment,
    previous: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="KEY",
            help="Key of the earlier snapshot; the one before the later by default.",
            show_default=False,
        ),
    ] = None,
    current: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="KEY",
            help="Key of the later snapshot; the newest complete one by default.",
            show_default=False,
        ),
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List who was added, removed, opted in or opted out between two snapshots."""
    from segue.cli.workspace import Workspace
    from segue.delivery.plan import Uncached
    from segue.errors import SnapshotMissing
    from segue.segments.changes import segment_changes

    workspace = Workspace.open(home)
    definition, directory = _load(workspace, segment)
    begin, end = workspace.pair(directory, previous, current)
    if begin is None:
        raise SnapshotMissing(f"nothing to compare: {end.key} is the first complete snapshot")
    with working(f"Comparing {begin.key} with {end.key}"):
        found = segment_changes(definition, directory, begin, end, Uncached())
    columns = ("contact_id", "change", "reason")
    rows = zip(*(found.changes[name].tolist() for name in columns), strict=True)
    print_listing(columns, rows, output)
    kinds = found.changes["change"].value_counts().sort_index()
    counts = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
    note(
        f"{begin.key} to {end.key}: {found.previous_size:,} to {found.current_size:,} members; "
        + (counts or "no change")
    )


def explain(
    segment: Segment,
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="Id of the contact.")],
    at: At = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show why a contact is in a segment or not: every condition, its value and its verdict."""
    from segue.cli.workspace import Workspace
    from segue.segments.consent import opt_states
    from segue.segments.explanation import explain as explained

    workspace = Workspace.open(home)
    definition, directory = _load(workspace, segment)
    snapshot = workspace.snapshot(directory, at)
    population = _one_contact(definition, directory, snapshot, contact)
    tree = explained(definition.match, population, contact)
    opted_in = bool(opt_states(population, segment)[0])
    facts = {
        "contact_id": contact,
        "segment": segment,
        "snapshot": snapshot.key,
        "member": tree.holds,
        "opted_in": opted_in,
    }
    if output is Format.JSON:
        print(json_of({**facts, "explanation": _data(tree)}, indent=2))
    elif output is Format.CSV:
        print_csv(("node", "condition", "value", "holds"), _flat(tree))
    else:
        is_in = "is in" if tree.holds else "is not in"
        state = "opted in" if opted_in else "opted out"
        out = console()
        out.print(plain(f"{contact} {is_in} {segment} at {snapshot.key}; {state}"))
        out.print(_drawn(tree))


def _load(workspace: Workspace, segment: str) -> tuple[SegmentDefinition, DirectoryDefinition]:
    definition = workspace.catalog.segment(segment)
    return definition, workspace.catalog.directory(definition.directory)


def _one_contact(
    segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot, contact: str
) -> Population:
    """Load what the segment asks of one contact; raise SettingsError where it is not there."""
    from segue.directory.tables import SnapshotTables
    from segue.segments.conditions import needed_columns
    from segue.segments.population import Population, opt_state_needs

    tables = SnapshotTables(directory, snapshot)
    needs = needed_columns(segment.match) | opt_state_needs(tables)
    with working(f"Reading {contact}"):
        population = Population.load(directory, tables, needs, as_of=snapshot.as_of, only=[contact])
        if not population.contacts.empty:
            return population
        similar = _similar(tables.contacts(())["contact_id"].tolist(), contact)
    raise SettingsError(
        f"there is no contact {contact!r} in snapshot {snapshot.key} of "
        f"{directory.directory}; ids are compared exactly{similar}"
    )


def _similar(ids: list[str], wanted: str) -> str:
    """Return ``; did you mean 'x'?`` for an id that differs in case, blanks or leading zeros."""
    loose = wanted.strip().lower().lstrip("0")
    found = [known for known in ids if known.strip().lower().lstrip("0") == loose]
    return f"; did you mean {found[0]!r}?" if found else ""


def _data(node: Explanation) -> dict[str, Any]:
    data = {"condition": node.text, "holds": node.holds}
    if node.children:
        return {**data, "parts": [_data(child) for child in node.children]}
    return {**data, "value": node.value}


def _flat(node: Explanation, path: str = "match") -> Iterator[list[Any]]:
    yield [path, node.text, node.value, node.holds]
    for index, child in enumerate(node.children):
        yield from _flat(child, f"{path}[{index}]")


def _drawn(node: Explanation, tree: Tree | None = None) -> Tree:
    from rich.tree import Tree

    branch = Tree(_line(node), guide_style="dim") if tree is None else tree.add(_line(node))
    for child in node.children:
        _drawn(child, branch)
    return branch


def _line(node: Explanation) -> Text:
    from rich.text import Text

    mark = ("✓ ", "green") if node.holds else ("✗ ", "red")
    line = Text.assemble(mark, plain(node.text))
    if not node.children:
        value = "missing" if node.value is None else shown(node.value)
        line.append("  it is ", "dim")
        line.append(value, "bold")
    return line
