"""What the SDK's requests meet on the way: redirects, and answers that have no end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from segue.channels.slack import transport
from segue.channels.slack.message import SlackMessage
from segue.channels.slack.webhook import SlackWebhook
from segue.errors import OutcomeUnknown, UnprovenRefusal
from tests.unit.channels.support import deliver, http, vendor

POSTED = '{"ok": true, "ts": "1.2", "channel": "C0123456789"}'
REDIRECTS = ("301", "302", "303", "307", "308")


@contextmanager
def redirected(status: str, answer: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a server that leads to another one, and what that was asked, to which it says yes."""
    asked: list[str] = []

    def accept(request: str) -> bytes:
        asked.append(request)
        return http("200 OK", answer)

    with (
        vendor(accept) as other,
        vendor(http(f"{status} Moved", "", {"Location": f"{other}/api/x"})) as url,
    ):
        yield url, asked


@pytest.mark.parametrize("status", REDIRECTS)
def test_the_token_goes_to_no_other_host_and_nothing_there_delivers(status: str, set_connection):
    action = SlackMessage.model_validate({"channel": "C0123456789", "text": "Hello"})
    with redirected(status, POSTED) as (url, asked):
        extra = {"base_url": f"{url}/api/"}
        set_connection("slack_default", conn_type="slack", password="xoxb-1", extra=extra)
        with pytest.raises(UnprovenRefusal, match=f"Slack answered {status}"):
            deliver(action)
    assert asked == []


@pytest.mark.parametrize("status", REDIRECTS)
def test_a_webhook_is_led_to_no_other_host(status: str, set_connection):
    action = SlackWebhook.model_validate({"text": "Hello"})
    with redirected(status, "ok") as (url, asked):
        password = f"{url}/services/T00000000/B00000000/secret"
        set_connection("slack_webhook_default", conn_type="slackwebhook", password=password)
        with pytest.raises(OutcomeUnknown, match=f"Slack answered {status}"):
            deliver(action)
    assert asked == []


@pytest.mark.parametrize("status", ["200 OK", "500 Error"])
def test_an_answer_without_an_end_takes_no_memory(status: str, set_connection, monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 1_000)
    action = SlackMessage.model_validate({"channel": "C0123456789", "text": "Hello"})
    with vendor(http(status, "x" * 2_000)) as url:
        extra = {"base_url": f"{url}/api/"}
        set_connection("slack_default", conn_type="slack", password="xoxb-1", extra=extra)
        with pytest.raises(OutcomeUnknown, match="lost"):
            deliver(action)


def test_a_proxy_of_the_connection_is_asked(set_connection):
    """As it was by the SDK's own way."""
    asked: list[str] = []

    def accept(request: str) -> bytes:
        asked.append(request.splitlines()[0])
        return http("200 OK", POSTED)

    action = SlackMessage.model_validate({"channel": "C0123456789", "text": "Hello"})
    with vendor(accept) as url:
        extra = {"base_url": "http://slack.test/api/", "proxy": url}
        set_connection("slack_default", conn_type="slack", password="xoxb-1", extra=extra)
        assert deliver(action).external_id == "1.2"
    assert asked == ["POST http://slack.test/api/chat.postMessage HTTP/1.1"]
