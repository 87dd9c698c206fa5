"""Whether one contact is in a segment at one snapshot, and why: only its own rows are read."""

from __future__ import annotations

from dataclasses import dataclass

from segue.directory.tables import SnapshotTables
from segue.segments.consent import opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.explanation import Explanation, explain_segment
from segue.segments.loading import load_population


@dataclass(frozen=True)
class Verdict:
    """One contact at one snapshot; without a tree the contact was not there."""

    snapshot: str
    tree: Explanation | None
    opted_in: bool | None

    @property
    def member(self) -> bool:
        """True where the contact is in the segment."""
        return self.tree is not None and self.tree.holds


def contact_verdict(segment: SegmentDefinition, tables: SnapshotTables, contact: str) -> Verdict:
    """Return whether a contact is in a segment and why.

    Raises DataError where the snapshot lacks something that the segment needs.
    """
    population = load_population(segment, tables, only=[contact])
    if population.contacts.empty:
        return Verdict(tables.snapshot.key, None, None)
    tree = explain_segment(segment, population, contact)
    opted_in = bool(opt_states(population, segment.segment)[0])
    return Verdict(tables.snapshot.key, tree, opted_in)
