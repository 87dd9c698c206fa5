"""Distributions of the look-alike of Qualtrics' API v3: by email, by SMS, and as links."""

from __future__ import annotations

from starlette.responses import Response

from segue.sandbox.store import Document, Transaction, iso_seconds
from segue.sandbox.vendor_api import Call
from segue.sandbox.vendors.qualtrics_api.answers import (
    API,
    INSTANT,
    USER_ID,
    WALL_CLOCK,
    api,
    body_of,
    listed,
    next_number,
    object_in,
    ok,
    refuse,
    require,
    require_match,
)
from segue.sandbox.vendors.qualtrics_api.contacts import (
    BATCHES,
    DIRECTORY,
    MAILING_LIST,
    TRANSACTIONS,
    contact_of,
    is_embedded_data,
    member,
)
from segue.sandbox.wire import EMAIL

MOST_DATA = 10
LINK_TYPES = ("Individual", "Multiple", "Anonymous")
SMS_METHODS = ("Invite", "Interactive", "Reminder", "ThankYou")
GENERATE = "createtransactionbatchdistribution"  # the action, in any case

DISTRIBUTIONS = "qualtrics.distributions"
SMS = "qualtrics.sms"
_DISTRIBUTIONS = f"{API}/distributions"


@api.post(_DISTRIBUTIONS)
def _create_distribution(call: Call) -> Response:
    document = body_of(call)
    if "action" in document:
        return _generate_links(call, document)
    contact = _recipient(call.transaction, document)
    header, link = object_in(document, "header"), object_in(document, "surveyLink")
    require(header.get("subject"), "subject")
    require_match(EMAIL, header, "fromEmail", "replyToEmail")
    _require_survey(link.get("surveyId"))
    require(link.get("type") in LINK_TYPES, "type")
    require_match(INSTANT, link, "expirationDate")
    require_match(INSTANT, document, "sendDate")
    require(_is_message(document.get("message")), "message")
    data = document.get("embeddedData", {})
    require(is_embedded_data(data, MOST_DATA), "embeddedData")
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
    return ok({"id": distribution["id"]})


def _recipient(transaction: Transaction, given: Document) -> Document:
    """Return the contact that a distribution goes to, by its id in the list."""
    recipients = object_in(given, "recipients")
    lookup_id = str(recipients.get("contactId"))
    require(lookup_id.startswith("CGC_"), "contactId")
    mailing_list = recipients.get("mailingListId")
    return member(transaction, DIRECTORY, mailing_list, lookup_id.removeprefix("CGC_"))


def _recipients(given: Document) -> Document:
    none = dict.fromkeys(("mailingListId", "contactId", "sampleId"))
    return {**none, "libraryId": USER_ID, **given}


def _require_survey(survey: object) -> None:
    require(isinstance(survey, str) and survey.startswith("SV_"), "surveyId")
    if survey == "SV_missing":
        raise refuse(404, "SURVEY_NOT_FOUND", "There is no such survey")


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
        "id": next_number(call.transaction, "EMD"),
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
    require(str(given["action"]).lower() == GENERATE, "action")
    require(given.get("linkType") in LINK_TYPES, "linkType")
    require(isinstance(given.get("description"), str), "description")
    expires = str(given.get("expirationDate"))
    require(WALL_CLOCK.fullmatch(expires) or INSTANT.fullmatch(expires), "expirationDate")
    require(given.get("mailingListId") == MAILING_LIST, "mailingListId")
    _require_survey(given.get("surveyId"))
    require(given["surveyId"] != "SV_closed", "survey")
    batch = call.transaction.get(BATCHES, str(given.get("transactionBatchId")))
    if batch is None:
        raise refuse(400, "INVALID_transactionBatchId", "There is no such batch")
    distribution = _new(call, "GeneratedInvite", given["surveyId"], given)
    distribution["recipients"] = _recipients({"mailingListId": given["mailingListId"]})
    distribution["links"] = [
        _link(call.transaction, number, given, call.base_url) for number in batch["transactionIds"]
    ]
    call.transaction.put(DISTRIBUTIONS, distribution["id"], distribution)
    return ok({"id": distribution["id"]})


def _link(transaction: Transaction, number: str, given: Document, base_url: str) -> Document:
    record = transaction.get(TRANSACTIONS, number)
    assert record is not None
    contact = contact_of(transaction, DIRECTORY, record["contactId"])
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
        raise refuse(404, "DISTRIBUTION_NOT_FOUND", "There is no such distribution")
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
    return listed(call, matches)


@api.post(_DISTRIBUTIONS + "/sms")
def _create_sms(call: Call) -> Response:
    document = body_of(call)
    contact = _recipient(call.transaction, document)
    _require_survey(document.get("surveyId"))
    require(document.get("method") in SMS_METHODS, "method")
    require(isinstance(document.get("name"), str) and document["name"], "name")
    require_match(INSTANT, document, "sendDate")
    require(_is_message(document.get("message")), "message")
    distribution = {
        "id": next_number(call.transaction, "SMSD"),
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
    return ok(distribution)


@api.get(_DISTRIBUTIONS + "/sms")
def _list_sms(call: Call) -> Response:
    theirs = [one for one in call.store.values(SMS) if one["surveyId"] == _survey_in(call)]
    return listed(call, theirs)


@api.get(_DISTRIBUTIONS + "/{distribution}")
def _show_distribution(call: Call) -> Response:
    return ok(_shown(_distribution(call), single=True))


@api.get(_DISTRIBUTIONS + "/{distribution}/links")
def _list_links(call: Call) -> Response:
    return listed(call, _distribution(call)["links"])
