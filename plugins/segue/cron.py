"""Schedules: cron expressions as definitions write them, and when they come round.

They go by the wall clock of a directory's zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from typing import Annotated
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter
from pydantic import AfterValidator, WithJsonSchema

from segue.durations import localize
from segue.hints import did_you_mean

_A_FRIDAY = datetime(2027, 1, 1)  # noqa: DTZ001 - a wall clock's; the longest pauses are weekends
_LOOKED_AT = (
    750  # ticks: two years of a daily schedule, a weekend of one by the minute of office hours
)
ON_SNAPSHOT = "on_snapshot"  # in the place of a cron expression: when a snapshot lands
PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}


def _cron(value: str) -> str:
    """Return a cron expression of five fields; ``"@daily"`` and friends become one."""
    expression = PRESETS.get(value, value)
    if value.startswith("@") and value not in PRESETS:
        raise ValueError(f"found {value!r}; allowed: a cron expression or {', '.join(PRESETS)}")
    random = re.search(r"(^|[ ,])[RH]([ ,(/]|$)", expression)  # other times whenever it is asked
    if random or len(expression.split()) != 5 or not _ever_fires(expression):
        raise ValueError(
            f"{value!r} is not a cron expression; allowed: five fields (minute hour day month "
            f'weekday) such as "0 6 * * *", or {", ".join(PRESETS)}'
        )
    return expression


def _cron_or_snapshot(value: str) -> str:
    """Return ``on_snapshot`` as it is, or a cron expression of five fields."""
    if value == ON_SNAPSHOT:
        return value
    try:
        return _cron(value)
    except ValueError as error:
        hint = did_you_mean(value, [ON_SNAPSHOT])
        raise ValueError(f"{error}; or {ON_SNAPSHOT}, as each snapshot lands{hint}") from None


def _ever_fires(expression: str) -> bool:
    try:
        croniter(expression, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except CroniterError:
        return False
    return True


def _start(value: str) -> str:
    try:
        year = datetime.fromisoformat(value).year
    except ValueError:
        year = 0
    if not 1970 <= year <= 2200:
        raise ValueError(f"{value!r} is not a date; allowed: 2026-11-01 or 2026-11-01T06:00")
    return value


Cron = Annotated[str, AfterValidator(_cron)]
CronOrSnapshot = Annotated[
    str,
    AfterValidator(_cron_or_snapshot),
    WithJsonSchema({"anyOf": [{"const": ON_SNAPSHOT}, {"type": "string"}]}),
]
Start = Annotated[str, AfterValidator(_start)]


def start_instant(start: str, zone: ZoneInfo) -> datetime:
    """Return a definition's ``start`` as an instant in UTC; a date is its midnight in ``zone``."""
    when = datetime.fromisoformat(start)
    return localize(when, zone) if when.tzinfo is None else when.astimezone(UTC)


def ticks_after(cron: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the times of a schedule after ``after``, in UTC."""
    wall = after.astimezone(zone).replace(tzinfo=None)
    for tick in _wall_ticks(cron, wall):
        yield localize(tick, zone)


def next_tick(cron: str, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the first time of a schedule after ``after``, in UTC."""
    return next(ticks_after(cron, after, zone))


def last_tick(cron: str, until: datetime, zone: ZoneInfo) -> datetime:
    """Return the last time of a schedule that is not after ``until``, in UTC."""
    ticks = croniter(cron, until.astimezone(zone).replace(tzinfo=None) + timedelta(seconds=1))
    while True:  # by the wall clock an hour is there twice in autumn
        tick = localize(ticks.get_prev(datetime), zone)
        if tick <= until:
            return tick


@lru_cache(maxsize=256)
def longest_step(cron: str) -> timedelta:
    """Return the longest time between two ticks by the wall clock: three days for weekdays."""
    ticks = islice(_wall_ticks(cron, _A_FRIDAY), _LOOKED_AT)
    near = takewhile(lambda tick: tick.year < _A_FRIDAY.year + 9, ticks)  # 29 February, and no end
    return max((after - before for before, after in pairwise(near)), default=timedelta(days=365))


def _wall_ticks(cron: str, after: datetime) -> Iterator[datetime]:
    ticks = croniter(cron, after)
    while True:
        yield ticks.get_next(datetime)
