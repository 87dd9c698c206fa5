"""ServiceNow records, sent to the sandbox."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from segue.channels.tickets.servicenow_record import ServiceNowRecord
from segue.contracts.channel import PartlyFound
from segue.errors import (
    ContactFailure,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import (
    KEY,
    OTHER_KEY,
    deliver,
    find,
    http,
    variables,
    vendor,
)


def record(**fields: object) -> ServiceNowRecord:
    base = {"short_description": "Call {{ contact.contact_id }}"}
    return ServiceNowRecord.model_validate(base | fields)


def sent(key: str = KEY, **fields: object):
    return key, record(**fields).render(variables())


def test_a_user_without_a_right_may_lack_it_for_one_record_or_for_all(sandbox: Sandbox):
    with pytest.raises(UnprovenRefusal, match="may create records of sn_customerservice"):
        deliver(record(table="sn_customerservice_case"))


def test_an_unknown_table_is_refused(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match="ServiceNow answered 400"):
        deliver(record(table="nowhere"))


def test_a_table_that_keeps_no_key_is_unknown(sandbox: Sandbox):
    """The record is there, and nobody could find it again."""
    with pytest.raises(OutcomeUnknown):
        deliver(record(table="u_survey"))
    assert len(sandbox.messages(service="servicenow")) == 1


def test_a_bearer_token_in_the_extra_works(sandbox: Sandbox, set_connection):
    host, extra = f"{sandbox.url}/servicenow", {"Authorization": "Bearer sandbox"}
    set_connection("servicenow_default", conn_type="http", host=host, extra=extra)
    receipt = deliver(record())
    [received] = sandbox.messages(service="servicenow")
    assert receipt.results["number"] == received.fields["record"]["number"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"table": "incident?x"}, "table"),
        ({"fields": {"correlation_id": "x"}}, "'correlation_id' has a key of its own"),
    ],
)
def test_fields_that_cannot_be_are_refused(fields, said: str):
    with pytest.raises(ValidationError, match=said):
        record(**fields)


# ---- asking whether a record is there -----------------------------------------------------------


def test_a_table_without_the_field_cannot_tell(sandbox: Sandbox):
    """ServiceNow ignores an unknown field in a query, and shows everything."""
    with pytest.raises(OutcomeUnknown):
        deliver(record(table="u_survey"))
    with pytest.raises(OutcomeUnknown):
        find(record(), sent(table="u_survey"))


def at(set_connection, url: str) -> ServiceNowRecord:
    set_connection("servicenow_default", conn_type="http", host=url, login="x", password="X")
    return record()


@pytest.mark.parametrize("count", ["1", None, "many"])
def test_a_record_that_is_counted_and_not_shown_is_unknown(set_connection, count):
    """Rows that the user may not read are left out without a word."""
    headers = {"X-Total-Count": count} if count else {}
    answer = http("200 OK", json.dumps({"result": []}), headers)
    with vendor(answer) as url, pytest.raises(OutcomeUnknown, match="able to read every record"):
        find(at(set_connection, url), sent())


def test_a_vendor_that_fails_while_counting_is_asked_again_later(set_connection):
    answers = [http("200 OK", json.dumps({"result": []})), http("503 Unavailable")]
    with vendor(lambda _: answers.pop(0)) as url, pytest.raises(TransientFailure):
        find(at(set_connection, url), sent())


def test_a_refusal_to_count_is_unknown(set_connection):
    answers = [http("200 OK", json.dumps({"result": []})), http("400 Bad Request")]
    with vendor(lambda _: answers.pop(0)) as url, pytest.raises(OutcomeUnknown, match="how many"):
        find(at(set_connection, url), sent())


@pytest.mark.parametrize(
    "body",
    [
        {"result": [{"sys_id": "1", "number": "INC1", "correlation_id": "another"}]},
        {"result": [{"sys_id": "1", "number": "INC1"}]},
        {"result": "none"},
    ],
)
def test_a_list_that_does_not_tell_is_unknown(set_connection, body):
    with vendor(http("200 OK", json.dumps(body))) as url, pytest.raises(OutcomeUnknown):
        find(at(set_connection, url), sent())


SHOWN = {"result": [{"correlation_display": "segue"}]}


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        (SHOWN, None),
        ({"result": []}, "shows no record of incident that was made here"),
        ({"result": [{"correlation_display": "monitoring"}]}, "does not tell"),
        ({"result": [{}]}, "does not tell"),
    ],
)
def test_a_table_that_shows_nothing_of_ours_cannot_deny(set_connection, ours, expected):
    """A business rule before the query, or a domain, hides records and does not count them."""

    def answer(request: str) -> bytes:
        is_of_ours = "correlation_display%3Dsegue" in request
        body = ours if is_of_ours else {"result": []}
        return http("200 OK", json.dumps(body), {"X-Total-Count": "0"})

    with vendor(answer) as url:
        if expected is None:
            assert find(at(set_connection, url), sent()) == {}
            return
        with pytest.raises(OutcomeUnknown, match=expected):
            find(at(set_connection, url), sent())


def test_what_is_found_is_not_lost_over_what_is_not(set_connection):
    record = {"sys_id": "1", "number": "INC1", "correlation_id": KEY}

    def answer(request: str) -> bytes:
        body = {"result": [record] if KEY in request else []}
        return http("200 OK", json.dumps(body), {"X-Total-Count": str(len(body["result"]))})

    with vendor(answer) as url, pytest.raises(PartlyFound) as raised:
        find(at(set_connection, url), sent(OTHER_KEY), sent())
    assert raised.value.found.keys() == {KEY}


def test_nobody_asks_while_a_transaction_may_still_go_on():
    """ServiceNow ends one after five minutes."""
    assert ServiceNowRecord.longest_call > 300
