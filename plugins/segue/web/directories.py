"""A directory: its snapshots, how each was taken, what is late, and who reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from segue.cron import last_tick
from segue.directory.definition import DirectoryDefinition
from segue.directory.manifest import MANIFEST, Manifest, read_manifest
from segue.directory.snapshots import Snapshot, list_snapshots, listed_files
from segue.errors import DataError, DefinitionError
from segue.settings import dag_id_of
from segue.takes.moments import Moment, moment_of_tick
from segue.web.connections import without_home
from segue.web.segment_charts import age
from segue.web.segment_rights import readable_segments
from segue.web.visits import ThisVisit, Visit

_PATIENCE = timedelta(hours=1)  # with a take that its schedule has begun
_SHOWN = 30  # snapshots, the newest: of each one the manifest is read
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """One snapshot in the list; ``manifest`` is that of its take, where Segue took it."""

    snapshot: Snapshot
    files: int
    size: int  # bytes
    quarantined: str | None  # why
    manifest: Manifest | None
    problem: str = ""

    @property
    def rows(self) -> Mapping[str, int]:
        """The rows of each table, as far as its take has counted them."""
        return self.manifest.rows if self.manifest else {}


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a directory's snapshots."""

    listed: Sequence[Listed] = ()
    total: int = 0
    late: Moment | None = None  # what its schedule should have taken last, and is not there
    trouble: str | None = None


@router.get("/directory", name="directory")
def directory(
    visit: ThisVisit,
    name: Annotated[str, Query(alias="directory", max_length=128)],
) -> HTMLResponse:
    """Show one directory to who may read a workflow on it."""
    segments = _segments_of(name, visit)
    if not segments:
        raise HTTPException(403, f"You may read no workflow on the directory {name}.")
    definition, problem = _definition(name, visit)
    reading = _read(definition, visit) if definition else Reading()
    usable = (each for each in reading.listed if each.quarantined is None)
    newest = next((each.snapshot for each in usable if each.snapshot.complete), None)
    return visit.page(
        "directory.html",
        name=name,
        definition=definition,
        problem=problem,
        segments=segments,
        reading=reading,
        newest=newest,
        dag=_dag_of(definition) if definition else None,
        ago=age(newest.as_of, datetime.now(UTC)) if newest else "",
    )


def _segments_of(name: str, visit: Visit) -> dict[str, list[str]]:
    """Return the segments of a directory that the viewer may see, with the workflows on each."""
    return {
        segment: workflows
        for segment, workflows in readable_segments(visit).items()
        if _directory_of(segment, visit) == name
    }


def _directory_of(segment: str, visit: Visit) -> str | None:
    try:
        if segment in visit.catalog.names("segments"):
            return visit.catalog.segment(segment).directory
    except DefinitionError:
        pass  # the segment's own page says what is wrong with it
    return None


def _dag_of(definition: DirectoryDefinition) -> str | None:
    """Return the id of the DAG that takes the snapshots, where one does."""
    if definition.take is None:
        return None
    project = definition.full_name.rpartition("/")[0]
    return dag_id_of(f"take_{definition.directory}", project)


def _definition(name: str, visit: Visit) -> tuple[DirectoryDefinition | None, str | None]:
    try:
        return visit.catalog.directory(name), None
    except DefinitionError as error:
        return None, without_home(error)


def _read(definition: DirectoryDefinition, visit: Visit) -> Reading:
    """List the snapshots, the newest first."""
    now = datetime.now(UTC)
    reasons = visit.ledger.people.quarantined(definition.full_name)
    try:
        snapshots = list_snapshots(definition, now=now)
        newest = list(reversed(snapshots[-_SHOWN:]))
        listed = [_listed(each, reasons.get(each.key)) for each in newest]
    except DataError as error:
        return Reading(trouble=str(error))
    return Reading(listed, len(snapshots), _late(definition, snapshots, now))


def _listed(snapshot: Snapshot, quarantined: str | None) -> Listed:
    files = listed_files(snapshot)
    manifest, problem = None, ""
    own = next((file for file in files if file.name == MANIFEST), None)
    if own is not None and snapshot.complete:
        try:
            manifest = read_manifest(own, snapshot.folder.fs, f"snapshot {snapshot.key}")
        except DataError as error:
            problem = str(error)
    size = sum(file.size or 0 for file in files)
    return Listed(snapshot, len(files), size, quarantined, manifest, problem)


def _late(
    definition: DirectoryDefinition, snapshots: Sequence[Snapshot], now: datetime
) -> Moment | None:
    """Return what the last tick of the take's schedule is about, where it is not there."""
    take = definition.take
    if take is None or take.schedule is None:
        return None
    tick = last_tick(take.schedule, now - _PATIENCE, definition.zone)
    if tick < take.start_instant(definition.zone):
        return None
    moment = moment_of_tick(definition, tick)
    is_there = any(each.complete and each.as_of >= moment.as_of for each in snapshots)
    return None if is_there else moment
