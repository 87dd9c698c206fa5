"""Updates of a contact in Qualtrics' XM Directory: fields, embedded data, opt state.

Followed:
    https://api.qualtrics.com/e7890729357b1-update-directory-contact (PUT
    /directories/{directoryId}/contacts/{contactId})
    https://developers.qodex.ai/qualtrics-public/contacts (the names of a contact's fields)
    https://www.qualtrics.com/support/iq-directory/directory-contacts-tab/adding-directory-contacts/
    (names of embedded data have up to 200 characters, values up to 1,024)
    https://api.qualtrics.com/a5e9a1a304902-limits (500 calls a minute)

Inferred: that PUT leaves alone what is not in it, fields and embedded data alike, as public clients
rely on.

The connection is described in ``calls``. Its user must be able to edit contacts of the
directory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, model_validator

from segue.channels.http.fields import Scalar
from segue.channels.look_ups import look_from
from segue.channels.qualtrics.calls import (
    AboutContact,
    QualtricsSender,
    contact_path,
    data_of,
    fetch_contact,
    is_opted_out,
    named_data,
)
from segue.contracts.channel import Receipt
from segue.contracts.templates import Line
from segue.errors import ContactFailure, OutcomeUnknown, UnprovenRefusal

UPDATES = 500  # calls a minute
FIELDS = {  # ours, and Qualtrics' in a request
    "first_name": "firstName",
    "last_name": "lastName",
    "email": "email",
    "phone": "phone",
    "language": "language",
    "external_reference": "extRef",
    "unsubscribed": "unsubscribed",
}
SHOWN_AS = {"phone": "phoneNumber", "extRef": "externalDataReference"}  # in some answers


class QualtricsContact(AboutContact):
    """Update the contact in XM Directory.

    Only what is written changes; an empty text empties a field. ``contact`` is its id there
    (``CID_…``), the contact's own id where it is left out. ``unsubscribed`` opts it out of the
    whole directory, or in again. Nobody is written to.

    Qualtrics allows 500 updates a minute. The same values twice are the same contact. A delivery is
    doubtful when the answer was lost: the contact is then looked at, and what has all of the values
    is delivered; one that has not is updated again. *Uncertain* is what is left: the contact is
    gone.
    """

    name: ClassVar[str] = "qualtrics_contact"
    reads: ClassVar[frozenset[str]] = frozenset()
    longest_call: ClassVar[float] = 120.0
    can_be_asked: ClassVar[bool] = True  # the contact shows its values

    first_name: Line | None = None
    last_name: Line | None = None
    email: Line | None = None
    phone: Line | None = None
    language: Line | None = None
    external_reference: Line | None = None
    unsubscribed: bool | None = None
    embedded_data: Annotated[dict[str, Scalar], AfterValidator(named_data)] = {}  # noqa: RUF012

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.embedded_data and all(getattr(self, name) is None for name in FIELDS):
            raise ValueError(f"nothing to update; allowed: {', '.join(FIELDS)}, embedded_data")
        return self

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the update for one contact."""
        message = super().render(variables)
        return {**message, "embedded_data": data_of(message["embedded_data"])}

    def trace(self, message: Mapping[str, Any]) -> dict[str, str]:
        """Return the contact, and which values it must have, as a digest."""
        update = update_of(message)
        names = {"fields": sorted(update), "data": sorted(update.get("embeddedData", {}))}
        return {
            "directory": message["directory"],
            "contact": message["contact"],
            "names": json.dumps(names),
            "digest": digest_of(update),
        }

    def connect(self) -> QualtricsContacts:
        """Open a session; nothing is changed yet."""
        return QualtricsContacts.open_session(self, contacts=UPDATES)


class QualtricsContacts(QualtricsSender):
    """An open connection to Qualtrics."""

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Update one contact."""
        self._calls.call(
            "PUT",
            contact_path(message["directory"], message["contact"]),
            headers={"Content-Type": "application/json"},
            body=json.dumps(update_of(message)).encode(),
        )
        return _receipt(message["contact"])

    def find(
        self, traces: Mapping[str, Mapping[str, str]], since: datetime
    ) -> Mapping[str, Receipt]:
        """Look at each contact, and tell which have the values."""
        look_from(since)
        receipts: dict[str, Receipt] = {}
        for key, trace in traces.items():
            try:
                record = fetch_contact(self._calls, trace["directory"], trace["contact"])
                values = _values_of(record, json.loads(trace["names"]))
            except (ContactFailure, UnprovenRefusal, TypeError, AttributeError):
                raise OutcomeUnknown("Qualtrics does not show the contact") from None
            if digest_of(values) == trace["digest"]:
                receipts[key] = _receipt(trace["contact"])
        return receipts


def update_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rendered message as the body of an update."""
    update = {theirs: message[ours] for ours, theirs in FIELDS.items() if ours in message}
    data = message["embedded_data"]
    return {**update, **({"embeddedData": data} if data else {})}


def digest_of(update: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an update's values; nothing and an empty text are the same."""
    data = {name: str(value or "") for name, value in update.get("embeddedData", {}).items()}
    values = {name: value or "" for name, value in update.items() if name != "embeddedData"}
    text = json.dumps([values, data], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _values_of(record: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the named values of a contact as an update would have them."""
    values = {
        name: record.get(name) or record.get(SHOWN_AS.get(name, name))
        for name in names["fields"]
        if name not in ("unsubscribed", "embeddedData")
    }
    if "unsubscribed" in names["fields"]:
        values["unsubscribed"] = is_opted_out(record)
    if names["data"]:
        data = record.get("embeddedData") or {}
        values["embeddedData"] = {name: data.get(name) for name in names["data"]}
    return values


def _receipt(contact: str) -> Receipt:
    return Receipt(external_id=contact, results={"id": contact})
