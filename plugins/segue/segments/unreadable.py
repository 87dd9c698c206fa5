"""What of a snapshot cannot be read as the date, number or boolean that somebody uses it for.

To a condition such a value is missing, and whoever has it falls out of one segment and into
another. So it is counted, shown and, where it is news, a reason to ask. Only columns that hold
something else than what they are used for are read: text mostly, a typed column costs nothing.
Messages show contact ids and the shapes of values (``99/99/9999``), never the values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from segue.directory.checks import ID
from segue.directory.column_kinds import ColumnKind
from segue.directory.layout import TABLES
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import TEXT, ArrowArray, ArrowColumn, is_text, pc, plain
from segue.directory.python_values import python_values
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.durations import zone_spellings
from segue.errors import DataError
from segue.segments.columns.column import Column, Texts
from segue.segments.columns.column_source import column_of
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import not_utf8
from segue.segments.conditions.inspection import leaves
from segue.segments.conditions.nodes import Condition, FieldLeaf, Test, TransactionsLeaf
from segue.segments.conditions.operands import Day, Instant, Number, NumberRange, Span
from segue.segments.conditions.registry import find_operator
from segue.segments.definition import SegmentDefinition

MOST_UNDATED = 0.1  # the share of transactions without a readable date from which none is believed
_NEWS = 0.01  # how far a share may rise from one snapshot to the next without a question
_OPAQUE_BEYOND = 0.9  # the share of values that are no text from which no value of a column is
_EXAMPLES, _SHAPES = 10, 3
_COLUMNS = 64  # of text read at a time, whose values are counted
_LONGEST_SHAPE = 40
_UTC = ZoneInfo("UTC")  # whether a value can be read does not depend on the zone


class Reading(StrEnum):
    """What a column is used for."""

    DATE = "date"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ZONE = "time zone"
    TEXT = "text in UTF-8"


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One column, by its standard name, and what it is read as."""

    table: str
    column: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What one use cannot read: ``count`` of the ``present`` values."""

    use: Use
    kind: ColumnKind  # what the column holds
    count: int
    present: int
    contacts: tuple[str, ...]  # the first few
    shapes: tuple[str, ...]  # of the first few values: digits are 9, letters a and A
    no_text: int = 0  # how many are bytes that are not UTF-8

    @property
    def table(self) -> str:
        """The table that it is in."""
        return self.use.table

    @property
    def is_typed(self) -> bool:
        """Whether the type alone says what the values are."""
        return self.kind not in (ColumnKind.TEXT, ColumnKind.BYTES)

    @property
    def is_opaque(self) -> bool:
        """Whether the column is no text at all, such as photos: hardly a value is UTF-8."""
        return self.kind == ColumnKind.BYTES and self.no_text > _OPAQUE_BEYOND * self.present

    @property
    def share(self) -> float:
        """How much of what is there cannot be read, from 0 to 1."""
        return self.count / self.present if self.present else 0.0

    def __str__(self) -> str:
        more = " …" if self.count > len(self.contacts) else ""
        return (
            f"{self.use.table}.{self.use.column}: {self.count} of {self.present} values cannot be "
            f"read as a {self.use.reading} and count as missing, such as {', '.join(self.shapes)}; "
            f"contacts {', '.join(map(repr, self.contacts))}{more}"
        )


DATES_ARE = "Dates are ISO 8601 (2026-11-22T17:03:00Z), or typed columns of dates or times"
DATES = (
    Use("contacts", "created_at", Reading.DATE),
    Use("contacts", "modified_at", Reading.DATE),
    Use("transactions", "date", Reading.DATE),
)


def uses_of(segment: SegmentDefinition) -> frozenset[Use]:
    """Return what a segment reads of its columns, those that it refers to included."""
    conditions = (each.match for each in (segment, *segment.refers_to))
    return frozenset(use for each in conditions if each is not None for use in condition_uses(each))


def condition_uses(condition: Condition, table: str = "contacts") -> Iterator[Use]:
    """Yield what a condition reads as dates, numbers or booleans, or only as the text it is."""
    for leaf in leaves(condition):
        if isinstance(leaf, FieldLeaf):
            yield from (Use(table, leaf.field, reading) for reading in _readings_of(leaf))
        if isinstance(leaf, TransactionsLeaf):
            yield from _transaction_uses(leaf)


def _readings_of(leaf: FieldLeaf) -> set[Reading]:
    tests = leaf.comparison.tests
    readers = [test for test in tests if find_operator(test.operator).operator.name != "is_empty"]
    readings = {_reading_of(test) or Reading.TEXT for test in readers}
    # what can be read as a date or number is text
    return readings - {Reading.TEXT} if len(readings) > 1 else readings


def _transaction_uses(leaf: TransactionsLeaf) -> Iterator[Use]:
    yield Use("transactions", "date", Reading.DATE)
    if leaf.where is not None:
        yield from condition_uses(leaf.where, "transactions")
    if leaf.field is not None and leaf.aggregate in _AGGREGATED:
        yield Use("transactions", leaf.field, _AGGREGATED[leaf.aggregate])


def text_uses(tables: SnapshotTables, besides: Collection[tuple[str, str]] = ()) -> set[Use]:
    """Return all columns of text that a snapshot has, each read as the text it is."""
    return {
        Use(table, column, Reading.TEXT)
        for table in TABLES
        for column, kind in tables.kinds(table).items()
        if kind in (ColumnKind.TEXT, ColumnKind.BYTES)
        and column != ID
        and (table, column) not in besides
    }


_AGGREGATED = dict.fromkeys(("sum", "mean", "min", "max"), Reading.NUMBER) | dict.fromkeys(
    ("earliest", "latest"), Reading.DATE
)


def _reading_of(test: Test) -> Reading | None:
    """Return what a test reads a column as; None is text, or a list of several kinds."""
    operator = find_operator(test.operator).operator
    if isinstance(operator.takes, Number | NumberRange):
        return Reading.NUMBER
    if isinstance(operator.takes, Instant | Day | Span):
        return Reading.DATE
    if operator.name not in ("equals", "one_of", "is_true"):
        return None
    operands = test.operand if isinstance(test.operand, tuple) else (test.operand,)
    if all(isinstance(operand, bool) for operand in operands):
        return Reading.BOOLEAN
    plain = all(isinstance(each, int | float) and not isinstance(each, bool) for each in operands)
    return Reading.NUMBER if plain else None


def find_unreadable(tables: SnapshotTables, uses: Collection[Use]) -> list[Unreadable]:
    """Count what each use cannot read, in the order of tables and columns; only what there is.

    Reads the columns slice by slice, in bounded memory. Uses of columns that the snapshot lacks
    are left out: others tell of them.
    """
    to_read = sorted(use for use in uses if _must_be_read(tables, use))
    names = dict.fromkeys(use.table for use in to_read)
    by_table = (_of_table(tables, name, to_read) for name in names)
    return [each for of_table in by_table for each in of_table if each.count]


def require_readable(tables: SnapshotTables, unreadable: Collection[Unreadable]) -> None:
    """Raise DataError where too little can be read to judge by: by any window, by any operator.

    Too few dates of transactions; or a column whose type never is what it is used for.
    """
    problem = undated_problem(unreadable) or _never_holding(unreadable)
    if problem is not None:
        key = tables.snapshot.key
        raise DataError(f"directory {tables.directory.directory}, snapshot {key}, {problem}")


def is_too_much(each: Unreadable) -> bool:
    """Tell whether so little can be read that a condition is void, or runs refuse it."""
    return each.share == 1 or each.is_opaque or undated_problem([each]) is not None


def undated_problem(unreadable: Collection[Unreadable]) -> str | None:
    """Say where too few dates of transactions can be read to believe in any window."""
    dates = [each for each in unreadable if each.use == DATES[-1] and each.share > MOST_UNDATED]
    if not dates:
        return None
    return (
        f"{dates[0]}; beyond {MOST_UNDATED:.0%} no condition on transactions is judged. {DATES_ARE}"
    )


def _never_holding(unreadable: Collection[Unreadable]) -> str | None:
    opaque = next((each for each in unreadable if each.is_opaque), None)
    if opaque is not None:
        return (
            f"{opaque}; a column in which hardly a value is text can be asked only is_empty, is_set"
        )
    never = [each for each in unreadable if each.is_typed and each.count == each.present]
    if not never:
        return None
    use = never[0].use
    return (
        f"{use.table}.{use.column} is a column of type {never[0].kind}, and a condition reads it "
        f"as a {use.reading}: that never holds, and its complement always does"
    )


def news_of(
    previous: Collection[Unreadable], current: Collection[Unreadable], earlier: str, key: str
) -> list[str]:
    """Return, in words, what can be read in one of two snapshots only, by their keys.

    What cannot be read in either changes nobody's membership; a day that could not be read makes
    two odd days, since all come back on the next.
    """
    then, since = ({each.use: each.share for each in some} for some in (previous, current))
    worse = [
        f"in snapshot {key} {each}; of {earlier} it was {then.get(each.use, 0):.1%}"
        for each in current
        if each.share - then.get(each.use, 0) > _NEWS
    ]
    better = [
        f"in snapshot {earlier} {each}; of {key} it is {since.get(each.use, 0):.1%}, so that "
        "whoever was misjudged there counts as changed"
        for each in previous
        if each.share - since.get(each.use, 0) > _NEWS
    ]
    return [*worse, *better]


# Counting


_FITTING = {
    Reading.DATE: {ColumnKind.DATE, ColumnKind.INSTANT},
    Reading.NUMBER: {ColumnKind.NUMBER},
    Reading.BOOLEAN: {ColumnKind.BOOLEAN},
    Reading.ZONE: set[ColumnKind](),
    Reading.TEXT: set(ColumnKind) - {ColumnKind.TEXT, ColumnKind.BYTES},
}
_OPAQUE = {ColumnKind.TIME, ColumnKind.DURATION, ColumnKind.LIST, ColumnKind.STRUCT}


def _must_be_read(tables: SnapshotTables, use: Use) -> bool:
    kind = tables.kinds(use.table).get(use.column, ColumnKind.NULL)
    if use.reading == Reading.TEXT and (kind == ColumnKind.NULL or tables.table(use.table).is_utf8):
        return False
    return kind != ColumnKind.NULL and kind not in _FITTING[use.reading]


def _of_table(tables: SnapshotTables, table: str, uses: Iterable[Use]) -> list[Unreadable]:
    mine = [use for use in uses if use.table == table]
    pieces = in_parallel(lambda piece: _of_slice(piece, mine), tables.slices(table))
    return [_sum_of([piece[place] for piece in pieces], use) for place, use in enumerate(mine)]


def _of_slice(piece: TableSlice, uses: Collection[Use]) -> list[Unreadable]:
    rows = piece.read(list(dict.fromkeys(use.column for use in uses)))
    return [_of_column(piece, use, rows.column(use.column)) for use in uses]


def _of_column(piece: TableSlice, use: Use, values: ArrowColumn) -> Unreadable:
    kind = piece.table.kinds[use.column]
    if use.reading == Reading.TEXT and _is_utf8(values):
        return Unreadable(use, kind, 0, len(values) - values.null_count, (), ())
    values = plain(values)
    column = column_of(values, _UTC)
    no_text = not_utf8(values)
    wrong = ~column.missing if kind in _OPAQUE else column.verdicts(_JUDGES[use.reading]) | no_text
    some: ArrowArray = pa.array(np.flatnonzero(wrong)[:_EXAMPLES])
    return Unreadable(
        use,
        kind,
        int(np.count_nonzero(wrong)),
        len(values) - int(np.count_nonzero(column.missing)),
        _contacts(piece, some),
        tuple(dict.fromkeys(map(_shape, python_values(pc.take(values, some))))),
        int(np.count_nonzero(no_text)),
    )


def _contacts(piece: TableSlice, places: ArrowArray) -> tuple[str, ...]:
    """Return whose rows these are; no ids are read, and they are the most of it, for none."""
    return tuple(pc.take(piece.read([ID]).column(ID), places).to_pylist()) if len(places) else ()


def _sum_of(pieces: Collection[Unreadable], use: Use) -> Unreadable:
    contacts = dict.fromkeys(contact for each in pieces for contact in each.contacts)
    shapes = dict.fromkeys(shape for each in pieces for shape in each.shapes)
    return Unreadable(
        use,
        next(iter(pieces)).kind,
        sum(each.count for each in pieces),
        sum(each.present for each in pieces),
        tuple(contacts)[:_EXAMPLES],
        tuple(shapes)[:_SHAPES],
        sum(each.no_text for each in pieces),
    )


def _is_utf8(values: ArrowColumn) -> bool:
    """Tell whether a column is text and all of it UTF-8; what repeats is looked at once."""
    chunks = [
        each.dictionary if isinstance(each, pa.DictionaryArray) else each for each in values.chunks
    ]
    return all(
        is_text(each.type) and not not_utf8(pa.chunked_array([each])).any() for each in chunks
    )


def _no_zone(values: Column) -> Mask:
    texts = Texts(pc.utf8_trim_whitespace(values.texts.arrow)).ignoring_case()
    return ~(values.missing | texts.one_of(list(zone_spellings())))


_JUDGES: dict[Reading, Callable[[Column], Mask]] = {
    Reading.DATE: lambda values: ~(values.missing | values.instants.present),
    Reading.NUMBER: lambda values: ~(values.missing | values.numbers.present),
    Reading.BOOLEAN: lambda column: (
        ~(column.missing | column.booleans.true | column.booleans.false)
    ),
    Reading.ZONE: _no_zone,
    Reading.TEXT: lambda values: ~values.everywhere,  # beside what is no text
}


def _shape(value: object) -> str:
    """Return what a value looks like without what it says: ``99.99.9999``, ``£9,999.99``."""
    if value is None:
        return "bytes that are not UTF-8"
    text = str(value)
    shape = re.sub(r"[^\W\d_]", lambda letter: "A" if letter[0].isupper() else "a", text)
    shape = re.sub(r"\d", "9", shape)
    return repr(shape if len(shape) <= _LONGEST_SHAPE else f"{shape[:_LONGEST_SHAPE]}…")


# Words for nothing


NOTHING = tuple(
    word
    for line in (
        r"null \n none nan nat nil undefined (null) <null> [null] <na> (blank) (empty) (none)",
        "n/a na n.a. n.a #n/a #null! #ref! #value! #name? #num! #div/0! - -- --- — ? .",
    )
    for word in line.split()
)
# those of Unicode that are seen as nothing, too: no-break, thin and zero-width ones, marks of order
_BLANKS = " \t\n\v\f\r\x85\xa0\xad\u1680\u180e\u2028\u2029\u202f\u205f\u2060\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x2010))
)


@dataclass(frozen=True, slots=True)
class WordsForNothing:
    """Text that stands where nothing is: to a message it is a name like any other."""

    table: str
    column: str
    count: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        words = ", ".join(map(repr, self.words))
        return (
            f"{self.table}.{self.column}: {self.count} values look like nothing ({words}) and are "
            "printed as they are; only the empty field is missing"
        )


def find_words_for_nothing(tables: SnapshotTables, table: str) -> list[WordsForNothing]:
    """Count ``NULL``, ``nan``, blanks and the like in every column of text but the ids."""
    kinds = tables.kinds(table)
    names = [name for name, kind in kinds.items() if kind == ColumnKind.TEXT and name != ID]
    pieces = in_parallel(lambda piece: _nothings(piece, names), tables.slices(table))
    findings = []
    for place, name in enumerate(names):
        counts: Counter[str] = Counter()
        for piece in pieces:
            counts.update(piece[place])
        if counts:
            words = sorted(counts, key=lambda word: (-counts[word], word))[:_EXAMPLES]
            findings.append(WordsForNothing(table, name, sum(counts.values()), tuple(words)))
    return findings


def _nothings(piece: TableSlice, names: Sequence[str]) -> list[dict[str, int]]:
    counts: list[dict[str, int]] = []
    for start in range(0, len(names), _COLUMNS):
        rows = piece.read(names[start : start + _COLUMNS])
        counts += map(_nothings_among, rows.columns)
    return counts


def _nothings_among(values: ArrowColumn) -> dict[str, int]:
    value_counts: Any = values.value_counts()
    no_text = not_utf8(pa.chunked_array([value_counts.field("values")]))
    value_counts = value_counts.filter(pa.array(~no_text))
    values = value_counts.field("values").cast(TEXT)
    spellings = pc.utf8_lower(pc.utf8_trim(values, _BLANKS))
    is_blank = pc.and_(pc.equal(spellings, ""), pc.not_equal(values, ""))
    is_word = pc.is_in(spellings, value_set=pa.array(NOTHING, TEXT))
    is_nothing = pc.fill_null(pc.or_(is_word, is_blank), False)
    words: list[Any] = values.filter(is_nothing).to_pylist()
    counts: list[Any] = value_counts.field("counts").filter(is_nothing).to_pylist()
    return dict(zip(words, counts, strict=True))
