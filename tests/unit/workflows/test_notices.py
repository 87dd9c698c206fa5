"""Notifiers that a workflow names: found and checked without building one."""

from __future__ import annotations

import pytest

from segue.workflows.definition import Notice, Notify
from segue.workflows.notices import notice_problem

SLACK = "airflow.providers.slack.notifications.slack.SlackNotifier"


def problem(notifier: str, **arguments) -> str | None:
    return notice_problem(Notice.model_validate({"notifier": notifier, **arguments}))


def test_airflows_notifiers_take_their_own_arguments():
    """Slack's and SMTP's."""
    assert problem(SLACK, slack_conn_id="slack_default", text="hi", channel="#a") is None
    smtp = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
    assert problem(smtp, to="ops@example.com", subject="{{ dag.dag_id }}") is None


def test_arguments_that_a_notifier_does_not_take_are_a_problem():
    assert "unexpected keyword argument 'chanel'" in problem(SLACK, chanel="#a")
    found = problem("tests.airflow.told.FileNotifier", path="/tmp/x")
    assert found.startswith("tests.airflow.told.FileNotifier: ")
    assert "missing 1 required positional argument: 'text'" in found


@pytest.mark.parametrize(
    ("notifier", "message"),
    [
        ("airflow.providers.slak.Slack", "No module named 'airflow.providers.slak'"),
        ("airflow.providers.slack.notifications.slack.Slack", "has no notifier 'Slack'"),
        ("json.dumps", "has no notifier 'dumps'"),
    ],
)
def test_a_class_that_is_not_there_or_no_notifier_is_a_problem(notifier, message):
    assert message in problem(notifier)


def test_one_notifier_needs_no_list():
    """``on_failure: {notifier: …}`` is a list of one."""
    notify = Notify.model_validate({"on_failure": {"notifier": SLACK, "text": "x"}})
    assert [notice.arguments for notice in notify.on_failure] == [{"text": "x"}]
    assert notify.on_held == ()
