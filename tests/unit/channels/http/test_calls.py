"""What Zendesk and Freshdesk share: the meaning of answers and exceptions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from segue.channels.http import calls as http_calls
from segue.channels.http.answers import retry_after
from segue.channels.http.calls import LONGEST_READ, open_calls
from segue.channels.http.request import HttpRequest
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    OutcomeUnknown,
    SegueError,
    TransientFailure,
    UnprovenRefusal,
)
from tests.unit.channels.support import KEY, deliver, find, http, vendor


def ticket(set_connection, host: str, **extra: object):
    set_connection(
        "zendesk_default",
        conn_type="http",
        host=host,
        login="agent@example.com/token",
        password="sandbox",
        extra={"timeout": 10, **extra},
    )
    return ZendeskTicket.model_validate({"subject": "{{ contact.email }}", "comment": "hello"})


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("204 No Content", OutcomeUnknown),
        ("301 Moved Permanently", ConnectionFailure),
        ("307 Temporary Redirect", ConnectionFailure),
        ("400 Bad Request", ContactFailure),
        ("401 Unauthorized", ConnectionFailure),
        ("402 Payment Required", ConnectionFailure),
        ("403 Forbidden", UnprovenRefusal),
        ("404 Not Found", UnprovenRefusal),
        ("408 Request Timeout", TransientFailure),
        ("409 Conflict", ContactFailure),
        ("413 Content Too Large", ContactFailure),
        ("422 Unprocessable Content", ContactFailure),
        ("429 Too Many Requests", TransientFailure),
        ("500 Internal Server Error", OutcomeUnknown),
        ("502 Bad Gateway", OutcomeUnknown),
        ("503 Service Unavailable", TransientFailure),
        ("504 Gateway Timeout", OutcomeUnknown),
    ],
)
def test_what_a_status_means(set_connection, status: str, expected: type[SegueError]):
    headers = {"Location": "http://127.0.0.1:1/"}
    with vendor(http(status, "", headers)) as url, pytest.raises(expected) as raised:
        deliver(ticket(set_connection, url))
    assert type(raised.value) is expected or expected in (ContactFailure, UnprovenRefusal)
    assert status[:3] in str(raised.value)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("204 No Content", OutcomeUnknown),
        ("301 Moved Permanently", ConnectionFailure),
        ("400 Bad Request", OutcomeUnknown),
        ("401 Unauthorized", ConnectionFailure),
        ("402 Payment Required", ConnectionFailure),
        ("403 Forbidden", OutcomeUnknown),
        ("404 Not Found", UnprovenRefusal),
        ("422 Unprocessable Content", OutcomeUnknown),
        ("429 Too Many Requests", TransientFailure),
        ("500 Internal Server Error", TransientFailure),
        ("504 Gateway Timeout", TransientFailure),
    ],
)
def test_what_a_status_means_for_a_look_up(set_connection, status: str, expected):
    headers = {"Location": "http://127.0.0.1:1/"}
    with vendor(http(status, "", headers)) as url, pytest.raises(expected) as raised:
        find(ticket(set_connection, url), (KEY, {}))
    assert status[:3] in str(raised.value)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway"])
def test_without_a_look_up_a_server_that_stumbles_has_sent_nothing(set_connection, status: str):
    """Doubt would need a person each time; with a look-up it needs one question."""
    with vendor(http(status)) as url:
        set_connection("crm", conn_type="http", host=url)
        request = {"connection": "crm", "path": "/notes"}
        with pytest.raises(TransientFailure, match=status[:3]):
            deliver(HttpRequest.model_validate(request))
        look_up = {"path": "/notes/{{ key }}", "found": "found"}
        with pytest.raises(OutcomeUnknown, match=status[:3]):
            deliver(HttpRequest.model_validate({**request, "look_up": look_up}))


DEEP = "[" * 100_000  # deeper than Python's parser goes


@pytest.mark.parametrize(
    "body", ["", "<html>ana@example.com", '{"tickets": [{"id": 7, "ext', DEEP], ids=len
)
def test_a_look_up_that_is_not_answered_in_json_is_transient(set_connection, body: str):
    with (
        vendor(http("200 OK", body)) as url,
        pytest.raises(TransientFailure, match="not JSON") as raised,
    ):
        find(ticket(set_connection, url), (KEY, {}))
    assert "ana" not in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        *("", "<html>", "[]", "null", "{}", '{"ticket": null}'),
        *('{"ticket": {"id": "ana@example.com"}}', '{"ticket": {"id": 1e999}}', DEEP),
    ],
    ids=len,
)
def test_a_success_without_a_ticket_is_unknown(set_connection, body: str):
    with (
        vendor(http("201 Created", body)) as url,
        pytest.raises(OutcomeUnknown, match="does not say what was made") as raised,
    ):
        deliver(ticket(set_connection, url))
    assert "ana" not in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",  # hung up without a word
        b"HTTP/1.1 201 Created\r\nContent-Length: 900\r\n\r\n{",  # hung up in the middle
        b"220 mail.example.com ESMTP\r\n",  # another protocol
    ],
)
def test_a_lost_answer_is_unknown(set_connection, answer: bytes):
    with vendor(answer) as url, pytest.raises(OutcomeUnknown, match="lost"):
        deliver(ticket(set_connection, url))


def test_a_handshake_without_an_answer_is_transient(set_connection, monkeypatch):
    monkeypatch.setattr(http_calls, "CONNECT_TIMEOUT", 0.3)
    with vendor(b"") as url, pytest.raises(TransientFailure, match="nothing was sent"):
        deliver(ticket(set_connection, url.replace("http:", "https:")))


def test_a_body_that_names_people_leaves_codes_only(set_connection):
    body = """{
      "error": "RecordInvalid", "description": "Ana (ana@example.com) is suspended",
      "details": {"requester": [{"description": "ana@example.com is invalid"}], "Ana M": []}
    }"""
    with vendor(http("422 X", body)) as url, pytest.raises(ContactFailure) as raised:
        deliver(ticket(set_connection, url))
    assert str(raised.value) == "Zendesk answered 422: RecordInvalid, requester"


def test_retry_after_is_handed_on(set_connection):
    answer = http("503 Unavailable", "", {"Retry-After": "12"})
    with vendor(answer) as url, pytest.raises(TransientFailure) as raised:
        deliver(ticket(set_connection, url))
    assert raised.value.retry_after == 12


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5.0),
        (" 1.5 ", 1.5),
        ("Mon, 23 Nov 2026 06:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 05:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("Mon, 23 Nov 2026 05:00:00 +9999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None):
    assert retry_after(value, datetime(2026, 11, 23, 6, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"host": "https://acme.zendesk.com", "extra": {"timeout": "soon"}},
        {"host": "://acme"},
    ],
)
def test_a_connection_that_cannot_be_used_says_so(set_connection, fields):
    set_connection("broken", conn_type="http", login="a", password="hunter2", **fields)
    with pytest.raises(ConnectionFailure, match="'broken'") as raised:
        open_calls("Zendesk", "broken")
    assert "hunter2" not in str(raised.value)


def test_a_schema_beside_the_host_is_enough(set_connection):
    set_connection("plain", conn_type="http", host="acme.example.com", schema="https")
    assert open_calls("Zendesk", "plain").base_url == "https://acme.example.com"


def test_a_host_alone_is_reached_over_https(set_connection):
    """Airflow would speak plain HTTP."""
    set_connection("bare", conn_type="http", host="acme.zendesk.com")
    assert open_calls("Zendesk", "bare").base_url == "https://acme.zendesk.com"


def test_a_call_ends_before_the_longest_call(set_connection):
    set_connection("slow", conn_type="http", host="https://a.example.com", extra={"timeout": 900})
    assert open_calls("Zendesk", "slow")._timeout[1] == LONGEST_READ
    assert ZendeskTicket.longest_call > sum(open_calls("Zendesk", "slow")._timeout)


def test_no_credentials_come_from_elsewhere(set_connection, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password secret")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    set_connection(
        "bearer", conn_type="http", host="http://127.0.0.1", extra={"Authorization": "Bearer t"}
    )
    session = open_calls("Zendesk", "bearer")._session
    from requests import Request

    request = session.prepare_request(Request("POST", "http://127.0.0.1/"))
    assert request.headers["Authorization"] == "Bearer t"
