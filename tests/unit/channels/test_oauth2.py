"""Access tokens of connections over HTTP; the authorization server is of another library."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from segue.channels import oauth2
from segue.channels.http import calls as http_calls
from segue.channels.http import credentials
from segue.channels.http.request import HttpRequest
from segue.contracts.channel import Tried, channel_class
from segue.errors import ConnectionFailure, SegueError, TransientFailure
from segue.live.http_details import HttpDetails
from segue.sandbox.vendors.twilio_api import ACCOUNT_SID
from tests.channels.case import Servers
from tests.channels.cases import CASES
from tests.unit.channels.authorization_server import (
    CLIENT_ID,
    CLIENT_SECRET,
    REFRESH_TOKEN,
    AuthorizationServer,
    authorization_server,
)
from tests.unit.channels.http.test_transport import over_tls, server
from tests.unit.channels.support import (
    closed_port,
    deliver,
    http,
    read_request,
    variables,
    vendor,
)

OVER_HTTP = [
    name
    for name, case in CASES.items()
    if "host" in (fields := case.connection(Servers("http://127.0.0.1", "", 0)))
    and fields["conn_type"] == "http"
]
SECRETS = (CLIENT_SECRET, REFRESH_TOKEN)
LOGIN = {"login": CLIENT_ID, "password": CLIENT_SECRET}
NOTE = HttpRequest.model_validate(
    {"connection": "crm", "path": "/notes", "json": {"text": "{{ contact.contact_id }}"}}
)


@pytest.fixture(autouse=True)
def another_process(monkeypatch) -> None:
    """Begin without the tokens of earlier tests."""
    monkeypatch.setattr(oauth2, "_ALL", {})


@pytest.fixture
def site() -> Iterator[AuthorizationServer]:
    with authorization_server() as server:
        yield server


@pytest.fixture
def connect(set_connection):
    """Set the connection ``crm`` to a server, with what ``oauth2`` says beside the endpoint."""

    def set_to(site: AuthorizationServer, login: dict[str, str] | None = None, **settings: Any):
        oauth = {"endpoint": site.endpoint, **settings}
        fields = {"host": site.url, "extra": {"oauth2": oauth, "timeout": 10}}
        set_connection("crm", conn_type="http", **fields, **(LOGIN if login is None else login))

    return set_to


def pem(key: Any, *, one_line: bool = False) -> str:
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return text.replace("\n", " ") if one_line else text


def public(key: Any) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


# sharing


@pytest.mark.parametrize("way", ["body", "header"])
def test_a_client_says_who_it_is_in_the_body_or_in_a_header(site, connect, way: str):
    connect(site, client_in=way)
    deliver(NOTE)
    assert (site.ways, len(site.effects)) == ([way], 1)


def test_all_threads_and_openings_share_one_token(site, connect):
    connect(site, scope="read write")
    for _ in range(2):
        with NOTE.connect() as sender, ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(sender.send, _message(n), key=f"{n:064x}") for n in range(16)]
            for call in calls:
                call.result()
    assert (len(site.token_requests), len(site.effects), site.refusals) == (1, 32, 0)
    assert site.token_requests[0]["scope"] == "read write"


def test_another_secret_is_another_client(site, connect):
    connect(site)
    deliver(NOTE)
    connect(site, login={"login": CLIENT_ID, "password": "another secret"})
    with pytest.raises(ConnectionFailure):
        deliver(NOTE)
    assert len(site.token_requests) == 2


def test_a_token_is_asked_for_anew_before_its_life_is_over(site, connect):
    site.life = 2
    connect(site)
    with NOTE.connect() as sender:
        ends = time.monotonic() + 3.5
        while time.monotonic() < ends:
            sender.send(_message(1), key="0" * 64)
            time.sleep(0.05)
    assert site.refusals == 0
    assert len(site.token_requests) in (2, 3, 4)


@pytest.mark.parametrize(
    ("life", "leeway"), [(3600, 60), (1800, 60), (120, 30), (4, 1), ("1800", 60)]
)
def test_a_token_is_not_used_in_the_last_minute_or_quarter_of_its_life(site, connect, life, leeway):
    answer = {"access_token": "t", "token_type": "Bearer", "expires_in": life}
    site.endpoint_answers = (200, {}, json.dumps(answer))
    connect(site)
    tokens = oauth2.tokens_of("crm")
    tokens.current()
    token = tokens._token
    assert token.ends_at - token.given_at == pytest.approx(int(life) - leeway)


@pytest.mark.parametrize("life", [0, -100, "-1"])
def test_a_token_whose_life_is_none_is_used_until_it_is_refused(site, connect, life):
    answer = {"access_token": "t", "token_type": "Bearer", "expires_in": life}
    site.endpoint_answers = (200, {}, json.dumps(answer))
    connect(site)
    tokens = oauth2.tokens_of("crm")
    for _ in range(3):
        tokens.current()
    assert len(site.token_requests) == 1


# 401


def test_a_token_that_was_revoked_is_asked_for_anew_once_and_nothing_is_done_twice(site, connect):
    connect(site)
    with NOTE.connect() as sender:
        sender.send(_message(0), key="0" * 64)
        site.revoke()
        barrier = threading.Barrier(8)

        def send(number: int) -> None:
            barrier.wait()
            sender.send(_message(number), key=f"{number:064x}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(1, 9)))
    assert len(site.token_requests) == 2
    assert sorted(site.effects) == sorted(json.dumps({"text": f"c-{n}"}) for n in range(9))


def test_a_token_without_a_known_end_is_used_until_it_is_refused(connect):
    """As Salesforce's, whose sessions end when nobody calls for two hours."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with authorization_server(public_key=public(key)) as site:
        connect(site, login={"login": CLIENT_ID, "password": pem(key)}, grant="jwt_bearer")
        deliver(NOTE)
        site.revoke()
        deliver(NOTE)
        assert (len(site.assertions), len(site.effects), site.refusals) == (2, 2, 1)


def test_a_401_to_a_token_as_new_as_can_be_is_of_the_connection(site, connect):
    connect(site)
    site.api_refuses = True
    with pytest.raises(ConnectionFailure, match="401: invalid_token") as raised:
        deliver(NOTE)
    assert (len(site.token_requests), site.refusals) == (1, 1)
    assert not any(secret in str(raised.value) for secret in SECRETS)


def test_an_api_that_refuses_every_token_is_asked_twice_by_a_later_call(site, connect):
    connect(site)
    with NOTE.connect() as sender:
        sender.send(_message(0), key="0" * 64)
        site.api_refuses = True
        with pytest.raises(ConnectionFailure):
            sender.send(_message(1), key="1" * 64)
    assert (len(site.token_requests), site.refusals, len(site.effects)) == (2, 2, 1)


def test_without_oauth_a_401_is_asked_once(set_connection):
    requests = []

    def refuse(request: str) -> bytes:
        requests.append(request)
        return http("401 Unauthorized")

    with vendor(refuse) as url:
        set_connection("crm", conn_type="http", host=url, login="a", password="b")
        with pytest.raises(ConnectionFailure):
            deliver(NOTE)
    assert len(requests) == 1


def test_a_renewal_that_comes_too_late_sends_nothing(site, connect, monkeypatch):
    """A call must end within the channel's longest, of which the first try and tokens are part."""
    connect(site)
    with NOTE.connect() as sender:
        sender.send(_message(0), key="0" * 64)
        site.revoke()
        monkeypatch.setattr(credentials, "LATEST_START", 0.0)
        with pytest.raises(TransientFailure, match="nothing was sent"):
            sender.send(_message(1), key="1" * 64)
    assert len(site.effects) == 1


def test_a_call_with_all_of_its_tokens_ends_within_the_longest_call():
    of_the_token = sum(oauth2.TIMEOUT)
    assert of_the_token >= credentials.LATEST_START
    latest = credentials.LATEST_START + http_calls.CONNECT_TIMEOUT + 2 * http_calls.LONGEST_READ
    assert latest <= HttpRequest.longest_call


# an endpoint that gives none


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        ((401, '{"error": "invalid_client"}'), ConnectionFailure, "401: invalid_client"),
        ((400, '{"error": "invalid_scope"}'), ConnectionFailure, "400: invalid_scope"),
        ((200, '{"error": "invalid_client"}'), ConnectionFailure, "200: invalid_client"),
        ((400, f'{{"error": "{CLIENT_SECRET}"}}'), ConnectionFailure, "answered 400; check"),
        ((400, "<html>no</html>"), ConnectionFailure, "answered 400; check"),
        ((404, ""), ConnectionFailure, "answered 404; check `endpoint`"),
        ((302, ""), ConnectionFailure, "answered 302; check `endpoint`"),
        ((200, "<html>log in</html>"), ConnectionFailure, "without a token; check `endpoint`"),
        ((200, "{}"), ConnectionFailure, "without a token"),
        ((200, "[]"), ConnectionFailure, "without a token"),
        ((200, "7"), ConnectionFailure, "without a token"),
        ((200, '{"access_token": 7}'), ConnectionFailure, "without a token"),
        ((200, '{"access_token": "a\\nb"}'), ConnectionFailure, "without a token"),
        (
            (200, '{"access_token": "a", "expires_in": "soon"}'),
            ConnectionFailure,
            "without a token",
        ),
        *(
            ((200, f'{{"access_token": "a", {life}}}'), ConnectionFailure, "without a token")
            for life in ('"expires_in": 1e400', '"expires_at": 1767225600, "expires_in": "1h"')
        ),
        ((200, "[" * 90_000), ConnectionFailure, "without a token"),
        ((200, " " * 200_000), ConnectionFailure, "without a token"),
        ((429, ""), TransientFailure, "answered 429"),
        ((500, ""), TransientFailure, "answered 500"),
        ((503, '{"error": "invalid_client"}'), TransientFailure, "answered 503"),
        ((400, '{"error": "temporarily_unavailable"}'), TransientFailure, "answered 400"),
    ],
)
def test_what_an_endpoint_answers_instead_of_a_token(site, connect, answer, expected, words):
    status, text = answer
    headers = {"Retry-After": "7", "Location": "http://127.0.0.1:1/"}
    site.endpoint_answers = (status, headers, text)
    connect(site)
    with pytest.raises(expected) as raised:
        deliver(NOTE)
    assert words in str(raised.value)
    assert "'crm'" in str(raised.value)
    assert CLIENT_SECRET not in str(raised.value)
    if expected is TransientFailure:
        assert raised.value.retry_after == 7
    assert (len(site.token_requests), site.effects, site.refusals) == (1, [], 0)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://127.0.0.1:{closed}/token", TransientFailure),
        ("http://no-such-host.invalid/token", ConnectionFailure),
    ],
)
def test_an_endpoint_that_cannot_be_reached(site, set_connection, endpoint: str, expected):
    oauth = {"endpoint": endpoint.format(closed=closed_port())}
    set_connection("crm", conn_type="http", host=site.url, extra={"oauth2": oauth}, **LOGIN)
    with pytest.raises(expected, match="token endpoint of the Airflow connection 'crm'"):
        deliver(NOTE)
    assert site.refusals == 0


def test_an_endpoint_that_does_not_answer_is_transient(site, set_connection, monkeypatch):
    monkeypatch.setattr(oauth2, "TIMEOUT", (0.5, 0.5))

    def wait(request: str) -> bytes:
        time.sleep(2)
        return b""

    with vendor(wait) as url:
        oauth = {"endpoint": f"{url}/token"}
        set_connection("crm", conn_type="http", host=site.url, extra={"oauth2": oauth}, **LOGIN)
        with pytest.raises(TransientFailure, match="nothing was sent"):
            deliver(NOTE)


def test_threads_that_wait_for_a_token_share_its_refusal(site, connect):
    """One after the other, each with its time-out, they would wait longer than a call may last."""
    site.endpoint_answers = (503, {}, "")
    connect(site)
    tokens = oauth2.tokens_of("crm")
    barrier = threading.Barrier(4)

    def ask(_: int) -> str:
        barrier.wait()
        with pytest.raises(TransientFailure) as raised:
            tokens.current()
        return str(raised.value)

    with site.lock, ThreadPoolExecutor(4) as pool:
        texts = pool.map(ask, range(4))
        time.sleep(0.5)  # until all wait
        site.lock.release()
        assert len(set(texts)) == 1
        site.lock.acquire()
    assert len(site.token_requests) == 1


def test_the_endpoint_is_asked_through_the_proxy_of_the_connection(site, set_connection):
    lines: list[str] = []

    def proxy(request: str) -> bytes:
        lines.append(request.partition("\r\n")[0])
        return http("200 OK", '{"access_token": "abc123", "token_type": "Bearer"}')

    with vendor(proxy) as url:
        endpoint = "http://login.example.com/token"
        extra = {"oauth2": {"endpoint": endpoint}, "proxies": {"http": url}}
        set_connection("crm", conn_type="http", host="http://api.example.com", extra=extra, **LOGIN)
        deliver(NOTE)
    assert lines == [
        f"POST {endpoint} HTTP/1.1",
        "POST http://api.example.com/notes HTTP/1.1",
    ]


@pytest.mark.parametrize("trusts", [True, False])
def test_the_endpoint_must_have_a_certificate_that_the_connection_trusts(
    site, set_connection, certificate: Path, trusts: bool
):
    answer = http("200 OK", '{"access_token": "abc123", "token_type": "Bearer"}')

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    with server(over_tls(certificate, serve)) as port:
        endpoint = f"https://localhost:{port}/token"
        extra = {"oauth2": {"endpoint": endpoint}, "verify": str(certificate) if trusts else True}
        set_connection("crm", conn_type="http", host=site.url, extra=extra, **LOGIN)
        with pytest.raises(ConnectionFailure) as raised:  # the site knows no such token
            deliver(NOTE)
    assert site.refusals == (1 if trusts else 0)
    assert trusts or "cannot be asked" in str(raised.value)


# refresh tokens


def test_a_refresh_token_that_stays_gives_tokens_for_ever(site, connect):
    connect(site, grant="refresh_token", refresh_token=REFRESH_TOKEN)
    deliver(NOTE)
    site.revoke()
    deliver(NOTE)
    assert [form["refresh_token"] for form in site.token_requests] == [REFRESH_TOKEN] * 2
    assert len(site.effects) == 2


def test_a_refresh_token_that_rotates_is_told_and_lasts_as_long_as_its_process(
    site, connect, caplog, monkeypatch
):
    site.rotates = True
    connect(site, grant="refresh_token", refresh_token=REFRESH_TOKEN)
    with caplog.at_level(logging.WARNING):
        deliver(NOTE)
        site.revoke()
        deliver(NOTE)
    warnings = [record.getMessage() for record in caplog.records if record.name == oauth2.__name__]
    assert warnings
    assert "cannot write" in warnings[0]
    assert not any(token in caplog.text for token in site.refresh_tokens)

    monkeypatch.setattr(oauth2, "_ALL", {})  # the next task: a process of its own
    with pytest.raises(ConnectionFailure, match=r"invalid_grant: .* rotates is valid once"):
        deliver(NOTE)
    assert len(site.effects) == 2


# assertions


@pytest.mark.parametrize("one_line", [False, True])
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256"])
def test_a_private_key_signs_an_assertion(connect, algorithm: str, one_line: bool):
    if algorithm == "ES256":
        key: Any = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with authorization_server(public_key=public(key), algorithm=algorithm) as site:
        connect(
            site,
            login={"login": CLIENT_ID, "password": pem(key, one_line=one_line)},
            grant="jwt_bearer",
            algorithm=algorithm,
            key_id="key-1",
            claims={"scope": "https://mail.example.com/", "sub": "team@example.com"},
        )
        deliver(NOTE)
    [claims], [header] = site.assertions, site.headers
    assert (claims["scope"], claims["sub"]) == ("https://mail.example.com/", "team@example.com")
    assert 0 < claims["exp"] - claims["iat"] <= 180
    assert (header["alg"], header["kid"]) == (algorithm, "key-1")
    assert len(site.effects) == 1


def test_the_audience_of_an_assertion_may_be_another(connect):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    audience = "https://login.salesforce.com"
    with authorization_server(public_key=public(key), audience=audience) as site:
        login = {"login": CLIENT_ID, "password": pem(key)}
        connect(site, login=login, grant="jwt_bearer", claims={"aud": audience})
        deliver(NOTE)
        assert site.assertions[0]["aud"] == audience


@pytest.mark.parametrize("password", ["no key", "-----BEGIN PRIVATE KEY----- AA -----END"])
def test_a_password_that_is_no_private_key_is_of_the_connection(site, connect, password: str):
    connect(site, login={"login": CLIENT_ID, "password": password}, grant="jwt_bearer")
    with pytest.raises(ConnectionFailure, match="no private key in PEM that signs RS256") as raised:
        deliver(NOTE)
    assert password not in str(raised.value)


def test_a_key_of_another_kind_is_of_the_connection(site, connect):
    key = pem(ec.generate_private_key(ec.SECP256R1()))
    connect(site, login={"login": CLIENT_ID, "password": key}, grant="jwt_bearer")
    with pytest.raises(ConnectionFailure, match="signs RS256"):
        deliver(NOTE)


# what is written


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("a text", "oauth2: must be an object"),
        ('{"endpoint": "https://a.example.com/"}', "oauth2: must be an object"),
        ({}, "oauth2.endpoint: Field required"),
        ({"endpoint": "acme.example.com/token"}, "oauth2.endpoint: must be a URL"),
        ({"endpoint": "https://u:hunter2@a.example.com/"}, "without a user in it"),
        ({"endpoint": "https://[bad/"}, "oauth2.endpoint: "),
        ({"endpoint": "https://a.example.com/", "secret": "hunter2"}, "oauth2.secret: Extra"),
        ({"endpoint": "https://a.example.com/", "grant": "hunter2"}, "oauth2.grant: "),
        ({"endpoint": "https://a.example.com/", "client_in": "hunter2"}, "oauth2.client_in: "),
        ({"endpoint": "https://a.example.com/", "scope": ["hunter2"]}, "oauth2.scope: "),
        ({"endpoint": "https://a.example.com/", "grant": "refresh_token"}, "refresh_token belongs"),
        (
            {"endpoint": "https://a.example.com/", "refresh_token": "hunter2"},
            "refresh_token belongs",
        ),
        ({"endpoint": "https://a.example.com/", "key_id": "hunter2"}, "key_id: of the grant"),
    ],
)
def test_what_cannot_be_meant_is_named_and_no_value_is_shown(set_connection, settings, words):
    fields = {"host": "https://a.example.com", "extra": {"oauth2": settings}}
    set_connection("crm", conn_type="http", **fields, **LOGIN)
    with pytest.raises(ConnectionFailure) as raised:
        NOTE.connect()
    assert words in str(raised.value)
    assert "'crm'" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ({"password": "hunter2"}, "the client's id is missing"),
        ({"login": "a"}, "the client's secret is missing"),
    ],
)
def test_a_client_without_an_id_or_a_secret_is_of_the_connection(site, connect, login, words):
    connect(site, login=login)
    with pytest.raises(ConnectionFailure, match=words):
        NOTE.connect()


def test_a_token_of_ones_own_beside_oauth_is_refused(site, set_connection):
    extra = {"oauth2": {"endpoint": site.endpoint}, "Authorization": "Bearer hunter2"}
    set_connection("crm", conn_type="http", host=site.url, extra=extra, **LOGIN)
    with pytest.raises(ConnectionFailure, match="both 'oauth2' and an Authorization"):
        NOTE.connect()


def test_nothing_of_it_is_a_header_of_a_call(set_connection):
    received = []

    def answer(request: str) -> bytes:
        received.append(request)
        token = '{"access_token": "abc", "token_type": "bearer", "expires_in": 60}'
        return http("200 OK", token)

    with vendor(answer) as url:
        extra = {"oauth2": {"endpoint": f"{url}/token", "parameters": {"expires_in": 600}}}
        set_connection("crm", conn_type="http", host=url, extra=extra, **LOGIN)
        deliver(NOTE)
    token_request, call = received
    assert "expires_in=600" in token_request
    assert "Bearer abc" in call
    assert "oauth2" not in call
    assert CLIENT_SECRET not in call


# elsewhere


@pytest.mark.parametrize("name", OVER_HTTP)
def test_every_channel_over_http_has_tokens_and_sends_no_secret(site, set_connection, name: str):
    case = CASES[name]
    extra = case.connection(Servers(site.url, "", 0)).get("extra", {})
    others = {key: value for key, value in extra.items() if key != "Authorization"}
    oauth = {"oauth2": {"endpoint": site.endpoint}}
    if name == "text_message":
        others["account_sid"] = ACCOUNT_SID
    set_connection(
        case.connection_id, conn_type="http", host=site.url, extra={**others, **oauth}, **LOGIN
    )
    channel = channel_class(name).model_validate({"connection": case.connection_id, **case.short})
    with suppress(SegueError):  # the API is nobody's
        deliver(channel)
    assert site.calls
    assert (len(site.token_requests), site.refusals) == (1, 0)
    assert not any(CLIENT_SECRET in call for call in site.calls)


def test_a_live_source_has_tokens_too(site, connect):
    connect(site)
    source = HttpDetails.model_validate(
        {"connection": "crm", "path": "/c/{{ contact.contact_id }}", "fields": {"plan": "plan"}}
    )
    with source.connect() as reader:
        assert reader.look_up({"c-1": {"contact_id": "c-1"}}) == {"c-1": {"plan": "gold"}}
        site.revoke()
        assert reader.look_up({"c-2": {"contact_id": "c-2"}}) == {"c-2": {"plan": "gold"}}
        assert reader.check(frozenset()).detail.startswith("an access token was given")
    assert len(site.token_requests) == 2


def test_trying_a_connection_asks_for_a_token(site, connect):
    connect(site)
    with NOTE.connect() as sender:
        finding = sender.check(frozenset())
    assert (finding.tried, len(site.token_requests), site.effects) == (Tried.UNTRIED, 1, [])
    assert finding.detail.startswith("an access token was given")
    connect(site, login={"login": CLIENT_ID, "password": "another secret"})
    with NOTE.connect() as sender, pytest.raises(ConnectionFailure, match="invalid_client"):
        sender.check(frozenset())


def test_trying_a_connection_tells_of_a_refresh_token_that_rotates(site, connect):
    from segue.upkeep.connection_checks import _try

    connect(site, grant="refresh_token", refresh_token=REFRESH_TOKEN)
    assert _try(NOTE, frozenset()).tried is Tried.UNTRIED
    site.rotates = True
    oauth2._ALL.clear()
    finding = _try(NOTE, frozenset())
    assert finding.tried is Tried.LIMITED
    assert "its refresh token rotates" in finding.detail


def test_what_an_answer_repeats_of_a_token_is_crossed_out(set_connection):
    def answer(request: str) -> bytes:
        if "/token" in request.partition("\r\n")[0]:
            return http("200 OK", '{"access_token": "abc123def", "token_type": "Bearer"}')
        return http("400 Bad Request", '{"error": "abc123def"}')

    with vendor(answer) as url:
        extra = {"oauth2": {"endpoint": f"{url}/token"}}
        set_connection("crm", conn_type="http", host=url, extra=extra, **LOGIN)
        with pytest.raises(SegueError) as raised:
            deliver(NOTE)
    assert "abc123def" not in str(raised.value)


def test_what_an_answer_repeats_of_an_earlier_token_is_crossed_out_as_well(set_connection):
    """After a 401 there is another; the one before may be valid yet, elsewhere."""
    tokens = iter(["first-token-1", "second-token-2"])

    def answer(request: str) -> bytes:
        if "/token" in request.partition("\r\n")[0]:
            return http("200 OK", json.dumps({"access_token": next(tokens), "token_type": "x"}))
        return http("401 Unauthorized", '{"code": "first-token-1"}')

    with vendor(answer) as url:
        extra = {"oauth2": {"endpoint": f"{url}/token"}}
        set_connection("crm", conn_type="http", host=url, extra=extra, **LOGIN)
        with NOTE.connect() as sender, pytest.raises(SegueError, match="401") as raised:
            sender._calls._credentials.authorize(time.monotonic())
            sender.send(_message(1), key="1" * 64)
    assert next(tokens, None) is None
    assert "first-token-1" not in str(raised.value)


def test_airflow_masks_what_is_secret_in_an_extra_and_a_token(site, connect):
    from airflow.sdk.log import redact

    connect(site)
    deliver(NOTE)
    [token] = oauth2.tokens_of("crm").given()
    assert token
    assert token not in str(redact(f"the header was Bearer {token}"))
    extra = {
        "oauth2": {"endpoint": "https://a.example.com", "refresh_token": "hunter22"},
        "placed_secrets": {"query": {"key": "hunter33"}, "sign": {"key": "hunter44"}},
    }
    shown = str(redact(extra))
    assert "a.example.com" in shown
    assert "hunter" not in shown


def test_no_token_is_written_to_a_file(site, connect, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    connect(site)
    deliver(NOTE)
    assert list(tmp_path.rglob("*")) == []


def _message(number: int) -> dict[str, Any]:
    return NOTE.render(variables(contact_id=f"c-{number}"))
