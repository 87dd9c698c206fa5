"""What is expected of the values of columns: their type, what they match, their bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from segue.directory.checks import ID, SHOWN
from segue.directory.column_kinds import ColumnKind
from segue.directory.expect_definition import ColumnExpectations
from segue.directory.parallel import in_parallel
from segue.directory.plain_columns import ArrowColumn, pc
from segue.directory.stored_table import TableSlice
from segue.directory.tables import SnapshotTables
from segue.segments.columns.column import Column
from segue.segments.columns.column_source import column_of
from segue.segments.columns.id_keys import Rows
from segue.segments.columns.ordered import Mask
from segue.segments.columns.readings import mask_of
from segue.segments.conditions.registry import Moment, find_operator
from segue.segments.expectations.unmet import Unmet

_AT_A_TIME = 64  # columns that are read of a slice
_READ_AS_TEXT = (ColumnKind.TEXT, ColumnKind.BYTES, ColumnKind.NULL)  # each value says what it is
OPAQUE = (ColumnKind.TIME, ColumnKind.DURATION, ColumnKind.LIST, ColumnKind.STRUCT)
_OF_VALUES = ("matches", "allowed", "at_least", "at_most")
_KINDS: Mapping[str, Sequence[ColumnKind]] = {
    "text": (ColumnKind.TEXT, ColumnKind.BYTES),
    "number": (ColumnKind.NUMBER,),
    "boolean": (ColumnKind.BOOLEAN,),
    "date": (ColumnKind.DATE, ColumnKind.INSTANT),
}


@dataclass(frozen=True, slots=True)
class _Test:
    """What every value of a column that is set has to be."""

    expectation: str
    holds: Callable[[Column], Mask]
    failing: str  # what the others are, in words

    def failures(self, column: Column) -> Mask:
        """Mark the values that are set and do not pass."""
        return column.verdicts(lambda values: ~(values.missing | self.holds(values)))


@dataclass(frozen=True, slots=True)
class _Tally:
    """What a slice has of one column: values that are set; of each test, how many fail, whose."""

    present: int
    failures: Sequence[tuple[int, Sequence[str]]]


def unmet_by_values(
    tables: SnapshotTables, table: str, expected: Mapping[str, ColumnExpectations]
) -> Iterator[Unmet]:
    """Yield what the values of columns are not; one whose kind says all of them is not read."""
    moment, kinds = Moment(tables.snapshot.as_of, tables.directory.zone), tables.kinds(table)
    tests: dict[str, list[_Test]] = {}
    for column, each in expected.items():
        mismatch = _mismatch(table, column, each, kinds[column])
        if mismatch is not None:
            yield mismatch
        else:
            tests[column] = list(_tests(each, kinds[column], moment))
    to_read = [key for key in tests if tests[key] or expected[key].set_at_least is not None]
    for start in range(0, len(to_read), _AT_A_TIME):
        some = {column: tests[column] for column in to_read[start : start + _AT_A_TIME]}
        for column, tally in _tallies(tables, table, some).items():
            yield from _of_column(tables, table, column, expected[column], tests[column], tally)


def _mismatch(
    table: str, column: str, expected: ColumnExpectations, kind: ColumnKind
) -> Unmet | None:
    """Return what the kind of a column says of all its values, or None."""
    fact = f"values of the kind {kind}"
    if expected.type is not None and kind not in (*_KINDS[expected.type], *_READ_AS_TEXT):
        return Unmet(table, column, f"type: {expected.type}", fact)
    asked = [key for key in _OF_VALUES if getattr(expected, key) is not None]
    return Unmet(table, column, asked[0], fact) if kind in OPAQUE and asked else None


def _tests(expected: ColumnExpectations, kind: ColumnKind, moment: Moment) -> Iterator[_Test]:
    kind_of_all = expected.type
    if kind_of_all is not None and kind in _READ_AS_TEXT:
        holds, breach = _TYPES[kind_of_all]
        yield _Test(f"type: {kind_of_all}", holds, breach)
    for key, breach in _FAILING.items():
        operand = getattr(expected, key)
        if operand is not None:
            yield _Test(f"{key}: {_shown(operand)}", _asked(key, operand, moment), breach)


def _asked(key: str, operand: object, moment: Moment) -> Callable[[Column], Mask]:
    """Return the question of a condition's operator."""
    operator = find_operator("one_of" if key == "allowed" else key).operator
    return lambda values: operator.holds(values, operand, moment)


_FAILING = {
    "matches": "do not",
    "allowed": "are none of these",
    "at_least": "are less, or no numbers",
    "at_most": "are more, or no numbers",
}
_TYPES: Mapping[str, tuple[Callable[[Column], Mask], str]] = {
    "text": (lambda values: mask_of(values.texts.arrow.is_valid()), "are not UTF-8"),
    "number": (lambda values: values.numbers.present, "are no numbers"),
    "boolean": (lambda values: values.booleans.true | values.booleans.false, "are no booleans"),
    "date": (lambda values: values.instants.present, "are no dates"),
}


def _shown(operand: object) -> str:
    if isinstance(operand, tuple):
        more = ", …" if len(operand) > SHOWN else ""
        return f"[{', '.join(map(str, operand[:SHOWN]))}{more}]"
    return repr(operand)


def _tallies(
    tables: SnapshotTables, table: str, tests: Mapping[str, Sequence[_Test]]
) -> dict[str, _Tally]:
    zone = tables.directory.zone

    def judge(piece: TableSlice) -> list[_Tally]:
        rows = piece.read(list(tests))
        return [_tally(piece, rows.column(key), tests[key], zone) for key in tests]

    pieces = in_parallel(judge, tables.slices(table))
    return {
        key: _sum([piece[place] for piece in pieces], tests[key]) for place, key in enumerate(tests)
    }


def _tally(
    piece: TableSlice, values: ArrowColumn, tests: Sequence[_Test], zone: ZoneInfo
) -> _Tally:
    column = column_of(values, zone)
    failures = []
    for test in tests:
        places = np.flatnonzero(test.failures(column))
        failures.append((len(places), _contacts(piece, places[:SHOWN])))
    return _Tally(len(values) - int(np.count_nonzero(column.missing)), failures)


def _contacts(piece: TableSlice, places: Rows) -> Sequence[str]:
    """Return whose rows these are; no ids are read, and they are the most of it, for none."""
    if not len(places):
        return ()
    return tuple(pc.take(piece.read([ID]).column(ID), pa.array(places)).to_pylist())


def _sum(tallies: Sequence[_Tally], tests: Sequence[_Test]) -> _Tally:
    failures = []
    for place in range(len(tests)):
        counts = [tally.failures[place] for tally in tallies]
        contacts = dict.fromkeys(contact for _, some in counts for contact in some)
        failures.append((sum(count for count, _ in counts), tuple(contacts)[:SHOWN]))
    return _Tally(sum(tally.present for tally in tallies), failures)


def _of_column(
    tables: SnapshotTables,
    table: str,
    column: str,
    expected: ColumnExpectations,
    tests: Sequence[_Test],
    tally: _Tally,
) -> Iterator[Unmet]:
    size, least = tables.count(table), expected.set_at_least
    if least is not None and tally.present < least * size:
        share = f"{tally.present} of {size} rows with a value ({tally.present / size:.1%})"
        yield Unmet(table, column, f"set_at_least: {least * 100:g}%", share)
    for test, (count, contacts) in zip(tests, tally.failures, strict=True):
        if count:
            fact = f"{count} of {tally.present} values that {test.failing}"
            yield Unmet(table, column, test.expectation, fact, contacts)
