"""What the look-alike of Qualtrics' API v3 answers with: its envelope, its refusals, its pages."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from starlette.responses import Response

from segue.sandbox import access_tokens
from segue.sandbox.store import Document, Store, Transaction
from segue.sandbox.vendor_api import Call, Refused, VendorApi
from segue.sandbox.wire import (
    TOKENS_PATHS,
    ReceivedRequest,
    basic_credentials,
    bearer_token,
    json_answer,
    json_object,
)

SERVICE = "qualtrics"
TOKEN = "sandbox"
USER_ID = "UR_5e90e5e90e5e90e"
API = "/API/v3"
PAGE_SIZE, LARGEST_PAGE = 100, 500
BRAND_LIMIT, MINUTE = 3000, 60.0  # calls of a brand in so many seconds
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
WALL_CLOCK = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")

_STATUS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Payload Too Large",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
_REQUEST_ID = "5e90e5e9-0e5e-4e90-a5e9-5e90e5e90e5e"


def meta(status: int) -> Document:
    """Return what every answer says of itself."""
    return {"httpStatus": f"{status} - {_STATUS[status]}", "requestId": _REQUEST_ID}


def ok(result: object = None) -> Response:
    """Answer with a result, or with none."""
    content = {} if result is None else {"result": result}
    return json_answer({**content, "meta": meta(200)})


def error(
    status: int, code: str | None, message: str = "", headers: dict[str, str] | None = None
) -> Response:
    """Answer a refusal; without a code it is one of an unknown path."""
    error = {"errorMessage": message, **({"errorCode": code} if code else {})}
    return json_answer({"meta": {**meta(status), "error": error}}, status, headers)


def refuse(status: int, code: str, message: str = "") -> Refused:
    """Return a refusal to raise."""
    return Refused(error(status, code, message))


def _is_authentic(call: Call) -> bool:
    """Tell whether the token is right; without any, or without a body to post, refuse."""
    if call.path.partition("?")[0].endswith(TOKENS_PATHS):  # where a client says who it is
        return True
    basic = basic_credentials(call.headers)
    bearer = bearer_token(call.headers)
    token = call.headers.get("x-api-token") or (basic[1] if basic else None)
    if token is None and bearer is None:
        raise refuse(400, "ATP_2", "The X-API-TOKEN header is missing")
    is_given = bearer is not None and access_tokens.scopes_of(call, bearer) is not None
    if (token or bearer) != TOKEN and not is_given:
        raise refuse(401, "DCD_7", "Invalid API token")
    if call.method == "POST" and not call.body:
        raise Refused(error(411, None))
    return True


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=error(404, None),
    not_allowed=error(405, None),
    limited=lambda headers: error(429, "RATELIMIT_1", "Too many requests.", headers),
    unauthorized=lambda: error(401, "DCD_7", "Unrecognized X-API-TOKEN."),
    unwell=lambda: error(503, "ISE_1", "The service is unavailable."),
)
OF_DIRECTORY = f"{API}/directories/{{directory}}"


api.post(TOKENS_PATHS[1])(access_tokens.give_token)


@api.get(f"{API}/whoami")
def _whoami(call: Call) -> Response:
    return ok({"userId": USER_ID, "brandId": "sandbox", "userName": "sandbox"})


def body_of(request: ReceivedRequest) -> Document:
    """Return the JSON object of a body; refuse any other."""
    document = json_object(request.body)
    if document is None:
        raise refuse(400, "INVALID_JSON", "The body is not a JSON object")
    return document


def object_in(given: Document, field: str) -> Document:
    """Return the object of a field; refuse any other value."""
    value = given.get(field)
    if not isinstance(value, dict):
        raise refuse(400, f"INVALID_{field}", f"{field} is not an object")
    return value


def require(is_valid: object, field: str) -> None:
    """Refuse the value of a field that is not valid."""
    if not is_valid:
        raise refuse(400, f"INVALID_{field}", f"The value of {field} cannot be used")


def require_match(pattern: re.Pattern[str], given: Document, *fields: str) -> None:
    """Refuse fields whose text is of another form."""
    for field in fields:
        require(pattern.fullmatch(str(given.get(field))), field)


def listed(call: Call, elements: Sequence[Any]) -> Response:
    """Answer one page of a list, with the URL of the next: tokens are places in the list."""
    size, begin = page_size(call), call.query.get("skipToken", "0")
    if not begin.isdecimal():
        raise refuse(400, "QVAL_1", "Invalid skipToken.")
    end = int(begin) + size
    following = str(end) if end < len(elements) else None
    return page(call, elements[int(begin) : end], following)


def page_size(call: Call, largest: int = LARGEST_PAGE) -> int:
    """Return how many elements of a list are asked for; refuse what is no such number."""
    size = call.query.get("pageSize", str(min(PAGE_SIZE, largest)))
    if not size.isdecimal() or not 1 <= int(size) <= largest:
        raise refuse(400, "QVAL_1", "Invalid pageSize.")
    return int(size)


def page(call: Call, elements: Sequence[Any], token: str | None) -> Response:
    """Answer a page, with the URL of the next one, which ``token`` leads to."""
    next_page = None
    if token is not None:
        query = urlencode({**call.query, "skipToken": token})
        path = call.path.partition("?")[0]
        next_page = f"{call.base_url.removesuffix('/' + SERVICE)}{path}?{query}"
    return ok({"elements": elements, "nextPage": next_page})


_calls: WeakKeyDictionary[Store, dict[str, deque[float]]] = WeakKeyDictionary()


def take_turn(call: Call, name: str, most: int = BRAND_LIMIT) -> None:
    """Refuse a call beyond ``most`` of its name in a minute, or beyond what a brand may call."""
    for each, count in ((name, most), ("brand", BRAND_LIMIT)):
        _count(call.store, each, count)


def _count(store: Store, name: str, most: int) -> None:
    now = store.clock().timestamp()
    times = _calls.setdefault(store, {}).setdefault(name, deque())
    while times and times[0] <= now - MINUTE:
        times.popleft()
    if len(times) >= most:
        seconds = math.ceil(times[0] + MINUTE - now)
        raise Refused(
            error(429, "RATELIMIT_1", "Too many requests.", {"Retry-After": f"{seconds}"})
        )
    times.append(now)


def next_number(transaction: Transaction, prefix: str) -> str:
    """Return an id that no other thing has."""
    return f"{prefix}_{transaction.next_id(f'qualtrics.{prefix}'):015d}"
