"""Mail, sent to the sandbox's server and to servers that misbehave."""

from __future__ import annotations

import email
import re
import smtplib
import threading
from concurrent.futures import ThreadPoolExecutor
from email import policy
from email.message import EmailMessage as Mail
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from segue.channels.email import outbox, smtp_conversation
from segue.channels.email.mailboxes import Mailbox, read_mailbox
from segue.channels.email.message import EmailMessage
from segue.channels.email.outbox import Outbox
from segue.contracts.channel import Audience, NoAddress
from segue.contracts.template_values import Fields
from segue.documents import ProblemsFound, parse_document
from segue.errors import (
    ConnectionFailure,
    ContactFailure,
    Deferral,
    OutcomeUnknown,
    TransientFailure,
    UnprovenRefusal,
)
from segue.sandbox.server import Sandbox
from segue.sandbox.store import Message
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    broken_off,
    deliver,
    mail_server,
    variables,
)

ROOT = Path(__file__).parents[4]


def mail(**fields: object) -> EmailMessage:
    return EmailMessage.model_validate({"subject": "Hello", "text": "Dear friend"} | fields)


def parsed(received: Message) -> Mail:
    found = email.message_from_string(received.raw["mail"], policy=policy.default)
    assert isinstance(found, Mail)
    return found


def problems(**fields: object) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ValidationError) as raised:
        mail(**fields)
    found = raised.value.errors()[0]["ctx"]["error"]
    assert isinstance(found, ProblemsFound)
    return list(found.problems)


# What arrives


def test_a_mail_has_both_bodies_and_a_senders_name_with_a_comma(sandbox: Sandbox):
    deliver(
        mail(
            **{"from": "Zoë, of the Shop <shop@example.com>"},
            html="<p>Dear {{ contact.first_name }},</p>",
        )
    )
    [received] = sandbox.messages(service="smtp")
    found = parsed(received)
    assert found["from"].addresses[0].display_name == "Zoë, of the Shop"
    assert found["date"].datetime.utcoffset().total_seconds() == 0
    assert found.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]


def test_text_alone_is_one_part(sandbox: Sandbox):
    deliver(mail())
    [received] = sandbox.messages(service="smtp")
    assert parsed(received).get_content_type() == "text/plain"


def test_html_alone_gets_a_text_part(sandbox: Sandbox):
    deliver(mail(text=None, html="<p>Dear <b>{{ contact.first_name }}</b></p><ul><li>one</ul>"))
    [received] = sandbox.messages(service="smtp")
    assert received.text.split() == ["Dear", "Ana", "-", "one"]
    assert "<b>Ana</b>" in received.html


@pytest.mark.parametrize("field", ["text", "html"])
def test_an_empty_message_fails_the_contact(sandbox: Sandbox, field: str):
    empty = {"text": None, field: " {{ contact.note | default('') }}\n"}
    with pytest.raises(ContactFailure, match="empty"):
        deliver(mail(**empty))
    assert sandbox.messages() == []


def test_every_byte_is_ascii_and_no_line_is_too_long(sandbox: Sandbox):
    deliver(mail(subject="é" * 3000, text="ü" * 9000, html=f"<p>{'x' * 9000}</p>"))
    [received] = sandbox.messages(service="smtp")
    raw = received.raw["mail"]
    assert raw.isascii()
    assert max(len(line) for line in raw.splitlines()) <= 998
    assert "\n" not in raw.replace("\r\n", "")


def test_the_sender_is_the_connections_where_none_is_given(sandbox: Sandbox):
    deliver(mail())
    [received] = sandbox.messages(service="smtp")
    assert received.fields["mail_from"] == "segue@example.com"


ENCODED_WORDS = [
    "=?utf-8?q?=0D=0ABcc:=20victim@example.com=0D=0A=0D=0AYour account is locked?=",
    "=?utf-8?b?DQpCY2M6IHZpY3RpbUBleGFtcGxlLmNvbQ0K?=",
    "=?utf-8?q?=00?=",
    "a =?iso-8859-1?q?=0D=0AReply-To:_evil@example.com?= b",
]


@pytest.mark.parametrize("name", ENCODED_WORDS)
def test_an_encoded_word_of_a_contact_adds_no_header(sandbox: Sandbox, name: str):
    """A name that decodes to a line break stays the text that it is, in every header."""
    fields = {
        "subject": "Welcome {{ contact.first_name }}",
        "from": "{{ contact.first_name }} <shop@example.com>",
        "reply_to": "{{ contact.first_name }} <care@example.com>",
    }
    deliver(mail(**fields), first_name=name)
    [received] = sandbox.messages(service="smtp")
    found = parsed(received)
    assert [key.lower() for key in found.keys()] == [  # noqa: SIM118 - a mail's keys repeat
        *("from", "to", "reply-to", "message-id", "date", "subject", "auto-submitted"),
        *("content-type", "content-transfer-encoding", "mime-version"),
    ]
    assert received.subject == f"Welcome {name.replace('=?', '= ?')}"
    assert received.fields["rcpt_to"] == ["ana@example.com"]
    assert "locked" not in received.text


@pytest.mark.parametrize("name", ["right to left", "emoji", "template"])
def test_contact_text_is_data_in_a_senders_name(sandbox: Sandbox, name: str):
    deliver(
        mail(**{"from": "{{ contact.first_name }} <shop@example.com>"}), first_name=HOSTILE[name]
    )
    [received] = sandbox.messages(service="smtp")
    [sender] = parsed(received)["from"].addresses
    assert (sender.display_name, sender.addr_spec) == (HOSTILE[name], "shop@example.com")


@pytest.mark.parametrize("name", ["html", "mention", "ten kilobytes"])
def test_a_senders_name_that_no_header_holds_fails_the_contact(sandbox: Sandbox, name: str):
    with pytest.raises(ContactFailure, match=r"^from: it is not an email address$"):
        deliver(
            mail(**{"from": "{{ contact.first_name }} <shop@example.com>"}),
            first_name=HOSTILE[name],
        )
    assert sandbox.messages() == []


@pytest.mark.parametrize("field", ["subject", "from", "reply_to"])
def test_a_line_break_in_a_header_fails_the_contact(sandbox: Sandbox, field: str):
    template = "{{ contact.first_name }} <shop@example.com>"
    with pytest.raises(ContactFailure, match=f"^{field}: a line break"):
        deliver(mail(**{field: template}), first_name=HOSTILE["line breaks"])
    assert sandbox.messages() == []


def test_lines_of_dots_arrive_as_they_are(sandbox: Sandbox):
    deliver(mail(text=".\n..\n.hidden\nend"))
    [received] = sandbox.messages(service="smtp")
    assert received.text.split("\n")[:4] == [".", "..", ".hidden", "end"]


# Who is addressed


def test_without_to_the_contact_is_addressed(sandbox: Sandbox):
    assert mail().addressed_to is Audience.CONTACT
    assert mail().render(variables())["to"] == "ana@example.com"


def test_a_plain_address_is_the_teams(sandbox: Sandbox):
    deliver(mail(to="Team <team@example.com>"))
    [received] = sandbox.messages(service="smtp")
    assert received.fields["rcpt_to"] == ["team@example.com"]
    assert mail(to="team@example.com").addressed_to is Audience.TEAM


@pytest.mark.parametrize("audience", ["contact", "team"])
def test_a_template_in_to_says_whom_it_finds(audience: str):
    channel = mail(to="{{ contact.work_email }}", audience=audience)
    assert channel.addressed_to is Audience(audience)
    message = channel.render(variables(work_email="ana@work.example.com"))
    assert message["to"] == "ana@work.example.com"


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "ana",
        "ana@",
        "ana@localhost",
        "@example.com",
        "ana@exa mple.com",
        "ana@example.com, bob@example.com",
        "ana@example.com\r\nRCPT TO:<bob@example.com>",
        "ana@example.com>\r\nDATA",
        "<ana@example.com",
        "Bob <ana@example.com>",  # the column holds addresses; who is Bob?
        "ana@[127.0.0.1]",
        float("nan"),
        42,
    ],
)
def test_a_contact_without_a_usable_address_is_skipped(sandbox: Sandbox, address: object):
    with pytest.raises(NoAddress, match=r"^to: ") as raised:
        deliver(mail(), email=address)
    assert "ana" not in str(raised.value)
    assert sandbox.messages() == []


def test_a_contact_whose_directory_has_no_addresses_is_skipped():
    with pytest.raises(NoAddress):
        mail().render({"contact": Fields("contact", {"contact_id": "c-1"}), "change": "added"})


def test_an_unusable_address_found_by_a_template_skips_the_contact_and_fails_the_team():
    contacts = mail(to="{{ contact.work_email }}", audience="contact")
    teams = mail(to="{{ contact.work_email }}", audience="team")
    for contact in ({}, {"work_email": "not an address"}):
        with pytest.raises(NoAddress):
            contacts.render(variables(**contact))
        with pytest.raises(ContactFailure) as raised:
            teams.render(variables(**contact))
        assert type(raised.value) is ContactFailure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ana@example.com", Mailbox("", "ana@example.com")),
        (" ana@EXAMPLE.com ", Mailbox("", "ana@example.com")),
        ("Ana <ana@example.com>", Mailbox("Ana", "ana@example.com")),
        ('"Ana, B." <ana@example.com>', Mailbox("Ana, B.", "ana@example.com")),
        ("安娜 <ana@bücher.example>", Mailbox("安娜", "ana@xn--bcher-kva.example")),
        ("用户@例え.jp", Mailbox("", "用户@xn--r8jz45g.jp")),
    ],
)
def test_addresses_are_read(text: str, expected: Mailbox):
    assert read_mailbox(text) == expected


def test_an_address_outside_of_ascii_arrives_where_the_server_takes_it(sandbox: Sandbox):
    deliver(mail(), email="用户@example.com")
    [received] = sandbox.messages(service="smtp")
    assert received.fields["rcpt_to"] == ["用户@example.com"]
    assert "To: 用户@example.com\r\n" in received.raw["mail"]


def test_a_contact_whose_address_the_server_cannot_take_is_skipped(set_connection):
    with mail_server() as port, pytest.raises(NoAddress, match="outside of ASCII"):
        deliver(at(set_connection, port), email="用户@example.com")


# Several recipients


def test_a_mail_goes_to_all_and_bcc_is_in_no_header(sandbox: Sandbox):
    deliver(
        mail(
            to=["Zoë, B. <zoe@example.com>", "team@example.com"],
            cc="Łukasz <cc@example.com>",
            bcc=["hidden@example.com", "archive@example.com"],
        )
    )
    [received] = sandbox.messages(service="smtp")
    assert received.fields["rcpt_to"] == [
        *("zoe@example.com", "team@example.com", "cc@example.com"),
        *("hidden@example.com", "archive@example.com"),
    ]
    found = parsed(received)
    names = [(one.display_name, one.addr_spec) for one in found["to"].addresses]
    assert names == [("Zoë, B.", "zoe@example.com"), ("", "team@example.com")]
    assert found["cc"].addresses[0].display_name == "Łukasz"
    assert "bcc" not in found
    assert "hidden" not in received.raw["mail"]


def test_nobody_gets_a_mail_twice(sandbox: Sandbox):
    """An address is written to once, in the first field that names it, however it is spelt."""
    deliver(
        mail(
            cc=["ANA@Example.com", "bob@example.com", "Bob <bob@EXAMPLE.com>"],
            bcc=["bob@example.com", "eve@example.com"],
        )
    )
    [received] = sandbox.messages(service="smtp")
    assert received.fields["rcpt_to"] == ["ana@example.com", "bob@example.com", "eve@example.com"]
    assert received.fields["cc"] == "bob@example.com"


def test_an_address_that_renders_to_nothing_is_left_out(sandbox: Sandbox):
    channel = mail(
        cc=["{{ contact.manager | default('') }}", "care@example.com"],
        bcc="{{ contact.agent | default('') }}",
    )
    message = channel.render(variables())
    assert message["cc"] == "care@example.com"
    assert "bcc" not in message
    assert channel.render(variables(manager="m@example.com"))["cc"] == [
        "m@example.com",
        "care@example.com",
    ]


def test_with_nobody_left_the_contact_is_skipped_and_the_team_fails():
    line = "{{ contact.agent | default('') }}"
    with pytest.raises(NoAddress, match="there is no address"):
        mail(to=line, audience="contact").render(variables())
    with pytest.raises(ContactFailure) as raised:
        mail(to=[line, line], audience="team").render(variables())
    assert type(raised.value) is ContactFailure


@pytest.mark.parametrize("field", ["cc", "bcc"])
@pytest.mark.parametrize(
    "address",
    ["nobody", "a@example.com, b@example.com", "a@example.com\r\nRCPT TO:<b@example.com>"],
)
def test_a_copy_that_has_no_usable_address_fails_and_names_the_field(
    sandbox: Sandbox, field: str, address: str
):
    """And a contact's comma or line break adds no recipient."""
    with pytest.raises(ContactFailure, match=f"^{field}: ") as raised:
        deliver(mail(**{field: "{{ contact.manager }}"}), manager=address)
    assert type(raised.value) is ContactFailure
    assert "example.com" not in str(raised.value)
    assert sandbox.messages() == []


def test_thirty_recipients_are_allowed(sandbox: Sandbox):
    deliver(mail(cc=[f"c{n}@example.com" for n in range(14)], bcc=["b@example.com"] * 15))
    [received] = sandbox.messages(service="smtp")
    assert len(received.fields["rcpt_to"]) == 16


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"to": ["a@example.com"] * 31}, "to"),
        ({"cc": ["a@example.com"] * 15, "bcc": ["b@example.com"] * 15}, "cc"),
        ({"to": ["a@example.com"] * 2, "bcc": ["{{ change }}"] * 29, "audience": "team"}, "bcc"),
    ],
)
def test_more_than_thirty_are_refused(fields, field: str):
    """The contact counts, where ``to`` is left out, and a template as one."""
    [(location, message)] = problems(**fields)
    assert location == (field,)
    assert message == "found 31 recipients in to, cc and bcc; allowed: 30"


@pytest.mark.parametrize("field", ["cc", "bcc"])
def test_a_template_in_a_copy_needs_an_audience_as_in_to(field: str):
    plain = {"to": "team@example.com", field: ["care@example.com", "{{ contact.email }}"]}
    [(location, message)] = problems(**plain)
    assert location == ("audience",)
    assert f"{field!r} is a template" in message
    assert mail(**plain, audience="contact").addressed_to is Audience.CONTACT
    assert mail(**plain, audience="team").addressed_to is Audience.TEAM
    assert mail(**{field: "{{ contact.manager }}"}).addressed_to is Audience.CONTACT


def test_an_address_of_a_list_is_checked_where_it_stands():
    [(location, message)] = problems(cc=["care@example.com", "nobody at home"])
    assert location == ("cc", 1)
    assert "'nobody at home'" in message


def test_a_list_of_nobody_is_refused():
    with pytest.raises(ValidationError, match="at least 1"):
        mail(to=[])


@pytest.mark.parametrize("name", ["html", "mention", "json", "emoji", "right to left", "template"])
def test_contact_text_in_a_recipients_name_adds_nobody(sandbox: Sandbox, name: str):
    channel = mail(
        to="{{ contact.first_name }} <{{ contact.email }}>",
        cc="care@example.com",
        audience="contact",
    )
    if name in ("html", "mention"):  # there is an address in it, or what looks like one
        with pytest.raises(NoAddress):
            deliver(channel, first_name=HOSTILE[name])
        return
    deliver(channel, first_name=HOSTILE[name])
    [received] = sandbox.messages(service="smtp")
    assert received.fields["rcpt_to"] == ["ana@example.com", "care@example.com"]
    assert [one.addr_spec for one in parsed(received)["to"].addresses] == ["ana@example.com"]


def test_a_long_name_of_a_contact_does_not_forge_the_sender(sandbox: Sandbox):
    """A name of more than a line is quoted too; its comma begins no other address."""
    forged = "x" * 80 + ", ceo@example.org"
    deliver(mail(**{"from": "{{ contact.first_name }} <shop@example.com>"}), first_name=forged)
    [received] = sandbox.messages(service="smtp")
    [sender] = parsed(received)["from"].addresses
    assert (sender.display_name, sender.addr_spec) == (forged, "shop@example.com")


@pytest.mark.parametrize(
    ("refused", "expected"),
    [("reject-550@example.com", UnprovenRefusal), ("reject-450@example.com", Deferral)],
)
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_where_one_recipient_is_refused_nobody_is_sent_anything(
    sandbox: Sandbox, field: str, refused: str, expected: type[Exception]
):
    """So whoever is tried again got nothing the first time."""
    fields = {"to": ["team@example.com"], "cc": ["care@example.com"], "bcc": ["a@example.com"]}
    fields[field].append(refused)
    with pytest.raises(expected) as raised:
        deliver(mail(**fields))
    assert type(raised.value) is expected
    where = "" if field == "to" else f" in {field}"
    assert f"refuses the recipient{where}: {refused[7:10]}" in str(raised.value)
    assert sandbox.messages() == []


def test_a_colleagues_address_that_the_server_cannot_take_fails(set_connection):
    """Only the contact's own is a reason to skip."""
    with mail_server() as port:
        at(set_connection, port)
        with pytest.raises(ContactFailure, match="outside of ASCII: the recipient in cc") as raised:
            deliver(mail(cc="用户@example.com"))
    assert type(raised.value) is ContactFailure


def test_a_domain_outside_of_ascii_is_written_in_ascii(sandbox: Sandbox):
    """So that every server takes it."""
    deliver(mail(cc="Büro <post@bücher.example>"))
    [received] = sandbox.messages(service="smtp")
    assert received.fields["rcpt_to"] == ["ana@example.com", "post@xn--bcher-kva.example"]


# Unsubscribing

LINK = "https://example.com/u?c={{ contact.contact_id }}&s=1"


def headers(received: Message, *names: str) -> list[str | None]:
    found = parsed(received)
    return [str(found[name]) if name in found else None for name in names]


def test_an_https_url_gets_the_one_click_header(sandbox: Sandbox):
    deliver(mail(unsubscribe_url=LINK))
    [received] = sandbox.messages(service="smtp")
    assert headers(received, "List-Unsubscribe", "List-Unsubscribe-Post") == [
        "<https://example.com/u?c=c-1&s=1>",
        "List-Unsubscribe=One-Click",
    ]


def test_other_ways_to_unsubscribe_have_no_one_click(sandbox: Sandbox):
    deliver(mail(unsubscribe_url="http://example.com/u", unsubscribe_mailto="out@example.com"))
    deliver(mail(unsubscribe_mailto="out+%{{ contact.contact_id }}@example.com"))
    deliver(mail())
    first, second, third = sandbox.messages(service="smtp")
    names = ("List-Unsubscribe", "List-Unsubscribe-Post")
    assert headers(first, *names) == ["<http://example.com/u>, <mailto:out@example.com>", None]
    assert headers(second, *names) == ["<mailto:out%2B%25c-1@example.com>", None]
    assert headers(third, *names) == [None, None]


@pytest.mark.parametrize("name", HOSTILE)
def test_contact_text_in_the_url_is_one_value(sandbox: Sandbox, name: str):
    """Percent-encoded: it begins no parameter, no header and no other link."""
    channel = mail(unsubscribe_url=LINK)
    if name == "ten kilobytes":
        with pytest.raises(ContactFailure, match=r"^unsubscribe_url: "):
            deliver(channel, contact_id=HOSTILE[name])
        return
    deliver(channel, contact_id=HOSTILE[name])
    [received] = sandbox.messages(service="smtp")
    [line] = [line for line in received.raw["mail"].split("\r\n") if "List-Unsubscribe:" in line]
    url = line.removeprefix("List-Unsubscribe: <").removesuffix(">")
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert query == {"c": [HOSTILE[name]], "s": ["1"]}
    assert urlsplit(url).hostname == "example.com"


@pytest.mark.parametrize(
    "url",
    [
        "example.com/u",
        "ftp://example.com/u",
        "javascript:alert(1)",
        "https://",
        "https://example.com/a b",
        "https://example.com/ü",
        "https://example.com/>,<mailto:x@example.com",
        "https://user@example.org/",
        "{{ contact.link }}",
        "ftp://example.com/{{ contact.contact_id }}",
    ],
)
def test_an_address_that_no_header_can_hold_is_refused_at_once(url: str):
    [(location, message)] = problems(unsubscribe_url=url)
    assert location == ("unsubscribe_url",)
    assert "allowed: an http or https URL" in message


def test_a_contact_cannot_be_the_host(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match=r"^unsubscribe_url: it is not an http or https URL$"):
        deliver(mail(unsubscribe_url="https://{{ contact.note }}.example.com/"), note="evil.org/")
    assert sandbox.messages() == []


def test_without_a_value_for_the_url_nothing_is_sent(sandbox: Sandbox):
    with pytest.raises(ContactFailure, match=r"^unsubscribe_url: missing field: contact\.token$"):
        deliver(mail(unsubscribe_url="https://example.com/{{ contact.token }}"))
    assert sandbox.messages() == []


# The pages


def test_the_example_of_the_page_arrives(sandbox: Sandbox):
    """With both bodies, the layout around one, the file, and the way to unsubscribe."""
    section = (ROOT / "docs" / "channels.md").read_text().split("## email\n")[1]
    example = parse_document(section.split("```yaml\n")[1].split("```")[0], "channels.md").data
    fields = example["actions"][0]["email"]
    context = {"templates": ROOT / "include" / "templates"}
    channel = EmailMessage.model_validate(fields, context=context)
    deliver(channel, contact_id="a&b", first_name="<Zoë>", last_name="B.")
    [received] = sandbox.messages(service="smtp")
    assert received.fields["rcpt_to"] == ["ana@example.com", "archive@example.com"]
    assert received.html.startswith("<!doctype html>")
    assert "<p>Dear &lt;Zoë&gt; B.,</p>" in received.html
    assert received.text.startswith("Dear <Zoë>,")
    assert received.fields["attachments"] == [{"name": "benefits.csv", "content_type": "text/csv"}]
    assert headers(received, "List-Unsubscribe", "List-Unsubscribe-Post") == [
        "<https://example.com/unsubscribe?contact=a%26b>, <mailto:unsubscribe@example.com>",
        "List-Unsubscribe=One-Click",
    ]


# What a definition may say


def test_a_template_in_to_needs_an_audience():
    [(location, message)] = problems(to="{{ contact.work_email }}")
    assert location == ("audience",)
    assert "audience: contact" in message


@pytest.mark.parametrize(
    "fields", [{"audience": "team"}, {"to": "team@example.com", "audience": "contact"}]
)
def test_an_audience_that_contradicts_to_is_refused(fields):
    assert [location for location, _ in problems(**fields)] == [("audience",)]


def test_a_mail_needs_a_text_or_html():
    [(_, message)] = problems(text=None)
    assert "'text' and 'html'" in message


@pytest.mark.parametrize("field", ["to", "cc", "bcc", "from", "reply_to", "unsubscribe_mailto"])
def test_an_address_written_out_is_checked_at_once(field: str):
    [(location, message)] = problems(**{field: "nobody at home"})
    assert location == (field,)
    assert "'nobody at home'" in message


def test_all_problems_come_at_once():
    assert len(problems(text=None, to="nobody", audience="contact", reply_to="nobody")) == 4


def test_templates_stand_where_the_yaml_has_them():
    channel = mail(**{"from": "{{ contact.owner }} <a@example.com>"})
    assert [location for location, _ in channel.templates()] == [("from",), ("subject",), ("text",)]


# What goes wrong


def at(set_connection, port: int, **extra: object) -> EmailMessage:
    set_connection(
        "smtp_default",
        conn_type="smtp",
        host="127.0.0.1",
        port=port,
        extra={
            "disable_ssl": True,
            "disable_tls": True,
            "timeout": 10,
            "from_email": "segue@example.com",
            "retry_limit": 1,
            **extra,
        },
    )
    return mail()


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"rcpt": b"550 5.1.1 <ana@example.com> is unknown"}, ContactFailure),
        ({"rcpt": b"550 no such user, or no relay"}, UnprovenRefusal),
        ({"rcpt": b"554 5.7.1 Relay access denied"}, UnprovenRefusal),
        ({"rcpt": b"550 5.1.0 <shop@example.com>: Sender address rejected"}, UnprovenRefusal),
        ({"rcpt": b"550 5.4.5 Daily sending quota exceeded"}, UnprovenRefusal),
        ({"rcpt": b"552 5.2.2 mailbox full"}, ContactFailure),
        ({"rcpt": b"554 4.7.1 codes that disagree"}, UnprovenRefusal),
        ({"rcpt": b"450 4.2.1 <ana@example.com> try later"}, Deferral),
        ({"rcpt": b"451 4.3.0 lookup failure"}, TransientFailure),
        ({"rcpt": b"421 bye"}, TransientFailure),
        ({"rcpt": b"530 5.7.0 log in"}, ConnectionFailure),
        ({"mail": b"552 5.3.4 too big"}, UnprovenRefusal),
        ({"mail": b"553 5.7.1 not your sender"}, UnprovenRefusal),
        ({"mail": b"451 4.3.0 later"}, TransientFailure),
        ({"data": b"554 no"}, UnprovenRefusal),
        ({"data": b"451 later"}, TransientFailure),
        ({"content": b"552 too big"}, UnprovenRefusal),
        ({"content": b"554 5.6.0 ana@example.com: spam"}, UnprovenRefusal),
        ({"content": b"554 Message rejected: address not verified"}, UnprovenRefusal),
        ({"content": b"550 5.7.60 may not send as this sender"}, UnprovenRefusal),
        ({"content": b"554 5.2.2 mailbox full"}, ContactFailure),
        ({"content": b"451 4.3.0 later"}, TransientFailure),
        ({"content": b"199 what"}, OutcomeUnknown),
        ({"content": b"nonsense"}, OutcomeUnknown),
        ({"content": None}, OutcomeUnknown),
        ({"data": None}, TransientFailure),
        ({"rcpt": None}, TransientFailure),
        ({"greeting": None}, TransientFailure),
        ({"greeting": b"421 busy"}, TransientFailure),
        ({"greeting": b"554 no service for you"}, ConnectionFailure),
    ],
)
def test_what_a_reply_means(set_connection, replies, expected: type[Exception]):
    with mail_server(**replies) as port, pytest.raises(expected) as raised:
        deliver(at(set_connection, port))
    assert type(raised.value) is expected
    assert not re.search("ana|unknown>", str(raised.value))


def test_the_codes_of_a_reply_are_kept(set_connection):
    with mail_server(rcpt=b"550 5.1.1 nobody") as port, pytest.raises(ContactFailure) as raised:
        deliver(at(set_connection, port))
    assert str(raised.value) == "the mail server refuses the recipient: 550 5.1.1"


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [("reject-550@example.com", ContactFailure), ("reject-450@example.com", TransientFailure)],
)
def test_the_sandbox_refuses_recipients(sandbox: Sandbox, recipient: str, expected):
    with pytest.raises(expected):
        deliver(mail(), email=recipient)
    assert sandbox.messages() == []


def test_a_refusal_leaves_the_connection_usable(sandbox: Sandbox, monkeypatch):
    opened = []
    connect = outbox.open_connection
    monkeypatch.setattr(outbox, "open_connection", lambda name: opened.append(1) or connect(name))
    channel = mail()
    with channel.connect() as sender:
        for refused in ("reject-550@example.com", "reject-450@example.com"):
            with pytest.raises((ContactFailure, Deferral)):
                sender.send(channel.render(variables(email=refused)), key=KEY)
        for _ in range(3):
            sender.send(channel.render(variables()), key=KEY)
    assert len(sandbox.messages()) == 3
    assert len(opened) == 1


def test_a_connection_that_broke_is_opened_anew(sandbox: Sandbox):
    channel = mail()
    message = channel.render(variables())
    with channel.connect() as sender:
        sandbox.fault("smtp", "reset_after_effect")
        with pytest.raises(OutcomeUnknown):
            sender.send(message, key=KEY)
        sender.send(message, key=KEY)
        assert isinstance(sender, Outbox)
        idle = sender._idle.queue[-1].client
        assert isinstance(idle, smtplib.SMTP)
        idle.sock.shutdown(2)  # as a server does to those who idle
        sender.send(message, key=KEY)
    assert len(sandbox.messages()) == 3


def test_several_threads_send_at_once(sandbox: Sandbox):
    channel = mail()
    barrier = threading.Barrier(4, timeout=60)
    with channel.connect() as sender, ThreadPoolExecutor(4) as pool:

        def send(number: int) -> None:
            if number < 4:
                barrier.wait()
            sender.send(channel.render(variables(email=f"c{number}@example.com")), key=KEY)

        list(pool.map(send, range(40)))
    recipients = {message.to for message in sandbox.messages(service="smtp")}
    assert recipients == {f"c{number}@example.com" for number in range(40)}


def test_a_server_without_starttls_is_of_the_connection(set_connection):
    with mail_server() as port, pytest.raises(ConnectionFailure, match="disable_tls"):
        deliver(at(set_connection, port, disable_tls=False))


def test_a_connection_that_breaks_within_the_content_is_transient(set_connection):
    """A mail without its end is delivered by no server, so it may be sent again."""
    with broken_off() as port:
        channel = at(set_connection, port)
        with pytest.raises(TransientFailure, match="nothing was sent"):
            deliver(mail(text="word " * 2_000_000, connection=channel.connection))


def test_a_server_that_is_too_slow_is_given_nothing(sandbox: Sandbox, monkeypatch):
    """A call that outlasts its time must not send: others take it for over by then."""
    monkeypatch.setattr(smtp_conversation, "LONGEST_CALL", 8.0)
    with pytest.raises(TransientFailure, match="too slow; nothing was sent"):
        deliver(mail())
    assert sandbox.messages() == []


def test_a_timeout_that_a_call_has_no_time_for_is_of_the_connection(sandbox, set_connection):
    channel = at(set_connection, sandbox.smtp_port, timeout=61)
    with pytest.raises(ConnectionFailure, match="timeout in its extra is 61; allowed: up to 60"):
        deliver(channel)
    assert sandbox.messages() == []


def test_a_connection_that_cannot_be_used_is_of_the_connection(set_connection):
    with pytest.raises(ConnectionFailure, match="extra"):
        deliver(at(set_connection, 25, timeout="soon"))


def test_without_any_sender_the_connection_is_at_fault(sandbox: Sandbox, set_connection):
    with pytest.raises(ConnectionFailure, match="from_email"):
        deliver(at(set_connection, sandbox.smtp_port, from_email=None))
