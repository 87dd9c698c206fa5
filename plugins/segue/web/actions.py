"""What people do from the pages: always confirmed, always a POST, always with their name.

They go through ``segue.upkeep.interventions``, as the command line does. What is to be sent is
filed as a request; ``segue_release`` carries it out within five minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Query
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse, RedirectResponse

from segue.errors import SettingsError
from segue.ledger import Ledger, Request, Selection, Settlement
from segue.upkeep import interventions as asking
from segue.web.access import Person, Viewer, require_edit
from segue.web.connections import Definitions, OpenLedger
from segue.web.forms import SafeForm
from segue.web.pages import link, page
from segue.web.workflows import require_known

AT_ONCE = 50
router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=500)]
Name = Annotated[str, Form(max_length=250)]
Keys = Annotated[list[str], Form(max_length=500)]


@router.post("/retry", name="retry")
def retry(
    request: HttpRequest,
    _: SafeForm,
    viewer: Viewer,
    ledger: OpenLedger,
    catalog: Definitions,
    workflow: Name,
    action: Name = "",
    contact: Name = "",
    error: Text = "",
    key: Keys = [],  # noqa: B006 - FastAPI copies it
) -> RedirectResponse:
    """Ask that failed deliveries of a workflow be sent again."""
    _may_act(workflow, viewer, ledger, catalog)
    selection = Selection(workflow, action or None, contact or None, error or None, tuple(key))
    return _filed(request, lambda: asking.retry(ledger, selection, viewer.name, _now()))


@router.post("/settle", name="settle")
def settle(
    request: HttpRequest,
    _: SafeForm,
    viewer: Viewer,
    ledger: OpenLedger,
    catalog: Definitions,
    workflow: Name,
    settlement: Annotated[Settlement, Form()],
    action: Name = "",
    key: Keys = [],  # noqa: B006 - FastAPI copies it
) -> RedirectResponse:
    """Say what became of uncertain deliveries of a workflow."""
    _may_act(workflow, viewer, ledger, catalog)
    selection = Selection(workflow, action or None, keys=tuple(key))
    return _filed(
        request, lambda: asking.settle(ledger, selection, settlement, viewer.name, _now())
    )


@router.post("/stop", name="stop")
def stop(
    request: HttpRequest,
    _: SafeForm,
    viewer: Viewer,
    ledger: OpenLedger,
    catalog: Definitions,
    workflow: Name,
    reason: Text = "",
) -> RedirectResponse:
    """Stop a workflow at once, in tasks that are running too."""
    _may_act(workflow, viewer, ledger, catalog)
    asking.stop(ledger, workflow, viewer.name, reason, _now())
    return _back(request, "workflow", workflow=workflow)


@router.post("/go", name="go")
def go(
    request: HttpRequest,
    _: SafeForm,
    viewer: Viewer,
    ledger: OpenLedger,
    catalog: Definitions,
    workflow: Name,
) -> RedirectResponse:
    """Lift the stop of a workflow."""
    _may_act(workflow, viewer, ledger, catalog)
    asking.go(ledger, workflow, viewer.name, _now())
    return _back(request, "workflow", workflow=workflow)


@router.post("/suppress", name="suppress")
def suppress(
    request: HttpRequest,
    _: SafeForm,
    viewer: Viewer,
    ledger: OpenLedger,
    catalog: Definitions,
    workflow: Name,
    contact: Annotated[str, Form(min_length=1, max_length=250)],
    reason: Text = "",
) -> RedirectResponse:
    """Never write to a contact again, in any workflow; one of a workflow that one may edit."""
    _may_act(workflow, viewer, ledger, catalog)
    if not ledger.knows_contact(workflow, contact):
        raise HTTPException(404, f"{workflow} has no delivery to the contact {contact}.")
    asking.suppress(ledger, [contact], viewer.name, reason, _now(), workflow)
    return _back(request, "requests")


@router.get("/requests", name="requests")
def requests(
    request: HttpRequest,
    viewer: Viewer,
    ledger: OpenLedger,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> HTMLResponse:
    """List what people asked for and did, the newest first, of workflows that may be read."""
    newest = ledger.newest_requests(AT_ONCE + 1, before)
    rows = newest[:AT_ONCE]
    return page(
        request,
        "requests.html",
        rows=visible_requests(rows, viewer, ledger),
        first=before is None,
        older=link(request, "requests", before=rows[-1].id) if len(newest) > AT_ONCE else None,
    )


def visible_requests(rows: Sequence[Request], viewer: Person, ledger: Ledger) -> list[Request]:
    """Return those about workflows that may be read; about none: to who may read all of them."""
    mentions = {row.selection.workflow for row in rows if row.selection.workflow is not None}
    names = ledger.workflow_names() | mentions
    readable: set[str | None] = {*viewer.readable(names)}
    if readable == names:
        readable.add(None)
    return [row for row in rows if row.selection.workflow in readable]


def _may_act(workflow: str, viewer: Person, ledger: Ledger, catalog: Definitions) -> None:
    require_edit(workflow, viewer)
    require_known(workflow, ledger, catalog)


def _filed(request: HttpRequest, file: Callable[[], int]) -> RedirectResponse:
    try:
        file()
    except SettingsError as error:  # nothing is like that any more: somebody was quicker
        raise HTTPException(409, str(error)) from None
    return _back(request, "requests")


def _back(request: HttpRequest, name: str, **parameters: str) -> RedirectResponse:
    """Lead from a form to a page, so that reloading it does not send the form again."""
    return RedirectResponse(link(request, name, **parameters), status_code=303)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
