"""Memberships that no condition decides: by a Python function, or imported per snapshot."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from upath import UPath

from segue.directory.checks import list_names
from segue.directory.checks import opt_states as read_opt_states
from segue.directory.layout import find_file, storage_errors, without_password
from segue.directory.look_alikes import opt_state_columns
from segue.directory.parts import Part
from segue.directory.plain_columns import TEXT, ArrowColumn, pc
from segue.directory.readers import open_parts
from segue.directory.snapshots import Snapshot
from segue.directory.tables import SnapshotTables
from segue.documents import did_you_mean
from segue.errors import DataError
from segue.extras import storage_path
from segue.segments.columns.column_source import column_of
from segue.segments.columns.readings import mask_of
from segue.segments.definition import SegmentDefinition
from segue.segments.python_function import PythonFunction
from segue.segments.strangers import other_spellings
from segue.segments.transactions import ids_of

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Members:
    """Contact ids of one segment in one snapshot; ``opted_out`` are some of ``ids``."""

    ids: ArrowColumn
    opted_out: ArrowColumn


class DirectoryAt:
    """What a segment's Python function is given: a directory as one snapshot knows it."""

    def __init__(self, tables: SnapshotTables) -> None:
        self._tables = tables
        self.key = tables.snapshot.key
        self.as_of = tables.snapshot.as_of  # aware, UTC: the first instant that is not known
        self.zone = tables.directory.zone

    def has(self, table: str) -> bool:
        """Tell whether the snapshot has this table."""
        return self._tables.has(table)

    def columns(self, table: str) -> list[str]:
        """Return a table's columns by their standard names."""
        return self._tables.columns(table)

    def contacts(self, columns: Collection[str] | None = None) -> pd.DataFrame:
        """Return one row per contact, sorted by contact_id; all columns, or contact_id and some."""
        return self._tables.contacts(columns)

    def transactions(self, columns: Collection[str] | None = None) -> pd.DataFrame:
        """Return the transactions before as-of, with contact_id and date, in the files' order."""
        names = None if columns is None else list(dict.fromkeys(["date", *columns]))
        rows = self._tables.rows("transactions", names)
        dates = column_of(rows["date"], self.zone).instants
        return rows[dates.below(self.as_of)].reset_index(drop=True)

    def mailing_lists(self) -> pd.DataFrame:
        """Return the rows of mailing_lists."""
        return self._tables.rows("mailing_lists")

    def subscriptions(self) -> pd.DataFrame:
        """Return the rows of subscriptions."""
        return self._tables.rows("subscriptions")


def outside_members(segment: SegmentDefinition, tables: SnapshotTables) -> Members:
    """Return who a Python function or an imported table says is in ``segment``.

    Raises DataError where the function fails or returns what is no membership, and where the
    table is missing, broken or names contacts that the snapshot does not have.
    """
    if segment.python is not None:
        return Members(_python_members(segment.function, tables), _no_ids())
    return _imported_members(segment, tables)


def opted_out_by_import(segment: SegmentDefinition, tables: SnapshotTables) -> ArrowColumn:
    """Return the contacts that the segment's imported table opts out; nobody for other segments."""
    return _no_ids() if segment.imported is None else _imported_members(segment, tables).opted_out


def outside_version(segment: SegmentDefinition, snapshot: Snapshot) -> list[Any]:
    """Return what changes when the imported tables do that ``segment`` follows from."""
    places = _imports(segment, snapshot)
    return [[place.name, *_version(place)] for place in map(storage_path, places)]


def outside_missing(segment: SegmentDefinition, snapshot: Snapshot) -> list[str]:
    """Return the imported tables that ``segment`` needs and that are not there."""
    missing = (each for each in _imports(segment, snapshot) if not _version(storage_path(each)))
    return [f"the imported membership {without_password(place)}" for place in missing]


def _imports(segment: SegmentDefinition, snapshot: Snapshot) -> list[str]:
    parts = [part for part in (segment, *segment.refers_to) if part.imported is not None]
    return [part.import_location(snapshot.key) for part in parts]


# Python


def _python_members(function: PythonFunction, tables: SnapshotTables) -> ArrowColumn:
    contacts = ids_of(tables.contacts(()))
    where = f"{function.source} for snapshot {tables.snapshot.key}"
    try:
        result = function.load()(DirectoryAt(tables))
    except (Exception, SystemExit) as error:  # one that ends the process ends nobody's listing
        reason = f"{type(error).__name__}: {error} ({_place(error, function)})"
        raise DataError(f"{where} failed: {reason}") from error
    mask = _as_mask(result, where)
    if mask is None:
        return _require_known(_as_ids(result, where), contacts, where)
    if len(mask) != len(contacts):
        raise DataError(
            f"{where} returned a mask of {len(mask)} rows; expected {len(contacts)}, one per row "
            "of contacts()"
        )
    return contacts.filter(pa.array(mask))


def _place(error: BaseException, function: PythonFunction) -> str:
    """Return the line of the function's own file that led to an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(function.file)]
    frame = (own or frames)[-1]
    return f"{frame.filename}, line {frame.lineno}"


def _as_mask(result: Any, where: str) -> Any:
    """Return a mask over the contacts, None for ids.

    One of pandas belongs to the rows that its index names, whatever their order.
    """
    if isinstance(result, pa.Array | pa.ChunkedArray):
        return mask_of(result) if pa.types.is_boolean(result.type) else None
    if isinstance(result, pd.Series | np.ndarray) and pd.api.types.is_bool_dtype(result.dtype):
        mask = pd.Series(result).fillna(value=False)
        rows = pd.RangeIndex(len(mask))
        if not mask.index.equals(rows) and pd.api.types.is_integer_dtype(mask.index.dtype):
            mask = mask.sort_index()
        if not mask.index.equals(rows):
            raise DataError(
                f"{where} returned a mask with an index of its own; expected that of contacts(), "
                "which counts its rows from 0"
            )
        return mask.to_numpy(dtype=bool)
    return None


def _as_ids(result: Any, where: str) -> ArrowColumn:
    if isinstance(result, pa.Array | pa.ChunkedArray):
        result = result.to_pylist()
    if isinstance(result, str | bytes | dict | pd.DataFrame) or not isinstance(result, Iterable):
        raise DataError(
            f"{where} returned {type(result).__name__}; expected contact ids, or a mask with a "
            "boolean per row of contacts()"
        )
    ids = list(result)
    wrong = [each for each in ids if not isinstance(each, str)]
    if wrong:
        raise DataError(f"{where} returned {wrong[0]!r} among the ids; contact ids are text")
    return pa.chunked_array([pa.array(ids, TEXT)])


# Imported


def _imported_members(segment: SegmentDefinition, tables: SnapshotTables) -> Members:
    location = segment.import_location(tables.snapshot.key)
    where = f"the imported membership of {segment.segment}, {without_password(location)},"
    assert segment.imported is not None
    rows = _read_import(segment, storage_path(location), where)
    ids = rows.column("contact_id")
    if ids.null_count or pc.any(pc.equal(ids, "")).as_py():
        raise DataError(f"{where} has rows without a contact id")
    counts = ids.value_counts()
    twins = [row["values"].as_py() for row in counts if row["counts"].as_py() > 1]
    if twins:
        raise DataError(f"{where} has contacts more than once: {_some(twins)}")
    contacts = ids_of(tables.contacts(()))
    if segment.imported.unknown_contacts == "refuse":
        _require_known(ids, contacts, where)
    is_known = pc.is_in(ids, value_set=contacts)
    spelt = other_spellings(tables, ids.filter(pc.invert(is_known)))
    if spelt:
        pairs = ", ".join(f"{theirs!r} for {own!r}" for theirs, own in [*spelt.items()][:_SHOWN])
        raise DataError(
            f"{where} has {len(spelt)} contact ids in another spelling than the snapshot: {pairs}"
        )
    there = rows.filter(is_known)
    opted_out = there.filter(pc.invert(there.column("opted_in"))).column("contact_id")
    return Members(there.column("contact_id"), opted_out)


def _read_import(segment: SegmentDefinition, location: UPath, where: str) -> pa.Table:
    """Return contact_id (text) and opted_in (boolean) of an imported table."""
    assert segment.imported is not None
    file = find_file(location, where)
    if file is None:
        raise DataError(f"{where} is not there")
    (part,) = open_parts([file], location.parent.fs)
    mapping: dict[str, str] = {str(k): v for k, v in segment.imported.columns.items()}
    sources = _import_sources(part, mapping, where)
    with storage_errors(where):
        table = part.read(list(sources.values()), sources["contact_id"])
    table = table.rename_columns(list(sources))
    columns: list[Any] = [table.column("contact_id"), _states(table, where)]
    return pa.table(columns, names=["contact_id", "opted_in"])


def _import_sources(part: Part, mapping: Mapping[str, str], where: str) -> dict[str, str]:
    """Return what the file calls each column that is read.

    Raises DataError where it lacks one, or has an opt state of another name.
    """
    theirs = {"contact_id": "contact_id", "opted_in": "opted_in", **mapping}
    for name in ("contact_id", *mapping):
        if theirs[name] not in part.columns:
            hint = did_you_mean(theirs[name], part.columns)
            raise DataError(f"{where} has no column {theirs[name]!r}{hint}")
    others = [own for own in part.columns if own not in theirs.values()]
    unread = opt_state_columns(others, others_read=theirs["opted_in"] in part.columns)
    if unread:
        raise DataError(
            f"{where} has {list_names(unread)}, which looks like an opt state and is not read; "
            "expected one in the column opted_in, or in the one that imported.columns names"
        )
    return {name: own for name, own in theirs.items() if own in part.columns}


def _states(table: pa.Table, where: str) -> Any:
    if "opted_in" not in table.column_names:
        return pa.chunked_array([pa.repeat(pa.scalar(value=True), table.num_rows)])
    states, wrong = read_opt_states(table.column("opted_in"))
    if pc.any(wrong).as_py():
        ids = table.column("contact_id").filter(wrong).to_pylist()
        raise DataError(f"{where} has an opt state that is no boolean for {_some(ids)}")
    if states.null_count:
        ids = table.column("contact_id").filter(pc.is_null(states)).to_pylist()
        raise DataError(f"{where} has no opt state for {_some(ids)}; each must say true or false")
    return states


def _require_known(ids: ArrowColumn, contacts: ArrowColumn, where: str) -> ArrowColumn:
    """Return ``ids``; raise DataError for those that are not among the snapshot's contacts."""
    unknown = ids.filter(pa.array(~mask_of(pc.is_in(ids, value_set=contacts)))).to_pylist()
    if unknown:
        raise DataError(
            f"{where} names {len(unknown)} contacts that the snapshot does not have: "
            f"{_some(unknown)}"
        )
    return ids


def _some(ids: list[Any]) -> str:
    shown_ids = ", ".join(repr(each) for each in ids[:_SHOWN])
    return shown_ids if len(ids) <= _SHOWN else f"{shown_ids} and {len(ids) - _SHOWN} more"


def _version(location: UPath) -> list[Any]:
    """Return size and version of a file; empty if it is not there."""
    where = f"the folder {without_password(location.parent)}"
    file = find_file(location, where)
    return [file.size, file.version, file.change_time] if file else []


def _no_ids() -> ArrowColumn:
    return pa.chunked_array([pa.array([], TEXT)])
