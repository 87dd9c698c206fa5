"""Processes that ask for memberships of one snapshot at the same time: one of them judges."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.segments.home import Home
from tests.unit.segments.membership.judging import DAY, NAMES

MEMBERS = {"gold": "gold a b", "silver": "silver c", "rich": "rich b c"}
PROCESSES = [*NAMES, *NAMES[:2]]


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "home"
    home = Home(root)
    for name in ("gold", "silver"):
        home.segment(name, f"match: {{field: tier, equals: {name}}}")
    home.segment("rich", "match: {field: points, at_least: 6}")
    home.snapshot(DAY, contacts="contact_id,tier,points a,gold,5 b,gold,7 c,silver,9")
    return root


def start(root: Path, ledger) -> list[subprocess.Popen[str]]:
    url = ledger.engine.url.render_as_string(hide_password=False)
    module = "tests.unit.segments.membership.judging"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return [
        subprocess.Popen(
            [sys.executable, "-m", module, str(root), url, name],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in PROCESSES
    ]


def passes(root: Path) -> list[int]:
    file = root / "passes"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def test_one_process_judges_for_all_that_ask_at_once(root, ledger):
    processes = start(root, ledger)
    answers = [process.communicate(timeout=120)[0].strip() for process in processes]
    assert answers == [MEMBERS[name] for name in PROCESSES]
    assert len(passes(root)) == 1


def test_another_goes_on_where_the_judge_is_killed(root, ledger):
    (root / "stall").touch()
    processes = start(root, ledger)
    for _ in range(1200):
        if passes(root):
            break
        time.sleep(0.1)
    [judge] = passes(root)
    time.sleep(0.5)  # the others wait, and begin no pass of their own
    assert passes(root) == [judge]
    os.kill(judge, signal.SIGKILL)
    ends = {process.pid: process.communicate(timeout=120)[0].strip() for process in processes}
    assert ends.pop(judge) == ""
    expected = {p.pid: MEMBERS[n] for p, n in zip(processes, PROCESSES, strict=True)}
    assert ends == {pid: answer for pid, answer in expected.items() if pid != judge}
    assert len(passes(root)) == 2
