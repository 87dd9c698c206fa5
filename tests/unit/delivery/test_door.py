"""The door: what goes out, what is recorded, and that nothing goes out twice."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from segue.delivery.door import Candidate, Door
from segue.delivery.ledger import DeliveryRow, Ledger
from segue.delivery.schema import State
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure
from segue.testing import RecordingChannel
from tests.unit.delivery.builders import NOW, added, detected, record, run, stretch


def released(ledger: Ledger, *contact_ids: str) -> list[Candidate]:
    """Candidates whose deliveries the guard has released."""
    ids = record(ledger, run(), detected(stretch(21, 22), added(*contact_ids)))
    ledger.release(ids, NOW)
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


def door(ledger: Ledger, through: RecordingChannel, owner: str = "me", clear: int = 0) -> Door:
    clock = Clock()
    return Door(ledger, through, owner=owner, clear_number=clear, clock=clock, sleep=clock.sleep)


def outcome(ledger: Ledger, contact_id: str) -> str:
    [row] = ledger.list_deliveries(contact_id=contact_id)
    return ":".join(filter(None, (row["outcome"], row["reason"])))


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
    assert made.sleep.__self__.naps == [7]
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
    attempts = [row["attempts"] for row in ledger.list_deliveries()]
    assert sum(attempts) == RecordingChannel.concurrency


def test_a_failure_of_an_earlier_pass_still_counts(ledger):
    """Airflow retries for the transient one; the permanent one is not forgotten meanwhile."""
    candidates = released(ledger, "a", "b")
    through = channel().answering(failing_for("a", ContactFailure("422")))
    door(ledger, through, "one").deliver(candidates)
    result = door(ledger, channel(), "two").deliver(candidates)
    assert result.outcomes == {}
    assert result.standing == {State.FAILED: 1, State.DELIVERED: 1}


def test_a_lost_answer_is_uncertain_and_never_sent_again(ledger):
    """Nobody can tell whether it had its effect."""
    candidates = released(ledger, "a")
    through = channel().answering(failing_for("a", OutcomeUnknown("time-out"), times=1))
    assert door(ledger, through).deliver(candidates).outcomes == {State.UNCERTAIN: 1}
    door(ledger, through, "later", clear=5).deliver(candidates)
    assert through.outbox.received == []
    assert outcome(ledger, "a") == "uncertain:time-out"


def test_a_defect_in_a_channel_puts_its_call_in_doubt_and_ends_the_pass(ledger):
    """One call of the first round breaks: its three neighbours are delivered, the rest waits."""
    candidates = released(ledger, *[f"c{number}" for number in range(9)])
    through = channel().answering(failing_for("c2", ZeroDivisionError("contact text")))
    result = door(ledger, through).deliver(candidates)
    assert result.connection == "a defect in the channel: ZeroDivisionError"
    sent = {State.DELIVERED: 3, State.UNCERTAIN: 1, State.RELEASED: 5}
    assert result.standing == sent
    assert outcome(ledger, "c2") == "uncertain:a defect in the channel: ZeroDivisionError"


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
    ledger.claim([candidates[0].key], owner="other", now=NOW, lease_until=lease)
    result = door(ledger, channel()).deliver(candidates)
    assert (result.elsewhere, result.is_complete) == (1, False)
