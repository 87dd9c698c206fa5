"""Runs that start as snapshots land: what each compares, in whatever order they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from segue.ledger.facts import Run
from segue.runs.context import RunContext
from segue.runs.gaps import gaps
from segue.runs.snapshot_pair import waiting_for
from segue.runs.span_detection import Detection, detect
from segue.segments.membership.store import MembershipStore
from tests.unit.runs.test_span_detection import Place

GOLDEN = {day: "abcdef"[day % 4 : day % 4 + 3] for day in range(1, 11)}


@pytest.fixture
def place(tmp_path) -> Place:
    return follower(tmp_path)


def follower(folder) -> Place:
    """A workflow that follows its directory, since the first of the month."""
    made = Place(folder)
    made.now = datetime(2026, 11, 12, tzinfo=UTC)
    made.more = {"schedule": "on_snapshot", "start": "2026-11-01", "policies": {"max_age": None}}
    return made


def landed_run(day: int, name: str = "", **values) -> Run:
    """The run that the event of a day's snapshot makes."""
    as_of = datetime(2026, 11, day, tzinfo=UTC) + timedelta(days=1)
    interval = (as_of - timedelta(microseconds=1), as_of)
    key = f"2026-11-{day:02}"
    return Run("greet", name or f"landed-{day}", interval, landed=(key,), **values)


def land(place: Place, day: int, name: str = "", **values) -> Detection:
    """Write a day's snapshot, and run what its event starts."""
    place.snapshot(day, *GOLDEN[day])
    return follow(place, landed_run(day, name, **values))


def follow(place: Place, run: Run) -> Detection:
    context = RunContext(place.workflow, run, place.ledger, place.now)
    return detect(context, MembershipStore(str(place.folder / "state")))


def test_a_run_compares_what_landed_with_the_complete_one_before(place):
    """A day that is missing is bridged, as by a run of the schedule."""
    for day in (1, 2, 4):
        land(place, day)
    assert place.spans() == ["baseline 01-01", "changes 01-02", "changes 02-04"]


def test_a_snapshot_that_lands_late_is_covered_and_neither_sends_again_nor_loses(place):
    for day in (1, 2, 4):
        land(place, day)
    late = land(place, 3)
    assert late.outcome == "covered"
    assert "landed-4" in late.reason
    land(place, 5)
    assert place.spans()[-2:] == ["changes 02-04", "changes 04-05"]


def test_a_second_event_of_a_snapshot_makes_a_run_that_says_why_it_does_nothing(place):
    land(place, 1)
    land(place, 2)
    again = land(place, 2, "again")
    assert (again.outcome, "landed-2" in again.reason) == ("covered", True)


def test_what_landed_and_is_not_complete_is_waited_for(place):
    """An event may come before the marker."""
    place.snapshot(1, *GOLDEN[1])
    run = landed_run(2)
    context = RunContext(place.workflow, run, place.ledger, place.now)
    assert waiting_for(context) == "the directory people has no complete snapshot 2026-11-02 yet"
    place.snapshot(2, *GOLDEN[2])
    (place.folder / "snapshots/2026-11-02/_SUCCESS").unlink()
    assert "2026-11-02 of people is not complete" in waiting_for(context)
    place.more["policies"] = {"missing_snapshot": "skip"}
    skipped = follow(place, run)
    assert (skipped.outcome, skipped.reason) == ("skipped", "no complete snapshot 2026-11-02")


def test_what_lands_and_is_not_after_the_start_is_looked_at_by_nobody(place):
    """As no run of a schedule is: the workflow's first previous one may be of before."""
    place.more["start"] = "2026-11-04"
    place.snapshot(2, *GOLDEN[2])
    early = land(place, 3)  # as of the 4th, 00:00
    assert early.outcome == "skipped"
    assert early.reason == "2026-11-03 is not after the workflow's start, 2026-11-04T00:00Z"
    land(place, 4)
    assert place.spans() == ["changes 03-04"]
    assert gaps_of(place) == []


def test_a_backfill_of_takes_is_recorded_and_sends_nothing(place):
    land(place, 1)
    land(place, 2, is_backfill=True)
    rows = place.ledger.queries.list_deliveries()
    assert {row.reason for row in rows} == {"backfill"}
    assert rows


def gaps_of(place: Place) -> list[tuple[str, str]]:
    """The gaps that ``segue gaps`` tells."""
    context = RunContext(place.workflow, landed_run(1), place.ledger, place.now)
    stretches = [span.stretch for span in place.ledger.runs.all_spans("greet")]
    found = gaps(place.workflow, stretches, context.usable_snapshots(), place.now)
    return [gap.stretch.keys for gap in found]


def test_what_landed_while_the_workflow_was_paused_is_a_gap_that_is_told(place):
    land(place, 1)
    land(place, 2)
    place.snapshot(3, *GOLDEN[3])  # Airflow starts nothing for a paused DAG
    land(place, 4)
    assert gaps_of(place) == [("2026-11-02", "2026-11-03")]


@settings(
    max_examples=6,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(order=st.permutations(range(2, 9)), again=st.lists(st.integers(2, 8), max_size=3))
def test_in_whatever_order_snapshots_land_all_time_is_covered_once(order, again, tmp_path_factory):
    """The oracle: what is in or out at the ends of spans that touch, each change once."""
    place = follower(tmp_path_factory.mktemp("order"))
    land(place, 1)
    for day in order:
        land(place, day)
    for number, day in enumerate(again):
        assert land(place, day, f"again-{number}").outcome == "covered"
    spans = sorted(span.stretch for span in place.ledger.runs.all_spans("greet"))
    changes = [stretch for stretch in spans if not stretch.is_empty]
    assert [stretch.current for stretch in changes[:-1]] == [
        stretch.previous for stretch in changes[1:]
    ]
    assert (changes[0].previous.key, changes[-1].current.key) == ("2026-11-01", "2026-11-08")
    expected = [
        (contact, later.current.key)
        for later in changes
        for contact in GOLDEN[int(later.current.key[-2:])]
        if contact not in GOLDEN[int(later.previous.key[-2:])]
    ]
    rows = [row for row in place.ledger.queries.list_deliveries() if row.change == "added"]
    assert sorted((row.contact_id, row.snapshot) for row in rows) == sorted(expected)
    assert gaps_of(place) == []
