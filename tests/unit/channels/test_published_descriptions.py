"""Prism stands between the channels and the sandbox, with what vendors publish of their APIs.

It refuses a request, and an answer, that the description does not allow, and says why
(https://github.com/stoplightio/prism). Neither is ours, so a mistake that a channel shares with its
look-alike is seen. ``published.py`` says what is judged.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from segue.contracts.channel import Channel, PartlyFound, channel_class
from segue.errors import DeliveryError
from segue.sandbox import wire
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import jira_api, slack_api, twilio_api
from segue.sandbox.vendors.qualtrics_api import answers as qualtrics_answers
from tests.channels import people
from tests.channels.case import Servers
from tests.channels.cases import CASES
from tests.unit.channels import published
from tests.unit.channels.servers import free_port, listening
from tests.unit.channels.support import KEY, OTHER_KEY, PATIENCE, deliver, http, variables, vendor
from tests.unit.channels.test_examples import examples

PRISM = published.FOLDER / "node_modules/.bin/prism"
KINDS = (people.PLAIN, people.REFUSED, "html", "emoji", "json")
CHANNELS = {  # that call a vendor
    "twilio": ["text_message"],
    "jira": ["jira_issue"],
    "slack": ["slack_message"],
    "qualtrics": ["survey_invitation", "survey_link"],
}
TAKEN = ("host", "content-length", "connection", "accept-encoding")  # headers of one connection


class Judge:
    """Hands requests to Prism, and notes what it says of them and of their answers."""

    url = ""  # where it listens

    def __init__(self, prism: str) -> None:
        self._client = httpx.Client(base_url=prism, timeout=PATIENCE)
        self.faults: list[str] = []
        self.calls: set[str] = set()

    def forward(self, request: str) -> bytes:
        head, _, body = request.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        kept = {name: text for name, text in headers.items() if name.lower() not in TAKEN}
        answer = self._client.request(method, path, content=body.encode(), headers=kept)
        self.calls.add(f"{method} {path.partition('?')[0]}")
        if answer.headers.get("content-type", "").startswith("application/problem+json"):
            self.faults.append(f"{first}\n{body}\n{answer.text}")
        return http(f"{answer.status_code} {answer.reason_phrase}", answer.text)


@pytest.fixture(scope="module")
def prism(running_sandbox: Sandbox, tmp_path_factory) -> Iterator[str]:
    """The address of a Prism in front of the sandbox."""
    if not PRISM.exists():
        why = f"{PRISM} is missing; .ci/judges installs it"
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            raise FileNotFoundError(why)
        pytest.skip(why)
    file = tmp_path_factory.mktemp("prism") / "openapi.json"
    file.write_text(json.dumps(published.document()))
    port = free_port()
    address = ["--host", "127.0.0.1", "--port", str(port)]
    command = [PRISM, "proxy", file, running_sandbox.url, "--errors", *address]
    with listening(command, port) as url:
        yield url


@pytest.fixture
def judge(prism: str) -> Iterator[Judge]:
    judge = Judge(prism)
    with vendor(judge.forward) as judge.url:
        yield judge


def calls_nobody_made(name: str, judge: Judge) -> list[tuple[str, str]]:
    """Return the calls that a vendor describes and nobody made."""
    return [
        (method, path)
        for method, path in published.judged_calls(name)
        if not any(re.fullmatch(f"{method} {path}", call) for call in judge.calls)
    ]


def try_everything(channel: Channel, contacts: Mapping[str, Mapping[str, Any]]) -> None:
    """Send to each of the contacts, look one up, and one that is not there, and check."""
    for contact in contacts.values():
        with suppress(DeliveryError):
            deliver(channel, **contact)
    plain = channel.render({**variables(**contacts[people.PLAIN]), "key": KEY})
    with channel.connect() as sender:
        plain = sender.complete(plain) if sender.lacks(plain) else plain
        with suppress(PartlyFound, DeliveryError):
            sender.find({key: channel.trace(plain) for key in (KEY, OTHER_KEY)}, datetime.now(UTC))
        with suppress(DeliveryError):
            sender.check(channel.needs)


@pytest.mark.parametrize("name", CHANNELS)
def test_what_is_sent_and_answered_is_as_the_vendor_describes_it(
    name: str, judge: Judge, sandbox: Sandbox, set_connection
):
    """By every action of a channel's case, to plain, refused and hostile contacts."""
    for case in map(CASES.__getitem__, CHANNELS[name]):
        connection = json.loads(case.connection_json(Servers(judge.url, "", 0)))
        set_connection(case.connection_id, **connection)
        contacts = {
            kind: people.contact(case.channel, kind, case.contacts.get(kind, {})) for kind in KINDS
        }
        for action in case.actions.values():
            fields = dict(action.fields)
            try_everything(channel_class(case.channel).model_validate(fields), contacts)
    assert not judge.faults, "\n\n".join(judge.faults)
    assert sandbox.messages(service=name)
    assert calls_nobody_made(name, judge) == []


@pytest.mark.parametrize("name", ["sendgrid", "github", "google_chat"])
def test_an_example_in_the_docs_calls_an_api_as_it_is_described(
    name: str, judge: Judge, sandbox: Sandbox, set_connection
):
    """The sandbox has no look-alike of these: what it answers is not judged."""
    [fields] = [one for one in examples("http_request") if one["connection"] == name]
    bases = {
        "sendgrid": "/sendgrid",
        "github": "/github",
        "google_chat": "/google_chat/v1/spaces%2FA",
    }
    set_connection(name, conn_type="http", host=f"{judge.url}{bases[name]}")
    channel = channel_class("http_request").model_validate(dict(fields))
    try_everything(channel, {people.PLAIN: {}})
    assert not judge.faults, "\n\n".join(judge.faults)
    assert calls_nobody_made(name, judge) == []


ACCOUNT = "/twilio/2010-04-01/Accounts/AC" + "0" * 32
WRONG = [  # path and body of requests that no vendor takes
    (f"{ACCOUNT}/Messages.json", {"data": {"To": "+447700900123", "ValidityPeriod": "soon"}}),
    ("/jira/rest/api/3/issue", {"json": {"fields": [], "properties": []}}),
    ("/slack/api/chat.postMessage", {"json": {"channel": "#a", "unfurl_links": "no"}}),
    ("/slack/api/conversations.history", {"data": {"channel": "C012345678", "limit": "all"}}),
    ("/qualtrics/API/v3/distributions", {"json": {"surveyId": 7}}),
    ("/sendgrid/v3/mail/send", {"json": {"subject": "Hello"}}),
    ("/github/repos/acme/crm/issues", {"json": {"body": "a title is required"}}),
    ("/google_chat/v1/spaces%2FA/messages", {"json": {"text": "Hello", "card": {}}}),
]


@pytest.mark.parametrize(("path", "body"), WRONG, ids=[path for path, _ in WRONG])
def test_the_judge_refuses_what_is_not_described(path: str, body: Any, judge: Judge):
    httpx.post(f"{judge.url}{path}", **body)
    [fault] = judge.faults
    assert "UNPROCESSABLE_ENTITY" in fault


ANSWERS = [  # by the channel that hears it: the look-alike, and what it may not answer
    ("text_message", twilio_api, {"num_segments": 7}),
    ("text_message", twilio_api, {"messages": {}}),
    ("jira_issue", jira_api, {"id": 10001}),
    ("jira_issue", jira_api, {"accountId": 7}),
    ("jira_issue", jira_api, {"permissions": []}),
    ("slack_message", slack_api, {"ts": 1503435956.000247}),
    ("slack_message", slack_api, {"messages": [{"text": 7}]}),
    ("slack_message", slack_api, {"channels": {}}),
    ("slack_message", slack_api, {"team_id": "Sandbox"}),
    ("slack_message", slack_api, {"user": {"id": 7}}),
    ("survey_link", qualtrics_answers, {"elements": 7}),
]


@pytest.mark.parametrize(("name", "vendor_api", "wrong"), ANSWERS)
def test_the_judge_refuses_an_answer_that_is_not_described(
    name: str, vendor_api, wrong, judge: Judge, sandbox: Sandbox, set_connection, monkeypatch
):
    def with_wrong(content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        inner = {
            key: with_wrong(value) if key == "result" else value for key, value in content.items()
        }
        return inner | wrong if wrong.keys() <= inner.keys() else inner

    def answer(content: Any, *rest: Any, **more: Any) -> Response:
        return wire.json_answer(with_wrong(content), *rest, **more)

    monkeypatch.setattr(vendor_api, "json_answer", answer)
    case = CASES[name]
    connection = json.loads(case.connection_json(Servers(judge.url, "", 0)))
    set_connection(case.connection_id, **connection)
    contact = people.contact(name, people.PLAIN, case.contacts.get(people.PLAIN, {}))
    for action in case.actions.values():
        channel = channel_class(name).model_validate(dict(action.fields))
        with suppress(DeliveryError):
            try_everything(channel, {people.PLAIN: contact})
    assert any("VIOLATIONS" in fault for fault in judge.faults)
