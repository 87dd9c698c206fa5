"""Names and addresses of mail: how they are read, and how a header writes them.

Headers of addresses are written here, not by the standard library: Python 3.11 leaves a name of
more than a line unquoted, so that a comma in it begins another address, and knows no local part
outside of ASCII.

Followed:
    https://www.rfc-editor.org/rfc/rfc5322 (3.4 addresses, 3.2.4 quoted strings), rfc2047 (5
    encoded words in a name)
    https://www.rfc-editor.org/rfc/rfc6531 (addresses in UTF-8), rfc5891 (domains in ASCII)
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST_TEXT = 1_000  # characters of a name and an address, of which that has 254 at most
LONGEST_NAME = 255  # characters; a header's line holds no more than 998
# a local part whose dots are no dot-atom's: at an end, or two in a row; it may be in its quotes
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_DOTTED = re.compile(rf"\"?((?=\.|.*\.(?:\.|\"?\Z))(?:{_ATOM}|\.)+)\"?")
_PRIVATE = re.compile(r"(?<=[^.])\.(?:local|test)\Z", re.IGNORECASE)
_PUBLIC = ".example"  # what such a domain is judged as: as special, and taken
_PLAIN_NAME = re.compile(r"[A-Za-z0-9]+(?: [A-Za-z0-9]+)*")
_WORD = 45  # bytes in one encoded word, which may have 75 characters with all around it


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A name and an address; the address is ASCII unless its local part cannot be."""

    name: str
    address: str

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address

    @property
    def domain(self) -> str:
        """What follows the @, in ASCII."""
        return self.address.rpartition("@")[2]

    def header(self) -> str:
        """Return it as a header has it: ASCII, but for a local part that cannot be."""
        return f"{_phrase(self.name)} <{self.address}>" if self.name else self.address


def read_mailbox(text: str) -> Mailbox:
    """Read ``a@example.com`` or ``Name <a@example.com>``; raise ValueError for anything else.

    Never more than one: a contact's comma must not begin another recipient.
    """
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"it has more than {LONGEST_TEXT} characters")
    name, bracket, address = text.strip().partition("<")
    if not bracket:
        name, address = "", text
    elif not address.endswith(">") or ">" in name:
        raise ValueError("a name is followed by one address in < and >")
    name, address = name.strip(), address.removesuffix(">")
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name before it has more than {LONGEST_NAME} characters")
    return Mailbox(re.sub(r'^"(.*)"$', r"\1", name), read_address(address))


def read_address(text: str) -> str:
    """Read ``a@example.com``; raise ValueError for anything else.

    Only the spelling is judged: whether there is such a mailbox, the server knows. Dots that RFC
    5322 has no place for, as in ``a..b@docomo.ne.jp``, stand in quotes, as it allows; domains of
    private networks are as good as any.
    """
    from email_validator import validate_email  # its EmailNotValidError is a ValueError

    if len(text) > LONGEST_TEXT:
        raise ValueError(f"it has more than {LONGEST_TEXT} characters")
    if "=?" in text:  # mail clients decode it wherever it stands, line breaks included
        raise ValueError("it has an encoded word in it")
    local, _, domain = text.strip().rpartition("@")
    dotted = _DOTTED.fullmatch(local)
    local = f'"{dotted[1]}"' if dotted else local
    private = _PRIVATE.search(domain)
    shown = f"{domain[: private.start()]}{_PUBLIC}" if private else domain
    address = validate_email(
        f"{local}@{shown}", check_deliverability=False, allow_quoted_local=dotted is not None
    )
    domain = str(address.ascii_domain)
    domain = f"{domain.removesuffix(_PUBLIC)}{private[0].lower()}" if private else domain
    return f"{address.ascii_local_part or address.local_part}@{domain}"


def header_of(mailboxes: Iterable[Mailbox]) -> str:
    """Return the value of a header of addresses, one to a line."""
    return ",\r\n ".join(mailbox.header() for mailbox in mailboxes)


def as_it_stands(text: str) -> str:
    """Return header text that nobody decodes: ``=?utf-8?q?=0D=0A?=`` would be a line break.

    Python's policies and mail clients read such encoded words (RFC 2047) wherever they stand.
    """
    return text.replace("=?", "= ?")


def _phrase(name: str) -> str:
    """Return a name as it stands, in quotes, or as encoded words, as it needs."""
    phrase = as_it_stands(name)
    if _PLAIN_NAME.fullmatch(phrase):
        return phrase
    if phrase.isascii():
        return '"' + re.sub(r'(["\\])', r"\\\1", phrase) + '"'
    words = (f"=?utf-8?b?{b64encode(part).decode()}?=" for part in _parts(phrase))
    return "\r\n ".join(words)


def _parts(text: str) -> Iterator[bytes]:
    """Split UTF-8 between characters, as each encoded word is decoded alone."""
    part = b""
    for char in text:
        octets = char.encode()
        if len(part) + len(octets) > _WORD:
            yield part
            part = b""
        part += octets
    yield part
