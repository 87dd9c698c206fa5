"""The door: what goes out, what is recorded, and that nothing goes out twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest
from pydantic import PrivateAttr
from sqlalchemy import select

from segue.clock import Clock as DoorClock
from segue.contracts.channel import Limit, NoAddress, OptedOut, PartlyFound, Receipt
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.heartbeat import LEASE
from segue.delivery.judgement import Terms
from segue.delivery.policies import arm_of, is_held_out
from segue.delivery.recovery import trace_of
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    LedgerError,
    OutcomeUnknown,
    TemplateAway,
    TransientFailure,
)
from segue.ledger import Deliveries, Ledger
from segue.ledger.facts import DeliveryRow, Run, StartRules
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.testing import AskableChannel, RecordingChannel, RecordingSender
from segue.workflows.definition import Policies
from tests.unit.builders import NOW, added, detected, record, run, stretch, with_deliveries


def released(ledger: Ledger, *contact_ids: str) -> list[Candidate]:
    """Candidates whose deliveries the guard has released."""
    ids = record(ledger, run(), detected(stretch(21, 22), added(*contact_ids)))
    ledger.runs.release(ids, NOW)
    return [candidate(ledger, contact_id) for contact_id in contact_ids]


def candidate(ledger: Ledger, contact_id: str, **values) -> Candidate:
    defaults = {
        "key": ledger.key("welcome", "mail", contact_id, "added", "2026-11-22"),
        "contact_id": contact_id,
        "change": "added",
        "snapshot": "2026-11-22",
        "fields": {"contact_id": contact_id, "first_name": f"name of {contact_id}"},
        "opted_in": True,
    }
    return Candidate(**{**defaults, **values})


def channel(text: str = "Hello {{ contact.contact_id }}", **fields) -> RecordingChannel:
    return RecordingChannel.model_validate({"text": text, **fields})


class Wide(RecordingChannel):
    """A channel that takes many calls at once, so that large slices are quick."""

    concurrency: ClassVar[int] = 250


class Clock:
    """A clock that moves only while the door sleeps."""

    def __init__(self) -> None:
        self.now, self.naps = NOW, []

    def __call__(self):
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += timedelta(seconds=seconds)


def door(
    ledger: Ledger, through: RecordingChannel, owner: str = "me", clear: int = 0, **policies
) -> Door:
    clock = Clock()
    return Door(
        ledger,
        through,
        Terms("welcome", Policies.model_validate(policies)),
        owner=owner,
        clear_number=clear,
        clock=DoorClock(clock, clock.sleep),
    )


def outcome(ledger: Ledger, contact_id: str) -> str:
    [row] = ledger.queries.list_deliveries(contact_id=contact_id)
    return ":".join(filter(None, (row.outcome, row.reason)))


def outcomes(ledger: Ledger) -> dict[str, str]:
    """The outcome of each delivery by its snapshot."""
    return {
        row.snapshot: ":".join(filter(None, (row.outcome, row.reason)))
        for row in ledger.queries.list_deliveries()
    }


def people(count: int) -> list[str]:
    return [f"c{number:03}" for number in range(count)]


def failing_for(contact_id: str, error: Exception, times: int = 1_000_000):
    """An answer that raises ``error`` for one contact, the first ``times`` times."""
    left = [times]

    def answer(key, message):
        if message["text"] == f"Hello {contact_id}" and left[0] > 0:
            left[0] -= 1
            raise error

    return answer


def test_each_released_delivery_goes_out_once(ledger):
    """Twenty contacts, three passes: twenty messages."""
    candidates = released(ledger, *[f"c{number:02}" for number in range(20)])
    through = channel()
    for owner in ("one", "two", "three"):
        assert door(ledger, through, owner).deliver(candidates).is_complete
    assert len(set(through.outbox.keys)) == len(through.outbox.keys) == 20
    assert outcome(ledger, "c07") == "delivered"


def test_what_was_not_released_does_not_go_out(ledger):
    """Planned deliveries never pass the door, and the channel is not even connected."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    through = channel()
    door(ledger, through).deliver([candidate(ledger, "a")])
    assert through.outbox.connections == 0
    assert outcome(ledger, "a") == "planned"


def test_one_contacts_failure_does_not_stop_the_others(ledger):
    """In a slice of three hundred, the one that fails is recorded and the rest is delivered."""
    candidates = released(ledger, *[f"c{number:03}" for number in range(300)])
    through = channel().answering(failing_for("c150", ContactFailure("refused: 422")))
    result = door(ledger, through).deliver(candidates)
    assert result.outcomes == {State.DELIVERED: 299, State.FAILED: 1}
    assert outcome(ledger, "c150") == "failed:refused: 422"


def test_a_missing_field_fails_the_contact_before_anything_is_sent(ledger):
    """The template prints a field that one contact lacks."""
    candidates = released(ledger, "a", "b")
    candidates[1] = candidate(ledger, "b", fields={"contact_id": "b"})
    through = channel("Hi {{ contact.first_name }}")
    door(ledger, through).deliver(candidates)
    assert outcome(ledger, "a") == "delivered"
    assert outcome(ledger, "b") == "failed:text: missing field: contact.first_name"


def test_a_transient_failure_is_tried_again_after_what_the_vendor_asked(ledger):
    """429 with Retry-After 7, then success: one message, after seven seconds."""
    candidates = released(ledger, "a")
    error = TransientFailure("429", retry_after=7)
    through = channel().answering(failing_for("a", error, times=1))
    made = door(ledger, through)
    assert made.deliver(candidates).is_complete
    assert sum(made.clock.naps) == 7
    assert outcome(ledger, "a") == "delivered"


def test_a_transient_failure_that_lasts_leaves_the_delivery_released(ledger):
    """Three tries in one pass, then it is Airflow's turn to retry."""
    candidates = released(ledger, "a", "b")
    through = channel().answering(failing_for("a", TransientFailure("503")))
    result = door(ledger, through).deliver(candidates)
    assert (result.standing[State.RELEASED], result.is_complete) == (1, False)
    assert outcome(ledger, "a") == "released:503"
    assert outcome(ledger, "b") == "delivered"


def test_a_vendor_that_asks_for_a_long_pause_ends_the_pass(ledger):
    """Retry-After of an hour: nothing sleeps in a worker for that long."""
    candidates = released(ledger, *[f"c{number}" for number in range(9)])
    error = TransientFailure("429", retry_after=3600)
    through = channel().answering(failing_for("c0", error))
    result = door(ledger, through).deliver(candidates)
    assert result.retry_after == 3600
    assert result.standing[State.RELEASED] == 9 - len(through.outbox.received)


def test_a_broken_connection_stops_the_slice_and_leaves_it_released(ledger):
    """Expired credentials: one round of calls, not a thousand failures."""
    candidates = released(ledger, *[f"c{number:03}" for number in range(100)])

    def refuse(key, message):
        raise ConnectionFailure("401")

    result = door(ledger, channel().answering(refuse)).deliver(candidates)
    assert (result.connection, result.standing[State.RELEASED], result.outcomes.total()) == (
        "401",
        100,
        0,
    )
    attempts = [row.attempts for row in ledger.queries.list_deliveries()]
    assert sum(attempts) == RecordingChannel.concurrency


class NoConnection(RecordingChannel):
    """Its connection is not there."""

    def connect(self) -> RecordingSender:
        raise ConnectionFailure("there is no connection 'recording_default'")


def test_a_connection_that_cannot_be_opened_is_told_of_each_delivery_that_waits_for_it(ledger):
    candidates = released(ledger, "a", "b")
    nowhere = NoConnection.model_validate({"text": "Hello"})
    result = door(ledger, nowhere).deliver(candidates)
    why = "there is no connection 'recording_default'"
    assert (result.connection, result.outcomes.total()) == (why, 0)
    rows = ledger.queries.list_deliveries()
    assert {(row.outcome, row.reason, row.attempts) for row in rows} == {("released", why, 0)}
    assert door(ledger, channel(), owner="2").deliver(candidates).is_complete
    assert {outcome(ledger, "a"), outcome(ledger, "b")} == {"delivered"}


def test_what_is_in_doubt_keeps_its_reason_where_the_connection_cannot_be_opened(ledger):
    """It was to be sent once more: no call was made, and the first may have arrived."""
    candidates = released(ledger, "a")
    lost = channel().answering(failing_for("a", OutcomeUnknown("lost"), times=1))
    door(ledger, lost, on_uncertain="resend").deliver(candidates)
    before = outcome(ledger, "a")
    nowhere = NoConnection.model_validate({"text": "Hello"})
    door(ledger, nowhere, owner="2", on_uncertain="resend").deliver(candidates)
    assert outcome(ledger, "a") == before
    assert before.startswith("uncertain:")


def test_a_failure_of_an_earlier_pass_still_counts(ledger):
    """Airflow retries for the transient one; the permanent one is not forgotten meanwhile."""
    candidates = released(ledger, "a", "b")
    through = channel().answering(failing_for("a", ContactFailure("422")))
    door(ledger, through, "one").deliver(candidates)
    result = door(ledger, channel(), "two").deliver(candidates)
    assert result.outcomes == {}
    assert result.standing == {State.FAILED: 1, State.DELIVERED: 1}


def test_a_contact_whom_the_vendor_knows_to_have_opted_out_is_skipped(ledger):
    """They answered STOP to the vendor; the next contact goes on."""
    candidates = released(ledger, "a", "b")
    through = channel().answering(failing_for("a", OptedOut("21610")))
    assert door(ledger, through).deliver(candidates).is_complete
    assert outcome(ledger, "a") == "skipped:opted_out"
    assert outcome(ledger, "b") == "delivered"


def test_a_lost_answer_is_uncertain_and_never_sent_again(ledger):
    """Nobody can tell whether it had its effect."""
    candidates = released(ledger, "a")
    through = channel().answering(failing_for("a", OutcomeUnknown("time-out"), times=1))
    assert door(ledger, through).deliver(candidates).outcomes == {State.UNCERTAIN: 1}
    door(ledger, through, "later", clear=5).deliver(candidates)
    assert through.outbox.received == []
    assert outcome(ledger, "a") == "uncertain:time-out"


def test_a_defect_in_a_channel_puts_its_call_in_doubt_and_ends_the_pass(ledger):
    """One call breaks: what is under way beside it is delivered, and no other call begins."""
    candidates = released(ledger, *[f"c{number:02}" for number in range(40)])
    through = channel().answering(failing_for("c02", ZeroDivisionError("contact text")))
    result = door(ledger, through).deliver(candidates)
    assert result.connection == "a defect in the channel: ZeroDivisionError"
    assert result.standing[State.UNCERTAIN] == 1
    assert result.standing[State.DELIVERED] + result.standing[State.RELEASED] == 39
    assert result.standing[State.RELEASED] > 20
    assert "contact text" not in outcome(ledger, "c02")


def test_a_slice_larger_than_a_statement_allows_goes_through(ledger):
    """More deliveries than one database statement can name."""
    contacts = [f"c{number:05}" for number in range(5000)]
    candidates = released(ledger, *contacts)
    through = Wide.model_validate({"text": "hi"})
    assert door(ledger, through).deliver(candidates).standing == {State.DELIVERED: 5000}
    assert len(set(through.outbox.keys)) == len(through.outbox.keys) == 5000


def test_messages_to_the_contact_need_consent_and_messages_to_the_team_do_not(ledger):
    """An opted-out contact gets nothing; the team hears about it."""
    candidates = released(ledger, "a")
    opted_out = [candidate(ledger, "a", opted_in=False)]
    to_contact = channel(to_contact=True)
    door(ledger, to_contact).deliver(opted_out)
    assert outcome(ledger, "a") == "skipped:opted_out"
    to_team = channel()
    door(ledger, to_team).deliver(opted_out)
    assert (len(to_contact.outbox.keys), len(to_team.outbox.keys)) == (0, 1)
    assert candidates[0].key == to_team.outbox.keys[0]


def test_a_contact_that_is_gone_gets_no_message(ledger):
    """Deleted from the newest snapshot: skipped(deleted)."""
    released(ledger, "a")
    door(ledger, channel(to_contact=True)).deliver([candidate(ledger, "a", opted_in=None)])
    assert outcome(ledger, "a") == "skipped:deleted"


def test_an_action_whose_predecessor_was_not_delivered_is_skipped(ledger):
    """``after: ticket`` with a failed ticket; delivered once the ticket is."""
    released(ledger, "a")
    failed = DeliveryRow("k", "ticket", "a", "added", 1, State.FAILED, "", {})
    done = DeliveryRow("k", "ticket", "a", "added", 1, State.DELIVERED, "", {"url": "https://t/1"})
    through = channel("See {{ results.ticket.url }}")
    door(ledger, through).deliver([candidate(ledger, "a", before={"ticket": failed})])
    assert outcome(ledger, "a") == "skipped:after: ticket failed"
    door(ledger, through, "two").deliver([candidate(ledger, "a", before={"ticket": done})])
    assert through.outbox.received[0][1] == {"text": "See https://t/1", "to_contact": False}


def test_a_delivery_in_another_workers_hands_is_waited_for(ledger):
    """The pass is not complete while another worker holds the claim."""
    candidates = released(ledger, "a")
    lease = NOW + timedelta(minutes=2)
    ledger.deliveries.claim([candidates[0].key], owner="other", now=NOW, lease_until=lease)
    result = door(ledger, channel()).deliver(candidates)
    assert (result.elsewhere, result.is_complete) == (1, False)


# What dead workers left, and what only the vendor knows


def askable() -> AskableChannel:
    return AskableChannel.model_validate({"text": "Hello {{ contact.contact_id }}"})


def die_in_the_call(ledger: Ledger, candidates: list[Candidate], through: RecordingChannel):
    """Leave what a worker leaves that is killed while its calls are under way."""
    keys = [item.key for item in candidates]
    ledger.deliveries.claim(keys, owner="dead", now=NOW, lease_until=NOW + LEASE)
    traces = {key: trace_of(through, {"text": ""}) for key in keys}
    rules = StartRules(through.name, "team")
    ledger.deliveries.advance(
        [], traces, rules=rules, owner="dead", now=NOW, lease_until=NOW + LEASE
    )


def later_door(ledger: Ledger, through: RecordingChannel, **policies) -> Door:
    """A door after the dead worker's lease and the longest call are over."""
    made = door(ledger, through, owner="heir", **policies)
    made.clock.now += timedelta(seconds=through.longest_call) + 2 * LEASE
    return made


def test_a_call_in_doubt_that_the_vendor_has_is_delivered_and_not_sent_again(ledger):
    candidates, through = released(ledger, "a", "b"), askable()
    die_in_the_call(ledger, candidates, through)
    through.outbox.received.append((candidates[0].key, {}))
    assert later_door(ledger, through).deliver(candidates).is_complete
    assert through.outbox.keys == [candidates[0].key, candidates[1].key]
    assert [outcome(ledger, contact) for contact in "ab"] == ["delivered", "delivered"]


def test_nobody_asks_before_the_longest_call_is_over(ledger):
    """A call of the dead worker's may still arrive: a vendor's no would mean nothing yet."""
    candidates, through = released(ledger, "a"), askable()
    die_in_the_call(ledger, candidates, through)
    made = door(ledger, through, owner="heir")
    made.clock.now += 1.5 * LEASE
    assert not made.deliver(candidates).is_complete
    assert through.outbox.keys == []
    assert outcome(ledger, "a") == "sending"


def test_a_vendor_that_cannot_tell_leaves_the_call_uncertain(ledger):
    def cannot_tell(question):
        raise OutcomeUnknown("the history cannot be read")

    candidates, through = released(ledger, "a"), askable()
    die_in_the_call(ledger, candidates, through)
    through.asked(cannot_tell)
    later_door(ledger, through).deliver(candidates)
    assert outcome(ledger, "a") == "uncertain:the vendor cannot tell: the history cannot be read"
    assert through.outbox.keys == []


def test_a_vendor_that_can_tell_of_some_leaves_the_others_uncertain(ledger):
    """What it has is delivered; what it does not show may be there, and is not sent again."""
    candidates, through = released(ledger, "a", "b"), askable()
    die_in_the_call(ledger, candidates, through)

    def has_the_first(question):
        raise PartlyFound("the rest is not shown", {candidates[0].key: Receipt("7")})

    through.asked(has_the_first)
    later_door(ledger, through).deliver(candidates)
    assert outcome(ledger, "a") == "delivered"
    assert outcome(ledger, "b") == "uncertain:the vendor cannot tell: the rest is not shown"
    assert through.outbox.keys == []


def test_a_vendor_that_can_tell_of_some_at_once_is_believed(ledger):
    candidates = released(ledger, "a", "b")

    def lose(key, message):
        raise OutcomeUnknown("the answer was lost")

    def has_the_first(question):
        raise PartlyFound("the rest is not shown", {candidates[0].key: Receipt("7")})

    through = askable().losing(lose).asked(has_the_first)
    door(ledger, through).deliver(candidates)
    assert outcome(ledger, "a") == "delivered"
    assert outcome(ledger, "b") == "sending:the answer was lost"


def test_a_vendor_that_cannot_be_asked_now_is_asked_again_later(ledger):
    def unreachable(question):
        raise TransientFailure("503")

    candidates, through = released(ledger, "a"), askable()
    die_in_the_call(ledger, candidates, through)
    through.asked(unreachable)
    assert not later_door(ledger, through).deliver(candidates).is_complete
    assert outcome(ledger, "a").startswith("sending")
    through.asked(lambda question: None)
    made = later_door(ledger, through)
    made.clock.now += timedelta(hours=1)
    assert made.deliver(candidates).is_complete
    assert through.outbox.keys == [candidates[0].key]


@pytest.mark.parametrize("error", [RuntimeError("contact text"), OverflowError("of a number")])
def test_a_defect_in_a_look_up_leaves_its_call_in_doubt_and_stops_nobody(ledger, caplog, error):
    """A team's own ``find``, with a mistake; what it raises may quote a contact."""

    def fail(question):
        raise error

    candidates, through = released(ledger, "a", "b"), askable()
    die_in_the_call(ledger, candidates[:1], through)
    through.asked(fail)
    later_door(ledger, through).deliver(candidates)
    reason = f"the vendor cannot tell: a defect in the channel's look-up: {type(error).__name__}"
    assert outcome(ledger, "a") == f"uncertain:{reason}"
    assert outcome(ledger, "b") == "delivered"
    assert str(error) not in caplog.text


def test_a_call_that_is_asked_for_at_once_with_a_defect_stays_in_doubt(ledger):
    def fail(question):
        raise RuntimeError("a mistake")

    through = askable().losing(failing_for("a", OutcomeUnknown("lost"))).asked(fail)
    door(ledger, through).deliver(released(ledger, "a", "b"))
    assert [outcome(ledger, name) for name in "ab"] == ["sending:lost", "delivered"]


class Forgetful(RecordingChannel):
    """A team's own channel that sends, and returns nothing."""

    def connect(self) -> RecordingSender:
        sender = super().connect()
        send = sender.send

        def send_and_forget(message, *, key):
            send(message, key=key)

        sender.send = send_and_forget
        return sender


def test_a_message_of_which_a_channel_says_nothing_is_in_doubt(ledger):
    """It may have been sent, so that it is not failed, and nobody's to send again."""
    through = Forgetful.model_validate({"text": "Hello"})
    door(ledger, through).deliver(released(ledger, "a"))
    assert outcome(ledger, "a") == "uncertain:a defect in the channel: it returns no Receipt"
    assert len(through.outbox.keys) == 1


def test_what_a_channel_of_ones_own_gives_for_an_id_is_written_down_as_text(ledger):
    class Numbered(RecordingChannel):
        def connect(self) -> RecordingSender:
            sender = super().connect()
            sender.send = lambda message, *, key: Receipt(7, None, {"id": 7})
            return sender

    door(ledger, Numbered.model_validate({"text": "Hello"})).deliver(released(ledger, "a"))
    [row] = ledger.queries.list_deliveries()
    assert (row.outcome, row.external_id) == ("delivered", "7")


def test_a_call_is_looked_for_where_it_was_made_even_after_an_edit(ledger):
    """The action uses another connection now; its call of yesterday went to the old one."""
    candidates, through = released(ledger, "a"), askable()
    die_in_the_call(ledger, candidates, through)
    connected = []

    class Elsewhere(AskableChannel):
        def connect(self):
            connected.append(self.connection)
            return super().connect()

    edited = Elsewhere.model_validate({"text": "Hello", "connection": "another"})
    later_door(ledger, edited).deliver(candidates)
    assert connected == ["recording_default", "another"]  # asked there, then sent here


def test_a_worker_that_was_frozen_before_its_call_does_not_make_it_any_more(ledger):
    """It wakes up when it was thought to be dead, and another worker has delivered."""
    candidates, through = released(ledger, "a"), askable()

    class Freezing(Deliveries):
        def advance(self, finished, starting, **values):
            started = super().advance(finished, starting, **values)
            if starting:
                frozen.clock.now += timedelta(seconds=through.longest_call) + 2 * LEASE
                assert later_door(ledger, through).deliver(candidates).is_complete
            return started

    frozen = door(with_deliveries(ledger, Freezing), through)
    assert frozen.deliver(candidates).standing == {State.DELIVERED: 1}
    assert through.outbox.keys == [candidates[0].key]


def test_a_call_through_another_channel_is_uncertain(ledger):
    """An action that was a ticket yesterday and is a Slack message today cannot be asked about."""
    candidates, through = released(ledger, "a"), askable()

    class Other(AskableChannel):
        name: ClassVar[str] = "other"

    die_in_the_call(ledger, candidates, Other.model_validate({"text": "Hello"}))
    later_door(ledger, through).deliver(candidates)
    assert outcome(ledger, "a").startswith("uncertain:the vendor cannot tell: the call went")


def test_a_channels_own_trace_may_use_any_name(ledger):
    """Slack's says in which "channel" the message was posted; recovery keeps that apart."""

    own = {"channel": "#alerts", "connection": "the third from the left"}

    class Posting(AskableChannel):
        def trace(self, message):
            return own

    candidates, through = released(ledger, "a"), Posting.model_validate({"text": "Hello"})
    die_in_the_call(ledger, candidates, through)
    later_door(ledger, through).deliver(candidates)
    [question] = through.outbox.questions
    assert dict(question.traces[candidates[0].key]).items() >= own.items()


def test_a_channel_that_cannot_be_asked_leaves_the_call_uncertain(ledger):
    candidates, through = released(ledger, "a"), channel()
    die_in_the_call(ledger, candidates, through)
    later_door(ledger, through).deliver(candidates)
    assert outcome(ledger, "a") == "uncertain:the worker ended during the call"
    assert through.outbox.keys == []


def test_on_uncertain_resend_sends_once_more_and_no_more(ledger):
    candidates = released(ledger, "a")
    through = channel().answering(failing_for("a", OutcomeUnknown("lost")))
    for number in range(4):
        door(ledger, through, owner=str(number), on_uncertain="resend").deliver(candidates)
    [row] = ledger.queries.list_deliveries(contact_id="a")
    assert (row.outcome, row.attempts) == ("uncertain", 2)


def test_a_lost_answer_is_asked_for_at_once(ledger):
    """The vendor had the effect and the connection broke: no need to wait for recovery."""
    candidates, through = released(ledger, "a"), askable()

    def lose(key, message):
        raise OutcomeUnknown("the answer was lost")

    through.losing(lose)
    assert door(ledger, through).deliver(candidates).is_complete
    assert (outcome(ledger, "a"), len(through.outbox.keys)) == ("delivered", 1)


def test_a_lost_answer_that_is_not_found_at_once_waits_for_the_longest_call(ledger):
    candidates = released(ledger, "a")
    through = askable().answering(failing_for("a", OutcomeUnknown("lost"), times=1))
    made = door(ledger, through)
    assert not made.deliver(candidates).is_complete
    assert outcome(ledger, "a") == "sending:lost"
    assert later_door(ledger, through).deliver(candidates).is_complete
    assert through.outbox.keys == [candidates[0].key]


# Stops, rates and policies


def test_a_stopped_workflow_sends_nothing_until_it_may_go_on(ledger):
    candidates, through = released(ledger, "a"), channel()
    ledger.people.stop("welcome", "ann", "wrong text", NOW)
    result = door(ledger, through).deliver(candidates)
    assert "was stopped by ann" in result.stopped
    assert not result.is_complete
    ledger.people.go("welcome")
    assert door(ledger, through).deliver(candidates).is_complete
    assert through.outbox.keys == [candidates[0].key]


def test_a_running_slice_obeys_a_stop_between_two_rounds(ledger):
    candidates = released(ledger, *(f"c{number:02}" for number in range(40)))
    through = channel()
    made = door(ledger, through)

    def stop_at_the_tenth(key, message):
        made.clock.now += timedelta(seconds=1)
        if len(through.outbox.received) == 9:
            ledger.people.stop(None, "ann", "", NOW)

    through.answering(stop_at_the_tenth)
    assert made.deliver(candidates).stopped
    assert 10 <= len(through.outbox.keys) <= 10 + 2 * through.concurrency


def limited(text: str = "Hello") -> RecordingChannel:
    """A vendor that takes one message a second."""
    return channel(text).limited(Limit("vendor_default", 60, 60))


def test_calls_under_a_limit_are_spaced(ledger):
    """Five messages at one a second take four seconds."""
    candidates = released(ledger, *"abcde")
    made = door(ledger, limited())
    assert made.deliver(candidates).is_complete
    assert 4 <= (made.clock.now - NOW).total_seconds() < 6


def test_a_limit_is_shared_with_other_tasks(ledger):
    """Another task has just made the call that this half of a minute allows."""
    limit = Limit("vendor_default", 2, 60)
    ledger.deliveries.hold_back([limit.scope], NOW)
    assert ledger.deliveries.reserve([[limit]], NOW) == (1, 0)
    candidates = released(ledger, "a")
    made = door(ledger, channel("Hello").limited(limit))
    assert made.deliver(candidates).is_complete
    assert 30 <= (made.clock.now - NOW).total_seconds() < 33


def test_a_vendor_that_asks_one_task_to_wait_makes_all_wait(ledger):
    candidates = released(ledger, "a", "b")
    through = limited("Hello {{ contact.contact_id }}")
    through.answering(failing_for("a", TransientFailure("429", retry_after=300), times=1))
    assert door(ledger, through).deliver(candidates[:1]).retry_after == 300
    result = door(ledger, through, owner="another task").deliver(candidates[1:])
    assert 295 < result.retry_after <= 301
    assert through.outbox.keys == []


def test_once_per_contact_skips_another_change_within_the_time(ledger):
    """Added on the 22nd, and again on the 29th: within 30 days one message, of any day's run."""
    week = released(ledger, "a")
    ids = record(ledger, run("run-2"), detected(stretch(28, 29), added("a")))
    ledger.runs.release(ids, NOW)
    again = candidate(
        ledger,
        "a",
        key=ledger.key("welcome", "mail", "a", "added", "2026-11-29"),
        snapshot="2026-11-29",
    )
    through = channel()
    assert door(ledger, through, once_per_contact="30d").deliver([again]).is_complete
    door(ledger, through, once_per_contact="30d").deliver(week)
    assert through.outbox.keys == [again.key]
    assert outcomes(ledger) == {
        "2026-11-22": "skipped:once_per_contact",
        "2026-11-29": "delivered",
    }
    door(ledger, through, once_per_contact="7d").deliver(week)
    assert len(through.outbox.keys) == 2


def test_of_two_runs_that_race_one_reaches_the_contact(ledger):
    """Both workers have claimed their delivery before either begins its call."""
    ids = record(
        ledger,
        run(),
        detected(stretch(21, 22), added(*people(40))),
        detected(stretch(22, 23), added(*people(40))),
    )
    ledger.runs.release(ids, NOW)
    slices = [
        [
            candidate(
                ledger, who, key=ledger.key("welcome", "mail", who, "added", f"2026-11-{day}")
            )
            for who in people(40)
        ]
        for day in (22, 23)
    ]
    through = channel()
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda number: door(
                    ledger, through, owner=str(number), once_per_contact="ever"
                ).deliver(slices[number]),
                (0, 1),
            )
        )
    reached = Counter(message["text"] for _, message in through.outbox.received)
    assert set(reached.values()) == {1}


def test_the_frequency_cap_counts_what_other_workflows_sent(ledger):
    """Two mails a week, whatever the workflow; the message to the team does not count."""
    through = channel(to_contact=True)
    cap = {"frequency_cap": {"recording": "2 per week"}}
    for number, name in enumerate(("one", "two", "three")):
        ids = record(ledger, Run(name, "run"), detected(stretch(21, 22), added("a")))
        ledger.runs.release(ids, NOW)
        key = ledger.key(name, "mail", "a", "added", "2026-11-22")
        to_team = channel() if number == 0 else through
        door(ledger, to_team, owner=name, **cap).deliver([candidate(ledger, "a", key=key)])
    ids = record(ledger, Run("four", "run"), detected(stretch(21, 22), added("a")))
    ledger.runs.release(ids, NOW)
    last = candidate(ledger, "a", key=ledger.key("four", "mail", "a", "added", "2026-11-22"))
    door(ledger, through, owner="four", **cap).deliver([last])
    assert len(through.outbox.keys) == 2
    made = door(ledger, through, owner="a week later", **cap)
    made.clock.now += timedelta(days=7, seconds=1)
    made.deliver([last])
    assert through.outbox.keys[-1] == last.key


def test_quiet_hours_hold_messages_to_the_contact_until_they_end(ledger):
    candidates = released(ledger, "a")
    hours = {"quiet_hours": {"from": "21:00", "to": "08:00"}}  # NOW is 06:00
    through = channel(to_contact=True)
    result = door(ledger, through, **hours).deliver(candidates)
    assert (outcome(ledger, "a"), result.is_complete) == ("held:quiet_hours", True)
    made = door(ledger, through, owner="release", **hours)
    made.clock.now += timedelta(hours=2)
    made.deliver(candidates)
    assert outcome(ledger, "a") == "delivered"


def test_what_was_held_too_long_is_not_sent_any_more(ledger):
    candidates = released(ledger, "a")
    hours = {"quiet_hours": {"from": "21:00", "to": "08:00", "expires": "12h"}}
    through = channel(to_contact=True)
    door(ledger, through, **hours).deliver(candidates)
    made = door(ledger, through, owner="release", **hours)
    made.clock.now += timedelta(hours=13)
    made.deliver(candidates)
    assert (outcome(ledger, "a"), through.outbox.keys) == ("skipped:expired", [])


def test_a_held_out_contact_is_never_written_to(ledger):
    ids = people(400)
    candidates = released(ledger, *ids)
    through = Wide.model_validate({"text": "{{ contact.contact_id }}"})
    door(ledger, through, holdout="25%").deliver(candidates)
    reached = {message["text"] for _, message in through.outbox.received}
    assert 260 < len(reached) < 340
    assert {c for c in ids if not is_held_out("welcome", c, 0.25)} == reached


def test_an_action_for_an_arm_reaches_that_arm_alone(ledger):
    ids = people(200)
    candidates = released(ledger, *ids)
    through = Wide.model_validate({"text": "{{ contact.contact_id }}"})
    arms = {"x": 0.25, "y": 0.75}
    made = door(ledger, through)
    made.terms = replace(made.terms, split=arms, only=("x",))
    made.deliver(candidates)
    reached = {message["text"] for _, message in through.outbox.received}
    assert {c for c in ids if arm_of("welcome", c, arms) == "x"} == reached
    assert {outcome(ledger, c) for c in ids if c not in reached} == {"skipped:arm: y"}


def test_a_change_that_does_not_stand_any_more_is_skipped(ledger):
    released(ledger, "a")
    gone = candidate(ledger, "a", withdrawn="not a member any more")
    door(ledger, channel()).deliver([gone])
    assert outcome(ledger, "a") == "skipped:recheck: not a member any more"


# What a long or broken pass must not do


def test_the_heartbeat_never_waits_for_rows_that_its_own_pass_has_locked(ledger):
    """On PostgreSQL the two would lock each other out: here the pass holds a row's lock."""
    candidates = released(ledger, "a", "b")
    ledger.deliveries.claim(
        [c.key for c in candidates], owner="me", now=NOW, lease_until=NOW + LEASE
    )
    if ledger.engine.dialect.name == "sqlite":
        ledger.deliveries.renew(
            "me", NOW + 2 * LEASE
        )  # one writer at a time: there is nothing to skip
        return
    with ledger.engine.begin() as connection:
        locked = select(deliveries).where(deliveries.c.key == candidates[0].key)
        connection.execute(locked.with_for_update())
        ledger.deliveries.renew("me", NOW + 2 * LEASE)
    leases = "SELECT count(*) FROM deliveries WHERE lease_until > '2026-11-23 06:01:30'"
    with ledger.engine.connect() as connection:
        assert connection.exec_driver_sql(leases).scalar() == 1


def test_answers_survive_a_ledger_that_fails_for_a_moment(ledger):
    """The ledger refuses one transaction in the middle: what was sent is delivered, once."""
    candidates = released(ledger, *people(20))
    through = channel()

    class Failing(Deliveries):
        calls = 0

        def advance(self, finished, starting, **values):
            Failing.calls += 1
            if Failing.calls == 4:
                raise LedgerError("the database is restarting")
            return super().advance(finished, starting, **values)

    failing = with_deliveries(ledger, Failing)
    with pytest.raises(LedgerError):
        door(failing, through).deliver(candidates)
    sent = len(through.outbox.keys)
    assert 0 < sent < 20
    states = Counter(row.outcome for row in ledger.queries.list_deliveries())
    assert states == {"delivered": sent, "released": 20 - sent}
    door(ledger, through).deliver(candidates)
    assert sorted(through.outbox.keys) == sorted(c.key for c in candidates)


def test_quiet_hours_that_begin_during_a_pass_hold_the_rest(ledger):
    """One call a minute from 06:00, quiet from 06:10 on."""
    candidates = released(ledger, *people(30))
    through = channel(to_contact=True).limited(Limit("vendor_default", 1, 60))
    hours = {"quiet_hours": {"from": "06:10", "to": "08:00"}}
    door(ledger, through, **hours).deliver(candidates)
    assert len(through.outbox.keys) == 10
    states = Counter(row.outcome for row in ledger.queries.list_deliveries())
    assert states == {"delivered": 10, "held": 20}


@pytest.mark.parametrize("step", [1, -1])
def test_messages_go_out_in_the_order_of_their_candidates(ledger, step):
    candidates = released(ledger, *people(40))[::step]
    through = channel().limited(Limit("vendor_default", 1, 60))
    door(ledger, through).deliver(candidates)
    assert through.outbox.keys == [candidate.key for candidate in candidates]


def test_a_contact_suppressed_during_a_pass_is_not_written_to_any_more(ledger):
    candidates = released(ledger, *people(10))
    through = channel(to_contact=True).limited(Limit("vendor_default", 1, 60))

    def suppress_the_last(key, message):
        ledger.people.suppress([people(10)[-1]], "ann", "asked on the phone", NOW)

    through.answering(suppress_the_last)
    door(ledger, through).deliver(candidates)
    assert len(through.outbox.keys) == 9
    assert outcome(ledger, people(10)[-1]) == "skipped:suppression_list"


def test_what_expired_stays_so_in_later_passes(ledger):
    candidates = released(ledger, "a")
    hours = {"quiet_hours": {"from": "21:00", "to": "08:00", "expires": "12h"}}
    through = channel(to_contact=True)
    door(ledger, through, **hours).deliver(candidates)
    for number in range(2):
        made = door(ledger, through, owner=str(number), **hours)
        made.clock.now += timedelta(hours=13)
        made.deliver(candidates)
    assert (outcome(ledger, "a"), through.outbox.keys) == ("skipped:expired", [])


def test_a_held_message_that_meets_a_transient_failure_stays_due(ledger):
    """segue_release finds it again: its run's task has ended long ago."""
    candidates = released(ledger, "a")
    hours = {"quiet_hours": {"from": "21:00", "to": "08:00"}}
    through = channel(to_contact=True)
    door(ledger, through, **hours).deliver(candidates)
    through.answering(failing_for("a", TransientFailure("503")))
    made = door(ledger, through, owner="release", **hours)
    made.clock.now += timedelta(hours=3)
    made.deliver(candidates)
    assert outcome(ledger, "a").startswith("held")
    assert ledger.deliveries.actions_with_work(made.clock.now) == [("welcome", "mail")]


def test_a_worker_that_dies_with_a_held_message_leaves_it_due(ledger):
    candidates = released(ledger, "a")
    hours = {"quiet_hours": {"from": "21:00", "to": "08:00"}}
    door(ledger, channel(to_contact=True), **hours).deliver(candidates)
    later = NOW + timedelta(hours=3)
    ledger.deliveries.claim([candidates[0].key], owner="dead", now=later, lease_until=later)
    assert ledger.deliveries.free_expired(later + timedelta(minutes=2)) == 1
    assert outcome(ledger, "a") == "held"


def test_trouble_with_a_connection_of_the_past_does_not_stop_the_slice(ledger):
    """The old connection was deleted: of its call nobody can tell, and all others go out."""
    candidates, through = released(ledger, "a", "b"), askable()

    class Renamed(AskableChannel):
        def connect(self):
            if self.connection == "recording_default":
                raise ConnectionFailure("there is no connection 'recording_default'")
            return super().connect()

    die_in_the_call(ledger, candidates[:1], through)
    renamed = Renamed.model_validate({"text": "Hello", "connection": "new"})
    later_door(ledger, renamed).deliver(candidates)
    assert outcome(ledger, "a").startswith("uncertain:the vendor cannot tell")
    assert outcome(ledger, "b") == "delivered"


def test_a_pass_with_something_to_resend_is_not_complete(ledger):
    """So that the task is retried, as `on_uncertain: resend` promises."""
    candidates = released(ledger, "a")
    through = channel().answering(failing_for("a", OutcomeUnknown("lost"), times=1))
    assert not door(ledger, through, on_uncertain="resend").deliver(candidates).is_complete
    assert door(ledger, through, owner="2", on_uncertain="resend").deliver(candidates).is_complete
    assert outcome(ledger, "a") == "delivered"


def test_a_scope_of_any_length_is_a_scope(ledger):
    """A Slack channel's name comes from a contact's field."""
    limits = [[Limit("x" * 400, 1, 60)], [Limit("x" * 400, 1, 60)]]
    assert ledger.deliveries.reserve(limits, NOW) == (1, 60.0)
    assert ledger.deliveries.reserve([[Limit("x" * 401, 1, 60)]], NOW) == (1, 0.0)


HOURS = {"quiet_hours": {"from": "21:00", "to": "08:00", "expires": "24h"}}  # NOW is 06:00


def held_for_the_night(ledger: Ledger, through: RecordingChannel) -> list[Candidate]:
    """A message to the contact that waits until 08:00."""
    candidates = released(ledger, "a")
    door(ledger, through, **HOURS).deliver(candidates)
    return candidates


def by_release(ledger: Ledger, through: RecordingChannel, hours: int, **policies) -> Door:
    """The door as segue_release opens it, some hours later."""
    made = door(ledger, through, owner=f"release {hours}", **policies)
    made.clock.now += timedelta(hours=hours)
    return made


def test_what_was_held_stays_held_when_the_vendor_is_down_as_it_falls_due(ledger):
    """Its run is over: as ``released`` nobody would take it up any more."""
    through = channel(to_contact=True)
    candidates = held_for_the_night(ledger, through)
    through.answering(failing_for("a", TransientFailure("503"), times=3))
    by_release(ledger, through, 3, **HOURS).deliver(candidates)
    assert outcome(ledger, "a") == "held:503"
    assert ledger.deliveries.actions_with_work(NOW + timedelta(hours=4)) == [("welcome", "mail")]
    by_release(ledger, through, 4, **HOURS).deliver(candidates)
    assert outcome(ledger, "a") == "delivered"


def test_what_was_held_stays_held_when_the_worker_dies_before_the_call(ledger):
    through = channel(to_contact=True)
    [candidate_] = held_for_the_night(ledger, through)
    due = NOW + timedelta(hours=3)
    ledger.deliveries.claim([candidate_.key], owner="dead", now=due, lease_until=due + LEASE)
    ledger.deliveries.free_expired(due + 2 * LEASE)
    assert outcome(ledger, "a") == "held"


def test_a_message_that_the_vendor_did_not_have_is_due_until_it_is_sent(ledger):
    """segue_release asks, and is refused for the moment: the next one tries again."""
    candidates, through = released(ledger, "a"), askable()
    through.answering(failing_for("a", OutcomeUnknown("lost"), times=1))
    door(ledger, through).deliver(candidates)
    through.answering(failing_for("a", TransientFailure("503")))
    by_release(ledger, through, 1).deliver(candidates)
    assert outcome(ledger, "a") == "held:503"
    assert ledger.deliveries.actions_with_work(NOW + timedelta(hours=2)) == [("welcome", "mail")]


def test_what_expired_in_quiet_hours_is_not_sent_by_a_later_retry_either(ledger):
    through = channel(to_contact=True)
    candidates = held_for_the_night(ledger, through)
    for hours in (26, 28):
        by_release(ledger, through, hours, **HOURS).deliver(candidates)
        assert outcome(ledger, "a") == "skipped:expired"
    assert through.outbox.keys == []


def test_a_resent_message_that_meets_a_429_is_still_sent_again_only_once(ledger):
    candidates = released(ledger, "a")
    answers = [OutcomeUnknown("lost"), TransientFailure("429", retry_after=600)]
    answers += [OutcomeUnknown("lost")] * 3

    def next_answer(key, message):
        raise answers.pop(0)

    through = channel().answering(next_answer)
    for number in range(5):
        door(ledger, through, owner=str(number), on_uncertain="resend").deliver(candidates)
    assert len(answers) == 2
    assert outcome(ledger, "a") == "uncertain:sent again: lost"


def test_a_resent_message_that_is_held_on_the_way_is_still_sent_again_only_once(ledger):
    """Lost by day, held in the night, lost again in the morning: no third call."""
    candidates = released(ledger, "a")
    calls = []

    def lost(key, message):
        calls.append(key)
        raise OutcomeUnknown("lost")

    through = channel(to_contact=True).answering(lost)
    rules = {"on_uncertain": "resend", **HOURS}
    seen = []
    for hours in (3, 16, 27, 28, 29):
        by_release(ledger, through, hours, **rules).deliver(candidates)
        seen.append(outcome(ledger, "a"))
    assert seen[1] == "uncertain:not sent again: quiet_hours"
    assert seen[-1] == "uncertain:sent again: lost"
    assert len(calls) == 2


FORBIDS: dict[str, dict] = {  # what a candidate is like that nothing is sent to
    "opted_out": {"opted_in": False},
    "deleted": {"opted_in": None},
    "if": {"passes_if": False},
    "recheck: gone": {"withdrawn": "gone"},
    "text: missing field: contact.first_name": {"fields": {"contact_id": "a"}},
    "contact_not_found": {"fields": None},
    "suppression_list": {},
}


@pytest.mark.parametrize("reason", FORBIDS)
@pytest.mark.parametrize("in_run", [True, False])
def test_what_is_in_doubt_and_must_not_be_sent_again_stays_in_doubt(ledger, reason, in_run):
    """Its message may be out: a skip would say that nothing was sent. A person is told."""
    candidates = released(ledger, "a")
    text = "Hello {{ contact.first_name }}"
    through = channel(text, to_contact=True).losing(lambda key, message: raise_lost())
    rules = {"on_uncertain": "resend"}
    door(ledger, through, clear=0 if in_run else None, **rules).deliver(candidates)
    if reason == "suppression_list":
        ledger.people.suppress(["a"], "ann", "said no", NOW)
    [refused] = [candidate(ledger, "a", **FORBIDS[reason])]
    through.losing(lambda key, message: None)
    for number in range(3):
        owner, clear = str(number), 0 if in_run else None
        result = door(ledger, through, owner, clear, **rules).deliver([refused])
    assert outcome(ledger, "a").startswith(f"uncertain:not sent again: {reason.split(':')[0]}")
    assert (len(through.outbox.keys), result.is_complete) == (1, True)
    told = [] if in_run else ["uncertain"]
    assert [late.outcome for late in ledger.deliveries.untold("welcome", "mail").outcomes] == told


def raise_lost():
    raise OutcomeUnknown("lost")


@pytest.mark.parametrize("trouble", [ConnectionFailure("401"), TransientFailure("503")])
def test_a_resend_that_is_given_up_leaves_the_message_in_doubt(ledger, trouble):
    """Were it released again, it would be sent although the workflow says hold by then."""
    candidates = released(ledger, "a")
    through = channel().answering(failing_for("a", OutcomeUnknown("lost"), times=1))
    door(ledger, through, on_uncertain="resend").deliver(candidates)
    through.answering(failing_for("a", trouble))
    result = door(ledger, through, owner="2", on_uncertain="resend").deliver(candidates)
    assert result.standing == {State.UNCERTAIN: 1}
    assert not result.is_complete
    calls = len(through.outbox.keys)
    through.answering(lambda key, message: None)
    assert door(ledger, through, owner="3").deliver(candidates).is_complete
    assert len(through.outbox.keys) == calls
    door(ledger, through, owner="4", on_uncertain="resend").deliver(candidates)
    assert outcome(ledger, "a") == "delivered"


def test_nothing_is_left_to_resend_once_its_snapshot_is_quarantined(ledger):
    """The task ends, instead of trying for a day what nothing may begin."""
    candidates = released(ledger, "a")
    through = channel().answering(failing_for("a", OutcomeUnknown("lost")))
    door(ledger, through, on_uncertain="resend").deliver(candidates)
    ledger.people.quarantine("people", "2026-11-22", reason="wrong", by="ann", now=NOW)
    result = door(ledger, through, owner="2", on_uncertain="resend").deliver(candidates)
    assert (result.to_resend, result.is_complete) == (0, True)


def test_what_is_held_and_fails_after_its_run_is_left_by_the_runs_own_retries(ledger):
    """Whatever the run's clear number: only a person who clears it again has it sent."""
    candidates = released(ledger, "a")
    through = channel(to_contact=True)
    by_release(ledger, through, 16, clear=2, **HOURS).deliver(candidates)
    assert outcome(ledger, "a") == "held:quiet_hours"
    through.answering(failing_for("a", ContactFailure("550")))
    by_release(ledger, through, 27, clear=None, **HOURS).deliver(candidates)
    assert outcome(ledger, "a") == "failed:550"
    through.answering(lambda key, message: None)
    by_release(ledger, through, 28, clear=2, **HOURS).deliver(candidates)
    assert outcome(ledger, "a") == "failed:550"
    by_release(ledger, through, 29, clear=3, **HOURS).deliver(candidates)
    assert outcome(ledger, "a") == "delivered"


class Unaddressed(AskableChannel):
    """A channel whose messages lack an address until the vendor is asked for it."""

    _asking: Callable[[str], None] = PrivateAttr(default_factory=lambda: lambda text: None)

    def connect(self):
        asking = self._asking

        class AskingFirst(RecordingSender):
            def lacks(self, message):
                return "address" not in message

            def complete(self, message):
                asking(message["text"])
                return {**message, "address": f"address of {message['text'][-1]}"}

        sender = super().connect()
        sender.__class__ = AskingFirst
        return sender

    def trace(self, message):
        return {"address": message["address"]}

    def asking(self, answer):
        self._asking = answer
        return self


def unaddressed(answer=lambda text: None) -> Unaddressed:
    return Unaddressed.model_validate({"text": "Hello {{ contact.contact_id }}"}).asking(answer)


def test_what_a_message_lacks_is_asked_for_before_its_call_begins(ledger):
    """The trace has what was found, and nothing is in doubt while the vendor is asked."""
    states = []
    through = unaddressed(lambda text: states.append(outcome(ledger, text[-1])))
    result = door(ledger, through).deliver(released(ledger, *"abcdefgh"))
    assert result.outcomes == {State.DELIVERED: 8}
    assert len(through.outbox.keys) == len(set(through.outbox.keys)) == 8
    assert set(states) == {"claimed"}
    assert {message["address"][-1] for _, message in through.outbox.received} == set("abcdefgh")
    rows = ledger.deliveries.rows(through.outbox.keys).values()
    assert {row.trace["address"] for row in rows} == {f"address of {name}" for name in "abcdefgh"}


def failing_to_ask(contact_id: str, error: Exception, times: int = 1_000_000):
    answer = failing_for(contact_id, error, times)
    return lambda text: answer("", {"text": text})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoAddress("nobody"), "skipped:no_address"),
        (ContactFailure("refused"), "failed:refused"),
        (TransientFailure("503"), "released:503"),
        (OutcomeUnknown("lost"), "released:lost"),
    ],
)
def test_a_question_that_fails_concerns_its_own_contact(ledger, error, expected):
    """The others go out; a lost answer to a question leaves nothing in doubt."""
    through = unaddressed(failing_to_ask("b", error))
    door(ledger, through).deliver(released(ledger, *"abc"))
    assert [outcome(ledger, name) for name in "abc"] == ["delivered", expected, "delivered"]
    assert len(through.outbox.keys) == 2


@pytest.mark.parametrize("error", [ConnectionFailure("no scope"), RuntimeError("a defect")])
def test_a_question_that_cannot_be_asked_stops_the_slice(ledger, error):
    """Nothing has been sent, so everything stays free for the next pass."""
    through = unaddressed(failing_to_ask("a", error))
    result = door(ledger, through).deliver(released(ledger, "a"))
    assert result.connection
    assert outcome(ledger, "a").startswith("released")


def test_a_question_is_repeated_within_the_pass(ledger):
    through = unaddressed(failing_to_ask("a", TransientFailure("503"), times=2))
    assert door(ledger, through).deliver(released(ledger, "a")).is_complete
    assert len(through.outbox.keys) == 1


def test_an_answered_question_is_no_outcome_when_the_ledger_fails_meanwhile(ledger):
    """The mark of one call fails while another message is still being completed."""
    candidates = released(ledger, "a", "b")

    class Failing(Deliveries):
        def advance(self, finished, starting, **values):
            if starting:
                raise LedgerError("the database is restarting")
            return super().advance(finished, starting, **values)

    through = unaddressed(lambda text: time.sleep(0.3 if text == "Hello b" else 0))
    with pytest.raises(LedgerError):
        door(with_deliveries(ledger, Failing), through).deliver(candidates)
    assert all(outcome(ledger, name).startswith("released") for name in "ab")
    door(ledger, through).deliver(candidates)
    assert len(through.outbox.keys) == 2


class Deployed(RecordingChannel):
    """A channel whose template is being copied anew while its messages are rendered."""

    def render(self, variables):
        raise TemplateAway("the template layout.html.j2, which another one needs, cannot be read")


def test_a_template_that_is_away_is_no_contacts_failure(ledger):
    """The pass ends, and all of it waits for the next one."""
    candidates = released(ledger, "a", "b")
    with pytest.raises(TemplateAway):
        door(ledger, Deployed.model_validate({"text": "x"})).deliver(candidates)
    assert {outcome(ledger, contact) for contact in "ab"} == {"released"}
