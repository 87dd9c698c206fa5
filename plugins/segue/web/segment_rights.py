"""Which segments a person may see: those of workflows that the person may read.

A segment has no DAG of its own. It is seen by whoever may read a workflow on it, or on a segment
that refers to it; one that no workflow uses by whoever may read all of Segue's workflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import HTTPException

from segue.errors import DefinitionError
from segue.ledger import Ledger
from segue.web.access import Person
from segue.workflows.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Uses:
    """Who uses a segment: workflows on it, by definition or in the ledger, and through others."""

    on_it: set[str] = field(default_factory=set)
    through_others: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        """Every workflow whose readers may see the segment."""
        return self.on_it | self.through_others


def uses(ledger: Ledger, catalog: Catalog) -> dict[str, Uses]:
    """Return every segment that is defined or recorded, and the workflows that use it."""
    by_segment = {name: Uses() for name in catalog.names("segments")}
    for segment, workflow in ledger.recorded_segments():
        by_segment.setdefault(segment, Uses()).on_it.add(workflow)
    for workflow in catalog.names("workflows"):
        try:
            segment = catalog.workflow(workflow).segment
            references = catalog.segment(segment).refers_to
        except DefinitionError:
            continue  # the workflow's own page says what is wrong with it
        by_segment[segment].on_it.add(workflow)
        for other in references:
            by_segment.setdefault(other.segment, Uses()).through_others.add(workflow)
    return by_segment


def readable_segments(viewer: Person, ledger: Ledger, catalog: Catalog) -> dict[str, list[str]]:
    """Return the segments that a person may see, with the workflows on each that may be read."""
    by_segment = uses(ledger, catalog)
    everything = _everything(by_segment, ledger, catalog)
    workflows = viewer.readable(everything)
    return {
        name: sorted(use.on_it & workflows)
        for name, use in sorted(by_segment.items())
        if (use.all & workflows if use.all else workflows == everything)
    }


def require_segment(name: str, viewer: Person, ledger: Ledger, catalog: Catalog) -> list[str]:
    """Return the workflows on a segment that may be read; a 403 where none of its users may be.

    A segment that does not exist is a 404 only to who may read all of Segue's workflows.
    """
    by_segment = uses(ledger, catalog)
    everything = _everything(by_segment, ledger, catalog)
    workflows = viewer.readable(everything)
    use = by_segment.get(name, Uses())
    if not (use.all & workflows if use.all else workflows == everything):
        raise HTTPException(403, f"You may read no workflow that uses the segment {name}.")
    if name not in by_segment:
        raise HTTPException(404, f"{name} is no segment of Segue: it is not defined or recorded.")
    return sorted(use.on_it & workflows)


def sees_contacts(name: str, viewer: Person, ledger: Ledger, catalog: Catalog) -> bool:
    """Tell whether a person may see who is in a segment."""
    by_segment = uses(ledger, catalog)
    users = by_segment[name].all
    if users:
        return bool(viewer.seeing_contacts(users))
    everything = _everything(by_segment, ledger, catalog)
    return bool(everything) and viewer.seeing_contacts(everything) == everything


def _everything(found: Mapping[str, Uses], ledger: Ledger, catalog: Catalog) -> set[str]:
    users = {name for use in found.values() for name in use.all}
    return users | set(catalog.names("workflows")) | ledger.workflow_names()
