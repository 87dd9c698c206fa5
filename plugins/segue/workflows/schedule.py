"""When a workflow's schedule comes round, by the wall clock of its directory's zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from croniter import croniter

from segue.durations import localize

_A_FRIDAY = datetime(2027, 1, 1)  # noqa: DTZ001 - a wall clock's; the longest pauses are weekends
_LOOKED_AT = (
    750  # ticks: two years of a daily schedule, a weekend of one by the minute of office hours
)


def ticks_after(cron: str, after: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the times of a schedule after ``after``, in UTC."""
    wall = after.astimezone(zone).replace(tzinfo=None)
    for tick in _wall_ticks(cron, wall):
        yield localize(tick, zone)


def next_tick(cron: str, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the first time of a schedule after ``after``, in UTC."""
    return next(ticks_after(cron, after, zone))


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
