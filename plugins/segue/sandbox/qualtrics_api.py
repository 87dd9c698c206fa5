"""A look-alike of the contacts of Qualtrics' API v3: XM Directory.

Follows these public pages:
    https://api.qualtrics.com/2b4ffbd8af74e-api-authentication (X-API-TOKEN, or a bearer of OAuth)
    https://developers.qodex.ai/qualtrics-public/contacts (a mirror of Qualtrics' own collection:
    creating, listing and updating contacts; ``result``, ``meta``, ``elements`` and ``nextPage``)
    https://api.qualtrics.com/dd105bd826317-get-directory-contact (one contact; its fields and their
    kinds as https://github.com/Qualtrics/qualtrics_api has them)
    https://api.qualtrics.com/a5e9a1a304902-limits (429)

A call without a token is 400 ``ATP_2``, one with a wrong one 401 ``DCD_7``, a POST without a body
411, and an unknown path a 404 without a code, as seen live. All other codes are not published:
those here are made up.

There are the directories DIRECTORY and OTHER_DIRECTORY. Left out: deleting, mailing lists (every
membership is empty), transactions, de-duplication, the limits themselves (ask for a fault).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NoReturn
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from starlette.responses import Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Document, Store, Transaction
from segue.sandbox.wire import (
    ReceivedRequest,
    Refused,
    answer_refusals,
    bearer_token,
    json_answer,
    json_object,
    mount_url,
    read_request,
    vendor_app,
)

SERVICE = "qualtrics"
API_TOKEN = "sandbox"  # or a bearer of OAuth
DIRECTORY = "POOL_012345678901234"
OTHER_DIRECTORY = "POOL_567890123456789"

USUAL_PAGE, LARGEST_PAGE = 100, 500
CONTACTS = "qualtrics.contacts"

_TEXTS = ("firstName", "lastName", "email", "phone", "extRef", "language")
_LISTED = ("contactId", *_TEXTS, "unsubscribed", "embeddedData")
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


def create_app(store: Store) -> FastAPI:
    """Serve ``/API/v3/directories/POOL_…/contacts`` and ``…/contacts/CID_…``."""
    app = vendor_app()
    missing = _error(404, None, "The requested resource does not exist.")
    answer_refusals(app, not_found=missing, not_allowed=_error(405, None, "Method not allowed."))
    contacts = "/API/v3/directories/{directory}/contacts"

    @app.post(contacts)
    async def create(directory: str, request: Request) -> Response:
        return _create(store, await _allowed(request, directory), directory)

    @app.get(contacts)
    async def index(directory: str, request: Request) -> Response:
        received = await _allowed(request, directory)
        return _list(store, received, directory, f"{mount_url(request)}{contacts}")

    @app.get(contacts + "/{contact}")
    async def show(directory: str, contact: str, request: Request) -> Response:
        await _allowed(request, directory)
        with store.transaction() as transaction:
            return _answer(_shown(_found(transaction, directory, contact)))

    @app.put(contacts + "/{contact}")
    async def update(directory: str, contact: str, request: Request) -> Response:
        received = await _allowed(request, directory)
        with store.transaction() as transaction:
            before = _found(transaction, directory, contact)
            after = {**before, **_given(received, before), "modified": _now(store)}
            transaction.put(CONTACTS, contact, _with_opt_out(before, after))
        return _answer(None)

    return app


def refusal(fault: Fault, path: str) -> Response:
    """Refuse a request the way Qualtrics does."""
    if fault.fault is FaultKind.RATE_LIMITED:
        headers = {"Retry-After": str(fault.retry_after)}
        return _error(429, "RTL_2", "Too many requests.", headers)
    if fault.fault is FaultKind.UNAUTHORIZED:
        return _error(401, "DCD_7", "Unrecognized X-API-TOKEN.")
    return _error(503, "ISE_1", "The service is temporarily unavailable.")


def _answer(result: Document | None) -> Response:
    """Answer 200 in Qualtrics' envelope; without a result where there is none."""
    own = {} if result is None else {"result": result}
    return json_answer({**own, "meta": _meta(200)})


def _error(
    status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    error = {"errorMessage": message} | ({} if code is None else {"errorCode": code})
    return json_answer({"meta": {**_meta(status), "error": error}}, status, headers)


def _meta(status: int) -> Document:
    return {
        "httpStatus": f"{status} - {_PHRASES[status]}",
        "requestId": "5e90e000-0000-4000-8000-000000000000",
    }


def _refuse(status: int, code: str | None, message: str) -> NoReturn:
    raise Refused(_error(status, code, message))


async def _allowed(request: Request, directory: str) -> ReceivedRequest:
    """Read a request with the sandbox's token, to one of its directories; refuse any other."""
    received = await read_request(request)
    token = received.headers.get("x-api-token") or bearer_token(received.headers)
    if not token:
        _refuse(400, "ATP_2", "Missing X-API-TOKEN header.")
    if token != API_TOKEN:
        _refuse(401, "DCD_7", "Unrecognized X-API-TOKEN.")
    if received.method == "POST" and not received.body:
        _refuse(411, None, "Length required.")
    if directory not in (DIRECTORY, OTHER_DIRECTORY):
        _refuse(404, "DIRECTORY_NOT_FOUND", "The directory was not found.")
    return received


def _create(store: Store, request: ReceivedRequest, directory: str) -> Response:
    blank: Document = {**dict.fromkeys(_TEXTS, ""), "embeddedData": {}, "unsubscribed": False}
    given = _given(request, blank)
    with store.transaction() as transaction:
        contact = f"CID_{transaction.next_id(CONTACTS):015d}"
        now = _now(store)
        own = {"contactId": contact, "directory": directory, "created": now, "modified": now}
        before = {**blank, **own, "unsubscribedAt": None}
        transaction.put(CONTACTS, contact, _with_opt_out(before, {**before, **given}))
    return _answer({"id": contact})


def _given(request: ReceivedRequest, before: Document) -> Document:
    """Return the fields of a body; embedded data is added to what a contact has."""
    given = json_object(request.body)
    if given is None:
        _refuse(400, "QVAL_1", "The body is not a JSON object.")
    for name, value in given.items():
        if name not in (*_TEXTS, "unsubscribed", "embeddedData"):
            _refuse(400, "QVAL_1", f"Unexpected json key provided: {name}")
        kind = {"unsubscribed": bool, "embeddedData": dict}.get(name, str)
        if not isinstance(value, kind) and not (kind is str and value is None):
            _refuse(400, "QVAL_1", f"Invalid value for {name}: {value}")
    if "embeddedData" in given:
        given["embeddedData"] = {**before["embeddedData"], **given["embeddedData"]}
    return given


def _with_opt_out(before: Document, after: Document) -> Document:
    """Note when a contact opted out, which is when it was last written."""
    if not after["unsubscribed"]:
        return {**after, "unsubscribedAt": None}
    since = before["unsubscribedAt"] if before["unsubscribed"] else after["modified"]
    return {**after, "unsubscribedAt": since}


def _found(transaction: Transaction, directory: str, contact: str) -> Document:
    found = transaction.get(CONTACTS, contact)
    if found is None or found["directory"] != directory:
        _refuse(404, "GET_CONTACT_NOT_FOUND", f"The contact {contact} was not found.")
    return found


def _list(store: Store, request: ReceivedRequest, directory: str, address: str) -> Response:
    query = request.query
    size, skip = _number(query, "pageSize", USUAL_PAGE), _number(query, "skipToken", 0)
    if not 1 <= size <= LARGEST_PAGE:
        _refuse(400, "QVAL_1", f"pageSize must be from 1 to {LARGEST_PAGE}.")
    found = [each for each in store.values(CONTACTS) if each["directory"] == directory]
    elements = [{name: each[name] for name in _LISTED} for each in found[skip : skip + size]]
    following = None
    if skip + size < len(found):
        more = urlencode({"pageSize": size, "skipToken": skip + size})
        following = f"{address.format(directory=directory)}?{more}"
    return _answer({"elements": elements, "nextPage": following})


def _number(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name, str(usual))
    if not text.isdecimal():
        _refuse(400, "QVAL_1", f"{name} is not a number.")
    return int(text)


def _shown(contact: Document) -> Document:
    """Return one contact as GET shows it; times are milliseconds since 1970."""
    return {
        "contactId": contact["contactId"],
        "creationDate": contact["created"],
        "lastModified": contact["modified"],
        **{name: contact[name] for name in _TEXTS},
        "emailDomain": (contact["email"] or "").rpartition("@")[2],
        "writeBlanks": False,
        "embeddedData": contact["embeddedData"],
        "transactionData": [],
        "stats": {},
        "skipped": False,
        "directoryUnsubscribed": contact["unsubscribed"],
        "directoryUnsubscribeDate": contact["unsubscribedAt"],
        "mailingListMembership": {},
    }


def _now(store: Store) -> int:
    now: datetime = store.clock()
    return int(now.timestamp() * 1000)
