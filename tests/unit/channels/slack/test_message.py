"""Slack messages, sent to the sandbox and to servers that misbehave."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from urllib.error import URLError

import pytest
from pydantic import ValidationError

from segue.channels.slack.blocks import LONGEST_TEXT
from segue.channels.slack.message import SlackMessage
from segue.contracts.channel import Limit, NoAddress, Receipt
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.slack_api import TOKEN_TO_POST, user_id
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    OTHER_KEY,
    closed_port,
    deliver,
    find,
    http,
    variables,
    vendor,
)


def message(text: str = "{{ contact.first_name }} is here", channel: str = "#alerts"):
    return SlackMessage.model_validate({"channel": channel, "text": text})


def to_person(**fields: str):
    """Return a message to a person: their ``user`` or ``email``, and perhaps an ``audience``."""
    return SlackMessage.model_validate({"text": "{{ contact.first_name }} is here", **fields})


def at(set_connection, base_url: str, channel: SlackMessage | None = None):
    set_connection(
        "slack_default",
        conn_type="slack",
        password="xoxb-sandbox",
        extra={"base_url": base_url, "timeout": 10},
    )
    return channel or message()


def test_one_client_serves_several_messages(sandbox: Sandbox):
    channel = message()
    with channel.connect() as sender:
        for key in ("a" * 64, "b" * 64):
            sender.send({"channel": "#alerts", "text": "hello"}, key=key)
    assert len(sandbox.messages(service="slack")) == 2


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
def test_a_wrong_place_is_the_definitions_unless_a_template_names_it(
    sandbox: Sandbox, channel: str, code: str
):
    with pytest.raises(ConnectionFailure, match=f"{code}; check the channel, and invite the app"):
        deliver(message(channel=channel))
    with pytest.raises(UnprovenRefusal, match=f"{code}; check the channel, and invite the app"):
        deliver(message(channel="{{ contact.place }}"), place=channel)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("msg_too_long", ContactFailure),
        ("invalid_blocks", ContactFailure),
        ("message_limit_exceeded", TransientFailure),
        ("something_new", UnprovenRefusal),
    ],
)
@pytest.mark.parametrize("place", ["#alerts", "{{ contact.contact_id }}"])
def test_what_a_code_means_wherever_it_goes(set_connection, code: str, expected, place: str):
    with vendor(http("200 OK", json.dumps({"ok": False, "error": code}))) as url:
        channel = at(set_connection, f"{url}/", message(channel=place))
        with pytest.raises(expected, match=code) as raised:
            deliver(channel)
    assert type(raised.value) is expected


def test_a_text_that_slack_would_cut_off_fails_before_it_is_sent(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="40000 characters"):
        deliver(message(), first_name="x" * LONGEST_TEXT)
    assert sandbox.messages() == []


def test_a_connection_without_a_token_is_of_the_connection(set_connection):
    set_connection("slack_default", conn_type="slack")
    with pytest.raises(ConnectionFailure, match=r"slack_default.*password"):
        message().connect()


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
        (http("403 Forbidden", "<html>ana@example.com</html>"), UnprovenRefusal),
        (http("404 Not Found", "not_found"), UnprovenRefusal),
        (http("502 Bad Gateway", "<html>ana@example.com</html>"), OutcomeUnknown),
        (http("503 Unavailable", "<html>ana@example.com</html>"), TransientFailure),
        (http("504 Gateway Timeout", ""), OutcomeUnknown),
        (http("200 OK", '{"ok": false, "error": "missing_scope"}'), ConnectionFailure),
        (http("200 OK", '{"ok": false, "error": "team_added_to_org"}'), TransientFailure),
    ],
)
def test_what_an_answer_means(set_connection, answer: bytes, expected: type[Exception]):
    with vendor(answer) as url, pytest.raises(expected) as raised:
        deliver(at(set_connection, f"{url}/"))
    assert not re.search("ana", str(raised.value), re.IGNORECASE)


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
        (("chanel",), "extra_forbidden"),
    }
    with pytest.raises(ValidationError) as raised:
        SlackMessage.model_validate({"channel": "#a"})
    assert [(error["loc"], error["type"]) for error in raised.value.errors()] == [
        (("text",), "missing")
    ]


# ---- asking whether a message is there --------------------------------------------------------


def sent(key: str = KEY, channel: str = "#alerts"):
    return key, {"channel": channel, "text": "hello"}


def calls(requests: list[str]) -> list[str]:
    """Return the methods called, with the channel of each history."""
    found = [re.match(r"POST /(\S+)[\s\S]*?(?:channel=(\w+)[\s\S]*)?$", one) for one in requests]
    return [" ".join(filter(None, match.groups())) for match in found if match]


def scripted(*channels: dict[str, object], histories: dict[str, list[dict[str, object]]]):
    """Return a script of a workspace with these channels and histories, and what it was asked."""
    requests: list[str] = []

    def answer(request: str) -> bytes:
        requests.append(request)
        if "conversations.list" in request:
            return http("200 OK", json.dumps({"ok": True, "channels": channels}))
        channel = re.search(r"channel=(\w+)", request)
        pages = histories[channel[1] if channel else ""]
        cursor = re.search(r"cursor=(\d+)", request)
        return http("200 OK", json.dumps({"ok": True} | pages[int(cursor[1]) if cursor else 0]))

    return answer, requests


def posted(key: str, ts: str = "1.000001") -> dict[str, object]:
    payload = {"delivery": key}
    return {"ts": ts, "metadata": {"event_type": "segue_delivery", "event_payload": payload}}


def test_the_trace_is_the_channel_as_the_template_gave_it():
    channel = message(channel="#{{ contact.team }}")
    assert channel.trace(channel.render(variables(team="north"))) == {"channel": "#north"}


def test_a_message_in_a_channel_with_an_id_is_found_without_a_list(set_connection):
    answer, requests = scripted(histories={"C0123456789": [{"messages": [posted(KEY)]}]})
    with vendor(answer) as url:
        found = find(at(set_connection, f"{url}/"), sent(channel="C0123456789"))
    results = {"ts": "1.000001", "channel": "C0123456789"}
    assert found == {KEY: Receipt(external_id="1.000001", results=results)}
    assert calls(requests) == ["conversations.history C0123456789"]


def test_each_channel_is_read_once_for_all_of_its_messages(sandbox: Sandbox, set_connection):
    for key in ("a" * 64, "b" * 64):
        deliver(message(), key=key)
    deliver(message(channel="#other"), key="c" * 64)
    wanted = [sent("a" * 64), sent("b" * 64), sent("d" * 64), sent("c" * 64, channel="other")]
    assert find(message(), *wanted).keys() == {"a" * 64, "b" * 64, "c" * 64}

    answer, requests = scripted(
        {"id": "C1", "name": "alerts"},
        {"id": "C2", "name": "other"},
        histories={"C1": [{"messages": []}], "C2": [{"messages": []}]},
    )
    with vendor(answer) as url:
        assert find(at(set_connection, f"{url}/"), *wanted) == {}
    assert calls(requests) == [
        "conversations.list",
        "conversations.history C1",
        "conversations.history C2",
    ]


def test_only_messages_since_then_are_read_with_five_minutes_for_the_clocks(set_connection):
    answer, requests = scripted(histories={"C0123456789": [{"messages": []}]})
    since = datetime.now(UTC)
    with vendor(answer) as url:
        find(at(set_connection, f"{url}/"), sent(channel="C0123456789"), since=since)
    oldest = re.search(r"oldest=([\d.]+)", requests[0])
    assert oldest
    assert float(oldest[1]) == pytest.approx(since.timestamp() - 300, abs=0.001)
    assert "include_all_metadata=true" in requests[0]


def test_a_history_is_read_to_its_last_page(set_connection):
    next_page = {"response_metadata": {"next_cursor": "1"}, "has_more": True}
    pages = [{"messages": [{"ts": "2.0"}], **next_page}, {"messages": [posted(KEY)]}]
    answer, _ = scripted(histories={"C0123456789": pages})
    with vendor(answer) as url:
        assert find(at(set_connection, f"{url}/"), sent(channel="C0123456789"))


def test_a_channel_that_was_renamed_is_read_beside_the_one_that_has_its_name_now(set_connection):
    answer, _ = scripted(
        {"id": "C1", "name": "alerts", "previous_names": []},
        {"id": "C2", "name": "alerts-old", "previous_names": ["alerts"]},
        {"id": "C3", "name": "elsewhere", "previous_names": ["general"]},
        histories={"C1": [{"messages": []}], "C2": [{"messages": [posted(KEY)]}]},
    )
    with vendor(answer) as url:
        found = find(at(set_connection, f"{url}/"), sent())
    assert found[KEY].results["channel"] == "C2"


def test_nothing_is_read_once_every_message_is_found(set_connection):
    answer, requests = scripted(
        {"id": "C1", "name": "alerts"},
        {"id": "C2", "name": "alerts-old", "previous_names": ["alerts"]},
        histories={"C1": [{"messages": [posted(KEY)]}]},
    )
    with vendor(answer) as url:
        assert find(at(set_connection, f"{url}/"), sent()).keys() == {KEY}
    assert calls(requests) == ["conversations.list", "conversations.history C1"]


def test_the_metadata_of_others_is_no_message_of_ours(set_connection):
    other = {"ts": "1.0", "metadata": {"event_type": "task", "event_payload": {"delivery": KEY}}}
    answer, _ = scripted(histories={"C0123456789": [{"messages": [other, posted(OTHER_KEY)]}]})
    with vendor(answer) as url:
        assert find(at(set_connection, f"{url}/"), sent(channel="C0123456789")) == {}


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"messages": None},
        {"messages": [], "has_more": True},  # and no cursor
        {"messages": [], "response_metadata": {"next_cursor": "0"}},  # round and round
        {"messages": [{"ts": "1.0", "metadata": {"event_type": "segue_delivery"}}]},  # withheld
        {"messages": [{"ts": "1.0", "metadata": "text"}]},
    ],
)
def test_a_history_that_does_not_tell_is_unknown(set_connection, page: dict[str, object]):
    answer, _ = scripted(histories={"C0123456789": [page]})
    with vendor(answer) as url, pytest.raises(OutcomeUnknown):
        find(at(set_connection, f"{url}/"), sent(channel="C0123456789"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"ok": false, "error": "missing_scope"}', OutcomeUnknown),
        ('{"ok": false, "error": "channel_not_found"}', OutcomeUnknown),
        ('{"ok": false, "error": "not_in_channel"}', OutcomeUnknown),
        ('{"ok": false, "error": "something_new"}', OutcomeUnknown),
        ('{"ok": false, "error": "invalid_auth"}', ConnectionFailure),
        ('{"ok": false, "error": "token_expired"}', ConnectionFailure),
        ('{"ok": false, "error": "account_inactive"}', ConnectionFailure),
        ('{"ok": false, "error": "internal_error"}', TransientFailure),
        ('{"ok": false, "error": "fatal_error"}', TransientFailure),
        ('{"ok": false, "error": "ratelimited"}', TransientFailure),
        ("<html>", TransientFailure),
        ("", TransientFailure),
    ],
)
def test_what_an_answer_to_a_question_means(set_connection, answer: str, expected: type[Exception]):
    with vendor(http("200 OK", answer)) as url, pytest.raises(expected):
        find(at(set_connection, f"{url}/"), sent(channel="C0123456789"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("403 Forbidden", TransientFailure),
        ("404 Not Found", TransientFailure),
        ("502 Bad Gateway", TransientFailure),
        ("504 Gateway Timeout", TransientFailure),
    ],
)
def test_what_a_status_means_for_a_question(set_connection, status: str, expected):
    with vendor(http(status, "")) as url, pytest.raises(expected):
        find(at(set_connection, f"{url}/"), sent(channel="C0123456789"))


def test_a_token_that_may_only_post_posts_and_cannot_tell(sandbox: Sandbox, set_connection):
    extra = {"base_url": f"{sandbox.url}/slack/api/"}
    set_connection("slack_default", conn_type="slack", password=TOKEN_TO_POST, extra=extra)
    deliver(message())
    with pytest.raises(OutcomeUnknown, match=r"missing_scope.*scopes"):
        find(message(), sent())


def test_a_channel_the_app_has_not_joined_cannot_be_read(sandbox: Sandbox):
    deliver(message(channel="#public-lobby"))
    with pytest.raises(OutcomeUnknown, match=r"not_in_channel.*invite"):
        find(message(), sent(channel="#public-lobby"))


@pytest.mark.parametrize("channel", ["#private-one", "U0123456789", "@ana"])
def test_a_channel_that_is_not_listed_is_unknown(sandbox: Sandbox, channel: str):
    with pytest.raises(OutcomeUnknown, match="no channel of that name"):
        find(message(), sent(channel=channel))


def test_a_message_without_a_trace_is_unknown(sandbox: Sandbox):
    with message().connect() as sender, pytest.raises(OutcomeUnknown):
        sender.find({KEY: {}}, datetime.now(UTC))


# ---- people -----------------------------------------------------------------------------------

ANA = user_id("ana@example.com")
CONTACT = {"email": "{{ contact.email }}", "audience": "contact"}
TEAM = {"email": "boss@example.com"}


def completed(channel: SlackMessage, **contact: str):
    """Complete and send a message as the door does, and return its trace."""
    rendered = channel.render(variables(**contact))
    with channel.connect() as sender:
        whole = sender.complete(rendered)
        assert not sender.lacks(whole)
        sender.send(whole, key=KEY)
    return channel.trace(whole)


def test_a_person_is_written_to_by_id(sandbox: Sandbox):
    receipt = deliver(to_person(user="{{ contact.slack }}", audience="contact"), slack=ANA)
    [received] = sandbox.messages(service="slack")
    assert received.to == f"@{ANA}"
    assert receipt.results["channel"].startswith("D")
    assert received.fields["metadata"]["event_payload"] == {"delivery": KEY}


def test_a_person_is_written_to_by_address(sandbox: Sandbox):
    """Also where nobody asked for what it lacks: the first thing that is asked is the address."""
    deliver(to_person(**CONTACT))
    [received] = sandbox.messages(service="slack")
    assert received.to == f"@{ANA}"
    assert "ana@example.com" not in str(received.raw)


def test_the_trace_of_a_person_is_the_id_and_never_the_address(sandbox: Sandbox):
    channel = to_person(**CONTACT)
    assert completed(channel) == {"user": ANA}
    assert channel.trace(channel.render(variables())) == {}


def test_an_address_is_looked_up_once(set_connection):
    asked: list[str] = []

    def answer(request: str) -> bytes:
        asked.append(request)
        return http("200 OK", json.dumps({"ok": True, "user": {"id": "U1"}}))

    channel = to_person(**TEAM)
    rendered = channel.render(variables())
    with vendor(answer) as url, at(set_connection, f"{url}/", channel).connect() as sender:
        assert [sender.complete(rendered)["user"] for _ in range(3)] == ["U1"] * 3
    assert len(asked) == 1
    assert "boss%40example.com" in asked[0].partition("\r\n\r\n")[2]  # not in the URL


@pytest.mark.parametrize(
    ("fields", "expected"), [(CONTACT, NoAddress), (TEAM, ContactFailure)], ids=["contact", "team"]
)
@pytest.mark.parametrize("address", ["missing-ana@example.com", "no address", ""])
def test_an_address_that_finds_nobody_is_an_outcome(sandbox: Sandbox, fields, expected, address):
    """The contact whose it is has no address here; where it is the team's, it is a failure."""
    written = {**fields, "email": "{{ contact.email | default('') }}", "audience": "contact"}
    if expected is ContactFailure:
        written["audience"] = "team"
    with pytest.raises(ContactFailure) as raised:
        deliver(to_person(**written), email=address)
    assert type(raised.value) is expected
    assert "ana" not in str(raised.value)
    assert sandbox.messages() == []


def test_a_person_who_has_left_is_nobody(set_connection):
    answer = http("200 OK", json.dumps({"ok": True, "user": {"id": "U1", "deleted": True}}))
    with vendor(answer) as url, pytest.raises(NoAddress):
        completed(at(set_connection, f"{url}/", to_person(**CONTACT)))


def test_a_person_who_is_not_there_is_the_definitions_unless_a_template_names_them(
    sandbox: Sandbox,
):
    with pytest.raises(ConnectionFailure, match="channel_not_found"):
        deliver(to_person(user="UMISSING01"))
    with pytest.raises(UnprovenRefusal, match="channel_not_found"):
        deliver(to_person(user="{{ contact.agent }}", audience="team"), agent="UMISSING01")
    with pytest.raises(ConnectionFailure, match="nobody with the address in `email`"):
        completed(to_person(email="missing-boss@example.com"))


@pytest.mark.parametrize("written", ["ana@example.com", "<!channel>", "#general", "u012", ""])
def test_what_is_no_persons_id_fails_before_it_is_sent(sandbox: Sandbox, written: str):
    channel = to_person(user="{{ contact.slack | default('') }}", audience="contact")
    with pytest.raises(ContactFailure, match="not the id of a person") as raised:
        deliver(channel, slack=written)
    assert not written or written not in str(raised.value)
    assert sandbox.messages() == []


def test_a_person_is_no_channel_without_saying_who_it_is(sandbox: Sandbox):
    """Else a contact who opted out could be written to."""
    with pytest.raises(ContactFailure, match="write it as `user`"):
        deliver(message(channel="{{ contact.slack }}"), slack=ANA)
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http("200 OK", '{"ok": false, "error": "missing_scope"}'), ConnectionFailure),
        (http("200 OK", '{"ok": false, "error": "invalid_auth"}'), ConnectionFailure),
        (http("200 OK", '{"ok": false, "error": "internal_error"}'), TransientFailure),
        (http("200 OK", '{"ok": false, "error": "ratelimited"}'), TransientFailure),
        (http("200 OK", '{"ok": false, "error": "something_new"}'), UnprovenRefusal),
        (http("200 OK", '{"ok": false, "error": "Ana, ana@example.com"}'), TransientFailure),
        (http("200 OK", '{"ok": true, "user": "ana@example.com"}'), TransientFailure),
        (http("200 OK", "<html>ana@example.com</html>"), TransientFailure),
        (http("504 Gateway Timeout", ""), TransientFailure),
        (b"", TransientFailure),
    ],
)
def test_what_an_answer_about_an_address_means(set_connection, answer: bytes, expected):
    """Nothing has been sent, so nothing is in doubt."""
    with vendor(answer) as url, pytest.raises(expected) as raised:
        completed(at(set_connection, f"{url}/", to_person(**CONTACT)))
    assert type(raised.value) is expected
    assert not re.search("ana", str(raised.value), re.IGNORECASE)


def test_a_rate_limit_of_addresses_says_how_long(sandbox: Sandbox):
    sandbox.fault("slack", "rate_limited", retry_after=9, path="users.lookupByEmail")
    with pytest.raises(TransientFailure, match="ratelimited") as raised:
        completed(to_person(**CONTACT))
    assert raised.value.retry_after == 9


def test_looking_addresses_up_has_a_limit_of_its_own(sandbox: Sandbox):
    channel = to_person(**CONTACT)
    rendered = channel.render(variables())
    with channel.connect() as sender:
        assert sender.limits(rendered) == [Limit("slack_default users.lookupByEmail", 50, 60)]
        whole = sender.complete(rendered)
        assert sender.limits(rendered) == ()  # it is known now
        assert sender.limits(whole)[1:] == [Limit(f"slack_default {ANA}", 1, 1)]


@pytest.mark.parametrize("name", HOSTILE)
def test_contact_text_cannot_mention_or_link_in_direct_messages(sandbox: Sandbox, name: str):
    deliver(to_person(**CONTACT), first_name=HOSTILE[name])
    [received] = sandbox.messages(service="slack")
    assert not set("<>") & set(received.text)


@pytest.mark.parametrize("fault", ["reset_after_effect", "malformed_answer", "reset"])
def test_a_lost_answer_from_a_person_is_looked_up(sandbox: Sandbox, fault: str):
    """In the direct messages with them, by the id that the trace has."""
    channel = to_person(**CONTACT)
    rendered = channel.render(variables())
    with channel.connect() as sender:
        whole = sender.complete(rendered)
        sandbox.fault("slack", fault, path="chat.postMessage")
        with pytest.raises(OutcomeUnknown):
            sender.send(whole, key=KEY)
    received = sandbox.messages(service="slack")
    found = find(channel, (KEY, whole), (OTHER_KEY, whole))
    assert [found[key].external_id for key in found] == [one.fields["ts"] for one in received]
    assert set(found) == ({KEY} if fault != "reset" else set())


def test_one_question_reads_channels_and_people(sandbox: Sandbox):
    channel = to_person(user=ANA)
    deliver(channel, key="a" * 64)
    deliver(message(), key="b" * 64)
    traces = {"a" * 64: {"user": ANA}, "b" * 64: {"channel": "#alerts"}, "c" * 64: {"user": ANA}}
    with channel.connect() as sender:
        assert set(sender.find(traces, datetime.now(UTC))) == {"a" * 64, "b" * 64}


@pytest.mark.parametrize("error", ["missing_scope", "user_not_found", "user_disabled"])
def test_direct_messages_that_cannot_be_opened_cannot_be_told(set_connection, error: str):
    answer = http("200 OK", json.dumps({"ok": False, "error": error}))
    channel = to_person(user=ANA)
    with vendor(answer) as url, pytest.raises(OutcomeUnknown, match=error):
        find(at(set_connection, f"{url}/", channel), (KEY, {"user": ANA}))


def test_a_token_that_may_only_post_writes_to_people_and_cannot_tell(
    sandbox: Sandbox, set_connection
):
    extra = {"base_url": f"{sandbox.url}/slack/api/"}
    set_connection("slack_default", conn_type="slack", password=TOKEN_TO_POST, extra=extra)
    deliver(to_person(user=ANA))
    with pytest.raises(OutcomeUnknown, match="missing_scope"):
        find(to_person(user=ANA), (KEY, {"user": ANA}))
    with pytest.raises(ConnectionFailure, match="missing_scope"):
        deliver(to_person(**CONTACT))


@pytest.mark.parametrize(
    ("fields", "key", "said"),
    [
        ({}, "channel", "found none; allowed: one of channel, user, email"),
        ({"channel": "#a", "email": "a@b"}, "email", "found channel and email"),
        ({"user": "U01234567", "email": "a@b"}, "email", "found user and email"),
        ({"user": "ana@example.com"}, "user", "an address stands in `email`"),
        ({"email": "ana"}, "email", "allowed: an email address"),
        ({"channel": "U0123456789"}, "channel", "a person's id; write it as `user`"),
        ({"user": "{{ contact.slack }}"}, "audience", "'user' is a template"),
        ({"email": "{{ contact.email }}"}, "audience", "'email' is a template"),
    ],
)
def test_whom_it_is_for_is_said_once(fields: dict[str, str], key: str, said: str):
    with pytest.raises(ValidationError) as raised:
        to_person(**fields)
    [problems] = [error["ctx"]["error"] for error in raised.value.errors()]
    [(at_key, text)] = problems.problems
    assert at_key == (key,)
    assert said in text


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway"])
def test_a_pause_that_is_asked_for_is_kept_when_an_address_is_looked_up(set_connection, status):
    with vendor(http(status, "", {"Retry-After": "12"})) as url:
        channel = SlackMessage.model_validate({"email": "ana@example.com", "text": "a"})
        with pytest.raises(TransientFailure, match=status[:3]) as raised:
            deliver(at(set_connection, f"{url}/", channel))
    assert raised.value.retry_after == 12
