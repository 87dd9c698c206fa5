"""The rules that every table's rows must keep, and how a breach of one is told.

Each rule looks at Arrow columns that a reader has made plain. Messages show contact ids and row
numbers (counted from 1 in each file, without a CSV's header), never other contact text: task logs
keep them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import pyarrow as pa

from segue.directory.definition import UNSUBSCRIBED, DirectoryDefinition
from segue.directory.plain_columns import TEXT, ArrowColumn, is_number, is_text, pc, plain
from segue.directory.python_values import python_value, python_values

Item = TypeVar("Item")
ID = "contact_id"
LONGEST_ID = 2000  # bytes; an index of PostgreSQL holds 2,704, the names beside an id among them
ALLOWED_IDS = f"allowed: up to {LONGEST_ID:,} bytes, without a NUL character"
SHOWN = 10  # offending rows, ids or names that a message lists
OPT_STATES: dict[str, tuple[str, bool | None]] = {
    # table: its opt state column, and what a missing value means; None where there is none
    "contacts": (UNSUBSCRIBED, False),
    "mailing_lists": ("opted_in", True),
    "subscriptions": ("opted_in", None),
}
DIRECTORY_SCOPE = "directory"
SEGMENT_SCOPE = "segment:"
ALLOWED_OPT_STATES = "allowed: booleans, 1, 0, true, false, yes, no, t, f, y, n, or missing"
_MOST_VALUES = 5  # more different ones are hardly opt states: another column was mapped here
# what an opt state may be by mistake; any other value could be a contact's name and is not shown
_PLAINLY_NO_NAMES = re.compile(
    r"-?\d{1,3}(\.\d)?|true|false|yes|no|[yntf]|on|off|in|out|none|null|n/?a|nan|unknown|maybe|perhaps|(in)?active|"
    r"(un)?subscribed|opt(ed)?[ _-]?(in|out)",
    re.IGNORECASE,
)
_LONGEST_SCOPE = 80
TRUE_WORDS, FALSE_WORDS = ("true", "yes", "1", "t", "y"), ("false", "no", "0", "f", "n")


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One thing wrong with a snapshot; ``message`` says where, and what is expected."""

    table: str
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class LocatedRows:
    """Rows of a whole table, and where each stands: ``files`` has every file's rows in order."""

    columns: pa.Table
    files: Sequence[tuple[str, int]]

    def contact_at(self, position: int) -> str:
        """Return a row's place and whose it is."""
        contact_id = self.columns.column(ID)[position].as_py()
        return f"{self.place(position)}, contact {contact_id!r}"

    def place(self, position: int) -> str:
        """Return ``row 4``, or ``contacts/part-1.csv row 4`` where the table has several files."""
        ends = list(accumulate(count for _, count in self.files))
        index = bisect_right(ends, position)
        name, count = self.files[index]
        row = position - ends[index] + count + 1
        return f"row {row}" if len(self.files) == 1 else f"{name} row {row}"


def missing_ids(ids: ArrowColumn) -> ArrowColumn:
    """Mark the rows whose contact id is null or empty."""
    missing: ArrowColumn = pc.fill_null(pc.equal(ids, pa.scalar("", TEXT)), True)
    return missing


def unfit_ids(ids: ArrowColumn) -> ArrowColumn:
    """Mark the rows whose contact id no ledger could keep: with a NUL, or longer than its index."""
    long = pc.greater(pc.binary_length(ids), LONGEST_ID)
    unfit: ArrowColumn = pc.fill_null(pc.or_(long, pc.match_substring(ids, "\0")), False)
    return unfit


def unfit_positions(ids: Sequence[str]) -> list[int]:
    """Return where in a sequence of ids stand those that no ledger could keep."""
    return _positions(unfit_ids(pa.chunked_array([pa.array(ids, TEXT)])))


def has_repeats(sorted_ids: ArrowColumn) -> bool:
    """Tell whether any id occurs twice; equal ids must stand side by side."""
    return bool(pc.any(pc.equal(sorted_ids[:-1], sorted_ids[1:])).as_py())


def opt_states(column: ArrowColumn) -> tuple[ArrowColumn, ArrowColumn]:
    """Return opt states as booleans, null where missing, and a mark on values that are none."""
    kind = column.type
    missing: Any
    true: Any
    if pa.types.is_boolean(kind):
        missing, true, false = pc.is_null(column), column, pc.invert(column)
    elif is_text(kind):
        text = pc.ascii_lower(column)  # all words are ASCII, and what is no UTF-8 is no word
        missing = missing_ids(column)
        true = pc.is_in(text, value_set=pa.array(TRUE_WORDS, TEXT))
        false = pc.is_in(text, value_set=pa.array(FALSE_WORDS, TEXT))
    elif is_number(kind):
        number = column.cast(pa.float64(), safe=False)
        missing = pc.is_null(column)
        true, false = pc.equal(number, 1.0), pc.equal(number, 0.0)
    else:
        missing = pc.is_null(column)
        true = false = pc.and_(missing, pc.invert(missing))
    is_boolean = pc.fill_null(pc.or_(true, false), False)
    states = pc.if_else(missing, pa.scalar(None, pa.bool_()), true)
    return states, pc.and_not(pc.invert(is_boolean), missing)


def describe_missing_ids(rows: LocatedRows) -> str | None:
    """Say which rows have no contact id; None when all have one."""
    positions = _positions(missing_ids(rows.columns.column(ID)))
    if not positions:
        return None
    places = _some(positions, rows.place)
    return f"{_count(positions, 'row')} without a {ID}: {places}; every row needs one"


def describe_unfit_ids(rows: LocatedRows) -> str | None:
    """Say which rows have a contact id that the ledger cannot keep; None when there is none."""
    positions = _positions(unfit_ids(rows.columns.column(ID)))
    if not positions:
        return None
    places = _some(positions, rows.place)
    return (
        f"{_count(positions, 'row')} with a {ID} that cannot be kept: {places}; {ALLOWED_IDS}. "
        "A run leaves these contacts out, and fails once everybody else has been dealt with"
    )


def describe_places(rows: LocatedRows, ids: Collection[str]) -> str:
    """Say in which rows contacts stand, where their ids are not to be shown."""
    value_set = pa.array(list(ids), TEXT)
    positions = _positions(pc.is_in(rows.columns.column(ID), value_set=value_set))
    return _some(positions, rows.place)


def describe_duplicate_ids(rows: LocatedRows) -> str | None:
    """Say which contact ids occur more than once and where; None when all are unique."""
    ids = rows.columns.column(ID)
    counts: Any = ids.filter(pc.invert(missing_ids(ids))).value_counts()
    duplicates = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if not len(duplicates):
        return None

    def tell(contact_id: str) -> str:
        positions = _positions(pc.equal(ids, pa.scalar(contact_id, TEXT)))
        return f"{contact_id!r} ({_some(positions, rows.place, 3)})"

    in_order = duplicates.take(pc.sort_indices(duplicates)).to_pylist()
    examples = _some(in_order, tell)
    what = f"{_count(in_order, 'contact id')} more than once"
    return f"{what}: {examples}; expected one row per contact"


def describe_opt_states(rows: LocatedRows, column: str, own_name: str) -> str | None:
    """Say which rows' opt state is no boolean; None when all are.

    ``called`` is what the files call the column.
    """
    values = rows.columns.column(column)
    wrong = _positions(opt_states(values)[1])
    if not wrong:
        return None
    distinct_values = {str(python_value(values[position])) for position in wrong[:1000]}
    few = len(distinct_values) <= _MOST_VALUES

    def tell(position: int) -> str:
        where = rows.contact_at(position)
        return f"{where}: {_safe(python_value(values[position]))}" if few else where

    what = f"{_count(wrong, 'row')} of {own_name!r} that are no booleans ({values.type})"
    return f"{what}: {_some(wrong, tell)}; {ALLOWED_OPT_STATES}"


def describe_missing_opt_states(rows: LocatedRows, column: str) -> str | None:
    """Say which rows have no opt state, where each must; None when all have."""
    states, wrong = opt_states(rows.columns.column(column))
    missing = _positions(pc.and_not(pc.is_null(states), wrong))
    if not missing:
        return None
    what = f"{_count(missing, 'row')} without {column!r}"
    return f"{what}: {_some(missing, rows.contact_at)}; each must say true or false"


def unknown_scopes(rows: pa.Table, directory: DirectoryDefinition) -> ArrowColumn:
    """Mark the rows of subscriptions that opt out of what nobody knows.

    ``opted_in`` may be as the files have it.
    """
    scopes = plain(rows.column("scope"))
    ours = [scope for scope in python_values(pc.unique(scopes)) if is_scope(scope, directory)]
    unknown = pc.invert(pc.is_in(scopes, value_set=pa.array(ours, scopes.type)))
    states, _ = opt_states(plain(rows.column("opted_in")))
    marks: ArrowColumn = pc.and_(unknown, pc.fill_null(pc.invert(states), False))
    return marks


def is_scope(scope: object, directory: DirectoryDefinition) -> bool:
    """Tell whether a scope is ``directory``, or ``segment:`` and a segment of the directory."""
    if scope == DIRECTORY_SCOPE:
        return True
    text = scope if isinstance(scope, str) else ""
    name = text.removeprefix(SEGMENT_SCOPE)
    return text.startswith(SEGMENT_SCOPE) and directory.knows_segment(name)


def describe_unknown_scopes(rows: LocatedRows, directory: DirectoryDefinition) -> str | None:
    """Say which rows opt out of a scope that nobody knows; None when there are none."""
    wrong = _positions(unknown_scopes(rows.columns, directory))
    if not wrong:
        return None
    scopes = rows.columns.column("scope")

    def tell(position: int) -> str:
        return f"{rows.contact_at(position)}: {_shown_scope(python_value(scopes[position]))}"

    return (
        f"{_count(wrong, 'row')} that opt out of an unknown scope: {_some(wrong, tell)}; allowed: "
        f"{DIRECTORY_SCOPE}, or {SEGMENT_SCOPE} and the name of a segment of the directory, as "
        "it is written there; one that is gone may stand in the directory's "
        "consent.former_segments"
    )


def list_names(names: Sequence[str]) -> str:
    """Return column names for a message; a CSV without a header has contacts' addresses there."""
    safe = [name for name in names if "@" not in name]
    return _some(safe, repr, 20)


def _positions(marks: ArrowColumn) -> list[int]:
    if not len(marks):  # pyarrow before 26 dies of a chunked array without chunks
        return []
    return [int(position) for position in pc.indices_nonzero(marks).to_pylist()]


def _count(items: Sequence[object], what: str) -> str:
    return f"{len(items)} {what}{'' if len(items) == 1 else 's'}"


def _some(items: Sequence[Item], tell: Callable[[Item], str], most: int = SHOWN) -> str:
    text = ", ".join(tell(item) for item in items[:most])
    return text + (f" and {len(items) - most} more" if len(items) > most else "")


def _safe(value: object) -> str:
    """Return a value for a message if it can hardly be a name, an address or a number."""
    if value is None:
        return "bytes that are not UTF-8"
    text = str(value)
    return repr(value) if _PLAINLY_NO_NAMES.fullmatch(text.strip()) else f"{len(text)} characters"


def _shown_scope(scope: object) -> str:
    """Return a scope for a message: it names no person, unless another column was mapped."""
    text = "" if scope is None else str(scope)
    if text in ("", "None"):
        return "no scope"
    is_safe = len(text) <= _LONGEST_SCOPE and "@" not in text
    return repr(text) if is_safe else f"{len(text)} characters"
