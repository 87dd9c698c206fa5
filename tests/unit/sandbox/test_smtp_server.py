from __future__ import annotations

import smtplib
from email.message import EmailMessage

import pytest

from segue.sandbox import smtp_server
from segue.sandbox.server import Sandbox
from tests.unit.channels.support import PATIENCE, messages_of


def mail(to: str = "ada@example.com", subject: str = "Hello") -> EmailMessage:
    """Make a mail with a text, an HTML part and an attachment."""
    message = EmailMessage()
    message["From"] = "Segue <segue@example.org>"
    message["To"] = to
    message["Subject"] = subject
    message["Message-ID"] = "<abc@example.org>"
    message.set_content("Grüße\n")
    message.add_alternative("<p>Grüße</p>\n", subtype="html")
    message.add_attachment(b"x", maintype="text", subtype="csv", filename="list.csv")
    return message


class Impatient(smtplib.SMTP):
    """A client that waits for every reply but the one to its mail's last line."""

    def send(self, s: str | bytes) -> None:
        super().send(s)
        if s[-5:] in (b"\r\n.\r\n", "\r\n.\r\n"):
            self.sock.settimeout(0.5)


def impatient(sandbox: Sandbox) -> smtplib.SMTP:
    return Impatient("127.0.0.1", sandbox.smtp_port, timeout=PATIENCE)


def connect(sandbox: Sandbox, timeout: float = PATIENCE) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=timeout)


def test_an_accepted_mail_is_kept_raw_and_parsed(sandbox: Sandbox) -> None:
    """Envelope, headers, both bodies and the raw mail are in the inbox, once."""
    with connect(sandbox) as smtp:
        smtp.send_message(mail(subject="Grüße aus Köln"))

    [message] = sandbox.messages(service="smtp")
    assert (message.kind, message.to, message.subject) == (
        "mail",
        "ada@example.com",
        "Grüße aus Köln",
    )
    assert (message.text, message.html) == ("Grüße\n", "<p>Grüße</p>\n")
    assert message.fields["message_id"] == "<abc@example.org>"
    assert message.fields["mail_from"] == "segue@example.org"
    assert ["To", "ada@example.com"] in message.fields["headers"]
    assert message.fields["attachments"] == [{"name": "list.csv", "content_type": "text/csv"}]
    assert "Message-ID: <abc@example.org>" in message.raw["mail"]


def test_a_mail_with_broken_headers_is_kept(sandbox: Sandbox) -> None:
    """Headers that cannot be taken apart are shown as they came."""
    broken = (
        b"From: a@[\r\nSubject: still there\r\nContent-Type: text/plain; charset=klingon\r\n\r\nx"
    )
    with connect(sandbox) as smtp:
        smtp.sendmail("segue@example.org", ["ada@example.com"], broken)

    [message] = sandbox.messages()
    assert (message.subject, message.text.strip()) == ("still there", "x")
    assert message.fields["from"] == "a@["


def test_one_mail_to_several_recipients_is_one_message(sandbox: Sandbox) -> None:
    """The envelope's recipients are kept together, also those no header names."""
    with connect(sandbox) as smtp:
        smtp.send_message(mail(), to_addrs=["ada@example.com", "bob@example.com"])

    [message] = sandbox.messages()
    assert message.fields["rcpt_to"] == ["ada@example.com", "bob@example.com"]


@pytest.mark.parametrize(("name", "code"), [("reject-550", 550), ("reject-450", 450)])
def test_recipients_are_refused_by_convention(sandbox: Sandbox, name: str, code: int) -> None:
    """The local part names the reply, and nothing is kept."""
    with connect(sandbox) as smtp, pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        smtp.send_message(mail(to=f"{name}@example.com"))

    assert refused.value.recipients[f"{name}@example.com"][0] == code
    assert sandbox.messages() == []


def test_a_mail_goes_to_the_recipients_that_were_accepted(sandbox: Sandbox) -> None:
    """One refused recipient does not keep the mail from the others."""
    with connect(sandbox) as smtp:
        refused = smtp.send_message(mail(to="ada@example.com, reject-550@example.com"))

    assert list(refused) == ["reject-550@example.com"]
    assert sandbox.messages()[0].fields["rcpt_to"] == ["ada@example.com"]


def test_logging_in_is_optional_but_a_wrong_password_is_refused(sandbox: Sandbox) -> None:
    """The one login works, any other gets 535."""
    with connect(sandbox) as smtp:
        smtp.login(smtp_server.USER, smtp_server.PASSWORD)
        smtp.send_message(mail())
    with connect(sandbox) as smtp, pytest.raises(smtplib.SMTPAuthenticationError) as refused:
        smtp.login(smtp_server.USER, "wrong")

    assert refused.value.smtp_code == 535
    assert len(sandbox.messages()) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_logging_in_can_be_required() -> None:
    """With smtp_auth_required, a mail without a login is refused with 530."""
    with Sandbox(smtp_auth_required=True) as sandbox:
        with connect(sandbox) as smtp, pytest.raises(smtplib.SMTPSenderRefused) as refused:
            smtp.send_message(mail())
        with connect(sandbox) as smtp:
            smtp.login(smtp_server.USER, smtp_server.PASSWORD)
            smtp.send_message(mail())

        assert refused.value.smtp_code == 530
        assert len(sandbox.messages()) == 1


def test_a_refusal_on_purpose_keeps_nothing(sandbox: Sandbox) -> None:
    """rate_limited and server_error answer DATA with 451; the next mail is accepted."""
    sandbox.fault("smtp", "rate_limited")
    sandbox.fault("smtp", "server_error")
    for _ in range(2):
        with connect(sandbox) as smtp, pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.send_message(mail())
        assert refused.value.smtp_code == 451

    with connect(sandbox) as smtp:
        smtp.send_message(mail())
    assert len(sandbox.messages()) == 1


def test_forbidden_on_purpose_refuses_the_message(sandbox: Sandbox) -> None:
    """As a filter does once it has read it; the next mail is accepted."""
    sandbox.fault("smtp", "forbidden", match="dislikes")
    with connect(sandbox) as smtp:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.send_message(mail(subject="What it dislikes"))
        assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (554, b"5.7.1")
        smtp.send_message(mail())
    assert len(sandbox.messages()) == 1


def test_unauthorized_on_purpose_refuses_the_right_login(sandbox: Sandbox) -> None:
    """The fault answers AUTH with 535, and MAIL with 530 where nobody logs in."""
    sandbox.fault("smtp", "unauthorized", times=2)
    with connect(sandbox) as smtp:
        smtp.ehlo()
        smtp.esmtp_features["auth"] = "PLAIN"  # or smtplib goes on to the next mechanism
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login(smtp_server.USER, smtp_server.PASSWORD)
    with connect(sandbox) as smtp, pytest.raises(smtplib.SMTPSenderRefused):
        smtp.send_message(mail())

    assert sandbox.messages() == []


@pytest.mark.parametrize(
    ("fault", "kept"), [("reset", 0), ("reset_after_effect", 1), ("time_out_after_effect", 1)]
)
def test_a_lost_answer_may_or_may_not_mean_a_kept_mail(
    sandbox: Sandbox, fault: str, kept: int
) -> None:
    """The client sees a broken connection either way; only the inbox knows."""
    sandbox.fault("smtp", fault, match="Hello")
    with pytest.raises(smtplib.SMTPServerDisconnected), impatient(sandbox) as smtp:
        smtp.send_message(mail())

    assert len(messages_of(sandbox, "smtp", kept)) == kept
