"""Mail, sent to the sandbox's server and to servers that misbehave."""

from __future__ import annotations

import email
import re
import smtplib
import threading
from concurrent.futures import ThreadPoolExecutor
from email import policy
from email.message import EmailMessage as Mail

import pytest
from pydantic import ValidationError

from segue.channels import email_message
from segue.channels.email_message import EmailMessage, Outbox
from segue.channels.mailboxes import Mailbox, read_mailbox
from segue.delivery.channel import Audience, NoAddress
from segue.documents import ProblemsFound
from segue.errors import ConnectionFailure, ContactFailure, OutcomeUnknown, TransientFailure
from segue.sandbox.server import Sandbox
from segue.sandbox.store import Message
from segue.workflows.templates import Fields
from tests.unit.channels.support import (
    HOSTILE,
    KEY,
    ONE_LINE,
    closed_port,
    deliver,
    mail_server,
    variables,
)


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


def test_a_mail_arrives_field_by_field(sandbox: Sandbox):
    receipt = deliver(
        mail(
            **{"from": "Zoë, of the Shop <shop@example.com>"},
            reply_to="Care <care@example.com>",
            subject="Hello {{ contact.first_name }}",
            text="Dear {{ contact.first_name }},\n",
            html="<p>Dear {{ contact.first_name }},</p>",
        ),
        first_name="Łucja",
    )
    [received] = sandbox.messages(service="smtp")
    found = parsed(received)
    assert received.fields["mail_from"] == "shop@example.com"
    assert received.fields["rcpt_to"] == ["ana@example.com"]
    assert found["to"] == "ana@example.com"
    assert found["from"].addresses[0].display_name == "Zoë, of the Shop"
    assert found["reply-to"] == "Care <care@example.com>"
    assert found["subject"] == "Hello Łucja"
    assert found["message-id"] == f"<{KEY}@segue.example.com>"
    assert found["auto-submitted"] == "auto-generated"
    assert found["date"].datetime.utcoffset().total_seconds() == 0
    assert found.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]
    assert (received.text.rstrip(), received.html.rstrip()) == ("Dear Łucja,", "<p>Dear Łucja,</p>")
    assert receipt.external_id == found["message-id"]
    assert receipt.results == {"message_id": found["message-id"]}
    assert receipt.url is None


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


@pytest.mark.parametrize("name", HOSTILE)
def test_contact_text_is_data_in_text_and_html(sandbox: Sandbox, name: str):
    deliver(
        mail(text="{{ contact.first_name }}!", html="<p>{{ contact.first_name }}</p>"),
        first_name=HOSTILE[name],
    )
    [received] = sandbox.messages(service="smtp")
    assert received.text.rstrip("\n") == HOSTILE[name].replace("\r\n", "\n") + "!"
    inner = received.html.strip().removeprefix("<p>").removesuffix("</p>")
    assert not set("<>\"'") & set(inner)
    assert received.fields["rcpt_to"] == ["ana@example.com"]


@pytest.mark.parametrize("name", ONE_LINE)
def test_contact_text_is_data_in_the_subject(sandbox: Sandbox, name: str):
    deliver(mail(subject="To {{ contact.first_name }}"), first_name=HOSTILE[name])
    [received] = sandbox.messages(service="smtp")
    assert received.subject == f"To {HOSTILE[name]}"
    assert received.fields["rcpt_to"] == ["ana@example.com"]


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


@pytest.mark.parametrize("field", ["to", "from", "reply_to"])
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
            "timeout": 1,
            "from_email": "segue@example.com",
            "retry_limit": 0,
            **extra,
        },
    )
    return mail()


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"rcpt": b"550 5.1.1 <ana@example.com> is unknown"}, ContactFailure),
        ({"rcpt": b"450 4.2.1 <ana@example.com> try later"}, TransientFailure),
        ({"rcpt": b"421 bye"}, TransientFailure),
        ({"rcpt": b"530 5.7.0 log in"}, ConnectionFailure),
        ({"mail": b"552 5.3.4 too big"}, ContactFailure),
        ({"mail": b"553 5.7.1 not your sender"}, ConnectionFailure),
        ({"mail": b"451 4.3.0 later"}, TransientFailure),
        ({"data": b"554 no"}, ContactFailure),
        ({"data": b"451 later"}, TransientFailure),
        ({"content": b"552 too big"}, ContactFailure),
        ({"content": b"554 5.6.0 ana@example.com: spam"}, ContactFailure),
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
    connect = email_message.open_connection
    monkeypatch.setattr(
        email_message, "open_connection", lambda name: opened.append(1) or connect(name)
    )
    channel = mail()
    with channel.connect() as sender:
        with pytest.raises(ContactFailure):
            sender.send(channel.render(variables(email="reject-550@example.com")), key=KEY)
        for _ in range(3):
            sender.send(channel.render(variables()), key=KEY)
    assert len(sandbox.messages()) == 3
    assert len(opened) == 1


@pytest.mark.parametrize("fault", ["reset", "reset_after_effect", "time_out_after_effect"])
def test_a_lost_answer_is_unknown_and_never_sent_twice(sandbox: Sandbox, fault: str):
    options = {"delay": 3} if "time_out" in fault else {"match": "Dear"}
    sandbox.fault("smtp", fault, **options)
    with pytest.raises(OutcomeUnknown):
        deliver(mail())
    assert len(sandbox.messages()) == (0 if fault == "reset" else 1)


def test_a_connection_that_broke_is_opened_anew(sandbox: Sandbox):
    channel = mail()
    message = channel.render(variables())
    with channel.connect() as sender:
        sandbox.fault("smtp", "reset_after_effect")
        with pytest.raises(OutcomeUnknown):
            sender.send(message, key=KEY)
        sender.send(message, key=KEY)
        assert isinstance(sender, Outbox)
        idle = sender._idle.queue[0]._smtp_client
        assert isinstance(idle, smtplib.SMTP)
        idle.sock.shutdown(2)  # as a server does to those who idle
        sender.send(message, key=KEY)
    assert len(sandbox.messages()) == 3


def test_several_threads_send_at_once(sandbox: Sandbox):
    channel = mail()
    barrier = threading.Barrier(4, timeout=5)
    with channel.connect() as sender, ThreadPoolExecutor(4) as pool:

        def send(number: int) -> None:
            if number < 4:
                barrier.wait()
            sender.send(channel.render(variables(email=f"c{number}@example.com")), key=KEY)

        list(pool.map(send, range(40)))
    recipients = {message.to for message in sandbox.messages(service="smtp")}
    assert recipients == {f"c{number}@example.com" for number in range(40)}


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_wrong_password_is_of_the_connection(set_connection):
    with Sandbox(smtp_auth_required=True) as sandbox:
        for password, expected in (("wrong", ConnectionFailure), ("sandbox", None)):
            channel = at(set_connection, sandbox.smtp_port)
            set_connection(
                "smtp_default",
                conn_type="smtp",
                host="127.0.0.1",
                port=sandbox.smtp_port,
                login="sandbox",
                password=password,
                extra={"disable_ssl": True, "disable_tls": True, "from_email": "a@example.com"},
            )
            if expected is None:
                deliver(channel)
            else:
                with pytest.raises(expected, match="535"):
                    deliver(channel)
        assert len(sandbox.messages()) == 1


def test_a_refused_connection_is_transient(set_connection):
    with pytest.raises(TransientFailure, match="nothing was sent"):
        deliver(at(set_connection, closed_port()))


def test_a_server_without_tls_is_of_the_connection(set_connection):
    with mail_server() as port, pytest.raises(ConnectionFailure, match="secure connection"):
        deliver(at(set_connection, port, disable_ssl=False))


def test_a_server_without_starttls_is_of_the_connection(set_connection):
    with mail_server() as port, pytest.raises(ConnectionFailure, match="disable_tls"):
        deliver(at(set_connection, port, disable_tls=False))


def test_an_unknown_host_is_of_the_connection(set_connection):
    extra = {"disable_ssl": True, "disable_tls": True}
    set_connection("smtp_default", conn_type="smtp", host="nobody.invalid", port=25, extra=extra)
    with pytest.raises(ConnectionFailure, match="unknown"):
        deliver(mail())


def test_a_connection_that_does_not_exist_is_of_the_connection():
    with pytest.raises(ConnectionFailure, match="'absent'"):
        mail(connection="absent").connect()


def test_a_connection_that_cannot_be_used_is_of_the_connection(set_connection):
    with pytest.raises(ConnectionFailure, match="extra"):
        deliver(at(set_connection, 25, timeout="soon"))


def test_without_any_sender_the_connection_is_at_fault(sandbox: Sandbox, set_connection):
    with pytest.raises(ConnectionFailure, match="from_email"):
        deliver(at(set_connection, sandbox.smtp_port, from_email=None))
