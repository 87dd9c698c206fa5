"""Memberships that are judged once for everybody: who asks first judges what others will ask for.

Workflows of a directory start at the same moment, in processes and on hosts of their own. One of
them reads the snapshot, for all their segments in one pass; the others wait for it, and one of
these goes on where it died.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot
from segue.segments.definition import SegmentDefinition
from segue.segments.membership.slices import Leavers
from segue.segments.membership.store import MembershipStore

_WAIT = 0.5  # seconds between two looks whether another process has judged
_LONGEST_WAIT = 1800.0  # then a segment is judged for itself
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SharedMemberships:
    """A store in which what is missing is judged together with what other segments lack.

    ``others`` gives the segments that other workflows of the project ask for; those of another
    directory are left out. ``alone`` tells whether nobody else does what a name stands for, and
    keeps others from it until its end.
    """

    store: MembershipStore
    others: Callable[[], Sequence[SegmentDefinition]]
    alone: Callable[[str], AbstractContextManager[bool]]

    def membership(
        self, segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
    ) -> pd.DataFrame:
        """Return the membership as the store does."""
        self._prepare(segment, directory, snapshot, None)
        return self.store.membership(segment, directory, snapshot)

    def pieces(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the same in pieces; ``leavers`` are looked for if this process judges."""
        self._prepare(segment, directory, snapshot, leavers)
        yield from self.store.pieces(segment, directory, snapshot, leavers)

    def _prepare(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None,
    ) -> None:
        """See to it that the membership is stored; what cannot be shared is left to the store."""
        if segment.asks_outside:
            return
        path = self.store.path(segment, directory, snapshot)
        end = time.monotonic() + _LONGEST_WAIT
        is_told = False
        while not self.store.has(path):
            with self.alone(f"judge {directory.full_name} {directory.place}") as is_alone:
                if is_alone:
                    if not self.store.has(path):  # the one before may just have ended
                        self._judge(segment, directory, snapshot, leavers)
                    return
            if time.monotonic() > end:
                _log.warning("another process judges %s for long: judging alone", snapshot.key)
                return
            if not is_told:
                _log.info("another process judges the segments at %s: waiting", snapshot.key)
                is_told = True
            time.sleep(_WAIT)

    def _judge(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None,
    ) -> None:
        others = [
            other
            for other in self.others()
            if other.directory == segment.directory and other.segment != segment.segment
        ]
        count = self.store.keep([segment, *others], directory, snapshot, leavers)
        _log.info("%s segments judged at %s in one pass", count, snapshot.key)
