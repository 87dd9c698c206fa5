"""An API of nobody in particular: it takes any request, keeps it, and can be asked for it.

Every path is a collection: ``POST /contacts/c-1/notes`` creates a thing in it, ``GET`` lists its
things. A query filters by what the body gave at its top level, or by ``idempotency_key``. PUT,
PATCH and DELETE are taken at any path.

Authentication is ``Authorization: Bearer`` or basic, with the same secret. A body that says it is
JSON must be JSON. By convention there is nothing at a path with a segment that begins with
``missing-``: 404, as for a contact that the API does not know.

Idempotency is Stripe's, of which these pages speak:
    https://docs.stripe.com/api/idempotent_requests (the first answer is given again for 24 hours
    and more; keys of up to 255 characters; other parameters under the same key are an error)
    https://docs.stripe.com/api/errors (of the type ``idempotency_error``)
    https://docs.stripe.com/error-low-level (400 for a request whose content is wrong)

Left out: keeping the answer of a request that failed, which Stripe does once it has begun to work;
limits of its own (ask for a fault), pages of lists, and conflicts of requests that run
at once: they are served one after the other.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Document, Store, Transaction, iso
from segue.sandbox.wire import (
    ReceivedRequest,
    Refused,
    answer_refusals,
    basic_credentials,
    bearer_token,
    json_answer,
    json_object,
    mount_url,
    read_request,
    vendor_app,
)

SERVICE = "http"
TOKEN = "sandbox"

KEY_LIFETIME = timedelta(hours=24)
KEY_LENGTH = 255
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
VERBS = {"POST": "created", "PUT": "updated", "PATCH": "updated", "DELETE": "deleted"}

THINGS, KEYS = "http.things", "http.idempotency_keys"


def create_app(store: Store) -> FastAPI:
    """Serve every path."""
    app = vendor_app()
    not_found = _error(404, "not_found")
    answer_refusals(app, not_found=not_found, not_allowed=_error(405, "method_not_allowed"))

    @app.api_route("/{path:path}", methods=METHODS)
    async def take(path: str, request: Request) -> Response:
        call = await read_request(request)
        _require_credentials(call)
        if any(segment.startswith("missing-") for segment in path.split("/")):
            raise Refused(not_found)
        if request.method == "GET":
            return _list(store, call, path)
        return _take(store, call, path, mount_url(request))

    return app


def refusal(fault: Fault, path: str) -> Response:
    """Refuse a request."""
    if fault.fault is FaultKind.RATE_LIMITED:
        return _error(429, "rate_limited", {"Retry-After": str(fault.retry_after)})
    if fault.fault is FaultKind.UNAUTHORIZED:
        return _error(401, "unauthorized")
    return _error(503, "unavailable")


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return json_answer({"error": {"code": code}}, status, headers)


def _require_credentials(request: ReceivedRequest) -> None:
    basic = basic_credentials(request.headers)
    if bearer_token(request.headers) != TOKEN and (basic is None or basic[1] != TOKEN):
        raise Refused(_error(401, "unauthorized"))


def _list(store: Store, request: ReceivedRequest, path: str) -> Response:
    things = [
        thing
        for thing in store.values(THINGS)
        if thing["collection"] == path
        and all(thing["fields"].get(name) == value for name, value in request.query.items())
    ]
    return json_answer({"items": [_shown(thing) for thing in things]})


def _take(store: Store, request: ReceivedRequest, path: str, base_url: str) -> Response:
    """Do what a request asks for; a POST once per idempotency key."""
    fields = _fields_of(request)
    key = request.headers.get("idempotency-key") if request.method == "POST" else None
    with store.transaction() as transaction:
        earlier = _earlier_answer(transaction, store.clock(), request, key)
        if earlier is not None:
            return json_answer(earlier, 201, {"Idempotent-Replayed": "true"})
        answer = _effect(transaction, request, path, fields, base_url)
        if key is not None:
            record = {"at": iso(store.clock()), "request": _fingerprint(request), "answer": answer}
            transaction.put(KEYS, key, record)
    return json_answer(answer, 201 if request.method == "POST" else 200)


def _effect(
    transaction: Transaction, request: ReceivedRequest, path: str, fields: Document, base_url: str
) -> Document:
    key = request.headers.get("idempotency-key")
    number = transaction.next_id(THINGS)
    thing = {
        "id": number,
        "status": VERBS[request.method],
        "url": f"{base_url}/{path}/{number}",
        "collection": path,
        "fields": {**fields, "idempotency_key": key},
    }
    if request.method == "POST":
        transaction.put(THINGS, str(number), thing)
    transaction.receive(
        SERVICE,
        "request",
        to=f"{request.method} /{path}",
        text=request.body,
        fields={"id": number, "fields": fields, "idempotency_key": key, "query": request.query},
        raw=request.raw(),
    )
    return _shown(thing)


def _shown(thing: Document) -> Document:
    facts = {name: thing[name] for name in ("id", "status")}
    return {**facts, "links": {"self": thing["url"]}}


def _fields_of(request: ReceivedRequest) -> dict[str, Any]:
    """Return the body's fields; a body that is neither JSON nor a form has none."""
    if request.content_type == "application/json":
        fields = json_object(request.body)
        if fields is None:
            raise Refused(_error(400, "invalid_json"))
        return fields
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(request.form())
    return {}


def _earlier_answer(
    transaction: Transaction, now: datetime, request: ReceivedRequest, key: str | None
) -> Document | None:
    """Return the answer that was given under a key, if that is not too long ago."""
    if key is None:
        return None
    if len(key) > KEY_LENGTH:
        raise Refused(_error(400, "idempotency_key_too_long"))
    record = transaction.get(KEYS, key)
    if record is None or now - datetime.fromisoformat(record["at"]) > KEY_LIFETIME:
        return None
    if record["request"] != _fingerprint(request):
        raise Refused(json_answer({"error": {"type": "idempotency_error"}}, 400))
    answer: Document = record["answer"]
    return answer


def _fingerprint(request: ReceivedRequest) -> str:
    """Return what makes two requests the same: method, path with query, and body."""
    same = f"{request.method} {request.path}\n{request.body}"
    return hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()
