"""A look-alike of the messages of Twilio's API of 2010-04-01.

Follows these public pages:
    https://www.twilio.com/docs/messaging/api/message-resource (create, fetch, list)
    https://github.com/twilio/twilio-oai, spec/json/twilio_api_v2010.json (shapes; ``Tags``)
    https://www.twilio.com/docs/bulk-messaging/tags (limits of tags, in another API of Twilio's)
    https://www.twilio.com/docs/usage/requests-to-twilio (basic: account SID and auth token, or an
    API key's SID and secret)
    https://www.twilio.com/docs/usage/twilios-response (errors, paging by next_page_uri)
    https://www.twilio.com/docs/api/errors (numbers and texts of errors)
    https://www.twilio.com/docs/iam/test-credentials (the numbers that fail on purpose)

Any well-formed number can be written to and from, except Twilio's own test numbers:

    to    +15005550001   no number (21211)           from  +15005550001   no number (21212)
          +15005550002   cannot be routed (21612)          +15005550007   not the account's (21606)
          +15005550003   region not allowed (21408)        +15005550008   its queue is full (21611)
          +15005550004   answered STOP (21610)
          +15005550009   cannot receive texts (21614)

There is one messaging service, MESSAGING_SERVICE. A message leaves its queue at once, except one
from a name that begins with ``Queue``, which stays: it has no ``date_sent``, and no filter by
that date lists it.

Creating has no idempotency: the same request twice makes two messages. Left out: limits of its own
(ask for a fault), media, scheduling, templates, channels other than SMS, redacting and deleting.
The number of the error for tags that cannot be is not published; here it is 20001.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.utils import format_datetime, parsedate_to_datetime
from math import ceil
from typing import NoReturn
from urllib.parse import urlencode

from starlette.responses import Response

from segue.sandbox.store import Document, Store
from segue.sandbox.vendor_api import Call, Refused, VendorApi
from segue.sandbox.wire import basic_credentials, json_answer

SERVICE = "twilio"
ACCOUNT_SID = "AC" + "5e90e" * 6 + "00"
AUTH_TOKEN = "sandbox"
API_KEY, API_SECRET = "SK" + "5e90e" * 6 + "00", "sandbox-secret"
MESSAGING_SERVICE = "MG" + "5e90e" * 6 + "00"

LONGEST_BODY, LARGEST_PAGE, USUAL_PAGE = 1_600, 1_000, 50
MOST_TAGS, LONGEST_TAG_NAME, LONGEST_TAG = 10, 128, 256
DATE_FILTERS = ("DateSent", "DateSent<", "DateSent>")
MESSAGES = "twilio.messages"

# https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_TWICE = frozenset("\f^{}\\[~]|€")  # characters that take two septets

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}")
_TAG = re.compile(r"[A-Za-z0-9._~-]+")

NOT_A_NUMBER = "+15005550001"
TO_ERRORS = {
    NOT_A_NUMBER: 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
FROM_ERRORS = {NOT_A_NUMBER: 21212, "+15005550007": 21606, "+15005550008": 21611}
TEXTS = {
    20001: "Invalid parameter",
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too Many Requests",
    20503: "Service Unavailable",
    21211: "Invalid 'To' Phone Number: {}",
    21212: "Invalid 'From' Number: {}",
    21408: "Permission to send an SMS has not been enabled for the region indicated by the 'To' "
    "number: {}",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21606: "The 'From' phone number {} is not a valid, SMS-capable inbound phone number or short "
    "code for your account.",
    21610: "Attempt to send to unsubscribed recipient",
    21611: "This 'From' number has exceeded the maximum number of queued messages",
    21612: "Message cannot be sent with the current combination of 'To' ({}) and/or 'From' "
    "parameters.",
    21614: "'To' number is not a valid mobile number: {}",
    21617: "The concatenated message body exceeds the 1600 character limit.",
    21701: "The Messaging Service does not exist.",
}


def _error(
    code: int, status: int = 400, about: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    error = {"code": code, "message": TEXTS[code].format(about), "more_info": more_info}
    return json_answer({**error, "status": status}, status, headers)


def _refuse(code: int, status: int = 400, about: str = "") -> NoReturn:
    raise Refused(_error(code, status, about))


def _is_authentic(call: Call) -> bool:
    credentials = ((ACCOUNT_SID, AUTH_TOKEN), (API_KEY, API_SECRET))
    if basic_credentials(call.headers) not in credentials:
        return False
    if call.path_values["account"] != ACCOUNT_SID:
        _refuse(20404, 404)
    return True


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=_error(20404, 404),
    not_allowed=_error(20404, 405),
    limited=lambda headers: _error(20429, 429, headers=headers),
    unauthorized=lambda: _error(20003, 401),
    unwell=lambda: _error(20503, 503),
)
_MESSAGES = "/2010-04-01/Accounts/{account}/Messages"


# Creating


@api.post(f"{_MESSAGES}.json")
def _create(call: Call) -> Response:
    form = call.form() if call.content_type == "application/x-www-form-urlencoded" else {}
    number, sender, service, body = _checked(form)
    tags = _tags(form.get("Tags"))
    sid = f"SM{call.transaction.next_id(MESSAGES):032x}"
    is_queued = sender.startswith("Queue")
    now = call.store.clock()
    message = {
        "sid": sid,
        "to": number,
        "from": sender or None,
        "messaging_service_sid": service or None,
        "body": body,
        "tags": tags,
        "status": "accepted" if service else "queued",
        "num_segments": "0" if service else str(_segments(body)),
        "created": now.isoformat(),
        "sent": None if is_queued else now.isoformat(),
    }
    call.transaction.put(MESSAGES, sid, message)
    call.receive(
        "text",
        to=number,
        text=body,
        fields={"sid": sid, "from": sender or service, "tags": tags},
    )
    return json_answer(_shown({**message, "sent": None}), 201)


def _checked(given: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Return To, From, MessagingServiceSid and Body; refuse what cannot be sent."""
    number, sender = given.get("To", ""), given.get("From", "")
    service, body = given.get("MessagingServiceSid", ""), given.get("Body", "")
    if not number:
        _refuse(21604)
    if not sender and not service:
        _refuse(21603)
    if service and service != MESSAGING_SERVICE:
        _refuse(21701, 404)
    if not body:
        _refuse(21602)
    if len(body.encode("utf-16-le", "surrogatepass")) // 2 > LONGEST_BODY:
        _refuse(21617)
    _check_numbers(number, sender)
    return number, sender, service, body


def _check_numbers(number: str, sender: str) -> None:
    if not _NUMBER.fullmatch(number):
        _refuse(21211, about=number)
    if sender and not any(one.fullmatch(sender) for one in (_NUMBER, _SHORT_CODE, _NAME)):
        _refuse(21212, about=sender)
    if sender in FROM_ERRORS:
        _refuse(FROM_ERRORS[sender], about=sender)
    if number in TO_ERRORS:
        _refuse(TO_ERRORS[number], about=number)


def _tags(written: str | None) -> dict[str, str]:
    try:
        tags = json.loads(written) if written else {}
    except ValueError:
        _refuse(20001)
    if not isinstance(tags, dict) or len(tags) > MOST_TAGS:
        _refuse(20001)
    for name, value in tags.items():
        if not (_is_tag(name, LONGEST_TAG_NAME) and _is_tag(value, LONGEST_TAG)):
            _refuse(20001)
    return tags


def _is_tag(text: object, most: int) -> bool:
    return isinstance(text, str) and len(text) <= most and _TAG.fullmatch(text) is not None


def _segments(body: str) -> int:
    """Return how many parts a body is sent in: by septets of GSM-7, or by halves of UTF-16."""
    if set(body) <= GSM_7 | GSM_7_TWICE:
        size, alone, in_parts = sum(1 + (one in GSM_7_TWICE) for one in body), 160, 153
    else:
        size, alone, in_parts = len(body.encode("utf-16-le", "surrogatepass")) // 2, 70, 67
    return 1 if size <= alone else ceil(size / in_parts)


# Listing


@api.get(f"{_MESSAGES}.json")
def _list(call: Call) -> Response:
    query = call.query
    size = _number(query, "PageSize", USUAL_PAGE, smallest=1)
    page = _number(query, "Page", 0, smallest=0)
    matches = [one for one in _newest_first(call.store) if _is_wanted(one, query)]
    start = _start(matches, query)
    on_page = matches[start : start + size]
    filters = {name: value for name, value in query.items() if name not in ("Page", "PageToken")}
    path = call.path.partition("?")[0].removeprefix(f"/{SERVICE}")

    def uri(number: int, **token: str) -> str:
        return f"{path}?{urlencode({**filters, 'PageSize': size, 'Page': number, **token})}"

    next_uri = None
    if start + size < len(matches):
        next_uri = uri(page + 1, PageToken=f"PA{on_page[-1]['sid']}")
    return json_answer(
        {
            "messages": [_shown(one) for one in on_page],
            "first_page_uri": uri(0),
            "next_page_uri": next_uri,
            "previous_page_uri": uri(page - 1) if page else None,
            "uri": uri(page),
            "page": page,
            "page_size": size,
            "start": start,
            "end": max(start, start + len(on_page) - 1),
        }
    )


@api.get(f"{_MESSAGES}/{{sid}}.json")
def _show(call: Call) -> Response:
    message = call.transaction.get(MESSAGES, call.path_values["sid"])
    return json_answer(_shown(message)) if message else api.not_found


def _newest_first(store: Store) -> list[Document]:
    """Order by the date of sending; those that were never sent come last."""
    return sorted(
        store.values(MESSAGES), key=lambda one: (one["sent"] or "", one["sid"]), reverse=True
    )


def _start(found: list[Document], query: Mapping[str, str]) -> int:
    """Return where a page begins: behind the message that its token names."""
    token = query.get("PageToken", "")
    sids = [one["sid"] for one in found]
    return sids.index(token[2:]) + 1 if token[2:] in sids else 0


def _is_wanted(message: Document, query: Mapping[str, str]) -> bool:
    return (
        query.get("To", message["to"]) == message["to"]
        and query.get("From", message["from"]) == message["from"]
        and all(_is_on(message, name, query[name]) for name in DATE_FILTERS if name in query)
    )


def _is_on(message: Document, name: str, written: str) -> bool:
    """Tell whether a message was sent on the days of a filter (GMT); one in the queue is not."""
    limit = _day(written)
    if message["sent"] is None:
        return False
    day = datetime.fromisoformat(message["sent"]).astimezone(UTC).date()
    if name == "DateSent<":
        return day <= limit
    return day >= limit if name == "DateSent>" else day == limit


def _day(written: str) -> date:
    """Read a date, in one of the ways that the OpenAPI's examples have."""
    try:
        return date.fromisoformat(written[:10])
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(written).astimezone(UTC).date()
    except ValueError:
        _refuse(20001)


def _number(query: Mapping[str, str], name: str, usual: int, *, smallest: int) -> int:
    text = query.get(name, str(usual))
    if not text.isdecimal() or int(text) < smallest:
        _refuse(20001)
    return min(int(text), LARGEST_PAGE) if name == "PageSize" else int(text)


def _shown(message: Document) -> Document:
    creation, dispatch = message["created"], message["sent"]
    uri = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{message['sid']}"
    same = ("sid", "to", "from", "messaging_service_sid", "body", "num_segments", "tags")
    return {
        **{name: message[name] for name in same},
        "account_sid": ACCOUNT_SID,
        "api_version": "2010-04-01",
        "date_created": _rfc_2822(creation),
        "date_sent": _rfc_2822(dispatch),
        "date_updated": _rfc_2822(dispatch or creation),
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "num_media": "0",
        "price": None,
        "price_unit": "USD",
        "status": "sent" if dispatch else message["status"],
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "uri": f"{uri}.json",
    }


def _rfc_2822(moment: str | None) -> str | None:
    return None if moment is None else format_datetime(datetime.fromisoformat(moment))
