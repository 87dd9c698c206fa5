"""``segue explain``: why a contact is in a segment or not, at one snapshot or across a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import At, Home, OutputFormat
from segue.cli.commands.segments import Segment, load
from segue.cli.output import Format, console, json_of, plain, print_csv, shown, working
from segue.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text
    from rich.tree import Tree

    from segue.directory.tables import SnapshotTables
    from segue.segments.explanation import Explanation, Verdict

Earlier = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="KEY",
        help="Key of an earlier snapshot: also show what was seen and decided there.",
    ),
]


@dataclass(frozen=True)
class _Node:
    """A node as it was decided at the earlier snapshot, if one was asked for, and as it is now."""

    was: Explanation | None
    now: Explanation | None
    across: bool  # whether there is an earlier snapshot at all

    @property
    def either(self) -> Explanation:
        side = self.now or self.was
        assert side is not None
        return side

    @property
    def children(self) -> Iterator[_Node]:
        was: Sequence[Explanation] = self.was.children if self.was else ()
        now: Sequence[Explanation] = self.now.children if self.now else ()
        return (_Node(*pair, self.across) for pair in zip_longest(was, now))


def explain(
    segment: Segment,
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="Id of the contact.")],
    at: At = None,
    earlier: Earlier = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show why a contact is in a segment or not: every condition, its value and its verdict."""
    from segue.cli.workspace import Workspace
    from segue.directory.tables import SnapshotTables
    from segue.segments.explanation import contact_verdict
    from segue.segments.fitness import require_answers

    workspace = Workspace.open(home)
    definition, directory = load(workspace, segment)
    if workspace.forgotten(contact):
        raise SettingsError(f"the contact {contact!r} was forgotten, and nothing of it is shown")
    if earlier is None:
        tables = [SnapshotTables(directory, workspace.snapshot(directory, at))]
    else:
        pair = workspace.pair(directory, earlier, at)
        tables = [SnapshotTables(directory, snapshot) for snapshot in pair if snapshot]
    with working(f"Reading {contact}"):
        for each in tables:
            require_answers(definition, each)
        verdicts = [contact_verdict(definition, each, contact) for each in tables]
        if all(verdict.tree is None for verdict in verdicts):
            raise _no_contact(tables[-1], contact)
    _print(segment, contact, verdicts, output)


def _no_contact(tables: SnapshotTables, contact: str) -> SettingsError:
    similar = _similar(tables.contacts(())["contact_id"].tolist(), contact)
    return SettingsError(
        f"there is no contact {contact!r} in snapshot {tables.snapshot.key} of "
        f"{tables.directory.directory}; ids are compared exactly{similar}"
    )


def _similar(ids: list[str], wanted: str) -> str:
    """Return ``; did you mean 'x'?`` for an id that differs in case, blanks or leading zeros."""
    loose = wanted.strip().lower().lstrip("0")
    candidates = [known for known in ids if known.strip().lower().lstrip("0") == loose]
    return f"; did you mean {candidates[0]!r}?" if candidates else ""


def _print(segment: str, contact: str, verdicts: list[Verdict], output: Format) -> None:
    across = len(verdicts) > 1
    last = verdicts[-1]
    node = _Node(verdicts[0].tree if across else None, last.tree, across)
    facts: dict[str, Any] = {"contact_id": contact, "segment": segment}
    if output is Format.JSON:
        earlier = {"from": _facts(verdicts[0])} if across else {}
        facts = {**facts, **_facts(last), **earlier, "explanation": _data(node)}
        print(json_of(facts, indent=2))
    elif output is Format.CSV:
        columns = ["node", "condition", "value", "holds"]
        print_csv([*columns, "value_from", "holds_from"] if across else columns, _flat(node))
    else:
        screen = console()
        for verdict in verdicts:
            screen.print(plain(_headline(segment, contact, verdict, past=verdict is not last)))
        screen.print(_drawn(node))


def _facts(verdict: Verdict) -> dict[str, Any]:
    return {
        "snapshot": verdict.snapshot,
        "member": verdict.member,
        "opted_in": verdict.opted_in,
    }


def _headline(segment: str, contact: str, verdict: Verdict, *, past: bool) -> str:
    if verdict.tree is None:
        return f"{contact} {'was' if past else 'is'} not in the directory at {verdict.snapshot}"
    verb = "was" if past else "is"
    is_in = f"{verb} in" if verdict.member else f"{verb} not in"
    state = "opted in" if verdict.opted_in else "opted out"
    return f"{contact} {is_in} {segment} at {verdict.snapshot}; {state}"


def _data(node: _Node) -> dict[str, Any]:
    either = node.either
    data: dict[str, Any] = {"condition": either.text, **_judged(node.now)}
    if node.across:
        data["from"] = _judged(node.was)
    parts = [_data(child) for child in node.children]
    return {**data, "parts": parts} if parts else data


def _judged(seen: Explanation | None) -> dict[str, Any]:
    """Return verdict and value of one node at one snapshot, and those of its operators."""
    if seen is None:
        return {"holds": None}
    if not seen.is_leaf:
        return {"holds": seen.holds}
    tests = [
        {"operator": test.operator, "operand": test.operand, "holds": test.holds}
        for test in seen.tests
    ]
    facts = {"holds": seen.holds, "value": seen.value}
    return {**facts, "tests": tests} if tests else facts


def _flat(node: _Node, path: str = "match") -> Iterator[list[Any]]:
    sides = [node.now, node.was] if node.across else [node.now]
    cells_of_sides = [[side.value, side.holds] if side else [None, None] for side in sides]
    yield [path, node.either.text, *(cell for cells in cells_of_sides for cell in cells)]
    for index, child in enumerate(node.children):
        yield from _flat(child, f"{path}[{index}]")


def drawn(tree: Explanation) -> Tree:
    """Return an explanation at one snapshot as a tree to print."""
    return _drawn(_Node(None, tree, False))


def _drawn(node: _Node, tree: Tree | None = None) -> Tree:
    from rich.tree import Tree

    branch = Tree(_line(node), guide_style="dim") if tree is None else tree.add(_line(node))
    for child in node.children:
        _drawn(child, branch)
    return branch


def _line(node: _Node) -> Text:
    from rich.text import Text

    marks = [_mark(side) for side in ([node.was, node.now] if node.across else [node.now])]
    if len(marks) == 2 and marks[0] == marks[1]:
        marks = marks[:1]
    line = Text("→").join(Text(*mark) for mark in marks)
    line.append(f" {plain(node.either.text)}")
    if node.either.is_leaf:
        if node.across:
            line.append("  it was ", "dim")
            line.append(_value(node.was), "bold")
            line.append(",", "dim")
        line.append("  it is " if not node.across else " it is ", "dim")
        line.append(_value(node.now), "bold")
    return line


def _mark(seen: Explanation | None) -> tuple[str, str]:
    if seen is None:
        return "–", "dim"
    return ("✓", "green") if seen.holds else ("✗", "red")


def _value(seen: Explanation | None) -> str:
    if seen is None:
        return "not there"
    return "missing" if seen.value is None else shown(seen.value)
