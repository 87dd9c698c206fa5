"""Secrets in places of their own: what goes out has them, and nothing else ever does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from segue.channels.http import credentials
from segue.channels.http.calls import open_calls
from segue.channels.http.request import HttpRequest
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.errors import ConnectionFailure, ContactFailure, SegueError
from segue.live.http_details import HttpDetails
from tests.unit.channels.support import KEY, deliver, find, http, variables, vendor

SECRET = 'key/with +signs& "quotes"'
PAGE = {"connection": "pager", "path": "/v2/enqueue"}


def action(**fields: Any) -> HttpRequest:
    return HttpRequest.model_validate({**PAGE, **fields})


@pytest.fixture
def connect(set_connection):
    def set_to(url: str, secrets: Any, **fields: Any) -> None:
        extra = {"placed_secrets": secrets, "timeout": 10}
        set_connection("pager", conn_type="http", host=url, extra=extra, **fields)

    return set_to


@contextmanager
def recorder(answer: bytes = b"") -> Iterator[tuple[str, list[str]]]:
    """Serve one answer to everything; yield the URL, and the list of what arrived."""
    received: list[str] = []

    def take(request: str) -> bytes:
        received.append(request)
        return answer or http("200 OK", '{"id": 7, "items": []}')

    with vendor(take) as url:
        yield url, received


def target(request: str) -> str:
    return request.split(" ", 2)[1]


def body(request: str) -> str:
    return request.partition("\r\n\r\n")[2]


def header(request: str, name: str) -> str:
    lines = request.partition("\r\n\r\n")[0].split("\r\n")
    return next(line.partition(":")[2].strip() for line in lines if line.lower().startswith(name))


# places


def test_members_of_a_json_object(connect):
    """As the routing key of PagerDuty's Events API, which its schema refuses as a header."""
    with recorder() as (url, received):
        connect(url, {"body": {"routing_key": SECRET}})
        deliver(action(json={"event_action": "trigger", "payload": {"x": [1, 2.5, None, "ü"]}}))
    assert json.loads(body(received[0])) == {
        "routing_key": SECRET,
        "event_action": "trigger",
        "payload": {"x": [1, 2.5, None, "ü"]},
    }
    assert header(received[0], "content-length") == str(len(body(received[0]).encode()))


def test_fields_of_a_form(connect):
    with recorder() as (url, received):
        connect(url, {"body": {"token": SECRET}})
        deliver(action(form={"user": "{{ contact.first_name }} & co"}))
    assert parse_qs(body(received[0])) == {"user": ["Ana & co"], "token": [SECRET]}


@pytest.mark.parametrize("query", [{}, {"a": "b c"}])
def test_parameters_of_the_query(connect, query):
    """As Google Chat's incoming webhooks have them."""
    with recorder() as (url, received):
        connect(f"{url}/v1/spaces/AAAA", {"query": {"key": SECRET, "token": "token="}})
        deliver(action(path="/messages", query=query, json={"text": "hello"}))
    parts = urlsplit(target(received[0]))
    assert parts.path == "/v1/spaces/AAAA/messages"
    expected = {name: [value] for name, value in query.items()}
    assert parse_qs(parts.query) == {**expected, "key": [SECRET], "token": ["token="]}


@pytest.mark.parametrize(
    ("host", "secret", "path", "goes_to"),
    [
        ("", "/bot123:ABC-def", "/sendMessage", "/bot123:ABC-def/sendMessage"),  # Telegram
        ("/api/webhooks", "/1234/AbC_d-e", "/", "/api/webhooks/1234/AbC_d-e"),  # Discord
    ],
)
def test_the_beginning_of_the_path(connect, host, secret, path, goes_to):
    with recorder() as (url, received):
        connect(f"{url}{host}", {"path": secret})
        deliver(action(path=path, json={"text": "hello"}))
    assert target(received[0]) == goes_to


def test_a_look_up_and_a_live_source_have_them_too(connect):
    secrets = {"query": {"key": SECRET}, "path": "/secret-path", "body": {"k": "secret-body"}}
    askable = action(
        json={"id": "{{ key }}"},
        look_up={"path": "/notes/{{ key }}", "found": "items[?id == key()]"},
    )
    source = HttpDetails.model_validate(
        {"connection": "pager", "path": "/c/{{ contact.contact_id }}", "fields": {"id": "id"}}
    )
    with recorder() as (url, received):
        connect(url, secrets)
        find(askable, (KEY, askable.render(variables())))
        with source.connect() as reader:
            reader.look_up({"c-1": {"contact_id": "c-1"}})
    for request, path in zip(received, (f"/notes/{KEY}", "/c/c-1"), strict=True):
        parts = urlsplit(target(request))
        assert (parts.path, parse_qs(parts.query)) == (f"/secret-path{path}", {"key": [SECRET]})
        assert body(request) == ""


# signatures


def test_the_signature_of_githubs_own_example():
    """https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries"""
    from requests import Request

    signature = credentials.Signature.model_validate(
        {
            "key": "It's a Secret to Everybody",
            "headers": {"X-Hub-Signature-256": "sha256={hex}"},
        }
    )
    request = Request("POST", "https://example.com", data=b"Hello, World!").prepare()
    signature.sign(request)
    assert request.headers["X-Hub-Signature-256"] == (
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    )


def test_a_signature_with_its_time_is_over_the_bytes_that_arrive(connect):
    """As Stripe's: t=…,v1=…; secrets of the body are signed with it."""
    sign = {
        "key": SECRET,
        "payload": "{timestamp}.{body}",
        "headers": {"X-Signature": "t={timestamp},v1={hex}", "X-Time": "{timestamp}"},
    }
    with recorder() as (url, received):
        connect(url, {"sign": sign, "body": {"routing_key": "secret-routing-key"}})
        deliver(action(json={"text": "{{ contact.first_name }} {timestamp} {body}"}))
    stamp, _, given = header(received[0], "x-signature").removeprefix("t=").partition(",v1=")
    assert abs(int(stamp) - time.time()) < 60
    assert header(received[0], "x-time") == stamp
    payload = f"{stamp}.{body(received[0])}".encode()
    assert given == hmac.new(SECRET.encode(), payload, hashlib.sha256).hexdigest()
    assert "secret-routing-key" in body(received[0])


def test_a_signature_may_be_base64_of_another_hash_and_of_no_body(connect):
    sign = {"key": SECRET, "headers": {"X-S": "{base64}"}, "algorithm": "sha512"}
    with recorder() as (url, received):
        connect(url, {"sign": sign})
        deliver(action(method="GET"))
    expected = base64.b64encode(hmac.new(SECRET.encode(), b"", hashlib.sha512).digest())
    assert header(received[0], "x-s") == expected.decode()


def test_a_login_stays_what_it_is(connect):
    with recorder() as (url, received):
        connect(url, {"query": {"key": SECRET}}, login="user", password="password")
        deliver(action(json={}))
    assert header(received[0], "authorization").startswith("Basic ")


# nowhere else


def test_no_secret_is_in_a_message_a_trace_a_result_or_an_error(connect, caplog):
    from airflow.sdk.log import redact

    secrets = {
        "path": "/secret-path",
        "query": {"key": SECRET},
        "body": {"routing_key": "secret-body"},
        "sign": {"key": "secret-sign", "headers": {"X-S": "{hex}"}},
    }
    forms = ["secret-path", "secret-body", "secret-sign", SECRET, quote(SECRET, safe="")]
    askable = action(
        json={"id": "{{ key }}"},
        results={"id": "echo", "url": "url", "other": "id"},
        look_up={
            "path": "/n/{{ key }}",
            "found": "[@][?key == key()]",
            "results": {"id": "echo", "url": "url", "other": "id"},
        },
    )
    answers = {"echo": "secret-body", "url": f"https://a/?key={quote(SECRET, safe='')}", "id": 7}
    message = askable.render(variables())
    texts = [json.dumps(message), json.dumps(askable.trace(message))]
    with caplog.at_level(logging.DEBUG):
        with recorder(http("200 OK", json.dumps({**answers, "key": KEY}))) as (url, received):
            connect(url, secrets)
            receipts = [deliver(askable), find(askable, (KEY, message))[KEY]]
        texts += [str(receipt) for receipt in receipts]
        with recorder(http("400 Bad Request", '{"error": "secret-body"}')) as (url, _):
            connect(url, secrets)
            with pytest.raises(ContactFailure) as raised:
                deliver(askable)
        texts.append(str(raised.value))
        connect("http://127.0.0.1:1", secrets)
        with pytest.raises(SegueError) as raised:
            deliver(askable)
        texts.append(str(raised.value))
    texts += [str(redact(record.getMessage())) for record in caplog.records]
    assert receipts[0].results["other"] == "7"
    assert "secret-body" in body(received[0])
    for form in forms:
        assert not any(form in text for text in texts), form


@pytest.mark.parametrize(
    ("fields", "secrets", "words"),
    [
        ({"json": {"a": 1}}, {"body": {"a": SECRET}}, "'a' stands in the JSON"),
        ({"form": {"a": 1}}, {"body": {"a": SECRET}}, "'a' stands in the form"),
        ({"query": {"a": 1}}, {"query": {"a": SECRET}}, "'a' stands in the query"),
        ({"json": ["a"]}, {"body": {"a": SECRET}}, "neither a JSON object nor a form"),
        ({"text": "a"}, {"body": {"a": SECRET}}, "neither a JSON object nor a form"),
    ],
)
def test_what_has_no_place_stops_the_slice(connect, fields, secrets, words):
    with recorder() as (url, received):
        connect(url, secrets)
        with pytest.raises(ConnectionFailure, match=words) as raised:
            deliver(action(**fields))
    assert received == []
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("secrets", "words"),
    [
        ("hunter2", "placed_secrets: "),
        ({"cookie": "hunter2"}, "placed_secrets.cookie: "),
        ({"path": "hunter2"}, "placed_secrets.path: must begin with /"),
        ({"path": "/hunter2/"}, "placed_secrets.path: ends with /"),
        ({"path": "/hunter2/../x"}, "placed_secrets.path: "),
        ({"path": "/a?hunter2=1"}, "placed_secrets.path: "),
        ({"query": {"key": "hunt"}}, "placed_secrets.query: a secret has 6 characters"),
        ({"query": {"key": 1234567}}, "placed_secrets.query.key: "),
        ({"body": ["hunter2"]}, "placed_secrets.body: "),
        ({"sign": {"key": "hunter2"}}, "placed_secrets.sign.headers: "),
        ({"sign": {"key": "hunter2", "headers": {}}}, "none of them has the signature"),
        ({"sign": {"key": "hunter2", "headers": {"A b": "{hex}"}}}, "is not a header's name"),
        ({"sign": {"key": "hunter2", "headers": {"A": "{hexx}"}}}, r"found \{hexx\}; allowed"),
        ({"sign": {"key": "hunter2", "headers": {"A": "{hex}\n"}}}, "ASCII only, on one line"),
        (
            {"sign": {"key": "hunter2", "headers": {"A": "{hex}"}, "payload": "{time}"}},
            r"found \{time\}; allowed: \{timestamp\}, \{body\}",
        ),
        (
            {"sign": {"key": "hunter2", "headers": {"A": "{hex}"}, "algorithm": "md5"}},
            "placed_secrets.sign.algorithm: ",
        ),
    ],
)
def test_what_cannot_be_meant_is_named_and_no_value_is_shown(connect, secrets, words):
    connect("https://pager.example.com", secrets)
    with pytest.raises(ConnectionFailure, match=words) as raised:
        action(json={}).connect()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("host", ["https://user:hunter2@acme.example.com", "user:hunter2@acme"])
def test_a_host_with_a_login_in_it_is_refused(set_connection, host: str):
    """It would stand in the links to tickets, and in the ledger."""
    set_connection("acme", conn_type="http", host=host, schema="https")
    with pytest.raises(ConnectionFailure, match="write them into login and password") as raised:
        open_calls("Acme", "acme")
    assert "hunter2" not in str(raised.value)


def test_channels_of_vendors_have_them_too(set_connection):
    """A gateway in front of a vendor may want a key of its own."""
    with recorder(http("201 Created", '{"ticket": {"id": 7}}')) as (url, received):
        extra = {"placed_secrets": {"query": {"gateway": SECRET}}}
        set_connection("zendesk_default", conn_type="http", host=url, extra=extra)
        receipt = deliver(ZendeskTicket.model_validate({"subject": "a", "comment": "b"}))
    assert parse_qs(urlsplit(target(received[0])).query) == {"gateway": [SECRET]}
    assert receipt.url == f"{url}/agent/tickets/7"


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(SECRET),
        json.dumps(SECRET).replace("/", "\\/"),  # as PHP writes it
        json.dumps(SECRET).replace("+", "\\u002B").replace("&", "\\u0026"),  # as .NET does
        json.dumps(quote(SECRET, safe="").lower()),
        json.dumps(SECRET.replace("&", "&amp;").replace('"', "&quot;")),
    ],
)
def test_a_secret_is_crossed_out_however_an_answer_writes_it(connect, written: str):
    with vendor(http("200 OK", f'{{"id": {written}}}')) as url:
        connect(url, {"query": {"key": SECRET}})
        assert deliver(action(results={"id": "id"})).external_id == "***"


def test_a_token_that_is_a_segment_of_the_path_is_crossed_out_alone(connect):
    """As Discord shows it, beside the webhook's id; a short segment may be a word."""
    token = "aWebhookToken_of-68-characters"
    answer = json.dumps({"id": "7", "messages": f"with {token}"})
    with vendor(http("200 OK", answer)) as url:
        connect(url, {"path": f"/messages/{token}"})
        receipt = deliver(action(results={"id": "id", "text": "messages"}))
    assert receipt.results == {"id": "7", "text": "with ***"}


LONG = "a-long/secret+of=more.than20"


@pytest.mark.parametrize(
    ("fields", "secret"),
    [
        ({"login": "ann", "password": LONG}, LONG),
        ({"login": "ann", "password": LONG}, base64.b64encode(f"ann:{LONG}".encode()).decode()),
        ({"extra": {"Authorization": f"Bearer {LONG}"}}, LONG),
        ({"extra": {"X-Api-Key": LONG}}, LONG),
    ],
)
def test_a_long_secret_of_the_connection_is_crossed_out_of_answers_as_well(
    set_connection, fields, secret
):
    answer = {"id": f"for {secret}", "name": "ann is a team of more than twenty"}
    with recorder(http("200 OK", json.dumps(answer))) as (url, received):
        set_connection("pager", conn_type="http", host=url, **fields)
        results = deliver(action(json={}, results={"id": "id", "name": "name"})).results
    assert results == {"id": "for ***", "name": answer["name"]}
    assert (
        secret in received[0] or base64.b64encode(f"ann:{secret}".encode()).decode() in received[0]
    )


def test_headers_that_cannot_be_read_put_no_address_into_the_log(connect, caplog):
    """urllib3 logs the whole address: a contact's text, and secrets."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno header\r\n\r\n{}"
    with recorder(answer) as (url, _), caplog.at_level(logging.DEBUG, "urllib3.connection"):
        connect(url, {"query": {"key": SECRET}})
        deliver(action(query={"name": "{{ contact.first_name }}"}, json={}))
    assert "Failed to parse headers (url=not shown)" in caplog.text
    assert not any(text in caplog.text for text in ("Ana", "signs", url))
