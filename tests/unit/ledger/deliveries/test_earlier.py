"""What an action delivered to a contact before, for channels that look back."""

from __future__ import annotations

import pytest

from segue.contracts.channel import OpenTicket
from segue.delivery.recovery import earlier_ids, trace_of
from segue.ledger import Ledger
from segue.ledger.facts import Finished
from segue.ledger.states import State
from segue.testing import RecordingChannel
from tests.unit.builders import NOW, RULES, added, detected, record, run, stretch
from tests.unit.delivery.test_door import channel, door, failing_for, outcome, released

HERE = RecordingChannel.model_validate({"text": "hi"})
ELSEWHERE = RecordingChannel.model_validate({"text": "hi", "connection": "another"})


def deliver(
    ledger: Ledger,
    day: int,
    external_id: str | None,
    *,
    through: RecordingChannel = HERE,
    contact_id: str = "a",
    action: str = "mail",
    state: State = State.DELIVERED,
) -> None:
    """Give a contact one delivery for the snapshot of a day."""
    span = detected(stretch(day - 1, day), added(contact_id))
    ids = record(ledger, run(f"run-{day}"), span, actions=(action,))
    ledger.runs.release(ids, NOW)
    key = ledger.key("welcome", action, contact_id, "added", f"2026-11-{day}")
    at = NOW.replace(day=day)
    when = {"owner": "me", "now": at, "lease_until": at}
    ledger.deliveries.claim([key], **when)
    ledger.deliveries.advance([], {key: trace_of(through, {})}, rules=RULES, **when)
    ledger.deliveries.advance(
        [Finished(key, state, external_id=external_id)], {}, rules=RULES, **when
    )


def earlier(ledger: Ledger, *contact_ids: str) -> dict[str, list[str]]:
    return earlier_ids(ledger, "welcome", "mail", HERE, contact_ids)


def test_the_newest_comes_first_and_each_once(ledger):
    """Two deliveries may have ended in one ticket: the second as its comment."""
    for day, number in ((21, "7"), (22, "8"), (23, "7")):
        deliver(ledger, day, number)
    assert earlier(ledger, "a", "b") == {"a": ["7", "8"]}


def test_only_the_same_action_and_contact_count(ledger):
    deliver(ledger, 21, "7", action="other")
    deliver(ledger, 22, "8", contact_id="b")
    deliver(ledger, 23, "9")
    assert earlier(ledger, "a") == {"a": ["9"]}


def test_another_workflow_does_not_count(ledger):
    deliver(ledger, 21, "7")
    assert earlier_ids(ledger, "another", "mail", HERE, ["a"]) == {}


@pytest.mark.parametrize("state", [State.FAILED, State.UNCERTAIN, State.SENDING])
def test_only_what_was_delivered_counts(ledger, state):
    deliver(ledger, 21, "7", state=state)
    assert earlier(ledger, "a") == {}


def test_what_went_through_another_connection_does_not_count(ledger):
    """The same number is another ticket in another account."""
    deliver(ledger, 21, "7", through=ELSEWHERE)
    deliver(ledger, 22, None)
    assert earlier(ledger, "a").get("a", []) == []


def test_an_open_ticket_skips_the_contact_and_says_which(ledger):
    """The others are delivered, and nothing is left for a retry."""
    candidates = released(ledger, "a", "b")
    through = channel().answering(failing_for("a", OpenTicket("42")))
    assert door(ledger, through).deliver(candidates).is_complete
    assert outcome(ledger, "a") == "skipped:open_ticket: 42"
    assert outcome(ledger, "b") == "delivered"
