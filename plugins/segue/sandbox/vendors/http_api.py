"""An API of nobody in particular: it takes any request, keeps it, and can be asked for it.

Every path is a collection: ``POST /contacts/c-1/notes`` creates a thing in it, ``GET`` lists its
things, each with what its body gave at its top level. A query filters by that, or by
``idempotency_key``. PUT, PATCH and DELETE are taken at any path.

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

from datetime import timedelta
from typing import Any

from starlette.responses import Response

from segue.sandbox.store import Document
from segue.sandbox.vendor_api import Call, IdempotencyKeys, Refused, VendorApi
from segue.sandbox.wire import (
    ReceivedRequest,
    basic_credentials,
    bearer_token,
    json_answer,
    json_object,
)

SERVICE = "http"
TOKEN = "sandbox"

VERBS = {"POST": "created", "PUT": "updated", "PATCH": "updated", "DELETE": "deleted"}

THINGS = "http.things"


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return json_answer({"error": {"code": code}}, status, headers)


def _is_authentic(call: Call) -> bool:
    basic = basic_credentials(call.headers)
    return bearer_token(call.headers) == TOKEN or (basic is not None and basic[1] == TOKEN)


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=_error(404, "not_found"),
    not_allowed=_error(405, "method_not_allowed"),
    limited=lambda headers: _error(429, "rate_limited", headers),
    unauthorized=lambda: _error(401, "unauthorized"),
    unwell=lambda: _error(503, "unavailable"),
)


_KEYS = IdempotencyKeys(
    "http.idempotency_keys",
    timedelta(hours=24),
    too_long=_error(400, "idempotency_key_too_long"),
    differs=json_answer({"error": {"type": "idempotency_error"}}, 400),
)


@api.route("GET POST PUT PATCH DELETE", "/{path:path}")
def _serve(call: Call) -> Response:
    """Take a request at any path, or list what was taken there."""
    path = call.path_values["path"]
    if any(segment.startswith("missing-") for segment in path.split("/")):
        raise Refused(api.not_found)
    return _list(call, path) if call.method == "GET" else _take(call, path)


def _list(call: Call, path: str) -> Response:
    things = [
        thing
        for thing in call.store.values(THINGS)
        if thing["collection"] == path
        and all(thing["fields"].get(name) == value for name, value in call.query.items())
    ]
    return json_answer({"items": [{**thing["fields"], **_shown(thing)} for thing in things]})


def _take(call: Call, path: str) -> Response:
    """Do what a request asks for; a POST once per idempotency key."""
    fields = _fields_of(call)
    if call.method != "POST" or "idempotency-key" not in call.headers:
        return json_answer(_effect(call, path, fields), 201 if call.method == "POST" else 200)
    same = f"{call.method} {call.path}\n{call.body}"
    answer, is_repeat = _KEYS.answer(call, same, lambda: _effect(call, path, fields))
    return json_answer(answer, 201, {"Idempotent-Replayed": "true"} if is_repeat else None)


def _effect(call: Call, path: str, fields: Document) -> Document:
    key = call.headers.get("idempotency-key")
    number = call.transaction.next_id(THINGS)
    thing = {
        "id": number,
        "status": VERBS[call.method],
        "url": f"{call.base_url}/{path}/{number}",
        "collection": path,
        "fields": {**fields, "idempotency_key": key},
    }
    if call.method == "POST":
        call.transaction.put(THINGS, str(number), thing)
    call.receive(
        "request",
        to=f"{call.method} /{path}",
        text=call.body,
        fields={"id": number, "fields": fields, "idempotency_key": key, "query": call.query},
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
