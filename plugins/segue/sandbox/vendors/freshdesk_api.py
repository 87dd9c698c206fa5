"""A look-alike of the ticket part of Freshdesk's API v2.

Follows these sections of https://developers.freshdesk.com/api/:
    #authentication (basic: API key and any password), #ratelimit (X-RateLimit-*, Retry-After),
    #error (400 "Validation failed", errors[] of field, message and code; 401 invalid_credentials),
    #pagination (page, per_page up to 100, Link), #ticket_attributes, #create_ticket,
    #view_a_ticket, #list_all_tickets (updated_since, email, filter, order_by, order_type,
    include=description; 300 pages at most), #update_ticket, #delete_a_ticket (into the trash),
    #add_note_to_a_ticket, #reply_ticket, #list_all_ticket_notes (conversations, oldest first),
    #me (the agent whose key it is)

Creating has no idempotency: the same request twice makes two tickets. Without ``updated_since`` a
list holds the tickets created in the past 30 days, and without ``filter`` neither spam nor what
was deleted. Only a subject that begins with ``spam-`` is spam.

Left out: limits that bite (ask for a fault; the X-RateLimit headers count, and that is all),
attachments (multipart bodies get 415), the filters of an agent's own tickets, search, restoring.
The account has the custom fields of ``CUSTOM_FIELDS``; any other is ``invalid_field``. Subject and
description are required, which is how a new account is set up. Agents, groups, products and
companies are taken as they are numbered.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from fastapi import FastAPI, Request
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Clock, Document, Store, Transaction, iso
from segue.sandbox.wire import (
    EMAIL,
    ReceivedRequest,
    Refused,
    answer_refusals,
    basic_credentials,
    json_answer,
    json_object,
    mount_url,
    read_request,
    vendor_app,
)

SERVICE = "freshdesk"
API_KEY = "sandbox"
AGENT_EMAIL = "agent@example.com"

PRIORITIES = {1: "Low", 2: "Medium", 3: "High", 4: "Urgent"}
STATUSES = {2: "Open", 3: "Pending", 4: "Resolved", 5: "Closed"}
SOURCES = {1: "Email", 2: "Portal", 3: "Phone", 7: "Chat", 9: "Feedback", 10: "Outbound email"}
REQUESTER_FIELDS = (
    "requester_id",
    "phone",
    "email",
    "twitter_id",
    "facebook_id",
    "unique_external_id",
)
CALLS_PER_MINUTE = 400
SUBJECT_LENGTH, TAG_LENGTH, PAGE_SIZE, LAST_PAGE = 255, 32, 100, 300
ORDERS = ("created_at", "due_by", "updated_at", "status")
FILTERS = ("spam", "deleted")
LIST_WINDOW = timedelta(days=30)

CUSTOM_FIELDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "cf_segue_key": (str, "String"),
    "cf_tier": (str, "String"),
    "cf_calls": (int, "Integer"),
    "cf_revenue": ((int, float), "Number"),
    "cf_vip": (bool, "Boolean"),
    "cf_interests": (list, "Array"),
}
TICKETS, CONTACTS = "freshdesk.tickets", "freshdesk.contacts"
CONVERSATIONS = "freshdesk.conversations"  # by the ticket's number, a document with all of them
AGENT_ID = 1

Problem = dict[str, str]

_INTEGERS = (
    "requester_id",
    "responder_id",
    "group_id",
    "product_id",
    "company_id",
    "email_config_id",
    "parent_id",
    "priority",
    "status",
    "source",
)
_TEXTS = (
    "name",
    "phone",
    "email",
    "twitter_id",
    "facebook_id",
    "unique_external_id",
    "subject",
    "description",
    "type",
    "due_by",
    "fr_due_by",
)
_TYPES: dict[str, tuple[type, str]] = {
    **dict.fromkeys(_INTEGERS, (int, "Integer")),
    **dict.fromkeys(_TEXTS, (str, "String")),
    "tags": (list, "Array"),
    "cc_emails": (list, "Array"),
    "custom_fields": (dict, "key/value pair"),
}
_NOTE: dict[str, tuple[type, str]] = {
    "body": (str, "String"),
    "incoming": (bool, "Boolean"),
    "private": (bool, "Boolean"),
    "notify_emails": (list, "Array"),
    "user_id": (int, "Integer"),
}
_REPLY: dict[str, tuple[type, str]] = {
    "body": (str, "String"),
    "from_email": (str, "String"),
    "user_id": (int, "Integer"),
    "cc_emails": (list, "Array"),
    "bcc_emails": (list, "Array"),
}
_KEPT_IN_LINKS = ("updated_since", "email", "filter", "order_by", "order_type", "include")
_CHOICES = {"priority": PRIORITIES, "status": STATUSES, "source": SOURCES}


def create_app(store: Store) -> FastAPI:
    """Serve tickets with their conversations, and ``/api/v2/agents/me``."""
    app = vendor_app()
    answer_refusals(app, not_found=Response(status_code=404), not_allowed=_not_allowed())
    meter = _Meter(store.clock)

    @app.middleware("http")
    async def count(request: Request, call_next: RequestResponseEndpoint) -> Response:
        answer = await call_next(request)
        answer.headers.update(meter.headers())
        return answer

    @app.post("/api/v2/tickets")
    async def create(request: Request) -> Response:
        return _create(store, await _authenticated(request), mount_url(request))

    @app.get("/api/v2/tickets")
    async def index(request: Request) -> Response:
        return _list(store, await _authenticated(request), mount_url(request))

    @app.get("/api/v2/tickets/{ticket}")
    async def show(ticket: str, request: Request) -> Response:
        await _authenticated(request)
        with store.transaction() as transaction:
            return json_answer(_find(transaction, ticket))

    @app.put("/api/v2/tickets/{ticket}")
    async def update(ticket: str, request: Request) -> Response:
        return _update(store, await _authenticated(request), ticket)

    @app.delete("/api/v2/tickets/{ticket}")
    async def delete(ticket: str, request: Request) -> Response:
        await _authenticated(request)
        return _delete(store, ticket)

    @app.get("/api/v2/agents/me")
    async def me(request: Request) -> Response:
        await _authenticated(request)
        return json_answer(_agent())

    _serve_conversations(app, store)
    return app


def _serve_conversations(app: FastAPI, store: Store) -> None:
    @app.post("/api/v2/tickets/{ticket}/notes")
    async def note(ticket: str, request: Request) -> Response:
        return _converse(store, await _authenticated(request), ticket, _NOTE)

    @app.post("/api/v2/tickets/{ticket}/reply")
    async def reply(ticket: str, request: Request) -> Response:
        return _converse(store, await _authenticated(request), ticket, _REPLY)

    @app.get("/api/v2/tickets/{ticket}/conversations")
    async def conversations(ticket: str, request: Request) -> Response:
        return _conversations(store, await _authenticated(request), ticket, mount_url(request))


def refusal(fault: Fault, path: str) -> Response:
    """Refuse a request the way Freshdesk does."""
    if fault.fault is FaultKind.RATE_LIMITED:
        headers = {
            "Retry-After": str(fault.retry_after),
            "X-RateLimit-Total": str(CALLS_PER_MINUTE),
            "X-RateLimit-Remaining": "0",
        }
        text = "You have exceeded the limit of requests per minute"
        return json_answer({"message": text}, 429, headers)
    if fault.fault is FaultKind.UNAUTHORIZED:
        return _unauthorized()
    return json_answer({"message": "Service temporarily unavailable"}, 503)


class _Meter:
    """Counts calls per minute, for the headers that tell what is left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minute = 0
        self._calls = 0

    def headers(self) -> dict[str, str]:
        minute = int(self._clock().timestamp() // 60)
        self._calls = self._calls + 1 if minute == self._minute else 1
        self._minute = minute
        return {
            "X-RateLimit-Total": str(CALLS_PER_MINUTE),
            "X-RateLimit-Remaining": str(max(0, CALLS_PER_MINUTE - self._calls)),
            "X-RateLimit-Used-CurrentRequest": "1",
        }


# Requests


async def _authenticated(request: Request) -> ReceivedRequest:
    call = await read_request(request)
    credentials = basic_credentials(call.headers)
    if credentials is None or credentials[0] != API_KEY:
        raise Refused(_unauthorized())
    return call


def _unauthorized() -> Response:
    text = "You have to be logged in to perform this action."
    return json_answer({"code": "invalid_credentials", "message": text}, 401)


def _not_allowed() -> Response:
    return json_answer({"message": "Method not allowed"}, 405)


def _refuse(problems: list[Problem]) -> NoReturn:
    raise Refused(json_answer({"description": "Validation failed", "errors": problems}, 400))


def _problem(field: str, message: str, code: str) -> Problem:
    return {"field": field, "message": message, "code": code}


def _fields_in(request: ReceivedRequest) -> Document:
    if request.content_type != "application/json":
        text = f"Content-Type header is set to {request.content_type or 'nothing'}."
        text += " It should be set to application/json"
        raise Refused(json_answer({"code": "invalid_content_type", "message": text}, 415))
    document = json_object(request.body)
    if document is None:
        text = "Request body has invalid json format"
        raise Refused(json_answer({"code": "invalid_json", "message": text}, 400))
    return document


def _find(transaction: Transaction, ticket: str) -> Document:
    record = transaction.get(TICKETS, ticket)
    if record is None:
        raise Refused(Response(status_code=404))
    return record


# Creating, updating, listing


def _create(store: Store, request: ReceivedRequest, base_url: str) -> Response:
    fields = _fields_in(request)
    with store.transaction() as transaction:
        problems = _creation_problems(transaction, fields)
        if problems:
            _refuse(problems)
        requester = _requester(transaction, fields)
        number = transaction.next_id(TICKETS)
        ticket = _ticket(number, fields, requester, store.clock())
        transaction.put(TICKETS, str(number), ticket)
        _receive(transaction, "ticket", ticket, fields, request)
    location = f"{base_url}/api/v2/tickets/{number}"
    return json_answer(ticket, 201, {"Location": location})


def _ticket(number: int, given: Document, requester: Document, now: datetime) -> Document:
    return {
        "cc_emails": given.get("cc_emails") or [],
        "fwd_emails": [],
        "reply_cc_emails": given.get("cc_emails") or [],
        "email_config_id": given.get("email_config_id"),
        "fr_escalated": False,
        "group_id": given.get("group_id"),
        "priority": given.get("priority") or 1,
        "requester_id": requester["id"],
        "responder_id": given.get("responder_id"),
        "source": given.get("source") or 2,
        "spam": given["subject"].startswith("spam-"),
        "deleted": False,
        "status": given.get("status") or 2,
        "subject": given["subject"],
        "company_id": given.get("company_id"),
        "id": number,
        "type": given.get("type"),
        "to_emails": None,
        "product_id": given.get("product_id"),
        "created_at": _seconds(now),
        "updated_at": _seconds(now),
        "due_by": given.get("due_by") or _seconds(now + timedelta(days=3)),
        "fr_due_by": given.get("fr_due_by") or _seconds(now + timedelta(days=1)),
        "is_escalated": False,
        "description": given["description"],
        "description_text": _plain_text(given["description"]),
        "custom_fields": given.get("custom_fields") or {},
        "tags": given.get("tags") or [],
        "attachments": [],
    }


def _update(store: Store, request: ReceivedRequest, ticket: str) -> Response:
    fields = _fields_in(request)
    with store.transaction() as transaction:
        old = _find(transaction, ticket)
        problems = _field_problems(fields)
        if problems:
            _refuse(problems)
        changes = {name: value for name, value in fields.items() if name in old}
        if "custom_fields" in changes:
            changes["custom_fields"] = {**old["custom_fields"], **fields["custom_fields"]}
        if "description" in changes:
            changes["description_text"] = _plain_text(fields["description"])
        new = {**old, **changes, "updated_at": _seconds(store.clock())}
        transaction.put(TICKETS, ticket, new)
        _receive(transaction, "ticket_update", new, fields, request)
    return json_answer(new)


def _list(store: Store, request: ReceivedRequest, base_url: str) -> Response:
    query = request.query
    page = _number(query, "page", default=1)
    size = _number(query, "per_page", default=30)
    tickets = _ordered(_listed(store, query), query)
    entries = tickets[(page - 1) * size : page * size]
    if query.get("include") != "description":
        entries = [_without_description(ticket) for ticket in entries]
    headers = {}
    if page * size < len(tickets):
        url = f"{base_url}/api/v2/tickets?page={page + 1}&per_page={size}"
        parameters = [f"&{name}={query[name]}" for name in _KEPT_IN_LINKS if name in query]
        headers["Link"] = f'<{url}{"".join(parameters)}>; rel="next"'
    return json_answer(entries, 200, headers)


def _delete(store: Store, ticket: str) -> Response:
    """Put a ticket into the trash, where it stays for 30 days."""
    with store.transaction() as transaction:
        old = _find(transaction, ticket)
        new = {**old, "deleted": True, "updated_at": _seconds(store.clock())}
        transaction.put(TICKETS, ticket, new)
    return Response(status_code=204)


def _converse(
    store: Store, request: ReceivedRequest, ticket: str, allowed: Mapping[str, tuple[type, str]]
) -> Response:
    """Add a note or a reply to a ticket; a note is private unless it says otherwise."""
    fields = _fields_in(request)
    is_note = allowed is _NOTE
    with store.transaction() as transaction:
        record = _find(transaction, ticket)
        problems = _conversation_problems(fields, allowed)
        if problems:
            _refuse(problems)
        entry = {
            "body": fields["body"],
            "body_text": _plain_text(fields["body"]),
            "id": transaction.next_id(CONVERSATIONS),
            "incoming": fields.get("incoming", False),
            "private": fields.get("private", True) if is_note else False,
            "user_id": fields.get("user_id") or AGENT_ID,
            "support_email": None,
            "source": 2 if is_note else 0,
            "ticket_id": record["id"],
            "created_at": _seconds(store.clock()),
            "updated_at": _seconds(store.clock()),
            "attachments": [],
        }
        entries = (transaction.get(CONVERSATIONS, ticket) or {"entries": []})["entries"]
        transaction.put(CONVERSATIONS, ticket, {"entries": [*entries, entry]})
        parts = {"description": fields["body"]}
        _receive(transaction, "note" if is_note else "reply", record, parts, request)
    return json_answer(entry, 201)


def _conversation_problems(
    given: Document, allowed: Mapping[str, tuple[type, str]]
) -> list[Problem]:
    problems = []
    if not given.get("body"):
        problems.append(_problem("body", "It should be a/an String", "missing_field"))
    for name, value in given.items():
        if name not in allowed:
            text = "Unexpected/invalid field in request"
            problems.append(_problem(name, text, "invalid_field"))
        elif value is not None and not isinstance(value, allowed[name][0]):
            problems.append(_wrong_type(name, value, allowed[name][1]))
    return problems


def _conversations(store: Store, request: ReceivedRequest, ticket: str, base_url: str) -> Response:
    page = _number(request.query, "page", default=1)
    size = _number(request.query, "per_page", default=30)
    with store.transaction() as transaction:
        _find(transaction, ticket)
        entries = (transaction.get(CONVERSATIONS, ticket) or {"entries": []})["entries"]
    headers = {}
    if page * size < len(entries):
        url = f"{base_url}/api/v2/tickets/{ticket}/conversations?page={page + 1}&per_page={size}"
        headers["Link"] = f'<{url}>; rel="next"'
    return json_answer(entries[(page - 1) * size : page * size], 200, headers)


def _ordered(tickets: list[Document], query: Mapping[str, str]) -> list[Document]:
    key = _choice(query, "order_by", ORDERS, default="created_at")
    descends = _choice(query, "order_type", ("asc", "desc"), default="desc") == "desc"
    return sorted(tickets, key=lambda ticket: (ticket[key], ticket["id"]), reverse=descends)


def _choice(
    query: Mapping[str, str], name: str, allowed: tuple[str, ...], *, default: str = ""
) -> str:
    value = query.get(name, default)
    if value and value not in allowed:
        text = f"It should be one of these values: '{','.join(allowed)}'"
        _refuse([_problem(name, text, "invalid_value")])
    return value


def _listed(store: Store, query: Mapping[str, str]) -> list[Document]:
    place = _choice(query, "filter", FILTERS)
    tickets = [one for one in store.values(TICKETS) if _place_of(one) == place]
    if "updated_since" in query:
        since = _moment(query["updated_since"])
        tickets = [one for one in tickets if one["updated_at"] >= since]
    else:
        since = _seconds(store.clock() - LIST_WINDOW)
        tickets = [one for one in tickets if one["created_at"] >= since]
    if "email" in query:
        contact = _contact(store, query["email"])
        tickets = [one for one in tickets if one["requester_id"] == contact["id"]]
    return tickets


def _place_of(ticket: Document) -> str:
    """Return the filter under which a ticket is listed; empty for the usual list."""
    if ticket["deleted"]:
        return "deleted"
    return "spam" if ticket["spam"] else ""


def _contact(store: Store, email: str) -> Document:
    with store.transaction() as transaction:
        contact = transaction.get(CONTACTS, f"email:{email.lower()}")
    if contact is None:
        text = "There is no contact matching the given email"
        _refuse([_problem("email", text, "invalid_value")])
    return contact


def _number(query: Mapping[str, str], name: str, *, default: int) -> int:
    text = query.get(name, str(default))
    largest = PAGE_SIZE if name == "per_page" else LAST_PAGE
    if not text.isdecimal() or not 0 < int(text) <= largest:
        message = f"It should be a Positive Integer less than or equal to {largest}"
        _refuse([_problem(name, message, "invalid_value")])
    return int(text)


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        message = "It should be in the combined date and time ISO8601 format"
        _refuse([_problem("updated_since", message, "invalid_date")])
    return _seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _without_description(ticket: Document) -> Document:
    left_out = ("description", "description_text", "attachments")
    return {name: value for name, value in ticket.items() if name not in left_out}


def _requester(transaction: Transaction, given: Document) -> Document:
    """Return the contact who asks, made on the way where there is none."""
    field = next(name for name in REQUESTER_FIELDS if given.get(name) is not None)
    key = _contact_key(field, given[field])
    record = transaction.get(CONTACTS, key)
    if record:
        return record
    number = transaction.next_id(CONTACTS) + AGENT_ID
    contact = {"id": number, "name": given.get("name") or given[field], field: given[field]}
    transaction.put(CONTACTS, key, contact)
    transaction.put(CONTACTS, f"requester_id:{number}", contact)
    return contact


def _contact_key(field: str, value: object) -> str:
    return f"{field}:{value}".lower() if field == "email" else f"{field}:{value}"


def _receive(
    transaction: Transaction,
    kind: str,
    ticket: Document,
    given: Document,
    request: ReceivedRequest,
) -> None:
    requester = transaction.get(CONTACTS, f"requester_id:{ticket['requester_id']}") or {}
    names = (requester.get(name) for name in ("email", "phone", "unique_external_id", "name"))
    description = given.get("description") or ""
    transaction.receive(
        SERVICE,
        kind,
        to=str(next((name for name in names if name), AGENT_EMAIL)),
        subject=ticket["subject"],
        text=_plain_text(description),
        html=description,
        fields={"ticket": ticket, "requester": requester},
        raw=request.raw(),
    )


def _agent() -> Document:
    contact = {
        "active": True,
        "email": AGENT_EMAIL,
        "job_title": None,
        "language": "en",
        "mobile": None,
        "name": "Sandbox agent",
        "phone": None,
        "time_zone": "UTC",
    }
    return {
        "id": AGENT_ID,
        "available": True,
        "occasional": False,
        "ticket_scope": 1,
        "type": "support_agent",
        "group_ids": [],
        "role_ids": [],
        "contact": contact,
    }


# Validation


def _creation_problems(transaction: Transaction, given: Document) -> list[Problem]:
    problems = [
        _problem(name, "It should be a/an String", "missing_field")
        for name in ("description", "subject")
        if not given.get(name)
    ]
    problems += _requester_problems(transaction, given)
    fields = {problem["field"] for problem in problems}
    return problems + [one for one in _field_problems(given) if one["field"] not in fields]


def _requester_problems(transaction: Transaction, given: Document) -> list[Problem]:
    if all(given.get(name) is None for name in REQUESTER_FIELDS):
        text = f"Please fill at least 1 of {', '.join(REQUESTER_FIELDS)} fields"
        return [_problem("requester_id", text, "missing_field")]
    number = given.get("requester_id")
    if number is not None and transaction.get(CONTACTS, f"requester_id:{number}") is None:
        text = "There is no contact matching the given requester_id"
        return [_problem("requester_id", text, "invalid_value")]
    if given.get("phone") and not given.get("email") and number is None and not given.get("name"):
        text = "It should be a/an String"
        return [_problem("name", text, "missing_field")]
    return []


def _field_problems(given: Document) -> list[Problem]:
    """Return what is wrong with the fields that are there."""
    problems = []
    for name, value in given.items():
        if name not in _TYPES:
            text = "Unexpected/invalid field in request"
            problems.append(_problem(name, text, "invalid_field"))
        elif value is not None and not _is_a(value, _TYPES[name][0]):
            problems.append(_wrong_type(name, value, _TYPES[name][1]))
        elif value is not None:
            problems += _value_problems(name, value)
    return problems


def _is_a(value: object, expected: type) -> bool:
    return isinstance(value, expected) and not isinstance(value, bool)


def _wrong_type(name: str, value: object, expected: str) -> Problem:
    kinds = {str: "String", int: "Integer", bool: "Boolean", list: "Array", dict: "key/value pair"}
    kind = kinds.get(type(value), type(value).__name__)
    text = f"Value set is of type {kind}.It should be a/an {expected}"
    return _problem(name, text, "datatype_mismatch")


def _value_problems(name: str, value: Any) -> list[Problem]:
    if name in _CHOICES and value not in _CHOICES[name]:
        choices = ",".join(str(choice) for choice in _CHOICES[name])
        text = f"It should be one of these values: '{choices}'"
        return [_problem(name, text, "invalid_value")]
    if name == "email" and not EMAIL.fullmatch(value):
        text = "It should be in the 'valid email address' format"
        return [_problem(name, text, "invalid_value")]
    if name == "subject" and len(value) > SUBJECT_LENGTH:
        text = f"Has {len(value)} characters, it can have maximum of {SUBJECT_LENGTH} characters"
        return [_problem(name, text, "invalid_value")]
    if name in ("tags", "cc_emails"):
        return _list_problems(name, value)
    if name == "custom_fields":
        return _custom_field_problems(value)
    return []


def _custom_field_problems(fields: Document) -> list[Problem]:
    problems = []
    for name, value in fields.items():
        if name not in CUSTOM_FIELDS:
            text = "Unexpected/invalid field in request"
            problems.append(_problem(f"custom_fields.{name}", text, "invalid_field"))
            continue
        kind, title = CUSTOM_FIELDS[name]
        is_boolean = isinstance(value, bool)
        if value is not None and (is_boolean != (kind is bool) or not isinstance(value, kind)):
            problems.append(_wrong_type(f"custom_fields.{name}", value, title))
    return problems


def _list_problems(name: str, values: list[Any]) -> list[Problem]:
    if not all(isinstance(value, str) for value in values):
        return [_problem(name, "It should contain elements of type String only", "invalid_value")]
    if name == "tags" and any(len(value) > TAG_LENGTH for value in values):
        text = f"It should only contain elements that have maximum of {TAG_LENGTH} characters"
        return [_problem(name, text, "invalid_value")]
    return []


# Values


def _plain_text(description: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", description)).strip()


def _seconds(moment: datetime) -> str:
    return iso(moment)[:19] + "Z"
