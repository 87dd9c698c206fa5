"""Whatever is in the files, the settings and the arguments: one message, and no traceback."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.unit.cli.conftest import Home

# what is raised where nobody can catch it is printed to users as a traceback
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
COMMANDS = [
    ("validate",),
    ("test",),
    ("snapshots", "check", "customers", "2026-11-22"),
    ("plan", "welcome"),
    ("deliveries",),
    ("stop", "welcome", "--reason", "x"),
]
BINARY = bytes(range(256)) * 20


def _replaced(path, content: bytes) -> None:
    path.write_bytes(content)


def _as_folder(path) -> None:
    path.unlink()
    path.mkdir()


def _ledger(home: Home, content: bytes) -> None:
    _replaced(home.root / "segue.db", content)


def _state(home: Home) -> None:
    (home.root / "state").write_text("a file")


def _without(home: Home, folder: str) -> None:
    shutil.rmtree(home.include / folder)


def _foreign_ledger(home: Home) -> None:
    with sqlite3.connect(home.root / "segue.db") as database:
        database.execute("CREATE TABLE other (id INTEGER)")


BREAKAGES: dict[str, Callable[[Home], object]] = {
    "an empty home": lambda home: [_without(home, x) for x in ("directories", "segments")],
    "a folder for a directory": lambda h: _as_folder(h.include / "directories/customers.yaml"),
    "a folder for a segment": lambda h: _as_folder(h.include / "segments/gold.yaml"),
    "a folder for a workflow": lambda h: _as_folder(h.include / "workflows/welcome.yaml"),
    "a file for segments/": lambda h: (
        _without(h, "segments"),
        _replaced(h.include / "segments", b""),
    ),
    "a binary directory": lambda h: _replaced(h.include / "directories/customers.yaml", BINARY),
    "a binary segment": lambda h: _replaced(h.include / "segments/gold.yaml", BINARY),
    "a cut segment": lambda h: _replaced(
        h.include / "segments/gold.yaml", b"segment: gold\nmatch: {fi"
    ),
    "a NUL in a workflow": lambda h: _replaced(
        h.include / "workflows/welcome.yaml", b"workflow: \x00"
    ),
    "numbers without end": lambda h: h.define(
        "segments",
        "gold",
        f"segment: gold\ndirectory: customers\nmatch: {{field: tier, at_least: {'9' * 5000}}}\n",
    ),
    "numbers beyond floats": lambda h: h.define(
        "segments",
        "gold",
        f"segment: gold\ndirectory: customers\nmatch: {{field: tier, at_least: {'9' * 400}}}\n",
    ),
    "a binary table": lambda h: _replaced(h.snapshots / "2026-11-22/contacts.csv", BINARY),
    "a cut table": lambda h: _replaced(h.snapshots / "2026-11-22/contacts.csv", b'contact_id,"na'),
    "an empty table": lambda h: _replaced(h.snapshots / "2026-11-22/contacts.csv", b""),
    "a folder for a table": lambda h: _as_folder(h.snapshots / "2026-11-22/contacts.csv"),
    "a binary Parquet table": lambda h: (
        (h.snapshots / "2026-11-22/contacts.csv").unlink(),
        _replaced(h.snapshots / "2026-11-22/contacts.parquet", b"PAR1" + BINARY + b"PAR1"),
    ),
    "a file for the snapshots": lambda h: (shutil.rmtree(h.snapshots), _replaced(h.snapshots, b"")),
    "a file for a snapshot": lambda h: (
        shutil.rmtree(h.snapshots / "2026-11-22"),
        _replaced(h.snapshots / "2026-11-22", b""),
    ),
    "a ledger of text": lambda h: _ledger(h, b"this is no database\n" * 100),
    "a ledger of nothing": lambda h: _ledger(h, b""),
    "a cut ledger": lambda h: _ledger(h, b"SQLite format 3\x00" + BINARY),
    "another program's ledger": _foreign_ledger,
    "a folder for the ledger": lambda h: (h.root / "segue.db").mkdir(),
    "a file for the state": _state,
    "a file for the templates": lambda h: _replaced(h.include / "templates", b""),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_no_command_ends_with_a_traceback_whatever_the_files_are(
    segue, home, breakage, monkeypatch
):
    """``segue`` raises what its entry point does not foresee."""
    monkeypatch.chdir(home.root)
    BREAKAGES[breakage](home)
    for command in COMMANDS:
        answer = segue(*command)
        assert answer.code in (0, 1, 2), (command, answer)
        assert "Traceback" not in answer.err, (command, answer)
        assert answer.code == 0 or answer.out or answer.err, command


STRANGE = [
    "",
    "\n",
    "\x00",
    "\x1b[31m",
    "\udcff",
    "9" * 5000,
    "-1",
    "%s",
    "9999-12-31",
    "99999y",
    "{",
]
TAKES_TEXT = [
    ("validate", "--home"),
    ("snapshots", "check", "customers"),
    ("members", "gold", "--at"),
    ("explain", "gold"),
    ("deliveries", "--since"),
    ("retry", "welcome", "--yes", "--error"),
    ("suppress", "--reason", "x"),
    ("prune", "--dry-run", "--older-than"),
]


@pytest.mark.parametrize("command", TAKES_TEXT, ids=" ".join)
def test_no_argument_ends_with_a_traceback(segue, home, command, monkeypatch):
    monkeypatch.chdir(home.root)
    for argument in STRANGE:
        if "\x00" in argument and command == ("validate", "--home"):
            continue  # no process can be given one, and before click 8.4 a path with it is no path
        answer = segue(*command, argument)
        assert answer.code in (0, 1, 2), (argument, answer)
        assert "Traceback" not in answer.err, (argument, answer)


@pytest.mark.parametrize(
    "url",
    [
        "\x1b[31m",
        "\udcff",
        "/dev/null",
        "mysql://x",
        "a://b://c",
        "sqlite:////proc/x.db",
        "postgresql://[",
    ],
    ids=ascii,
)
def test_no_ledger_url_ends_with_a_traceback(segue, home, url, monkeypatch):
    monkeypatch.setenv("SEGUE_LEDGER", url)
    for command in (("validate",), ("deliveries",), ("stop", "welcome", "--reason", "x")):
        answer = segue(*command)
        assert answer.code in (0, 2), (command, answer)
    assert answer.code == 2
    assert "Error: " in answer.err


def test_streams_that_the_shell_closed_are_no_error(home):
    line = f"{sys.executable} -m segue.cli.main validate"
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        found = subprocess.run(f"{line} {closed}", shell=True, timeout=240, check=False)
        assert found.returncode == 0, closed
