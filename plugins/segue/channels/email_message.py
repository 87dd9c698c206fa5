"""Mail with text and HTML parts, over SMTP, through the SMTP provider's hook.

Followed:
    https://airflow.apache.org/docs/apache-airflow-providers-smtp/stable/connections/smtp.html
    https://www.rfc-editor.org/rfc/rfc5321 (4.2 replies, 4.5.2 transparency, 6.1 who is responsible)
    https://www.rfc-editor.org/rfc/rfc5322 (3.6.4 Message-ID), rfc6531 (SMTPUTF8)
    https://www.rfc-editor.org/rfc/rfc3834 (Auto-Submitted)

The hook opens the connection: host, TLS, login or OAuth. Its own ``send_email_smtp`` is not used:
it sends up to six times after any error, which is how people get a mail six times, and it has no
text part. So the conversation is held here, command by command, because a delivery must know
whether the server had been given the message when a connection broke.

The connection is of type SMTP. Its extra may give ``from_email``, ``timeout`` and ``segue_rate``;
``disable_ssl`` for a server that speaks STARTTLS or nothing, ``disable_tls`` for one without
STARTTLS.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage as Mail
from email.parser import BytesHeaderParser
from email.policy import SMTP
from queue import Empty, LifoQueue
from socket import gaierror
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast

from pydantic import Field, model_validator

from segue.channels.addressing import audience_is_missing, is_template
from segue.channels.html_text import plain_text
from segue.channels.rates import UNLIMITED, limits_of
from segue.delivery.channel import Audience, Channel, Limit, NoAddress, Receipt, Sender
from segue.documents import Location, ProblemsFound
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    DeliveryError,
    OutcomeUnknown,
    TransientFailure,
)
from segue.workflows.templates import Html, Line, Template, Text, render

if TYPE_CHECKING:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

WITHOUT_SURPRISES = SMTP.clone(cte_type="7bit")  # every server can carry it
NEEDS_LOGIN = frozenset({530, 534, 535, 538})
TOO_BIG = 552
LONGEST_NAME = 255  # characters; a header's line holds no more than 998, and names are not folded


class EmailMessage(Channel):
    """Send a mail to the contact, or to the team.

    ``to`` is the contact's ``email`` where it is left out, the team where it is a plain address;
    a template there must say whom it finds (``audience: contact`` or ``team``). ``from`` and
    ``reply_to`` are addresses, with or without a name (``Shop <shop@example.com>``); ``from`` is
    the connection's ``from_email`` where it is left out. ``html`` without ``text`` gets a text
    part made from it.

    A contact without a usable address is skipped. The mail's Message-ID is made of the delivery's
    key, so that it can be found in a mailbox or a server's log. Limits are the server's: its
    4xx replies are tried again, 5xx to a recipient or a message are final; ``segue_rate`` in the
    connection's extra keeps below them.

    *Uncertain* means that the connection broke after the server had been given the message.
    SMTP has no way to ask: such a delivery is settled by the workflow's policy or by a person.
    """

    name: ClassVar[str] = "email"
    longest_call: ClassVar[float] = 300.0  # some ten replies, each within the timeout of 30

    connection: str = "smtp_default"
    to: Line | None = None
    audience: Literal["contact", "team"] | None = None
    from_address: Line | None = Field(default=None, alias="from")
    reply_to: Line | None = None
    subject: Line
    text: Text | None = None
    html: Html | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [*_audience_problems(self.to, self.audience)]
        if self.text is None and self.html is None:
            problems.append(((), "the keys 'text' and 'html' are missing; one of them is needed"))
        addresses = {"to": self.to, "from": self.from_address, "reply_to": self.reply_to}
        for name, address in addresses.items():
            if address is not None and not is_template(address):
                problems += _address_problems(name, address.source)
        if problems:
            raise ProblemsFound(problems)
        return self

    @property
    def addressed_to(self) -> Audience:
        """The contact where ``to`` is left out or says so, else the team."""
        found = self.audience or ("contact" if self.to is None else "team")
        return Audience(found)

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields for one contact, ``to`` included; raise NoAddress if there is none."""
        recipient = self._recipient(variables)
        return {**super().render(variables), "to": recipient}

    def connect(self) -> Outbox:
        """Look the connection up; it is opened with the first mail."""
        return Outbox(self.connection, limits_of(self.connection, default=UNLIMITED))

    def _recipient(self, variables: Mapping[str, Any]) -> str:
        unusable = NoAddress if self.addressed_to is Audience.CONTACT else ContactFailure
        try:
            if self.to is not None:
                return read_mailbox(render(self.to, variables)).address
            return read_address(str(variables["contact"]["email"]))
        except KeyError:
            raise NoAddress("to: the contact has no email address") from None
        except ContactFailure as error:
            raise unusable(f"to: {error}") from None
        except ValueError:
            raise unusable("to: it is not an email address") from None


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and an address; the address is ASCII unless its local part cannot be."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """What follows the @, in ASCII."""
        return self.address.rpartition("@")[2]

    def header(self) -> Address:
        """Return it as what a header takes, quoted and encoded as needed."""
        return Address(_as_it_stands(self.name), addr_spec=self.address)


def read_mailbox(text: str) -> Mailbox:
    """Read ``a@example.com`` or ``Name <a@example.com>``; raise ValueError for anything else."""
    named = re.fullmatch(r"\s*([^<>]*?)\s*<([^<>]*)>\s*", text)
    name, address = named.groups() if named else ("", text)
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name before it has more than {LONGEST_NAME} characters")
    return Mailbox(re.sub(r'^"(.*)"$', r"\1", name), read_address(address))


def read_address(text: str) -> str:
    """Read ``a@example.com``; raise ValueError for anything else.

    Only the spelling is judged: whether there is such a mailbox, the server knows.
    """
    from email_validator import validate_email  # its EmailNotValidError is a ValueError

    found = validate_email(text.strip(), check_deliverability=False)
    return f"{found.ascii_local_part or found.local_part}@{found.ascii_domain}"


class Outbox(Sender):
    """Connections to one mail server, each used by one thread at a time and kept for the next."""

    def __init__(self, connection: str, limits: Sequence[Limit]) -> None:
        self._connection = connection
        self._limits = limits
        self._idle: LifoQueue[SmtpHook] = LifoQueue()

    def __exit__(self, *exc: object) -> None:
        while not self._idle.empty():
            hook = self._idle.get_nowait()
            with contextlib.suppress(smtplib.SMTPException, OSError):
                _client(hook).quit()
            _close(hook)

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Send one mail."""
        hook = self._take()
        answered = False  # whether the server has answered all it was asked
        try:
            message_id = _send(hook, message, key)
            answered = True
        except ContactFailure:
            answered = True
            raise
        finally:
            if answered:
                self._idle.put(hook)
            else:
                _close(hook)
        return Receipt(external_id=message_id, results={"message_id": message_id})

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the connection's own limit, if it gives one: a mail server publishes none."""
        return self._limits

    def _take(self) -> SmtpHook:
        """Return a connection that works: an idle one, reset, or a new one."""
        while True:
            try:
                hook = self._idle.get_nowait()
            except Empty:
                return _open(self._connection)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                if _client(hook).rset()[0] == 250:
                    return hook
            _close(hook)


def mail_of(message: Mapping[str, Any], key: str, sender: Mailbox) -> Mail:
    """Return a rendered message as a mail, all but its ``To``."""
    mail = Mail(policy=WITHOUT_SURPRISES)
    mail["Message-ID"] = f"<{key}@segue.{sender.domain}>"
    mail["Date"] = datetime.now(UTC)
    mail["From"] = sender.header()
    if "reply_to" in message:
        mail["Reply-To"] = _mailbox("reply_to", message["reply_to"]).header()
    mail["Subject"] = _as_it_stands(message["subject"])
    mail["Auto-Submitted"] = "auto-generated"
    text, html = message.get("text"), message.get("html")
    if not f"{text or ''}{html or ''}".strip():
        raise ContactFailure("text, html: the message is empty")
    mail.set_content(plain_text(html or "") if text is None else text)
    if html is not None:
        mail.add_alternative(html, subtype="html")
    _refuse_other_headers(mail)
    return mail


def _as_it_stands(text: str) -> str:
    """Return header text that nobody decodes: ``=?utf-8?q?=0D=0A?=`` would be a line break.

    Python's policies and mail clients read such encoded words (RFC 2047) wherever they stand.
    """
    return text.replace("=?", "= ?")


def _refuse_other_headers(mail: Mail) -> None:
    """Raise ContactFailure where a value would end its header or begin another."""
    for name, value in mail.items():
        if any(ord(char) < 32 or ord(char) == 127 for char in str(value)):
            raise ContactFailure(f"{name}: a line break or control character in a header")
    if BytesHeaderParser().parsebytes(mail.as_bytes()).keys() != mail.keys():
        raise ContactFailure("a value would change the mail's headers")


def _send(hook: SmtpHook, message: Mapping[str, Any], key: str) -> str:
    """Send one mail over an open connection and return its Message-ID."""
    sender = _sender(hook, message)
    recipient: str = message["to"]
    try:
        mail = mail_of(message, key, sender)
        # by hand, because Python 3.11 cannot write a local part that is not ASCII
        content = f"To: {recipient}\r\n".encode() + mail.as_bytes()
    except UnicodeError:
        raise ContactFailure("the message has characters that are not text") from None
    _transmit(_client(hook), sender.address, recipient, content)
    return str(mail["Message-ID"])


def _transmit(client: smtplib.SMTP, sender: str, recipient: str, content: bytes) -> None:
    """Hold the conversation; until the server asks for the content, nothing has been sent."""
    try:
        client.ehlo_or_helo_if_needed()
        options = _mail_options(client, recipient, content)
        _expect(client.mail(sender, options), "the sender", wanted=(250,))
        _expect(client.rcpt(recipient), "the recipient", wanted=(250, 251))
        _expect(client.docmd("DATA"), "the message", wanted=(354,))
    except (smtplib.SMTPException, OSError) as error:
        raise failed_opening(error) from None
    try:
        client.send(_transparent(content))
        reply = client.getreply()
    except (smtplib.SMTPException, OSError) as error:
        name = type(error).__name__
        raise OutcomeUnknown(f"the mail server's answer to the message was lost: {name}") from None
    if reply[0] != 250 and not 400 <= reply[0] < 600:
        raise OutcomeUnknown(f"the mail server's answer to the message makes no sense: {reply[0]}")
    _expect(reply, "the message", wanted=(250,))


def _expect(reply: tuple[int, bytes], what: str, *, wanted: tuple[int, ...]) -> None:
    """Raise the failure that a reply stands for; its text is left out, as it may name people."""
    code, text = reply
    if code in wanted:
        return
    enhanced = re.match(rb"[245]\.\d{1,3}\.\d{1,3}(?!\S)", text)  # RFC 2034
    said = f"the mail server refuses {what}: {code}" + (
        f" {enhanced[0].decode()}" if enhanced else ""
    )
    if not 500 <= code < 600:
        raise TransientFailure(said)
    if code in NEEDS_LOGIN or (what == "the sender" and code != TOO_BIG):
        raise ConnectionFailure(f"{said}; check the connection's login, and `from`")
    raise ContactFailure(said)


def _mail_options(client: smtplib.SMTP, recipient: str, content: bytes) -> list[str]:
    options = [f"SIZE={len(content)}"] if client.has_extn("size") else []
    if recipient.isascii():
        return options
    if not client.has_extn("smtputf8"):
        raise ContactFailure("the mail server takes no addresses outside of ASCII")
    return [*options, "SMTPUTF8"]


def _transparent(content: bytes) -> bytes:
    """Return a mail as it goes over the wire: CRLF, no line that is a lone dot, and the end."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", content).removesuffix(b"\r\n")
    return re.sub(rb"(?m)^\.", b"..", lines) + b"\r\n.\r\n"


def _open(connection: str) -> SmtpHook:
    """Open a connection and log in."""
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    hook = SmtpHook(smtp_conn_id=connection)
    try:
        hook.get_conn()
    except (smtplib.SMTPException, OSError) as error:
        _close(hook)
        raise failed_opening(error) from None
    except (AirflowException, RuntimeError, ValueError) as error:
        _close(hook)
        if isinstance(error.__context__, smtplib.SMTPServerDisconnected):
            raise TransientFailure("the mail server hangs up at once") from None
        name = type(error).__name__
        raise ConnectionFailure(
            f"the Airflow connection {connection!r} cannot be used ({name}); check its extra"
        ) from None
    return hook


def failed_opening(error: smtplib.SMTPException | OSError) -> DeliveryError:
    """Return the error for a conversation that ended before there was a message to lose."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = f"the mail server refuses the connection: {error.smtp_code}"
        if 400 <= error.smtp_code < 500:
            return TransientFailure(said)
        return ConnectionFailure(f"{said}; check its login and password")
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


def _client(hook: SmtpHook) -> smtplib.SMTP:
    """Return the client that the hook has opened; it has no public name for it."""
    return cast("smtplib.SMTP", hook._smtp_client)


def _close(hook: SmtpHook) -> None:
    """Drop a connection without a word, which a server that is not answering would not hear."""
    if hook._smtp_client is not None:
        _client(hook).close()


def _sender(hook: SmtpHook, message: Mapping[str, Any]) -> Mailbox:
    if "from" in message:
        return _mailbox("from", message["from"])
    try:
        return _mailbox("from", hook.from_email or "")
    except ContactFailure:
        raise ConnectionFailure(
            "there is no usable sender: give `from`, or `from_email` in the connection's extra"
        ) from None


def _mailbox(name: str, text: str) -> Mailbox:
    """Read an address of ours; raise ContactFailure, because a template made it of a contact."""
    try:
        mailbox = read_mailbox(text)
    except ValueError:
        raise ContactFailure(f"{name}: it is not an email address") from None
    if not mailbox.address.isascii():
        raise ContactFailure(f"{name}: the part before the @ has characters outside of ASCII")
    return mailbox


def _audience_problems(to: Template | None, audience: str | None) -> list[tuple[Location, str]]:
    if to is None:
        wrong = audience == "team"
        text = "without 'to' the contact is addressed; give 'to', or leave 'audience' out"
    elif is_template(to):
        return [audience_is_missing("to")] if audience is None else []
    else:
        wrong = audience == "contact"
        text = "a plain address in 'to' is the team's; write 'audience: team', or leave it out"
    return [(("audience",), text)] if wrong else []


def _address_problems(name: str, text: str) -> list[tuple[Location, str]]:
    try:
        if name == "to":
            read_mailbox(text)
        else:
            _mailbox(name, text)
    except ValueError as error:
        return [((name,), f"found {text!r}; allowed: an email address ({error})")]
    except ContactFailure as error:
        return [((name,), f"found {text!r}; allowed: an email address ({error})")]
    return []
