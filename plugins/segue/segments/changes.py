"""Who crossed the line of a segment between two snapshots (DESIGN.md §4).

This is the plain, exact path: ids are compared as they are, through one hash table of the
previous members.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.segments.arrow import TEXT, ArrowColumn, pc
from segue.segments.definition import SegmentDefinition
from segue.segments.kinds import ChangeKind, RemovalReason
from segue.segments.ordered import Mask
from segue.segments.readings import mask_of
from segue.segments.transactions import ids_of

__all__ = [
    "ChangeKind",
    "ChangeSet",
    "RemovalReason",
    "enrolments",
    "membership_changes",
    "segment_changes",
]


@dataclass(frozen=True, slots=True, eq=False)
class ChangeSet:
    """The changes of a segment between two snapshots, and how many members each side has.

    ``changes`` is as ``membership_changes`` returns it.
    """

    changes: pd.DataFrame
    previous_size: int
    current_size: int


class Memberships(Protocol):
    """Whatever gives memberships: a MembershipStore, or a test's own."""

    def membership(
        self, segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
    ) -> pd.DataFrame:
        """Return contact_id and opted_in, sorted by contact_id."""


def membership_changes(
    previous: pd.DataFrame, current: pd.DataFrame, *, current_contact_ids: Collection[str]
) -> pd.DataFrame:
    """Return one row per change: contact_id, change, reason; sorted by contact_id (byte order).

    ``previous`` and ``current`` have unique contact_id and opted_in, in any order.
    ``current_contact_ids`` decides why somebody was removed: not among them is ``deleted``. It
    needs to hold only those of the removed that still exist. ``reason`` is empty for other kinds;
    one contact makes at most one change.
    """
    removed = _as_ids(removed_ids(previous, current))
    parts = [*_present_changes(previous, current), _removed(removed, current_contact_ids)]
    return _to_pandas(pa.concat_tables(parts).sort_by("contact_id"))


def segment_changes(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    previous: Snapshot,
    current: Snapshot,
    store: Memberships,
) -> ChangeSet:
    """Return the changes of ``segment`` from one snapshot to another, under its definition."""
    before = store.membership(segment, directory, previous)
    now = store.membership(segment, directory, current)
    left = removed_ids(before, now)
    still_there: Collection[str] = ()
    if left:
        contacts = SnapshotTables(directory, current).contacts((), only=left)
        still_there = contacts["contact_id"].tolist()
    changes = membership_changes(before, now, current_contact_ids=still_there)
    return ChangeSet(changes, len(before), len(now))


def removed_ids(previous: pd.DataFrame, current: pd.DataFrame) -> list[str]:
    """Return the ids of ``previous`` that are not in ``current``, in the order of ``previous``."""
    before = ids_of(previous)
    gone: Any = before.filter(pa.array(~_is_in(before, ids_of(current))))
    ids: list[str] = gone.to_pylist()
    return ids


def enrolments(current: pd.DataFrame) -> pd.DataFrame:
    """Return every member as ``enrolled``, in the form of ``membership_changes``."""
    return _to_pandas(_changes(ids_of(current), ChangeKind.ENROLLED).sort_by("contact_id"))


def _present_changes(previous: pd.DataFrame, current: pd.DataFrame) -> list[pa.Table]:
    """Return who was added, and whose opt state flipped while in both."""
    now = ids_of(current)
    place = pc.index_in(now, value_set=ids_of(previous))
    known = mask_of(place.is_valid())
    opted_in = _opt_states(current)
    flipped = known.copy()
    flipped[known] = opted_in[known] != _opt_states(previous)[place.drop_null().to_numpy()]
    return [
        _changes(now.filter(pa.array(~known)), ChangeKind.ADDED),
        _changes(now.filter(pa.array(flipped & opted_in)), ChangeKind.OPTED_IN),
        _changes(now.filter(pa.array(flipped & ~opted_in)), ChangeKind.OPTED_OUT),
    ]


def _removed(removed: ArrowColumn, current_contact_ids: Collection[str]) -> pa.Table:
    # The few removed are looked up among the contacts' ids by a table of the removed: it is small.
    there = _as_ids(current_contact_ids)
    still_there = _is_in(removed, there.filter(pa.array(_is_in(there, removed))))
    reasons = np.where(still_there, RemovalReason.NO_LONGER_MATCHES, RemovalReason.DELETED)
    return _changes(removed, ChangeKind.REMOVED, pa.array(reasons, TEXT))


def _changes(ids: ArrowColumn, kind: ChangeKind, reasons: Any = None) -> pa.Table:
    size = len(ids)
    kinds = pa.repeat(pa.scalar(kind.value, TEXT), size)
    if reasons is None:
        reasons = pa.repeat(pa.scalar("", TEXT), size)
    columns: list[Any] = [ids, kinds, reasons]
    return pa.table(columns, names=["contact_id", "change", "reason"])


def _is_in(ids: ArrowColumn, others: ArrowColumn) -> Mask:
    return mask_of(pc.is_in(ids, value_set=others))


def _as_ids(ids: Collection[str]) -> ArrowColumn:
    if isinstance(ids, pd.Series):
        return ids_of(ids.to_frame("contact_id"))
    return pa.chunked_array([pa.array(list(ids), TEXT)])


def _opt_states(members: pd.DataFrame) -> Mask:
    return members["opted_in"].to_numpy(dtype=bool)


def _to_pandas(changes: pa.Table) -> pd.DataFrame:
    return changes.to_pandas().astype("str")
