"""The one door: every message of every path goes through ``Door.deliver``.

The ledger decides what may be sent: a delivery is claimed, judged, marked ``sending`` in a
committed transaction, called, and its outcome written. Calls go out in rounds of the channel's
concurrency, and one transaction writes a round's outcomes and marks the next round, so that a
crash leaves at most one round in doubt (DESIGN.md §6).
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from segue.delivery.candidates import Candidate, Prepared, Terms, judge, message_digest
from segue.delivery.channel import Audience, Channel, NoAddress, Receipt, Sender
from segue.delivery.heartbeat import LEASE, heartbeat
from segue.delivery.ledger import (
    HELD_QUIET_HOURS,
    SKIPPED_EXPIRED,
    SKIPPED_NO_ADDRESS,
    SKIPPED_SUPPRESSED,
    DeliveryRow,
    Finished,
    Ledger,
    SuppressionKind,
)
from segue.delivery.policies import start_rules
from segue.delivery.recovery import ask_at_once, delivered, recover, trace_of
from segue.delivery.schema import State
from segue.errors import (
    ConnectionFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)

log = logging.getLogger(__name__)

_TRIES = 3  # of one delivery within one pass
_LONGEST_PAUSE = 60.0  # seconds; a vendor that asks for more ends the pass
_HORIZON = timedelta(seconds=1)  # a call is marked as begun no earlier than this before it begins
_LOOK_EVERY = timedelta(seconds=1)
_HELD_ONCE = ((State.HELD, HELD_QUIET_HOURS), (State.SKIPPED, SKIPPED_EXPIRED))
_NAP = 2.0  # seconds; a pause is slept in naps, so that `segue stop` is obeyed meanwhile


@dataclass(frozen=True, slots=True)
class Clock:
    """The time (UTC), and how it is waited for; tests have one of their own."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep


REAL_CLOCK = Clock()


@dataclass(slots=True)
class Pass:
    """What one pass through the door came to."""

    outcomes: Counter[State] = field(default_factory=Counter)  # of this pass
    standing: Counter[State] = field(default_factory=Counter)  # of all candidates, afterwards
    retry_after: float | None = None  # seconds, as the vendor asked
    connection: str | None = None  # why the connection does not work
    stopped: str | None = None  # why the workflow was stopped

    @property
    def elsewhere(self) -> int:
        """How many are in another worker's hands, in those of one that died, or in doubt."""
        return self.standing[State.CLAIMED] + self.standing[State.SENDING]

    @property
    def is_complete(self) -> bool:
        """True when nothing is left that a later pass could send."""
        return not (self.standing[State.RELEASED] or self.elsewhere)


class Defect(OutcomeUnknown):
    """A channel failed in a way it does not know: the call is in doubt, and the pass ends."""


Answer = Receipt | DeliveryError


class Door:
    """Delivers one action's messages for a slice of contacts.

    ``owner`` names this worker's pass; no two may have the same name.
    """

    def __init__(
        self,
        ledger: Ledger,
        channel: Channel,
        terms: Terms,
        *,
        owner: str,
        clear_number: int = 0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ledger = ledger
        self.channel = channel
        self.terms = terms
        self.owner = owner
        self.clear_number = clear_number
        self.clock = clock
        self.sleep = sleep
        self.rules = start_rules(channel, terms.policies, terms.zone)
        self._looked_at: datetime | None = None  # whether the workflow was stopped

    def deliver(self, candidates: Sequence[Candidate]) -> Pass:
        """Try every candidate that the ledger allows, and return what came of it."""
        by_key = {candidate.key: candidate for candidate in candidates}
        result = Pass()
        if not self._is_stopped(result):
            with heartbeat(self.ledger, self.owner, self.clock):
                self._recover(by_key, result)
                try:
                    self._work([(row, by_key[row.key]) for row in self._claim(by_key)], result)
                finally:
                    self.ledger.give_back(self.owner, self.clock())
        result.standing.update(row.state for row in self.ledger.rows(by_key).values())
        return result

    def _is_stopped(self, result: Pass) -> bool:
        """Ask the ledger, once a second at most."""
        now = self.clock()
        if self._looked_at is None or now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            stop = self.ledger.stopped(self.terms.workflow)
            result.stopped = str(stop) if stop else None
        return result.stopped is not None

    def _recover(self, keys: Iterable[str], result: Pass) -> None:
        trouble = recover(
            self.ledger, self.channel, self.rules, keys, owner=self.owner, now=self.clock()
        )
        if isinstance(trouble, TransientFailure):
            result.retry_after = trouble.retry_after
        elif trouble is not None:
            result.connection = str(trouble)

    def _claim(self, keys: Iterable[str]) -> list[DeliveryRow]:
        return self.ledger.claim(
            keys,
            owner=self.owner,
            now=self.clock(),
            lease_until=self._lease(),
            clear_number=self.clear_number,
            resend_uncertain=self.terms.policies.on_uncertain == "resend",
        )

    def _work(self, claimed: Sequence[tuple[DeliveryRow, Candidate]], result: Pass) -> None:
        now = self.clock()
        refused, allowed = self._refuse(claimed, now)
        ready, judged = judge(self.channel, self.terms, allowed, now)
        self._advance([*refused, *judged], [], result)
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

    def _refuse(
        self, claimed: Sequence[tuple[DeliveryRow, Candidate]], now: datetime
    ) -> tuple[list[Finished], list[Candidate]]:
        """Split what was claimed into what the ledger's own knowledge forbids, and the rest."""
        suppressed = self.ledger.suppressed([row.contact_id for row, _ in claimed])
        to_contact = self.channel.addressed_to is Audience.CONTACT
        refused: list[Finished] = []
        allowed: list[Candidate] = []
        for row, candidate in claimed:
            kind = suppressed.get(row.contact_id)
            if kind is SuppressionKind.FORGOTTEN or (kind is not None and to_contact):
                refused.append(Finished(row.key, State.SKIPPED, SKIPPED_SUPPRESSED))
            elif self._waited_too_long(row, now):
                refused.append(Finished(row.key, State.SKIPPED, SKIPPED_EXPIRED))
            else:
                allowed.append(candidate)
        return refused, allowed

    def _waited_too_long(self, row: DeliveryRow, now: datetime) -> bool:
        hours = self.terms.policies.quiet_hours
        was_held = (row.state, row.reason) in _HELD_ONCE
        if hours is None or not was_held:
            return False
        assert row.planned_at is not None
        return hours.expires.after(row.planned_at, self.terms.zone) < now

    def _rounds(
        self, waiting: deque[Prepared], sender: Sender, pool: ThreadPoolExecutor, result: Pass
    ) -> None:
        tries: Counter[str] = Counter()
        finished: list[Finished] = []
        doubts: list[Prepared] = []
        began = self.clock()
        while waiting and not self._is_stopped(result):
            batch, delays, pause = self._next_round(waiting, sender)
            if batch:
                batch, delays = self._start(batch, delays, finished, result)
                answers = self._call(sender, pool, batch, delays)
                pairs = list(zip(batch, answers, strict=True))
                finished = [self._outcome(*pair) for pair in pairs]
                doubts += [item for item, answer in pairs if isinstance(answer, OutcomeUnknown)]
                tries.update(item.key for item in batch)
                waiting.extend(
                    item
                    for item, answer in pairs
                    if isinstance(answer, TransientFailure) and tries[item.key] < _TRIES
                )
                asked = self._pause_after(pairs, sender, result)
                if asked is None:
                    break
                pause = asked
            if pause > _LONGEST_PAUSE:
                result.retry_after = pause
                break
            if pause and waiting:
                self._advance(finished, [], result)
                finished = []
                self._rest(pause, result)
        self._advance(finished, [], result)
        self._ask_about(doubts, sender, began, result)

    def _next_round(
        self, waiting: deque[Prepared], sender: Sender
    ) -> tuple[list[Prepared], list[float], float]:
        """Take what may be called now from the front; returns (calls, their delays, pause)."""
        size = min(len(waiting), self.channel.concurrency)
        limits = [sender.limits(waiting[index].message) for index in range(size)]
        delays, pause = self.ledger.reserve(limits, self.clock(), _HORIZON)
        return [waiting.popleft() for _ in delays], delays, 0.0 if delays else pause

    def _start(
        self,
        batch: Sequence[Prepared],
        delays: Sequence[float],
        finished: Sequence[Finished],
        result: Pass,
    ) -> tuple[list[Prepared], list[float]]:
        """Mark the calls as begun; return those that may be made, with their delays."""
        mine = self._advance(finished, batch, result)
        kept = [pair for pair in zip(batch, delays, strict=True) if pair[0].key in mine]
        return [item for item, _ in kept], [delay for _, delay in kept]

    def _call(
        self,
        sender: Sender,
        pool: ThreadPoolExecutor,
        batch: Sequence[Prepared],
        delays: Sequence[float],
    ) -> list[Answer]:
        """Make the calls, each after its delay; what went wrong is a value among the answers."""
        calls: list[Future[Answer]] = []
        waited = 0.0
        for item, delay in zip(batch, delays, strict=True):
            if delay > waited:
                self.sleep(delay - waited)
                waited = delay
            calls.append(pool.submit(_send, sender, item))
        return [call.result() for call in calls]

    def _pause_after(
        self, answers: Sequence[tuple[Prepared, Answer]], sender: Sender, result: Pass
    ) -> float | None:
        """Return the seconds to wait before the next round, or None when the pass must end."""
        pause = 0.0
        for item, answer in answers:
            if isinstance(answer, ConnectionFailure | Defect):
                result.connection = str(answer)
                return None
            if isinstance(answer, TransientFailure):
                pause = max(pause, answer.retry_after or 1.0)
                if answer.retry_after:  # every task that shares the limit has to wait
                    scopes = [limit.scope for limit in sender.limits(item.message)]
                    until = self.clock() + timedelta(seconds=answer.retry_after)
                    self.ledger.hold_back(scopes, until)
        return pause

    def _rest(self, seconds: float, result: Pass) -> None:
        """Sleep, unless the workflow is stopped meanwhile."""
        while seconds > 0 and not self._is_stopped(result):
            self.sleep(min(_NAP, seconds))
            seconds -= _NAP

    def _ask_about(
        self, doubts: Sequence[Prepared], sender: Sender, began: datetime, result: Pass
    ) -> None:
        """Ask at once for calls whose answer was lost; those not found stay in doubt for now."""
        if doubts and self.channel.can_be_asked:
            traces = {item.key: trace_of(self.channel, item.message) for item in doubts}
            found = ask_at_once(sender, traces, began)
            self._advance([delivered(key, receipt) for key, receipt in found.items()], [], result)

    def _outcome(self, item: Prepared, answer: Answer) -> Finished:
        """Return what an answer means; what may pass leaves the delivery claimed."""
        digest = message_digest(item.message)
        if isinstance(answer, Receipt):
            return delivered(item.key, answer, digest)
        if isinstance(answer, NoAddress):
            return Finished(item.key, State.SKIPPED, SKIPPED_NO_ADDRESS)
        if isinstance(answer, TransientFailure | ConnectionFailure):
            return Finished(item.key, State.CLAIMED, str(answer))
        state = State.FAILED
        if isinstance(answer, OutcomeUnknown):
            state = State.SENDING if self.channel.can_be_asked else State.UNCERTAIN
        return Finished(item.key, state, str(answer), digest=digest)

    def _advance(
        self, finished: Sequence[Finished], starting: Sequence[Prepared], result: Pass
    ) -> frozenset[str]:
        """Write outcomes and mark calls as begun; return the keys of those that may be made."""
        final = (item.state for item in finished if item.state is not State.CLAIMED)
        result.outcomes.update(final)
        started = self.ledger.advance(
            finished,
            {item.key: trace_of(self.channel, item.message) for item in starting},
            rules=self.rules,
            owner=self.owner,
            now=self.clock(),
            lease_until=self._lease(),
            clear_number=self.clear_number,
        )
        if started.refused:
            refused = [
                Finished(key, State.SKIPPED, reason) for key, reason in started.refused.items()
            ]
            self._advance(refused, [], result)
        return started.mine

    def _lease(self) -> datetime:
        return self.clock() + LEASE


def _send(sender: Sender, item: Prepared) -> Answer:
    """Send one message; what went wrong is a value here, so that no other answer is lost."""
    try:
        return sender.send(item.message, key=item.key)
    except DeliveryError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect must not lose the round's other answers
        place = "".join(traceback.format_tb(error.__traceback__))  # its text may be a contact's
        log.error("%s in the channel at\n%s", type(error).__name__, place)  # noqa: TRY400
        return Defect(f"a defect in the channel: {type(error).__name__}")
