"""Retention: what is old goes, nothing that is unfinished does, and nothing is ever sent again."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from segue.durations import Duration
from segue.errors import LedgerError
from segue.ledger import Ledger
from segue.ledger.facts import Decision, Run
from segue.ledger.people.release_requests import RequestKind, Selection
from segue.ledger.reasons import Reason
from segue.ledger.schema import definitions, deliveries, metadata, runs, spans
from segue.ledger.states import State
from segue.ledger.stretches import Point, Stretch
from segue.runs.areas import RunArea
from segue.runs.suppression import within_retention
from segue.upkeep.retention import keep_house
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    detected,
    point,
    record,
    run,
    set_secret,
    stretch,
)
from tests.unit.runs.test_span_detection import Place, Wishes, place

__all__ = ["place"]

CUT = point(21).as_of + timedelta(hours=1)  # the 21st is old


@pytest.fixture
def filled(ledger) -> Ledger:
    """Three runs of a day each; all is delivered. The first two are old."""
    for day in (19, 20, 21):
        record(ledger, run(f"day-{day}"), detected(stretch(day, day + 1), added("a", "b")))
    finish(ledger, State.DELIVERED)
    with ledger.engine.begin() as connection:
        old = point(1).as_of
        connection.execute(update(definitions).values(recorded_at=old))
    return ledger


def finish(ledger: Ledger, state: State, days: Iterable[int] = (20, 21, 22), **values) -> None:
    keys = [f"2026-11-{day}" for day in days]
    with ledger.engine.begin() as connection:
        query = update(deliveries).where(deliveries.c.snapshot.in_(keys))
        connection.execute(query.values(state=state, **values))
        connection.execute(update(runs).values(recorded_at=point(1).as_of))


def counts(ledger: Ledger) -> dict[str, int]:
    with ledger.engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def snapshots_left(ledger: Ledger) -> list[str]:
    return sorted({row.snapshot for row in ledger.queries.list_deliveries()})


def test_spans_that_end_before_the_cut_go_with_all_that_hangs_on_them(filled):
    found = filled.retention.prune(CUT)
    assert (found.spans, found.changes, found.deliveries, found.runs) == (2, 4, 4, 2)
    assert (found.kept_spans, found.definitions) == (0, 0)
    left = counts(filled)
    assert [left[name] for name in ("runs", "spans", "changes", "deliveries")] == [1, 1, 2, 2]
    assert snapshots_left(filled) == ["2026-11-22"]


def test_the_watermark_is_the_end_of_what_was_deleted(filled):
    assert filled.retention.watermark("welcome") is None
    filled.retention.prune(CUT)
    assert filled.retention.watermark("welcome") == point(21).as_of
    filled.retention.prune(point(1).as_of)
    assert filled.retention.watermark("welcome") == point(21).as_of
    assert filled.retention.watermark("other") is None


@pytest.mark.parametrize(
    "state", ["planned", "released", "claimed", "sending", "held", "uncertain"]
)
def test_a_span_with_anything_unfinished_stays_whole(filled, state):
    finish(filled, State(state), days=[21])
    found = filled.retention.prune(CUT)
    assert (found.spans, found.kept_spans) == (1, 1)
    assert snapshots_left(filled) == ["2026-11-21", "2026-11-22"]
    assert filled.runs.find_run("welcome", "day-20") is not None


@pytest.mark.parametrize("state", ["failed", "skipped", "suppressed"])
def test_what_is_settled_in_any_way_goes(filled, state):
    finish(filled, State(state))
    assert filled.retention.prune(CUT).spans == 2


def test_an_enrolment_is_never_pruned(filled):
    """Its key has no snapshot: once per contact and action, for ever."""
    finish(filled, State.DELIVERED, days=[20], change="enrolled")
    found = filled.retention.prune(CUT)
    assert (found.spans, found.kept_spans) == (1, 1)
    assert snapshots_left(filled) == ["2026-11-20", "2026-11-22"]


def test_a_kept_span_goes_after_the_one_that_is_compared_over_it(ledger):
    """Both hold the same change: without the first the second would find it unsent, and send it."""
    record(ledger, run("before"), detected(stretch(18, 19), added("z")))
    record(ledger, run("kept"), detected(stretch(19, 20), added("a")))
    over = Stretch(Point(point(20).as_of, point(19).key), point(22))
    record(ledger, run("later"), detected(over, added("b")))
    finish(ledger, State.DELIVERED, days=range(1, 30))
    planned = ledger.retention.would_prune(CUT)
    assert (planned.spans, planned.kept_spans) == (1, 1)
    assert ledger.retention.prune(CUT).spans == 1
    assert snapshots_left(ledger) == ["2026-11-20", "2026-11-22"]
    assert ledger.retention.watermark("welcome") == point(19).as_of
    end = point(23).as_of
    assert [ledger.retention.prune(end).spans for _ in range(3)] == [1, 1, 0]
    assert ledger.retention.watermark("welcome") == point(22).as_of


def test_a_span_that_waits_for_what_another_one_has_in_hand_stays(filled):
    finish(filled, State.SUPPRESSED, days=[20], reason="in_hand")
    assert (filled.retention.prune(CUT).spans, snapshots_left(filled)) == (
        1,
        ["2026-11-20", "2026-11-22"],
    )


def test_no_answer_releases_what_lies_before_the_watermark(ledger):
    """It was rejected; another span, which is pruned by now, may have sent the same."""
    span = record(ledger, run(), detected(stretch(21, 22), added("a")))
    asked = ledger.runs.find_run("welcome", "run-1")
    ledger.runs.reject(asked, span, Decision("rejected", "ann", NOW))
    ledger.runs.withhold(span[0], Reason.PRUNED, NOW)
    assert ledger.queries.count_waiting(span) == {}
    assert ledger.runs.approve(asked, span, Decision("approved", "ann", NOW)) == 0
    assert [row.reason for row in ledger.queries.list_deliveries()] == ["pruned"]


def test_only_the_named_workflow_is_pruned(filled):
    other = Run("other", "day-19")
    filled.runs.record_spans(
        other, [detected(stretch(19, 20))], ["mail"], DEFINITION, NOW, recorded_only=False
    )
    assert filled.retention.prune(CUT, "other").spans == 1
    assert snapshots_left(filled) == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert filled.retention.watermark("welcome") is None


def test_another_namespace_keeps_its_own(filled):
    assert Ledger(filled.engine, "staging").retention.prune(CUT).spans == 0
    assert len(snapshots_left(filled)) == 3


def test_a_dry_run_says_what_would_go_and_deletes_nothing(filled):
    filled.people.file_request(RequestKind.RETRY, Selection("welcome"), "ann", NOW)
    filled.people.carry_out(filled.people.open_requests()[0], point(1).as_of)
    before = counts(filled)
    expected = filled.retention.would_prune(CUT)
    assert counts(filled) == before
    assert filled.retention.watermark("welcome") is None
    assert filled.retention.prune(CUT) == expected
    assert expected.requests == 1


def test_definitions_that_nothing_ran_under_any_more_go(filled):
    found = filled.retention.prune(point(29).as_of)
    assert (found.spans, found.definitions) == (3, 1)
    assert counts(filled)["definitions"] == 0


def test_old_runs_that_took_nothing_go_and_new_ones_stay(filled):
    interval = (point(17).as_of, point(18).as_of)
    filled.runs.record_nothing(run("old", interval=interval), "skipped", "", NOW)
    filled.runs.record_nothing(run("new"), "covered", "", NOW)
    filled.retention.prune(CUT)
    assert filled.runs.find_run("welcome", "old") is None
    assert filled.runs.find_run("welcome", "new") is not None


def test_done_requests_go_and_open_ones_stay(filled):
    for _ in range(2):
        filled.people.file_request(RequestKind.RETRY, Selection("welcome"), "ann", point(1).as_of)
    filled.people.carry_out(filled.people.open_requests()[0], point(1).as_of)
    assert filled.retention.prune(CUT).requests == 1
    assert [request.done_at for request in filled.people.list_requests()] == [None]


@pytest.mark.parametrize("state", [State.HELD, State.WAITING])
def test_a_span_that_came_back_to_life_in_the_meantime_stays(filled, monkeypatch, state):
    """A retry reaches it between the listing and the deletion; it is needed then."""
    old, _ = filled.retention._old_spans(CUT, None)
    assert "2026-11-20" not in filled.retention.needed_snapshots()
    finish(filled, state, days=[20])
    assert "deliveries to make" in filled.retention.needed_snapshots()["2026-11-20"]
    assert filled.retention._prune_span(old[0]) is None
    assert snapshots_left(filled)[0] == "2026-11-20"


def test_pruning_and_recording_at_once_get_in_each_others_way_in_nothing(filled):
    """Runs record days, others take them over, and two workers prune meanwhile."""

    def work(number: int) -> None:
        if number % 2:
            filled.retention.prune(point(30).as_of)
        else:
            day = 22 + number // 2
            record(filled, run(f"day-{day}"), detected(stretch(day, day + 1), added("a", "b")))
            filled.runs.take_over(run(f"again-{day}"), filled.runs.all_spans("welcome"), NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(14)))
    assert snapshots_left(filled) == [f"2026-11-{day}" for day in range(23, 30)]


# ---- what detection makes of it ---------------------------------------------------------------


@pytest.fixture
def pruned(place) -> Place:
    """Three days, all delivered; the runs of the 9th and of the 10th are pruned."""
    place.snapshot(10, "c", "d")
    place.now = datetime(2026, 11, 11, 7, tzinfo=UTC)  # after the last of the snapshots
    for day in (8, 9, 10, 11):
        place.day(day)
    with place.ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(state=State.DELIVERED))
    found = place.ledger.retention.prune(datetime(2026, 11, 10, 1, tzinfo=UTC))
    assert found.spans == 3
    return place


def test_a_backfill_with_deliver_over_pruned_days_sends_nothing(pruned):
    """Neither the guard's second look nor a person's word releases what may have been sent."""
    for day in (9, 10):
        wishes = Wishes(deliver=True)
        found = pruned.day(day, name=f"backfill-{day}", is_backfill=True, wishes=wishes)
        for span in found.spans:
            pruned.ledger.runs.withhold(span.id, None, pruned.now)
            assert pruned.ledger.runs.release([span.id], pruned.now) == 0
    outcomes = {
        (row.snapshot, row.outcome, row.reason)
        for row in pruned.ledger.queries.list_deliveries()
        if row.snapshot < "2026-11-10"
    }
    assert outcomes == {
        ("2026-11-08", "suppressed", "pruned"),
        ("2026-11-09", "suppressed", "pruned"),
    }


def test_clearing_such_a_run_sends_nothing_either(pruned):
    pruned.day(10, name="again")
    pruned.day(10, name="again", wishes=Wishes(deliver=True, accept_rewritten=True))
    assert {
        row.outcome for row in pruned.ledger.queries.list_deliveries(snapshot="2026-11-09")
    } == {"suppressed"}


def test_a_pair_that_reaches_back_over_pruned_days_sends_nothing(pruned):
    """Its changes may have been sent under the keys of the days in between."""
    pruned.ledger.retention.prune(datetime(2026, 11, 30, tzinfo=UTC))
    pruned.snapshot(11, "d", "e")
    pruned.now += timedelta(days=3)
    found = pruned.run("by-hand", wishes=Wishes("2026-11-08", "2026-11-11", deliver=True))
    assert found.outcome == "recorded"
    assert {row.reason for row in pruned.ledger.queries.list_deliveries()} == {"pruned"}


def test_days_after_the_watermark_are_acted_on(pruned):
    pruned.snapshot(11, "c", "d", "e")
    pruned.now += timedelta(days=2)
    pruned.day(12)
    assert [
        row.outcome for row in pruned.ledger.queries.list_deliveries(snapshot="2026-11-11")
    ] == ["planned"]


def test_nobody_is_enrolled_in_a_workflow_that_does_not_remember_whom_it_reached(pruned):
    """Members who were added, and written to, before retention would be written to again."""
    span = detected(stretch(22, 22), [("a", "enrolled", "")])
    with pytest.raises(LedgerError, match="nobody knows which members it has written to"):
        within_retention(span, pruned.ledger, "greet")
    assert within_retention(span, pruned.ledger, "other").changes == [("a", "enrolled", "")]


def test_who_was_forgotten_is_not_recorded_again(place):
    """Detected anew, or when a run is cleared: the ledger never names the contact."""
    set_secret(place.ledger, "a long secret text")
    place.day(9)
    place.ledger.retention.forget("b", "ann", place.now)
    place.day(9)
    place.day(10)
    place.ledger.retention.forget("c", "ann", place.now)
    place.day(10)
    named = {row.contact_id for row in place.ledger.queries.list_deliveries()}
    assert {name for name in named if not name.startswith("forgotten:")} == {"a"}
    ids = [span.id for span in place.ledger.runs.all_spans("greet")]
    assert place.ledger.queries.count_changes(ids) == place.ledger.queries.count_changes(ids[-1:])


# ---- on a schedule ----------------------------------------------------------------------------


def keep(ledger: Ledger, state, retention: Duration | None = None) -> dict[str, int]:
    return keep_house(ledger, str(state), NOW, retention=retention, run_areas=Duration(30, "d"))


def area(state, name: str) -> RunArea:
    made = RunArea.of_run(str(state), "test", "welcome", name)
    made.write_audience("audience")
    return made


def test_the_ledger_is_kept_for_ever_unless_someone_says_how_long(filled, tmp_path):
    assert keep(filled, tmp_path) == {"run_areas": 0, "unfinished_files": 0}
    assert len(snapshots_left(filled)) == 3
    found = keep(filled, tmp_path, Duration(2, "d"))
    assert (found["spans"], found["deliveries"]) == (1, 2)
    assert snapshots_left(filled) == ["2026-11-21", "2026-11-22"]


@pytest.mark.parametrize("state", ["held", "uncertain", "released"])
def test_areas_of_old_runs_go_unless_something_may_be_sent_from_there(filled, tmp_path, state):
    with filled.engine.begin() as connection:
        connection.execute(update(runs).values(recorded_at=NOW - timedelta(days=31)))
        young = update(runs).where(runs.c.run_id == "day-21")
        connection.execute(young.values(recorded_at=NOW - timedelta(days=29)))
        unfinished = deliveries.c.snapshot == "2026-11-20"
        connection.execute(update(deliveries).where(unfinished).values(state=state))
    areas = {name: area(tmp_path, name) for name in ("day-19", "day-20", "day-21", "pruned")}
    assert keep(filled, tmp_path)["run_areas"] == 2
    assert {name for name, made in areas.items() if made.root.exists()} == {"day-19", "day-21"}


def test_the_area_of_an_old_run_that_was_cleared_stays(filled, tmp_path):
    """Its deliveries are all rejected, and the guard asks about them again."""
    with filled.engine.begin() as connection:
        connection.execute(update(runs).values(recorded_at=NOW - timedelta(days=31)))
    [span] = filled.runs.spans_of(filled.runs.find_run("welcome", "day-20"))
    again = detected(stretch(20, 21), added("a", "b"))
    filled.runs.record_again(run("day-20"), [(span, again)], ("mail",), DEFINITION, NOW)
    areas = {name: area(tmp_path, name) for name in ("day-19", "day-20")}
    assert keep(filled, tmp_path)["run_areas"] == 1
    assert areas["day-20"].root.exists()


def test_a_state_folder_that_is_not_there_yet_is_no_error(filled, tmp_path):
    assert keep(filled, tmp_path / "nowhere")["run_areas"] == 0


def test_pruning_leaves_no_row_without_its_parent(filled):
    filled.retention.prune(CUT)
    with filled.engine.connect() as connection:
        ids = set(connection.execute(select(spans.c.run)).scalars())
        assert ids == set(connection.execute(select(runs.c.id)).scalars())
