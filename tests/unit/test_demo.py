"""What ``make demo`` and ``make up`` start, and which days they show."""

from __future__ import annotations

from datetime import date

import pytest

from segue.demo import run
from segue.sandbox.server import Sandbox


@pytest.fixture
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("scheduled", [False, True])
def test_neither_catches_up_and_only_up_has_schedules(sandbox, tmp_path, monkeypatch, scheduled):
    """Whatever the user's own settings are: a workflow's start may be years ago."""
    monkeypatch.setattr(run, "HOME", tmp_path)
    monkeypatch.setenv("SEGUE_CATCH_UP", "true")
    monkeypatch.setenv("SEGUE_LEDGER", "postgresql://production/segue")
    environment = run._airflow(sandbox, port=0, scheduled=scheduled).environment
    assert environment["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == str(scheduled)
    assert (environment["SEGUE_CATCH_UP"], environment["SEGUE_LEDGER"]) == ("false", "")


def test_the_demo_leaves_the_newest_day_to_up():
    days = run.days_shown(date(2027, 3, 2))
    assert days == [date(2027, 2, day) for day in (25, 26, 27, 28)] + [date(2027, 3, 1)]
