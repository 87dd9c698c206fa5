"""Files that go with a mail: where they may lie, and what a mail has of them."""

from __future__ import annotations

import email
from email import policy
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from segue.channels.email import attachments
from segue.channels.email.message import EmailMessage
from segue.cli.editor_schema import definition_schema
from segue.errors import ConnectionFailure
from segue.sandbox.server import Sandbox
from segue.workflows.catalog import Catalog
from segue.workflows.validation import find_problems
from tests.unit.channels.support import deliver


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "include"
    for folder in ("attachments", "templates", "workflows"):
        (home / folder).mkdir(parents=True)
    (home / "attachments" / "terms.pdf").write_bytes(b"%PDF-1.7 \x00\xff\r\n.\r\n")
    (home / "attachments" / "Preise für Łódź.csv").write_text("preis\n1\n")
    (home / "templates" / "map.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.txt").write_text("secret")
    return home


def mail(home: Path, *names: object, **fields: object) -> EmailMessage:
    written = {"subject": "Hello", "text": "Dear friend", "attachments": list(names), **fields}
    return EmailMessage.model_validate(written, context={"templates": home / "templates"})


def test_files_arrive_byte_by_byte_under_their_names(sandbox: Sandbox, home: Path):
    deliver(mail(home, "terms.pdf", "Preise für Łódź.csv", "map.png", html="<p>Hi</p>"))
    [received] = sandbox.messages(service="smtp")
    found = email.message_from_string(received.raw["mail"], policy=policy.default)
    files = [
        (part.get_filename(), part.get_content_type(), part.get_payload(decode=True))
        for part in found.iter_attachments()
    ]
    assert files == [
        ("terms.pdf", "application/pdf", b"%PDF-1.7 \x00\xff\r\n.\r\n"),
        ("Preise für Łódź.csv", "text/csv", b"preis\n1\n"),
        ("map.png", "image/png", b"\x89PNG"),
    ]
    assert (received.text.strip(), received.html.strip()) == ("Dear friend", "<p>Hi</p>")


@pytest.mark.parametrize("name", ["a.eml", "a.gz", "a.unknown", "a"])
def test_what_is_no_plain_file_type_is_just_bytes(sandbox: Sandbox, home: Path, name: str):
    (home / "attachments" / name).write_bytes(b"x")
    deliver(mail(home, name))
    [received] = sandbox.messages(service="smtp")
    [file] = received.fields["attachments"]
    assert file == {"name": name, "content_type": "application/octet-stream"}


@pytest.mark.parametrize(
    "name",
    [
        *("absent.pdf", "../secret.txt", "../../secret.txt", "/etc/hostname", "", "."),
        *("link.txt", "linked/secret.txt", "terms.pdf\n", "terms.pdf\0", "{{ change }}.pdf", 7),
    ],
)
def test_only_files_of_the_two_folders_are_attached(home: Path, name: object):
    """Neither ``..`` nor a link nor a full path leads out, and what is not there is refused."""
    (home / "attachments" / "link.txt").symlink_to(home.parent / "secret.txt")
    (home / "attachments" / "linked").symlink_to(home.parent)
    with pytest.raises(ValidationError, match="allowed: a file in attachments/ or templates/"):
        mail(home, name)


def test_a_folder_of_definitions_may_itself_be_a_link(home: Path, tmp_path: Path):
    """As where a checkout is swapped by moving a link."""
    link = tmp_path / "current"
    link.symlink_to(home)
    assert mail(link, "terms.pdf").attachments[0].size == 16


def test_without_definitions_there_is_nothing_to_attach():
    fields = {"subject": "Hello", "text": "x", "attachments": ["terms.pdf"]}
    with pytest.raises(ValidationError, match="needs a folder of definitions"):
        EmailMessage.model_validate(fields)


def test_more_than_the_limit_is_refused(home: Path):
    (home / "attachments" / "a.bin").write_bytes(b"x" * 6_000_000)
    (home / "attachments" / "b.bin").write_bytes(b"x" * 4_000_001)
    with pytest.raises(ValidationError, match="10,000,001 bytes in all; allowed: up to 10,000,000"):
        mail(home, "a.bin", "b.bin")


def test_a_file_that_is_gone_by_then_stops_the_pass(sandbox: Sandbox, home: Path):
    """It is nobody's fault who is written to: they stay to be sent."""
    channel = mail(home, "terms.pdf")
    (home / "attachments" / "terms.pdf").unlink()
    with pytest.raises(ConnectionFailure, match=r"'terms\.pdf': No such file"):
        deliver(channel)
    assert sandbox.messages() == []


def test_files_that_grew_stop_the_pass(sandbox: Sandbox, home: Path, monkeypatch):
    channel = mail(home, "terms.pdf")
    monkeypatch.setattr(attachments, "LARGEST", 15)
    with pytest.raises(ConnectionFailure, match="more than 15 bytes"):
        deliver(channel)


def test_a_message_names_its_files(home: Path):
    """Also in the digest that the ledger keeps, and in what ``segue test`` compares."""
    channel = mail(home, "terms.pdf", to="team@example.com")
    assert channel.render({})["attachments"] == ["terms.pdf"]
    assert channel.model_dump(mode="json")["attachments"] == ["terms.pdf"]
    assert "attachments" not in mail(home, to="team@example.com").render({})


WORKFLOW = """\
workflow: welcome
segment: everybody
changes: [added]
start: 2026-11-01
actions:
  - id: welcome
    email:
      subject: Hello
      html: "{% extends 'layouts/absent.html' %}"
      attachments:
        - terms.pdf
        - absent.pdf
"""


def test_a_missing_file_or_layout_is_found_by_validation_with_its_line(home: Path):
    (home / "workflows" / "welcome.yaml").write_text(WORKFLOW)
    found = {
        problem.line: problem.message
        for problem in find_problems(Catalog(home))
        if problem.path.startswith("actions")
    }
    assert found == {
        9: "the template 'layouts/absent.html' does not exist in templates/",
        12: "found 'absent.pdf'; allowed: a file in attachments/ or templates/",
    }


def test_editors_know_an_attachment_as_text():
    schema = str(definition_schema("workflow"))
    assert "The name of a file in attachments/" in schema
    assert TypeAdapter(attachments.Attached).json_schema()["type"] == "string"
