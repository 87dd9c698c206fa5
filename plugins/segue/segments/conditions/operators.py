"""The built-in operators (docs/conditions.md, "Fields"): positives; complements are generated."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from segue.durations import Duration
from segue.segments.conditions.operands import (
    AnyScalar,
    Day,
    Flag,
    Instant,
    Number,
    NumberRange,
    Operand,
    Pattern,
    Scalar,
    ScalarList,
    Span,
    Text,
    compared_as,
)
from segue.segments.conditions.registry import Moment, Operator, Reading, add_operator, register

if TYPE_CHECKING:
    from segue.segments.columns.column import Column
    from segue.segments.columns.ordered import Mask

_Ask: TypeAlias = "Callable[[Column, Any], Mask]"
_ALL_ANNIVERSARIES = 1500  # days after which each has come round, 29 February in its own year


class BuiltIn(Operator[Any]):
    """An operator that is one question to a column, asked with the operand as it stands."""

    def __init__(
        self, name: str, complement: str | None, takes: Operand, reads: Reading, ask: _Ask
    ) -> None:
        self.name, self.complement, self.takes, self.reads = name, complement, takes, reads
        self._ask = ask

    def holds(self, column: Column, operand: Any, moment: Moment) -> Mask:
        return self._ask(column, operand)


@register
class Equals(Operator[Scalar]):
    """The value is the operand, read as the operand's type."""

    name, complement, takes, reads = "equals", "not_equals", AnyScalar(), Reading.OPERAND

    def holds(self, column: Column, operand: Scalar, moment: Moment) -> Mask:
        if isinstance(operand, bool):
            return column.booleans.equal(operand)
        if isinstance(operand, str):
            return column.texts.equal(operand)
        return column.numbers.equal(operand)


@register
class OneOf(Operator[tuple[Scalar, ...]]):
    """The value is one of the elements, each judged by its own type."""

    name, complement, takes, reads = "one_of", "none_of", ScalarList(), Reading.OPERAND

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


for _name, _takes, _ask in (
    ("contains", Text(), lambda column, part: column.texts.contains(part)),
    ("starts_with", Text(), lambda column, part: column.texts.starts_with(part)),
    ("ends_with", Text(), lambda column, part: column.texts.ends_with(part)),
    ("matches", Pattern(), lambda column, pattern: column.texts.matches(pattern)),
):
    add_operator(BuiltIn(_name, f"not_{_name}", _takes, Reading.TEXT, _ask))
for _name, _ask in (
    ("greater_than", lambda column, bound: column.numbers.above(bound)),
    ("at_least", lambda column, bound: column.numbers.at_least(bound)),
    ("less_than", lambda column, bound: column.numbers.below(bound)),
    ("at_most", lambda column, bound: column.numbers.at_most(bound)),
):
    add_operator(BuiltIn(_name, None, Number(), Reading.NUMBER, _ask))


@register
class Between(Operator[tuple[float, float]]):
    """The number is one of the two operands or between them."""

    name, complement, takes, reads = "between", "not_between", NumberRange(), Reading.NUMBER

    def holds(self, column: Column, operand: tuple[float, float], moment: Moment) -> Mask:
        least, greatest = operand
        return column.numbers.at_least(least) & column.numbers.at_most(greatest)


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


@register
class IsTrue(Operator[bool]):
    """The value is true; missing counts as false."""

    name, complement, takes, reads = "is_true", "is_false", Flag(), Reading.BOOLEAN

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
