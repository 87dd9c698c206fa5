"""How a template prints values: as a reader expects them, and as data where it has markup."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from jinja2.exceptions import UndefinedError

from segue.contracts.bounds import count_printed
from segue.contracts.template_values import MissingField, NoItems, is_missing
from segue.errors import ContactFailure


class Kind(StrEnum):
    """What a rendered template becomes, which decides how expressions are escaped."""

    TEXT = "text"  # plain text
    LINE = "line"  # one line: a subject, a name, an address
    HTML = "html"
    MRKDWN = "mrkdwn"  # Slack's markup
    PATH = "path"  # the path of a URL: what an expression prints is within one segment
    URL = "url"  # one line, whose expressions are parts of a path or a query
    CARD = "card"  # the Markdown of an Adaptive Card


PRINTED_EMPTY = "an empty value is printed"


def print_plain(value: Any) -> Any:
    """Turn a value into what a reader expects: no ``.0``, no ``None``, no ``nan``."""
    if isinstance(value, str):  # an empty one is what the template asks for: default("")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_missing(value):
        raise UndefinedError(PRINTED_EMPTY)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return _text_of_bytes(value)
    return _print_parts(value) if isinstance(value, _COMPOSED) else _print_whole(value)


def _print_whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float) and value in _INFINITE:
        raise ContactFailure("the template prints a number that is infinite")
    return str(value) if isinstance(value, int | float | timedelta) else value


_INFINITE = (float("inf"), float("-inf"))


def _print_parts(value: Any) -> str:
    if isinstance(value, NoItems):
        raise MissingField(value.name)
    if value == []:
        raise UndefinedError(PRINTED_EMPTY)
    if isinstance(value, list) and not any(isinstance(item, _COMPOSED) for item in value):
        return ", ".join(str(print_plain(item)) for item in value)
    raise ContactFailure("the template prints a list or a record as a whole; print its parts")


_COMPOSED = (list, tuple, dict)


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ContactFailure("the template prints bytes that are no text") from None


def _print_in_url(value: Any) -> str:
    """Turn a value into part of a URL: what a contact wrote begins no parameter and no path.

    It stays within one segment of a path (RFC 3986, section 3.3).
    """
    return quote(str(print_plain(value)), safe="")


_CARD_MARKS = re.compile(r"[\\`*_{}\[\]()<>~]|&(?=#?\w+;)")


_CARD_LISTS = re.compile(r"^([ \t]*)(?:([-+#=])(?=[\s#=-]|$)|([0-9]+)(\.)(?=\s|$))", re.MULTILINE)


def _print_in_card(value: Any) -> str:
    """Turn a value into text of a card's Markdown: nobody can link, mention or format.

    Cards understand a part of CommonMark, where a backslash makes any mark a character
    (https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features,
    https://spec.commonmark.org/0.31.2/#backslash-escapes). Brackets, parentheses and braces are
    each escaped, so that no link, ``<at>`` or ``{{DATE(…)}}`` is left for a client that does not
    know about backslashes; some on phones show them.
    """
    text = _CARD_MARKS.sub(r"\\\g<0>", str(print_plain(value)))
    return _CARD_LISTS.sub(
        lambda found: "".join([found[1], found[3] or "", "\\", found[2] or found[4]]), text
    )


def unescape_quotes(text: str) -> str:
    """Give back the quotes that HTML escapes and Slack does not know how to read.

    Slack's markup is escaped as HTML is (``&``, ``<``, ``>``), so a contact cannot mention or link
    (https://docs.slack.dev/messaging/formatting-message-text). An entity in a contact's own text
    has its ``&`` escaped, so it stays what it was.
    """
    return text.replace("&#34;", '"').replace("&#39;", "'")


PRINTERS = {Kind.PATH: _print_in_url, Kind.URL: _print_in_url, Kind.CARD: _print_in_card}


def counted_printer(print_: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a printer whose texts count towards the longest that a template may make."""
    return lambda value: count_printed(print_(value))
