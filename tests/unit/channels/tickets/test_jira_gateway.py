"""Jira behind Atlassian's gateway, where tokens with scopes work: links lead to the site."""

from __future__ import annotations

import pytest

from segue.channels.tickets.jira_issue import JiraIssue
from segue.errors import ConnectionFailure, TransientFailure
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.jira_api import API_TOKEN, EMAIL_ADDRESS
from tests.unit.channels.support import KEY, deliver, find, http, variables, vendor

SITE = "https://acme.atlassian.net"
ISSUE = JiraIssue.model_validate({"project": "SEG", "summary": "Call"})
CREATED = http("201 Created", '{"id": "10001", "key": "SEG-1"}')


def connect(set_connection, host: str, **extra: object) -> None:
    login = {"login": EMAIL_ADDRESS, "password": API_TOKEN}
    fields = {"host": host, "extra": {"timeout": 10, **extra}, **login}
    set_connection("jira_default", conn_type="http", **fields)


def test_links_lead_to_the_site_that_jira_names(sandbox: Sandbox, set_connection):
    connect(set_connection, f"{sandbox.url}/jira/ex/jira/11111111-2222-3333")
    receipt = deliver(ISSUE)
    assert receipt.url == f"{sandbox.url}/jira/browse/SEG-1"
    assert find(ISSUE, (KEY, ISSUE.render(variables()))) == {KEY: receipt}
    with ISSUE.connect() as sender:
        assert sender.check(ISSUE.needs).detail.startswith("the user ")


def test_it_is_asked_for_once_and_before_anything_is_made(set_connection):
    requests: list[str] = []

    def answer(request: str) -> bytes:
        requests.append(request.split(" ")[1])
        site = http("200 OK", f'{{"baseUrl": "{SITE}/"}}')
        return site if "serverInfo" in request else CREATED

    with vendor(answer) as url:
        connect(set_connection, f"{url}/ex/jira/cloud")
        with ISSUE.connect() as sender:
            receipts = [
                sender.send(ISSUE.render(variables()), key=f"{number:064x}") for number in range(2)
            ]
    assert [receipt.url for receipt in receipts] == [f"{SITE}/browse/SEG-1"] * 2
    path = "/ex/jira/cloud/rest/api/3"
    assert requests == [f"{path}/serverInfo", f"{path}/issue", f"{path}/issue"]


@pytest.mark.parametrize("path", ["", "/ex/jira/cloud"])
def test_the_connection_may_give_the_site(set_connection, path: str):
    requests: list[str] = []

    def answer(request: str) -> bytes:
        requests.append(request)
        return CREATED

    with vendor(answer) as url:
        connect(set_connection, f"{url}{path}", site=f"{SITE}/")
        assert deliver(ISSUE).url == f"{SITE}/browse/SEG-1"
    assert len(requests) == 1
    assert "site:" not in requests[0].lower()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http("403 Forbidden"), ConnectionFailure),
        (http("200 OK", "{}"), ConnectionFailure),
        (http("200 OK", '{"baseUrl": "javascript:alert(1)"}'), ConnectionFailure),
        (http("503 Service Unavailable"), TransientFailure),
    ],
)
def test_where_it_is_not_told_nothing_is_made(set_connection, answer: bytes, expected):
    requests: list[str] = []

    def serve(request: str) -> bytes:
        requests.append(request)
        return answer

    with vendor(serve) as url:
        connect(set_connection, f"{url}/ex/jira/cloud")
        with pytest.raises(expected) as raised:
            deliver(ISSUE)
    assert len(requests) == 1
    if expected is ConnectionFailure:
        assert "give 'site'" in str(raised.value)


@pytest.mark.parametrize("site", ["acme.atlassian.net", "https://u:hunter2@a.example.com", 7])
def test_a_site_that_is_no_address_is_of_the_connection(set_connection, site: object):
    connect(set_connection, SITE, site=site)
    with pytest.raises(ConnectionFailure, match="site in its extra is no address") as raised:
        ISSUE.connect()
    assert "hunter2" not in str(raised.value)
