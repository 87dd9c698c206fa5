"""Wall-clock time and instants, whole columns at a time (docs/conditions.md, "Dates")."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

_Offset = Callable[[ZoneInfo, int], int]
_DAY = 86_400
_FIRST_DAY = (date.min - date(1970, 1, 1)).days
_LAST_DAY = (date.max - date(1970, 1, 1)).days


def to_utc(wall: npt.NDArray[np.int64], scale: int, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """Return wall-clock times (1/10**scale seconds since 1970) of ``zone`` as UTC, same units.

    As ``segue.durations.localize``: the first of two, and forward out of a gap.
    """
    if str(zone) == "UTC":
        return wall
    second = 10**scale
    utc: npt.NDArray[np.int64] = wall - _offsets(wall, second, zone, _offset) * second
    return utc


def local_days(instants: npt.NDArray[Any], scale: int, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """Return the calendar day in ``zone``, counted from 1970, of times in 1/10**scale seconds."""
    seconds = np.clip(instants // 10**scale, _FIRST_DAY * _DAY, _LAST_DAY * _DAY + _DAY - 1)
    seconds = seconds.astype(np.int64, copy=False)
    days: npt.NDArray[np.int64] = (seconds + _offsets(seconds, 1, zone, _offset_at)) // _DAY
    return np.clip(days, _FIRST_DAY, _LAST_DAY)


def _offsets(times: npt.NDArray[np.int64], second: int, zone: ZoneInfo, offset: _Offset) -> Any:
    """Return how many seconds ``zone`` is ahead of UTC at each time, as ``offset`` says of one.

    It is asked once a day, and for each time of the days on which it changes.
    """
    if not len(times):
        return times
    days = np.clip(times // (_DAY * second), _FIRST_DAY, _LAST_DAY)
    first = int(days.min())
    present = np.zeros(int(days.max()) - first + 1, dtype=bool)
    present[days - first] = True
    offsets = np.zeros(len(present), dtype=np.int64)
    has_change = np.zeros(len(present), dtype=bool)
    for index in np.flatnonzero(present):
        offsets[index], has_change[index] = _offset_of_day(offset, zone, first + int(index))
    shift = offsets[days - first]
    rows = np.flatnonzero(has_change[days - first])
    some, which = np.unique(times[rows] // second, return_inverse=True)
    shift[rows] = np.array([offset(zone, int(time)) for time in some], dtype=np.int64)[which]
    return shift


def _offset_at(zone: ZoneInfo, second: int) -> int:
    """Return how many seconds ``zone`` is ahead of UTC at an instant."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    try:
        offset = instant.astimezone(zone).utcoffset() or timedelta()
    except OverflowError:  # within hours of the first or the last instant there is
        return 0
    return round(offset.total_seconds())


@cache
def _offset_of_day(offset: _Offset, zone: ZoneInfo, day: int) -> tuple[int, bool]:
    """Return the offset in seconds at the start of a day, and whether it changes on that day."""
    start, end = offset(zone, day * _DAY), offset(zone, day * _DAY + _DAY - 1)
    return start, start != end


def _offset(zone: ZoneInfo, wall: int) -> int:
    """Return how many seconds ``zone`` is ahead of UTC at a wall-clock time."""
    in_range = min(max(wall, _FIRST_DAY * _DAY), _LAST_DAY * _DAY + _DAY - 1)
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=in_range)
    offset = local.replace(tzinfo=zone, fold=0).utcoffset() or timedelta()
    return round(offset.total_seconds())
