"""What ``make demo`` and ``make up`` start, and which days they show."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from datetime import date, timedelta

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from rich.console import Console

from segue.demo import run
from segue.sandbox.server import Sandbox
from segue.workflows.catalog import Catalog


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


def test_settings_that_are_ignored_are_named_without_what_they_say(monkeypatch):
    """They may hold a password."""
    monkeypatch.setenv("SEGUE_LEDGER", "postgresql://segue:secret@production/segue")
    monkeypatch.setenv("SEGUE_HOME", "mine")
    printed = io.StringIO()
    run._tell_of_own_settings(Console(file=printed, width=200))
    assert "SEGUE_HOME, SEGUE_LEDGER" in printed.getvalue()
    assert "secret" not in printed.getvalue()


def test_the_demo_leaves_the_newest_day_to_up():
    days = run.days_shown(date(2027, 3, 2))
    assert days == [date(2027, 2, day) for day in (25, 26, 27, 28)] + [date(2027, 3, 1)]


def test_a_backfill_of_any_five_days_of_a_year_has_a_run_for_each():
    """Whatever the offset of the directory's zone is on that day, and on the days around it."""
    catalog = Catalog(run.BUNDLE_ROOT / "include")
    workflows = [catalog.workflow(name) for name in catalog.names("workflows")]
    zones = {catalog.directory(name).timezone for name in catalog.names("directories")}
    year = [date(2027, 1, 1) + timedelta(days=n) for n in range(365)]
    for schedule, zone in {(workflow.schedule, zone) for workflow in workflows for zone in zones}:
        starts = interval_starts(CronDataIntervalTimetable(schedule, zone), year[0], year[-1])
        for days in (run.days_shown(newest) for newest in year[run.DAYS :]):
            first, last = run.bounds_of(days)
            in_bounds = [
                start.in_timezone(zone).date() for start in starts if first <= start <= last
            ]
            assert in_bounds == days


def interval_starts(timetable, first, last):
    """Return when the intervals from one day to another begin, as Airflow has them."""
    earliest = pendulum.datetime(first.year, first.month, first.day)
    latest = pendulum.datetime(last.year, last.month, last.day).end_of("day")
    info, starts = None, []
    while True:
        info = timetable.next_dagrun_info(
            last_automated_data_interval=info.data_interval if info else None,
            restriction=TimeRestriction(earliest, latest, catchup=True),
        )
        if info is None:
            return starts
        starts.append(info.data_interval.start)


def test_without_a_terminal_each_step_is_a_line():
    console = Console(file=io.StringIO(), width=80)
    with run._steps(console) as show:
        show("Writing the sample's snapshots")
        for done in (0, 0, 1, 1, 2):
            show("DAG runs", done, 2)
    assert console.file.getvalue().splitlines() == [
        "Writing the sample's snapshots",
        "DAG runs 0/2",
        "DAG runs 1/2",
        "DAG runs 2/2",
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_airflow_when_it_is_told_to_even_in_the_background(number):
    """A shell starts a background job with SIGINT ignored."""
    code = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from segue.demo import __main__ as entry, run\n"
        "def wait():\n    print('up', flush=True); time.sleep(600)\n"
        "run.demo = wait\nraise SystemExit(entry.main([]))"
    )
    command = [sys.executable, "-c", code]
    calm = {**os.environ, "PYTHONWARNINGS": "ignore"}  # of requests, about what is beside it
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=calm
    ) as process:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert (process.wait(120), process.stderr.read()) == (130, b"stopped\n")
