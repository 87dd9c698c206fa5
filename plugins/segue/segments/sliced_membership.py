"""Judge a directory slice by slice: in bounded memory, on every core, reading only what counts.

The answer is that of ``plain_members`` (membership.py), which reads everything and stays the
reference. Conditions on transactions are decided first, for whoever has any that count; then
contacts are judged, a slice at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.directory.definition import DirectoryDefinition
from segue.directory.readers import in_parallel, plain
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables, TableSlice
from segue.segments.arrow import TEXT, ArrowColumn
from segue.segments.conditions import (
    AllOf,
    AnyOf,
    Condition,
    Moment,
    Needs,
    Not,
    TransactionsLeaf,
    needed_columns,
)
from segue.segments.conditions.inspection import where_columns
from segue.segments.consent import opt_outs, opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import Evaluator
from segue.segments.id_keys import Keys, id_keys, starts_of_runs
from segue.segments.population import Population, opt_state_needs
from segue.segments.transactions import Verdicts

ID = "contact_id"
_ANY_ZONE = timedelta(days=1)  # no wall clock is further from UTC
_NOBODY = pd.DataFrame({ID: pd.Series([], dtype="str")})


def sliced_members(
    segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
) -> list[pa.Table] | None:
    """Return the members in the order of the snapshot's rows; None where ids may not be unique.

    Two contacts with one key are one contact twice, or a coincidence: the plain path will tell.
    """
    tables = SnapshotTables(directory, snapshot)
    needs = needed_columns(segment.match) | opt_state_needs(tables)
    base = _population(directory, tables, needs, snapshot.as_of)
    decided = _decide_all(transaction_leaves(segment.match), tables, base)
    out = opt_outs(base, segment.segment)

    def judge(piece: TableSlice) -> tuple[Keys, pa.Table]:
        rows = piece.read([ID, *sorted(needs.contacts)])
        ids: ArrowColumn = rows.column(ID)
        keys = id_keys(ids)
        population = replace(base, contacts=_frame(rows))
        known = {leaf: verdicts.of(ids, keys) for leaf, verdicts in decided.items()}
        members = pa.array(Evaluator(population, known).holds(segment.match))
        states = opt_states(population, segment.segment, out.holds(ids, keys))
        columns = [ids, pa.chunked_array([pa.array(states)])]
        return keys, pa.table(columns, names=[ID, "opted_in"]).filter(members)

    judged = in_parallel(judge, tables.slices("contacts"))
    keys = np.concatenate([np.zeros(0, np.uint64), *(keys for keys, _ in judged)])
    keys.sort()
    unique = len(keys) > 0 and bool(starts_of_runs(keys).all())
    return [members for _, members in judged] if unique else None


def transaction_leaves(condition: Condition) -> Iterator[TransactionsLeaf]:
    """Yield the conditions on transactions, as they stand in the tree."""
    match condition:
        case AllOf() | AnyOf():
            for part in condition.parts:
                yield from transaction_leaves(part)
        case Not():
            yield from transaction_leaves(condition.part)
        case TransactionsLeaf():
            yield condition


def _population(
    directory: DirectoryDefinition, tables: SnapshotTables, needs: Needs, as_of: datetime
) -> Population:
    """Load all but contacts and transactions."""
    rest = replace(needs, contacts=frozenset(), transactions=None)
    return Population.load(directory, tables, rest, as_of=as_of, contacts=_NOBODY)


# Transactions


def _decide_all(
    conditions: Iterator[TransactionsLeaf], tables: SnapshotTables, base: Population
) -> dict[int, Verdicts]:
    leaves = {id(leaf): _Leaf(leaf, base) for leaf in conditions}
    if not leaves:
        return {}
    counted = in_parallel(
        lambda piece: _counted_rows(piece, list(leaves.values()), base),
        tables.slices("transactions"),
    )
    return {
        key: leaf.verdicts([rows[number] for rows in counted])
        for number, (key, leaf) in enumerate(leaves.items())
    }


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A condition on transactions, and the population that it is judged in."""

    condition: TransactionsLeaf
    base: Population

    @property
    def kept(self) -> list[str]:
        """The columns that count once rows are chosen."""
        field = self.condition.field
        return list(dict.fromkeys([ID, "date", *([] if field is None else [field])]))

    def may_count(self, piece: TableSlice) -> bool:
        """Tell by the dates that a file notes whether a slice can hold rows that count."""
        bounds = piece.bounds("date")
        least, greatest = (None, None) if bounds is None else map(_instant, bounds)
        if least is None or greatest is None:
            return True
        since, moment = self.condition.in_past, Moment(self.base.as_of, self.base.zone)
        try:
            past = since is not None and greatest + _ANY_ZONE < moment.before(since)
            return not past and least - _ANY_ZONE < self.base.as_of
        except OverflowError:
            return True

    def verdicts(self, counted: Sequence[pa.Table | None]) -> Verdicts:
        """Judge every contact by its counted rows."""
        some = [rows for rows in counted if rows is not None]
        rows = pa.concat_tables(some, promote_options="permissive") if some else self._no_rows()
        rows = rows.combine_chunks()  # ids are taken from anywhere
        evaluator = Evaluator(replace(self.base, transactions=_frame(rows)))
        return evaluator.judge_groups(self.condition, rows.column(ID))

    def _no_rows(self) -> pa.Table:
        return pa.table({name: pa.nulls(0, TEXT) for name in self.kept})


def _counted_rows(
    piece: TableSlice, leaves: Sequence[_Leaf], base: Population
) -> list[pa.Table | None]:
    """Return for each condition the rows of a slice that it counts, None where there are none.

    Columns are read when they are known to matter: first those that choose the rows.
    """
    open_leaves = [leaf.may_count(piece) for leaf in leaves]
    choosing = [
        where_columns(leaf.condition)
        for leaf, is_open in zip(leaves, open_leaves, strict=True)
        if is_open
    ]
    if not choosing:
        return [None] * len(leaves)
    rows = piece.read(sorted(frozenset().union(*choosing)))
    evaluator = Evaluator(replace(base, transactions=_frame(rows)))

    def keep(leaf: _Leaf) -> pa.Table | None:
        counted = evaluator.counted(leaf.condition)
        if not counted.any():
            return None
        missing = [name for name in leaf.kept if name not in rows.column_names]
        more = piece.read(missing)
        found = [(more if name in missing else rows).column(name) for name in leaf.kept]
        columns = [plain(column) for column in found]  # dictionaries differ from slice to slice
        return pa.table(columns, names=leaf.kept).filter(pa.array(counted))

    pairs = zip(leaves, open_leaves, strict=True)
    return [keep(leaf) if is_open else None for leaf, is_open in pairs]


def _instant(value: Any) -> datetime | None:
    """Return a date or a time as a file notes it; None for what is neither."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return datetime.combine(value, time.min, UTC) if isinstance(value, date) else None


def _frame(rows: pa.Table) -> pd.DataFrame:
    return rows.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
