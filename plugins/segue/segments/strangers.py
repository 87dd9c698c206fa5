"""Rows whose contact id no contact has: of people who are gone, or of ids in another spelling.

An opt-out that finds nobody is a message to somebody who said no, and a transaction that finds
nobody makes a buyer one who never bought. A few such rows are normal, for contacts are deleted.
Many are not, nor are those that differ from a contact's id as other programs write it: by blanks,
quotes, leading zeros, a trailing ``.0``, commas or an exponent, the dashes and braces of a UUID,
the composition of letters or their case.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from segue.directory.checks import ID
from segue.directory.id_hashes import Keys, all_differ, id_keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowColumn, pc, plain
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.columns.id_keys import IdSet
from segue.segments.columns.ordered import Mask

OF_CONTACTS = ("transactions", "mailing_lists", "subscriptions")  # tables about contacts
_OPT_OUTS = "subscriptions"  # of these, the rows that opt out count
_MOST = 0.5  # the share of unknown ids beyond which a table is about others
_NEWS = 0.1  # how far that share may rise from one snapshot to the next without a question
_SLICES = 4  # of transactions that are looked at, spread over the table
_EXAMPLES, _PAIRS = 10, 3
_EXPECTED = "Expected: every id as the table contacts has it"
_AROUND = (  # blanks, what is not printed, quotes, braces
    " \t\r\n\v\f\0\x1a\x1c\x1d\x1e\x1f\x85\u00a0\u00ad\u1680\u180e\u2028\u2029\u202f\u205f\u2060"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e"
    "\u200f\u3000\ufeff'\"`\u2018\u2019\u201c\u201d{}"
)
_THOUSANDS = r"^[0-9]{1,3}(,[0-9]{3})+(\.0*)?$"
_UUID = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"
_EXPONENT = r"^[0-9](\.[0-9]+)?[Ee]\+?[0-9]{1,2}$"


@dataclass(frozen=True, slots=True)
class Strangers:
    """The rows of one table, those of subscriptions that opt out, whose id no contact has."""

    table: str
    rows: int  # that were looked at
    count: int  # of these, whose contact id no contact has
    examples: tuple[str, ...]  # the first few of their ids
    respelt: int  # how many of their ids a contact has in another spelling, if it was looked at
    pairs: tuple[tuple[str, str], ...]  # the first few of these, and the contact's own
    is_ignored: bool = False  # the directory says that they are of contacts who are gone

    @property
    def share(self) -> float:
        """How much of the table finds no contact, from 0 to 1."""
        return self.count / self.rows if self.rows else 0.0

    @property
    def problem(self) -> str | None:
        """Say why nothing can be judged by such a table; None where it can."""
        if self.table == _OPT_OUTS:
            return self._problem_of_opt_outs()
        is_unusable = self.share == 1 or (self.share > _MOST and self.respelt)
        return f"{self}. {_EXPECTED}" if self.count and is_unusable else None

    def _problem_of_opt_outs(self) -> str | None:
        if self.respelt:
            return f"{self}. {_EXPECTED}"
        if self.share > _MOST and not self.is_ignored:
            return (
                f"{self}. {_EXPECTED}; rows of contacts that are gone may be left out, or allowed "
                "by the directory's `consent: {unknown_contacts: ignore}`"
            )
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

    Reads ids slice by slice, of transactions in a sample of slices. Spellings are compared for the
    ids that find nobody alone, of opt-outs or of more than a few rows. Raises DataError where a
    row has no id.
    """
    there = [name for name in OF_CONTACTS if name in names and tables.has(name)]
    unknown_ids = _unknown_ids(tables, there)
    to_compare = [each for each in unknown_ids if each.table == _OPT_OUTS or each.share > _NEWS]
    unknown = _unique(_chunks_of(each.ids for each in to_compare))
    own = other_spellings(tables, unknown)
    return [_strangers_of(tables, each, own) for each in unknown_ids if len(each.ids)]


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
    shares = {each.table: each.share for each in find_strangers(previous, [s.table for s in now])}
    for each in now:
        if each.share - shares.get(each.table, 0) > _NEWS:
            was = shares.get(each.table, 0)
            key, earlier = current.snapshot.key, previous.snapshot.key
            yield f"in snapshot {key}, {each}; of {earlier} it was {was:.1%}"


def count_reached(tables: SnapshotTables) -> int:
    """Return how many contacts the rows of subscriptions opt out of something."""
    if not tables.has(_OPT_OUTS):
        return 0
    keys = in_parallel(lambda piece: id_keys(_ids(piece)), tables.slices(_OPT_OUTS))
    return int(_are_in(_contact_keys(tables), np.unique(_all_keys(keys))).sum())


def _contact_keys(tables: SnapshotTables) -> Keys:
    """Return the keys of all contacts, ascending: eight bytes for each.

    A row counts as a contact's by its key alone: this is about spellings, of which many rows have
    the same, and not about one id that was made to have another's key.
    """
    keys = _all_keys(in_parallel(lambda piece: id_keys(_ids(piece)), tables.slices("contacts")))
    keys.sort()
    return keys


def _all_keys(keys: Iterable[Keys]) -> Keys:
    return np.concatenate([np.zeros(0, np.uint64), *keys])


def _are_in(some: Keys, keys: Keys) -> Mask:
    """Tell which ``keys`` are among ``some``, ascending; many are found faster in order, too."""
    if not len(some):
        return np.zeros(len(keys), dtype=bool)
    there: Mask = some.take(np.searchsorted(some, keys), mode="clip") == keys
    return there


@dataclass(frozen=True, slots=True)
class _Unknown:
    """The different ids of one table that no contact has, and how many rows have each."""

    table: str
    rows: int  # that were looked at
    ids: ArrowColumn
    counts: ArrowColumn

    @property
    def count(self) -> int:
        return int(pc.sum(self.counts).as_py() or 0)

    @property
    def share(self) -> float:
        return self.count / self.rows if self.rows else 0.0


_LOOKED_AT: WeakKeyDictionary[SnapshotTables, dict[str, _Unknown]] = WeakKeyDictionary()


def _unknown_ids(tables: SnapshotTables, names: Sequence[str]) -> list[_Unknown]:
    """Return what of each table finds no contact; one run asks for it several times."""
    unknown_by_table = _LOOKED_AT.setdefault(tables, {})
    missing = [name for name in names if name not in unknown_by_table]
    if missing:
        contacts = _contact_keys(tables)
        unknown_by_table |= {name: _unknown_of(tables, name, contacts) for name in missing}
    return [unknown_by_table[name] for name in names]


def _unknown_of(tables: SnapshotTables, table: str, contacts: Keys) -> _Unknown:
    def look(piece: TableSlice) -> tuple[int, ArrowColumn]:
        ids = _ids(piece)
        keys = id_keys(ids)
        each = np.unique(keys)
        unknown = each[~_are_in(contacts, each)]
        return len(ids), ids.filter(pa.array(_are_in(unknown, keys)))

    pieces = tables.slices(table)
    if table == "transactions":
        pieces = pieces[:: -(-len(pieces) // _SLICES) or 1]
    counts_and_ids = in_parallel(look, pieces)
    value_counts: Any = _chunks_of(ids for _, ids in counts_and_ids).value_counts()
    columns = (pa.chunked_array([value_counts.field(name)]) for name in ("values", "counts"))
    return _Unknown(table, sum(total for total, _ in counts_and_ids), *columns)


def _ids(piece: TableSlice) -> ArrowColumn:
    """Return the contact ids of a slice; of subscriptions, of the rows that opt out."""
    if piece.table.name == _OPT_OUTS:
        rows = piece.read([ID, "opted_in"])
        rows = rows.filter(pc.invert(rows.column("opted_in")))
    else:
        rows = piece.read([ID])
    ids: ArrowColumn = plain(rows.column(ID)).cast(TEXT)
    return ids


def other_spellings(tables: SnapshotTables, unknown: ArrowColumn) -> dict[str, str]:
    """Return, by unknown id, the id of the contact that has it in another spelling.

    Case makes no difference. Where it makes one between two contacts, it makes none only to an id
    all in capitals, or without any, as what changes the case of ids writes them.
    """
    if not len(unknown):
        return {}
    spelt = _plainly_spelt(unknown)
    lower = pc.utf8_lower(spelt)
    lower_ids = IdSet(_unique(lower))

    def alike(piece: TableSlice) -> tuple[Keys, pa.Table]:
        ids = piece.read([ID]).column(ID)
        spellings = _plainly_spelt(ids)
        columns = [spellings, pc.utf8_lower(spellings), ids]
        rows = pa.table(columns, names=["spelt", "lower", ID])
        is_alike = lower_ids.holds(rows.column("lower"))
        return np.sort(id_keys(pc.utf8_lower(ids))), rows.filter(pa.array(is_alike))

    keys, rows_of_pieces = zip(*in_parallel(alike, tables.slices("contacts")), strict=True)
    contacts = pa.concat_tables(rows_of_pieces)
    place = pc.index_in(lower, value_set=contacts.column("lower"))
    if not all_differ(keys):
        is_in_one_case = pc.or_(pc.equal(spelt, lower), pc.equal(spelt, pc.utf8_upper(spelt)))
        exactly = pc.index_in(spelt, value_set=contacts.column("spelt"))
        nowhere = pa.scalar(None, place.type)
        place = pc.coalesce(exactly, pc.if_else(is_in_one_case, place, nowhere))
    has_one = place.is_valid()
    theirs: list[Any] = unknown.filter(has_one).to_pylist()
    own: list[Any] = pc.take(contacts.column(ID), place.filter(has_one)).to_pylist()
    return dict(zip(theirs, own, strict=True))


def _plainly_spelt(ids: ArrowColumn) -> ArrowColumn:
    """Return ids without what another program may add to them, or leave out.

    What is rare costs one look at all ids where there is none of it.
    """
    spelt: Any = ids
    if not pc.all(pc.string_is_ascii(spelt)).as_py():
        spelt = pc.utf8_normalize(spelt, "NFKC")
    spelt = pc.utf8_ltrim(pc.utf8_trim(spelt, _AROUND), "+")
    spelt = _respell(spelt, ",", _THOUSANDS, lambda some: pc.replace_substring(some, ",", ""))
    spelt = _respell(spelt, "-", _UUID, lambda some: pc.replace_substring(some, "-", ""))
    spelt = _respell(spelt, "E", _EXPONENT, _without_exponent, ignore_case=True)
    spelt = _respell(
        spelt, ".", r"\.0*$", lambda some: pc.replace_substring_regex(some, r"\.0*$", "")
    )
    plainly: ArrowColumn = pc.utf8_ltrim(spelt, "0")
    return plainly


def _respell(
    ids: ArrowColumn,
    mark: str,
    pattern: str,
    write: Callable[[Any], Any],
    *,
    ignore_case: bool = False,
) -> Any:
    """Return ids, those that match ``pattern`` written in another way."""
    if not pc.any(pc.match_substring(ids, mark, ignore_case=ignore_case)).as_py():
        return ids
    mask = pc.match_substring_regex(ids, pattern)
    if not pc.any(mask).as_py():
        return ids
    spellings = write(ids.filter(mask)).combine_chunks()
    return pc.replace_with_mask(ids, mask.combine_chunks(), spellings)


def _without_exponent(numbers: ArrowColumn) -> ArrowColumn:
    """Return ``1.001E+3`` as ``1001``; what has a fraction stays as it is."""
    values = [(text, Decimal(text)) for text in map(str, numbers.to_pylist())]
    texts = [f"{value:f}" if value == value.to_integral_value() else text for text, value in values]
    return pa.chunked_array([pa.array(texts, TEXT)])


def _strangers_of(tables: SnapshotTables, unknown: _Unknown, own: dict[str, str]) -> Strangers:
    respelt = unknown.ids.filter(pc.is_in(unknown.ids, value_set=pa.array(list(own), TEXT)))
    some: list[Any] = respelt.slice(0, _PAIRS).to_pylist()
    first: list[Any] = unknown.ids.slice(0, _EXAMPLES).to_pylist()
    return Strangers(
        unknown.table,
        unknown.rows,
        unknown.count,
        tuple(first),
        len(respelt),
        tuple((each, own[each]) for each in some),
        tables.directory.opt_state.unknown_contacts == "ignore",
    )


def _unique(ids: ArrowColumn) -> ArrowColumn:
    return pa.chunked_array([pc.unique(ids)])


def _chunks_of(pieces: Iterable[ArrowColumn]) -> ArrowColumn:
    return pa.chunked_array([chunk for piece in pieces for chunk in piece.chunks], TEXT)
