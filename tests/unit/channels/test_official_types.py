"""Connections of Airflow's own types, as their providers' forms fill them in: messages arrive."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from segue.channels.airflow_connections import base_url_of
from segue.contracts.channel import channel_class
from segue.errors import ConnectionFailure
from segue.sandbox.access_tokens import CLIENT_ID, CLIENT_SECRET
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import http_api, jira_api, slack_api, zendesk_api
from tests.channels.cases import CASES
from tests.unit.channels.support import deliver, messages_of

CHANNELS = {"zendesk": "zendesk_ticket", "jira": "jira_issue"}
AGENT, TOKEN = zendesk_api.EMAIL_ADDRESS, zendesk_api.API_TOKEN
Fields = dict[str, Any]


def here(sandbox: Sandbox) -> str:
    return f"{sandbox.host}:{sandbox.http_port}"


def oauth_token(sandbox: Sandbox) -> str:
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    asked = {"grant_type": "client_credentials", "scope": "read write", **client}
    answer = requests.post(f"{sandbox.url}/zendesk/oauth/tokens", json=asked, timeout=10)
    return str(answer.json()["access_token"])


def zendesk(sandbox: Sandbox, **others: Any) -> Fields:
    return {"conn_type": "zendesk", "host": f"{here(sandbox)}/zendesk", "login": AGENT, **others}


def jira(sandbox: Sandbox, **others: Any) -> Fields:
    login = {"login": jira_api.EMAIL_ADDRESS, "password": jira_api.API_TOKEN}
    return {"conn_type": "jira", "host": f"{here(sandbox)}/jira", **login, **others}


def http(sandbox: Sandbox, **others: Any) -> Fields:
    where = {"schema": "http", "host": f"{sandbox.host}/http", "port": sandbox.http_port}
    return {"conn_type": "http", **where, "password": http_api.TOKEN, "login": "any", **others}


def slack_webhook(sandbox: Sandbox, **others: Any) -> Fields:
    return {
        "conn_type": "slackwebhook",
        "schema": "http",
        "host": f"{here(sandbox)}/slack/services",
        "password": slack_api.WEBHOOK,
        **others,
    }


def smtp(sandbox: Sandbox) -> Fields:
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "segue@example.com"}
    where = {"host": sandbox.host, "port": sandbox.smtp_port}
    return {"conn_type": "smtp", **where, "extra": {**extra, "retry_limit": 2, "timeout": 20}}


CONNECTIONS: dict[str, tuple[str, Callable[[Sandbox], Fields]]] = {
    "zendesk, use_token": (
        "zendesk_ticket",
        lambda at: zendesk(at, password=TOKEN, extra={"use_token": True}),
    ),
    "zendesk, token": ("zendesk_ticket", lambda at: zendesk(at, extra={"token": TOKEN})),
    "zendesk, oauth_token": (
        "zendesk_ticket",
        lambda at: zendesk(at, login=None, extra={"oauth_token": oauth_token(at)}),
    ),
    "zendesk, null where the form has nothing": (
        "zendesk_ticket",
        lambda at: zendesk(
            at, extra={"use_token": None, "token": TOKEN, "oauth_token": None, "timeout": 20}
        ),
    ),
    "zendesk, login with /token": (
        "zendesk_ticket",
        lambda at: zendesk(at, login=f"{AGENT}/token", password=TOKEN, extra={"use_token": True}),
    ),
    "jira": ("jira_issue", jira),
    "jira, with a scheme": ("jira_issue", lambda at: jira(at, host=f"{at.url}/jira")),
    "jira, verify": ("jira_issue", lambda at: jira(at, extra={"verify": True})),
    "http": ("http_request", http),
    "http, headers": (
        "http_request",
        lambda at: http(
            at, login=None, password=None, extra={"Authorization": f"Bearer {http_api.TOKEN}"}
        ),
    ),
    "slack": (
        "slack_message",
        lambda at: {
            "conn_type": "slack",
            "password": slack_api.TOKEN,
            "extra": {"base_url": f"{at.url}/slack/api/", "timeout": 20},
        },
    ),
    "slackwebhook": ("slack_webhook", slack_webhook),
    "smtp": ("email", smtp),
}


def arrive(sandbox: Sandbox, set_connection, channel: str, fields: Fields) -> None:
    """Send by a connection, and see that it came to where it should."""
    case = CASES[channel]
    set_connection(case.connection_id, **fields)
    action = channel_class(channel).model_validate(case.short)
    receipt = deliver(action)
    [message] = messages_of(sandbox, case.service)
    assert "c-1" in str(message.fields)
    assert receipt.url is None or "/" in receipt.url


@pytest.mark.parametrize(("channel", "made"), CONNECTIONS.values(), ids=CONNECTIONS)
def test_a_message_goes_out_over_it(sandbox, set_connection, channel, made):
    arrive(sandbox, set_connection, channel, made(sandbox))


@pytest.mark.parametrize("kind", ["zendesk", "jira"])
def test_a_host_without_a_scheme_is_reached_over_tls(
    sandbox, set_connection, certificate, monkeypatch, kind
):
    """By a name of the vendor's, which leads to the sandbox here, with TLS before it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    lead_here(monkeypatch, "acme.localhost.example")
    with tls_before(sandbox, certificate) as port:
        where = f"acme.localhost.example:{port}/{kind}"
        token = {"password": TOKEN, "extra": {"use_token": True}}
        is_jira = kind == "jira"
        fields = jira(sandbox, host=where) if is_jira else zendesk(sandbox, host=where, **token)
        arrive(sandbox, set_connection, CHANNELS[kind], fields)


@pytest.mark.parametrize("verify", [False, "false"])
def test_a_certificate_is_not_verified_where_the_form_says_so(
    sandbox, set_connection, certificate, verify
):
    with tls_before(sandbox, certificate) as port:
        fields = jira(sandbox, host=f"https://localhost:{port}/jira", extra={"verify": verify})
        arrive(sandbox, set_connection, "jira_issue", fields)


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"host": "acme.zendesk.com"}, "https://acme.zendesk.com"),
        ({"host": "acme.zendesk.com/"}, "https://acme.zendesk.com"),
        ({"host": "http://acme.zendesk.com"}, "http://acme.zendesk.com"),
        ({"host": "acme.example.com", "schema": "http"}, "http://acme.example.com"),
        ({"host": "acme.example.com", "port": 8443}, "https://acme.example.com:8443"),
        ({"host": "acme.example.com/v2", "port": 8443}, "https://acme.example.com:8443/v2"),
        ({"host": "acme.example.com:8443", "port": 8443}, "https://acme.example.com:8443"),
        ({"host": "127.0.0.1:8090/zendesk"}, "http://127.0.0.1:8090/zendesk"),
        ({"host": "localhost", "port": 8090}, "http://localhost:8090"),
        ({"host": "[::1]:8090"}, "http://[::1]:8090"),
        ({"host": "localhost.example.com"}, "https://localhost.example.com"),
        ({"host": "127.0.0.1.example.com"}, "https://127.0.0.1.example.com"),
        ({"host": "127.0.0.1@example.com"}, "has a user or a password in it"),
        ({"host": "acme.example.com:1", "port": 2}, "one port at most"),
        ({"host": "https://"}, "needs a host"),
        ({"host": "[half"}, "needs a host"),
        ({}, "needs a host"),
    ],
)
def test_where_a_connection_leads(set_connection, fields, address):
    set_connection("mine", conn_type="zendesk", **fields)
    if "://" in address:
        assert base_url_of("mine") == address
    else:
        with pytest.raises(ConnectionFailure, match=address):
            base_url_of("mine")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"login": None, "extra": {"token": "x" * 24}}, "needs the agent's address"),
        (
            {"extra": {"token": "x" * 24, "oauth2": {"endpoint": "https://x.example"}}},
            "no 'oauth2'",
        ),
        ({"extra": {"token": "of-somebody-else-altogether"}}, "check the connection's login"),
        ({"extra": {"oauth_token": "of-somebody-else-altogether"}}, "check the connection's login"),
    ],
)
def test_what_is_wrong_is_told_without_the_token(sandbox, set_connection, fields, words):
    set_connection("zendesk_default", **zendesk(sandbox, **fields))
    action = channel_class("zendesk_ticket").model_validate(CASES["zendesk_ticket"].short)
    with pytest.raises(ConnectionFailure, match=words) as caught:
        deliver(action)
    assert "altogether" not in str(caught.value)
    assert not sandbox.messages(service="zendesk")


def lead_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Have one name lead to this machine."""
    look_up = socket.getaddrinfo

    def looked_up(host: Any, *args: Any, **named: Any) -> Any:
        return look_up("127.0.0.1" if host == name else host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


@contextmanager
def tls_before(sandbox: Sandbox, certificate: Path) -> Iterator[int]:
    """Take TLS connections and pass on what they say; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_take, args=(server, context, sandbox), daemon=True).start()
        yield server.getsockname()[1]


def _take(server: socket.socket, context: ssl.SSLContext, sandbox: Sandbox) -> None:
    while True:
        try:
            plain, _ = server.accept()
        except OSError:  # the test is over
            return
        with suppress(OSError):
            outside = context.wrap_socket(plain, server_side=True)
            inside = socket.create_connection((sandbox.host, sandbox.http_port))
            for here, there in ((outside, inside), (inside, outside)):
                threading.Thread(target=_pass_on, args=(here, there), daemon=True).start()


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while content := here.recv(65536):
            there.sendall(content)
        there.shutdown(socket.SHUT_WR)
