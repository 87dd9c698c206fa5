"""Every answer has an end, whichever part of it comes slowly: each byte in time, the whole not."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from segue.channels import oauth2
from segue.channels.email.message import EmailMessage
from segue.channels.http import calls as http_calls
from segue.channels.http.request import HttpRequest
from segue.channels.slack import transport as slack_transport
from segue.channels.slack.message import SlackMessage
from segue.errors import OutcomeUnknown, TransientFailure
from tests.unit.channels.support import deliver, read_request

OK = b"HTTP/1.1 200 OK\r\n"
# what a server says, and then goes on with for ever
SLOW = {
    "a status line": (b"", b"HTTP"),
    "headers": (OK, b"X-Header: a value\r\n"),
    "a header": (OK + b"X-Header: ", b"a"),
    "leave to go on": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": (OK + b"Content-Length: 100000\r\n\r\n", b" "),
}
PATIENCE = 20  # seconds, on a busy machine; without an end a call lasts until the server's


@contextmanager
def slow_server(first: bytes, then: bytes, talk: Callable[[socket.socket], bool]) -> Iterator[int]:
    """Serve ``then`` again and again, for a minute, where ``talk`` says so; yield the port."""

    def serve(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            if talk(connection):
                connection.sendall(first)
                ends = time.monotonic() + 60
                while time.monotonic() < ends:
                    connection.sendall(then)
                    time.sleep(0.05)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):  # the test is over
            for _ in itertools.count():
                args = (listener.accept()[0],)
                threading.Thread(target=serve, args=args, daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def ask(connection: socket.socket) -> bool:
    return bool(read_request(connection))


@contextmanager
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("part", SLOW)
def test_an_api(part: str, set_connection, monkeypatch):
    monkeypatch.setattr(http_calls, "LONGEST_ANSWER", 0.3)
    action = HttpRequest.model_validate({"connection": "crm", "path": "/notes", "json": {}})
    with slow_server(*SLOW[part], ask) as port, soon():
        set_connection("crm", conn_type="http", host=f"http://127.0.0.1:{port}")
        with pytest.raises(OutcomeUnknown, match="lost"):
            deliver(action)


@pytest.mark.parametrize("part", ["leave to go on"])
def test_an_api_behind_a_proxy(part: str, set_connection, monkeypatch):
    monkeypatch.setattr(http_calls, "LONGEST_ANSWER", 0.3)
    action = HttpRequest.model_validate({"connection": "crm", "path": "/notes", "json": {}})
    with slow_server(*SLOW[part], ask) as port, soon():
        proxies = {"http": f"http://127.0.0.1:{port}"}
        set_connection("crm", conn_type="http", host="http://a.test", extra={"proxies": proxies})
        with pytest.raises(OutcomeUnknown, match="lost"):
            deliver(action)


@pytest.mark.parametrize("part", ["headers", "a body"])
def test_a_token_endpoint(part: str, set_connection, monkeypatch):
    """Nothing has been sent to the API."""
    monkeypatch.setattr(oauth2, "TIMEOUT", (5.0, 0.3))
    monkeypatch.setattr(oauth2, "LONGEST_ANSWER", 0.3)
    action = HttpRequest.model_validate({"connection": "crm", "path": "/notes", "json": {}})
    with slow_server(*SLOW[part], ask) as port, soon():
        url = f"http://127.0.0.1:{port}"
        extra = {"oauth2": {"endpoint": f"{url}/token"}}
        login = {"login": "client", "password": "a secret text"}
        set_connection("crm", conn_type="http", host=url, extra=extra, **login)
        with pytest.raises(TransientFailure):
            deliver(action)


@pytest.mark.parametrize("part", SLOW)
def test_slack(part: str, set_connection, monkeypatch):
    monkeypatch.setattr(slack_transport, "LONGEST_ANSWER", 0.3)
    action = SlackMessage.model_validate({"channel": "C0123456789", "text": "Hello"})
    with slow_server(*SLOW[part], ask) as port, soon():
        extra = {"base_url": f"http://127.0.0.1:{port}/api/"}
        set_connection("slack_default", conn_type="slack", password="xoxb-1", extra=extra)
        with pytest.raises(OutcomeUnknown, match="lost"):
            deliver(action)


def mail_server_at(port: int) -> dict[str, Any]:
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "s@example.com"}
    extra |= {"timeout": 1, "retry_limit": 1}
    return {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}


REPLIES = {"its replies": (b"250-", b"a"), "lines of a reply": (b"", b"250-more\r\n")}


@pytest.mark.parametrize("part", REPLIES)
@pytest.mark.parametrize(("at", "outcome"), [("RCPT", TransientFailure), ("DATA", OutcomeUnknown)])
def test_a_mail_server(part: str, at: str, outcome: type[Exception], set_connection):
    """Before the content nothing was sent; after it nobody knows."""
    with slow_server(*REPLIES[part], lambda connection: _talks_until(connection, at)) as port:
        set_connection("smtp_default", **mail_server_at(port))
        with soon(), pytest.raises(outcome):
            deliver(EmailMessage.model_validate({"subject": "Hello", "text": "Dear friend"}))


@pytest.mark.parametrize("part", REPLIES)
def test_the_greeting_of_a_mail_server(part: str, set_connection):
    with slow_server(*REPLIES[part], lambda connection: True) as port:
        set_connection("smtp_default", **mail_server_at(port))
        with soon(), pytest.raises(TransientFailure):
            deliver(EmailMessage.model_validate({"subject": "Hello", "text": "Dear friend"}))


def _talks_until(connection: socket.socket, at: str) -> bool:
    """Speak SMTP until a command, whose reply, or that to its content, is the caller's to give."""
    connection.sendall(b"220 ready\r\n")
    with connection.makefile("rb") as lines:
        for line in lines:
            command = line.split()[0].decode().upper()
            if command == at == "RCPT":
                return True
            connection.sendall(b"354 go on\r\n" if command == "DATA" else b"250 OK\r\n")
            if command == "DATA":
                return any(content == b".\r\n" for content in lines)
    return False
