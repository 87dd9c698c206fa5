"""Why a contact does or does not satisfy a condition: the tree, with value and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segue.segments.conditions import (
    AllOf,
    AnyOf,
    ChangeLeaf,
    Comparison,
    Condition,
    FieldLeaf,
    Not,
    TransactionsLeaf,
)
from segue.segments.conditions.inspection import comparison_data
from segue.segments.evaluation import Evaluator, Population


@dataclass(frozen=True, slots=True)
class Explanation:
    """One node of a condition, for one contact: what it asks, what it saw, its verdict."""

    text: str  # the node as a reader would say it
    holds: bool
    value: Any = None  # what a leaf compared; None if it was missing, and for groups
    children: Sequence[Explanation] = ()


def explain(condition: Condition, population: Population, contact_id: str) -> Explanation:
    """Return the verdict of every node for one contact; raise KeyError if it is not there."""
    alone = population.only(contact_id)
    if alone.contacts.empty:
        raise KeyError(contact_id)
    return _explain(condition, Evaluator(alone))


def _explain(condition: Condition, evaluator: Evaluator) -> Explanation:
    held = bool(evaluator.holds(condition)[0])
    match condition:
        case AllOf() | AnyOf():
            text = "all of" if isinstance(condition, AllOf) else "any of"
            children = tuple(_explain(part, evaluator) for part in condition.parts)
            return Explanation(text, held, None, children)
        case Not():
            return Explanation("not", held, None, (_explain(condition.part, evaluator),))
        case _:
            value = evaluator.column(condition).value(0)
            return Explanation(condition_text(condition), held, value)


def condition_text(condition: Condition) -> str:
    """Return a condition as one line for people: ``count of transactions (…): at_least 5``."""
    match condition:
        case AllOf():
            return f"all of ({'; '.join(map(condition_text, condition.parts))})"
        case AnyOf():
            return f"any of ({'; '.join(map(condition_text, condition.parts))})"
        case Not():
            return f"not ({condition_text(condition.part)})"
        case FieldLeaf():
            return f"{condition.field}: {_comparison_text(condition.comparison)}"
        case TransactionsLeaf():
            return f"{_aggregate_text(condition)}: {_comparison_text(condition.comparison)}"
        case ChangeLeaf():
            return f"change: {_comparison_text(condition.comparison)}"


def _aggregate_text(leaf: TransactionsLeaf) -> str:
    what = f"{leaf.aggregate} of {leaf.field} in" if leaf.field else f"{leaf.aggregate} of"
    filters = [] if leaf.where is None else [condition_text(leaf.where)]
    filters += [] if leaf.in_past is None else [f"in_past {leaf.in_past}"]
    return f"{what} transactions" + (f" ({', '.join(filters)})" if filters else "")


def _comparison_text(comparison: Comparison) -> str:
    data = comparison_data(comparison).items()
    return ", ".join(f"{name} {_operand_text(operand)}" for name, operand in data)


def _operand_text(operand: object) -> str:
    if isinstance(operand, list):
        return f"[{', '.join(_operand_text(element) for element in operand)}]"
    return str(operand).lower() if isinstance(operand, bool) else str(operand)
