"""What a team sets in the connection is heard: TLS, proxies. Answers have bounds, and ends."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from certifi import where

from segue.channels.http import calls as http_calls
from segue.channels.http.calls import LARGEST_DOCUMENT
from segue.channels.http.request import HttpRequest
from segue.errors import ConnectionFailure, OutcomeUnknown, TransientFailure
from tests.unit.channels.support import closed_port, deliver, http, read_request, vendor

VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
OK = http("200 OK", '{"id": "n-1"}')
Serve = Callable[[socket.socket], None]  # what is done with an accepted connection


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def server(serve: Serve) -> Iterator[int]:
    """Accept connections on loopback and hand each to ``serve``; yield the port."""

    def accept_all(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # the test is over
                return
            with closing(connection), suppress(OSError):
                serve(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def over_tls(certificate: Path, serve: Serve, *, asks_for_one: bool = False) -> Serve:
    """Shake hands first, and ask for the caller's certificate within the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if asks_for_one:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificate)

    def shake_hands(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            serve(secure)

    return shake_hands


def answer(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(OK)


def reset(connection: socket.socket) -> None:
    """Read something, then break off: a reset, not an orderly end."""
    connection.recv(65536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def trickle(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.1)


def note(set_connection, host: str, **extra: object) -> HttpRequest:
    set_connection("crm", conn_type="http", host=host, extra={"timeout": 20, **extra})
    return HttpRequest.model_validate(
        {"connection": "crm", "path": "/notes", "json": {"a": 1}, "results": {"id": "id"}}
    )


def test_a_certificate_that_nobody_vouches_for_is_of_the_connection(set_connection, certificate):
    serve = over_tls(certificate, answer)
    with server(serve) as port, pytest.raises(ConnectionFailure, match="no secure connection"):
        deliver(note(set_connection, f"https://127.0.0.1:{port}"))


def test_the_connection_says_which_certificates_to_trust(set_connection, certificate):
    with server(over_tls(certificate, answer)) as port:
        action = note(set_connection, f"https://127.0.0.1:{port}", verify=str(certificate))
        assert deliver(action).external_id == "n-1"


def test_a_bundle_of_the_environment_is_trusted(set_connection, certificate, monkeypatch):
    """As requests has it; many a company's own authority is known by no other way."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with server(over_tls(certificate, answer)) as port:
        assert deliver(note(set_connection, f"https://127.0.0.1:{port}")).external_id == "n-1"


def test_the_connection_goes_before_the_environment(set_connection, certificate, monkeypatch):
    """As in the provider's own calls; requests alone would hear the environment."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", where())
    with server(over_tls(certificate, answer)) as port:
        action = note(set_connection, f"https://127.0.0.1:{port}", verify=str(certificate))
        assert deliver(action).external_id == "n-1"
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    with vendor(OK) as url:
        action = note(set_connection, "http://crm.invalid", proxies={"http": url})
        assert deliver(action).external_id == "n-1"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_connection_may_trust_everybody(set_connection, certificate):
    with server(over_tls(certificate, answer)) as port:
        action = note(set_connection, f"https://127.0.0.1:{port}", verify=False)
        assert deliver(action).external_id == "n-1"


def test_the_connection_may_have_a_certificate_of_its_own(set_connection, certificate):
    with server(over_tls(certificate, answer, asks_for_one=True)) as port:
        host, path = f"https://127.0.0.1:{port}", str(certificate)
        action = note(set_connection, host, verify=path, cert=path)
        assert deliver(action).external_id == "n-1"
        with pytest.raises(ConnectionFailure, match="no secure connection"):
            deliver(note(set_connection, host, verify=path))


@pytest.mark.parametrize("key", ["proxy", "proxies"])
def test_calls_go_through_the_proxy_of_the_connection(set_connection, key: str):
    requests: list[str] = []

    def proxy(request: str) -> bytes:
        requests.append(request)
        return OK

    with vendor(proxy) as url:
        extra = {key: {"http": url}}
        assert deliver(note(set_connection, "http://crm.invalid", **extra)).external_id == "n-1"
    assert requests[0].startswith("POST http://crm.invalid/notes HTTP/1.1")


def test_calls_go_through_the_proxy_of_the_environment(set_connection, monkeypatch):
    with vendor(OK) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        assert deliver(note(set_connection, "http://crm.invalid")).external_id == "n-1"


def test_a_network_may_need_no_proxy(set_connection, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
    with vendor(OK) as url:
        assert deliver(note(set_connection, url)).external_id == "n-1"


def test_a_proxy_that_is_away_is_of_the_connection(set_connection):
    proxies = {"https": f"http://127.0.0.1:{closed_port()}"}
    with pytest.raises(ConnectionFailure, match="proxy"):
        deliver(note(set_connection, "https://crm.invalid", proxies=proxies))


def test_a_proxy_that_refuses_is_of_the_connection(set_connection):
    refusal = http("407 Proxy Authentication Required")
    with vendor(refusal) as url, pytest.raises(ConnectionFailure, match="proxy"):
        deliver(note(set_connection, "https://crm.invalid", proxies={"https": url}))


def test_a_bomb_is_not_unpacked_beyond_the_bound(set_connection):
    """A kilobyte on the wire that would be 200 MB, packed twice."""
    body = gzip.compress(gzip.compress(bytes(200_000_000), 9), 9)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: {len(body)}\r\n\r\n"
    with vendor(head.encode() + body) as url:
        action = note(set_connection, url)
        tracemalloc.start()
        try:
            with pytest.raises(OutcomeUnknown, match="larger than 1000000"):
                deliver(action)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 20 * LARGEST_DOCUMENT


def test_an_answer_that_trickles_in_is_given_up(set_connection, monkeypatch):
    """Each byte is in time, and the whole is not."""
    monkeypatch.setattr(http_calls, "LONGEST_ANSWER", 0.5)
    began = time.monotonic()
    with server(trickle) as port, pytest.raises(OutcomeUnknown, match="lost"):
        deliver(note(set_connection, f"http://127.0.0.1:{port}"))
    assert time.monotonic() - began < 30


def trickle_on_the_way(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 302 X\r\nLocation: /y\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.1)


def test_the_body_of_a_redirect_has_the_same_bounds(set_connection, monkeypatch):
    """It is read for the next request, which is never made."""
    monkeypatch.setattr(http_calls, "LONGEST_ANSWER", 0.5)
    began = time.monotonic()
    with server(trickle_on_the_way) as port, pytest.raises(OutcomeUnknown, match="lost"):
        deliver(note(set_connection, f"http://127.0.0.1:{port}"))
    assert time.monotonic() - began < 30


def test_a_connection_that_ends_in_the_handshake_has_sent_nothing(set_connection):
    with server(reset) as port, pytest.raises(TransientFailure, match="nothing was sent"):
        deliver(note(set_connection, f"https://127.0.0.1:{port}"))


def test_a_connection_that_ends_after_the_request_leaves_doubt(set_connection, certificate):
    with server(over_tls(certificate, reset)) as port, pytest.raises(OutcomeUnknown, match="lost"):
        deliver(note(set_connection, f"https://127.0.0.1:{port}", verify=str(certificate)))


def test_a_handshake_of_an_earlier_call_does_not_speak_for_this_one(set_connection):
    """A channel may turn to another host while it handles the first one's failure."""
    with server(reset) as port:
        try:
            deliver(note(set_connection, f"https://127.0.0.1:{port}"))
        except TransientFailure:
            with pytest.raises(OutcomeUnknown, match="lost"):
                deliver(note(set_connection, f"http://127.0.0.1:{port}"))
