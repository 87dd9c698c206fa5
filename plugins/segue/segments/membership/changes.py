"""Who crossed the line of a segment between two snapshots (docs/design.md, "Changes").

``plain_changes`` is the plain path: ids are compared as they are, through one hash table of
the previous members, in any order. ``segment_changes`` takes memberships as they are stored, in
the order of ids, and compares them in one pass (sorted_changes.py), which gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.directory.definition import DirectoryDefinition
from segue.directory.id_hashes import Keys, id_keys
from segue.directory.plain_columns import TEXT, ArrowColumn, pc
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.segments.columns.id_keys import KeySet
from segue.segments.columns.readings import mask_of
from segue.segments.definition import SegmentDefinition
from segue.segments.kinds import ChangeKind, RemovalReason
from segue.segments.membership.slices import Leavers
from segue.segments.membership.sorted_changes import (
    MEMBERS,
    NotSortedError,
    changes_of_kinds,
    sorted_changes,
)
from segue.segments.transactions import ids_of

NOBODY: ArrowColumn = pa.chunked_array([], TEXT)
_FEW = 1_000_000  # former members who are looked for among the contacts as these are judged


@dataclass(frozen=True, slots=True, eq=False)
class ChangeSet:
    """The changes of a segment between two snapshots, and how many members each side has.

    ``changes`` is as ``with_reasons`` returns it. ``sample`` is of the current contacts' ids
    (turnover.py), where they were all read.
    """

    changes: pd.DataFrame
    previous_size: int
    current_size: int
    sample: Keys | None = None


class Memberships(Protocol):
    """Whatever gives memberships: a MembershipStore, or a test's own."""

    def membership(
        self, segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
    ) -> pd.DataFrame:
        """Return contact_id and opted_in, sorted by contact_id."""

    def pieces(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the same, in consecutive Arrow tables; ``leavers`` may be found on the way."""


def segment_changes(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    previous: Snapshot,
    current: Snapshot,
    store: Memberships,
) -> ChangeSet:
    """Return the changes of ``segment`` from one snapshot to another, under its definition."""
    if segment.asks_outside:
        # Each membership is asked for once, on this thread: a team's function may decide it.
        frames = (store.membership(segment, directory, each) for each in (previous, current))
        old, now = map(members_table, frames)
        rows, sizes, leavers = plain_changes(old, now), (len(old), len(now)), None
    else:
        pieces = partial(store.pieces, segment, directory)
        rows, sizes, leavers = _sorted_segment_changes(pieces, previous, current)
    there = None if leavers is None else leavers.ids
    if there is None:
        ids: Any = _removed_ids(rows).to_pylist()
        contacts = SnapshotTables(directory, current).contacts((), only=ids) if ids else None
        there = NOBODY if contacts is None else ids_of(contacts)
    sample = None if leavers is None else leavers.sample
    return ChangeSet(with_reasons(rows, there), *sizes, sample)


def _sorted_segment_changes(
    pieces: Callable[..., Iterator[pa.Table]], previous: Snapshot, current: Snapshot
) -> tuple[pa.Table, tuple[int, int], Leavers | None]:
    """Compare the memberships piece by piece; few former members are looked for on the way.

    Returns the changes, both sizes, and the former members with what was learnt of them.
    """
    sizes = [0, 0]

    def members(side: int, leavers: Leavers | None = None) -> Iterator[pa.Table]:
        sizes[side] = 0
        for piece in pieces((previous, current)[side], leavers):
            sizes[side] += piece.num_rows
            yield piece

    old = members(0)
    first = _some(old)
    leavers = Leavers(_keys_of(first)) if sizes[0] <= _FEW else None
    first_passes = iter([chain(first, old)])
    rows = changes_of_pieces(lambda: next(first_passes, members(0)), lambda: members(1, leavers))
    return rows, (sizes[0], sizes[1]), leavers


def _some(pieces: Iterator[pa.Table]) -> list[pa.Table]:
    """Take pieces until they are more than a few members; all of them if they are not."""
    pieces_so_far, rows = [], 0
    for piece in pieces:
        pieces_so_far.append(piece)
        rows += piece.num_rows
        if rows > _FEW:
            break
    return pieces_so_far


def _keys_of(members: Sequence[pa.Table]) -> KeySet:
    everybody = pa.concat_tables([MEMBERS.empty_table(), *members])
    return KeySet(np.sort(id_keys(everybody.column("contact_id"))))


def changes_of_pieces(
    previous: Callable[[], Iterator[pa.Table]], current: Callable[[], Iterator[pa.Table]]
) -> pa.Table:
    """Return contact_id and change, sorted by id, of two memberships in consecutive pieces.

    Pieces that turn out not to be in the order of ids are asked for again and compared plainly.
    """
    try:
        return sorted_changes(previous(), current(), plain_changes)
    except NotSortedError:
        old, now = (pa.concat_tables([MEMBERS.empty_table(), *s()]) for s in (previous, current))
        return plain_changes(old, now)


def plain_changes(previous: pa.Table, current: pa.Table) -> pa.Table:
    """Return contact_id and change, sorted by id, of two memberships in any order."""
    old, now = previous.column("contact_id"), current.column("contact_id")
    place = pc.index_in(now, value_set=old)
    is_in_both = mask_of(place.is_valid())
    opted_in = mask_of(current.column("opted_in"))
    is_flipped = is_in_both.copy()
    is_flipped[is_in_both] = (
        opted_in[is_in_both] != mask_of(previous.column("opted_in"))[place.drop_null().to_numpy()]
    )
    is_gone = ~mask_of(pc.is_in(old, value_set=now))
    return changes_of_kinds(
        {
            ChangeKind.REMOVED: old.filter(pa.array(is_gone)),
            ChangeKind.ADDED: now.filter(pa.array(~is_in_both)),
            ChangeKind.OPTED_IN: now.filter(pa.array(is_flipped & opted_in)),
            ChangeKind.OPTED_OUT: now.filter(pa.array(is_flipped & ~opted_in)),
        }
    )


def enrolments(current: pd.DataFrame) -> pd.DataFrame:
    """Return every member as ``enrolled``, in the form of ``with_reasons``."""
    everybody = {ChangeKind.ENROLLED: ids_of(current)}
    return with_reasons(changes_of_kinds(everybody), NOBODY)


def with_reasons(changes: pa.Table, still_there: ArrowColumn) -> pd.DataFrame:
    """Return one row per change: contact_id, change, reason; sorted by contact_id (byte order).

    ``reason`` says why a contact was removed: ``deleted`` unless it is among those still there, of
    whom only the removed matter. It is empty for other kinds; one contact makes at most one change.
    """
    ids = changes.column("contact_id")
    # The few that changed are looked up by a table of themselves: still_there may be everybody.
    there = still_there.filter(pc.is_in(still_there, value_set=ids))
    is_there = pc.is_in(ids, value_set=there)
    reasons = pc.if_else(is_there, RemovalReason.NO_LONGER_MATCHES, RemovalReason.DELETED)
    is_removed = pc.equal(changes.column("change"), pa.scalar(ChangeKind.REMOVED, TEXT))
    frame = changes.append_column("reason", pc.if_else(is_removed, reasons, "")).to_pandas()
    return frame.astype("str")


def _removed_ids(changes: pa.Table) -> ArrowColumn:
    is_removed = pc.equal(changes.column("change"), pa.scalar(ChangeKind.REMOVED, TEXT))
    return changes.filter(is_removed).column("contact_id")


def members_table(frame: pd.DataFrame) -> pa.Table:
    """Return a membership as an Arrow table."""
    states = pa.array(frame["opted_in"].to_numpy(dtype=bool))
    return pa.table([ids_of(frame), pa.chunked_array([states])], schema=MEMBERS)
