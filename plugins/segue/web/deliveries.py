"""Deliveries by outcome, such as dead letters, and all that is known of one delivery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse

from segue.ledger import Ledger
from segue.ledger.facts import DeliveryInFull, ListedDelivery
from segue.ledger.people.release_requests import RequestKind, Seen, Selection
from segue.ledger.queries.pages import Filter
from segue.ledger.states import State
from segue.preview.sent_message import RenderedMessage, message_of
from segue.web.access import ReadableWorkflow, contacts_need, require_contacts
from segue.web.answers import actions_of, in_order, order_of, shown
from segue.web.pages import without_links
from segue.web.parameters import KeyInQuery
from segue.web.runs import STATES, Chosen
from segue.web.visits import ThisVisit, Visit
from segue.web.workflows import require_known
from segue.workflows.catalog import Catalog

AT_ONCE = 50
_NO_CURSOR = (
    "before is neither where a page of this list ended, nor a time with a zone, such as "
    "2026-11-22T06:00:00Z"
)
_KINDS: Mapping[str, RequestKind] = {  # what a person may ask for, by outcome
    State.FAILED: RequestKind.RETRY,
    State.UNCERTAIN: RequestKind.SETTLE,
}
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
    rows, sees = newest[:AT_ONCE], visit.viewer.may_see_contacts(workflow)
    names = visit.ledger.queries.actions_of(workflow)
    own = {
        "workflow": workflow,
        "state": state,
        "action": chosen.action,
        "contact": chosen.contact,
        "change": chosen.change,
        "error": chosen.error,
    }
    is_last = len(newest) <= AT_ONCE
    return visit.page(
        "deliveries.html",
        workflow=workflow,
        rows=[shown(row, sees=sees) for row in rows],
        chosen=criteria,
        states=STATES,
        actions=in_order(names, order_of(workflow, visit.catalog)),
        sees=sees,
        seen=_what_all_means(criteria, workflow, visit) if rows else None,
        stopped=visit.ledger.people.stopped(workflow),
        newest=visit.link("deliveries", **own) if before else None,
        older=None if is_last else visit.link("deliveries", **own, before=cursor(rows[-1])),
    )


def _what_all_means(chosen: Filter, workflow: str, visit: Visit) -> Seen | None:
    """Return what a button for all of a list would mean; None where there is no such button.

    A request means contacts by their whole id and changes of every kind: such lists have none.
    """
    kind = _KINDS.get(chosen.state)
    if kind is None or chosen.contact or chosen.change or not visit.viewer.may_edit(workflow):
        return None
    if kind is RequestKind.SETTLE and chosen.error:
        return None  # whatever its reason, one finds out about each
    selection = Selection(workflow, chosen.action or None, error=chosen.error or None)
    return visit.ledger.people.look(kind, selection)


@router.get("/delivery", name="delivery")
def delivery(
    workflow: ReadableWorkflow,
    key: KeyInQuery,
    visit: ThisVisit,
) -> HTMLResponse:
    """Show one delivery: its course, its run, and its message to whoever may see it."""
    row = delivery_of(workflow, key, visit.ledger)
    sees, may_edit = visit.viewer.may_see_contacts(workflow), visit.viewer.may_edit(workflow)
    action = actions_of(workflow, visit.catalog).get(row.action)
    return visit.page(
        "delivery.html",
        workflow=workflow,
        item=shown(row, sees=sees),
        channel=row.channel or (action.channel if action else None),
        message=rendered(row, visit.ledger, visit.catalog) if sees else None,
        sees=sees,
        may_edit=may_edit,
        seen=_what_it_means(row, visit) if may_edit else None,
        asked=None if row.request is None else visit.ledger.people.find_request(row.request),
        stopped=visit.ledger.people.stopped(workflow),
        suppressed=visit.ledger.people.find_suppression(row.contact_id),
        needs=contacts_need("Seeing contacts' messages", "this DAG"),
    )


def _what_it_means(row: DeliveryInFull, visit: Visit) -> Seen | None:
    """Return what a button for one delivery would mean; None where there is no such button."""
    kind = _KINDS.get(row.outcome)
    if kind is None or row.request is not None:
        return None
    if kind is RequestKind.SETTLE and row.message_key:  # of a digest, whoever is in it
        return visit.ledger.people.look(kind, Selection(row.workflow, keys=[row.key]))
    return Seen(1, row.updated_at)


@router.get("/message", name="message_html")
def message_html(
    workflow: ReadableWorkflow,
    key: KeyInQuery,
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
    return HTMLResponse(without_links(html), headers={"Content-Security-Policy": policy})


def rendered(row: DeliveryInFull, ledger: Ledger, catalog: Catalog) -> RenderedMessage:
    """Return the message of a delivery, rendered again."""

    def resolve(written: Mapping[str, Any] | None) -> Any:
        if written is None:
            return catalog.resolve(row.workflow)
        return catalog.build(written, is_resolved=True)

    return message_of(row, ledger, resolve, datetime.now(UTC))


def cursor(row: ListedDelivery) -> str:
    """Return where a list goes on after a row."""
    return cursor_at(row.updated_at, row.key)


def cursor_at(instant: datetime, name: str) -> str:
    """Return where a list goes on after a row with this instant and name."""
    return f"{instant.isoformat()}|{name}"


def parse_cursor(text: str) -> tuple[datetime, str] | None:
    """Return (instant, name) of a cursor, or of a time alone; a 422 says that it is neither."""
    if not text:
        return None
    time, mark, name = text.partition("|")
    try:
        instant = datetime.fromisoformat(time)
        instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise HTTPException(422, _NO_CURSOR) from None
    if instant.tzinfo is None or (mark and not name):
        raise HTTPException(422, _NO_CURSOR)
    return instant, name
