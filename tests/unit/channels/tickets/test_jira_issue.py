"""Jira issues, sent to the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from segue.channels.tickets.jira_issue import PROPERTY, JiraIssue
from segue.errors import OutcomeUnknown
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    deliver,
    find,
    http,
    variables,
    vendor,
)


def issue(**fields: object) -> JiraIssue:
    base = {"project": "SEG", "summary": "Call {{ contact.contact_id }}"}
    return JiraIssue.model_validate(base | fields)


def sent(key: str = KEY, **fields: object):
    return key, issue(**fields).render(variables())


def test_a_description_is_paragraphs_and_line_breaks(sandbox: Sandbox):
    deliver(issue(description="Dear {{ contact.first_name }},\nplease call.\n\nThanks"))
    [received] = sandbox.messages(service="jira")
    lines = [
        {"type": "text", "text": "Dear Ana,"},
        {"type": "hardBreak"},
        {"type": "text", "text": "please call."},
    ]
    assert json.loads(received.raw["body"])["fields"]["description"] == {
        "version": 1,
        "type": "doc",
        "content": [
            {"type": "paragraph", "content": lines},
            {"type": "paragraph", "content": [{"type": "text", "text": "Thanks"}]},
        ],
    }


def test_what_is_left_out_is_not_sent(sandbox: Sandbox):
    deliver(issue())
    [received] = sandbox.messages(service="jira")
    fields = json.loads(received.raw["body"])["fields"]
    assert set(fields) == {"project", "issuetype", "summary"}


@pytest.mark.parametrize("name", HOSTILE)
def test_contact_text_is_no_markup(sandbox: Sandbox, name: str):
    """A document holds text as text; there is no syntax to break out of."""
    deliver(issue(description="{{ contact.first_name }}"), first_name=HOSTILE[name])
    [received] = sandbox.messages(service="jira")
    nodes = [
        node
        for paragraph in json.loads(received.raw["body"])["fields"]["description"]["content"]
        for node in paragraph["content"]
    ]
    assert {node["type"] for node in nodes} <= {"text", "hardBreak"}
    assert all(node.keys() <= {"type", "text"} for node in nodes)
    words = "".join(node.get("text", "") for node in nodes).split()
    assert words == HOSTILE[name].replace("\r\n", "").split() or name == "line breaks"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"project": "seg"}, "project"),
        ({"project": 'SEG" OR project = "OPS'}, "project"),
        ({"fields": {"summary": "x"}}, "'summary' has a key of its own"),
        ({"labels": "one"}, "labels"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields, said: str):
    with pytest.raises(ValidationError, match=said):
        issue(**fields)


# ---- asking whether an issue is there -----------------------------------------------------------


def test_each_is_looked_for_in_its_own_project(sandbox: Sandbox):
    elsewhere = deliver(issue(project="OPS"))
    assert find(issue(), sent(KEY)) == {}
    assert find(issue(), sent(KEY, project="OPS")) == {KEY: elsewhere}


def test_issues_are_listed_page_by_page_to_the_end(sandbox: Sandbox, monkeypatch):
    monkeypatch.setattr("segue.channels.tickets.jira_issue.PAGE_SIZE", 2)
    first = deliver(issue())
    for number in range(4):
        deliver(issue(), key=f"{number}" * 64)
    assert find(issue(), sent()) == {KEY: first}


def listing(*pages: dict[str, object], may_browse: object = True):
    """Return a script of an account with these pages, and what it was asked."""
    requests: list[str] = []
    left = list(pages)

    def answer(request: str) -> bytes:
        requests.append(request.partition(" HTTP")[0])
        if "mypermissions" in request:
            held = {"permissions": {"BROWSE_PROJECTS": {"havePermission": may_browse}}}
            return http("200 OK", json.dumps(held))
        return http("200 OK", json.dumps(left.pop(0) if len(left) > 1 else left[0]))

    return answer, requests


def at(set_connection, url: str) -> JiraIssue:
    set_connection("jira_default", conn_type="http", host=url, login="x", password="X")
    return issue()


def test_the_list_begins_before_the_call(set_connection):
    answer, requests = listing({"issues": []})
    with vendor(answer) as url:
        assert find(at(set_connection, url), sent(), since=datetime.now(UTC)) == {}
        begin = datetime.now(UTC) - timedelta(hours=2)
        assert find(at(set_connection, url), sent(), since=begin) == {}
    asked = [one for one in requests if "search/jql" in one]
    assert "created+%3E%3D+%22-6m%22" in asked[0] or "created+%3E%3D+%22-7m%22" in asked[0]
    assert "-126m" in asked[1] or "-127m" in asked[1]
    assert all(f"properties={PROPERTY}" in one for one in asked)


def test_a_user_who_may_not_browse_the_project_cannot_tell(set_connection):
    answer, _ = listing({"issues": []}, may_browse=False)
    with vendor(answer) as url, pytest.raises(OutcomeUnknown, match="may not browse SEG"):
        find(at(set_connection, url), sent())


def test_a_list_without_an_end_is_unknown(set_connection, monkeypatch):
    monkeypatch.setattr("segue.channels.tickets.jira_issue.LAST_PAGE", 3)
    answer, requests = listing({"issues": [], "nextPageToken": "more"})
    with vendor(answer) as url, pytest.raises(OutcomeUnknown, match="not all looked through"):
        find(at(set_connection, url), sent())
    assert len(requests) == 3


@pytest.mark.parametrize(
    "page",
    [
        {"issues": [{"id": "1", "key": "SEG-1"}]},  # without its properties
        {"issues": [{"id": "1", "key": "SEG-1", "properties": None}]},
        {"issues": [{"id": "1", "key": "SEG-1", "properties": {PROPERTY: "text"}}]},
    ],
)
def test_a_list_that_does_not_tell_is_unknown(set_connection, page):
    answer, _ = listing(page)
    with vendor(answer) as url, pytest.raises(OutcomeUnknown):
        find(at(set_connection, url), sent())


def test_nobody_concludes_that_an_issue_is_missing_before_the_index_has_it():
    """A new issue is found after seconds, at times minutes."""
    assert JiraIssue.longest_call >= 600
