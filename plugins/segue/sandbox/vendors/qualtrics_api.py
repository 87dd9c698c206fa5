"""A look-alike of the parts of Qualtrics' API v3 that Segue calls, and of JSON events.

Follows:
    https://api.qualtrics.com/dd105bd826317-get-directory-contact (the fields of its answer, as
    public clients of it show them: times are milliseconds since 1970)
    https://developers.qodex.ai/qualtrics-public/ (a mirror of Qualtrics' published collection:
    the envelope of ``result`` and ``meta``, ``nextPage``; contacts, transactions and their batches,
    distributions, SMS distributions, tickets)
    https://www.qualtrics.com/support/survey-platform/actions-module/json-events/ (X-API-TOKEN or
    basic authentication with user and token; 100 KB)
What public clients rely on is inferred: ``createdTransactions``,
``CreateTransactionBatchDistribution``, ``key`` of a ticket in a search. What a request without a
token (400 ATP_2), with a wrong one (401 DCD_7), to an unknown path (404 without a code) and without
a body (411) is answered was seen at the vendor's by others; other codes and texts are inferred.

There is one directory with one mailing list, and one JSON event. **A contact whose id is lower-case
letters and digits exists**, as one of a team's own directory, in the list and with an address of
each kind: not if it begins with ``missing-``; ``unlisted-`` is not in the list, ``silent-`` has no
addresses, ``leaver-`` is opted out. All others are created first, and are called ``CID_``. Every
survey exists but ``SV_missing``; links of ``SV_closed`` are refused, as of one that is not active.
The event's workflow is the one that Segue's page on channels describes: its Tickets task makes a
ticket at once and keeps ``segue_delivery``, and all of ``data``, as ticket data.

Left out: limits that bite (ask for a fault), search, libraries, links for a whole mailing list, the
delay of a workflow.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from segue.sandbox.store import Document, Store, Transaction, iso_seconds
from segue.sandbox.vendor_api import Call, Refused, VendorApi
from segue.sandbox.wire import (
    EMAIL,
    ReceivedRequest,
    basic_credentials,
    bearer_token,
    json_answer,
    json_object,
)

SERVICE = "qualtrics"
TOKEN = "sandbox"
USER_ID = "UR_5e90e5e90e5e90e"
DIRECTORY = "POOL_sandbox"
MAILING_LIST = "CG_5e90e5e90e5e90e"
EVENT = "5e90e5e9-0e5e-90e5-e90e-5e90e5e90e00"

API = "/API/v3"
PAGE_SIZE, LARGEST_PAGE = 100, 500
LARGEST_EVENT = 100_000  # bytes
LONGEST_NAME, LONGEST_VALUE, MOST_DATA = 200, 1024, 10
LINK_TYPES = ("Individual", "Multiple", "Anonymous")
SMS_METHODS = ("Invite", "Interactive", "Reminder", "ThankYou")
GENERATE = "createtransactionbatchdistribution"  # the action, in any case
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
WALL_CLOCK = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}")
MADE_UP = re.compile(r"(?!missing-)[a-z][a-z0-9_.-]{0,99}")  # ids of contacts nobody created

CONTACTS = "qualtrics.contacts"
TRANSACTIONS = "qualtrics.transactions"
BATCHES = "qualtrics.batches"
DISTRIBUTIONS = "qualtrics.distributions"
SMS = "qualtrics.sms"
TICKETS = "qualtrics.tickets"


# Requests and answers

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


def _meta(status: int) -> Document:
    return {"httpStatus": f"{status} - {_STATUS[status]}", "requestId": _REQUEST_ID}


def _ok(result: object = None) -> Response:
    content = {} if result is None else {"result": result}
    return json_answer({**content, "meta": _meta(200)})


def _error(
    status: int, code: str | None, message: str = "", headers: dict[str, str] | None = None
) -> Response:
    error = {"errorMessage": message, **({"errorCode": code} if code else {})}
    return json_answer({"meta": {**_meta(status), "error": error}}, status, headers)


def _refuse(status: int, code: str, message: str = "") -> Refused:
    return Refused(_error(status, code, message))


def _is_authentic(call: Call) -> bool:
    """Tell whether the token is right; without any, or without a body to post, refuse."""
    basic = basic_credentials(call.headers)
    bearer = bearer_token(call.headers)
    token = call.headers.get("x-api-token") or (basic[1] if basic else None)
    if token is None and bearer is None:
        raise _refuse(400, "ATP_2", "The X-API-TOKEN header is missing")
    if (token or bearer) != TOKEN:
        raise _refuse(401, "DCD_7", "Invalid API token")
    if call.method == "POST" and not call.body:
        raise Refused(_error(411, None))
    return True


api = VendorApi(
    SERVICE,
    is_authentic=_is_authentic,
    not_found=_error(404, None),
    not_allowed=_error(405, None),
    limited=lambda headers: _error(429, "RATELIMIT_1", "Too many requests.", headers),
    unauthorized=lambda: _error(401, "DCD_7", "Unrecognized X-API-TOKEN."),
    unwell=lambda: _error(503, "ISE_1", "The service is unavailable."),
)
_DIRECTORY, _DISTRIBUTIONS = f"{API}/directories/{{directory}}", f"{API}/distributions"
_CONTACTS = f"{_DIRECTORY}/contacts"


@api.get(f"{API}/whoami")
def _whoami(call: Call) -> Response:
    return _ok({"userId": USER_ID, "brandId": "sandbox", "userName": "sandbox"})


def _body(request: ReceivedRequest) -> Document:
    document = json_object(request.body)
    if document is None:
        raise _refuse(400, "INVALID_JSON", "The body is not a JSON object")
    return document


def _object(given: Document, field: str) -> Document:
    value = given.get(field)
    if not isinstance(value, dict):
        raise _refuse(400, f"INVALID_{field}", f"{field} is not an object")
    return value


def _require(is_valid: object, field: str) -> None:
    if not is_valid:
        raise _refuse(400, f"INVALID_{field}", f"The value of {field} cannot be used")


def _require_match(pattern: re.Pattern[str], given: Document, *fields: str) -> None:
    for field in fields:
        _require(pattern.fullmatch(str(given.get(field))), field)


def _listed(call: Call, elements: list[Any]) -> Response:
    """Answer one page of a list, with the URL of the next."""
    numbers = call.query.get("pageSize", str(PAGE_SIZE)), call.query.get("skipToken", "0")
    if not all(one.isdecimal() for one in numbers) or not 1 <= int(numbers[0]) <= LARGEST_PAGE:
        raise _refuse(400, "QVAL_1", "Invalid pageSize or skipToken.")
    size, begin = map(int, numbers)
    next_page = None
    if begin + size < len(elements):
        query = urlencode({**call.query, "skipToken": begin + size})
        path = call.path.partition("?")[0]
        next_page = f"{call.base_url.removesuffix('/' + SERVICE)}{path}?{query}"
    return _ok({"elements": elements[begin : begin + size], "nextPage": next_page})


def _number(transaction: Transaction, prefix: str) -> str:
    return f"{prefix}_{transaction.next_id(f'qualtrics.{prefix}'):015d}"


# Contacts and their transactions

_TEXTS = ("firstName", "lastName", "email", "phone", "extRef", "language")
_KEYS = (*_TEXTS, "embeddedData", "unsubscribed")


def _require_directory(directory: str) -> None:
    if directory != DIRECTORY:
        text = "The request was unable to find the directory."
        raise _refuse(404, "DIRECTORY_NOT_FOUND", text)


def _contact(transaction: Transaction, directory: str, contact: str) -> Document:
    """Return a contact of the directory as it is now."""
    _require_directory(directory)
    record = transaction.get(CONTACTS, contact)
    if record is None and MADE_UP.fullmatch(contact):
        return _made_up(contact)
    if record is None or record.get("deleted"):
        text = "The request was unable to find the contact."
        raise _refuse(404, "GET_CONTACT_NOT_FOUND", text)
    return record


def _made_up(contact: str) -> Document:
    """Return a contact that nobody created."""
    record = _new_contact(contact, 0)
    if not contact.startswith("silent-"):
        record |= {"email": "contact@example.com", "phone": "+15005550006"}
    if contact.startswith("unlisted-"):
        record["mailingListMembership"] = {}
    return {**record, "directoryUnsubscribed": contact.startswith("leaver-")}


@api.post(_CONTACTS)
def _create_contact(call: Call) -> Response:
    _require_directory(call.path_values["directory"])
    fields = _fields_in(call)
    now = _milliseconds(call.store)
    contact = f"CID_{call.transaction.next_id(CONTACTS):015}"
    call.transaction.put(CONTACTS, contact, _changed(_new_contact(contact, now), fields, now))
    return _ok({"id": contact})


@api.get(_CONTACTS)
def _list_contacts(call: Call) -> Response:
    _require_directory(call.path_values["directory"])
    keys = ("contactId", *_TEXTS, "embeddedData")
    elements = [
        {**{key: one[key] for key in keys}, "unsubscribed": one["directoryUnsubscribed"]}
        for one in call.store.values(CONTACTS)
        if not one.get("deleted")
    ]
    return _listed(call, elements)


@api.get(_CONTACTS + "/{contact}")
def _show_contact(call: Call) -> Response:
    return _ok(_contact(call.transaction, **call.path_values))


@api.put(_CONTACTS + "/{contact}")
def _update_contact(call: Call) -> Response:
    """Change what is given, and leave the rest alone."""
    contact = call.path_values["contact"]
    old = _contact(call.transaction, **call.path_values)
    fields = _fields_in(call)
    new = _changed(old, fields, _milliseconds(call.store))
    call.transaction.put(CONTACTS, contact, new)
    call.receive(
        "contact_update",
        to=contact,
        subject="Contact updated",
        fields={"contact": new, "update": fields},
    )
    return _ok()


@api.delete(_CONTACTS + "/{contact}")
def _delete_contact(call: Call) -> Response:
    record = _contact(call.transaction, **call.path_values)
    call.transaction.put(CONTACTS, call.path_values["contact"], {**record, "deleted": True})
    return _ok()


@api.get(_CONTACTS + "/{contact}/transactions")
def _list_transactions(call: Call) -> Response:
    _contact(call.transaction, **call.path_values)
    contact = call.path_values["contact"]
    theirs = [one for one in call.store.values(TRANSACTIONS) if one["contactId"] == contact]
    return _listed(call, theirs)


def _fields_in(request: ReceivedRequest) -> Document:
    """Return the fields that a body gives a contact; refuse what is none."""
    fields = _body(request)
    for problem in _problems(fields):
        raise _refuse(400, "QVAL_1", problem)
    return fields


def _problems(given: Document) -> list[str]:
    email, data = given.get("email"), given.get("embeddedData")
    checks = {
        **{f"Unexpected json key provided: {key}": key in _KEYS for key in given},
        **{f"Invalid type for {key}": isinstance(given.get(key), str | None) for key in _TEXTS},
        "Invalid email": not (isinstance(email, str) and email) or EMAIL.fullmatch(email),
        "Invalid type for unsubscribed": isinstance(given.get("unsubscribed"), bool | None),
        "Invalid type for embeddedData": data is None or _is_embedded_data(data),
    }
    return [problem for problem, is_right in checks.items() if not is_right]


def _new_contact(contact: str, now: int) -> Document:
    return {
        "contactId": contact,
        "creationDate": now,
        **dict.fromkeys(_TEXTS),
        "emailDomain": None,
        "writeBlanks": False,
        "embeddedData": {},
        "transactionData": [],
        "stats": {},
        "skipped": False,
        "directoryUnsubscribed": False,
        "directoryUnsubscribeDate": None,
        "mailingListMembership": {
            MAILING_LIST: {
                "contactLookupId": f"CGC_{contact}",
                "name": "Sandbox",
                "ownerId": USER_ID,
                "unsubscribed": False,
                "unsubscribeDate": None,
            }
        },
    }


def _changed(contact: Document, given: Document, now: int) -> Document:
    """Return a contact with what a request gives; embedded data that it does not name stays."""
    new = {**contact, **{key: given[key] for key in _TEXTS if key in given}}
    new["embeddedData"] = {**contact["embeddedData"], **(given.get("embeddedData") or {})}
    new["emailDomain"] = (new["email"] or "").partition("@")[2] or None
    new["lastModified"] = now
    opted_out = given.get("unsubscribed")
    if opted_out is not None and opted_out != contact["directoryUnsubscribed"]:
        new["directoryUnsubscribed"] = opted_out
        new["directoryUnsubscribeDate"] = now if opted_out else None
    return new


def _milliseconds(store: Store) -> int:
    return int(store.clock().timestamp() * 1000)


def _is_embedded_data(data: object, most: int | None = None) -> bool:
    return (
        isinstance(data, dict)
        and (most is None or len(data) <= most)
        and all(
            0 < len(name) <= LONGEST_NAME and _is_data_value(value) for name, value in data.items()
        )
    )


def _is_data_value(value: object) -> bool:
    """Tell whether a value is a text or none, or a multi-value text set."""
    if isinstance(value, list):
        return all(isinstance(one, str) and len(one) <= LONGEST_VALUE for one in value)
    return isinstance(value, str | None) and len(value or "") <= LONGEST_VALUE


@api.post(f"{_DIRECTORY}/transactions")
def _create_transactions(call: Call) -> Response:
    numbers: Document = {}
    failures: Document = {}
    directory = call.path_values["directory"]
    for name, fields_of_one in _body(call).items():
        _require(isinstance(fields_of_one, dict), "transaction")
        _require_match(WALL_CLOCK, fields_of_one, "transactionDate")
        _require(_is_embedded_data(fields_of_one.get("data", {})), "data")
        contact = str(fields_of_one.get("contactId"))
        try:
            _member(call.transaction, directory, fields_of_one.get("mailingListId"), contact)
        except Refused:
            failures[name] = {"errorCode": "CONTACT_NOT_FOUND"}
            continue
        number = _number(call.transaction, "CTR")
        record = {**fields_of_one, "transactionId": number}
        call.transaction.put(TRANSACTIONS, number, record)
        numbers[name] = {"id": number}
        call.receive(
            "transaction",
            to=contact,
            subject="Transaction",
            fields={"transaction": record},
        )
    return _ok({"createdTransactions": numbers, "unprocessedTransactions": failures})


def _member(
    transaction: Transaction, directory: str, mailing_list: object, contact: str
) -> Document:
    """Return a contact that is in the mailing list."""
    record = _contact(transaction, directory, contact)
    if mailing_list not in record["mailingListMembership"]:
        raise _refuse(404, "GET_CONTACT_FROM_LIST_NOT_FOUND", "The contact is not in the list")
    return record


@api.post(f"{_DIRECTORY}/transactionbatches")
def _create_batch(call: Call) -> Response:
    document = _body(call)
    _require(call.path_values["directory"] == DIRECTORY, "directoryId")
    _require_match(INSTANT, document, "creationDate")
    ids = document.get("transactionIds")
    _require(isinstance(ids, list), "transactionIds")
    _require(
        all(call.transaction.get(TRANSACTIONS, str(one)) for one in ids or []), "transactionIds"
    )
    number = _number(call.transaction, "BT")
    call.transaction.put(BATCHES, number, {"batchId": number, "transactionIds": ids})
    return _ok({"id": number})


# Distributions


@api.post(_DISTRIBUTIONS)
def _create_distribution(call: Call) -> Response:
    document = _body(call)
    if "action" in document:
        return _generate_links(call, document)
    contact = _recipient(call.transaction, document)
    header, link = _object(document, "header"), _object(document, "surveyLink")
    _require(header.get("subject"), "subject")
    _require_match(EMAIL, header, "fromEmail", "replyToEmail")
    _require_survey(link.get("surveyId"))
    _require(link.get("type") in LINK_TYPES, "type")
    _require_match(INSTANT, link, "expirationDate")
    _require_match(INSTANT, document, "sendDate")
    _require(_is_message(document.get("message")), "message")
    data = document.get("embeddedData", {})
    _require(_is_embedded_data(data, MOST_DATA), "embeddedData")
    distribution = _new(call, "Invite", link["surveyId"], link) | {
        "sendDate": document["sendDate"],
        "headers": header,
        "recipients": _recipients(document["recipients"]),
        "message": _kept(document["message"]),
        "embeddedData": data,
    }
    call.transaction.put(DISTRIBUTIONS, distribution["id"], distribution)
    call.receive(
        "survey_invitation",
        to=contact["email"] or "",
        subject=header["subject"],
        html=document["message"].get("messageText") or "",
        fields={"distribution": distribution, "contact": contact},
    )
    return _ok({"id": distribution["id"]})


def _recipient(transaction: Transaction, given: Document) -> Document:
    """Return the contact that a distribution goes to, by its id in the list."""
    recipients = _object(given, "recipients")
    lookup_id = str(recipients.get("contactId"))
    _require(lookup_id.startswith("CGC_"), "contactId")
    mailing_list = recipients.get("mailingListId")
    return _member(transaction, DIRECTORY, mailing_list, lookup_id.removeprefix("CGC_"))


def _recipients(given: Document) -> Document:
    none = dict.fromkeys(("mailingListId", "contactId", "sampleId"))
    return {**none, "libraryId": USER_ID, **given}


def _require_survey(survey: object) -> None:
    _require(isinstance(survey, str) and survey.startswith("SV_"), "surveyId")
    if survey == "SV_missing":
        raise _refuse(404, "SURVEY_NOT_FOUND", "There is no such survey")


def _is_message(message: object) -> bool:
    """Tell whether there is either a library's message or a text."""
    if not isinstance(message, dict):
        return False
    in_library = bool(message.get("libraryId")) and bool(message.get("messageId"))
    return in_library != bool(message.get("messageText"))


def _kept(message: Document) -> Document:
    kind = "Inline" if message.get("messageText") else "Library"
    return {
        **dict.fromkeys(("libraryId", "messageId", "messageText")),
        **message,
        "messageType": kind,
    }


def _new(call: Call, kind: str, survey: str, link: Document) -> Document:
    """Return a distribution that is not addressed yet."""
    now = iso_seconds(call.store.clock())
    dates = {"surveyId": survey, "expirationDate": link["expirationDate"]}
    return {
        "id": _number(call.transaction, "EMD"),
        "parentDistributionId": None,
        "ownerId": USER_ID,
        "organizationId": "sandbox",
        "requestStatus": "Pending" if kind == "Invite" else "Generated",
        "requestType": kind,
        "sendDate": now,
        "createdDate": now,
        "modifiedDate": now,
        "customHeaders": {},
        "headers": dict.fromkeys(("fromEmail", "replyToEmail", "fromName")),
        "surveyLink": {**dates, "linkType": link.get("type") or link.get("linkType")},
        "message": dict.fromkeys(("libraryId", "messageId", "messageType")),
        "embeddedData": None,
        "stats": dict.fromkeys(_STATS, 0),
        "links": [],
    }


_STATS = (
    *("sent", "failed", "started", "bounced", "opened", "skipped", "finished", "complaints"),
    "blocked",
)


def _generate_links(call: Call, given: Document) -> Response:
    """Make links without sending them, for a batch of transactions."""
    _require(str(given["action"]).lower() == GENERATE, "action")
    _require(given.get("linkType") in LINK_TYPES, "linkType")
    _require(isinstance(given.get("description"), str), "description")
    expires = str(given.get("expirationDate"))
    _require(WALL_CLOCK.fullmatch(expires) or INSTANT.fullmatch(expires), "expirationDate")
    _require(given.get("mailingListId") == MAILING_LIST, "mailingListId")
    _require_survey(given.get("surveyId"))
    _require(given["surveyId"] != "SV_closed", "survey")
    batch = call.transaction.get(BATCHES, str(given.get("transactionBatchId")))
    if batch is None:
        raise _refuse(400, "INVALID_transactionBatchId", "There is no such batch")
    distribution = _new(call, "GeneratedInvite", given["surveyId"], given)
    distribution["recipients"] = _recipients({"mailingListId": given["mailingListId"]})
    distribution["links"] = [
        _link(call.transaction, number, given, call.base_url) for number in batch["transactionIds"]
    ]
    call.transaction.put(DISTRIBUTIONS, distribution["id"], distribution)
    return _ok({"id": distribution["id"]})


def _link(transaction: Transaction, number: str, given: Document, base_url: str) -> Document:
    record = transaction.get(TRANSACTIONS, number)
    assert record is not None
    contact = _contact(transaction, DIRECTORY, record["contactId"])
    lookup_id = contact["mailingListMembership"][MAILING_LIST]["contactLookupId"]
    survey = given["surveyId"]
    return {
        "contactId": lookup_id,
        "transactionId": number,
        "link": f"{base_url}/jfe/form/{survey}?Q_DL={number}_{survey}&Q_CHL=gl",
        "exceededContactFrequency": False,
        "linkExpiration": given["expirationDate"],
        "status": "Email not Sent",
        "lastName": contact["lastName"] or "",
        "firstName": contact["firstName"] or "",
        "externalDataReference": contact["extRef"],
        "email": contact["email"] or "",
        "unsubscribed": contact["directoryUnsubscribed"],
    }


def _survey_in(call: Call) -> str:
    survey = call.query.get("surveyId")
    _require_survey(survey)
    return str(survey)


def _distribution(call: Call) -> Document:
    record = call.transaction.get(DISTRIBUTIONS, call.path_values["distribution"])
    if record is None:
        raise _refuse(404, "DISTRIBUTION_NOT_FOUND", "There is no such distribution")
    return record


def _shown(distribution: Document, *, single: bool) -> Document:
    """Return a distribution as a list shows it, or with the text and data of a single one."""
    facts = {name: value for name, value in distribution.items() if name != "links"}
    if single:
        return facts
    message = {name: value for name, value in facts["message"].items() if name != "messageText"}
    return {**facts, "message": message, "embeddedData": None}


@api.get(_DISTRIBUTIONS)
def _list_distributions(call: Call) -> Response:
    survey, query = _survey_in(call), call.query
    matches = [
        _shown(one, single=False)
        for one in call.store.values(DISTRIBUTIONS)
        if one["surveyLink"]["surveyId"] == survey
        and query.get("mailingListId") in (None, one["recipients"]["mailingListId"])
        and query.get("distributionRequestType") in (None, one["requestType"])
        and query.get("sendStartDate", "") <= one["sendDate"] <= query.get("sendEndDate", "9")
    ]
    return _listed(call, matches)


@api.post(_DISTRIBUTIONS + "/sms")
def _create_sms(call: Call) -> Response:
    document = _body(call)
    contact = _recipient(call.transaction, document)
    _require_survey(document.get("surveyId"))
    _require(document.get("method") in SMS_METHODS, "method")
    _require(isinstance(document.get("name"), str) and document["name"], "name")
    _require_match(INSTANT, document, "sendDate")
    _require(_is_message(document.get("message")), "message")
    distribution = {
        "id": _number(call.transaction, "SMSD"),
        "ownerId": USER_ID,
        "organizationId": "sandbox",
        "requestStatus": "Scheduled",
        "requestType": document["method"],
        "surveyId": document["surveyId"],
        "name": document["name"],
        "sendDate": document["sendDate"],
        "recipients": _recipients(document["recipients"])
        | dict.fromkeys(("transactionId", "transactionBatchId")),
        "message": {
            **dict.fromkeys(("libraryId", "messageId", "messageText")),
            **document["message"],
        },
        "stats": dict.fromkeys(("sent", "failed", "started", "finished", "credits", "segments"), 0),
    }
    call.transaction.put(SMS, distribution["id"], distribution)
    call.receive(
        "survey_text",
        to=contact["phone"] or "",
        text=document["message"].get("messageText") or "",
        fields={"distribution": distribution, "contact": contact},
    )
    return _ok(distribution)


@api.get(_DISTRIBUTIONS + "/sms")
def _list_sms(call: Call) -> Response:
    theirs = [one for one in call.store.values(SMS) if one["surveyId"] == _survey_in(call)]
    return _listed(call, theirs)


@api.get(_DISTRIBUTIONS + "/{distribution}")
def _show_distribution(call: Call) -> Response:
    return _ok(_shown(_distribution(call), single=True))


@api.get(_DISTRIBUTIONS + "/{distribution}/links")
def _list_links(call: Call) -> Response:
    return _listed(call, _distribution(call)["links"])


# Tickets


@api.post("/inbound-event/v1/events/json/triggers")
def _trigger(call: Call) -> Response:
    """Take an event, and run its workflow: a ticket is made of what the event has."""
    if call.query.get("urlTokenId") != EVENT:
        raise _refuse(404, "EVENT_NOT_FOUND", "There is no such event")
    if len(call.body.encode("utf-8", "replace")) > LARGEST_EVENT:
        raise _refuse(413, "PAYLOAD_TOO_LARGE", "The payload is larger than 100 KB")
    document = _body(call)
    _require(document.get("name"), "name")
    data = document.get("data") or {}
    number = call.transaction.next_id(TICKETS)
    ticket = {
        "key": f"T-{number}",
        "name": document["name"],
        "ownerId": document.get("owner"),
        "ticketTeamId": document.get("team"),
        "priority": document.get("priority"),
        "status": document.get("status") or "Open",
        "comment": document.get("comment"),
        "createdAt": iso_seconds(call.store.clock()),
        "data": {**data, "segue_delivery": document.get("segue_delivery")},
    }
    call.transaction.put(TICKETS, ticket["key"], ticket)
    call.receive(
        "ticket",
        to=str(ticket["ownerId"] or ticket["ticketTeamId"] or ""),
        subject=str(ticket["name"]),
        text=str(ticket["comment"] or ""),
        fields={"ticket": ticket},
    )
    return _ok()


@api.post(f"{API}/tickets/search")
def _search_tickets(call: Call) -> Response:
    query = _body(call).get("query")
    _require(isinstance(query, dict), "query")
    size = int(call.query.get("pageSize", 50))
    matches = [one for one in call.store.values(TICKETS) if _matches(one, query or {})]
    elements = [
        {name: value for name, value in one.items() if name != "data"} for one in matches[:size]
    ]
    return _ok({"elements": elements, "links": {"next": {"href": None}}})


def _matches(ticket: Document, query: Document) -> bool:
    """Tell whether a ticket is one that a query asks for: by a field, or by ticket data."""
    kind, comparison, value = (query.get(name) for name in ("queryType", "comparison", "value"))
    if kind == "compound":
        return all(_matches(ticket, child) for child in query["children"])
    content = ticket["data"].get(query.get("key")) if kind == "keyValue" else ticket.get(str(kind))
    results: Document = {
        "eq": content == value,
        "neq": content != value,
        "exists": content is not None,
        "doesnotexist": content is None,
        "contains": isinstance(content, str) and str(value) in content,
        "gt": content is not None and str(content) > str(value),
    }
    _require(comparison in results, "comparison")
    return bool(results[str(comparison)])
