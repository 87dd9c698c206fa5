"""Why a snapshot is not complete: written still, without its marker, or ahead of its time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from segue.directory.definition import DirectoryDefinition
from segue.directory.layout import Listing, StoredFile, table_files, unread_tables
from segue.directory.manifest import MANIFEST


def why_early(directory: DirectoryDefinition, as_of: datetime, now: datetime) -> str | None:
    """Say that a snapshot knows what has not happened yet; None where it does not.

    Consent is judged on the newest snapshot: one of a mistyped year would be the newest for years.
    """
    if as_of <= now:
        return None
    why = f"its as-of {as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ} is in the future"
    if directory.date_keys == "end_of_day" and as_of - now <= timedelta(days=1):
        why += "; of a directory photographed in the morning, say date_keys: start_of_day"
    return why


def why_incomplete(
    directory: DirectoryDefinition, files: Sequence[StoredFile], now: datetime
) -> str | None:
    """Say why a snapshot of these files is not complete; None where it is."""
    tables, names = table_files(files), {file.name for file in files}
    if MANIFEST in names and "contacts" not in tables:
        return f"a file that its manifest {MANIFEST} names is not there, or is another"
    if "contacts" not in tables:
        return _describe_no_contacts(directory, files)
    broken_links = [file.name for parts in tables.values() for file in parts if file.is_gone]
    if broken_links:
        return f"{min(broken_links)} is a link to a file that is not there"
    if MANIFEST in names:
        return None
    if directory.complete_marker is not None:
        return _why_unmarked(directory.complete_marker, tables, names)
    if directory.take is not None:
        return f"no manifest {MANIFEST}: it is being taken, or a take of it was ended"
    return _why_unsettled(directory, files, now)


def _describe_no_contacts(directory: DirectoryDefinition, files: Sequence[StoredFile]) -> str:
    names = unread_tables(Listing(tuple(files), ()), directory.complete_marker)
    others = ", ".join(map(repr, names))
    hint = f"; {others} is not read: expected contacts.parquet, .csv or .csv.gz" if others else ""
    return "no contacts table" + hint


def _why_unmarked(
    marker: str, tables: Mapping[str, Sequence[StoredFile]], names: Collection[str]
) -> str | None:
    """Say which marker is missing; it stands beside the tables, or in the folder of each.

    Spark and Hadoop write theirs into the folder that they write, which is a table's.
    """
    if marker in names:
        return None
    folders = _folders_of(tables)
    missing = [place for folder in folders if (place := f"{folder}/{marker}") not in names]
    if folders and not missing:
        return None
    is_in_others = 0 < len(missing) < len(folders)
    return f"no marker file {', '.join(missing) if is_in_others else marker}"


def _folders_of(tables: Mapping[str, Sequence[StoredFile]]) -> list[str]:
    """Return the folders that tables are; none where a table is a file."""
    names = sorted(file.name for files in tables.values() for file in files)
    folders = dict.fromkeys(name.split("/")[0] for name in names)
    return list(folders) if all("/" in name for name in names) else []


def _why_unsettled(
    directory: DirectoryDefinition, files: Sequence[StoredFile], now: datetime
) -> str | None:
    times = [file.modified for file in files if file.modified is not None]
    if len(times) < len(files):
        return "the file system keeps no modification times; use complete_marker"
    newest = max(times)
    if now < directory.settle.after(newest, directory.zone):
        return f"a file changed at {newest:%Y-%m-%dT%H:%M:%SZ}, less than {directory.settle} ago"
    return None
