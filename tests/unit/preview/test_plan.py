"""A plan says what the steps of a branch and the door then do."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.clock import Clock
from segue.contacts.change import changes_of_span
from segue.contacts.live_look_up import Desk
from segue.contracts.printing import Kind
from segue.contracts.templates import Template
from segue.delivery.steps import check_branch, deliver, load_branch
from segue.directory.snapshots import find_snapshot
from segue.errors import DataError
from segue.ledger import Ledger
from segue.ledger.facts import Run, Wishes
from segue.ledger.schema import deliveries
from segue.preview.plan import plan
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef, cut
from segue.runs.context import RunContext
from segue.runs.span_detection import detect
from segue.segments.membership.store import MembershipStore
from segue.testing import RecordingChannel
from segue.workflows.catalog import Catalog
from segue.workflows.definition import Branches
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.times_of_day import Wait

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
DEFINITIONS = {
    "directories/customers": (
        "directory: customers\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n"
    ),
    "segments/gold": "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n",
    "workflows/welcome": """
workflow: welcome
segment: gold
changes: [added, removed, opted_out]
start: 2026-11-01
conditions: {field: phone, is_set: true}
actions:
  - {id: third, after: [second], slack_message: {channel: c, text: x}}
  - {id: second, after: first, if: {change: {equals: added}}, slack_message: {channel: c, text: x}}
  - {id: first, slack_message: {channel: c, text: x}}
  - {id: personal, slack_message: {channel: c, text: x}}
""",
}
TEXTS = {
    "first": "first for {{ contact.name }} in {{ contact.tier }}",
    "second": "second after {{ results.first.id }}",
    "third": "third after {{ results.second.id }} of {{ workflow }} at {{ snapshot }}",
    "personal": "dear {{ contact.name }}, {{ change }}",
}
COLUMNS = "contact_id,name,phone,tier,unsubscribed\n"
DAYS = {
    "2026-11-21": "a,Ann,1,silver,0\nb,Bob,2,gold,0\nd,Dee,4,gold,0\ne,Eve,,silver,0\n",
    "2026-11-22": "a,Ann,1,gold,0\nb,Bob,2,gold,1\ne,Eve,,gold,0\nn,,6,gold,0\nz,Zoe,7,gold,1\n",
}


@pytest.fixture
def resolved(tmp_path: Path) -> ResolvedWorkflow:
    """A workflow whose actions end in recording channels, over two days' snapshots."""
    for name, text in DEFINITIONS.items():
        path = tmp_path / "include" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for key, rows in DAYS.items():
        write_snapshot(tmp_path, key, COLUMNS + rows)
    found = Catalog(tmp_path / "include").resolve("welcome")
    channels = {
        action: RecordingChannel(text=Template(text, Kind.TEXT), to_contact=action == "personal")
        for action, text in TEXTS.items()
    }
    return ResolvedWorkflow(found.definition, found.segment, found.directory, channels)


def write_snapshot(tmp_path: Path, key: str, text: str) -> None:
    """Write a complete snapshot with these contacts."""
    folder = tmp_path / "include" / "snapshots" / key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contacts.csv").write_text(text)
    (folder / "_SUCCESS").touch()


def planned(
    resolved: ResolvedWorkflow, previous: str | None, current: str, ledger: Ledger | None = None
):
    """Return the plan between two snapshots."""
    ends = [
        find_snapshot(resolved.directory, key, now=NOW) if key else None
        for key in (previous, current)
    ]
    return plan(resolved, *ends, namespace="test", now=NOW, ledger=ledger)


def outcomes_of(found) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (outcome, reason) of a plan by contact and action, as the ledger has them later."""
    return {
        (change.contact_id, action.action): (
            "delivered" if action.outcome == "send" else action.outcome,
            action.reason,
        )
        for change in found.changes
        for action in change.actions
    }


def run(resolved: ResolvedWorkflow, tmp_path: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Run the workflow for real; return (outcome, reason) by contact and action."""
    ledger = open_ledger(tmp_path)
    ref = begin(resolved, tmp_path, ledger)
    deliver_all(resolved, ref, ledger)
    return as_recorded(ledger)


def open_ledger(tmp_path: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "test", "a long random text")


def as_recorded(ledger: Ledger) -> dict[tuple[str, str], tuple[str, str]]:
    """Return (outcome, reason) by contact and action, and close the ledger."""
    rows = ledger.queries.list_deliveries()
    ledger.engine.dispose()
    return {(row.contact_id, row.action): (row.outcome, row.reason) for row in rows}


def begin(resolved: ResolvedWorkflow, tmp_path: Path, ledger: Ledger) -> BranchRef:
    """Record and release the changes; return the branch that handles them."""
    store = MembershipStore(str(tmp_path / "state"))
    wishes = Wishes(previous="2026-11-21", current="2026-11-22")
    one = Run("welcome", "run-1")
    spans = detect(RunContext(resolved, one, ledger, NOW, wishes), store).spans
    ledger.runs.release([span.id for span in spans], NOW)
    changes = [
        change
        for span in spans
        for change in changes_of_span(span.stretch, ledger.queries.changes_to_handle(span.id))
    ]
    area = RunArea(str(tmp_path / "area"))
    area.write_audience(resolved.audience)
    [ref] = area.write_slices(cut(changes, Branches(max=1)))
    return ref


def deliver_all(resolved: ResolvedWorkflow, ref: BranchRef, ledger: Ledger) -> None:
    """Go through a branch's steps, its actions in the order of ``after``."""
    load_branch(resolved, ref, Desk(ledger, Clock(lambda: NOW)))
    check_branch(resolved, ref, ledger, NOW)
    for name in ("first", "second", "third", "personal"):
        action = resolved.definition.action(name)
        deliver(resolved, action, [ref], ledger, owner=name, clear_number=0)


def test_a_run_does_what_the_plan_says(resolved, tmp_path):
    found = planned(resolved, "2026-11-21", "2026-11-22")
    expected = outcomes_of(found)
    assert run(resolved, tmp_path) == expected
    outcomes = {outcome for outcome, _ in expected.values()}
    reasons = {reason for _, reason in expected.values()}
    assert outcomes == {"delivered", "skipped", "failed"}
    assert {"conditions", "if", "opted_out", "deleted", "after: first failed"} <= reasons


@pytest.fixture
def chained(resolved: ResolvedWorkflow) -> ResolvedWorkflow:
    """The same workflow, whose second action waits for the message to the contact."""
    actions = [
        action.model_copy(update={"after": ("personal",)}) if action.id == "second" else action
        for action in resolved.definition.actions
    ]
    text = Template("second of {{ workflow }}", Kind.TEXT)
    return dataclasses.replace(
        resolved,
        definition=resolved.definition.model_copy(update={"actions": tuple(actions)}),
        channels={**resolved.channels, "second": RecordingChannel(text=text)},
    )


def test_of_who_is_suppressed_the_team_is_told_and_what_comes_after_is_skipped(chained, tmp_path):
    """The plan asks whom a message is to, and takes the skip on to the actions after it."""
    ledger = open_ledger(tmp_path)
    ledger.people.suppress(["a"], "una", "", NOW)
    found = planned(chained, "2026-11-21", "2026-11-22", ledger)
    expected = outcomes_of(found)
    assert expected["a", "personal"] == ("skipped", "suppression_list")
    assert expected["a", "first"] == ("delivered", "")
    assert expected["a", "second"] == ("skipped", "after: personal skipped")
    assert found.changes[0].suppressed
    ref = begin(chained, tmp_path, ledger)
    load_branch(chained, ref, Desk(ledger, Clock(lambda: NOW)))
    check_branch(chained, ref, ledger, NOW)
    for name in ("first", "personal", "second", "third"):
        action = chained.definition.action(name)
        deliver(chained, action, [ref], ledger, owner=name, clear_number=0)
    assert as_recorded(ledger) == expected


def test_what_is_on_record_is_decided_and_what_comes_after_it_follows(resolved, tmp_path):
    """A run that goes on sends no failed one again, and none that waits for it."""
    ledger = open_ledger(tmp_path)
    ref = begin(resolved, tmp_path, ledger)
    key = next(
        row.key for row in ledger.queries.list_deliveries(contact_id="a") if row.action == "first"
    )
    with ledger.engine.begin() as connection:
        row = deliveries.update().where(deliveries.c.key == key)
        connection.execute(row.values(state="failed", reason="refused"))
    found = planned(resolved, "2026-11-21", "2026-11-22", ledger)
    third, second, first, personal = found.changes[0].actions
    assert (first.recorded, first.outcome, first.reason) == ("failed", "failed", "refused")
    assert first.message  # what it would say by today's definition
    assert (second.recorded, second.outcome) == ("released", "skipped")
    assert (second.reason, third.reason) == ("after: first failed", "after: second skipped")
    assert (personal.recorded, personal.outcome) == ("released", "send")
    deliver_all(resolved, ref, ledger)
    assert as_recorded(ledger) == outcomes_of(found)


def test_who_was_forgotten_is_neither_counted_nor_shown(resolved, tmp_path):
    ledger = open_ledger(tmp_path)
    before = planned(resolved, "2026-11-21", "2026-11-22", ledger)
    ledger.retention.forget("a", "una", NOW)
    found = planned(resolved, "2026-11-21", "2026-11-22", ledger)
    assert (before.forgotten, found.forgotten) == (0, 1)
    assert found.counts["added"] == before.counts["added"] - 1
    assert [one.contact_id for one in found.changes] == [
        one.contact_id for one in before.changes if one.contact_id != "a"
    ]
    assert as_recorded(ledger) == {}


def test_what_is_sent_has_the_key_and_the_text_of_the_plan(resolved, tmp_path):
    found = planned(resolved, "2026-11-21", "2026-11-22")
    run(resolved, tmp_path)
    for name in ("first", "personal"):
        expected = {
            action.key: action.message
            for change in found.changes
            for action in change.actions
            if action.action == name and action.outcome == "send"
        }
        assert expected
        assert dict(resolved.channels[name].outbox.received) == expected


def test_planning_sends_nothing(resolved):
    planned(resolved, "2026-11-21", "2026-11-22")
    assert all(channel.outbox.connections == 0 for channel in resolved.channels.values())


def test_results_that_are_not_there_yet_are_placeholders(resolved):
    found = planned(resolved, "2026-11-21", "2026-11-22")
    third, second, first, _ = found.changes[0].actions
    assert found.changes[0].contact_id == "a"
    assert first.message["text"] == "first for Ann in gold"
    assert second.message["text"] == "second after ‹results.first.id›"
    assert third.message["text"] == "third after ‹results.second.id› of welcome at 2026-11-22"


def test_actions_stand_in_the_order_they_are_written(resolved):
    found = planned(resolved, "2026-11-21", "2026-11-22")
    for change in found.changes:
        assert [action.action for action in change.actions] == resolved.action_ids


def test_a_contact_that_is_deleted_is_shown_as_it_was(resolved):
    found = planned(resolved, "2026-11-21", "2026-11-22")
    [deleted] = [change for change in found.changes if change.reason == "deleted"]
    assert (deleted.contact_id, deleted.opted_in, deleted.conditions) == ("d", None, "passed")
    assert deleted.actions[2].message["text"] == "first for Dee in gold"
    assert (deleted.actions[3].outcome, deleted.actions[3].reason) == ("skipped", "deleted")


def test_sizes_and_outcomes_are_counted(resolved):
    found = planned(resolved, "2026-11-21", "2026-11-22")
    assert (found.previous_size, found.current_size) == (2, 5)
    assert found.outcomes()["first"] == {"send": 4, "failed": 1, "skipped (conditions)": 1}


def test_without_an_earlier_snapshot_it_is_a_baseline(resolved):
    found = planned(resolved, None, "2026-11-21")
    assert (found.baseline, list(found.changes)) == ("no earlier snapshot", [])


def test_a_column_that_is_new_makes_a_baseline(resolved, tmp_path):
    write_snapshot(tmp_path, "2026-11-20", "contact_id,name\na,Ann\n")
    found = planned(resolved, "2026-11-20", "2026-11-21")
    assert found.baseline == "new column: 2026-11-20 lacks contacts.tier"


def test_a_column_that_is_gone_is_an_error(resolved, tmp_path):
    write_snapshot(tmp_path, "2026-11-22T12:00:00Z", "contact_id,name\na,Ann\n")
    with pytest.raises(DataError, match=r"lacks contacts\.tier"):
        plan(
            resolved,
            find_snapshot(resolved.directory, "2026-11-21", now=NOW),
            find_snapshot(resolved.directory, "2026-11-22T12:00:00Z", now=NOW),
            namespace="test",
            now=NOW,
        )


def test_changes_beyond_max_age_are_marked_and_still_shown(resolved):
    later = datetime(2027, 1, 1, tzinfo=UTC)
    ends = [find_snapshot(resolved.directory, key, now=NOW) for key in ("2026-11-21", "2026-11-22")]
    found = plan(resolved, *ends, namespace="test", now=later)
    assert found.suppressed == "max_age"
    assert found.changes


def test_a_failure_of_one_contact_says_why(resolved):
    found = planned(resolved, "2026-11-21", "2026-11-22")
    [nameless] = [change for change in found.changes if change.contact_id == "n"]
    first = nameless.actions[2]
    assert first.outcome == "failed"
    assert first.reason.startswith("text: missing field: ")


def test_a_digest_is_planned_as_it_is_sent(resolved, tmp_path):
    """One message about those who pass ``first``; it is what the vendor then gets."""
    text = (
        "{% for contact in digest.contacts %}{{ contact.name }} {{ contact.change }} "
        "{{ contact.results.first.id }}, {% endfor %}{{ digest.count }}"
    )
    actions = [
        action.model_copy(update={"digest": action.id == "second"})
        for action in resolved.definition.actions
    ]
    channel = RecordingChannel(text=Template(text, Kind.TEXT))
    resolved = dataclasses.replace(
        resolved,
        definition=resolved.definition.model_copy(update={"actions": tuple(actions)}),
        channels={**resolved.channels, "second": channel},
    )
    found = planned(resolved, "2026-11-21", "2026-11-22")
    about = [
        (change.contact_id, action)
        for change in found.changes
        for action in change.actions
        if action.action == "second" and action.outcome == "send"
    ]
    assert [contact for contact, _ in about] == ["a", "z"]
    assert {action.digest_of for _, action in about} == {2}
    ends = [find_snapshot(resolved.directory, key, now=NOW) for key in ("2026-11-21", "2026-11-22")]
    short = plan(resolved, *ends, namespace="test", now=NOW, most=1)
    assert [len(each.changes) for each in (short, found)] == [1, len(found.changes)]
    assert short.digests == found.digests == [about[0][1]]  # about all, however few are shown
    (message,) = {action.message["text"] for _, action in about}
    assert message == "Ann added ‹results.first.id›, Zoe added ‹results.first.id›, 2"
    run(resolved, tmp_path)
    assert (
        re.sub(r"\b[1-9]\b,", "‹results.first.id›,", channel.outbox.received[0][1]["text"])
        == message
    )
    assert len(channel.outbox.received) == 1


def test_what_waits_says_how_long(resolved):
    """It is shown as it would be sent if nothing changed until then."""
    wait = Wait.model_validate({"for": "3d", "on": ["mon", "tue"], "at": "09:00"})
    actions = [
        action.model_copy(update={"wait": wait}) if action.id == "personal" else action
        for action in resolved.definition.actions
    ]
    definition = resolved.definition.model_copy(update={"actions": tuple(actions)})
    waiting = dataclasses.replace(resolved, definition=definition)
    found = planned(waiting, "2026-11-21", "2026-11-22")
    waits = {
        (action.action, action.outcome, action.wait)
        for change in found.changes
        for action in change.actions
        if action.outcome == "send"
    }
    assert waits == {
        ("personal", "send", "3d on mon, tue at 09:00"),
        *((each, "send", "") for each in ("first", "second", "third")),
    }
