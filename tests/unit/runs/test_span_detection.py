"""Detection: which span a run covers and what it finds there, whatever the order of runs."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.errors import (
    DataError,
    LedgerError,
    SettingsError,
    SnapshotMissing,
    SnapshotRewritten,
)
from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.facts import Decision, Finished, RecordedRun, Run, Wishes
from segue.ledger.reasons import Reason
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.live.sql_details import SqlDetails
from segue.preview.plan import Uncached, compare_pair
from segue.runs.context import RunContext
from segue.runs.guard_question import judge_policies, question
from segue.runs.report import gap_lines, lost_gaps
from segue.runs.snapshot_pair import waiting_for
from segue.runs.span_detection import Detection, detect
from segue.segments.definition import SegmentDefinition
from segue.segments.membership.store import MembershipStore
from segue.testing import RecordingChannel
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow
from tests.unit.builders import advance, detected, record, stretch

NOW = datetime(2026, 11, 10, 7, tzinfo=UTC)
NO_WISHES = Wishes()
GOLD = {"field": "tier", "equals": "gold"}


class Place:
    """A directory on disk, a ledger, and runs of one workflow over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        engine = open_engine(f"sqlite:///{folder / 'segue.db'}")
        upgrade(engine)
        self.ledger = Ledger(engine, "test")
        self.now = NOW
        self.match: Mapping = GOLD
        self.more: dict = {}
        self.directory: dict = {}

    def snapshot(self, day: int, *golden: str, columns=("contact_id", "tier")) -> None:
        """Contacts a to f, of whom these are gold."""
        folder = self.folder / "snapshots" / f"2026-11-{day:02}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "contacts.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for contact in "abcdef":
                tier = "gold" if contact in golden else "silver"
                writer.writerow([contact, tier, "false"][: len(columns)])
        (folder / "_SUCCESS").touch()

    @property
    def workflow(self) -> ResolvedWorkflow:
        directory = DirectoryDefinition.model_validate(
            {
                "directory": "people",
                "snapshots": str(self.folder / "snapshots"),
                "complete_marker": "_SUCCESS",
                **self.directory,
            }
        )
        segment = SegmentDefinition.model_validate(
            {"segment": "gold", "directory": "people", "match": self.match}
        )
        definition = WorkflowDefinition.model_validate(
            {
                "workflow": "greet",
                "segment": "gold",
                "changes": ["added", "removed"],
                "start": "2026-11-01",
                "actions": [{"id": "mail", "recording": {"text": "hi"}}],
                **self.more,
            }
        )
        channel = RecordingChannel.model_validate({"text": "hi"})
        return ResolvedWorkflow(definition, segment, directory, {"mail": channel})

    def run(self, name: str, interval=None, wishes: Wishes = NO_WISHES, **values) -> Detection:
        run = Run("greet", name, interval=interval, **values)
        store = MembershipStore(str(self.folder / "state"))
        return detect(RunContext(self.workflow, run, self.ledger, self.now, wishes), store)

    def guarded(self, name: str, wishes: Wishes = NO_WISHES) -> tuple[RunContext, RecordedRun]:
        """A recorded run as its guard sees it."""
        context = RunContext(self.workflow, Run("greet", name), self.ledger, self.now, wishes)
        return context, context.record()

    def day(self, day: int, *, name: str | None = None, **values) -> Detection:
        """The run of 06:00 on ``day``: it looks at the snapshot of the day before."""
        return self.run(name or f"day-{day}", _interval(day), **values)

    def planned(self) -> dict[str, str]:
        """``change@snapshot`` by contact; ``outcome(reason)`` added where it is not planned."""
        found = {}
        for row in self.ledger.queries.list_deliveries():
            text = f"{row.change}@{row.snapshot[-2:]}"
            if row.outcome != "planned":
                text += f" {row.outcome}({row.reason})"
            found[row.contact_id] = f"{found.get(row.contact_id, '')} {text}".strip()
        return found

    def spans(self) -> list[str]:
        return [
            f"{span.kind} {span.stretch.previous.key[-2:]}-{span.stretch.current.key[-2:]}"
            for span in self.ledger.runs.all_spans("greet")
        ]


def _interval(day: int) -> tuple[datetime, datetime]:
    end = datetime(2026, 11, day, 6, tzinfo=UTC)
    return end - timedelta(days=1), end


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.snapshot(7, "a")
    made.snapshot(8, "a", "b")
    made.snapshot(9, "b", "c")
    return made


def test_a_daily_run_compares_the_last_two_days(place):
    """The run of the 10th at 06:00 compares the 8th with the 9th."""
    found = place.day(10)
    assert found.outcome == "recorded"
    assert place.planned() == {"a": "removed@09", "c": "added@09"}
    [span] = found.spans
    assert (span.previous_size, span.current_size) == (2, 2)


def test_the_first_run_of_all_records_a_baseline_and_plans_nothing(place):
    """There is no earlier snapshot: nobody who matches already is messaged."""
    place.day(8)
    assert (place.spans(), place.planned()) == (["baseline 07-07"], {})


def test_runs_in_any_order_plan_the_same(place):
    """The 10th before the 9th before the 8th."""
    for day in (10, 8, 9):
        place.day(day)
    assert place.planned() == {"a": "removed@09", "b": "added@08", "c": "added@09"}


def test_a_missing_day_is_bridged_and_covered_when_it_arrives(tmp_path):
    """Without the 8th the 10th's run takes both days; the late 8th finds nothing left."""
    place = Place(tmp_path)
    place.snapshot(7, "a")
    place.snapshot(9, "b", "c")
    place.day(10)
    place.snapshot(8, "a", "b")
    found = place.day(9)
    assert (found.outcome, "day-10" in found.reason) == ("covered", True)
    assert place.planned() == {"a": "removed@09", "b": "added@09", "c": "added@09"}


def test_a_wide_span_takes_only_what_is_left_around_covered_days(place):
    """The 8th was run by hand; a run over 6th to 10th takes what lies before and after it."""
    place.snapshot(6)
    place.more = {"policies": {"max_age": None}}
    place.run("by-hand", wishes=Wishes(previous="2026-11-07", current="2026-11-08"))
    wide = (datetime(2026, 11, 7, 6, tzinfo=UTC), datetime(2026, 11, 10, 6, tzinfo=UTC))
    place.run("wide", wide)
    assert place.spans() == ["changes 06-07", "changes 07-08", "changes 08-09"]
    assert place.planned() == {"a": "added@07 removed@09", "b": "added@08", "c": "added@09"}


@pytest.mark.parametrize(
    ("max_age", "too_old"), [("2d", {"d": 11, "e": 12}), ("30d", {}), (None, {})]
)
def test_the_days_of_a_pause_are_caught_up_and_sent_as_far_as_max_age_reaches(
    place, max_age, too_old
):
    """Unpaused on the 15th: each missed interval compares its own two snapshots."""
    place.snapshot(10, "b", "c")
    for day, golden in ((11, "bcd"), (12, "bcde"), (13, "bcdef"), (14, "abcdef")):
        place.snapshot(day, *golden)
    place.more = {"policies": {"max_age": max_age}}
    place.now = datetime(2026, 11, 11, 6, 30, tzinfo=UTC)
    place.day(11)  # the last one before the pause
    place.now = datetime(2026, 11, 15, 6, 30, tzinfo=UTC)
    for day in range(12, 16):
        place.day(day)
    changes = {"d": 11, "e": 12, "f": 13, "a": 14}
    assert {who: place.planned()[who] for who in changes} == {
        who: f"added@{day}" + " suppressed(max_age)" * (who in too_old)
        for who, day in changes.items()
    }


def test_an_interval_without_a_snapshot_fails_or_is_skipped_as_the_policy_says(place):
    """``missing_snapshot: fail`` is the default."""
    place.now += timedelta(days=1)
    with pytest.raises(SnapshotMissing, match=r"2026-11-10T06:00Z, 2026-11-11T06:00Z"):
        place.day(11)
    place.more = {"policies": {"missing_snapshot": "skip"}}
    assert place.day(11).outcome == "skipped"


def test_an_interval_before_the_first_snapshot_is_skipped_and_does_not_fail(place):
    """Catching up from a start before the directory existed."""
    found = place.day(3)
    assert (found.outcome, "before the first snapshot" in found.reason) == ("skipped", True)


def test_a_manual_run_covers_from_the_last_span_to_the_newest_snapshot(place):
    """Without parameters; and once more there is nothing after it."""
    place.day(9)
    place.run("manual-1")
    assert place.spans() == ["changes 07-08", "changes 08-09"]
    found = place.run("manual-2")
    assert (found.outcome, found.reason) == ("covered", "there is no snapshot after 2026-11-09")


def test_parameters_name_a_pair_and_must_be_in_order(place):
    """previous after current is an error that names both."""
    with pytest.raises(SettingsError, match="must be before"):
        place.run("r", wishes=Wishes(previous="2026-11-09", current="2026-11-08"))
    with pytest.raises(SnapshotMissing, match="2026-11-19"):
        place.run("r", wishes=Wishes(previous="2026-11-08", current="2026-11-19"))
    with pytest.raises(SettingsError, match="needs the parameter current"):
        place.run("r", wishes=Wishes(previous="2026-11-08"))


def test_a_cleared_run_reuses_its_span_and_doubles_nothing(place):
    """A newer snapshot changes nothing about a recorded run."""
    place.day(10)
    place.snapshot(9, "b", "c")  # written again
    with pytest.raises(SnapshotRewritten, match="accept_rewritten"):
        place.day(10)
    place.day(10, wishes=Wishes(accept_rewritten=True))
    assert place.planned() == {"a": "removed@09", "c": "added@09"}


def test_a_rewritten_snapshot_that_is_accepted_adds_and_withdraws(place):
    """c was gold by mistake, d is: d is planned, c is withdrawn."""
    place.day(10)
    place.snapshot(9, "b", "d")
    place.day(10, wishes=Wishes(accept_rewritten=True))
    assert place.planned()["d"] == "added@09"
    assert place.planned()["c"] == "added@09 skipped(no_longer_a_change)"


def test_a_backfill_only_records_unless_it_is_told_to_deliver(place):
    """By policy, or by the run's own wish; and cleared with the wish it delivers."""
    place.day(10, is_backfill=True)
    assert set(place.planned().values()) == {
        "removed@09 suppressed(backfill)",
        "added@09 suppressed(backfill)",
    }
    place.day(10, is_backfill=True, wishes=Wishes(deliver=True))
    assert place.planned() == {"a": "removed@09", "c": "added@09"}
    place.more = {"policies": {"backfill": "deliver"}}
    place.day(9, is_backfill=True)
    assert place.planned()["b"] == "added@08"


def test_a_backfill_over_a_scheduled_run_sends_nothing_that_was_not_sent(place):
    """Airflow rewrites the run's type: what the run is now counts, whatever it was before."""
    [span] = place.day(10).spans
    begin_sending(place, "day-10", "c", "added", 9)
    place.snapshot(9, "b", "c", "d")
    again = {"is_backfill": True, "wishes": Wishes(accept_rewritten=True)}
    place.day(10, **again)
    assert place.planned() == {
        "a": "removed@09 suppressed(backfill)",
        "c": "added@09 sending()",
        "d": "added@09 suppressed(backfill)",
    }
    assert place.ledger.queries.changes_to_handle(span.id) == []
    run = place.ledger.runs.find_run("greet", "day-10")
    judge_policies(*place.guarded(run.run_id))
    assert question(*place.guarded(run.run_id)) is None
    place.day(10, is_backfill=True, wishes=Wishes(accept_rewritten=True, deliver=True))
    assert place.planned() == {
        "a": "removed@09",
        "c": "added@09 sending()",
        "d": "added@09",
    }
    assert [row[0] for row in place.ledger.queries.changes_to_handle(span.id)] == ["a", "c", "d"]


def test_a_rejection_is_not_asked_about_in_a_backfill_that_only_records(place):
    """The same day again, by a backfill: a person asks for delivery before anybody approves."""
    place.day(10)
    run = place.ledger.runs.find_run("greet", "day-10")
    ids = [span.id for span in place.ledger.runs.spans_of(run)]
    place.ledger.runs.reject(run, ids, Decision("rejected", "ann", place.now))
    for wishes, asks in ((Wishes(), False), (Wishes(deliver=True), True)):
        place.day(10, is_backfill=True, wishes=wishes)
        run = place.ledger.runs.find_run("greet", "day-10")
        assert bool(question(*place.guarded(run.run_id))) == asks


def test_a_guard_that_is_cleared_gives_nothing_back_that_no_branch_would_send(place):
    """max_age was raised meanwhile: detect_changes plans again, and the guard releases then."""
    place.now += timedelta(days=3)
    [span] = place.day(10).spans
    place.more = {"policies": {"max_age": "30d"}}
    run = place.ledger.runs.find_run("greet", "day-10")
    judge_policies(*place.guarded(run.run_id))
    assert place.ledger.runs.release([span.id], place.now) == 0
    place.day(10)
    judge_policies(*place.guarded(run.run_id))
    assert place.ledger.runs.release([span.id], place.now) == 2


def test_a_worker_that_was_given_up_and_the_next_try_record_one_run(place):
    """It commits between the two looks of the retry: the run is recorded, not covered by itself."""
    find_run = place.ledger.runs.find_run

    def meanwhile(workflow, run_id):
        found = find_run(workflow, run_id)
        place.ledger.runs.find_run = find_run
        place.day(10)
        return found

    place.ledger.runs.find_run = meanwhile
    found = place.day(10)
    assert (found.outcome, place.spans()) == ("recorded", ["changes 08-09"])
    assert place.ledger.runs.find_run("greet", "day-10").outcome == "recorded"


def test_a_run_that_holds_spans_is_recorded_whatever_was_written_of_it_later(place):
    """A slow worker says "covered" after another try recorded the run: clearing it goes on."""
    place.day(10)
    run = Run("greet", "day-10", _interval(10))
    place.ledger.runs.record_nothing(run, "covered", "by day-10", place.now)
    assert place.day(10).outcome == "recorded"
    recorded = place.ledger.runs.find_run("greet", "day-10")
    assert (recorded.outcome, recorded.reason) == ("recorded", "")


def test_changes_older_than_max_age_are_suppressed_unless_a_person_asks(place):
    """After a pause the missed intervals run, and nobody gets last week's message."""
    place.now += timedelta(days=3)
    place.day(10)
    assert place.planned()["c"] == "added@09 suppressed(max_age)"
    place.day(10, wishes=Wishes(deliver=True))
    assert place.planned()["c"] == "added@09"


def test_the_question_about_what_was_rejected_says_that_it_is_too_old_by_now(place):
    """An approval lifts ``max_age``, so whoever is asked must know of it."""
    place.day(10)
    run = place.ledger.runs.find_run("greet", "day-10")
    ids = [span.id for span in place.ledger.runs.spans_of(run)]
    place.ledger.runs.reject(run, ids, Decision("rejected", "ann", place.now))
    for days, told in ((0, False), (17, True)):
        place.now += timedelta(days=days)
        place.day(10)
        judge_policies(*place.guarded(run.run_id))
        asked = question(*place.guarded(run.run_id))
        reason = "snapshot 2026-11-09 is older than policies.max_age, 2d"
        assert (reason in asked.reasons) == told
    assert place.ledger.runs.approve(run, ids, Decision("approved", "ann", place.now)) == 2


def test_what_has_expired_is_final_for_a_run_that_is_too_old_too(place):
    """Suppressed, it would be planned again once a person asks for delivery."""
    [span] = place.day(10).spans
    place.ledger.runs.release([span.id], place.now)
    late = update(deliveries).where(deliveries.c.contact_id == "a")
    with place.ledger.engine.begin() as connection:
        connection.execute(late.values(state=State.SKIPPED, reason="expired"))
    place.now += timedelta(days=17)
    for wishes, other in ((Wishes(), " suppressed(max_age)"), (Wishes(deliver=True), "")):
        place.day(10, wishes=wishes)
        assert place.planned() == {"a": "removed@09 skipped(expired)", "c": f"added@09{other}"}


def test_what_failed_in_a_run_that_was_made_anew_in_airflow_is_tried_when_it_is_cleared(place):
    """The clear numbers of a run begin at 0 again where it was deleted."""
    [span] = place.day(10).spans
    place.ledger.runs.release([span.id], place.now)
    keys = [row.key for row in place.ledger.queries.list_deliveries()]
    mine = {"owner": "me", "now": place.now, "lease_until": place.now + timedelta(minutes=5)}

    def tried(clear_number: int) -> int:
        place.day(10, clear_number=clear_number)
        how = {**mine, "clear_number": clear_number}
        taken = [row.key for row in place.ledger.deliveries.claim(keys, **how)]
        advance(place.ledger, [], taken, **how)
        refused = [Finished(one, State.FAILED, "550") for one in taken]
        advance(place.ledger, refused, [], **how)
        return len(taken)

    assert [tried(number) for number in (3, 3, 0, 0, 1, 1, 2)] == [2, 0, 0, 0, 2, 0, 2]


def test_an_edited_segment_messages_only_those_who_crossed_the_new_line(place):
    """Both sides are judged by today's definition: silver contacts who were silver are no news."""
    place.day(9)
    place.match = {"field": "tier", "equals": "silver"}
    place.day(10)
    assert place.planned() == {"a": "added@09", "b": "added@08", "c": "removed@09"}


def test_a_column_that_is_new_makes_a_baseline_and_one_that_is_gone_a_failure(tmp_path):
    """The definition needs ``tier``: the 7th lacks it, later the 9th does."""
    place = Place(tmp_path)
    place.snapshot(7, columns=("contact_id",))
    place.snapshot(8, "a", "b")
    place.day(9)
    assert (place.spans(), place.planned()) == (["baseline 07-08"], {})
    place.snapshot(9, columns=("contact_id",))
    with pytest.raises(DataError, match=r"contacts\.tier"):
        place.day(10)


def test_a_baseline_stays_one_when_its_run_is_cleared(place):
    """An earlier snapshot that arrives later messages nobody in retrospect."""
    place.day(8)
    place.snapshot(6)
    place.day(8)
    assert (place.spans(), place.planned()) == (["baseline 07-07"], {})


def test_a_person_can_deliver_what_an_earlier_run_only_recorded(place):
    """By hand, too old, and then by hand with deliver: the later run takes the span over."""
    place.now += timedelta(days=3)
    pair = {"previous": "2026-11-08", "current": "2026-11-09"}
    place.run("first", wishes=Wishes(**pair))
    assert place.planned()["c"] == "added@09 suppressed(max_age)"
    found = place.run("second", wishes=Wishes(**pair, deliver=True))
    assert (found.outcome, place.planned()["c"]) == ("recorded", "added@09")
    assert [span.run_id for span in place.ledger.runs.all_spans("greet")] == ["second"]


def test_a_person_can_deliver_a_stretch_of_which_only_part_was_recorded(place):
    """The 8th was recorded by a backfill, the 9th not at all: both are delivered, each once."""
    place.day(9, is_backfill=True)
    pair = {"previous": "2026-11-07", "current": "2026-11-09"}
    place.run("by-hand", wishes=Wishes(**pair, deliver=True))
    assert place.planned() == {"a": "removed@09", "b": "added@08", "c": "added@09"}
    assert {span.run_id for span in place.ledger.runs.all_spans("greet")} == {"by-hand"}


@pytest.mark.parametrize("dies_before", range(4))
def test_a_delivery_of_a_stretch_that_dies_half_way_is_whole_when_it_is_tried_again(
    place, dies_before
):
    """Between any two of its transactions; the 8th was only recorded, the 9th not at all."""
    place.day(9, is_backfill=True)
    write, left = place.ledger.runs._write, [dies_before]

    def mortal():
        left[0] -= 1
        if left[0] < 0:
            raise LedgerError("the database went away")
        return write()

    wishes = Wishes(previous="2026-11-07", current="2026-11-09", deliver=True)
    place.ledger.runs._write = mortal
    with suppress(LedgerError):
        place.run("by-hand", wishes=wishes)
    place.ledger.runs._write = write
    place.run("by-hand", wishes=wishes)
    assert place.planned() == {"a": "removed@09", "b": "added@08", "c": "added@09"}


def test_taking_over_stays_within_the_pair_that_was_named(place):
    """7 to 9 was only recorded, the 8th came late: 8 to 9 cannot be delivered alone."""
    late = place.folder / "snapshots/2026-11-08"
    late.rename(place.folder / "late")
    place.day(10, is_backfill=True)
    (place.folder / "late").rename(late)
    pair = {"previous": "2026-11-08", "current": "2026-11-09", "deliver": True}
    found = place.run("by-hand", wishes=Wishes(**pair))
    assert found.outcome == "covered"
    assert found.reason.endswith(
        "2026-11-07 → 2026-11-09 reaches beyond that and is not taken over"
    )
    assert place.planned()["c"] == "added@09 suppressed(backfill)"


def test_a_snapshot_that_lost_its_opt_outs_stops_the_run(place):
    """The 8th says who unsubscribed, the 9th does not: everybody would count as opted in."""
    place.snapshot(8, "a", "b", columns=("contact_id", "tier", "unsubscribed"))
    with pytest.raises(DataError, match=r"2026-11-09 of people lacks contacts\.unsubscribed"):
        place.day(10)


def test_a_snapshot_that_lost_its_opt_outs_enrols_nobody(place):
    place.snapshot(8, "a", "b", columns=("contact_id", "tier", "unsubscribed"))
    with pytest.raises(DataError, match=r"2026-11-09 of people lacks contacts\.unsubscribed"):
        place.run("enrol", wishes=ENROL)
    assert place.planned() == {}


def test_mailing_lists_that_lost_their_opt_states_stop_the_run(place):
    """Whoever opted out of a list would count as opted in."""
    for day, columns, row in ((8, "mailing_list,opted_in", "News,no"), (9, "mailing_list", "News")):
        folder = place.folder / "snapshots" / f"2026-11-{day:02}"
        (folder / "mailing_lists.csv").write_text(f"contact_id,{columns}\na,{row}\n")
    with pytest.raises(DataError, match=r"2026-11-09 of people lacks mailing_lists\.opted_in"):
        place.day(10)


def test_a_mapped_opt_out_column_that_is_not_there_stops_the_run(place):
    """A typing error in the directory's ``columns`` must not opt everybody in."""
    place.directory = {"columns": {"contacts": {"unsubscribed": "Optout"}}}
    with pytest.raises(DataError, match="no column 'Optout'"):
        place.day(10)


def test_a_covered_run_says_where_deliveries_are_not_finished(place):
    """The covering run died before its guard."""
    place.day(10)
    found = place.run("by-hand", wishes=Wishes(previous="2026-11-08", current="2026-11-09"))
    assert found.reason == (
        "the span up to 2026-11-09 is covered by day-10, where 2 deliveries are not finished"
    )


def test_an_edit_of_the_directorys_clock_stops_the_workflow(place):
    """Under another time zone or date_keys a day would be left out unseen."""
    place.day(9)
    place.directory = {"date_keys": "start_of_day"}
    with pytest.raises(DataError, match="timezone or date_keys of the directory people"):
        place.day(10)


def test_a_span_that_ends_at_a_deleted_snapshot_needs_a_persons_word(place):
    """The 8th is gone: the next run stops, and with accept_rewritten it begins anew."""
    place.snapshot(6)
    place.day(9)
    shutil.rmtree(place.folder / "snapshots/2026-11-08")
    with pytest.raises(SnapshotMissing, match="accept_rewritten"):
        place.day(10)
    place.day(10, wishes=Wishes(accept_rewritten=True))
    assert place.spans()[-1] == "baseline 08-09"
    assert place.planned() == {"b": "added@08"}


def test_without_any_earlier_snapshot_a_workflow_that_has_run_needs_a_persons_word_too(place):
    """The 7th and the 8th are gone: no silent baseline."""
    place.day(9)
    for day in (7, 8):
        shutil.rmtree(place.folder / f"snapshots/2026-11-{day:02}")
    with pytest.raises(SnapshotMissing, match=r"2026-11-08.*accept_rewritten"):
        place.day(10)
    [span] = place.day(10, wishes=Wishes(accept_rewritten=True)).spans
    assert (span.kind, span.reason) == ("baseline", "2026-11-08 is gone")


def quarantine(place: Place, key: str) -> None:
    place.ledger.people.quarantine("people", key, reason="half", by="ann", now=place.now)


def test_the_day_after_a_quarantined_snapshot_compares_with_the_one_before(place):
    """The 8th is wrong: the run of the 10th compares the 7th with the 9th."""
    place.day(9)
    quarantine(place, "2026-11-08")
    place.day(10)
    assert place.spans() == ["changes 07-09"]
    assert place.planned() == {
        "a": "removed@09",
        "b": "added@08 suppressed(rejected) added@09",
        "c": "added@09",
    }


def test_a_snapshot_that_is_quarantined_during_detection_is_compared_with_by_no_run(place):
    """The 8th, as the run of the 10th is about to record: it chooses the 7th instead."""
    record_spans = place.ledger.runs.record_spans

    def meanwhile(*arguments, **named):
        quarantine(place, "2026-11-08")
        record_spans(*arguments, **named)

    place.ledger.runs.record_spans = meanwhile
    place.day(10)
    assert place.spans() == ["changes 07-09"]


def test_a_manual_run_goes_on_from_the_snapshot_before_the_quarantined_one(place):
    """The newest is quarantined and its span withdrawn: there is nothing after the 8th."""
    place.day(9)
    place.day(10)
    quarantine(place, "2026-11-09")
    assert place.run("manual").reason == "there is no snapshot after 2026-11-08"


def test_a_run_whose_only_snapshot_is_quarantined_has_none(place):
    """Cleared, it says so; and it waits like a run without a snapshot."""
    place.day(10)
    quarantine(place, "2026-11-09")
    with pytest.raises(SnapshotMissing, match="but 2026-11-09, which is quarantined"):
        place.day(10)
    run = Run("greet", "new", interval=_interval(10))
    assert "no snapshot of the run's interval" in waiting_for(
        RunContext(place.workflow, run, place.ledger, place.now)
    )


def test_a_released_quarantine_lets_the_cleared_run_record_its_span_anew(place):
    """With the mended files, under the same keys; what was rejected waits for an answer."""
    place.day(10)
    quarantine(place, "2026-11-09")
    place.ledger.people.end_quarantine("people", "2026-11-09")
    place.snapshot(9, "b", "d")
    found = place.day(10)
    assert [span.kind for span in found.spans] == ["changes"]
    assert place.planned() == {
        "a": "removed@09 suppressed(rejected)",
        "c": "added@09 suppressed(rejected)",
        "d": "added@09",
    }


def test_a_pair_that_names_a_quarantined_snapshot_is_refused(place):
    """Both ends; the message says how to go on."""
    quarantine(place, "2026-11-08")
    for pair in (("2026-11-07", "2026-11-08"), ("2026-11-08", "2026-11-09")):
        with pytest.raises(SettingsError, match=r"quarantined \(half\); segue snapshots release"):
            place.run("r", wishes=Wishes(previous=pair[0], current=pair[1]))


def lines(place: Place) -> list[str]:
    """The report's lines about gaps."""
    return gap_lines("greet", lost_gaps(place.workflow, place.ledger, place.now))


def begin_sending(place: Place, name: str, contact_id: str, change: str, day: int) -> None:
    """Release a run and begin one of its calls: its span is kept whatever is quarantined."""
    run = place.ledger.runs.find_run("greet", name)
    place.ledger.runs.release([span.id for span in place.ledger.runs.spans_of(run)], place.now)
    key = place.ledger.key("greet", "mail", contact_id, change, f"2026-11-{day:02}")
    lease = {"owner": "me", "now": place.now, "lease_until": place.now + timedelta(minutes=1)}
    place.ledger.deliveries.claim([key], **lease)
    assert advance(place.ledger, [], [key], **lease) == {key}


def send(place: Place, name: str, contact_id: str, change: str, day: int) -> None:
    """Release a run and let one of its calls be delivered, with results."""
    begin_sending(place, name, contact_id, change, day)
    key = place.ledger.key("greet", "mail", contact_id, change, f"2026-11-{day:02}")
    lease = {"owner": "me", "now": place.now, "lease_until": place.now + timedelta(minutes=1)}
    delivered = Finished(key, State.DELIVERED, results={"id": "7"})
    advance(place.ledger, [delivered], [], **lease)


def test_time_before_a_kept_span_of_a_quarantined_snapshot_is_nobodys_and_every_report_says_so(
    place,
):
    """8 to 9 was sent and stays; 7 to 8 cannot be compared."""
    place.day(10)
    begin_sending(place, "day-10", "c", "added", 9)
    quarantine(place, "2026-11-08")
    wide = (datetime(2026, 11, 8, 6, tzinfo=UTC), datetime(2026, 11, 10, 6, tzinfo=UTC))
    found = place.run("wide", wide)
    assert (found.outcome, place.spans()) == ("covered", ["changes 08-09"])
    assert found.reason.endswith(
        "2026-11-07 → 2026-11-08 is looked at by nobody: a snapshot is quarantined"
    )
    [line] = lines(place)
    assert line == (
        "GAP: 2026-11-07 → 2026-11-08; nobody looks at it: a snapshot at its ends is quarantined, "
        "and what was sent from that one stays"
    )


def test_the_day_after_a_kept_span_compares_with_the_snapshot_before_it(place):
    """From the 8th, which is quarantined, b is being sent: 7 to 9 is acted on but for b."""
    place.snapshot(9, "b", "c")
    place.day(9)
    begin_sending(place, "day-9", "b", "added", 8)
    quarantine(place, "2026-11-08")
    for _ in range(2):  # and so it is when the run is cleared
        [span] = place.day(10).spans
        assert (span.stretch.previous.key, span.stretch.current.key) == ("2026-11-07", "2026-11-09")
        assert place.planned() == {
            "a": "removed@09",
            "b": "added@08 sending() added@09 suppressed(in_hand)",
            "c": "added@09",
        }
    assert lines(place) == []


def test_two_kept_spans_in_a_row_are_bridged_as_one(place):
    """Of the 8th b was sent, of the 9th a's removal: 7 to 10 is acted on but for these."""
    place.day(9)
    begin_sending(place, "day-9", "b", "added", 8)
    place.day(10)
    begin_sending(place, "day-10", "a", "removed", 9)
    for day in (8, 9):
        quarantine(place, f"2026-11-{day:02}")
    place.snapshot(10, "b", "d")
    place.now += timedelta(days=1)
    place.day(11)
    assert place.spans() == ["changes 07-08", "changes 08-09", "changes 07-10"]
    assert place.planned()["d"] == "added@10"
    assert place.planned()["a"] == "removed@09 sending() removed@10 suppressed(in_hand)"
    assert place.planned()["b"] == "added@08 sending() added@10 suppressed(in_hand)"


@pytest.mark.parametrize("order", [(8, 9, 10), (10, 9, 8), (9, 10, 8)])
def test_any_number_of_kept_spans_is_bridged_in_whatever_order_they_are_quarantined(place, order):
    """Each run goes on as soon as its day is there; the last compares with the 7th."""
    place.snapshot(10, "b", "d")
    place.snapshot(11, "b", "d", "e")
    place.more = {"policies": {"max_age": None}}
    place.now += timedelta(days=2)
    sent = {8: ("b", "added"), 9: ("a", "removed"), 10: ("d", "added")}
    for day, (contact, change) in sent.items():
        place.day(day + 1)
        begin_sending(place, f"day-{day + 1}", contact, change, day)
    for day in order:
        quarantine(place, f"2026-11-{day:02}")
    place.day(12)
    assert place.spans()[-1] == "changes 07-11"
    assert place.planned()["e"] == "added@11"
    assert lines(place) == []


def test_kept_spans_that_were_quarantined_one_after_another_are_bridged(place):
    """Each later run was compared with the 7th already, and its day was wrong as well."""
    place.more = {"policies": {"max_age": None}}
    place.now += timedelta(days=5)
    place.snapshot(6)
    place.day(8)
    begin_sending(place, "day-8", "a", "added", 7)
    for day, contact in ((8, "b"), (9, "c"), (10, "d")):
        place.snapshot(day, "a", "b", contact)
        place.day(day + 1)
        begin_sending(place, f"day-{day + 1}", contact, "added", day)
        quarantine(place, f"2026-11-{day:02}")
    quarantine(place, "2026-11-07")
    place.snapshot(11, "e")
    place.day(12)
    assert place.spans()[-1] == "changes 06-11"
    assert place.planned()["e"] == "added@11"


def test_a_workflow_without_a_schedule_goes_on_after_a_kept_span(place):
    """The last span ends at the quarantined 8th."""
    place.run("first", wishes=Wishes(current="2026-11-08"))
    begin_sending(place, "first", "b", "added", 8)
    quarantine(place, "2026-11-08")
    place.run("second")
    assert place.spans() == ["changes 07-08", "changes 07-09"]
    assert place.run("third").reason == "there is no snapshot after 2026-11-09"


def test_odd_things_are_kept_with_the_span_for_the_guard(place):
    """A copy of the day before; cleared with other files, it is judged again."""
    place.snapshot(9, "a", "b")
    [span] = place.day(10).spans
    assert span.findings == [
        "snapshot 2026-11-09 is stale: its files are those of 2026-11-08, byte for byte"
    ]
    place.snapshot(9, "b", "c")
    [span] = place.day(10, wishes=Wishes(accept_rewritten=True)).spans
    assert span.findings == []


def test_a_snapshot_without_contacts_is_compared_and_its_span_says_so(place):
    """Everybody is removed: for the guard to ask about, not for the run to fail."""
    (place.folder / "snapshots/2026-11-09/contacts.csv").write_text("contact_id,tier\n")
    [span] = place.day(10).spans
    assert span.findings[0] == ("snapshot 2026-11-09 has no contacts; 2026-11-08 had 6")
    assert place.planned() == {"a": "removed@09", "b": "removed@09"}


def test_a_snapshot_that_another_run_compared_with_other_files_is_for_a_person(place):
    """The 8th lacked c when the 9th was run: cleared with the whole files, c is added again."""
    place.snapshot(9, "a", "b", "c")
    place.day(9)
    place.day(10)
    place.snapshot(8, "a", "b", "c")
    [span] = place.day(9, wishes=Wishes(accept_rewritten=True)).spans
    assert place.planned()["c"] == "added@08 added@09"
    [finding] = span.findings
    assert finding == (
        "snapshot 2026-11-08 was rewritten after day-10 compared it: whom that run acted on may be "
        "among these"
    )


def test_a_run_after_a_rewritten_snapshot_asks_and_the_next_one_does_not(place):
    """The 8th had b when the run of the 9th added b, and lacks b when the 9th is compared."""
    place.day(9)
    place.snapshot(8, "a")
    [span] = place.day(10).spans
    assert "2026-11-08 was rewritten after day-9 compared it" in span.findings[0]
    place.snapshot(10, "b", "d")
    place.now += timedelta(days=1)
    [span] = place.day(11).spans
    assert span.findings == []


def test_reports_list_no_gap_that_runs_are_about_to_cover(place):
    """Catching up from the 8th: what comes after the newest span is still to be run."""
    place.more = {"schedule": "0 6 * * *"}
    place.snapshot(6)
    place.day(8)
    assert lines(place) == []
    place.day(10)
    [line] = lines(place)
    assert line.startswith("GAP: 2026-11-07 → 2026-11-08; fill it with: airflow dags trigger greet")


ENROL = Wishes(enroll_current_members=True)


def test_an_enrolment_plans_every_present_member_once(place):
    """b and c are gold; a second one finds them waiting, and moves them."""
    place.more = {"policies": {"max_age": "1d"}}
    place.now += timedelta(days=30)
    found = place.run("first", wishes=ENROL)
    assert [span.kind for span in found.spans] == ["enrolment"]
    assert place.planned() == {"b": "enrolled@09", "c": "enrolled@09"}
    place.ledger.runs.release([found.spans[0].id], place.now)
    place.snapshot(10, "b", "c", "d")
    place.run("second", wishes=ENROL)
    assert place.planned() == {
        "b": "enrolled@09 released()",
        "c": "enrolled@09 released()",
        "d": "enrolled@10",
    }


def test_an_enrolment_covers_no_time_and_a_daily_run_goes_on_as_before(place):
    """In either order."""
    place.run("enrol", wishes=ENROL)
    place.day(10)
    assert place.planned() == {"a": "removed@09", "b": "enrolled@09", "c": "added@09 enrolled@09"}
    place.run("enrol-again", wishes=ENROL)
    assert place.spans() == ["changes 08-09"]


def test_an_enrolment_leaves_out_those_whose_added_went_out(place):
    """c was released by the daily run; its removal would not matter."""
    [span] = place.day(10).spans
    place.ledger.runs.release([span.id], place.now)
    place.run("enrol", wishes=ENROL)
    assert place.planned()["c"] == "added@09 released()"
    assert place.planned()["b"] == "enrolled@09"


def test_a_cleared_enrolment_is_the_same_enrolment(place):
    """At its own snapshot, whatever is newer; what was released stays."""
    [span] = place.run("enrol", wishes=ENROL).spans
    place.ledger.runs.release([span.id], place.now)
    place.snapshot(10, "d")
    place.run("enrol", wishes=ENROL)
    assert place.planned() == {"b": "enrolled@09 released()", "c": "enrolled@09 released()"}
    assert len(place.ledger.runs.spans_of(place.ledger.runs.find_run("greet", "enrol"))) == 1


def test_an_enrolment_can_name_its_snapshot_and_is_for_runs_by_hand(place):
    """Not for a schedule's interval, nor for a pair."""
    place.run("enrol", wishes=replace(ENROL, current="2026-11-08"))
    assert place.planned() == {"a": "enrolled@08", "b": "enrolled@08"}
    with pytest.raises(SettingsError, match="for a run that a person triggers"):
        place.day(10, wishes=ENROL)
    with pytest.raises(SettingsError, match="previous means nothing"):
        place.run("r", wishes=replace(ENROL, previous="2026-11-07", current="2026-11-08"))


def approve(place: Place, name: str) -> None:
    run = place.ledger.runs.find_run("greet", name)
    ids = [span.id for span in place.ledger.runs.spans_of(run)]
    place.ledger.runs.approve(run, ids, Decision("approved", "ann", place.now))


def test_a_daily_run_after_an_enrolment_at_its_snapshot_does_not_act_again(place):
    """c was enrolled at the 9th before the run that finds c added there; a's removal is news."""
    place.run("enrol", wishes=ENROL)
    approve(place, "enrol")
    place.day(10)
    assert place.planned() == {
        "a": "removed@09",
        "b": "enrolled@09 released()",
        "c": "added@09 suppressed(reached) enrolled@09 released()",
    }
    place.day(10)
    place.day(9)  # an older day that was late
    assert place.planned()["b"] == "added@08 suppressed(reached) enrolled@09 released()"


def test_who_is_removed_after_an_enrolment_and_added_again_is_news(place):
    """c was enrolled at the 9th, gone at the 10th, back at the 11th."""
    place.run("enrol", wishes=ENROL)
    approve(place, "enrol")
    place.snapshot(10, "b")
    place.snapshot(11, "b", "c")
    place.now += timedelta(days=2)
    place.day(11)
    place.day(12)
    assert place.planned()["c"] == "enrolled@09 released() removed@10 added@11"


def test_an_enrolment_leaves_out_those_whose_added_waits_at_the_guard(place):
    """Approving both would reach c twice."""
    place.day(10)
    place.run("enrol", wishes=ENROL)
    assert place.planned()["c"] == "added@09"


def test_an_enrolment_that_waited_does_not_release_whom_a_daily_run_reached(place):
    """Both were recorded; the daily run's guard was faster than the person, or slower."""
    place.run("enrol", wishes=ENROL)
    place.day(10)
    approve(place, "day-10")
    approve(place, "enrol")
    assert place.planned()["c"] == "added@09 released() enrolled@09 suppressed(reached)"
    place.day(9)
    place.snapshot(10, "b", "c", "d")
    place.now += timedelta(days=1)
    place.run("enrol-2", wishes=ENROL)
    place.day(11)
    approve(place, "enrol-2")
    approve(place, "day-11")
    assert place.planned()["d"] == "added@10 suppressed(reached) enrolled@10 released()"


LAPSED = {"transactions": {}, "latest": {"field": "date", "not_in_past": "90d"}}


def _purchases(place, day, unread):
    """Twenty purchases of contact a, the last ``unread`` of them in another notation."""
    dates = ["2026-11-01"] * (20 - unread) + ["01.11.2026"] * unread
    folder = place.folder / "snapshots" / f"2026-11-{day:02}"
    (folder / "transactions.csv").write_text(
        "contact_id,date\n" + "".join(f"a,{d}\n" for d in dates)
    )


@pytest.mark.parametrize(("unread", "asked"), [(0, False), (1, True), (20, None)])
def test_dates_in_another_notation_are_odd_or_stop_the_run(place, unread, asked):
    """A few that are new are a finding for the guard; with most of them nothing is judged."""
    place.match = LAPSED
    _purchases(place, 7, 0)
    _purchases(place, 8, unread)
    if asked is None:
        with pytest.raises(DataError, match="20 of 20 values cannot be read as a date"):
            place.day(9)
        return
    [span] = place.day(9).spans
    assert any("transactions.date: 1 of 20" in line for line in span.findings) == asked


@pytest.mark.parametrize("first_bad", [8, 7])
def test_a_day_after_one_that_could_not_be_read_is_not_compared_with_it(place, first_bad):
    """Whoever seemed lapsed would come back; the one before it is compared instead, or none."""
    place.match, place.more = LAPSED, {"guard": {"at_most": 100}}
    for day in (7, 8, 9):
        place.snapshot(day)
        _purchases(place, day, 20 if first_bad <= day < 9 else 0)
    with pytest.raises(DataError, match="20 of 20 values cannot be read as a date"):
        place.day(9)
    place.now += timedelta(days=1)
    advice = r"with the snapshot before: .*2026-11-08.*quarantine 2026-11-08 --directory people"
    with pytest.raises(DataError, match=advice):
        place.day(10)
    for day in range(first_bad, 9):
        key = f"2026-11-{day:02}"
        place.ledger.people.quarantine("people", key, reason="unread", by="ann", now=place.now)
    [span] = place.day(10).spans
    assert span.kind == ("changes" if first_bad == 8 else "baseline")
    assert span.stretch.previous.key == ("2026-11-07" if first_bad == 8 else "2026-11-09")
    assert place.planned() == {}


def test_a_mended_day_may_be_compared_with(place):
    """The files of the day before are put right: then nothing is in the way."""
    place.match = LAPSED
    for day, unread in ((8, 20), (9, 0)):
        place.snapshot(day)
        _purchases(place, day, unread)
    place.now += timedelta(days=1)
    with pytest.raises(DataError, match="Mend the files of 2026-11-08"):
        place.day(10)
    _purchases(place, 8, 0)
    [span] = place.day(10).spans
    assert span.kind == "changes"
    assert place.planned() == {}


@pytest.mark.parametrize(("unread", "asked"), [(0, False), (1, True)])
def test_a_few_dates_that_come_back_are_odd_as_those_that_went(place, unread, asked):
    """Whoever was misjudged for a day counts as changed on the next."""
    place.match = LAPSED
    _purchases(place, 7, unread)
    _purchases(place, 8, 0)
    [span] = place.day(9).spans
    told = "in snapshot 2026-11-07 transactions.date: 1 of 20"
    assert any(told in line for line in span.findings) == asked


def test_a_field_that_is_looked_up_may_be_of_another_type_in_the_snapshot(place):
    """Conditions judge the live value; what the segment reads is the snapshot's, and counts."""
    at_least = {"field": "score", "at_least": 1}
    for day in (7, 8):
        folder = place.folder / "snapshots" / f"2026-11-{day:02}"
        (folder / "contacts.csv").unlink()
        table = pa.table({"contact_id": ["a"], "tier": ["gold"], "score": [True]})
        pq.write_table(table, folder / "contacts.parquet")
    query = "SELECT score FROM scores WHERE id = :contact_id"
    given = {"connection": "live", "query": query, "fields": {"score": "score"}}
    place.more, live = {"conditions": at_least}, SqlDetails.model_validate(given)
    for match, source, refused in ((GOLD, live, False), (at_least, live, True), (GOLD, None, True)):
        place.match = match
        resolved = replace(place.workflow, live=source)
        previous, current = list_snapshots(resolved.directory, now=place.now)[:2]
        with pytest.raises(DataError, match="score") if refused else nullcontext():
            compare_pair(resolved, previous, current, store=Uncached(), now=place.now)


def test_a_namespace_that_changed_is_noticed_before_anything_is_sent_again(place):
    """The ledger knows another name alone; going on is said, by that name."""
    place.day(9)
    mine = place.ledger
    place.ledger = Ledger(mine.engine, "prod")
    for run in ({}, {"wishes": Wishes(enroll_current_members=True)}):
        with pytest.raises(SettingsError, match=r"knows test: .*SEGUE_NEW_NAMESPACE=prod"):
            place.run("by-hand", **run)
    place.ledger = Ledger(mine.engine, "prod", is_new=True)
    assert place.day(9).outcome == "recorded"
    for name in ("prod", "test"):  # both are known from now on
        place.ledger = Ledger(mine.engine, name)
        assert place.day(10).outcome == "recorded"


def test_no_workflow_is_the_first_one_under_a_changed_namespace(place):
    """Not even one that the ledger has never seen: the others would begin anew behind it."""
    record(place.ledger, Run("other", "run-1"), detected(stretch(8, 9)))
    place.ledger = Ledger(place.ledger.engine, "changed")
    with pytest.raises(SettingsError, match="SEGUE_NEW_NAMESPACE=changed"):
        place.day(9)


def test_a_workflow_that_is_promoted_to_another_namespace_of_the_ledger_begins_there(place):
    """That namespace knows workflows: its variable is what it always was."""
    place.day(9)
    prod = Ledger(place.ledger.engine, "prod")
    assert prod.runs.foreign_namespaces() == ["test"]
    record(prod, Run("elsewhere", "run-1"), detected(stretch(8, 9)))
    assert prod.runs.foreign_namespaces() == []
    place.ledger = prod
    assert place.day(9).outcome == "recorded"


def audience_with(place: Place, *actions: Mapping, **more) -> ResolvedWorkflow:
    """The workflow with these actions."""
    texts = [{"recording": {"text": "hi"}, **action} for action in actions]
    place.more = {"actions": texts, **more}
    return place.workflow


def test_editing_actions_stops_only_those_whose_contacts_it_decides(place):
    """Adding, removing, renaming and rewording stop nobody; an ``if`` stops its own action."""
    gold, silver = GOLD, {"field": "tier", "equals": "silver"}
    one, two = {"id": "one", "if": gold}, {"id": "two"}
    before = audience_with(place, one, two).audience
    for actions in (
        [one, two],
        [one],
        [two],
        [two, one],
        [one, two, {"id": "three", "if": silver}],
        [one, {"id": "renamed"}],
        [{**one, "recording": {"text": "reworded"}}, two],
    ):
        after = audience_with(place, *actions)
        assert after.acts_on_the_same(before)
        assert all(after.acts_on_the_same(before, action) for action in after.action_ids), actions
    for edited in ({**one, "if": silver}, {"id": "one"}):
        after = audience_with(place, edited, two)
        assert after.acts_on_the_same(before)
        assert not after.acts_on_the_same(before, "one")
        assert after.acts_on_the_same(before, "two")
    assert not audience_with(place, one, two, conditions=gold).acts_on_the_same(before)
    for gone in ("", "of another version"):
        assert not audience_with(place, one, two).acts_on_the_same(gone, "one")


def test_what_a_kept_span_left_undone_of_a_contact_is_done_by_the_next(place):
    """b's mail went out of the quarantined 8th, what comes after it did not: by action."""
    mail = {"id": "mail", "recording": {"text": "hi"}}
    place.more = {"actions": [mail, {**mail, "id": "post", "after": "mail"}]}
    place.snapshot(9, "b", "c")
    place.day(9)
    send(place, "day-9", "b", "added", 8)
    quarantine(place, "2026-11-08")
    for _ in range(2):
        place.day(10)
        rows = place.ledger.queries.list_deliveries(contact_id="b", snapshot="2026-11-09")
        found = {row.action: (row.outcome, row.reason) for row in rows}
        assert found == {"mail": ("suppressed", Reason.SENT_BEFORE), "post": ("planned", "")}
    key = place.ledger.key("greet", "mail", "b", "added", "2026-11-09")
    assert place.ledger.deliveries.rows([key])[key].results == {"id": "7"}


def test_what_another_run_had_in_hand_and_has_sent_stays_a_change_of_both(place):
    """Cleared as told, the later run says that it was sent, and to whom."""
    place.snapshot(9, "a", "b", "c")
    place.more = {"policies": {"max_age": None}}
    place.day(9)
    begin_sending(place, "day-9", "b", "added", 8)
    quarantine(place, "2026-11-08")
    [span] = place.day(10).spans
    waiting = {"b": "added@08 sending() added@09 suppressed(in_hand)", "c": "added@09"}
    assert place.planned() == waiting
    key = place.ledger.key("greet", "mail", "b", "added", "2026-11-08")
    lease = {"owner": "me", "now": place.now, "lease_until": place.now}
    advance(place.ledger, [Finished(key, State.DELIVERED)], [], **lease)
    for _ in range(2):
        place.day(10)
        sent = waiting["b"].replace("sending", "delivered").replace("in_hand", "sent_before")
        assert place.planned() == {**waiting, "b": sent}
        assert place.ledger.queries.count_changes([span.id]) == {"added": 2}


def test_a_kept_run_that_is_done_again_leaves_out_what_the_later_one_has_sent(place):
    """Of the wrong 8th b was sent; the 10th found c from the 7th on, and c was on the 8th too."""
    place.snapshot(9, "a", "b", "c")
    place.more = {"policies": {"max_age": None}}
    place.day(9)
    send(place, "day-9", "b", "added", 8)
    quarantine(place, "2026-11-08")
    place.day(10)
    send(place, "day-10", "c", "added", 9)
    place.snapshot(8, "a", "b", "c", "d")
    place.ledger.people.end_quarantine("people", "2026-11-08")
    place.day(9, wishes=Wishes(accept_rewritten=True, deliver=True))
    assert place.planned() == {
        "b": "added@08 delivered()",
        "c": "added@08 suppressed(sent_before) added@09 delivered()",
        "d": "added@08",
    }
    run = place.ledger.runs.find_run("greet", "day-9")
    judge_policies(*place.guarded(run.run_id, Wishes(deliver=True)))
    no = Decision("rejected", "ann", place.now)
    place.ledger.runs.reject(run, [span.id for span in place.ledger.runs.spans_of(run)], no)
    asked = question(*place.guarded(run.run_id))
    assert asked.waiting == {"added": 1}
    assert asked.reasons[-1] == "left out: 1 deliveries that another run has sent, or has in hand"


def test_what_a_run_has_recorded_is_not_withdrawn_because_it_cannot_be_compared(place):
    """The segment asks for a column that the earlier snapshot lacks; put back, all is as it was."""
    place.snapshot(8, "a")
    place.snapshot(9, "a", "b", columns=("contact_id", "tier", "vip"))
    place.day(10)
    place.match = {"field": "vip", "is_set": True}
    with pytest.raises(DataError, match="cannot be compared now: new column: 2026-11-08 lacks"):
        place.day(10)
    assert place.planned() == {"b": "added@09"}
    place.match = GOLD
    assert place.day(10).outcome == "recorded"
    assert place.planned() == {"b": "added@09"}


def test_a_run_whose_span_was_taken_over_names_the_run_that_has_it_and_may_take_it_back(place):
    """Where that one's span was withdrawn, and nobody has the time, it begins anew."""
    place.snapshot(8, "a")
    place.snapshot(9, "a", "b")
    place.more["policies"] = {"max_age": "1h"}
    place.day(10)
    place.run("by-hand", wishes=Wishes("2026-11-08", "2026-11-09", deliver=True))
    again = place.day(10)
    assert (again.outcome, "covered by by-hand" in again.reason) == ("covered", True)
    place.ledger.people.quarantine("people", "2026-11-09", reason="", by="ann", now=place.now)
    place.ledger.people.end_quarantine("people", "2026-11-09")
    assert place.day(10).outcome == "recorded"
    assert place.spans() == ["changes 08-09"]


EXPECT = {"expect": {"contacts": {"columns": {"tier": {"allowed": ["gold", "silver"]}}}}}


def test_a_snapshot_that_is_not_as_expected_records_nothing(place):
    """The run fails with the list; once it is quarantined, the next compares around it."""
    place.directory = EXPECT
    place.day(9)
    path = place.folder / "snapshots/2026-11-09/contacts.csv"
    path.write_text(path.read_text().replace("gold", "goold"))
    with pytest.raises(DataError, match=r"allowed: \[gold, silver\], found 2 of 6 values"):
        place.day(10)
    assert place.spans() == ["changes 07-08"]
    place.ledger.people.quarantine("people", "2026-11-09", reason="", by="me", now=NOW)
    place.snapshot(10, "b", "d")
    place.now += timedelta(days=1)
    place.day(11)
    assert place.spans() == ["changes 07-08", "changes 08-10"]
    assert place.planned() == {"a": "removed@10", "b": "added@08", "d": "added@10"}


def test_nothing_is_compared_with_a_snapshot_that_is_not_as_expected(place):
    """Whoever was misjudged there would count as changed: the workflow began after that day."""
    place.directory = EXPECT
    path = place.folder / "snapshots/2026-11-08/contacts.csv"
    path.write_text(path.read_text().replace("gold", "goold"))
    with pytest.raises(DataError, match=r"compared with the snapshot before: snapshot 2026-11-08"):
        place.day(10)
    assert place.spans() == []


def test_a_looser_expectation_is_a_way_on(place):
    place.directory = {"expect": {"contacts": {"rows": {"at_least": 7}}}}
    with pytest.raises(DataError, match="rows at_least: 7, found 6"):
        place.day(10)
    place.directory = {"expect": {"contacts": {"rows": {"at_least": 6}}}}
    assert place.day(10).outcome == "recorded"


def test_members_are_not_enrolled_by_a_snapshot_that_is_not_as_expected(place):
    place.directory = {"expect": {"contacts": {"rows": {"at_least": 7}}}}
    with pytest.raises(DataError, match="rows at_least: 7"):
        place.run("everybody", wishes=Wishes(enroll_current_members=True))
    assert place.spans() == []


def test_expectations_are_no_part_of_who_is_acted_on(place):
    """A run that is open goes on where they are changed."""
    audience = place.workflow.audience
    fingerprint = place.workflow.fingerprint
    place.directory = EXPECT
    assert (place.workflow.audience, place.workflow.fingerprint) == (audience, fingerprint)
