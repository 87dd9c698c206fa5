"""What XM Directory shows of a contact, as rows of a snapshot's tables.

Qualtrics' description calls all of it text but opt states (yes or no) and times (milliseconds since
1970); a date of a transaction is text, of which it says no zone: without one it is UTC. Values of
embedded data that are no text are written as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from segue.errors import DataError
from segue.snapshot_sources.qualtrics.source import (
    SEGMENT,
    TRANSACTION_ID,
    UNSUBSCRIBED_AT,
    QualtricsDirectory,
)

Record = Mapping[str, Any]
Row = dict[str, Any]
_ID = re.compile(r"[A-Za-z0-9_-]+")
INSTANT = pa.timestamp("ms", tz="UTC")
_TEXTS = {  # our names, and Qualtrics'
    "first_name": "firstName",
    "last_name": "lastName",
    "email": "email",
    "phone": "phone",
    "language": "language",
    "external_reference": "extRef",
}
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON may have one, UTF-8 never
_OPT_STATES = ("directoryUnsubscribed", "unsubscribed")
_TIMES = {
    "created_at": "creationDate",
    "modified_at": "lastModified",
    UNSUBSCRIBED_AT: "directoryUnsubscribeDate",
}


def contact_schema(source: QualtricsDirectory) -> pa.Schema:
    """Return the columns of contacts: those of a list, and what is asked for beside it."""
    fields: dict[str, pa.DataType] = dict.fromkeys(("contact_id", *_TEXTS), pa.string())
    fields["unsubscribed"] = pa.bool_()
    if source.asks_for_each:
        fields |= dict.fromkeys(_TIMES, INSTANT)
        fields |= dict.fromkeys(source.embedded_data, pa.string())
    return pa.schema(fields)


_MEMBERSHIPS: dict[str, pa.DataType] = {
    "contact_id": pa.string(),
    "mailing_list": pa.string(),
    "opted_in": pa.bool_(),
    UNSUBSCRIBED_AT: INSTANT,
}
MEMBERSHIPS = pa.schema(_MEMBERSHIPS)


def transaction_schema(source: QualtricsDirectory) -> pa.Schema:
    """Return the columns of transactions."""
    fields: dict[str, pa.DataType] = {
        "contact_id": pa.string(),
        "date": INSTANT,
        TRANSACTION_ID: pa.string(),
    }
    return pa.schema(fields | dict.fromkeys(source.transactions or (), pa.string()))


def contact_id_of(record: Record) -> str:
    """Return a contact's id; raise DataError where it has none, or one that is another path."""
    contact = record.get("contactId")
    if not isinstance(contact, str) or not _ID.fullmatch(contact):
        raise DataError("Qualtrics lists a contact without an id of letters and digits")
    return contact


def contact_row(record: Record, source: QualtricsDirectory) -> Row:
    """Return the row of a contact, whether it was listed or asked for."""
    contact = contact_id_of(record)
    row: Row = {"contact_id": contact}
    row |= {name: text_of(record.get(theirs)) for name, theirs in _TEXTS.items()}
    states = [record.get(name) for name in _OPT_STATES]
    row["unsubscribed"] = True in states
    if not any(isinstance(state, bool) for state in states):
        raise DataError(
            f"contact {contact}: Qualtrics does not say whether it is opted out "
            f"({' or '.join(_OPT_STATES)}: true or false)"
        )
    if source.asks_for_each:
        row |= {name: _time(contact, theirs, record) for name, theirs in _TIMES.items()}
        data = data_of(record, "embeddedData")
        row |= {name: text_of(data.get(theirs)) for name, theirs in source.embedded_data.items()}
    return row


class Memberships:
    """Rows of mailing lists, and of segments under their names with ``segment:`` before."""

    def __init__(self, source: QualtricsDirectory) -> None:
        self._source = source
        self._ids: dict[str, str] = {}  # of everything seen, by name

    def rows(self, record: Record) -> Iterator[Row]:
        """Yield a contact's memberships that are asked for."""
        contact = contact_id_of(record)
        lists = _members(record, "mailingListMembership", contact)
        for place, label in self._wanted(self._source.mailing_lists, lists):
            name = self._own_name(label, place, "mailing_lists")
            opted_out = lists[place].get("unsubscribed")
            if not isinstance(opted_out, bool):
                raise DataError(
                    f"contact {contact}: Qualtrics does not say whether it is opted out of the "
                    f"mailing list {place}"
                )
            since = _time(contact, "unsubscribeDate", lists[place])
            yield _membership(contact, name, not opted_out, since)
        segments = _members(record, "segmentMembership", contact)
        for place, label in self._wanted(self._source.segments, segments):
            name = self._own_name(f"{SEGMENT}{label}", place, "segments")
            is_in = segments[place].get("unsubscribed") is not True
            since = _time(contact, "unsubscribedDate", segments[place])
            yield _membership(contact, name, is_in, since)

    @staticmethod
    def _wanted(
        names: Mapping[str, str] | str | None, places: Mapping[str, Record]
    ) -> Iterator[tuple[str, str]]:
        """Yield the id and the name of what a contact is in and is asked for."""
        if isinstance(names, Mapping):
            yield from ((place, name) for name, place in names.items() if place in places)
        elif names == "all":
            yield from ((place, text_of(one.get("name")) or place) for place, one in places.items())

    def _own_name(self, name: str, place: str, key: str) -> str:
        other = self._ids.setdefault(name, place)
        if other != place:
            ids = " and ".join(sorted((other, place)))
            raise DataError(f"{ids} are both called {name!r}; name them in `{key}`, each by its id")
        return name


def transaction_rows(
    contact: str, transactions: Sequence[Record], source: QualtricsDirectory
) -> Iterator[Row]:
    """Yield the rows of a contact's transactions."""
    for each in transactions:
        date = _time(contact, "transactionDate", each)
        if date is None:
            raise DataError(f"contact {contact}: a transaction has no transactionDate")
        data = data_of(each, "data")
        yield {
            "contact_id": contact,
            "date": date,
            TRANSACTION_ID: text_of(each.get("transactionId") or each.get("id")),
            **{name: text_of(data.get(key)) for name, key in (source.transactions or {}).items()},
        }


def data_of(record: Record, key: str) -> Record:
    """Return the object of a key; an empty one where there is none."""
    data = record.get(key)
    return data if isinstance(data, Mapping) else {}


def text_of(value: object) -> str | None:
    """Return a value as text: what is none as JSON; half a character becomes U+FFFD."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _HALF_A_CHARACTER.sub("\ufffd", text)


def _members(record: Record, key: str, contact: str) -> Mapping[str, Record]:
    """Return what a contact is in, by id; raise DataError for another shape than is published."""
    places = record.get(key) or {}
    if not isinstance(places, Mapping) or not all(
        isinstance(place, Mapping) for place in places.values()
    ):
        raise DataError(f"contact {contact}: {key} has another shape than is published")
    return places


def _membership(contact: str, name: str, *state: object) -> Row:
    return dict(zip(MEMBERSHIPS.names, (contact, name, *state), strict=True))


def _time(contact: str, key: str, record: Record) -> datetime | None:
    """Return a time that Qualtrics writes in milliseconds, or as ISO 8601 does."""
    value = record.get(key)
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str) and not value.lstrip("-").isdecimal():
            time = datetime.fromisoformat(value)
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        raise DataError(f"contact {contact}: its {key} is no time") from None
