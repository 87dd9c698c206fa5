"""Judge a directory slice by slice: in bounded memory, on every core, reading only what counts.

The answer is that of ``plain_members`` (membership.py), which reads everything and stays the
reference. Conditions on transactions are decided first, for whoever has any that count; then
contacts are judged, a slice at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa

from segue.directory.definition import DirectoryDefinition
from segue.directory.id_hashes import Keys, all_differ, id_keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowColumn, pc, plain
from segue.directory.snapshots import Snapshot
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables, as_frame
from segue.segments.columns.id_keys import IdSet, KeySet
from segue.segments.columns.ordered import Mask
from segue.segments.conditions import aggregates, operators, time_operators
from segue.segments.conditions.aggregates import find_aggregate
from segue.segments.conditions.inspection import (
    Needs,
    leaves,
    needed_columns,
    operators_of,
    where_columns,
)
from segue.segments.conditions.nodes import Condition, FieldLeaf, SampleLeaf, TransactionsLeaf
from segue.segments.conditions.registry import Moment
from segue.segments.consent import opt_outs, opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import Evaluator
from segue.segments.population import Population, opt_state_needs
from segue.segments.transactions import Verdicts
from segue.segments.turnover import sample_of

ID = "contact_id"
_ANY_ZONE = timedelta(days=1)  # no wall clock is further from UTC
_OUR_JUDGES = frozenset(module.__name__ for module in (aggregates, operators, time_operators))
_NO_IDS: ArrowColumn = pa.chunked_array([], TEXT)
_NOBODY = pd.DataFrame({ID: pd.Series([], dtype="str")})


@dataclass(slots=True)
class Leavers:
    """Those of some former members who are in the directory still, but in the segment no more.

    Found while contacts are judged, which saves reading all of them once more; so is a sample of
    all contacts' ids, which tells how many are others than before.
    """

    former: KeySet
    ids: ArrowColumn | None = None  # None: nobody looked
    sample: Keys | None = None  # see ``sample_of``

    def among(self, ids: ArrowColumn, keys: Keys, others: Mask) -> ArrowColumn:
        """Return which ``others`` of a slice's contacts have the keys of former members."""
        rows, _ = self.former.find(keys)
        matches: ArrowColumn = pc.take(ids, pa.array(rows[others.take(rows)]))
        return matches

    def note(self, pieces: Iterable[ArrowColumn], sample: Keys) -> None:
        """Take what judging all contacts found, slice by slice."""
        chunks = [ids for piece in pieces for ids in piece.chunks]
        self.ids, self.sample = pa.chunked_array(chunks, TEXT), sample


def sliced_members(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    snapshot: Snapshot,
    leavers: Leavers | None = None,
) -> list[pa.Table] | None:
    """Return the members in the order of the snapshot's rows; None where the plain path must tell.

    That is where the segment does not follow from each contact's own rows alone, where files give
    a column in several types, and where ids may not be unique: two contacts with one key are one
    contact twice, or a coincidence. Where there is an answer, ``leavers`` get theirs.
    """
    match = segment.match
    if match is None or segment.refers_to or not is_judged_row_by_row(match):
        return None
    tables = SnapshotTables(directory, snapshot)
    needs = needed_columns(match) | opt_state_needs(tables)
    if not _keep_their_types(tables, needs):
        return None
    base = _population(directory, tables, needs, snapshot.as_of)
    verdicts_of_leaves = _decide_all(transaction_leaves(match), tables, base)
    opted_out = IdSet(pa.chunked_array([pc.unique(opt_outs(base, segment.segment))]))

    def judge(piece: TableSlice) -> _Judgement:
        rows = piece.read([ID, *sorted(needs.contacts)])
        ids: ArrowColumn = rows.column(ID)
        keys = id_keys(ids)
        population = replace(base, contacts=as_frame(rows))
        masks = {leaf: verdicts.of(ids, keys) for leaf, verdicts in verdicts_of_leaves.items()}
        holds = Evaluator(population, masks).holds(match)
        states = opt_states(population, segment.segment, opted_out.holds(ids, keys))
        columns = [ids, pa.chunked_array([pa.array(states)])]
        members = pa.table(columns, names=[ID, "opted_in"]).filter(pa.array(holds))
        # not a slice of the ids, which would keep them all in memory
        former_members = _NO_IDS if leavers is None else leavers.among(ids, keys, ~holds)
        keys.sort()
        return _Judgement(members, former_members, keys)

    judgements = in_parallel(judge, tables.slices("contacts"))
    keys = [each.keys for each in judgements]
    if not _are_unique(keys):
        return None
    if leavers is not None:
        leavers.note((each.former_members for each in judgements), sample_of(keys))
    return [each.members for each in judgements]


@dataclass(frozen=True, slots=True, eq=False)
class _Judgement:
    """What was found in one slice of the contacts."""

    members: pa.Table
    former_members: ArrowColumn  # ids of others whose keys are those of former members
    keys: Keys  # of all, ascending


def _are_unique(keys: Sequence[Keys]) -> bool:
    """Tell whether there are keys, and each is another one."""
    return any(map(len, keys)) and all_differ(keys)


def is_judged_row_by_row(condition: Condition) -> bool:
    """Tell whether judging slices is known to be judging the whole.

    It is for samples, values of contacts and their transactions, and for operators and aggregates
    of our own. Others' may look at a whole column; what other leaves need is loaded by the plain
    path.
    """
    ours = FieldLeaf | TransactionsLeaf | SampleLeaf
    is_ours = all(isinstance(leaf, ours) for leaf in leaves(condition))
    judges: list[Any] = [*operators_of(condition)]
    judges += [find_aggregate(leaf.aggregate) for leaf in transaction_leaves(condition)]
    return is_ours and all(type(each).__module__ in _OUR_JUDGES for each in judges)


def transaction_leaves(condition: Condition) -> list[TransactionsLeaf]:
    """Return the conditions on transactions, as they stand in the tree."""
    return [leaf for leaf in leaves(condition) if isinstance(leaf, TransactionsLeaf)]


def _keep_their_types(tables: SnapshotTables, needs: Needs) -> bool:
    """Tell whether a slice read alone has the types that it has among the others."""
    columns_by_table = {"transactions": needs.transactions, "contacts": needs.contacts}
    return all(
        tables.table(table).has_one_type(sorted(columns - {ID}))
        for table, columns in columns_by_table.items()
        if columns is not None
    )


def _population(
    directory: DirectoryDefinition, tables: SnapshotTables, needs: Needs, as_of: datetime
) -> Population:
    """Load all but contacts and transactions."""
    rest = replace(needs, contacts=frozenset(), transactions=None)
    return Population.load(directory, tables, rest, as_of=as_of, contacts=_NOBODY)


# Transactions


def _decide_all(
    conditions: Sequence[TransactionsLeaf], tables: SnapshotTables, base: Population
) -> dict[int, Verdicts]:
    leaves_by_id = {id(leaf): _Leaf(leaf, base) for leaf in conditions}
    if not leaves_by_id:
        return {}
    counts = in_parallel(
        lambda piece: _counted_rows(piece, list(leaves_by_id.values()), base),
        tables.slices("transactions"),
    )
    return {
        key: leaf.verdicts([rows[number] for rows in counts])
        for number, (key, leaf) in enumerate(leaves_by_id.items())
    }


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A condition on transactions, and the population that it is judged in."""

    condition: TransactionsLeaf
    base: Population

    @property
    def columns(self) -> list[str]:
        """The columns that count once rows are chosen."""
        field = self.condition.field
        return list(dict.fromkeys([ID, field or ID]))

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

    def verdicts(self, rows_of_pieces: Sequence[pa.Table | None]) -> Verdicts:
        """Judge every contact by its counted rows."""
        some = [rows for rows in rows_of_pieces if rows is not None]
        none = pa.table({name: pa.nulls(0, TEXT) for name in self.columns})
        rows = pa.concat_tables(some, promote_options="permissive") if some else none
        rows = rows.combine_chunks()  # ids are taken from anywhere
        evaluator = Evaluator(replace(self.base, transactions=as_frame(rows)))
        return evaluator.judge_groups(self.condition, rows.column(ID))


def _counted_rows(
    piece: TableSlice, leaves_of_rows: Sequence[_Leaf], base: Population
) -> list[pa.Table | None]:
    """Return for each condition the rows of a slice that it counts, None where there are none.

    Columns are read when they are known to matter: first those that choose the rows.
    """
    in_time = [leaf.in_time(piece) for leaf in leaves_of_rows]
    columns_of_leaves = [
        where_columns(leaf.condition) | ({"date"} if dates is None else set())
        for leaf, dates in zip(leaves_of_rows, in_time, strict=True)
        if dates is not False
    ]
    if not columns_of_leaves:
        return [None] * len(leaves_of_rows)
    rows = piece.read(sorted(frozenset().union(*columns_of_leaves)) or [ID])
    evaluator = Evaluator(replace(base, transactions=as_frame(rows)))

    def keep(leaf: _Leaf, dates: bool | None) -> pa.Table | None:
        mask = evaluator.looks_at(leaf.condition, all_in_time=dates is True)
        if not mask.any():
            return None
        missing = [name for name in leaf.columns if name not in rows.column_names]
        more = piece.read(missing)
        values = [(more if name in missing else rows).column(name) for name in leaf.columns]
        columns = [plain(column) for column in values]  # dictionaries differ from slice to slice
        return pa.table(columns, names=leaf.columns).filter(pa.array(mask))

    pairs = zip(leaves_of_rows, in_time, strict=True)
    return [None if dates is False else keep(leaf, dates) for leaf, dates in pairs]


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
