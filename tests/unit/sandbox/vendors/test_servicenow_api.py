from __future__ import annotations

from typing import Any

import httpx
import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import servicenow_api

AUTH = (servicenow_api.USER, servicenow_api.PASSWORD)
TABLE = "/servicenow/api/now/table"
RECORD = {"short_description": "Call the customer", "urgency": 2, "correlation_id": "abc"}


def create(web: httpx.Client, table: str = "incident", **fields: Any) -> httpx.Response:
    return web.post(f"{TABLE}/{table}", json=RECORD | fields, auth=AUTH)


def query(web: httpx.Client, table: str = "incident", **wanted: str) -> httpx.Response:
    return web.get(f"{TABLE}/{table}", params=wanted, auth=AUTH)


def test_a_record_is_created_and_kept_as_texts(web: httpx.Client, sandbox: Sandbox) -> None:
    """201 with the record and its Location; what the table has not got is ignored."""
    answer = create(web, nonsense="x")
    assert answer.status_code == 201
    record = answer.json()["result"]
    assert (record["urgency"], record["correlation_id"]) == ("2", "abc")
    assert record["number"].startswith("INC")
    assert "nonsense" not in record
    assert answer.headers["Location"].endswith(f"/incident/{record['sys_id']}")
    [message] = sandbox.messages(service="servicenow")
    assert (message.to, message.subject) == ("incident", "Call the customer")


@pytest.mark.parametrize("auth", [None, (servicenow_api.USER, "wrong")])
def test_wrong_credentials_are_401(web: httpx.Client, auth: tuple[str, str] | None) -> None:
    answer = web.post(f"{TABLE}/incident", json=RECORD, auth=auth)
    assert answer.status_code == 401
    assert answer.json()["status"] == "failure"


def test_what_acls_and_business_rules_refuse_is_403(web: httpx.Client) -> None:
    """The detail tells which it was."""
    rule = create(web, short_description="refuse-me")
    right = create(web, "sn_customerservice_case")
    assert (rule.status_code, right.status_code) == (403, 403)
    assert "Business Rule" in rule.json()["error"]["detail"]
    assert "ACL" in right.json()["error"]["detail"]


def test_unknown_tables_and_unreadable_bodies_are_400(web: httpx.Client) -> None:
    assert create(web, "nowhere").status_code == 400
    answer = web.post(f"{TABLE}/incident", content="{", auth=AUTH)
    assert answer.status_code == 400


def test_records_are_found_by_a_query_and_counted(web: httpx.Client) -> None:
    for name in ("abc", "abc", "def"):
        create(web, correlation_id=name)
    answer = query(
        web,
        sysparm_query="correlation_id=abc^ORDERBYsys_created_on",
        sysparm_fields="number,correlation_id",
        sysparm_limit="1",
    )
    [record] = answer.json()["result"]
    assert record.keys() == {"number", "correlation_id"}
    assert answer.headers["X-Total-Count"] == "2"


def test_an_unknown_field_in_a_query_is_ignored(web: httpx.Client) -> None:
    """As by default in ServiceNow: everything is found."""
    create(web)
    create(web)
    assert len(query(web, sysparm_query="no_such_field=abc").json()["result"]) == 2 + 1


def test_a_rule_before_the_query_hides_and_does_not_count(web: httpx.Client) -> None:
    """What is there always is shown; unlike an ACL, the rule leaves no trace in the count."""
    create(web, short_description="hidden-from-you", correlation_id="abc")
    answer = query(web, sysparm_query="correlation_id=abc")
    assert (answer.json()["result"], answer.headers["X-Total-Count"]) == ([], "0")
    [record] = query(web, sysparm_query="correlation_display=segue").json()["result"]
    assert record["sys_id"] == servicenow_api.EARLIER["sys_id"]


def test_a_table_without_correlation_id_keeps_none(web: httpx.Client) -> None:
    assert "correlation_id" not in create(web, "u_survey").json()["result"]


def test_rate_limits_are_429_with_retry_after(web: httpx.Client, sandbox: Sandbox) -> None:
    sandbox.fault("servicenow", "rate_limited", retry_after=7)
    answer = create(web)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
