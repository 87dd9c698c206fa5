"""That a snapshot is what its directory expects: judged once, for all workflows.

What is remembered is that nothing was wrong, and of which files and expectations; no contact is in
it. Delete it, and every answer stays the same.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from fsspec import AbstractFileSystem

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_content import storage_state
from segue.directory.snapshots import Snapshot, newest_complete, usable_snapshots
from segue.directory.tables import SnapshotTables, readable
from segue.directory.whole_files import whole_file
from segue.errors import DataError
from segue.extras import storage_of
from segue.segments.expectations.judging import find_unmet

_READ_BY = {"expect", "columns", "consent", "timezone"}  # of a directory
ENGINE_VERSION = 1  # raise it when the same expectations may find more than before


class Expectations:
    """Judges snapshots, and remembers below ``root``, a folder or any fsspec URL, which are sound.

    Without a root only this object remembers it: looking leaves no trace. ``quarantined`` gives the
    keys of the directory's snapshots that nothing is compared with.
    """

    def __init__(
        self, root: str | None = None, quarantined: Callable[[], Collection[str]] = tuple
    ) -> None:
        self._fs: AbstractFileSystem | None = None
        self._folder = ""
        if root is not None:
            self._fs, path = storage_of(root)
            self._folder = posixpath.join(path, "expectations")
        self._quarantined = quarantined
        self._met: set[str] = set()

    def require_met(self, tables: SnapshotTables, now: datetime) -> None:
        """Raise DataError, with all that is wrong, where a snapshot is not what is expected."""
        if not tables.directory.expect:
            return
        earlier = self._before(tables, now)
        problem = self._problem(tables, earlier, [self._path(tables, earlier)])
        if problem is not None:
            raise DataError(f"{problem}. {_remedy(tables)}")

    def require_comparable(self, previous: SnapshotTables, now: datetime) -> None:
        """Raise DataError where the snapshot that another one is compared with is not so.

        How many rows there were before it is left out: a change there is one of this snapshot, too.
        """
        if not previous.directory.expect:
            return
        paths = [self._path(previous, None), self._path(previous, self._before(previous, now))]
        problem = self._problem(previous, None, paths)
        if problem is not None:
            what = "nothing can be compared with the snapshot before"
            raise DataError(f"{what}: {problem}. {_remedy(previous)}")

    def _problem(
        self, tables: SnapshotTables, earlier: Snapshot | None, paths: Sequence[str]
    ) -> str | None:
        """Say what a snapshot is not; what is remembered at any of ``paths`` is not judged."""
        if any(map(self._is_met, paths)):
            return None
        before = None if earlier is None else readable(SnapshotTables(tables.directory, earlier))
        findings = find_unmet(tables, before)
        if findings:
            where = f"snapshot {tables.snapshot.key} of {tables.directory.directory}"
            expected = "; ".join(map(str, findings))
            return f"{where} is not what its directory expects: {expected}"
        self._met.add(paths[0])
        if self._fs is not None:
            with whole_file(self._fs, paths[0]) as file:
                file.write(b"{}")
        return None

    def _is_met(self, path: str) -> bool:
        return path in self._met or (self._fs is not None and self._fs.exists(path))

    def _before(self, tables: SnapshotTables, now: datetime) -> Snapshot | None:
        """Return the snapshot that rows are counted against, where any are."""
        limits = [each.rows.change_at_most for each in tables.directory.expect.values()]
        if all(limit is None for limit in limits):
            return None
        usable = usable_snapshots(tables.directory, self._quarantined(), now=now)
        return newest_complete(usable, before=tables.snapshot.as_of)

    def _path(self, tables: SnapshotTables, earlier: Snapshot | None) -> str:
        """Return where it is remembered: by a digest of all that the verdict follows from."""
        directory = tables.directory
        facts = {
            "engine": ENGINE_VERSION,
            "directory": directory.model_dump(mode="json", include=_READ_BY),
            "snapshots": [
                _identity(directory, each) for each in (tables.snapshot, earlier) if each
            ],
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return posixpath.join(self._folder, directory.directory, f"{digest}.json")


UNREMEMBERED = Expectations()


def _identity(directory: DirectoryDefinition, snapshot: Snapshot) -> list[str]:
    place = str(snapshot.location or directory.place)
    return [place, snapshot.key, snapshot.as_of.isoformat(), storage_state(snapshot)]


def _remedy(tables: SnapshotTables) -> str:
    key, name = tables.snapshot.key, tables.directory.directory
    return (
        "Where the snapshot is wrong, mend its files, or leave it out by `segue snapshots "
        f"quarantine {key} --directory {name}`; where the expectation is, change `expect` of the "
        "directory"
    )
