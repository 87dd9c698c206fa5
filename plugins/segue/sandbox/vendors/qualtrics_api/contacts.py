"""Contacts of the look-alike of Qualtrics' API v3, and their transactions."""

from __future__ import annotations

import re

from starlette.responses import Response

from segue.sandbox.store import Document, Store, Transaction
from segue.sandbox.vendor_api import Call, Refused
from segue.sandbox.vendors.qualtrics_api import generated
from segue.sandbox.vendors.qualtrics_api.answers import (
    INSTANT,
    OF_DIRECTORY,
    PAGE_SIZE,
    USER_ID,
    WALL_CLOCK,
    api,
    body_of,
    listed,
    next_number,
    ok,
    page,
    page_size,
    refuse,
    require,
    require_match,
    take_turn,
)
from segue.sandbox.wire import EMAIL, ReceivedRequest

DIRECTORY = "POOL_sandbox"
MAILING_LIST = "CG_5e90e5e90e5e90e"
LONGEST_NAME, LONGEST_VALUE = 200, 1024
MADE_UP = re.compile(r"(?!missing-)[a-z][a-z0-9_.-]{0,99}")  # ids of contacts nobody created

CONTACTS = "qualtrics.contacts"
TRANSACTIONS = "qualtrics.transactions"
BATCHES = "qualtrics.batches"
_CONTACTS = f"{OF_DIRECTORY}/contacts"

_TEXTS = ("firstName", "lastName", "email", "phone", "extRef", "language")
_KEYS = (*_TEXTS, "embeddedData", "unsubscribed")


def require_directory(directory: str) -> None:
    """Refuse a directory that is not there."""
    if directory != DIRECTORY and generated.size_of(directory) is None:
        text = "The request was unable to find the directory."
        raise refuse(404, "DIRECTORY_NOT_FOUND", text)


def contact_of(transaction: Transaction, directory: str, contact: str) -> Document:
    """Return a contact of the directory as it is now."""
    require_directory(directory)
    record = transaction.get(_collection(directory), contact)
    if record is None and directory != DIRECTORY:
        record = generated.contact_at(directory, contact)
    elif record is None and MADE_UP.fullmatch(contact):
        return _made_up(contact)
    if record is None or record.get("deleted"):
        text = "The request was unable to find the contact."
        raise refuse(404, "GET_CONTACT_NOT_FOUND", text)
    return record


def _collection(directory: str) -> str:
    return CONTACTS if directory == DIRECTORY else generated.collection_of(directory)


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
    directory = call.path_values["directory"]
    require_directory(directory)
    fields = _fields_in(call)
    now = _milliseconds(call.store)
    if directory == DIRECTORY:
        blank = _new_contact(f"CID_{call.transaction.next_id(CONTACTS):015}", now)
    else:
        blank = generated.new_contact(call.transaction, directory, now)
    contact = blank["contactId"]
    call.transaction.put(_collection(directory), contact, _changed(blank, fields, now))
    return ok({"id": contact})


@api.get(_CONTACTS)
def _list_contacts(call: Call) -> Response:
    directory = call.path_values["directory"]
    require_directory(directory)
    if directory != DIRECTORY:
        return _generated_page(call, directory)
    keys = ("contactId", *_TEXTS, "embeddedData")
    elements = [
        {**{key: one[key] for key in keys}, "unsubscribed": one["directoryUnsubscribed"]}
        for one in call.store.values(CONTACTS)
        if not one.get("deleted")
    ]
    return listed(call, elements)


def _generated_page(call: Call, directory: str) -> Response:
    """Answer a page of a directory of any size.

    A token of the new pagination scheme names the last contact that was shown, so that nobody is
    left out where contacts are deleted meanwhile; one of the old scheme is a place.
    """
    take_turn(call, "contacts")
    size, token = page_size(call, largest=PAGE_SIZE), call.query.get("skipToken", "")
    names_contacts = call.query.get("useNewPaginationScheme") == "true"
    skip = int(token) if token.isdecimal() and not names_contacts else 0
    last = token if names_contacts else ""
    contacts = generated.contacts_after(call.store, directory, last, skip + size + 1)[skip:]
    shown = [generated.as_listed(one) for one in contacts[:size]]
    following = shown[-1]["contactId"] if names_contacts and shown else str(skip + size)
    return page(call, shown, following if len(contacts) > size else None)


@api.get(_CONTACTS + "/{contact}")
def _show_contact(call: Call) -> Response:
    directory, contact = call.path_values["directory"], call.path_values["contact"]
    if generated.size_of(directory) is not None:
        take_turn(call, "contact")
        segments = call.query.get("includeSegments") == "true"
        record = contact_of(call.transaction, directory, contact)
        return ok(generated.with_memberships(record, segments=segments))
    return ok(contact_of(call.transaction, directory, contact))


@api.put(_CONTACTS + "/{contact}")
def _update_contact(call: Call) -> Response:
    """Change what is given, and leave the rest alone."""
    contact = call.path_values["contact"]
    old = contact_of(call.transaction, **call.path_values)
    fields = _fields_in(call)
    new = _changed(old, fields, _milliseconds(call.store))
    call.transaction.put(_collection(call.path_values["directory"]), contact, new)
    call.receive(
        "contact_update",
        to=contact,
        subject="Contact updated",
        fields={"contact": new, "update": fields},
    )
    return ok()


@api.delete(_CONTACTS + "/{contact}")
def _delete_contact(call: Call) -> Response:
    record = contact_of(call.transaction, **call.path_values)
    directory, contact = call.path_values["directory"], call.path_values["contact"]
    call.transaction.put(_collection(directory), contact, {**record, "deleted": True})
    return ok()


@api.get(_CONTACTS + "/{contact}/transactions")
def _list_transactions(call: Call) -> Response:
    record = contact_of(call.transaction, **call.path_values)
    contact = call.path_values["contact"]
    if generated.size_of(call.path_values["directory"]) is not None:
        take_turn(call, "transactions")
        return listed(call, generated.transactions_of(record))
    theirs = [one for one in call.store.values(TRANSACTIONS) if one["contactId"] == contact]
    return listed(call, theirs)


def _fields_in(request: ReceivedRequest) -> Document:
    """Return the fields that a body gives a contact; refuse what is none."""
    fields = body_of(request)
    for problem in _problems(fields):
        raise refuse(400, "QVAL_1", problem)
    return fields


def _problems(given: Document) -> list[str]:
    email, data = given.get("email"), given.get("embeddedData")
    checks = {
        **{f"Unexpected json key provided: {key}": key in _KEYS for key in given},
        **{f"Invalid type for {key}": isinstance(given.get(key), str | None) for key in _TEXTS},
        "Invalid email": not (isinstance(email, str) and email) or EMAIL.fullmatch(email),
        "Invalid type for unsubscribed": isinstance(given.get("unsubscribed"), bool | None),
        "Invalid type for embeddedData": data is None or is_embedded_data(data),
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


def is_embedded_data(data: object, most: int | None = None) -> bool:
    """Tell whether names and values are of embedded data, and no more than ``most``."""
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


@api.post(f"{OF_DIRECTORY}/transactions")
def _create_transactions(call: Call) -> Response:
    numbers: Document = {}
    failures: Document = {}
    directory = call.path_values["directory"]
    for name, fields_of_one in body_of(call).items():
        require(isinstance(fields_of_one, dict), "transaction")
        require_match(WALL_CLOCK, fields_of_one, "transactionDate")
        require(is_embedded_data(fields_of_one.get("data", {})), "data")
        contact = str(fields_of_one.get("contactId"))
        try:
            member(call.transaction, directory, fields_of_one.get("mailingListId"), contact)
        except Refused:
            failures[name] = {"errorCode": "CONTACT_NOT_FOUND"}
            continue
        number = next_number(call.transaction, "CTR")
        record = {**fields_of_one, "transactionId": number}
        call.transaction.put(TRANSACTIONS, number, record)
        numbers[name] = {"id": number}
        call.receive(
            "transaction",
            to=contact,
            subject="Transaction",
            fields={"transaction": record},
        )
    return ok({"createdTransactions": numbers, "unprocessedTransactions": failures})


def member(
    transaction: Transaction, directory: str, mailing_list: object, contact: str
) -> Document:
    """Return a contact that is in the mailing list."""
    record = contact_of(transaction, directory, contact)
    if mailing_list not in record["mailingListMembership"]:
        raise refuse(404, "GET_CONTACT_FROM_LIST_NOT_FOUND", "The contact is not in the list")
    return record


@api.post(f"{OF_DIRECTORY}/transactionbatches")
def _create_batch(call: Call) -> Response:
    document = body_of(call)
    require(call.path_values["directory"] == DIRECTORY, "directoryId")
    require_match(INSTANT, document, "creationDate")
    ids = document.get("transactionIds")
    require(isinstance(ids, list), "transactionIds")
    require(
        all(call.transaction.get(TRANSACTIONS, str(one)) for one in ids or []), "transactionIds"
    )
    number = next_number(call.transaction, "BT")
    call.transaction.put(BATCHES, number, {"batchId": number, "transactionIds": ids})
    return ok({"id": number})
