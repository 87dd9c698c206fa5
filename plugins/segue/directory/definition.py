"""The definition of a directory: where its snapshots are, and what their columns are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, ValidationInfo

from segue.documents import Definition, Items, Name, did_you_mean
from segue.durations import Duration, DurationField

TableName = Literal["contacts", "transactions", "mailing_lists", "subscriptions"]

STANDARD_COLUMNS: dict[str, tuple[str, ...]] = {
    "contacts": (
        "contact_id",
        "first_name",
        "last_name",
        "email",
        "phone",
        "language",
        "external_reference",
        "unsubscribed",
        "created_at",
        "modified_at",
    ),
    "transactions": ("contact_id", "date"),
    "mailing_lists": ("contact_id", "mailing_list", "opted_in"),
    "subscriptions": ("contact_id", "scope", "opted_in"),
}


def known_zone(name: str) -> str:
    """Return the name of a time zone; raise ValueError for one that nobody knows."""
    if name not in available_timezones():
        hint = did_you_mean(name, available_timezones())
        raise ValueError(f"{name!r} is not a time zone; allowed: names such as Europe/London{hint}")
    return name


def _resolve(location: str, info: ValidationInfo) -> str:
    """Make a relative path absolute, from the definition's own folder; leave URLs alone."""
    if "://" in location:
        return location
    folder = (info.context or {}).get("folder", Path())
    return str((Path(folder) / Path(location).expanduser()).resolve())


class DirectoryDefinition(Definition):
    """A population of contacts and where its snapshots are found."""

    directory: Name
    description: str | None = None
    snapshots: Annotated[str, Field(min_length=1), AfterValidator(_resolve)]
    timezone: Annotated[str, AfterValidator(known_zone)] = "UTC"
    date_keys: Literal["end_of_day", "start_of_day"] = "end_of_day"
    complete_marker: Annotated[str, Field(min_length=1)] | None = None
    settle: DurationField = Duration(60, "s")
    # Per table: standard name -> theirs.
    columns: dict[TableName, dict[str, str]] = Field(default_factory=dict)
    # Per table: the columns there are, for checks where no snapshot can be asked.
    fields: dict[TableName, Items[str]] = Field(default_factory=dict)

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the directory's dates and calendar steps."""
        return ZoneInfo(self.timezone)
