"""Conditions on transactions, decided for everybody who has some by one reading of the table.

However many conditions there are, a row is kept once, with a bit for each of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.directory.checks import ID
from segue.directory.id_hashes import Keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowArray, ArrowColumn, pc, plain
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables, as_frame
from segue.segments.columns.id_keys import group_ids
from segue.segments.columns.ordered import Mask
from segue.segments.conditions.inspection import to_data, where_columns
from segue.segments.conditions.nodes import TransactionsLeaf
from segue.segments.conditions.registry import Moment
from segue.segments.evaluation import Evaluator
from segue.segments.membership.marks import Marks
from segue.segments.population import Population

_ANY_ZONE = timedelta(days=1)  # no wall clock is further from UTC


@dataclass(frozen=True, slots=True, eq=False)
class TransactionVerdicts:
    """What conditions on transactions say of every contact there may be, each by its ``id()``.

    ``usual`` is what one says of a contact without transactions; ``others`` marks those of whom it
    says the opposite.
    """

    usual: Mapping[int, bool]
    others: Marks

    def of(self, ids: ArrowColumn, keys: Keys) -> dict[int, Mask]:
        """Return the verdicts on each contact; ``keys`` are those of ``ids``."""
        masks = self.others.of(ids, keys)
        return {leaf: ~mask if self.usual[leaf] else mask for leaf, mask in masks.items()}


def transaction_verdicts(
    conditions: Sequence[TransactionsLeaf], tables: SnapshotTables, base: Population
) -> TransactionVerdicts:
    """Judge whoever has transactions; ``base`` is the population without them."""
    if not conditions:
        return TransactionVerdicts({}, Marks(pa.chunked_array([], TEXT), {}))
    choices = _choices(conditions, base)
    pieces = in_parallel(
        lambda piece: _counted_rows(piece, list(choices.values())), tables.slices("transactions")
    )
    rows, masks = _joined([piece for piece in pieces if piece is not None], choices)
    evaluator = Evaluator(replace(base, transactions=as_frame(rows)))
    first, groups = group_ids(rows.column(ID))

    def judge(alike: Sequence[TransactionsLeaf]) -> list[tuple[int, bool, Mask]]:
        mask = masks[_choice_of(alike[0])].to_numpy(zero_copy_only=False)
        # one contact more than there are, who has no transactions, as most contacts
        column = evaluator.grouped(alike[0], mask, groups, len(first) + 1)
        verdicts = [evaluator.compare(column, leaf.comparison) for leaf in alike]
        return [
            (id(leaf), bool(verdict[-1]), verdict[:-1] != verdict[-1])
            for leaf, verdict in zip(alike, verdicts, strict=True)
        ]

    verdicts = list(chain.from_iterable(in_parallel(judge, _alike(conditions))))
    ids = pc.take(rows.column(ID), pa.array(first))
    others = Marks(ids, {leaf: mask for leaf, _, mask in verdicts})
    return TransactionVerdicts({leaf: usual for leaf, usual, _ in verdicts}, others)


def _alike(conditions: Sequence[TransactionsLeaf]) -> list[list[TransactionsLeaf]]:
    """Return the conditions by what they compare: the same value of the same rows is made once."""
    groups: dict[tuple[str, str, str | None], list[TransactionsLeaf]] = {}
    for leaf in conditions:
        groups.setdefault((_choice_of(leaf), leaf.aggregate, leaf.field), []).append(leaf)
    return list(groups.values())


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Which transactions some conditions look at: ``condition`` is one of them."""

    condition: TransactionsLeaf
    fields: frozenset[str]  # what all of them aggregate
    base: Population

    def in_time(self, piece: TableSlice) -> bool | None:
        """Tell by the dates that a file notes whether all rows of a slice count, or none can.

        None: the rows' own dates must tell.
        """
        times = _noted_times(piece)
        if times is None:
            return None
        (earliest, latest), as_of = times, self.base.as_of
        since, moment = self.condition.in_past, Moment(as_of, self.base.zone)
        start = earliest if since is None else moment.before(since)
        if latest < start or earliest >= as_of:
            return False
        is_inside = start <= earliest and latest < as_of
        return True if is_inside and piece.is_complete("date") else None


def _choices(conditions: Sequence[TransactionsLeaf], base: Population) -> dict[str, _Choice]:
    """Return what is chosen, each once: conditions that differ in nothing else share their rows."""
    choices: dict[str, _Choice] = {}
    for leaf in conditions:
        key, fields = _choice_of(leaf), frozenset([leaf.field] if leaf.field else [])
        earlier = choices.get(key)
        choices[key] = _Choice(leaf, fields | (earlier.fields if earlier else frozenset()), base)
    return choices


def _choice_of(leaf: TransactionsLeaf) -> str:
    """Name the rows that a condition looks at, as JSON tells 1 from true."""
    where = None if leaf.where is None else to_data(leaf.where)
    return json.dumps([str(leaf.in_past), where], sort_keys=True)


@dataclass(frozen=True, slots=True, eq=False)
class _CountedRows:
    """The rows of a slice that any choice takes, and which of them each takes (None: no row)."""

    rows: pa.Table
    masks: Sequence[ArrowArray | None]


def _counted_rows(piece: TableSlice, choices: Sequence[_Choice]) -> _CountedRows | None:
    """Return the rows of a slice that count; None where there are none.

    Columns are read when they are known to matter: first those that choose the rows.
    """
    in_time = [choice.in_time(piece) for choice in choices]
    columns_of_choices = [
        where_columns(choice.condition) | ({"date"} if dates is None else set())
        for choice, dates in zip(choices, in_time, strict=True)
        if dates is not False
    ]
    if not columns_of_choices:
        return None
    rows = piece.read(sorted(frozenset().union(*columns_of_choices)) or [ID])
    evaluator = Evaluator(replace(choices[0].base, transactions=as_frame(rows)))

    def chosen(choice: _Choice, dates: bool | None) -> Mask | None:
        if dates is False:
            return None
        mask = evaluator.looks_at(choice.condition, all_in_time=dates is True)
        return mask if mask.any() else None

    masks = [chosen(*pair) for pair in zip(choices, in_time, strict=True)]
    some = [mask for mask in masks if mask is not None]
    if not some:
        return None
    is_counted = np.logical_or.reduce(some)
    fields = [c.fields for c, mask in zip(choices, masks, strict=True) if mask is not None]
    names = list(dict.fromkeys([ID, *sorted(frozenset().union(*fields))]))
    missing = [name for name in names if name not in rows.column_names]
    more = piece.read(missing)
    values = [(more if name in missing else rows).column(name) for name in names]
    columns = [plain(column) for column in values]  # dictionaries differ from slice to slice
    return _CountedRows(
        pa.table(columns, names=names).filter(pa.array(is_counted)),
        [None if mask is None else pa.array(mask[is_counted]) for mask in masks],
    )


def _joined(
    pieces: Sequence[_CountedRows], choices: Mapping[str, _Choice]
) -> tuple[pa.Table, dict[str, ArrowColumn]]:
    """Return the rows of all slices, and per choice which of them it takes."""
    names = [ID, *sorted(frozenset().union(*(choice.fields for choice in choices.values())) - {ID})]
    some = [piece.rows for piece in pieces] or [pa.table({ID: pa.nulls(0, TEXT)})]
    rows = pa.concat_tables(some, promote_options="permissive")
    rows = rows.combine_chunks()  # ids are taken from anywhere
    for name in names:
        if name not in rows.column_names:  # no slice has a row for which it counts
            rows = rows.append_column(name, pa.nulls(rows.num_rows, TEXT))
    masks = {}
    for place, key in enumerate(choices):
        chunks = [
            pa.array(np.zeros(piece.rows.num_rows, bool)) if mask is None else mask
            for piece in pieces
            for mask in [piece.masks[place]]
        ]
        masks[key] = pa.chunked_array(chunks, pa.bool_())
    return rows, masks


def _noted_times(piece: TableSlice) -> tuple[datetime, datetime] | None:
    """Return between which instants the dates of a slice are, in any zone, if its file notes it."""
    bounds = piece.bounds("date")
    least, greatest = (None, None) if bounds is None else map(_instant, bounds)
    if least is None or greatest is None:
        return None
    try:
        return least - _ANY_ZONE, greatest + _ANY_ZONE
    except OverflowError:
        return None


def _instant(value: Any) -> datetime | None:
    """Return a date or a time as a file notes it; None for what is neither."""
    if isinstance(value, pd.Timestamp):  # whose own arithmetic ends where nanoseconds do, in 2262
        value = value.to_pydatetime(warn=False)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return datetime.combine(value, time.min, UTC) if isinstance(value, date) else None
