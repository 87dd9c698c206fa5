"""A pass that is ended at any moment: what was not called is not in doubt, what was is known."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import update

from segue.clock import Clock as DoorClock
from segue.delivery.calls import Calls
from segue.delivery.claim import Claim
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.delivery.proof import Refusals
from segue.errors import LedgerError, TransientFailure, UnprovenRefusal
from segue.ledger import Deliveries
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.builders import with_deliveries
from tests.unit.delivery.test_door import (
    Clock,
    channel,
    door,
    failing_for,
    outcome,
    people,
    released,
)

TOLD_TO_END = "the task ended before the call; nothing was sent"


class AfterTheMarks(Deliveries):
    """A ledger after whose first commit of marks the pass is ended."""

    ends: BaseException = SystemExit("SIGTERM")
    spared = 0  # as many commits go by before

    def advance(self, finished, starting, **values):
        started = super().advance(finished, starting, **values)
        if starting:
            self.spared -= 1
            if self.spared == -1:
                raise self.ends
        return started


@pytest.mark.parametrize(
    "ends", [SystemExit("SIGTERM"), KeyboardInterrupt(), LedgerError("the connection was closed")]
)
@pytest.mark.parametrize("spared", [0, 1])
def test_what_was_marked_and_not_called_is_not_in_doubt(ledger, ends, spared):
    """The commit is through, and the calls have not begun: they are as they were."""
    candidates = released(ledger, *people(20))
    ending = with_deliveries(ledger, AfterTheMarks)
    ending.deliveries.ends, ending.deliveries.spared = ends, spared
    through = channel()
    with pytest.raises(type(ends)):
        door(ending, through).deliver(candidates)
    arrivals = {message["text"] for _, message in through.outbox.received}
    assert bool(arrivals) == bool(spared)
    for contact in people(20):
        state, _, reason = outcome(ledger, contact).partition(":")
        assert state == ("delivered" if f"Hello {contact}" in arrivals else "released")
        assert reason in ("", TOLD_TO_END)
    assert door(ledger, through, "next").deliver(candidates).standing == {State.DELIVERED: 20}
    assert len(through.outbox.received) == 20


def test_a_message_in_doubt_that_was_not_called_again_stays_as_it_was(ledger):
    """It may be called once more by the next pass, and says why it is in doubt."""
    candidates = released(ledger, "a")
    doubtful = {"state": State.UNCERTAIN, "reason": "the worker ended during the call"}
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(**doubtful))
    through = channel()
    ending = door(with_deliveries(ledger, AfterTheMarks), through, on_uncertain="resend")
    with pytest.raises(SystemExit):
        ending.deliver(candidates)
    assert outcome(ledger, "a") == "uncertain:the worker ended during the call"
    made = door(ledger, through, "next", on_uncertain="resend").deliver(candidates)
    assert made.standing == {State.DELIVERED: 1}


def test_a_thread_that_cannot_be_started_leaves_no_call_in_doubt(ledger, monkeypatch):
    """The machine has no more of them: what the other threads sent is delivered."""
    candidates = released(ledger, *people(8))
    through, threads = channel(), []

    class Scarce(threading.Thread):
        def start(self):
            if self.name.startswith("ThreadPoolExecutor"):
                threads.append(self.name)
                if len(threads) == 2:
                    raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(threading, "Thread", Scarce)
    with pytest.raises(RuntimeError, match="new thread"):
        door(ledger, through).deliver(candidates)
    arrivals = {message["text"] for _, message in through.outbox.received}
    for contact in people(8):
        arrived = f"Hello {contact}" in arrivals
        assert outcome(ledger, contact).split(":")[0] == ("delivered" if arrived else "released")


# ---- at every single step --------------------------------------------------------------------

STEPS = {  # of functions without a `with`, which Python itself may leave half done
    function.__code__
    for function in (
        *(Calls.begin, Calls.collect, Calls.take_next, Calls.look_around, Calls.heed, Calls.retry),
        *(Calls.write_down, Calls._left_of, Calls._without, Calls._answered, Claim.begin),
        *(Calls.go_on, Calls.judge_refusals, Calls._fail, Refusals.refuse, Refusals.succeed),
        *(Claim.refuse, Claim.uncalled, Claim.outcomes_of),
    )
}


class Step:
    """Ends the thread that runs it at the step of this number, as a signal does."""

    def __init__(self, number: int) -> None:
        self.left, self.has_ended = number, False

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code not in STEPS:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.has_ended = True
                raise SystemExit("SIGTERM")
        return self


@contextmanager
def ended_at(number: int) -> Iterator[Step]:
    step, before = Step(number), sys.gettrace()
    sys.settrace(step)
    try:
        yield step
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("digest", "failure"),
    [
        (False, TransientFailure("429")),
        (True, UnprovenRefusal("403", advice="check it")),
        pytest.param(True, TransientFailure("429"), marks=pytest.mark.slow),
        pytest.param(False, UnprovenRefusal("403", advice="check it"), marks=pytest.mark.slow),
    ],
)
def test_at_whatever_step_a_pass_is_ended_nothing_is_in_doubt(ledger, digest, failure):
    """A signal comes between any two steps: who got the message is delivered, others are free.

    Each failure, and messages as well as digests, are in one of the two quick cases.
    """
    everybody = iter(released(ledger, *people(2400)))
    number, step = 0, None
    while step is None or step.has_ended:
        number += 1
        three = [next(everybody) for _ in range(3)]
        names = [each.contact_id for each in three]
        text = "{{ digest.count }}" if digest else "Hello {{ contact.contact_id }}"
        through = channel(text).answering(failing_for(names[1], failure, times=1))
        clock = Clock()
        made = Door(
            ledger,
            through,
            Terms("welcome", digest=digest),
            owner="me",
            clock=DoorClock(clock, clock.sleep),
        )
        with suppress(SystemExit), ended_at(number) as step:
            made.deliver(three)
        texts = [message["text"] for _, message in through.outbox.received]
        arrived = [(digest and bool(texts)) or f"Hello {name}" in texts for name in names]
        states = [outcome(ledger, name).split(":")[0] for name in names]
        assert states == ["delivered" if each else "released" for each in arrived], number
    assert number > 50
