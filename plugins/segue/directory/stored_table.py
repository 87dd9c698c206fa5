"""One table of a snapshot: its files read under standard names, its rows checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from segue.directory import checks
from segue.directory.checks import ID, OPT_STATES, LocatedRows
from segue.directory.column_kinds import ColumnKind, kind_of_all
from segue.directory.column_names import ColumnNames
from segue.directory.column_types import common_types, in_types
from segue.directory.definition import DirectoryDefinition
from segue.directory.parallel import Lazy, in_parallel
from segue.directory.parts import Part, Slice
from segue.directory.plain_columns import TEXT, ArrowArray, pc, plain
from segue.directory.take_source import TableName
from segue.errors import DataError

_WORDS = (ColumnKind.TEXT, ColumnKind.BYTES, ColumnKind.NULL)
NAMES: Mapping[str, tuple[str, tuple[ColumnKind, ...]]] = {  # table: column, what it may hold
    "mailing_lists": ("mailing_list", (*_WORDS, ColumnKind.NUMBER)),
    "subscriptions": ("scope", _WORDS),
}
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_Description = Callable[[LocatedRows], str | None]


@dataclass(frozen=True)
class TableSlice:
    """Some rows of a table that can be read alone, under standard names."""

    table: StoredTable
    part: Slice

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return the columns in the order asked; ids and opt states among them are sound.

        Text of which there are few different values may be a dictionary.
        """
        table, part = self.table, self.part
        sources = table.sources_of(columns)
        own = list(dict.fromkeys(sources[name] for name in columns))
        with table.located_errors():
            rows = in_types(part.read(own, sources[ID]), table.types, part.name, table.parts)
        own_columns = rows.select([sources[name] for name in columns])
        return table.sound_rows(own_columns.rename_columns(list(columns)))

    def bounds(self, column: str) -> tuple[Any, Any] | None:
        """Return the least and the greatest value of a column, where the file notes them."""
        return self.part.bounds(self.table.own_name(column))

    def is_complete(self, column: str) -> bool:
        """Tell whether the file notes that no value of a column is missing."""
        return self.part.is_complete(self.table.own_name(column))


@dataclass(frozen=True, eq=False)
class StoredTable:
    """A table whose parts are opened once, when first asked for.

    Everything raises DataError where the files cannot be read or do not go together.
    """

    name: str
    directory: DirectoryDefinition
    open_parts: Callable[[], Sequence[Part]]
    where: str  # what messages call the snapshot
    label: str  # what messages call the table

    @property
    def mapping(self) -> Mapping[str, str]:
        """The files' own names that the directory tells, by the standard ones."""
        return self.directory.columns.get(cast(TableName, self.name), {})

    @property
    def opt_state(self) -> str | None:
        """The standard name of the opt state that the table may have."""
        return OPT_STATES[self.name][0] if self.name in OPT_STATES else None

    @property
    def parts(self) -> list[Part]:
        """The readers of its files: of one format, with the same columns."""
        return self._parts_and_types[0]

    @property
    def types(self) -> dict[str, pa.DataType]:
        """The types that all files have together, by their own names."""
        return self._parts_and_types[1]

    @Lazy
    def _parts_and_types(self) -> tuple[list[Part], dict[str, pa.DataType]]:
        with self.located_errors():
            parts = list(self.open_parts())
            in_parallel(_require_commas, parts)  # each reads a file's footer or head
            return parts, common_types(parts, self.mapping.get(ID, ID))

    @Lazy
    def names(self) -> ColumnNames:
        """What its columns are called."""
        first = self.parts[0]
        column = self.directory.opt_state.column if self.name == "contacts" else None
        return ColumnNames(first.columns, self.mapping, column, first.name.endswith(".parquet"))

    @Lazy
    def sources(self) -> dict[str, str]:
        """The files' own name of every column, by its standard name, in file order."""
        names = self.names
        try:
            return names.sources
        except DataError as error:
            raise self.error(str(error)) from None

    @Lazy
    def kinds(self) -> dict[str, ColumnKind]:
        """What each column holds, by standard name; no row is read."""
        kinds = [part.kinds for part in self.parts]
        return {
            name: kind_of_all(of_part[own] for of_part in kinds)
            for name, own in self.sources.items()
        }

    def own_name(self, column: str) -> str:
        """Return what the files call a column."""
        return self.sources_of([column])[column]

    def sources_of(self, columns: Collection[str]) -> dict[str, str]:
        """Return the sources of ``contact_id`` and ``columns``, in this order."""
        sources = self.sources
        names = list(dict.fromkeys([ID, *columns]))
        unknown = [self.names.describe_unknown(name) for name in names if name not in sources]
        if unknown:
            raise self.error("; ".join(dict.fromkeys(unknown)))
        no_names = self.describe_no_names()
        if no_names is not None and NAMES[self.name][0] in names:
            raise self.error(no_names)
        return {name: sources[name] for name in names}

    def describe_no_names(self) -> str | None:
        """Say that a column of names is of a kind that cannot be any; None where it is."""
        if self.name not in NAMES:
            return None
        column, allowed_kinds = NAMES[self.name]
        kind = self.kinds.get(column)
        if kind is None or kind in allowed_kinds:
            return None
        words = " or ".join(word for word in allowed_kinds if word is not ColumnKind.NULL)
        return f"{self.sources[column]!r} holds values of the kind {kind}; allowed: {words}"

    def count(self) -> int:
        """Return the number of rows, cheaply where the files note it."""
        parts = self.parts
        with self.located_errors():
            return sum(part.count() for part in parts)

    def has_one_type(self, columns: Sequence[str]) -> bool:
        """Tell whether all files give each of ``columns`` in the same type.

        A file that has no value in a column gives it in any type.
        """
        names = dict.fromkeys(self.sources_of(columns)[name] for name in columns)
        schemas = [part.schema for part in self.parts]
        types_of_names = ({schema.field(name).type for schema in schemas} for name in names)
        return all(len(types - {pa.null()}) <= 1 for types in types_of_names)

    @property
    def is_utf8(self) -> bool:
        """Whether reading the files proves that their text is UTF-8."""
        return all(part.is_utf8 for part in self.parts)

    # Rows

    def read(self, columns: Collection[str] | None, only: Collection[str] | None) -> pa.Table:
        """Return the asked columns under their standard names, with sound ids and opt states.

        ``contact_id`` comes first, then the asked columns (all when None) in the order asked;
        ``only`` keeps these contacts' rows.
        """
        sources = self.sources_of(self.sources if columns is None else columns)
        ids = None if only is None else pa.array(list(dict.fromkeys(only)), TEXT)
        return self.sound_rows(_concat(self._read_parts(sources, ids)))

    def slices(self) -> list[TableSlice]:
        """Return the pieces that it can be read in, in the order of its rows."""
        parts = self.parts
        with self.located_errors():
            pieces = [piece for part in parts for piece in part.slices()]
        return [TableSlice(self, piece) for piece in pieces]

    def locate(self, *columns: str) -> LocatedRows:
        """Return all rows' ids and ``columns``, unchecked, and the place of each row."""
        rows_of_parts = self._read_parts(self.sources_of(columns))
        counts = [rows.num_rows for rows in rows_of_parts]
        files = zip((part.name for part in self.parts), counts, strict=True)
        return LocatedRows(_concat(rows_of_parts), list(files))

    def _read_parts(
        self, sources: Mapping[str, str], only: ArrowArray | None = None
    ) -> list[pa.Table]:
        """Return each file's rows, under standard names."""
        own, parts = list(dict.fromkeys(sources.values())), self.parts
        with self.located_errors():
            rows_of_parts = [
                in_types(part.read(own, sources[ID], only), self.types, part.name, parts)
                for part in parts
            ]
        return [
            rows.select(list(sources.values())).rename_columns(list(sources))
            for rows in rows_of_parts
        ]

    def sound_rows(self, rows: pa.Table) -> pa.Table:
        """Return rows whose ids are all there, with opt states as booleans; or raise DataError.

        Ids that no ledger can keep are ids: who acts on a contact leaves those out.
        """
        if ID in rows.column_names and pc.any(checks.missing_ids(rows.column(ID))).as_py():
            raise self.broken_rule(checks.describe_missing_ids)
        return self._with_opt_states(rows)

    def _with_opt_states(self, rows: pa.Table) -> pa.Table:
        column = self.opt_state
        if column is None or column not in rows.column_names:
            return rows
        missing_means = OPT_STATES[self.name][1]
        states, wrong = checks.opt_states(plain(rows.column(column)))
        if pc.any(wrong).as_py():
            raise self.broken_rule(self.describe_opt_states, column)
        if missing_means is None and states.null_count:
            raise self.broken_rule(self.describe_opt_states_missing, column)
        if self.name == "contacts" and self.directory.opt_state.opted_in is not None:
            states, missing_means = pc.invert(states), True  # nobody said yes
        index = rows.column_names.index(column)
        return rows.set_column(index, column, pc.fill_null(states, missing_means))

    def describe_opt_states(self, rows: LocatedRows) -> str | None:
        """Say which opt states are none, by the name that the files have for their column."""
        column = OPT_STATES[self.name][0]
        return checks.describe_opt_states(rows, column, self.own_name(column))

    def describe_opt_states_missing(self, rows: LocatedRows) -> str | None:
        """Say which rows lack an opt state, of a table that must say each; None for others."""
        column, missing_means = OPT_STATES[self.name]
        if missing_means is not None:
            return None
        return checks.describe_missing_opt_states(rows, column)

    # Errors

    def broken_rule(self, describe: _Description, *columns: str) -> DataError:
        """Return a broken rule, as the whole table shows it: a slice has no row numbers."""
        return self.error(describe(self.locate(*columns)) or "changed while read")

    def error(self, message: str) -> DataError:
        """Return an error that says in which snapshot and table."""
        return DataError(f"{self.where}, {self.label}: {message}")

    @contextmanager
    def located_errors(self) -> Iterator[None]:
        """Complete an error that begins with the name of a file."""
        try:
            yield
        except DataError as error:
            raise DataError(f"{self.where}, {error}") from error.__cause__


def _concat(rows: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all files, whose types are the same but for dictionaries."""
    return pa.concat_tables(rows, promote_options="permissive")


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
