"""Each delivery once: whatever the order of runs, and when two workers have the same slice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import ClassVar

import pytest

from segue.clock import Clock
from segue.delivery.steps import deliver
from segue.errors import TransientFailure
from segue.ledger import Ledger
from segue.ledger.engine import open_engine
from segue.ledger.facts import Run, Wishes
from segue.testing import Outbox, RecordingChannel
from tests.properties.delivery_world import (
    CONTACTS,
    NAME,
    Mood,
    Person,
    World,
    as_of,
    key_of,
    true_changes,
)

DAYS = 10
DELIVER = Wishes(deliver=True)


@pytest.mark.parametrize("seed", range(2))
def test_ten_days_of_runs_in_any_order_deliver_each_change_once(ledger, tmp_path, seed):
    """A backfill of ten days runs in random order, twice: each day's changes arrive once."""
    random = Random(seed)
    world = World(tmp_path, ledger.engine, "ten days", slices=1)
    for day in range(DAYS):
        world.snapshot(day, {who: _gold(random.random() < 0.5) for who in CONTACTS})
    world.now += timedelta(days=30)
    for _ in range(2):
        for day in random.sample(range(DAYS), DAYS):
            end = as_of(day) + timedelta(hours=6)
            interval = (end - timedelta(days=1), end)
            run = Run(NAME, f"backfill {day}", interval, is_backfill=True)
            world.start(run, DELIVER, Mood())
    expected = {
        (contact, change, key_of(day))
        for previous, day in pairwise(range(DAYS))
        for contact, change, _ in true_changes(world.snapshots[previous], world.snapshots[day])
    }
    assert len(expected) > DAYS
    for action in ("tell", "mail", "follow"):
        arrived = Counter(
            (it.contact, it.change, it.snapshot)
            for it in (arrival.identity for arrival in world.received(action=action))
        )
        assert arrived == Counter(expected)
    assert world.violations == []


class Busy(RecordingChannel):
    """A vendor that now and then wants no more calls, so that the rest is up for grabs again."""

    concurrency: ClassVar[int] = 100

    def model_post_init(self, context):
        super().model_post_init(context)
        calls, lock = iter(range(1, 1_000_000)), threading.Lock()

        def now_and_then(key, message):
            with lock:
                if next(calls) % 300 == 0:
                    raise TransientFailure("429", retry_after=600)

        self.answering(now_and_then)


def test_two_workers_with_the_same_slice_deliver_each_contact_once(ledger, tmp_path):
    """Airflow took a living worker for dead: both race for two thousand contacts."""
    world = World(tmp_path, ledger.engine, "race", slices=1)
    contacts = [f"c{number:04}" for number in range(2000)]
    world.snapshot(0, {})
    world.snapshot(1, {who: _gold(True) for who in contacts})
    end = as_of(1) + timedelta(hours=6)
    run = Run(NAME, "run", (end - timedelta(days=1), end))
    dag_run = world.start(run, Wishes(), Mood(), until="conditions")
    [ref] = dag_run.refs
    outbox, start = Outbox(), threading.Barrier(2)

    def work(number: int) -> int:
        """Try until nothing is left; returns how many this worker delivered."""
        engine = open_engine(ledger.engine.url.render_as_string(hide_password=False))
        own = Ledger(engine, "race")
        channel = Busy.model_validate({"text": "{{ contact.contact_id }}"})
        channel._outbox = outbox
        resolved = replace(world.workflow, channels={"tell": channel})
        action = resolved.definition.action("tell")
        clock = Clock(sleep=lambda seconds: None)
        delivered = 0
        start.wait()
        for attempt in range(2000):
            owner = f"worker {number}, attempt {attempt}"
            result = deliver(resolved, action, [ref], own, owner=owner, clear_number=0, clock=clock)
            delivered += result.outcomes["delivered"]
            if result.is_complete:
                break
            time.sleep(0.05)  # a real pause: the other has the rest in its hands
        engine.dispose()
        return delivered

    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(work, (1, 2)))
    assert sorted(message["text"] for _, message in outbox.received) == contacts
    assert sum(shares) == len(contacts)


def _gold(member: bool) -> Person:
    return Person(gold=member, opted_in=True, phone=True)
