"""The definition of a directory: where its snapshots are, and what their columns are called."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from segue.directory.expect_definition import TableExpectations
from segue.directory.keep_definition import Keep
from segue.directory.lake_definition import Lake
from segue.directory.look_alikes import says_opted_in
from segue.directory.take_definition import Take
from segue.directory.take_source import TableName
from segue.documents import (
    Definition,
    Items,
    Location,
    Name,
    ProblemsFound,
    did_you_mean,
    full_name,
)
from segue.durations import Duration, DurationField

UNSUBSCRIBED = "unsubscribed"

STANDARD_COLUMNS: dict[str, tuple[str, ...]] = {
    "contacts": (
        "contact_id",
        "first_name",
        "last_name",
        "email",
        "phone",
        "language",
        "external_reference",
        UNSUBSCRIBED,
        "created_at",
        "modified_at",
    ),
    "transactions": ("contact_id", "date"),
    "mailing_lists": ("contact_id", "mailing_list", "opted_in"),
    "subscriptions": ("contact_id", "scope", "opted_in"),
}


def zone_name(name: str) -> str:
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


_STATES: dict[TableName, tuple[str, bool]] = {  # its opt state, and whether it says who opted in
    "contacts": (UNSUBSCRIBED, False),
    "mailing_lists": ("opted_in", True),
    "subscriptions": ("opted_in", True),
}


def reversal_problem(name: str, *, is_in: bool) -> str | None:
    """Say that a column's name says the opposite of what it is read as; None where it does not."""
    says_in = says_opted_in(name)
    if says_in is None or says_in == is_in:
        return None
    name_says, place_says = ("in", "out") if says_in else ("out", "in")
    return (
        f"{name!r} seems to say who opted {name_says}; here stands a column that says who opted "
        f"{place_says}. Of contacts, write consent: {{opted_{name_says}: {name}}}; elsewhere, "
        "write it the other way round into the snapshot. If a column of contacts says the opposite "
        f"of its name, give it one in the directory's `columns` that says who opted {place_says}"
    )


class Consent(Definition):
    """Where a directory says who opted out, beside the rows of subscriptions."""

    # A column of contacts, theirs or ours; without one, the standard `unsubscribed`.
    opted_in: Annotated[str, Field(min_length=1)] | None = None
    opted_out: Annotated[str, Field(min_length=1)] | None = None
    # Columns whose names look like an opt state and that are fields like any other.
    not_opt_states: Items[str] = ()
    # Segments that are gone: rows of subscriptions about them mean nothing any more.
    former_segments: Items[Name] = ()
    # Rows of subscriptions that opt out ids that no contact has: most of them may be, or not.
    unknown_contacts: Literal["refuse", "ignore"] = "refuse"

    @model_validator(mode="after")
    def _has_one_direction(self) -> Self:
        if self.opted_in is not None and self.opted_out is not None:
            message = "found opted_in and opted_out together; expected one of them"
            raise ProblemsFound([(("opted_out",), message)])
        column = self.column or UNSUBSCRIBED
        if column in self.not_opt_states:
            message = f"{column!r} is the opt state; it cannot be none"
            raise ProblemsFound([(("not_opt_states",), message)])
        return self

    @property
    def column(self) -> str | None:
        """The column of contacts that says who opted in or out."""
        return self.opted_in if self.opted_in is not None else self.opted_out


class DirectoryDefinition(Definition):
    """A population of contacts and where its snapshots are found."""

    directory: Name
    description: str | None = None
    # The folder of snapshots; none, and so empty, where a lake has them.
    snapshots: Annotated[str, Field(min_length=1), AfterValidator(_resolve)] = Field(
        default_factory=str
    )
    timezone: Annotated[str, AfterValidator(zone_name)] = "UTC"
    date_keys: Literal["end_of_day", "start_of_day"] = "end_of_day"
    complete_marker: Annotated[str, Field(min_length=1)] | None = None
    settle: DurationField = Duration(60, "s")
    # Per table: standard name -> theirs.
    columns: dict[TableName, dict[str, str]] = Field(default_factory=dict)
    # Per table: the columns there are, for checks where no snapshot can be asked.
    fields: dict[TableName, Items[str]] = Field(default_factory=dict)
    # Without it: the column `unsubscribed` of contacts, and the table subscriptions.
    consent: Consent | Literal["none"] | None = None
    # Per table: what every snapshot has to be, before it is published and before a run uses it.
    expect: dict[TableName, TableExpectations] = Field(default_factory=dict)
    # Without it, somebody else writes the snapshots.
    take: Take | None = None
    # How long; without it, for ever.
    keep: Keep | None = None
    # Tables that keep their own history, in the place of a folder of snapshots.
    lake: Lake | None = None

    _segments: Container[str] | None = PrivateAttr(default=None)
    _project: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.lake is None:
            if "snapshots" not in self.model_fields_set:
                message = "the key 'snapshots' is missing"
                raise ProblemsFound([(("snapshots",), message)])
            return self
        problems: list[tuple[Location, str]] = [
            ((key,), "the tables of a `lake` are its snapshots; expected one of the two")
            for key in ("snapshots", "take", "complete_marker")
            if getattr(self, key)
        ]
        if problems:
            raise ProblemsFound(problems)
        return self

    @model_validator(mode="after")
    def _keeps_its_own(self) -> Self:
        if self.keep is not None and self.take is None:
            message = (
                "snapshots that somebody else writes are not deleted; expected `take` beside it"
            )
            raise ProblemsFound([(("keep",), message)])
        return self

    @model_validator(mode="after")
    def _names_days_as_it_takes_them(self) -> Self:
        if self.take is not None and self.date_keys == "start_of_day":
            message = (
                "a day's key names the day that is over where the directory takes its own "
                "snapshots; expected date_keys: end_of_day"
            )
            raise ProblemsFound([(("date_keys",), message)])
        return self

    @model_validator(mode="after")
    def _takes_no_for_no(self) -> Self:
        """A column that says who opted in, read as one that says who opted out, writes to them."""
        problems = [
            (place, message)
            for place, name, is_in in self._opt_state_names()
            if (message := reversal_problem(name, is_in=is_in)) is not None
        ]
        if problems:
            raise ProblemsFound(problems)
        return self

    def _opt_state_names(self) -> Iterator[tuple[Location, str, bool]]:
        """Yield where an opt state is named, its name, and whether it is to say who opted in."""
        for table, (column, is_in) in _STATES.items():
            name = self.columns.get(table, {}).get(column)
            if name is not None:
                yield ("columns", table, column), name, is_in
        name = self.opt_state.column
        if name is not None:
            is_in = self.opt_state.opted_in is not None
            key = "opted_in" if is_in else "opted_out"
            if says_opted_in(name) is None:  # the directory's own name, if it says it, is meant
                name = self.columns.get("contacts", {}).get(name, name)
            yield ("consent", key), name, is_in

    @model_validator(mode="after")
    def _says_once_who_opted_out(self) -> Self:
        own_name = self.columns.get("contacts", {}).get(UNSUBSCRIBED)
        if own_name is not None and (self.consent == "none" or self.opt_state.column):
            place: Location = ("columns", "contacts", UNSUBSCRIBED)
            message = f"{UNSUBSCRIBED!r} is mapped, and `consent` says otherwise; expected one"
            raise ProblemsFound([(place, message)])
        return self

    @model_validator(mode="after")
    def _calls_one_column_unsubscribed(self) -> Self:
        """Another column of the standard name would be hidden behind what ``consent`` names."""
        column, columns = self.opt_state.column, self.columns.get("contacts", {})
        if (
            column not in (None, UNSUBSCRIBED)
            and UNSUBSCRIBED in self.opt_state.not_opt_states
            and UNSUBSCRIBED not in columns.values()
        ):
            message = (
                f"{UNSUBSCRIBED!r} is the name of the opt state, which is {column!r}; give the "
                "other column a name of its own in the directory's `columns`, such as "
                f"{{contacts: {{own_{UNSUBSCRIBED}: {UNSUBSCRIBED}}}}}"
            )
            raise ProblemsFound([(("consent", "not_opt_states"), message)])
        return self

    @property
    def opt_state(self) -> Consent:
        """What ``consent`` says beside ``none``."""
        return self.consent if isinstance(self.consent, Consent) else Consent()

    @property
    def is_elsewhere(self) -> bool:
        """Whether the snapshots may be out of reach of this machine: in a storage or a catalog."""
        if self.lake is None:
            return "://" in self.snapshots
        places = self.lake.tables.values()
        return self.lake.catalog is not None or any("://" in place for place in places)

    @property
    def place(self) -> str:
        """Where the snapshots are, for messages and caches; without a password."""
        if self.lake is not None:
            tables = ", ".join(self.lake.tables.values())
            return f"{self.lake.catalog}: {tables}" if self.lake.catalog else tables
        return re.sub(r"//[^/@]*@", "//***@", self.snapshots)

    def with_segments(self, segments: Container[str], project: str = "") -> Self:
        """Return the same directory, knowing the names of its segments, and its project."""
        copy = self.model_copy()
        copy._project = project
        copy._segments = segments
        return copy

    @property
    def full_name(self) -> str:
        """The name by which quarantines know it: two projects may each have one of its name."""
        return full_name(self.directory, self._project)

    def knows_segment(self, name: str) -> bool:
        """Tell whether opt-outs may be about this segment: it is one, or was.

        Where nobody has told which segments there are, any may be.
        """
        if name in self.opt_state.former_segments:
            return True
        return self._segments is None or name in self._segments

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the directory's dates and calendar steps."""
        return ZoneInfo(self.timezone)
