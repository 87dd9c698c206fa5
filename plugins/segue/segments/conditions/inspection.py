"""What a condition asks of the data, before any is read; and its plain form."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segue.documents import Location, did_you_mean
from segue.segments.conditions.nodes import (
    DIRECTORY,
    THIS_SEGMENT,
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
    SubscriptionLeaf,
    Test,
    TransactionsLeaf,
)
from segue.segments.conditions.registry import Operator, find_operator

ALWAYS_THERE = "contact_id"
TRANSACTION_KEYS = frozenset({"contact_id", "date"})


@dataclass(frozen=True, slots=True)
class Needs:
    """The tables and columns that a condition reads; ``transactions`` None means none at all.

    ``contacts`` names only what conditions ask for: contact ids are there anyway. ``transactions``
    includes contact_id and date, which every condition on transactions needs. ``subscriptions``
    stands for the records of opt states, each of which may be absent: ``unsubscribed`` of contacts
    and the table subscriptions. What makes up other segments is not in it.
    """

    contacts: frozenset[str] = frozenset()
    transactions: frozenset[str] | None = None
    mailing_lists: bool = False
    subscriptions: bool = False

    def __or__(self, other: Needs) -> Needs:
        """Return the needs of both."""
        both = (self.transactions, other.transactions)
        sets = [columns for columns in both if columns is not None]
        return Needs(
            self.contacts | other.contacts,
            frozenset().union(*sets) if sets else None,
            self.mailing_lists or other.mailing_lists,
            self.subscriptions or other.subscriptions,
        )


def needed_columns(condition: Condition) -> Needs:
    """Return every table and column that judging ``condition`` reads."""
    needs = Needs(subscriptions=any(isinstance(x, SubscriptionLeaf) for x in leaves(condition)))
    for use in _uses(condition):
        needs |= use.needs
    return needs


def where_columns(leaf: TransactionsLeaf) -> frozenset[str]:
    """Return the columns of transactions by which the ``where`` of ``leaf`` chooses rows."""
    uses = () if leaf.where is None else _uses(leaf.where, "transactions")
    return frozenset(use.column for use in uses)


def unknown_fields(
    condition: Condition,
    columns: Mapping[str, Collection[str]],
    mapping: Mapping[str, Mapping[str, str]] | None = None,
) -> list[tuple[Location, str]]:
    """Return a problem for each column or table that ``columns`` (table: names) does not have.

    ``mapping`` gives per table what the files call a column (ours: theirs), for better hints.
    """
    problems = (_unknown(use, columns, mapping or {}) for use in _uses(condition))
    return list(dict.fromkeys(problem for problem in problems if problem is not None))


def operator_versions(condition: Condition) -> dict[str, int]:
    """Return the version of each operator that was changed since its first, by name."""
    operators = (find_operator(test.operator).operator for test in _tests(condition))
    return {each.name: each.version for each in operators if each.version != 1}


def operators_of(condition: Condition) -> frozenset[Operator[Any]]:
    """Return the operators that judge ``condition``, those inside ``where`` among them."""
    return frozenset(find_operator(test.operator).operator for test in _tests(condition))


def to_data(condition: Condition) -> dict[str, Any]:
    """Return the condition as plain data, always in the same form; it parses to the same again."""
    match condition:
        case AllOf() | AnyOf():
            parts = [to_data(part) for part in condition.parts]
            return {"all" if isinstance(condition, AllOf) else "any": parts}
        case Not():
            return {"not": to_data(condition.part)}
        case FieldLeaf():
            return {"field": condition.field, **comparison_data(condition.comparison)}
        case TransactionsLeaf():
            return _transactions_data(condition)
        case MailingListLeaf() | SubscriptionLeaf() | SegmentLeaf():
            return {condition.KEY: condition.name, "is": condition.state}
        case SampleLeaf():
            return {"sample": condition.share, "salt": condition.salt}
        case ChangeLeaf():
            return {"change": comparison_data(condition.comparison)}


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return the operators of one leaf as plain data, sorted by name as they are parsed."""
    tests = comparison.tests
    data = {t.operator: list(t.data) if isinstance(t.data, tuple) else t.data for t in tests}
    return {**data, "ignore_case": True} if comparison.ignore_case else data


def _transactions_data(leaf: TransactionsLeaf) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    if leaf.where is not None:
        rows["where"] = to_data(leaf.where)
    if leaf.in_past is not None:
        rows["in_past"] = str(leaf.in_past)
    field = {} if leaf.field is None else {"field": leaf.field}
    return {"transactions": rows, leaf.aggregate: {**field, **comparison_data(leaf.comparison)}}


@dataclass(frozen=True, slots=True)
class SegmentName:
    """A segment that a condition names: its members, or only its subscriptions."""

    name: str
    evaluated: bool  # whether who is in it must be known
    location: Location


def named_segments(condition: Condition) -> list[SegmentName]:
    """Return every mention of a segment, in the order of the condition."""
    mentions = []
    for leaf in leaves(condition):
        if isinstance(leaf, SegmentLeaf):
            mentions.append(SegmentName(leaf.name, True, (*leaf.location, "segment")))
        if isinstance(leaf, SubscriptionLeaf) and leaf.name not in (THIS_SEGMENT, DIRECTORY):
            mentions.append(SegmentName(leaf.name, False, (*leaf.location, "subscription")))
    return mentions


def leaves(condition: Condition) -> Iterator[Condition]:
    """Yield every leaf, those inside ``where`` left out, in the order of the condition."""
    match condition:
        case AllOf() | AnyOf():
            for part in condition.parts:
                yield from leaves(part)
        case Not():
            yield from leaves(condition.part)
        case _:
            yield condition


def _tests(condition: Condition) -> Iterator[Test]:
    for leaf in leaves(condition):
        if isinstance(leaf, FieldLeaf | TransactionsLeaf | ChangeLeaf):
            yield from leaf.comparison.tests
        if isinstance(leaf, TransactionsLeaf) and leaf.where is not None:
            yield from _tests(leaf.where)


@dataclass(frozen=True, slots=True)
class _Use:
    """One mention of a table, and perhaps of its column."""

    table: str
    column: str
    location: Location

    @property
    def needs(self) -> Needs:
        if self.table == "transactions":
            return Needs(transactions=frozenset({self.column}))
        if self.table == "mailing_lists":
            return Needs(mailing_lists=True)
        return Needs(contacts=frozenset({self.column}) - {ALWAYS_THERE})


def _uses(condition: Condition, table: str = "contacts") -> Iterator[_Use]:
    for leaf in leaves(condition):
        match leaf:
            case FieldLeaf():
                yield _Use(table, leaf.field, (*leaf.location, "field"))
            case TransactionsLeaf():
                yield from _transaction_uses(leaf)
            case MailingListLeaf():
                yield _Use("mailing_lists", "mailing_list", (*leaf.location, "mailing_list"))


def _transaction_uses(leaf: TransactionsLeaf) -> Iterator[_Use]:
    for column in sorted(TRANSACTION_KEYS):
        yield _Use("transactions", column, (*leaf.location, "transactions"))
    if leaf.where is not None:
        yield from _uses(leaf.where, "transactions")
    if leaf.field is not None:
        yield _Use("transactions", leaf.field, (*leaf.location, leaf.aggregate, "field"))


def _unknown(
    use: _Use, columns: Mapping[str, Collection[str]], mapping: Mapping[str, Mapping[str, str]]
) -> tuple[Location, str] | None:
    names = columns.get(use.table)
    if names is None:
        location = use.location if use.location[-1] != "field" else use.location[:-1]
        return location, f"the directory has no table {use.table}"
    if use.column in names:
        return None
    aliases = [ours for ours, theirs in mapping.get(use.table, {}).items() if theirs == use.column]
    if aliases:
        ours_of_it = " or ".join(map(repr, aliases))
        return use.location, (
            f"the directory's `columns` call {use.column!r} of {use.table} {ours_of_it}; write that"
        )
    choices = ", ".join(sorted(names))
    hint = did_you_mean(use.column.rpartition(".")[2], names)
    return use.location, (f"unknown field {use.column!r} in {use.table}; allowed: {choices}{hint}")
