"""One value per contact or transaction, seen as numbers, as text, as booleans or as instants.

The operand decides the type, not the column (docs/conditions.md, "Fields"), so every column
answers all of these, and a value that cannot be read in the asked way is missing in that view.
Views are made when first asked for and kept. Masks and arrays are shared: never write to them.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.directory.checks import FALSE_WORDS, TRUE_WORDS
from segue.directory.plain_columns import TEXT, ArrowColumn, pc
from segue.directory.python_values import python_value
from segue.segments.columns.instants import Instants
from segue.segments.columns.ordered import Mask, Numbers, no_numbers
from segue.segments.columns.readings import mask_of, not_utf8, read_instants, read_numbers

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """Text; empty text is missing. ``ignore_case`` lowers both sides, one code point at a time."""

    arrow: ArrowColumn
    ignore_case: bool = False
    written: ArrowColumn | None = None  # before it was lowered

    def equal(self, text: str) -> Mask:
        """The text is exactly ``text``."""
        return mask_of(pc.equal(self.arrow, self._operand(text)))

    def one_of(self, texts: Sequence[str]) -> Mask:
        """The text is exactly one of ``texts``."""
        operands = pa.array([self._operand(text).as_py() for text in texts], TEXT)
        return mask_of(pc.is_in(self.arrow, value_set=operands))

    def contains(self, part: str) -> Mask:
        """``part`` is somewhere in the text."""
        return mask_of(pc.match_substring(self.arrow, self._operand(part).as_py()))

    def starts_with(self, part: str) -> Mask:
        """The text begins with ``part``."""
        return mask_of(pc.starts_with(self.arrow, self._operand(part).as_py()))

    def ends_with(self, part: str) -> Mask:
        """The text ends with ``part``."""
        return mask_of(pc.ends_with(self.arrow, self._operand(part).as_py()))

    def matches(self, pattern: str) -> Mask:
        """The regular expression ``pattern`` (RE2: linear time) is found somewhere in the text.

        Case is ignored by the engine, on the text as it is: a pattern cannot be lowered.
        """
        texts = self.arrow if self.written is None else self.written
        return mask_of(pc.match_substring_regex(texts, pattern, ignore_case=self.ignore_case))

    def ignoring_case(self) -> Texts:
        """Return the same text, compared without regard to case."""
        if self.ignore_case:
            return self
        return Texts(pc.utf8_lower(self.arrow), ignore_case=True, written=self.arrow)

    def _operand(self, text: str) -> Any:
        operand = pa.scalar(text, TEXT)
        return pc.utf8_lower(operand) if self.ignore_case else operand


@dataclass(frozen=True)
class Booleans:
    """Which rows are true, and which false; missing rows are neither."""

    true: Mask
    false: Mask

    def equal(self, value: bool) -> Mask:
        """The value is ``value``."""
        return self.true if value else self.false


class Column(ABC):
    """One value per row. Subclasses differ in what the values are stored as."""

    def __init__(self, size: int, zone: ZoneInfo) -> None:
        self.size = size
        self.zone = zone

    @abstractmethod
    def find_missing(self) -> Mask:
        """Return which rows have no value."""

    @abstractmethod
    def value(self, row: int) -> Any:
        """Return one value for people to read: None, text, a number, a boolean or a time."""

    def require_readable(self) -> None:  # noqa: B027 - most can be read
        """Raise DataError where a condition can ask of the values only whether they are there."""

    def verdicts(self, holds: Callable[[Column], Mask]) -> Mask:
        """Return what ``holds`` says of each row: it must judge each value by itself alone."""
        return holds(self)

    @cached_property
    def missing(self) -> Mask:
        """Rows without a value: null, NaN, NaT, empty text."""
        return self.find_missing()

    @property
    def dates_only(self) -> bool:
        """Whether the values are calendar days, to be shown without a time."""
        return False

    @cached_property
    def everywhere(self) -> Mask:
        """True in every row."""
        return np.ones(self.size, dtype=bool)

    @cached_property
    def numbers(self) -> Numbers:
        """The values as numbers."""
        self.require_readable()
        return no_numbers(self.size)

    @cached_property
    def texts(self) -> Texts:
        """The values as text."""
        self.require_readable()
        return Texts(pa.chunked_array([pa.nulls(self.size, TEXT)]))

    @cached_property
    def booleans(self) -> Booleans:
        """The values as booleans."""
        self.require_readable()
        return Booleans(~self.everywhere, ~self.everywhere)

    @cached_property
    def instants(self) -> Instants:
        """The values as points in time."""
        self.require_readable()
        return Instants(no_numbers(self.size))

    def ignoring_case(self) -> Column:
        """Return the same column with its text compared without regard to case."""
        return self._in_lower_case

    @cached_property
    def _in_lower_case(self) -> Column:
        texts = self.texts.ignoring_case()
        column = copy.copy(self)
        column.__dict__["texts"] = texts
        return column


class TextColumn(Column):
    """Text, as CSV has it in every column."""

    def __init__(self, values: ArrowColumn, zone: ZoneInfo) -> None:
        super().__init__(len(values), zone)
        # Views into one buffer of text are all there is: Arrow compares large strings only alike.
        self._values = pc.if_else(pc.equal(pc.binary_length(values), 0), None, values.cast(TEXT))

    @cached_property
    def _readable(self) -> ArrowColumn:
        """What is not UTF-8 is there, as ``missing`` says, and read as nothing."""
        wrong = not_utf8(self._values)
        readable: ArrowColumn = self._values
        return pc.if_else(pa.array(wrong), None, readable) if wrong.any() else readable

    def find_missing(self) -> Mask:
        return mask_of(self._values.is_null())

    @cached_property
    def texts(self) -> Texts:
        return Texts(self._readable)

    @cached_property
    def numbers(self) -> Numbers:
        return read_numbers(self._readable)

    @cached_property
    def booleans(self) -> Booleans:
        in_lower_case = self.texts.ignoring_case()
        return Booleans(in_lower_case.one_of(TRUE_WORDS), in_lower_case.one_of(FALSE_WORDS))

    @cached_property
    def instants(self) -> Instants:
        return read_instants(self._readable, self.zone)

    def value(self, row: int) -> Any:
        scalar = self._values[row]
        value = python_value(scalar)
        return "bytes that are no UTF-8" if value is None and scalar.is_valid else value


class EncodedColumn(Column):
    """A column of few different values: each is judged once, however many rows have it.

    ``codes`` say which of ``values`` a row has; ``decode`` makes the column as if it had never
    been encoded, for whoever asks for all its values.
    """

    def __init__(self, codes: Codes, values: Column, decode: Callable[[], Column]) -> None:
        super().__init__(len(codes), values.zone)
        self._codes, self._values, self._decode = codes, values, decode

    def verdicts(self, holds: Callable[[Column], Mask]) -> Mask:
        verdicts: Mask = self._values.verdicts(holds)[self._codes]
        return verdicts

    def find_missing(self) -> Mask:
        missing: Mask = self._values.missing[self._codes]
        return missing

    def value(self, row: int) -> Any:
        return self._values.value(int(self._codes[row]))

    def ignoring_case(self) -> Column:
        in_lower_case = self._values.ignoring_case()
        return EncodedColumn(self._codes, in_lower_case, self._decode_in_lower_case)

    def _decode_in_lower_case(self) -> Column:
        return self._plain.ignoring_case()

    @property
    def dates_only(self) -> bool:
        return self._values.dates_only

    @cached_property
    def _plain(self) -> Column:
        return self._decode()

    @cached_property
    def numbers(self) -> Numbers:
        return self._plain.numbers

    @cached_property
    def texts(self) -> Texts:
        return self._plain.texts

    @cached_property
    def booleans(self) -> Booleans:
        return self._plain.booleans

    @cached_property
    def instants(self) -> Instants:
        return self._plain.instants


class NumberColumn(Column):
    """Integers, decimals or floats, or an aggregate that is a number."""

    def __init__(self, numbers: Numbers, zone: ZoneInfo) -> None:
        super().__init__(len(numbers.present), zone)
        self.numbers = numbers

    def find_missing(self) -> Mask:
        return ~self.numbers.present

    @cached_property
    def texts(self) -> Texts:
        return Texts(pa.chunked_array([self.numbers.texts()]))

    @cached_property
    def booleans(self) -> Booleans:
        return Booleans(self.numbers.equal(1), self.numbers.equal(0))

    def value(self, row: int) -> Any:
        return self.numbers.value(row)


class BooleanColumn(Column):
    """Booleans."""

    def __init__(self, booleans: Booleans, zone: ZoneInfo) -> None:
        super().__init__(len(booleans.true), zone)
        self.booleans = booleans

    def find_missing(self) -> Mask:
        return ~(self.booleans.true | self.booleans.false)

    @cached_property
    def texts(self) -> Texts:
        strings = np.where(self.booleans.true, "true", "false")
        values = pc.if_else(pa.array(self.missing), None, pa.array(strings, TEXT))
        return Texts(pa.chunked_array([values]))

    def value(self, row: int) -> Any:
        return None if self.missing[row] else bool(self.booleans.true[row])


class InstantColumn(Column):
    """Dates or times, or an aggregate that is one; shown in the zone."""

    def __init__(self, instants: Instants, zone: ZoneInfo, *, dates: bool = False) -> None:
        super().__init__(len(instants.present), zone)
        self.instants = instants
        self._dates = dates

    @property
    def dates_only(self) -> bool:
        return self._dates

    def find_missing(self) -> Mask:
        return ~self.instants.present

    @cached_property
    def texts(self) -> Texts:
        strings = [instant_text(self._local(row)) for row in range(self.size)]
        return Texts(pa.chunked_array([pa.array(strings, TEXT)]))

    def value(self, row: int) -> Any:
        if self.instants.present[row]:
            return self._local(row) or self.instants.beyond(row)
        return None

    def _local(self, row: int) -> date | None:
        instant = self.instants.value(row)
        if instant is None:
            return None
        try:
            local = instant.astimezone(self.zone)
        except OverflowError:
            return instant
        return local.date() if self._dates else local


def instant_text(value: date | None) -> str | None:
    """Return a date or time in ISO 8601."""
    return None if value is None else value.isoformat()
