"""Read a snapshot's tables, under Segue's column names, and check what every run relies on.

Frames are Arrow-backed pandas: every column is a ``pd.ArrowDtype``, and every missing value is one
that ``isna()`` finds. A Parquet file's types become

    text, also dictionary-encoded; UUID; only nulls         large_string
    integers, decimals, booleans, dates, times, durations   the same type
    floating point                                          the same type, NaN as missing
    lists, structs, maps, bytes                             the same type

A CSV file's columns are all ``large_string``; only the empty field, quoted or not, is missing.
``contact_id`` is always ``large_string`` without a missing value. The opt states, ``unsubscribed``
of contacts and ``opted_in`` of mailing_lists and subscriptions, are always ``bool`` without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, cast

import pandas as pd
import pyarrow as pa

from segue.directory import checks
from segue.directory.checks import ID, OPT_STATES, LocatedRows
from segue.directory.column_kinds import ColumnKind, kind_of_all
from segue.directory.definition import UNSUBSCRIBED, DirectoryDefinition, TableName
from segue.directory.layout import (
    TABLES,
    Listing,
    StoredFile,
    lake_of,
    list_folder,
    table_files,
    unread_tables,
)
from segue.directory.look_alikes import opt_state_columns
from segue.directory.parallel import in_parallel
from segue.directory.parts import Part, Slice
from segue.directory.plain_columns import TEXT, Column, Ids, is_text, pc, plain
from segue.directory.readers import open_parts
from segue.directory.snapshots import Snapshot
from segue.documents import did_you_mean
from segue.errors import DataError

_WORDS = (ColumnKind.TEXT, ColumnKind.BYTES, ColumnKind.NULL)
NAMES: Mapping[str, tuple[str, tuple[ColumnKind, ...]]] = {  # table: column, what it may hold
    "mailing_lists": ("mailing_list", (*_WORDS, ColumnKind.NUMBER)),
    "subscriptions": ("scope", _WORDS),
}
NEEDED = {
    "contacts": (ID,),
    "transactions": (ID, "date"),
    "mailing_lists": (ID, "mailing_list"),
    "subscriptions": (ID, "scope", "opted_in"),
}


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_UNREAD_TABLE = (
    "seems to be a table and is not read; a table is a file NAME.parquet, NAME.csv or NAME.csv.gz, "
    f"or a folder NAME of such files, and NAME is one of {', '.join(TABLES)}. What is none begins "
    "with _"
)
NOTHING_SAYS = (
    "nothing says who opted out: everybody counts as opted in; the directory's `consent` names the "
    "column of contacts that says it"
)
NONE_BY_CONSENT = "`consent: none`: no opt-outs are recorded, everybody counts as opted in"
_LAKE = (
    "the folder holds a {kind} table, whose files are of several versions; expected plain files: "
    "export the version that the snapshot stands for"
)


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing wrong with a snapshot; ``message`` says where, and what is expected."""

    table: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class TableReport:
    """Facts about one table that are worth knowing and are not errors."""

    table: str
    rows: int
    unknown_contacts: int  # rows whose contact is not in contacts
    without_date: int  # rows of transactions whose date is missing or empty


@dataclass(frozen=True, slots=True)
class OptOuts:
    """Who opted out, and where it is read."""

    contacts: int  # that are opted out of the directory
    places: Mapping[str, int]  # rows that opt out, by column, or by scope of subscriptions
    are_none: bool = False  # the directory says that it records none

    def __str__(self) -> str:
        if not self.places:
            return NONE_BY_CONSENT if self.are_none else NOTHING_SAYS
        read = ", ".join(f"{place} {rows}" for place, rows in self.places.items())
        return f"{self.contacts} opted out of the directory; opt-outs: {read}"


@dataclass(frozen=True)
class TableSlice:
    """Some rows of a table that can be read alone, under standard names."""

    tables: SnapshotTables
    table: str
    part: Slice

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return the columns in the order asked; ids and opt states among them are sound.

        Text of which there are few different values may be a dictionary.
        """
        return self.tables.read_slice(self, columns)

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        """Return the least and the greatest value of a column, where the file notes them."""
        return self.part.bounds(self.tables.own_name(self.table, column))

    def is_complete(self, column: str) -> bool:
        """Tell whether the file notes that no value of a column is missing."""
        return self.part.is_complete(self.tables.own_name(self.table, column))


class SnapshotTables:
    """The tables of one snapshot; its files are listed once, when first asked for."""

    def __init__(
        self,
        directory: DirectoryDefinition,
        snapshot: Snapshot,
        *,
        called: str | None = None,
        files: Sequence[StoredFile] | None = None,
    ) -> None:
        """``called`` is what messages call a snapshot that was made up, instead of its files.

        ``files`` are those of the snapshot, for who has listed them already.
        """
        self.directory = directory
        self.snapshot = snapshot
        self._called = called
        self._listed_before = files
        self._opened: dict[str, list[Part]] = {}
        self._types: dict[str, dict[str, pa.DataType]] = {}  # by the files' own names
        self._names: dict[str, dict[str, str]] = {}  # the files' own, by the standard ones
        self._kinds: dict[str, dict[str, ColumnKind]] = {}

    def has(self, table: str) -> bool:
        """Tell whether the snapshot has this table."""
        return table in self._files

    def columns(self, table: str) -> list[str]:
        """Return the table's columns by their standard names, in file order; [] if it is absent.

        A column that the directory's mapping names and the files lack is left out. Raises
        DataError where the files cannot be read or do not go together.
        """
        return list(self._sources(table)) if self.has(table) else []

    def count(self, table: str) -> int:
        """Return the table's number of rows, cheaply where the files note it; 0 if it is absent."""
        if not self.has(table):
            return 0
        parts = self._parts(table)
        with self._located():
            return sum(part.count() for part in parts)

    def kinds(self, table: str) -> dict[str, ColumnKind]:
        """Return what each column holds, by standard name; {} if the table is absent.

        One of ``ColumnKind`` (they are strings: ``text``, ``number`` …), for all files together.
        It follows from the types that the files note; no row is read, so this is as cheap as
        ``columns``. In CSV every column is ``text``. A column that is ``null`` in some files has
        the kind of the others; one that is ``null`` has no value in any file.
        """
        if not self.has(table):
            return {}
        if table not in self._kinds:
            sources = self._sources(table)
            kinds = [part.kinds for part in self._parts(table)]
            self._kinds[table] = {
                name: kind_of_all(each[own] for each in kinds) for name, own in sources.items()
            }
        return self._kinds[table]

    def contacts(
        self, columns: Collection[str] | None = None, *, only: Collection[str] | None = None
    ) -> pd.DataFrame:
        """Return one row per contact, sorted by contact_id in code point order.

        ``contact_id`` comes first, then the asked columns (all when None) in the order asked. Ids
        are unique and never missing. ``only`` keeps these contacts; ids that the snapshot does
        not have are left out. Raises DataError where the table breaks a rule.
        """
        table = _sorted_by_id(self._read("contacts", columns, only))
        if checks.has_repeats(table.column(ID)):
            self._raise("contacts", checks.describe_duplicate_ids)
        return _to_pandas(table)

    def rows(
        self,
        table: str,
        columns: Collection[str] | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> pd.DataFrame:
        """Return one row per row of ``table``, in the order of its files and of their rows.

        ``contact_id`` comes first and is never missing; ``only`` keeps these contacts' rows.
        Raises DataError where the table breaks a rule or is absent: ask ``has`` first.
        """
        return _to_pandas(self._read(table, columns, only))

    def subscriptions(self, *, only: Collection[str] | None = None) -> pd.DataFrame:
        """Return the rows of subscriptions, as ``rows`` does.

        Raises DataError where one opts out of what nobody knows, too: it would have no effect.
        """
        rows = self._read("subscriptions", ["scope", "opted_in"], only)
        if pc.any(checks.unknown_scopes(rows, self.directory)).as_py():
            self.refuse_unread()
        return _to_pandas(rows)

    def slices(self, table: str) -> list[TableSlice]:
        """Return the pieces that ``table`` can be read in, in the order of its rows.

        Reading them all checks what ``rows`` checks; that contacts are unique is for the caller.
        """
        parts = self._parts(table)
        with self._located():
            pieces = [piece for part in parts for piece in part.slices()]
        return [TableSlice(self, table, piece) for piece in pieces]

    def has_one_type(self, table: str, columns: Sequence[str]) -> bool:
        """Tell whether all files of ``table`` give each of ``columns`` in the same type.

        A file that has no value in a column gives it in any type.
        """
        names = dict.fromkeys(self._sources_of(table, columns)[name] for name in columns)
        schemas = [part.schema for part in self._parts(table)]
        types_of_names = ({schema.field(name).type for schema in schemas} for name in names)
        return all(len(types - {pa.null()}) <= 1 for types in types_of_names)

    def is_utf8(self, table: str) -> bool:
        """Tell whether reading the files of ``table`` proves that their text is UTF-8."""
        return all(part.is_utf8 for part in self._parts(table))

    def read_slice(self, piece: TableSlice, columns: Sequence[str]) -> pa.Table:
        """Read a slice; for ``TableSlice.read``."""
        sources = self._sources_of(piece.table, columns)
        own = list(dict.fromkeys(sources[name] for name in columns))
        with self._located():
            read = self._typed(piece.table, piece.part.read(own, sources[ID]), piece.part.name)
        rows = read.select([sources[name] for name in columns]).rename_columns(list(columns))
        return self._checked(piece.table, rows)

    def opt_sources(self) -> dict[str, str]:
        """Return where the snapshot says who opted out, and what to call each place.

        ``contacts.unsubscribed`` is the standard column, or the one that ``consent`` names;
        ``subscriptions`` is the table.
        """
        table = {"subscriptions": "subscriptions"} if self.has("subscriptions") else {}
        return self._opt_column("contacts") | table

    def opt_places(self) -> dict[str, str]:
        """Return ``opt_sources``, and ``mailing_lists.opted_in``: who opted out of one list."""
        return self.opt_sources() | self._opt_column("mailing_lists")

    def _opt_column(self, table: str) -> dict[str, str]:
        state, _ = OPT_STATES[table]
        sources = self._sources(table) if self.has(table) else {}
        return {f"{table}.{state}": f"{table}.{sources[state]}"} if state in sources else {}

    def unread(self) -> list[CheckFinding]:
        """Return what looks like an opt state or a table and is not read, in words.

        Of files and columns the names are compared; of subscriptions the scopes are read. A
        message that goes by these is a message to somebody who said no.
        """
        findings = [CheckFinding("contacts", message) for message in self._unread_names()]
        if self.has("subscriptions") and not any(
            each.table == "subscriptions" for each in findings
        ):
            findings += [CheckFinding("subscriptions", text) for text in self._unread_scopes()]
        return findings

    def broken_opt_states(self, names: Collection[str] = tuple(OPT_STATES)) -> list[CheckFinding]:
        """Return which opt states are none, or missing where each must say.

        Of the tables ``names`` the column of opt states is read, and nothing else.
        """
        states = [(table, OPT_STATES[table][0]) for table in names if self.has(table)]
        return [
            CheckFinding(table, message)
            for table, column in states
            if column in self._sources(table)
            and (message := self._why_not_read(table, column)) is not None
        ]

    def refuse_unread(self, *, rows: bool = True) -> None:
        """Raise DataError where something is ``unread``; ``rows`` reads those of subscriptions."""
        findings = self.unread() if rows else self._unread_names()
        if findings:
            raise DataError("; ".join(map(str, findings)))

    def places(self, table: str, ids: Collection[str]) -> str:
        """Say in which rows of a table contacts stand, where their ids are not to be shown."""
        return checks.describe_places(self._locate(table), pa.array(list(ids), TEXT))

    def clashes(self) -> list[str]:
        """Return which files do not go together as one table, by their names; none is opened."""
        messages = []
        for files in self._files.values():
            try:
                with self._located():
                    open_parts(files, self.snapshot.location.fs)
            except DataError as error:
                messages.append(str(error))
        return messages

    def lacking(self) -> list[CheckFinding]:
        """Return the columns that each table must have and lacks, by their standard names.

        Left out are those that the directory maps to another name. No row is read. A table whose
        columns cannot be told lacks them all, and why is said once.
        """
        findings = [each for table in TABLES if self.has(table) for each in self._lacking(table)]
        return list(dict.fromkeys(findings))

    def own_name(self, table: str, column: str) -> str:
        """Return what the files of a table call a column."""
        return self._sources_of(table, [column])[column]

    def check(self) -> list[CheckFinding]:
        """Return everything that is wrong in the snapshot; reads every file whole."""
        if not self.has("contacts"):
            return [CheckFinding("contacts", str(self._absent("contacts")))]
        findings = [
            CheckFinding(table, message)
            for table in TABLES
            if self.has(table)
            for message in dict.fromkeys(self._problems(table))
        ]
        return list(dict.fromkeys([*findings, *self._unread_or_broken(findings)]))

    def report(self) -> list[TableReport]:
        """Return the facts about each table that is there; raise DataError where one is broken."""
        contacts = self._read("contacts", [], None).column(ID).combine_chunks()
        return [self._facts(table, contacts) for table in TABLES if self.has(table)]

    def opt_outs(self) -> OptOuts:
        """Count who opted out, and where it is read; raise DataError where a table is broken."""
        contacts = self._read("contacts", [ID, *self._own_opt_state()], None)
        opted_out, places = pa.chunked_array([], TEXT), {}
        if UNSUBSCRIBED in contacts.column_names:
            opted_out = contacts.filter(contacts.column(UNSUBSCRIBED)).column(ID)
            places[self.opt_sources()[f"contacts.{UNSUBSCRIBED}"]] = len(opted_out)
        if self.has("subscriptions"):
            rows = self._read("subscriptions", ["scope", "opted_in"], None)
            rows = rows.filter(pc.invert(rows.column("opted_in")))
            counts: Any = pc.value_counts(rows.column("scope"))
            scopes = zip(counts.field("values"), counts.field("counts"), strict=True)
            by_scope = {f"subscriptions {s.as_py()}": n.as_py() for s, n in scopes}
            places |= dict(sorted(by_scope.items())) or {"subscriptions": 0}
            of_all = rows.filter(pc.equal(rows.column("scope"), checks.DIRECTORY_SCOPE))
            opted_out = pa.chunked_array([*opted_out.chunks, *of_all.column(ID).chunks], TEXT)
        is_contact = pc.is_in(contacts.column(ID), value_set=pc.unique(opted_out))
        count = pc.sum(is_contact).as_py() or 0
        return OptOuts(count, places, self.directory.consent == "none")

    def _own_opt_state(self) -> list[str]:
        return [UNSUBSCRIBED] if UNSUBSCRIBED in self._sources("contacts") else []

    # What is not read

    def _lacking(self, table: str) -> list[CheckFinding]:
        try:
            columns = self.columns(table)
        except DataError as error:
            return [CheckFinding(table, str(error))]
        return [
            CheckFinding(table, str(self._error(table, self._describe_unknown(table, name))))
            for name in NEEDED[table]
            if name not in columns and name not in self._mapping(table)
        ]

    def _why_not_read(self, table: str, column: str) -> str | None:
        def read(piece: TableSlice) -> None:
            piece.read([column])

        try:
            in_parallel(read, self.slices(table))
        except DataError as error:
            return str(error)
        return None

    def _unread_or_broken(self, broken: Sequence[CheckFinding]) -> list[CheckFinding]:
        """Return what is unread; what cannot be told for ``broken`` tables is told with them."""
        try:
            return self.unread()
        except DataError:
            if broken:
                return []
            raise

    def _unread_names(self) -> list[str]:
        consent = self.directory.consent
        messages = [str(self._error(name, _UNREAD_TABLE)) for name in self._unread_files]
        if consent == "none" and self.opt_sources():
            where = ", ".join(self.opt_sources().values())
            messages.append(f"{self._where}: has {where}, and the directory says `consent: none`")
        for table in OPT_STATES:
            absent = self._absent_opt_state(table) if self.has(table) else None
            messages += [] if absent is None else [str(self._error(table, absent))]
            columns = self._unread_columns(table) if self.has(table) else []
            if columns:
                names = checks.list_names(columns)
                messages.append(str(self._error(table, f"{names} {_unread_column(table)}")))
        return messages

    def _absent_opt_state(self, table: str) -> str | None:
        """Say that the opt state which the directory names is not there; None where it is.

        Without it everybody would count as opted in.
        """
        state, _ = OPT_STATES[table]
        column = self.directory.opt_state.column if table == "contacts" else None
        if state in self._sources(table) or not (column or state in self._mapping(table)):
            return None
        if column is None:
            return self._describe_unknown(table, state)
        text = f"there is no column {column!r}, as the directory's `consent` calls it"
        return text + did_you_mean(column, self._sources(table))

    def _unread_columns(self, table: str) -> list[str]:
        """Return the columns that look like an opt state and are none, as the files call them.

        Their name says it, or the one that the directory gives them.
        """
        sources = self._sources(table)
        states = {sources.get(OPT_STATES[table][0])}
        fields = self.directory.opt_state.not_opt_states
        ours = {own: {own} for own in self._parts(table)[0].columns}
        for standard, own in sources.items():
            ours[own].add(standard)
        read = states != {None}
        return [
            own
            for own, names in ours.items()
            if own not in states
            and not names & set(fields)
            and opt_state_columns(names, others_read=read)
        ]

    def _unread_scopes(self) -> Iterator[str]:
        """Yield what is wrong with the scopes of subscriptions; they are read slice by slice."""
        columns = ["scope", "opted_in"]

        def is_wrong(piece: TableSlice) -> bool:
            marks = checks.unknown_scopes(piece.read(columns), self.directory)
            return bool(pc.any(marks).as_py())

        if any(in_parallel(is_wrong, self.slices("subscriptions"))):
            rows = self._locate("subscriptions", *columns)
            message = checks.describe_unknown_scopes(rows, self.directory)
            yield str(self._error("subscriptions", message or "changed while read"))

    # Files and columns

    @cached_property
    def _listing(self) -> Listing:
        return list_folder(self.snapshot.location, self._where)

    @property
    def _listed(self) -> Sequence[StoredFile]:
        if self._listed_before is not None:
            return self._listed_before
        return self._listing.files

    @cached_property
    def _files(self) -> dict[str, list[StoredFile]]:
        return table_files(self._listed)

    @cached_property
    def _unread_files(self) -> list[str]:
        return unread_tables(self._listing, self.directory.complete_marker)

    def _parts(self, table: str) -> list[Part]:
        """Return the files of a table: of one format, with the same columns."""
        if table not in self._opened:
            if not self.has(table):
                raise self._absent(table)
            kind = lake_of(table, self._listed)
            if kind is not None:
                raise DataError(f"{self._where}, {table}: {_LAKE.format(kind=kind)}")
            with self._located():
                parts = open_parts(self._files[table], self.snapshot.location.fs)
                in_parallel(_require_commas, parts)  # each reads a file's footer or head
                self._types[table] = _common_types(parts, self._mapping(table).get(ID, ID))
            self._opened[table] = parts
        return self._opened[table]

    def _sources(self, table: str) -> dict[str, str]:
        """Return the files' own name of every column, by its standard name."""
        if table not in self._names:
            self._names[table] = self._read_sources(table)
        return self._names[table]

    def _read_sources(self, table: str) -> dict[str, str]:
        own, mapping = dict.fromkeys(self._parts(table)[0].columns), self._mapping(table)
        standards_of: dict[str, list[str]] = {}
        for standard, theirs in mapping.items():
            standards_of.setdefault(theirs, []).append(standard)
        sources: dict[str, str] = {}
        for name in own:
            standards = standards_of.get(name, [])
            if not standards and mapping.get(name) in own:
                raise self._error(
                    table,
                    f"two columns are {name!r}: the one of that name, and {mapping[name]!r} by "
                    "the directory's `columns`; expected one",
                )
            if not standards and name not in mapping:
                standards = [name]
            sources |= dict.fromkeys(standards, name)
        column = self.directory.opt_state.column if table == "contacts" else None
        if column is not None:  # then it alone says who opted out, and where it is not, nothing
            sources.pop(UNSUBSCRIBED, None)
            theirs = mapping.get(column, column)
            sources |= {UNSUBSCRIBED: theirs} if theirs in own else {}
        return sources

    def _sources_of(self, table: str, columns: Collection[str]) -> dict[str, str]:
        """Return the sources of ``contact_id`` and ``columns``, in this order."""
        sources = self._sources(table)
        names = list(dict.fromkeys([ID, *columns]))
        unknown = [self._describe_unknown(table, name) for name in names if name not in sources]
        if unknown:
            raise self._error(table, "; ".join(dict.fromkeys(unknown)))
        wrong = self._no_name(table)
        if wrong is not None and NAMES[table][0] in names:
            raise self._error(table, wrong)
        return {name: sources[name] for name in names}

    def _no_name(self, table: str) -> str | None:
        """Say that a column of names is of a kind that cannot be any; None where it is."""
        if table not in NAMES:
            return None
        column, allowed = NAMES[table]
        kind = self.kinds(table).get(column)
        if kind is None or kind in allowed:
            return None
        words = " or ".join(each for each in allowed if each is not ColumnKind.NULL)
        return f"{self._sources(table)[column]!r} holds values of the kind {kind}; allowed: {words}"

    def _describe_unknown(self, table: str, name: str) -> str:
        own, mapping_of_it = self._parts(table)[0].columns, self._mapping(table).get(name)
        alike = next((theirs for theirs in own if _is_alike(theirs, mapping_of_it or name)), None)
        if alike is not None:
            return (
                f"there is no column {mapping_of_it or name!r}, but {alike!r}: names are compared "
                f"exactly; the directory's `columns` says which one is {name!r}"
            )
        if mapping_of_it is not None:
            what = (
                f"there is no column {mapping_of_it!r}, as the directory's `columns` calls {name!r}"
            )
            hint = did_you_mean(mapping_of_it, own)
        else:
            what = f"there is no column {name!r}"
            hint = did_you_mean(name, self._sources(table))
        return what + (hint or f"; {self._found(table, own)}")

    def _found(self, table: str, own: list[str]) -> str:
        """Say which columns there are; where there are no ids, a first row may be read as names."""
        has_ids = self._mapping(table).get(ID, ID) in own
        if has_ids or self._parts(table)[0].name.endswith(".parquet"):
            return f"found {checks.list_names(own)}"
        return (
            f"the file has {len(own)} others; its first line must hold the columns' names, and the "
            f"directory's `columns` says which one holds {ID!r} where it has another name"
        )

    def _mapping(self, table: str) -> dict[str, str]:
        return self.directory.columns.get(cast(TableName, table), {})

    # Rows

    def _read(
        self, table: str, columns: Collection[str] | None, only: Collection[str] | None
    ) -> pa.Table:
        """Return the asked columns under their standard names, with sound ids and opt states."""
        sources = self._sources_of(table, self.columns(table) if columns is None else columns)
        ids = None if only is None else pa.array(list(dict.fromkeys(only)), TEXT)
        return self._checked(table, self._concat(table, self._read_parts(table, sources, ids)))

    def _checked(self, table: str, rows: pa.Table) -> pa.Table:
        """Return rows whose ids are all there, with opt states as booleans; or raise DataError.

        Ids that no ledger can keep are ids: who acts on a contact leaves those out.
        """
        if ID in rows.column_names and pc.any(checks.missing_ids(rows.column(ID))).as_py():
            self._raise(table, checks.describe_missing_ids)
        return self._with_opt_states(table, rows)

    def _read_parts(
        self, table: str, sources: dict[str, str], only: Ids | None = None
    ) -> list[pa.Table]:
        """Return each file's rows, under standard names."""
        own = list(dict.fromkeys(sources.values()))
        with self._located():
            read = [
                self._typed(table, part.read(own, sources[ID], only), part.name)
                for part in self._parts(table)
            ]
        return [rows.select(list(sources.values())).rename_columns(list(sources)) for rows in read]

    def _concat(self, table: str, read: Sequence[pa.Table]) -> pa.Table:
        """Return the rows of all files, whose types are the same but for dictionaries."""
        return pa.concat_tables(read, promote_options="permissive")

    def _typed(self, table: str, rows: pa.Table, file: str) -> pa.Table:
        """Return columns in the types that they have among the other files' rows.

        Raises DataError where a file has values that no one type of all files holds. Whatever is
        known to be right already stays as it is: dictionaries and ids.
        """
        types = self._types[table]
        columns: dict[str, Any] = dict(zip(rows.column_names, rows.columns, strict=True))
        for name, column in columns.items():
            if not pa.types.is_dictionary(column.type) and column.type != types[name]:
                columns[name] = self._cast(table, file, name, column)
        return pa.table(columns)

    def _cast(self, table: str, file: str, name: str, column: Column) -> Column:
        kind: Any = self._types[table][name]
        if pa.types.is_decimal(column.type) and pa.types.is_floating(kind):
            return column.cast(TEXT).cast(kind)  # Arrow's own way rounds twice
        if pa.types.is_null(column.type):
            return pa.chunked_array([pa.nulls(len(column), kind)])  # there is no cast to some kinds
        try:
            return column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            parts = self._parts(table)
            other = next(
                p for p in parts if p.schema.field(name).type not in (column.type, pa.null())
            )
            raise DataError(
                f"{file}: column {name!r} is {column.type} with values that no {kind} equals; in "
                f"{other.name} it is {other.schema.field(name).type}; expected one type"
            ) from None

    def _with_opt_states(self, table: str, rows: pa.Table) -> pa.Table:
        column, missing_means = OPT_STATES.get(table, ("", False))
        if column not in rows.column_names:
            return rows
        states, wrong = checks.opt_states(plain(rows.column(column)))
        if pc.any(wrong).as_py():
            self._raise(table, lambda located: self._describe_opt_states(table, located), column)
        if missing_means is None and states.null_count:
            self._raise(
                table,
                lambda located: checks.describe_missing_opt_states(located, column),
                column,
            )
        if table == "contacts" and self.directory.opt_state.opted_in is not None:
            states, missing_means = pc.invert(states), True  # nobody said yes
        index = rows.column_names.index(column)
        return rows.set_column(index, column, pc.fill_null(states, missing_means))

    # What is wrong

    def _raise(
        self, table: str, describe: Callable[[LocatedRows], str | None], *columns: str
    ) -> NoReturn:
        """Raise a broken rule, as the whole table shows it: a slice has no row numbers."""
        raise self._error(table, describe(self._locate(table, *columns)) or "changed while read")

    def _locate(self, table: str, *columns: str) -> LocatedRows:
        read = self._read_parts(table, self._sources_of(table, columns))
        names = [part.name for part in self._parts(table)]
        files = [(name, rows.num_rows) for name, rows in zip(names, read, strict=True)]
        return LocatedRows(self._concat(table, read), files)

    def _problems(self, table: str) -> Iterator[str]:
        """Yield what is wrong with a table; what later steps need ends the search."""
        try:
            sources = self._sources(table)
        except DataError as error:
            yield str(error)
            return
        names = [*NEEDED[table], *self._mapping(table)]
        for name in dict.fromkeys(name for name in names if name not in sources):
            yield str(self._error(table, self._describe_unknown(table, name)))
        wrong = self._no_name(table)
        if wrong is not None:
            yield str(self._error(table, wrong))
            return
        unreadable = list(self._unreadable(table))
        yield from unreadable
        if ID in sources and not unreadable:
            yield from self._broken_rules(table, sources)

    def _unreadable(self, table: str) -> Iterator[str]:
        for part in self._parts(table):
            try:
                with self._located():
                    part.read(part.columns)
            except DataError as error:
                yield str(error)

    def _broken_rules(self, table: str, sources: dict[str, str]) -> Iterator[str]:
        column = OPT_STATES.get(table, ("",))[0]
        columns = [column] if column in sources else []
        mixed = [name for name in sources if not self.has_one_type(table, [name])]
        try:
            rows = self._locate(table, *columns, *mixed)
        except DataError as error:
            yield str(error)
            return
        messages = [checks.describe_missing_ids(rows), checks.describe_unfit_ids(rows)]
        if table == "contacts":
            messages.append(checks.describe_duplicate_ids(rows))
            messages.append(None if rows.columns.num_rows else "the table has no rows")
        messages += [self._describe_opt_states(table, rows) for _ in columns]
        if OPT_STATES.get(table, ("", False))[1] is None:
            messages += [checks.describe_missing_opt_states(rows, column) for column in columns]
        yield from (str(self._error(table, message)) for message in messages if message)

    def _describe_opt_states(self, table: str, located: LocatedRows) -> str | None:
        """Say which opt states are none, by the name that the files have for their column."""
        column = OPT_STATES[table][0]
        return checks.describe_opt_states(located, column, self.own_name(table, column))

    def _facts(self, table: str, contacts: Ids) -> TableReport:
        has_dates = table == "transactions" and "date" in self.columns(table)
        rows = self._read(table, ["date"] if has_dates else [], None)
        count_of_contacts = pc.sum(pc.is_in(rows.column(ID), value_set=contacts)).as_py() or 0
        count_without_date = _count_undated(rows) if table == "transactions" else 0
        return TableReport(
            table, rows.num_rows, rows.num_rows - count_of_contacts, count_without_date
        )

    # Errors

    def _error(self, table: str, message: str) -> DataError:
        files = self._files.get(table, [])
        name = files[0].name if len(files) == 1 and self._called is None else table
        return DataError(f"{self._where}, {name}: {message}")

    def _absent(self, table: str) -> DataError:
        names = ", ".join(self._files) or "no table"
        return self._error(table, f"there is no such table; the snapshot has {names}")

    @property
    def _where(self) -> str:
        return self._called or f"directory {self.directory.directory}, snapshot {self.snapshot.key}"

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Complete an error that begins with the name of a file."""
        try:
            yield
        except DataError as error:
            raise DataError(f"{self._where}, {error}") from error.__cause__


def _require_commas(part: Part) -> None:
    """Raise DataError for a file whose one column is several, between other marks than commas."""
    names = part.columns
    if len(names) != 1 or part.name.endswith(".parquet"):
        return
    for mark, separators in _SEPARATORS.items():
        if mark in names[0]:
            raise DataError(
                f"{part.name}: its first line is separated by {separators}; expected commas"
            )


def _is_alike(theirs: str, wanted: str) -> bool:
    """Tell whether two names differ in case and blanks only."""
    return theirs != wanted and theirs.strip().casefold() == wanted.strip().casefold()


def _unread_column(table: str) -> str:
    column = OPT_STATES[table][0]
    remedy = f"`columns: {{{table}: {{{column}: COLUMN}}}}`"
    if table == "contacts":
        remedy = "`consent: {opted_out: COLUMN}`, `consent: {opted_in: COLUMN}`"
    return (
        f"looks like an opt state and is not read: say in the directory what it is, with {remedy} "
        "or, of a field like any other, `consent: {not_opt_states: [COLUMN]}`"
    )


def _common_types(parts: Sequence[Part], id_column: str) -> dict[str, pa.DataType]:
    """Return the type that each column has in all files together, by the files' own names.

    Raises DataError unless they have the same columns, of types that go together. Types do where
    their values usually do: whole numbers with others, and what is null throughout with any.
    """
    for part in parts:
        _require_same_names(part, parts[0])
    types = {name: _common_type(name, parts) for name in parts[0].columns if name != id_column}
    return {id_column: TEXT, **types}  # ids of any type become text


def _common_type(name: str, parts: Sequence[Part]) -> pa.DataType:
    common: pa.DataType = pa.null()
    for part in parts:
        kind = part.schema.field(name).type
        try:
            common = _both(common, kind)
        except (pa.ArrowException, ValueError):  # the latter of more digits than decimals have
            raise DataError(
                f"{part.name}: column {name!r} is {kind}; in the files before it it is {common}; "
                "expected one type"
            ) from None
    return TEXT if pa.types.is_null(common) else common


def _both(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type that holds the values of both; raise ArrowException if there is none."""
    pairs: list[tuple[Any, Any]] = [(one, other), (other, one)]
    for decimal, whole in pairs:
        if pa.types.is_decimal(decimal) and pa.types.is_integer(whole):
            return _decimal_for(decimal, whole)
    schemas = [pa.schema([("", kind)]) for kind in (one, other)]
    common: pa.DataType = pa.unify_schemas(schemas, promote_options="permissive").types[0]
    return common


def _decimal_for(decimal: Any, whole: Any) -> pa.DataType:
    """Return a decimal with room for every integer; Arrow's own is a digit short."""
    digits = max(decimal.precision - decimal.scale, len(str(2**whole.bit_width)))
    precision = digits + max(decimal.scale, 0)
    wide = pa.decimal256(precision, decimal.scale) if precision > 38 else None
    return wide or pa.decimal128(precision, decimal.scale)


def _require_same_names(part: Part, first: Part) -> None:
    names, own_names = Counter(part.columns), dict.fromkeys(first.columns)
    duplicates = [name for name, count in names.items() if count > 1]
    if duplicates:
        raise DataError(f"{part.name}: two columns are named {checks.list_names(duplicates)}")
    missing = [name for name in own_names if name not in names]
    if missing and len(missing) == len(own_names):
        raise DataError(f"{part.name}: has none of the columns of {first.name}")
    if missing:
        listing = checks.list_names(missing)
        raise DataError(f"{part.name}: has no column {listing}, which {first.name} has")
    extra = [name for name in names if name not in own_names]
    if extra:
        listing = checks.list_names(extra)
        raise DataError(f"{part.name}: has a column {listing}, which {first.name} has not")


def _sorted_by_id(table: pa.Table) -> pa.Table:
    ids = table.column(ID)
    if pc.all(pc.less(ids[:-1], ids[1:])).as_py():
        return table
    order = pc.sort_indices(ids)
    return table.combine_chunks().take(order)


def _count_undated(transactions: pa.Table) -> int:
    if "date" not in transactions.column_names:
        return transactions.num_rows
    date = transactions.column("date")
    missing = checks.missing_ids(date) if is_text(date.type) else pc.is_null(date)
    return int(pc.sum(missing).as_py() or 0)


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
