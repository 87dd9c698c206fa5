"""What is known of some of a directory's contacts, looked up for a slice of all of them at once."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any, Self

import numpy as np
import pyarrow as pa

from segue.directory.checks import ID
from segue.directory.id_hashes import Keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowColumn, pc, plain
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.segments.columns.column_source import column_of
from segue.segments.columns.id_keys import IdSet, group_ids
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import mask_of
from segue.segments.conditions.nodes import MailingListLeaf
from segue.segments.consent import in_scope, opted_out_rows
from segue.segments.population import Population

MEMBER, OPTED_OUT = "member", "opted_out"  # of a mailing list: marks are (its name, one of these)
_NOBODY: ArrowColumn = pa.chunked_array([], TEXT)


class Marks:
    """Contacts that bear any of some marks, with a bit per mark: whoever bears none is not kept."""

    def __init__(self, ids: ArrowColumn, masks: Mapping[Any, Mask]) -> None:
        """``ids`` are all different; a mask has a boolean for each."""
        is_marked = np.zeros(len(ids), dtype=bool)
        for mask in masks.values():
            is_marked |= mask
        self._ids = IdSet(pc.filter(ids, pa.array(is_marked)))
        self._bits = {mark: pa.array(mask[is_marked]) for mark, mask in masks.items()}

    @classmethod
    def of_rows(cls, ids: ArrowColumn, masks: Mapping[Any, Mask]) -> Self:
        """Return the marks of whoever has a marked row; ``ids`` may repeat."""
        first, groups = group_ids(ids)
        masks_of_contacts = {}
        for mark, mask in masks.items():
            masks_of_contacts[mark] = np.zeros(len(first), dtype=bool)
            masks_of_contacts[mark][groups[mask]] = True
        return cls(pc.take(ids, pa.array(first)), masks_of_contacts)

    def of(self, ids: ArrowColumn, keys: Keys) -> dict[Any, Mask]:
        """Return, for every mark, which of ``ids`` bear it; ``keys`` are theirs."""
        rows, places = self._ids.find(ids, keys)
        where: Any = pa.array(places)
        masks: dict[Any, Mask] = {}
        for mark, bits in self._bits.items():
            masks[mark] = np.zeros(len(ids), dtype=bool)
            masks[mark][rows] = bits.take(where).to_numpy(zero_copy_only=False)
        return masks


def opt_out_marks(population: Population, scopes: Collection[str | None]) -> Marks:
    """Mark whom rows of subscriptions opt out of some segments, None being the directory."""
    rows = population.subscriptions
    if rows is None:
        return Marks(_NOBODY, {scope: np.zeros(0, dtype=bool) for scope in scopes})
    ids, rows = opted_out_rows(population, rows)
    return Marks.of_rows(ids, {scope: in_scope(population, rows, scope) for scope in scopes})


def list_marks(leaves: Collection[MailingListLeaf], tables: SnapshotTables) -> Marks:
    """Mark who is on the mailing lists that ``leaves`` name, and who is opted out of them.

    As ``list_states`` has it; the table is read slice by slice, and only rows of those lists kept.
    """
    names = list(dict.fromkeys(leaf.name for leaf in leaves))
    marks: list[Hashable] = [(name, kind) for name in names for kind in (MEMBER, OPTED_OUT)]
    if not names:
        return Marks(_NOBODY, {})
    pieces = in_parallel(
        lambda piece: _rows_on_lists(piece, tables, names), tables.slices("mailing_lists")
    )
    ids = pa.chunked_array([chunk for column, _ in pieces for chunk in column.chunks], TEXT)
    masks = [np.concatenate([np.zeros(0, bool), *some]) for some in _by_mark(pieces, len(marks))]
    return Marks.of_rows(ids, dict(zip(marks, masks, strict=True)))


def _by_mark(pieces: Collection[tuple[ArrowColumn, list[Mask]]], count: int) -> list[list[Mask]]:
    return [[masks[place] for _, masks in pieces] for place in range(count)]


def _rows_on_lists(
    piece: TableSlice, tables: SnapshotTables, names: Collection[str]
) -> tuple[ArrowColumn, list[Mask]]:
    """Return whose rows of a slice are on any of the lists, and two masks of these per list."""
    has_states = "opted_in" in tables.columns("mailing_lists")
    rows = piece.read([ID, "mailing_list", *(["opted_in"] if has_states else [])])
    texts = column_of(plain(rows.column("mailing_list")), tables.directory.zone).texts
    is_out = ~mask_of(rows.column("opted_in")) if has_states else np.zeros(rows.num_rows, bool)
    masks = []
    for name in names:
        on_list = texts.equal(name)
        masks += [on_list, on_list & is_out]
    is_on_any = np.logical_or.reduce(masks)
    return rows.column(ID).filter(pa.array(is_on_any)), [mask[is_on_any] for mask in masks]
