"""A small team's folder of definitions and snapshots, and the command line over it."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from segue.cli import main as cli

DIRECTORY = """
directory: customers
snapshots: ../snapshots
complete_marker: _SUCCESS
"""
SEGMENT = """
segment: gold
directory: customers
match: {field: tier, equals: gold}
"""
WORKFLOW = """
workflow: welcome
segment: gold
changes: [added, removed, opted_out]
schedule: "0 6 * * *"
start: 2026-11-21
conditions: {field: phone, is_set: true}
actions:
  - id: alert
    after: ticket
    if: {field: country, not_equals: fr}
    slack_message: {channel: "#gold", text: "{{ contact.contact_id }}: {{ results.ticket.url }}"}
  - id: ticket
    zendesk_ticket: {subject: "Call {{ contact.name }}", comment: "on {{ contact.phone }}"}
  - id: mail
    email: {from: shop@example.com, subject: Welcome, text: "Dear {{ contact.name }}"}
policies: {max_age: null}
"""
COLUMNS = "contact_id,name,email,phone,tier,country,unsubscribed"
FIRST = """
c1,Ann,ann@example.com,+1,gold,us,no
c2,Bob,bob@example.com,+2,silver,us,no
c3,Cid,cid@example.com,+3,gold,us,no
c4,Dee,dee@example.com,+4,gold,us,no
c5,Eve,eve@example.com,,silver,us,no
c6,Fay,fay@example.com,+6,silver,fr,no
c7,,gus@example.com,+7,silver,us,no
c8,Hal,not an address,+8,silver,us,no
"""
# c2, c5, c6, c7 and c8 turned gold, c3 opted out, c4 was deleted
SECOND = """
c1,Ann,ann@example.com,+1,gold,us,no
c2,Bob,bob@example.com,+2,gold,us,no
c3,Cid,cid@example.com,+3,gold,us,yes
c5,Eve,eve@example.com,,gold,us,no
c6,Fay,fay@example.com,+6,gold,fr,no
c7,,gus@example.com,+7,gold,us,no
c8,Hal,not an address,+8,gold,us,no
"""


@dataclass(frozen=True)
class Home:
    """A folder of definitions, with its snapshots beside it."""

    root: Path

    @property
    def include(self) -> Path:
        """What SEGUE_HOME names."""
        return self.root / "include"

    @property
    def snapshots(self) -> Path:
        """The root of the directory's snapshots."""
        return self.root / "include" / "snapshots"

    def define(self, kind: str, name: str, text: str) -> Path:
        """Write one definition and return its file."""
        path = self.include / kind / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
        return path

    def snapshot(self, key: str, rows: str, columns: str = COLUMNS) -> Path:
        """Write a complete snapshot whose contacts are lines of CSV."""
        folder = self.snapshots / key
        folder.mkdir(parents=True, exist_ok=True)
        text = f"{columns}\n{rows.lstrip(chr(10))}"
        (folder / "contacts.csv").write_bytes(text.encode())
        (folder / "_SUCCESS").touch()
        return folder

    def files(self) -> dict[str, bytes]:
        """Return the content of every file there is, to show that nothing was written."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in found}


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stdout, without trailing blanks."""
        return [line.rstrip() for line in self.out.splitlines()]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two days' snapshots, a segment and a workflow; no ledger yet."""
    found = Home(tmp_path)
    found.define("directories", "customers", DIRECTORY)
    found.define("segments", "gold", SEGMENT)
    found.define("workflows", "welcome", WORKFLOW)
    found.snapshot("2026-11-21", FIRST)
    found.snapshot("2026-11-22", SECOND)
    monkeypatch.setenv("SEGUE_HOME", str(found.include))
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SEGUE_NAMESPACE", "test")
    monkeypatch.delenv("COLUMNS", raising=False)
    return found


@pytest.fixture
def segue(home, monkeypatch, capsys):
    """Run the command line as its entry point does, errors and all."""

    root = logging.getLogger()

    def run(*arguments: str) -> Answer:
        # a command is a process of its own: what Airflow arranged for an earlier test is not there
        streams = {handler: getattr(handler, "stream", None) for handler in root.handlers}
        alive = [each for each, stream in streams.items() if not getattr(stream, "closed", False)]
        monkeypatch.setattr(root, "handlers", alive)
        monkeypatch.setattr(sys, "argv", ["segue", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Answer(ended.value.code, printed.out, printed.err)

    return run
