"""Phone numbers of text messages: how they are read, and which may send.

Followed:
    https://www.itu.int/rec/T-REC-E.164 (a + and up to 15 digits, the first not 0)
    https://www.twilio.com/docs/glossary/what-e164
    https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id (up to 11 characters, at
    least one of them a letter)
    https://www.twilio.com/docs/glossary/what-is-a-short-code
"""

from __future__ import annotations

import re

# what people and address books put between digits; marks of direction come with copied numbers
_BETWEEN = re.compile(r"[ \t.()/\-\u00a0\u202f\u2009\u2010-\u2013\u200e\u200f\u202a\u202c]+")
_TRUNK = re.compile(r"\(\s*0\s*\)")  # the 0 of "+44 (0)20 …", which is dialled at home only
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}")

ALLOWED_SENDERS = "a number such as +15005550006, a short code, or up to 11 letters and digits"


def read_number(text: str) -> str:
    """Return a phone number in E.164; raise ValueError for what is none.

    Only punctuation is removed. No country is guessed, so ``020 7946 0018`` is no number, nor is
    one with ``(0)`` in it: whether that 0 is dialled depends on the country.
    """
    if _TRUNK.search(text):
        raise ValueError("it has a (0), which is dialled in some countries and not in others")
    number = _BETWEEN.sub("", text)
    if not _E164.fullmatch(number):
        raise ValueError("it is not a phone number with a + and the country's code")
    return number


def read_sender(text: str) -> str:
    """Return a number in E.164, a short code or a name that may send; else raise ValueError."""
    if text.strip().startswith("+"):
        return read_number(text)
    sender = text.strip()
    if not (_SHORT_CODE.fullmatch(sender) or _ALPHANUMERIC.fullmatch(sender)):
        raise ValueError(f"it is not {ALLOWED_SENDERS}")
    return sender
