"""``segue check-connections`` and ``send-test``: what they file, wait for and print."""

from __future__ import annotations

import json
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from segue.cli import airflow_here
from segue.cli.commands import trials
from segue.ledger import Ledger

FOUND = [
    {
        "connection": "slack_default",
        "channel": "slack_message",
        "result": "ok",
        "detail": "segue in the workspace Shop",
        "used_by": ["welcome.alert", "other.alert"],
    },
    {
        "connection": "zendesk_default",
        "channel": "zendesk_ticket",
        "result": "failed",
        "detail": "Zendesk answered 401; check the connection's login and password",
        "used_by": ["welcome.ticket"],
    },
]
TO = ("--contact", "c1", "--to", "me@example.com")


@pytest.fixture
def ledger(home):
    ledger = Ledger.open(f"sqlite:///{home.root / 'segue.db'}", "test")
    yield ledger
    ledger.engine.dispose()


@pytest.fixture
def release(ledger, monkeypatch):
    """Play segue_release: finish the next request with what it is called with."""
    monkeypatch.setattr(trials, "_LOOK_EVERY", 0.05)
    threads = []

    def carry_out(result: str, outcome: str, found=()) -> None:
        def run() -> None:
            while not (filed := ledger.people.open_trials()):
                time.sleep(0.02)
            now = datetime.now(UTC)
            ledger.people.finish_trial(filed[0].id, result, outcome, now, owner="w", found=found)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()

    yield carry_out
    for thread in threads:
        thread.join(5)


def filed(ledger: Ledger) -> list:
    return ledger.people.list_requests()


def test_what_was_found_is_a_line_per_connection(segue, ledger, release):
    release("failed", "1 ok, 1 failed", FOUND)
    answer = segue("check-connections", "welcome")
    assert answer.code == 1
    assert answer.lines[0].split() == ["connection", "channel", "result", "used_by", "detail"]
    assert answer.lines[2].split()[:3] == ["slack_default", "slack_message", "ok"]
    assert "welcome.ticket" in answer.lines[3]
    assert answer.lines[3].endswith("check the connection's login and password")
    assert "request 1 is filed; segue_release carries it out within five minutes" in answer.err
    assert answer.err.endswith("2 connections: 1 ok, 1 failed\n")
    [request] = filed(ledger)
    assert request.asked == {"workflows": ["welcome"]}
    assert "@" in request.requested_by


def test_nothing_wrong_is_exit_code_0(segue, release):
    release("ok", "1 ok", FOUND[:1])
    answer = segue("check-connections", "--format", "json")
    assert answer.code == 0
    assert json.loads(answer.out) == FOUND[:1]


def test_as_csv(segue, release):
    release("ok", "1 ok", FOUND[:1])
    header, line = segue("check-connections", "--format", "csv").lines
    assert header == "connection,channel,result,detail,used_by"
    assert line.startswith("slack_default,slack_message,ok,segue in the workspace Shop,")
    assert line.endswith('"[""welcome.alert"", ""other.alert""]"')


def test_who_does_not_wait_is_told_the_number(segue, ledger):
    answer = segue("check-connections", "--no-wait")
    assert (answer.code, answer.out) == (
        0,
        "request 1 is filed; segue_release carries it out within five minutes\n",
    )
    answer = segue("send-test", "welcome", *TO, "--action", "mail", "--no-wait")
    assert answer.out.startswith("request 2 is filed")
    answer = segue("check-connections", "--no-wait", "--format", "json")
    assert json.loads(answer.out) == [{"request": 3}]
    listed = segue("requests")
    assert "check connections: all workflows" in listed.lines[2]
    meant = "send test: workflow welcome, action mail, contact c1, to me@example.com"
    assert meant in listed.lines[3]
    assert listed.err == "3 requests, 3 open\n"


def test_a_request_under_way_is_listed_as_such(segue, ledger):
    segue("send-test", "welcome", *TO, "--action", "mail", "--no-wait")
    ledger.people.begin_test(1, "w", datetime.now(UTC))
    assert segue("requests").lines[2].endswith("under way")
    answer = segue("send-test", "welcome", *TO, "--action", "mail", "--timeout", "0s")
    assert answer.code == 2
    assert "request 2 was not carried out within 0s: the DAG segue_release" in answer.err


@pytest.mark.parametrize(
    ("paused", "words"),
    [
        (True, "the DAG segue_release is paused; run: airflow dags unpause segue_release"),
        (False, "the DAG segue_release is not paused, so see whether the scheduler runs"),
        (None, "whether it is paused cannot be found out here"),
    ],
)
def test_who_waits_in_vain_is_told_why(segue, ledger, monkeypatch, paused, words):
    monkeypatch.setattr(trials, "is_paused", lambda dag_id: paused)
    answer = segue("check-connections", "--timeout", "0s")
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
    assert "The request stays" in answer.err
    assert len(ledger.people.open_trials()) == 1


def test_a_test_that_was_sent_says_so(segue, ledger, release):
    release("sent", "sent to me@example.com as <k@segue>")
    arguments = ("--action", "mail", "--change", "added", "--snapshot", "2026-11-21")
    answer = segue("send-test", "welcome", *TO, *arguments)
    assert (answer.code, answer.out) == (0, "sent to me@example.com as <k@segue>\n")
    [request] = filed(ledger)
    assert (request.selection.action, request.selection.contact) == ("mail", "c1")
    asked = {"to": "me@example.com", "change": "added", "snapshot": "2026-11-21"}
    assert request.asked == asked


@pytest.mark.parametrize("result", ["not_sent", "uncertain"])
def test_a_test_that_was_not_sent_is_exit_code_1(segue, release, result):
    release(result, "not sent: busy")
    answer = segue("send-test", "welcome", *TO, "--action", "mail", "--format", "json")
    assert answer.code == 1
    assert json.loads(answer.out) == [
        {
            "request": 1,
            "workflow": "welcome",
            "action": "mail",
            "contact": "c1",
            "to": "me@example.com",
            "result": result,
            "outcome": "not sent: busy",
        }
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("welcom", *TO), "did you mean 'welcome'?"),
        (("welcome", *TO), "say which one: --action alert or ticket or mail"),
        (("welcome", *TO, "--action", "mial"), "did you mean 'mail'?"),
        (("welcome", *TO, "--action", "ticket"), "a zendesk_ticket cannot be sent to a tester"),
        (("welcome", *TO, "--action", "mail", "--change", "gone"), "allowed: added"),
        (("welcome", *TO, "--action", "mail", "--snapshot", "2026-01-01"), "no snapshot 2026"),
        (
            ("welcome", "--contact", "C1", "--to", "me@example.com", "--action", "mail"),
            "there is no contact 'C1' in snapshot 2026-11-22 of customers",
        ),
        (
            ("welcome", "--contact", "c1", "--to", "ANN@example.com", "--action", "mail"),
            "the address is the contact's own, and a test never goes to the contact",
        ),
        (
            ("welcome", "--contact", "c7", "--to", "me@example.com", "--action", "mail"),
            "the message cannot be made: text: missing field: contact.name",
        ),
        (("welcome", *TO, "--action", "mail", "--timeout", "soon"), "--timeout: 'soon' is not"),
        (("welcome", "--contact", "c1", "--to", "me", "--action", "mail"), "is no email address"),
        (
            (
                *("welcome", "--contact", "c1", "--action", "mail"),
                "--to",
                "a@b.com\r\nBcc: c@d.com",
            ),
            "'a@b.com\\r\\nBcc: c@d.com'; allowed: one address",
        ),
    ],
)
def test_what_cannot_be_sent_is_not_filed(segue, ledger, arguments, message):
    answer = segue("send-test", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert filed(ledger) == []


def test_snapshots_that_this_machine_does_not_see_are_the_tasks_to_look_at(segue, ledger, home):
    for folder in home.snapshots.iterdir():
        (folder / "_SUCCESS").unlink()
    answer = segue("send-test", "welcome", *TO, "--action", "mail", "--no-wait")
    assert answer.code == 0
    assert "not looked at here: directory customers has no complete snapshot" in answer.err
    assert len(filed(ledger)) == 1


def test_a_stop_or_the_suppression_list_is_told_at_once(segue, ledger):
    segue("suppress", "c1")
    answer = segue("send-test", "welcome", *TO, "--action", "mail")
    assert (answer.code, "the contact is suppressed" in answer.err) == (2, True)
    segue("stop", "welcome", "--reason", "wrong text")
    answer = segue("send-test", "welcome", *TO, "--action", "mail")
    assert "nothing of this workflow is sent until segue go: welcome was stopped by" in answer.err
    assert [request.kind for request in filed(ledger)] == ["suppress", "stop"]


def test_a_workflow_that_does_not_exist_is_not_checked(segue, ledger):
    answer = segue("check-connections", "welcom")
    assert (answer.code, filed(ledger)) == (2, [])
    assert "did you mean 'welcome'?" in answer.err


def test_without_a_ledger_nothing_is_asked_for(segue, home):
    answer = segue("check-connections")
    assert answer.code == 2
    assert "there is no ledger at" in answer.err


# ---- the Airflow of this machine -------------------------------------------------------------


@pytest.fixture
def airflow(tmp_path, monkeypatch):
    """An Airflow that is set up, whose command line answers what is given."""
    home = tmp_path / "airflow"
    home.mkdir()
    (home / "airflow.cfg").touch()
    monkeypatch.setenv("AIRFLOW_HOME", str(home))
    monkeypatch.delenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", raising=False)
    program = tmp_path / "bin" / "airflow"
    program.parent.mkdir()
    monkeypatch.setattr(airflow_here.sys, "executable", str(program.parent / "python"))

    def answers(text: str, code: int = 0) -> Path:
        (tmp_path / "answer").write_text(text)
        program.write_text(f"#!/bin/sh\ncat {tmp_path / 'answer'}\nexit {code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return home

    return answers


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (
            '2026-11-24 [warning ] no graphviz\n[{"dag_id": "segue_release", "is_paused": "True"}]',
            True,
        ),
        ('[{"dag_id": "segue_release", "is_paused": "False"}]', False),
        ('[{"dag_id": "other", "is_paused": "False"}]', None),
        ("No data found", None),
        ("[1]", None),
    ],
)
def test_airflow_is_asked_whether_a_dag_is_paused(airflow, answer, found):
    airflow(answer)
    assert airflow_here.is_paused("segue_release") is found


def test_an_airflow_that_fails_says_nothing(airflow):
    airflow('[{"dag_id": "segue_release", "is_paused": "True"}]', code=1)
    assert airflow_here.is_paused("segue_release") is None


def test_an_airflow_that_is_not_set_up_is_not_asked(airflow):
    home = airflow('[{"dag_id": "segue_release", "is_paused": "True"}]')
    (home / "airflow.cfg").unlink()
    assert airflow_here.is_paused("segue_release") is None


@pytest.mark.parametrize("command", ["check-connections", "send-test"])
def test_a_paused_release_is_told_at_once(segue, ledger, monkeypatch, command):
    """Nobody waits ten minutes for what cannot come."""
    monkeypatch.setattr("segue.cli.airflow_here.start_release", lambda by: "paused")
    arguments = ["welcome", *TO, "--action", "mail"] if command == "send-test" else []
    answer = segue(command, *arguments)
    assert answer.code == 2
    assert "segue_release is paused" in answer.err
    assert "nobody carries request 1 out at present; it stays" in answer.err
    assert not filed(ledger)[0].done_at
