"""Filters that print dates, numbers and money as the message's language does, by Babel.

Babel is imported when the first of them prints something. A value that is none of its kind fails
its contact, as does one that is beyond what a message has a use for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any

from jinja2 import Undefined, pass_context

from segue.contracts.languages import UNSAID, require_language, spoken
from segue.errors import ContactFailure

_LONGEST = 100  # characters of a text that is read, and of a format
_LARGEST = Decimal(10) ** 30
_MOST_DIGITS = 12
_PRECISION = 60  # digits, with which all of them are exact
_CURRENCY = re.compile(r"[A-Z]{3}")
Number = int | float | Decimal


@pass_context  # the language is that of a rendering: nothing is printed before there is one
def local_date(_context: object, value: Any, format: Any = "medium", locale: Any = None) -> Any:
    """Return a date in words or figures: ``22 Nov 2026``; a time has the date of its own zone."""
    if isinstance(value, Undefined):
        return value
    from babel.dates import format_date

    day = _date(value)
    if not isinstance(format, str) or len(format) > _LONGEST:
        raise ContactFailure("the filter `date` meets a format that is none")
    return _printed("date", lambda: format_date(day, format, locale=_locale(locale)))


@pass_context
def local_number(_context: object, value: Any, digits: Any = None, locale: Any = None) -> Any:
    """Return a number with the language's marks: ``1,234.5``; ``digits`` are behind the point."""
    if isinstance(value, Undefined):
        return value
    from babel.numbers import format_decimal

    number, pattern = _number("decimal", value), _pattern("decimal", digits, "#,##0", "#,##0.###")
    return _printed("decimal", lambda: format_decimal(number, pattern, locale=_locale(locale)))


@pass_context
def local_percent(_context: object, value: Any, digits: Any = None, locale: Any = None) -> Any:
    """Return a share as a percentage: 0.25 is ``25%``."""
    if isinstance(value, Undefined):
        return value
    from babel.numbers import format_decimal, format_percent

    number = _number("percent", value)
    if digits is None:
        return _printed("percent", lambda: format_percent(number, locale=_locale(locale)))
    pattern = _percent_pattern(_locale(locale), _pattern("percent", digits, "#,##0", ""))
    return _printed("percent", lambda: format_decimal(number, pattern, locale=_locale(locale)))


@pass_context
def money(_context: object, value: Any, currency: Any, locale: Any = None) -> Any:
    """Return an amount of a currency, by its ISO code: ``€1,234.50``."""
    if isinstance(value, Undefined):
        return value
    if isinstance(currency, Undefined):
        return currency
    from babel.numbers import format_currency

    number = _number("money", value)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise ContactFailure("the filter `money` meets a currency that is no code such as EUR")
    return _printed("money", lambda: format_currency(number, currency, locale=_locale(locale)))


FILTERS: Mapping[str, Callable[..., Any]] = {
    "date": local_date,
    "decimal": local_number,
    "money": money,
    "percent": local_percent,
}


def _printed(name: str, make: Callable[[], str]) -> str:
    """Return what Babel prints; what it cannot print is the value's or the format's fault."""
    try:
        with localcontext() as context:
            context.prec = _PRECISION
            return make()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise ContactFailure(f"the filter `{name}` cannot print its value in this format") from None


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST:
        try:
            return datetime.fromisoformat(value.strip()).date()
        except ValueError:
            pass
    raise ContactFailure("the filter `date` meets a value that is no date such as 2026-11-22")


def _number(name: str, value: Any) -> Number:
    number = _read(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float | Decimal):
        raise ContactFailure(f"the filter `{name}` meets a value that is no number")
    if not math.isfinite(number) if isinstance(number, float) else _is_no_number(number):
        raise ContactFailure(f"the filter `{name}` meets a number that is infinite, or none")
    if not -_LARGEST < number < _LARGEST:
        raise ContactFailure(f"the filter `{name}` meets a number of more than 30 digits")
    return number


def _is_no_number(number: int | Decimal) -> bool:
    return isinstance(number, Decimal) and not number.is_finite()


def _read(text: str) -> object:
    # dear: DAG files are parsed without Arrow
    from segue.segments.columns.readings import read_number

    return read_number(text) if len(text) <= _LONGEST else None


def _pattern(name: str, digits: Any, whole: str, otherwise: str) -> str:
    if digits is None:
        return otherwise
    if not isinstance(digits, int) or isinstance(digits, bool) or not 0 <= digits <= _MOST_DIGITS:
        raise ContactFailure(f"the filter `{name}` prints 0 to {_MOST_DIGITS} digits")
    return f"{whole}.{'0' * digits}" if digits else whole


def _percent_pattern(locale: Any, number: str) -> str:
    """Return the language's own place of the sign, around a number's pattern."""
    own = locale.percent_formats[None].pattern
    return re.sub(r"[#0,.]+", number, own, count=1)


def _locale(named: Any) -> Any:
    return _babels(spoken() if named is None else require_language(named))


@lru_cache(maxsize=64)
def _babels(tag: str) -> Any:
    """Return Babel's locale of a language, of the language at large where it knows no such one."""
    from babel.core import Locale, UnknownLocaleError

    parts = tag.split("-")
    for size in range(len(parts), 0, -1):
        try:
            return Locale.parse("-".join(parts[:size]), sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse(UNSAID)
