"""Mail over a server that wants XOAUTH2, as those of Microsoft and Google do."""

from __future__ import annotations

import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from segue.channels import oauth2
from segue.channels.email.message import EmailMessage
from segue.errors import ConnectionFailure
from tests.unit.channels.authorization_server import (
    CLIENT_ID,
    CLIENT_SECRET,
    AuthorizationServer,
    authorization_server,
)
from tests.unit.channels.support import closed_port, deliver

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH", "ignore:.*get_event_loop")

MAILBOX = "welcome@example.com"
MAIL = EmailMessage.model_validate({"subject": "Hello", "text": "Hello"})


@dataclass
class MailServer:
    """Takes mail of whoever has a token that the authorization server gave."""

    site: AuthorizationServer
    port: int
    mails: list[str] = field(default_factory=list)
    refusals: int = 0

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        user, token, *rest = b64decode(args[1]).decode().split("\x01")
        is_valid = token.removeprefix("auth=Bearer ") in self.site.granted
        if (user, rest, is_valid) == (f"user={MAILBOX}", ["", ""], True):
            return AuthResult(success=True)
        self.refusals += 1
        problem = json.dumps({"status": "400", "schemes": "Bearer"}).encode()
        await server.push(f"334 {b64encode(problem).decode()}")
        await server._reader.readline()  # Google wants an empty answer, and takes any
        return AuthResult(success=False, handled=False)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope.mail_from or "")
        return "250 OK"


@contextmanager
def mail_server(site: AuthorizationServer, **options: Any) -> Iterator[MailServer]:
    mailbox = MailServer(site, closed_port())
    options = {"auth_require_tls": False, "auth_required": True, **options}
    exclude = {"auth_exclude_mechanism": ["PLAIN", "LOGIN"]}
    controller = Controller(mailbox, "127.0.0.1", mailbox.port, **options, **exclude)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


@pytest.fixture(autouse=True)
def another_process(monkeypatch) -> None:
    monkeypatch.setattr(oauth2, "_ALL", {})


@pytest.fixture
def site() -> Iterator[AuthorizationServer]:
    with authorization_server() as server:
        yield server


def connect(set_connection, site: AuthorizationServer, port: int, **extra: Any) -> None:
    fields = {
        "disable_ssl": True,
        "disable_tls": True,
        "from_email": MAILBOX,
        "oauth2": {"endpoint": site.endpoint, "client_id": CLIENT_ID},
        **extra,
    }
    login = {"login": MAILBOX, "password": CLIENT_SECRET}
    set_connection(
        "smtp_default", conn_type="smtp", host="localhost", port=port, extra=fields, **login
    )


@pytest.mark.parametrize("how", ["plain", "starttls", "tls"])
def test_a_token_is_the_login(site, set_connection, monkeypatch, certificate: Path, how: str):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    options: dict[str, Any] = {
        "plain": {},
        "starttls": {"tls_context": context, "require_starttls": True},
        "tls": {"ssl_context": context},
    }[how]
    with mail_server(site, **options) as mailbox:
        ways = {"disable_tls": how != "starttls", "disable_ssl": how != "tls"}
        connect(set_connection, site, mailbox.port, **ways)
        deliver(MAIL)
        deliver(MAIL)
        with MAIL.connect() as sender:
            finding = sender.check(frozenset())
    assert mailbox.mails == [MAILBOX, MAILBOX]
    assert len(site.token_requests) == 1
    assert ", logged in; " in finding.detail


def test_a_token_that_was_revoked_is_asked_for_anew_once(site, set_connection):
    with mail_server(site) as mailbox:
        connect(set_connection, site, mailbox.port)
        deliver(MAIL)
        site.revoke()
        deliver(MAIL)
    assert (len(mailbox.mails), mailbox.refusals, len(site.token_requests)) == (2, 1, 2)


def test_a_new_token_that_is_refused_is_of_the_connection(site, set_connection, monkeypatch):
    with mail_server(site) as mailbox:
        connect(set_connection, site, mailbox.port)
        monkeypatch.setattr(mailbox.site, "granted", _Nothing())
        with pytest.raises(ConnectionFailure, match="refuses the connection: 535"):
            deliver(MAIL)
    assert (mailbox.mails, mailbox.refusals, len(site.token_requests)) == ([], 1, 1)


def test_a_wrong_secret_reaches_no_mail_server(site, set_connection):
    with mail_server(site) as mailbox:
        connect(set_connection, site, mailbox.port)
        oauth = {"endpoint": site.endpoint, "client_id": "another"}
        connect(set_connection, site, mailbox.port, oauth2=oauth)
        with pytest.raises(ConnectionFailure, match="invalid_client") as raised:
            deliver(MAIL)
    assert mailbox.refusals == 0
    assert CLIENT_SECRET not in str(raised.value)


def test_a_password_is_not_sent_beside_a_token(site, set_connection):
    with mail_server(site) as mailbox:
        connect(set_connection, site, mailbox.port, auth_type="basic")
        with pytest.raises(ConnectionFailure, match="both 'oauth2' and another auth_type"):
            deliver(MAIL)
    assert (mailbox.mails, site.token_requests) == ([], [])


@pytest.mark.skipif(find_spec("msal") is not None, reason="the package is there: msal")
def test_microsofts_own_way_without_its_package_says_so(set_connection):
    extra = {"auth_type": "oauth2", "client_id": "a", "client_secret": "hunter2", "tenant_id": "b"}
    with mail_server(AuthorizationServer()) as mailbox:
        fields = {"host": "localhost", "port": mailbox.port, "login": MAILBOX}
        extra |= {"from_email": MAILBOX, "disable_ssl": True, "disable_tls": True}
        set_connection("smtp_default", conn_type="smtp", extra=extra, **fields)
        with pytest.raises(ConnectionFailure, match="cannot be used") as raised:
            deliver(MAIL)
    assert "hunter2" not in str(raised.value)


class _Nothing(dict):
    """Keeps no token."""

    def __setitem__(self, key: str, value: object) -> None:
        """Forget it."""
