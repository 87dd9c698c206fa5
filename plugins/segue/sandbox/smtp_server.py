"""A mail server that delivers nowhere: what it accepts is in the inbox.

Speaks SMTP (RFC 5321) through aiosmtpd, with 8BITMIME, SMTPUTF8 and AUTH PLAIN and LOGIN
(RFC 4954). Two recipients are refused by convention, whatever their domain: ``reject-550`` for
good, ``reject-450`` for the time being. Faults apply to DATA, except "unauthorized": it refuses
AUTH, or MAIL where the client did not log in.

Left out: TLS, delivery status notifications, size limits below aiosmtpd's 32 MiB.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage
from functools import partial

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from segue.sandbox.faults import AFTER_EFFECT, Fault, FaultKind, Faults, abort
from segue.sandbox.store import Document, Store

SERVICE = "smtp"
USER, PASSWORD = "sandbox", "sandbox"

REFUSED_RECIPIENTS = {
    "reject-550": "550 5.1.1 No such mailbox here",
    "reject-450": "450 4.2.1 Mailbox temporarily unavailable",
}
_FAULT_REPLIES = {
    FaultKind.RATE_LIMITED: "451 4.7.1 Too many messages, try again later",
    FaultKind.SERVER_ERROR: "451 4.3.0 Local error in processing",
    FaultKind.UNAUTHORIZED: "530 5.7.0 Authentication required",
    FaultKind.FORBIDDEN: "554 5.7.1 Message rejected",
}
_AT_THE_DOOR = frozenset({FaultKind.UNAUTHORIZED})


async def serve(
    listener: socket.socket, store: Store, faults: Faults, *, auth_required: bool = False
) -> asyncio.Server:
    """Start answering on a bound socket, in the running event loop."""
    logging.getLogger("mail.log").addFilter(_is_not_about_itself)
    mailbox = Mailbox(store, faults)
    protocol = partial(
        SMTP,
        mailbox,
        enable_SMTPUTF8=True,
        hostname="sandbox.example.com",
        ident="Segue sandbox",
        authenticator=mailbox.authenticate,
        auth_required=auth_required,
        auth_require_tls=False,
    )
    return await asyncio.get_running_loop().create_server(protocol, sock=listener)


def _is_not_about_itself(record: logging.LogRecord) -> bool:
    """Drop what aiosmtpd says, at every login, of an attribute that only aiosmtpd uses."""
    return "Session.login_data is deprecated" not in record.getMessage()


class Mailbox:
    """Decides what to accept and keeps it; aiosmtpd calls the ``handle_`` methods."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults

    def authenticate(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        mechanism: str,
        credentials: object,
    ) -> AuthResult:
        """Accept the sandbox's one login; aiosmtpd answers a refusal with 535."""
        fault = self.faults.take(SERVICE, method="AUTH", kinds=_AT_THE_DOOR)
        login = LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=fault is None and credentials == login, handled=False)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Accept a sender."""
        fault = self.faults.take(SERVICE, method="MAIL", body=address, kinds=_AT_THE_DOOR)
        if fault is not None:
            return _FAULT_REPLIES[fault.fault]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        options: list[str],
    ) -> str:
        """Accept a recipient, unless its name asks to be refused."""
        refusal = REFUSED_RECIPIENTS.get(address.partition("@")[0].lower())
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep a mail, then say so."""
        mail = envelope.content if isinstance(envelope.content, bytes) else b""
        body = mail.decode("utf-8", "replace")
        kinds = frozenset(FaultKind) - _AT_THE_DOOR
        fault = self.faults.take(SERVICE, method="DATA", body=body, kinds=kinds)
        if fault is not None and fault.fault not in AFTER_EFFECT:
            return await _spoil(server, fault)
        number = receive_mail(self.store, envelope, mail)
        if fault is not None:
            await _spoil(server, fault)
        return f"250 2.0.0 OK: kept as message {number}"


async def _spoil(server: SMTP, fault: Fault) -> str:
    """Return the reply of a refusal; wait, or break the connection, where that is the fault."""
    if fault.fault is FaultKind.TIME_OUT_AFTER_EFFECT:
        await asyncio.sleep(fault.delay)
    elif fault.fault not in _FAULT_REPLIES and server.transport is not None:
        abort(server.transport)
        await asyncio.Event().wait()  # until aiosmtpd, told of the lost connection, cancels us
    return _FAULT_REPLIES.get(fault.fault, "")


def receive_mail(store: Store, envelope: Envelope, mail: bytes) -> int:
    """Record one mail, once for all its recipients, and return its number."""
    email = message_from_bytes(mail, EmailMessage, policy=policy.default)
    headers = _headers(email)
    with store.transaction() as transaction:
        message = transaction.receive(
            SERVICE,
            "mail",
            to=", ".join(envelope.rcpt_tos),
            subject=_first(headers, "subject"),
            text=_body(email, "plain"),
            html=_body(email, "html"),
            fields=_fields(email, headers, envelope),
            raw={"mail": mail.decode("utf-8", "replace")},
        )
    return message.id


def _fields(parsed: EmailMessage, headers: list[tuple[str, str]], envelope: Envelope) -> Document:
    return {
        "mail_from": envelope.mail_from,
        "rcpt_to": list(envelope.rcpt_tos),
        "from": _first(headers, "from"),
        "to": _first(headers, "to"),
        "cc": _first(headers, "cc"),
        "reply_to": _first(headers, "reply-to"),
        "message_id": _first(headers, "message-id"),
        "headers": [list(header) for header in headers],
        "attachments": [
            {"name": part.get_filename(), "content_type": part.get_content_type()}
            for part in parsed.iter_attachments()
        ],
    }


def _headers(parsed: EmailMessage) -> list[tuple[str, str]]:
    """Return names and decoded values, in the mail's order."""
    return [(name, _header(parsed, name, value)) for name, value in parsed.raw_items()]


def _header(parsed: EmailMessage, name: str, value: str) -> str:
    try:
        return str(parsed.policy.header_fetch_parse(name, value)).strip()
    except (AttributeError, IndexError, ValueError, MessageError):
        return str(value).strip()  # not a header that the standard library can take apart


def _first(headers: list[tuple[str, str]], wanted: str) -> str:
    return next((value for name, value in headers if name.lower() == wanted), "")


def _body(parsed: EmailMessage, kind: str) -> str:
    """Return the text of one kind of body, or nothing where there is none."""
    part = parsed.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except LookupError:  # a character set that Python does not know
        content = part.get_payload(decode=True)
        return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
