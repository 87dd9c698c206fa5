"""What the channels' tests share: a delivery's key, a contact, and a vendor that misbehaves."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from segue.contracts.channel import Channel, Receipt
from segue.contracts.template_values import Fields
from segue.sandbox.server import Sandbox
from segue.sandbox.store import Message

KEY = "0123456789abcdef" * 4
OTHER_KEY = "fedcba9876543210" * 4
PATIENCE = 60  # seconds, of a test for what comes at once on a machine that is not busy

HOSTILE = {
    "html": "<script>alert(1)</script> & \"double\" 'single'",
    "mention": "<!channel> <@U12345678> <https://evil.example.com|click> @here",
    "line breaks": "first\r\nBcc: victim@example.com\r\n\r\n.\r\nQUIT\r\n",
    "right to left": "\u202eevil\u202c שלום مرحبا",
    "emoji": "👩🏽‍🚀 🇺🇳 e\u0301",
    "ten kilobytes": "x" * 10_000,
    "template": "{{ contact.email }} {% raw %}",
    "json": '", "admin": true, "x": "',
}
ONE_LINE = {name: text for name, text in HOSTILE.items() if name != "line breaks"}


def variables(**contact: Any) -> dict[str, Any]:
    """Return what a template sees, for a contact with addresses and a name."""
    fields = {
        "contact_id": "c-1",
        "email": "ana@example.com",
        "phone": "+447700900123",
        "first_name": "Ana",
        **contact,
    }
    return {
        "contact": Fields("contact", fields),
        "change": "added",
        "key": KEY,
        "results": Fields("results", {"ticket": {"url": "https://example.com/?a=1&b=2"}}),
    }


def deliver(channel: Channel, *, key: str = KEY, **contact: Any) -> Receipt:
    """Render, connect, complete and send, as the door does for one contact."""
    message: Mapping[str, Any] = channel.render({**variables(**contact), "key": key})
    with channel.connect() as sender:
        if sender.lacks(message):
            message = sender.complete(message)
        return sender.send(message, key=key)


def deliver_after(channel: Channel, *earlier: str, key: str = OTHER_KEY, **contact: Any) -> Receipt:
    """Send to a contact who had these tickets before, the newest first."""
    message = channel.render({**variables(**contact), "earlier": earlier})
    with channel.connect() as sender:
        return sender.send(message, key=key)


def find(channel: Channel, *traced: tuple[str, Mapping[str, Any]], since: datetime | None = None):
    """Ask for the messages of these (key, rendered message), as the door does after a crash."""
    traces = {key: channel.trace(message) for key, message in traced}
    with channel.connect() as sender:
        return sender.find(traces, since or datetime.now(UTC))


def messages_of(sandbox: Sandbox, service: str, count: int = 1) -> list[Message]:
    """Return what a service received, once it is so much: who gave up may have been faster."""
    until = time.monotonic() + PATIENCE
    while len(sandbox.messages(service=service)) < count and time.monotonic() < until:
        time.sleep(0.01)
    return sandbox.messages(service=service)


Scripted = Callable[[str], bytes]  # the answer to a request: its head and body


@contextmanager
def vendor(answer: bytes | Scripted, *, reads: bool = True) -> Iterator[str]:
    """Serve one answer, or a script, to every request on loopback, and hang up; yield the URL.

    Without ``reads`` it answers whoever connects, before there is a request.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=_answer_all, args=(server, answer, reads), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def http(status: str, body: str = "", headers: Mapping[str, str] | None = None) -> bytes:
    """Return an HTTP answer as it goes over the wire."""
    content = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def closed_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


def _answer_all(server: socket.socket, answer: bytes | Scripted, reads: bool) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # the test is over
            return
        with closing(connection), suppress(OSError):
            request = read_request(connection) if reads else ""
            connection.sendall(answer if isinstance(answer, bytes) else answer(request))


def read_request(connection: socket.socket) -> str:
    """Read a request to its end, so that hanging up is not a reset."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return ""
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    wanted = int(lengths[0].partition(b":")[2]) if lengths else 0
    while len(body) < wanted:
        body += connection.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()


@contextmanager
def mail_server(**replies: bytes | None) -> Iterator[int]:
    """Speak SMTP on loopback with the given replies; None hangs up. Yield the port.

    ``greeting`` is said first, ``content`` after the mail; any other is a command in small letters.
    """
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=_serve_mail, args=(server, replies), daemon=True)
        thread.start()
        yield server.getsockname()[1]


@contextmanager
def broken_off() -> Iterator[int]:
    """Speak SMTP on loopback until the first of a mail's content, then reset; yield the port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=_break_off, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]


def _break_off(server: socket.socket) -> None:
    with suppress(OSError):
        connection, _ = server.accept()
        with closing(connection):
            connection.sendall(b"220 ready\r\n")
            while b"DATA" not in connection.recv(1000).upper():
                connection.sendall(b"250 OK\r\n")
            connection.sendall(b"354 go on\r\n")
            connection.recv(1000)
            at_once = struct.pack("ii", 1, 0)  # a reset, not an orderly end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


def _serve_mail(server: socket.socket, replies: Mapping[str, bytes | None]) -> None:
    known: dict[str, bytes | None] = {
        "greeting": b"220 ready",
        "ehlo": b"250-here\r\n250 SIZE 1000000",
        "data": b"354 go on",
        "quit": b"221 bye",
        **replies,
    }
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # the test is over
            return
        with closing(connection), connection.makefile("rb") as lines, suppress(OSError):
            _converse(connection, lines, known)


def _converse(
    connection: socket.socket, lines: Iterable[bytes], replies: Mapping[str, bytes | None]
) -> None:
    in_content = False
    asked = "greeting"
    waiting = iter(lines)
    while True:
        reply = replies.get(asked, b"250 OK")
        if reply is None:
            return
        connection.sendall(reply + b"\r\n")
        in_content = asked == "data" and reply.startswith(b"354")
        for line in waiting:
            if not in_content:
                asked = line.split()[0].decode("ascii", "replace").lower()
                break
            if line == b".\r\n":
                asked = "content"
                break
        else:
            return
