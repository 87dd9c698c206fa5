"""Slack's markup: contact text in it mentions nobody and links nowhere.

Followed (2026-11):
    https://docs.slack.dev/messaging/formatting-message-text (``&``, ``<`` and ``>`` are escaped and
    nothing else is; whatever stands in ``<…>`` is a mention, a date or a link with its label
    behind ``|``)

What an expression prints between the author's own ``<`` and ``>`` is part of an address or of its
label: escaping the three characters would not keep ``!channel`` from being a mention there.
Formatting (``*bold*``, backticks) has no escape in Slack, and is let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from segue.contracts.rendered import Piece, is_placeholder, url_part
from segue.errors import ContactFailure

_PLAIN = re.compile(r"[^<>\n]*")
_WHOLE_URL = re.compile(r"https?://[^\s/?#|<>]", re.IGNORECASE)
_IN_A_URL = ":/?#[]@!$&'()*+,;=%~"  # what stays in a whole URL (RFC 3986)
_ID = re.compile(r"[A-Z0-9]{2,}")
_WORD = re.compile(r"[A-Za-z0-9]+")


def slack_markup(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the pieces with data escaped; raise ContactFailure for what cannot be a link."""
    inside: str | None = None  # what stands between an open < and here
    for index, piece in enumerate(pieces):
        if piece.is_data:
            closes = inside is not None and _closes(pieces[index + 1 :])
            text = _within(inside or "", piece.text) if closes else escaped(piece.text)
            yield Piece(text, True)
            inside = inside + text if inside is not None else None
        else:
            yield piece
            inside = _after(inside, piece.text)


def escaped(text: str) -> str:
    """Return text with the three characters escaped that Slack reads markup by."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _after(inside: str | None, text: str) -> str | None:
    """Return what is between an open ``<`` and the end of the author's text."""
    start = max(text.rfind("<"), text.rfind(">"), text.rfind("\n"))
    if start < 0:
        return None if inside is None else inside + text
    return text[start + 1 :] if text[start] == "<" else None


def _closes(pieces: Sequence[Piece]) -> bool:
    """Tell whether the author's next ``<``, ``>`` or line break is a ``>``."""
    for piece in pieces:
        match = _PLAIN.match(piece.text)
        if not piece.is_data and match is not None and match.end() < len(piece.text):
            return piece.text[match.end()] == ">"
    return False


def _within(before: str, text: str) -> str:
    """Return data as it stands in ``<…>``, behind what was written ``before`` it."""
    if "|" in before:
        return escaped(re.sub(r"\s+", " ", text))
    if not before:
        return _url(text)
    if before[0] in "@#!":
        if not (_WORD if before[0] == "!" else _ID).fullmatch(text) or before == "!":
            raise ContactFailure(f"a value is no id, and stands in <{before[0]}…>, a mention")
        return text
    return url_part(before, text, safe="@" if before.startswith("mailto:") else "")


def _url(text: str) -> str:
    if is_placeholder(text):
        return text
    if not _WHOLE_URL.match(text):
        raise ContactFailure("a value is no http or https URL, and stands in <…>, a link")
    return escaped(quote(text, safe=_IN_A_URL))
