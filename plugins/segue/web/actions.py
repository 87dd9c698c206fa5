"""What people do from the pages: always confirmed, always a POST, always with their name.

They go through ``segue.upkeep.interventions``, as the command line does. What is to be sent is
filed as a request; ``segue_release`` carries it out within five minutes. A form brings back what
its page showed (``count`` and ``until``): nothing that moved since is meant by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import StringConstraints

from segue.directory.checks import LONGEST_ID
from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.people.release_requests import Request, Seen, Selection, Settlement
from segue.operators.release_now import start_release
from segue.upkeep import interventions as asking
from segue.web.access import Person, require_edit
from segue.web.forms import SafeForm
from segue.web.parameters import LARGEST, Instant, RequestNumber
from segue.web.visits import ThisVisit, Visit
from segue.web.workflows import require_known, workflow_names
from segue.workflows.catalog import Catalog

AT_ONCE = 50
router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=500)]
Name = Annotated[str, Form(max_length=250)]
Contact = Annotated[str, Form(max_length=LONGEST_ID)]
Keys = Annotated[list[Annotated[str, StringConstraints(max_length=64)]], Form(max_length=500)]


def _seen(
    count: Annotated[int | None, Form(ge=0, le=LARGEST)] = None,
    until: Annotated[Instant | None, Form()] = None,
) -> Seen | None:
    """Return what the page showed; nothing where a program asks for what there is now."""
    if count is None and until is None:
        return None
    if count is None or until is None:
        raise HTTPException(422, "count and until go together: what was seen, and until when")
    return Seen(count, until)


AsSeen = Annotated[Seen | None, Depends(_seen)]


@router.post("/retry", name="retry")
def retry(
    _: SafeForm,
    visit: ThisVisit,
    seen: AsSeen,
    workflow: Name,
    action: Name = "",
    contact: Contact = "",
    error: Text = "",
    key: Keys = [],  # noqa: B006 - FastAPI copies it
) -> RedirectResponse:
    """Ask that failed deliveries of a workflow be sent again."""
    _may_act(workflow, visit)
    selection = Selection(workflow, action or None, contact or None, error or None, tuple(key))
    person, now = visit.viewer.name, _now()
    return _filed(visit, lambda: asking.retry(visit.ledger, selection, person, now, seen))


@router.post("/settle", name="settle")
def settle(
    _: SafeForm,
    visit: ThisVisit,
    seen: AsSeen,
    workflow: Name,
    settlement: Annotated[Settlement, Form()],
    action: Name = "",
    key: Keys = [],  # noqa: B006 - FastAPI copies it
) -> RedirectResponse:
    """Say what became of uncertain deliveries of a workflow."""
    _may_act(workflow, visit)
    selection = Selection(workflow, action or None, keys=tuple(key))
    person, now = visit.viewer.name, _now()
    return _filed(
        visit, lambda: asking.settle(visit.ledger, selection, settlement, person, now, seen)
    )


@router.post("/stop", name="stop")
def stop(
    _: SafeForm,
    visit: ThisVisit,
    workflow: Name,
    reason: Text = "",
) -> RedirectResponse:
    """Stop a workflow at once, in tasks that are running too."""
    _may_act(workflow, visit)
    asking.stop(visit.ledger, workflow, visit.viewer.name, reason, _now())
    return _back(visit, "workflow", workflow=workflow)


@router.post("/go", name="go")
def go(
    _: SafeForm,
    visit: ThisVisit,
    workflow: Name,
) -> RedirectResponse:
    """Lift the stop of a workflow."""
    _may_act(workflow, visit)
    asking.go(visit.ledger, workflow, visit.viewer.name, _now())
    return _back(visit, "workflow", workflow=workflow)


@router.post("/suppress", name="suppress")
def suppress(
    _: SafeForm,
    visit: ThisVisit,
    workflow: Name,
    contact: Annotated[str, Form(min_length=1, max_length=LONGEST_ID)],
    reason: Text = "",
) -> RedirectResponse:
    """Never write to a contact again, in any workflow; one of a workflow that one may edit."""
    _may_act(workflow, visit)
    if not visit.ledger.queries.knows_contact(workflow, contact):
        raise HTTPException(404, f"{workflow} has no delivery to the contact {contact}.")
    asking.suppress(visit.ledger, [contact], visit.viewer.name, reason, _now(), workflow)
    return _back(visit, "requests")


@router.get("/requests", name="requests")
def requests(visit: ThisVisit, before: RequestNumber = None) -> HTMLResponse:
    """List what people asked for and did, the newest first, of workflows that may be read."""
    newest = visible_requests(AT_ONCE + 1, before, visit.viewer, visit.ledger, visit.catalog)
    rows = newest[:AT_ONCE]
    return visit.page(
        "requests.html",
        rows=rows,
        newest=None if before is None else visit.link("requests"),
        older=visit.link("requests", before=rows[-1].id) if len(newest) > AT_ONCE else None,
    )


def visible_requests(
    limit: int, before: int | None, viewer: Person, ledger: Ledger, catalog: Catalog
) -> Sequence[Request]:
    """Return requests about workflows that may be read; about none: to who may read all of them.

    The ledger leaves the others out, so that a page is full as long as there are more, and its end
    says nothing about how many of others' there are.
    """
    names = workflow_names(ledger, catalog)
    readable = viewer.readable(names)
    return ledger.people.newest_requests(limit, before, None if readable == names else readable)


def _may_act(workflow: str, visit: Visit) -> None:
    require_edit(workflow, visit.viewer)
    require_known(workflow, visit.ledger, visit.catalog)


def _filed(visit: Visit, file: Callable[[], int]) -> RedirectResponse:
    try:
        file()
    except SettingsError as error:  # nothing is like that any more: somebody was quicker
        raise HTTPException(409, str(error)) from None
    start_release(visit.viewer.name)
    return _back(visit, "requests")


def _back(visit: Visit, name: str, **parameters: str) -> RedirectResponse:
    """Lead from a form to a page, so that reloading it does not send the form again."""
    return RedirectResponse(visit.link(name, **parameters), status_code=303)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
