"""What is read of an answer that is no success: its codes, and how long to wait.

Of what a vendor answers, only codes and names of fields are shown: its texts may quote a contact's.
Followed: RFC 9110, section 10.2.3 (Retry-After).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeGuard

from segue.errors import ContactFailure, OutcomeUnknown, UnprovenRefusal

if TYPE_CHECKING:
    from requests import Response

LONGEST_PAUSE = 86_400.0  # seconds; no vendor means more
# of JSON that is not as known; the last of a number that is infinite
ANOTHER_SHAPE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

Codes = Callable[[Any], Iterator[object]]  # what of a refusal's JSON may be shown, if it is a code


class CallRefused(ContactFailure):
    """The vendor refuses this call for good; ``codes`` are its error codes and field names."""

    def __init__(self, message: str, codes: tuple[str, ...], status: int) -> None:
        self.codes = codes
        self.status = status
        self.answer = message
        super().__init__(message)


class CallUnproven(UnprovenRefusal):
    """The vendor refuses, and its status leaves open whether this call alone; with the same."""

    def __init__(self, failure: UnprovenRefusal, codes: tuple[str, ...], status: int) -> None:
        self.codes = codes
        self.status = status
        super().__init__(failure.answer, advice=failure.advice)


class CannotTell(OutcomeUnknown):
    """A question was answered with a status of ``cannot_tell``: there may be no such thing."""


def is_code(value: object) -> TypeGuard[str]:
    """Tell whether a value is a code or a field's name, and not a text about somebody."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def usual_codes(answer: Any) -> Iterator[object]:
    """Yield what APIs commonly call an error's code."""
    error = answer.get("error")
    yield answer.get("code")
    yield answer.get("type")
    yield error
    if isinstance(error, Mapping):
        yield error.get("code")
        yield error.get("type")


def unless_sent(codes: Codes, request: str) -> Codes:
    """Return ``codes`` without those that repeat what was sent: they may be a contact's text."""

    def others(answer: Any) -> Iterator[object]:
        for code in codes(answer):
            if isinstance(code, str) and code.casefold() not in request.casefold():
                yield code

    return others


def codes_in(response: Response, codes: Codes) -> tuple[str, ...]:
    """Return the codes of a refusal, each once; nothing where it has another shape."""
    try:
        return tuple(dict.fromkeys(filter(is_code, codes(response.json()))))
    except (*ANOTHER_SHAPE, RecursionError):
        return ()


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number or a date; a day at most."""
    if not value:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        return min(float(value), LONGEST_PAUSE)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter of a zone that is none
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(max(0.0, seconds), LONGEST_PAUSE)
