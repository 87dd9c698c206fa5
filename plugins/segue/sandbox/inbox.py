"""The pages and the JSON that show what the sandbox has received.

Everything shown came from outside: templates escape it, and a mail's HTML is shown in a frame
that may run nothing, load nothing and reach nothing around it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from segue.sandbox import smtp_server
from segue.sandbox.faults import Fault, Faults
from segue.sandbox.store import Document, Message, Store
from segue.sandbox.vendors import (
    freshdesk_api,
    http_api,
    jira_api,
    qualtrics_api,
    servicenow_api,
    slack_api,
    teams_api,
    twilio_api,
    zendesk_api,
)
from segue.sandbox.wire import json_answer

TITLES = {
    smtp_server.SERVICE: "Mail",
    slack_api.SERVICE: "Slack",
    zendesk_api.SERVICE: "Zendesk",
    freshdesk_api.SERVICE: "Freshdesk",
    jira_api.SERVICE: "Jira",
    servicenow_api.SERVICE: "ServiceNow",
    twilio_api.SERVICE: "Text messages",
    teams_api.SERVICE: "Teams",
    qualtrics_api.SERVICE: "Qualtrics",
    http_api.SERVICE: "HTTP",
}
KINDS = {  # where the service alone does not say it
    "webhook_message": "Message by webhook",
    "ticket": "Ticket created",
    "ticket_update": "Ticket updated",
    "survey_invitation": "Invitation to a survey",
    "survey_text": "Invitation by SMS",
    "contact_update": "Contact updated",
}
PAGE_SIZE = 50
PREVIEW = 240
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(titles=TITLES, kinds=KINDS)

Service = Annotated[str | None, Query()]
Contains = Annotated[str | None, Query()]


def pages(store: Store) -> APIRouter:
    """Serve the inbox at ``/`` and each message at ``/messages/NUMBER``."""
    router = APIRouter()

    @router.get("/")
    async def inbox(
        service: Service = None,
        contains: Contains = None,
        page: Annotated[int, Query(ge=1)] = 1,
    ) -> Response:
        return _page("inbox.html", **_listing(store, service or None, contains or "", page))

    @router.get("/messages/{number}")
    async def detail(number: int) -> Response:
        message = store.message(number)
        if message is None:
            return _page("missing.html", status=404, number=number)
        return _page("message.html", message=message, raw=_raw(message), facts=_facts(message))

    return router


def api(store: Store, faults: Faults) -> APIRouter:
    """Serve the sandbox's own JSON: what was received, and what is to go wrong."""
    router = APIRouter(prefix="/sandbox")

    @router.get("/messages")
    async def messages(
        service: Service = None, contains: Contains = None, kind: str | None = None
    ) -> Response:
        matches = store.messages(service=service, kind=kind, contains=contains)
        return _collection([asdict(message) for message in matches])

    @router.get("/messages/{number}")
    async def one_message(number: int) -> Response:
        message = store.message(number)
        if message is None:
            raise HTTPException(404, f"no message {number}")
        return json_answer(asdict(message))

    @router.delete("/messages")
    async def clear() -> Response:
        store.clear()
        return Response(status_code=204)

    @router.get("/faults")
    async def pending_faults() -> Response:
        return _fault_collection(faults)

    @router.post("/faults")
    async def add_fault(fault: Fault) -> Response:
        faults.add(fault)
        return _fault_collection(faults, status=201)

    @router.delete("/faults")
    async def clear_faults() -> Response:
        faults.clear()
        return Response(status_code=204)

    return router


def _collection(items: list[dict[str, Any]], status: int = 200) -> Response:
    return json_answer({"items": items, "total_entries": len(items)}, status)


def _fault_collection(faults: Faults, status: int = 200) -> Response:
    return _collection([fault.model_dump(mode="json") for fault in faults.pending()], status)


def _page(template: str, *, status: int = 200, **values: Any) -> Response:
    page = _templates.get_template(template).render(**values)
    return Response(page.encode("utf-8", "replace"), status, PAGE_HEADERS, "text/html")


def _listing(store: Store, service: str | None, contains: str, page: int) -> dict[str, Any]:
    """Return what the list shows: one page of messages, newest first, and the counts."""
    matches = store.messages(contains=contains)[::-1]
    of_service = [message for message in matches if service in (None, message.service)]
    start = (page - 1) * PAGE_SIZE
    return {
        "messages": of_service[start : start + PAGE_SIZE],
        "total": len(of_service),
        "page": page,
        "has_older": start + PAGE_SIZE < len(of_service),
        "service": service,
        "contains": contains,
        "counts": {name: sum(one.service == name for one in matches) for name in TITLES},
        "everything": len(matches),
    }


def _when(text: str) -> str:
    """Write a moment for a list: the time of today, or the date and the time."""
    moment = datetime.fromisoformat(text)
    today = moment.date() == datetime.now(UTC).date()
    return f"{moment:%H:%M:%S}" if today else _date_and_time(text)


def _date_and_time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%-d %b %Y %H:%M:%S}"


def _preview(message: Message) -> str:
    """Return the first words of a message's text, on one line."""
    text = " ".join(message.text.split())
    return text if len(text) <= PREVIEW else f"{text[:PREVIEW].rstrip()}…"


def _facts(message: Message) -> list[tuple[str, str]]:
    """Return what is worth knowing of a message beside its text."""
    fields = message.fields
    metadata = fields.get("metadata")
    facts = {
        "From": fields.get("from") or fields.get("mail_from"),
        "To": message.to,
        "Cc": fields.get("cc"),
        "Reply to": fields.get("reply_to"),
        "Attachments": ", ".join(file["name"] or "?" for file in fields.get("attachments") or []),
        "Message id": fields.get("message_id") or fields.get("sid"),
        "Timestamp": fields.get("ts"),
        "Metadata": json.dumps(metadata, ensure_ascii=False) if metadata else None,
        **_ticket_facts(fields.get("ticket") or {}),
        "Idempotency key": fields.get("idempotency_key"),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _ticket_facts(ticket: Document) -> Document:
    return {
        "Ticket": ticket.get("id"),
        "Status": _named(ticket.get("status"), freshdesk_api.STATUSES),
        "Priority": _named(ticket.get("priority"), freshdesk_api.PRIORITIES),
        "Tags": ", ".join(ticket.get("tags") or []),
        "External id": ticket.get("external_id"),
    }


def _named(value: object, names: dict[int, str]) -> object:
    """Put a name to a number, where there is one."""
    return f"{names[value]} ({value})" if isinstance(value, int) and value in names else value


def _raw(message: Message) -> str:
    """Return the mail, or the request as it was on the wire but for the credentials."""
    raw = message.raw
    if "mail" in raw:
        return str(raw["mail"])
    lines = [f"{raw['method']} {raw['path']}"]
    lines += [f"{name}: {value}" for name, value in raw["headers"].items()]
    return "\n".join([*lines, "", _pretty(raw["body"])])


def _pretty(body: str) -> str:
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body


_templates.filters.update(when=_when, date_and_time=_date_and_time, preview=_preview)
