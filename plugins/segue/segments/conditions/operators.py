"""The built-in operators (docs/conditions.md, "Fields"): positives; complements are generated."""

from __future__ import annotations

from calendar import isleap
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from segue.durations import Duration
from segue.segments.conditions.operands import (
    AnyScalar,
    Day,
    Flag,
    Instant,
    Number,
    NumberRange,
    Pattern,
    Scalar,
    ScalarList,
    Span,
    Text,
    compared_as,
)
from segue.segments.conditions.registry import Moment, Operator, Reading, register

if TYPE_CHECKING:
    from segue.segments.columns.column import Column
    from segue.segments.columns.ordered import Mask

_ALL_ANNIVERSARIES = 1500  # days after which each has come round, 29 February in its own year


@register
class Equals(Operator[Scalar]):
    """The value is the operand, read as the operand's type."""

    name, complement, takes = "equals", "not_equals", AnyScalar()
    reads = Reading.OPERAND

    def holds(self, column: Column, operand: Scalar, moment: Moment) -> Mask:
        if isinstance(operand, bool):
            return column.booleans.equal(operand)
        if isinstance(operand, str):
            return column.texts.equal(operand)
        return column.numbers.equal(operand)


@register
class OneOf(Operator[tuple[Scalar, ...]]):
    """The value is one of the elements, each judged by its own type."""

    name, complement, takes = "one_of", "none_of", ScalarList()
    reads = Reading.OPERAND

    def holds(self, column: Column, operand: tuple[Scalar, ...], moment: Moment) -> Mask:
        elements: dict[type, list[Any]] = {str: [], float: [], bool: []}
        for element in operand:
            elements[compared_as(element)].append(element)
        mask = ~column.everywhere
        if elements[str]:
            mask = mask | column.texts.one_of(elements[str])
        if elements[float]:
            mask = mask | column.numbers.one_of(elements[float])
        for flag in elements[bool]:
            mask = mask | column.booleans.equal(flag)
        return mask


@register
class IsEmpty(Operator[bool]):
    """The value is missing."""

    name, complement, takes = "is_empty", "is_set", Flag()

    def holds(self, column: Column, operand: bool, moment: Moment) -> Mask:
        return column.missing


@register
class Contains(Operator[str]):
    """The text has the operand somewhere in it."""

    name, complement, takes = "contains", "not_contains", Text()
    reads = Reading.TEXT

    def holds(self, column: Column, operand: str, moment: Moment) -> Mask:
        return column.texts.contains(operand)


@register
class StartsWith(Operator[str]):
    """The text begins with the operand."""

    name, complement, takes = "starts_with", "not_starts_with", Text()
    reads = Reading.TEXT

    def holds(self, column: Column, operand: str, moment: Moment) -> Mask:
        return column.texts.starts_with(operand)


@register
class EndsWith(Operator[str]):
    """The text ends with the operand."""

    name, complement, takes = "ends_with", "not_ends_with", Text()
    reads = Reading.TEXT

    def holds(self, column: Column, operand: str, moment: Moment) -> Mask:
        return column.texts.ends_with(operand)


@register
class Matches(Operator[str]):
    """A regular expression is found somewhere in the text."""

    name, complement, takes = "matches", "not_matches", Pattern()
    reads = Reading.TEXT

    def holds(self, column: Column, operand: str, moment: Moment) -> Mask:
        return column.texts.matches(operand)


@register
class GreaterThan(Operator[float]):
    """The number is above the operand."""

    name, takes = "greater_than", Number()
    reads = Reading.NUMBER

    def holds(self, column: Column, operand: float, moment: Moment) -> Mask:
        return column.numbers.above(operand)


@register
class AtLeast(Operator[float]):
    """The number is the operand or above it."""

    name, takes = "at_least", Number()
    reads = Reading.NUMBER

    def holds(self, column: Column, operand: float, moment: Moment) -> Mask:
        return column.numbers.at_least(operand)


@register
class LessThan(Operator[float]):
    """The number is below the operand."""

    name, takes = "less_than", Number()
    reads = Reading.NUMBER

    def holds(self, column: Column, operand: float, moment: Moment) -> Mask:
        return column.numbers.below(operand)


@register
class AtMost(Operator[float]):
    """The number is the operand or below it."""

    name, takes = "at_most", Number()
    reads = Reading.NUMBER

    def holds(self, column: Column, operand: float, moment: Moment) -> Mask:
        return column.numbers.at_most(operand)


@register
class Between(Operator[tuple[float, float]]):
    """The number is one of the two operands or between them."""

    name, complement, takes = "between", "not_between", NumberRange()
    reads = Reading.NUMBER

    def holds(self, column: Column, operand: tuple[float, float], moment: Moment) -> Mask:
        least, greatest = operand
        return column.numbers.at_least(least) & column.numbers.at_most(greatest)


@register
class Before(Operator[datetime]):
    """The instant is strictly before the operand."""

    name, takes = "before", Instant()
    reads = Reading.INSTANT

    def holds(self, column: Column, operand: datetime, moment: Moment) -> Mask:
        return column.instants.below(moment.instant(operand))


@register
class After(Operator[datetime]):
    """The instant is strictly after the operand."""

    name, takes = "after", Instant()
    reads = Reading.INSTANT

    def holds(self, column: Column, operand: datetime, moment: Moment) -> Mask:
        return column.instants.above(moment.instant(operand))


@register
class OnDay(Operator[date]):
    """The instant is on that calendar day in the directory's zone."""

    name, complement, takes = "on_day", "not_on_day", Day()
    reads = Reading.INSTANT

    def holds(self, column: Column, operand: date, moment: Moment) -> Mask:
        since = column.instants.at_least(moment.midnight(operand))
        return since & column.instants.below(moment.end_of(operand))


@register
class InPast(Operator[Duration]):
    """The instant is in [as-of - duration, as-of)."""

    name, complement, takes = "in_past", "not_in_past", Span()
    reads = Reading.INSTANT

    def holds(self, column: Column, operand: Duration, moment: Moment) -> Mask:
        since = column.instants.at_least(moment.before(operand))
        return since & column.instants.below(moment.as_of)


@register
class InNext(Operator[Duration]):
    """The instant is in [as-of, as-of + duration)."""

    name, complement, takes = "in_next", "not_in_next", Span()
    reads = Reading.INSTANT

    def holds(self, column: Column, operand: Duration, moment: Moment) -> Mask:
        until = column.instants.below(moment.after(operand))
        return until & column.instants.at_least(moment.as_of)


@register
class AnniversaryInNext(Operator[Duration]):
    """The day and month come round in [as-of, as-of + duration): the anniversary's midnight does.

    29 February counts as 28 in years that do not have it.
    """

    name, takes = "anniversary_in_next", Span()
    reads = Reading.INSTANT

    def holds(self, column: Column, operand: Duration, moment: Moment) -> Mask:
        return column.instants.on_anniversary(anniversaries(operand, moment), moment.zone)


@register
class IsTrue(Operator[bool]):
    """The value is true; missing counts as false."""

    name, complement, takes = "is_true", "is_false", Flag()
    reads = Reading.BOOLEAN

    def holds(self, column: Column, operand: bool, moment: Moment) -> Mask:
        return column.booleans.equal(True)


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
