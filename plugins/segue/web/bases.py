"""By which definition a page judges who is in a segment: the one of today, or a run's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from segue.documents import full_name
from segue.errors import DefinitionError
from segue.ledger.queries.sizes import Version
from segue.segments.definition import SegmentDefinition
from segue.segments.recorded import recorded_segment
from segue.web.visits import Visit


class Age(StrEnum):
    """How a definition stands to the run that somebody asks about."""

    NOW = "now"  # nobody asks about a run
    SAME = "same"  # the run's, and it is still so
    EARLIER = "earlier"  # the run's, and it was edited since
    LOST = "lost"  # today's: the run's cannot be judged by any more


@dataclass(frozen=True, slots=True)
class Basis:
    """A definition to judge by, and how it stands to the run's."""

    definition: SegmentDefinition
    age: Age
    workflow: str = ""
    recorded_at: datetime | None = None


def basis_of(name: str, workflow: str, key: str, previous: str | None, visit: Visit) -> Basis:
    """Return what a workflow's run judged a snapshot by; today's where no run is asked about.

    ``previous`` is the snapshot that the run compared it with, None for an enrolment.

    Raises DefinitionError where it is today's, and that has errors.
    """
    queries = visit.ledger.queries
    version = queries.judged_by(name, workflow, key, previous) if workflow else None
    if version is None:
        return Basis(visit.catalog.segment(name), Age.NOW)
    common = (workflow, version.recorded_at)
    try:
        earlier = _read(name, version, visit)
    except (DefinitionError, KeyError):  # another version of Segue wrote it
        return Basis(visit.catalog.segment(name), Age.LOST, *common)
    return Basis(earlier, Age.SAME if _is_todays(name, earlier, visit) else Age.EARLIER, *common)


def _read(name: str, version: Version, visit: Visit) -> SegmentDefinition:
    file = visit.catalog.home / "segments" / f"{name}.yaml"
    if name in visit.catalog.names("segments"):
        file = visit.catalog.location("segments", name)
    definition = recorded_segment(json.loads(version.body)["segment"], file)
    directory = full_name(definition.directory, name.rpartition("/")[0])
    return definition.model_copy(update={"directory": directory})


def _is_todays(name: str, earlier: SegmentDefinition, visit: Visit) -> bool:
    try:
        return visit.catalog.segment(name).facts() == earlier.facts()
    except DefinitionError:
        return False
