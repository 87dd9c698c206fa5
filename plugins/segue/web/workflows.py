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
from segue.web.dags import DagFacts, dag_facts
from segue.web.pages import link
from segue.web.planning import MOST, make_plan, next_pair
from segue.web.visits import ThisVisit
from segue.workflows.catalog import Catalog

DAYS = 30
AT_ONCE = 50  # workflows on one page
RUNS = 10  # on a workflow's page
# a frame without an address of its own has its page's policy, and a mail's HTML styles itself
_PREVIEW_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'"
)
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """One workflow in the list."""

    name: str
    segment: str | None  # None where it is not defined any more, or wrongly
    problem: str | None
    dag: DagFacts
    stop: Stop | None
    days: Days
    failed: int
    uncertain: int
    held: int

    @property
    def bars(self) -> list[Bar]:
        """The small drawing of the past days."""
        return bars(self.days)

    @property
    def summary(self) -> str:
        """The drawing in words."""
        return self.days.words()


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
    on_page = matches[(number - 1) * AT_ONCE : number * AT_ONCE]
    return visit.page(
        "workflows.html",
        **visit.paging(number, len(matches), AT_ONCE, "workflows", search=search),
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
        defined=None if item.problem else visit.catalog.workflow(name),
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
    bad = visit.ledger.people.quarantined(resolved.directory.directory)
    preview = make_plan(name, pair, sorted(bad)) if pair is not None else None
    answer = visit.page("plan.html", workflow=name, pair=pair, plan=preview, most=MOST)
    answer.headers["Content-Security-Policy"] = _PREVIEW_POLICY
    return answer


def require_known(name: str, ledger: Ledger, catalog: Catalog) -> None:
    """Raise a 404 for what is no workflow, neither by definition nor in the ledger."""
    if name not in catalog.names("workflows") and name not in ledger.queries.workflow_names():
        raise HTTPException(
            404, f"{name} is no workflow of Segue: it is not defined, and no run of it is recorded."
        )


def readable_names(viewer: Person, ledger: Ledger, catalog: Catalog) -> list[str]:
    """Return the workflows that are defined, or were, and that the viewer may read; sorted."""
    return sorted(viewer.readable({*catalog.names("workflows"), *ledger.queries.workflow_names()}))


def _listed(names: list[str], ledger: Ledger, catalog: Catalog) -> list[Listed]:
    now = datetime.now(UTC)
    outcomes = ledger.queries.outcomes_since(names, now - timedelta(days=DAYS + 1))
    ends = ledger.queries.open_ends(names)
    stops = {stop.workflow: stop for stop in ledger.people.stops()}
    facts = dag_facts(names)
    result = []
    for name in names:
        segment, problem = _segment_of(name, catalog)
        result.append(
            Listed(
                name=name,
                segment=segment,
                problem=problem,
                dag=facts[name],
                stop=stops.get(name),
                days=by_day((item for item in outcomes if item.workflow == name), now, DAYS),
                failed=ends[name][State.FAILED],
                uncertain=ends[name][State.UNCERTAIN],
                held=ends[name][State.HELD],
            )
        )
    return result


def _segment_of(name: str, catalog: Catalog) -> tuple[str | None, str | None]:
    """Return (segment, what is wrong with the definition); one of the two is None."""
    if name not in catalog.names("workflows"):
        return None, "not defined any more"
    try:
        return catalog.workflow(name).segment, None
    except DefinitionError:
        return None, "its definition has errors"
