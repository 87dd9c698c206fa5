"""Which segments a person may see: those of workflows that the person may read.

A segment has no DAG of its own. It is seen by whoever may read a workflow on it, or on a segment
that refers to it; one that no workflow uses by whoever may read all of Segue's workflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import HTTPException

from segue.documents import full_name
from segue.errors import DefinitionError
from segue.web.visits import Visit


@dataclass(frozen=True, slots=True)
class Uses:
    """Who uses a segment: workflows on it, by definition or in the ledger, and through others."""

    on_it: set[str] = field(default_factory=set)
    through_others: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        """Every workflow whose readers may see the segment."""
        return self.on_it | self.through_others


def uses(visit: Visit) -> dict[str, Uses]:
    """Return every segment that is defined or recorded, and the workflows that use it."""
    by_segment = {name: Uses() for name in visit.catalog.names("segments")}
    for segment, workflow in visit.ledger.queries.recorded_segments():
        by_segment.setdefault(segment, Uses()).on_it.add(workflow)
    for workflow in visit.catalog.names("workflows"):
        try:
            segment = visit.catalog.segment_of(workflow)
            references = visit.catalog.segment(segment).refers_to
        except DefinitionError:
            continue  # the workflow's own page says what is wrong with it
        by_segment[segment].on_it.add(workflow)
        project = segment.rpartition("/")[0]
        for other in references:
            name = full_name(other.segment, project)
            by_segment.setdefault(name, Uses()).through_others.add(workflow)
    return by_segment


def readable_segments(visit: Visit) -> dict[str, list[str]]:
    """Return the segments that a person may see, with the workflows on each that may be read."""
    by_segment = uses(visit)
    everything = _everything(by_segment, visit)
    workflows = visit.viewer.readable(everything)
    return {
        name: sorted(use.on_it & workflows)
        for name, use in sorted(by_segment.items())
        if (use.all & workflows if use.all else workflows == everything)
    }


def require_segment(name: str, visit: Visit) -> list[str]:
    """Return the workflows on a segment that may be read; a 403 where none of its users may be.

    A segment that does not exist is a 404 only to who may read all of Segue's workflows.
    """
    by_segment = uses(visit)
    everything = _everything(by_segment, visit)
    workflows = visit.viewer.readable(everything)
    use = by_segment.get(name, Uses())
    if not (use.all & workflows if use.all else workflows == everything):
        raise HTTPException(403, f"You may read no workflow that uses the segment {name}.")
    if name not in by_segment:
        raise HTTPException(404, f"{name} is no segment of Segue: it is not defined or recorded.")
    return sorted(use.on_it & workflows)


def sees_contacts(name: str, visit: Visit) -> bool:
    """Tell whether a person may see who is in a segment."""
    by_segment = uses(visit)
    users = by_segment[name].all
    if users:
        return bool(visit.viewer.seeing_contacts(users))
    everything = _everything(by_segment, visit)
    return bool(everything) and visit.viewer.seeing_contacts(everything) == everything


def _everything(by_segment: Mapping[str, Uses], visit: Visit) -> set[str]:
    users = {name for use in by_segment.values() for name in use.all}
    return users | set(visit.catalog.names("workflows")) | visit.ledger.queries.workflow_names()
