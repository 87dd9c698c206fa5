"""The windows of time through which a condition looks: what is true for only so long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from segue.durations import Duration
from segue.segments.conditions.inspection import leaves
from segue.segments.conditions.nodes import Comparison, Condition, FieldLeaf, TransactionsLeaf

_OPPOSITE = {"in_past": "not_in_past", "in_next": "not_in_next", "anniversary_in_next": ""}


@dataclass(frozen=True, slots=True)
class Window:
    """How long one value may hold as time passes, and how that is written."""

    length: timedelta  # a month counts 30 days, a year 365
    written: str


def windows(condition: Condition) -> Iterator[Window]:
    """Yield every window of a condition, those inside ``where`` among them.

    ``in_past: 60d, not_in_past: 59d`` is one of a day.
    """
    for leaf in leaves(condition):
        if isinstance(leaf, FieldLeaf | TransactionsLeaf):
            yield from _of_comparison(leaf.comparison)
        if isinstance(leaf, TransactionsLeaf):
            if leaf.in_past is not None:
                yield _window("in_past", leaf.in_past)
            if leaf.where is not None:
                yield from windows(leaf.where)


def _of_comparison(comparison: Comparison) -> Iterator[Window]:
    spans = {test.operator: test.operand for test in comparison.tests}
    for operator, opposite in _OPPOSITE.items():
        if operator in spans:
            yield _window(operator, spans[operator], opposite, spans.get(opposite))


def _window(
    operator: str, span: Duration, opposite: str = "", but: Duration | None = None
) -> Window:
    length, text = span.approximate(), f"{operator}: {span}"
    if but is not None and but.approximate() < length:
        return Window(length - but.approximate(), f"{text}, {opposite}: {but}")
    return Window(length, text)
