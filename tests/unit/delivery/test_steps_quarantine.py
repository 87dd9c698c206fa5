"""Consent is judged at the door on the newest snapshot that runs may use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segue.delivery.branches import BranchRef, RunArea, changes_of_span
from segue.delivery.door import Clock
from segue.delivery.looking_up import Desk
from segue.delivery.resolved import ResolvedWorkflow
from segue.delivery.steps import check_branch, deliver_action, load_branch
from segue.errors import SnapshotMissing
from segue.testing import RecordingChannel
from tests.unit.delivery.test_detection import Place


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
        self.ledger.release([span.id], self.now)
        area = RunArea(str(self.folder / "area"))
        area.write_audience(self.workflow.audience)
        changes = changes_of_span(span.stretch, self.ledger.changes_to_handle(span.id))
        [ref] = area.write_slices([changes])
        load_branch(self.workflow, ref, Desk(self.ledger, Clock(lambda: self.now)))
        check_branch(self.workflow, ref, self.ledger, self.now)
        return ref

    def deliver(self, ref: BranchRef) -> dict[str, str]:
        action = self.workflow.definition.action("mail")
        deliver_action(self.workflow, action, ref, self.ledger, owner="me", clear_number=0)
        return self.planned()


@pytest.fixture
def sending(tmp_path) -> Sending:
    return Sending(tmp_path)


def quarantine(place: Place, key: str) -> None:
    place.ledger.quarantine("people", key, reason="", by="ann", now=place.now)


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
