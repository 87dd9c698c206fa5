"""Waiting for a snapshot in the triggerer: over real folders, with the real trigger."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.triggers.base import TriggerEvent

from segue.airflow_compat import AirflowRescheduleException
from segue.directory.definition import DirectoryDefinition
from segue.sensors import WaitForSnapshot
from segue.sensors.snapshot_trigger import SnapshotTrigger, listed_by
from tests.unit.directory.lakes.delta_tables import DeltaFolder, people
from tests.unit.runs.test_span_detection import Place

SOON = timedelta(seconds=0.3)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    """The run of the 10th, whose snapshot, that of the 9th, is not there yet."""
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SEGUE_NAMESPACE", "test")
    made = Place(tmp_path)
    made.snapshot(8, "a", "b")
    made.more = {
        "policies": {"wait_timeout": "9999d", "max_age": None},
        "airflow": {"deferrable": True},
    }
    return made


def sensor(place: Place) -> WaitForSnapshot:
    return WaitForSnapshot(task_id="wait_for_snapshot", workflow=place.workflow)


def context() -> dict:
    run = SimpleNamespace(
        run_id="day-10",
        run_type="scheduled",
        data_interval_start=datetime(2026, 11, 9, 6, tzinfo=UTC),
        data_interval_end=datetime(2026, 11, 10, 6, tzinfo=UTC),
        run_after=datetime(2026, 11, 10, 6, tzinfo=UTC),
        clear_number=0,
        conf={},
    )
    ti = SimpleNamespace(id="ti", try_number=1)
    return {"ti": ti, "dag_run": run, "params": {}, "dag": SimpleNamespace(params={})}


def deferral(place: Place) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as waiting:
        sensor(place).execute(context())
    return waiting.value


def fired(trigger: SnapshotTrigger) -> TriggerEvent:
    """Return the event of a trigger as the triggerer makes it: of what was serialized."""
    place, arguments = trigger.serialize()
    assert place == "segue.sensors.snapshot_trigger.SnapshotTrigger"
    made = SnapshotTrigger(**{**arguments, "seconds": 0.05})
    return asyncio.run(anext(made.run()))


def test_a_snapshot_that_is_published_ends_the_wait(place):
    waiting = deferral(place)
    place.snapshot(9, "b", "c")
    assert fired(waiting.trigger).payload == {"news": True}
    assert sensor(place).resume_execution(waiting.method_name, {"event": {}}, context()) is None


def test_without_news_the_trigger_ends_in_time_and_the_task_looks_itself(place):
    trigger = deferral(place).trigger
    now = datetime.now(UTC)
    left = datetime.fromisoformat(trigger.until) - now
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)
    trigger.until = (now + SOON).isoformat()
    assert fired(trigger).payload == {"news": False}
    with pytest.raises(TaskDeferred):
        sensor(place).resume_execution("look", {"event": {}}, context())


def test_news_of_before_the_interval_or_of_an_incomplete_snapshot_is_none(place):
    trigger = deferral(place).trigger
    place.snapshot(7, "a")
    (place.folder / "snapshots/2026-11-09").mkdir()
    trigger.until = (datetime.now(UTC) + SOON).isoformat()
    assert fired(trigger).payload == {"news": False}


def test_where_no_triggerer_answers_the_task_looks_itself(place, caplog):
    """Airflow resumes it with this word once the deferral's time is over."""
    waiting = deferral(place)
    assert waiting.timeout < timedelta(minutes=16)
    with pytest.raises(AirflowRescheduleException) as pause:  # a trigger may fail at once
        sensor(place).resume_execution("__fail__", {"error": "Trigger timeout"}, context())
    assert pause.value.reschedule_date - datetime.now(UTC) > timedelta(seconds=30)
    place.snapshot(9, "b", "c")
    assert sensor(place).resume_execution("__fail__", {"error": "x"}, context()) is None


def test_after_the_deadline_it_fails_as_it_does_without_a_trigger(place):
    place.more["policies"]["wait_timeout"] = "1h"
    with pytest.raises(AirflowFailException, match=r"the deadline .* has passed"):
        sensor(place).execute(context())


def test_the_workflow_goes_before_airflows_own_default(place, monkeypatch):
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    place.more["airflow"] = {}
    assert sensor(place).deferrable
    place.more["airflow"] = {"deferrable": False}
    assert not sensor(place).deferrable
    assert sensor(place).reschedule


def test_a_directory_goes_through_airflows_database(place):
    """Its definition is what the trigger lists by."""
    directory = place.workflow.directory
    again = DirectoryDefinition.model_validate(deferral(place).trigger.directory)
    assert (again.snapshots, again.timezone) == (directory.snapshots, directory.timezone)


@pytest.mark.parametrize(
    "tables",
    [{"contacts": {"file": "contacts.sql"}}, {"contacts": {"table": "people", "knows": "now"}}],
)
def test_a_directory_that_takes_its_own_snapshots_is_listed_as_such(tmp_path, tables):
    """The files of its queries are not where the triggerer is; a folder without a manifest waits.

    A trigger that failed would be begun anew at once, again and again.
    """
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "contacts.sql").write_text("SELECT 1 AS contact_id WHERE :as_of > '0'")
    (tmp_path / "snapshots" / "2026-11-20").mkdir(parents=True)
    (tmp_path / "snapshots" / "2026-11-20" / "contacts.csv").write_text("contact_id\n1\n")
    content = {
        "directory": "shop",
        "snapshots": str(tmp_path / "snapshots"),
        "take": {"connection": "shop", "start": "2026-11-01", "tables": tables},
    }
    folders = {"folder": tmp_path / "directories"}
    directory = DirectoryDefinition.model_validate(content, context=folders)
    until = (datetime.now(UTC) + SOON).isoformat()
    trigger = SnapshotTrigger(json.loads(json.dumps(listed_by(directory))), [], until)
    assert fired(trigger).payload == {"news": False}


def test_a_lake_is_listed_by_what_a_trigger_is_given(tmp_path):
    pytest.importorskip("deltalake")
    table = DeltaFolder(tmp_path / "lake" / "people")
    table.write(datetime.now(UTC) - 3 * timedelta(hours=24), people("a"))
    lake = {"format": "delta", "tables": {"contacts": "../lake/people"}}
    content, folders = {"directory": "shop", "lake": lake}, {"folder": tmp_path / "directories"}
    directory = DirectoryDefinition.model_validate(content, context=folders)
    until = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    trigger = SnapshotTrigger(json.loads(json.dumps(listed_by(directory))), [], until, seconds=0.1)
    assert fired(trigger).payload == {"news": True}


def test_a_run_that_follows_an_event_is_patient_from_the_event_on(place):
    """A snapshot of long ago that lands now may still be on its way."""
    place.more = {**place.more, "schedule": "on_snapshot"}
    landed = context()
    landed["dag_run"].run_type = "asset_triggered"
    landed["dag_run"].partition_key = "2026-11-09"
    landed["dag_run"].run_after = datetime(2027, 1, 1, tzinfo=UTC)
    run, begin = sensor(place)._run(landed)
    assert (run.run.landed, begin) == (("2026-11-09",), landed["dag_run"].run_after)
