"""Whether an operator can be asked of a kind of column at all.

What an operator cannot read is missing, so it would hold for nobody, and its complement for
everybody: the flood or the silence that nobody meant. Where the kind is known (an aggregate's, a
typed column's) that is an error, before a run and in it. Text is not refused: in a CSV file every
column is text, and what cannot be read in it is counted where it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from segue.directory.column_kinds import ColumnKind
from segue.documents import Location
from segue.segments.columns.instant_spellings import parse_instant
from segue.segments.conditions.aggregates import Aggregate, aggregate_names, find_aggregate
from segue.segments.conditions.inspection import ALWAYS_THERE, leaves
from segue.segments.conditions.nodes import Comparison, Condition, FieldLeaf, Test, TransactionsLeaf
from segue.segments.conditions.operands import Scalar, shape
from segue.segments.conditions.registry import Reading, find_operator, operator_names

Kinds = Mapping[str, Mapping[str, ColumnKind]]  # table: column: what it holds

_EVERYTHING = frozenset({Reading.TEXT, Reading.NUMBER, Reading.INSTANT, Reading.BOOLEAN})
_CAN_BE: Mapping[ColumnKind, frozenset[Reading]] = {
    ColumnKind.NULL: _EVERYTHING,
    ColumnKind.TEXT: _EVERYTHING,
    ColumnKind.BYTES: _EVERYTHING,
    ColumnKind.NUMBER: frozenset({Reading.NUMBER, Reading.TEXT, Reading.BOOLEAN}),
    ColumnKind.BOOLEAN: frozenset({Reading.BOOLEAN}),
    ColumnKind.DATE: frozenset({Reading.INSTANT, Reading.TEXT}),
    ColumnKind.INSTANT: frozenset({Reading.INSTANT, Reading.TEXT}),
}
_SHOWN: Mapping[ColumnKind, str] = {
    ColumnKind.NUMBER: "numbers",
    ColumnKind.BOOLEAN: "booleans",
    ColumnKind.DATE: "dates",
    ColumnKind.INSTANT: "dates with a time",
    ColumnKind.TIME: "times of day",
    ColumnKind.DURATION: "durations",
    ColumnKind.LIST: "lists",
    ColumnKind.STRUCT: "structs",
}
_NATURAL: Mapping[ColumnKind, Reading] = {
    ColumnKind.NUMBER: Reading.NUMBER,
    ColumnKind.BOOLEAN: Reading.BOOLEAN,
    ColumnKind.DATE: Reading.INSTANT,
    ColumnKind.INSTANT: Reading.INSTANT,
}
# Kinds in the standard columns, whatever a file has there; SnapshotTables reads them so.
_STANDARD: Kinds = {
    "contacts": {ALWAYS_THERE: ColumnKind.TEXT, "unsubscribed": ColumnKind.BOOLEAN},
    "transactions": {ALWAYS_THERE: ColumnKind.TEXT},
}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?(e[+-][0-9]+)?")  # as numbers are shown
_WORDS = {"true": True, "yes": True, "y": True, "t": True, "1": True}
_WORDS |= {"false": False, "no": False, "n": False, "f": False, "0": False}


def misfits(condition: Condition, kinds: Kinds) -> Iterator[tuple[Location, str]]:
    """Yield a problem for each operator, and each aggregate, that a column cannot answer.

    Columns that are not in ``kinds`` are not looked at.
    """
    yield from _misfits(condition, "contacts", kinds)


def operator_misfits(comparison: Comparison, kind: ColumnKind) -> Iterator[tuple[Test, str]]:
    """Yield the operators that no value of ``kind`` can answer, whatever their operand."""
    for test in comparison.tests:
        message = _operator_misfit(test, kind)
        if message is not None:
            yield test, message


def aggregate_misfit(aggregate: Aggregate, kind: ColumnKind) -> str | None:
    """Return why an aggregate cannot be made of a column of this kind, or None."""
    if aggregate.reads is None or aggregate.reads in _CAN_BE.get(kind, ()):
        return None
    others = (find_aggregate(name) for name in aggregate_names())
    fit = [other.name for other in others if other.reads and other.reads is _NATURAL.get(kind)]
    choices = ", ".join([*fit, "count"])
    return f"holds {_SHOWN[kind]}, and {aggregate.name} reads {aggregate.reads}; allowed: {choices}"


def _misfits(condition: Condition, table: str, kinds: Kinds) -> Iterator[tuple[Location, str]]:
    for leaf in leaves(condition):
        if isinstance(leaf, FieldLeaf):
            for test in leaf.comparison.tests:
                message = _field_misfit(test, leaf.field, table, kinds)
                if message is not None:
                    yield test.location, f"{table}.{leaf.field} {message}"
        if isinstance(leaf, TransactionsLeaf):
            yield from _aggregate_misfits(leaf, kinds)
            if leaf.where is not None:
                yield from _misfits(leaf.where, "transactions", kinds)


def _field_misfit(test: Test, column: str, table: str, kinds: Kinds) -> str | None:
    kind = _kind_of(column, table, kinds)
    if kind is None:
        return None
    if (table, column) == ("transactions", "date"):  # a date whatever a file stores it as
        return _operator_misfit(test, ColumnKind.INSTANT) or _misfit(test, kind)
    return _misfit(test, kind)


def _aggregate_misfits(leaf: TransactionsLeaf, kinds: Kinds) -> Iterator[tuple[Location, str]]:
    aggregate = find_aggregate(leaf.aggregate)
    kind = _kind_of(leaf.field, "transactions", kinds) if leaf.field else None
    message = aggregate_misfit(aggregate, kind) if kind else None
    if message is not None:
        location = (*leaf.location, leaf.aggregate, "field")
        yield location, f"transactions.{leaf.field} {message}"
    for test in leaf.comparison.tests:
        message = _misfit(test, aggregate.kind) if aggregate.kind else None
        if message is not None:
            yield test.location, f"{leaf.aggregate} {message}"


def _kind_of(column: str, table: str, kinds: Kinds) -> ColumnKind | None:
    kind = kinds.get(table, {}).get(column)
    return None if kind is None else _STANDARD[table].get(column, kind)


def _misfit(test: Test, kind: ColumnKind) -> str | None:
    """Return why no value of ``kind`` can answer a test, or None where one can."""
    if find_operator(test.operator).operator.reads is not Reading.OPERAND:
        return _operator_misfit(test, kind)
    elements = test.operand if isinstance(test.operand, tuple) else (test.operand,)
    return next((text for e in elements if (text := _element_misfit(test, e, kind))), None)


def _operator_misfit(test: Test, kind: ColumnKind) -> str | None:
    reads = find_operator(test.operator).operator.reads
    if reads in (None, Reading.OPERAND) or reads in _CAN_BE.get(kind, ()):
        return None
    return f"holds {_SHOWN[kind]}, and {test.operator} reads {reads}; {_allowed_operators(kind)}"


def _element_misfit(test: Test, element: Scalar, kind: ColumnKind) -> str | None:
    """Return why no value of ``kind`` is equal to an operand, or None where one can be."""
    if _can_equal(element, kind):
        return None
    holds = f"holds {_SHOWN[kind]}, and none of them is {shape(element)}"
    if kind is ColumnKind.BOOLEAN and str(element).lower() in _WORDS:
        word = str(_WORDS[str(element).lower()]).lower()
        return f"{holds}; write {_same(test, word)}, or is_{word}: true"
    if kind is ColumnKind.NUMBER and _is_number(element):
        return f"{holds} as text; write the number without quotes"
    if kind in (ColumnKind.DATE, ColumnKind.INSTANT) and _is_day(element):
        negation = "not_" if find_operator(test.operator).negated else ""
        return f"{holds}; write {negation}on_day: {str(element)[:10]}"
    return f"{holds}; {_allowed_operators(kind)}"


def _can_equal(element: Scalar, kind: ColumnKind) -> bool:
    able = _CAN_BE.get(kind, frozenset())
    if isinstance(element, bool):
        return Reading.BOOLEAN in able
    if not isinstance(element, str):
        return Reading.NUMBER in able
    if able == _EVERYTHING:
        return True
    match kind:
        case ColumnKind.NUMBER:
            return _NUMBER.fullmatch(element) is not None
        case ColumnKind.DATE:
            return _is_day(element) and len(element) == len("2026-11-22")
        case ColumnKind.BOOLEAN:
            return element in ("true", "false")
        case _:
            return False


def _same(test: Test, word: str) -> str:
    return f"{test.operator}: {f'[{word}]' if isinstance(test.operand, tuple) else word}"


def _is_number(element: Scalar) -> bool:
    try:
        float(element)
    except ValueError:
        return False
    return isinstance(element, str)


def _is_day(element: Scalar) -> bool:
    return isinstance(element, str) and parse_instant(element) is not None


def _allowed_operators(kind: ColumnKind) -> str:
    """Return the operators that are meant for a kind, in words."""
    readings = {None, _NATURAL.get(kind)} | (
        {Reading.OPERAND} if kind in (ColumnKind.NUMBER, ColumnKind.BOOLEAN) else set()
    )
    names = [name for name in operator_names() if find_operator(name).operator.reads in readings]
    return f"allowed: {', '.join(names)}"
