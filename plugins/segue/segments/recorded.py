"""A segment as a run recorded it, read back: what was judged then can be judged again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.documents import Document, validate
from segue.errors import DefinitionError
from segue.segments.conditions.inspection import operator_versions
from segue.segments.definition import WAYS, SegmentDefinition

_CHANGED = "an operator of it has another meaning in this version"


def recorded_segment(recorded: Mapping[str, Any], file: Path) -> SegmentDefinition:
    """Return a segment that knows what it referred to, of a definition in the ledger.

    ``file`` is where the segment stands now: paths of imported tables begin in its folder. Raises
    DefinitionError where this version cannot read it, or would judge otherwise.
    """
    facts = recorded.get("decided_by", {})
    own = {name: value for name, value in recorded.items() if name != "decided_by"}
    return _rebuilt(own, facts, file)


def _rebuilt(data: Mapping[str, Any], facts: Mapping[str, Any], file: Path) -> SegmentDefinition:
    """Return a segment of its keys in YAML; ``facts`` are those of ``SegmentDefinition.facts``."""
    document = Document(str(file), dict(data), {})
    definition = validate(SegmentDefinition, document)
    match = definition.match
    if match is not None and operator_versions(match) != facts.get("operators", {}):
        raise DefinitionError([document.problem(("match",), _CHANGED)])
    directory = {"directory": definition.directory}
    others = [
        _rebuilt({**directory, **_written(other), "segment": other["segment"]}, other, file)
        for other in facts.get("refers_to", ())
    ]
    return definition.referring_to(others)


def _written(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {way: facts[way] for way in WAYS if way in facts}
