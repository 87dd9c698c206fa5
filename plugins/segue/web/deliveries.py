"""Deliveries by outcome, such as dead letters, and all that is known of one delivery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from segue.ledger import Ledger
from segue.ledger.facts import DeliveryInFull, ListedDelivery
from segue.ledger.queries.pages import Filter
from segue.ledger.states import State
from segue.preview.sent_message import RenderedMessage, message_of
from segue.web.access import ReadableWorkflow, require_contacts
from segue.web.runs import STATES, Chosen
from segue.web.visits import ThisVisit
from segue.web.workflows import require_known
from segue.workflows.catalog import Catalog

AT_ONCE = 50
router = APIRouter(include_in_schema=False)


@router.get("/deliveries", name="deliveries")
def deliveries(
    workflow: ReadableWorkflow,
    chosen: Chosen,
    visit: ThisVisit,
    before: Annotated[str, Query(max_length=120)] = "",
) -> HTMLResponse:
    """List the deliveries of a workflow in one state, the last moved first."""
    require_known(workflow, visit.ledger, visit.catalog)
    state = chosen.state or str(State.FAILED)
    criteria = Filter(chosen.contact, chosen.change, chosen.action, state, chosen.error)
    newest = visit.ledger.queries.newest_deliveries(
        workflow, criteria, limit=AT_ONCE + 1, before=parse_cursor(before)
    )
    more = len(newest) > AT_ONCE
    rows = newest[:AT_ONCE]
    return visit.page(
        "deliveries.html",
        workflow=workflow,
        rows=rows,
        chosen=criteria,
        states=STATES,
        actions=visit.ledger.queries.actions_of(workflow),
        may_edit=visit.viewer.may_edit(workflow),
        stopped=visit.ledger.people.stopped(workflow),
        first=not before,
        older=visit.link(
            "deliveries",
            workflow=workflow,
            state=state,
            action=chosen.action,
            contact=chosen.contact,
            error=chosen.error,
            before=cursor(rows[-1]),
        )
        if more
        else None,
    )


@router.get("/delivery", name="delivery")
def delivery(
    workflow: ReadableWorkflow,
    key: Annotated[str, Query(max_length=64)],
    visit: ThisVisit,
) -> HTMLResponse:
    """Show one delivery: its course, its run, and its message to whoever may see it."""
    row = delivery_of(workflow, key, visit.ledger)
    sees = visit.viewer.may_see_contacts(workflow)
    return visit.page(
        "delivery.html",
        workflow=workflow,
        item=row,
        message=rendered(row, visit.ledger, visit.catalog) if sees else None,
        sees=sees,
        may_edit=visit.viewer.may_edit(workflow),
        stopped=visit.ledger.people.stopped(workflow),
        suppressed=visit.ledger.people.is_suppressed(row.contact_id),
    )


@router.get("/message", name="message_html")
def message_html(
    workflow: ReadableWorkflow,
    key: Annotated[str, Query(max_length=64)],
    visit: ThisVisit,
) -> HTMLResponse:
    """Return the HTML part of a message, for a frame that may run, load and reach nothing."""
    require_contacts(workflow, visit.viewer)
    row = delivery_of(workflow, key, visit.ledger)
    message = rendered(row, visit.ledger, visit.catalog).message or {}
    return framed(message.get("html"))


def delivery_of(workflow: str, key: str, ledger: Ledger) -> DeliveryInFull:
    """Return a delivery of the workflow; a 404 where it has none with the key."""
    row = ledger.queries.find_delivery(key)
    if row is None or row.workflow != workflow:
        raise HTTPException(404, f"{workflow} has no delivery with the key {key}.")
    return row


def framed(html: Any) -> HTMLResponse:
    """Return HTML of a message under a policy that lets it do nothing but be looked at."""
    if not isinstance(html, str):
        raise HTTPException(404, "This message has no HTML part.")
    policy = (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def rendered(row: DeliveryInFull, ledger: Ledger, catalog: Catalog) -> RenderedMessage:
    """Return the message of a delivery, rendered again."""

    def resolve(written: Mapping[str, Any] | None) -> Any:
        return catalog.resolve(row.workflow) if written is None else catalog.build(written)

    return message_of(row, ledger, resolve, datetime.now(UTC))


def cursor(row: ListedDelivery) -> str:
    """Return where a list goes on after a row."""
    return f"{row.updated_at.isoformat()}|{row.key}"


def parse_cursor(text: str) -> tuple[datetime, str] | None:
    """Return (updated_at, key) of a cursor; a 422 says that it is none."""
    if not text:
        return None
    time, _, key = text.partition("|")
    try:
        instant = datetime.fromisoformat(time)
        instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise HTTPException(422, "before is not where a page of this list ended") from None
    if instant.tzinfo is None or not key:
        raise HTTPException(422, "before is not where a page of this list ended")
    return instant, key
