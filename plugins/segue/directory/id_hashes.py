"""64-bit keys of contact ids, which depend on the bytes of an id and on nothing else.

A key is a shortcut and never a verdict. Different ids may have the same key, and an id may have
been made for that; whoever uses keys compares the ids themselves where keys are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowArray, ArrowColumn

Keys = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
_BLOCK = 8192  # ids at a time: what is in between stays in the processor's cache
_PART = 131_072  # keys that are sorted at a time
_WORD = 8  # bytes that are mixed in at a time
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / the golden ratio: odd, without a pattern
_HALF = np.uint64(32)


def id_keys(ids: ArrowColumn) -> Keys:
    """Return a key per id."""
    return keys_by_length(ids, _hashes)


def all_differ(parts: Sequence[Keys]) -> bool:
    """Tell whether no key occurs twice, in one part or in several; each part is sorted."""
    bits = leading_bits(sum(map(len, parts)))
    edges = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    ranges = zip(*(np.split(keys, np.searchsorted(keys, edges)) for keys in parts), strict=True)

    def differ(some: Sequence[Keys]) -> bool:
        keys = np.concatenate(some)
        keys.sort()
        return bool(starts_of_runs(keys).all())

    return all(in_parallel(differ, list(ranges)))


def starts_of_runs(keys: Keys) -> npt.NDArray[np.bool_]:
    """Mark the first of each run of equal keys."""
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return first


def leading_bits(count: int) -> int:
    """Return how many bits split so many keys into parts that fit the processor's cache."""
    return min((count // _PART).bit_length(), 16)


def keys_by_length(ids: ArrowColumn, keys_of: Callable[[Bytes], Keys]) -> Keys:
    """Return the keys of all ids; ``keys_of`` makes those of ids of one length, a row each."""
    keys = [_chunk_keys(chunk.cast(TEXT), keys_of) for chunk in ids.chunks if len(chunk)]
    return np.concatenate(keys) if keys else np.zeros(0, np.uint64)


def _chunk_keys(ids: ArrowArray, keys_of: Callable[[Bytes], Keys]) -> Keys:
    starts, data = _buffers(ids)
    lengths = np.diff(starts)
    first = int(lengths[0])
    if (lengths == first).all():  # as ids mostly are: read them where they lie
        rows = data[starts[0] : starts[-1]].reshape(len(ids), first)
        blocks = [keys_of(rows[at : at + _BLOCK]) for at in range(0, len(ids), _BLOCK)]
        return np.concatenate(blocks)
    keys = np.empty(len(ids), np.uint64)
    for length in np.unique(lengths):
        some = np.flatnonzero(lengths == length)
        keys[some] = keys_of(data[starts[some][:, None] + np.arange(length)])
    return keys


def _buffers(ids: ArrowArray) -> tuple[npt.NDArray[np.int64], Bytes]:
    """Return the offsets, one more than there are ids, and the bytes of large text; no copies."""
    _, offsets, data = ids.buffers()
    assert offsets is not None
    starts = np.frombuffer(memoryview(offsets), np.int64)[ids.offset : ids.offset + len(ids) + 1]
    return starts, np.frombuffer(memoryview(data) if data is not None else b"", np.uint8)


def _hashes(ids: Bytes) -> Keys:
    count, length = ids.shape
    keys = np.full(count, length, np.uint64)
    for start in range(0, length, _WORD):
        _mix(keys, word(ids, start))
    _mix(keys, np.uint64(0))
    return keys


def word(ids: Bytes, start: int) -> Any:
    """Return eight bytes of every id as a number, the first one lowest; zeros follow the last."""
    count, length = ids.shape
    if start >= length:
        return np.zeros(count, np.uint64)
    if length < _WORD:
        return word(np.pad(ids, ((0, 0), (0, _WORD - length))), start)
    beyond = max(start + _WORD - length, 0)  # then read the last eight, and drop what came before
    words: Any = np.ndarray((count,), "<u8", ids, offset=start - beyond, strides=(ids.strides[0],))
    return words >> np.uint64(8 * beyond) if beyond else words.astype(np.uint64)


def _mix(keys: Keys, words: Any) -> None:
    keys ^= words
    keys *= _MULTIPLIER
    keys ^= keys >> _HALF
