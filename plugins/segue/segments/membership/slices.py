"""Judge a directory slice by slice: in bounded memory, on every core, reading only what counts.

One pass judges any number of segments: a slice is read once, with the columns of all of them. Each
answer is that of ``plain_members`` (store.py), which reads everything and stays the reference. What
other tables say of contacts is decided first; then contacts are judged, a slice at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.directory.checks import ID
from segue.directory.definition import DirectoryDefinition
from segue.directory.id_hashes import Keys, all_differ, id_keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowArray, ArrowColumn, pc
from segue.directory.snapshots import Snapshot
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables, as_frame
from segue.segments.columns.id_keys import KeySet, order_of_ids
from segue.segments.columns.ordered import Mask
from segue.segments.conditions import aggregates, operators, time_operators
from segue.segments.conditions.aggregates import find_aggregate
from segue.segments.conditions.inspection import Needs, leaves, operators_of
from segue.segments.conditions.nodes import (
    DIRECTORY,
    THIS_SEGMENT,
    ChangeLeaf,
    Condition,
    MailingListLeaf,
    SegmentLeaf,
    SubscriptionLeaf,
    TransactionsLeaf,
)
from segue.segments.consent import list_verdicts, opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.evaluation import Evaluator
from segue.segments.membership.counted import TransactionVerdicts, transaction_verdicts
from segue.segments.membership.marks import MEMBER, OPTED_OUT, Marks, list_marks, opt_out_marks
from segue.segments.population import Population, opt_state_needs
from segue.segments.turnover import sample_of

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


class SlicedMembers:
    """The members of several segments: an id is kept once, with two bits for each segment."""

    def __init__(self, slices: Sequence[_Judgement]) -> None:
        self._slices = slices

    def of(self, place: int) -> pa.Table:
        """Return contact_id and opted_in of a segment's members, sorted by id in byte order."""
        members, states = (
            self._sorted(each.verdicts[place][side] for each in self._slices) for side in (0, 1)
        )
        table = pa.table([self._ids, states], names=[ID, "opted_in"])
        return table if pc.all(members).as_py() else table.filter(members)

    def _sorted(self, bits: Iterable[ArrowArray]) -> ArrowArray:
        return pa.chunked_array(list(bits), pa.bool_()).combine_chunks().take(self._order)

    @cached_property
    def _order(self) -> ArrowArray:
        return pa.array(order_of_ids(self._unsorted))

    @cached_property
    def _unsorted(self) -> ArrowColumn:
        chunks = [chunk for each in self._slices for chunk in each.ids.chunks]
        return pa.chunked_array([pa.concat_arrays(chunks)] if chunks else [], TEXT)

    @cached_property
    def _ids(self) -> ArrowColumn:
        ids: ArrowColumn = self._unsorted.take(self._order)
        return ids


def sliced_members(
    segments: Sequence[SegmentDefinition],
    directory: DirectoryDefinition,
    snapshot: Snapshot,
    leavers: Leavers | None = None,
) -> SlicedMembers | None:
    """Return the members of all ``segments``; None where the plain path must tell.

    That is where one of them ``can_be_sliced`` no way, and where ids may not be unique: two
    contacts with one key are one contact twice, or a coincidence. Where there is an answer,
    ``leavers`` get theirs, of the first segment.
    """
    tables = SnapshotTables(directory, snapshot)
    if not all(can_be_sliced(segment, tables) for segment in segments):
        return None
    judge = _judge_of(segments, tables, leavers)
    judgements = in_parallel(judge, tables.slices("contacts"))
    keys = [each.keys for each in judgements]
    if not _are_unique(keys):
        return None
    if leavers is not None:
        leavers.note((each.former_members for each in judgements), sample_of(keys))
    return SlicedMembers(judgements)


def can_be_sliced(segment: SegmentDefinition, tables: SnapshotTables) -> bool:
    """Tell whether a segment follows from each contact's own rows, and columns have one type.

    Raises DataError where the snapshot lacks what the segment needs.
    """
    matches = [each.match for each in (*segment.refers_to, segment)]
    if any(match is None or not is_judged_row_by_row(match) for match in matches):
        return False
    return _keep_their_types(tables, segment.needs | opt_state_needs(tables))


def is_judged_row_by_row(condition: Condition) -> bool:
    """Tell whether judging slices is known to be judging the whole.

    It is for operators and aggregates of our own. Others' may look at a whole column.
    """
    judges: list[Any] = [*operators_of(condition)]
    judges += [find_aggregate(leaf.aggregate) for leaf in _of_kind(TransactionsLeaf, [condition])]
    has_change = any(isinstance(leaf, ChangeLeaf) for leaf in leaves(condition))
    return not has_change and all(type(each).__module__ in _OUR_JUDGES for each in judges)


def _of_kind(kind: type[Any], conditions: Iterable[Condition]) -> list[Any]:
    """Return the leaves of one kind, as they stand in the trees."""
    return [leaf for each in conditions for leaf in leaves(each) if isinstance(leaf, kind)]


def _keep_their_types(tables: SnapshotTables, needs: Needs) -> bool:
    """Tell whether a slice read alone has the types that it has among the others."""
    columns_by_table = {"transactions": needs.transactions, "contacts": needs.contacts}
    if needs.mailing_lists:
        columns_by_table["mailing_lists"] = frozenset({"mailing_list"})
    return all(
        tables.table(table).has_one_type(sorted(columns - {ID}))
        for table, columns in columns_by_table.items()
        if columns is not None
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judgement:
    """What was found in one slice of the contacts."""

    ids: ArrowColumn  # of whoever is in any segment
    verdicts: Sequence[tuple[ArrowArray, ArrowArray]]  # per segment: who is in it, who is opted in
    former_members: ArrowColumn  # ids of others whose keys are those of former members
    keys: Keys  # of all, ascending


def _are_unique(keys: Sequence[Keys]) -> bool:
    """Tell whether there are keys, and each is another one."""
    return any(map(len, keys)) and all_differ(keys)


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Judges slices of contacts by conditions whose leaves on other tables are decided."""

    segments: Sequence[SegmentDefinition]
    columns: Sequence[str]  # of contacts, that any segment reads
    base: Population  # all but contacts and what is decided
    transactions: TransactionVerdicts
    lists: Marks
    opt_outs: Marks
    leavers: Leavers | None

    def __call__(self, piece: TableSlice) -> _Judgement:
        rows = piece.read([ID, *self.columns])
        ids: ArrowColumn = rows.column(ID)
        keys = id_keys(ids)
        population = replace(self.base, contacts=as_frame(rows))
        opted_in = self._opt_states(population, ids, keys)
        members = list(self._members(population, ids, keys, opted_in))
        rows_of_members = np.flatnonzero(reduce(np.logical_or, members))

        def bits(mask: Mask) -> ArrowArray:
            return pa.array(mask.take(rows_of_members))

        states = {id(mask): bits(mask) for mask in opted_in.values()}
        verdicts = [
            (bits(mask), states[id(opted_in[segment.segment])])
            for segment, mask in zip(self.segments, members, strict=True)
        ]
        # not a slice of the ids, which would keep them all in memory
        leavers = self.leavers
        former = _NO_IDS if leavers is None else leavers.among(ids, keys, ~members[0])
        keys.sort()
        return _Judgement(pc.take(ids, pa.array(rows_of_members)), verdicts, former, keys)

    def _opt_states(
        self, population: Population, ids: ArrowColumn, keys: Keys
    ) -> dict[str | None, Mask]:
        """Return who is opted in to each segment; what nobody is opted out of shares one mask."""
        everywhere = opt_states(population, None, np.zeros(len(ids), dtype=bool))
        marks = self.opt_outs.of(ids, keys)
        return {
            scope: everywhere & ~mask if mask.any() else everywhere for scope, mask in marks.items()
        }

    def _members(
        self, population: Population, ids: ArrowColumn, keys: Keys, opted_in: dict[Any, Mask]
    ) -> Iterator[Mask]:
        """Yield who is in each segment; one that several refer to is judged once."""
        decisions = self.transactions.of(ids, keys)
        lists = self.lists.of(ids, keys)
        evaluator = Evaluator(population, decisions)
        masks: dict[int, Mask] = {}
        for segment in self.segments:
            names: dict[str, Mask] = {}
            for each in (*segment.refers_to, segment):
                match = each.match
                assert match is not None
                if id(match) not in masks:
                    decisions |= _decided(each, match, lists, opted_in, names)
                    masks[id(match)] = evaluator.holds(match)
                names[each.segment] = masks[id(match)]
            yield names[segment.segment]


def _judge_of(
    segments: Sequence[SegmentDefinition], tables: SnapshotTables, leavers: Leavers | None
) -> _Judge:
    """Read what other tables than contacts say."""
    needs = reduce(Needs.__or__, (segment.needs for segment in segments), opt_state_needs(tables))
    rest = replace(needs, contacts=frozenset(), transactions=None, mailing_lists=False)
    as_of = tables.snapshot.as_of
    base = Population.load(tables.directory, tables, rest, as_of=as_of, contacts=_NOBODY)
    everyone = [each for segment in segments for each in (*segment.refers_to, segment)]
    matches = {id(each.match): each.match for each in everyone if each.match is not None}.values()
    scopes: set[str | None] = {each.segment for each in segments}
    scopes |= {
        _scope(leaf, each)
        for each in everyone
        for leaf in _of_kind(SubscriptionLeaf, [each.match] if each.match else [])
    }
    return _Judge(
        segments,
        sorted(needs.contacts),
        base,
        transaction_verdicts(_of_kind(TransactionsLeaf, matches), tables, base),
        list_marks(_of_kind(MailingListLeaf, matches), tables),
        opt_out_marks(base, scopes),
        leavers,
    )


def _scope(leaf: SubscriptionLeaf, segment: SegmentDefinition) -> str | None:
    """Return the segment that a subscription leaf of ``segment`` is about; None: the directory."""
    if leaf.name == DIRECTORY:
        return None
    return segment.segment if leaf.name == THIS_SEGMENT else leaf.name


def _decided(
    segment: SegmentDefinition,
    match: Condition,
    lists: dict[Any, Mask],
    opted_in: dict[Any, Mask],
    members: dict[str, Mask],
) -> dict[int, Mask]:
    """Return whom the leaves hold for that are about states of a contact, by ``id()``."""
    decisions: dict[int, Mask] = {}
    for leaf in leaves(match):
        match leaf:
            case MailingListLeaf():
                marks = lists[leaf.name, MEMBER], lists[leaf.name, OPTED_OUT]
                decisions[id(leaf)] = list_verdicts(*marks)[leaf.state]
            case SubscriptionLeaf():
                states = opted_in[_scope(leaf, segment)]
                decisions[id(leaf)] = states if leaf.state == "opted_in" else ~states
            case SegmentLeaf() if leaf.name in members:  # else the evaluator says what is missing
                mask = members[leaf.name]
                decisions[id(leaf)] = mask if leaf.state == "member" else ~mask
    return decisions
