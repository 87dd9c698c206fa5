"""Requests to Jira and the sandbox's answers, held against Atlassian's published description.

``tests/unit/data/jira_rest_v3.json`` restates the parts of the description of Jira's REST API v3
that are used, and says what is left out. What goes over the wire is recorded between the channel
and the sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jsonschema
import pytest

from segue.channels.tickets.jira_issue import JiraIssue
from segue.errors import ConnectionFailure, ContactFailure
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.jira_api import API_TOKEN, EMAIL_ADDRESS, PERMISSIONS
from tests.unit.channels.support import KEY, OTHER_KEY, deliver, find, http, variables, vendor

DESCRIPTION = json.loads((Path(__file__).parents[2] / "data/jira_rest_v3.json").read_text())
OPERATIONS = DESCRIPTION["operations"]
CREATE, SEARCH, MAY = OPERATIONS
READ = {
    "array": lambda text: text.split(","),
    "boolean": {"true": True, "false": False}.get,
    "integer": int,
    "string": str,
}
WHOLE = {
    "project": "SEG",
    "summary": "Call {{ contact.first_name }}",
    "description": "Dear {{ contact.first_name }},\nplease call.\n\nThanks",
    "priority": "High",
    "labels": ["segue"],
    "assignee": "5b10ac8d82e05b22cc7d4ef5",
    "due_date": "2026-11-30",
    "fields": {"customfield_10020": {"value": "{{ contact.first_name }}"}},
}


@dataclass(frozen=True)
class Exchange:
    """One call of an operation, and its answer."""

    operation: str
    query: Mapping[str, str]
    body: Any
    status: int
    answer: Any


@contextmanager
def recorded(sandbox: Sandbox, set_connection, token: str = API_TOKEN) -> Iterator[list[Exchange]]:
    """Let the Jira connection lead to the sandbox through a recorder; yield what it saw."""
    seen: list[Exchange] = []

    def forward(request: str) -> bytes:
        head, _, body = request.partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(": ") for line in lines)
        headers = {name.lower(): value for name, _, value in pairs}
        kept = {
            name: headers[name] for name in ("authorization", "content-type") if name in headers
        }
        url = f"{sandbox.url}/jira{target}"
        answer = httpx.request(method, url, content=body.encode(), headers=kept)
        asked = urlsplit(target)
        seen.append(
            Exchange(
                f"{method} {asked.path}",
                dict(parse_qsl(asked.query)),
                json.loads(body) if body else None,
                answer.status_code,
                answer.json(),
            )
        )
        return http(f"{answer.status_code} OK", answer.text)

    with vendor(forward) as url:
        login = {"login": EMAIL_ADDRESS, "password": token, "extra": {"timeout": 5}}
        set_connection("jira_default", conn_type="http", host=url, **login)
        yield seen


def validate(value: object, schema: Mapping[str, Any]) -> None:
    """Raise ValidationError where the value is not as described."""
    with_others = {**schema, "components": DESCRIPTION["components"]}
    jsonschema.Draft202012Validator(with_others).validate(value)


def check_request(exchange: Exchange) -> None:
    """Raise ValidationError where Atlassian describes no such request."""
    described = OPERATIONS[exchange.operation]
    names = {"enum": list(described["query"])}
    validate(dict(exchange.query), {"propertyNames": names})
    types = {name: described["query"][name]["type"] for name in exchange.query}
    query = {name: READ[types[name]](text) for name, text in exchange.query.items()}
    validate(query, {"properties": described["query"], "allOf": [described.get("said", {})]})
    if "request" in described:
        validate(exchange.body, {"$ref": f"#/components/schemas/{described['request']}"})
    else:
        assert exchange.body is None


def check_answer(exchange: Exchange) -> None:
    """Raise ValidationError where Atlassian describes no such answer."""
    name = OPERATIONS[exchange.operation]["answers"][str(exchange.status)]
    validate(exchange.answer, {"$ref": f"#/components/schemas/{name}"} if name else {})


def whole(**changed: object) -> JiraIssue:
    return JiraIssue.model_validate({**WHOLE, **changed})


@pytest.fixture
def exchanges(sandbox: Sandbox, set_connection, monkeypatch) -> list[Exchange]:
    """An issue with everything it may have, a second one, and both looked for page by page."""
    monkeypatch.setattr("segue.channels.tickets.jira_issue.PAGE_SIZE", 1)
    with recorded(sandbox, set_connection) as seen:
        first = deliver(whole())
        deliver(whole(), key="a" * 64)
        message = whole().render(variables())
        since = datetime.now(UTC)
        assert find(whole(), (KEY, message), (OTHER_KEY, message), since=since) == {KEY: first}
    return seen


def test_every_request_and_answer_is_as_atlassian_describes_it(exchanges: list[Exchange]):
    for exchange in exchanges:
        check_request(exchange)
        check_answer(exchange)
    assert [one.operation for one in exchanges] == [CREATE, CREATE, SEARCH, SEARCH, MAY]
    assert [one.status for one in exchanges] == [201, 201, 200, 200, 200]
    assert "nextPageToken" in exchanges[3].query


def test_a_refused_issue_is_answered_as_atlassian_describes_it(sandbox: Sandbox, set_connection):
    with recorded(sandbox, set_connection) as seen, pytest.raises(ContactFailure, match="labels"):
        deliver(whole(labels=["two words"]))
    [exchange] = seen
    assert exchange.status == 400
    check_request(exchange)
    check_answer(exchange)


@pytest.mark.parametrize(
    ("status", "query"),
    [
        (400, {"projectKey": "SEG"}),
        (400, {"projectKey": "SEG", "permissions": "BROWSE"}),
        (404, {"projectKey": "NONE", "permissions": "BROWSE_PROJECTS"}),
    ],
)
def test_permissions_are_refused_as_atlassian_describes_it(sandbox: Sandbox, status: int, query):
    url = f"{sandbox.url}/jira{MAY.partition(' ')[2]}"
    answer = httpx.get(url, params=query, auth=(EMAIL_ADDRESS, API_TOKEN))
    assert answer.status_code == status
    check_answer(Exchange(MAY, query, None, status, answer.json()))


def test_the_permissions_of_the_sandbox_are_among_the_described_ones():
    described = OPERATIONS[MAY]["said"]["properties"]["permissions"]["enum"]
    assert PERMISSIONS.keys() <= set(described)


def test_wrong_credentials_are_told_in_the_described_form_and_in_the_one_seen(
    sandbox: Sandbox, set_connection
):
    """At 401 the sandbox answers as users saw it, which is not as the description has it."""
    refused = pytest.raises(ConnectionFailure, match="401")
    with recorded(sandbox, set_connection, "wrong") as seen, refused:
        deliver(whole())
    with pytest.raises(jsonschema.ValidationError):
        check_answer(seen[0])
    described = {"errorMessages": ["No."], "errors": {}}
    check_answer(Exchange(CREATE, {}, None, 401, described))
    refused = pytest.raises(ConnectionFailure, match="401")
    with vendor(http("401 Unauthorized", json.dumps(described))) as url, refused:
        set_connection("jira_default", conn_type="http", host=url, login="x", password="X")
        deliver(whole())


@pytest.mark.parametrize(
    "change",
    [
        {"fields": []},
        {"properties": {"segue.delivery": {"key": KEY}}},
        {"properties": [{"key": "segue.delivery"}]},
        {"properties": [{"key": 7, "value": {}}]},
        {"properties": [{"key": "segue.delivery", "value": {}, "id": "1"}]},
    ],
)
def test_a_body_that_is_not_described_is_found(exchanges: list[Exchange], change):
    body = {**exchanges[0].body, **change}
    with pytest.raises(jsonschema.ValidationError):
        check_request(Exchange(CREATE, {}, body, 201, None))


@pytest.mark.parametrize(
    ("operation", "query"),
    [
        (SEARCH, {"startAt": "0"}),
        (SEARCH, {"maxResults": "5001"}),
        (SEARCH, {"properties": "a,b,c,d,e,f"}),
        (MAY, {"projectKey": "SEG"}),
        (MAY, {"projectKey": "SEG", "permissions": "BROWSE"}),
    ],
)
def test_a_query_that_is_not_described_is_found(operation: str, query: dict[str, str]):
    with pytest.raises(jsonschema.ValidationError):
        check_request(Exchange(operation, query, None, 200, None))


def test_an_answer_that_is_not_described_is_found(exchanges: list[Exchange]):
    for exchange, place in ((exchanges[0], ()), (exchanges[2], ("issues", 0))):
        answer = deepcopy(exchange.answer)
        issue = answer
        for step in place:
            issue = issue[step]
        issue["id"] = int(issue["id"])
        with pytest.raises(jsonschema.ValidationError):
            check_answer(Exchange(exchange.operation, {}, None, exchange.status, answer))
