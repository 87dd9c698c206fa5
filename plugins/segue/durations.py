"""Durations as definitions write them: ``45m`` and ``12h`` are exact, ``30d`` walks the calendar.

The rule is docs/conditions.md, "Dates": calendar steps keep the wall clock of a time zone, the day
is clipped to the month's last, a wall-clock time that does not exist moves forward, and one that
exists twice is the first. A day's first instant is its midnight, whatever the clock shows then.
Beyond the years 1 to 9999 an instant is the first or the last there is.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_EXACT_SECONDS = {"s": 1, "m": 60, "h": 3600}
_CALENDAR_DAYS = {"d": 1, "w": 7}
_CALENDAR_MONTHS = {"mo": 1, "y": 12}
_PATTERN = re.compile(r"([0-9]{1,6})(mo|[smhdwy])")
ALLOWED = "a whole number and a unit: s, m, h (exact), d, w, mo, y (calendar), such as 30d"
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time: ``amount`` of ``unit``."""

    amount: int
    unit: str

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"

    def before(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """Return the instant this long before an aware one, in UTC, or the earliest there is."""
        try:
            return self._step(instant, zone, -1)
        except (OverflowError, ValueError):  # earlier than the year 1
            return EARLIEST

    def after(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """Return the instant this long after an aware one, in UTC, or the latest there is."""
        try:
            return self._step(instant, zone, 1)
        except (OverflowError, ValueError):  # later than the year 9999
            return LATEST

    def approximate(self) -> timedelta:
        """Return the length where no calendar is at hand; a month counts 30 days, a year 365."""
        days = {**_CALENDAR_DAYS, "mo": 30, "y": 365}
        if self.unit in days:
            return timedelta(days=self.amount * days[self.unit])
        return timedelta(seconds=self.amount * _EXACT_SECONDS[self.unit])

    def _step(self, instant: datetime, zone: ZoneInfo, sign: int) -> datetime:
        if self.unit in _EXACT_SECONDS:
            seconds = sign * self.amount * _EXACT_SECONDS[self.unit]
            return instant.astimezone(UTC) + timedelta(seconds=seconds)
        wall = _wall(instant, zone)
        if self.unit in _CALENDAR_DAYS:
            target = wall + sign * timedelta(days=self.amount * _CALENDAR_DAYS[self.unit])
        else:
            target = _add_months(wall, sign * self.amount * _CALENDAR_MONTHS[self.unit])
        return localize(target, zone)


def zone_named(text: str) -> ZoneInfo | None:
    """Return the time zone that a contact's field names, in any case, or None.

    HubSpot writes ``america_slash_new_york``.
    """
    name = zone_spellings().get(text.strip().lower())
    return None if name is None else ZoneInfo(name)


@cache
def zone_spellings() -> dict[str, str]:
    """Return the names of all zones by how they may be written, in lower case."""
    names = {name.lower(): name for name in sorted(available_timezones())}
    return {spelling.replace("/", "_slash_"): name for spelling, name in names.items()} | names


def localize(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, of a naive wall-clock time in ``zone``."""
    # fold=0 takes the first of two; in a gap it keeps the offset from before the jump, which
    # moves the time forward by the length of the gap.
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return the naive wall-clock time; of a day's first instant it is midnight.

    Where the clock goes forward at midnight, it shows 01:00 then.
    """
    wall = instant.astimezone(zone).replace(tzinfo=None)
    midnight = datetime.combine(wall.date(), time.min)
    is_first = midnight.replace(tzinfo=zone) - instant.astimezone(UTC) == timedelta()
    return midnight if is_first else wall


def parse_duration(value: Any) -> Duration:
    """Read ``30d`` and the like; raise ValueError that says what is allowed."""
    if isinstance(value, Duration):
        return value
    match = _PATTERN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; allowed: {ALLOWED}")
    return Duration(int(match[1]), match[2])


def _add_months(wall: datetime, months: int) -> datetime:
    year, month0 = divmod(wall.year * 12 + wall.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month0 + 1)[1]
    return wall.replace(year=year, month=month0 + 1, day=min(wall.day, last_day))


def _within_a_century(duration: Duration) -> Duration:
    if duration.approximate() > timedelta(days=36525):
        raise ValueError(f"found {duration}; allowed: up to a century")
    return duration


DurationField = Annotated[
    Duration,
    BeforeValidator(parse_duration),
    AfterValidator(_within_a_century),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN.pattern}$", "examples": ["30d"]}),
]
