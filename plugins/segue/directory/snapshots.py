"""Find a directory's snapshots: which there are, up to when each one knows, which are complete.

The rules are in docs/design.md, "Time". A snapshot's *as-of* is the first instant that it does not
know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import groupby

from upath import UPath

from segue.directory.completeness import why_early, why_incomplete
from segue.directory.definition import DirectoryDefinition
from segue.directory.layout import (
    StoredFile,
    folders_in,
    list_folder,
    storage_errors,
    without_password,
)
from segue.directory.manifest import published, snapshot_listing
from segue.directory.snapshot_keys import ALLOWED_KEYS, key_of_folder, require_key
from segue.errors import DataError, SettingsError, SnapshotMissing
from segue.extras import storage_path

_LISTED_ALONE = 8  # folders; more are listed with all others, 1,000 files a request


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A directory as it stood at one instant; snapshots are ordered by ``as_of``."""

    key: str  # canonical: 2026-11-22, or 2026-11-22T06:00:00Z
    as_of: datetime  # aware, UTC: the first instant that the snapshot does not know
    location: UPath | None  # its folder; None where a lake's tables are the snapshot
    complete: bool
    why_incomplete: str | None = None

    def __lt__(self, other: Snapshot) -> bool:
        return (self.as_of, self.key) < (other.as_of, other.key)

    @property
    def folder(self) -> UPath:
        """The folder of a snapshot that is files."""
        assert self.location is not None
        return self.location


class _Listed(Snapshot):
    """A snapshot whose folder is looked into only when somebody asks whether it is complete."""

    __slots__ = ("_files", "_judge", "_why")
    _files: Callable[[], Sequence[StoredFile]]
    _judge: Callable[[], str | None]
    _why: str | None

    def __init__(
        self,
        key: str,
        as_of: datetime,
        location: UPath,
        files: Callable[[], Sequence[StoredFile]],
        judge: Callable[[], str | None],
    ) -> None:
        values = {"key": key, "as_of": as_of, "location": location}
        values |= {"_files": files, "_judge": judge}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def complete(self) -> bool:
        return self.why_incomplete is None

    @property
    def why_incomplete(self) -> str | None:
        if not hasattr(self, "_why"):
            object.__setattr__(self, "_why", self._judge())
        return self._why


class _Folders:
    """The files of a directory's snapshots: a few folders are listed alone, many all at once."""

    def __init__(self, root: UPath, where: str, is_entered: Callable[[str], bool]) -> None:
        self._root, self._where, self._entered = root, where, is_entered
        self._alone: dict[str, Sequence[StoredFile]] = {}
        self._whole: dict[str, list[StoredFile]] | None = None

    def files(self, folder: str) -> Sequence[StoredFile]:
        """Return the files of one snapshot, named from its folder on."""
        if folder in self._alone:
            return self._alone[folder]
        if self._whole is None and len(self._alone) < _LISTED_ALONE:
            listing = snapshot_listing(self._root / folder, self._where)
            self._alone[folder] = listing.files
            return listing.files
        if self._whole is None:
            self._whole = {}
            for file in list_folder(self._root, self._where, self._entered).files:
                first, _, name = file.name.partition("/")
                self._whole.setdefault(first, []).append(replace(file, name=name))
        return published(self._whole.get(folder, []), self._root.fs, f"{self._where}, {folder}")


def list_snapshots(directory: DirectoryDefinition, *, now: datetime) -> list[Snapshot]:
    """Return the directory's snapshots, incomplete ones included, in ascending order of as-of.

    ``now`` (aware) decides whether files have settled, and which as-of lies in the future. Folders
    whose names are no keys are ignored; ``unkeyed_folders`` tells which. The root alone is listed:
    a snapshot's folder is when it is asked whether it is complete. Raises DataError when the root
    cannot be listed, or two folders have the same key.
    """
    if directory.lake is not None:
        from segue.directory.lakes.snapshots import lake_snapshots

        return [*lake_snapshots(directory, now)]
    where, root, names = _list_root(directory)
    files = _Folders(root, where, lambda name: key_of_folder(directory, name) is not None)

    def why(folder: str, as_of: datetime) -> str | None:
        early = why_early(directory, as_of, now)
        return early or why_incomplete(directory, files.files(folder), now)

    folders = _folders_by_key(directory, names)
    return sorted(
        _Listed(
            key, as_of, root / folder, partial(files.files, folder), partial(why, folder, as_of)
        )
        for key, (folder, as_of) in folders.items()
    )


def listed_files(snapshot: Snapshot) -> Sequence[StoredFile]:
    """Return a snapshot's files as they were when the directory's snapshots were listed.

    For who looks at all snapshots: one by one, each would be a request of its own on object
    storage. A run asks anew. Raises DataError where the folder cannot be listed.
    """
    if isinstance(snapshot, _Listed):
        return snapshot._files()
    if snapshot.location is None:
        return ()
    return snapshot_listing(snapshot.location, f"snapshot {snapshot.key}").files


def newest_complete(
    snapshots: Sequence[Snapshot], *, before: datetime | None = None
) -> Snapshot | None:
    """Return the last complete snapshot, or the last whose as-of is earlier; None if none is.

    ``snapshots`` are in ascending order. No older one is looked into.
    """
    earlier = (item for item in reversed(snapshots) if before is None or item.as_of < before)
    return next((item for item in earlier if item.complete), None)


def unkeyed_folders(directory: DirectoryDefinition) -> list[str]:
    """Return the folders beside the snapshots whose names are no keys, sorted.

    Those that begin with ``_`` or ``.`` are other programs' own, as is ``lost+found``.
    """
    if directory.lake is not None:
        return []
    return [
        folder
        for folder in _list_root(directory)[2]
        if key_of_folder(directory, folder) is None
        and not folder.startswith(("_", "."))
        and folder != "lost+found"
    ]


def describe_unkeyed(folders: Sequence[str]) -> str | None:
    """Say how many folders are no snapshots for their names, with an example; None for none."""
    if not folders:
        return None
    count, example = len(folders), repr(folders[0])
    what = f"the name of the folder {example} is no key"
    if count > 1:
        what = f"the names of {count} folders are no keys, such as {example}"
    return f"{what}; a key is {ALLOWED_KEYS}"


def describe_twins(snapshots: Iterable[Snapshot]) -> list[str]:
    """Say of which snapshots the as-of is that of another one, a line for each such instant.

    Between two of one as-of no time passes: a run uses the last of them by its key.
    """
    in_order = sorted(snapshots)
    by_instant = [list(group) for _, group in groupby(in_order, key=lambda item: item.as_of)]
    return [
        f"snapshots {', '.join(item.key for item in twins)} have one as-of, "
        f"{twins[0].as_of:%Y-%m-%dT%H:%M:%SZ}: runs use the last of them that is complete, "
        f"{twins[-1].key} where it is, and what only another one shows is not acted on"
        for twins in by_instant
        if len(twins) > 1
    ]


def find_snapshot(directory: DirectoryDefinition, key: str, *, now: datetime) -> Snapshot:
    """Return the complete snapshot that ``key``, in any spelling, names.

    Raises SnapshotMissing, naming the nearest keys, when there is none or it is not complete, and
    SettingsError for what is no key: waiting does not help there.
    """
    canonical, as_of = require_key(directory, key)
    snapshots = list_snapshots(directory, now=now)
    match = next((snapshot for snapshot in snapshots if snapshot.key == canonical), None)
    if match is None:
        raise SnapshotMissing(
            f"directory {directory.directory} has no snapshot {canonical}; "
            + _why_unknown(directory, as_of)
            + _available(snapshots, as_of)
        )
    if not match.complete:
        raise SnapshotMissing(
            f"directory {directory.directory}: snapshot {canonical} is not complete: "
            f"{match.why_incomplete}"
        )
    return match


def usable_snapshots(
    directory: DirectoryDefinition, quarantined_keys: Collection[str], *, now: datetime
) -> list[Snapshot]:
    """Return the directory's snapshots without those that are quarantined, in order of as-of.

    ``quarantined`` holds their keys. Whoever chooses a snapshot chooses from these.
    """
    snapshots = list_snapshots(directory, now=now)
    return [snapshot for snapshot in snapshots if snapshot.key not in quarantined_keys]


def find_usable(
    directory: DirectoryDefinition, key: str, reasons: Mapping[str, str], *, now: datetime
) -> Snapshot:
    """Return the complete snapshot ``key``; SettingsError where it is quarantined, saying why."""
    canonical, _ = require_key(directory, key)
    if canonical in reasons:
        why = f" ({reasons[canonical]})" if reasons[canonical] else ""
        raise SettingsError(
            f"directory {directory.directory}: snapshot {canonical} is quarantined{why}; "
            f"segue snapshots release {canonical} --directory {directory.directory} lets runs use "
            "it again"
        )
    return find_snapshot(directory, canonical, now=now)


def choose_span(
    snapshots: Iterable[Snapshot], start: datetime, end: datetime
) -> tuple[Snapshot | None, Snapshot | None]:
    """Return the (previous, current) snapshots that the interval (start, end] compares.

    Current is the last complete snapshot with start < as-of <= end; previous the last complete
    one with as-of <= start.
    """
    in_order = sorted(snapshots)
    previous = [snapshot for snapshot in in_order if snapshot.as_of <= start]
    current = [snapshot for snapshot in in_order if start < snapshot.as_of <= end]
    return newest_complete(previous), newest_complete(current)


def _list_root(directory: DirectoryDefinition) -> tuple[str, UPath, Sequence[str]]:
    """Return how messages call the folder of snapshots, the folder, and the names of its folders.

    Nothing below those is listed. One that is not there yet has none where the directory takes its
    own snapshots: the first take makes it.
    """
    place = without_password(directory.snapshots)
    where = f"directory {directory.directory}: the folder of snapshots {place}"
    with storage_errors(where):
        root = storage_path(directory.snapshots)
        folders = folders_in(root, where)
        if not folders and directory.take is None and not root.exists():
            raise DataError(f"{where} does not exist")
        if not folders and root.is_file():
            raise DataError(f"{where} is a file; expected a folder")
    return where, root, folders


def _folders_by_key(
    directory: DirectoryDefinition, folders: Iterable[str]
) -> dict[str, tuple[str, datetime]]:
    by_key: dict[str, tuple[str, datetime]] = {}
    for folder in folders:
        key_and_instant = key_of_folder(directory, folder)
        if key_and_instant is None:
            continue
        key, as_of = key_and_instant
        if key in by_key:
            place = without_password(directory.snapshots)
            raise DataError(
                f"directory {directory.directory}: the folders {by_key[key][0]!r} and {folder!r} "
                f"in {place} are both snapshot {key}; keep one of them"
            )
        by_key[key] = (folder, as_of)
    return by_key


def _why_unknown(directory: DirectoryDefinition, as_of: datetime) -> str:
    """Say which tables of a lake no longer know an instant, in front of what there is."""
    if directory.lake is None:
        return ""
    from segue.directory.lakes.snapshots import describe_unknown

    why = describe_unknown(directory, as_of)
    return f"{why}; " if why else ""


def _available(snapshots: Sequence[Snapshot], as_of: datetime) -> str:
    if not snapshots:
        return "it has none yet"
    nearest = sorted(snapshots, key=lambda snapshot: abs(snapshot.as_of - as_of))[:3]
    names = ", ".join(snapshot.key for snapshot in sorted(nearest))
    first, last = snapshots[0].key, snapshots[-1].key
    return f"the nearest: {names} ({len(snapshots)} in all, from {first} to {last})"
