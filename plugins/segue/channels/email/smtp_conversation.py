"""The conversation with a mail server, command by command.

A delivery must know whether the server had been given the message when a connection broke. So
the SMTP provider's hook opens the connection (host, TLS, login or access token), and the rest is
held here. Its own ``send_email_smtp`` is not used: it sends up to six times after any error, which
is how people get a mail six times, and it has no text part.

Followed:
    https://airflow.apache.org/docs/apache-airflow-providers-smtp/stable/connections/smtp.html
    https://developers.google.com/workspace/gmail/imap/xoauth2-protocol and
    https://learn.microsoft.com/exchange/client-developer/legacy-protocols/ ("Authenticate an IMAP,
    POP or SMTP connection using OAuth": AUTH XOAUTH2)
    https://www.rfc-editor.org/rfc/rfc5321 (4.1.1.4 and 4.1.4 what an unfinished mail is, 4.2
    replies, 4.5.2 transparency, 6.1 who is responsible), rfc1870 (SIZE), rfc6531 (SMTPUTF8)
    https://www.rfc-editor.org/rfc/rfc3463 and rfc2034 (enhanced status codes)

What a reply means is in ``segue.channels.answer_meanings``.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from socket import gaierror
from typing import TYPE_CHECKING, cast

from segue.channels.airflow_connections import find_connection
from segue.channels.answer_meanings import SMTP, Call
from segue.channels.answers_in_time import read_in_time
from segue.channels.oauth2 import OAUTH2, tokens_of
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)

if TYPE_CHECKING:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

LONGEST_CALL = 300.0  # seconds; a call that might last longer gives up before it sends anything
LONGEST_TIMEOUT = 60  # seconds


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address of the envelope."""

    address: str
    what: str  # for messages, which never name people
    unusable: type[ContactFailure]  # what it means that it cannot be written to
    is_fixed: bool  # the same in every mail


def transmit(
    client: smtplib.SMTP,
    sender: str,
    recipients: Sequence[Recipient],
    content: bytes,
    *,
    began: float,
) -> None:
    """Give a mail to all of its recipients, or to none.

    A recipient that is refused ends the conversation before the content, so that whoever is
    tried again was sent nothing; the connection is fit for the next mail then. One that broke is
    closed. ``began`` is when the call did, by ``time.monotonic``.
    """
    try:
        client.ehlo_or_helo_if_needed()
        options = _mail_options(client, recipients, content)
        _expect(client.mail(sender, options), Call.MAIL, "the sender", codes=(250,))
        for recipient in recipients:
            _check_time(client, began)
            call = Call.FIXED_RCPT if recipient.is_fixed else Call.RCPT
            _expect(client.rcpt(recipient.address), call, recipient.what, codes=(250, 251))
        _check_time(client, began)
        _expect(client.docmd("DATA"), Call.DATA, "the message", codes=(354,))
        client.send(_transparent(content))  # without its end a server delivers none of it
    except (smtplib.SMTPException, OSError) as error:
        client.close()
        raise failed_opening(error) from None
    try:
        client.send(b".\r\n")
        reply = client.getreply()
    except (smtplib.SMTPException, OSError) as error:
        client.close()
        name = type(error).__name__
        raise OutcomeUnknown(f"the mail server's answer to the message was lost: {name}") from None
    if reply[0] != 250 and not 400 <= reply[0] < 600:
        client.close()
        raise OutcomeUnknown(f"the mail server's answer to the message makes no sense: {reply[0]}")
    _expect(reply, Call.DATA, "the message", codes=(250,))


def say_nothing(client: smtplib.SMTP) -> str:
    """Ask an open connection whether it is one, by NOOP; return how it is protected."""
    try:
        reply = client.noop()
    except (smtplib.SMTPException, OSError) as error:
        raise failed_opening(error) from None
    _expect(reply, Call.MAIL, "a command that does nothing", codes=(250,))
    sock = client.sock
    return f"over {sock.version()}" if isinstance(sock, ssl.SSLSocket) else "without TLS"


def _check_time(client: smtplib.SMTP, began: float) -> None:
    """Raise TransientFailure where the call might last too long.

    Four waits are left before DATA: for leave to go on, for the content, its end and the answer.
    """
    if time.monotonic() - began > LONGEST_CALL - 4 * client.timeout:
        raise TransientFailure("the mail server is too slow; nothing was sent")


def _expect(reply: tuple[int, bytes], call: Call, what: str, *, codes: tuple[int, ...]) -> None:
    """Raise the failure that a reply stands for; its text is left out, as it may name people."""
    code, text = reply
    if code in codes:
        return
    match = re.match(rb"[45]\.\d{1,3}\.\d{1,3}(?!\S)", text)  # RFC 2034
    subcode = match[0].decode() if match else ""
    words = f"the mail server refuses {what}: {code} {subcode}".rstrip()
    is_of_the_reply = subcode[:1] == str(code)[:1]
    raise SMTP.outcome(call, code, subcode if is_of_the_reply else None).failure(answer=words)


def _mail_options(
    client: smtplib.SMTP, recipients: Sequence[Recipient], content: bytes
) -> list[str]:
    options = [f"SIZE={len(content)}"] if client.has_extn("size") else []
    beyond = [recipient for recipient in recipients if not recipient.address.isascii()]
    if not beyond:
        return options
    if not client.has_extn("smtputf8"):
        what = beyond[0].what
        raise beyond[0].unusable(f"the mail server takes no addresses outside of ASCII: {what}")
    return [*options, "SMTPUTF8"]


def _transparent(content: bytes) -> bytes:
    """Return a mail as it goes over the wire, all but its end: CRLF, no line that is a dot."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content).removesuffix(b"\r\n")
    return re.sub(rb"(?m)^\.", b"..", lines) + b"\r\n"


def open_connection(connection: str) -> SmtpHook:
    """Open a connection and log in; where an access token is refused, once more with another."""
    tokens = tokens_of(connection)
    if tokens is None:
        return _open(connection)
    if find_connection(connection).extra_dejson.get("auth_type", "oauth2") != "oauth2":
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} has both {OAUTH2!r} and another auth_type in "
            "its extra; one of them is needed"
        )
    began, token = time.monotonic(), tokens.current()
    try:
        return _open(connection, token)
    except ConnectionFailure as failure:
        is_login = isinstance(failure.__context__, smtplib.SMTPAuthenticationError)
        if not is_login or not tokens.renew(token, since=began):
            raise
    return _open(connection, tokens.current())


def _open(connection: str, token: str | None = None) -> SmtpHook:
    """Open a connection and log in: with an access token (XOAUTH2), or as its extra says."""
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    hook = SmtpHook(smtp_conn_id=connection, auth_type="oauth2" if token else "basic")
    build = partial(_client_in_time, hook)
    if token:
        hook._access_token = token  # which it would ask of Microsoft alone
        build = partial(
            _greeted, build
        )  # AUTH follows EHLO, which the hook says after STARTTLS alone
    hook._build_client = build  # type: ignore[method-assign]
    try:
        hook.get_conn()
    except (smtplib.SMTPException, OSError) as error:
        close(hook)
        raise failed_opening(error) from None
    except (AirflowException, ImportError, RuntimeError, ValueError) as error:
        close(hook)
        if isinstance(error.__context__, smtplib.SMTPServerDisconnected):
            raise TransientFailure("the mail server hangs up at once") from None
        name = type(error).__name__
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} cannot be used ({name}); check its extra"
        ) from None
    if hook._smtp_client is None:
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: retry_limit in its extra is "
            f"{hook.smtp_retry_limit}, which is no try at all in this version of the provider; "
            "allowed: 1 and more"
        )
    if hook.timeout > LONGEST_TIMEOUT:
        close(hook)
        raise ConnectionFailure(
            f"the Airflow connection {connection!r}: timeout in its extra is {hook.timeout}; "
            f"allowed: up to {LONGEST_TIMEOUT} seconds"
        )
    return hook


class _RepliesInTime(smtplib.SMTP):
    """A client whose time-out bounds a whole reply, and not the wait for its next byte."""

    def getreply(self) -> tuple[int, bytes]:
        if self.file is not None:
            self.file.close()
        self.file = read_in_time(self.sock, self.timeout) if self.sock else None
        return super().getreply()


class _RepliesInTimeOverTls(_RepliesInTime, smtplib.SMTP_SSL):
    pass


def _client_in_time(hook: SmtpHook) -> smtplib.SMTP:
    """Connect as the hook does."""
    kind = _RepliesInTimeOverTls if hook.use_ssl else _RepliesInTime
    client = kind(**hook._build_client_kwargs(is_async=False))
    if not hasattr(hook, "_build_ssl_context") and hook.ssl_context != "none":
        # that of an older provider looks at no certificate after STARTTLS
        trusting = partial(client.starttls, context=ssl.create_default_context())
        client.starttls = trusting  # type: ignore[method-assign]
    return client


def _greeted(build: Callable[[], smtplib.SMTP]) -> smtplib.SMTP:
    client = build()
    client.ehlo_or_helo_if_needed()
    return client


def failed_opening(error: smtplib.SMTPException | OSError) -> DeliveryError:
    """Return the error for a conversation that ended before there was a message to lose."""
    if isinstance(error, smtplib.SMTPResponseException):
        words = f"the mail server refuses the connection: {error.smtp_code}"
        if 400 <= error.smtp_code < 500:
            return TransientFailure(words)
        return ConnectionFailure(f"{words}; check its login and password")
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return TransientFailure("the mail server hung up; nothing was sent")
    if isinstance(error, smtplib.SMTPException):
        name = type(error).__name__
        return ConnectionFailure(
            f"the mail server cannot do what the connection asks for ({name}); "
            "see disable_tls, disable_ssl and auth_type in its extra"
        )
    if isinstance(error, ssl.SSLError):
        return ConnectionFailure(
            "no secure connection to the mail server; check its certificate and disable_ssl"
        )
    if isinstance(error, gaierror):
        return ConnectionFailure("the mail server's host is unknown; check the connection's host")
    return TransientFailure("the mail server cannot be reached; nothing was sent")


def client_of(hook: SmtpHook) -> smtplib.SMTP:
    """Return the client that the hook has opened; it has no public name for it."""
    return cast("smtplib.SMTP", hook._smtp_client)


def close(hook: SmtpHook) -> None:
    """Drop a connection without a word, which a server that is not answering would not hear."""
    if hook._smtp_client is not None:
        client_of(hook).close()
