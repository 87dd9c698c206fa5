"""Who is in a segment at one snapshot, and with what opt-in state; computed, or kept in a store.

The store is a cache and nothing more: delete it, or break a file in it, and every answer stays
the same (docs/design.md, "Changes").
"""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from segue.directory.definition import DirectoryDefinition
from segue.directory.plain_columns import TEXT, pc
from segue.directory.snapshot_content import storage_state
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.directory.whole_files import whole_file
from segue.extras import storage_of
from segue.segments.consent import opt_states
from segue.segments.definition import SegmentDefinition
from segue.segments.fitness import kinds_of, segment_misfits
from segue.segments.loading import judge, load_population
from segue.segments.membership.slices import Leavers, can_be_sliced, sliced_members
from segue.segments.outside import outside_missing, outside_version
from segue.segments.transactions import ids_of

ENGINE_VERSION = 3  # raise it when the same definition may give another answer than before
_SCHEMA = pa.schema([("contact_id", TEXT), ("opted_in", pa.bool_())])
_KEY = b"segue.key"
_PIECE = 131_072  # members that are read and compared at a time
_log = logging.getLogger(__name__)


def membership(
    segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
) -> pd.DataFrame:
    """Return one row per member: contact_id (text), opted_in (bool); sorted by id in byte order.

    Raises DataError if the snapshot lacks a table or column that the segment needs, which
    ``missing_for`` tells beforehand.
    """
    return _to_pandas(_compute(segment, directory, snapshot))


def membership_pieces(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    snapshot: Snapshot,
    leavers: Leavers | None = None,
) -> Iterator[pa.Table]:
    """Yield what ``membership`` returns as Arrow tables, one after the other."""
    yield _compute(segment, directory, snapshot, leavers)


def missing_for(segment: SegmentDefinition, tables: SnapshotTables) -> list[str]:
    """Return what the segment needs and the snapshot lacks, sorted.

    A table is named alone (``transactions``), a column with its table (``contacts.tier``).
    """
    needs = segment.needs
    lists = {"mailing_list"} if needs.mailing_lists else None
    names_by_table = {
        "contacts": needs.contacts,
        "transactions": needs.transactions,
        "mailing_lists": lists,
    }
    missing = [_missing(tables, table, names) for table, names in names_by_table.items()]
    missing.append(outside_missing(segment, tables.snapshot))
    return sorted(name for names in missing for name in names)


def describe_missing(segment: SegmentDefinition, tables: SnapshotTables) -> str | None:
    """Say what the segment needs and the snapshot lacks; None where it has all of it."""
    missing_names = missing_for(segment, tables)
    if not missing_names:
        return None
    return (
        f"snapshot {tables.snapshot.key} of {tables.directory.directory} lacks "
        f"{', '.join(missing_names)}, which the segment {segment.segment} needs"
    )


def membership_key(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    snapshot: Snapshot,
    state: str | None = None,
) -> str:
    """Return a digest of everything that a membership follows from.

    ``state`` is the snapshot's ``storage_state``, where that is known.
    """
    facts = {
        "engine": ENGINE_VERSION,
        "definition": segment.facts(),
        "imported": outside_version(segment, snapshot),
        "columns": directory.columns,
        "consent": directory.model_dump(mode="json", include={"consent"}),
        "timezone": directory.timezone,
        "date_keys": directory.date_keys,
        "location": str(snapshot.location or directory.place),
        "snapshot": [snapshot.key, snapshot.as_of.isoformat(), state or storage_state(snapshot)],
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


class MembershipStore:
    """Memberships as Parquet files under ``root``, a folder or any fsspec URL."""

    def __init__(self, root: str) -> None:
        self._fs, path = storage_of(root)
        self._folder = posixpath.join(path, "memberships")

    def membership(
        self, segment: SegmentDefinition, directory: DirectoryDefinition, snapshot: Snapshot
    ) -> pd.DataFrame:
        """Return the membership as ``membership`` does: read it, or compute it and keep it."""
        pieces = self.pieces(segment, directory, snapshot)
        return _to_pandas(pa.concat_tables([_SCHEMA.empty_table(), *pieces]))

    def pieces(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the membership in consecutive pieces, read one by one from where it is kept.

        ``leavers`` are looked for if it is computed.
        """
        path = self.path(segment, directory, snapshot)
        rows = 0
        try:
            kept_pieces = self._read(path)
            # What a function says may differ from call to call: no part of it is ever completed.
            for piece in list(kept_pieces) if segment.asks_outside else kept_pieces:
                yield piece
                rows += piece.num_rows
            return
        except FileNotFoundError:
            pass
        except (OSError, pa.ArrowException) as error:
            _log.warning("the stored membership %s is computed again: %s", path, error)
        members = _compute(segment, directory, snapshot, leavers, self)
        self._write(path, members)
        yield members.slice(rows)  # it is the same again, so what was read of it was right

    def path(
        self,
        segment: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        state: str | None = None,
    ) -> str:
        """Return where the membership is kept; ``state`` is as for ``membership_key``."""
        key = membership_key(segment, directory, snapshot, state)
        return posixpath.join(self._folder, segment.segment, f"{key}.parquet")

    def has(self, path: str) -> bool:
        """Tell whether something is kept there; another process may just have done so."""
        self._fs.invalidate_cache(posixpath.dirname(path))
        return bool(self._fs.exists(path))

    def keep(
        self,
        segments: Sequence[SegmentDefinition],
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None = None,
    ) -> int:
        """Judge in one pass and keep what is not kept yet; return of how many segments.

        Left out are those, but the first, whose needs the snapshot does not meet, and all that
        nobody can judge slice by slice: whoever asks for one of them is told or given it. The
        error of any but the first stops nobody. ``leavers`` are of the first.
        """
        state = storage_state(snapshot)
        paths = {each.segment: self.path(each, directory, snapshot, state) for each in segments}
        missing = [each for each in segments if not self.has(paths[each.segment])]
        tables = SnapshotTables(directory, snapshot)
        some = [each for each in missing if each is segments[0] or _is_answered(each, tables)]
        some = [each for each in some if can_be_sliced(each, tables)]
        if not some:
            return 0
        of_first = leavers if some[0] is segments[0] else None
        try:
            members = sliced_members(some, directory, snapshot, of_first)
        except Exception as error:
            if len(some) == 1:
                raise
            _log.warning("the segments are judged one by one, for together: %s", error)
            return self._keep_each(some, segments[0], directory, snapshot, leavers)
        if members is None or storage_state(snapshot) != state:
            return 0
        for place, segment in enumerate(some):
            self._write(paths[segment.segment], members.of(place).cast(_SCHEMA))
        return len(some)

    def _keep_each(
        self,
        segments: Sequence[SegmentDefinition],
        first: SegmentDefinition,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        leavers: Leavers | None,
    ) -> int:
        """Judge one by one, for one of them breaks; only the error of ``first`` is raised."""
        count = 0
        for segment in segments:
            try:
                of_first = leavers if segment is first else None
                count += self.keep([segment], directory, snapshot, of_first)
            except Exception as error:
                if segment is first:
                    raise
                _log.warning("the segment %s is left to who asks: %s", segment.segment, error)
        return count

    def forget(self, contact_id: str) -> int:
        """Delete the stored memberships that have a contact, or cannot be read; returns how many.

        Other runs compute them again where they need them.
        """
        count = 0
        for path in self._fs.glob(posixpath.join(self._folder, "**", "*.parquet")):
            if self._holds(path, contact_id):
                with suppress(FileNotFoundError):  # another was faster
                    self._fs.rm(path)
                count += 1
        return count

    def _holds(self, path: str, contact_id: str) -> bool:
        try:
            with self._fs.open(path, "rb") as stream:
                is_contact = pc.field("contact_id") == contact_id
                rows = pq.read_table(stream, columns=["contact_id"], filters=is_contact)
        except (OSError, pa.ArrowException):
            return True
        return rows.num_rows > 0

    def _read(self, path: str) -> Iterator[pa.Table]:
        """Yield what is stored under ``path``; raise if it is not there, not whole or not ours."""
        with (
            self._fs.open(path, "rb") as stream,
            pq.ParquetFile(stream, page_checksum_verification=True) as file,
        ):
            has_key = (file.schema_arrow.metadata or {}).get(_KEY) == _key_of(path)
            if not has_key or not file.schema_arrow.equals(_SCHEMA):
                raise pa.ArrowInvalid("it is not the one that belongs there")
            for group in range(file.num_row_groups):
                yield file.read_row_group(group).replace_schema_metadata(None)

    def _write(self, path: str, table: pa.Table) -> None:
        with whole_file(self._fs, path) as file:
            pq.write_table(
                table.replace_schema_metadata({_KEY: _key_of(path)}),
                file,
                row_group_size=_PIECE,
                compression="zstd",
                use_dictionary=False,  # ids are all different
                write_page_checksum=True,
            )


def _compute(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    snapshot: Snapshot,
    leavers: Leavers | None = None,
    store: MembershipStore | None = None,
) -> pa.Table:
    members = sliced_members([segment], directory, snapshot, leavers)
    if members is None:
        return plain_members(segment, directory, snapshot, store)
    return members.of(0).cast(_SCHEMA)


def plain_members(
    segment: SegmentDefinition,
    directory: DirectoryDefinition,
    snapshot: Snapshot,
    store: MembershipStore | None = None,
) -> pa.Table:
    """Return the members, sorted by id, with the snapshot in memory as a whole: the reference.

    ``known`` keeps what Python functions say of segments that this one refers to.
    """
    population = load_population(segment, SnapshotTables(directory, snapshot), memberships=store)
    members = pa.array(judge(segment, population))
    states = pa.chunked_array([pa.array(opt_states(population, segment.segment))])
    columns = [ids_of(population.contacts), states]
    table: pa.Table = pc.filter(pa.table(columns, schema=_SCHEMA), members)
    return table


def _is_answered(segment: SegmentDefinition, tables: SnapshotTables) -> bool:
    """Tell whether the snapshot has what a segment reads, in kinds that can answer."""
    has_answers = not segment.asks_outside and not missing_for(segment, tables)
    return has_answers and not any(segment_misfits(segment, kinds_of(tables)))


def _key_of(path: str) -> bytes:
    return posixpath.basename(path).removesuffix(".parquet").encode()


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas()
    return frame.astype({"contact_id": "str", "opted_in": "bool"})


def _missing(tables: SnapshotTables, table: str, names: Any) -> list[str]:
    if names is None:
        return []
    if not tables.has(table):
        return [table]
    return [f"{table}.{name}" for name in names if name not in tables.columns(table)]
