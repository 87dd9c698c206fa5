"""The look-alike of Qualtrics, as any client meets it."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.qualtrics_api import DIRECTORY, EVENT, MAILING_LIST, TOKEN

SURVEY = "SV_5e90e5e90e5e90e"
CONTACTS = f"/API/v3/directories/{DIRECTORY}/contacts"
TRANSACTIONS = f"/API/v3/directories/{DIRECTORY}/transactions"
BATCHES = f"/API/v3/directories/{DIRECTORY}/transactionbatches"
TRIGGER = f"/inbound-event/v1/events/json/triggers?urlTokenId={EVENT}"


def ask(
    sandbox: Sandbox, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    answer = requests.request(
        method,
        f"{sandbox.url}/qualtrics{path}",
        json=body,
        headers=headers or {"X-API-TOKEN": TOKEN},
        timeout=60,
    )
    return answer.status_code, answer.json()


def code_of(answer: Any) -> str | None:
    found: str | None = answer["meta"]["error"].get("errorCode")
    return found


def invitation(**changed: Any) -> dict[str, Any]:
    return {
        "message": {"messageText": "Hello"},
        "recipients": {"mailingListId": MAILING_LIST, "contactId": "CGC_a"},
        "header": {"fromEmail": "a@example.com", "replyToEmail": "a@example.com", "subject": "s"},
        "surveyLink": {
            "surveyId": SURVEY,
            "expirationDate": "2027-01-01T00:00:00Z",
            "type": "Individual",
        },
        "sendDate": "2026-11-22T06:00:00Z",
        **changed,
    }


def transaction(**changed: Any) -> dict[str, Any]:
    base = {"contactId": "a", "mailingListId": MAILING_LIST, "data": {"type": "call"}}
    return {"t": {**base, "transactionDate": "2026-11-22 06:00:00", **changed}}


def test_what_was_observed_of_qualtrics(sandbox: Sandbox):
    """Without a header, with a wrong one, an unknown path, a POST without a body."""
    status, answer = ask(sandbox, "GET", "/API/v3/whoami", Accept="application/json")
    assert (status, code_of(answer)) == (400, "ATP_2")
    for wrong in ({"X-API-TOKEN": "no"}, {"Authorization": "Bearer no"}):
        status, answer = ask(sandbox, "GET", "/API/v3/whoami", **wrong)
        assert (status, code_of(answer)) == (401, "DCD_7")
    status, answer = ask(sandbox, "GET", "/API/v3/nothing")
    assert (status, code_of(answer)) == (404, None)
    assert ask(sandbox, "POST", "/API/v3/distributions")[0] == 411
    status, answer = ask(sandbox, "GET", "/API/v3/whoami")
    assert (status, answer["meta"]["httpStatus"]) == (200, "200 - OK")


def test_a_contact_is_there_until_it_is_said_not_to_be(sandbox: Sandbox):
    status, answer = ask(sandbox, "GET", f"{CONTACTS}/xm-1")
    assert (status, answer["result"]["contactId"]) == (200, "xm-1")
    membership = answer["result"]["mailingListMembership"][MAILING_LIST]
    assert membership["contactLookupId"] == "CGC_xm-1"
    for path, code in (
        (f"{CONTACTS}/missing-1", "GET_CONTACT_NOT_FOUND"),
        (f"{CONTACTS}/CID_1", "GET_CONTACT_NOT_FOUND"),
        ("/API/v3/directories/POOL_1/contacts/xm-1", "DIRECTORY_NOT_FOUND"),
    ):
        status, answer = ask(sandbox, "GET", path)
        assert (status, code_of(answer)) == (404, code)


def test_an_update_leaves_alone_what_it_has_not(sandbox: Sandbox):
    first = {"firstName": "A", "embeddedData": {"a": "1", "b": "2"}, "unsubscribed": True}
    assert ask(sandbox, "PUT", f"{CONTACTS}/xm-1", first)[0] == 200
    assert ask(sandbox, "PUT", f"{CONTACTS}/xm-1", {"embeddedData": {"b": "3"}})[0] == 200
    shown = ask(sandbox, "GET", f"{CONTACTS}/xm-1")[1]["result"]
    assert (shown["firstName"], shown["directoryUnsubscribed"]) == ("A", True)
    assert shown["embeddedData"] == {"a": "1", "b": "3"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"nickname": "x"}, "field"),
        ({"firstName": 5}, "firstName"),
        ({"unsubscribed": "yes"}, "unsubscribed"),
        ({"embeddedData": {"a": 5}}, "embeddedData"),
        ({"embeddedData": {"a": "x" * 1025}}, "embeddedData"),
        ({"embeddedData": {"x" * 201: "a"}}, "embeddedData"),
    ],
)
def test_an_update_that_cannot_be_is_refused_and_changes_nothing(sandbox, body, field):
    status, answer = ask(sandbox, "PUT", f"{CONTACTS}/xm-1", body)
    assert (status, code_of(answer)) == (400, "QVAL_1")
    assert sandbox.messages(service="qualtrics") == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"message": {}}, 400),
        ({"message": {"messageText": "x", "libraryId": "UR_1", "messageId": "MS_1"}}, 400),
        ({"recipients": {"mailingListId": MAILING_LIST, "contactId": "CID_a"}}, 400),
        ({"recipients": {"mailingListId": "CG_other", "contactId": "CGC_a"}}, 404),
        ({"recipients": {"mailingListId": MAILING_LIST, "contactId": "CGC_missing-1"}}, 404),
        ({"header": {"fromEmail": "a@example.com", "replyToEmail": "a@example.com"}}, 400),
        ({"header": {"fromEmail": "a", "replyToEmail": "a@example.com", "subject": "s"}}, 400),
        ({"surveyLink": {}}, 400),
        ({"sendDate": "tomorrow"}, 400),
        ({"embeddedData": {str(number): "x" for number in range(11)}}, 400),
    ],
)
def test_an_invitation_that_cannot_be_is_refused(sandbox: Sandbox, changed, status):
    assert ask(sandbox, "POST", "/API/v3/distributions", invitation(**changed))[0] == status
    assert sandbox.messages(service="qualtrics") == []


def test_distributions_are_listed_by_survey_page_by_page(sandbox: Sandbox):
    for number in range(3):
        assert ask(sandbox, "POST", "/API/v3/distributions", invitation())[0] == 200, number
    path = f"/API/v3/distributions?surveyId={SURVEY}&pageSize=2"
    first = ask(sandbox, "GET", path)[1]["result"]
    following = first["nextPage"].removeprefix(f"{sandbox.url}/qualtrics")
    second = ask(sandbox, "GET", following)[1]["result"]
    ids = [one["id"] for one in (*first["elements"], *second["elements"])]
    assert (len(set(ids)), second["nextPage"]) == (3, None)
    assert ask(sandbox, "GET", "/API/v3/distributions")[0] == 400
    later = f"{path}&sendStartDate=2026-11-23T00:00:00Z"
    assert ask(sandbox, "GET", later)[1]["result"]["elements"] == []


def test_a_link_is_made_for_each_transaction_of_a_batch(sandbox: Sandbox):
    made = ask(sandbox, "POST", TRANSACTIONS, transaction())[1]["result"]
    number = made["createdTransactions"]["t"]["id"]
    batch = {"transactionIds": [number], "creationDate": "2026-11-22T06:00:00Z"}
    batch_id = ask(sandbox, "POST", BATCHES, batch)[1]["result"]["id"]
    body = {
        "action": "CreateTransactionBatchDistribution",
        "surveyId": SURVEY,
        "linkType": "Individual",
        "description": "d",
        "expirationDate": "2027-01-01 00:00:00",
        "mailingListId": MAILING_LIST,
        "transactionBatchId": batch_id,
    }
    created = ask(sandbox, "POST", "/API/v3/distributions", body)[1]["result"]["id"]
    path = f"/API/v3/distributions/{created}/links?surveyId={SURVEY}"
    [link] = ask(sandbox, "GET", path)[1]["result"]["elements"]
    assert (link["transactionId"], link["contactId"]) == (number, "CGC_a")
    for wrong in ({"transactionBatchId": "BT_0"}, {"action": "Send"}, {"surveyId": "SV_closed"}):
        assert ask(sandbox, "POST", "/API/v3/distributions", body | wrong)[0] == 400, wrong


def test_a_transaction_of_somebody_unknown_is_not_processed(sandbox: Sandbox):
    status, answer = ask(sandbox, "POST", TRANSACTIONS, transaction(contactId="missing-1"))
    assert (status, answer["result"]["createdTransactions"]) == (200, {})
    assert set(answer["result"]["unprocessedTransactions"]) == {"t"}


def test_an_event_makes_a_ticket_that_its_data_finds(sandbox: Sandbox):
    event = {"name": "Call", "data": {"tier": "gold"}, "segue_delivery": "k"}
    assert ask(sandbox, "POST", TRIGGER, event)[0] == 200

    def found(**query: Any) -> list[str]:
        answer = ask(sandbox, "POST", "/API/v3/tickets/search", {"query": query})[1]
        return [one["key"] for one in answer["result"]["elements"]]

    data = {"queryType": "keyValue", "comparison": "eq"}
    assert found(**data, key="segue_delivery", value="k") == ["T-1"]
    assert found(**data, key="segue_delivery", value="other") == []
    assert found(**data, key="tier", value="gold") == ["T-1"]
    name = {"queryType": "name", "comparison": "contains", "value": "Cal"}
    compound = {"queryType": "compound", "comparison": "and"}
    assert found(**compound, children=[name]) == ["T-1"]
    assert found(**compound, children=[name, {**data, "key": "tier", "value": "x"}]) == []


def test_an_event_that_is_unknown_or_too_large_is_refused(sandbox: Sandbox):
    other = "/inbound-event/v1/events/json/triggers?urlTokenId=other"
    assert ask(sandbox, "POST", other, {"name": "x"})[0] == 404
    assert ask(sandbox, "POST", TRIGGER, {"name": "x" * 100_000})[0] == 413
    assert sandbox.messages(service="qualtrics") == []
