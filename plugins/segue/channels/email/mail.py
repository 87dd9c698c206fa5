"""A rendered message as a mail: its headers and its parts, each what the team wrote and no more.

Followed:
    https://www.rfc-editor.org/rfc/rfc5322 (3.6.4 Message-ID), rfc3834 (Auto-Submitted)
    https://www.rfc-editor.org/rfc/rfc2369 (3.2 List-Unsubscribe), rfc8058 (one click)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage as Mail
from email.parser import BytesHeaderParser
from email.policy import SMTP
from typing import Any
from urllib.parse import quote

from segue.channels.email.attachments import Content
from segue.channels.email.html_text import plain_text
from segue.channels.email.mailboxes import Mailbox, as_it_stands, header_of, read_mailbox
from segue.contracts.rendered import NO_TEXT
from segue.errors import ContactFailure

WITHOUT_SURPRISES = SMTP.clone(cte_type="7bit")  # every server can carry it
LONGEST_URL = 900  # characters; a header's line holds no more than 998
_URL = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]+)?([/?#][^\x00-\x20\x7f-\U0010ffff<>\"\\^`{|}]*)?"
)


def mail_of(
    message: Mapping[str, Any],
    mailboxes: Mapping[str, Sequence[Mailbox]],
    sender: Mailbox,
    message_id: str,
    files: Sequence[Content],
) -> bytes:
    """Return a rendered message as a mail; ``bcc`` is in none of its headers."""
    head = {"From": sender.header(), "To": header_of(mailboxes["to"])}
    if mailboxes["cc"]:
        head["Cc"] = header_of(mailboxes["cc"])
    if "reply_to" in message:
        head["Reply-To"] = own_mailbox("reply_to", message["reply_to"]).header()
    head |= _unsubscribe_headers(message)
    mail = Mail(policy=WITHOUT_SURPRISES)
    mail["Message-ID"] = message_id
    mail["Date"] = datetime.now(UTC)
    mail["Subject"] = as_it_stands(message["subject"])
    mail["Auto-Submitted"] = "auto-generated"
    _fill(mail, message.get("text"), message.get("html"))
    for file in files:
        mail.add_attachment(
            file.data, maintype=file.maintype, subtype=file.subtype, filename=file.filename
        )
    header = "".join(f"{name}: {value}\r\n" for name, value in head.items()).encode()
    content = header + mail.as_bytes()
    _refuse_other_headers(content, mail, [*head, *mail.keys()])
    return content


def own_mailbox(name: str, text: str) -> Mailbox:
    """Read an address of ours; raise ContactFailure, because a template made it of a contact.

    It is ASCII: a mail from any other goes to nobody whose server takes no such addresses.
    """
    try:
        mailbox = read_mailbox(text)
    except ValueError:
        raise ContactFailure(f"{name}: it is not an email address") from None
    if not mailbox.address.isascii():
        raise ContactFailure(f"{name}: the part before the @ has characters outside of ASCII")
    return mailbox


def _fill(mail: Mail, text: str | None, html: str | None) -> None:
    if not f"{text or ''}{html or ''}".strip():
        raise ContactFailure("text, html: the message is empty")
    text = plain_text(html or "") if text is None else text
    mail.set_content(NO_TEXT.sub("", text))
    if html is not None:
        mail.add_alternative(NO_TEXT.sub("", html), subtype="html")


def _unsubscribe_headers(message: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that give a mail program its button; one click needs https."""
    ways = []
    url = message.get("unsubscribe_url")
    if url is not None:
        if not is_url(url):
            raise ContactFailure("unsubscribe_url: it is not an http or https URL")
        ways.append(f"<{url}>")
    if "unsubscribe_mailto" in message:
        address = own_mailbox("unsubscribe_mailto", message["unsubscribe_mailto"]).address
        ways.append(f"<mailto:{quote(address, safe='@')}>")
    headers = {"List-Unsubscribe": ",\r\n ".join(ways)} if ways else {}
    if url is not None and url.startswith("https:"):
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    return headers


def is_url(text: str) -> bool:
    """Tell whether a text is a URL of HTTP that fits into a header."""
    return len(text) <= LONGEST_URL and _URL.fullmatch(text) is not None


def _refuse_other_headers(content: bytes, mail: Mail, names: Sequence[str]) -> None:
    """Raise ContactFailure where a value would end its header or begin another."""
    for name, value in mail.items():
        if any(ord(char) < 32 or ord(char) == 127 for char in str(value)):
            raise ContactFailure(f"{name}: a line break or control character in a header")
    headers = content[: content.index(b"\r\n\r\n") + 4]  # the rest may be megabytes
    if BytesHeaderParser().parsebytes(headers).keys() != names:
        raise ContactFailure("a value would change the mail's headers")
