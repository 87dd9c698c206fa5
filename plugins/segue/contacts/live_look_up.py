"""Live look-ups: contacts' details as a source has them now, laid over those of a snapshot.

The fields that the source gives take the place of the snapshot's of the same name, missing ones
among them; all others stay the snapshot's. Only opt-outs are never taken back: a contact is
unsubscribed where either says so. A contact that the source has not is left out, as one that a
snapshot has not; one that could not be looked up is kept with the reason, and fails at the door.

A deleted contact is not looked up: its details are the last that a snapshot has.

A refusal that may be anybody's (``UnprovenRefusal``) is asked for once more behind the others; then
whoever was answered is asked for again, which changes nothing. Where that is a success the refusals
are the contacts'; where it is none, or nobody was answered, they are the connection's.

So it is with a contact of whom the source says nothing in three tries (500, a long pause), but that
time may cure it: only where a task has been tried before is it the contact's.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from threading import Lock
from typing import Any
from uuid import UUID

from segue.clock import REAL_CLOCK, Clock
from segue.contracts.live_source import Answer, LiveReader, LiveSource
from segue.directory.checks import ALLOWED_OPT_STATES, FALSE_WORDS, TRUE_WORDS
from segue.directory.definition import UNSUBSCRIBED
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    TemplateAway,
    TransientFailure,
    UnprovenRefusal,
    log_defect,
)
from segue.ledger import Ledger
from segue.ledger.pacing import REFUSALS, TRIES, NoTurn, Pacer, longest_pause

log = logging.getLogger(__name__)

_LARGEST = 100_000  # characters of one value

Part = Mapping[str, Mapping[str, Any]]  # contacts of one call, with their fields in the snapshot


@dataclass(frozen=True, slots=True)
class Desk:
    """What a look-up works with beside its source: the ledger that keeps rates, and the time.

    After ``until`` no further call begins.
    """

    ledger: Ledger
    clock: Clock = REAL_CLOCK
    until: datetime | None = None


class PartlyLookedUp(TransientFailure):
    """A source stopped answering on the way: ``found`` are the answers that it gave."""

    def __init__(self, error: TransientFailure, found: Mapping[str, Answer]) -> None:
        self.found = found
        super().__init__(str(error), retry_after=error.retry_after)


def look_up(
    source: LiveSource,
    contacts: Part,
    desk: Desk,
    find_witness: Callable[[], Part | None] = lambda: None,
    *,
    tried_before: bool = False,
) -> dict[str, Answer]:
    """Return what a source has of these contacts, by id; those left out it has not.

    ``contacts`` maps ids to the fields that the snapshot has; ``find_witness`` returns somebody
    whom the source answered before. Who is not answered while others are is refused where it was
    ``tried_before``. Raises ConnectionFailure, and then nothing is known of anybody, or
    TransientFailure: PartlyLookedUp where something was found.
    """
    if not contacts:
        return {}
    pairs, size = list(contacts.items()), source.at_once
    parts = [dict(pairs[start : start + size]) for start in range(0, len(pairs), size)]
    with source.connect() as reader:
        caller = _Caller(reader, desk, parts, find_witness)
        parts_answered, trouble = _ask_everybody(
            caller, parts, source.concurrency, tried_before=tried_before
        )
    answers = {
        contact: _checked(answer, source)
        for part in parts_answered
        for contact, answer in part.items()
    }
    if trouble is not None:
        raise PartlyLookedUp(trouble, answers) if answers else trouble
    _tell(source, len(contacts), answers)
    return answers


def _ask_everybody(
    caller: _Caller, parts: Sequence[Part], at_once: int, *, tried_before: bool
) -> tuple[list[Mapping[str, Answer]], TransientFailure | None]:
    """Make a call for each part, and another for those that are refused; returns as below."""
    answers, trouble = _ask_all(caller, parts, at_once)
    parts_noted = caller.noted_parts()
    if trouble is None and parts_noted:
        further, trouble = _ask_all(caller, parts_noted, at_once)
        answers += further
    if trouble is None:
        try:
            answers += caller.judged_refusals()
            answers += caller.judged_silence(tried_before=tried_before)
        except TransientFailure as error:
            trouble = error
    return answers, trouble


def _ask_all(
    caller: _Caller, parts: Sequence[Part], at_once: int
) -> tuple[list[Mapping[str, Answer]], TransientFailure | None]:
    """Make a call for each part; the first that goes wrong ends it, when those begun have ended.

    Returns the answers, and what ended it; anything but a TransientFailure is raised.
    """
    answers: list[Mapping[str, Answer]] = []
    if at_once == 1:  # in the thread that connected: a driver may allow no other
        for part in parts:
            try:
                answers.append(caller.look_up(part))
            except TransientFailure as error:
                return answers, error
        return answers, None
    trouble: TransientFailure | None = None
    pool = ThreadPoolExecutor(at_once)
    try:
        calls = [pool.submit(caller.look_up, part) for part in parts]
        while _is_going_on(calls):
            pass
    finally:  # a task that is told to end makes no further call either
        pool.shutdown(cancel_futures=True)
    for call in calls:
        if not call.cancelled():
            try:
                answers.append(call.result())
            except TransientFailure as error:
                trouble = trouble or error
    return answers, trouble


def _is_going_on(calls: Sequence[Future[Mapping[str, Answer]]]) -> bool:
    """Wait a second for the calls to end, or for one to go wrong.

    A signal that comes just as Python begins to wait is handled when it wakes up: it does so often.
    """
    past_calls, others = wait(calls, timeout=1, return_when=FIRST_EXCEPTION)
    return bool(others) and not any(call.exception() for call in past_calls)


def _tell(source: LiveSource, asked: int, answers: Mapping[str, Answer]) -> None:
    """Log what was found; that nobody is there may be a slip in the look-up."""
    refusals = sum(isinstance(answer, ContactFailure) for answer in answers.values())
    absent = asked - len(answers)
    log.info(
        "%s contacts looked up through %s: %s are not there, %s were refused",
        *(asked, source.connection, absent, refusals),
    )
    if absent == asked > 1:
        log.warning("%s has none of the contacts; is the look-up right?", source.connection)


class _Caller:
    """Calls a source from several threads, within its limits and as often as it takes."""

    def __init__(
        self,
        reader: LiveReader,
        desk: Desk,
        parts: Sequence[Part],
        find_witness: Callable[[], Part | None],
    ) -> None:
        self._reader = reader
        self._parts = parts
        self._witness: Part | None = None  # whom the source has answered
        self._find_witness = find_witness
        self._refusals: list[tuple[Part, UnprovenRefusal]] = []
        self._silence: list[tuple[Part, TransientFailure]] = []  # of one contact each
        self._in_a_row = 0
        self._end: DeliveryError | None = None
        self._lock, self._proof = Lock(), Lock()
        self._limits = reader.limits()
        self._longest = longest_pause(self._limits)
        rates, words = desk.ledger.deliveries, "the source asked for {:.0f} s"
        self._pacer = Pacer(rates, desk.clock, desk.until, words)

    def look_up(self, contacts: Part) -> Mapping[str, Answer]:
        """Ask for a part; what is refused, or not answered, is noted, and answered by nothing."""
        if self._end is not None:
            raise self._end
        try:
            answers = self._ask(contacts)
        except UnprovenRefusal as failure:
            self._note(contacts, failure)
            return {}
        except NoTurn:
            raise
        except TransientFailure as failure:
            self._pass_over(contacts, failure)
            return {}
        if _is_success(answers):
            with self._lock:
                self._in_a_row, self._witness = 0, contacts
        return answers

    def noted_parts(self) -> list[Part]:
        """Return the parts that were refused or not answered, to be asked for anew.

        For whom the source wants a long pause nobody asks again in this try.
        """
        brief = [each for each in self._silence if not self._is_long(each[1])]
        parts = [part for part, _ in (*self._refusals, *brief)]
        self._refusals = []
        self._silence = [each for each in self._silence if self._is_long(each[1])]
        return parts

    def judged_refusals(self) -> list[Mapping[str, Answer]]:
        """Return what the refusals are to their contacts; raise where they are the connection's."""
        if self._refusals and not self._works():
            raise self._broken()
        return [
            dict.fromkeys(part, ContactFailure(failure.answer)) for part, failure in self._refusals
        ]

    def judged_silence(self, *, tried_before: bool) -> list[Mapping[str, Answer]]:
        """Return that who was never answered is refused; raise where time may cure it."""
        if not self._silence:
            return []
        last = self._silence[-1][1]
        if not self._works():
            raise _away(last)
        if not tried_before:
            text = f"{len(self._silence)} contacts are asked for again, others were answered: "
            raise TransientFailure(f"{text}{last}", retry_after=last.retry_after)
        words = "each time it was asked for; others were answered"
        return [
            dict.fromkeys(part, ContactFailure(f"{failure}, {words}"))
            for part, failure in self._silence
        ]

    def _note(self, part: Part, failure: UnprovenRefusal) -> None:
        """Keep a refusal; raise where so many in a row turn out to be the connection's."""
        with self._lock:
            self._refusals.append((part, failure))
            self._in_a_row += 1
            are_many = self._in_a_row >= REFUSALS
            self._in_a_row = 0 if are_many else self._in_a_row
        if are_many and not self._works():
            self._end = self._broken()
            raise self._end

    def _pass_over(self, part: Part, failure: TransientFailure) -> None:
        """Keep that a contact was not answered; raise where nobody is.

        A long pause is nobody else's where somebody is answered in spite of it.
        """
        if not self._is_long(failure):
            self._heed(failure)
        with self._proof:  # several threads need one proof
            if self._end is not None:
                raise self._end
            if len(part) > 1 or not self._works():
                self._heed(failure)
                self._end = failure if len(part) > 1 else _away(failure)
                raise self._end
            self._silence.append((part, failure))

    def _works(self) -> bool:
        """Ask again for whom the source has answered; where that is nobody, for some others."""
        self._witness = self._witness or self._find_witness()
        if self._witness is not None:
            return self._is_answered(self._witness, TRIES)
        count = len(self._parts)
        some = {(2 * number + 1) * count // (2 * REFUSALS) for number in range(REFUSALS)}
        return any(self._is_answered(self._parts[index], 1) for index in sorted(some))

    def _is_answered(self, part: Part, tries: int) -> bool:
        try:
            is_answered = _is_success(self._ask(part, tries))
        except (UnprovenRefusal, TransientFailure):
            return False
        if is_answered:
            self._witness = part
        return is_answered

    def _broken(self) -> DeliveryError:
        """Return that the refusals are the connection's; what was answered before is kept."""
        words = f"{len(self._refusals)} contacts were refused, the last one: "
        text = f"{words if len(self._refusals) > 1 else ''}{self._refusals[-1][1]}"
        return ConnectionFailure(text) if self._witness is None else TransientFailure(text)

    def _ask(self, contacts: Part, tries: int = TRIES) -> Mapping[str, Answer]:
        for attempt in range(1, tries + 1):
            self._pacer.take_turn(self._limits)
            try:
                return self._call(contacts)
            except TransientFailure as error:
                if attempt == tries or self._is_long(error):
                    raise
                self._heed(error, backoff=2.0**attempt)
        raise AssertionError

    def _is_long(self, failure: TransientFailure) -> bool:
        return (failure.retry_after or 0.0) > self._longest

    def _heed(self, failure: TransientFailure, backoff: float = 0.0) -> None:
        self._pacer.heed(failure, self._limits, backoff=backoff, longest=self._longest)

    def _call(self, contacts: Part) -> Mapping[str, Answer]:
        try:
            return self._reader.look_up(contacts)
        except DeliveryError:
            raise
        except TemplateAway as error:
            raise ConnectionFailure(str(error)) from None
        except Exception as error:  # noqa: BLE001 - of any kind, and its text stays here
            kind = log_defect(log, error, "in the look-up")
            raise ConnectionFailure(f"a defect in the look-up: {kind}") from None


def _away(failure: TransientFailure) -> TransientFailure:
    """Return that nobody is answered any more."""
    text = f"{failure}; no other contact was answered either, and all wait for the next try"
    return TransientFailure(text, retry_after=failure.retry_after)


def _is_success(answers: Mapping[str, Answer]) -> bool:
    """Tell whether the source answered, if only that it has nobody of them."""
    return not any(isinstance(answer, ContactFailure) for answer in answers.values())


# Values


def _checked(answer: Answer, source: LiveSource) -> Answer:
    """Return the fields that a source provides as plain values, or why they cannot be."""
    if isinstance(answer, ContactFailure):
        return answer
    if not isinstance(answer, Mapping):
        return ContactFailure(f"the source answers a {type(answer).__name__}; allowed: fields")
    try:
        fields = {name: _plain(name, answer.get(name)) for name in source.provides}
        fields[UNSUBSCRIBED] = _boolean(fields.get(UNSUBSCRIBED))
    except ContactFailure as failure:
        return failure
    return fields


def _plain(name: str, value: Any) -> Any:
    """Return a value as conditions and templates take it; None where it is missing."""
    match value:
        case str():
            return _text(name, value)
        case UUID():
            return str(value)
        case Decimal():
            return value if value.is_finite() else None
        case float():
            return value if math.isfinite(value) else None
        case datetime() if value.tzinfo is not None:
            return _in_utc(value)
        case None | int() | date():
            return value
        case _:
            kind = type(value).__name__
            raise ContactFailure(
                f"{name} is a {kind}; allowed: a text, number, boolean, date or time"
            )


def _text(name: str, value: str) -> str | None:
    if len(value) > _LARGEST:
        raise ContactFailure(f"{name} is longer than {_LARGEST:,} characters")
    return value.encode(errors="replace").decode() or None  # half a surrogate pair is no text


def _in_utc(value: datetime) -> datetime | None:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # the last hours of the calendar
        return None


def _boolean(value: Any) -> bool | None:
    """Return an opt-out as the source says it; what is no boolean must not pass for consent."""
    word = str(value).lower()
    if value is None or word in FALSE_WORDS:
        return None if value is None else False
    if word in TRUE_WORDS:
        return True
    raise ContactFailure(f"{UNSUBSCRIBED} is no boolean; {ALLOWED_OPT_STATES}")
