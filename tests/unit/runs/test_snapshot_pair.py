"""What a run waits for, how long, and what it goes on with."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segue.errors import RunHalted, SettingsError
from segue.ledger.facts import Run, Wishes
from segue.runs.context import RunContext
from segue.runs.snapshot_pair import can_go_on, has_current, waiting_for
from tests.unit.runs.test_span_detection import Place, _interval, quarantine


@pytest.fixture
def place(tmp_path) -> Place:
    """Three days, of which the 9th is the last."""
    made = Place(tmp_path)
    for day, golden in ((7, "a"), (8, "ab"), (9, "bc")):
        made.snapshot(day, *golden)
    return made


def test_a_pair_named_by_hand_does_not_wait_for_todays_snapshot(place):
    """Triggered in the UI, where Airflow infers an interval."""
    pair = Wishes(previous="2026-11-08", current="2026-11-09")
    run = Run("greet", "by-hand", interval=_interval(11))
    assert waiting_for(RunContext(place.workflow, run, place.ledger, place.now, pair)) is None


def test_an_unfinished_newer_snapshot_is_waited_for_and_then_done_without(place):
    """Two snapshots in the interval, the later one without its marker."""
    interval = (_interval(9)[0], _interval(10)[1])
    (place.folder / "snapshots/2026-11-09/_SUCCESS").unlink()
    run = Run("greet", "wide", interval=interval)
    assert "not complete" in waiting_for(RunContext(place.workflow, run, place.ledger, place.now))
    assert has_current(RunContext(place.workflow, run, place.ledger, place.now))
    place.run("wide", interval)
    assert place.spans() == ["changes 07-08"]


def test_a_run_waits_for_its_snapshot_and_for_one_that_is_being_written(place):
    """Nothing to wait for; no snapshot yet; a newer one without its marker."""

    def reason(day: int) -> str | None:
        run = Run("greet", f"day-{day}", interval=_interval(day))
        return waiting_for(RunContext(place.workflow, run, place.ledger, place.now))

    assert reason(10) is None
    assert reason(3) is None  # before the first: nothing to wait for
    assert "no snapshot of the run's interval" in reason(11)
    (place.folder / "snapshots/2026-11-09/_SUCCESS").unlink()
    assert "2026-11-09 of people is not complete" in reason(10)


def test_a_parameter_that_no_time_can_cure_is_refused_before_any_waiting(place):
    """No key, or a quarantined one, at either end; one that is not there yet is waited for."""

    def reason(previous: str | None, current: str) -> str | None:
        wishes = Wishes(previous=previous, current=current)
        return waiting_for(
            RunContext(place.workflow, Run("greet", "hand"), place.ledger, place.now, wishes)
        )

    quarantine(place, "2026-11-08")
    for previous, current in (("08.11.2026", "2026-11-09"), (None, "09.11.2026")):
        with pytest.raises(SettingsError, match="is not a snapshot key"):
            reason(previous, current)
    for previous, current in (("2026-11-08", "2026-11-09"), ("2026-11-07", "2026-11-08")):
        with pytest.raises(SettingsError, match="is quarantined"):
            reason(previous, current)
    assert "has no snapshot 2026-11-19" in reason("2026-11-07", "2026-11-19")
    (place.folder / "snapshots/2026-11-09/_SUCCESS").unlink()
    assert "2026-11-09 is not complete" in reason("2026-11-07", "2026-11-09")


def day_of(place: Place, day: int) -> RunContext:
    run = Run("greet", f"day-{day}", interval=_interval(day))
    return RunContext(place.workflow, run, place.ledger, place.now)


def test_a_run_is_patient_until_its_deadline_and_then_fails(place):
    """Counted from the end of its interval; no snapshot of the 10th comes."""
    place.more = {"policies": {"wait_timeout": "2h"}}
    begin = _interval(11)[1]
    place.now = begin + timedelta(hours=1, minutes=59)
    assert not can_go_on(day_of(place, 11), begin)
    place.now = begin + timedelta(hours=2)
    with pytest.raises(RunHalted, match="no snapshot of the run's interval yet, and the deadline"):
        can_go_on(day_of(place, 11), begin)


def test_a_run_that_may_skip_goes_on_after_its_deadline(place):
    """detect_changes records the skip."""
    place.more = {"policies": {"wait_timeout": "2h", "missing_snapshot": "skip"}}
    begin = _interval(11)[1]
    place.now = begin + timedelta(hours=2)
    assert can_go_on(day_of(place, 11), begin)


def test_after_its_deadline_a_run_goes_on_with_the_last_complete_snapshot(place, caplog):
    """Two snapshots in the interval, the later one without its marker."""
    interval = (_interval(9)[0], _interval(10)[1])
    (place.folder / "snapshots/2026-11-09/_SUCCESS").unlink()
    place.more = {"policies": {"wait_timeout": "2h"}}
    place.now = interval[1] + timedelta(hours=2)
    run = Run("greet", "wide", interval=interval)
    assert can_go_on(RunContext(place.workflow, run, place.ledger, place.now), interval[1])
    assert "going on with the last complete one" in caplog.text


def test_with_its_snapshot_there_a_run_waits_for_nothing(place):
    assert can_go_on(day_of(place, 10), _interval(10)[1])


def test_a_run_without_a_schedule_that_is_given_a_date_looks_at_nothing_after_it(place):
    """At the morning of the 9th, the snapshot of the 8th is the newest."""
    place.run("by-date", until=_interval(9)[1])
    assert place.spans() == ["changes 07-08"]
