"""Requests to Slack and the sandbox's answers, held against Slack's published description.

``tests/unit/data/slack_web_api.json`` restates the parts of Slack's OpenAPI description that are
used, and says what of it is newer or left out. What goes over the wire is recorded between the
channel and the sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jsonschema
import pytest

from segue.channels.slack.message import SlackMessage
from segue.errors import ContactFailure, DeliveryError
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.slack_api import METHODS, TOKEN_TO_POST, user_id
from tests.unit.channels.support import KEY, OTHER_KEY, deliver, find, http, variables, vendor

DESCRIPTION = json.loads((Path(__file__).parents[2] / "data/slack_web_api.json").read_text())
FORM = {
    "boolean": {"enum": ["true", "false", "1", "0"]},
    "integer": {"type": "string", "pattern": r"^\d+$"},
    "number": {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
    "string": {"type": "string"},
}


@dataclass(frozen=True)
class Exchange:
    """One call of a method, and its answer."""

    method: str
    is_form: bool
    arguments: Mapping[str, Any]
    answer: Mapping[str, Any]


@contextmanager
def recorded(sandbox: Sandbox, set_connection, token: str = "xoxb-sandbox") -> Iterator[list]:
    """Let the Slack connection lead to the sandbox through a recorder; yield what it saw."""
    seen: list[Exchange] = []

    def forward(request: str) -> bytes:
        head, _, body = request.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        path = first.split(" ")[1]
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        kept = {name: headers[name] for name in ("authorization", "content-type")}
        answer = httpx.post(f"{sandbox.url}{path}", content=body.encode(), headers=kept)
        is_form = headers["content-type"].startswith("application/x-www-form-urlencoded")
        arguments = dict(parse_qsl(body)) if is_form else json.loads(body)
        seen.append(Exchange(path.rsplit("/", 1)[1], is_form, arguments, answer.json()))
        return http(f"{answer.status_code} OK", answer.text)

    with vendor(forward) as url:
        extra = {"base_url": f"{url}/slack/api/", "timeout": 10}
        set_connection("slack_default", conn_type="slack", password=token, extra=extra)
        yield seen


def check_request(exchange: Exchange) -> None:
    """Raise ValidationError where Slack describes no such request."""
    method = DESCRIPTION["methods"][exchange.method]
    described = {**method["arguments"], **method["newer"]}
    types: dict[str, Any] = {name: {"type": kind} for name, kind in described.items()}
    if exchange.is_form:
        types = {name: FORM[kind] for name, kind in described.items()}
    if not exchange.is_form:  # in JSON a structure stands as it is, not as text
        types |= {name: {"type": ["array", "object"]} for name in method["structures"]}
        types["blocks"] = {"$ref": "#/definitions/blocks"}
    schema = {
        "type": "object",
        "properties": types,
        "required": method["required"],
        "additionalProperties": False,
        "definitions": DESCRIPTION["definitions"],
    }
    jsonschema.validate(exchange.arguments, schema, format_checker=jsonschema.FormatChecker())


def check_answer(exchange: Exchange) -> None:
    """Raise ValidationError where Slack describes no such answer."""
    answer = DESCRIPTION["methods"][exchange.method]["answer"]
    schema = answer if exchange.answer["ok"] else DESCRIPTION["refusal"]
    jsonschema.validate(exchange.answer, {**schema, "definitions": DESCRIPTION["definitions"]})


def to(**place: str) -> SlackMessage:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "{{ contact.first_name }}"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "*{{ contact.first_name }}*"}},
    ]
    return SlackMessage.model_validate({"text": "Hello", "blocks": blocks, **place})


def test_every_request_and_answer_is_as_slack_describes_it(sandbox: Sandbox, set_connection):
    """Posting to a channel, an id and an address, and looking each of them up."""
    ana = user_id("ana@example.com")
    by_email = to(email="{{ contact.email }}", audience="contact")
    with recorded(sandbox, set_connection) as seen:
        for channel in (to(channel="#alerts"), to(user=ana), by_email):
            deliver(channel)
        for place in ({"channel": "#alerts"}, {"user": ana}):
            assert KEY in find(to(channel="#alerts"), (KEY, place), (OTHER_KEY, place))
    for exchange in seen:
        check_request(exchange)
        check_answer(exchange)
    assert {exchange.method for exchange in seen} == set(DESCRIPTION["methods"])
    assert set(DESCRIPTION["methods"]) == set(METHODS) - {"auth.test"}


@pytest.mark.parametrize(
    ("place", "token"),
    [
        ({"channel": "#missing-one"}, "xoxb-sandbox"),
        ({"channel": "#archived-one"}, "xoxb-sandbox"),
        ({"user": "UMISSING01"}, "xoxb-sandbox"),
        ({"email": "missing-ana@example.com"}, "xoxb-sandbox"),
        ({"channel": "#alerts"}, "xoxb-wrong"),
        ({"email": "ana@example.com"}, TOKEN_TO_POST),
    ],
)
def test_every_refusal_is_as_slack_describes_it(sandbox: Sandbox, set_connection, place, token):
    with recorded(sandbox, set_connection, token) as seen, pytest.raises(DeliveryError):
        deliver(to(**place))
    [exchange] = seen
    assert not exchange.answer["ok"]
    check_request(exchange)
    check_answer(exchange)


def test_direct_messages_are_listed_and_opened_as_slack_describes_it(sandbox: Sandbox):
    """Calls that Segue does not make, which the sandbox answers all the same."""
    ana = user_id("ana@example.com")
    for method, arguments in (
        ("conversations.open", {"users": ana, "return_im": "true"}),
        ("conversations.list", {"types": "im,public_channel", "exclude_archived": "true"}),
    ):
        headers = {"Authorization": "Bearer xoxb-sandbox"}
        answer = httpx.post(f"{sandbox.url}/slack/api/{method}", data=arguments, headers=headers)
        exchange = Exchange(method, True, arguments, answer.json())
        check_request(exchange)
        check_answer(exchange)


@pytest.mark.parametrize(
    "arguments",
    [
        {"text": "no channel"},
        {"channel": "#a", "text": 7},
        {"channel": "#a", "unfurl_links": "false"},
        {"channel": "#a", "blocks": [{}]},
        {"channel": "#a", "client_msg_id": "x"},
    ],
)
def test_the_check_refuses_what_slack_does_not_describe(arguments: dict[str, Any]):
    with pytest.raises(jsonschema.ValidationError):
        check_request(Exchange("chat.postMessage", False, arguments, {}))


def test_a_message_that_fails_before_it_is_sent_makes_no_request(sandbox: Sandbox, set_connection):
    with recorded(sandbox, set_connection) as seen, pytest.raises(ContactFailure):
        to(user="{{ contact.first_name }}", audience="team").render(variables())
    assert seen == []
