"""Mail with text and HTML parts and files, over SMTP, through the SMTP provider's hook.

The connection is of type SMTP. Its extra may give ``from_email``, ``timeout`` and ``segue_rate``;
``disable_ssl`` for a server that speaks STARTTLS or nothing, ``disable_tls`` for one without
STARTTLS, which includes those that speak TLS from the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, TypeAdapter, WithJsonSchema, model_validator

from segue.channels.addressing import audience_is_missing, is_template
from segue.channels.email.attachments import LARGEST, Attached, Attachment, read_all
from segue.channels.email.mail import is_url, own_mailbox
from segue.channels.email.mailboxes import Mailbox, read_address, read_mailbox
from segue.channels.email.outbox import FROM_EMAIL, RECIPIENTS, Outbox, unusable_address
from segue.channels.email.smtp_conversation import LONGEST_CALL
from segue.channels.rates import UNLIMITED, limits_of
from segue.contracts.channel import Audience, Channel, NoAddress
from segue.contracts.templates import Html, Line, Template, Text, Url, render
from segue.documents import Items, Location, ProblemsFound
from segue.errors import ContactFailure, SettingsError

MOST_RECIPIENTS = 30
_START = re.compile(r"https?://|\{%")
_LINE = TypeAdapter(Line).json_schema()

Addresses: Any = Annotated[
    Items[Line],
    BeforeValidator(lambda value: value if isinstance(value, list | tuple) else (value,)),
    WithJsonSchema({"anyOf": [_LINE, {"type": "array", "items": _LINE}]}),
]


class EmailMessage(Channel):
    """Send a mail to the contact, or to the team.

    ``to`` is the contact's ``email`` where it is left out, the team where it is a plain address;
    a template there, in ``cc`` or in ``bcc`` must say whom it finds (``audience: contact`` or
    ``team``), unless the mail is the contact's anyhow. Each is one address or a list of them,
    30 in all, with or without a name (``Shop <shop@example.com>``). A mail goes to all of them
    or, where the server refuses one, to none. ``from`` is the connection's ``from_email`` where
    it is left out. ``html`` without ``text`` gets a text part made from it. ``attachments`` are
    files beside the definitions.

    A contact without a usable address is skipped. The mail's Message-ID is made of the delivery's
    key, so that it can be found in a mailbox or a server's log. Limits are the server's: its
    4xx replies are tried again, a 5xx about a mailbox is final, and of any other the others tell
    whose it is; ``segue_rate`` in the connection's extra keeps below them.

    *Uncertain* means that the connection broke after the server had been given the message.
    SMTP has no way to ask: such a delivery is settled by the workflow's policy or by a person.
    """

    name: ClassVar[str] = "email"
    reads: ClassVar[frozenset[str]] = frozenset({"email"})
    longest_call: ClassVar[float] = LONGEST_CALL

    connection: str = "smtp_default"
    to: Annotated[Addresses, Field(min_length=1)] | None = None
    cc: Addresses = ()
    bcc: Addresses = ()
    audience: Literal["contact", "team"] | None = None
    from_address: Line | None = Field(default=None, alias="from")
    reply_to: Line | None = None
    subject: Line
    text: Text | None = None
    html: Html | None = None
    attachments: Items[Attached] = ()
    unsubscribe_url: Url | None = None
    unsubscribe_mailto: Line | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [
            *self._audience_problems(),
            *self._recipient_problems(),
            *self._unsubscribe_problems(),
            *_size_problems(self.attachments),
        ]
        if self.text is None and self.html is None:
            problems.append(((), "the keys 'text' and 'html' are missing; one of them is needed"))
        ours = {
            "from": self.from_address,
            "reply_to": self.reply_to,
            "unsubscribe_mailto": self.unsubscribe_mailto,
        }
        for name, address in ours.items():
            if address is not None:
                problems += _address_problems((name,), address)
        if problems:
            raise ProblemsFound(problems)
        return self

    @property
    def address_field(self) -> str | None:
        """The contact's own, where ``to`` is left out."""
        return "email" if self.to is None else None

    @property
    def addressed_to(self) -> Audience:
        """The contact where ``to`` is left out or ``audience`` says so, else the team."""
        audience = self.audience or ("contact" if self.to is None else "team")
        return Audience(audience)

    def render(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields for one contact, ``to`` included; raise NoAddress if there is none.

        Each address is in one of ``to``, ``cc`` and ``bcc``, the first that names it.
        """
        recipients = self._recipients(variables)
        message = {**super().render(variables), **recipients}
        message["attachments"] = [attachment.name for attachment in self.attachments]
        return {key: value for key, value in message.items() if value != []}

    @property
    def needs(self) -> Set[str]:
        """The connection's sender, where the action names none."""
        return frozenset({FROM_EMAIL} if self.from_address is None else ())

    def tester(self, to: str) -> str:
        """Return one address, without a name."""
        try:
            return read_address(to)
        except ValueError as error:
            raise SettingsError(f"{to!r} is no email address ({error})") from None

    def readdressed(self, message: Mapping[str, Any], tester: str) -> dict[str, Any]:
        """Return the mail for one other address.

        Without copies, and without the headers of a button that would unsubscribe the contact.
        """
        left_out = {"cc", "bcc", "unsubscribe_url", "unsubscribe_mailto"}
        rest = {key: value for key, value in message.items() if key not in left_out}
        return {**rest, "to": tester, "subject": f"[test] {message['subject']}"}

    def connect(self) -> Outbox:
        """Look the connection up and read the files; it is opened with the first mail."""
        limits = limits_of(self.connection, default=UNLIMITED)
        files = read_all(self.attachments)
        return Outbox(self.connection, limits, self.addressed_to, files, self._fixed_addresses())

    def _lines(self, field: str) -> Sequence[Template]:
        """Return the addresses of ``to``, ``cc`` or ``bcc`` as they are written."""
        lines: Sequence[Template] = getattr(self, field) or ()
        return lines

    def _fixed_addresses(self) -> frozenset[str]:
        """Return the recipients who are the same in every mail, because no template names them."""
        lines = [line for field in RECIPIENTS for line in self._lines(field)]
        return frozenset(
            read_mailbox(line.source).address for line in lines if not is_template(line)
        )

    def _recipients(self, variables: Mapping[str, Any]) -> dict[str, str | list[str]]:
        """Return the addresses of each field: text where it is one, else a list."""
        recipients: dict[str, str | list[str]] = {}
        addresses: set[str] = set()
        for field in RECIPIENTS:
            mailboxes = self._mailboxes(field, variables)
            texts = [str(mailbox) for mailbox in _first_of_each(mailboxes, addresses)]
            recipients[field] = texts[0] if len(texts) == 1 else texts
        if not recipients["to"]:
            raise self._unusable("to")("to: there is no address")
        return recipients

    def _mailboxes(self, field: str, variables: Mapping[str, Any]) -> Iterator[Mailbox]:
        """Yield a field's addresses; those that render to nothing are left out."""
        unusable = self._unusable(field)
        try:
            if field == "to" and self.to is None:
                yield Mailbox("", read_address(str(variables["contact"]["email"])))
            for line in self._lines(field):
                text = render(line, variables)
                if text.strip():
                    yield read_mailbox(text)
        except KeyError:
            raise NoAddress("to: the contact has no email address") from None
        except ContactFailure as error:
            raise unusable(f"{field}: {error}") from None
        except ValueError:
            raise unusable(f"{field}: it is not an email address") from None

    def _unusable(self, field: str) -> type[ContactFailure]:
        return unusable_address(field, self.addressed_to)

    def _audience_problems(self) -> list[tuple[Location, str]]:
        fields = [field for field in RECIPIENTS if any(map(is_template, self._lines(field)))]
        if self.to is None:
            wrong = self.audience == "team"
            text = "without 'to' the contact is addressed; give 'to', or leave 'audience' out"
        elif fields:
            return [audience_is_missing(fields[0])] if self.audience is None else []
        else:
            wrong = self.audience == "contact"
            text = "a plain address in 'to' is the team's; write 'audience: team', or leave it out"
        return [(("audience",), text)] if wrong else []

    def _recipient_problems(self) -> Iterator[tuple[Location, str]]:
        for field in RECIPIENTS:
            lines = self._lines(field)
            for index, line in enumerate(lines):
                location: Location = (field,) if len(lines) == 1 else (field, index)
                yield from _address_problems(location, line)
        count = max(1, len(self._lines("to"))) + len(self.cc) + len(self.bcc)
        if count > MOST_RECIPIENTS:
            field = max(RECIPIENTS, key=lambda name: len(self._lines(name)))
            message = f"found {count} recipients in to, cc and bcc; allowed: {MOST_RECIPIENTS}"
            yield (field,), message

    def _unsubscribe_problems(self) -> Iterator[tuple[Location, str]]:
        url = self.unsubscribe_url
        if url is None:
            return
        may_be = _START.match(url.source) if is_template(url) else is_url(url.source)
        if not may_be:
            expectation = "an http or https URL; a template prints parts of it, never its beginning"
            yield ("unsubscribe_url",), f"found {url.source!r}; allowed: {expectation}"


def _first_of_each(mailboxes: Iterable[Mailbox], addresses: set[str]) -> Iterator[Mailbox]:
    """Yield those whose address was not seen, and note it: nobody gets a mail twice."""
    for mailbox in mailboxes:
        address = mailbox.address.casefold()
        if address not in addresses:
            addresses.add(address)
            yield mailbox


def _address_problems(location: Location, template: Template) -> list[tuple[Location, str]]:
    if is_template(template):
        return []
    try:
        if location[0] in RECIPIENTS:
            read_mailbox(template.source)
        else:
            own_mailbox(str(location[0]), template.source)
    except (ValueError, ContactFailure) as error:
        return [(location, f"found {template.source!r}; allowed: an email address ({error})")]
    return []


def _size_problems(attachments: Sequence[Attachment]) -> list[tuple[Location, str]]:
    size = sum(attachment.size for attachment in attachments)
    if size <= LARGEST:
        return []
    return [(("attachments",), f"have {size:,} bytes in all; allowed: up to {LARGEST:,}")]
