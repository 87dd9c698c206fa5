"""What segue_release takes up: held and due, asked for again, or in doubt."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from segue.clock import Clock
from segue.contacts.change import changes_of_span
from segue.contacts.live_look_up import Desk
from segue.delivery.resumption import resume
from segue.delivery.steps import check_branch, deliver, load_branch
from segue.errors import ContactFailure, OutcomeUnknown, TransientFailure
from segue.ledger import Ledger
from segue.ledger.facts import Finished, Run, Wishes
from segue.ledger.people.release_requests import RequestKind, Selection
from segue.ledger.schema import changes, deliveries
from segue.ledger.states import State
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef, cut
from segue.runs.context import RunContext
from segue.runs.span_detection import detect
from segue.segments.membership.store import MembershipStore
from segue.testing import AskableChannel, RecordingChannel
from segue.workflows.catalog import Catalog
from segue.workflows.definition import Branches
from segue.workflows.resolved import ResolvedWorkflow
from tests.unit.builders import advance

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
DEFINITIONS = {
    "directories/customers": (
        "directory: customers\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n"
    ),
    "segments/gold": "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n",
    "workflows/welcome": """
workflow: welcome
segment: gold
changes: [added, removed]
start: 2026-11-01
conditions: {field: phone, is_set: true}
policies: POLICIES
actions:
  - {id: mail, slack_message: {channel: c, text: x}}
""",
}
DAYS = {
    "2026-11-21": "a,1,silver\nb,2,silver\nd,4,gold\n",
    "2026-11-22": "a,1,gold\nb,2,gold\n",
}


class World:
    """One workflow whose run of the 22nd was released and tried."""

    def __init__(self, root: Path, ledger: Ledger, policies: str = "{}", **channel) -> None:
        self.root, self.ledger = root, ledger
        for name, text in DEFINITIONS.items():
            path = root / "include" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("POLICIES", policies))
        for key, rows in DAYS.items():
            self.snapshot(key, rows)
        self.mail = RecordingChannel.model_validate(
            {"text": "{{ contact.contact_id }} {{ contact.phone }}", **channel}
        )
        found = Catalog(root / "include").resolve("welcome")
        self.resolved = ResolvedWorkflow(
            found.definition, found.segment, found.directory, {"mail": self.mail}
        )

    def snapshot(self, key: str, rows: str) -> None:
        folder = self.root / "include" / "snapshots" / key
        folder.mkdir(parents=True)
        (folder / "contacts.csv").write_text("contact_id,phone,tier\n" + rows)
        (folder / "_SUCCESS").touch()

    def run(self) -> None:
        """Detect, release, and deliver as the tasks of a run do."""
        store = MembershipStore(str(self.root / "state"))
        wishes = Wishes(previous="2026-11-21", current="2026-11-22", deliver=True)
        run = Run("welcome", "run-1")
        found = detect(RunContext(self.resolved, run, self.ledger, NOW, wishes), store)
        (span,) = found.spans
        self.ledger.runs.release([span.id], NOW)
        area = RunArea(str(self.root / "area"))
        area.write_audience(self.resolved.audience)
        changes = changes_of_span(span.stretch, self.ledger.queries.changes_to_handle(span.id))
        (ref,) = area.write_slices(cut(changes, Branches(max=1)))
        ref = BranchRef(ref.number, ref.label, str(self.root / "area"))
        load_branch(self.resolved, ref, Desk(self.ledger, Clock(lambda: NOW)))
        check_branch(self.resolved, ref, self.ledger, NOW)
        action = self.resolved.definition.action("mail")
        deliver(self.resolved, action, [ref], self.ledger, owner="task", clear_number=0)

    def resume(self):
        return resume(self.resolved, "mail", self.ledger, owner="release")

    @property
    def outcomes(self) -> dict[str, str]:
        return {
            row.contact_id: f"{row.outcome}:{row.reason}".rstrip(":")
            for row in self.ledger.queries.list_deliveries()
        }

    @property
    def received(self) -> list[str]:
        return sorted(message["text"] for _, message in self.mail.outbox.received)


def far_quiet() -> str:
    """Quiet hours that began an hour ago and end in an hour."""
    now = datetime.now(UTC)
    begin, end = now - timedelta(hours=1), now + timedelta(hours=1)
    return f'{{quiet_hours: {{from: "{begin:%H:%M}", to: "{end:%H:%M}"}}}}'


def make_due(ledger: Ledger) -> None:
    """Let the quiet hours of all held deliveries be over."""
    with ledger.engine.begin() as connection:
        connection.execute(
            update(deliveries)
            .where(deliveries.c.state == State.HELD)
            .values(held_until=datetime.now(UTC) - timedelta(minutes=1))
        )


def test_what_was_held_is_sent_when_it_is_due_with_the_details_of_its_day(tmp_path, ledger):
    world = World(tmp_path, ledger, far_quiet(), to_contact=True)
    world.run()
    assert set(world.outcomes.values()) == {"held:quiet_hours", "skipped:deleted"}
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == []
    make_due(ledger)
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == [("welcome", "mail")]
    policies = {"quiet_hours": None}  # the hour has passed
    ended = world.resolved.definition.model_copy(
        update={"policies": world.resolved.definition.policies.model_copy(update=policies)}
    )
    world.resolved = dataclasses.replace(world.resolved, definition=ended)
    world.resume()
    assert world.received == ["a 1", "b 2"]
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == []


def test_a_retry_that_was_asked_for_sends_what_failed_and_nothing_else(tmp_path, ledger):
    world = World(tmp_path, ledger)

    def refuse_a(key, message):
        if message["text"].startswith("a"):
            raise ContactFailure("refused")

    world.mail.answering(refuse_a)
    world.run()
    assert world.outcomes["a"] == "failed:refused"
    world.mail.answering(lambda key, message: None)
    world.resume()
    assert world.received == ["b 2", "d 4"]
    ledger.people.file_request(RequestKind.RETRY, Selection(workflow="welcome"), "ann@host", NOW)
    for request in ledger.people.open_requests():
        ledger.people.carry_out(request, datetime.now(UTC))
    world.resume()
    world.resume()
    assert world.received == ["a 1", "b 2", "d 4"]


def test_a_deleted_contacts_details_are_those_of_the_snapshot_before(tmp_path, ledger):
    """The removed contact d is not in the 22nd's snapshot any more."""
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    world.mail.answering(lambda key, message: None)
    retry(ledger)
    world.resume()
    assert "d 4" in world.received


def test_conditions_are_those_of_the_workflow_as_it_is_now(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    world.mail.answering(lambda key, message: None)
    retry(ledger)
    path = tmp_path / "include" / "workflows" / "welcome.yaml"
    path.write_text(path.read_text().replace("is_set: true", 'equals: "2"'))
    found = Catalog(tmp_path / "include").resolve("welcome")
    world.resolved = ResolvedWorkflow(
        found.definition, found.segment, found.directory, {"mail": world.mail}
    )
    world.resume()
    assert world.received == ["b 2"]
    assert world.outcomes["a"] == "skipped:conditions"


def test_a_snapshot_that_is_gone_leaves_its_deliveries_held_and_says_so(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    retry(ledger)
    (tmp_path / "include" / "snapshots" / "2026-11-22" / "_SUCCESS").unlink()
    found = world.resume()
    assert any("2026-11-22" in problem for problem in found.problems)
    assert world.outcomes["a"].startswith("held")


def test_a_call_in_doubt_is_settled_without_its_run(tmp_path, ledger):
    """The channel cannot be asked, so nobody can tell."""
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    key = next(row.key for row in ledger.queries.list_deliveries(contact_id="a"))
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    mine = {"owner": "dead", "now": long_ago, "lease_until": long_ago}
    ledger.deliveries.claim([key], clear_number=1, **mine)
    advance(ledger, [], [key], **mine)
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == [("welcome", "mail")]
    world.resume()
    assert world.outcomes["a"] == "uncertain:the worker ended during the call"


RECHECK = "{recheck: true, max_age: null}"


@pytest.mark.parametrize(
    ("newest", "outcomes"),
    [
        (
            "a,1,gold\nb,2,silver\n",
            {"a": "delivered", "b": "skipped:recheck: not a member any more", "d": "delivered"},
        ),
        (
            "a,,gold\nd,4,gold\n",
            {
                "a": "skipped:recheck: the conditions do not hold any more",
                "b": "skipped:recheck: not in the directory any more",
                "d": "skipped:recheck: a member again",
            },
        ),
    ],
)
def test_recheck_skips_what_does_not_stand_on_the_newest_snapshot(
    tmp_path, ledger, newest, outcomes
):
    world = World(tmp_path, ledger, RECHECK)
    world.snapshot("2026-11-23", newest)
    world.run()
    assert world.outcomes == outcomes


def refuse(key, message):
    raise ContactFailure("refused")


def retry(ledger: Ledger) -> None:
    """Ask for a retry of all that failed, and carry it out."""
    ledger.people.file_request(RequestKind.RETRY, Selection(workflow="welcome"), "ann@host", NOW)
    for request in ledger.people.open_requests():
        ledger.people.carry_out(request, datetime.now(UTC))


def test_an_action_after_a_held_one_is_taken_up_once_that_is_delivered(tmp_path, ledger):
    """mail was held, so note was skipped; mail is delivered in the morning, and note follows."""
    world = World(tmp_path, ledger)
    path = tmp_path / "include" / "workflows" / "welcome.yaml"
    path.write_text(
        path.read_text() + "  - {id: note, after: mail, slack_message: {channel: c, text: x}}\n"
    )
    found = Catalog(tmp_path / "include").resolve("welcome")
    note = RecordingChannel.model_validate({"text": "note {{ contact.contact_id }}"})
    world.resolved = ResolvedWorkflow(
        found.definition, found.segment, found.directory, {"mail": world.mail, "note": note}
    )
    world.mail.answering(refuse)
    world.run()
    area = RunArea(str(tmp_path / "area"))
    ref = BranchRef(0, "", str(area.root))
    action = found.definition.action("note")
    deliver(world.resolved, action, [ref], ledger, owner="task", clear_number=0)
    reasons = {row.reason for row in ledger.queries.list_deliveries() if row.action == "note"}
    assert reasons == {"after: mail failed"}
    world.mail.answering(lambda key, message: None)
    retry(ledger)
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == [("welcome", "mail")]
    world.resume()
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == [("welcome", "note")]
    resume(world.resolved, "note", ledger, owner="release")
    assert len(note.outbox.keys) == 3
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == []


def test_a_retry_that_fails_again_does_not_make_airflows_own_retry_send_it(tmp_path, ledger):
    """It failed after the run was cleared twice; a request is one call, not two."""
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    key = next(row.key for row in ledger.queries.list_deliveries(contact_id="a"))
    mine = {"owner": "task", "now": NOW, "lease_until": NOW}
    ledger.deliveries.claim([key], clear_number=2, **mine)
    advance(ledger, [Finished(key, State.FAILED, "refused")], [], clear_number=2, **mine)
    retry(ledger)
    world.resume()
    assert world.outcomes["a"] == "failed:refused"
    assert ledger.deliveries.claim([key], clear_number=2, **mine) == []
    assert len(ledger.deliveries.claim([key], clear_number=3, **mine)) == 1


def test_what_cannot_be_read_waits_an_hour_and_does_not_stand_in_the_way(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    retry(ledger)
    (tmp_path / "include" / "snapshots" / "2026-11-22" / "_SUCCESS").unlink()
    world.mail.answering(lambda key, message: None)
    world.resume()
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == []
    assert ledger.deliveries.actions_with_work(datetime.now(UTC) + timedelta(hours=2)) == [
        ("welcome", "mail")
    ]
    assert world.outcomes["a"].startswith("held:waits: ")


def test_what_is_left_of_an_action_that_was_removed_is_dropped(tmp_path, ledger):
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    retry(ledger)
    number = ledger.people.file_request(
        RequestKind.DROP, Selection("welcome", "mail"), "ann@host", NOW
    )
    request = ledger.people.find_request(number)
    assert ledger.people.carry_out(request, datetime.now(UTC)) == "3 dropped"
    assert set(world.outcomes.values()) == {"suppressed:dropped"}
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == []


def test_what_was_held_too_long_expires_although_nothing_of_it_can_be_read(tmp_path, ledger):
    """Its snapshot was deleted at its source: it is told and over, and its span may be pruned."""
    world = World(tmp_path, ledger, far_quiet(), to_contact=True)
    world.run()
    long_ago = datetime.now(UTC) - timedelta(days=3)
    held = {"held_until": long_ago, "held_since": long_ago}
    with ledger.engine.begin() as connection:
        waiting = deliveries.c.state == State.HELD
        connection.execute(update(deliveries).where(waiting).values(held))
    for key in DAYS:
        (tmp_path / "include" / "snapshots" / key / "_SUCCESS").unlink()
    assert world.resume().problems == []
    assert world.outcomes["a"] == world.outcomes["b"] == "skipped:expired"
    assert [
        (each.outcome, each.count) for each in ledger.deliveries.untold("welcome", "mail").outcomes
    ] == [("expired", 2)]
    assert ledger.retention.prune(datetime.now(UTC)).spans == 1


@pytest.mark.parametrize(("policy", "received"), [("resend", 2), ("hold", 1)])
def test_what_becomes_uncertain_after_its_run_is_sent_once_more_where_it_says_resend(
    tmp_path, ledger, policy, received
):
    """And no more than once; then it waits for a person, who is told."""
    world = World(tmp_path, ledger, f"{{on_uncertain: {policy}}}")
    world.mail.answering(refuse)
    world.run()
    world.mail.answering(lambda key, message: None).losing(lose)
    ledger.people.file_request(RequestKind.RETRY, Selection(contact="a"), "ann@host", NOW)
    for request in ledger.people.open_requests():
        ledger.people.carry_out(request, datetime.now(UTC))
    for _ in range(4):
        world.resume()
    assert world.received == ["a 1"] * received
    assert world.outcomes["a"].startswith("uncertain")
    assert [each.outcome for each in ledger.deliveries.untold("welcome", "mail").outcomes] == [
        "uncertain"
    ]


def test_a_policy_that_says_hold_by_now_sends_nothing_once_more(tmp_path, ledger):
    world = World(tmp_path, ledger, "{on_uncertain: resend}")
    world.mail.losing(lose)
    world.run()
    sent = len(world.received)
    held = world.resolved.definition.policies.model_copy(update={"on_uncertain": "hold"})
    edited = world.resolved.definition.model_copy(update={"policies": held})
    world.resolved = dataclasses.replace(world.resolved, definition=edited)
    world.resume()
    assert len(world.received) == sent
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == [
        ("welcome", "mail")
    ]  # to be told
    ledger.deliveries.mark_told(ledger.deliveries.untold("welcome", "mail"))
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == []


@pytest.mark.parametrize("why", ["conditions", "no change any more"])
def test_what_is_to_be_sent_once_more_and_may_not_is_left_to_a_person(tmp_path, ledger, why):
    """The conditions do not hold by now, or its change was taken back: it is told, and over."""
    world = World(tmp_path, ledger, "{on_uncertain: resend}")
    world.mail.losing(lose)
    world.run()
    sent = len(world.received)
    ledger.deliveries.mark_told(ledger.deliveries.untold("welcome", "mail"))
    if why == "conditions":
        path = tmp_path / "include" / "workflows" / "welcome.yaml"
        path.write_text(path.read_text().replace("is_set: true", 'equals: "9"'))
        found = Catalog(tmp_path / "include").resolve("welcome")
        world.resolved = dataclasses.replace(world.resolved, definition=found.definition)
    else:
        with ledger.engine.begin() as connection:
            connection.execute(delete(changes))
    world.resume()
    assert len(world.received) == sent
    assert {text.split(":")[0] for text in world.outcomes.values()} == {"uncertain"}
    assert [late.outcome for late in ledger.deliveries.untold("welcome", "mail").outcomes] == [
        "uncertain"
    ]
    ledger.deliveries.mark_told(ledger.deliveries.untold("welcome", "mail"))
    assert ledger.deliveries.actions_with_work(datetime.now(UTC)) == []


def lose(key, message):
    raise OutcomeUnknown("reset")


def test_all_that_is_due_goes_out_at_the_vendors_rate_portion_by_portion(tmp_path, ledger):
    """Not a fixed number in each run of segue_release; each delivery is tried once in a run."""
    world = World(tmp_path, ledger)
    world.mail.answering(refuse)
    world.run()
    retry(ledger)
    tries = []

    def busy_for_a(key, message):
        tries.append(message["text"])
        if message["text"].startswith("a"):
            raise TransientFailure("503")

    world.mail.answering(busy_for_a)
    resume(world.resolved, "mail", ledger, owner="release", at_once=1)
    assert world.received == ["b 2", "d 4"]
    assert tries.count("a 1") == 3  # of one pass


def test_a_retry_in_quiet_hours_waits_anew(tmp_path, ledger):
    """Planned long ago: its expiry counts from when it was held, not from its change."""
    world = World(tmp_path, ledger, far_quiet(), to_contact=True)
    world.run()
    long_ago = datetime.now(UTC) - timedelta(days=3)
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(planned_at=long_ago, held_since=long_ago))
        connection.execute(update(deliveries).values(state=State.FAILED))
    retry(ledger)
    world.resume()
    assert world.outcomes["a"] == "held:quiet_hours"


def test_a_follower_that_meets_a_transient_failure_stays_due(tmp_path, ledger):
    """Its run ended when it was skipped: as ``released`` nobody would take it up any more."""
    world = World(tmp_path, ledger)
    world.mail.answering(unavailable)
    world.run()
    with ledger.engine.begin() as connection:
        followed = {"state": State.SKIPPED, "waits_for": "first"}
        connection.execute(update(deliveries).values(followed))
        row = connection.execute(select(deliveries).limit(1)).mappings().one()
        first = {**row, "key": "f" * 64, "action": "first", "state": State.DELIVERED}
        connection.execute(deliveries.insert().values(first))
    world.resume()
    states = {item.outcome for item in ledger.queries.list_deliveries(contact_id=row["contact_id"])}
    assert states == {"delivered", "held"}
    world.mail.answering(lambda key, message: None)
    world.resume()
    assert len(world.received) == 1


def unavailable(key, message):
    raise TransientFailure("503")


DIGEST = (
    "{% for contact in digest.contacts %}{{ contact.contact_id }} {% endfor %}{{ digest.link }}"
)


def as_digest(world: World) -> World:
    """Let the world's action be one message per run."""
    path = world.root / "include" / "workflows" / "welcome.yaml"
    text = path.read_text().replace("{id: mail, slack", "{id: mail, digest: true, slack")
    path.write_text(text)
    found = Catalog(world.root / "include").resolve("welcome")
    world.resolved = dataclasses.replace(world.resolved, definition=found.definition)
    return world


def test_what_is_due_of_a_digest_is_another_digest(tmp_path, ledger):
    """Of all snapshots at once: d was deleted, and is described by the one before."""
    world = as_digest(World(tmp_path, ledger, text=DIGEST))
    world.mail.answering(refuse)
    world.run()
    assert set(world.outcomes.values()) == {"failed:refused"}
    world.mail.answering(lambda key, message: None)
    retry(ledger)
    for _ in range(2):
        resume(world.resolved, "mail", ledger, owner="release", at_once=1, link="https://dag")
    assert world.received == ["a b d https://dag"]
    assert set(world.outcomes.values()) == {"delivered"}


def test_where_a_snapshot_is_gone_the_digest_is_about_the_others(tmp_path, ledger):
    world = as_digest(World(tmp_path, ledger, text=DIGEST))
    world.mail.answering(refuse)
    world.run()
    world.mail.answering(lambda key, message: None)
    retry(ledger)
    (tmp_path / "include" / "snapshots" / "2026-11-22" / "_SUCCESS").unlink()
    found = resume(world.resolved, "mail", ledger, owner="release", link="")
    assert any("2026-11-22" in problem for problem in found.problems)
    assert world.outcomes["a"].startswith("held")


def test_a_digest_in_doubt_is_settled_as_one(tmp_path, ledger):
    """Its answers were lost, and no run of the workflow comes back for it."""
    world = as_digest(World(tmp_path, ledger, text=DIGEST))
    through = AskableChannel.model_validate({"text": DIGEST})
    world.resolved = dataclasses.replace(world.resolved, channels={"mail": through})

    def lose(key, message):
        raise OutcomeUnknown("reset")

    def busy(question):
        raise TransientFailure("503")

    through.losing(lose).asked(busy)
    world.run()
    assert {each.split(":")[0] for each in world.outcomes.values()} == {"sending"}
    with ledger.engine.begin() as connection:
        over = datetime.now(UTC) - timedelta(hours=1)
        connection.execute(update(deliveries).values(lease_until=over))
    through.asked(lambda question: None)
    resume(world.resolved, "mail", ledger, owner="release", link="")
    assert set(world.outcomes.values()) == {"delivered"}
    assert len(through.outbox.received) == 1
