"""The one door: every message of every path goes through ``deliver``.

The ledger decides what may be sent: a delivery is claimed, judged, marked ``sending`` in a
committed transaction, called, and its outcome written. Calls go out in rounds of the channel's
concurrency, and one transaction writes a round's outcomes and marks the next round, so that a
crash leaves at most one round in doubt (DESIGN.md §6).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from segue.delivery.channel import Audience, Channel, NoAddress, Receipt, Sender
from segue.delivery.ledger import (
    SKIPPED_AFTER,
    SKIPPED_DELETED,
    SKIPPED_IF,
    SKIPPED_NO_ADDRESS,
    SKIPPED_NOT_FOUND,
    SKIPPED_OPTED_OUT,
    DeliveryRow,
    Finished,
    Ledger,
)
from segue.delivery.schema import State
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)
from segue.workflows.templates import Fields

log = logging.getLogger(__name__)

_TRIES = 3  # of one delivery within one pass
_LONGEST_PAUSE = 60.0  # seconds; a vendor that asks for more ends the pass
_SPARE = timedelta(seconds=60)  # on top of the longest call, before a lease counts as dead


@dataclass(frozen=True, slots=True)
class Candidate:
    """One contact's change, as one action sees it.

    ``fields`` are what templates see as ``contact``; None where the contact was not found.
    ``opted_in`` is the effective state on the newest snapshot, None where the contact is gone.
    ``before`` holds the deliveries of all actions that come before this one, by action id.
    """

    key: str
    contact_id: str
    change: str
    snapshot: str
    fields: Mapping[str, Any] | None
    opted_in: bool | None
    passes_if: bool = True
    before: Mapping[str, DeliveryRow | None] = field(default_factory=dict)


@dataclass(slots=True)
class Pass:
    """What one pass through the door came to."""

    outcomes: Counter[State] = field(default_factory=Counter)  # of this pass
    standing: Counter[State] = field(default_factory=Counter)  # of all candidates, afterwards
    retry_after: float | None = None  # seconds, as the vendor asked
    connection: str | None = None  # why the connection does not work

    @property
    def elsewhere(self) -> int:
        """How many are in another worker's hands, or in those of one that died."""
        return self.standing[State.CLAIMED] + self.standing[State.SENDING]

    @property
    def is_complete(self) -> bool:
        """True when nothing is left that a later pass could send."""
        return not (self.standing[State.RELEASED] or self.elsewhere)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready to be sent."""

    key: str
    message: Mapping[str, Any]


class Defect(OutcomeUnknown):
    """A channel failed in a way it does not know: the call is in doubt, and the pass ends."""


class Door:
    """Delivers one action's messages for a slice of contacts."""

    def __init__(
        self,
        ledger: Ledger,
        channel: Channel,
        *,
        owner: str,
        clear_number: int = 0,
        variables: Mapping[str, Any] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ledger = ledger
        self.channel = channel
        self.owner = owner
        self.clear_number = clear_number
        self.variables = dict(variables or {})  # workflow and segment, the same for all
        self.clock = clock
        self.sleep = sleep

    def deliver(self, candidates: Sequence[Candidate]) -> Pass:
        """Try every candidate that the ledger allows, and return what came of it."""
        by_key = {candidate.key: candidate for candidate in candidates}
        now = self.clock()
        self.ledger.recover(now, by_key)
        claimed = self.ledger.claim(
            by_key,
            owner=self.owner,
            now=now,
            lease_until=self._lease(),
            clear_number=self.clear_number,
        )
        result = Pass()
        try:
            self._work(deque(by_key[row.key] for row in claimed), result)
        finally:
            self.ledger.give_back(self.owner, self.clock())
        result.standing.update(row.state for row in self.ledger.rows(by_key).values())
        return result

    def _work(self, waiting: deque[Candidate], result: Pass) -> None:
        ready, judged = judge(self.channel, self.variables, waiting)
        self._write(judged, result)
        if not ready:
            return
        try:
            with (
                self.channel.connect() as sender,
                ThreadPoolExecutor(self.channel.concurrency) as pool,
            ):
                self._rounds(deque(ready), sender, pool, result)
        except ConnectionFailure as error:
            result.connection = str(error)

    def _rounds(
        self,
        waiting: deque[Prepared],
        sender: Sender,
        pool: ThreadPoolExecutor,
        result: Pass,
    ) -> None:
        tries: Counter[str] = Counter()
        finished: list[Finished] = []
        while waiting:
            batch = [waiting.popleft() for _ in range(min(len(waiting), self.channel.concurrency))]
            mine = self._write(finished, result, [item.key for item in batch])
            batch = [item for item in batch if item.key in mine]
            answers = list(pool.map(lambda item: _call(sender, item), batch))
            finished = [_outcome(*pair) for pair in zip(batch, answers, strict=True)]
            tries.update(item.key for item in batch)
            waiting.extend(
                item
                for item, answer in zip(batch, answers, strict=True)
                if isinstance(answer, TransientFailure) and tries[item.key] < _TRIES
            )
            pause = self._pause(answers, result)
            if pause is None:
                break
            if pause and waiting:
                self._write(finished, result)
                finished = []
                self.sleep(pause)
        self._write(finished, result)

    def _pause(self, answers: Sequence[Receipt | DeliveryError], result: Pass) -> float | None:
        """Return the seconds to wait before the next round, or None when the pass must end."""
        for answer in answers:
            if isinstance(answer, ConnectionFailure | Defect):
                result.connection = str(answer)
                return None
        transient = [answer for answer in answers if isinstance(answer, TransientFailure)]
        if not transient:
            return 0.0
        pause = max(answer.retry_after or 1.0 for answer in transient)
        if pause <= _LONGEST_PAUSE:
            return pause
        result.retry_after = pause
        return None

    def _write(
        self, finished: Sequence[Finished], result: Pass, starting: Sequence[str] = ()
    ) -> set[str]:
        final = (outcome.state for outcome in finished if outcome.state is not State.CLAIMED)
        result.outcomes.update(final)
        return self.ledger.advance(
            finished,
            starting,
            owner=self.owner,
            now=self.clock(),
            lease_until=self._lease(),
            clear_number=self.clear_number,
        )

    def _lease(self) -> datetime:
        return self.clock() + timedelta(seconds=self.channel.longest_call) + _SPARE


def judge(
    channel: Channel, variables: Mapping[str, Any], candidates: Iterable[Candidate]
) -> tuple[list[Prepared], list[Finished]]:
    """Split candidates into messages ready to be sent and outcomes that need no call.

    ``variables`` are what templates see beside the candidate's own: workflow and segment.
    """
    ready: list[Prepared] = []
    judged: list[Finished] = []
    for candidate in candidates:
        reason = _why_skip(channel, candidate)
        if reason is not None:
            judged.append(Finished(candidate.key, State.SKIPPED, reason))
            continue
        try:
            message = channel.render({**variables, **_variables(candidate)})
            ready.append(Prepared(candidate.key, message))
        except NoAddress:
            judged.append(Finished(candidate.key, State.SKIPPED, SKIPPED_NO_ADDRESS))
        except ContactFailure as error:
            judged.append(Finished(candidate.key, State.FAILED, str(error)))
    return ready, judged


def _why_skip(channel: Channel, candidate: Candidate) -> str | None:
    for action, row in candidate.before.items():
        if row is None or row.state is not State.DELIVERED:
            return f"{SKIPPED_AFTER}: {action} {row.state if row else 'not planned'}"
    if candidate.fields is None:
        return SKIPPED_NOT_FOUND
    if not candidate.passes_if:
        return SKIPPED_IF
    if channel.addressed_to is Audience.CONTACT:
        if candidate.opted_in is None:
            return SKIPPED_DELETED
        if not candidate.opted_in:
            return SKIPPED_OPTED_OUT
    return None


def _variables(candidate: Candidate) -> dict[str, Any]:
    results = {action: row.results for action, row in candidate.before.items() if row}
    return {
        "contact": Fields("contact", candidate.fields or {}),
        "change": candidate.change,
        "snapshot": candidate.snapshot,
        "results": Fields("results", results),
    }


def _call(sender: Sender, item: Prepared) -> Receipt | DeliveryError:
    """Send one message; what went wrong is a value here, so that no other answer is lost."""
    try:
        return sender.send(item.message, key=item.key)
    except DeliveryError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect must not lose the round's other answers
        place = "".join(traceback.format_tb(error.__traceback__))  # its text may be a contact's
        log.error("%s in the channel at\n%s", type(error).__name__, place)  # noqa: TRY400
        return Defect(f"a defect in the channel: {type(error).__name__}")


def _outcome(item: Prepared, answer: Receipt | DeliveryError) -> Finished:
    """Return what an answer means; after a failure that may pass, the delivery stays claimed."""
    if isinstance(answer, Receipt):
        return Finished(
            item.key,
            State.DELIVERED,
            external_id=answer.external_id,
            url=answer.url,
            results=answer.results,
            digest=message_digest(item.message),
        )
    if isinstance(answer, NoAddress):
        return Finished(item.key, State.SKIPPED, SKIPPED_NO_ADDRESS)
    if isinstance(answer, TransientFailure | ConnectionFailure):
        return Finished(item.key, State.CLAIMED, str(answer))
    state = State.UNCERTAIN if isinstance(answer, OutcomeUnknown) else State.FAILED
    return Finished(item.key, state, str(answer), digest=message_digest(item.message))


def message_digest(message: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a rendered message, which the ledger keeps instead of its text."""
    text = json.dumps(message, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
