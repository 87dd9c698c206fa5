"""What a template gives: pieces, of which each is the author's text or data that was printed.

Escaping needs to know which is which, and where a value stands: ``<{{ … }}|label>`` in Slack's
markup, ``href="{{ … }}"`` in HTML. So a rendering is kept in pieces until it is whole, whatever
macros, ``{% set %}`` and includes it went through, and is escaped then, once
(``segue.contracts.writing``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from segue.contracts.bounds import require_short
from segue.errors import ContactFailure

# NUL is in no mail, other control characters in none that is made today (RFC 5322, 3.5, 4.1)
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_PLACEHOLDER = re.compile(r"‹[\w.]+›")


class Piece(NamedTuple):
    """A text and whose it is: data is what an expression printed."""

    text: str
    is_data: bool


class Rendered(str):
    """Text in pieces. It stands for itself where it is printed; anything made of it is data."""

    __slots__ = ("pieces",)
    pieces: tuple[Piece, ...]

    def __str__(self) -> str:
        return self  # compiled templates put str() around whatever they print


def rendered(pieces: Iterable[Piece]) -> Rendered:
    """Put pieces together; those of the same owner side by side become one."""
    owners = groupby(pieces, key=lambda piece: piece.is_data)
    whole = tuple(
        Piece("".join(piece.text for piece in group), is_data) for is_data, group in owners
    )
    text = Rendered("".join(piece.text for piece in whole))
    text.pieces = whole
    return text


def data(text: str) -> Rendered:
    """Return text as data, whatever kind of text it was."""
    whole = Rendered(text)
    whole.pieces = (Piece(str.__str__(text), True),)
    return whole


def as_data(value: Any) -> Any:
    """Return what a filter or a call gave, as data where it is a text of no kind of its own.

    ``Markup`` is among them: what Jinja takes for escaped may hold quotes (``tojson``).
    """
    return data(value) if type(value) is str or isinstance(value, Markup) else value


def concat(parts: Iterable[Any]) -> Rendered:
    """Put together what a template's code gives: bare text stands in the template itself."""
    pieces: list[Piece] = []
    length = 0
    for part in parts:
        length += len(part)
        require_short(length)
        pieces += _pieces_of(part, is_data=type(part) is not str)
    return rendered(pieces)


def joined(parts: Iterable[Any]) -> Rendered:
    """Return ``a ~ b``: data, but for what is a rendering itself."""
    return rendered(piece for part in parts for piece in _pieces_of(str(part), is_data=True))


def _pieces_of(part: str, *, is_data: bool) -> Sequence[Piece]:
    if isinstance(part, Rendered):
        return part.pieces
    return (Piece(str.__str__(part), is_data),)


def is_unicode(text: str) -> bool:
    """Tell whether UTF-8 can carry a text: JSON brings halves of surrogate pairs, too."""
    try:
        str.encode(text)
    except UnicodeEncodeError:
        return False
    return True


def url_part(before: str, text: str, safe: str = "") -> str:
    """Return data as one part of a URL, behind what is there of it (RFC 3986, section 3.3).

    Raises ContactFailure where it would be a segment that leads to another path.
    """
    if text in (".", "..") and not {"?", "#"} & set(before):
        raise ContactFailure("a value in a URL is a segment . or .., which would lead elsewhere")
    return quote(text, safe=safe)


def is_placeholder(text: str) -> bool:
    """Tell whether a value is what previews show for one not known yet: ``‹results.a.url›``."""
    return _PLACEHOLDER.fullmatch(text) is not None
