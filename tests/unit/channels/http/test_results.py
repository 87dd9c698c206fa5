"""Results of requests: what an accepted call says, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from segue.channels.http.request import HttpRequest
from segue.channels.http.results import LONGEST_RESULT
from segue.errors import ContactFailure, OutcomeUnknown
from tests.unit.channels.support import KEY, deliver, http, vendor


def at(set_connection, url: str, **fields: Any) -> HttpRequest:
    set_connection("elsewhere", conn_type="http", host=url, extra={"timeout": 10})
    usual = {"connection": "elsewhere", "path": "/notes"}
    return HttpRequest.model_validate({**usual, **fields})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("202 Accepted", ""),
        ("204 No Content", ""),
        ("200 OK", "OK"),
        ("201 Created", "<html>created</html>"),
        ("200 OK", '{"id": 7, "tex'),
        ("200 OK", "null"),
        ("200 OK", "[]"),
        ("200 OK", "[" * 100_000),
    ],
)
def test_an_accepted_call_is_a_delivery_whatever_its_body(set_connection, caplog, status, body):
    """SendGrid accepts with 202 and nothing: nobody is to be in doubt over a result."""
    with vendor(http(status, body)) as url:
        receipt = deliver(at(set_connection, url, results={"id": "id", "n": "length(items)"}))
    assert receipt.results == {}
    assert "the result 'id' is not a short text or a number in the answer; left out" in caplog.text


@pytest.mark.parametrize("body", ["", "OK", "<html>"])
def test_only_success_doubts(set_connection, body):
    with vendor(http("202 Accepted", body)) as url, pytest.raises(OutcomeUnknown, match="not JSON"):
        deliver(at(set_connection, url, success="id", results={"id": "id"}))


def test_one_result_that_cannot_be_takes_no_other_with_it(set_connection):
    with vendor(http("200 OK", '{"id": 7, "items": null}')) as url:
        receipt = deliver(at(set_connection, url, results={"n": "length(items)", "id": "id"}))
    assert receipt.results == {"id": "7"}


def test_results_are_found_in_headers(set_connection):
    """In whatever capitals: names of headers have none."""
    sent = {"X-Message-Id": " 14c5d75ce93.dfd.64b469 ", "Location": "/notes/7"}
    results = {"id": {"header": "x-message-id"}, "url": {"header": "Location"}}
    with vendor(http("202 Accepted", "", sent)) as url:
        receipt = deliver(at(set_connection, url, results=results))
    assert receipt.external_id == "14c5d75ce93.dfd.64b469"
    assert receipt.url == "/notes/7"


def test_a_get_that_reads_headers_alone_needs_no_json(set_connection):
    results = {"id": {"header": "ETag"}}
    with vendor(http("200 OK", "<html>", {"ETag": "7"})) as url:
        assert deliver(at(set_connection, url, method="GET", results=results)).external_id == "7"


@pytest.mark.parametrize("sent", [{}, {"X-Message-Id": "x" * (LONGEST_RESULT + 1)}])
def test_a_header_that_is_not_there_or_too_long_is_left_out(set_connection, sent):
    with vendor(http("202 Accepted", "", sent)) as url:
        receipt = deliver(at(set_connection, url, results={"id": {"header": "X-Message-Id"}}))
    assert receipt.results == {}


def test_success_may_compare_with_the_key(set_connection):
    fields = {"success": "dedup_key == key()", "results": {"id": "dedup_key"}}
    with vendor(http("202 Accepted", f'{{"dedup_key": "{KEY}"}}')) as url:
        assert deliver(at(set_connection, url, **fields)).external_id == KEY
    with vendor(http("202 Accepted", '{"dedup_key": "x"}')) as url, pytest.raises(ContactFailure):
        deliver(at(set_connection, url, **fields))


@pytest.mark.parametrize(
    "result",
    [
        7,
        ["id"],
        {"header": "X-Id", "other": "id"},
        {"header": "a b"},
        {"header": "Set-Cookie"},
        {"headers": "X-Id"},
        "{{ results.a.id }}",
        "id ==",
    ],
)
def test_what_is_no_result_is_refused(result):
    with pytest.raises(ValidationError):
        HttpRequest.model_validate({"connection": "c", "path": "/", "results": {"id": result}})
