"""``segue plan``: every change, every verdict and every message, and nothing done."""

from __future__ import annotations

import csv
import io
import json

from tests.unit.cli.conftest import WORKFLOW


def planned(segue, *options: str) -> dict[str, dict]:
    """Return what is planned per contact."""
    answer = segue("plan", "welcome", "--at", "2026-11-22", "--format", "json", *options)
    assert answer.code == 0, answer.err
    return {change["contact_id"]: change for change in json.loads(answer.out)}


def outcomes(change: dict) -> dict[str, str]:
    """Return ``outcome`` or ``outcome: reason`` per action."""
    return {
        action["action"]: ": ".join(filter(None, (action["outcome"], action["reason"])))
        for action in change["actions"]
    }


def test_every_change_has_its_verdict_and_outcomes(segue):
    found = planned(segue)
    assert list(found) == ["c2", "c3", "c4", "c5", "c6", "c7", "c8"]
    assert {contact: (c["change"], c["conditions"]) for contact, c in found.items()} == {
        "c2": ("added", "passed"),
        "c3": ("opted_out", "passed"),
        "c4": ("removed", "passed"),
        "c5": ("added", "failed"),
        "c6": ("added", "passed"),
        "c7": ("added", "passed"),
        "c8": ("added", "passed"),
    }
    assert outcomes(found["c2"]) == {"alert": "send", "ticket": "send", "mail": "send"}
    assert outcomes(found["c3"])["mail"] == "skipped: opted_out"
    assert outcomes(found["c4"])["mail"] == "skipped: deleted"
    assert set(outcomes(found["c5"]).values()) == {"skipped: conditions"}
    assert outcomes(found["c6"])["alert"] == "skipped: if"
    assert outcomes(found["c7"])["ticket"].startswith("failed: subject: missing field")
    assert outcomes(found["c7"])["alert"] == "skipped: after: ticket failed"
    assert outcomes(found["c8"])["mail"] == "skipped: no_address"


def test_messages_are_rendered_with_placeholders_for_what_a_vendor_will_say(segue):
    alert, ticket, mail = planned(segue)["c2"]["actions"]
    assert alert["message"] == {"channel": "#gold", "text": "c2: ‹results.ticket.url›"}
    assert (ticket["message"]["subject"], ticket["message"]["comment"]) == ("Call Bob", "on +2")
    assert (mail["message"]["to"], mail["message"]["text"]) == ("bob@example.com", "Dear Bob")


def test_a_deleted_contact_s_details_are_the_last_known(segue):
    ticket = planned(segue)["c4"]["actions"][1]
    assert ticket["message"]["subject"] == "Call Dee"


def test_csv_has_a_row_per_change_and_action(segue):
    answer = segue("plan", "welcome", "--format", "csv", "--contact", "c6")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert [(row["action"], row["outcome"], row["outcome_reason"]) for row in rows] == [
        ("alert", "skipped", "if"),
        ("ticket", "send", ""),
        ("mail", "send", ""),
    ]
    assert json.loads(rows[1]["message"])["subject"] == "Call Fay"


def test_people_read_blocks_and_a_summary(segue):
    answer = segue("plan", "welcome", "--from", "2026-11-21", "--at", "2026-11-22")
    start = answer.lines.index("c2  added  conditions hold  opted in")
    assert answer.lines[start + 1 : start + 4] == [
        "  alert  slack_message  send",
        "    text     c2: ‹results.ticket.url›",
        "    channel  #gold",
    ]
    assert "  mail  email  skipped: opted_out" in answer.lines
    assert "gold, 2026-11-21 to 2026-11-22: 3 to 7 members; changes for welcome: 7" in answer.err
    assert (
        "  alert: 4 send, 1 skipped (after), 1 skipped (conditions), 1 skipped (if)" in answer.err
    )


def test_the_first_snapshot_is_a_baseline(segue):
    answer = segue("plan", "welcome", "--at", "2026-11-21", "--format", "json")
    assert answer.out == "[]\n"
    assert "2026-11-21 is a baseline (no earlier snapshot)" in answer.err


def test_a_policy_that_would_suppress_it_is_said(segue, home):
    text = WORKFLOW.replace("max_age: null", "max_age: 2d").replace("welcome", "old")
    home.define("workflows", "old", text)
    home.snapshot("2020-01-01", "c1,Ann,,+1,silver,us,no\n")
    home.snapshot("2020-01-02", "c1,Ann,,+1,gold,us,no\n")
    answer = segue("plan", "old", "--at", "2020-01-02")
    assert "policies.max_age suppresses it" in answer.err


def test_a_definition_that_is_wrong_is_an_error_with_its_place(segue, home):
    home.define("workflows", "welcome", WORKFLOW.replace("segment: gold", "segment: golden"))
    answer = segue("plan", "welcome")
    assert answer.code == 2
    assert "welcome.yaml:2:1: segment: there is no segment 'golden'" in answer.err


DIGEST = """
  - id: team
    digest: true
    after: ticket
    slack_message:
      channel: "#gold"
      text: "{{ digest.count }}: {% for contact in digest.contacts %}{{ contact.contact_id }} \\
        {{ contact.results.ticket.url }} {% endfor %}{{ digest.link }}"
policies"""


def test_a_digest_is_one_message_and_is_shown_once(segue, home):
    home.define("workflows", "welcome", WORKFLOW.replace("policies", DIGEST.lstrip("\n")))
    found = planned(segue)
    team = {contact: change["actions"][3] for contact, change in found.items()}
    sent = [contact for contact, action in team.items() if action["outcome"] == "send"]
    assert sent == ["c2", "c3", "c4", "c6", "c8"]
    assert {team[contact]["digest_of"] for contact in sent} == {5}
    assert team["c2"]["message"]["text"] == (
        "5: c2 ‹results.ticket.url› c3 ‹results.ticket.url› c4 ‹results.ticket.url› "
        "c6 ‹results.ticket.url› c8 ‹results.ticket.url› ‹digest.link›"
    )
    assert [contact for contact in sent if team[contact]["message"]] == ["c2"]
    assert outcomes(found["c7"])["team"] == "skipped: after: ticket failed"
    answer = segue("plan", "welcome", "--contact", "c3")
    assert "  team  slack_message  send, one message about 5 changes" in answer.lines
    assert any("5: c2" in line for line in answer.lines)  # the first that is shown has the message
    assert "  team: 1 send, in one message" in answer.err


def test_a_contact_without_a_change_is_told_from_one_that_is_not_there(segue):
    answer = segue("plan", "welcome", "--at", "2026-11-22", "--contact", "TYPO")
    assert "there is no contact 'TYPO' in 2026-11-21 or 2026-11-22" in answer.err
