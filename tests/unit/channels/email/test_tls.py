"""Mail over TLS, with a login, to a real server whose certificate is made for the test."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from segue.channels.email.message import EmailMessage
from segue.errors import ConnectionFailure, UnprovenRefusal
from tests.unit.channels.support import closed_port, deliver

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH", "ignore:.*get_event_loop")


class Kept:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


def _authenticate(server, session, envelope, mechanism, credentials) -> AuthResult:
    right = credentials == LoginPassword(b"segue", b"right")
    return AuthResult(success=right, handled=False)


@contextmanager
def server(certificate: Path, how: str, **options: object) -> Iterator[tuple[Kept, int]]:
    """Serve mail with STARTTLS or with TLS from the start; yield what it keeps, and its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    kept, port = Kept(), closed_port()
    tls = (
        {"tls_context": context, "require_starttls": True}
        if how == "starttls"
        else {"ssl_context": context, "auth_require_tls": False}
    )
    login = {"authenticator": _authenticate, "auth_required": True}
    controller = Controller(kept, "127.0.0.1", port, **{**tls, **login, **options})
    controller.start()
    try:
        yield kept, port
    finally:
        controller.stop()


def mail(set_connection, port: int, how: str, password: str = "right", **extra) -> EmailMessage:
    ways = {"starttls": {"disable_ssl": True}, "tls": {"disable_tls": True}}
    set_connection(
        "smtp_default",
        conn_type="smtp",
        host="localhost",
        port=port,
        login="segue",
        password=password,
        extra={"from_email": "segue@example.com", "timeout": 10, **ways[how], **extra},
    )
    return EmailMessage.model_validate({"subject": "Hello", "text": "Dear friend"})


@pytest.mark.parametrize("how", ["starttls", "tls"])
def test_a_mail_goes_over_tls_with_a_login(certificate, set_connection, monkeypatch, how: str):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with server(certificate, how) as (kept, port):
        deliver(mail(set_connection, port, how))
    [(recipients, content)] = kept.mails
    assert recipients == ["ana@example.com"]
    assert b"Subject: Hello\r\n" in content


@pytest.mark.parametrize("how", ["starttls", "tls"])
def test_a_certificate_that_is_not_trusted_is_of_the_connection(
    certificate, set_connection, how: str
):
    untrusted = pytest.raises(ConnectionFailure, match="check its certificate")
    with server(certificate, how) as (kept, port), untrusted:
        deliver(mail(set_connection, port, how))
    assert kept.mails == []


@pytest.mark.parametrize("how", ["starttls", "tls"])
def test_a_wrong_password_is_of_the_connection(certificate, set_connection, monkeypatch, how: str):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    refused = pytest.raises(ConnectionFailure, match="535; check its login and password")
    with server(certificate, how) as (kept, port), refused:
        deliver(mail(set_connection, port, how, password="wrong"))
    assert kept.mails == []


def test_a_login_is_never_sent_without_tls_unless_the_connection_says_so(
    certificate, set_connection, monkeypatch
):
    """A server that offers no STARTTLS gets neither the password nor a mail."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    plain = {"tls_context": None, "require_starttls": False, "auth_require_tls": False}
    with server(certificate, "starttls", **plain) as (kept, port):
        with pytest.raises(ConnectionFailure, match="see disable_tls"):
            deliver(mail(set_connection, port, "starttls"))
        deliver(mail(set_connection, port, "starttls", disable_tls=True))
    assert len(kept.mails) == 1


def _has_all_but_size(client: smtplib.SMTP, name: str) -> bool:
    return name != "size" and name in client.esmtp_features


@pytest.mark.parametrize("announced", [True, False])
def test_a_mail_that_is_too_large_is_refused_by_itself_or_as_all_of_them(
    certificate, set_connection, monkeypatch, announced: bool
):
    """Refused by its announced size, or once the server has read too much of it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    if not announced:
        monkeypatch.setattr(smtplib.SMTP, "has_extn", _has_all_but_size)
    with server(certificate, "tls", data_size_limit=2000) as (kept, port):
        channel = mail(set_connection, port, "tls")
        large = EmailMessage.model_validate({"subject": "Hello", "text": "word " * 1000})
        with pytest.raises(UnprovenRefusal, match=r"refuses (the sender|the message): 552"):
            deliver(large)
        deliver(channel)
    assert len(kept.mails) == 1
