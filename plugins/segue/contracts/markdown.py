"""Markdown: contact text in it is text, and neither links, shows pictures nor formats.

Followed (2026-11):
    https://spec.commonmark.org/0.31.2/#backslash-escapes (a backslash makes any mark a character)
    https://github.github.com/gfm/#autolinks-extension- (``https://``, ``www.`` and addresses), for
    readers that know more than cards do
    https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features (what cards know)

Brackets, parentheses and braces are each escaped, so that no link, ``<at>``, ``{{DATE(…)}}`` or
placeholder is left for a reader that does not know about backslashes; some on phones show them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from segue.contracts.rendered import Piece, is_placeholder, url_part
from segue.errors import ContactFailure

_MARKS = re.compile(r"[\\`*_{}\[\]()<>~]|&(?=#?\w+;)")
_MORE_MARKS = re.compile(r"\||:(?=//)|(?<!:)/(?=/)|(?<=www)\.|@(?=[\w-]+\.)", re.IGNORECASE)
# where a block may begin: at the start of a value, and behind each of its line breaks
_BLOCKS = re.compile(r"(?<![^\n\r])([ \t]*)(?:([-+#=])(?=[\s#=-]|$)|([0-9]{1,9})(\.)(?=\s|$))")
# what would begin a block of code; its blanks are not shown anywhere else
_INDENT = re.compile(r"(?<![^\n\r])(?: {4,}|[ \t]*\t[ \t]*)")
# an address that the author has begun, of a link or written out
_ADDRESS = re.compile(r"(?:\]\(\s*<?([^()<>\s]*)|(https?://[^()<>\s]*))$", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s/?#]", re.IGNORECASE)
_IN_A_URL = ":/?#@!$&',;=%~+"  # what stays in a whole URL; brackets and blanks would end it


def card_markdown(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the pieces of a card's text with data escaped."""
    return _escaped_pieces(pieces, _escaped)


def full_markdown(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the pieces of any Markdown with data escaped: its addresses become no links either."""
    return _escaped_pieces(pieces, lambda text: _MORE_MARKS.sub(r"\\\g<0>", _escaped(text)))


def _escaped_pieces(pieces: Sequence[Piece], escape: Callable[[str], str]) -> Iterator[Piece]:
    address: str | None = None  # what is there of an address that goes on here
    for text, is_data in pieces:
        if is_data:
            markup = escape(text) if address is None else _within(address, text)
            yield Piece(markup, True)
            address = None if address is None else address + markup
        else:
            yield Piece(text, False)
            match = _ADDRESS.search(f"]({address}{text}" if address is not None else text)
            address = (match[1] or match[2] or "") if match else None


def _escaped(text: str) -> str:
    text = _INDENT.sub(" ", _MARKS.sub(r"\\\g<0>", text))
    return _BLOCKS.sub(
        lambda match: "".join([match[1], match[3] or "", "\\", match[2] or match[4]]), text
    )


def _within(address: str, text: str) -> str:
    """Return data as part of an address; raise ContactFailure for a whole one of another kind."""
    if address:
        return url_part(address, text)
    if is_placeholder(text):
        return text
    if not _URL.match(text):
        raise ContactFailure("a value is no http or https URL, and stands in a link's (…)")
    return quote(text, safe=_IN_A_URL)
