"""Whether a snapshot's columns can answer what conditions ask of them; for runs and commands."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import pyarrow as pa

from segue.directory.checks import ID, OPT_STATES
from segue.directory.id_hashes import Keys, all_differ, id_keys
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import pc, plain
from segue.directory.python_values import python_values
from segue.directory.snapshot_check import lacking_columns
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.directory.unread import broken_opt_states
from segue.documents import Location, format_location
from segue.errors import DataError
from segue.segments.columns.column_source import column_of
from segue.segments.conditions.fit import Kinds, misfits
from segue.segments.conditions.inspection import needed_columns
from segue.segments.conditions.nodes import Condition
from segue.segments.definition import SegmentDefinition
from segue.segments.strangers import refuse_strangers
from segue.segments.unreadable import (
    Reading,
    Unreadable,
    Use,
    find_unreadable,
    require_readable,
    uses_of,
)


def kinds_of(tables: SnapshotTables, besides: Collection[str] = ()) -> Kinds:
    """Return the kinds of all columns, of contacts all but what ``besides`` names."""
    contacts = tables.kinds("contacts")
    contact_kinds = {name: kind for name, kind in contacts.items() if name not in besides}
    return {"contacts": contact_kinds, "transactions": tables.kinds("transactions")}


def mailing_list_names(tables: SnapshotTables) -> frozenset[str] | None:
    """Return the names of the mailing lists that have a contact; None where there is no table."""
    table, column = "mailing_lists", "mailing_list"
    if column not in tables.columns(table):
        return None

    def names(piece: TableSlice) -> list[str | None]:
        some = pa.chunked_array([pc.unique(plain(piece.read([column]).column(column)))])
        return python_values(column_of(some, tables.directory.zone).texts.arrow)

    pieces = in_parallel(names, tables.slices(table))
    return frozenset(name for names_of_piece in pieces for name in names_of_piece if name)


def require_answers(
    segment: SegmentDefinition,
    tables: SnapshotTables,
    uses: Collection[Use] | None = None,
    further: Iterable[tuple[Location, Condition]] = (),
    besides: Collection[str] = (),
) -> list[Unreadable]:
    """Return what of a snapshot cannot be read; raise DataError where it cannot answer for that.

    Whoever judges a segment asks this first: a run, a preview of one, and a listing alike.
    ``uses`` are all that is read, by default the segment's; the rest is as for ``require_fit``.
    """
    conditions = list(further)
    require_fit(segment, tables, conditions, besides)
    refuse_strangers(tables, tables_read(segment, [condition for _, condition in conditions]))
    unreadable = find_unreadable(tables, uses_of(segment) if uses is None else uses)
    require_readable(tables, unreadable)
    return unreadable


def require_comparable(
    segment: SegmentDefinition, previous: SnapshotTables, unreadable: Collection[Unreadable] = ()
) -> list[Unreadable]:
    """Return what of the snapshot before cannot be read; raise DataError where it cannot answer.

    Members told by what nobody could read are none: once it is mended everybody seems to change.
    Looked at is what tells the segment's members, and what is ``found`` in the snapshot after it.
    Bytes that are no text stop nobody, so typed columns of Parquet are not read.
    """
    own = uses_of(segment)
    uses_that_tell = {use for use in own if use.reading != Reading.TEXT}
    try:
        require_fit(segment, previous)
        refuse_strangers(previous, set(tables_read(segment)) - {"subscriptions"})
        uses = uses_that_tell | {each.use for each in unreadable}
        unreadable_before = find_unreadable(previous, uses)
        require_readable(previous, [each for each in unreadable_before if each.use in own])
    except DataError as error:
        name, key = previous.directory.directory, previous.snapshot.key
        raise DataError(
            f"nothing can be compared with the snapshot before: {error}. Mend the files of {key}, "
            f"or leave it out by `segue snapshots quarantine {key} --directory {name}`: a run "
            "then compares with the one before it"
        ) from None
    return unreadable_before


def tables_read(segment: SegmentDefinition, further: Iterable[Condition] = ()) -> list[str]:
    """Return the tables besides contacts by whose ids a segment and conditions are judged.

    Subscriptions always are: they say who may be written to.
    """
    needs = segment.needs
    for condition in further:
        needs |= needed_columns(condition)
    is_read_by_table = {
        "transactions": needs.transactions is not None,
        "mailing_lists": needs.mailing_lists,
        "subscriptions": True,
    }
    return [table for table, is_read in is_read_by_table.items() if is_read]


def require_sound(tables: SnapshotTables, names: Collection[str] = tuple(OPT_STATES)) -> None:
    """Raise DataError where a table lacks what it must have, or one of ``names`` is broken.

    What one row says of a contact cannot be trusted where another says what nobody understands:
    such a table stops whoever would send, and not only those whom the row is about.
    """
    problems = [*lacking_columns(tables), *broken_opt_states(tables, names)]
    if problems:
        raise DataError("; ".join(dict.fromkeys(map(str, problems))))
    require_sound_ids(tables, names)


def require_sound_ids(tables: SnapshotTables, names: Collection[str] = tuple(OPT_STATES)) -> None:
    """Raise DataError where contacts are not unique, or a row of ``names`` has no id.

    Transactions are left to whoever reads them: they are many, and say nothing of consent.
    """
    ids = {name: _ids_of(tables, name) for name in names if tables.has(name)}
    if not all_differ(ids.get("contacts", [])):
        tables.contacts([])  # raises, unless the keys are alike by chance


def _ids_of(tables: SnapshotTables, table: str) -> list[Keys]:
    def keys(piece: TableSlice) -> Keys:
        return np.sort(id_keys(piece.read([ID]).column(ID)))

    return in_parallel(keys, tables.slices(table))


def require_fit(
    segment: SegmentDefinition,
    tables: SnapshotTables,
    further: Iterable[tuple[Location, Condition]] = (),
    besides: Collection[str] = (),
) -> None:
    """Raise DataError where a condition asks of a column what no value of its kind can answer.

    Looked at are the segment, those it refers to and ``further`` conditions with their places,
    which may read fields of contacts that come from ``besides`` the snapshot.
    """
    messages = list(segment_misfits(segment, kinds_of(tables)))
    kinds = kinds_of(tables, besides)
    for prefix, condition in further:
        for location, message in misfits(condition, kinds):
            messages.append(f"{format_location((*prefix, *location))}: {message}")
    if messages:
        where = f"snapshot {tables.snapshot.key} of {tables.directory.directory}"
        raise DataError(f"{where} cannot answer what is asked of it: {'; '.join(messages)}")


def segment_misfits(segment: SegmentDefinition, kinds: Kinds) -> Iterator[str]:
    """Yield what a segment, and those it refers to, ask of columns that cannot answer it."""
    for each in (segment, *segment.refers_to):
        if each.match is not None:
            for location, message in misfits(each.match, kinds):
                place = format_location(("match", *location))
                yield f"segment {each.segment}, {place}: {message}"
