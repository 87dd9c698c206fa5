"""How a template prints values: as a reader expects them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from jinja2 import pass_context
from jinja2.exceptions import UndefinedError

from segue.contracts.bounds import count_printed
from segue.contracts.rendered import Rendered, data
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
    MARKDOWN = "markdown"  # all of Markdown, as help desks read it


PRINTED_EMPTY = "an empty value is printed"


@pass_context  # constants are data as well, so none of them is printed before there is a context
def printed(_context: object, value: Any) -> Rendered:
    """Return what an expression prints: data, but for what is a rendering itself."""
    text = value if isinstance(value, Rendered) else str(print_plain(value))
    count_printed(text)
    return text if isinstance(text, Rendered) else data(text)


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
