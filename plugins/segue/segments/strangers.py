"""Rows whose contact id no contact has: of people who are gone, or of ids in another spelling.

An opt-out that finds nobody is a message to somebody who said no, and a transaction that finds
nobody makes a buyer one who never bought. A few such rows are normal, for contacts are deleted.
Many are not, nor are those that differ from a contact's id by blanks, leading zeros, a trailing
``.0`` or the case of letters, as fixed-width and floating-point columns are exported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from segue.directory.checks import ID
from segue.directory.readers import in_parallel, plain
from segue.directory.tables import SnapshotTables, TableSlice
from segue.errors import DataError
from segue.segments.arrow import TEXT, ArrowColumn, pc
from segue.segments.id_keys import IdSet, Keys, all_differ, id_keys
from segue.segments.ordered import Mask
from segue.segments.readings import mask_of

OF_CONTACTS = ("transactions", "mailing_lists", "subscriptions")  # tables about contacts
_OPT_OUTS = "subscriptions"  # of these, the rows that opt out count
_MOST = 0.5  # the share of unknown ids beyond which a table is about others
_NEWS = 0.1  # how far that share may rise from one snapshot to the next without a question
_SLICES = 16  # of transactions that are looked at, spread over the table
_EXAMPLES, _PAIRS = 10, 3
_BLANKS = " \t\r\n\v\f\0\u00a0\u200b\ufeff"


@dataclass(frozen=True, slots=True)
class Strangers:
    """The rows of one table, those of subscriptions that opt out, whose id no contact has."""

    table: str
    rows: int  # that were looked at
    count: int  # of these, whose contact id no contact has
    examples: tuple[str, ...]  # the first few of their ids
    respelt: int  # how many of their ids a contact has in another spelling
    pairs: tuple[tuple[str, str], ...]  # the first few of these, and the contact's own
    is_ignored: bool = False  # the directory says that they are of contacts who are gone

    @property
    def share(self) -> float:
        """How much of the table finds no contact, from 0 to 1."""
        return self.count / self.rows if self.rows else 0.0

    @property
    def problem(self) -> str | None:
        """Say why nothing can be judged by such a table; None where it can."""
        if self.table == _OPT_OUTS and self.respelt:
            return f"{self}. Expected: every id as the table contacts has it"
        if self.table == _OPT_OUTS and self.share > _MOST and not self.is_ignored:
            return (
                f"{self}. Expected: every id as the table contacts has it; rows of contacts that "
                "are gone may be left out, or allowed by the directory's "
                "`consent: {unknown_contacts: ignore}`"
            )
        unusable = self.share == 1 or (self.share > _MOST and self.respelt)
        if self.table != _OPT_OUTS and self.count and unusable:
            return f"{self}. Expected: every id as the table contacts has it"
        return None

    def __str__(self) -> str:
        what = "rows that opt out" if self.table == _OPT_OUTS else "rows"
        more = " …" if self.count > len(self.examples) else ""
        text = (
            f"{self.table}: {self.count} of {self.rows} {what} ({self.share:.1%}) have a contact "
            f"id that no contact has: {', '.join(map(repr, self.examples))}{more}"
        )
        if self.respelt:
            pairs = ", ".join(f"{theirs!r} for {own!r}" for theirs, own in self.pairs)
            text += f"; {self.respelt} of the ids are a contact's in another spelling: {pairs}"
        return text


def find_strangers(tables: SnapshotTables, names: Collection[str] = OF_CONTACTS) -> list[Strangers]:
    """Return, of the tables ``names`` that there are, those with rows that find no contact.

    Reads ids slice by slice, of transactions in a sample of slices; spellings are compared for the
    ids that find nobody alone. Raises DataError where a row has no id.
    """
    counts = _rows_by_id(tables, names)
    unknown = _without_contact(tables, [each.column(ID) for each in counts.values()])
    own = _other_spellings(tables, unknown) if len(unknown) else {}
    found = [_of_table(tables, name, rows, unknown, own) for name, rows in counts.items()]
    return [each for each in found if each.count]


def refuse_strangers(tables: SnapshotTables, names: Collection[str] = OF_CONTACTS) -> None:
    """Raise DataError where the rows of a table find so few contacts that nothing follows."""
    problems = [each.problem for each in find_strangers(tables, names) if each.problem]
    if problems:
        where = f"directory {tables.directory.directory}, snapshot {tables.snapshot.key}"
        raise DataError("; ".join(f"{where}, {problem}" for problem in problems))


def new_strangers(
    previous: SnapshotTables, current: SnapshotTables, names: Collection[str]
) -> Iterator[str]:
    """Yield, in words, of which tables much more finds no contact than in the snapshot before."""
    now = find_strangers(current, names)
    before = {each.table: each.share for each in find_strangers(previous, [s.table for s in now])}
    for each in now:
        if each.share - before.get(each.table, 0) > _NEWS:
            was = before.get(each.table, 0)
            key, earlier = current.snapshot.key, previous.snapshot.key
            yield f"in snapshot {key}, {each}; of {earlier} it was {was:.1%}"


def count_reached(tables: SnapshotTables) -> int:
    """Return how many contacts the rows of subscriptions opt out of something."""
    counts = _rows_by_id(tables, [_OPT_OUTS])
    ids = [rows.column(ID) for rows in counts.values()]
    return sum(map(len, ids)) - len(_without_contact(tables, ids))


def _rows_by_id(tables: SnapshotTables, names: Collection[str]) -> dict[str, pa.Table]:
    """Return, by table, a row per different contact id, with how many rows it has."""
    there = [name for name in OF_CONTACTS if name in names and tables.has(name)]
    return {name: _counted(tables, name) for name in there}


def _counted(tables: SnapshotTables, table: str) -> pa.Table:
    pieces = tables.slices(table)
    if table == "transactions":
        pieces = pieces[:: -(-len(pieces) // _SLICES) or 1]
    counted = in_parallel(_count_ids, pieces)
    empty = pa.table({ID: pa.array([], TEXT), "rows": pa.array([], pa.int64())})
    every = pa.concat_tables([empty, *counted]).group_by(ID, use_threads=False)
    return every.aggregate([("rows", "sum")]).rename_columns([ID, "rows"])


def _count_ids(piece: TableSlice) -> pa.Table:
    if piece.table == _OPT_OUTS:
        rows = piece.read([ID, "opted_in"])
        rows = rows.filter(pc.invert(rows.column("opted_in")))
    else:
        rows = piece.read([ID])
    counted: Any = plain(rows.column(ID)).value_counts()
    return pa.table({ID: counted.field("values").cast(TEXT), "rows": counted.field("counts")})


def _without_contact(tables: SnapshotTables, ids: Iterable[ArrowColumn]) -> ArrowColumn:
    """Return those of ``ids`` that no contact has, each once, in their order."""
    wanted = _unique(_joined(ids))
    if not len(wanted):
        return wanted
    known = IdSet(wanted)

    def having(piece: TableSlice) -> ArrowColumn:
        contacts = piece.read([ID]).column(ID)
        found: ArrowColumn = contacts.filter(pa.array(known.holds(contacts)))
        return found

    there = _joined(in_parallel(having, tables.slices("contacts")))
    unknown: ArrowColumn = wanted.filter(pc.invert(pc.is_in(wanted, value_set=pc.unique(there))))
    return unknown


def _other_spellings(tables: SnapshotTables, unknown: ArrowColumn) -> dict[str, str]:
    """Return, by unknown id, the id of the contact that has it in another spelling.

    Case makes no difference, unless it makes one between two contacts.
    """
    spellings = {fold: _plainly_spelt(unknown, fold) for fold in (True, False)}
    wanted = {fold: IdSet(_unique(spelt)) for fold, spelt in spellings.items()}

    def alike(piece: TableSlice) -> tuple[Keys, dict[bool, pa.Table]]:
        ids = piece.read([ID]).column(ID)
        found = {}
        for fold, known in wanted.items():
            spelt = _plainly_spelt(ids, fold)
            rows = pa.table([spelt, ids], names=["spelt", ID])
            found[fold] = rows.filter(pa.array(known.holds(spelt)))
        return np.sort(id_keys(pc.utf8_lower(ids))), found

    looked = in_parallel(alike, tables.slices("contacts"))
    fold = all_differ([keys for keys, _ in looked])
    contacts = pa.concat_tables([found[fold] for _, found in looked])
    place = pc.index_in(spellings[fold], value_set=contacts.column("spelt"))
    has_one = place.is_valid()
    theirs: list[Any] = unknown.filter(has_one).to_pylist()
    own: list[Any] = pc.take(contacts.column(ID), place.filter(has_one)).to_pylist()
    return dict(zip(theirs, own, strict=True))


def _plainly_spelt(ids: ArrowColumn, fold: bool) -> ArrowColumn:
    """Return ids without blanks around, leading zeros and a trailing ``.0``, as bytes compare."""
    spelt = pc.utf8_trim(ids, _BLANKS)
    if pc.any(pc.match_substring(spelt, ".0")).as_py():
        spelt = pc.replace_substring_regex(spelt, r"\.0+$", "")
    spelt = pc.utf8_ltrim(spelt, "0")
    folded: ArrowColumn = pc.utf8_lower(spelt) if fold else spelt
    return folded


def _of_table(
    tables: SnapshotTables, table: str, rows: pa.Table, unknown: ArrowColumn, own: dict[str, str]
) -> Strangers:
    marks: Mask = mask_of(pc.is_in(rows.column(ID), value_set=unknown))
    mine = rows.filter(pa.array(marks))
    ids = mine.column(ID)
    respelt = ids.filter(pc.is_in(ids, value_set=pa.array(list(own), TEXT)))
    some: list[Any] = respelt.slice(0, _PAIRS).to_pylist()
    first: list[Any] = ids.slice(0, _EXAMPLES).to_pylist()
    return Strangers(
        table,
        pc.sum(rows.column("rows")).as_py() or 0,
        pc.sum(mine.column("rows")).as_py() or 0,
        tuple(first),
        len(respelt),
        tuple((each, own[each]) for each in some),
        tables.directory.opt_state.unknown_contacts == "ignore",
    )


def _unique(ids: ArrowColumn) -> ArrowColumn:
    return pa.chunked_array([pc.unique(ids)])


def _joined(pieces: Iterable[ArrowColumn]) -> ArrowColumn:
    return pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], TEXT)
