"""Jira issues: the key is an entity property of the issue."""

from __future__ import annotations

from typing import Any

from segue.sandbox.store import Message
from segue.sandbox.vendors.jira_api import ACCOUNT_ID, API_TOKEN, EMAIL_ADDRESS
from tests.channels.case import ChannelCase, Sent, Servers, Written

SAME = ("summary", "labels", "duedate", "customfield_10010", "customfield_10020")


def connection(servers: Servers) -> dict[str, Any]:
    login = {"login": EMAIL_ADDRESS, "password": API_TOKEN}
    return {"conn_type": "http", "host": f"{servers.url}/jira", **login}


def received(message: Message) -> dict[str, Any]:
    issue = message.fields["issue"]
    fields = issue["fields"]
    return {
        "kind": message.kind,
        "project": message.to,
        "text": message.text,
        "issue_type": fields["issuetype"]["name"],
        "priority": fields["priority"]["name"],
        "assignee": fields["assignee"]["id"],
        **{name: fields[name] for name in SAME},
        "properties": issue["properties"],
    }


def receipt(message: Message, url: str) -> dict[str, Any]:
    issue = message.fields["issue"]
    link = f"{url}/jira/browse/{issue['key']}"
    results = {"id": issue["id"], "key": issue["key"], "url": link}
    return {"external_id": issue["id"], "url": link, "results": results}


def expected(sent: Sent) -> dict[str, Any]:
    return {
        "kind": "issue",
        "project": "OPS",
        "text": f"They said: {sent.note}".replace("\r\n", "\n").rstrip("\n"),
        "issue_type": "Bug",
        "priority": "High",
        "assignee": ACCOUNT_ID,
        "summary": f"Call {sent.first_name} ({sent.contact_id})",
        "labels": ["segue", sent.place],
        "duedate": "2026-11-30",
        "customfield_10010": sent.note,
        "customfield_10020": {"value": sent.first_name},
        "properties": {"segue.delivery": {"key": sent.key}},
    }


CASE = ChannelCase(
    channel="jira_issue",
    service="jira",
    connection_id="jira_default",
    connection=connection,
    action=Written(
        {
            "connection": "jira_default",
            "audience": "contact",
            "project": "OPS",
            "issue_type": "Bug",
            "summary": "Call {{ contact.first_name }} ({{ contact.contact_id }})",
            "description": "They said: {{ contact.note }}",
            "priority": "High",
            "labels": ["segue", "{{ contact.place }}"],
            "assignee": ACCOUNT_ID,
            "due_date": "2026-11-30",
            "fields": {
                "customfield_10010": "{{ contact.note }}",
                "customfield_10020": {"value": "{{ contact.first_name }}"},
            },
        },
        expected,
        outcomes={
            "line_breaks_in_a_line": "failed(summary: a line break or control character in a "
            "field that is one line)",
            "ten_kilobytes": "failed(Jira answered 400: summary)",
        },
    ),
    received=received,
    receipt=receipt,
    refused="failed(Jira answered 400: labels)",
    refusals={
        "unauthorized": "Jira answered 401",
        "rate_limited": "Jira answered 429",
        "server_error": "Jira answered 503",
    },
    contacts={"refused": {"place": "two words"}},
    mark=r'"segue\.delivery", ?"value": ?\{"key": ?"([0-9a-f]{64})"',
    short={"project": "SEG", "summary": "Hello {{ contact.contact_id }}"},
    look_up={"path": "search/jql"},
)
