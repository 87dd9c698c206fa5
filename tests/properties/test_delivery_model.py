"""Random sequences of runs, held against a simple model: never twice, never lost, no overlap.

Days pass, runs are cleared, done again by backfills, asked about and rejected; members are
enrolled, snapshots quarantined, definitions edited, contacts suppressed and forgotten.

Everything is real but the vendor, the clock and Airflow's scheduler, whose part
``delivery_world.World`` plays.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.facts import Run, Wishes
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.properties.delivery_world import (
    ACTIONS,
    CONTACTS,
    MOODS,
    NAME,
    Arrival,
    Mood,
    Person,
    World,
    as_of,
    key_of,
)

DAYS = 12  # of snapshots, at most
NO_WISHES = Wishes()

persons = st.sampled_from(
    [
        None,
        Person(gold=False, opted_in=True, phone=True),
        Person(gold=False, opted_in=True, phone=True),
        Person(gold=True, opted_in=True, phone=True),
        Person(gold=True, opted_in=True, phone=True),
        Person(gold=True, opted_in=False, phone=True),
        Person(gold=True, opted_in=True, phone=False),
    ]
)
people = st.tuples(*[persons] * len(CONTACTS)).map(
    lambda found: {who: person for who, person in zip(CONTACTS, found, strict=True) if person}
)
answers = st.lists(st.sampled_from(MOODS), min_size=1, max_size=3)
moods = st.builds(
    Mood,
    st.one_of(
        st.dictionaries(st.sampled_from(CONTACTS), answers, max_size=4),
        answers.map(lambda found: {who: list(found) for who in CONTACTS}),
    ),
    st.sampled_from([None, None, None, *range(20)]),
)
waits = st.sampled_from([0, 5, 90, 90, 300, 300, 3600, 6 * 3600])  # seconds before an operation
aftermaths = st.lists(
    st.tuples(
        waits,
        st.sampled_from(
            [
                lambda world, run, mood: world.retry(run, mood),
                lambda world, run, mood: world.retry(run, mood),
                lambda world, run, mood: world.clear(run, mood),
                lambda world, run, mood: world.clear_action(run, "mail", mood),
                lambda world, run, mood: world.release(mood),
            ]
        ),
        moods,
    ),
    max_size=3,
)
policies = {
    "max_age": st.sampled_from(["1d", "2d", "100d"]),
    "once_per_contact": st.sampled_from([None, None, "ever", "2d"]),
    "quiet_hours": st.sampled_from([None, "100h", "6h"]).map(
        lambda expires: expires and {"from": "21:00", "to": "08:00", "expires": expires}
    ),
    "frequency_cap": st.sampled_from([None, "1 per day", "2 per week"]),
    "holdout": st.sampled_from([None, "30%"]),
    "on_uncertain": st.sampled_from(["hold", "resend"]),
    "backfill": st.sampled_from(["record", "deliver"]),
    "recheck": st.booleans(),
    "missing_snapshot": st.sampled_from(["fail", "skip"]),
}


WAITS = [None, "5h", "30h", "09:00"]  # of actions
journeys = st.dictionaries(st.sampled_from(["tell", "mail", "follow"]), st.sampled_from(WAITS[1:]))

ANSWERS_OF_PEOPLE = ["approve", "approve", "reject", "reject and quarantine"]

AFTER_A_QUARANTINE = {
    "Airflow retries": lambda world, run, mood: world.retry(run, mood),
    "mail is cleared": lambda world, run, mood: world.clear_action(run, "mail", mood),
    "tell is cleared": lambda world, run, mood: world.clear_action(run, "tell", mood),
    "the run is cleared": lambda world, run, mood: world.clear(run, mood),
    "segue_release": lambda world, run, mood: world.release(mood),
    "a retry is asked for": lambda world, run, mood: world.request_retry(),
    "it is settled": lambda world, run, mood: world.settle(),
}


class Sequences(RuleBasedStateMachine):
    """One workflow through everything that may happen to it."""

    ledger: Ledger  # its database; each example has a namespace of its own

    @initialize(
        askable=st.booleans(),
        slices=st.sampled_from([1, 100]),
        first=people,
        written=st.fixed_dictionaries({}, optional=policies),
        waits=st.one_of(st.just({}), journeys),
        leaves=st.booleans(),
        farewell=st.lists(moods, min_size=2, max_size=2),
    )
    def begin(self, askable, slices, first, written, waits, leaves, farewell):
        self.farewell = farewell
        self.folder = Path(tempfile.mkdtemp(prefix="segue-model-"))
        namespace = uuid.uuid4().hex
        self.world = World(
            self.folder, self.ledger.engine, namespace, askable=askable, slices=slices
        )
        self.world.waits, self.world.leaves = dict(waits), leaves
        self.world.snapshot(0, first)
        for name, value in written.items():
            self._write_policy(name, value)

    def teardown(self):
        if hasattr(self, "world"):
            try:
                self.all_is_accounted_for()
            finally:
                shutil.rmtree(self.folder)

    # Snapshots and time

    @rule(people=people, days=st.sampled_from([1, 1, 1, 2]), complete=st.sampled_from([1, 1, 0]))
    def a_snapshot_appears(self, people, days, complete):
        day = max(self.world.snapshots) + days
        if day < DAYS:
            self.world.snapshot(day, people, complete=bool(complete))

    @rule(people=people)
    def a_snapshot_arrives_late(self, people):
        missing = set(range(max(self.world.snapshots))) - set(self.world.snapshots)
        if missing:
            self.world.snapshot(min(missing), people)

    @precondition(lambda self: self.world.incomplete)
    @rule()
    def a_snapshot_is_completed(self):
        self.world.complete(min(self.world.incomplete))

    @rule(hours=st.sampled_from([1, 5, 14, 24, 60]))
    def time_passes(self, hours):
        self.world.now += timedelta(hours=hours)

    # Runs

    @rule(people=people, wait=waits, mood=moods, aftermath=aftermaths)
    def a_day_passes(self, people, wait, mood, aftermath):
        """A snapshot appears, its scheduled run looks at it, and what failed is tried again."""
        day = max(self.world.snapshots) + 1
        if day < DAYS:
            self.world.snapshot(day, people)
            run = self._interval(day, 6, 24, mood, wait=wait)
            for seconds, then, mood_then in aftermath:
                self.world.now += timedelta(seconds=seconds)
                then(self.world, self.world.runs[run.run.run_id], mood_then)

    @rule(
        data=st.data(),
        hour=st.sampled_from([6, 6, 18]),
        length=st.sampled_from([24, 24, 24, 12, 48, 168]),
        backfill=st.booleans(),
        deliver=st.booleans(),
        until=st.sampled_from(["report", "report", "report", "detect_changes", "conditions"]),
        mood=moods,
    )
    def a_run_of_an_interval(self, data, hour, length, backfill, deliver, until, mood):
        """Scheduled or a backfill's; at whatever time the schedule was that made it."""
        day = data.draw(st.sampled_from(sorted(self.world.snapshots)), label="day")
        wishes = Wishes(deliver=backfill and deliver)
        self._interval(day, hour, length, mood, wishes, until=until, backfill=backfill)

    def _interval(
        self, day, hour, length, mood, wishes=NO_WISHES, *, wait=0, until="report", backfill=False
    ):
        end = as_of(day) + timedelta(hours=hour)
        name = f"{'backfill' if backfill else 'scheduled'} {length} {end}"
        run = Run(NAME, name, (end - timedelta(hours=length), end), is_backfill=backfill)
        self.world.now = max(self.world.now, end + timedelta(seconds=wait))
        return self.world.start(run, wishes, mood, until=until)

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data(), deliver=st.booleans(), wait=waits, mood=moods)
    def a_backfill_does_a_run_again(self, data, deliver, wait, mood):
        """``--reprocess-behavior completed``: the same run, which is a backfill's from now on."""
        run = self._some_run(data, wait).run
        if run.interval is not None:
            again = replace(run, is_backfill=True)
            self.world.start(again, Wishes(deliver=deliver), mood)

    @rule(mood=moods)
    def a_manual_run(self, mood):
        self.world.start(Run(NAME, f"manual {len(self.world.runs)}"), NO_WISHES, mood)

    @rule(data=st.data(), deliver=st.booleans(), mood=moods)
    def a_manual_run_between_two_snapshots(self, data, deliver, mood):
        days = st.sampled_from(sorted(self.world.snapshots))
        previous, current = sorted((data.draw(days), data.draw(days)))
        if previous < current:
            keys = [as_of(day - 1).date().isoformat() for day in (previous, current)]
            run = Run(NAME, f"manual {len(self.world.runs)}")
            self.world.start(run, Wishes(*keys, deliver=deliver), mood)

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data(), wait=waits, mood=moods)
    def airflow_retries(self, data, wait, mood):
        self.world.retry(self._some_run(data, wait), mood)

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data(), wait=waits, mood=moods)
    def a_run_is_cleared(self, data, wait, mood):
        self.world.clear(self._some_run(data, wait), mood)

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data(), wait=waits, mood=moods)
    def a_guard_is_cleared(self, data, wait, mood):
        self.world.clear_guard(self._some_run(data, wait), mood)

    @precondition(lambda self: self.world.runs)
    @rule(data=st.data(), action=st.sampled_from(ACTIONS), wait=waits, mood=moods)
    def an_action_is_cleared(self, data, action, wait, mood):
        self.world.clear_action(self._some_run(data, wait), action, mood)

    def _some_run(self, data, wait):
        self.world.now += timedelta(seconds=wait)
        name = data.draw(st.sampled_from(sorted(self.world.runs)), label="run")
        return self.world.runs[name]

    # What else goes on

    @rule(wait=waits, mood=moods)
    def segue_release_runs(self, wait, mood):
        self.world.now += timedelta(seconds=wait)
        self.world.release(mood)

    @rule(wait=waits)
    def segue_release_meets_no_definitions(self, wait):
        self.world.now += timedelta(seconds=wait)
        self.world.release_without_definitions()

    @rule()
    def a_person_gives_up_what_is_held(self):
        self.world.drop()

    @rule()
    def a_person_settles_what_is_uncertain(self):
        self.world.settle()

    @rule()
    def a_person_asks_for_failed_ones_again(self):
        self.world.request_retry()

    @rule(stop=st.booleans())
    def a_person_stops_the_workflow_or_lets_it_go(self, stop):
        if stop:
            self.world.ledger.people.stop(NAME, "ann", "", self.world.now)
        else:
            self.world.ledger.people.go(NAME)

    @rule(name=st.sampled_from(sorted(policies)), data=st.data())
    def a_policy_is_edited(self, name, data):
        self._write_policy(name, data.draw(policies[name], label=name))

    def _write_policy(self, name, value):
        if name == "frequency_cap" and value:
            value = {"askable" if self.world.askable else "recording": value}
        self.world.policies.pop(name, None)
        if value is not None:
            self.world.policies[name] = value

    # Definitions are edited, people decide

    @rule(first=st.sampled_from(["tell", "shout", None]))
    def an_action_is_added_removed_or_renamed(self, first):
        self.world.first = first
        if self.world.if_of not in (None, *self.world.actions):
            self.world.if_of = None

    @rule(data=st.data())
    def an_if_is_edited(self, data):
        choices = (None, *self.world.actions)
        self.world.if_of = data.draw(st.sampled_from(choices), label="the action with an if")

    @rule(action=st.sampled_from(["tell", "mail", "follow"]), wait=st.sampled_from(WAITS))
    def a_wait_is_edited(self, action, wait):
        self.world.waits.pop(action, None)
        if wait is not None:
            self.world.waits[action] = wait

    @rule(share=st.sampled_from([None, "50%", "30%"]))
    def the_split_is_edited(self, share):
        rest = share and f"{100 - int(share.removesuffix('%'))}%"
        self.world.split = share and {"b": rest, "a": share}

    @rule()
    def leaving_is_edited(self):
        self.world.leaves = not self.world.leaves

    @rule()
    def the_conditions_are_edited(self):
        self.world.conditions = not self.world.conditions

    @rule(limit=st.sampled_from([None, 0, 1]), answer=st.sampled_from(ANSWERS_OF_PEOPLE))
    def people_are_asked_and_answer(self, limit, answer):
        """Of the guard's questions from now on."""
        self.world.limit, self.world.answer = limit, answer

    @rule(data=st.data(), at=st.booleans(), mood=moods)
    def present_members_are_enrolled(self, data, at, mood):
        day = data.draw(st.sampled_from(sorted(self.world.snapshots)), label="day")
        wishes = Wishes(current=key_of(day) if at else None, enroll_current_members=True)
        self.world.start(Run(NAME, f"manual {len(self.world.runs)}"), wishes, mood)

    @rule(data=st.data())
    def a_snapshot_is_quarantined(self, data):
        self.world.quarantine(data.draw(st.sampled_from(sorted(self.world.snapshots)), label="day"))

    @precondition(lambda self: self.world.quarantines)
    @rule(data=st.data())
    def a_quarantine_ends(self, data):
        days = sorted(self.world.quarantines)
        self.world.end_quarantine(data.draw(st.sampled_from(days), label="day"))

    @rule(contact=st.sampled_from(CONTACTS), on=st.booleans())
    def a_contact_is_suppressed_or_not_any_more(self, contact, on):
        if on:
            self.world.suppress(contact)
        else:
            self.world.unsuppress(contact)

    @rule(contact=st.sampled_from(CONTACTS))
    def a_contact_is_forgotten(self, contact):
        self.world.forget(contact)

    @rule(data=st.data())
    def another_namespace_does_what_it_likes(self, data):
        day = data.draw(st.sampled_from(sorted(self.world.snapshots)), label="day")
        self.world.meddle_from_another_namespace(day)

    @precondition(lambda self: self.world.ledger.runs.all_spans(NAME))
    @rule()
    def the_namespace_is_changed_by_mistake(self):
        self.world.refuses_a_changed_namespace()

    @rule(wording=st.sampled_from(["", " v2", " v3"]))
    def a_message_is_edited(self, wording):
        self.world.wording = wording

    # What must hold

    @invariant()
    def nothing_went_wrong(self):
        if hasattr(self, "world"):
            assert self.world.violations == []
            assert self.world.overlapping() == []

    def all_is_accounted_for(self):
        world = self.world
        world.let_it_end(self.farewell)
        self.nothing_went_wrong()
        if world.good_days:  # else nobody knows who has opted out since
            assert world.unfinished() == []
        world.cover_everything()
        world.clear_everything()
        self.nothing_went_wrong()
        assert world.uncovered() == []
        assert world.unfinished() == []
        assert world.lost() == []
        assert world.unaccounted() == []


def check(ledger: Ledger, *, examples: int, steps: int, the_same: bool = False) -> None:
    """Go through sequences of so many steps; raise for the shortest that breaks the model.

    They are other ones every time, or always ``the_same``.
    """

    class OnThisDatabase(Sequences):
        pass

    OnThisDatabase.ledger = ledger
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=the_same,
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(OnThisDatabase, settings=profile)


def test_every_change_is_delivered_once_or_accounted_for(ledger):
    """Never twice, never lost, spans never overlap: see ``Sequences`` for what may happen."""
    on_sqlite = ledger.engine.dialect.name == "sqlite"
    check(ledger, examples=15 if on_sqlite else 4, steps=15, the_same=True)


@pytest.mark.parametrize("dies_at", [None, *range(8)])
def test_what_follows_a_late_delivery_stays_due_until_it_is_sent(ledger, tmp_path, dies_at):
    """segue_release takes it up; the vendor is down, or its worker dies before a transaction."""
    world = World(tmp_path, ledger.engine, "follow", slices=1)
    world.snapshot(0, {})
    world.snapshot(1, {"a": Person(gold=True, opted_in=True, phone=True)})
    end = as_of(1) + timedelta(hours=6)
    run = Run(NAME, "run", (end - timedelta(days=1), end))
    dag_run = world.start(run, NO_WISHES, Mood({"a": ["accept", "no connection"]}))
    world.deliver(dag_run, ["mail"], Mood())
    trouble = Mood({"a": ["no connection"]}) if dies_at is None else Mood({}, dies_at)
    for mood in (trouble, Mood(), Mood()):
        world.now += timedelta(hours=1)
        world.release(mood)
    assert world.unfinished() == []


class Quarantined(World):
    """A world in which a person quarantines the snapshot during the n-th call to the vendor."""

    left = 0  # calls until then
    under_way: frozenset[str] | None = None  # what had begun at that moment, by its own key

    def _before(self, key: str, message: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            quarantine = {"namespace": self.ledger.namespace, "directory": "people"}
            quarantine |= {"key": "2026-11-02", "reason": ""}
            quarantine |= {"added_by": "ann", "added_at": self.now}
            sending = select(deliveries.c.key).where(deliveries.c.state == State.SENDING)
            with self.ledger._write() as connection:  # nothing begins while it is looked at
                self.under_way = frozenset(connection.execute(sending).scalars())
                self.before = len(self.arrivals)
                self.ledger.people._quarantine(connection, quarantine)
        super()._before(key, message)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    askable=st.booleans(),
    resends=st.booleans(),
    call=st.integers(1, 12),
    mood=moods,
    then=st.lists(
        st.tuples(st.sampled_from(sorted(AFTER_A_QUARANTINE)), moods), min_size=2, max_size=5
    ),
)
def test_after_a_quarantine_at_any_moment_nothing_begins(askable, resends, call, mood, then):
    """Calls that had begun end; recovery, retries, clearings and requests begin none again."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{folder}/segue.db")
        upgrade(engine)
        world = Quarantined(Path(folder), engine, "quarantine", askable=askable, slices=1)
        world.policies["on_uncertain"] = "resend" if resends else "hold"
        world.snapshot(0, {})
        everybody = dict.fromkeys(CONTACTS, Person(gold=True, opted_in=True, phone=True))
        world.snapshot(1, everybody)
        end = as_of(1) + timedelta(hours=12)
        world.now, world.left = end, call
        run = world.start(Run(NAME, "run", (end - timedelta(days=1), end)), NO_WISHES, mood)
        world.answer = "reject"  # the guard asks about the quarantined snapshot: no, still not
        for step, mood_then in then:
            world.now += timedelta(minutes=15)
            AFTER_A_QUARANTINE[step](world, run, mood_then)
        if world.under_way is not None:
            late = [_delivery_of(world, each) for each in world.arrivals[world.before :]]
            assert world.under_way.issuperset(late)
            assert len(late) == len(set(late))
        engine.dispose()


def _delivery_of(world: World, arrival: Arrival) -> str:
    return world.ledger.key(NAME, *vars(arrival.identity).values())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_change_is_delivered_once_or_accounted_for_in_long_sequences(ledger):
    """The same, over many more and longer sequences."""
    on_sqlite = ledger.engine.dialect.name == "sqlite"
    check(ledger, examples=400 if on_sqlite else 60, steps=40)
