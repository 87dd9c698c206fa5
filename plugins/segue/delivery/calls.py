"""The calls of a pass: as many under way as the channel's concurrency allows.

One transaction writes the outcomes of those that were answered and marks those that take their
place, so that a crash leaves no more than these in doubt (docs/design.md).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from segue.contracts.channel import Receipt, Sender
from segue.delivery.call_results import Answer, Defect, complete, send_once
from segue.delivery.claim import Claim
from segue.delivery.judgement import Prepared, as_digest
from segue.delivery.proof import Refusal, Refusals
from segue.delivery.recovery import ask_at_once, delivered, trace_of
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    Deferral,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.ledger.facts import Finished
from segue.ledger.pacing import REFUSALS, TRIES, Pacer, rest
from segue.ledger.states import State

_GATHER = 0.005  # seconds; a vendor's answer takes many times as long
_LOOK_EVERY = timedelta(seconds=1)
_NEVER = datetime.min.replace(tzinfo=UTC)
# so many lost answers in a row end a pass: whatever comes next would be lost as well
_LOST_IN_A_ROW, _ASKABLE_LOST_IN_A_ROW = 5, 20


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
class Calls:
    """The calls of a pass: at every moment ``finished`` holds what was not written down yet.

    ``under_way`` has a call before it is marked as begun, and until its answer is in ``finished``.
    ``result`` takes down why no further call begins.
    """

    claim: Claim
    sender: Sender
    pool: ThreadPoolExecutor
    pacer: Pacer
    waiting: deque[Prepared]
    result: Pass
    under_way: dict[Future[Answer], Prepared] = field(default_factory=dict)
    finished: list[Finished] = field(default_factory=list)
    doubts: list[Prepared] = field(default_factory=list)  # whose answer was lost
    tries: Counter[str] = field(default_factory=Counter)
    lost_in_a_row: int = 0
    looked_at: datetime = _NEVER
    refusals: Refusals = field(init=False)  # whose they are is not proven yet

    def __post_init__(self) -> None:
        self.refusals = Refusals(self.claim.clock.now)
        for item in self.waiting:
            self.refusals.recall(item, self.claim.refused_since(item))

    def run(self) -> None:
        """Keep calls under way until nothing waits, or the pass has to end."""
        since = self.claim.clock.now()
        try:
            while self.begin() or self.go_on():
                self.collect()
            self.judge_refusals()
        except BaseException:  # a task may be ended at any moment, and the ledger have a bad minute
            self.end()
            raise
        if self.waiting and not self._has_ended:
            self.result.resumes_in = self.pacer.left
        self.ask(since)

    def begin(self) -> bool:
        """Begin what may begin now; returns whether there is anything left to do."""
        self.finished += self.look_around()
        incomplete, whole = self.take_next()
        in_time = self.claim.lease()  # no later than the one that the marks are written with
        calls = {Future[Answer](): item for item in whole}
        self.under_way |= calls  # before the marks: what ends the pass must find them here
        mine = self.claim.begin(self.finished, whole)
        self.finished.clear()
        self.refusals.begin([*whole, *incomplete])
        for call, item in calls.items():
            if mine.issuperset(item.keys):
                self.pool.submit(_make, call, partial(self._send_in_time, item, in_time))
            else:
                del self.under_way[call]
        for item in incomplete:
            call = Future[Answer]()
            self.under_way[call] = item
            self.pool.submit(_make, call, partial(complete, self.sender, item))
        self.waiting.extendleft(self._left_of(whole, mine))
        return bool(self.under_way) or self.may_begin()

    def collect(self) -> None:
        """Wait for answers, or for the end of a pause, and do what the answers say."""
        if not self.under_way:
            rest(self.pacer.left, self.claim.clock.sleep, self.is_stopped)
            return
        calls = self._answered()
        answers = [(self.under_way[call], call.result()) for call in calls]
        self.write_down(answers)  # all of them, before anything can go wrong
        for call in calls:
            del self.under_way[call]
        for item, answer in answers:
            self.heed(item, answer)

    def write_down(self, answers: Iterable[tuple[Prepared, Answer]]) -> None:
        """Take down what answers mean, to be written in the next transaction."""
        for item, answer in answers:
            if not isinstance(answer, Prepared):
                self.finished += self.claim.outcomes_of(item, answer)

    def heed(self, item: Prepared, answer: Answer) -> None:
        """Do what an answer says to the other calls: go on, wait, or begin no more of them."""
        if isinstance(answer, Prepared):
            self.waiting.appendleft(answer)
            return
        if isinstance(answer, ConnectionFailure | Defect):
            self.result.connection = str(answer)
        if isinstance(answer, TransientFailure):
            self.retry(item, answer)
        elif isinstance(answer, OutcomeUnknown):
            self.doubts.append(item)
            self._count_lost(answer)
        elif isinstance(answer, UnprovenRefusal):
            self._fail(self.refusals.refuse(item, answer))
        if isinstance(answer, Receipt):
            self._fail(self.refusals.succeed(item))
        if isinstance(answer, Receipt | ContactFailure | UnprovenRefusal):
            self.lost_in_a_row = 0

    def go_on(self) -> bool:
        """Tell, once nothing is left to begin, whether there is after all, because of refusals.

        Another task may prove by now whose they are; and those tried once have another turn.
        """
        if not self.refusals or self._has_ended:
            return False
        self._fail(self.refusals.learn(self.claim.latest_success(self.refusals.since)))
        if not self.waiting and not self.refusals.are_too_many:
            self.waiting.extend(self.refusals.try_again())
        return self.may_begin()

    def judge_refusals(self) -> None:
        """Say, at the end of a pass that was not broken off, whose the open refusals are."""
        if not self._has_ended and not (self.waiting and not self.refusals.are_too_many):
            self._fail(self.refusals.judge(self.claim.worked_before))
            if self.refusals:
                self.result.connection = self.refusals.words
        elif not self._has_ended and self._were_refused_pass_after_pass():
            self.result.connection = self.refusals.words
        self.claim.write(self.finished)
        self.finished.clear()

    def _were_refused_pass_after_pass(self) -> bool:
        """Tell whether a rate so slow that a pass has few calls hides how many were refused."""
        if not self.refusals or self.refusals.has_success:
            return False
        success = self.claim.latest_success(self.refusals.first)
        return self.refusals.standing(success) >= REFUSALS

    @property
    def _has_ended(self) -> bool:
        return self.result.is_over or self.result.stopped is not None

    def _fail(self, refusals: Iterable[Refusal]) -> None:
        """Take down that refusals are the contacts'."""
        for each in refusals:
            failure = ContactFailure(each.failure.answer)
            self.finished += self.claim.outcomes_of(each.item, failure)

    def retry(self, item: Prepared, failure: TransientFailure) -> None:
        """Let a message wait for another try, and all of them as long as the vendor asks.

        What is put off alone waits for the next pass.
        """
        if isinstance(failure, Deferral):
            return
        self.tries[item.key] += 1
        if self.tries[item.key] < TRIES:
            self.waiting.append(item)
        self.pacer.heed(failure, self.sender.limits(item.message))
        self.result.retry_after = self.pacer.too_long

    def end(self) -> None:
        """Let no further call begin, and write down what came of all others.

        What was marked and did not begin is claimed again, and surely not in doubt.
        """
        unbegun = [item for call, item in self.under_way.items() if call.cancel()]
        self.claim.write_at_last([*self.claim.unbegun(unbegun), *self.finished])
        calls = [(item, call) for call, item in self.under_way.items() if not call.cancelled()]
        self.finished = []
        self.write_down((item, call.result()) for item, call in calls if not call.exception())
        self.claim.write_at_last(self.finished)

    def ask(self, since: datetime) -> None:
        """Ask at once for calls whose answer was lost; those not found stay in doubt for now."""
        channel = self.claim.channel
        if self.doubts and channel.can_be_asked:
            traces = {item.key: trace_of(channel, item.message) for item in self.doubts}
            receipts = ask_at_once(self.sender, traces, since)
            items = [item for item in self.doubts if item.key in receipts]
            self.claim.write(
                [delivered(key, receipts[item.key]) for item in items for key in item.keys]
            )

    def look_around(self) -> list[Finished]:
        """Ask, once a second at most, what a pass of an hour must not have missed.

        The workflow may have been stopped, a contact suppressed, and quiet hours may have begun.
        Takes what must not be sent any more out of ``waiting`` and returns its outcomes.
        """
        now = self.claim.clock.now()
        if now - self.looked_at < _LOOK_EVERY:
            return []
        self.looked_at = now
        if self.is_stopped() or not self.waiting:
            return []
        candidates = [one for item in self.waiting for one in item.candidates]
        refusals = list(self.claim.no_more_allowed(candidates))
        rest_of_them, failures = self._without({item.key for item in refusals}, self.waiting)
        self.waiting = deque(rest_of_them)
        return self.claim.uncalled([*refusals, *failures])

    def take_next(self) -> tuple[list[Prepared], list[Prepared]]:
        """Take what may be called now from the front: what lacks something, and the rest.

        What comes after it has to wait for its turn.
        """
        size = min(len(self.waiting), self.claim.channel.concurrency - len(self.under_way))
        if not size or not self.may_begin():
            return [], []
        pace = self.claim.pace()
        limits = [
            (*self.sender.limits(self.waiting[index].message), *pace) for index in range(size)
        ]
        batch = [self.waiting.popleft() for _ in range(self.pacer.reserve(limits))]
        self.result.retry_after = self.pacer.too_long
        incomplete = [item for item in batch if self.sender.lacks(item.message)]
        keys = {item.key for item in incomplete}
        return incomplete, [item for item in batch if item.key not in keys]

    def may_begin(self) -> bool:
        """Tell whether a further call is to begin, now or after the pause."""
        may_go_on = not self._has_ended and not self.refusals.are_too_many
        return bool(self.waiting) and may_go_on and self.pacer.is_in_time

    def is_stopped(self) -> bool:
        """Tell whether the workflow is stopped by now."""
        self.result.stopped = self.claim.stop_words()
        return self.result.stopped is not None

    def _answered(self) -> list[Future[Answer]]:
        """Wait for an answer, or for the end of a pause; return the calls that have one."""
        is_free = len(self.under_way) < self.claim.channel.concurrency
        seconds = self.pacer.left if is_free and self.may_begin() else None
        calls_done, _ = wait(self.under_way, timeout=seconds, return_when=FIRST_COMPLETED)
        if calls_done:  # one transaction for several answers that come at nearly the same time
            calls_done, _ = wait(self.under_way, timeout=_GATHER)
        return [call for call in self.under_way if call in calls_done]

    def _send_in_time(self, item: Prepared, in_time: datetime) -> Answer:
        """Send one message, unless another worker may have taken the call over.

        A process can be frozen after the mark, and wake up when it is thought to be dead.
        """
        if self.claim.clock.now() > in_time:
            return TransientFailure("the worker was held up before the call; nothing was sent")
        return send_once(self.sender, item)

    def _left_of(self, batch: Iterable[Prepared], mine: frozenset[str]) -> list[Prepared]:
        """Return what is left of the messages that may not begin as they are."""
        partly = [item for item in batch if not mine.issuperset(item.keys)]
        gone_keys = {key for item in partly for key in item.keys} - mine
        remainder, failures = self._without(gone_keys, partly)
        self.claim.refuse(failures)
        return remainder

    def _without(
        self, gone: Collection[str], items: Iterable[Prepared]
    ) -> tuple[list[Prepared], list[Finished]]:
        """Return what is left of messages when deliveries are gone: of a digest, one of the rest.

        Where that cannot be made, its outcomes are the second.
        """
        remainder: list[Prepared] = []
        failures: list[Finished] = []
        for item in items:
            members = [one for one in item.candidates if one.key not in gone]
            if len(members) == len(item.candidates):
                remainder.append(item)
            elif members:
                digest, outcomes = as_digest(self.claim.channel, self.claim.terms, members)
                remainder += digest
                failures += outcomes
        return remainder, failures

    def _count_lost(self, answer: OutcomeUnknown) -> None:
        """End the pass when one answer after the other is lost: each leaves a message in doubt."""
        self.lost_in_a_row += 1
        most = _ASKABLE_LOST_IN_A_ROW if self.claim.channel.can_be_asked else _LOST_IN_A_ROW
        if self.lost_in_a_row >= most and self.result.connection is None:
            self.result.connection = f"{most} answers in a row were lost, the last one: {answer}"


def _make(call: Future[Answer], work: Callable[[], Answer]) -> None:
    """Make a call, unless it was cancelled before."""
    if not call.set_running_or_notify_cancel():
        return
    try:
        call.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised where the answer is heard
        call.set_exception(error)
