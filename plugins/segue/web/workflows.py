"""The workflows: what each does, how it went, and what waits for somebody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from segue.errors import DefinitionError
from segue.ledger import Ledger
from segue.ledger.people.stops import Stop
from segue.ledger.states import State
from segue.web.access import ContactsWorkflow, Person, ReadableWorkflow
from segue.web.charts import Bar, Days, bars, by_day
from segue.web.connections import without_home
from segue.web.dags import DagFacts, dag_facts
from segue.web.pages import link
from segue.web.planning import make_plan, next_pair
from segue.web.visits import ThisVisit
from segue.web.zones import zone_of_segment
from segue.workflows.catalog import Catalog

_PATIENCE = timedelta(minutes=15)  # of the scheduler, before a run counts as overdue
DAYS = 30
AT_ONCE = 50  # workflows on one page
RUNS = 10  # on a workflow's page
# a frame without an address of its own has its page's policy, and a mail's HTML styles itself
_PREVIEW_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """One workflow in the list."""

    name: str
    segment: str | None  # None where it is not defined any more, or wrongly
    problem: str | None
    errors: str | None  # of its definition, or of what it refers to: a line for each
    dag: DagFacts
    stop: Stop | None
    days: Days
    zone: str  # whose days they are
    failed: int
    uncertain: int
    held: int
    waiting: int

    @property
    def bars(self) -> list[Bar]:
        """The small drawing of the past days."""
        return bars(self.days)

    @property
    def summary(self) -> str:
        """The drawing in words."""
        return self.days.words()

    @property
    def is_overdue(self) -> bool:
        """True where Airflow should have begun the next run a while ago."""
        due = self.dag.next_run
        return self.dag.paused is False and due is not None and due < datetime.now(UTC) - _PATIENCE


@router.get("/", name="start")
def start(request: Request) -> RedirectResponse:
    """Lead to the first page."""
    return RedirectResponse(link(request, "workflows"))


@router.get("/workflows", name="workflows")
def workflows(
    visit: ThisVisit,
    search: Annotated[str, Query(max_length=250)] = "",
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """List the workflows that the viewer may read."""
    names = readable_names(visit.viewer, visit.ledger, visit.catalog)
    matches = [name for name in names if search.strip().lower() in name.lower()]
    part = visit.part(number, len(matches), AT_ONCE, "workflows", search=search)
    on_page = matches[part.offset : part.offset + AT_ONCE]
    return visit.page(
        "workflows.html",
        **part.values,
        listed=_listed(on_page, visit.ledger, visit.catalog),
        everything=next(
            (stop for stop in visit.ledger.people.stops() if stop.workflow is None), None
        ),
        search=search,
        any=bool(names),
        days=DAYS,
    )


@router.get("/workflow", name="workflow")
def workflow(
    name: ReadableWorkflow,
    visit: ThisVisit,
) -> HTMLResponse:
    """Show one workflow: what it does, how it went, what waits for somebody."""
    require_known(name, visit.ledger, visit.catalog)
    (item,) = _listed([name], visit.ledger, visit.catalog)
    return visit.page(
        "workflow.html",
        item=item,
        days=DAYS,
        stopped=visit.ledger.people.stopped(name),
        errors=_all_errors(item, visit.catalog),
        defined=visit.catalog.workflow(name) if item.segment else None,
        runs=visit.ledger.queries.recent_runs(name, RUNS),
        may_edit=visit.viewer.may_edit(name),
        sees=visit.viewer.may_see_contacts(name),
    )


@router.get("/plan", name="plan")
def plan(name: ContactsWorkflow, visit: ThisVisit) -> HTMLResponse:
    """Show what the next run would do, with the first messages as they would read."""
    require_known(name, visit.ledger, visit.catalog)
    resolved = visit.catalog.resolve(name)
    pair = next_pair(resolved, visit.ledger, datetime.now(UTC))
    bad = visit.ledger.people.quarantined(resolved.directory.full_name)
    home, keys = visit.catalog.of(name), sorted(bad)
    preview = make_plan(home, name, pair, keys, visit.ledger) if pair is not None else None
    answer = visit.page(
        "plan.html",
        workflow=name,
        pair=pair,
        plan=preview,
        stopped=visit.ledger.people.stopped(name),
    )
    answer.headers["Content-Security-Policy"] = _PREVIEW_POLICY
    return answer


def require_known(name: str, ledger: Ledger, catalog: Catalog) -> None:
    """Raise a 404 for what is no workflow, neither by definition nor in the ledger."""
    if name not in catalog.names("workflows") and name not in ledger.queries.workflow_names():
        raise HTTPException(
            404, f"{name} is no workflow of Segue: it is not defined, and no run of it is recorded."
        )


def workflow_names(ledger: Ledger, catalog: Catalog) -> set[str]:
    """Return the workflows that are defined, or were when a run recorded something."""
    return {*catalog.names("workflows"), *ledger.queries.workflow_names()}


def readable_names(viewer: Person, ledger: Ledger, catalog: Catalog) -> list[str]:
    """Return those that the viewer may read, sorted."""
    return sorted(viewer.readable(workflow_names(ledger, catalog)))


def _listed(names: list[str], ledger: Ledger, catalog: Catalog) -> list[Listed]:
    now = datetime.now(UTC)
    outcomes = ledger.queries.outcomes_since(names, now - timedelta(days=DAYS + 1))
    ends = ledger.queries.open_ends(names)
    stops = {stop.workflow: stop for stop in ledger.people.stops()}
    facts = dag_facts(names)
    result = []
    for name in names:
        segment = segment_of(name, catalog)
        problem, errors = _problem_of(name, catalog, facts[name])
        zone = zone_of_segment(segment, catalog)
        own = (item for item in outcomes if item.workflow == name)
        result.append(
            Listed(
                name=name,
                segment=segment,
                problem=problem,
                errors=errors,
                dag=facts[name],
                stop=stops.get(name),
                days=by_day(own, now, DAYS, zone),
                zone=str(zone),
                failed=ends[name][State.FAILED],
                uncertain=ends[name][State.UNCERTAIN],
                held=ends[name][State.HELD],
                waiting=ends[name][State.WAITING],
            )
        )
    return result


def segment_of(name: str, catalog: Catalog) -> str | None:
    """Return the segment of a workflow; None where it is not defined any more, or wrongly."""
    try:
        return catalog.segment_of(name)
    except DefinitionError:
        return None


def _problem_of(name: str, catalog: Catalog, dag: DagFacts) -> tuple[str | None, str | None]:
    """Return what is wrong with a workflow, in short, and each of its errors on a line."""
    if name not in catalog.names("workflows"):
        return _whereabouts(dag), None
    try:
        catalog.directory(catalog.segment(catalog.segment_of(name)).directory)
    except DefinitionError as error:
        return "its definition has errors", without_home(error)
    return None, None


def _whereabouts(dag: DagFacts) -> str:
    """Say of a workflow whose definition is not among those read here where it is, if anywhere."""
    if dag.bundle is None:
        return "not defined any more"
    version = f", version {dag.bundle_version[:12]}" if dag.bundle_version else ""
    return (
        f"its DAG is in the bundle {dag.bundle}{version}; its definition is not among those that "
        "this server reads"
    )


def _all_errors(item: Listed, catalog: Catalog) -> str | None:
    """Return what a workflow's page shows of its errors: its channels are looked at, too."""
    if item.problem:
        return item.errors
    try:
        catalog.resolve(item.name)
    except DefinitionError as error:
        return without_home(error)
    return None
