"""When actions may be taken: hours of the day, days of the week, how many in an hour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from segue.directory.definition import zone_name
from segue.documents import Definition, Items
from segue.durations import Duration, DurationField

_UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_PACE = re.compile(rf"([1-9][0-9]{{0,6}}) per ({'|'.join(_UNITS)})")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)  # Monday is the first, as `date.weekday` has it
_WALL_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def _wall_clock(value: object) -> time:
    match = _WALL_CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'found {value!r}; allowed: a time of day in quotes, such as "21:00"')
    return time(int(match[1]), int(match[2]))


WallClock = Annotated[
    time,
    BeforeValidator(_wall_clock),
    PlainSerializer(lambda value: f"{value:%H:%M}"),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_WALL_CLOCK.pattern}$", "examples": ["21:00"]}
    ),
]


@dataclass(frozen=True, slots=True)
class Pace:
    """At most so many calls of an action in a time, spread evenly."""

    count: int
    unit: str

    @property
    def seconds(self) -> float:
        """How long the unit of time is."""
        return _UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.count} per {self.unit}"


def _pace(value: object) -> Pace:
    match = _PACE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        units = ", ".join(_UNITS)
        allowed = f"a number per time ({units}), such as 5000 per hour"
        raise ValueError(f"found {value!r}; allowed: {allowed}")
    return Pace(int(match[1]), match[2])


PaceField = Annotated[
    Pace,
    PlainValidator(_pace),
    PlainSerializer(str),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_PACE.pattern}$", "examples": ["5000 per hour"]}
    ),
]
ZoneName = Annotated[str, AfterValidator(zone_name)]


class QuietHours(Definition):
    """The hours in which no message to a contact goes out; it is held until they end.

    They are those of ``timezone`` (the directory's where left out), or of the zone that the
    contact's own field ``timezone_field`` names, where it names one. A message that waited longer
    than ``expires`` since its change was found is not sent any more.
    """

    begin: Annotated[WallClock, Field(alias="from")]
    end: Annotated[WallClock, Field(alias="to")]
    timezone: ZoneName | None = None
    timezone_field: str | None = None
    expires: DurationField = Duration(24, "h")

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.begin == self.end:
            raise ValueError(f"from and to are both {self.begin:%H:%M}; allowed: two times")
        return self


class Wait(Definition):
    """How long an action waits after the change, or after what it comes after was delivered.

    First ``for`` passes, in steps of the directory's calendar; then comes the first of the days in
    ``on`` (any, where left out), at the time ``at``. Of these the clock is that of ``timezone``
    (the directory's where left out), or of the zone that the contact's own field
    ``timezone_field`` names, where it names one.
    """

    duration: Annotated[DurationField | None, Field(alias="for")] = None
    at: WallClock | None = None
    on: Annotated[Items[Weekday], Field(min_length=1)] | None = None
    timezone: ZoneName | None = None
    timezone_field: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_duration(cls, data: Any) -> Any:
        if isinstance(data, str | Duration):
            return {"for": data}
        if not isinstance(data, dict | Wait):
            allowed = "a duration such as 3d, or a mapping of for, at and on"
            raise ValueError(f"found {data!r}; allowed: {allowed}")  # noqa: TRY004 - pydantic's
        return data

    @model_validator(mode="after")
    def _is_about_a_time(self) -> Self:
        if self.duration is None and self.at is None and self.on is None:
            raise ValueError(
                "there is none of for, at and on; allowed: a duration such as 3d, or some of these"
            )
        if self.at is None and self.on is None and (self.timezone or self.timezone_field):
            raise ValueError("a time zone is read for `at` and `on` alone, and there is neither")
        return self

    def __str__(self) -> str:
        days = ", ".join(self.on or ())
        parts = {"": self.duration, "on ": days, "at ": self.at and f"{self.at:%H:%M}"}
        return " ".join(f"{word}{value}" for word, value in parts.items() if value)


WaitField = Annotated[
    Wait,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["3d"]},
                {"type": "object"},
            ]
        }
    ),
]
