"""A team's own examples beside a definition: ``tests:``, which ``segue test`` holds it against.

Only what is written stands here. Examples say what is expected and decide nothing: they are part
neither of a definition's digest nor of a membership's key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from segue.documents import Definition, Items, Location, Name, did_you_mean
from segue.durations import localize
from segue.errors import DataError

DEFAULT_ID = "example"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError("expected text, a number, true, false, null or a list, found a mapping")  # noqa: TRY004 - pydantic's
    return value


def _instant(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        expectation = "2026-11-22 (its midnight) or 2026-11-22T06:00:00Z"
        raise ValueError(f"{value!r} is not an instant; allowed: {expectation}") from None
    return value


def _with_text_id(contact: dict[str, Any]) -> dict[str, Any]:
    contact_id = contact.get("contact_id", DEFAULT_ID)
    if not isinstance(contact_id, str) or not contact_id:
        raise ValueError(f'contact_id: found {contact_id!r}; contact ids are text: "{contact_id}"')
    return contact


def _of_the_contact(row: dict[str, Any]) -> dict[str, Any]:
    if "contact_id" in row:
        raise ValueError("found contact_id; all transactions of an example are its contact's")
    return row


Value = Annotated[Any, AfterValidator(_plain)]
Row = dict[str, Value]
Scope = Annotated[str, Field(pattern=r"^(directory|segment:[a-z][a-z0-9_]{0,62})$")]


class Example(Definition):
    """One contact as a snapshot knows it."""

    name: Annotated[str, Field(min_length=1)]
    as_of: Annotated[str, AfterValidator(_instant)]  # a date is its midnight
    contact: Annotated[Row, AfterValidator(_with_text_id)] = Field(default_factory=dict)
    transactions: Items[Annotated[Row, AfterValidator(_of_the_contact)]] = ()
    mailing_lists: dict[str, bool] = Field(default_factory=dict)  # name: opted in
    subscriptions: dict[Scope, bool] = Field(default_factory=dict)  # scope: opted in
    segments: dict[Name, bool] = Field(default_factory=dict)  # name: member, whatever they say

    @property
    def contact_id(self) -> str:
        """The contact's id."""
        return str(self.contact.get("contact_id", DEFAULT_ID))

    def instant(self, zone: ZoneInfo) -> datetime:
        """Return ``as_of`` in UTC; without an offset it is in ``zone``.

        Raises DataError at the ends of the calendar, where zones and windows reach beyond it.
        """
        when = datetime.fromisoformat(self.as_of)
        if not MINYEAR < when.year < MAXYEAR:
            raise DataError(f"as_of: found {self.as_of}; allowed: the years 2 to 9998")
        return localize(when, zone) if when.tzinfo is None else when.astimezone(UTC)


class SegmentExample(Example):
    """A contact, and whether it is a member."""

    member: bool
    opted_in: bool | None = None  # None: not looked at


def unknown_names(
    data: Any, columns: Mapping[str, Collection[str]] | None, segments: Collection[str]
) -> Iterator[tuple[Location, str]]:
    """Yield what examples, as written, name that is not there: (location in the list, message).

    ``columns`` are those of the directory's tables, None where they are not known.
    """
    for index, example in enumerate(data if isinstance(data, list) else ()):
        if not isinstance(example, dict):
            continue
        memberships = example.get("segments")
        for name in memberships if isinstance(memberships, dict) else ():
            if name not in segments:
                message = f"there is no segment {name!r}{did_you_mean(name, segments)}"
                yield (index, "segments", name), message
        if columns is not None:
            for location, message in _unknown_fields(example, columns):
                yield (index, *location), message


def _unknown_fields(
    example: Mapping[str, Any], columns: Mapping[str, Collection[str]]
) -> Iterator[tuple[Location, str]]:
    rows: list[tuple[str, Location, Any]] = [("contacts", ("contact",), example.get("contact"))]
    transactions = example.get("transactions")
    for index, row in enumerate(transactions if isinstance(transactions, list) else ()):
        rows.append(("transactions", ("transactions", index), row))
    for table, location, row in rows:
        names = sorted({*columns.get(table, ()), *({"contact_id"} if table == "contacts" else ())})
        for name in row if isinstance(row, dict) else ():
            if table not in columns:
                yield location, f"the directory has no table {table}"
            elif name not in names:
                choices = f"allowed: {', '.join(names)}{did_you_mean(name, names)}"
                yield (*location, name), f"unknown field {name!r} in {table}; {choices}"
