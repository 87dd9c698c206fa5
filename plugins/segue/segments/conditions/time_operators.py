"""The built-in operators of time: days and instants, before or after another, around the as-of.

A birthday is an anniversary: its day and month come round within a window after the as-of.
"""

from __future__ import annotations

from calendar import isleap
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from segue.durations import Duration
from segue.segments.conditions.operands import Day, Instant, Span
from segue.segments.conditions.registry import Moment, Operator, Reading, register

if TYPE_CHECKING:
    from segue.segments.columns.column import Column
    from segue.segments.columns.ordered import Mask
_ALL_ANNIVERSARIES = 1500  # days after which each has come round, 29 February in its own year


@register
class Before(Operator[datetime]):
    """The instant is strictly before the operand."""

    name, takes, reads = "before", Instant(), Reading.INSTANT

    def holds(self, column: Column, operand: datetime, moment: Moment) -> Mask:
        return column.instants.below(moment.instant(operand))


@register
class After(Operator[datetime]):
    """The instant is strictly after the operand."""

    name, takes, reads = "after", Instant(), Reading.INSTANT

    def holds(self, column: Column, operand: datetime, moment: Moment) -> Mask:
        return column.instants.above(moment.instant(operand))


@register
class OnDay(Operator[date]):
    """The instant is on that calendar day in the directory's zone."""

    name, complement, takes, reads = "on_day", "not_on_day", Day(), Reading.INSTANT

    def holds(self, column: Column, operand: date, moment: Moment) -> Mask:
        since = column.instants.at_least(moment.midnight(operand))
        return since & column.instants.below(moment.end_of(operand))


@register
class InPast(Operator[Duration]):
    """The instant is in [as-of - duration, as-of)."""

    name, complement, takes, reads = "in_past", "not_in_past", Span(), Reading.INSTANT

    def holds(self, column: Column, operand: Duration, moment: Moment) -> Mask:
        since = column.instants.at_least(moment.before(operand))
        return since & column.instants.below(moment.as_of)


@register
class InNext(Operator[Duration]):
    """The instant is in [as-of, as-of + duration)."""

    name, complement, takes, reads = "in_next", "not_in_next", Span(), Reading.INSTANT

    def holds(self, column: Column, operand: Duration, moment: Moment) -> Mask:
        until = column.instants.below(moment.after(operand))
        return until & column.instants.at_least(moment.as_of)


@register
class AnniversaryInNext(Operator[Duration]):
    """The day and month come round in [as-of, as-of + duration): the anniversary's midnight does.

    29 February counts as 28 in years that do not have it.
    """

    name, takes, reads = "anniversary_in_next", Span(), Reading.INSTANT

    def holds(self, column: Column, operand: Duration, moment: Moment) -> Mask:
        return column.instants.on_anniversary(anniversaries(operand, moment), moment.zone)


def anniversaries(window: Duration, moment: Moment) -> frozenset[tuple[int, int]]:
    """Return every (month, day) whose midnight is in [as-of, as-of + window)."""
    end = moment.after(window)
    day = moment.as_of.astimezone(moment.zone).date()
    days_of_year: set[tuple[int, int]] = set()
    for _ in range(_ALL_ANNIVERSARIES):
        midnight = moment.midnight(day)
        if moment.as_of <= midnight < end:
            days_of_year.add((day.month, day.day))
            if (day.month, day.day) == (2, 28) and not isleap(day.year):
                days_of_year.add((2, 29))
        if midnight >= end or day == date.max:
            break
        day += timedelta(days=1)
    return frozenset(days_of_year)
