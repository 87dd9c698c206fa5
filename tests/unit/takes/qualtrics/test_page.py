"""The page on Qualtrics: its definitions are valid, its take works, its segment has members."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from segue.sandbox.vendors.qualtrics_api import generated

PAGE = Path(__file__).parents[4] / "docs" / "snapshots.md"
SECTION = PAGE.read_text().split("## Taken from Qualtrics")[1].split("\n## ")[0]
ROWS = re.compile(r"^(\w+: \d+ rows)$", re.MULTILINE)
SEGUE = (sys.executable, "-c", "from segue.cli.main import main; main()")


def run(*arguments: str) -> tuple[str, Sequence[str]]:
    """Return what a command says, and the rows of tables that it tells of."""
    done = subprocess.run([*SEGUE, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, ROWS.findall(done.stderr)


def test_the_page_s_directory_is_taken(tmp_path, xm, connection, set_connection, monkeypatch):
    for name, text in re.findall(r"```yaml\n# include/(\S+)\n(.*?)```", SECTION, re.DOTALL):
        path = tmp_path / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    [output] = re.findall(r"\$ segue take xm --dry-run\n(.*?)```", SECTION, re.DOTALL)
    set_connection("qualtrics_default", **connection)
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "include"))
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    assert "SEGUE_PROFILE" not in os.environ
    assert run("take", "xm", "--dry-run")[1] == ROWS.findall(output)
    assert run("take", "xm")[0].splitlines()[-1].startswith("snapshot 20")
    members = csv.DictReader(run("members", "gold_in_qualtrics", "--format", "csv")[0].split("\n"))
    made = [generated.contact_at("POOL_of200", f"CID_200x{number:09}") for number in range(200)]
    assert {one["contact_id"] for one in members} == {
        one["contactId"] for one in made if one["embeddedData"].get("tier") == "gold"
    }
