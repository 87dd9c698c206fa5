"""How the pieces of a rendering become a text of a kind: data escaped, once, where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from segue.contracts.html_contexts import escaped_html
from segue.contracts.markdown import card_markdown, full_markdown
from segue.contracts.printing import Kind
from segue.contracts.rendered import NO_TEXT, Piece
from segue.contracts.slack_markup import slack_markup
from segue.errors import ContactFailure


def written(kind: Kind, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Return the pieces as they stand in a text of a kind.

    Raises ContactFailure for a value that cannot stand where it would.
    """
    return list(_WRITERS[kind](pieces))


@dataclass(frozen=True, slots=True)
class VendorMarkup:
    """What a vendor itself replaces in texts, such as ``${…}``; ``what`` it is, for errors."""

    pattern: re.Pattern[str]
    what: str


def require_own(markup: VendorMarkup, pieces: Sequence[Piece]) -> None:
    """Raise ContactFailure where data is part of what only the author may write.

    It is the text as a whole that counts, so that parts of several values are found as well, and
    without control characters, which the vendor may leave out.
    """
    pieces = [Piece(NO_TEXT.sub("", text), is_data) for text, is_data in pieces]
    text = "".join(piece.text for piece in pieces)
    spans = [match.span() for match in markup.pattern.finditer(text)]
    position = 0
    for piece in pieces:
        end = position + len(piece.text)
        if piece.is_data and any(start < end and position < stop for start, stop in spans):
            raise ContactFailure(f"a contact's value has {markup.what}")
        position = end


def _as_it_is(pieces: Sequence[Piece]) -> Iterable[Piece]:
    return pieces


def _part_of_a_url(pieces: Sequence[Piece]) -> Iterable[Piece]:
    """Encode data, so that it begins no parameter and no segment (RFC 3986, section 3.3)."""
    return (
        Piece(quote(text, safe=""), True) if is_data else Piece(text, False)
        for text, is_data in pieces
    )


def _url(pieces: Sequence[Piece]) -> Iterable[Piece]:
    """Encode data; raise ContactFailure where it would be a segment that leads to another path."""
    url = list(_part_of_a_url(pieces))
    path = re.split(r"[?#]", "".join(piece.text for piece in url))[0]
    if {".", ".."} & set(path.split("/")):
        raise ContactFailure("a value in a URL is a segment . or .., which would lead elsewhere")
    return url


_WRITERS: dict[Kind, Callable[[Sequence[Piece]], Iterable[Piece]]] = {
    Kind.TEXT: _as_it_is,
    Kind.LINE: _as_it_is,
    Kind.HTML: escaped_html,
    Kind.MRKDWN: slack_markup,
    Kind.PATH: _part_of_a_url,
    Kind.URL: _url,
    Kind.CARD: card_markdown,
    Kind.MARKDOWN: full_markdown,
}
