"""Group, sort and look up contact ids by 64-bit keys: numbers are many times faster than text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.directory.id_hashes import (
    Keys,
    id_keys,
    keys_by_length,
    leading_bits,
    starts_of_runs,
    word,
)
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import ArrowColumn, pc
from segue.segments.columns.ordered import Groups, Mask
from segue.segments.columns.readings import mask_of

Rows = npt.NDArray[np.int64]
_SPARSE = 16  # one in so many ids that are not in a set is looked at twice


def least_keys(parts: Iterable[Keys], most: int) -> Keys:
    """Return the ``most`` least of all keys, ascending, each once: a fair sample of the ids.

    The same ids are in the samples of two sets, whatever else is in them: what is below the
    greatest key of either was looked at in both.
    """
    least: Keys = np.zeros(0, np.uint64)
    for keys in parts:
        some = np.partition(keys, most)[:most] if len(keys) > most else keys
        least = np.unique(np.concatenate([least, some]))[:most]
    return least


def leading_keys(ids: ArrowColumn, skip: int) -> Keys:
    """Return the eight bytes after the first ``skip`` of every id as a number.

    Where those first bytes are the same everywhere, the keys are in the order of the ids.
    """
    return keys_by_length(ids, lambda rows: word(rows, skip).byteswap())


def shared_bytes(first: str, last: str) -> int:
    """Return how many leading bytes all ids from ``first`` to ``last`` have in common."""
    one, other = first.encode(), last.encode()
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), len(one))


def order_of_ids(ids: ArrowColumn) -> Rows:
    """Return the rows in the order of their ids' bytes, as a sort of the ids themselves would."""
    bounds = pc.min_max(ids).as_py()
    if bounds["min"] is None:
        return np.zeros(0, np.int64)
    keys = leading_keys(ids, shared_bytes(bounds["min"], bounds["max"]))
    order = np.argsort(keys)
    first = starts_of_runs(keys[order])
    in_doubt = ~first  # neighbours with one key: the ids decide
    in_doubt[:-1] |= ~first[1:]
    places = np.flatnonzero(in_doubt)
    rows = order[places]
    order[places] = rows[pc.sort_indices(_take(ids, rows)).to_numpy()]
    return order


def group_ids(ids: ArrowColumn) -> tuple[Rows, Groups]:
    """Return one row of each different id, and for every row the number of its id among them."""
    keys = id_keys(ids)
    parts = _rows_byleading_bits(keys)
    groups_of_parts = in_parallel(lambda rows: _group_part(ids, keys, rows), parts)
    groups, firsts, count = np.empty(len(keys), np.int64), [np.zeros(0, np.int64)], 0
    for rows, part in zip(parts, groups_of_parts, strict=True):
        if part is None:
            return _group_plainly(ids)
        firsts.append(part[0])
        groups[rows] = part[1] + count
        count += len(part[0])
    return np.concatenate(firsts), groups


def _rows_byleading_bits(keys: Keys) -> list[Rows]:
    """Split the rows so that equal keys stay together, in parts that fit the processor's cache."""
    bits = leading_bits(len(keys))
    if not bits:
        return [np.arange(len(keys))]
    prefixes = (keys >> np.uint64(64 - bits)).astype(np.uint16)
    order = np.argsort(prefixes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(prefixes))[:-1])


def _group_part(ids: ArrowColumn, keys: Keys, rows: Rows) -> tuple[Rows, Groups] | None:
    """Group some rows; None if different ids among them have one key."""
    some = keys.take(rows)
    order = np.argsort(some)
    first = starts_of_runs(some.take(order))
    groups = np.empty(len(rows), np.int64)
    groups[order] = np.cumsum(first) - 1
    firsts, repeats = rows.take(order[first]), order[~first]
    originals = firsts.take(groups.take(repeats))
    same = pc.all(pc.equal(_take(ids, rows.take(repeats)), _take(ids, originals)))
    return None if same.as_py() is False else (firsts, groups)


class KeySet:
    """Keys, ascending, that are looked for among many others."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        bits = max(len(keys) * _SPARSE, 1).bit_length()
        self._shift = np.uint64(64 - bits)
        self._seen = np.zeros(1 << bits, dtype=bool)  # by the leading bits of a key
        self._seen[keys >> self._shift] = True

    def find(self, keys: Keys) -> tuple[Rows, Rows]:
        """Return which rows of ``keys`` are in the set, and where in it."""
        prefixes = (keys >> self._shift).view(np.int64)
        rows = np.flatnonzero(self._seen.take(prefixes))  # many times faster than by brackets
        keys_there = keys.take(rows)
        order = np.argsort(keys_there)  # neighbours are found together
        rows, keys_there = rows.take(order), keys_there.take(order)
        places = np.searchsorted(self._keys, keys_there)
        equal = self._keys.take(places, mode="clip") == keys_there if len(rows) else rows > 0
        return rows[equal], places[equal]


class IdSet:
    """Ids that are looked for among many others; each is in ``ids`` once."""

    def __init__(self, ids: ArrowColumn) -> None:
        keys = id_keys(ids)
        self._order = np.argsort(keys)
        keys, self._ids = keys[self._order], _take(ids, self._order)
        self._has_equal_keys = not starts_of_runs(keys).all()
        self._keys = KeySet(keys)

    def __len__(self) -> int:
        return len(self._ids)

    def holds(self, ids: ArrowColumn, keys: Keys | None = None) -> Mask:
        """Return which of ``ids`` are in the set; ``keys`` are theirs, if they are known."""
        mask = np.zeros(len(ids), dtype=bool)
        mask[self.find(ids, keys)[0]] = True
        return mask

    def find(self, ids: ArrowColumn, keys: Keys | None = None) -> tuple[Rows, Rows]:
        """Return which rows of ``ids`` are in the set, and which of its ids each is.

        The set's ids are counted as they were given; ``keys`` are as for ``holds``.
        """
        if not len(self) or not len(ids):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        if self._has_equal_keys:
            matches = pc.index_in(ids, value_set=self._ids)
            rows = np.flatnonzero(mask_of(matches.is_valid()))
            return rows, self._order[matches.drop_null().to_numpy()]
        rows, places = self._keys.find(id_keys(ids) if keys is None else keys)
        same = mask_of(pc.equal(_take(ids, rows), _take(self._ids, places)))
        return rows[same], self._order[places[same]]


def _group_plainly(ids: ArrowColumn) -> tuple[Rows, Groups]:
    """Do what ``group_ids`` does with nothing but the ids; slower."""
    unique = pc.unique(ids)
    rows = pc.index_in(unique, value_set=ids.combine_chunks()).to_numpy(zero_copy_only=False)
    return rows.astype(np.int64), pc.index_in(ids, value_set=unique).to_numpy().astype(np.int64)


def _take(ids: ArrowColumn, rows: npt.NDArray[Any]) -> ArrowColumn:
    selection: ArrowColumn = pc.take(ids, pa.array(rows))
    return selection
