"""The command line over the sample that ships with Segue."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from segue.sample.generator import generate

INCLUDE = Path(__file__).parents[3] / "include"
FIRST, DAYS = date(2026, 11, 1), 3


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The shipped definitions with a few days of a smaller sample."""
    include = tmp_path_factory.mktemp("sample") / "include"
    for folder in ("directories", "segments", "workflows", "templates"):
        shutil.copytree(INCLUDE / folder, include / folder)
    generate(include / "sample" / "customers", first=FIRST, days=DAYS, contacts=1000, seed=7)
    return include


@pytest.fixture
def segue(segue, sample, monkeypatch):
    """Run the command line over the sample."""
    monkeypatch.setenv("SEGUE_HOME", str(sample))
    return segue


def test_the_shipped_definitions_are_sound(segue):
    assert segue("validate").code == 0


def test_members_differ_by_the_changes(segue):
    def rows(*arguments: str) -> list[dict[str, str]]:
        answer = segue(*arguments, "--format", "csv")
        assert answer.code == 0, answer.err
        return list(csv.DictReader(io.StringIO(answer.out)))

    first, second = (date.fromordinal(FIRST.toordinal() + n).isoformat() for n in (0, 1))
    name = "active_customers"
    before, after = (
        {row["contact_id"] for row in rows("members", name, "--at", key)} for key in (first, second)
    )
    changes = rows("changes", name, "--from", first, "--to", second)
    added = {row["contact_id"] for row in changes if row["change"] == "added"}
    removed = {row["contact_id"] for row in changes if row["change"] == "removed"}
    assert (added, removed) == (after - before, before - after)
    assert added


@pytest.mark.parametrize("workflow", ["escalate_at_risk", "report_opt_outs", "welcome_high_value"])
def test_every_workflow_can_be_planned(segue, workflow):
    answer = segue("plan", workflow, "--format", "json")
    assert answer.code == 0, answer.err
    outcomes = {a["outcome"] for change in json.loads(answer.out) for a in change["actions"]}
    assert outcomes <= {"send", "skipped"}


def test_a_table_fits_its_terminal_and_keeps_ids_whole(sample):
    """On a terminal of 60 columns lines are folded, never cut."""
    line = [sys.executable, "-m", "segue.cli.main", "members", "active_customers"]
    environment = {**os.environ, "SEGUE_HOME": str(sample), "COLUMNS": "60", "TERM": "xterm"}
    printed = _on_a_terminal(line, environment)
    assert "…" not in printed.replace(" …", "")  # but for the progress line
    csv_line = [*line, "--format", "csv"]
    found = subprocess.run(csv_line, capture_output=True, text=True, env=environment, check=True)
    ids = [row.split(",")[0] for row in found.stdout.splitlines()[1:]]
    assert [one for one in ids if one not in printed] == []


def _on_a_terminal(line: list[str], environment: dict[str, str]) -> str:
    master, terminal = pty.openpty()
    process = subprocess.Popen(line, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    chunks = []
    try:
        while chunk := os.read(master, 65536):
            chunks.append(chunk)
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(master)
    assert process.wait(timeout=120) == 0
    return b"".join(chunks).decode()
