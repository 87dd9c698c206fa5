"""Why a contact does or does not satisfy a condition: the tree, with value and verdict.

What is explained is what the engine decided: every verdict here is the evaluator's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segue.directory.tables import SnapshotTables
from segue.segments.conditions.inspection import comparison_data
from segue.segments.conditions.nodes import (
    AllOf,
    AnyOf,
    ChangeLeaf,
    Comparison,
    Condition,
    FieldLeaf,
    MailingListLeaf,
    Not,
    SampleLeaf,
    SegmentLeaf,
    StateLeaf,
    SubscriptionLeaf,
    TransactionsLeaf,
)
from segue.segments.consent import opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import Evaluator
from segue.segments.loading import judge, load_population
from segue.segments.population import Population
from segue.segments.sampling import DRAWS, draw

Segments = Mapping[str, SegmentDefinition]


@dataclass(frozen=True, slots=True)
class TestVerdict:
    """One operator of a leaf, its operand as written, and whether it holds."""

    __test__ = False  # pytest: this is not a test class

    operator: str
    operand: Any
    holds: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One node of a condition, for one contact: what it asks, what it saw, its verdict.

    The children of a leaf ``segment: …`` explain that segment, where it first stands. The same
    condition has the same tree for every contact and snapshot.
    """

    text: str  # the node as a reader would say it
    holds: bool
    value: Any = None  # what a leaf compared; None if it was missing, and for groups
    children: Sequence[Explanation] = ()
    is_leaf: bool = False
    tests: Sequence[TestVerdict] = ()  # of a leaf that compares a value, sorted by operator


def explain_segment(
    segment: SegmentDefinition, population: Population, contact_id: str
) -> Explanation:
    """Return why a contact is in a segment, or not, down into the segments it refers to.

    ``population`` is as ``load_population`` returns it. Raises KeyError for an unknown contact.
    """
    alone = population.only(contact_id)
    if alone.contacts.empty:
        raise KeyError(contact_id)
    segments = {other.segment: other for other in (*segment.refers_to, segment)}
    return _Explainer(alone, segments).explain_segment(segment)


@dataclass(frozen=True)
class Verdict:
    """One contact at one snapshot; without a tree the contact was not there."""

    snapshot: str
    tree: Explanation | None
    opted_in: bool | None

    @property
    def member(self) -> bool:
        """True where the contact is in the segment."""
        return self.tree is not None and self.tree.holds


def contact_verdict(segment: SegmentDefinition, tables: SnapshotTables, contact: str) -> Verdict:
    """Return whether a contact is in a segment and why.

    Raises DataError where the snapshot lacks something that the segment needs.
    """
    population = load_population(segment, tables, only=[contact])
    if population.contacts.empty:
        return Verdict(tables.snapshot.key, None, None)
    tree = explain_segment(segment, population, contact)
    opted_in = bool(opt_states(population, segment.segment)[0])
    return Verdict(tables.snapshot.key, tree, opted_in)


class _Explainer:
    """Explains conditions for the one contact of a population."""

    def __init__(
        self,
        population: Population,
        segments: Segments,
        explanations: dict[str, Explanation] | None = None,
    ) -> None:
        self._population = population
        self._segments = segments
        self._explained = {} if explanations is None else explanations  # each segment once
        self._evaluator = Evaluator(population)

    def explain_segment(self, segment: SegmentDefinition) -> Explanation:
        first = self._explained.get(segment.segment)
        if first is None:
            self._explained[segment.segment] = explanation = self._explain_segment(segment)
            return explanation
        if not first.children:
            return first
        return replace(first, text=f"{first.text}, as above", children=())

    def _explain_segment(self, segment: SegmentDefinition) -> Explanation:
        if segment.match is not None:
            inside = replace(self._population, this_segment=segment.segment)
            return _Explainer(inside, self._segments, self._explained).explain(segment.match)
        holds = bool(judge(segment, self._population)[0])
        source = segment.imported.path if segment.imported else segment.python
        text = f"{'imported' if segment.imported else 'python'}: {source}"
        return Explanation(text, holds, "member" if holds else "not_member", is_leaf=True)

    def explain(self, condition: Condition) -> Explanation:
        holds = bool(self._evaluator.holds(condition)[0])
        text = condition_text(condition)
        match condition:
            case AllOf() | AnyOf():
                text = "all of" if isinstance(condition, AllOf) else "any of"
                return Explanation(text, holds, None, tuple(map(self.explain, condition.parts)))
            case Not():
                return Explanation("not", holds, None, (self.explain(condition.part),))
            case FieldLeaf() | TransactionsLeaf() | ChangeLeaf():
                value = self._evaluator.column(condition).value(0)
                tests = self._tests(condition)
                return Explanation(text, holds, value, is_leaf=True, tests=tests)
            case SampleLeaf():
                return Explanation(text, holds, self._draw_text(condition), is_leaf=True)
            case _:
                value, parts = self._state(condition), self._parts(condition)
                return Explanation(text, holds, value, parts, is_leaf=True)

    def _tests(self, leaf: FieldLeaf | TransactionsLeaf | ChangeLeaf) -> tuple[TestVerdict, ...]:
        column = self._evaluator.column(leaf)
        verdicts = []
        for test in leaf.comparison.tests:
            alone = Comparison((test,), leaf.comparison.ignore_case)
            holds = bool(self._evaluator.compare(column, alone)[0])
            operand = list(test.data) if isinstance(test.data, tuple) else test.data
            verdicts.append(TestVerdict(test.operator, operand, holds))
        return tuple(verdicts)

    def _state(self, leaf: StateLeaf) -> str:
        """Return which of a leaf's states the contact is in."""
        states = (replace(leaf, state=state) for state in leaf.FACTS)
        return next(one.state for one in states if self._evaluator.holds(one)[0])

    def _parts(self, leaf: StateLeaf) -> tuple[Explanation, ...]:
        if not isinstance(leaf, SegmentLeaf) or leaf.name not in self._segments:
            return ()
        return (self.explain_segment(self._segments[leaf.name]),)

    def _draw_text(self, leaf: SampleLeaf) -> str:
        contact = str(self._population.contacts["contact_id"].iloc[0])
        return f"{draw(contact, leaf.salt) / DRAWS * 100:.4f}%"


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
        case MailingListLeaf() | SubscriptionLeaf() | SegmentLeaf():
            what = condition.KEY.replace("_", " ")
            return f"{what} {condition.name}: is {condition.state}"
        case SampleLeaf():
            return f"sample: {condition.share} with salt {condition.salt}"
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
