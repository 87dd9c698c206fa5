"""What may stand to the right of an operator, and how it is read.

An operand's parser takes plain data and returns what the operator works with; it raises
ValueError with a message that says what was found and what is allowed.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from datetime import date, datetime
from fractions import Fraction
from typing import Any, ClassVar

from segue.directory.patterns import require_pattern
from segue.durations import Duration, parse_duration
from segue.segments.columns.instant_spellings import parse_instant

Scalar = str | bool | int | float


def compared_as(element: Scalar) -> type:
    """Return the type by which an element is compared: text, a truth or a number."""
    return next((kind for kind in (str, bool) if isinstance(element, kind)), float)


_SHARE = re.compile(r"((?:100|[0-9]{1,2})(?:\.[0-9]{1,9})?)%")


class Operand(ABC):
    """One kind of operand; ``schema`` is its JSON Schema."""

    schema: ClassVar[dict[str, Any]]

    @abstractmethod
    def parse(self, data: object) -> Any:
        """Return the operand; raise ValueError for anything that is not one."""


class AnyScalar(Operand):
    """Text, a number or a boolean; its own type decides how a column is read."""

    schema: ClassVar = {"type": ["string", "number", "boolean"]}

    def parse(self, data: object) -> Scalar:
        if isinstance(data, bool):
            return data
        if isinstance(data, int | float):
            return _finite(data)
        if isinstance(data, str):
            return _text(data)
        if data is None:
            raise ValueError("the operand is missing; to find missing values write is_empty: true")
        raise _mismatch("text, a number or a boolean", data)


class ScalarList(Operand):
    """A list of text, numbers and booleans, each read by its own type."""

    schema: ClassVar = {"type": "array", "minItems": 1, "items": AnyScalar.schema}

    def parse(self, data: object) -> tuple[Scalar, ...]:
        if not isinstance(data, list | tuple):
            raise _mismatch("a list such as [gold, silver]", data)
        if not data:
            raise ValueError("expected at least one element, found an empty list")
        return tuple(AnyScalar().parse(element) for element in data)


class Text(Operand):
    """Text that is not empty."""

    schema: ClassVar = {"type": "string", "minLength": 1}

    def parse(self, data: object) -> str:
        if not isinstance(data, str):
            hint = ' (quote it to make it text: "…")' if isinstance(data, int | float) else ""
            raise _mismatch("text", data, hint)
        return _text(data)


class Pattern(Operand):
    """A regular expression in the syntax of RE2, which needs linear time and so no backtracking."""

    schema: ClassVar = {"type": "string", "minLength": 1, "examples": ["^\\\\+44"]}

    def parse(self, data: object) -> str:
        return require_pattern(Text().parse(data))


class Number(Operand):
    """A finite number."""

    schema: ClassVar = {"type": "number"}

    def parse(self, data: object) -> int | float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise _mismatch("a number", data)
        return _finite(data)


class NumberRange(Operand):
    """The least and the greatest number of a range, both of them in it."""

    schema: ClassVar = {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": Number.schema,
        "examples": [[18, 65]],
    }

    def parse(self, data: object) -> tuple[int | float, int | float]:
        if not isinstance(data, list | tuple) or len(data) != 2:
            raise _mismatch("two numbers such as [18, 65]", data)
        least, greatest = (Number().parse(bound) for bound in data)
        if least > greatest:
            raise ValueError(f"nothing is between {least} and {greatest}; the lesser comes first")
        return least, greatest


class Day(Operand):
    """A calendar day."""

    schema: ClassVar = {
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        "examples": ["2026-11-22"],
    }

    def parse(self, data: object) -> date:
        instant = parse_instant(data) if isinstance(data, str) and len(data) == 10 else None
        if instant is None:
            raise _mismatch("a day such as 2026-11-22", data)
        return instant.date()


class Instant(Operand):
    """An ISO 8601 date, meaning its midnight, or date-time; naive ones are in the zone."""

    schema: ClassVar = {"type": "string", "examples": ["2026-11-22", "2026-11-22T06:00:00Z"]}

    def parse(self, data: object) -> datetime:
        instant = parse_instant(data) if isinstance(data, str) else None
        if instant is None:
            raise _mismatch("a date or time such as 2026-11-22 or 2026-11-22T06:00:00Z", data)
        return instant


class Span(Operand):
    """A duration."""

    schema: ClassVar = {
        "type": "string",
        "pattern": "^[0-9]{1,6}(mo|[smhdwy])$",
        "examples": ["30d"],
    }

    def parse(self, data: object) -> Duration:
        duration = parse_duration(data)
        if not duration.amount:
            raise ValueError(f"nothing is within {duration}; expected at least 1, such as 1d")
        return duration


class Share(Operand):
    """A percentage from 0% to 100%; parsed to how many of 2**64 equally likely draws it takes."""

    schema: ClassVar = {
        "type": "string",
        "pattern": "^(100|[0-9]{1,2})(\\.[0-9]{1,9})?%$",
        "examples": ["10%"],
    }

    def parse(self, data: object) -> int:
        match = _SHARE.fullmatch(data) if isinstance(data, str) else None
        if match is None or Fraction(match[1]) > 100:
            raise _mismatch("a share from 0% to 100%, such as 10% or 0.5%", data)
        return math.ceil(Fraction(match[1]) / 100 * 2**64)


class Flag(Operand):
    """``true``: operators that need no operand take it, because a YAML key needs a value."""

    schema: ClassVar = {"const": True}

    def parse(self, data: object) -> bool:
        if data is not True:
            raise _mismatch("true", data)
        return True


def shape(data: object) -> str:
    """Return how an error shows ``data``: text quoted, lists and mappings by name only."""
    if isinstance(data, dict):
        return "a mapping"
    if isinstance(data, list | tuple):
        return "a list"
    if data is None:
        return "nothing"
    if isinstance(data, bool):
        return "true" if data else "false"
    return repr(data)


def _mismatch(expectation: str, data: object, hint: str = "") -> ValueError:
    return ValueError(f"expected {expectation}, found {shape(data)}{hint}")


def _finite(number: int | float) -> int | float:
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"expected a finite number, found {number!r}")
    return number


def _text(text: str) -> str:
    if not text:
        raise ValueError('"" matches nothing; to find missing values write is_empty: true')
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("the text is not valid Unicode (it holds a lone surrogate)") from None
    return text
