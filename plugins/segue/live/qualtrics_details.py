"""Details from a Qualtrics XM Directory: one GET per contact, whatever shape it comes in.

Followed:
    https://api.qualtrics.com/dd105bd826317-get-directory-contact (GET /directories/{directoryId}/
    contacts/{contactId}), whose answer's fields are as public clients of it show them
    https://developers.qodex.ai/qualtrics-public/contacts (a mirror of the pages on contacts; list,
    search and creation name the same fields otherwise)

An unknown contact is a 404 with an error code; so is an unknown directory, and an unknown path is
one without a code. So that a slip in the directory's id does not pass for contacts that are not
there, its contacts are listed once when the first contact is not found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from segue.channels.http.answers import ANOTHER_SHAPE
from segue.channels.http.calls import HttpCalls
from segue.channels.qualtrics.calls import (
    CONNECTION,
    error_codes,
    open_qualtrics,
    qualtrics_limits,
)
from segue.contracts.channel import Finding, Limit, Tried
from segue.contracts.live_source import Answer, FoundByName, LiveReader, LiveSource
from segue.errors import ConnectionFailure, ContactFailure

if TYPE_CHECKING:
    from requests import Response

# our names, and Qualtrics' own, which differ by endpoint
ALIASES = {
    "first_name": ("firstName",),
    "last_name": ("lastName",),
    "email": ("email",),
    "phone": ("phone", "phoneNumber"),
    "language": ("language",),
    "external_reference": ("extRef", "externalDataReference"),
    "unsubscribed": ("directoryUnsubscribed", "unsubscribed"),
    "created_at": ("creationDate",),
    "modified_at": ("lastModified",),
}
_ID = re.compile(r"^[A-Za-z0-9_-]+$", re.ASCII)
_IDS = ("contactId", "id")
_TIMES = ("created_at", "modified_at")


class QualtricsDetails(LiveSource):
    """Ask a Qualtrics XM Directory for a contact's details.

    It gives the standard fields under our names, and the embedded data that ``fields`` names.
    """

    name: ClassVar[str] = "qualtrics"
    reads: ClassVar[frozenset[str]] = frozenset()

    connection: str = CONNECTION
    directory: Annotated[str, StringConstraints(pattern=_ID.pattern)]
    fields: FoundByName = Field(default_factory=dict)

    @property
    def provides(self) -> Collection[str]:
        """The standard fields and those of ``fields``."""
        return tuple(dict.fromkeys([*ALIASES, *self.fields]))

    @property
    def needs(self) -> Set[str]:
        """The directory."""
        return {self.directory}

    def connect(self) -> QualtricsReader:
        """Open a session; nothing is asked yet."""
        limits = qualtrics_limits(self.connection)
        return QualtricsReader(self, open_qualtrics(self.connection), limits)


class QualtricsReader(LiveReader):
    """An open session with Qualtrics."""

    def __init__(self, source: QualtricsDetails, calls: HttpCalls, limits: Sequence[Limit]) -> None:
        self._source = source
        self._calls = calls
        self._limits = limits
        self._lock = Lock()
        self._directory_is_there = False

    def __exit__(self, *exc: object) -> None:
        self._calls.close()

    def look_up(self, contacts: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Answer]:
        """Ask for one contact."""
        [contact] = contacts
        if not _ID.fullmatch(contact):  # Qualtrics has no such id, and it might be another path
            return {}
        path = f"/directories/{self._source.directory}/contacts/{contact}"
        try:
            answer = self._calls.fetch(path, is_absent=_is_absent)
            if answer is None:
                self._require_directory()
                return {}
            return {contact: self._details_of(contact, answer)}
        except ContactFailure as failure:
            return {contact: failure}

    def limits(self) -> Sequence[Limit]:
        """Return the connection's limit."""
        return self._limits

    def check(self, needs: Set[str]) -> Finding:
        """List a contact of each directory."""
        for directory in sorted(needs):
            self._list(directory)
        return Finding(Tried.OK, f"lists contacts of {', '.join(sorted(needs))}")

    def _require_directory(self) -> None:
        """Raise ConnectionFailure where the directory is not there; asked once."""
        with self._lock:
            if not self._directory_is_there:
                self._list(self._source.directory)
            self._directory_is_there = True

    def _list(self, directory: str) -> None:
        path, query = f"/directories/{directory}/contacts", {"pageSize": "1"}
        if self._calls.fetch(path, query, is_absent=_is_absent) is None:
            raise ConnectionFailure(
                f"Qualtrics has no directory {directory!r}, or its user may not see it; check "
                "`directory`, and the connection's token"
            )

    def _details_of(self, contact: str, answer: Any) -> Mapping[str, Any]:
        record = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(record, dict):
            raise ContactFailure("Qualtrics answered 200 without a contact")
        contact_id = _first(record, _IDS)
        if contact_id not in (None, contact):
            raise ContactFailure("Qualtrics answered with another contact; was it merged?")
        return standard_details(record, self._source.fields)


def standard_details(record: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a contact of any endpoint by our names; ``embedded`` are names of embedded data.

    Who is unsubscribed under any of its names is unsubscribed. Times are milliseconds since 1970,
    or text.
    """
    fields = {name: _first(record, theirs) for name, theirs in ALIASES.items()}
    opted_out = [record.get(name) for name in ALIASES["unsubscribed"]]
    if True in opted_out:
        fields["unsubscribed"] = True
    for name in _TIMES:
        fields[name] = _time(name, fields[name])
    data = record.get("embeddedData") or {}
    return {**fields, **{name: data.get(theirs) for name, theirs in names.items()}}


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _time(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        raise ContactFailure(f"{name} is no time") from None


def _is_absent(response: Response) -> bool:
    """True of a 404 with a code: without one, there is no such path."""
    if response.status_code != 404:
        return False
    try:
        return any(error_codes(response.json()))
    except ANOTHER_SHAPE:
        return False
