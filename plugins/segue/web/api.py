"""The JSON API, version 1: what the pages show, for programs, under the same rights.

Collections are ``{"items": […], …}``; times are UTC in ISO 8601; contacts' messages are not in it.
Reading takes a login of any kind that Airflow knows; what changes something takes a token in
``Authorization: Bearer``, so that no page of somebody else can do it with a browser's cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.openapi.utils import get_openapi

from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.people.release_requests import Request as Asked
from segue.ledger.people.release_requests import Selection
from segue.ledger.queries.pages import ChangeRow, RunRow
from segue.ledger.states import State
from segue.operators.release_now import start_release
from segue.segments.kinds import ChangeKind
from segue.upkeep import interventions as asking
from segue.web.access import Person, ReadableWorkflow, Viewer, require_edit
from segue.web.actions import visible_requests
from segue.web.answers import order_of, shown, shown_change
from segue.web.api_models import (
    MOST,
    ChangeAnswer,
    ChangesAnswer,
    DeliveriesAnswer,
    DeliveryAnswer,
    DoneAnswer,
    FiledAnswer,
    RequestAnswer,
    RequestsAnswer,
    RetryWish,
    RunAnswer,
    RunsAnswer,
    SettleWish,
    StopWish,
    SuppressWish,
    WorkflowAnswer,
    WorkflowsAnswer,
)
from segue.web.charts import by_day
from segue.web.connections import Definitions, OpenLedger
from segue.web.dags import dag_facts
from segue.web.deliveries import cursor, cursor_at, delivery_of, parse_cursor
from segue.web.forms import carries_token
from segue.web.parameters import KeyInPath, RequestNumber
from segue.web.runs import Chosen
from segue.web.workflows import readable_names, require_known, segment_of
from segue.web.zones import zone_of_segment
from segue.workflows.catalog import Catalog

router = APIRouter(prefix="/api/v1", tags=["v1"])

Limit = Annotated[int, Query(ge=1, le=MOST)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]


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
    items = _described(names[offset : offset + limit], ledger, catalog)
    return WorkflowsAnswer(items=items, total_entries=len(names))


@router.get("/workflows/{workflow}", name="api_workflow")
def workflow(name: KnownWorkflow, ledger: OpenLedger, catalog: Definitions) -> WorkflowAnswer:
    """Return one workflow."""
    return _described([name], ledger, catalog)[0]


@router.get("/workflows/{workflow}/runs", name="api_runs")
def runs(
    name: KnownWorkflow,
    ledger: OpenLedger,
    limit: Limit = 100,
    before: Annotated[str, Query(max_length=300)] = "",
) -> RunsAnswer:
    """List the runs of a workflow that recorded something."""
    rows = ledger.queries.recent_runs(name, limit, parse_cursor(before))
    items = [RunAnswer.model_validate(row) for row in rows]
    return RunsAnswer(items=items, next=_end(rows[-1]) if len(rows) == limit else None)


@router.get("/workflows/{workflow}/changes", name="api_changes")
def changes(
    name: KnownWorkflow,
    ledger: OpenLedger,
    catalog: Definitions,
    viewer: Viewer,
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
    order, sees = order_of(name, catalog), viewer.may_see_contacts(name)
    items = [_change(shown_change(row, order, sees=sees)) for row in rows]
    return ChangesAnswer(items=items, total_entries=total)


@router.get("/workflows/{workflow}/deliveries", name="api_deliveries")
def deliveries(
    name: KnownWorkflow,
    ledger: OpenLedger,
    viewer: Viewer,
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
    sees = viewer.may_see_contacts(name)
    items = [DeliveryAnswer.model_validate(shown(row, sees=sees)) for row in rows]
    return DeliveriesAnswer(items=items, next=cursor(rows[-1]) if len(rows) == limit else None)


@router.get("/workflows/{workflow}/deliveries/{key}", name="api_delivery")
def delivery(
    name: KnownWorkflow, key: KeyInPath, ledger: OpenLedger, viewer: Viewer
) -> DeliveryAnswer:
    """Return one delivery."""
    sees = viewer.may_see_contacts(name)
    return DeliveryAnswer.model_validate(shown(delivery_of(name, key, ledger), sees=sees))


@router.get("/requests", name="api_requests")
def requests(
    viewer: Viewer,
    ledger: OpenLedger,
    catalog: Definitions,
    limit: Limit = 100,
    before: RequestNumber = None,
) -> RequestsAnswer:
    """List what people asked for and did, of workflows that the caller may read."""
    rows = visible_requests(limit, before, viewer, ledger, catalog)
    items = [_request(row) for row in rows]
    return RequestsAnswer(items=items, next=rows[-1].id if len(rows) == limit else None)


# ---- asking -----------------------------------------------------------------------------------


def _acting(request: Request, name: KnownWorkflow, viewer: Viewer) -> Person:
    """Return who asks; a 403 for a cookie alone, and for whoever may not edit the DAG."""
    if not carries_token(request):
        raise HTTPException(403, "This takes a token in the header Authorization: Bearer …")
    require_edit(name, viewer)
    return viewer


Acting = Annotated[Person, Depends(_acting)]


@router.post("/workflows/{workflow}/retry", status_code=202, name="api_retry")
def retry(name: KnownWorkflow, wish: RetryWish, person: Acting, ledger: OpenLedger) -> FiledAnswer:
    """Ask that failed deliveries be sent again."""
    selection = Selection(name, wish.action, wish.contact, wish.error, tuple(wish.keys))
    return _filed(person, lambda: asking.retry(ledger, selection, person.name, _now()))


@router.post("/workflows/{workflow}/settle", status_code=202, name="api_settle")
def settle(
    name: KnownWorkflow, wish: SettleWish, person: Acting, ledger: OpenLedger
) -> FiledAnswer:
    """Say what became of uncertain deliveries."""
    selection = Selection(name, wish.action, keys=tuple(wish.keys))
    return _filed(
        person, lambda: asking.settle(ledger, selection, wish.settlement, person.name, _now())
    )


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


def _described(names: list[str], ledger: Ledger, catalog: Catalog) -> list[WorkflowAnswer]:
    now = datetime.now(UTC)
    outcomes = ledger.queries.outcomes_since(names, now - timedelta(days=31))
    ends, facts = ledger.queries.open_ends(names), dag_facts(names)
    stops = {stop.workflow for stop in ledger.people.stops()}
    answers = []
    for name in names:
        dag, end = facts[name], ends[name]
        zone = zone_of_segment(segment_of(name, catalog), catalog)
        days = by_day((item for item in outcomes if item.workflow == name), now, 30, zone)
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
                waiting=end[State.WAITING],
                outcomes=dict(days.total),
            )
        )
    return answers


def _end(row: RunRow) -> str:
    return cursor_at(row.recorded_at, row.run_id)


def _filed(person: Person, file: Callable[[], int]) -> FiledAnswer:
    try:
        answer = FiledAnswer(request=file())
    except SettingsError as error:  # nothing is like that
        raise HTTPException(409, str(error)) from None
    start_release(person.name)
    return answer


def _change(row: ChangeRow) -> ChangeAnswer:
    return ChangeAnswer(
        contact_id=row.contact_id,
        change=ChangeKind(row.change),
        reason=row.reason,
        conditions=row.verdict,
        deliveries=[DeliveryAnswer.model_validate(item) for item in row.deliveries],
    )


def _request(row: Asked) -> RequestAnswer:
    return RequestAnswer(
        id=row.id,
        kind=row.kind,
        workflow=row.selection.workflow,
        action=row.selection.action,
        contact=row.selection.contact,
        settlement=row.settlement,
        reason=row.asked.get("reason", ""),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        done_at=row.done_at,
        outcome=row.outcome,
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
