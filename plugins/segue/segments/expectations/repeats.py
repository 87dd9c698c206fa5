"""Rows of a table that have the same values in some columns, and must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from segue.directory.checks import ID, SHOWN
from segue.directory.id_hashes import Keys, all_differ, id_keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowColumn, is_text, pc, plain
from segue.directory.stored_table import StoredTable, TableSlice
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import mask_of

_LOOKED_AT = 1000  # values that are read again at a time


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many rows share their values with another row, and whose the first are."""

    rows: int
    contacts: Sequence[str]


def find_repeats(table: StoredTable, columns: Sequence[str]) -> Repeats:
    """Return the rows that another one equals in all of ``columns``.

    Text is equal as it is written; a row that lacks one of the values is equal to none. Kept of
    each row are the eight bytes of a key; what has one key is read again and compared itself.
    """
    slices = table.slices()
    keys = in_parallel(lambda piece: np.sort(id_keys(_values(piece, columns).drop_null())), slices)
    if all_differ(keys):
        return Repeats(0, ())
    every, counts = np.unique(np.concatenate(keys), return_counts=True)
    repeats = counts > 1
    every, counts = every[repeats], counts[repeats]
    for start in range(0, len(every), _LOOKED_AT):
        some = every[start : start + _LOOKED_AT]
        contacts = _contacts_of(slices, columns, some)
        if contacts:
            return Repeats(int(counts[start:].sum()), contacts)
    return Repeats(0, ())  # different values had one key, by chance or by somebody's doing


def _contacts_of(slices: Sequence[TableSlice], columns: Sequence[str], keys: Keys) -> Sequence[str]:
    """Return the first contacts whose rows, of those with one of ``keys``, equal another row."""

    def look(piece: TableSlice) -> tuple[Counter[bytes], list[tuple[bytes, str]]]:
        values = _values(piece, columns)
        places = np.flatnonzero(_has_key(values, keys))
        contents = pc.take(values, pa.array(places)).cast(pa.large_binary())
        value_counts: Any = contents.value_counts()
        counts = zip(
            *(value_counts.field(name).to_pylist() for name in ("values", "counts")), strict=True
        )
        ids = pc.take(piece.read([ID]).column(ID), pa.array(places[:SHOWN])) if len(places) else ()
        first = contents[:SHOWN].to_pylist()
        return Counter(dict(counts)), list(zip(first, map(str, ids), strict=True))

    pieces = in_parallel(look, slices)
    totals: Counter[bytes] = Counter()
    for counts, _ in pieces:
        totals.update(counts)
    rows = (row for _, some in pieces for row in some)
    return tuple(dict.fromkeys(contact for value, contact in rows if totals[value] > 1))[:SHOWN]


def _has_key(values: ArrowColumn, keys: Keys) -> Mask:
    present = mask_of(values.is_valid())
    marks = np.zeros(len(values), dtype=bool)
    marks[present] = np.isin(id_keys(values.drop_null()), keys)
    return marks


def _values(piece: TableSlice, columns: Sequence[str]) -> ArrowColumn:
    """Return what is compared: the values of a row in one text, null where one is missing."""
    rows = piece.read(columns)
    texts = [_texts(plain(rows.column(column))) for column in columns]
    if len(texts) == 1:
        return texts[0]
    sized = [part for text in texts for part in (pc.binary_length(text).cast(TEXT), text)]
    joined: ArrowColumn = pc.binary_join_element_wise(*sized, pa.scalar(":", TEXT))
    return joined


def _texts(values: ArrowColumn) -> ArrowColumn:
    kind = values.type
    if is_text(kind):
        texts: ArrowColumn = pc.if_else(pc.equal(pc.binary_length(values), 0), None, values)
        return texts
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):  # not all have a name in a calendar
        values = values.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    return values.cast(TEXT)
