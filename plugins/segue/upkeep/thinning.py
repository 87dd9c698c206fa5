"""Old snapshots of a directory that takes its own go, as its ``keep`` says.

What a directory's snapshots are needed for is in the ledger: a run compares with the last one that
its workflow has used, and what is not delivered yet is judged and rendered from its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from segue.directory.definition import DirectoryDefinition
from segue.directory.keep_definition import Keep
from segue.directory.layout import storage_errors
from segue.directory.manifest import MANIFEST, OF_A_TAKE
from segue.directory.snapshots import Snapshot, list_snapshots, listed_files
from segue.ledger import Ledger

_NEWEST = 2  # complete ones that stay whatever their age: what a first run compares
_LONGEST_TAKE = timedelta(days=1)
_AN_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Thinning:
    """Which snapshots go, and which would and stay, with the reason; both in order of as-of."""

    removals: Sequence[Snapshot]
    exceptions: Mapping[str, str]  # key: why


def plan_thinning(directory: DirectoryDefinition, ledger: Ledger, now: datetime) -> Thinning:
    """Tell which snapshots are too old and needed by nobody; none are, without ``keep``.

    Raises DataError where they cannot be listed, and LedgerError where it cannot be asked.
    """
    if directory.keep is None:
        return Thinning((), {})
    every = list_snapshots(directory, now=now)
    snapshots = [each for each in every if each.complete]
    too_old = _too_old(directory, directory.keep, snapshots, now)
    needs = _needs(directory, ledger)
    needs |= dict.fromkeys([each.key for each in snapshots[-_NEWEST:]], "one of the newest")
    removals, exceptions = [], {}
    for snapshot in too_old:
        reason = needs.get(snapshot.key) or _why_foreign(snapshot)
        if reason is None:
            removals.append(snapshot)
        else:
            exceptions[snapshot.key] = reason
    all_since = directory.keep.all_since(now, directory.zone)
    removals += [
        each
        for each in every
        if each.as_of < all_since and not each.complete and _is_remnant(each, now)
    ]
    return Thinning(sorted(removals), exceptions)


def delete_snapshot(snapshot: Snapshot) -> None:
    """Delete a snapshot that was taken: its manifest first, so that nobody sees the half of it.

    Raises DataError where the storage fails; what is left is no snapshot any more, and goes a day
    later.
    """
    folder = snapshot.folder
    where = f"snapshot {snapshot.key}"
    names = [file.name for file in listed_files(snapshot)]
    with storage_errors(where, "deleted"):
        for name in sorted(names, key=lambda name: name != MANIFEST):
            with suppress(FileNotFoundError):
                folder.fs.rm_file(f"{folder.path.rstrip('/')}/{name}")
    if isinstance(folder.fs, LocalFileSystem):
        tables = {name.split("/")[0] for name in names if "/" in name}
        for path in (*(Path(folder.path) / table for table in tables), Path(folder.path)):
            with suppress(OSError):  # somebody else's files are in it
                path.rmdir()


def _too_old(
    directory: DirectoryDefinition, keep: Keep, snapshots: Sequence[Snapshot], now: datetime
) -> list[Snapshot]:
    """Return the snapshots that ``keep`` does not ask for."""
    zone = directory.zone
    all_since, some_since = keep.all_since(now, zone), keep.some_since(now, zone)
    last_of_periods = {}
    for snapshot in snapshots:
        last_moment = (snapshot.as_of - _AN_INSTANT).astimezone(zone)
        last_of_periods[keep.period(last_moment.date())] = snapshot.key
    last_keys = {*last_of_periods.values()} if keep.then is not None else set()
    return [
        each
        for each in snapshots
        if each.as_of < all_since
        and not (each.key in last_keys and (some_since is None or each.as_of >= some_since))
    ]


def _needs(directory: DirectoryDefinition, ledger: Ledger) -> dict[str, str]:
    """Return the snapshots that somebody needs, by key, and what for."""
    needs = dict.fromkeys(ledger.people.quarantined(directory.full_name), "quarantined")
    return needs | ledger.retention.needed_snapshots()


def _is_remnant(snapshot: Snapshot, now: datetime) -> bool:
    """Tell whether all that is there was left by a take, or a deletion, that was ended."""
    files = listed_files(snapshot)
    return bool(files) and all(
        OF_A_TAKE.fullmatch(file.name)
        and file.modified is not None
        and file.modified < now - _LONGEST_TAKE
        for file in files
    )


def _why_foreign(snapshot: Snapshot) -> str | None:
    """Say that a snapshot was not taken by Segue, so that its files are somebody else's."""
    names: Collection[str] = [file.name for file in listed_files(snapshot)]
    return None if MANIFEST in names else f"no manifest {MANIFEST}: somebody else wrote it"
