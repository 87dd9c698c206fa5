"""Incoming webhooks of Slack, sent to the sandbox and to servers that misbehave."""

from __future__ import annotations

import json
import logging
import re

import pytest
from pydantic import ValidationError

from segue.channels.slack.blocks import LONGEST_TEXT, sections
from segue.channels.slack.webhook import SlackWebhook
from segue.contracts.channel import Limit, Receipt
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import (
    closed_port,
    deliver,
    http,
    vendor,
)

SECRET = "T00000000/B00000000/sandbox"


def message(**fields: object):
    return SlackWebhook.model_validate({"text": "{{ contact.first_name }} is here", **fields})


def at(set_connection, host: str, password: str = SECRET):
    set_connection(
        "slack_webhook_default",
        conn_type="slackwebhook",
        host=host,
        password=password,
        extra={"timeout": 10},
    )
    return message()


def test_a_message_is_posted_with_nothing_unfurled(sandbox: Sandbox):
    assert deliver(message()) == Receipt()
    [received] = sandbox.messages(service="slack", kind="webhook_message")
    assert (received.to, received.text) == ("#general", "Ana is here")
    body = json.loads(received.raw["body"])
    section = {"type": "mrkdwn", "text": "Ana is here", "verbatim": True}
    assert body == {
        "text": "Ana is here",
        "blocks": [{"type": "section", "text": section}],
        "parse": "none",
        "unfurl_links": False,
        "unfurl_media": False,
    }


def test_it_may_have_blocks(sandbox: Sandbox):
    text = {"type": "mrkdwn", "text": "*{{ contact.first_name }}*"}
    deliver(message(blocks=[{"type": "section", "text": text}]), first_name="<!channel>")
    [received] = sandbox.messages(service="slack")
    [block] = received.fields["blocks"]
    assert block["text"] == {"type": "mrkdwn", "text": "*&lt;!channel&gt;*", "verbatim": True}


def test_the_whole_url_may_be_the_password(sandbox: Sandbox, set_connection):
    url = f"{sandbox.url}/slack/services/{SECRET}"
    set_connection("slack_webhook_default", conn_type="slackwebhook", password=url)
    deliver(message())
    assert len(sandbox.messages(kind="webhook_message")) == 1


def test_a_text_that_slack_would_cut_off_fails_before_it_is_sent(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="40000 characters"):
        deliver(message(), first_name="x" * LONGEST_TEXT)
    assert sandbox.messages() == []


def test_it_takes_one_message_a_second(sandbox: Sandbox):
    with message().connect() as sender:
        assert sender.limits({"text": "a"}) == (Limit("slack_webhook_default", 1, 1.0),)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("T00000000/B00000000/wrong", "invalid_token"),
        ("T00000000/B99999999/sandbox", "no_service"),
        ("T99999999/B00000000/sandbox", "no_team"),
        ("T00000000/B0ARCHIVED/sandbox", "channel_is_archived"),
        ("T00000000/B0DELETED/sandbox", "channel_not_found"),
        ("T00000000/B0PROHIBITED/sandbox", "action_prohibited"),
    ],
)
def test_a_webhook_that_does_not_work_is_of_the_connection(
    sandbox: Sandbox, set_connection, path: str, code: str
):
    """No message can go through it, so the slice stops; the secret is not in the error."""
    channel = at(set_connection, f"{sandbox.url}/slack/services", path)
    with pytest.raises(ConnectionFailure, match=code) as raised:
        deliver(channel)
    assert path not in str(raised.value)
    assert sandbox.messages() == []


def test_what_slack_says_of_the_message_is_of_the_contact(sandbox: Sandbox):
    """It has properties that Slack does not know, which Segue leaves to Slack."""
    text = {"type": "mrkdwn", "text": "a", "colour": "red"}
    with pytest.raises(ContactFailure, match="400: invalid_blocks"):
        deliver(message(blocks=[{"type": "section", "text": text}]))
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http("200 OK", "<html>ana@example.com</html>"), OutcomeUnknown),
        (http("200 OK", ""), OutcomeUnknown),
        (http("204 No Content", ""), OutcomeUnknown),
        (b"", OutcomeUnknown),
        (http("500 Internal Server Error", "rollup_error"), OutcomeUnknown),
        (http("504 Gateway Timeout", ""), OutcomeUnknown),
        (http("502 Bad Gateway", "<html>ana@example.com</html>"), TransientFailure),
        (http("408 Request Timeout", ""), TransientFailure),
        (http("400 Bad Request", "invalid_payload"), ContactFailure),
        (http("400 Bad Request", "no_text"), ContactFailure),
        (http("400 Bad Request", "no_active_hooks"), ConnectionFailure),
        (http("403 Forbidden", "<html>ana@example.com</html>"), UnprovenRefusal),
        (http("404 Not Found", ""), UnprovenRefusal),
        (http("413 Payload Too Large", ""), ContactFailure),
    ],
)
def test_what_an_answer_means(set_connection, answer: bytes, expected: type[Exception]):
    with vendor(answer) as url, pytest.raises(expected) as raised:
        deliver(at(set_connection, f"{url}/services"))
    assert type(raised.value) is expected
    assert not re.search("ana@|services|sandbox", str(raised.value), re.IGNORECASE)


def test_an_address_that_is_not_one_of_http_is_of_the_connection(set_connection):
    set_connection("slack_webhook_default", conn_type="slackwebhook", password=f"ftp://x/{SECRET}")
    with pytest.raises(ConnectionFailure, match="not one of HTTP") as raised:
        deliver(message())
    assert SECRET not in str(raised.value)


def test_a_connection_without_a_url_is_of_the_connection(set_connection):
    set_connection("slack_webhook_default", conn_type="slackwebhook")
    with pytest.raises(ConnectionFailure, match=r"slack_webhook_default.*password"):
        message().connect()


def test_the_url_and_the_message_are_logged_nowhere(sandbox: Sandbox, caplog, set_connection):
    caplog.set_level(logging.DEBUG)
    deliver(message())
    for host in (f"http://127.0.0.1:{closed_port()}/services", f"{sandbox.url}/slack/services"):
        channel = at(set_connection, host, "T00000000/B0DELETED/sandbox")
        with pytest.raises((TransientFailure, ConnectionFailure)):
            deliver(channel)
    assert not re.search("Ana|B00000000|B0DELETED", caplog.text)


@pytest.mark.parametrize("key", ["channel", "user", "email"])
def test_a_webhook_has_its_channel_in_slack(key: str):
    with pytest.raises(ValidationError) as raised:
        message(**{key: "#general"})
    assert [error["type"] for error in raised.value.errors()] == ["extra_forbidden"]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000,
        "word " * 2_500,
        "a line\n" * 2_000,
        "&amp;" * 2_000,
        "<https://example.com/|two words> " * 300,
        "x" * 2_990 + "<https://example.com/|two words>",
        "x" * 2_998 + "&amp; y",
        "a\n" + "x" * 3_000,
    ],
)
def test_a_long_text_is_cut_into_sections_and_nothing_of_it_is_lost(text: str):
    blocks = sections(text)
    parts = [block["text"]["text"] for block in blocks]
    assert all(0 < len(part) <= 3_000 for part in parts)
    assert all(part.count("<") == part.count(">") for part in parts)
    assert all(re.fullmatch(r"(?:[^&]|&amp;)*", part) for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
