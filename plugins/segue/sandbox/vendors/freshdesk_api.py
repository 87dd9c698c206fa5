"""A look-alike of the ticket part of Freshdesk's API v2.

Follows these sections of https://developers.freshdesk.com/api/:
    #authentication (basic: API key and any password), #ratelimit (429, Retry-After),
    #error (400 "Validation failed", errors[] of field, message and code; 401 invalid_credentials),
    #pagination (page, per_page up to 100, Link), #ticket_attributes, #create_ticket,
    #view_a_ticket, #list_all_tickets (updated_since, email, filter, order_by, order_type,
    include=description; 300 pages at most), #update_ticket, #delete_a_ticket (into the trash),
    #add_note_to_a_ticket, #list_all_ticket_notes (conversations, oldest first),
    #me (the agent whose key it is)

Creating has no idempotency: the same request twice makes two tickets. Without ``updated_since`` a
list holds the tickets created in the past 30 days, and without ``filter`` neither spam nor what
was deleted. Only a subject that begins with ``spam-`` is spam.

Left out: limits that bite (ask for a fault), replies, attachments (multipart bodies get 415), the
filters of an agent's own tickets, search, restoring.
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

from starlette.responses import Response

from segue.sandbox.store import Document, Store, Transaction, iso_seconds
from segue.sandbox.vendor_api import Call, Refused, VendorApi
from segue.sandbox.wire import EMAIL, ReceivedRequest, basic_credentials, json_answer, json_object

SERVICE = "freshdesk"
API_KEY = "sandbox"
AGENT_EMAIL = "agent@example.com"

PRIORITIES = {1: "Low", 2: "Medium", 3: "High", 4: "Urgent"}
STATUSES = {2: "Open", 3: "Pending", 4: "Resolved", 5: "Closed"}
SOURCES = {1: "Email", 2: "Portal", 3: "Phone", 7: "Chat", 9: "Feedback", 10: "Outbound email"}
REQUESTER_FIELDS = (
    *("requester_id", "phone", "email", "twitter_id", "facebook_id", "unique_external_id"),
)
CALLS_PER_MINUTE = 400
SUBJECT_LENGTH, TAG_LENGTH, PAGE_SIZE, LAST_PAGE = 255, 32, 100, 300
SINCE = dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z")  # the agent's
ORDERS = ("created_at", "due_by", "updated_at", "status")
FILTERS = ("spam", "deleted")
LIST_WINDOW = timedelta(days=30)

Problem = dict[str, str]
Types = Mapping[str, tuple[type | tuple[type, ...], str]]  # by name, with the type's own name

CUSTOM_FIELDS: Types = {
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

_INTEGERS = (
    *("requester_id", "responder_id", "group_id", "product_id", "company_id"),
    *("email_config_id", "parent_id", "priority", "status", "source"),
)
_TEXTS = (
    *("name", *REQUESTER_FIELDS[1:]),
    *("subject", "description", "type", "due_by", "fr_due_by"),
)
_TYPES: Types = {
    **dict.fromkeys(_INTEGERS, (int, "Integer")),
    **dict.fromkeys(_TEXTS, (str, "String")),
    "tags": (list, "Array"),
    "cc_emails": (list, "Array"),
    "custom_fields": (dict, "key/value pair"),
}
_NOTE: Types = {
    "body": (str, "String"),
    "incoming": (bool, "Boolean"),
    "private": (bool, "Boolean"),
    "notify_emails": (list, "Array"),
    "user_id": (int, "Integer"),
}
_KEPT_IN_LINKS = ("updated_since", "email", "filter", "order_by", "order_type", "include")
_CHOICES = {"priority": PRIORITIES, "status": STATUSES, "source": SOURCES}


# Requests


def _is_authentic(call: Call) -> bool:
    credentials = basic_credentials(call.headers)
    return credentials is not None and credentials[0] == API_KEY


def _unauthorized() -> Response:
    text = "You have to be logged in to perform this action."
    return json_answer({"code": "invalid_credentials", "message": text}, 401)


def _limited(headers: dict[str, str]) -> Response:
    headers |= {"X-RateLimit-Total": str(CALLS_PER_MINUTE), "X-RateLimit-Remaining": "0"}
    text = "You have exceeded the limit of requests per minute"
    return json_answer({"message": text}, 429, headers)


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=Response(status_code=404),
    not_allowed=json_answer({"message": "Method not allowed"}, 405),
    limited=_limited,
    unauthorized=_unauthorized,
    unwell=lambda: json_answer({"message": "Service temporarily unavailable"}, 503),
)
_TICKETS = "/api/v2/tickets"


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


def _find(call: Call) -> Document:
    record = call.transaction.get(TICKETS, call.path_values["ticket"])
    if record is None:
        raise Refused(Response(status_code=404))
    return record


# Creating, updating, listing


@api.post(_TICKETS)
def _create(call: Call) -> Response:
    fields = _fields_in(call)
    problems = _creation_problems(call.transaction, fields)
    if problems:
        _refuse(problems)
    requester = _requester(call.transaction, fields)
    number = call.transaction.next_id(TICKETS)
    ticket = _ticket(number, fields, requester, call.store.clock())
    call.transaction.put(TICKETS, str(number), ticket)
    _receive(call, "ticket", ticket, fields)
    location = f"{call.base_url}{_TICKETS}/{number}"
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
        "created_at": iso_seconds(now),
        "updated_at": iso_seconds(now),
        "due_by": given.get("due_by") or iso_seconds(now + timedelta(days=3)),
        "fr_due_by": given.get("fr_due_by") or iso_seconds(now + timedelta(days=1)),
        "is_escalated": False,
        "description": given["description"],
        "description_text": _plain_text(given["description"]),
        "custom_fields": given.get("custom_fields") or {},
        "tags": given.get("tags") or [],
        "attachments": [],
    }


@api.get(_TICKETS + "/{ticket}")
def _show(call: Call) -> Response:
    return json_answer(_find(call))


@api.put(_TICKETS + "/{ticket}")
def _update(call: Call) -> Response:
    fields = _fields_in(call)
    old = _find(call)
    problems = _field_problems(fields)
    if problems:
        _refuse(problems)
    changes = {name: value for name, value in fields.items() if name in old}
    if "custom_fields" in changes:
        changes["custom_fields"] = {**old["custom_fields"], **fields["custom_fields"]}
    if "description" in changes:
        changes["description_text"] = _plain_text(fields["description"])
    new = {**old, **changes, "updated_at": iso_seconds(call.store.clock())}
    call.transaction.put(TICKETS, str(new["id"]), new)
    _receive(call, "ticket_update", new, fields)
    return json_answer(new)


@api.get(_TICKETS)
def _list(call: Call) -> Response:
    query, place = call.query, _place(call)
    tickets = _ordered(_listed(call.store, query), query)
    if query.get("include") != "description":
        tickets = [_without_description(ticket) for ticket in tickets]
    parameters = [f"&{name}={query[name]}" for name in _KEPT_IN_LINKS if name in query]
    return _page(call, _TICKETS, tickets, place, "".join(parameters))


def _place(call: Call) -> tuple[int, int]:
    """Return the number of the page that is asked for, and how many entries it has."""
    page = _number(call.query, "page", default=1)
    return page, _number(call.query, "per_page", default=30)


def _page(
    call: Call, path: str, entries: list[Document], place: tuple[int, int], parameters: str = ""
) -> Response:
    """Answer with one page of the entries at a path, and a Link to the next one."""
    page, size = place
    headers = {}
    if page * size < len(entries):
        url = f"{call.base_url}{path}?page={page + 1}&per_page={size}{parameters}"
        headers["Link"] = f'<{url}>; rel="next"'
    return json_answer(entries[(page - 1) * size : page * size], 200, headers)


@api.delete(_TICKETS + "/{ticket}")
def _delete(call: Call) -> Response:
    """Put a ticket into the trash, where it stays for 30 days."""
    old = _find(call)
    new = {**old, "deleted": True, "updated_at": iso_seconds(call.store.clock())}
    call.transaction.put(TICKETS, str(old["id"]), new)
    return Response(status_code=204)


@api.get("/api/v2/agents/me")
def _me(call: Call) -> Response:
    return json_answer(_agent())


# Conversations


@api.post(_TICKETS + "/{ticket}/notes")
def _note(call: Call) -> Response:
    """Add a note to a ticket; it is private unless it says otherwise."""
    fields = _fields_in(call)
    record = _find(call)
    problems = _type_problems(fields, _NOTE)
    if not fields.get("body"):
        problems.insert(0, _problem("body", "It should be a/an String", "missing_field"))
    if problems:
        _refuse(problems)
    now = iso_seconds(call.store.clock())
    note = {
        "body": fields["body"],
        "body_text": _plain_text(fields["body"]),
        "id": call.transaction.next_id(CONVERSATIONS),
        "incoming": fields.get("incoming", False),
        "private": fields.get("private", True),
        "user_id": fields.get("user_id") or AGENT_ID,
        "support_email": None,
        "source": 2,
        "ticket_id": record["id"],
        "created_at": now,
        "updated_at": now,
        "attachments": [],
    }
    entries = [*_conversations_of(call.transaction, record), note]
    call.transaction.put(CONVERSATIONS, str(record["id"]), {"entries": entries})
    _receive(call, "note", record, {"description": fields["body"]})
    return json_answer(note, 201)


@api.get(_TICKETS + "/{ticket}/conversations")
def _conversations(call: Call) -> Response:
    place = _place(call)
    ticket = _find(call)
    entries = _conversations_of(call.transaction, ticket)
    return _page(call, f"{_TICKETS}/{ticket['id']}/conversations", entries, place)


def _conversations_of(transaction: Transaction, ticket: Document) -> list[Document]:
    record = transaction.get(CONVERSATIONS, str(ticket["id"])) or {"entries": []}
    entries: list[Document] = record["entries"]
    return entries


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
    folder = _choice(query, "filter", FILTERS)
    tickets = [one for one in store.values(TICKETS) if _folder_of(one) == folder]
    if "updated_since" in query:
        moment, since = "updated_at", _moment(query["updated_since"])
    else:
        moment, since = "created_at", iso_seconds(store.clock() - LIST_WINDOW)
    tickets = [one for one in tickets if one[moment] >= since]
    if "email" not in query:
        return tickets
    contact = _contact(store, query["email"])
    return [one for one in tickets if one["requester_id"] == contact["id"]]


def _folder_of(ticket: Document) -> str:
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
    return iso_seconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _without_description(ticket: Document) -> Document:
    left_out = ("description", "description_text", "attachments")
    return {name: value for name, value in ticket.items() if name not in left_out}


def _requester(transaction: Transaction, given: Document) -> Document:
    """Return the contact who asks, made on the way where there is none."""
    field = next(name for name in REQUESTER_FIELDS if given.get(name) is not None)
    key = f"{field}:{given[field]}"
    key = key.lower() if field == "email" else key
    record = transaction.get(CONTACTS, key)
    if record:
        return record
    number = transaction.next_id(CONTACTS) + AGENT_ID
    contact = {"id": number, "name": given.get("name") or given[field], field: given[field]}
    transaction.put(CONTACTS, key, contact)
    transaction.put(CONTACTS, f"requester_id:{number}", contact)
    return contact


def _receive(call: Call, kind: str, ticket: Document, given: Document) -> None:
    requester = call.transaction.get(CONTACTS, f"requester_id:{ticket['requester_id']}") or {}
    names = (requester.get(name) for name in ("email", "phone", "unique_external_id", "name"))
    description = given.get("description") or ""
    call.receive(
        kind,
        to=str(next((name for name in names if name), AGENT_EMAIL)),
        subject=ticket["subject"],
        text=_plain_text(description),
        html=description,
        fields={"ticket": ticket, "requester": requester},
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
        **SINCE,
    }
    return {
        "id": AGENT_ID,
        "available": True,
        **SINCE,
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
    return [
        problem
        for name, value in given.items()
        for problem in _type_problems({name: value}, _TYPES) or _value_problems(name, value)
    ]


def _type_problems(given: Document, types: Types, place: str = "") -> list[Problem]:
    """Return which fields are not known, and which have a value of another type."""
    problems = []
    for name, value in given.items():
        if name not in types:
            text = "Unexpected/invalid field in request"
            problems.append(_problem(place + name, text, "invalid_field"))
        elif value is not None and not _is_a(value, types[name][0]):
            problems.append(_wrong_type(place + name, value, types[name][1]))
    return problems


def _is_a(value: object, expected: type | tuple[type, ...]) -> bool:
    return isinstance(value, expected) and isinstance(value, bool) == (expected is bool)


def _wrong_type(name: str, value: object, expected: str) -> Problem:
    kinds = {str: "String", int: "Integer", bool: "Boolean", list: "Array", dict: "key/value pair"}
    kind = kinds.get(type(value), type(value).__name__)
    text = f"Value set is of type {kind}.It should be a/an {expected}"
    return _problem(name, text, "datatype_mismatch")


def _value_problems(name: str, value: Any) -> list[Problem]:
    if value is None:
        return []
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
        return _type_problems(value, CUSTOM_FIELDS, "custom_fields.")
    return []


def _list_problems(name: str, values: list[Any]) -> list[Problem]:
    if not all(isinstance(value, str) for value in values):
        return [_problem(name, "It should contain elements of type String only", "invalid_value")]
    if name == "tags" and any(len(value) > TAG_LENGTH for value in values):
        text = f"It should only contain elements that have maximum of {TAG_LENGTH} characters"
        return [_problem(name, text, "invalid_value")]
    return []


def _plain_text(description: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", description)).strip()
