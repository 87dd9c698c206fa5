"""Segments: how large they are, who came and went, how they are defined, who is in them and why."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from segue.directory.checks import LONGEST_ID
from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_keys import require_key
from segue.directory.snapshots import Snapshot, usable_snapshots
from segue.directory.tables import SnapshotTables
from segue.documents import Document, validate
from segue.errors import DataError, DefinitionError, SettingsError
from segue.ledger.people.suppressions import SuppressionKind
from segue.ledger.queries.sizes import Size, Version
from segue.segments.definition import SegmentDefinition
from segue.segments.explanation import Verdict, contact_verdict
from segue.segments.fitness import require_answers
from segue.segments.outline import outline
from segue.web.access import ReadableIfAny, contacts_need
from segue.web.answers import changes_of
from segue.web.bases import basis_of
from segue.web.connections import without_home
from segue.web.segment_charts import Course, age, course, is_late
from segue.web.segment_rights import readable_segments, require_segment, sees_contacts
from segue.web.visits import ThisVisit, Visit
from segue.web.zones import zone_of_segment
from segue.workflows.catalog import Catalog

DAYS = 30
AT_ONCE = 10  # segments on one page: each has two charts
HISTORY = 365  # days that the history of a definition goes back
PERIODS = (30, 90, 365)  # days that a segment's page can show
_OFFERED = 60  # snapshots to choose from
router = APIRouter(include_in_schema=False)

Name = Annotated[str, Query(alias="segment", max_length=128)]


@dataclass(frozen=True, slots=True)
class Shown:
    """One segment on a page."""

    name: str
    definition: SegmentDefinition | None
    problem: str | None  # what is wrong with the definition
    workflows: Sequence[str]
    newest: Size | None
    late: bool
    age: str
    course: Course
    zone: str  # whose days the course has


@dataclass(frozen=True, slots=True)
class Edit:
    """The segment as runs began to judge by it, and what had changed from before."""

    version: Version
    lines: Sequence[str]
    difference: Sequence[str]  # empty for the earliest that is known


@router.get("/segments", name="segments")
def segments(
    visit: ThisVisit,
    search: Annotated[str, Query(max_length=128)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """List the segments of the workflows that the viewer may read."""
    readable = readable_segments(visit)
    names = [name for name in readable if search.strip().lower() in name]
    part = visit.part(number, len(names), AT_ONCE, "segments", search=search)
    on_page = {name: readable[name] for name in names[part.offset : part.offset + AT_ONCE]}
    return visit.page(
        "segments.html",
        **part.values,
        listed=_shown(on_page, visit, DAYS),
        search=search,
        any=bool(readable),
        days=DAYS,
    )


@router.get("/segment", name="segment")
def segment(
    name: Name,
    visit: ThisVisit,
    days: Annotated[int, Query(ge=1, le=max(PERIODS))] = DAYS,
) -> HTMLResponse:
    """Show one segment: its course, its definition now and before, its directory."""
    workflows = require_segment(name, visit)
    (item,) = _shown({name: workflows}, visit, days)
    since = datetime.now(UTC) - timedelta(days=HISTORY)
    directory, snapshots, trouble = _snapshots(item.definition, visit)
    complete = [found for found in snapshots if found.complete]
    return visit.page(
        "segment.html",
        item=item,
        days=days,
        periods=PERIODS,
        outline=outline(item.definition) if item.definition else None,
        written=_written(name, visit.catalog),
        edits=_edits(visit.ledger.queries.versions_since(name, workflows, since)),
        history=HISTORY,
        directory=directory,
        snapshots=complete[-_OFFERED:],
        unfinished=[found for found in snapshots if not found.complete][-3:],
        trouble=trouble,
        ago=age(complete[-1].as_of, datetime.now(UTC)) if complete else "",
        sees=sees_contacts(name, visit),
        needs=contacts_need("Asking about a contact", "the DAG of a workflow on it"),
    )


@router.get("/segment/explain", name="explain")
def explain(
    name: Name,
    visit: ThisVisit,
    workflow: ReadableIfAny,
    contact: Annotated[str, Query(min_length=1, max_length=LONGEST_ID)],
    at: Annotated[str, Query(max_length=40)] = "",
    earlier: Annotated[str, Query(alias="from", max_length=40)] = "",
) -> HTMLResponse:
    """Show why a contact is in a segment or not, at one snapshot or at two.

    With a ``workflow``, by the definition that its run judged the snapshot ``at`` by.
    """
    require_segment(name, visit)
    if not sees_contacts(name, visit):
        raise HTTPException(
            403, contacts_need(f"Seeing contacts of {name}", "the DAG of a workflow on it")
        )
    if visit.ledger.people.suppressed([contact]).get(contact) is SuppressionKind.FORGOTTEN:
        raise HTTPException(404, "This contact was forgotten, and nothing of it is shown.")
    basis = basis_of(name, workflow, at, earlier or None, visit)
    _require_no_python(basis.definition)
    directory, snapshots, trouble = _snapshots(basis.definition, visit)
    if directory is None or trouble:
        raise DataError(trouble or f"the directory {basis.definition.directory} is not defined")
    complete = [each for each in snapshots if each.complete]
    sides = [_at(directory, complete, key) for key in ([earlier, at] if earlier else [at])]
    own = {"segment": name, "contact": contact, "at": at, "from": earlier}
    return visit.page(
        "explain.html",
        segment=name,
        contact=contact,
        asked=at,
        basis=basis,
        by_now=visit.link("explain", **own),
        verdicts=_verdicts(basis.definition, directory, sides, contact),
        chosen=sides,
        snapshots=complete[-_OFFERED:],
    )


def _require_no_python(definition: SegmentDefinition) -> None:
    if any(each.python for each in (definition, *definition.refers_to)):
        name = definition.segment
        raise DataError(
            f"{name} is decided by a Python function, which no page runs: it may look at every "
            f"contact. On the command line: segue explain {name} CONTACT --at KEY"
        )


def _verdicts(
    definition: SegmentDefinition,
    directory: DirectoryDefinition,
    snapshots: Sequence[Snapshot],
    contact: str,
) -> list[Verdict]:
    """Return what a segment says of a contact, at each of the snapshots."""
    tables = [SnapshotTables(directory, each) for each in snapshots]
    for each in tables:
        require_answers(definition, each)
    return [contact_verdict(definition, each, contact) for each in tables]


def _shown(listed: Mapping[str, Sequence[str]], visit: Visit, days: int) -> list[Shown]:
    """Return segments with the workflows on each, in their order."""
    now = datetime.now(UTC)
    since = now - timedelta(days=days + 1)
    workflows = {name for each in listed.values() for name in each}
    kinds = {name: changes_of(name, visit.catalog) for name in workflows}
    sizes = visit.ledger.queries.sizes_since(listed, workflows, since)
    crossings = visit.ledger.queries.crossings_since(listed, workflows, since)

    def one(name: str, on_it: Sequence[str]) -> Shown:
        definition, problem = _definition(name, visit.catalog)
        mine = [size for size in sizes if size.segment == name]
        newest = mine[-1] if mine else visit.ledger.queries.newest_size(name, on_it)
        own = (item for item in crossings if item.segment == name)
        zone = zone_of_segment(name, visit.catalog)
        return Shown(
            name=name,
            definition=definition,
            problem=problem,
            workflows=on_it,
            newest=newest,
            late=newest is not None and is_late(mine, newest, now),
            age=age(newest.as_of, now) if newest else "",
            course=course(mine, own, now, days, zone, kinds),
            zone=str(zone),
        )

    return [one(name, on_it) for name, on_it in listed.items()]


def _definition(name: str, catalog: Catalog) -> tuple[SegmentDefinition | None, str | None]:
    """Return (definition, what is wrong with it); one of the two is None."""
    if name not in catalog.names("segments"):
        return None, "not defined any more"
    try:
        return catalog.segment(name), None
    except DefinitionError as error:
        return None, without_home(error)


def _written(name: str, catalog: Catalog) -> str | None:
    """Return the definition's file as its team wrote it."""
    if name not in catalog.names("segments"):
        return None
    try:
        return catalog.location("segments", name).read_text(encoding="utf-8", errors="replace")
    except OSError:  # the definition's error says so
        return None


def _snapshots(
    definition: SegmentDefinition | None, visit: Visit
) -> tuple[DirectoryDefinition | None, Sequence[Snapshot], str | None]:
    """Return (directory, its snapshots that runs may use, why they cannot be listed)."""
    if definition is None:
        return None, (), None
    try:
        directory = visit.catalog.directory(definition.directory)
    except DefinitionError as error:
        return None, (), without_home(error)
    bad = visit.ledger.people.quarantined(directory.full_name)
    try:
        return directory, usable_snapshots(directory, bad, now=datetime.now(UTC)), None
    except DataError as error:
        return directory, (), str(error)


def _at(directory: DirectoryDefinition, complete: Sequence[Snapshot], text: str) -> Snapshot:
    """Return the complete snapshot that a key names, or the last one that a date's end knows.

    Without a text it is the newest. Raises a 404 that names what there is, a 422 for no key.
    """
    matches: Sequence[Snapshot] = complete
    if text:
        try:
            key, as_of = require_key(directory, text)
        except SettingsError as error:
            raise HTTPException(422, str(error)) from None
        same = [snapshot for snapshot in complete if snapshot.key == key]
        day = [each for each in complete if each.as_of <= as_of and each.key.startswith(key)]
        matches = same or day
    if not matches:
        extent = f"from {complete[0].key} to {complete[-1].key}" if complete else "none"
        raise HTTPException(
            404,
            f"{directory.directory} has no complete snapshot {text} that runs may use; "
            f"there are {len(complete)}: {extent}.",
        )
    return matches[-1]


# ---- history ----------------------------------------------------------------------------------


def _edits(versions: Sequence[Version]) -> list[Edit]:
    """Return where the segment's own definition changed, the newest first.

    A version is of a workflow as a whole, so most differ in something else.
    """
    edits: list[Edit] = []
    for version in reversed(versions):
        lines = _lines(json.loads(version.body))
        if edits and edits[-1].lines == lines:
            continue
        difference = _difference(edits[-1].lines, lines) if edits else []
        edits.append(Edit(version, lines, difference))
    return edits[::-1]


def _lines(recorded: Mapping[str, Any]) -> list[str]:
    """Return a recorded segment as readable lines; as JSON where this version cannot read it."""
    segment = dict(recorded["segment"])
    decided_by = segment.pop("decided_by", {})
    lines = _readable(segment)
    if "python" in decided_by:
        source, digest = decided_by["python"]
        lines = [f"python: {source}", f"its code: {digest[:12]}"]
    for other in decided_by.get("refers_to", ()):
        rule = json.dumps(other, ensure_ascii=False, sort_keys=True)
        lines.append(f"where {other['segment']} is {rule}")
    return lines


def _readable(segment: Mapping[str, Any]) -> list[str]:
    try:
        document = Document("a recorded definition", segment, {})
        return list(outline(validate(SegmentDefinition, document)).lines())
    except DefinitionError:
        text = json.dumps(segment, ensure_ascii=False, indent=2, sort_keys=True)
        return text.splitlines()


def _difference(before: Sequence[str], after: Sequence[str]) -> list[str]:
    lines = difflib.unified_diff(before, after, lineterm="", n=20)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]
