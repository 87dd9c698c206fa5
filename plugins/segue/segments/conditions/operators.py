"""The built-in operators (docs/conditions.md, "Fields"): positives; complements are generated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from segue.segments.conditions.operands import (
    AnyScalar,
    Flag,
    Number,
    NumberRange,
    Operand,
    Pattern,
    Scalar,
    ScalarList,
    Text,
    compared_as,
)
from segue.segments.conditions.registry import Moment, Operator, Reading, add_operator, register

if TYPE_CHECKING:
    from segue.segments.columns.column import Column
    from segue.segments.columns.ordered import Mask

_Ask: TypeAlias = "Callable[[Column, Any], Mask]"


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
class IsTrue(Operator[bool]):
    """The value is true; missing counts as false."""

    name, complement, takes, reads = "is_true", "is_false", Flag(), Reading.BOOLEAN

    def holds(self, column: Column, operand: bool, moment: Moment) -> Mask:
        return column.booleans.equal(True)
