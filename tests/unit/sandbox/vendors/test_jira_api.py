from __future__ import annotations

from typing import Any

import httpx
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import jira_api

AUTH = (jira_api.EMAIL_ADDRESS, jira_api.API_TOKEN)
API = "/jira/rest/api/3"
FIELDS: dict[str, Any] = {
    "project": {"key": "SEG"},
    "issuetype": {"name": "Task"},
    "summary": "Call the customer",
}


def create(web: httpx.Client, name: str = "abc", **fields: Any) -> httpx.Response:
    """Ask for an issue with a property."""
    properties = [{"key": "segue.delivery", "value": {"key": name}}]
    body = {"fields": FIELDS | fields, "properties": properties}
    return web.post(f"{API}/issue", json=body, auth=AUTH)


def search(web: httpx.Client, jql: str, **query: str) -> httpx.Response:
    return web.get(f"{API}/search/jql", params={"jql": jql, **query}, auth=AUTH)


def test_an_issue_is_created_and_its_property_read(web: httpx.Client, sandbox: Sandbox) -> None:
    """201 with id, key and self."""
    answer = create(web)
    assert answer.status_code == 201
    assert answer.json().keys() == {"id", "key", "self"}
    key = answer.json()["key"]
    found = web.get(f"{API}/issue/{key}/properties/segue.delivery", auth=AUTH)
    assert found.json() == {"key": "segue.delivery", "value": {"key": "abc"}}
    [message] = sandbox.messages(service="jira")
    assert (message.to, message.subject) == ("SEG", "Call the customer")
    assert web.get(f"{API}/issue/{key}/properties/other", auth=AUTH).status_code == 404


@pytest.mark.parametrize("auth", [None, (jira_api.EMAIL_ADDRESS, "wrong"), ("x", "sandbox")])
def test_wrong_credentials_are_401(web: httpx.Client, auth: tuple[str, str] | None) -> None:
    assert web.get(f"{API}/myself", auth=auth).status_code == 401
    assert web.post(f"{API}/issue", json={}, auth=auth).status_code == 401


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("project", {"key": "NONE"}),
        ("project", "SEG"),
        ("issuetype", {"name": "Wish"}),
        ("summary", ""),
        ("summary", "two\nlines"),
        ("summary", "x" * 256),
        ("priority", {"name": "Urgent"}),
        ("labels", ["two words"]),
        ("assignee", {"id": "nobody"}),
        ("duedate", "tomorrow"),
        ("description", "plain text"),
        ("description", {"version": 1, "type": "doc", "content": [{"type": "codeBlock"}]}),
        ("customfield_10020", "gold"),
        ("customfield_99999", "x"),
    ],
)
def test_wrong_issues_are_400_with_the_field_at_fault(
    web: httpx.Client, field: str, value: object
) -> None:
    answer = create(web, **{field: value})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_a_document_has_no_empty_text(web: httpx.Client) -> None:
    empty = {"type": "paragraph", "content": [{"type": "text", "text": ""}]}
    document = {"version": 1, "type": "doc", "content": [empty]}
    assert create(web, description=document).status_code == 400


def test_a_repeat_is_a_second_issue(web: httpx.Client) -> None:
    assert create(web).json()["key"] != create(web).json()["key"]


def test_issues_are_listed_newest_first_with_their_properties(web: httpx.Client) -> None:
    keys = [create(web, name).json()["key"] for name in "abc"]
    create(web, project={"key": "OPS"})
    jql = 'project = "SEG" AND created >= "-5m" ORDER BY created DESC'
    first = search(web, jql, fields="created", properties="segue.delivery", maxResults="2").json()
    assert [issue["key"] for issue in first["issues"]] == [keys[2], keys[1]]
    assert first["issues"][0]["properties"] == {"segue.delivery": {"key": "c"}}
    assert first["isLast"] is False
    token = first["nextPageToken"]
    rest = search(web, jql, fields="created", maxResults="2", nextPageToken=token).json()
    assert [issue["key"] for issue in rest["issues"]] == [keys[0]]
    assert rest.keys() == {"issues", "isLast"}
    assert "properties" not in rest["issues"][0]


def test_a_search_shows_ids_only_unless_it_asks_for_fields(web: httpx.Client) -> None:
    created = create(web).json()
    found = search(web, 'project = "SEG" AND created >= "-5m"').json()
    assert found["issues"] == [{"id": created["id"]}]


@pytest.mark.parametrize(
    "jql", ["", "ORDER BY created DESC", 'project = "NONE" AND created >= "-5m"']
)
def test_unbounded_and_unknown_queries_are_400(web: httpx.Client, jql: str) -> None:
    assert search(web, jql).status_code == 400


def test_permissions_are_told_by_project(web: httpx.Client) -> None:
    query = {"projectKey": "SEG", "permissions": "BROWSE_PROJECTS"}
    held = web.get(f"{API}/mypermissions", params=query, auth=AUTH).json()["permissions"]
    assert held["BROWSE_PROJECTS"]["havePermission"] is True
    wrong = {**query, "permissions": "BROWSE_PROJECTS,BROWSE"}
    refused = web.get(f"{API}/mypermissions", params=wrong, auth=AUTH)
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["BROWSE"])
    query["projectKey"] = "NONE"
    assert web.get(f"{API}/mypermissions", params=query, auth=AUTH).status_code == 404


def test_rate_limits_are_429_with_their_reason(web: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.fault("jira", "rate_limited", retry_after=7)
    answer = create(web)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["RateLimit-Reason"]
