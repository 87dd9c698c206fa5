"""Compare two memberships that are sorted by id: one pass over both, a range of ids at a time.

Ids of a range are compared by eight bytes, those after the ones that all of them share. That is
exact: equal ids have equal bytes, and where the bytes are equal the whole ids are compared. Only
ids that share the eight bytes with another of their own side need the plain way (changes.py).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from segue.directory.id_hashes import Keys, starts_of_runs
from segue.directory.plain_columns import TEXT, ArrowColumn, pc
from segue.segments.columns.id_keys import leading_keys, shared_bytes
from segue.segments.columns.readings import mask_of
from segue.segments.kinds import ChangeKind

MEMBERS = pa.schema([("contact_id", TEXT), ("opted_in", pa.bool_())])
CHANGES = pa.schema([("contact_id", TEXT), ("change", TEXT)])
Item = TypeVar("Item")


class NotSortedError(Exception):
    """A membership is not strictly ascending by id."""


def sorted_changes(
    previous: Iterator[pa.Table],
    current: Iterator[pa.Table],
    compare_plainly: Callable[[pa.Table, pa.Table], pa.Table],
) -> pa.Table:
    """Return contact_id and change, sorted by id, of two memberships given in consecutive pieces.

    ``compare_plainly`` does the same for two tables in any order. Raises NotSortedError.
    """
    # Not a pool per generator: one that is left half-way would be ended by the garbage collector,
    # at any moment, and wait there for its thread.
    with ThreadPoolExecutor(2) as pool:
        old, now = (_read_ahead(_require_ascending(side), pool) for side in (previous, current))
        ranges = _ranges(old, now)
        parts = [_range_changes(some, others, compare_plainly) for some, others in ranges]
    return pa.concat_tables([CHANGES.empty_table(), *parts])


def _range_changes(
    previous: pa.Table, current: pa.Table, compare_plainly: Callable[[pa.Table, pa.Table], pa.Table]
) -> pa.Table:
    """Return the changes between the members that each side has in one range of ids."""
    skip = _shared_bytes(previous, current)
    sides = previous.column(0), current.column(0)
    old, now = (leading_keys(ids, skip) for ids in sides)
    ties = np.union1d(_repeated_ids(old), _repeated_ids(now))
    if not len(ties):
        return _changes(previous, current, old, now)
    plain = np.isin(old, ties), np.isin(now, ties)
    some = _changes(
        previous.filter(pa.array(~plain[0])),
        current.filter(pa.array(~plain[1])),
        old[~plain[0]],
        now[~plain[1]],
    )
    rest = compare_plainly(previous.filter(pa.array(plain[0])), current.filter(pa.array(plain[1])))
    return pa.concat_tables([some, rest.select(CHANGES.names)]).sort_by("contact_id")


def _changes(previous: pa.Table, current: pa.Table, former_keys: Keys, keys: Keys) -> pa.Table:
    """Compare members whose keys are strictly ascending on each side."""
    there, here = _same_contacts(previous.column(0), current.column(0), former_keys, keys)
    is_gone, is_new = np.ones(len(former_keys), dtype=bool), np.ones(len(keys), dtype=bool)
    is_gone[there], is_new[here] = False, False
    opted_in = mask_of(current.column(1))[here]
    is_flipped = opted_in != mask_of(previous.column(1))[there]
    ids = current.column(0)
    return changes_of_kinds(
        {
            ChangeKind.REMOVED: previous.column(0).filter(pa.array(is_gone)),
            ChangeKind.ADDED: ids.filter(pa.array(is_new)),
            ChangeKind.OPTED_IN: pc.take(ids, pa.array(here[is_flipped & opted_in])),
            ChangeKind.OPTED_OUT: pc.take(ids, pa.array(here[is_flipped & ~opted_in])),
        }
    )


def _same_contacts(
    previous: ArrowColumn, current: ArrowColumn, former_keys: Keys, keys: Keys
) -> tuple[Any, Any]:
    """Return the rows of those who are on both sides, in ``previous`` and in ``current``."""
    if not len(former_keys) or not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    places = np.minimum(np.searchsorted(former_keys, keys), len(former_keys) - 1)
    here = np.flatnonzero(former_keys[places] == keys)
    there = places[here]
    same = mask_of(pc.equal(pc.take(previous, pa.array(there)), pc.take(current, pa.array(here))))
    return there[same], here[same]


def changes_of_kinds(ids_by_kind: Mapping[ChangeKind, Any]) -> pa.Table:
    """Return contact_id and change, sorted by id, of the contacts that make each kind."""
    columns = [
        [ids, pa.repeat(pa.scalar(kind, TEXT), len(ids))] for kind, ids in ids_by_kind.items()
    ]
    tables = [pa.table(pair, schema=CHANGES) for pair in columns]
    return pa.concat_tables(tables).sort_by("contact_id")


def _repeated_ids(keys: Keys) -> Keys:
    """Return the keys that several ids of one side have."""
    return keys[~starts_of_runs(keys)]


# Ranges


def _ranges(
    previous: Iterator[pa.Table], current: Iterator[pa.Table]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Cut both sides at the same ids, so that every contact is in one range, on either side."""
    no_rows = MEMBERS.empty_table()
    old, now = next(previous, no_rows), next(current, no_rows)
    while old.num_rows and now.num_rows:
        end = min(_id(old, -1), _id(now, -1))
        cuts = [bisect_right(_IdSequence(side), end) for side in (old, now)]
        yield old.slice(0, cuts[0]), now.slice(0, cuts[1])
        old = old.slice(cuts[0]) if cuts[0] < len(old) else next(previous, no_rows)
        now = now.slice(cuts[1]) if cuts[1] < len(now) else next(current, no_rows)
    for piece in (old, *previous):
        yield piece, no_rows
    for piece in (now, *current):
        yield no_rows, piece


def _require_ascending(side: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Pass on the pieces that have rows; raise NotSortedError unless all ids ascend."""
    last = None
    for piece in side:
        if not piece.num_rows:
            continue
        ids = piece.column(0)
        if last is not None and last >= _id(piece, 0):
            raise NotSortedError
        if not pc.all(pc.less(ids[:-1], ids[1:])).as_py() and len(ids) > 1:
            raise NotSortedError
        last = _id(piece, -1)
        yield piece


def _read_ahead(items: Iterator[Item], pool: ThreadPoolExecutor) -> Iterator[Item]:
    """Make the next item on another thread while this one is used."""
    future = pool.submit(next, items, None)
    while (item := future.result()) is not None:
        future = pool.submit(next, items, None)
        yield item


class _IdSequence(Sequence[str]):
    """The ids of a table, one at a time, for a binary search."""

    def __init__(self, members: pa.Table) -> None:
        self._ids = members.column(0)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, row: Any) -> Any:
        return self._ids[row].as_py()


def _id(members: pa.Table, row: int) -> str:
    contact_id: str = members.column(0)[row].as_py()
    return contact_id


def _shared_bytes(previous: pa.Table, current: pa.Table) -> int:
    """Return how many leading bytes all ids of two sorted tables share."""
    sides = [side for side in (previous, current) if side.num_rows]
    ends = [_id(side, row) for side in sides for row in (0, -1)]
    return shared_bytes(min(ends, default=""), max(ends, default=""))
