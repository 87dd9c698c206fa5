"""Names and addresses in headers: whatever a name holds, it stays one name of one address."""

from __future__ import annotations

import time
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.channels.email.mailboxes import LONGEST_NAME, Mailbox, header_of, read_mailbox

printable = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="<>\x85")


def addresses(*mailboxes: Mailbox) -> list[tuple[str, str]]:
    """Return what a mail program reads from a header of these."""
    header = header_of(mailboxes)
    assert all(len(line) <= 990 for line in header.split("\r\n"))
    read = message_from_bytes(f"To: {header}\r\n\r\n".encode(), policy=policy.default)
    assert read.keys() == ["To"]
    # 3.11's own reader puts a space between two encoded words, where RFC 2047 has none
    names = [str(make_header(decode_header(name))) for name, _ in getaddresses([header])]
    return list(zip(names, [found.addr_spec for found in read["to"].addresses], strict=True))


@given(st.text(printable, max_size=LONGEST_NAME).map(str.strip))
def test_any_name_is_one_name_of_one_address(name: str):
    """Nothing in a name begins another address, another header or another line."""
    [(_, address)] = addresses(Mailbox(name, "ana@example.com"))
    assert address == "ana@example.com"


@given(st.text(printable, max_size=LONGEST_NAME).map(lambda text: " ".join(text.split())))
def test_a_name_arrives_as_it_was_written(name: str):
    if "=?" not in name:
        [(shown, _)] = addresses(Mailbox(name, "ana@example.com"))
        assert shown == name


@pytest.mark.parametrize(
    "name",
    [
        "x" * 80 + ", b@example.org",  # which Python 3.11 leaves unquoted
        "Zoë a, b@example.org",
        'a "quoted" \\ name',
        "Ana (comment), b@example.org;",
        "שלום, \u202eb@example.org",
        "👩🏽‍🚀" * 40,
    ],
)
def test_a_name_with_a_comma_adds_nobody(name: str):
    assert addresses(Mailbox(name, "ana@example.com")) == [(name, "ana@example.com")]


def test_a_name_that_looks_encoded_is_not_decoded():
    name = "=?utf-8?q?=0D=0ABcc:=20victim@example.com?="
    [(shown, address)] = addresses(Mailbox(name, "ana@example.com"))
    assert (shown, address) == (name.replace("=?", "= ?"), "ana@example.com")


def test_several_addresses_are_one_header():
    several = [Mailbox("Zoë", "zoe@example.com"), Mailbox("", "bob@example.com")]
    assert addresses(*several) == [("Zoë", "zoe@example.com"), ("", "bob@example.com")]


def test_a_line_is_never_more_than_one_address():
    with pytest.raises(ValueError, match="@"):
        read_mailbox("ana@example.com, bob@example.com")
    with pytest.raises(ValueError, match=r"."):
        read_mailbox("Ana <ana@example.com>, Bob <bob@example.com>")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a..b@docomo.ne.jp", '"a..b"@docomo.ne.jp'),
        ("a.@docomo.ne.jp", '"a."@docomo.ne.jp'),
        (".a@docomo.ne.jp", '".a"@docomo.ne.jp'),
        ('"a..b"@docomo.ne.jp', '"a..b"@docomo.ne.jp'),
        ("Ana <a..b@docomo.ne.jp>", '"a..b"@docomo.ne.jp'),
        ("x@corp.local", "x@corp.local"),
        ("x@mail.corp.LOCAL", "x@mail.corp.local"),
        ("x@y.test", "x@y.test"),
        ("x@y.internal", "x@y.internal"),
        ("ana.b@example.com", "ana.b@example.com"),
    ],
)
def test_real_addresses_are_taken_and_one_recipient_each(text: str, address: str):
    mailbox = read_mailbox(text)
    assert mailbox.address == address
    assert read_mailbox(str(mailbox)) == mailbox
    [(_, read)] = addresses(mailbox)
    assert read.replace('"', "") == address.replace('"', "")  # its own spelling of the same


@pytest.mark.parametrize(
    "text",
    [
        *(
            "u@mail",
            "u@sub_domain.example.com",
            "x@y.invalid",
            "x@localhost",
            "x@y.onion",
            "@a.local",
        ),
        *("x@.local", "x@local", '"a b"@example.com', '"a..b,c"@example.com', "a..b@c@example.com"),
        *("=?utf-8?q?=0D=0ABcc:x?=@example.com", "=?utf-8?q?=0D=0ABc@example.com"),
        *('"a..b"@x.example, c@d.example', "<a@b.example>>", "a <b> <c@d.example>", "x" * 2_000),
    ],
)
def test_other_spellings_are_not(text: str):
    with pytest.raises(ValueError, match=r"."):
        read_mailbox(text)


@pytest.mark.parametrize(
    "text", [" " * 100_000 + "x", "<" * 100_000, "a" * 100_000 + "@b", "." * 100_000]
)
def test_a_long_text_is_refused_at_once(text: str):
    began = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        read_mailbox(text)
    assert time.process_time() - began < 1
