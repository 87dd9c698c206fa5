"""The manifest of a snapshot that Segue took itself: which files of its folder are the snapshot.

It is written last, at once and never twice, so that a snapshot is whole or absent: what else lies
in the folder was written by a take that was ended, or by one that came second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fsspec import AbstractFileSystem
from upath import UPath

from segue.directory.layout import Listing, StoredFile, list_folder, storage_errors
from segue.errors import DataError

MANIFEST = "_segue.json"
_FORMAT = 1
# a take's own files: none is a snapshot's before a manifest names it
OF_A_TAKE = re.compile(r"[a-z_]+/(?P<kind>part|again)-[0-9a-f]{12}-[0-9]{4}\.parquet")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a take wrote: its files by name with their sizes in bytes, and how it read them."""

    as_of: datetime  # aware, UTC
    taken_at: datetime  # when reading began
    seconds: float
    is_one_view: bool  # whether all tables were read from one consistent view of the database
    rows: Mapping[str, int]  # of each table
    files: Mapping[str, int]

    def to_json(self) -> str:
        """Return the file's content."""
        content = asdict(self) | {"segue": _FORMAT}
        return json.dumps(content, default=datetime.isoformat, indent=1, sort_keys=True)


def snapshot_listing(folder: UPath, where: str) -> Listing:
    """Return what a snapshot's folder holds of the snapshot; raise as ``list_folder`` does."""
    listing = list_folder(folder, where)
    return Listing(tuple(published(listing.files, folder.fs, where)), listing.folders)


def published(
    files: Sequence[StoredFile], fs: AbstractFileSystem, where: str
) -> Sequence[StoredFile]:
    """Return those of a folder's files that are its snapshot, the manifest among them.

    Where there is no manifest, all but what takes have left beside them; none but it where one
    that it names is not there, or not the one that was written. Raises DataError, which begins with
    ``where``, for one that is broken.
    """
    manifest_file = next((file for file in files if file.name == MANIFEST), None)
    if manifest_file is None:
        others = [file for file in files if not OF_A_TAKE.fullmatch(file.name)]
        return others or files
    sizes = read_manifest(manifest_file, fs, where).files
    of_the_snapshot = [file for file in files if sizes.get(file.name) == file.size]
    if len(of_the_snapshot) < len(sizes):
        return [manifest_file]
    return [manifest_file, *of_the_snapshot]


def read_manifest(file: StoredFile, fs: AbstractFileSystem, where: str) -> Manifest:
    """Return what a manifest says; raise DataError where it is none."""
    with storage_errors(f"{where}, {MANIFEST}"):
        text = fs.cat_file(file.path)
    try:
        return _manifest(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{where}, {MANIFEST}: is no manifest of a snapshot: {error!r}") from None


def _manifest(content: Mapping[str, Any]) -> Manifest:
    if content["segue"] != _FORMAT:
        raise ValueError(f"of format {content['segue']!r}; allowed: {_FORMAT}")
    return Manifest(
        as_of=datetime.fromisoformat(content["as_of"]),
        taken_at=datetime.fromisoformat(content["taken_at"]),
        seconds=float(content["seconds"]),
        is_one_view=bool(content["is_one_view"]),
        rows={str(table): int(count) for table, count in content["rows"].items()},
        files={str(name): int(size) for name, size in content["files"].items()},
    )
