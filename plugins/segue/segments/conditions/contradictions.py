"""Conditions of which no contact can meet all parts: ``at_least: 5, at_most: 3``.

Such a condition holds for nobody and its ``not`` for everybody, which nobody meant. What is told is
certain: where it takes the zone, the calendar or a column's spelling to say, nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import combinations
from typing import Any, Generic, TypeVar

from segue.documents import Location
from segue.durations import Duration
from segue.segments.conditions.nodes import (
    AllOf,
    AnyOf,
    ChangeLeaf,
    Comparison,
    Condition,
    FieldLeaf,
    Not,
    Test,
    TransactionsLeaf,
)
from segue.segments.conditions.operands import Scalar, compared_as
from segue.segments.conditions.registry import find_operator

_WIDEST_OFFSET = timedelta(hours=14)  # of a zone from UTC
_UNITS = ({"d": 1, "w": 7}, {"mo": 1, "y": 12}, {"s": 1, "m": 60, "h": 3600})
_FIRST = datetime(1, 1, 1)  # noqa: DTZ001 - walls' clocks count from it, too
_SAYS_WHICH = ("equals", "one_of", "is_true")

Value = TypeVar("Value", int | float, timedelta)
Pair = tuple[Test, Test]


def contradictions(condition: Condition) -> Iterator[tuple[Location, str]]:
    """Yield a problem for each value of which two operators, or bounds, never hold together.

    Those in several parts of one ``all`` are looked at together.
    """
    for name, tests in _values(condition):
        pair = _clash(tests, counts=name == "count")
        if pair is not None:
            first, second = sorted(pair, key=lambda test: str(test.location))
            if first is second:
                message = f"`{_test_text(first)}` of {name} never holds"
            else:
                both = f"`{_test_text(first)}` and `{_test_text(second)}`"
                message = f"{both} of {name} never hold together"
            yield second.location, f"{message}: nobody meets this, and everybody its `not`"


def _test_text(test: Test) -> str:
    data = test.data
    data_text = f"[{', '.join(map(str, data))}]" if isinstance(data, tuple) else str(data)
    return f"{test.operator}: {'true' if data is True else data_text}"


def _values(condition: Condition) -> Iterator[tuple[str, list[Test]]]:
    """Yield each value that a condition asks for, named, with all that must hold of it at once."""
    together: dict[tuple[str, Any, bool], list[Test]] = {}

    def ask(name: str, subject: Any, comparison: Comparison) -> None:
        together.setdefault((name, subject, comparison.ignore_case), []).extend(comparison.tests)

    for part in _parts(condition):
        match part:
            case AnyOf():
                for each in part.parts:
                    yield from _values(each)
            case Not():
                yield from _values(part.part)
            case FieldLeaf():
                ask(part.field, "field", part.comparison)
            case ChangeLeaf():
                ask("change", None, part.comparison)
            case TransactionsLeaf():
                name = part.aggregate + (f" of {part.field}" if part.field else "")
                ask(name, (part.where, part.in_past), part.comparison)
                yield from _values(AllOf(tuple(_rows(part))))
    for (name, *_), tests in together.items():
        yield name, tests


def _parts(condition: Condition) -> Iterator[Condition]:
    """Yield what must hold at once: the parts of ``all``, and of each ``all`` in it."""
    if isinstance(condition, AllOf):
        for part in condition.parts:
            yield from _parts(part)
    else:
        yield condition


def _rows(leaf: TransactionsLeaf) -> Iterator[Condition]:
    """Yield what must hold of every row that a leaf looks at."""
    if leaf.in_past is not None:
        location = (*leaf.location, "transactions", "in_past")
        test = Test("in_past", leaf.in_past, str(leaf.in_past), location)
        yield FieldLeaf("date", Comparison((test,)))
    if leaf.where is not None:
        yield leaf.where


def _clash(tests: Sequence[Test], *, counts: bool) -> Pair | None:
    """Return two tests of which no value meets both, or twice the one that none meets."""
    pairs = combinations(tests, 2)
    opposites = (pair for pair in pairs if _are_opposite(*pair) or _have_no_time(*pair))
    return (
        next(opposites, None)
        or _without_room(_ranges_of_numbers(tests, counts=counts))
        or _without_room(_ranges_of_instants(tests))
        or _without_element(tests)
    )


def _are_opposite(one: Test, other: Test) -> bool:
    """Tell whether one is the complement of the other, or one is for missing values alone."""
    first, second = find_operator(one.operator), find_operator(other.operator)
    if first.operator is second.operator and first.negated is not second.negated:
        inner, outer = (other, one) if first.negated else (one, other)
        return inner.data == outer.data or (
            inner.operator == "between"
            and outer.operand[0] <= inner.operand[0]
            and inner.operand[1] <= outer.operand[1]
        )
    is_about_missing = "is_empty" in (one.operator, other.operator)
    return is_about_missing and not (first.negated or second.negated)


def _have_no_time(one: Test, other: Test) -> bool:
    """Tell whether two windows have nothing in common."""
    spans = {test.operator: test.operand for test in (one, other)}
    if {"in_past", "in_next"} <= spans.keys():
        return True
    return any(
        within in spans and without in spans and _covers(spans[without], spans[within])
        for within, without in (("in_past", "not_in_past"), ("in_next", "not_in_next"))
    )


def _covers(one: Duration, other: Duration) -> bool:
    """Tell whether one duration is never shorter than another, whatever the calendar says."""
    for units in _UNITS:
        if one.unit in units and other.unit in units:
            return one.amount * units[one.unit] >= other.amount * units[other.unit]
    day = timedelta(days=1)  # months have 28 to 31, and clocks are changed
    return one.approximate() * 28 / 30 - day >= other.approximate() * 31 / 30 + day


@dataclass(frozen=True, slots=True)
class _Bound(Generic[Value]):
    """One end of what a test admits; without a test it is in the values' nature."""

    value: Value
    is_included: bool
    test: Test | None


@dataclass(frozen=True, slots=True)
class _Range(Generic[Value]):
    """What a test admits; None is no bound."""

    least: _Bound[Value] | None = None
    greatest: _Bound[Value] | None = None


def _without_room(ranges: Sequence[_Range[Value]]) -> Pair | None:
    """Return the tests of two bounds between which there is nothing."""
    bounds = _tightest_bounds(ranges)
    if bounds is None or _have_room(*bounds):
        return None
    tests = [bound.test for bound in bounds if bound.test is not None]
    return (tests[0], tests[-1]) if tests else None


def _tightest_bounds(ranges: Sequence[_Range[Value]]) -> tuple[_Bound[Value], _Bound[Value]] | None:
    lower = [each.least for each in ranges if each.least is not None]
    upper = [each.greatest for each in ranges if each.greatest is not None]
    if not lower or not upper:
        return None
    least = max(lower, key=lambda bound: (bound.value, not bound.is_included))
    return least, min(upper, key=lambda bound: (bound.value, bound.is_included))


def _have_room(least: _Bound[Value], greatest: _Bound[Value]) -> bool:
    if least.value == greatest.value:
        return least.is_included and greatest.is_included
    return least.value < greatest.value


def _ranges_of_numbers(tests: Sequence[Test], *, counts: bool) -> list[_Range[int | float]]:
    ranges = [_range_of_numbers(test) for test in tests]
    return [*ranges, _Range(least=_Bound(0, True, None))] if counts else ranges


def _range_of_numbers(test: Test) -> _Range[int | float]:
    match test.operator:
        case "at_least" | "greater_than":
            return _Range(least=_Bound(test.operand, test.operator == "at_least", test))
        case "at_most" | "less_than":
            return _Range(greatest=_Bound(test.operand, test.operator == "at_most", test))
        case "between":
            least, greatest = test.operand
            return _Range(_Bound(least, True, test), _Bound(greatest, True, test))
        case "equals" | "one_of" if _kinds(test) == {float}:
            numbers = [number for number in _elements(test) if not isinstance(number, str)]
            return _Range(_Bound(min(numbers), True, test), _Bound(max(numbers), True, test))
        case _:
            return _Range()


def _is_aware(operand: Any) -> bool:
    return isinstance(operand, datetime) and operand.tzinfo is not None


def _ranges_of_instants(tests: Sequence[Test]) -> list[_Range[timedelta]]:
    about_instants = [test for test in tests if test.operator in ("before", "after", "on_day")]
    is_mixed = len({_is_aware(test.operand) for test in about_instants}) > 1
    return [_range_of_instants(test, is_mixed=is_mixed) for test in about_instants]


def _range_of_instants(test: Test, *, is_mixed: bool) -> _Range[timedelta]:
    """Return what a test admits; ``is_mixed``: beside others that are of another, known zone."""
    slack = _WIDEST_OFFSET if is_mixed and not _is_aware(test.operand) else timedelta()
    if test.operator == "on_day":
        start = datetime.combine(test.operand, time.min) - _FIRST
        least = _Bound(start - slack, True, test)
        return _Range(least, _Bound(start + timedelta(days=1) + slack, False, test))
    offset = test.operand.utcoffset() or timedelta()
    instant = test.operand.replace(tzinfo=None) - _FIRST - offset
    if test.operator == "after":
        return _Range(least=_Bound(instant - slack, False, test))
    return _Range(greatest=_Bound(instant + slack, False, test))


def _without_element(tests: Sequence[Test]) -> Pair | None:
    """Return a test that says which values there may be, and one that refuses the first of them.

    Each is refused by some test; elements of several types are not looked at.
    """
    for test in tests:
        if test.operator in _SAYS_WHICH and len(_kinds(test)) == 1:
            others = [other for other in tests if other is not test]
            refusals = [_refusal_of(element, others) for element in _elements(test)]
            if refusals[0] is not None and None not in refusals:
                return test, refusals[0]
    return None


def _refusal_of(element: Scalar, tests: Sequence[Test]) -> Test | None:
    return next((test for test in tests if _refuses(test, element)), None)


def _refuses(test: Test, element: Scalar) -> bool:
    """Tell whether what is equal to an element certainly fails a test."""
    kind = compared_as(element)
    if find_operator(test.operator).other in _SAYS_WHICH:
        return any(other == element for other in _elements(test) if compared_as(other) is kind)
    if test.operator in _SAYS_WHICH:
        return _kinds(test) == {kind} and element not in _elements(test)
    if kind is not float:
        return False
    if test.operator == "not_between":
        least, greatest = test.operand
        return bool(least <= element <= greatest)
    itself = Test("equals", element, element, test.location)
    return _without_room([_range_of_numbers(test), _range_of_numbers(itself)]) is not None


def _elements(test: Test) -> Sequence[Scalar]:
    return test.operand if isinstance(test.operand, tuple) else (test.operand,)


def _kinds(test: Test) -> set[type]:
    return {compared_as(element) for element in _elements(test)}
