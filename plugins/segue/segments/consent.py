"""Who is opted in (docs/design.md, "Changes"): everybody, unless a record says otherwise.

A contact is opted out of a segment by ``unsubscribed`` in contacts, or by a row of subscriptions
with the scope ``directory`` or ``segment:NAME`` of that segment that is not opted in.
"""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd
import pyarrow as pa

from segue.directory.checks import DIRECTORY_SCOPE, SEGMENT_SCOPE
from segue.directory.definition import UNSUBSCRIBED
from segue.directory.opt_outs import opt_places
from segue.directory.plain_columns import TEXT, ArrowColumn, pc
from segue.directory.tables import SnapshotTables
from segue.errors import DataError
from segue.segments.columns.column_source import column_of
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import mask_of
from segue.segments.population import Population
from segue.segments.transactions import ids_of


def segment_scope(segment: str) -> str:
    """Return the scope of subscriptions that is about one segment."""
    return f"{SEGMENT_SCOPE}{segment}"


def refuse_lost_opt_outs(earlier: SnapshotTables, later: SnapshotTables) -> None:
    """Raise DataError where there are ``lost_opt_outs``."""
    loss = lost_opt_outs(earlier, later)
    if loss is not None:
        raise DataError(loss)


def lost_opt_outs(earlier: SnapshotTables, later: SnapshotTables) -> str | None:
    """Say where a later snapshot no longer says who opted out, as an earlier one did; or None.

    Everybody would count as opted in, and those who opted out would get messages.
    """
    places = opt_places(later)
    losses = sorted(name for place, name in opt_places(earlier).items() if place not in places)
    if not losses:
        return None
    return (
        f"snapshot {later.snapshot.key} of {later.directory.directory} lacks "
        f"{', '.join(losses)}, which {earlier.snapshot.key} has: everybody would count as opted in"
    )


def new_opt_states(
    earlier: SnapshotTables,
    later: SnapshotTables,
    tables: Collection[str] = ("contacts", "subscriptions"),
) -> str | None:
    """Say why the opt states of two snapshots cannot be compared; None where they can.

    The first snapshot that says who opted out says it of years: none of it is news. Looked at are
    those of some ``tables``.
    """
    new = opt_places(later).keys() - opt_places(earlier).keys()
    columns = sorted(
        column
        for place, column in opt_places(later).items()
        if place in new and place.split(".")[0] in tables
    )
    return f"new column: {earlier.snapshot.key} lacks {', '.join(columns)}" if columns else None


def opt_states(population: Population, segment: str | None, opted_out: Mask | None = None) -> Mask:
    """Return the effective opt state of each contact for ``segment``, in the contacts' order.

    Without a segment it is the state for the directory as a whole. ``opted_out`` marks those whom
    ``opt_outs`` names, if that is known already.
    """
    if opted_out is None:
        ids = ids_of(population.contacts)
        opted_out = mask_of(pc.is_in(ids, value_set=opt_outs(population, segment)))
    if UNSUBSCRIBED in population.contacts.columns:
        column = column_of(population.contacts[UNSUBSCRIBED], population.zone)
        opted_out = opted_out | column.booleans.true
    return ~opted_out


def opt_outs(population: Population, segment: str | None) -> ArrowColumn:
    """Return whom rows of subscriptions opt out of ``segment``, some perhaps more than once.

    Without a segment, of the directory as a whole.
    """
    if population.subscriptions is None:
        return pa.chunked_array([], TEXT)
    ids, rows = opted_out_rows(population, population.subscriptions)
    there: ArrowColumn = pc.filter(ids, pa.array(in_scope(population, rows, segment)))
    return there


def opted_out_rows(population: Population, rows: pd.DataFrame) -> tuple[ArrowColumn, pd.DataFrame]:
    """Return the rows of subscriptions that opt out of something, and whose they are."""
    out = rows[column_of(rows["opted_in"], population.zone).booleans.false]
    return ids_of(out), out


def in_scope(population: Population, rows: pd.DataFrame, segment: str | None) -> Mask:
    """Return which rows of subscriptions are about ``segment``; those of the directory are, too."""
    scopes = (DIRECTORY_SCOPE,) if segment is None else (DIRECTORY_SCOPE, segment_scope(segment))
    return column_of(rows["scope"], population.zone).texts.one_of(scopes)


def list_states(population: Population, rows: pd.DataFrame, name: str) -> tuple[Mask, Mask]:
    """Return who is on the mailing list ``name``, and who of these is opted out of it.

    ``rows`` are those of mailing_lists. A missing opt state, or no such column, is opted in; of
    two rows of one contact, the one that opts out counts.
    """
    ids = ids_of(population.contacts)
    on_list = column_of(rows["mailing_list"], population.zone).texts.equal(name)
    members = mask_of(pc.is_in(ids, value_set=ids_of(rows[on_list])))
    if "opted_in" not in rows.columns:
        return members, members & False
    is_out = on_list & column_of(rows["opted_in"], population.zone).booleans.false
    return members, mask_of(pc.is_in(ids, value_set=ids_of(rows[is_out])))


def list_verdicts(members: Mask, opted_out: Mask) -> dict[str, Mask]:
    """Return who is in each state of a mailing list, of what ``list_states`` returns."""
    return {
        "member": members,
        "not_member": ~members,
        "opted_in": members & ~opted_out,
        "opted_out": opted_out,
    }
