"""A message to a tester: what it is made of, whom it reaches, and that it is sent at most once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from segue.clock import Clock
from segue.contracts.channel import Limit
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DefinitionError,
    LedgerError,
    OutcomeUnknown,
    SettingsError,
    TransientFailure,
)
from segue.ledger import Ledger
from segue.ledger.people.tester_requests import Wanted
from segue.testing import RecordingChannel
from segue.upkeep.tester_messages import find_action, require_address, require_kind, send_test
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow

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
policies: {holdout: 99%}
actions:
  - {id: ticket, slack_message: {channel: c, text: x}}
  - id: mail
    after: ticket
    if: {field: tier, equals: gold}
    slack_message: {channel: c, text: x}
tests:
  - name: a gold customer
    as_of: 2026-11-23
    contact: {phone: "1"}
    change: added
    results: {ticket: {number: 4711}}
    expect: {mail: {skipped: holdout}}
""",
}
TEXT = "{{ contact.email }} {{ change }} {{ results.ticket.number }} {{ results.ticket.url }}"


class World:
    """A workflow whose vendor is in memory; a is gold, b has no phone, c is not gold."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root, self.ledger = root, ledger
        for name, text in DEFINITIONS.items():
            path = root / "include" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.snapshot("2026-11-21", "a,old@example.com,1,gold\n")
        self.snapshot(
            "2026-11-22",
            "a,Ann@example.com,1,gold\nb,b@example.com,,gold\nc,c@example.com,3,silver\n",
        )
        self.mail = RecordingChannel.model_validate({"text": TEXT})
        self.ticket = RecordingChannel.model_validate({"text": "{{ contact.contact_id }}"})
        self.found = Catalog(root / "include").resolve("welcome")

    def snapshot(self, key: str, rows: str) -> None:
        folder = self.root / "include" / "snapshots" / key
        folder.mkdir(parents=True)
        (folder / "contacts.csv").write_text("contact_id,email,phone,tier\n" + rows)
        (folder / "_SUCCESS").touch()

    def resolve(self, name: str) -> ResolvedWorkflow:
        assert name == "welcome"
        channels = {"ticket": self.ticket, "mail": self.mail}
        found = self.found
        return ResolvedWorkflow(found.definition, found.segment, found.directory, channels)

    def ask(self, contact: str = "a", to: str = "me@example.com", **more) -> int:
        wanted = {"workflow": "welcome", "action": "mail", "change": "added", **more}
        when = wanted.pop("when", datetime.now(UTC))
        return self.ledger.people.file_test(
            Wanted(contact=contact, to=to, **wanted), "ann@host", when
        )

    def carry_out(self, owner: str = "w1", **values) -> None:
        for request in self.ledger.people.open_trials():
            send_test(request, self.resolve, self.ledger, owner=owner, **values)

    def outcome(self, number: int) -> tuple[str, str]:
        found = self.ledger.people.find_request(number)
        return found.result, found.outcome

    @property
    def received(self) -> list:
        return self.mail.outbox.received


@pytest.fixture
def ledger(tmp_path):
    """On SQLite; what the databases could do differently is in ``test_trying``."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "test")
    yield ledger
    ledger.engine.dispose()


@pytest.fixture
def world(tmp_path, ledger):
    return World(tmp_path, ledger)


def sent(world: World, contact: str = "a", **more) -> tuple[str, str]:
    number = world.ask(contact, **more)
    world.carry_out()
    return world.outcome(number)


def test_the_message_is_made_of_the_contacts_details_and_reaches_the_tester(world):
    result, words = sent(world)
    assert (result, words.partition(";")[0]) == ("sent", "sent to me@example.com as 1")
    assert words.endswith("; a run would not have sent it: skipped (after: ticket skipped)")
    [(key, message)] = world.received
    assert message == {
        "to_contact": False,
        "text": "Ann@example.com added 4711 ‹results.ticket.url›",
        "to": "me@example.com",
    }
    assert len(key) == 64
    assert world.ticket.outbox.received == []  # the action before it is not carried out


def test_it_is_no_delivery(world):
    sent(world)
    assert world.ledger.queries.list_deliveries() == []
    assert not world.ledger.queries.workflow_names()


def test_every_test_has_a_key_of_its_own(world):
    sent(world)
    sent(world)
    assert len(set(world.mail.outbox.keys)) == 2


@pytest.mark.parametrize(
    ("contact", "action", "remark"),
    [
        ("b", "ticket", "; a run would not have sent it: skipped (conditions)"),
        ("b", "mail", "; a run would not have sent it: skipped (conditions)"),
        ("a", "ticket", "; a run would not have sent it: skipped (holdout)"),
    ],
)
def test_what_would_have_kept_it_back_is_told_and_does_not_stop_it(world, contact, action, remark):
    result, words = sent(world, contact, action=action)
    assert result == "sent"
    assert words.endswith(remark)


def test_an_if_that_does_not_hold_is_told_too(world):
    lone = world.found.definition
    action = lone.action("mail").model_copy(update={"after": ()})
    policies = lone.policies.model_copy(update={"holdout": None})
    edited = lone.model_copy(update={"actions": (action,), "policies": policies})
    world.mail = RecordingChannel.model_validate({"text": "{{ contact.tier }}"})
    world.found = ResolvedWorkflow(edited, world.found.segment, world.found.directory, {})
    assert sent(world, "c")[1].endswith("; a run would not have sent it: skipped (if)")
    assert sent(world, "a")[1] == "sent to me@example.com as 2"


def test_another_snapshot_and_another_change(world):
    assert sent(world, snapshot="2026-11-21", change="removed")[0] == "sent"
    assert world.received[0][1]["text"].startswith("old@example.com removed")


def test_a_quarantined_snapshot_is_not_the_newest(world):
    now = datetime.now(UTC)
    world.ledger.people.quarantine("customers", "2026-11-22", reason="", by="ann", now=now)
    sent(world)
    assert world.received[0][1]["text"].startswith("old@example.com")


@pytest.mark.parametrize(
    ("contact", "more", "words"),
    [
        ("A", {}, "there is no contact 'A' in snapshot 2026-11-22 of customers"),
        ("a", {"snapshot": "2026-11-20"}, "has no snapshot 2026-11-20"),
        ("a", {"action": "gone"}, "there is no action 'gone'; allowed: ticket, mail"),
        ("a", {"to": "ann@EXAMPLE.com"}, "the address is the contact's own"),
        ("a", {"to": "a@example.com\nBcc: b@example.com"}, "allowed: one address"),
    ],
)
def test_what_cannot_be_sent_is_an_outcome(world, contact, more, words):
    result, outcome = sent(world, contact, **more)
    assert result == "not_sent"
    assert words in outcome
    assert world.received == []


def test_a_message_that_cannot_be_made_is_an_outcome_without_contact_text(world):
    world.mail = RecordingChannel.model_validate({"text": "{{ contact.phone }}"})
    number = world.ask("b")
    world.carry_out()
    assert world.outcome(number) == (
        "not_sent",
        "not sent: the message cannot be made: text: missing field: contact.phone",
    )


def test_a_definition_that_is_wrong_is_an_outcome(world):
    number = world.ask()

    def resolve(name):
        raise DefinitionError([])

    [request] = world.ledger.people.open_trials()
    send_test(request, resolve, world.ledger, owner="w1")
    assert world.outcome(number)[0] == "not_sent"


def test_a_suppressed_contact_is_refused(world):
    world.ledger.people.suppress(["a"], "ann", "asked", datetime.now(UTC))
    assert sent(world) == (
        "not_sent",
        "not sent: the contact is suppressed: nothing is made of its details",
    )
    assert world.received == []


def test_a_forgotten_contact_is_refused(world):
    number = world.ask()
    ledger = Ledger(world.ledger.engine, "test", "a long secret text")
    ledger.retention.forget("a", "ann", datetime.now(UTC))
    world.ledger = ledger
    world.carry_out()
    assert world.outcome(number)[0] == "not_sent"
    assert sent(world)[1].startswith("not sent: the contact is forgotten")
    assert world.received == []


@pytest.mark.parametrize("workflow", ["welcome", None])
def test_a_stop_binds(world, workflow):
    world.ledger.people.stop(workflow, "ann", "wrong text", datetime.now(UTC))
    result, words = sent(world)
    assert result == "not_sent"
    assert "nothing of this workflow is sent until segue go" in words
    assert world.received == []


def test_a_stop_during_the_wait_for_a_limit_binds(world):
    world.mail.limited(Limit("s", 1, 30.0))
    world.ledger.deliveries.reserve([[Limit("s", 1, 30.0)]], datetime.now(UTC))
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        world.ledger.people.stop("welcome", "ann", "", datetime.now(UTC))

    number = world.ask()
    world.carry_out(
        clock=Clock(now=lambda: datetime.now(UTC) + timedelta(seconds=sum(slept)), sleep=sleep)
    )
    assert len(slept) == 1
    assert world.outcome(number)[0] == "not_sent"
    assert world.received == []


def test_a_limit_that_leaves_no_room_for_long_is_an_outcome(world):
    world.mail.limited(Limit("s", 1, 3600.0))
    assert sent(world)[0] == "sent"
    result, words = sent(world)
    assert result == "not_sent"
    assert "allows no call for 3" in words
    assert len(world.received) == 1


def test_a_test_that_nobody_waits_for_any_more_is_not_sent(world):
    old = datetime.now(UTC) - timedelta(hours=1, seconds=1)
    result, words = sent(world, when=old)
    assert (result, words) == (
        "not_sent",
        "not sent: it was asked for more than an hour ago; ask again",
    )
    assert world.received == []


# ---- what may go wrong, and when -------------------------------------------------------------


class Crash(BaseException):
    """The worker ends at this point."""


def crash(*_: object, **__: object) -> None:
    raise Crash


SURELY_OVER = timedelta(minutes=10)


def after_a_crash(world: World, number: int) -> tuple[str, str]:
    """Let the next two runs of segue_release come by, the second when the call is surely over."""
    world.carry_out("w2")
    world.ledger.people.end_dead_tests(datetime.now(UTC) + SURELY_OVER)
    world.carry_out("w3")
    return world.outcome(number)


@pytest.mark.parametrize(
    ("method", "received", "result"),
    [
        ("people.suppressed", 1, "sent"),  # before anything: the next run does it
        ("deliveries.reserve", 1, "sent"),
        ("people.begin_test", 1, "sent"),
        ("people.finish_trial", 1, "uncertain"),  # the vendor has it, and nobody wrote that down
    ],
)
def test_a_worker_that_ends_at_any_step_sends_at_most_once(
    world, monkeypatch, method, received, result
):
    number = world.ask()
    store, name = method.split(".")
    with monkeypatch.context() as patched, pytest.raises(Crash):
        patched.setattr(getattr(world.ledger, store), name, crash)
        world.carry_out()
    assert after_a_crash(world, number)[0] == result
    assert len(world.received) == received


def test_a_task_that_is_told_to_end_before_the_call_lets_the_next_one_send(world, monkeypatch):
    """It has taken the test and not begun its call: nothing was sent, and nothing is in doubt."""
    number = world.ask()
    begin = world.ledger.people.begin_test

    def end(*values: object) -> None:
        begin(*values)
        raise SystemExit("the task was told to end")

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(world.ledger.people, "begin_test", end)
        world.carry_out()
    world.carry_out("w2")
    assert world.outcome(number)[0] == "sent"
    assert len(world.received) == 1


@pytest.mark.parametrize(("moment", "received"), [("answering", 0), ("losing", 1)])
def test_a_worker_that_ends_during_the_call_leaves_it_uncertain(world, moment, received):
    """Before the effect or after it: nobody can tell, so nobody sends it again."""
    number = world.ask()
    getattr(world.mail, moment)(crash)
    with pytest.raises(Crash):
        world.carry_out()
    getattr(world.mail, moment)(lambda key, message: None)
    assert after_a_crash(world, number) == (
        "uncertain",
        "the worker ended during the call: perhaps sent, and not sent again",
    )
    assert len(world.received) == received


def test_a_ledger_that_fails_after_the_call_does_not_send_again(world, monkeypatch):
    number = world.ask()

    def fail(*_, **__):
        raise LedgerError("gone")

    with monkeypatch.context() as patched, pytest.raises(LedgerError):
        patched.setattr(world.ledger.people, "finish_trial", fail)
        world.carry_out()
    assert after_a_crash(world, number)[0] == "uncertain"
    assert len(world.received) == 1


@pytest.mark.parametrize(
    ("error", "result", "words"),
    [
        (ContactFailure("no such channel"), "not_sent", "not sent: no such channel"),
        (TransientFailure("busy"), "not_sent", "not sent: busy"),
        (ConnectionFailure("401"), "not_sent", "not sent: 401"),
        (OutcomeUnknown("lost"), "uncertain", "perhaps sent, and not sent again: lost"),
        (
            ValueError("of Ann"),
            "uncertain",
            "perhaps sent, and not sent again: a defect in the channel: ValueError",
        ),
    ],
)
def test_what_the_vendor_answers_is_the_outcome_and_final(world, error, result, words):
    def answer(key, message):
        raise error

    number = world.ask()
    world.mail.answering(answer)
    world.carry_out()
    assert world.outcome(number) == (result, words)
    world.mail.answering(lambda key, message: None)
    assert after_a_crash(world, number) == (result, words)
    assert world.received == []


def test_of_two_workers_with_the_same_request_one_sends(world):
    number = world.ask()
    [request] = world.ledger.people.open_trials()
    first = send_test(request, world.resolve, world.ledger, owner="w1")
    second = send_test(request, world.resolve, world.ledger, owner="w2")
    assert (first.result, second) == ("sent", None)
    assert world.outcome(number)[0] == "sent"
    assert len(world.received) == 1


# ---- what is asked for -----------------------------------------------------------------------


def test_one_of_several_actions_must_be_named(world):
    resolved = world.resolve("welcome")
    with pytest.raises(SettingsError, match="--action ticket or mail"):
        find_action(resolved, None)
    with pytest.raises(SettingsError, match="did you mean 'mail'"):
        find_action(resolved, "mial")
    assert find_action(resolved, "mail").id == "mail"


def test_the_kind_of_change_is_one_of_the_workflows(world):
    resolved = world.resolve("welcome")
    assert require_kind(resolved, None) == "added"
    assert require_kind(resolved, "enrolled") == "enrolled"
    with pytest.raises(SettingsError, match="allowed: added, removed, enrolled"):
        require_kind(resolved, "opted_in")


@pytest.mark.parametrize(
    "to", ["", "a b", "a,b", "a\r\nBcc: c", "\u202ea", "x" * 321, "<a>", '"a"']
)
def test_an_address_is_one_address(world, to):
    with pytest.raises(SettingsError, match="allowed: one address"):
        require_address(world.mail, to)
    assert require_address(world.mail, "o'neill@example.com") == "o'neill@example.com"


def test_a_digest_is_tried_with_the_one_contact(world):
    """Its key is one of its own, too."""
    digests = [
        action.model_copy(update={"digest": action.id == "mail"})
        for action in world.found.definition.actions
    ]
    definition = world.found.definition.model_copy(update={"actions": tuple(digests)})
    world.found = replace(world.found, definition=definition)
    text = "{{ digest.count }}{% for contact in digest.contacts %} {{ contact.email }}{% endfor %}"
    world.mail = RecordingChannel.model_validate({"text": text})
    assert sent(world)[0] == "sent"
    [(key, message)] = world.received
    assert message["text"] == "1 Ann@example.com"
    assert len(key) == 64
