"""Actions that wait, and contacts who leave meanwhile: judged when the wait is over."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from segue.clock import Clock
from segue.contacts.change import changes_of_span
from segue.contacts.live_look_up import Desk
from segue.delivery.resumption import await_definition, resume
from segue.delivery.steps import check_branch, deliver, load_branch
from segue.errors import AudienceEdited, ContactFailure
from segue.ledger import Ledger
from segue.ledger.facts import Run, Wishes
from segue.ledger.people.release_requests import RequestKind, Selection
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef, cut
from segue.runs.context import RunContext
from segue.runs.report import report_run
from segue.runs.span_detection import detect
from segue.segments.membership.store import MembershipStore
from segue.testing import RecordingChannel
from segue.workflows.catalog import Catalog
from segue.workflows.definition import Branches
from segue.workflows.resolved import ResolvedWorkflow

AS_OF = datetime(2026, 11, 23, tzinfo=UTC)  # of the snapshot 2026-11-22, which shows the change
HEADER = "contact_id,tier,plan,tz,opted_in\n"
WORKFLOW = """
workflow: renew
segment: gold
changes: [added]
start: 2026-11-01
policies: {max_age: null}
LEAVE
actions:
  - {id: ticket, slack_message: {channel: c, text: x}}
  - {id: mail, after: ticket, wait: WAIT, slack_message: {channel: c, text: x}}
"""


def on_day(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


class World:
    """A workflow whose mail waits; days pass by ``now``."""

    def __init__(self, root: Path, ledger: Ledger, wait: str = "3d", leave: str = "") -> None:
        self.root, self.ledger, self.now = root, ledger, on_day(23, 6)
        self.clock = Clock(lambda: self.now)
        self.channels = {
            name: RecordingChannel.model_validate(
                {"text": f"{name} {{{{ contact.contact_id }}}} {{{{ contact.plan }}}}", **more}
            )
            for name, more in (("ticket", {}), ("mail", {"to_contact": True}))
        }
        (root / "include" / "directories").mkdir(parents=True)
        (root / "include" / "segments").mkdir()
        (root / "include" / "workflows").mkdir()
        (root / "include" / "directories" / "customers.yaml").write_text(
            "directory: customers\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n"
            "consent: {opted_in: opted_in}\n"
        )
        (root / "include" / "segments" / "gold.yaml").write_text(
            "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n"
        )
        self.define(wait, leave)
        self.snapshot("2026-11-21", "a,silver,free,,true\nb,silver,free,,true\n")
        self.snapshot("2026-11-22", "a,gold,free,,true\nb,gold,free,,true\n")

    def define(self, wait: str = "3d", leave: str = "", edit=lambda text: text) -> None:
        """Write the workflow anew."""
        path = self.root / "include" / "workflows" / "renew.yaml"
        text = WORKFLOW.replace("WAIT", wait)
        path.write_text(edit(text.replace("LEAVE", f"leave_when: {leave}" if leave else "")))
        found = Catalog(self.root / "include").resolve("renew")
        channels = {each: self.channels[each] for each in found.action_ids}
        self.resolved = ResolvedWorkflow(
            found.definition, found.segment, found.directory, channels, found.referred
        )

    def snapshot(self, key: str, rows: str) -> None:
        folder = self.root / "include" / "snapshots" / key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "contacts.csv").write_text(HEADER + rows)
        (folder / "_SUCCESS").touch()

    def run(self, clear_number: int = 0) -> None:
        """Detect, release, and deliver as the tasks of a run do."""
        wishes = Wishes(previous="2026-11-21", current="2026-11-22", deliver=True)
        run = Run("renew", "run-1", clear_number=clear_number)
        context = RunContext(self.resolved, run, self.ledger, self.now, wishes)
        (span,) = detect(context, MembershipStore(str(self.root / "state"))).spans
        self.ledger.runs.release([span.id], self.now)
        area = RunArea(str(self.root / "area"))
        area.write_audience(self.resolved.audience)
        changes = changes_of_span(span.stretch, self.ledger.queries.changes_to_handle(span.id))
        (ref,) = area.write_slices(cut(changes, Branches(max=1)))
        self.ref = BranchRef(ref.number, ref.label, str(self.root / "area"))
        load_branch(self.resolved, self.ref, Desk(self.ledger, self.clock))
        check_branch(self.resolved, self.ref, self.ledger, self.now)
        self.clear(clear_number)

    def clear(self, clear_number: int) -> None:
        """Run the tasks of the actions, as when they were cleared."""
        for action in self.resolved.definition.actions:
            deliver(
                self.resolved,
                action,
                [self.ref],
                self.ledger,
                owner=f"task {clear_number} {action.id}",
                clear_number=clear_number,
                clock=self.clock,
            )

    def release(self, now: datetime) -> list[str]:
        """Let segue_release come by; returns what is wrong."""
        self.now = now
        self.ledger.deliveries.free_expired(now)
        self.ledger.deliveries.drop_withdrawn(now)
        problems: list[str] = []
        for workflow, action in self.ledger.deliveries.actions_with_work(now):
            owner = f"release {now} {action}"
            if action not in self.resolved.action_ids:
                await_definition(workflow, action, self.ledger, now)
                continue
            found = resume(self.resolved, action, self.ledger, owner=owner, clock=self.clock)
            problems += found.problems
        return problems

    def outcome(self, contact: str, action: str = "mail") -> str:
        (row,) = (
            row
            for row in self.ledger.queries.list_deliveries(contact_id=contact)
            if row.action == action
        )
        return f"{row.outcome}:{row.reason}".rstrip(":")

    def due(self, contact: str) -> datetime | None:
        (row,) = (
            row
            for row in self.ledger.queries.list_deliveries(contact_id=contact)
            if row.action == "mail"
        )
        return row.held_until

    @property
    def mails(self) -> list[str]:
        return sorted(message["text"] for _, message in self.channels["mail"].outbox.received)


def test_nothing_is_sent_before_the_wait_is_over_and_then_with_the_newest_details(tmp_path, ledger):
    """It begins when the ticket was delivered, at 06:00."""
    world = World(tmp_path, ledger)
    world.run()
    assert world.outcome("a", "ticket") == "delivered"
    assert (world.outcome("a"), world.due("a")) == ("waiting:wait", on_day(26, 6))
    world.snapshot("2026-11-24", "a,gold,paid,,true\nb,gold,free,,false\n")
    world.release(on_day(26, 5, 59))
    assert world.mails == []
    world.release(on_day(26, 6))
    assert world.mails == ["mail a paid"]
    assert world.outcome("b") == "skipped:opted_out"
    world.release(on_day(27))
    assert world.mails == ["mail a paid"]


def test_a_wait_without_an_action_before_it_begins_with_the_change(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.define(edit=lambda text: text.replace("after: ticket, ", ""))
    world.run()
    assert world.due("a") == AS_OF + timedelta(days=3)


def test_a_late_run_sends_by_segue_release_too(tmp_path, ledger):
    """The wait was over before the run: it is due at once, and judged as all others are."""
    world = World(tmp_path, ledger)
    world.define(edit=lambda text: text.replace("after: ticket, ", ""))
    world.now = on_day(30)
    world.run()
    assert (world.mails, world.outcome("a")) == ([], "waiting:wait")
    world.release(on_day(30))
    assert world.mails == ["mail a free", "mail b free"]


def test_an_action_after_one_that_failed_waits_from_when_that_is_delivered(tmp_path, ledger):
    def refuse(key, message):
        raise ContactFailure("refused")

    world = World(tmp_path, ledger)
    world.channels["ticket"].answering(refuse)
    world.run()
    assert world.outcome("a") == "skipped:after: ticket failed"
    world.channels["ticket"].answering(lambda key, message: None)
    world.now = on_day(24, 12)
    world.clear(1)
    assert (world.outcome("a", "ticket"), world.due("a")) == ("delivered", on_day(27, 12))


def test_who_leaves_meanwhile_gets_nothing_and_that_is_final(tmp_path, ledger):
    world = World(tmp_path, ledger, leave="{segment: gold, is: not_member}")
    world.run()
    world.snapshot("2026-11-24", "a,silver,free,,true\nb,gold,free,,true\n")
    world.release(on_day(26, 6))
    assert (world.outcome("a"), world.outcome("b")) == ("skipped:left", "delivered")
    world.snapshot("2026-11-26", "a,gold,free,,true\nb,gold,free,,true\n")
    world.now = on_day(27)
    world.clear(1)
    world.release(on_day(28))
    assert (world.outcome("a"), world.mails) == ("skipped:left", ["mail b free"])


def test_who_has_left_already_gets_nothing_in_the_run_either(tmp_path, ledger):
    world = World(tmp_path, ledger, leave="{field: plan, equals: free}")
    world.run()
    assert world.outcome("a", "ticket") == "skipped:left"
    assert world.outcome("a").startswith("skipped:after: ticket")


def test_of_who_is_gone_nothing_is_sent_to_them_and_others_hear_what_was(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    world.snapshot("2026-11-24", "b,gold,free,,true\n")
    world.release(on_day(26, 6))
    assert world.outcome("a") == "skipped:deleted"
    assert world.mails == ["mail b free"]


def test_a_newest_snapshot_that_cannot_be_read_lets_everybody_wait_and_says_so(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    world.snapshot("2026-11-24", "")
    (problem,) = world.release(on_day(26, 6))
    assert "contacts is empty" in problem
    assert world.outcome("a").startswith("waiting:waits: ")
    world.snapshot("2026-11-25", "a,gold,free,,true\nb,gold,free,,true\n")
    world.release(on_day(26, 7, 1))
    assert len(world.mails) == 2


@pytest.mark.parametrize(
    ("edit", "then"),
    [
        ("1d", "waiting:wait"),  # shorter: it keeps its date
        ("9d", "waiting:wait"),  # longer: its date says when that is looked at
        ("3d", "waiting:wait"),
    ],
)
def test_an_edited_wait_moves_nothing_before_it_is_due(tmp_path, ledger, edit, then):
    world = World(tmp_path, ledger)
    world.run()
    world.define(edit)
    world.release(on_day(25))
    assert (world.outcome("a"), world.due("a")) == (then, on_day(26, 6))


def test_a_longer_wait_waits_on(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    world.define("5d")
    world.release(on_day(26, 6))
    assert (world.outcome("a"), world.due("a")) == ("waiting:wait", on_day(28, 6))
    world.release(on_day(28, 6))
    assert len(world.mails) == 2


def test_without_its_wait_it_goes_out_when_it_is_due(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    world.define(edit=lambda text: text.replace("wait: 3d, ", ""))
    world.clear(1)
    assert world.mails == []
    world.release(on_day(26, 6))
    assert len(world.mails) == 2


def test_of_an_action_that_was_removed_all_wait_until_it_is_back_or_dropped(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    removed = lambda text: text.replace("id: mail", "id: letter")  # noqa: E731
    world.channels["letter"] = world.channels["mail"]
    world.define(edit=removed)
    world.release(on_day(26, 6))
    assert world.outcome("a") == "waiting:wait"
    world.define()
    world.release(on_day(26, 7))
    assert len(world.mails) == 2


@pytest.mark.parametrize("day", [24, 27])
def test_a_cleared_run_sends_nothing_early_and_nothing_twice(tmp_path, ledger, day):
    world = World(tmp_path, ledger)
    world.run()
    world.now = on_day(day)
    world.run(clear_number=1)
    assert (world.mails, world.due("a")) == ([], on_day(26, 6))
    world.release(on_day(27))
    world.run(clear_number=2)
    world.release(on_day(30))
    assert world.mails == ["mail a free", "mail b free"]


def test_who_is_suppressed_in_the_run_and_allowed_again_is_written_to(tmp_path, ledger):
    world = World(tmp_path, ledger)
    ledger.people.suppress(["a"], "ann", "asked", world.now)
    world.run()
    ledger.people.unsuppress(["a"])
    ledger.people.suppress(["b"], "ann", "asked", world.now)
    world.release(on_day(26, 6))
    assert world.mails == ["mail a free"]
    assert world.outcome("b") == "skipped:suppression_list"


def test_what_waits_can_be_given_up(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    selection = Selection(workflow="renew", contact="a")
    ledger.people.file_request(RequestKind.DROP, selection, "ann@host", world.now)
    for request in ledger.people.open_requests():
        assert ledger.people.carry_out(request, world.now) == "1 dropped"
    world.release(on_day(26, 6))
    assert (world.outcome("a"), world.mails) == ("suppressed:dropped", ["mail b free"])


def test_a_quarantine_ends_what_waits(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    ledger.people.quarantine(
        "customers", "2026-11-22", reason="wrong file", by="ann", now=on_day(24)
    )
    world.release(on_day(26, 6))
    assert world.mails == []
    assert Counter(world.outcome(each) for each in "ab") == {"suppressed:rejected": 2}


def test_a_worker_that_died_before_the_call_leaves_it_due(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.run()
    keys = [row.key for row in ledger.queries.list_deliveries(contact_id="a")]
    now = on_day(26, 6)
    ledger.deliveries.claim(keys, owner="dead", now=now, lease_until=now, clear_number=None)
    assert world.outcome("a") == "claimed"
    world.release(now + timedelta(minutes=5))
    assert world.mails == ["mail a free", "mail b free"]


def test_the_contacts_own_zone_says_when_it_is_nine(tmp_path, ledger):
    world = World(tmp_path, ledger, '{for: 1d, at: "09:00", timezone_field: tz}')
    world.snapshot("2026-11-22", "a,gold,free,Asia/Tokyo,true\nb,gold,free,America/New_York,true\n")
    world.run()
    assert (world.due("a"), world.due("b")) == (on_day(25), on_day(24, 14))


@pytest.mark.parametrize("reason", ["left", "expired"])
def test_what_was_skipped_for_good_is_accounted_for_when_a_quarantine_ends(
    tmp_path, ledger, reason
):
    """The span is recorded anew, and they are in it, as all else; they stay as they are."""
    world = World(tmp_path, ledger, leave="{field: plan, equals: free}")
    world.run()
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(reason=reason, state=State.SKIPPED))
    people = {"by": "ann", "now": world.now}
    ledger.people.quarantine("customers", "2026-11-22", reason="wrong file", **people)
    assert world.outcome("a", "ticket") == f"skipped:{reason}"
    ledger.people.end_quarantine("customers", "2026-11-22")
    wishes = Wishes(previous="2026-11-21", current="2026-11-22", deliver=True)
    context = RunContext(world.resolved, Run("renew", "run-2"), ledger, world.now, wishes)
    detect(context, MembershipStore(str(tmp_path / "state")))
    assert report_run(world.resolved, ledger.runs.find_run("renew", "run-2"), ledger).problems == []
    assert world.outcome("a", "ticket") == f"skipped:{reason}"


def test_a_run_whose_workflow_says_who_leaves_since_has_to_be_cleared(tmp_path, ledger):
    """Its details were loaded without what tells that."""
    world = World(tmp_path, ledger)
    world.run()
    world.define(leave="{field: tier, equals: silver}")
    with pytest.raises(AudienceEdited, match="leave_when or the directory were edited"):
        world.clear(1)
    world.run(clear_number=1)
    assert world.outcome("a", "ticket") == "delivered"
