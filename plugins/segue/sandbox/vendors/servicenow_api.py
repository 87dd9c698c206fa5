"""A look-alike of ServiceNow's Table API.

Follows:
    https://www.servicenow.com/docs/r/api-reference/rest-apis/c_TableAPI.html (POST and GET of
    /api/now/table/{tableName}: result, sysparm_query, sysparm_fields, sysparm_limit,
    sysparm_offset, X-Total-Count; 201 with Location)
    https://www.servicenow.com/docs/r/api-reference/rest-api-explorer/inbound-REST-API-rate-limiting.html
    (429, Retry-After, X-RateLimit-Limit, X-RateLimit-Reset, X-RateLimit-Rule)

There are the tables ``incident`` and ``sn_customerservice_case``, with the fields listed below, and
``u_survey``, which has no correlation_id. As in ServiceNow, fields that a table has not got are
ignored, every value is a text, and an unknown field in a query is ignored too, so that everything
is found. A business rule of the sandbox refuses a short_description that begins with ``refuse-``,
as one of an instance would, and its user may not create cases: both 403.

Left out: display values, references to other tables (any sys_id is taken), choices, and limits
that bite (ask for a fault).
"""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from segue.sandbox.faults import Fault, FaultKind
from segue.sandbox.store import Document, Store, iso
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

SERVICE = "servicenow"
USER = "segue.integration"
PASSWORD = "sandbox"

_TASK = frozenset(
    {
        *("short_description", "description", "urgency", "impact", "priority", "state"),
        *("assignment_group", "assigned_to", "caller_id", "category", "contact_type", "comments"),
        *("work_notes", "correlation_id", "correlation_display"),
    }
)
TABLES = {
    "incident": ("INC", _TASK),
    "sn_customerservice_case": ("CS", _TASK | {"account", "contact"}),
    "u_survey": ("", frozenset({"short_description", "description"})),
}
READ_ONLY = ("sn_customerservice_case",)  # to the sandbox's user
LIMIT = 10_000

RECORDS = "servicenow.records"


def create_app(store: Store) -> FastAPI:
    """Serve ``/api/now/table``."""
    app = vendor_app()
    missing = _error(400, "Requested URI does not represent any resource", None)
    answer_refusals(app, not_found=missing, not_allowed=_error(405, "Method not supported", None))

    @app.post("/api/now/table/{table}")
    async def create(table: str, request: Request) -> Response:
        return _create(store, await _authenticated(request), table, mount_url(request))

    @app.get("/api/now/table/{table}")
    async def index(table: str, request: Request) -> Response:
        return _list(store, await _authenticated(request), table)

    return app


def refusal(fault: Fault, path: str) -> Response:
    """Refuse a request the way ServiceNow does."""
    if fault.fault is FaultKind.RATE_LIMITED:
        headers = {
            "Retry-After": str(fault.retry_after),
            "X-RateLimit-Limit": "500",
            "X-RateLimit-Rule": "b7c5a5a0db1a0010fa9b54904b961934",
        }
        return _error(429, "Rate limit exceeded", "Try again later", headers)
    if fault.fault is FaultKind.UNAUTHORIZED:
        return _unauthorized()
    return _error(503, "Service unavailable", None)


async def _authenticated(request: Request) -> ReceivedRequest:
    call = await read_request(request)
    basic = basic_credentials(call.headers)
    if basic != (USER, PASSWORD) and bearer_token(call.headers) != PASSWORD:
        raise Refused(_unauthorized())
    return call


def _unauthorized() -> Response:
    return _error(401, "User Not Authenticated", "Required to provide Auth information")


def _error(
    status: int, message: str, detail: str | None, headers: dict[str, str] | None = None
) -> Response:
    error = {"message": message, "detail": detail}
    return json_answer({"error": error, "status": "failure"}, status, headers)


def _fields_of(table: str) -> tuple[str, frozenset[str]]:
    if table not in TABLES:
        raise Refused(_error(400, f"Invalid table {table}", None))
    return TABLES[table]


def _create(store: Store, request: ReceivedRequest, table: str, base_url: str) -> Response:
    prefix, names = _fields_of(table)
    document = json_object(request.body)
    if document is None:
        raise Refused(
            _error(400, "Exception while reading request", "The payload is not valid JSON")
        )
    fields = {name: _text(value) for name, value in document.items() if name in names}
    if table in READ_ONLY:
        detail = "ACL Exception Insert Failed due to security constraints"
        raise Refused(_error(403, "Operation Failed", detail))
    if fields.get("short_description", "").startswith("refuse-"):
        detail = f"Operation against file '{table}' was aborted by Business Rule 'Sandbox'"
        raise Refused(_error(403, "Operation Failed", detail))
    with store.transaction() as transaction:
        number = transaction.next_id(f"{RECORDS}.{table}")
        sys_id = hashlib.md5(f"{table}/{number}".encode(), usedforsecurity=False).hexdigest()
        record: Document = {
            **dict.fromkeys(sorted(names), ""),
            **fields,
            "sys_id": sys_id,
            "sys_class_name": table,
            "sys_created_on": iso(store.clock()),
        }
        if prefix:
            record["number"] = f"{prefix}{number:07}"
        transaction.put(RECORDS, sys_id, record)
        transaction.receive(
            SERVICE,
            "record",
            to=table,
            subject=record["short_description"],
            text=record["description"],
            fields={"record": record},
            raw=request.raw(),
        )
    location = f"{base_url}/api/now/table/{table}/{sys_id}"
    return json_answer({"result": record}, 201, {"Location": location})


def _text(value: Any) -> str:
    """Return a value as a table keeps it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _list(store: Store, request: ReceivedRequest, table: str) -> Response:
    _, names = _fields_of(table)
    records = [one for one in store.values(RECORDS) if one["sys_class_name"] == table]
    for condition in request.query.get("sysparm_query", "").split("^"):
        name, is_condition, value = condition.partition("=")
        if is_condition and name in names:
            records = [one for one in records if one[name] == value]
    begin = _number(request.query.get("sysparm_offset"), 0)
    limit = min(_number(request.query.get("sysparm_limit"), LIMIT), LIMIT)
    wanted_fields = [name for name in request.query.get("sysparm_fields", "").split(",") if name]
    result = [
        {name: one[name] for name in wanted_fields if name in one} if wanted_fields else one
        for one in records[begin : begin + limit]
    ]
    return json_answer({"result": result}, headers={"X-Total-Count": str(len(records))})


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
