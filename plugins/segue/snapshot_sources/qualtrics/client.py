"""Calls of XM Directory for a take: within the limits, from several threads, as often as it takes.

Followed:
    https://api.qualtrics.com/a5e9a1a304902-limits (3,000 calls a minute for a brand, as many of
    each of the calls here but 60 a minute of a segment; 429 beyond)
    https://github.com/wtx-labs/qualtrics-api-client-java (generated from Qualtrics' description,
    version 3.0.0): GET /directories/{directoryId}/contacts, whose pages have up to 100 contacts and
    whose ``nextPage`` is null on the last one; GET …/contacts/{contactId} with ``includeSegments``
    https://developers.qodex.ai/qualtrics-public/ (a mirror of the published collection): GET
    …/contacts/{contactId}/transactions, GET …/mailinglists/{mailingListId}

The pages say nothing of the order of contacts, nor of what becomes of a list that changes while it
is read. ``useNewPaginationScheme`` is said to be quicker. POST …/export-contacts is a preview;
of POST …/export-contact-segment-memberships (once a minute) the form of the file is not published.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from segue.channels.http.answers import ANOTHER_SHAPE
from segue.channels.http.calls import HttpCalls
from segue.channels.qualtrics.calls import contact_path, error_codes
from segue.contracts.channel import Limit
from segue.errors import DataError, DeliveryError, TransientFailure

if TYPE_CHECKING:
    from requests import Response

PAGE_SIZE = 100  # the most that Qualtrics lists at once
LONGEST_PATIENCE = 900.0  # seconds of one call's failures that time may cure
_LONGEST_PAUSE = 60.0  # seconds, where Qualtrics does not say
_SHARE = 0.95  # of a limit: calls arrive less evenly than they are made

Result = TypeVar("Result")


class Pace:
    """When calls may begin: evenly spread, after every pause that Qualtrics asks for."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._spacing = max((limit.spacing.total_seconds() for limit in limits), default=0) / _SHARE
        self._next = time.monotonic()
        self._lock = threading.Lock()
        self._has_ended = threading.Event()

    def take_turn(self) -> None:
        """Wait for the next turn; raise DataError once the reading has ended."""
        with self._lock:
            begin = max(time.monotonic(), self._next)
            self._next = begin + self._spacing
        self.pause(begin - time.monotonic())

    def hold(self, seconds: float) -> None:
        """Let nobody begin for so many seconds."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def pause(self, seconds: float) -> None:
        """Wait; raise DataError once the reading has ended."""
        if self._has_ended.wait(max(seconds, 0)):
            raise DataError("the take has ended")

    def end(self) -> None:
        """Let whoever waits, or comes, give up."""
        self._has_ended.set()


class Client:
    """An open session with one directory; safe to use from several threads."""

    def __init__(self, calls: HttpCalls, directory: str, pace: Pace) -> None:
        self._calls, self._directory, self.pace = calls, directory, pace

    def close(self) -> None:
        """Close the session, and let calls under way give up."""
        self.pace.end()
        self._calls.close()

    def listed(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        """Yield the directory's contacts, page by page."""
        yield from self._pages(
            f"/directories/{self._directory}/contacts",
            {"pageSize": str(PAGE_SIZE), "useNewPaginationScheme": "true"},
            f"Qualtrics has no directory {self._directory!r}, or its user may not see it",
        )

    def contact(self, contact: str) -> Mapping[str, Any] | None:
        """Return all that is shown of a contact; None of one that is not there, or was merged."""
        path, query = contact_path(self._directory, contact), {"includeSegments": "true"}
        answer = self._fetch(path, query)
        record = None if answer is None else _result_of(answer)
        if record is None or record.get("contactId") not in (None, contact):
            return None
        return record

    def transactions(self, contact: str) -> list[Mapping[str, Any]]:
        """Return a contact's transactions; none of one that is not there."""
        path = f"{contact_path(self._directory, contact)}/transactions"
        return [each for page in self._pages(path, {"pageSize": str(PAGE_SIZE)}) for each in page]

    def require(self, kind: str, place: str, name: str) -> None:
        """Raise DataError where there is no list or segment of an id; ``kind`` as in its path."""
        if self._fetch(f"/directories/{self._directory}/{kind}/{place}") is None:
            raise DataError(
                f"{name!r}: Qualtrics has no {place!r} among the {kind} of {self._directory}, or "
                "its user may not see it"
            )

    def _pages(
        self, path: str, query: Mapping[str, str], unknown: str | None = None
    ) -> Iterator[list[Mapping[str, Any]]]:
        """Yield the elements of each page; without ``unknown`` nothing where there is no such."""
        parameters, tokens = dict(query), set()
        while True:
            answer = self._fetch(path, parameters)
            if answer is None:
                if unknown is not None:
                    raise DataError(unknown)
                return
            result = _result_of(answer)
            yield _elements_of(result)
            following = result.get("nextPage")
            if not following:
                return
            parameters = dict(parse_qsl(urlsplit(str(following)).query, keep_blank_values=True))
            token = parameters.get("skipToken")
            if token is None or token in tokens:
                raise DataError("the pages that Qualtrics lists lead nowhere, or in a circle")
            tokens.add(token)

    def _fetch(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return self._patiently(lambda: self._calls.fetch(path, query, is_absent=is_absent))

    def _patiently(self, call: Callable[[], Result]) -> Result:
        """Return what a call does, made again after what time may cure; else raise DataError."""
        gives_up = time.monotonic() + LONGEST_PATIENCE
        backoff = 1.0
        while True:
            self.pace.take_turn()
            try:
                return call()
            except TransientFailure as failure:
                wait = backoff if failure.retry_after is None else failure.retry_after
                if time.monotonic() + wait > gives_up:
                    raise DataError(f"{failure}; tried for {LONGEST_PATIENCE:.0f} s") from None
                if failure.retry_after is None:
                    self.pace.pause(wait)
                else:
                    self.pace.hold(wait)
                backoff = min(backoff * 2, _LONGEST_PAUSE)
            except DeliveryError as error:
                raise DataError(str(error)) from None


def is_absent(response: Response) -> bool:
    """True of a 404 with a code: without one, there is no such path."""
    if response.status_code != 404:
        return False
    try:
        return any(error_codes(response.json()))
    except ANOTHER_SHAPE:
        return False


def _result_of(answer: Any) -> Mapping[str, Any]:
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, dict):
        raise DataError("Qualtrics answered 200 without a result")
    return result


def _elements_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    elements = result.get("elements")
    if not isinstance(elements, list) or not all(isinstance(each, dict) for each in elements):
        raise DataError("Qualtrics answered 200 with a page of another shape than is published")
    return elements
