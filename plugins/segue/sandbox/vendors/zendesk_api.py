"""A look-alike of the ticket part of Zendesk's Support API v2.

Follows these public pages:
    https://developer.zendesk.com/api-reference/ticketing/introduction/#idempotency
    https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/
    https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/
    (metadata: up to a kilobyte, kept as ``metadata.custom`` of the audit; safe_update with
    updated_stamp: 409 UpdateConflict)
    https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_audits/
    https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_comments/
    https://developer.zendesk.com/api-reference/ticketing/tickets/ticket_fields/ (types)
    https://developer.zendesk.com/api-reference/introduction/pagination/ (by cursor: page[size],
    page[after], meta.has_more)
    https://developer.zendesk.com/api-reference/ticketing/users/users/ (show self)
    https://developer.zendesk.com/api-reference/introduction/security-and-auth/ (API tokens, until
    April 2027; access tokens: access_tokens.py)
    https://developer.zendesk.com/api-reference/introduction/requests/ (JSON, errors, 422 details)
    https://developer.zendesk.com/api-reference/introduction/rate-limits/ (429, Retry-After)

Idempotency keys live for two hours and belong to the account. Only a created ticket is remembered
under a key: a request that was refused may be corrected and sent again under the same one.

Left out: rate limits of its own (ask for a fault), search, attachments, asynchronous and bulk
creation, triggers. Agents, groups, brands and forms are taken as they are named: there is no
account to look them up in. The custom fields are those of ``CUSTOM_FIELDS``; the pages do not say
what becomes of an id that is none of them, and it is ignored here, as unknown attributes are. A
deleted ticket is shown by nothing. Comments and audits are listed by cursor only. The texts of
validation errors are close to Zendesk's, their structure is the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn
from urllib.parse import urlencode

from starlette.responses import Response

from segue.sandbox import access_tokens
from segue.sandbox.store import Document, Store, Transaction, iso_seconds
from segue.sandbox.vendor_api import KEY_LENGTH, Call, IdempotencyKeys, Refused, VendorApi
from segue.sandbox.wire import (
    EMAIL,
    TOKENS_PATHS,
    ReceivedRequest,
    basic_credentials,
    bearer_token,
    json_answer,
    json_object,
)

SERVICE = "zendesk"
EMAIL_ADDRESS = (
    "agent@example.com"  # basic: EMAIL_ADDRESS/token and API_TOKEN; bearer: access_tokens.py
)
API_TOKEN = "sandbox"

_CHOICES = {
    "priority": ("urgent", "high", "normal", "low"),
    "status": ("new", "open", "pending", "hold", "solved", "closed"),
    "type": ("problem", "incident", "question", "task"),
}
CHANGEABLE = (
    *("assignee_id", "custom_fields", "due_at", "external_id", "group_id", "priority"),
    *("problem_id", "status", "subject", "tags", "type"),
)
CUSTOM_FIELDS = {  # by id, with the type
    360001: "text",
    360002: "integer",
    360003: "date",
    360004: "checkbox",
    360005: "multiselect",
}
PAGE_SIZE = 100
METADATA_SIZE = 1024  # bytes of JSON
MOST_SHOWN = 100  # tickets, of show_many

TICKETS, USERS = "zendesk.tickets", "zendesk.users"
AUDITS = "zendesk.audits_of_tickets"  # by the ticket's number, a document with all of them
AGENT_ID = 1

Problems = dict[str, list[Document]]  # by attribute, as in the ``details`` of an answer


# Requests


def _error(status: int, error: str, description: str) -> Response:
    return json_answer({"error": error, "description": description}, status)


def _is_authentic(call: Call) -> bool:
    if call.path.partition("?")[0].endswith(TOKENS_PATHS):  # where a client says who it is
        return True
    token = bearer_token(call.headers)
    if token is None:
        return basic_credentials(call.headers) == (f"{EMAIL_ADDRESS}/token", API_TOKEN)
    scopes = access_tokens.scopes_of(call, token)
    if scopes is None:
        text = "The access token provided is expired, revoked, malformed or invalid."
        raise Refused(json_answer({"error": "invalid_token", "error_description": text}, 401))
    needed = "read" if call.method == "GET" else "write"
    if not any(scope.rpartition(":")[2] == needed for scope in scopes):
        raise Refused(_error(403, "Forbidden", f"You are missing the required scope {needed}"))
    return True


def _unauthorized() -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="Web Password"'}
    return json_answer({"error": "Couldn't authenticate you"}, 401, headers)


def _limited(headers: dict[str, str]) -> Response:
    text = "Number of allowed API requests per minute exceeded"
    answer = {"error": "APIRateLimitExceeded", "description": text}
    return json_answer(answer, 429, headers | {"X-Rate-Limit-Remaining": "0"})


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=_error(404, "InvalidEndpoint", "Not found"),
    not_allowed=_error(404, "InvalidEndpoint", "Not found"),
    limited=_limited,
    unauthorized=_unauthorized,
    unwell=lambda: _error(503, "ServiceUnavailable", "Service temporarily unavailable"),
)
_KEYS = IdempotencyKeys(
    "zendesk.idempotency_keys",
    timedelta(hours=2),
    too_long=_error(
        400,
        "IdempotentRequestError",
        f"Idempotency key is longer than {KEY_LENGTH} characters",
    ),
    differs=_error(
        400,
        "IdempotentRequestError",
        "Request parameters don't match the given idempotency key",
    ),
)
_TICKETS, _TICKET = "/api/v2/tickets", "/api/v2/tickets/{ticket}"  # ``.json`` may be left out


def _refuse_attribute(message: str) -> NoReturn:
    raise Refused(json_answer({"error": {"title": "Invalid attribute", "message": message}}, 400))


def _ticket_in(request: ReceivedRequest) -> Document:
    body = json_object(request.body)
    if body is None:
        text = "Server could not parse JSON"
        raise Refused(json_answer({"error": "Unprocessable Entity", "message": text}, 422))
    ticket = body.get("ticket")
    if not isinstance(ticket, dict):
        _refuse_attribute("Parameter ticket is required")
    return ticket


def _find(call: Call) -> Document:
    number = call.path_values["ticket"].removesuffix(".json")
    if not number.isdecimal():
        _refuse_attribute(
            "You passed an invalid value for the id attribute. "
            "Invalid parameter: id must be an integer"
        )
    record = call.transaction.get(TICKETS, number)
    if record is None or record["status"] == "deleted":
        raise Refused(_error(404, "RecordNotFound", "Not found"))
    return record


api.post(TOKENS_PATHS[0])(access_tokens.give_token)

# Creating


@api.post(_TICKETS, _TICKETS + ".json")
def _create(call: Call) -> Response:
    """Create a ticket once per idempotency key."""
    if "idempotency-key" not in call.headers:
        return _created(_new_ticket(call))
    parameters = json.dumps(json_object(call.body), sort_keys=True)  # in any order and spacing
    answer, is_repeat = _KEYS.answer(call, parameters, lambda: _new_ticket(call))
    return _created(answer, lookup="hit" if is_repeat else "miss")


def _created(answer: Document, *, lookup: str | None = None) -> Response:
    headers = {"Location": answer["ticket"]["url"]}
    if lookup:
        headers["x-idempotency-lookup"] = lookup
    return json_answer(answer, 201, headers)


_AS_WRITTEN = (
    *("assignee_id", "brand_id", "due_at", "external_id", "group_id", "organization_id"),
    *("priority", "problem_id", "recipient", "ticket_form_id", "type"),
)
_LISTS = ("collaborator_ids", "custom_fields", "tags")


def _new_ticket(call: Call) -> Document:
    fields = _ticket_in(call)
    _refuse_if_any(_problems(call.transaction, fields, creating=True))
    requester = _requester(fields, call)
    number, now = call.transaction.next_id(TICKETS), iso_seconds(call.store.clock())
    body = _comment_text(fields)
    subject = fields.get("subject") or body.partition("\n")[0][:150]
    ticket = {
        **{name: fields.get(name) for name in _AS_WRITTEN},
        **{name: fields.get(name) or [] for name in _LISTS},
        "url": f"{call.base_url}{_TICKETS}/{number}.json",
        "id": number,
        "via": {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}},
        "created_at": now,
        "updated_at": now,
        "subject": subject,
        "raw_subject": subject,
        "description": body,
        "status": fields.get("status") or ("open" if fields.get("assignee_id") else "new"),
        "requester_id": requester["id"],
        "submitter_id": fields.get("submitter_id") or requester["id"],
        "follower_ids": [],
        "email_cc_ids": [],
        "has_incidents": False,
        "is_public": (fields.get("comment") or {}).get("public", True),
        "fields": fields.get("custom_fields") or [],
        "satisfaction_rating": None,
        "allow_channelback": False,
    }
    call.transaction.put(TICKETS, str(number), ticket)
    _receive(call, "ticket", ticket, requester, fields)
    return {"ticket": ticket, "audit": _audit(call.transaction, ticket, fields, creating=True)}


def _requester(given: Document, call: Call) -> Document:
    """Return who asks: a known user, a new one, or the agent whose credentials were used."""
    requester = given.get("requester")
    if isinstance(requester, dict):
        return _user(call.transaction, requester)
    user = _user_with_id(call.transaction, given.get("requester_id"))
    return user or _agent(call)


def _user(transaction: Transaction, wanted: Document) -> Document:
    email = wanted["email"].lower()
    record = transaction.get(USERS, email)
    if record:
        return record
    user = {
        "id": transaction.next_id(USERS) + AGENT_ID,
        "name": wanted["name"],
        "email": email,
        "role": "end-user",
    }
    transaction.put(USERS, email, user)
    transaction.put(USERS, str(user["id"]), user)
    return user


def _user_with_id(transaction: Transaction, number: object) -> Document | None:
    return transaction.get(USERS, str(number)) if number is not None else None


@api.get("/api/v2/users/me", "/api/v2/users/me.json")
def _me(call: Call) -> Response:
    return json_answer({"user": _agent(call)})


def _agent(call: Call) -> Document:
    return {
        "id": AGENT_ID,
        "url": f"{call.base_url}/api/v2/users/{AGENT_ID}.json",
        "name": "Sandbox agent",
        "email": EMAIL_ADDRESS,
        "role": "admin",
        "active": True,
        "verified": True,
        "time_zone": "UTC",
        "locale": "en-US",
        "ticket_restriction": None,
    }


# Updating and listing


@api.put(_TICKET)
def _update(call: Call) -> Response:
    old = _find(call)
    fields = _ticket_in(call)
    problems = _problems(call.transaction, fields, creating=False)
    if old["status"] == "closed":
        problems = {"status": [_problem("Status: closed prevents ticket update")]}
    _refuse_if_any(problems)
    if "safe_update" in fields and fields.get("updated_stamp") != old["updated_at"]:
        raise Refused(_error(409, "UpdateConflict", _OUTDATED))
    changes = {name: fields[name] for name in CHANGEABLE if name in fields}
    new = {**old, **changes, "updated_at": iso_seconds(call.store.clock())}
    call.transaction.put(TICKETS, str(new["id"]), new)
    requester = _user_with_id(call.transaction, new["requester_id"]) or {"email": EMAIL_ADDRESS}
    _receive(call, "ticket_update", new, requester, fields)
    audit = _audit(call.transaction, new, fields, creating=False)
    return json_answer({"ticket": new, "audit": audit})


@api.delete(_TICKET)
def _delete(call: Call) -> Response:
    record = _find(call)
    call.transaction.put(TICKETS, str(record["id"]), {**record, "status": "deleted"})
    return Response(status_code=204)


@api.get(_TICKETS, _TICKETS + ".json")
def _list(call: Call) -> Response:
    external_id = call.query.get("external_id")
    tickets = [
        ticket
        for ticket in _tickets(call.store)
        if external_id is None or ticket["external_id"] == external_id
    ]
    return _page(call, "tickets", tickets)


def _tickets(store: Store) -> list[Document]:
    return [ticket for ticket in store.values(TICKETS) if ticket["status"] != "deleted"]


@api.get(_TICKETS + "/show_many", _TICKETS + "/show_many.json")
def _show_many(call: Call) -> Response:
    """Show tickets by their ids; those that are not there are left out."""
    ids = call.names("ids")
    if len(ids) > MOST_SHOWN or not all(number.isdecimal() for number in ids):
        _refuse_attribute(f"ids must be up to {MOST_SHOWN} numbers")
    tickets = [ticket for ticket in _tickets(call.store) if str(ticket["id"]) in ids]
    answer = {"tickets": tickets, "next_page": None, "previous_page": None, "count": len(tickets)}
    return json_answer(answer)


@api.get(_TICKET)
def _show(call: Call) -> Response:
    return json_answer({"ticket": _find(call)})


@api.get(_TICKET + "/{what}")
def _history(call: Call) -> Response:
    """List a ticket's audits, or its comments, oldest first."""
    what = call.path_values["what"].removesuffix(".json")
    if what not in ("audits", "comments"):
        raise Refused(api.not_found)
    record = _find(call)
    audits = (call.transaction.get(AUDITS, str(record["id"])) or {"audits": []})["audits"]
    items = audits if what == "audits" else [one for audit in audits for one in _comments(audit)]
    return _page(call, what, items)


def _page(call: Call, what: str, items: list[Document]) -> Response:
    """Answer a page of a list: by cursor where its size is asked for so, else by number."""
    path = call.path.partition("?")[0].removeprefix(f"/{SERVICE}")

    def url(name: str, value: int) -> str:
        return f"{call.base_url}{path}?{urlencode({**call.query, name: value})}"

    if "page[size]" in call.query:
        begin = _positive(call.query.get("page[after]"), 0)
        end = begin + min(_positive(call.query["page[size]"], PAGE_SIZE), PAGE_SIZE)
        has_more = end < len(items)
        cursors = {"after_cursor": str(end) if has_more else None, "before_cursor": None}
        links = {"prev": None, "next": url("page[after]", end) if has_more else None}
        meta = {"has_more": has_more, **cursors}
        return json_answer({what: items[begin:end], "meta": meta, "links": links})
    page = _positive(call.query.get("page"), 1)
    size = min(_positive(call.query.get("per_page"), PAGE_SIZE), PAGE_SIZE)
    links = {
        "next_page": url("page", page + 1) if page * size < len(items) else None,
        "previous_page": url("page", page - 1) if page > 1 else None,
    }
    return json_answer({what: items[(page - 1) * size : page * size], **links, "count": len(items)})


def _comments(audit: Document) -> list[Document]:
    return [
        {**event, "audit_id": audit["id"], "created_at": audit["created_at"]}
        for event in audit["events"]
        if event["type"] == "Comment"
    ]


def _positive(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() and int(text) > 0 else default


def _receive(call: Call, kind: str, ticket: Document, requester: Document, given: Document) -> None:
    comment = given.get("comment") or {}
    call.receive(
        kind,
        to=requester.get("email") or EMAIL_ADDRESS,
        subject=ticket["subject"],
        text=_comment_text(given),
        html=comment.get("html_body") or "",
        fields={
            "ticket": ticket,
            "requester": requester,
            "comment": comment,
            "idempotency_key": call.headers.get("idempotency-key"),
        },
    )


def _audit(
    transaction: Transaction, ticket: Document, given: Document, *, creating: bool
) -> Document:
    """Keep the record of what a request did to a ticket, and return it."""
    event_type = "Create" if creating else "Change"
    events = [
        {"id": transaction.next_id("zendesk.events"), "type": event_type, "field_name": name}
        | {"value": given[name]}
        for name in ("subject", "priority", "status", "type", "tags", "external_id")
        if name in given
    ]
    if given.get("comment"):
        comment = {"type": "Comment", "body": _comment_text(given), "author_id": AGENT_ID}
        comment["html_body"] = given["comment"].get("html_body") or comment["body"]
        public = given["comment"].get("public", True)
        number = transaction.next_id("zendesk.events")
        events.insert(0, {"id": number, **comment, "public": public})
    audit = {
        "id": transaction.next_id("zendesk.audits"),
        "ticket_id": ticket["id"],
        "created_at": ticket["updated_at"],
        "author_id": AGENT_ID,
        "metadata": {"system": {}, "custom": given.get("metadata") or {}},
        "via": ticket["via"],
        "events": events,
    }
    of_ticket = str(ticket["id"])
    earlier = (transaction.get(AUDITS, of_ticket) or {"audits": []})["audits"]
    transaction.put(AUDITS, of_ticket, {"audits": [*earlier, audit]})
    return audit


# Validation


def _refuse_if_any(problems: Problems) -> None:
    if problems:
        answer = {
            "error": "RecordInvalid",
            "description": "Record validation errors",
            "details": problems,
        }
        raise Refused(json_answer(answer, 422))


def _problem(description: str, error: str = "InvalidValue") -> Document:
    return {"description": description, "error": error}


def _problems(transaction: Transaction, given: Document, *, creating: bool) -> Problems:
    """Return everything wrong with a ticket, by attribute."""
    problems = _value_problems(given)
    wrong = _wrong_fields(given) if "custom_fields" not in problems else []
    if wrong:
        problems["base"] = wrong
    if "comment" not in problems and creating and not _comment_text(given).strip():
        problems["base"] = [_problem("Description: cannot be blank", "BlankValue")]
    requester = _requester_problems(transaction, given)
    return {**problems, "requester": requester} if requester else problems


def _value_problems(given: Document) -> Problems:
    """Return the attributes whose value is none of their kind."""
    present = {name: value for name, value in given.items() if value is not None}
    problems: Problems = {}
    for name, choices in _CHOICES.items():
        if name in present and present[name] not in choices:
            problems[name] = [_problem(f"{name.title()}: {given[name]} is not a valid value")]
    for name, (is_valid, shape) in _SHAPES.items():
        if name in present and not is_valid(present[name]):
            problems[name] = [_problem(f"{name}: must be {shape}")]
    return problems


def _wrong_fields(given: Document) -> list[Document]:
    """Return what is wrong with the values of custom fields that the account has."""
    return [
        _problem(f"Field {field['id']}: is invalid")
        for field in given.get("custom_fields") or ()
        if field.get("value") is not None
        and not _is_value(CUSTOM_FIELDS.get(field["id"]), field["value"])
    ]


def _is_value(kind: str | None, value: Any) -> bool:
    if kind == "checkbox":
        return isinstance(value, bool)
    if kind == "multiselect":
        return _is_texts(value)
    if kind == "integer":
        return re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None
    if kind == "date":
        return re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)) is not None
    return True


def _requester_problems(transaction: Transaction, given: Document) -> list[Document]:
    requester = given.get("requester")
    if isinstance(requester, dict):
        return _user_problems(transaction, requester)
    if requester is not None:
        return [_problem("Requester: is invalid")]
    number = given.get("requester_id")
    exists = number in (None, AGENT_ID) or _user_with_id(transaction, number)
    return [] if exists else [_problem(f"Requester: {number} does not exist")]


def _user_problems(transaction: Transaction, requester: Document) -> list[Document]:
    email, name = requester.get("email"), requester.get("name")
    if not isinstance(email, str) or not EMAIL.fullmatch(email):
        return [_problem(f"Requester: Email: {email or ''} is not properly formatted")]
    is_named = isinstance(name, str) and name != ""
    if not is_named and transaction.get(USERS, email.lower()) is None:
        return [_problem("Requester: Name: is too short (minimum one character)", "ValueTooShort")]
    return []


def _comment_text(given: Document) -> str:
    comment = given.get("comment")
    if isinstance(comment, dict):
        return str(comment.get("body") or comment.get("html_body") or "")
    description = given.get("description")
    return description if isinstance(description, str) else ""


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_custom_fields(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, dict) and isinstance(item.get("id"), int) for item in value
    )


def _is_metadata(value: Any) -> bool:
    return isinstance(value, dict) and len(json.dumps(value)) <= METADATA_SIZE


_OUTDATED = (
    "Safe Update prevented the update due to outdated ticket data. "
    "Please fetch the latest ticket data and try again."
)
_SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "comment": (lambda value: isinstance(value, dict), "an object with body or html_body"),
    "subject": (lambda value: isinstance(value, str), "a text"),
    "external_id": (lambda value: isinstance(value, str) and len(value) <= 255, "a short text"),
    "tags": (_is_texts, "a list of texts"),
    "custom_fields": (_is_custom_fields, "a list of objects with id and value"),
    "metadata": (_is_metadata, "an object of up to a kilobyte"),
    "ticket_form_id": (lambda value: isinstance(value, int), "a number"),
}
