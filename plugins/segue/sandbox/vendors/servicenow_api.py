"""A look-alike of ServiceNow's Table API.

Follows:
    https://www.servicenow.com/docs/r/api-reference/rest-apis/c_TableAPI.html (POST and GET of
    /api/now/table/{tableName}, GET of /{sys_id} below it: result, sysparm_query, sysparm_fields,
    sysparm_limit, sysparm_offset, sysparm_display_value, X-Total-Count; 201 with Location)
    https://www.servicenow.com/docs/r/api-reference/rest-api-explorer/inbound-REST-API-rate-limiting.html
    (429, Retry-After, X-RateLimit-Limit, X-RateLimit-Reset, X-RateLimit-Rule)

There are the tables ``incident`` and ``sn_customerservice_case``, with the fields listed below, and
``u_survey``, which has no correlation_id. As in ServiceNow, fields that a table has not got are
ignored, every value is a text, and an unknown field in a query is ignored too, so that everything
is found. A business rule of the sandbox refuses a short_description that begins with ``refuse-``,
as one of an instance would, and its user may not create cases: both 403. A rule before each query
hides a record whose short_description begins with ``hidden-``: it is neither shown nor counted. An
incident that Segue made some time ago is always there, as in an instance that is in use.

Times are ``2026-11-30 18:38:22`` in UTC. A display value is the value itself. Left out: references
to other tables (any sys_id is taken, and shown as one), choices, and limits that bite (ask for a
fault).
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC
from typing import Any

from starlette.responses import Response

from segue.sandbox.store import Document
from segue.sandbox.vendor_api import Call, Refused, VendorApi
from segue.sandbox.wire import basic_credentials, bearer_token, json_answer, json_object

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
ORDER = re.compile("ORDERBY(?P<descending>DESC)?(?P<field>.+)")
HIDDEN = "hidden-"
EARLIER: Document = {
    **dict.fromkeys(sorted(_TASK), ""),
    "short_description": "An earlier incident",
    "correlation_id": "0" * 64,
    "correlation_display": "segue",
    "sys_id": "0" * 32,
    "sys_class_name": "incident",
    "sys_created_on": "2026-01-01 00:00:00",
    "number": "INC0000000",
}

RECORDS = "servicenow.records"


def _error(
    status: int, message: str, detail: str | None, headers: dict[str, str] | None = None
) -> Response:
    error = {"message": message, "detail": detail}
    return json_answer({"error": error, "status": "failure"}, status, headers)


def _limited(headers: dict[str, str]) -> Response:
    headers |= {
        "X-RateLimit-Limit": "500",
        "X-RateLimit-Rule": "b7c5a5a0db1a0010fa9b54904b961934",
    }
    return _error(429, "Rate limit exceeded", "Try again later", headers)


def _is_authentic(call: Call) -> bool:
    is_user = basic_credentials(call.headers) == (USER, PASSWORD)
    return is_user or bearer_token(call.headers) == PASSWORD


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=_error(400, "Requested URI does not represent any resource", None),
    not_allowed=_error(405, "Method not supported", None),
    limited=_limited,
    unauthorized=lambda: _error(
        401, "User Not Authenticated", "Required to provide Auth information"
    ),
    unwell=lambda: _error(503, "Service unavailable", None),
)


def _fields_of(table: str) -> tuple[str, frozenset[str]]:
    if table not in TABLES:
        raise Refused(_error(400, f"Invalid table {table}", None))
    return TABLES[table]


@api.post("/api/now/table/{table}")
def _create(call: Call) -> Response:
    table = call.path_values["table"]
    prefix, names = _fields_of(table)
    document = json_object(call.body)
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
    number = call.transaction.next_id(f"{RECORDS}.{table}")
    sys_id = hashlib.md5(f"{table}/{number}".encode(), usedforsecurity=False).hexdigest()
    record: Document = {
        **dict.fromkeys(sorted(names), ""),
        **fields,
        "sys_id": sys_id,
        "sys_class_name": table,
        "sys_created_on": f"{call.store.clock().astimezone(UTC):%Y-%m-%d %H:%M:%S}",
    }
    if prefix:
        record["number"] = f"{prefix}{number:07}"
    call.transaction.put(RECORDS, sys_id, record)
    call.receive(
        "record",
        to=table,
        subject=record["short_description"],
        text=record["description"],
        fields={"record": record},
    )
    location = f"{call.base_url}/api/now/table/{table}/{sys_id}"
    return json_answer({"result": _shown(record, call)}, 201, {"Location": location})


def _text(value: Any) -> str:
    """Return a value as a table keeps it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


@api.get("/api/now/table/{table}")
def _list(call: Call) -> Response:
    records = _matches(call)
    begin = _number(call.query.get("sysparm_offset"), 0)
    limit = min(_number(call.query.get("sysparm_limit"), LIMIT), LIMIT)
    result = [_shown(one, call) for one in records[begin : begin + limit]]
    return json_answer({"result": result}, headers={"X-Total-Count": str(len(records))})


@api.get("/api/now/table/{table}/{sys_id}")
def _show(call: Call) -> Response:
    records = [one for one in _matches(call) if one["sys_id"] == call.path_values["sys_id"]]
    if not records:
        detail = "Record doesn't exist or ACL restricts the record retrieval"
        raise Refused(_error(404, "No Record found", detail))
    return json_answer({"result": _shown(records[0], call)})


def _matches(call: Call) -> list[Document]:
    """Return the records of a table that fit the query's conditions."""
    table = call.path_values["table"]
    _, names = _fields_of(table)
    records = [
        one
        for one in (EARLIER, *call.store.values(RECORDS))
        if one["sys_class_name"] == table and not one["short_description"].startswith(HIDDEN)
    ]
    for condition in call.query.get("sysparm_query", "").split("^"):
        name, is_condition, value = condition.partition("=")
        if is_condition and name in names:
            records = [one for one in records if one[name] == value]
        elif order := ORDER.fullmatch(condition):
            _sort(records, order["field"], reverse=bool(order["descending"]))
    return records


def _sort(records: list[Document], field: str, *, reverse: bool) -> None:
    records.sort(key=lambda one: str(one.get(field, "")), reverse=reverse)


def _shown(record: Document, call: Call) -> Document:
    """Return a record with the fields that are asked for, or with all of them."""
    names = call.names("sysparm_fields") or list(record)
    shown = {name: record[name] for name in names if name in record}
    if call.query.get("sysparm_display_value") != "all":
        return shown
    return {name: {"display_value": value, "value": value} for name, value in shown.items()}


def _number(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
