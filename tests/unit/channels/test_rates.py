"""``segue_rate`` in a connection's extra, and what the channels assume without it."""

from __future__ import annotations

import pytest

from segue.channels.email.message import EmailMessage
from segue.channels.rates import limits_of, read_rate
from segue.channels.slack.message import SlackMessage
from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.contracts.channel import Channel, Limit
from segue.errors import ConnectionFailure
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import deliver, variables

CHANNELS: dict[str, Channel] = {
    "slack": SlackMessage.model_validate({"channel": "#escalations", "text": "hello"}),
    "zendesk": ZendeskTicket.model_validate({"subject": "s", "comment": "c"}),
    "freshdesk": FreshdeskTicket.model_validate(
        {"email": "team@example.com", "subject": "s", "description": "d"}
    ),
    "smtp": EmailMessage.model_validate({"subject": "s", "text": "t"}),
}


def limits(channel: Channel) -> list[Limit]:
    with channel.connect() as sender:
        return list(sender.limits(channel.render(variables())))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1/second", Limit("here", 1, 1.0)),
        ("700/minute", Limit("here", 700, 60.0)),
        ("5000/hour", Limit("here", 5000, 3600.0)),
    ],
)
def test_a_rate_is_a_number_of_calls_per_unit(written: str, expected: Limit):
    assert read_rate(written, "here") == (expected,)


def test_none_is_no_limit():
    assert read_rate("none", "here") == ()


@pytest.mark.parametrize(
    "written",
    ["700", "0/minute", "-1/minute", "1.5/second", "700/day", "700 /minute", "", None, 700, ["1"]],
)
def test_any_other_rate_says_what_is_allowed(written: object):
    with pytest.raises(ValueError, match=r"second, minute, hour.*'700/minute'.*'none'"):
        read_rate(written, "here")


@pytest.mark.parametrize(
    ("vendor", "expected"),
    [
        (
            "slack",
            [
                Limit("slack_default", 300, 60.0),
                Limit("slack_default #escalations", 1, 1.0),
            ],
        ),
        ("zendesk", [Limit("zendesk_default", 200, 60.0)]),
        ("freshdesk", [Limit("freshdesk_default", 80, 60.0)]),
        ("smtp", []),
    ],
)
def test_without_a_rate_the_published_limits_hold(
    sandbox: Sandbox, vendor: str, expected: list[Limit]
):
    assert limits(CHANNELS[vendor]) == expected


def test_a_channels_limit_is_of_the_channel_that_the_template_gives(sandbox: Sandbox):
    channel = SlackMessage.model_validate({"channel": "#{{ contact.team }}", "text": "hello"})
    with channel.connect() as sender:
        scopes = [
            limit.scope
            for team in ("north", "south")
            for limit in sender.limits(channel.render(variables(team=team)))
        ]
    assert scopes == [
        "slack_default",
        "slack_default #north",
        "slack_default",
        "slack_default #south",
    ]


FIELDS = {
    "slack": {"conn_type": "slack", "password": "xoxb-sandbox"},
    "zendesk": {"conn_type": "http", "login": "agent@example.com/token", "password": "sandbox"},
    "freshdesk": {"conn_type": "http", "login": "sandbox", "password": "X"},
    "smtp": {"conn_type": "smtp", "host": "127.0.0.1"},
}


def with_extra(set_connection, sandbox: Sandbox, vendor: str, extra: dict[str, object]) -> None:
    host = {"host": f"{sandbox.url}/{vendor}"} if vendor in ("zendesk", "freshdesk") else {}
    set_connection(f"{vendor}_default", **FIELDS[vendor], **host, extra=extra)


@pytest.mark.parametrize("vendor", CHANNELS)
def test_the_connections_rate_takes_the_place_of_the_default(
    sandbox: Sandbox, set_connection, vendor: str
):
    with_extra(set_connection, sandbox, vendor, {"segue_rate": "7/hour"})
    assert limits(CHANNELS[vendor])[0] == Limit(f"{vendor}_default", 7, 3600.0)


@pytest.mark.parametrize("vendor", CHANNELS)
def test_none_lifts_every_limit(sandbox: Sandbox, set_connection, vendor: str):
    with_extra(set_connection, sandbox, vendor, {"segue_rate": "none"})
    assert limits(CHANNELS[vendor]) == []


@pytest.mark.parametrize("vendor", CHANNELS)
def test_a_rate_that_cannot_be_read_is_of_the_connection(
    sandbox: Sandbox, set_connection, vendor: str
):
    with_extra(set_connection, sandbox, vendor, {"segue_rate": "fast"})
    with pytest.raises(ConnectionFailure, match=rf"{vendor}_default.*segue_rate.*'fast'; allowed"):
        CHANNELS[vendor].connect()


def test_the_rate_is_not_sent_as_a_header(sandbox: Sandbox, set_connection):
    with_extra(set_connection, sandbox, "zendesk", {"segue_rate": "7/hour", "X-Other": "kept"})
    deliver(CHANNELS["zendesk"])
    [received] = sandbox.messages(service="zendesk")
    assert "segue_rate" not in received.raw["headers"]
    assert received.raw["headers"]["x-other"] == "kept"


def test_a_connection_that_does_not_exist_has_no_limits():
    with pytest.raises(ConnectionFailure, match="'absent'"):
        limits_of("absent", default="none")
