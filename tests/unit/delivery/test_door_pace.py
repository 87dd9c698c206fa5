"""The door and time: rates of any slowness, clocks that are set back, passes that are ended."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from segue.clock import Clock as DoorClock
from segue.contracts.channel import Limit
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.errors import LedgerError, OutcomeUnknown, TransientFailure
from segue.ledger import Deliveries
from segue.ledger.schema import rates
from segue.ledger.states import State
from segue.testing import AskableChannel, RecordingChannel
from segue.workflows.times_of_day import Pace
from tests.unit.builders import NOW, with_deliveries
from tests.unit.delivery.test_door import (
    Clock,
    channel,
    door,
    failing_for,
    outcome,
    people,
    released,
)


@pytest.mark.parametrize(("count", "unit"), [(50, 3600), (5, 3600), (59, 3600), (1, 60), (120, 60)])
def test_every_rate_is_kept_to_in_one_pass_however_slow(ledger, count, unit):
    """The task waits for its turns; its retries are for what may pass, and are not used up."""
    candidates = released(ledger, *people(3))
    made = door(ledger, channel().limited(Limit("slow", count, unit)))
    result = made.deliver(candidates)
    assert (result.standing, result.retry_after) == ({State.DELIVERED: 3}, None)
    took = (made.clock() - NOW).total_seconds()
    assert took == pytest.approx(2 * unit / count, rel=0.05, abs=10)


def test_an_actions_own_pace_is_kept_to_beside_the_connections(ledger):
    """By all who make its calls, and by nobody else."""
    candidates = released(ledger, *people(6))
    through = channel().limited(Limit("quick", 100, 1))
    took = []
    for owner, some in (("task", candidates[:3]), ("release", candidates[3:])):
        made = door(ledger, through, owner)
        made.clock.now = NOW + timedelta(seconds=sum(took))
        made.terms = replace(made.terms, pace=Pace(60, "hour"))
        made._claim.terms = made.terms
        begin = made.clock()
        assert made.deliver(some).standing == {State.DELIVERED: 3}
        took.append((made.clock() - begin).total_seconds())
    assert sum(took) == pytest.approx(5 * 60, abs=10)


def test_a_slow_rate_does_not_hide_that_the_vendor_asks_for_a_longer_pause(ledger):
    candidates = released(ledger, *people(3))
    error = TransientFailure("429", retry_after=7200)
    through = channel().limited(Limit("slow", 50, 3600)).answering(failing_for("c000", error))
    result = door(ledger, through).deliver(candidates)
    assert result.retry_after == 7200
    assert door(ledger, through, "next").deliver(candidates).retry_after >= 7200


@pytest.mark.parametrize("ahead", [timedelta(hours=5), timedelta(days=400)])
def test_a_host_whose_clock_was_ahead_keeps_nobody_waiting(ledger, ahead):
    """It noted its next call's time in the future; by spacing that is never that far away."""
    limits = [[Limit("shared", 60, 60)]]
    assert ledger.deliveries.reserve(limits, NOW + ahead) == (1, 0.0)
    assert ledger.deliveries.reserve(limits, NOW) == (0, 1.0)  # and not five hours
    candidates = released(ledger, *people(3))
    made = door(ledger, channel().limited(Limit("shared", 60, 60)))
    assert made.deliver(candidates).standing == {State.DELIVERED: 3}


def test_the_time_is_that_of_the_reservation_and_not_of_the_wait_for_it(ledger):
    """Who waits meanwhile for the lock would else undo what others reserve, call by call."""
    limits = [[Limit("shared", 60, 60)]]
    ledger.deliveries.reserve(limits, NOW)
    seen = []

    def clock():
        seen.append(is_locked(ledger))
        return NOW + timedelta(seconds=1)

    assert not is_locked(ledger)
    assert ledger.deliveries.reserve(limits, clock) == (1, 0.0)
    assert seen == [True]


def test_the_door_reads_its_clock_while_it_reserves(ledger):
    candidates = released(ledger, *people(1))
    through, seen = channel().limited(Limit("shared", 60, 60)), []

    def clock():
        seen.append(is_locked(ledger))
        return NOW

    made = Door(
        ledger, through, Terms("welcome"), owner="me", clear_number=0, clock=DoorClock(clock)
    )
    ledger.deliveries.reserve([[Limit("shared", 60, 60)]], NOW - timedelta(minutes=1))
    assert made.deliver(candidates).standing == {State.DELIVERED: 1}
    assert any(seen)


def is_locked(ledger) -> bool:
    """Tell whether another connection would have to wait for the moments of a rate."""
    if ledger.engine.dialect.name == "sqlite":
        other = sqlite3.connect(ledger.engine.url.database, timeout=0, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        finally:
            other.close()
        return False
    with ledger.engine.connect() as connection:
        free = connection.execute(select(rates).with_for_update(skip_locked=True)).all()
    return not free


def test_a_clock_that_is_set_back_makes_no_pause_longer(ledger):
    """An hour back, in the middle of a pass that has to wait for seven seconds."""
    candidates = released(ledger, "a", "b")
    clock = Clock()

    def busy_and_back(key, message):
        if message["text"] == "Hello a" and clock.now == NOW:
            clock.now -= timedelta(hours=1)
            raise TransientFailure("429", retry_after=7)

    made = Door(
        ledger,
        channel().answering(busy_and_back),
        Terms("welcome"),
        owner="me",
        clock=DoorClock(clock, clock.sleep),
    )
    assert made.deliver(candidates).standing == {State.DELIVERED: 2}
    assert sum(clock.naps) < 60


@pytest.mark.parametrize(
    "ends", [LedgerError("restarts"), SystemExit("SIGTERM"), KeyboardInterrupt()]
)
def test_answers_that_were_heard_are_written_whatever_ends_the_pass(ledger, ends):
    """Four answers at once, one of them 429: what goes wrong then loses none of the others."""
    candidates = released(ledger, *people(4))

    class Ending(Deliveries):
        def hold_back(self, scopes, until):
            raise ends

    error = TransientFailure("429", retry_after=7)
    through = channel().limited(Limit("x", 1000, 1)).answering(failing_for("c000", error))
    made = door(with_deliveries(ledger, Ending), through)
    with pytest.raises(type(ends)):
        made.deliver(candidates)
    received = {message["text"] for _, message in through.outbox.received}
    for contact in people(4):
        arrived = f"Hello {contact}" in received
        assert outcome(ledger, contact).startswith("delivered" if arrived else "released")


@pytest.mark.parametrize(("kind", "most"), [(RecordingChannel, 5), (AskableChannel, 20)])
def test_a_pass_ends_when_one_answer_after_the_other_is_lost(ledger, kind, most):
    """A server that drops every connection after the message: not a whole slice is in doubt."""
    candidates = released(ledger, *people(60))

    def drop(key, message):
        raise OutcomeUnknown("the connection was closed")

    through = kind.model_validate({"text": "Hello {{ contact.contact_id }}"}).losing(drop)
    result = door(ledger, through).deliver(candidates)
    assert result.connection.startswith(f"{most} answers in a row were lost")
    assert most <= len(through.outbox.received) < most + through.concurrency
    assert result.standing[State.RELEASED] > 60 - most - through.concurrency


def test_answers_lost_between_others_do_not_end_a_pass(ledger):
    candidates = released(ledger, *people(40))
    lost = [0]

    def drop_every_second(key, message):
        lost[0] += 1
        if lost[0] % 2:
            raise OutcomeUnknown("reset")

    result = door(ledger, channel().losing(drop_every_second)).deliver(candidates)
    assert result.standing == {State.DELIVERED: 20, State.UNCERTAIN: 20}


def test_after_its_time_no_call_begins_and_the_rest_stays_due(ledger):
    """As in segue_release, whose next run is minutes away."""
    candidates = released(ledger, *people(10))
    clock = Clock()
    made = Door(
        ledger,
        channel().limited(Limit("x", 1, 60)),
        Terms("welcome"),
        owner="me",
        clock=DoorClock(clock, clock.sleep),
        until=NOW + timedelta(seconds=200),
    )
    result = made.deliver(candidates)
    assert result.standing == {State.DELIVERED: 4, State.RELEASED: 6}
