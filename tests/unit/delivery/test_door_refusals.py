"""A refusal that may be anybody's: what the others meet tells whose it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from sqlalchemy import update

from segue.clock import Clock as DoorClock
from segue.contracts.channel import Limit
from segue.delivery.calls import Pass
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.errors import ContactFailure, Deferral, OutcomeUnknown, TransientFailure, UnprovenRefusal
from segue.ledger import Ledger
from segue.ledger.pacing import REFUSALS
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.testing import RecordingChannel
from segue.workflows.definition import Policies
from tests.unit.builders import NOW, added, detected, record, run, stretch
from tests.unit.delivery.test_door import Clock, Wide, channel, outcome, people, released

ANSWER, ADVICE = "crm answered 403", "check what its user may do"
OPEN = f"refused (whose fault is open): {ANSWER}; {ADVICE}"

Answer = Callable[[str, Mapping[str, Any]], None]


def refusal() -> UnprovenRefusal:
    return UnprovenRefusal(ANSWER, advice=ADVICE)


class OneByOne(RecordingChannel):
    """So that the order of calls is that of the contacts."""

    concurrency: ClassVar[int] = 1


def one_by_one() -> OneByOne:
    return OneByOne.model_validate({"text": "Hello {{ contact.contact_id }}"})


class Vendor:
    """Refuses some contacts, and everybody once ``lasts`` messages were taken; counts the calls."""

    def __init__(self, refused: Collection[str] = (), lasts: int | None = None) -> None:
        self.refused, self.lasts = set(refused), lasts
        self.calls: list[str] = []  # contacts
        self.taken = 0

    def __call__(self, key: str, message: Mapping[str, Any]) -> None:
        contact = str(message["text"]).removeprefix("Hello ")
        self.calls.append(contact)
        if contact in self.refused or self.taken == self.lasts:
            raise refusal()
        self.taken += 1


class Wristwatch(Clock):
    """A clock that moves a second whenever somebody looks at it."""

    def __call__(self):
        self.now += timedelta(seconds=1)
        return self.now


class LateRiser(Clock):
    """A clock that sleeps a little longer than it was told, as all do."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds + 0.001)


def deliver(
    ledger: Ledger,
    through: RecordingChannel,
    candidates: list[Candidate],
    owner: str = "me",
    clock: Clock | None = None,
    **options: Any,
) -> Pass:
    clock = clock or Clock()
    terms = Terms("welcome", Policies.model_validate(options.pop("policies", {})))
    return Door(
        ledger,
        through,
        options.pop("terms", terms),
        owner=owner,
        clock=DoorClock(clock, clock.sleep),
        **options,
    ).deliver(candidates)


def states(ledger: Ledger, contacts: Collection[str]) -> dict[str, str]:
    return {contact: outcome(ledger, contact) for contact in contacts}


# ---- one pass ---------------------------------------------------------------------------------
# what a ledger makes of several passes is tried on both databases, below

ON_SQLITE = pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)


@ON_SQLITE
@pytest.mark.parametrize("position", [0, 1, 20, 38, 39])
@pytest.mark.parametrize("make", [channel, one_by_one])
def test_one_refused_contact_fails_and_all_others_are_delivered(ledger, position, make):
    """Wherever it stands: at the beginning nothing was proven yet, at the end nothing comes."""
    candidates, vendor = released(ledger, *people(40)), Vendor([f"c{position:03}"])
    result = deliver(ledger, make().answering(vendor), candidates)
    assert result.standing == {State.DELIVERED: 39, State.FAILED: 1}
    assert outcome(ledger, f"c{position:03}") == f"failed:{ANSWER}"
    assert result.connection is None
    assert result.is_complete


@ON_SQLITE
@pytest.mark.parametrize("make", [channel, one_by_one])
@pytest.mark.parametrize("every", [2, 3, 10])
def test_however_many_are_refused_among_others_they_fail_alone(ledger, make, every):
    """People who unsubscribed at the vendor are refused there, one in three of them."""
    refused = people(100)[1::every]
    candidates, vendor = released(ledger, *people(100)), Vendor(refused)
    deliver(ledger, make().answering(vendor), candidates)
    result = deliver(ledger, make().answering(vendor), candidates, "next")
    assert result.standing[State.DELIVERED] == 100 - len(refused)
    assert vendor.taken == 100 - len(refused)
    assert result.standing[State.FAILED] > len(refused) - REFUSALS


@ON_SQLITE
def test_a_round_of_many_calls_at_once_is_not_stopped_by_some_of_them(ledger):
    """All 250 begin before the first answer is there."""
    refused = people(250)[::50]
    vendor = Vendor(refused[: REFUSALS - 1])
    through = Wide.model_validate({"text": "Hello {{ contact.contact_id }}"}).answering(vendor)
    result = deliver(ledger, through, released(ledger, *people(250)))
    assert result.standing == {State.DELIVERED: 246, State.FAILED: 4}


@ON_SQLITE
@pytest.mark.parametrize("make", [channel, one_by_one])
@pytest.mark.parametrize("count", [1, 2, REFUSALS - 1, REFUSALS, 100])
def test_where_everybody_is_refused_nobody_fails(ledger, make, count):
    """As with a wrong login: all stay released, the error says what to look at."""
    candidates, vendor = released(ledger, *people(count)), Vendor(people(count))
    through = make().answering(vendor)
    result = deliver(ledger, through, candidates)
    assert result.standing == {State.RELEASED: count}
    assert f"{ANSWER}; {ADVICE}" in str(result.connection)
    assert len(vendor.calls) <= 2 * REFUSALS
    assert outcome(ledger, vendor.calls[0]) == f"released:{OPEN}"

    vendor.refused.clear()
    result = deliver(ledger, through, candidates, "next")
    assert result.standing == {State.DELIVERED: count}
    assert len(set(through.outbox.keys)) == len(through.outbox.keys) == count


@ON_SQLITE
@pytest.mark.parametrize("make", [channel, one_by_one])
@pytest.mark.parametrize("lasts", [1, 30, 90])
def test_a_token_that_is_revoked_on_the_way_fails_nobody(ledger, make, lasts):
    candidates, vendor = released(ledger, *people(100)), Vendor(lasts=lasts)
    through = make().answering(vendor)
    result = deliver(ledger, through, candidates)
    assert result.standing == {State.DELIVERED: lasts, State.RELEASED: 100 - lasts}
    assert str(result.connection).startswith(f"{len(vendor.calls) - lasts} messages were refused")
    assert len(vendor.calls) <= lasts + REFUSALS + through.concurrency

    vendor.lasts = None
    assert deliver(ledger, through, candidates, "next").standing == {State.DELIVERED: 100}
    assert len(set(through.outbox.keys)) == len(through.outbox.keys) == 100


def test_a_token_that_is_revoked_at_the_very_end_costs_less_than_a_row(ledger):
    """Fewer than five behind the last success are taken for the contacts', and say so."""
    candidates, vendor = released(ledger, *people(20)), Vendor(lasts=20 - REFUSALS + 1)
    result = deliver(ledger, one_by_one().answering(vendor), candidates)
    assert result.standing[State.FAILED] == REFUSALS - 1


def test_a_success_that_was_under_way_already_proves_nothing(ledger):
    """All six begin at once: nobody knows whether the server said yes before it said no."""
    vendor = Vendor(people(6)[:REFUSALS])
    through = Wide.model_validate({"text": "Hello {{ contact.contact_id }}"}).answering(vendor)
    result = deliver(ledger, through, released(ledger, *people(6)))
    assert result.standing == {State.DELIVERED: 1, State.RELEASED: REFUSALS}


def test_what_is_refused_once_is_tried_again_behind_the_others(ledger):
    """A firewall has its moods; the last of a slice has nobody behind it who proves anything."""
    candidates, vendor = released(ledger, *people(10)), Vendor(["c009"])

    def relents(key: str, message: Mapping[str, Any]) -> None:
        refused = vendor.calls.count("c009") == 1 and "c009" in str(message)
        vendor.refused = set() if refused else vendor.refused
        vendor(key, message)

    result = deliver(ledger, one_by_one().answering(relents), candidates)
    assert result.standing == {State.DELIVERED: 10}
    assert vendor.calls.count("c009") == 2


@ON_SQLITE
def test_who_was_refused_before_comes_last_whatever_the_reason_says(ledger):
    """That is a text for people: no code reads it. Who was not refused since has no such time."""
    candidates, clock = released(ledger, *people(3)), Clock()
    deliver(ledger, one_by_one().answering(Vendor(["c000"])), candidates[:1], clock=clock)
    [row] = ledger.deliveries.rows([candidates[0].key]).values()
    assert row.refused_at is not None
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(reason="in other words"))
    vendor = Vendor()
    deliver(ledger, one_by_one().answering(vendor), candidates, "next", clock=clock)
    assert vendor.calls == ["c001", "c002", "c000"]
    rows = ledger.deliveries.rows([each.key for each in candidates]).values()
    assert [row.refused_at for row in rows] == [None] * 3


def test_refusals_that_surely_are_the_contacts_are_no_row(ledger):
    def refuse(key: str, message: Mapping[str, Any]) -> None:
        raise ContactFailure("422")

    result = deliver(ledger, channel().answering(refuse), released(ledger, *people(20)))
    assert result.standing == {State.FAILED: 20}


# ---- several passes, several tasks ------------------------------------------------------------


def test_more_in_a_row_than_any_connection_is_worth_hold_up_nobody_for_long(ledger):
    """Twenty neighbours are refused: those behind them are first in the next pass."""
    refused = people(60)[10:30]
    candidates, vendor = released(ledger, *people(60)), Vendor(refused)
    through = one_by_one().answering(vendor)
    clock = Wristwatch()
    for number in range(5):
        result = deliver(ledger, through, candidates, f"try {number}", clock)
    assert result.standing == {State.DELIVERED: 40, State.FAILED: 20}
    assert vendor.taken == 40


def test_another_tasks_success_proves_whose_refusal_it_is(ledger):
    """A branch for each contact: each pass has one message."""
    first, second, third = released(ledger, *people(3))
    vendor, clock = Vendor(["c001"]), Wristwatch()
    through = channel().answering(vendor)
    assert deliver(ledger, through, [second], "b", clock).connection is not None
    assert outcome(ledger, "c001") == f"released:{OPEN}"
    deliver(ledger, through, [third], "c", clock)
    assert deliver(ledger, through, [second], "b again", clock).standing == {State.FAILED: 1}
    assert outcome(ledger, "c001") == f"failed:{ANSWER}"
    deliver(ledger, through, [first], "a", clock)
    assert vendor.taken == 2


@pytest.mark.parametrize("later", [0, 1])
def test_another_tasks_success_counts_while_this_one_is_at_it(ledger, later):
    """Only where it began after the refusal."""
    one, other = released(ledger, *people(2))
    clock = Wristwatch()

    def answer(key: str, message: Mapping[str, Any]) -> None:
        if "c000" in str(message):
            calls.append(key)
            if len(calls) == 1 + later:
                deliver(ledger, channel(), [other], "other", clock)
            raise refusal()

    calls: list[str] = []
    result = deliver(ledger, channel().answering(answer), [one], clock=clock)
    assert result.standing == ({State.FAILED: 1} if later else {State.RELEASED: 1})


def test_the_last_branch_of_a_run_is_judged_by_those_before_it(ledger):
    """Nobody comes after it: the others were delivered just before, and nearly nothing is left."""
    *others, last = released(ledger, *people(6))
    vendor, clock = Vendor([last.contact_id]), Wristwatch()
    through = channel().answering(vendor)
    for number, each in enumerate(others):
        deliver(ledger, through, [each], f"branch {number}", clock)
    assert deliver(ledger, through, [last], "last", clock).standing == {State.RELEASED: 1}
    assert deliver(ledger, through, [last], "retry", clock).standing == {State.FAILED: 1}


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_a_token_that_is_revoked_between_branches_fails_none_of_them(ledger, passes):
    candidates, vendor, clock = released(ledger, *people(30)), Vendor(lasts=10), Wristwatch()
    through = channel().answering(vendor)
    for number in range(passes):
        for each in candidates:
            deliver(ledger, through, [each], f"{each.contact_id} {number}", clock)
    assert set(states(ledger, people(30)[10:]).values()) == {f"released:{OPEN}"}
    vendor.lasts = None
    for each in candidates:
        deliver(ledger, through, [each], f"{each.contact_id} mended", clock)
    assert set(states(ledger, people(30)).values()) == {"delivered"}


def test_a_long_ago_success_is_no_proof(ledger):
    """A run of last week is cleared, and the token has expired since."""
    *others, last = released(ledger, *people(4))
    clock = Wristwatch()
    deliver(ledger, channel(), others, "before", clock)
    clock.sleep(3_600)
    through = channel().answering(Vendor([last.contact_id]))
    for number in range(3):
        result = deliver(ledger, through, [last], f"try {number}", clock)
        assert result.standing == {State.RELEASED: 1}


def test_another_actions_success_is_no_proof(ledger):
    """It goes to another place, and perhaps over another connection."""
    spans = record(ledger, run(), detected(stretch(21, 22), added("a", "b")), actions=("mail", "x"))
    ledger.runs.release(spans, NOW)
    clock = Wristwatch()

    def candidate_of(contact: str, action: str) -> Candidate:
        key = ledger.key("welcome", action, contact, "added", "2026-11-22")
        fields = {"contact_id": contact}
        return Candidate(key, contact, "added", "2026-11-22", fields, opted_in=True)

    through = channel().answering(Vendor(["a"]))
    deliver(ledger, through, [candidate_of("a", "mail")], "1", clock)
    deliver(ledger, channel(), [candidate_of("b", "x")], "2", clock)
    result = deliver(ledger, through, [candidate_of("a", "mail")], "3", clock)
    assert result.standing == {State.RELEASED: 1}


# ---- with everything else ---------------------------------------------------------------------


def test_a_digest_that_is_refused_fails_none_of_its_contacts(ledger):
    candidates, text = released(ledger, *people(8)), "{{ digest.count }}"
    terms = Terms("welcome", digest=True)
    through = RecordingChannel.model_validate({"text": text})

    def refuse(key: str, message: Mapping[str, Any]) -> None:
        raise refusal()

    through.answering(refuse)
    for owner in ("one", "two"):
        result = deliver(ledger, through, candidates, owner, terms=terms)
        assert result.standing == {State.RELEASED: 8}
        assert f"{ANSWER}; {ADVICE}" in str(result.connection)
    through.answering(lambda key, message: None)
    result = deliver(ledger, through, candidates, "three", terms=terms)
    assert result.standing == {State.DELIVERED: 8}
    assert len(through.outbox.received) == 1


def test_a_second_call_in_doubt_that_is_refused_stays_in_doubt_until_it_is_proven(ledger):
    """The first may be out: a refusal of the second says nothing of it."""
    candidates = released(ledger, *people(2))
    policies = {"on_uncertain": "resend"}

    def lose(key: str, message: Mapping[str, Any]) -> None:
        raise OutcomeUnknown("lost")

    deliver(ledger, channel().losing(lose), candidates[:1], "one", policies=policies)
    through = channel().answering(Vendor(["c000"]))
    deliver(ledger, through, candidates[:1], "two", policies=policies)
    assert outcome(ledger, "c000").startswith(f"uncertain:sent again: {OPEN}")
    deliver(ledger, through, candidates, "three", policies=policies)
    assert outcome(ledger, "c000") == f"failed:sent again: {ANSWER}"


def test_a_pass_that_runs_out_of_time_leaves_it_open(ledger):
    candidates, clock = released(ledger, *people(4)), Wristwatch()
    vendor = Vendor(["c000"])
    until = clock.now + timedelta(seconds=8)
    through = one_by_one().answering(vendor)
    result = deliver(ledger, through, candidates, "one", clock, until=until)
    assert result.resumes_in is not None
    assert result.connection is None
    assert outcome(ledger, "c000").startswith(("released", "failed"))
    assert deliver(ledger, through, candidates, "two", clock).standing == {
        State.DELIVERED: 3,
        State.FAILED: 1,
    }


@pytest.mark.parametrize("hourly", [8, 20])
@pytest.mark.parametrize("lasts", [0, 2])
def test_a_rate_that_leaves_a_pass_few_calls_hides_no_broken_connection(ledger, hourly, lasts):
    """Pass after pass of ten minutes, as a task makes them until nobody waits for a turn."""
    candidates, clock, vendor = released(ledger, *people(12)), LateRiser(), Vendor(lasts=lasts)
    through = one_by_one().answering(vendor).limited(Limit("shared", hourly, 3600))
    for number in range(40):
        until = clock.now + timedelta(minutes=10)
        result = deliver(ledger, through, candidates, f"pass {number}", clock, until=until)
        if result.resumes_in is None:
            break
        clock.sleep(result.resumes_in)
    assert f"{ANSWER}; {ADVICE}" in str(result.connection)
    assert len(vendor.calls) <= lasts + 2 * REFUSALS
    assert result.standing[State.FAILED] == 0
    vendor.lasts = None
    mended = one_by_one().answering(vendor)
    assert deliver(ledger, mended, candidates, "mended", clock).standing == {State.DELIVERED: 12}


@pytest.mark.parametrize("make", [channel, one_by_one])
def test_who_is_put_off_with_a_pause_for_all_keeps_nobody_waiting(ledger, make):
    """Who has had too many messages, say: the vendor wants an hour, each time."""

    def answer(key: str, message: Mapping[str, Any]) -> None:
        if message["text"] == "Hello c005":
            raise TransientFailure("crm answered 429", retry_after=3600)

    candidates, clock = released(ledger, *people(40)), Clock()
    for number in range(2):
        result = deliver(ledger, make().answering(answer), candidates, f"pass {number}", clock)
        clock.now += timedelta(hours=2)
    assert result.standing == {State.DELIVERED: 39, State.RELEASED: 1}


def test_a_workflow_that_is_stopped_leaves_it_open(ledger):
    candidates, clock = released(ledger, *people(3)), Wristwatch()

    def answer(key: str, message: Mapping[str, Any]) -> None:
        ledger.people.stop(None, by="ada", reason="", now=clock.now)
        raise refusal()

    result = deliver(ledger, one_by_one().answering(answer), candidates, clock=clock)
    assert result.connection is None
    assert result.standing == {State.RELEASED: 3}


def test_what_is_put_off_alone_costs_the_others_no_time(ledger):
    """Greylisting: no pause, no further try within seconds."""
    candidates, clock, calls = released(ledger, *people(40)), Clock(), []

    def answer(key: str, message: Mapping[str, Any]) -> None:
        calls.append(key)
        if len(calls) % 2:
            raise Deferral("450 4.2.0")

    result = deliver(ledger, channel().answering(answer), candidates, clock=clock)
    assert result.standing == {State.DELIVERED: 20, State.RELEASED: 20}
    assert clock.naps == []
    assert len(calls) == 40
    assert not result.is_over


def test_what_is_refused_between_failures_that_pass_is_judged_all_the_same(ledger):
    candidates, tries = released(ledger, *people(10)), []

    def answer(key: str, message: Mapping[str, Any]) -> None:
        if "c004" in str(message):
            raise refusal()
        tries.append(key)
        if tries.count(key) == 1:
            raise TransientFailure("503")

    result = deliver(ledger, channel().answering(answer), candidates)
    assert result.standing == {State.DELIVERED: 9, State.FAILED: 1}
