"""Spans: what a run may take of the time it wants, given what other runs have taken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from segue.ledger.stretches import Point, Stretch, uncovered, uncovered_steps

ORIGIN = datetime(2026, 11, 1, tzinfo=UTC)


def at(hour: int) -> Point:
    return Point(ORIGIN + timedelta(hours=hour), str(hour))


stretches = (
    st.tuples(st.integers(0, 40), st.integers(0, 40))
    .filter(lambda pair: pair[0] < pair[1])
    .map(lambda pair: Stretch(at(pair[0]), at(pair[1])))
)


def hours(stretch: Stretch) -> set[int]:
    """The hours after previous up to and including current."""
    return set(range(int(stretch.previous.key) + 1, int(stretch.current.key) + 1))


@given(st.lists(stretches, max_size=12))
def test_runs_in_any_order_cover_every_wanted_hour_exactly_once(wanted):
    """Whatever order runs come in, no hour is taken twice and none that was wanted is left out."""
    taken: list[Stretch] = []
    for stretch in wanted:
        taken += uncovered(stretch, taken)
    covered = [hour for stretch in taken for hour in hours(stretch)]
    assert len(covered) == len(set(covered))
    assert set(covered) == set().union(*map(hours, wanted)) if wanted else not covered


@given(stretches, st.lists(stretches, max_size=6))
def test_an_empty_span_covers_nothing(wanted, recorded):
    """A first baseline is a point in time: it takes nothing from anybody."""
    points = [Stretch(stretch.current, stretch.current) for stretch in recorded]
    assert uncovered(wanted, points) == [wanted]


@given(st.lists(st.integers(0, 40), max_size=12, unique=True), st.lists(stretches, max_size=8))
def test_one_walk_finds_what_is_open_between_any_two_successive_snapshots(snapshots, recorded):
    points = [at(hour) for hour in sorted(snapshots)]
    steps = [Stretch(*pair) for pair in pairwise(points)]
    one_by_one = [part for step in steps for part in uncovered(step, recorded)]
    assert list(uncovered_steps(points, recorded)) == one_by_one


def test_a_run_takes_both_sides_of_what_is_taken_already():
    """The middle of a week was handled by hand: the weekly run takes the days around it."""
    assert uncovered(Stretch(at(0), at(7)), [Stretch(at(2), at(4))]) == [
        Stretch(at(0), at(2)),
        Stretch(at(4), at(7)),
    ]
