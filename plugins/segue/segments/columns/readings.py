"""Read text as numbers and as instants, whole columns at a time (docs/conditions.md, "Dates")."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segue.directory.plain_columns import ArrowArray, ArrowColumn, pc
from segue.directory.python_values import python_value
from segue.segments.columns.instant_spellings import INSTANT_PATTERN, RESPELLINGS
from segue.segments.columns.instants import Instants
from segue.segments.columns.ordered import (
    Exact,
    ExactNumbers,
    Mask,
    Numbers,
    ScaledIntegers,
    exact_number,
    no_numbers,
)
from segue.segments.columns.wall_clock import to_utc

_BLANKS = " \t\n\v\f\r"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_FEW = 64  # texts that are looked at one by one
_DIGITS = 18  # decimal digits that always fit 64 bits


def not_utf8(texts: ArrowColumn) -> Mask:
    """Mark the texts that are none, as a writer that does not look leaves them in Parquet."""
    return np.concatenate([np.zeros(0, bool), *(_not_utf8(chunk) for chunk in texts.chunks)])


def _not_utf8(texts: ArrowArray) -> Mask:
    """Look at a part as a whole, and closer only where it is not right throughout."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        if len(texts) > _FEW:
            middle = len(texts) // 2
            return np.concatenate([_not_utf8(texts[:middle]), _not_utf8(texts[middle:])])
        return np.array([text.is_valid and python_value(text) is None for text in texts])
    return np.zeros(len(texts), bool)


def read_numbers(texts: ArrowColumn) -> Numbers:
    """Return text as numbers, missing where it is not one; exact, whatever the digits."""
    texts = pc.utf8_trim(texts, _BLANKS)
    is_number = pc.match_substring_regex(texts, f"^(?:{_NUMBER.pattern})$")
    numbers = pc.if_else(is_number, texts, None)
    if numbers.null_count == len(numbers):
        return no_numbers(len(numbers))
    scale = _plain_scale(numbers)
    if scale is None:
        return ExactNumbers([None if t is None else exact_number(t) for t in numbers.to_pylist()])
    present = mask_of(numbers.is_valid())
    units = unscaled(numbers.cast(pa.decimal128(_DIGITS + 1, scale)))
    return ScaledIntegers(units[0], present, scale)


def read_number(text: str) -> Exact | None:
    """Return one text as a number; the same rule as ``read_numbers``."""
    text = text.strip(_BLANKS)
    return exact_number(text) if _NUMBER.fullmatch(text) else None


def unscaled(decimals: ArrowColumn) -> tuple[npt.NDArray[np.int64], bool]:
    """Return the units of a decimal128 column (0 where null), and whether 64 bits hold them all."""
    without_nulls = pc.fill_null(decimals, pa.scalar(Decimal(0), decimals.type))
    words = [_words(chunk) for chunk in without_nulls.chunks]
    both = np.concatenate(words) if words else np.zeros((0, 2), dtype=np.int64)
    low, high = both[:, 0], both[:, 1]
    return low, bool(np.array_equal(high, low >> 63))


def read_instants(texts: ArrowColumn, zone: ZoneInfo) -> Instants:
    """Return text as instants, missing where it is no date or date-time of ISO 8601.

    Spellings of databases that differ from it in blanks and in the name of UTC are read, too.
    """
    valid = _is_iso(texts)
    others = pc.and_not(texts.is_valid(), valid)
    if pc.any(others).as_py():
        texts = pc.replace_with_mask(texts, others.combine_chunks(), _respelt(texts.filter(others)))
        valid = _is_iso(texts)
    iso_texts = pc.if_else(valid, texts, None)
    present = mask_of(iso_texts.is_valid())
    if not present.any():
        return Instants(no_numbers(len(iso_texts)))
    plain = _as_arrow_reads_it(iso_texts)
    has_offset = pc.match_substring_regex(plain, "[T ].*(?:Z|[+-][0-9:]+)$")
    wall = _microseconds(pc.if_else(has_offset, None, plain), None)
    aware = _microseconds(pc.if_else(has_offset, plain, None), "UTC")
    units = np.where(mask_of(has_offset), aware, to_utc(wall, 6, zone))
    return Instants(ScaledIntegers(units, present, 6))


def _is_iso(texts: ArrowColumn) -> Any:
    is_instant = pc.match_substring_regex(texts, f"^(?:{INSTANT_PATTERN})$")
    return pc.fill_null(pc.and_not(is_instant, pc.starts_with(texts, "0000")), False)


def _respelt(texts: ArrowColumn) -> Any:
    for pattern, iso in RESPELLINGS:
        texts = pc.replace_substring_regex(texts, pattern, iso)
    return texts.combine_chunks()


def mask_of(values: ArrowColumn | ArrowArray) -> Mask:
    """Return an Arrow boolean column as a mask; null is False."""
    truths: Any = pc.fill_null(values, False)
    is_chunked = isinstance(truths, pa.ChunkedArray)
    mask: Mask = truths.to_numpy() if is_chunked else truths.to_numpy(zero_copy_only=False)
    return mask


def _plain_scale(numbers: ArrowColumn) -> int | None:
    """Return the most decimals of any number, None if some need more than 64 bits or have an e."""
    if pc.any(pc.match_substring_regex(numbers, "[eE]")).as_py():
        return None
    length = pc.binary_length(numbers)
    point = pc.find_substring(numbers, ".")
    decimals = pc.if_else(pc.equal(point, -1), 0, pc.subtract(pc.subtract(length, point), 1))
    scale = int(pc.max(decimals).as_py())
    whole = int(pc.max(pc.subtract(length, decimals)).as_py())
    return scale if scale + whole <= _DIGITS else None


def _words(decimals: ArrowArray) -> npt.NDArray[np.int64]:
    """Return each decimal's 128 bits as two signed 64-bit words, the low one first."""
    buffer = decimals.buffers()[1]
    if buffer is None or not len(decimals):
        return np.zeros((0, 2), dtype=np.int64)
    words: npt.NDArray[np.int64] = np.frombuffer(memoryview(buffer), dtype=np.int64).reshape(-1, 2)
    return words[decimals.offset : decimals.offset + len(decimals)]


def _as_arrow_reads_it(texts: ArrowColumn) -> Any:
    """Return valid instants in the one spelling that Arrow casts: T, Z, a point, six decimals."""
    upper = pc.ascii_upper(texts)
    if pc.any(pc.match_substring(upper, ",")).as_py():
        upper = pc.replace_substring(upper, ",", ".")
    if pc.any(pc.match_substring_regex(upper, r"\.[0-9]{7}")).as_py():
        upper = pc.replace_substring_regex(upper, r"(\.[0-9]{6})[0-9]+", r"\1")
    return upper


def _microseconds(texts: ArrowColumn, timezone: str | None) -> npt.NDArray[np.int64]:
    times = texts.cast(pa.timestamp("us", timezone)).cast(pa.int64())
    numbers: npt.NDArray[np.int64] = pc.fill_null(times, 0).to_numpy()
    return numbers
