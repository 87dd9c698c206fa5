"""Consent is judged at the door on the newest snapshot that runs may use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segue.clock import REAL_CLOCK, Clock
from segue.contacts.change import changes_of_span
from segue.contacts.live_look_up import Desk
from segue.contracts.channel import Limit
from segue.delivery.steps import check_branch, deliver, load_branch
from segue.errors import SnapshotMissing
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef
from segue.testing import RecordingChannel
from segue.workflows.resolved import ResolvedWorkflow
from tests.unit.runs.test_span_detection import Place


class Sending(Place):
    """The run of the 9th, released: b was added; messages go to the contact."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.snapshot(7, "a")
        self.snapshot(8, "a", "b")
        self.now += timedelta(days=1)
        self.more = {"policies": {"max_age": None}}
        self.channel = RecordingChannel.model_validate({"text": "hi", "to_contact": True})

    @property
    def workflow(self) -> ResolvedWorkflow:
        made = super().workflow
        channels = {"mail": self.channel}
        return ResolvedWorkflow(made.definition, made.segment, made.directory, channels)

    def prepared(self) -> BranchRef:
        [span] = self.day(9).spans
        self.ledger.runs.release([span.id], self.now)
        area = RunArea(str(self.folder / "area"))
        area.write_audience(self.workflow.audience)
        changes = changes_of_span(span.stretch, self.ledger.queries.changes_to_handle(span.id))
        [ref] = area.write_slices([changes])
        load_branch(self.workflow, ref, Desk(self.ledger, Clock(lambda: self.now)))
        check_branch(self.workflow, ref, self.ledger, self.now)
        return ref

    def deliver(self, ref: BranchRef, clock: Clock = REAL_CLOCK) -> dict[str, str]:
        action = self.workflow.definition.action("mail")
        how = {"owner": "me", "clear_number": 0, "clock": clock}
        self.result = deliver(self.workflow, action, [ref], self.ledger, **how)
        return self.planned()


@pytest.fixture
def sending(tmp_path) -> Sending:
    return Sending(tmp_path)


def quarantine(place: Place, key: str) -> None:
    place.ledger.people.quarantine("people", key, reason="", by="ann", now=place.now)


def only_a(place: Place, day: int) -> None:
    place.snapshot(day)
    path = place.folder / f"snapshots/2026-11-{day:02}/contacts.csv"
    path.write_text("contact_id,tier\na,gold\n")


def test_a_quarantined_snapshot_says_nothing_about_consent(sending):
    """b is missing from the 9th, which is quarantined: b gets the message."""
    ref = sending.prepared()
    only_a(sending, 9)
    quarantine(sending, "2026-11-09")
    assert sending.deliver(ref) == {"b": "added@08 delivered()"}


def test_a_usable_newer_snapshot_is_what_counts(sending):
    """b is gone from the 9th: nobody writes to b."""
    ref = sending.prepared()
    only_a(sending, 9)
    assert sending.deliver(ref) == {"b": "added@08 skipped(deleted)"}


def test_where_the_changes_own_snapshot_is_quarantined_nothing_is_sent(sending):
    """What was released is rejected, and the step stops besides."""
    ref = sending.prepared()
    quarantine(sending, "2026-11-08")
    with pytest.raises(SnapshotMissing, match=r"consent cannot be judged: .* is quarantined"):
        sending.deliver(ref)
    assert sending.channel.outbox.received == []
    assert sending.planned() == {"b": "added@08 suppressed(rejected)"}


class Waiting(Clock):
    """A clock that moves while the door sleeps; ``then`` happens once, half an hour on."""

    def __init__(self, sending: Sending, then) -> None:
        begin = sending.now
        happened = []

        def sleep(seconds: float) -> None:
            sending.now += timedelta(seconds=seconds)
            if not happened and sending.now > begin + timedelta(minutes=30):
                happened.append(then())

        super().__init__(lambda: sending.now, sleep)


@pytest.fixture
def slow(sending) -> tuple[Sending, BranchRef]:
    """Three messages at one an hour."""
    sending.snapshot(8, "a", "b", "c", "d")
    sending.channel.limited(Limit("slow", 1, 3600))
    return sending, sending.prepared()


def test_who_opts_out_while_a_slow_rate_is_waited_for_is_not_written_to(slow):
    """A newer snapshot comes in the middle of the pass: consent is that of the call, not before."""
    sending, ref = slow
    outcomes = sending.deliver(ref, Waiting(sending, lambda: only_a(sending, 9)))
    assert sorted(outcomes.values()) == ["added@08 delivered()", *["added@08 skipped(deleted)"] * 2]
    assert sum(sending.result.outcomes.values()) == 3


def test_a_slow_rate_is_waited_for_to_the_end_unless_the_workflow_is_stopped(slow):
    sending, ref = slow
    begin = sending.now
    stop = Waiting(sending, lambda: sending.ledger.people.stop("greet", "ann", "", sending.now))
    assert sorted(sending.deliver(ref, stop).values())[1:] == ["added@08 released()"] * 2
    assert sending.result.stopped is not None
    sending.ledger.people.go("greet")
    assert set(sending.deliver(ref, Waiting(sending, lambda: None)).values()) == {
        "added@08 delivered()"
    }
    assert sending.now - begin < timedelta(hours=2, minutes=10)
