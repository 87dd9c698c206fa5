"""What a condition asks of the data, before any is read; and its plain form."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segue.documents import Location, did_you_mean
from segue.segments.conditions.nodes import (
    AllOf,
    AnyOf,
    ChangeLeaf,
    Comparison,
    Condition,
    FieldLeaf,
    Not,
    TransactionsLeaf,
)

ALWAYS_THERE = "contact_id"
TRANSACTION_KEYS = frozenset({"contact_id", "date"})


@dataclass(frozen=True, slots=True)
class Needs:
    """The tables and columns that a condition reads; ``transactions`` None means none at all.

    ``contacts`` names only what conditions ask for: contact ids are there anyway. ``transactions``
    includes contact_id and date, which every condition on transactions needs.
    """

    contacts: frozenset[str] = frozenset()
    transactions: frozenset[str] | None = None
    mailing_lists: bool = False
    subscriptions: bool = False

    def __or__(self, other: Needs) -> Needs:
        """Return the needs of both."""
        both = (self.transactions, other.transactions)
        named = [columns for columns in both if columns is not None]
        return Needs(
            self.contacts | other.contacts,
            frozenset().union(*named) if named else None,
            self.mailing_lists or other.mailing_lists,
            self.subscriptions or other.subscriptions,
        )


def needed_columns(condition: Condition) -> Needs:
    """Return every table and column that judging ``condition`` reads."""
    needs = Needs()
    for use in _uses(condition):
        needs |= use.needs
    return needs


def where_columns(leaf: TransactionsLeaf) -> frozenset[str]:
    """Return the columns of transactions by which ``leaf`` chooses rows; date is always one."""
    uses = () if leaf.where is None else _uses(leaf.where, "transactions")
    return frozenset({"date"}).union(use.column for use in uses)


def unknown_fields(
    condition: Condition, columns: Mapping[str, Collection[str]]
) -> list[tuple[Location, str]]:
    """Return a problem for each column or table that ``columns`` (table: names) does not have."""
    problems = (_unknown(use, columns) for use in _uses(condition))
    return list(dict.fromkeys(problem for problem in problems if problem is not None))


def to_data(condition: Condition) -> dict[str, Any]:
    """Return the condition as plain data, always in the same form; it parses to the same again."""
    match condition:
        case AllOf():
            return {"all": [to_data(part) for part in condition.parts]}
        case AnyOf():
            return {"any": [to_data(part) for part in condition.parts]}
        case Not():
            return {"not": to_data(condition.part)}
        case FieldLeaf():
            return {"field": condition.field, **comparison_data(condition.comparison)}
        case TransactionsLeaf():
            return _transactions_data(condition)
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
class _Use:
    """One mention of a table's column."""

    table: str
    column: str
    location: Location

    @property
    def needs(self) -> Needs:
        if self.table == "transactions":
            return Needs(transactions=frozenset({self.column}))
        return Needs(contacts=frozenset({self.column}) - {ALWAYS_THERE})


def _uses(condition: Condition, table: str = "contacts") -> Iterator[_Use]:
    match condition:
        case AllOf() | AnyOf():
            for part in condition.parts:
                yield from _uses(part, table)
        case Not():
            yield from _uses(condition.part, table)
        case FieldLeaf():
            yield _Use(table, condition.field, (*condition.location, "field"))
        case TransactionsLeaf():
            yield from _transaction_uses(condition)


def _transaction_uses(leaf: TransactionsLeaf) -> Iterator[_Use]:
    for column in sorted(TRANSACTION_KEYS):
        yield _Use("transactions", column, (*leaf.location, "transactions"))
    if leaf.where is not None:
        yield from _uses(leaf.where, "transactions")
    if leaf.field is not None:
        yield _Use("transactions", leaf.field, (*leaf.location, leaf.aggregate, "field"))


def _unknown(use: _Use, columns: Mapping[str, Collection[str]]) -> tuple[Location, str] | None:
    known = columns.get(use.table)
    if known is None:
        at = use.location if use.location[-1] != "field" else use.location[:-1]
        return at, f"the directory has no table {use.table}"
    if use.column in known:
        return None
    allowed = ", ".join(sorted(known))
    hint = did_you_mean(use.column, known)
    return use.location, (f"unknown field {use.column!r} in {use.table}; allowed: {allowed}{hint}")
