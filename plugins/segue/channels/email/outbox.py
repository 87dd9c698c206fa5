"""Connections to a mail server, and how a mail goes out over one."""

from __future__ import annotations

import contextlib
import smtplib
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any

from segue.channels.email.attachments import Content
from segue.channels.email.mail import mail_of, own_mailbox
from segue.channels.email.mailboxes import Mailbox, read_mailbox
from segue.channels.email.smtp_conversation import (
    Recipient,
    client_of,
    close,
    open_connection,
    say_nothing,
    transmit,
)
from segue.contracts.channel import Audience, Finding, Limit, NoAddress, Receipt, Sender, Tried
from segue.errors import ConnectionFailure, ContactFailure, DeliveryError

if TYPE_CHECKING:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

RECIPIENTS = ("to", "cc", "bcc")
# refusals without a mail in between, after which a connection is given up: after ten errors Postfix
# answers late (smtpd_soft_error_limit), after twenty it hangs up
MOST_REFUSALS = 8
FROM_EMAIL = "from_email"  # the key in a connection's extra


@dataclass(slots=True)
class _Line:
    """An open connection; ``refusals`` are those since the server took a mail."""

    hook: SmtpHook
    refusals: int = 0

    @property
    def client(self) -> smtplib.SMTP:
        return client_of(self.hook)

    def hang_up(self) -> None:
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self.client.quit()
        close(self.hook)


class Outbox(Sender):
    """Connections to one mail server, each used by one thread at a time and kept for the next."""

    def __init__(
        self,
        connection: str,
        limits: Sequence[Limit],
        audience: Audience,
        files: Sequence[Content],
        fixed: Set[str],
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._audience = audience
        self._attached = files
        self._fixed = fixed  # addresses that are the same in every mail
        self._idle: LifoQueue[_Line] = LifoQueue()

    def __exit__(self, *exc: object) -> None:
        while not self._idle.empty():
            self._idle.get_nowait().hang_up()

    def send(self, message: Mapping[str, Any], *, key: str) -> Receipt:
        """Send one mail."""
        began = time.monotonic()
        line = self._take()
        try:
            message_id = self._send(line.hook, message, key, began)
        except DeliveryError:
            self._keep_after_refusal(line)
            raise
        except BaseException:  # in the middle of something
            close(line.hook)
            raise
        line.refusals = 0
        self._idle.put(line)
        return Receipt(external_id=message_id, results={"message_id": message_id})

    def limits(self, message: Mapping[str, Any]) -> Sequence[Limit]:
        """Return the connection's own limit, if it gives one: a mail server publishes none."""
        return self._limits

    def check(self, needs: Set[str]) -> Finding:
        """Connect, agree on TLS and log in as for a mail, and say nothing.

        Whether the server takes the sender it says when it has a recipient, or all of a mail.
        """
        line = self._take()
        try:
            how = say_nothing(line.client)
            if FROM_EMAIL in needs:
                _sender(line.hook, {})
        except DeliveryError:
            close(line.hook)
            raise
        self._idle.put(line)
        user = "logged in" if line.hook.smtp_user else "without a login"
        untried = "whether it takes the sender shows with the first mail"
        return Finding(Tried.UNTRIED, f"{how}, {user}; {untried}")

    def _send(self, hook: SmtpHook, message: Mapping[str, Any], key: str, began: float) -> str:
        """Send one mail over an open connection and return its Message-ID."""
        sender = _sender(hook, message)
        message_id = f"<{key}@segue.{sender.domain}>"
        mailboxes = {field: _mailboxes_in(message, field) for field in RECIPIENTS}
        recipients = [
            Recipient(
                mailbox.address,
                "the recipient" if field == "to" else f"the recipient in {field}",
                unusable_address(field, self._audience),
                mailbox.address in self._fixed,
            )
            for field, theirs in mailboxes.items()
            for mailbox in theirs
        ]
        try:
            content = mail_of(message, mailboxes, sender, message_id, self._attached)
        except UnicodeError:
            raise ContactFailure("the message has characters that are not text") from None
        transmit(client_of(hook), sender.address, recipients, content, began=began)
        return message_id

    def _keep_after_refusal(self, line: _Line) -> None:
        """Keep a connection for the next mail: a refusal is no reason to log in anew.

        One that broke is closed, which ``_take`` sees.
        """
        line.refusals += 1
        if line.refusals < MOST_REFUSALS:
            self._idle.put(line)
        else:
            line.hang_up()

    def _take(self) -> _Line:
        """Return a connection that works: an idle one, reset, or a new one."""
        while True:
            try:
                line = self._idle.get_nowait()
            except Empty:
                return _Line(open_connection(self._connection))
            with contextlib.suppress(smtplib.SMTPException, OSError):
                if line.client.rset()[0] == 250:
                    return line
            close(line.hook)


def unusable_address(field: str, audience: Audience) -> type[ContactFailure]:
    """Return what an address means that cannot be written to: the contact is skipped for its own.

    Anybody else's fails the delivery, so that a person hears of it.
    """
    is_own = field == "to" and audience is Audience.CONTACT
    return NoAddress if is_own else ContactFailure


def _sender(hook: SmtpHook, message: Mapping[str, Any]) -> Mailbox:
    if "from" in message:
        return own_mailbox("from", message["from"])
    try:
        return own_mailbox("from", hook.from_email or "")
    except ContactFailure:
        raise ConnectionFailure(
            "there is no usable sender: give `from`, or `from_email` in the connection's extra"
        ) from None


def _mailboxes_in(message: Mapping[str, Any], field: str) -> list[Mailbox]:
    """Read what ``EmailMessage.render`` wrote."""
    texts = message.get(field, [])
    return [read_mailbox(text) for text in ([texts] if isinstance(texts, str) else texts)]
