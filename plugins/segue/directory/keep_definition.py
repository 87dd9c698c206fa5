"""How long a directory's own snapshots are kept, and how many of the old ones."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from segue.documents import Definition, ProblemsFound
from segue.durations import Duration, DurationField

_DAYS_OF_A_CENTURY = 36_525


class Keep(Definition):
    """Every snapshot of ``days``, then one of each week or month as ``for`` says, then none.

    The one of a week, from Monday on, or of a month is its last, by the directory's zone.
    """

    days: Annotated[int, Field(ge=2, le=_DAYS_OF_A_CENTURY)]
    then: Literal["weekly", "monthly"] | None = None
    span: Annotated[DurationField | None, Field(alias="for")] = None

    @model_validator(mode="after")
    def _says_which_of_the_old_ones(self) -> Self:
        if self.span is not None and self.then is None:
            message = "which of the older snapshots are kept is missing; expected weekly or monthly"
            raise ProblemsFound([(("then",), message)])
        if self.span is not None and self.span.approximate().days <= self.days:
            message = f"found {self.span}; expected more than the {self.days} days before it"
            raise ProblemsFound([(("for",), message)])
        return self

    def all_since(self, now: datetime, zone: ZoneInfo) -> datetime:
        """Return from which as-of on every snapshot is kept, in UTC."""
        return Duration(self.days, "d").before(now, zone)

    def some_since(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """Return from which as-of on some are; None: all the way back, where some are at all."""
        return None if self.span is None else self.span.before(now, zone)

    def period(self, day: date) -> tuple[int, int]:
        """Return the week or month of a day, of whose snapshots the last is kept."""
        if self.then == "weekly":
            year, week, _ = day.isocalendar()
            return year, week
        return day.year, day.month
