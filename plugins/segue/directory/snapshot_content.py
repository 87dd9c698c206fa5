"""Whether the files of a snapshot's tables changed, and whether two snapshots hold the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from segue.directory.lakes.snapshots import LakeSnapshot
from segue.directory.layout import (
    StoredFile,
    storage_errors,
    table_files,
    without_password,
)
from segue.directory.manifest import snapshot_listing
from segue.directory.snapshots import Snapshot


def fingerprint(snapshot: Snapshot) -> str:
    """Return a digest that changes when any file of the snapshot's tables changes.

    It covers names, sizes and checksums (modification times where there is no checksum), as they
    are now; marker files and other programs' files do not count. Of a lake, it covers the tables'
    own numbers for what they hold.
    """
    if isinstance(snapshot, LakeSnapshot):
        return _digest_of(snapshot.content)
    return _digest_of((file.name, file.size, file.version) for file in _table_files(snapshot))


def storage_state(snapshot: Snapshot) -> str:
    """Return a digest that changes with the fingerprint, and more often: what a cache goes by.

    A local file that was replaced by another of its size, and given its time, is noticed; so is one
    whose rights were changed or that was copied elsewhere, of which nobody has to be told.
    """
    if isinstance(snapshot, LakeSnapshot):
        return _digest_of(snapshot.content)
    files = _table_files(snapshot)
    return _digest_of((file.name, file.size, file.version, file.change_time) for file in files)


def same_content(one: Snapshot, other: Snapshot) -> bool:
    """Tell whether two snapshots' tables hold the same files: nothing was taken anew.

    Contents are compared only where names and sizes are the same, and no checksums tell: times of
    modification say nothing of it, since an unpacked archive gives all files the same.
    """
    if isinstance(one, LakeSnapshot) and isinstance(other, LakeSnapshot):
        return one.content == other.content
    files = [_table_files(one), _table_files(other)]
    if [(file.name, file.size) for file in files[0]] != [(f.name, f.size) for f in files[1]]:
        return False
    return all(
        _same_checksum(mine, theirs) or _digest(one, mine) == _digest(other, theirs)
        for mine, theirs in zip(*files, strict=True)
    )


def _digest_of(facts: Iterable[tuple[str | int, ...]]) -> str:
    return hashlib.sha256(json.dumps(list(facts)).encode()).hexdigest()[:16]


def _same_checksum(one: StoredFile, other: StoredFile) -> bool:
    return one.is_checksum and other.is_checksum and one.version == other.version


def _table_files(snapshot: Snapshot) -> list[StoredFile]:
    where = f"snapshot {snapshot.key} in {without_password(snapshot.folder)}"
    tables = table_files(snapshot_listing(snapshot.folder, where).files).values()
    return sorted((file for files in tables for file in files), key=lambda file: file.name)


def _digest(snapshot: Snapshot, file: StoredFile) -> bytes:
    with (
        storage_errors(f"snapshot {snapshot.key}, {file.name}"),
        snapshot.folder.fs.open(file.path, "rb") as stream,
    ):
        return hashlib.file_digest(stream, "blake2b").digest()
