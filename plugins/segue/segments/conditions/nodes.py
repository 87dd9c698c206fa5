"""The tree that a condition is parsed into. Nodes are facts: they compute nothing.

``location`` is where a node stood inside the value it was parsed from; it takes no part in
comparisons, so equal conditions are equal wherever they were written.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from segue.documents import Location
from segue.durations import Duration


@dataclass(frozen=True, slots=True)
class Test:
    """One operator and its operand: ``at_least: 5``."""

    __test__ = False  # pytest: this is not a test class

    operator: str
    operand: Any = dataclasses.field(compare=False)  # as the operator's operand parser returned it
    data: Any  # as it was written
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The operators of one leaf, sorted by name; all of them must hold for its value."""

    tests: tuple[Test, ...]
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class AllOf:
    """``all``: every part holds."""

    parts: tuple[Condition, ...]
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """``any``: at least one part holds."""

    parts: tuple[Condition, ...]
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """``not``: the part does not hold."""

    part: Condition
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FieldLeaf:
    """A column of contacts, or inside ``where`` one of transactions, and what it must satisfy."""

    field: str
    comparison: Comparison
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TransactionsLeaf:
    """One value per contact, made from its own transactions, and what it must satisfy."""

    aggregate: str
    comparison: Comparison
    field: str | None = None  # what is aggregated; count has none
    where: Condition | None = None
    in_past: Duration | None = None
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ChangeLeaf:
    """The kind of change a workflow is looking at."""

    comparison: Comparison
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


Condition = AllOf | AnyOf | Not | FieldLeaf | TransactionsLeaf | ChangeLeaf
