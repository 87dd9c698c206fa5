"""The JSON API, version 1: what the pages show, for programs, under the same rights.

Collections are ``{"items": […], …}``; times are UTC in ISO 8601; contacts' messages are not in it.
Reading takes a login of any kind that Airflow knows; what changes something takes a token in
``Authorization: Bearer``, so that no page of somebody else can do it with a browser's cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.people.release_requests import Request as Asked
from segue.ledger.people.release_requests import Selection, Settlement
from segue.ledger.queries.pages import ChangeRow
from segue.ledger.states import State
from segue.segments.kinds import ChangeKind
from segue.upkeep import interventions as asking
from segue.web.access import Person, ReadableWorkflow, Viewer, require_edit
from segue.web.actions import visible_requests
from segue.web.charts import by_day
from segue.web.connections import Definitions, OpenLedger
from segue.web.dags import dag_facts
from segue.web.deliveries import cursor, delivery_of, parse_cursor
from segue.web.runs import Chosen
from segue.web.workflows import readable_names, require_known

MOST = 500  # items of one answer
router = APIRouter(prefix="/api/v1", tags=["v1"])

Limit = Annotated[int, Query(ge=1, le=MOST)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Key = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


class Answer(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(from_attributes=True)


class WorkflowAnswer(Answer):
    """One workflow; ``paused`` is null where Airflow does not know its DAG."""

    workflow: str
    paused: bool | None
    stopped: bool
    last_run: str | None
    last_run_state: str | None
    next_run: datetime | None
    waiting_approvals: int
    failed: int
    uncertain: int
    held: int
    outcomes: dict[str, int] = Field(description="Of the changes of the past 30 days, by state")


class WorkflowsAnswer(Answer):
    """A page of workflows, by name."""

    items: list[WorkflowAnswer]
    total_entries: int


class RunAnswer(Answer):
    """One run; ``previous`` and ``current`` are the snapshots that it compared last."""

    run_id: str
    outcome: str
    reason: str
    recorded_at: datetime
    decision: str | None
    decided_by: str | None
    previous: str | None
    current: str | None


class RunsAnswer(Answer):
    """A page of runs, the newest first; ``next`` is the ``before`` of the next page."""

    items: list[RunAnswer]
    next: datetime | None


class DeliveryAnswer(Answer):
    """One delivery as the ledger has it."""

    key: str
    workflow: str
    action: str
    contact_id: str
    change: str
    snapshot: str
    outcome: State
    reason: str
    external_id: str | None
    url: str | None
    attempts: int
    channel: str
    planned_at: datetime | None
    called_at: datetime | None
    delivered_at: datetime | None
    held_until: datetime | None
    updated_at: datetime
    digest: str | None = Field(description="SHA-256 of the rendered message")


class DeliveriesAnswer(Answer):
    """A page of deliveries, the last moved first; ``next`` is the ``before`` of the next page."""

    items: list[DeliveryAnswer]
    next: str | None


class ChangeAnswer(Answer):
    """One contact of a run, with what became of each action."""

    contact_id: str
    change: ChangeKind
    reason: str
    conditions: str
    deliveries: list[DeliveryAnswer]


class ChangesAnswer(Answer):
    """A page of a run's contacts, by contact id."""

    items: list[ChangeAnswer]
    total_entries: int


class RequestAnswer(Answer):
    """What somebody asked for, or did."""

    id: int
    kind: str
    workflow: str | None
    action: str | None
    contact: str | None
    settlement: str | None
    requested_by: str
    requested_at: datetime
    done_at: datetime | None
    outcome: str


class RequestsAnswer(Answer):
    """A page of requests, the newest first; ``next`` is the ``before`` of the next page."""

    items: list[RequestAnswer]
    next: int | None


class FiledAnswer(Answer):
    """A request that segue_release carries out within five minutes."""

    request: int


class DoneAnswer(Answer):
    """What was done at once; false where it was so already."""

    done: bool


class Wish(BaseModel):
    """The base of what is asked for."""

    model_config = ConfigDict(extra="forbid")


class RetryWish(Wish):
    """Failed deliveries of the workflow that all given parts hold for."""

    action: str | None = None
    contact: str | None = None
    error: str | None = Field(None, description="Contained in the reason, whatever its case")
    keys: list[str] = Field(default_factory=list, max_length=MOST)


class SettleWish(Wish):
    """What became of uncertain deliveries of the workflow: of these keys, or of an action."""

    settlement: Settlement
    action: str | None = None
    keys: list[str] = Field(default_factory=list, max_length=MOST)


class StopWish(Wish):
    """Why a workflow is stopped."""

    reason: str = Field("", max_length=500)


class SuppressWish(Wish):
    """A contact of the workflow who is never to be written to again, and why."""

    contact: str = Field(min_length=1, max_length=250)
    reason: str = Field("", max_length=500)


# ---- reading ----------------------------------------------------------------------------------


def _known(workflow: ReadableWorkflow, ledger: OpenLedger, catalog: Definitions) -> str:
    require_known(workflow, ledger, catalog)
    return workflow


KnownWorkflow = Annotated[str, Depends(_known)]


@router.get("/workflows", name="api_workflows")
def workflows(
    viewer: Viewer,
    ledger: OpenLedger,
    catalog: Definitions,
    limit: Limit = 100,
    offset: Offset = 0,
) -> WorkflowsAnswer:
    """List the workflows whose DAG the caller may read."""
    names = readable_names(viewer, ledger, catalog)
    items = _described(names[offset : offset + limit], ledger)
    return WorkflowsAnswer(items=items, total_entries=len(names))


@router.get("/workflows/{workflow}", name="api_workflow")
def workflow(name: KnownWorkflow, ledger: OpenLedger) -> WorkflowAnswer:
    """Return one workflow."""
    return _described([name], ledger)[0]


@router.get("/workflows/{workflow}/runs", name="api_runs")
def runs(
    name: KnownWorkflow,
    ledger: OpenLedger,
    limit: Limit = 100,
    before: datetime | None = None,
) -> RunsAnswer:
    """List the runs of a workflow that recorded something."""
    rows = ledger.queries.recent_runs(name, limit, before)
    items = [RunAnswer.model_validate(row) for row in rows]
    return RunsAnswer(items=items, next=rows[-1].recorded_at if len(rows) == limit else None)


@router.get("/workflows/{workflow}/changes", name="api_changes")
def changes(
    name: KnownWorkflow,
    ledger: OpenLedger,
    chosen: Chosen,
    run: Annotated[str, Query(max_length=250, description="A run id")],
    limit: Limit = 100,
    offset: Offset = 0,
) -> ChangesAnswer:
    """List the contacts of a run: what changed, and what became of each action."""
    record = ledger.runs.find_run(name, run)
    if record is None:
        raise HTTPException(404, f"The run {run} of {name} has recorded nothing.")
    ids = [span.id for span in ledger.runs.spans_of(record)]
    rows = ledger.queries.change_rows(ids, chosen, limit=limit, offset=offset)
    total = ledger.queries.count_rows(ids, chosen)
    return ChangesAnswer(items=[_change(row) for row in rows], total_entries=total)


@router.get("/workflows/{workflow}/deliveries", name="api_deliveries")
def deliveries(
    name: KnownWorkflow,
    ledger: OpenLedger,
    chosen: Chosen,
    state: Annotated[State, Query(description="The outcome")] = State.FAILED,
    limit: Limit = 100,
    before: Annotated[str, Query(max_length=120)] = "",
) -> DeliveriesAnswer:
    """List the deliveries of a workflow in one state, the last moved first."""
    criteria = replace(chosen, state=str(state))
    rows = ledger.queries.newest_deliveries(
        name, criteria, limit=limit, before=parse_cursor(before)
    )
    items = [DeliveryAnswer(**asdict(row)) for row in rows]
    return DeliveriesAnswer(items=items, next=cursor(rows[-1]) if len(rows) == limit else None)


@router.get("/workflows/{workflow}/deliveries/{key}", name="api_delivery")
def delivery(name: KnownWorkflow, key: Key, ledger: OpenLedger) -> DeliveryAnswer:
    """Return one delivery."""
    return DeliveryAnswer(**asdict(delivery_of(name, key, ledger)))


@router.get("/requests", name="api_requests")
def requests(
    viewer: Viewer,
    ledger: OpenLedger,
    limit: Limit = 100,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> RequestsAnswer:
    """List what people asked for and did, of workflows that the caller may read."""
    rows = ledger.people.newest_requests(limit, before)
    items = [_request(row) for row in visible_requests(rows, viewer, ledger)]
    return RequestsAnswer(items=items, next=rows[-1].id if len(rows) == limit else None)


# ---- asking -----------------------------------------------------------------------------------


def _acting(request: Request, name: KnownWorkflow, viewer: Viewer) -> Person:
    """Return who asks; a 403 for a cookie alone, and for whoever may not edit the DAG."""
    if not request.headers.get("authorization", "").lower().startswith("bearer "):
        raise HTTPException(403, "This takes a token in the header Authorization: Bearer …")
    require_edit(name, viewer)
    return viewer


Acting = Annotated[Person, Depends(_acting)]


@router.post("/workflows/{workflow}/retry", status_code=202, name="api_retry")
def retry(name: KnownWorkflow, wish: RetryWish, person: Acting, ledger: OpenLedger) -> FiledAnswer:
    """Ask that failed deliveries be sent again."""
    selection = Selection(name, wish.action, wish.contact, wish.error, tuple(wish.keys))
    return _filed(lambda: asking.retry(ledger, selection, person.name, _now()))


@router.post("/workflows/{workflow}/settle", status_code=202, name="api_settle")
def settle(
    name: KnownWorkflow, wish: SettleWish, person: Acting, ledger: OpenLedger
) -> FiledAnswer:
    """Say what became of uncertain deliveries."""
    selection = Selection(name, wish.action, keys=tuple(wish.keys))
    return _filed(lambda: asking.settle(ledger, selection, wish.settlement, person.name, _now()))


@router.post("/workflows/{workflow}/stop", name="api_stop")
def stop(name: KnownWorkflow, wish: StopWish, person: Acting, ledger: OpenLedger) -> DoneAnswer:
    """Stop a workflow at once."""
    was_stopped = any(stop.workflow == name for stop in ledger.people.stops())
    asking.stop(ledger, name, person.name, wish.reason, _now())
    return DoneAnswer(done=not was_stopped)


@router.post("/workflows/{workflow}/go", name="api_go")
def go(name: KnownWorkflow, person: Acting, ledger: OpenLedger) -> DoneAnswer:
    """Lift the stop of a workflow."""
    return DoneAnswer(done=asking.go(ledger, name, person.name, _now()))


@router.post("/workflows/{workflow}/suppress", name="api_suppress")
def suppress(
    name: KnownWorkflow, wish: SuppressWish, person: Acting, ledger: OpenLedger
) -> DoneAnswer:
    """Never write to a contact of the workflow again, in any workflow."""
    if not ledger.queries.knows_contact(name, wish.contact):
        raise HTTPException(404, f"{name} has no delivery to the contact {wish.contact}.")
    new = asking.suppress(ledger, [wish.contact], person.name, wish.reason, _now(), name)
    return DoneAnswer(done=bool(new))


# ---- the description ---------------------------------------------------------------------------


@router.get("/openapi.json", include_in_schema=False, name="api_description")
def description(request: Request) -> dict[str, Any]:
    """Describe this API, as OpenAPI."""
    root = str(request.scope.get("root_path", ""))
    return get_openapi(
        title="Segue's API",
        version="1",
        description=__doc__,
        routes=[route for route in request.app.routes if getattr(route, "tags", None) == ["v1"]],
        servers=[{"url": root}],
    )


# ---- inside -----------------------------------------------------------------------------------


def _described(names: list[str], ledger: Ledger) -> list[WorkflowAnswer]:
    now = datetime.now(UTC)
    outcomes = ledger.queries.outcomes_since(names, now - timedelta(days=31))
    ends, facts = ledger.queries.open_ends(names), dag_facts(names)
    stops = {stop.workflow for stop in ledger.people.stops()}
    answers = []
    for name in names:
        dag, end = facts[name], ends[name]
        days = by_day((item for item in outcomes if item.workflow == name), now, 30)
        answers.append(
            WorkflowAnswer(
                workflow=name,
                paused=dag.paused,
                stopped=not stops.isdisjoint({name, None}),
                last_run=dag.last_run.run_id if dag.last_run else None,
                last_run_state=dag.last_run.state if dag.last_run else None,
                next_run=None if dag.paused else dag.next_run,
                waiting_approvals=len(dag.questions),
                failed=end[State.FAILED],
                uncertain=end[State.UNCERTAIN],
                held=end[State.HELD],
                outcomes=dict(days.total),
            )
        )
    return answers


def _filed(file: Callable[[], int]) -> FiledAnswer:
    try:
        return FiledAnswer(request=file())
    except SettingsError as error:  # nothing is like that
        raise HTTPException(409, str(error)) from None


def _change(row: ChangeRow) -> ChangeAnswer:
    return ChangeAnswer(
        contact_id=row.contact_id,
        change=ChangeKind(row.change),
        reason=row.reason,
        conditions=row.verdict,
        deliveries=[DeliveryAnswer(**asdict(item)) for item in row.deliveries],
    )


def _request(row: Asked) -> RequestAnswer:
    return RequestAnswer(
        id=row.id,
        kind=row.kind,
        workflow=row.selection.workflow,
        action=row.selection.action,
        contact=row.selection.contact,
        settlement=row.settlement,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        done_at=row.done_at,
        outcome=row.outcome,
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
