"""Values with an order, and numbers, compared with operands exactly.

Three ways to hold numbers, the same questions to each: scaled integers (integers, decimals, whole
columns of plain text numbers, and instants), doubles, and, slowly, whatever mixes or exceeds them.
A comparison never rounds: 2**53 + 1 is greater than 2**53, also against a double.

Arrays are shared between views and never written to. Every comparison is False where the value is
missing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.directory.plain_columns import TEXT, pc
from segue.segments.columns.exact_sums import group_sums

Mask: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[Any]  # int64, or uint64 where a column is
Floats: TypeAlias = npt.NDArray[np.float64]
Groups: TypeAlias = npt.NDArray[np.int64]  # for each row, which group (contact) it belongs to
Exact: TypeAlias = int | Decimal | float
Operand = TypeVar("Operand")

# Wide enough for any sum of numbers that ``exact_number`` returns; a rounding would be a bug.
_ARITHMETIC = Context(prec=4000, traps=[Inexact])


class Ordered(ABC, Generic[Operand]):
    """One value per row, some missing; ``present`` marks the others."""

    present: Mask

    @abstractmethod
    def below(self, operand: Operand) -> Mask:
        """Return where value < operand."""

    @abstractmethod
    def at_most(self, operand: Operand) -> Mask:
        """Return where value <= operand."""

    def at_least(self, operand: Operand) -> Mask:
        """Return where value >= operand."""
        return self.present & ~self.below(operand)

    def above(self, operand: Operand) -> Mask:
        """Return where value > operand."""
        return self.present & ~self.at_most(operand)

    def equal(self, operand: Operand) -> Mask:
        """Return where value == operand."""
        return self.at_most(operand) & ~self.below(operand)

    def one_of(self, operands: Sequence[Operand]) -> Mask:
        """Any of the operands is equal to the value."""
        mask = np.zeros(len(self.present), dtype=bool)
        for operand in operands:
            mask |= self.equal(operand)
        return mask


class Numbers(Ordered[int | float]):
    """Numbers, which can also be added up and shown."""

    @abstractmethod
    def rows(self, mask: Mask) -> Numbers:
        """Return the chosen rows."""

    @abstractmethod
    def sums(self, groups: Groups, size: int) -> Numbers:
        """Return the sum of each of ``size`` groups; missing values add nothing."""

    def means(self, groups: Groups, size: int) -> Doubles:
        """Return the mean of each group, rounded to a double; missing where a group has none."""
        counts = np.bincount(groups[self.present], minlength=size).astype(np.int64)
        return _means(self.sums(groups, size), counts)

    @abstractmethod
    def least(self, groups: Groups, size: int) -> Numbers:
        """Return the least number of each group; missing where a group has none."""

    @abstractmethod
    def greatest(self, groups: Groups, size: int) -> Numbers:
        """Return the greatest number of each group; missing where a group has none."""

    @abstractmethod
    def texts(self) -> Any:
        """Return the numbers as text: no trailing ``.0``, the same for the same number."""

    @abstractmethod
    def value(self, row: int) -> Exact | None:
        """Return one number as a Python value."""


@dataclass(frozen=True)
class ScaledIntegers(Numbers):
    """The numbers ``units / 10**scale``; units of missing rows are arbitrary."""

    units: Integers
    present: Mask
    scale: int = 0

    def below(self, operand: int | float | Fraction) -> Mask:
        return self._units_below(math.ceil(self._scaled(operand)))

    def at_most(self, operand: int | float | Fraction) -> Mask:
        return self._units_below(math.floor(self._scaled(operand)) + 1)

    def equal(self, operand: int | float | Fraction) -> Mask:
        return self.one_of([operand])

    def one_of(self, operands: Iterable[int | float | Fraction]) -> Mask:
        fractions = (self._scaled(operand) for operand in operands)
        limits = np.iinfo(self.units.dtype)
        whole = {int(s) for s in fractions if s.denominator == 1 and limits.min <= s <= limits.max}
        if len(whole) == 1:
            single: Mask = self.units == whole.pop()
            return self.present & single
        equal: Mask = np.isin(self.units, np.array(sorted(whole), self.units.dtype))
        return self.present & equal

    def rows(self, mask: Mask) -> ScaledIntegers:
        return ScaledIntegers(self.units[mask], self.present[mask], self.scale)

    def sums(self, groups: Groups, size: int) -> Numbers:
        units, groups = self.units[self.present], groups[self.present]
        everywhere = np.ones(size, dtype=bool)
        largest = max(int(units.max()), -int(units.min()), 0) if len(units) else 0
        if largest * len(units) > np.iinfo(np.int64).max:
            return self._exact().sums(groups, size)
        totals = np.zeros(size, dtype=np.int64)
        np.add.at(totals, groups, units.astype(np.int64, copy=False))
        return ScaledIntegers(totals, everywhere, self.scale)

    def texts(self) -> Any:
        missing = pa.array(~self.present)
        if self.scale == 0:
            strings = pa.array(self.units).cast(TEXT)
            return pc.if_else(missing, None, strings)
        if self.scale > 18:  # 10**19 does not fit
            return ExactNumbers([self.value(row) for row in range(len(self.units))]).texts()
        whole, part = np.divmod(np.abs(self.units), 10**self.scale)
        sign = pa.array(np.where(self.units < 0, "-", ""), TEXT)
        digits = pc.utf8_lpad(pa.array(part).cast(TEXT), self.scale, "0")
        strings = pc.binary_join_element_wise(
            sign, pa.array(whole).cast(TEXT), pa.scalar(".", TEXT),
            digits, pa.scalar("", TEXT),
        )  # fmt: skip
        return pc.if_else(missing, None, pc.utf8_rtrim(pc.utf8_rtrim(strings, "0"), "."))

    def value(self, row: int) -> Exact | None:
        if not self.present[row]:
            return None
        units = int(self.units[row])
        return units if self.scale == 0 else Decimal(units).scaleb(-self.scale, _ARITHMETIC)

    def least(self, groups: Groups, size: int) -> ScaledIntegers:
        return self._extreme(np.minimum, np.iinfo(self.units.dtype).max, groups, size)

    def greatest(self, groups: Groups, size: int) -> ScaledIntegers:
        return self._extreme(np.maximum, np.iinfo(self.units.dtype).min, groups, size)

    def _extreme(self, choose: np.ufunc, start: int, groups: Groups, size: int) -> ScaledIntegers:
        units, groups = self.units[self.present], groups[self.present]
        has_value = np.zeros(size, dtype=bool)
        has_value[groups] = True
        extreme = np.full(size, start, dtype=self.units.dtype)
        choose.at(extreme, groups, units)
        return ScaledIntegers(extreme, has_value, self.scale)

    def _exact(self) -> ExactNumbers:
        """Return the present rows as Python numbers."""
        values: list[Exact | None] = [self.value(int(row)) for row in np.flatnonzero(self.present)]
        return ExactNumbers(values)

    def _units_below(self, bound: int) -> Mask:
        limits = np.iinfo(self.units.dtype)
        if bound > limits.max:
            return self.present
        if bound <= limits.min:
            return np.zeros(len(self.units), dtype=bool)
        return self.present & (self.units < bound)

    def _scaled(self, operand: int | float | Fraction) -> Fraction:
        # A float in YAML was written in decimal: 19.99 means 19.99, not the double next to it.
        exact = Fraction(repr(operand)) if isinstance(operand, float) else Fraction(operand)
        return exact * Fraction(10) ** self.scale


@dataclass(frozen=True)
class Doubles(Numbers):
    """Floating-point numbers; NaN is missing."""

    values: Floats

    @property
    def present(self) -> Mask:  # type: ignore[override]
        return ~np.isnan(self.values)

    def below(self, operand: int | float) -> Mask:
        nearest = _nearest_double(operand)
        return self.values <= nearest if nearest < operand else self.values < nearest

    def at_most(self, operand: int | float) -> Mask:
        nearest = _nearest_double(operand)
        return self.values < nearest if nearest > operand else self.values <= nearest

    def one_of(self, operands: Sequence[int | float]) -> Mask:
        exact = [n for n in map(_nearest_double, operands) if n in operands]
        return np.isin(self.values, np.array(exact, dtype=np.float64))

    def rows(self, mask: Mask) -> Doubles:
        return Doubles(self.values[mask])

    def sums(self, groups: Groups, size: int) -> Doubles:
        present = self.present
        return Doubles(group_sums(self.values[present], groups[present], size))

    def least(self, groups: Groups, size: int) -> Doubles:
        return self._extreme(np.fmin, groups, size)

    def greatest(self, groups: Groups, size: int) -> Doubles:
        return self._extreme(np.fmax, groups, size)

    def _extreme(self, choose: np.ufunc, groups: Groups, size: int) -> Doubles:
        extreme = np.full(size, math.nan)
        choose.at(extreme, groups, self.values)  # these pass over NaN, which is missing
        return Doubles(extreme)

    def texts(self) -> Any:
        whole = np.isfinite(self.values) & (np.trunc(self.values) == self.values)
        whole &= np.abs(self.values) < 2.0**63
        integers = pa.array(np.where(whole, self.values, 0).astype(np.int64))
        column = integers.cast(TEXT)
        others = np.flatnonzero(self.present & ~whole)
        texts = [number_text(float(value)) for value in self.values[others]]
        column = pc.replace_with_mask(
            column, pa.array(self.present & ~whole), pa.array(texts, TEXT)
        )
        return pc.if_else(pa.array(~self.present), None, column)

    def value(self, row: int) -> Exact | None:
        value = float(self.values[row])
        return None if math.isnan(value) else value


@dataclass(frozen=True)
class ExactNumbers(Numbers):
    """Any mixture of integers, decimals and floats, one Python object each: exact, and slow."""

    values: Sequence[Exact | None]

    @property
    def present(self) -> Mask:  # type: ignore[override]
        return np.array([value is not None for value in self.values], dtype=bool)

    def below(self, operand: int | float) -> Mask:
        return self._compare(operand, lambda value, other: value < other)

    def at_most(self, operand: int | float) -> Mask:
        return self._compare(operand, lambda value, other: value <= other)

    def rows(self, mask: Mask) -> ExactNumbers:
        return ExactNumbers([self.values[int(row)] for row in np.flatnonzero(mask)])

    def sums(self, groups: Groups, size: int) -> ExactNumbers:
        return ExactNumbers([_exact_sum(values) for values in self._by_group(groups, size)])

    def least(self, groups: Groups, size: int) -> ExactNumbers:
        return ExactNumbers([min(v, default=None) for v in self._by_group(groups, size)])

    def greatest(self, groups: Groups, size: int) -> ExactNumbers:
        return ExactNumbers([max(v, default=None) for v in self._by_group(groups, size)])

    def _by_group(self, groups: Groups, size: int) -> list[list[Exact]]:
        members: list[list[Exact]] = [[] for _ in range(size)]
        for group, value in zip(groups.tolist(), self.values, strict=True):
            if value is not None:
                members[group].append(value)
        return members

    def texts(self) -> Any:
        strings = [None if value is None else number_text(value) for value in self.values]
        return pa.array(strings, TEXT)

    def value(self, row: int) -> Exact | None:
        return self.values[row]

    def _compare(self, operand: int | float, holds: Callable[[Any, Any], bool]) -> Mask:
        decimal = Decimal(repr(operand)) if isinstance(operand, float) else operand
        return np.array(
            [
                value is not None and holds(value, operand if _is_float(value) else decimal)
                for value in self.values
            ],
            dtype=bool,
        )


def no_numbers(size: int) -> ScaledIntegers:
    """Return ``size`` missing numbers."""
    return ScaledIntegers(np.zeros(size, dtype=np.int64), np.zeros(size, dtype=bool))


def exact_number(text: str) -> Exact:
    """Return a number that is known to be well-formed; beyond a double's range, as a double."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return float(text)
    if number.is_zero():
        return 0
    return number if -400 <= number.adjusted() <= 308 and len(text) <= 1000 else float(number)


def number_text(value: Exact) -> str:
    """Return a number as text, without a trailing ``.0`` and the same however it is stored."""
    if isinstance(value, float):
        if not math.isfinite(value) or abs(value) >= 2.0**63 or value != int(value):
            return repr(value)
        return str(int(value))
    text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def _nearest_double(operand: int | float) -> float:
    try:
        return float(operand)
    except OverflowError:
        return math.inf if operand > 0 else -math.inf


def _means(sums: Numbers, counts: npt.NDArray[np.int64]) -> Doubles:
    """Return sums divided by counts, each the nearest double to the exact quotient."""
    fast = _quick_means(sums, np.maximum(counts, 1))
    if fast is not None:
        return Doubles(np.where(counts > 0, fast, math.nan))
    means = np.full(len(counts), math.nan)
    for group in np.flatnonzero(counts):
        means[group] = _quotient(sums.value(int(group)), int(counts[group]))
    return Doubles(means)


def _quick_means(sums: Numbers, counts: npt.NDArray[np.int64]) -> Floats | None:
    """Return the quotients by one division of doubles, where both sides are exact in them."""
    if isinstance(sums, Doubles):
        return sums.values / counts
    if not isinstance(sums, ScaledIntegers):
        return None
    largest = max(np.abs(sums.units).max(initial=0), int(counts.max(initial=1)) * 10**sums.scale)
    return sums.units / (counts * 10**sums.scale) if largest < 2**53 else None


def _quotient(total: Exact | None, count: int) -> float:
    if total is None:  # inf - inf
        return math.nan
    if isinstance(total, float):
        return total / count
    try:
        return float(Fraction(total) / count)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def _exact_sum(values: Sequence[Exact]) -> Exact | None:
    if any(_is_float(value) and not math.isfinite(value) for value in values):
        total = sum(float(value) for value in values)
        return None if math.isnan(total) else total
    exact = Decimal(0)
    for value in values:
        exact = _ARITHMETIC.add(exact, Decimal(value))
    return float(exact) if any(map(_is_float, values)) else exact


def _is_float(value: object) -> bool:
    return isinstance(value, float)
