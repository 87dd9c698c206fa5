"""Wall-clock time and instants, whole columns at a time (docs/conditions.md, "Dates")."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

_DAY = 86_400
_FIRST_DAY = (date.min - date(1970, 1, 1)).days
_LAST_DAY = (date.max - date(1970, 1, 1)).days


def to_utc(wall: npt.NDArray[np.int64], scale: int, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """Return wall-clock times (1/10**scale seconds since 1970) of ``zone`` as UTC, same units.

    As ``segue.durations.localize``: the first of two, and forward out of a gap.
    """
    if str(zone) == "UTC" or not len(wall):
        return wall
    second = 10**scale
    days = np.clip(wall // (_DAY * second), _FIRST_DAY, _LAST_DAY)
    first = int(days.min())
    present = np.zeros(int(days.max()) - first + 1, dtype=bool)
    present[days - first] = True
    offsets = np.zeros(len(present), dtype=np.int64)
    has_change = np.zeros(len(present), dtype=bool)
    for index in np.flatnonzero(present):
        offsets[index], has_change[index] = _offset_of_day(zone, first + int(index))
    shift = offsets[days - first]
    rows = np.flatnonzero(has_change[days - first])
    times, which = np.unique(wall[rows] // second, return_inverse=True)
    shift[rows] = np.array([_offset(zone, int(time)) for time in times], dtype=np.int64)[which]
    utc: npt.NDArray[np.int64] = wall - shift * second
    return utc


def local_days(instants: npt.NDArray[Any], scale: int, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """Return the calendar day in ``zone``, counted from 1970, of times in 1/10**scale seconds."""
    seconds = np.clip(instants // 10**scale, _FIRST_DAY * _DAY, _LAST_DAY * _DAY + _DAY - 1)
    seconds = seconds.astype(np.int64, copy=False)
    days: npt.NDArray[np.int64] = (seconds + _offsets_at(seconds, zone)) // _DAY
    return np.clip(days, _FIRST_DAY, _LAST_DAY)


def _offsets_at(seconds: npt.NDArray[np.int64], zone: ZoneInfo) -> npt.NDArray[np.int64]:
    """Return how many seconds ``zone`` is ahead of UTC at each instant."""
    days, which = np.unique(seconds // _DAY, return_inverse=True)
    ends = [
        (_offset_at(zone, day * _DAY), _offset_at(zone, day * _DAY + _DAY - 1))
        for day in days.tolist()
    ]
    offsets = np.array([start for start, _ in ends], dtype=np.int64)[which]
    has_change = np.array([start != end for start, end in ends], dtype=bool)[which]
    for row in np.flatnonzero(has_change):
        offsets[row] = _offset_at(zone, int(seconds[row]))
    return offsets


@cache
def _offset_at(zone: ZoneInfo, second: int) -> int:
    """Return how many seconds ``zone`` is ahead of UTC at an instant."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    try:
        offset = instant.astimezone(zone).utcoffset() or timedelta()
    except OverflowError:  # within hours of the first or the last instant there is
        return 0
    return round(offset.total_seconds())


@cache
def _offset_of_day(zone: ZoneInfo, day: int) -> tuple[int, bool]:
    """Return the offset in seconds at the start of a day, and whether it changes on that day."""
    start, end = _offset(zone, day * _DAY), _offset(zone, day * _DAY + _DAY - 1)
    return start, start != end


def _offset(zone: ZoneInfo, wall: int) -> int:
    """Return how many seconds ``zone`` is ahead of UTC at a wall-clock time."""
    in_range = min(max(wall, _FIRST_DAY * _DAY), _LAST_DAY * _DAY + _DAY - 1)
    local = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=in_range)
    offset = local.replace(tzinfo=zone, fold=0).utcoffset() or timedelta()
    return round(offset.total_seconds())
