"""Jira issues, sent to the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from segue.channels.tickets.jira_issue import PROPERTY, JiraIssue
from segue.delivery.channel import Audience
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    ONE_LINE,
    OTHER_KEY,
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


def test_an_issue_arrives_field_by_field(sandbox: Sandbox):
    receipt = deliver(
        issue(
            issue_type="Bug",
            description="Dear {{ contact.first_name }},\nplease call.\n\nThanks",
            priority="High",
            labels=["segue", "{{ change }}"],
            assignee="5b10ac8d82e05b22cc7d4ef5",
            due_date="2026-11-30",
            fields={
                "customfield_10010": "{{ contact.email }}",
                "customfield_10020": {"value": "{{ contact.first_name }}"},
            },
        )
    )
    [received] = sandbox.messages(service="jira")
    assert json.loads(received.raw["body"]) == {
        "fields": {
            "project": {"key": "SEG"},
            "issuetype": {"name": "Bug"},
            "summary": "Call c-1",
            "description": {
                "version": 1,
                "type": "doc",
                "content": [
                    {
                        "type": "paragraph",
                        "content": [
                            {"type": "text", "text": "Dear Ana,"},
                            {"type": "hardBreak"},
                            {"type": "text", "text": "please call."},
                        ],
                    },
                    {"type": "paragraph", "content": [{"type": "text", "text": "Thanks"}]},
                ],
            },
            "priority": {"name": "High"},
            "labels": ["segue", "added"],
            "assignee": {"id": "5b10ac8d82e05b22cc7d4ef5"},
            "duedate": "2026-11-30",
            "customfield_10010": "ana@example.com",
            "customfield_10020": {"value": "Ana"},
        },
        "properties": [{"key": PROPERTY, "value": {"key": KEY}}],
    }
    number, key = (received.fields["issue"][name] for name in ("id", "key"))
    url = f"{sandbox.url}/jira/browse/{key}"
    assert (receipt.external_id, receipt.url) == (number, url)
    assert receipt.results == {"id": number, "key": key, "url": url}


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


@pytest.mark.parametrize("name", [name for name in ONE_LINE if name != "ten kilobytes"])
def test_contact_text_is_data_in_the_summary_too(sandbox: Sandbox, name: str):
    deliver(issue(summary="{{ contact.first_name }}"), first_name=ONE_LINE[name])
    [received] = sandbox.messages(service="jira")
    assert received.subject == ONE_LINE[name]


def test_a_refused_issue_is_of_the_contact_and_names_fields_only(sandbox: Sandbox):
    with pytest.raises(ContactFailure) as raised:
        deliver(issue(labels=["{{ contact.first_name }}"]), first_name="Ana Maria")
    assert str(raised.value) == "Jira answered 400: labels"


def test_a_summary_that_is_too_long_is_of_the_contact(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="400: summary"):
        deliver(issue(summary="{{ contact.first_name }}"), first_name="x" * 10_000)


def test_wrong_credentials_are_of_the_connection(sandbox: Sandbox, set_connection):
    host = f"{sandbox.url}/jira"
    set_connection("jira_default", conn_type="http", host=host, login="x", password="X")
    with pytest.raises(ConnectionFailure, match="401"):
        deliver(issue())


def test_a_rate_limit_is_transient_and_says_how_long(sandbox: Sandbox):
    sandbox.fault("jira", "rate_limited", retry_after=30)
    with pytest.raises(TransientFailure) as raised:
        deliver(issue())
    assert raised.value.retry_after == 30


def test_it_is_for_the_team_unless_it_says_otherwise():
    assert issue().addressed_to is Audience.TEAM
    assert issue(audience="contact").addressed_to is Audience.CONTACT


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


def test_issues_are_found_by_their_property_among_others(sandbox: Sandbox):
    receipts = {key: deliver(issue(), key=key) for key in (KEY, OTHER_KEY, "a" * 64)}
    found = find(issue(), sent(KEY), sent(OTHER_KEY), sent("b" * 64))
    assert found == {KEY: receipts[KEY], OTHER_KEY: receipts[OTHER_KEY]}


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
        {"values": []},
        [],
    ],
)
def test_a_list_that_does_not_tell_is_unknown(set_connection, page):
    answer, _ = listing(page)
    with vendor(answer) as url, pytest.raises(OutcomeUnknown):
        find(at(set_connection, url), sent())


def test_a_call_of_months_ago_cannot_be_told(sandbox: Sandbox):
    with pytest.raises(OutcomeUnknown, match="80 days"):
        find(issue(), sent(), since=datetime.now(UTC) - timedelta(days=100))


def test_nobody_concludes_that_an_issue_is_missing_before_the_index_has_it():
    """A new issue is found after seconds, at times minutes."""
    assert JiraIssue.longest_call >= 600
