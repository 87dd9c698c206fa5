"""Judge conditions over contacts: ten million of them for a segment, or one for a workflow.

The same engine serves both, and explanations, so that what is explained is what was decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, reduce
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from segue.errors import DataError
from segue.segments.columns.column import Column
from segue.segments.columns.column_source import column_of
from segue.segments.columns.ordered import Groups, Mask
from segue.segments.conditions.aggregates import find_aggregate
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
    StateLeaf,
    SubscriptionLeaf,
    TransactionsLeaf,
)
from segue.segments.conditions.registry import Moment, find_operator
from segue.segments.consent import list_states, list_verdicts, opt_states
from segue.segments.population import Population
from segue.segments.sampling import is_drawn
from segue.segments.transactions import Rows, group_rows, ids_of

Decided = Mapping[int, Mask]  # by id(): leaves that compare equal may differ, as 1 and true
ValueLeaf = FieldLeaf | TransactionsLeaf | ChangeLeaf


def evaluate(condition: Condition, population: Population) -> Mask:
    """Return one boolean per row of ``population.contacts``, in its order."""
    return Evaluator(population).holds(condition)


class _Table:
    """The columns of one frame, made when first needed and then kept."""

    def __init__(self, name: str, frame: pd.DataFrame, zone: ZoneInfo) -> None:
        self._name, self._frame, self._zone = name, frame, zone
        self._columns: dict[str, Column] = {}

    def column(self, name: str) -> Column:
        if name not in self._columns:
            if name not in self._frame.columns:
                raise DataError(f"{self._name} has no column {name!r}, which a condition needs")
            whole = f"{self._name}.{name}"
            self._columns[name] = column_of(self._frame[name], self._zone, whole)
        return self._columns[name]


class Evaluator:
    """Judges any number of conditions over one population; what they share is read once."""

    def __init__(self, population: Population, decisions: Decided | None = None) -> None:
        """``decisions``: which contacts some leaves hold for, where that is known already."""
        self._population = population
        self._decided = {} if decisions is None else decisions
        self._moment = Moment(population.as_of, population.zone)
        self._contacts = _Table("contacts", population.contacts, population.zone)

    def holds(self, condition: Condition, table: _Table | None = None) -> Mask:
        """Judge ``condition`` for each row of ``table``, or for each contact."""
        match condition:
            case AllOf():
                return _all(self.holds(part, table) for part in condition.parts)
            case AnyOf():
                return ~_all(~self.holds(part, table) for part in condition.parts)
            case Not():
                return ~self.holds(condition.part, table)
            case _ if id(condition) in self._decided:
                return self._decided[id(condition)]
            case FieldLeaf() | TransactionsLeaf() | ChangeLeaf():
                return self.compare(self.column(condition, table), condition.comparison)
            case _:
                return self._judge(condition)

    def _judge(self, leaf: StateLeaf | SampleLeaf) -> Mask:
        """Judge a leaf that is about the contact as a whole, not about one value."""
        match leaf:
            case MailingListLeaf():
                return self._on_list(leaf)
            case SubscriptionLeaf():
                opted_in = opt_states(self._population, self._scope(leaf))
                return opted_in if leaf.state == "opted_in" else ~opted_in
            case SegmentLeaf():
                members = self._members(leaf.name)
                return members if leaf.state == "member" else ~members
            case SampleLeaf():
                return is_drawn(self._contact_ids, leaf.salt, leaf.limit)

    def _on_list(self, leaf: MailingListLeaf) -> Mask:
        rows = self._population.mailing_lists
        if rows is None:
            raise DataError("there are no mailing_lists, which a condition needs")
        return list_verdicts(*list_states(self._population, rows, leaf.name))[leaf.state]

    def _scope(self, leaf: SubscriptionLeaf) -> str | None:
        """Return the segment that a subscription leaf is about; None is the directory."""
        if leaf.name == DIRECTORY:
            return None
        if leaf.name != THIS_SEGMENT:
            return leaf.name
        if self._population.this_segment is None:
            raise DataError("`subscription: this_segment` is judged for no segment")
        return self._population.this_segment

    def _members(self, name: str) -> Mask:
        segments = self._population.segments
        if segments is None or name not in segments.columns:
            raise DataError(
                f"it is not known who is in the segment {name!r}, to which a condition refers"
            )
        return segments[name].to_numpy(dtype=bool)

    def compare(self, column: Column, comparison: Comparison) -> Mask:
        """Judge every operator of a leaf for the rows of a column."""
        view = column.ignoring_case() if comparison.ignore_case else column
        return view.verdicts(
            lambda values: _all(
                find_operator(test.operator).holds(values, test.operand, self._moment)
                for test in comparison.tests
            )
        )

    def column(self, leaf: ValueLeaf, table: _Table | None = None) -> Column:
        """Return what a leaf compares, one value for each row of ``table`` or each contact."""
        match leaf:
            case FieldLeaf():
                return (table or self._contacts).column(leaf.field)
            case TransactionsLeaf():
                return self._aggregate(leaf, self._rows(leaf))
            case ChangeLeaf():
                if self._population.changes is None:
                    raise DataError("this population has no changes to judge `change` by")
                return column_of(self._population.changes, self._population.zone)

    def grouped(self, leaf: TransactionsLeaf, counted: Mask, groups: Groups, size: int) -> Column:
        """Return what ``leaf`` compares for ``size`` contacts, by the transactions ``counted``.

        ``groups`` are the numbers of the contacts that all transactions are of; one that none is
        of has no transactions.
        """
        column, zone = self._transactions.column, self._population.zone
        return self._aggregate(leaf, Rows(column, counted, groups[counted], size, zone))

    def _aggregate(self, leaf: TransactionsLeaf, rows: Rows) -> Column:
        return find_aggregate(leaf.aggregate).of(rows, leaf.field or "")

    def _rows(self, leaf: TransactionsLeaf) -> Rows:
        mask = self.looks_at(leaf)
        column, zone = self._transactions.column, self._population.zone
        return group_rows(column, self._transaction_ids, mask, self._contact_ids, zone)

    def looks_at(self, leaf: TransactionsLeaf, *, all_in_time: bool = False) -> Mask:
        """Return which transactions ``leaf`` looks at, whosever they are.

        ``all_in_time``: it is known already that the dates of all are ones that count.
        """
        if all_in_time:
            mask = np.ones(len(self._transaction_frame), dtype=bool)
        else:
            mask = self._in_time(leaf)
        if leaf.where is not None:
            mask = mask & self.holds(leaf.where, self._transactions)
        return mask

    def _in_time(self, leaf: TransactionsLeaf) -> Mask:
        dates = self._transactions.column("date").instants
        visible = dates.below(self._moment.as_of)  # whatever is dated later does not exist
        if leaf.in_past is None:
            return visible
        return visible & dates.at_least(self._moment.before(leaf.in_past))

    @cached_property
    def _transactions(self) -> _Table:
        return _Table("transactions", self._transaction_frame, self._population.zone)

    @cached_property
    def _transaction_frame(self) -> pd.DataFrame:
        if self._population.transactions is None:
            raise DataError("there are no transactions, which a condition needs")
        return self._population.transactions

    @cached_property
    def _transaction_ids(self) -> Any:
        return ids_of(self._transaction_frame)

    @cached_property
    def _contact_ids(self) -> Any:
        return ids_of(self._population.contacts)


def _all(masks: Iterable[Mask]) -> Mask:
    return reduce(np.logical_and, masks)
