"""JSON events and the tickets that they make, of the look-alike of Qualtrics."""

from __future__ import annotations

from starlette.responses import Response

from segue.sandbox.store import Document, iso_seconds
from segue.sandbox.vendor_api import Call
from segue.sandbox.vendors.qualtrics_api.answers import API, api, body_of, ok, refuse, require

EVENT = "5e90e5e9-0e5e-90e5-e90e-5e90e5e90e00"
LARGEST_EVENT = 100_000  # bytes
TICKETS = "qualtrics.tickets"


@api.post("/inbound-event/v1/events/json/triggers")
def _trigger(call: Call) -> Response:
    """Take an event, and run its workflow: a ticket is made of what the event has."""
    if call.query.get("urlTokenId") != EVENT:
        raise refuse(404, "EVENT_NOT_FOUND", "There is no such event")
    if len(call.body.encode("utf-8", "replace")) > LARGEST_EVENT:
        raise refuse(413, "PAYLOAD_TOO_LARGE", "The payload is larger than 100 KB")
    document = body_of(call)
    require(document.get("name"), "name")
    data = document.get("data") or {}
    number = call.transaction.next_id(TICKETS)
    ticket = {
        "key": f"T-{number}",
        "name": document["name"],
        "ownerId": document.get("owner"),
        "ticketTeamId": document.get("team"),
        "priority": document.get("priority"),
        "status": document.get("status") or "Open",
        "comment": document.get("comment"),
        "createdAt": iso_seconds(call.store.clock()),
        "data": {**data, "segue_delivery": document.get("segue_delivery")},
    }
    call.transaction.put(TICKETS, ticket["key"], ticket)
    call.receive(
        "ticket",
        to=str(ticket["ownerId"] or ticket["ticketTeamId"] or ""),
        subject=str(ticket["name"]),
        text=str(ticket["comment"] or ""),
        fields={"ticket": ticket},
    )
    return ok()


@api.post(f"{API}/tickets/search")
def _search_tickets(call: Call) -> Response:
    query = body_of(call).get("query")
    require(isinstance(query, dict), "query")
    size = int(call.query.get("pageSize", 50))
    matches = [one for one in call.store.values(TICKETS) if _matches(one, query or {})]
    elements = [
        {name: value for name, value in one.items() if name != "data"} for one in matches[:size]
    ]
    return ok({"elements": elements, "links": {"next": {"href": None}}})


def _matches(ticket: Document, query: Document) -> bool:
    """Tell whether a ticket is one that a query asks for: by a field, or by ticket data."""
    kind, comparison, value = (query.get(name) for name in ("queryType", "comparison", "value"))
    if kind == "compound":
        return all(_matches(ticket, child) for child in query["children"])
    content = ticket["data"].get(query.get("key")) if kind == "keyValue" else ticket.get(str(kind))
    results: Document = {
        "eq": content == value,
        "neq": content != value,
        "exists": content is not None,
        "doesnotexist": content is None,
        "contains": isinstance(content, str) and str(value) in content,
        "gt": content is not None and str(content) > str(value),
    }
    require(comparison in results, "comparison")
    return bool(results[str(comparison)])
