"""A segment's definition as people read it: a tree of plain lines, without a contact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from segue.segments.conditions.nodes import AllOf, AnyOf, Condition, Not
from segue.segments.definition import SegmentDefinition
from segue.segments.explanation import condition_text


@dataclass(frozen=True, slots=True)
class Outline:
    """One line of a definition and what belongs to it."""

    text: str
    parts: Sequence[Outline] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Yield the lines, indented."""
        yield "  " * depth + self.text
        for part in self.parts:
            yield from part.lines(depth + 1)


def outline(segment: SegmentDefinition) -> Outline:
    """Return what decides who is in a segment."""
    if segment.match is not None:
        return _outline(segment.match)
    if segment.imported is not None:
        columns = segment.imported.columns.items()
        aliases = tuple(Outline(f"{ours} is called {theirs}") for ours, theirs in columns)
        unknown = Outline(f"unknown contacts: {segment.imported.unknown_contacts}")
        return Outline(f"imported: {segment.imported.path}", (*aliases, unknown))
    return Outline(f"python: {segment.python}")


def _outline(condition: Condition) -> Outline:
    match condition:
        case AllOf():
            return Outline("all of", tuple(map(_outline, condition.parts)))
        case AnyOf():
            return Outline("any of", tuple(map(_outline, condition.parts)))
        case Not():
            return Outline("not", (_outline(condition.part),))
        case _:
            return Outline(condition_text(condition))
