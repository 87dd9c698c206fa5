"""Bridges: spans over runs of the schedule without a snapshot, and what may be lost in them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_keys import parse_key
from segue.ledger.facts import SpanKind
from segue.ledger.stretches import Point, Stretch
from segue.runs.bridges import bridges
from segue.segments.definition import SegmentDefinition
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow

DAILY = "0 6 * * *"
BIRTHDAY = {"field": "born", "anniversary_in_next": "1d"}


def workflow(schedule: str | None, match=BIRTHDAY, **of_directory: str) -> ResolvedWorkflow:
    """A workflow over a segment with this condition."""
    definition = WorkflowDefinition.model_validate(
        {
            "workflow": "welcome",
            "segment": "watched",
            "changes": ["added"],
            "schedule": schedule,
            "start": "2026-11-01",
            "actions": [{"id": "mail", "email": {}}],
        }
    )
    segment = SegmentDefinition(segment="watched", directory="customers", match=match)
    directory = DirectoryDefinition(directory="customers", snapshots="/nowhere", **of_directory)
    return ResolvedWorkflow(definition, segment, directory, {})


def found(resolved: ResolvedWorkflow, *keys: str, kind: SpanKind = SpanKind.CHANGES):
    """Return the bridges of a span between two keys."""
    previous, current = (Point(as_of, key) for key, as_of in map(_parsed(resolved), keys))
    return bridges(resolved, [SimpleNamespace(kind=kind, stretch=Stretch(previous, current))])


def _parsed(resolved: ResolvedWorkflow):
    return lambda key: parse_key(resolved.directory, key)


@pytest.mark.parametrize("date_keys", ["start_of_day", "end_of_day"])
@pytest.mark.parametrize("timezone", ["UTC", "America/New_York", "Australia/Sydney"])
@pytest.mark.parametrize(
    ("schedule", "previous", "current", "missing"),
    [
        (DAILY, "2026-11-26", "2026-11-27", []),
        (DAILY, "2026-11-26", "2026-11-28", ["2026-11-27"]),
        (DAILY, "2026-10-30", "2026-11-03", ["2026-10-31", "2026-11-01", "2026-11-02"]),  # DST
        ("0 0 * * *", "2026-11-26", "2026-11-28", ["2026-11-27"]),
        ("0 6 * * 1", "2026-11-20", "2026-11-27", []),
        ("0 6 * * 1", "2026-11-13", "2026-11-27", ["2026-11-20"]),
        ("0 */12 * * *", "2026-11-26", "2026-11-27", []),  # asks more often than days go by
        ("0 */12 * * *", "2026-11-26", "2026-11-28", ["2026-11-27"]),
        (None, "2026-11-01", "2026-11-28", []),
    ],
)
def test_the_snapshots_of_runs_that_compared_nothing_are_named(
    schedule, previous, current, missing, timezone, date_keys
):
    resolved = workflow(schedule, timezone=timezone, date_keys=date_keys)
    named = [key for bridge in found(resolved, previous, current) for key in bridge.missing]
    assert named == missing


@pytest.mark.parametrize(
    ("previous", "current", "missing"),
    [
        ("2026-11-26T05:59Z", "2026-11-27T06:01Z", []),  # a little late, and in a later interval
        ("2026-11-26T06:00Z", "2026-11-27T06:00Z", []),
        ("2026-11-26T05:00Z", "2026-11-28T05:10Z", ["2026-11-27T05:00:00Z"]),
    ],
)
def test_keys_that_are_times_are_named_as_times_and_may_be_a_little_late(
    previous, current, missing
):
    named = [key for bridge in found(workflow(DAILY), previous, current) for key in bridge.missing]
    assert named == missing


def test_weekdays_bridge_no_weekend():
    """Friday's run is followed by Monday's, which compares with what Friday's run had."""
    resolved = workflow("0 6 * * 1-5", date_keys="start_of_day")
    assert not found(resolved, "2026-11-27", "2026-11-30")
    [bridge] = found(resolved, "2026-11-26", "2026-11-30")
    assert bridge.missing == ["2026-11-27"]


@pytest.mark.parametrize(
    ("schedule", "date_keys", "previous", "current", "runs"),
    [
        ("0 6 * * 1-5", "end_of_day", "2026-11-26", "2026-11-30", ["2026-11-30 06:00"]),
        ("0 6 * * 1-5", "end_of_day", "2026-11-27", "2026-12-01", ["2026-12-01 06:00"]),
        ("0 6 * * 1-5", "end_of_day", "2026-11-27", "2026-11-30", []),
        ("0 6 * * 1-5", "start_of_day", "2026-11-27", "2026-12-01", ["2026-11-30 06:00"]),
        ("0 6 * * 2-6", "end_of_day", "2026-11-27", "2026-12-01", ["2026-12-01 06:00"]),
        ("0 6,18 * * 1-5", "end_of_day", "2026-11-27", "2026-11-30", []),
    ],
)
def test_after_a_pause_of_the_schedule_the_runs_are_named(
    schedule, date_keys, previous, current, runs
):
    """Which key Monday's run would have had depends on days that the schedule says nothing of."""
    named = found(workflow(schedule, date_keys=date_keys), previous, current)
    assert [run for bridge in named for run in bridge.missing] == runs
    for bridge in named:
        assert f"bridges the snapshot of the run of {runs[0]}, which was missing" in str(bridge)


@pytest.mark.parametrize(
    ("match", "short"),
    [
        (BIRTHDAY, ["anniversary_in_next: 1d"]),
        ({"field": "seen", "in_past": "36h"}, ["in_past: 36h"]),
        ({"field": "seen", "in_next": "2d"}, []),
        ({"field": "seen", "in_past": "8d", "not_in_past": "7d"}, ["in_past: 8d, not_in_past: 7d"]),
        ({"transactions": {"in_past": "12h"}, "count": {"at_least": 1}}, ["in_past: 12h"]),
        (
            {
                "transactions": {"where": {"field": "date", "in_past": "1d"}},
                "sum": {"field": "amount", "at_least": 1},
            },
            ["in_past: 1d"],
        ),
        ({"transactions": {}, "latest": {"field": "date", "in_past": "1d"}}, ["in_past: 1d"]),
        ({"not": {"any": [BIRTHDAY, BIRTHDAY]}}, ["anniversary_in_next: 1d"]),
        ({"field": "tier", "equals": "gold"}, []),
    ],
)
def test_the_windows_that_are_shorter_than_a_bridge_are_named(match, short):
    [bridge] = found(workflow(DAILY, match), "2026-11-26", "2026-11-28")
    assert bridge.windows == short
    said = f"; shorter than that: {short[0]}" if short else ""
    assert str(bridge).startswith("2026-11-26 → 2026-11-28 bridges the snapshot 2026-11-27, which")
    assert str(bridge).endswith(f"who was in the segment only in between is not seen{said}")


def test_after_a_kept_span_the_days_are_counted_from_where_the_time_begins():
    """The 21st is quarantined and its span was kept: the next is compared with the 20th."""
    resolved = workflow(DAILY, {"field": "seen", "in_past": "84h"})
    points = [Point(parse_key(resolved.directory, f"2026-11-{day}")[1], "") for day in (21, 24)]
    stretch = Stretch(replace(points[0], key="2026-11-20"), replace(points[1], key="2026-11-24"))
    [bridge] = bridges(resolved, [SimpleNamespace(kind=SpanKind.CHANGES, stretch=stretch)])
    assert bridge.missing == ["2026-11-22", "2026-11-23"]
    assert bridge.windows == ["in_past: 84h"]  # four days are compared, three are taken


@pytest.mark.parametrize("kind", [kind for kind in SpanKind if kind != SpanKind.CHANGES])
def test_a_span_without_changes_is_no_bridge(kind):
    assert not found(workflow(DAILY), "2026-11-26", "2026-11-28", kind=kind)


def test_a_span_over_years_is_named_in_few_words():
    [bridge] = found(workflow("0 * * * *"), "2020-01-01T00:00Z", "2026-11-28T00:00Z")
    assert str(bridge).count("2020-01-01T") == 6
    assert "and 994 more" in str(bridge)
