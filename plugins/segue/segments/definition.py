"""The definition of a segment: a named condition over a directory."""

from __future__ import annotations

from segue.documents import Definition, Name
from segue.segments.conditions import ConditionField


class SegmentDefinition(Definition):
    """A segment as a team writes it in ``include/segments/``."""

    segment: Name
    directory: Name
    description: str | None = None
    match: ConditionField
