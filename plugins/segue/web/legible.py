"""Ids and texts of others as people can tell them apart, and beside which nothing is turned round.

Two ids may differ in a character that nobody sees, and one that turns the direction of writing
rewrites the sentence around it: what a person confirms. Such characters are spelt out. Followed
(2026-11): the Unicode Standard's Annex 9 (directional formatting characters) and its property
Default_Ignorable_Code_Point.
"""

from __future__ import annotations

import re
import unicodedata

_BLANKS = re.compile(r"^ +| +$| {2,}")
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"})  # categories
# letters and marks that are no more to be seen: fillers, joiners, selectors of a variant
_IGNORED = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def legible(text: str, *, blanks: bool = True, keep: str = "") -> str:
    """Return a text in which each character is seen: ``a‹U+202E›b``, and ``␣`` for odd blanks.

    Blanks are odd at either end and beside each other; ``keep`` are characters left as they are.
    """
    if blanks:
        text = _BLANKS.sub(lambda match: "␣" * len(match[0]), text)
    if text.isascii() and text.isprintable():
        return text
    is_composed = unicodedata.is_normalized("NFC", text)
    return "".join(
        f"‹U+{ord(each):04X}›" if each not in keep and _is_odd(each, is_composed) else each
        for each in text
    )


def _is_odd(character: str, is_composed: bool) -> bool:
    if character == " ":
        return False
    if _IGNORED.match(character) or unicodedata.category(character) in _UNSEEN:
        return True
    return not is_composed and unicodedata.combining(character) > 0  # é of two, and é of one
