"""The one door: every message of every path goes through ``Door.deliver``.

The ledger decides what may be sent: a delivery is claimed, judged, marked ``sending`` in a
committed transaction, called, and its outcome written. What a message lacks (the id of whom an
address belongs to) is asked for while it is claimed, so that nothing is in doubt then. As many
calls are under way as the channel's concurrency allows; one transaction writes the outcomes of
those that were answered and marks those that take their place, so that a crash leaves no more than
these in doubt (docs/design.md).
"""

from __future__ import annotations

import logging
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from segue.clock import REAL_CLOCK, Clock
from segue.contracts.channel import (
    Audience,
    Channel,
    NoAddress,
    OpenTicket,
    OptedOut,
    Receipt,
    Sender,
)
from segue.delivery.candidates import (
    Candidate,
    Prepared,
    Terms,
    as_digest,
    held_back,
    judge,
    message_digest,
)
from segue.delivery.heartbeat import LEASE, heartbeat
from segue.delivery.policies import start_rules, waited_too_long
from segue.delivery.recovery import ask_at_once, delivered, recover, trace_of
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    LedgerError,
    OutcomeUnknown,
    TransientFailure,
)
from segue.ledger import Ledger
from segue.ledger.deliveries.outcomes import NOT_SENT_AGAIN, SENT_AGAIN
from segue.ledger.facts import DeliveryRow, Finished
from segue.ledger.pacing import LONGEST_PAUSE, Pause, longest_pause
from segue.ledger.people.suppressions import SuppressionKind
from segue.ledger.reasons import Reason
from segue.ledger.states import State

log = logging.getLogger(__name__)

_TRIES = 3  # of one delivery within one pass
_GATHER = 0.005  # seconds; a vendor's answer takes many times as long
_LOOK_EVERY = timedelta(seconds=1)
_PATIENCE = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0)  # seconds before each try to write answers down
# so many lost answers in a row end a pass: whatever comes next would be lost as well
_LOST_IN_A_ROW, _ASKABLE_LOST_IN_A_ROW = 5, 20
_ENDED_BEFORE = "the task ended before the call; nothing was sent"
_NAP = 2.0  # seconds; a pause is slept in naps, so that `segue stop` is obeyed meanwhile


@dataclass(slots=True)
class Pass:
    """What one pass through the door came to."""

    outcomes: Counter[State] = field(default_factory=Counter)  # of this pass
    standing: Counter[State] = field(default_factory=Counter)  # of all candidates, afterwards
    to_resend: int = 0  # of the uncertain ones, those that the next pass sends again
    retry_after: float | None = None  # seconds, as the vendor asked
    connection: str | None = None  # why the connection does not work
    stopped: str | None = None  # why the workflow was stopped
    resumes_in: float | None = None  # seconds until the next call, where ``until`` ended the pass

    @property
    def elsewhere(self) -> int:
        """How many are in another worker's hands, in those of one that died, or in doubt."""
        return self.standing[State.CLAIMED] + self.standing[State.SENDING]

    @property
    def is_over(self) -> bool:
        """True when no further call is to begin in this pass."""
        return self.connection is not None or self.retry_after is not None

    @property
    def is_complete(self) -> bool:
        """True when nothing is left that a later pass could send."""
        return not (self.standing[State.RELEASED] or self.elsewhere or self.to_resend)


@dataclass(slots=True)
class _Calls:
    """The calls of a pass: at every moment ``finished`` holds what was not written down yet.

    ``under_way`` has a call before it is marked as begun, and until its answer is in ``finished``.
    """

    waiting: deque[Prepared]
    pause: Pause
    under_way: dict[Future[Answer], Prepared] = field(default_factory=dict)
    finished: list[Finished] = field(default_factory=list)
    doubts: list[Prepared] = field(default_factory=list)  # whose answer was lost
    tries: Counter[str] = field(default_factory=Counter)


class Defect(OutcomeUnknown):
    """A channel failed in a way it does not know: the call is in doubt, and the pass ends."""


Answer = Receipt | DeliveryError | Prepared  # prepared: a message that is complete now


class Door:
    """Delivers one action's messages for a slice of contacts.

    ``owner`` names this worker's pass; no two may have the same name. Without a ``clear_number``
    there is no run any more, whose report would tell of what goes wrong: it is marked ``untold``.
    After ``until`` no further call begins.
    """

    def __init__(
        self,
        ledger: Ledger,
        channel: Channel,
        terms: Terms,
        *,
        owner: str,
        clear_number: int | None = 0,
        clock: Clock = REAL_CLOCK,
        until: datetime | None = None,
    ) -> None:
        self.ledger = ledger
        self.channel = channel
        self.terms = terms
        self.owner = owner
        self.clear_number = clear_number
        self.clock = clock.now
        self.sleep = clock.sleep
        self.rules = start_rules(channel, terms.policies, terms.zone)
        self.until = until
        self._again: dict[str, DeliveryRow] = {}  # what is sent once more, in doubt, by key
        self._lost_in_a_row = 0
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    def deliver(self, candidates: Sequence[Candidate]) -> Pass:
        """Try every candidate that the ledger allows, and return what came of it."""
        by_key = {candidate.key: candidate for candidate in candidates}
        result = Pass()
        if not self._is_stopped(result):
            with heartbeat(self.ledger, self.owner, self.clock):
                self._recover(by_key, result)
                try:
                    claimed = self._claim(by_key)
                    self._again = {row.key: row for row in claimed if _is_in_doubt(row)}
                    self._work([(row, by_key[row.key]) for row in claimed], result)
                finally:
                    self.ledger.deliveries.give_back(self.owner, self.clock())
        standing = self.ledger.deliveries.rows(by_key).values()
        result.standing.update(row.state for row in standing)
        if self._resends:
            now = self.clock()
            result.to_resend = sum(_is_sent_once_more(row, now) for row in standing)
        return result

    @property
    def _resends(self) -> bool:
        return self.terms.policies.on_uncertain == "resend"

    def _is_stopped(self, result: Pass) -> bool:
        stop = self.ledger.people.stopped(self.terms.workflow)
        result.stopped = str(stop) if stop else None
        return stop is not None

    def _look_around(self, waiting: deque[Prepared], result: Pass) -> list[Finished]:
        """Ask, once a second at most, what a pass of an hour must not have missed.

        The workflow may have been stopped, a contact suppressed, and quiet hours may have begun.
        Takes what must not be sent any more out of ``waiting`` and returns its outcomes.
        """
        now = self.clock()
        if now - self._looked_at < _LOOK_EVERY:
            return []
        self._looked_at = now
        if self._is_stopped(result) or not waiting:
            return []
        candidates = [one for item in waiting for one in item.candidates]
        forbidden = self._suppressed(candidates)
        refused = [Finished(key, State.SKIPPED, Reason.SUPPRESSION_LIST) for key in forbidden]
        for candidate in candidates:
            held = held_back(self.channel, self.terms, candidate, now)
            if held is not None and candidate.key not in forbidden:
                refused.append(held)
        gone = {item.key for item in refused}
        if gone:
            kept = [left for item in waiting for left in self._without(item, gone, refused)]
            waiting.clear()
            waiting.extend(kept)
        return self._not_called(refused)

    def _not_called(self, refused: Iterable[Finished]) -> list[Finished]:
        """Return the outcomes of what is not called: what was in doubt before stays in doubt.

        Its message may be out. What is only held back is due when that ends; the rest is left to a
        person.
        """
        return [
            replace(
                item,
                state=State.UNCERTAIN,
                reason=f"{NOT_SENT_AGAIN}: {item.reason}",
                held_until=item.held_until if item.state is State.HELD else None,
                earlier=self._again[item.key],
            )
            if item.key in self._again
            else item
            for item in refused
        ]

    def _without(
        self, item: Prepared, gone: Set[str], refused: list[Finished]
    ) -> Sequence[Prepared]:
        """Return what is left of a message when some deliveries are gone: a digest of the rest.

        Where that cannot be made, its outcomes are added to ``refused``.
        """
        left = [one for one in item.candidates if one.key not in gone]
        if len(left) == len(item.candidates) or not left:
            return [item] if left else []
        made, failed = as_digest(self.channel, self.terms, left)
        refused += failed
        return made

    def _suppressed(self, candidates: Iterable[Candidate]) -> set[str]:
        """Return the keys of those that the suppression list forbids."""
        contacts = {candidate.key: candidate.contact_id for candidate in candidates}
        listed = self.ledger.people.suppressed(list(set(contacts.values())))
        to_contact = self.channel.addressed_to is Audience.CONTACT
        return {
            key
            for key, contact in contacts.items()
            if (kind := listed.get(contact)) is not None
            and (to_contact or kind is SuppressionKind.FORGOTTEN)
        }

    def _recover(self, keys: Iterable[str], result: Pass) -> None:
        trouble = recover(
            self.ledger,
            self.channel,
            self.rules,
            keys,
            owner=self.owner,
            now=self.clock(),
            resends=self._resends,
            in_run=self.clear_number is not None,
        )
        result.connection = str(trouble) if trouble else None

    def _claim(self, keys: Collection[str]) -> list[DeliveryRow]:
        """Take what may be tried now, in the order of the keys, whatever the database's is."""
        claimed = self.ledger.deliveries.claim(
            keys,
            owner=self.owner,
            now=self.clock(),
            lease_until=self._lease(),
            clear_number=self.clear_number,
            resend_uncertain=self._resends,
        )
        rows = {row.key: row for row in claimed}
        return [rows[key] for key in keys if key in rows]

    def _work(self, claimed: Sequence[tuple[DeliveryRow, Candidate]], result: Pass) -> None:
        now = self.clock()
        refused, allowed = self._refuse(claimed, now)
        ready, judged = judge(self.channel, self.terms, allowed, now)
        self._advance(self._not_called([*refused, *judged]), [], result)
        if not ready:
            return
        try:
            with (
                self.channel.connect() as sender,
                ThreadPoolExecutor(self.channel.concurrency) as pool,
            ):
                self._call_all(deque(ready), sender, pool, result)
        except ConnectionFailure as error:
            result.connection = str(error)

    def _refuse(
        self, claimed: Sequence[tuple[DeliveryRow, Candidate]], now: datetime
    ) -> tuple[list[Finished], list[Candidate]]:
        """Split what was claimed into what the ledger's own knowledge forbids, and the rest."""
        forbidden = self._suppressed(candidate for _, candidate in claimed)
        refused: list[Finished] = []
        allowed: list[Candidate] = []
        for row, candidate in claimed:
            if row.key in forbidden:
                refused.append(Finished(row.key, State.SKIPPED, Reason.SUPPRESSION_LIST))
            elif waited_too_long(row, self.terms.policies, self.terms.zone, now):
                refused.append(Finished(row.key, State.SKIPPED, Reason.EXPIRED))
            else:
                allowed.append(candidate)
        return refused, allowed

    def _call_all(
        self, waiting: deque[Prepared], sender: Sender, pool: ThreadPoolExecutor, result: Pass
    ) -> None:
        """Keep calls under way until nothing waits, or the pass has to end."""
        calls = _Calls(waiting, Pause(self.clock))
        began = self.clock()
        try:
            while self._begin_calls(calls, sender, pool, result):
                self._hear(calls, sender, result)
        except BaseException:  # a task may be ended at any moment, and the ledger have a bad minute
            self._end_calls(calls, result)
            raise
        if calls.waiting and not result.is_over and result.stopped is None:
            result.resumes_in = calls.pause.left
        self._ask_about(calls.doubts, sender, began, result)

    def _begin_calls(
        self, calls: _Calls, sender: Sender, pool: ThreadPoolExecutor, result: Pass
    ) -> bool:
        """Begin what may begin now; returns whether there is anything left to do."""
        calls.finished += self._look_around(calls.waiting, result)
        batch = self._next_calls(calls, sender, result)
        lacking = [item for item in batch if sender.lacks(item.message)]
        asking = {item.key for item in lacking}
        whole = [item for item in batch if item.key not in asking]
        in_time = self._lease()  # no later than the one that the marks are written with
        starting = {Future[Answer](): item for item in whole}
        calls.under_way |= starting  # before the marks: what ends the pass must find them here
        mine = self._advance(calls.finished, whole, result)
        calls.finished.clear()
        for call, item in starting.items():
            if mine.issuperset(item.keys):
                pool.submit(_make, call, partial(self._send_in_time, sender, item, in_time))
            else:
                del calls.under_way[call]
        for item in lacking:
            call = Future[Answer]()
            calls.under_way[call] = item
            pool.submit(_make, call, partial(_complete, sender, item))
        calls.waiting.extendleft(self._left_of(whole, mine, result))
        return bool(calls.under_way) or self._may_begin(calls, result)

    def _end_calls(self, calls: _Calls, result: Pass) -> None:
        """Let no further call begin, and write down what came of all others.

        What was marked and did not begin is claimed again, and surely not in doubt.
        """
        unbegun = [item for call, item in calls.under_way.items() if call.cancel()]
        self._write_down([*self._not_begun(unbegun), *calls.finished], result)
        begun_calls = {call: item for call, item in calls.under_way.items() if not call.cancelled()}
        answers = [
            (item, call.result()) for call, item in begun_calls.items() if not call.exception()
        ]
        self._write_down(self._heard(answers), result)

    def _not_begun(self, items: Iterable[Prepared]) -> list[Finished]:
        """Return that these are what they were before they were marked."""
        outcomes = []
        for key in (key for item in items for key in item.keys):
            earlier = self._again.get(key)
            reason = earlier.reason if earlier else _ENDED_BEFORE
            outcomes.append(Finished(key, State.CLAIMED, reason, earlier=earlier))
        return outcomes

    def _hear(self, calls: _Calls, sender: Sender, result: Pass) -> None:
        """Wait for answers, or for the end of a pause, and do what the answers say."""
        may_begin = self._may_begin(calls, result)
        if not calls.under_way:
            self._rest(calls.pause.left, result)
            return
        done = self._answered(calls.under_way, calls.pause if may_begin else None)
        answers = [(calls.under_way[call], call.result()) for call in done]
        calls.finished += self._heard(answers)  # all of them, before anything can go wrong
        for call in done:
            del calls.under_way[call]
        for item, answer in answers:
            if isinstance(answer, Prepared):
                calls.waiting.appendleft(answer)
                continue
            calls.tries[item.key] += 1
            if isinstance(answer, TransientFailure) and calls.tries[item.key] < _TRIES:
                calls.waiting.append(item)
            if isinstance(answer, OutcomeUnknown):
                calls.doubts.append(item)
            self._heed(item, answer, sender, calls.pause, result)

    def _heard(self, answers: Iterable[tuple[Prepared, Answer]]) -> list[Finished]:
        return [
            outcome
            for item, answer in answers
            if not isinstance(answer, Prepared)
            for outcome in self._outcomes(item, answer)
        ]

    def _may_begin(self, calls: _Calls, result: Pass) -> bool:
        """Tell whether a further call is to begin, now or after the pause."""
        if not calls.waiting or result.is_over or result.stopped is not None:
            return False
        begins = self.clock() + timedelta(seconds=calls.pause.left)
        return self.until is None or begins <= self.until

    def _left_of(
        self, batch: Sequence[Prepared], mine: frozenset[str], result: Pass
    ) -> list[Prepared]:
        """Return what is left of the messages that may not begin as they are."""
        refused: list[Finished] = []
        left = [
            rest
            for item in batch
            if not mine.issuperset(item.keys)
            for rest in self._without(item, set(item.keys) - mine, refused)
        ]
        self._advance(self._not_called(refused), [], result)
        return left

    def _write_down(self, finished: Sequence[Finished], result: Pass) -> None:
        """Write outcomes although the ledger may have failed; try as long as the lease may last."""
        for pause in _PATIENCE:
            self.sleep(pause)
            try:
                self._advance(finished, [], result)
            except LedgerError as error:
                log.warning("%s answers could not be written down yet: %s", len(finished), error)
            else:
                return

    def _next_calls(self, calls: _Calls, sender: Sender, result: Pass) -> list[Prepared]:
        """Take what may be called now from the front; the next has to wait for its turn.

        However slow the rate, that turn is waited for; only a vendor's own longer pause ends the
        pass.
        """
        waiting = calls.waiting
        size = min(len(waiting), self.channel.concurrency - len(calls.under_way))
        if not size or calls.pause.left or not self._may_begin(calls, result):
            return []
        limits = [sender.limits(waiting[index].message) for index in range(size)]
        granted, seconds = self.ledger.deliveries.reserve(limits, self.clock)
        every = [limit for each in limits for limit in each]
        self._wait(seconds, longest_pause(every), calls.pause, result)
        return [waiting.popleft() for _ in range(granted)]

    def _send_in_time(self, sender: Sender, item: Prepared, in_time: datetime) -> Answer:
        """Send one message, unless another worker may have taken the call over.

        A process can be frozen after the mark, and wake up when it is thought to be dead.
        """
        if self.clock() > in_time:
            return TransientFailure("the worker was held up before the call; nothing was sent")
        return send_once(sender, item)

    def _answered(
        self, under_way: Mapping[Future[Answer], Prepared], pause: Pause | None
    ) -> list[Future[Answer]]:
        """Wait for an answer, or for the end of a pause; return the calls that have one."""
        seconds = None
        if pause is not None and len(under_way) < self.channel.concurrency:
            seconds = pause.left
        done, _ = wait(under_way, timeout=seconds, return_when=FIRST_COMPLETED)
        if done:  # one transaction for several answers, where they come at nearly the same time
            done, _ = wait(under_way, timeout=_GATHER)
        return [call for call in under_way if call in done]

    def _wait(self, seconds: float, longest: float, pause: Pause, result: Pass) -> None:
        """Let no call begin for a while; too long a pause ends the pass."""
        if seconds > longest:
            result.retry_after = max(seconds, result.retry_after or 0.0)
        pause.extend(seconds)

    def _heed(
        self, item: Prepared, answer: Answer, sender: Sender, pause: Pause, result: Pass
    ) -> None:
        """Do what an answer says to the other calls: go on, wait, or begin no more of them."""
        if isinstance(answer, ConnectionFailure | Defect):
            result.connection = str(answer)
        self._count_lost(answer, result)
        if not isinstance(answer, TransientFailure):
            return
        if answer.retry_after:  # every task that shares the limit has to wait
            scopes = [limit.scope for limit in sender.limits(item.message)]
            until = self.clock() + timedelta(seconds=answer.retry_after)
            self.ledger.deliveries.hold_back(scopes, until)
        self._wait(answer.retry_after or 1.0, LONGEST_PAUSE, pause, result)

    def _count_lost(self, answer: Answer, result: Pass) -> None:
        """End the pass when one answer after the other is lost: each leaves a message in doubt."""
        if isinstance(answer, Receipt | ContactFailure):
            self._lost_in_a_row = 0
        if not isinstance(answer, OutcomeUnknown):
            return
        self._lost_in_a_row += 1
        most = _ASKABLE_LOST_IN_A_ROW if self.channel.can_be_asked else _LOST_IN_A_ROW
        if self._lost_in_a_row >= most and result.connection is None:
            result.connection = f"{most} answers in a row were lost, the last one: {answer}"

    def _rest(self, seconds: float, result: Pass) -> None:
        rest(seconds, self.sleep, lambda: self._is_stopped(result))

    def _ask_about(
        self, doubts: Sequence[Prepared], sender: Sender, began: datetime, result: Pass
    ) -> None:
        """Ask at once for calls whose answer was lost; those not found stay in doubt for now."""
        if doubts and self.channel.can_be_asked:
            traces = {item.key: trace_of(self.channel, item.message) for item in doubts}
            found = ask_at_once(sender, traces, began)
            has = [item for item in doubts if item.key in found]
            known = [delivered(key, found[item.key]) for item in has for key in item.keys]
            self._advance(known, [], result)

    def _outcomes(self, item: Prepared, answer: Receipt | DeliveryError) -> list[Finished]:
        """Return what an answer means for each delivery of a message."""
        digest = message_digest(item.message)
        return [self._outcome(key, answer, digest) for key in item.keys]

    def _outcome(self, key: str, answer: Receipt | DeliveryError, digest: str) -> Finished:
        """Return what an answer means; what may pass leaves the delivery claimed."""
        if isinstance(answer, Receipt):
            return delivered(key, answer, digest)
        skipped = _skipped(answer)
        if skipped is not None:
            [outcome] = self._not_called([Finished(key, State.SKIPPED, skipped)])
            return outcome
        said = f"{SENT_AGAIN}: {answer}" if key in self._again else str(answer)
        if isinstance(answer, TransientFailure | ConnectionFailure):
            return Finished(key, State.CLAIMED, said, earlier=self._again.get(key))
        state = State.FAILED
        if isinstance(answer, OutcomeUnknown):
            state = State.SENDING if self.channel.can_be_asked else State.UNCERTAIN
        once_more = state is State.UNCERTAIN and self._resends and key not in self._again
        due = self.clock() if once_more else None
        return Finished(key, state, said, digest=digest, held_until=due)

    def _advance(
        self, finished: Sequence[Finished], starting: Sequence[Prepared], result: Pass
    ) -> frozenset[str]:
        """Write outcomes and mark calls as begun; return the keys of those that may be made.

        Of a digest some may be left: see ``Started``.
        """
        if not finished and not starting:
            return frozenset()
        traces: dict[str, dict[str, str]] = {}
        for item in starting:
            traces |= dict.fromkeys(item.keys, trace_of(self.channel, item.message))
        started = self.ledger.deliveries.advance(
            finished,
            traces,
            together=starting[0].key if starting and self.terms.digest else None,
            rules=self.rules,
            owner=self.owner,
            now=self.clock(),
            lease_until=self._lease(),
            clear_number=self.clear_number,
        )
        final = (item.state for item in finished if item.state is not State.CLAIMED)
        result.outcomes.update(final)
        if started.refused:
            refused = [
                Finished(key, State.SKIPPED, reason) for key, reason in started.refused.items()
            ]
            self._advance(self._not_called(refused), [], result)
        return started.mine

    def _lease(self) -> datetime:
        return self.clock() + LEASE


def _is_in_doubt(row: DeliveryRow) -> bool:
    """True where a call in doubt is made once more; the row is as it was before the claim."""
    settled = row.state in (State.FAILED, State.SKIPPED)
    return row.state is State.UNCERTAIN or (row.resent and not settled)


def _is_sent_once_more(row: DeliveryRow, now: datetime) -> bool:
    """True where the next pass of a workflow that resends may make the call once more."""
    is_due = row.held_until is None or row.held_until <= now
    return row.state is State.UNCERTAIN and is_due and not (row.resent or row.barred)


def _skipped(answer: DeliveryError) -> str | None:
    """Return why there was nothing to send after all, or None."""
    if isinstance(answer, NoAddress):
        return Reason.NO_ADDRESS
    if isinstance(answer, OptedOut):
        return Reason.OPTED_OUT
    if isinstance(answer, OpenTicket):
        return f"{Reason.OPEN_TICKET}: {answer}"
    return None


def rest(seconds: float, sleep: Callable[[float], None], is_stopped: Callable[[], bool]) -> None:
    """Sleep, unless the workflow is stopped meanwhile."""
    while seconds > 0 and not is_stopped():
        sleep(min(_NAP, seconds))
        seconds -= _NAP


def _make(call: Future[Answer], work: Callable[[], Answer]) -> None:
    """Make a call, unless it was cancelled before."""
    if not call.set_running_or_notify_cancel():
        return
    try:
        call.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised where the answer is heard
        call.set_exception(error)


def send_once(sender: Sender, item: Prepared) -> Answer:
    """Send one message."""
    return _answered(lambda: sender.send(item.message, key=item.key))


def _complete(sender: Sender, item: Prepared) -> Answer:
    """Ask for what a message lacks; no call has begun, so that nothing can be in doubt."""
    answer = _answered(lambda: replace(item, message=sender.complete(item.message)))
    if isinstance(answer, Defect):
        return ConnectionFailure(str(answer))
    return TransientFailure(str(answer)) if isinstance(answer, OutcomeUnknown) else answer


def _answered(call: Callable[[], Answer]) -> Answer:
    """Make a call; what went wrong is a value here, so that no other answer is lost."""
    try:
        return call()
    except DeliveryError as error:
        return error
    except Exception as error:  # noqa: BLE001 - a defect must not lose the round's other answers
        place = "".join(traceback.format_tb(error.__traceback__))  # its text may be a contact's
        log.error("%s in the channel at\n%s", type(error).__name__, place)  # noqa: TRY400
        return Defect(f"a defect in the channel: {type(error).__name__}")
