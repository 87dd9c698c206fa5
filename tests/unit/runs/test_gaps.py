"""Gaps: what no span covers, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot
from segue.ledger.stretches import Stretch
from segue.runs.gaps import gaps
from segue.segments.definition import SegmentDefinition
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow
from tests.unit.builders import point, stretch

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def workflow(**keys: object) -> ResolvedWorkflow:
    """A workflow that starts on the 20th and runs daily at six."""
    definition = WorkflowDefinition.model_validate(
        {
            "workflow": "welcome",
            "segment": "gold",
            "changes": ["added"],
            "schedule": "0 6 * * *",
            "start": "2026-11-20",
            "actions": [{"id": "mail", "email": {}}],
            **keys,
        }
    )
    match = {"field": "tier", "equals": "gold"}
    segment = SegmentDefinition(segment="gold", directory="customers", match=match)
    directory = DirectoryDefinition(directory="customers", snapshots="/nowhere")
    return ResolvedWorkflow(definition, segment, directory, {})


def snapshots(*days: int, incomplete: tuple[int, ...] = ()) -> list[Snapshot]:
    """The snapshots of these days of November 2026."""
    return [
        Snapshot(point(day).key, point(day).as_of, UPath("/nowhere"), day not in incomplete)
        for day in days
    ]


def found(resolved: ResolvedWorkflow, recorded: list[Stretch], there: list[Snapshot], now=NOW):
    """Return the keys of the gaps' ends."""
    return [
        (gap.stretch.previous.key, gap.stretch.current.key)
        for gap in gaps(resolved, recorded, there, now)
    ]


def test_every_two_successive_snapshots_are_a_gap_where_nothing_is_recorded():
    assert found(workflow(), [], snapshots(20, 21, 23)) == [
        ("2026-11-20", "2026-11-21"),
        ("2026-11-21", "2026-11-23"),
    ]


def test_what_a_span_covers_is_no_gap():
    recorded = [stretch(20, 21), stretch(22, 23)]
    assert found(workflow(), recorded, snapshots(20, 21, 22, 23)) == [("2026-11-21", "2026-11-22")]


def test_a_span_that_bridged_a_late_snapshot_covers_both_its_sides():
    assert found(workflow(), [stretch(20, 22)], snapshots(20, 21, 22)) == []


def test_a_span_in_part_leaves_the_rest():
    assert found(workflow(), [stretch(20, 21)], snapshots(20, 22)) == [("2026-11-21", "2026-11-22")]


@pytest.mark.parametrize("there", [snapshots(), snapshots(20)])
def test_the_first_snapshot_is_a_baseline_and_no_gap(there):
    assert found(workflow(), [], there) == []


def test_a_recorded_baseline_covers_nothing():
    baseline = Stretch(point(20), point(20))
    assert found(workflow(), [baseline], snapshots(20, 21)) == [("2026-11-20", "2026-11-21")]


def test_time_before_the_first_run_s_interval_is_no_gap():
    """The run of 06:00 on the 21st begins with the snapshot of the 19th, known since midnight."""
    assert found(workflow(), [], snapshots(17, 18, 19, 20)) == [("2026-11-19", "2026-11-20")]


def test_without_a_schedule_the_start_itself_is_the_beginning():
    resolved = workflow(schedule=None, start="2026-11-20T12:00")
    assert found(resolved, [], snapshots(18, 19, 20)) == [("2026-11-19", "2026-11-20")]


def test_a_snapshot_that_is_not_complete_ends_no_gap():
    there = snapshots(20, 21, 22, incomplete=(21, 22))
    assert found(workflow(), [], there) == []


def test_a_gap_that_a_scheduled_run_will_cover_says_when():
    now = datetime(2026, 11, 22, 3, tzinfo=UTC)
    first, second = gaps(workflow(), [], snapshots(19, 20, 21), now)
    assert first.due is None
    assert second.due == datetime(2026, 11, 22, 6, tzinfo=UTC)


def test_without_a_schedule_nothing_is_due():
    now = datetime(2026, 11, 22, 3, tzinfo=UTC)
    assert [gap.due for gap in gaps(workflow(schedule=None), [], snapshots(20, 21), now)] == [None]


def test_a_gap_beyond_max_age_is_marked():
    resolved = workflow(policies={"max_age": "2d"})
    now = point(22).as_of + timedelta(days=1)
    assert [gap.too_old for gap in gaps(resolved, [], snapshots(19, 20, 21, 22), now)] == [
        *(True, False, False)
    ]


def test_without_max_age_no_gap_is_too_old():
    resolved = workflow(policies={"max_age": None})
    assert [gap.too_old for gap in gaps(resolved, [], snapshots(20, 21), NOW)] == [False]


def test_the_command_triggers_a_run_over_exactly_the_gap():
    [gap] = gaps(workflow(), [], snapshots(20, 21), NOW)
    assert gap.command == (
        "airflow dags trigger welcome --conf "
        """'{"previous": "2026-11-20", "current": "2026-11-21"}'"""
    )


def test_before_the_retentions_watermark_nothing_is_a_gap():
    there = snapshots(20, 21, 22, 23)
    after = gaps(workflow(), [], there, NOW, watermark=point(22).as_of)
    assert [gap.stretch.previous.key for gap in after] == ["2026-11-22"]


def test_after_a_kept_span_of_a_quarantined_snapshot_the_command_names_the_one_before():
    """20 to 21 was sent and stays, 21 is quarantined: the rest is compared from the 20th."""
    bad = {"2026-11-21"}
    [gap] = gaps(workflow(), [stretch(20, 21)], snapshots(20, 22), NOW, bad)
    assert gap.fillable
    assert '"previous": "2026-11-20", "current": "2026-11-22"' in gap.command


def test_before_a_kept_span_that_begins_at_a_quarantined_snapshot_nothing_fills_the_gap():
    """21 to 22 was sent and stays: from the 20th to the 21st nothing can be compared."""
    [gap] = gaps(workflow(), [stretch(21, 22)], snapshots(20, 22), NOW, {"2026-11-21"})
    assert (gap.fillable, gap.command) == (False, "")
