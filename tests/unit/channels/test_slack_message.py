"""Slack messages, sent to the sandbox and to servers that misbehave."""

from __future__ import annotations

import logging
import re
from urllib.error import URLError

import pytest
from pydantic import ValidationError

from segue.channels.slack_message import LONGEST_TEXT, SlackMessage
from segue.delivery.channel import Audience, Receipt
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import HOSTILE, KEY, closed_port, deliver, http, vendor


def message(text: str = "{{ contact.first_name }} is here", channel: str = "#alerts"):
    return SlackMessage.model_validate({"channel": channel, "text": text})


def at(set_connection, base_url: str):
    set_connection(
        "slack_default",
        conn_type="slack",
        password="xoxb-sandbox",
        extra={"base_url": base_url, "timeout": 1},
    )
    return message()


def test_a_message_is_posted_with_its_key_and_nothing_unfurled(sandbox: Sandbox):
    receipt = deliver(message())
    [received] = sandbox.messages(service="slack")
    assert received.to == "#alerts"
    assert received.text == "Ana is here"
    assert received.fields["metadata"] == {
        "event_type": "segue_delivery",
        "event_payload": {"delivery": KEY},
    }
    body = received.raw["body"]
    assert '"unfurl_links": false' in body
    assert '"unfurl_media": false' in body
    assert '"link_names": false' in body
    ts, channel = received.fields["ts"], received.fields["channel"]
    assert receipt == Receipt(external_id=ts, results={"ts": ts, "channel": channel})


def test_it_is_for_the_team():
    assert message().addressed_to is Audience.TEAM


def test_one_client_serves_several_messages(sandbox: Sandbox):
    channel = message()
    with channel.connect() as sender:
        for key in ("a" * 64, "b" * 64):
            sender.send({"channel": "#alerts", "text": "hello"}, key=key)
    assert len(sandbox.messages(service="slack")) == 2


@pytest.mark.parametrize("name", HOSTILE)
def test_contact_text_cannot_mention_or_link(sandbox: Sandbox, name: str):
    deliver(message(), first_name=HOSTILE[name])
    [received] = sandbox.messages(service="slack")
    assert not set("<>") & set(received.text)
    escaped = HOSTILE[name].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert received.text == f"{escaped} is here"


def test_markup_of_the_template_itself_is_kept(sandbox: Sandbox):
    deliver(message("<!here> *{{ contact.first_name }}*: <{{ results.ticket.url }}|ticket>"))
    [received] = sandbox.messages(service="slack")
    assert received.text == "<!here> *Ana*: <https://example.com/?a=1&amp;b=2|ticket>"


@pytest.mark.parametrize(
    ("channel", "code"),
    [
        ("#missing-one", "channel_not_found"),
        ("#archived-one", "is_archived"),
        ("#private-one", "not_in_channel"),
    ],
)
def test_an_error_about_the_message_is_of_the_contact(sandbox: Sandbox, channel: str, code: str):
    with pytest.raises(ContactFailure, match=code):
        deliver(message(channel=channel))


def test_a_text_that_slack_would_cut_off_fails_before_it_is_sent(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="40000 characters"):
        deliver(message(), first_name="x" * LONGEST_TEXT)
    assert sandbox.messages() == []


def test_a_wrong_token_is_of_the_connection(sandbox: Sandbox, set_connection):
    extra = {"base_url": f"{sandbox.url}/slack/api/"}
    set_connection("slack_default", conn_type="slack", password="xoxb-wrong", extra=extra)
    with pytest.raises(ConnectionFailure, match="invalid_auth"):
        deliver(message())


def test_a_connection_without_a_token_is_of_the_connection(set_connection):
    set_connection("slack_default", conn_type="slack")
    with pytest.raises(ConnectionFailure, match=r"slack_default.*password"):
        message().connect()


def test_a_connection_that_does_not_exist_is_of_the_connection():
    absent = SlackMessage.model_validate({"connection": "absent", "channel": "#a", "text": "b"})
    with pytest.raises(ConnectionFailure, match="'absent'"):
        absent.connect()


def test_a_rate_limit_is_transient_and_says_how_long(sandbox: Sandbox):
    sandbox.fault("slack", "rate_limited", retry_after=7)
    with pytest.raises(TransientFailure, match="ratelimited") as raised:
        deliver(message())
    assert raised.value.retry_after == 7


def test_a_server_that_is_unwell_is_transient(sandbox: Sandbox):
    sandbox.fault("slack", "server_error")
    with pytest.raises(TransientFailure, match="service_unavailable"):
        deliver(message())


@pytest.mark.parametrize("fault", ["reset", "reset_after_effect", "time_out_after_effect"])
def test_a_lost_answer_is_unknown_and_never_posted_twice(sandbox: Sandbox, fault: str):
    options = {"delay": 4} if fault.startswith("time_out") else {}
    sandbox.fault("slack", fault, **options)
    with pytest.raises(OutcomeUnknown):
        deliver(message())
    assert len(sandbox.messages(service="slack")) == (0 if fault == "reset" else 1)


@pytest.mark.parametrize("code", ["internal_error", "fatal_error"])
def test_an_error_that_may_come_after_the_message_is_unknown(set_connection, code: str):
    with (
        vendor(http("200 OK", f'{{"ok": false, "error": "{code}"}}')) as url,
        pytest.raises(OutcomeUnknown, match=code),
    ):
        deliver(at(set_connection, f"{url}/"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http("200 OK", "<html>ana@example.com</html>"), OutcomeUnknown),
        (http("200 OK", '{"ok": true}'), OutcomeUnknown),
        (http("200 OK", "[1]"), OutcomeUnknown),
        (http("200 OK", '{"ok": false, "error": "Ana, ana@example.com"}'), OutcomeUnknown),
        (b"", OutcomeUnknown),
        (http("403 Forbidden", "<html>ana@example.com</html>"), ConnectionFailure),
        (http("404 Not Found", "not_found"), ConnectionFailure),
        (http("502 Bad Gateway", "<html>ana@example.com</html>"), TransientFailure),
        (http("504 Gateway Timeout", ""), OutcomeUnknown),
        (http("200 OK", '{"ok": false, "error": "missing_scope"}'), ConnectionFailure),
        (http("200 OK", '{"ok": false, "error": "team_added_to_org"}'), TransientFailure),
    ],
)
def test_what_an_answer_means(set_connection, answer: bytes, expected: type[Exception]):
    with vendor(answer) as url, pytest.raises(expected) as raised:
        deliver(at(set_connection, f"{url}/"))
    assert not re.search("ana", str(raised.value), re.IGNORECASE)


def test_a_refused_connection_is_transient(set_connection):
    with pytest.raises(TransientFailure, match="nothing was sent"):
        deliver(at(set_connection, f"http://127.0.0.1:{closed_port()}/"))


def test_an_unknown_host_is_of_the_connection(set_connection):
    with pytest.raises(ConnectionFailure, match="host"):
        deliver(at(set_connection, "http://nobody.invalid/"))


def test_a_server_without_tls_is_of_the_connection(set_connection):
    answer = http("200 OK", '{"ok": true}')
    with vendor(answer, reads=False) as url, pytest.raises(ConnectionFailure, match="secure"):
        deliver(at(set_connection, url.replace("http:", "https:") + "/"))


def test_nothing_of_a_message_is_logged(sandbox: Sandbox, caplog, set_connection):
    caplog.set_level(logging.DEBUG)
    deliver(message())
    with pytest.raises(TransientFailure) as raised:
        deliver(at(set_connection, f"http://127.0.0.1:{closed_port()}/"))
    assert "Ana" not in caplog.text
    assert not isinstance(raised.value.__cause__, URLError)


def test_unknown_keys_and_missing_ones_are_refused():
    with pytest.raises(ValidationError) as raised:
        SlackMessage.model_validate({"chanel": "#a", "text": "b"})
    assert {(error["loc"], error["type"]) for error in raised.value.errors()} == {
        (("channel",), "missing"),
        (("chanel",), "extra_forbidden"),
    }
