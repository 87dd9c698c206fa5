"""The event that a snapshot has landed: what a task tells, and what a run makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.context import OutletEventAccessors, TriggeringAssetEventsAccessor

from segue import airflow_compat
from segue.errors import SettingsError
from segue.ledger.facts import Run
from segue.operators.snapshot_event import announce, as_followed, snapshot_asset
from tests.unit.runs.test_span_detection import Place

JUST = timedelta(microseconds=1)


def events(*extras: dict) -> TriggeringAssetEventsAccessor:
    """The events of a run as its tasks see them."""
    asset = snapshot_asset("people")
    made = [
        SimpleNamespace(asset=SimpleNamespace(name=asset.name, uri=asset.uri), extra=each)
        for each in extras
    ]
    for each in made:
        each.source_aliases = []
    return TriggeringAssetEventsAccessor.build(made)


def followed(place: Place, *extras: dict, partition: str | None = None, **of_run: str) -> Run:
    """The run of a workflow that follows its directory, after these events."""
    dag_run = SimpleNamespace(run_type=of_run.get("run_type", "asset_triggered"))
    dag_run.partition_key = partition
    context = {"dag_run": dag_run, "triggering_asset_events": events(*extras)}
    return as_followed(Run("greet", "r1"), place.workflow, context)


@pytest.fixture
def place(tmp_path) -> Place:
    made = Place(tmp_path)
    made.more = {"schedule": "on_snapshot"}
    return made


def test_a_run_is_about_the_snapshot_of_its_partition(place):
    """By the partition's key, whatever else its event says."""
    run = followed(place, {"rows": 3}, partition="2026-11-08")
    midnight = datetime(2026, 11, 9, tzinfo=UTC)
    assert run == Run("greet", "r1", (midnight - JUST, midnight), landed=("2026-11-08",))


def test_before_airflow_3_3_a_run_is_about_all_snapshots_that_its_events_name(place):
    """Which it may have several of, in any order; one without a key names nothing."""
    run = followed(place, {"key": "2026-11-09"}, {}, {"key": "2026-11-08"}, {"key": "2026-11-09"})
    first, last = datetime(2026, 11, 9, tzinfo=UTC), datetime(2026, 11, 10, tzinfo=UTC)
    assert run.interval == (first - JUST, last)
    assert run.landed == ("2026-11-08", "2026-11-09")
    assert followed(place, {}) == Run("greet", "r1")


def test_what_only_backfills_tell_of_is_a_backfill(place):
    """An event of a take that went by its schedule, too, makes it an ordinary run."""
    assert followed(place, {"backfill": True}, partition="2026-11-08").is_backfill
    assert not followed(place, {"backfill": True}, {}, partition="2026-11-08").is_backfill
    assert not followed(place, partition="2026-11-08").is_backfill


def test_a_partition_that_is_no_key_is_an_error_that_says_so(place):
    with pytest.raises(SettingsError, match="yesterday"):
        followed(place, partition="yesterday")


def test_an_event_names_its_snapshot(monkeypatch):
    """As the partition, where Airflow has that, and in what readers see."""
    outlets = OutletEventAccessors()
    context = {"outlet_events": outlets, "dag_run": SimpleNamespace(run_type="scheduled")}
    announce(context, "shop/people", "2026-11-08", rows=3)
    event = outlets[snapshot_asset("shop/people")]
    assert event.extra == {"key": "2026-11-08", "rows": 3}
    if airflow_compat.PartitionedAssetTimetable is not None:
        assert event.partition_keys == {"2026-11-08"}
    context["dag_run"].run_type = "backfill"
    announce(context, "shop/people", "2026-11-08")
    assert event.extra == {"key": "2026-11-08", "backfill": True}


def test_before_airflow_3_3_an_event_has_no_partition_and_a_schedule_none():
    event = SimpleNamespace()
    airflow_compat.set_partition(event, "2026-11-08")
    assert vars(event) == {}


def test_before_airflow_3_3_a_workflow_follows_the_asset_itself(monkeypatch):
    monkeypatch.setattr(airflow_compat, "PartitionedAssetTimetable", None)
    asset = snapshot_asset("people")
    assert airflow_compat.follow(asset) == [asset]
