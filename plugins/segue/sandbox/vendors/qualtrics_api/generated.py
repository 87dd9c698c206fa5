"""Directories of any size of the look-alike of Qualtrics: ``POOL_of200000`` has 200,000 contacts.

They are made of their number, and kept once they are changed or deleted; who is created comes after
them. Of embedded data and addresses they have what other directories have, and the memberships say
what these say: ``CG_newsletter`` is for who has an email address (``newsletter: out`` opted out of
it), ``CG_vip`` and the segment ``SEG_gold`` are for ``tier: gold``, and ``SEG_risk`` for
``risk: high``. Segments follow at once, where Qualtrics takes up to a day
(https://www.qualtrics.com/support/iq-directory/segments-tab/).

The limits that Qualtrics publishes bite here (``answers.take_turn``), and no answer has a field
that Qualtrics' description has not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from segue.sandbox.store import Document, Store, Transaction

MAILING_LISTS = {"CG_newsletter": "Newsletter", "CG_vip": "VIP"}  # names by id
SEGMENTS = {"SEG_gold": "Gold", "SEG_risk": "At risk"}
_DIRECTORY = re.compile(r"POOL_of(\d{1,7})")
_CONTACT = re.compile(r"CID_(\d{1,7})x(\d{9})")
_OWNER = "UR_5e90e5e90e5e90e"
_BEGIN, _DAY = 1_767_225_600_000, 86_400_000  # 2026-01-01, and a day, in milliseconds
_NAMES = ("Ann", "Łukasz", "雨桐", "Zoë", "O'Neil", "Фёдор", "")
_TIERS = ("gold", "silver", "bronze", None)
_TEXTS = ("firstName", "lastName", "email", "phone", "extRef", "language")


def size_of(directory: str) -> int | None:
    """Return how many contacts are made for a directory; None of any other one."""
    match = _DIRECTORY.fullmatch(directory)
    return int(match[1]) if match else None


def collection_of(directory: str) -> str:
    """Return under which name contacts are kept that are no more as they were made."""
    return f"qualtrics.contacts.{directory}"


def contact_at(directory: str, contact: str) -> Document | None:
    """Return a contact as it is made; None where its number is none of the directory's."""
    match, size = _CONTACT.fullmatch(contact), size_of(directory)
    if match is None or size is None or int(match[1]) != size or int(match[2]) >= size:
        return None
    return _contact(size, int(match[2]))


def new_contact(transaction: Transaction, directory: str, now: int) -> Document:
    """Return a contact that has nothing yet but its id and the time (milliseconds)."""
    size = size_of(directory) or 0
    number = size + transaction.next_id(collection_of(directory)) - 1
    return {
        **dict.fromkeys(_TEXTS),
        "contactId": f"CID_{size}x{number:09}",
        "creationDate": now,
        "lastModified": now,
        "emailDomain": None,
        "embeddedData": {},
        "stats": {},
        "skipped": None,
        "directoryUnsubscribed": False,
        "directoryUnsubscribeDate": None,
    }


def contacts_after(store: Store, directory: str, token: str, count: int) -> list[Document]:
    """Return up to ``count`` contacts after the one that a token names, as they are now."""
    size = size_of(directory) or 0
    kept = store.documents.get(collection_of(directory), {})
    end = size + store.sequences.get(collection_of(directory), 0)
    match = _CONTACT.fullmatch(token)
    number = int(match[2]) + 1 if match else 0
    contacts: list[Document] = []
    while len(contacts) < count and number < end:
        contact = kept.get(f"CID_{size}x{number:09}") or _contact(size, number)
        contacts += [] if contact.get("deleted") else [contact]
        number += 1
    return contacts


def as_listed(contact: Document) -> Document:
    """Return what a list of a directory shows of a contact."""
    facts = {key: contact[key] for key in ("contactId", *_TEXTS)}
    return {**facts, "unsubscribed": contact["directoryUnsubscribed"]}


def with_memberships(contact: Document, *, segments: bool) -> Document:
    """Return what is shown of a contact alone: the lists it is in, and the segments on request."""
    data = contact["embeddedData"]
    is_in = {
        "CG_newsletter": bool(contact["email"]),
        "CG_vip": data.get("tier") == "gold",
        "SEG_gold": data.get("tier") == "gold",
        "SEG_risk": data.get("risk") == "high",
    }
    whole = {**contact, "mailingListMembership": _memberships(contact, MAILING_LISTS, is_in)}
    if segments:
        whole["segmentMembership"] = _memberships(contact, SEGMENTS, is_in)
    return whole


def transactions_of(contact: Document) -> Sequence[Document]:
    """Return the transactions that are made for a contact: none to three."""
    match = _CONTACT.fullmatch(contact["contactId"])
    number = int(match[2]) if match else 0
    return [
        {
            "transactionId": f"CTR_{number:09}x{count}",
            "contactId": contact["contactId"],
            "mailingListId": "CG_newsletter",
            "transactionDate": f"2026-11-{1 + (number + 7 * count) % 28:02} 12:{count:02}:00",
            "data": {"type": "order" if count else "support_call", "amount": f"{number % 90}.50"},
        }
        for count in range(number % 4)
    ]


def _contact(size: int, number: int) -> Document:
    tier, is_out = _TIERS[number % 4], number % 20 == 19
    data: dict[str, Any] = {"points": f"{number % 1000:04}", "lifecycle": "customer"}
    data |= {"tier": tier} if tier else {}
    data |= {"risk": "high"} if number % 10 == 3 else {}
    data |= {"newsletter": "out"} if number % 10 == 7 else {}
    has_mail = number % 50 != 49
    return {
        "contactId": f"CID_{size}x{number:09}",
        "creationDate": _BEGIN + number,
        "lastModified": _BEGIN + _DAY + number,
        "firstName": _NAMES[number % len(_NAMES)],
        "lastName": f"Contact {number}",
        "email": f"contact{number}@example.com" if has_mail else None,
        "emailDomain": "example.com" if has_mail else None,
        "phone": f"+1500555{number % 10_000:04}",
        "extRef": f"{number:07}",
        "language": "en",
        "embeddedData": data,
        "stats": {},
        "skipped": None,
        "directoryUnsubscribed": is_out,
        "directoryUnsubscribeDate": _BEGIN + 2 * _DAY if is_out else None,
    }


def _memberships(
    contact: Document, names: Mapping[str, str], is_in: Mapping[str, bool]
) -> Document:
    is_out = contact["embeddedData"].get("newsletter") == "out"
    return {
        place: _of_list(contact, name, is_out and place == "CG_newsletter")
        if place in MAILING_LISTS
        else _of_segment(contact, name)
        for place, name in names.items()
        if is_in[place]
    }


def _of_list(contact: Document, name: str, is_out: bool) -> Document:
    return {
        "contactLookupId": contact["contactId"].replace("CID_", "CGC_"),
        "name": name,
        "unsubscribed": is_out,
        "unsubscribeDate": _BEGIN + 3 * _DAY if is_out else None,
        "ownerId": _OWNER,
    }


def _of_segment(contact: Document, name: str) -> Document:
    return {
        "contactLookupId": contact["contactId"].replace("CID_", "CGC_"),
        "ownerId": _OWNER,
        "unsubscribed": False,
        "unsubscribedDate": None,
        "name": name,
    }
