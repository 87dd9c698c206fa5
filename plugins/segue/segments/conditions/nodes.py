"""The tree that a condition is parsed into. Nodes are facts: they compute nothing.

``location`` is where a node stood inside the value it was parsed from; it takes no part in
comparisons, so equal conditions are equal wherever they were written.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

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


@dataclass(frozen=True, slots=True)
class MailingListLeaf:
    """Whether the contact is on a mailing list, and with what opt state."""

    name: str
    state: str  # one of STATES
    location: Location = dataclasses.field(default=(), compare=False, repr=False)

    KEY: ClassVar = "mailing_list"
    STATES: ClassVar = ("member", "not_member", "opted_in", "opted_out")
    FACTS: ClassVar = ("opted_in", "opted_out", "not_member")  # of these exactly one holds


@dataclass(frozen=True, slots=True)
class SubscriptionLeaf:
    """The effective opt state (docs/design.md, "Changes") of the directory, or for a segment."""

    name: str  # THIS_SEGMENT, DIRECTORY or a segment's
    state: str
    location: Location = dataclasses.field(default=(), compare=False, repr=False)

    KEY: ClassVar = "subscription"
    STATES: ClassVar = ("opted_in", "opted_out")
    FACTS: ClassVar = STATES


@dataclass(frozen=True, slots=True)
class SegmentLeaf:
    """Whether the contact is in another segment of the same directory, at the same as-of."""

    name: str
    state: str
    location: Location = dataclasses.field(default=(), compare=False, repr=False)

    KEY: ClassVar = "segment"
    STATES: ClassVar = ("member", "not_member")
    FACTS: ClassVar = STATES


@dataclass(frozen=True, slots=True)
class SampleLeaf:
    """Whether the contact is drawn: its digest with ``salt`` is below ``limit``."""

    share: str  # as it was written: 10%
    salt: str
    limit: int = dataclasses.field(compare=False)  # of 2**64; the share, exactly
    location: Location = dataclasses.field(default=(), compare=False, repr=False)


THIS_SEGMENT, DIRECTORY = "this_segment", "directory"
StateLeaf = MailingListLeaf | SubscriptionLeaf | SegmentLeaf
Condition = (
    AllOf
    | AnyOf
    | Not
    | FieldLeaf
    | TransactionsLeaf
    | MailingListLeaf
    | SubscriptionLeaf
    | SegmentLeaf
    | SampleLeaf
    | ChangeLeaf
)
