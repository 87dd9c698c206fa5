"""A source that may be called seldom, or stops answering: what it has said is kept."""

from __future__ import annotations

import dataclasses
import itertools
import signal
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr
from sqlalchemy import update

from segue.contacts.live_look_up import Desk, PartlyLookedUp, look_up
from segue.contracts.channel import Limit
from segue.contracts.live_source import LiveReader, LiveSource
from segue.errors import TransientFailure
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.live.clock import NOW, Wrist
from tests.unit.live.world import World


class Seldom(LiveSource):
    """Says the same of everybody, at a rate; from the ``fails_at``-th call on it fails."""

    name: ClassVar[str] = "seldom"
    concurrency: ClassVar[int] = 2
    connection: str = "none"
    _asked: list[str] = PrivateAttr(default_factory=list)
    _limit: Limit = PrivateAttr(default=Limit("seldom", 50, 3600))
    _fails_at: int = PrivateAttr(default=1_000)
    _asks_once: list[float] = PrivateAttr(default_factory=list)

    @property
    def provides(self) -> list[str]:
        return ["level"]

    def connect(self) -> SeldomReader:
        return SeldomReader(self)


class OneByOne(Seldom):
    """The same, one call after the other."""

    concurrency: ClassVar[int] = 1


class SeldomReader(LiveReader):
    def __init__(self, source: Seldom) -> None:
        self._source = source

    def limits(self) -> list[Limit]:
        return [self._source._limit]

    def look_up(self, contacts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
        source = self._source
        if source._asks_once:
            raise TransientFailure("429", retry_after=source._asks_once.pop())
        if len(source._asked) >= source._fails_at:
            raise TransientFailure("429", retry_after=7200)
        source._asked += contacts
        return {contact: {"level": "mid"} for contact in contacts}


def contacts(count: int) -> dict[str, dict[str, Any]]:
    return {f"c{number}": {} for number in range(count)}


def test_a_slow_rate_is_waited_for_in_one_try(ledger):
    wrist = Wrist()
    assert len(look_up(Seldom(), contacts(4), Desk(ledger, wrist.clock))) == 4
    assert wrist.now - NOW >= timedelta(seconds=3 * 72)


def test_a_source_of_a_slow_rate_may_ask_for_as_long_as_its_turns_take(ledger):
    """One call in 72 seconds: 70 more are no reason to give up."""
    wrist, source = Wrist(), OneByOne()
    source._asks_once = [70.0]
    assert len(look_up(source, contacts(2), Desk(ledger, wrist.clock))) == 2


def test_what_was_found_before_the_source_stopped_is_not_forgotten(ledger):
    source = Seldom()
    source._fails_at = 3
    with pytest.raises(PartlyLookedUp) as caught:
        look_up(source, contacts(6), Desk(ledger, Wrist().clock))
    assert set(caught.value.found) == set(source._asked)
    assert caught.value.retry_after >= 7200


def test_a_desk_that_closes_makes_no_further_call(ledger):
    """As in segue_release, whose next run is minutes away."""
    wrist, source = Wrist(), OneByOne()
    with pytest.raises(PartlyLookedUp):
        look_up(source, contacts(9), Desk(ledger, wrist.clock, NOW + timedelta(seconds=200)))
    assert wrist.now <= NOW + timedelta(seconds=200)
    assert len(source._asked) == 3


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_a_task_that_is_told_to_end_makes_no_further_call(ledger, nth):
    """Whether it is still handing out calls or waits for them: Airflow kills what does not end."""

    class Ending(Seldom):
        _limit: Limit = PrivateAttr(default=Limit("seldom", 1000, 1))

        def connect(self) -> SeldomReader:
            return EndingReader(self)

    class EndingReader(SeldomReader):
        def look_up(self, contacts):
            answers = super().look_up(contacts)
            answered = next(answers_given)
            if answered == nth:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
            if answered >= nth:
                told.wait(60)
                time.sleep(0.05)
            return answers

    def end(*_):
        told.set()
        sys.exit("told to end")

    source, told, answers_given = Ending(), threading.Event(), itertools.count(1)
    before = signal.signal(signal.SIGUSR1, end)
    try:
        with pytest.raises(SystemExit):
            look_up(source, contacts(200), Desk(ledger))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(source._asked) < 100


def test_a_task_that_is_tried_again_asks_for_the_others_only(tmp_path, ledger):
    """And one that is cleared afterwards asks for all again: it is meant to see what is now."""
    source = OneByOne()
    source._limit = Limit("seldom", 1000, 1)
    source._fails_at = 2
    world = World(tmp_path, ledger)
    world.days("a", "b", "c")
    world.resolved = dataclasses.replace(world.resolved, live=source)
    world.detect()
    with pytest.raises(PartlyLookedUp):
        world.load()
    assert len(source._asked) == 2
    source._fails_at = 1_000
    world.now += timedelta(hours=3)
    assert world.load() == 3
    assert sorted(source._asked) == ["a", "b", "c"]
    details = world.area.read_details(world.ref.number, "2026-11-22")
    assert list(details.contacts["level"]) == ["mid"] * 3
    world.load()
    assert len(source._asked) == 6


def due_world(tmp_path, ledger, source: LiveSource) -> World:
    """A world in which six deliveries are due, whose contacts are looked up first."""
    world = World(tmp_path, ledger)
    world.days(*"abcdef")
    world.resolved = dataclasses.replace(world.resolved, live=source)
    world.detect()
    values = {"state": State.HELD, "held_until": NOW, "held_since": NOW}
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(values))
    return world


def sent_in_next_run(world: World) -> int:
    """How many have been sent, in all, when a further run of ``segue_release`` is over."""
    world.now += timedelta(minutes=5)
    assert world.resume().problems == []
    return len(world.mail.outbox.received)


def test_segue_release_sends_to_whom_it_could_look_up_in_its_time(tmp_path, ledger):
    """At 50 an hour: four in a run of four and a half minutes, and the others in the next ones."""
    world = due_world(tmp_path, ledger, OneByOne())
    assert [sent_in_next_run(world) for _ in range(2)] == [4, 6]


def test_two_calls_at_once_make_the_rate_no_faster(tmp_path, ledger):
    """Nor slower than that each run sends to somebody: the clock moves for both who wait."""
    world = due_world(tmp_path, ledger, Seldom())
    assert 1 <= sent_in_next_run(world) <= 4
    totals = [sent_in_next_run(world) for _ in range(5)]
    assert totals[-1] == 6
