"""What a definition says of an API's own statuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from segue.channels.http.request import HttpRequest
from segue.documents import ProblemsFound
from segue.errors import ContactFailure, OutcomeUnknown, TransientFailure
from tests.unit.channels.support import KEY, deliver, http, vendor

CONFLICT = "409 Conflict"
THERE_ALREADY = '{"status": "error", "category": "CONFLICT", "message": "Contact already exists"}'


def request(**fields: Any) -> HttpRequest:
    return HttpRequest.model_validate({"connection": "elsewhere", "path": "/notes", **fields})


@pytest.fixture
def send(set_connection):
    """Send to an API that answers this to everybody."""

    def to(answer: bytes, **fields: Any):
        with vendor(answer) as url:
            set_connection("elsewhere", conn_type="http", host=url, extra={"timeout": 10})
            return deliver(request(**fields))

    return to


def problems(**fields: Any) -> str:
    with pytest.raises(ValidationError) as raised:
        request(**fields)
    errors = [
        details.get("ctx", {}).get("error", details["msg"]) for details in raised.value.errors()
    ]
    return "; ".join(
        "; ".join(f"{at}: {text}" for at, text in each.problems)
        if isinstance(each, ProblemsFound)
        else str(each)
        for each in errors
    )


def test_a_refusal_may_say_that_it_is_there_already(send):
    with pytest.raises(ContactFailure, match="409"):
        send(http(CONFLICT, THERE_ALREADY))
    assert send(http(CONFLICT, THERE_ALREADY), delivered_on=[409]).results == {}


@pytest.mark.parametrize(
    "condition",
    ["category == 'CONFLICT'", "contains(message, 'already')", f"key() == '{KEY}'"],
)
def test_an_expression_may_judge_such_a_refusal(send, condition):
    receipt = send(
        http(CONFLICT, THERE_ALREADY), delivered_on={"409": condition}, results={"kind": "category"}
    )
    assert receipt.results == {"kind": "CONFLICT"}


@pytest.mark.parametrize(
    "body", ['{"category": "LOCKED"}', "", "<html>", "[]", '{"category": null}']
)
def test_a_refusal_that_it_does_not_hold_of_stays_one(send, body):
    """Nor does one that it cannot judge come to more than it would without."""
    condition = "category == 'CONFLICT' || contains(message, 'already')"
    with pytest.raises(ContactFailure, match="409"):
        send(http(CONFLICT, body), delivered_on={"409": condition})


def test_success_is_of_a_2xx_alone(send):
    fields = {"success": "status == 'created'", "delivered_on": [409]}
    assert send(http(CONFLICT, ""), **fields).external_id is None
    with pytest.raises(ContactFailure, match="no `success`"):
        send(http("200 OK", THERE_ALREADY), **fields)


def test_a_key_in_another_request_is_doubt_all_the_same(send):
    body = '{"error": {"type": "idempotency_error"}}'
    with pytest.raises(OutcomeUnknown, match=KEY):
        send(http(CONFLICT, body), delivered_on=[409])


@pytest.mark.parametrize(
    "body",
    [
        {  # the example of draft-ietf-httpapi-idempotency-key-header
            "type": "https://developer.example.com/idempotency",
            "title": "A request is outstanding for this Idempotency-Key",
        },
        {"errors": [{"code": "idempotency_conflict", "message": "in progress"}]},
    ],
)
@pytest.mark.parametrize("fields", [{"delivered_on": [409]}, {}])
def test_wherever_a_refusal_tells_of_the_key(send, body, fields):
    with pytest.raises(OutcomeUnknown, match=KEY):
        send(http(CONFLICT, json.dumps(body)), **fields)


@pytest.mark.parametrize(
    "body",
    [
        "Request with this Idempotency-Key is still being processed",
        "<html><body><h1>Idempotent request in progress</h1></body></html>",
        '[{"title": "The idempotency key was used with other parameters"}]',
        '"idempotency_key_in_use"',
    ],
)
@pytest.mark.parametrize("status", [CONFLICT, "400 Bad Request", "422 Unprocessable Content"])
@pytest.mark.parametrize("fields", [{"delivered_on": [400, 409, 422]}, {}])
def test_a_refusal_may_tell_of_the_key_in_plain_words(send, body, status, fields):
    with pytest.raises(OutcomeUnknown, match=f"{status[:3]}: it has had .* look for {KEY}"):
        send(http(status, body), **fields)


@pytest.mark.parametrize("fields", [{"headers": {"X-Way": "idempotent"}}, {"method": "GET"}])
def test_what_repeats_what_was_sent_tells_nothing_of_the_key_nor_does_a_question(send, fields):
    with pytest.raises(ContactFailure):
        send(http(CONFLICT, "X-Way: idempotent is not allowed here"), **fields)


def test_the_name_of_a_field_that_repeats_the_key_tells_nothing(send):
    body = json.dumps({"code": "invalid_email", "idempotency_key": KEY})
    with pytest.raises(ContactFailure, match="invalid_email"):
        send(http(CONFLICT, body))


def test_a_refusal_nested_without_end_is_one(send):
    with pytest.raises(ContactFailure, match="409"):
        send(http(CONFLICT, "[" * 100_000))


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "405 Method Not Allowed"])
def test_a_refusal_may_be_of_the_contact_alone(send, status):
    with pytest.raises(ContactFailure, match=status[:3]):
        send(http(status, '{"code": "unsubscribed"}'), of_the_contact=[403, 404, 405])


def test_other_statuses_mean_what_they_mean(send):
    with pytest.raises(TransientFailure):
        send(http("503 Unavailable"), delivered_on=[409], of_the_contact=[403])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"delivered_on": [500]}, "(0,): found 500; allowed: a status from 400 to 499"),
        ({"delivered_on": [401]}, "but for 401, 402, 407"),
        ({"delivered_on": [200]}, "found 200"),
        ({"delivered_on": 409}, "found 409; allowed: [409]"),
        ({"delivered_on": [True]}, "found True"),
        ({"delivered_on": {"conflict": "id"}}, "('conflict',): found 'conflict'"),
        ({"delivered_on": {"409": "id ="}}, "('409',): 'id =' is not a JMESPath"),
        ({"delivered_on": {"409": "{{ key }}"}}, "where no template is read"),
        ({"delivered_on": {"409": 7}}, "('409',): "),
        ({"of_the_contact": [429]}, "found 429; allowed"),
        ({"of_the_contact": ["403"]}, "valid integer"),
        (
            {"delivered_on": [409], "of_the_contact": [404, 409]},
            "('of_the_contact', 1): 409 stands in delivered_on, too",
        ),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(fields, words):
    assert words in problems(**fields)
