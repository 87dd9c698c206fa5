"""One message per run, on a real scheduler, with servers that keep what they receive."""

from __future__ import annotations

from email import message_from_string, policy

import pytest

from tests.airflow import definitions
from tests.airflow.world import World

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]


def told(world: World) -> list[str]:
    """What was posted to Slack and mailed to the team, as the reader's programs get it."""
    slack = world.sandbox.messages(service="slack", contains="/dags/digests/runs/")
    mails = world.sandbox.messages(service="smtp", contains="new in digests")
    found = [message.text for message in slack]
    for mail in mails:
        parsed = message_from_string(mail.raw["mail"], policy=policy.default)
        html = parsed.get_body(("html",)).get_content().strip()
        text = parsed.get_body(("plain",)).get_content().strip()
        found.append(f"{parsed['To']} | {parsed['Subject']} | {text} | {html}")
    return found


def test_the_team_is_told_once_per_run_and_each_contact_is_recorded(world: World):
    """Behind the tickets; who fails the conditions or lacks a field is not in it, and comes later.

    Cleared, the tasks send what was not delivered before: a digest of the one that was mended.
    """
    run_id, state = world.pair("digests")
    assert state == "failed"  # one contact has no last name
    states = world.airflow.task_states("digests", run_id)
    assert (states["tell", -1], states["list", -1]) == ("failed", "success")
    tickets = [world.outcomes("digests")[f"digest{n}", "ticket"] for n in range(4)]
    assert tickets == ["delivered", "skipped(conditions)", "delivered", "delivered"]
    slack, mail = told(world)
    first, *lines = slack.splitlines()
    assert first.startswith("2 new <http://")
    assert first.endswith("|run>")
    assert [line.partition(" http")[0] for line in lines] == [
        "Firstname-digest0 Lastname-digest0",
        "Firstname-&lt;!channel&gt; &lt;b&gt;&amp; Lastname-digest2",
    ]
    assert all("/tickets/" in line for line in lines)
    assert mail == (
        "team@example.com | 2 new in digests | "
        "Firstname-digest0, Firstname-<!channel> <b>& | "
        "<ul><li>Firstname-digest0</li><li>Firstname-&lt;!channel&gt; &lt;b&gt;&amp;</li></ul>"
    )
    outcomes = world.outcomes("digests")
    assert outcomes["digest3", "tell"] == "failed(text: missing field: contact.last_name)"
    assert outcomes["digest3", "list"] == "skipped(after: tell failed)"
    rows = world.ledger.queries.list_deliveries(
        workflow="digests", action="tell", outcome="delivered"
    )
    assert {row.contact_id for row in rows} == {"digest0", "digest2"}
    assert len({row.message_key for row in rows}) == 1

    definitions.digests(world, "{{ contact.last_name | default('?') }}")
    assert world.again("digests", run_id, "tell") == "success"
    later = sorted(told(world), key=len)
    assert len(later) == 4
    mended = next(one for one in later if one.startswith("1 new"))
    assert mended.splitlines()[1].startswith("Firstname-digest3 ? ")
    assert set(world.outcomes("digests").values()) == {"delivered", "skipped(conditions)"}
    assert world.again("digests", run_id) == "success"
    assert sorted(told(world), key=len) == later
    covered, state = world.pair("digests", expected=2)
    assert state == "success"  # without a branch there is nothing to wait for, and nothing to tell
    states = world.airflow.task_states("digests", covered)
    assert {states[task, -1] for task in ("detect_changes", "tell", "list")} == {"skipped"}
