"""The report: every detected change is accounted for, or the run fails and says why."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.errors import RunHalted
from segue.ledger import Ledger
from segue.ledger.delivery_keys import message_key
from segue.ledger.facts import Decision, Finished, SpanKind
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.runs.context import RunContext
from segue.runs.report import RunReport, account_for, report_run
from segue.segments.definition import SegmentDefinition
from segue.workflows.definition import ReportRules
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    advance,
    detected,
    record,
    run,
    stretch,
)
from tests.unit.runs.test_span_detection import Place

LEASE = NOW + timedelta(minutes=2)


def reported(ledger: Ledger, max_failed: int = 0, actions=("mail",)) -> RunReport:
    workflow = SimpleNamespace(
        action_ids=list(actions),
        definition=SimpleNamespace(report=ReportRules(max_failed=max_failed)),
        snapshot_cron=None,
    )
    return report_run(workflow, ledger.runs.find_run("welcome", "run-1"), ledger)


def finish(ledger: Ledger, **outcomes: Finished) -> None:
    """Give contacts' deliveries an outcome: contact=State or (State, reason)."""
    for contact_id, (state, reason) in outcomes.items():
        key = ledger.key("welcome", "mail", contact_id, "added", "2026-11-22")
        ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE)
        advance(ledger, [Finished(key, state, reason)], [], owner="me", now=NOW, lease_until=LEASE)


@pytest.fixture
def three(ledger):
    """A run of three added contacts, released."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a", "b", "c"))), NOW)
    return ledger


def test_a_run_whose_deliveries_all_ended_well_has_no_problem(three):
    """Delivered, skipped and suppressed are outcomes, held back for a reason."""
    finish(three, a=(State.DELIVERED, ""), b=(State.SKIPPED, "opted_out"), c=(State.DELIVERED, ""))
    report = reported(three)
    assert report.problems == []
    assert report.changes == Counter(added=3)
    assert report.lines() == [
        "Run run-1: recorded",
        "2026-11-21 → 2026-11-22: 10 → 11 members",
        "changes: 3 added",
        "- mail: 2 delivered, 1 skipped(opted_out)",
    ]


def test_skips_for_one_reason_are_one_number_whatever_their_details(three):
    """The text after the colon differs from contact to contact."""
    finish(three, **{who: (State.SKIPPED, f"if: {who} is not gold") for who in "abc"})
    assert reported(three).lines()[-1] == "- mail: 3 skipped(if)"


def test_a_run_over_a_missing_snapshot_says_what_it_cannot_see(ledger):
    record(ledger, run(), detected(stretch(21, 23), added("a")))
    segment = SegmentDefinition(
        segment="gold", directory="customers", match={"field": "born", "anniversary_in_next": "1d"}
    )
    workflow = SimpleNamespace(
        name="welcome",
        action_ids=["mail"],
        segment=segment,
        directory=DirectoryDefinition(directory="customers", snapshots="/nowhere"),
        definition=SimpleNamespace(report=ReportRules()),
        snapshot_cron="0 6 * * *",
    )
    lines = report_run(workflow, ledger.runs.find_run("welcome", "run-1"), ledger).lines()
    assert (
        "- 2026-11-21 → 2026-11-23 bridges the snapshot 2026-11-22, which was missing: who was in "
        "the segment only in between is not seen; shorter than that: anniversary_in_next: 1d"
    ) in lines


def test_a_failed_delivery_fails_the_run_beyond_what_is_allowed(three):
    """``max_failed`` is how many may fail."""
    finish(three, a=(State.FAILED, "422"), b=(State.DELIVERED, ""), c=(State.DELIVERED, ""))
    assert reported(three).problems == ["1 deliveries failed; report.max_failed is 0"]
    assert reported(three, max_failed=1).problems == []


def test_deliveries_that_were_not_tried_fail_the_run(three):
    """Released and never sent: an action's task crashed, or its connection does not work."""
    finish(three, a=(State.DELIVERED, ""))
    assert reported(three).problems == [
        "2 deliveries were not tried to the end; clear the failed tasks"
    ]


def test_an_uncertain_delivery_fails_the_run(three):
    """Nobody can tell whether it was sent: a person has to look."""
    finish(three, a=(State.UNCERTAIN, "x"), b=(State.DELIVERED, ""), c=(State.DELIVERED, ""))
    assert reported(three).problems == ["1 deliveries are uncertain: nobody can tell"]


def test_a_span_that_turned_into_a_baseline_is_one_and_what_was_withdrawn_is_counted(three):
    """The earlier snapshot is gone, or lacks a column that the definition has needed since."""
    finish(three, a=(State.DELIVERED, ""))
    again = replace(
        detected(stretch(21, 22)), kind=SpanKind.BASELINE, reason="new column: 2026-11-21 lacks vip"
    )
    [span] = three.runs.all_spans("welcome")
    three.runs.record_again(run(), [(span, again)], ("mail",), DEFINITION, NOW)
    assert reported(three).lines() == [
        "Run run-1: recorded",
        "2026-11-22: baseline (new column: 2026-11-21 lacks vip), 11 members",
        "withdrawn: 3 deliveries of changes that are none any more (1 delivered)",
    ]


def test_a_change_without_a_delivery_fails_the_run(three):
    """The sum over the states must be the number of changes, for each action."""
    finish(three, a=(State.DELIVERED, ""), b=(State.DELIVERED, ""), c=(State.DELIVERED, ""))
    with three.engine.begin() as connection:
        connection.execute(deliveries.delete().where(deliveries.c.contact_id == "b"))
    assert reported(three).problems == ["mail: 3 changes were detected, 2 are accounted for"]


def test_a_digest_is_reported_contact_by_contact_with_the_number_of_its_messages(three):
    """Two were told in one message, the third in another; each has its own delivery."""
    keys = [three.key("welcome", "mail", one, "added", "2026-11-22") for one in "abc"]
    when = {"owner": "me", "now": NOW, "lease_until": LEASE}
    for together in (keys[:2], keys[2:]):
        three.deliveries.claim(together, **when)
        advance(three, [], together, together=message_key(together), **when)
        advance(three, [Finished(key, State.DELIVERED) for key in together], [], **when)
    assert reported(three).problems == []
    assert reported(three).lines()[-1] == "- mail: 3 delivered, in 2 messages"


def test_an_action_that_was_added_after_the_run_is_no_problem_of_it(three):
    """It has no deliveries there, and none are expected."""
    for contact in "abc":
        finish(three, **{contact: (State.DELIVERED, "")})
    assert reported(three, actions=("mail", "ticket")).problems == []


_REMOVED = (
    "1 deliveries of mail were not sent, and it is not defined any more; clear the run from "
    "detect_changes to go on without it"
)


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (State.UNCERTAIN, "1 deliveries are uncertain: nobody can tell"),
        (State.FAILED, "1 deliveries failed; report.max_failed is 0"),
        (State.RELEASED, _REMOVED),
        (State.DELIVERED, None),
    ],
)
def test_what_became_of_an_action_that_is_not_defined_any_more_is_told(three, state, problem):
    """It was removed, or renamed, after its deliveries had been tried."""
    finish(three, a=(state, ""), b=(State.DELIVERED, ""), c=(State.DELIVERED, ""))
    assert reported(three, actions=("post",)).problems == ([problem] if problem else [])


def test_a_cleared_run_goes_on_without_an_action_that_was_removed(three):
    """What it had not sent is skipped; defined again, it is planned again."""
    finish(three, a=(State.DELIVERED, ""))
    [span] = three.runs.all_spans("welcome")
    again = [(span, detected(stretch(21, 22), added("a", "b", "c")))]
    three.runs.record_again(run(), again, ("post",), DEFINITION, NOW)
    report = reported(three, actions=("post",))
    assert report.actions["mail"] == {("delivered", ""): 1, ("skipped", "no_longer_a_change"): 2}
    assert report.actions["post"] == {("planned", ""): 3}
    three.runs.record_again(run(), again, ("mail", "post"), DEFINITION, NOW)
    assert reported(three).actions["mail"] == {("delivered", ""): 1, ("planned", ""): 2}


def test_what_is_uncertain_of_a_change_that_is_none_any_more_is_told(three):
    """All deliveries of the run are counted: those of its changes, and the withdrawn."""
    finish(three, a=(State.UNCERTAIN, "reset"), b=(State.DELIVERED, ""))
    [span] = three.runs.all_spans("welcome")
    again = detected(stretch(21, 22), added("b"))
    three.runs.record_again(run(), [(span, again)], ("mail",), DEFINITION, NOW)
    report = reported(three)
    assert "1 deliveries are uncertain: nobody can tell" in report.problems
    assert "withdrawn: 2 deliveries of changes that are none any more (1 uncertain)" in (
        report.lines()
    )
    assert report.withdrawn.total() + report.states.total() == 3


def test_the_account_names_who_decided_and_what_did_not_finish(tmp_path):
    """A task that failed is no line of the report, which has said why; it fails the run."""
    place = Place(tmp_path)
    place.snapshot(8, "a")
    place.snapshot(9, "b")
    place.day(10)
    context, record = place.guarded("day-10")
    ids = [span.id for span in context.live_spans(record)]
    place.ledger.runs.reject(record, ids, Decision("rejected", "ann", place.now))
    account = account_for(context, ["guard failed"])
    assert "decision: rejected by ann at 2026-11-10 07:00 UTC" in account.lines
    assert "- mail: 2 suppressed(rejected)" in account.lines
    assert account.problems == ["the run did not finish: guard failed"]


def test_a_run_that_is_not_recorded_has_no_report(tmp_path):
    context = RunContext(Place(tmp_path).workflow, run(), Place(tmp_path).ledger, NOW)
    with pytest.raises(RunHalted, match="detect_changes recorded nothing"):
        account_for(context, [])
    with pytest.raises(RunHalted, match="did not finish: detect_changes failed"):
        account_for(context, ["detect_changes failed"])
