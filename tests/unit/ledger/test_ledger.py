"""The ledger: what it records, what it allows, and what it never allows; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from segue.ledger import Ledger
from segue.ledger.facts import Decision, Finished, SpanTaken
from segue.ledger.reasons import Reason
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.builders import NOW, added, advance, detected, record, run, stretch

DEFINITION = ("1" * 64, '{"directory": {"directory": "people"}, "segment": {"segment": "vip"}}')
LEASE = NOW + timedelta(minutes=2)
LATER = NOW + timedelta(minutes=3)


def states(ledger: Ledger) -> dict[tuple[str, str], str]:
    return {
        (row.contact_id, row.action): ":".join(filter(None, (row.outcome, row.reason)))
        for row in ledger.queries.list_deliveries()
    }


def key(ledger: Ledger, contact_id: str, action: str = "mail", snapshot: str = "2026-11-22") -> str:
    return ledger.key("welcome", action, contact_id, "added", snapshot)


def claim(ledger: Ledger, *contact_ids: str, owner: str = "me", now=NOW, **more) -> list[str]:
    keys = [key(ledger, contact_id) for contact_id in contact_ids]
    lease = now + timedelta(minutes=2)
    rows = ledger.deliveries.claim(keys, owner=owner, now=now, lease_until=lease, **more)
    return sorted(row.contact_id for row in rows)


def test_recording_a_run_plans_a_delivery_for_each_change_and_action(ledger):
    """Two contacts and two actions make four planned deliveries."""
    record(ledger, run(), detected(stretch(21, 22), added("a", "b")), actions=("mail", "ticket"))
    assert states(ledger) == {
        (contact, action): "planned" for contact in "ab" for action in ("mail", "ticket")
    }


def test_a_span_that_overlaps_a_recorded_one_is_refused_whole(ledger):
    """Nothing of a run is recorded when part of its span was taken in the meantime."""
    record(ledger, run(), detected(stretch(20, 22)))
    with pytest.raises(SpanTaken):
        record(ledger, run("run-2"), detected(stretch(21, 23), added("a")))
    assert ledger.runs.find_run("welcome", "run-2") is None
    assert states(ledger) == {}


def test_two_runs_racing_for_a_span_one_takes_it(ledger):
    """Eight threads record overlapping spans at once; exactly one of them succeeds."""

    def attempt(number: int) -> bool:
        try:
            record(ledger, run(f"run-{number}"), detected(stretch(21, 22), added("a")))
        except SpanTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert len(ledger.runs.all_spans("welcome")) == 1


def test_recorded_spans_of_other_workflows_do_not_matter(ledger):
    """Each workflow covers time on its own."""
    record(ledger, run(), detected(stretch(21, 22)))
    other = run("run-1").__class__("other", "run-1")
    record(ledger, other, detected(stretch(21, 22)))
    assert len(ledger.runs.all_spans("other")) == 1


def test_planned_is_no_permission_to_send(ledger):
    """Only what the guard released can be claimed."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a")))
    assert claim(ledger, "a") == []
    assert ledger.runs.release(ids, NOW) == 1
    assert claim(ledger, "a") == ["a"]


def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(ledger):
    """A second owner gets it only after the lease ran out."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a"))), NOW)
    assert claim(ledger, "a", owner="one") == ["a"]
    assert claim(ledger, "a", owner="two") == []
    assert claim(ledger, "a", owner="two", now=LATER) == ["a"]


def test_two_workers_racing_for_a_slice_share_it_without_overlap(ledger):
    """Thousands of deliveries, four workers: each delivery is claimed once."""
    contacts = [f"c{number:04}" for number in range(2500)]
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added(*contacts))), NOW)
    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(lambda name: claim(ledger, *contacts, owner=name), "wxyz"))
    assert sorted(contact for share in shares for contact in share) == contacts


def test_only_claimed_deliveries_become_sending(ledger):
    """A claim that was lost to another owner may not be sent."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a", "b"))), NOW)
    claim(ledger, "a", owner="one")
    claim(ledger, "a", owner="two", now=LATER)
    keys = [key(ledger, "a"), key(ledger, "b")]
    assert advance(ledger, [], keys, owner="one", now=LATER, lease_until=LATER) == set()
    assert states(ledger)["a", "mail"] == "claimed"


def test_a_delivered_message_can_never_be_claimed_again(ledger):
    """Delivered is sticky: through clears, later passes and expired leases."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a")))
    ledger.runs.release(ids, NOW)
    claim(ledger, "a")
    finished = Finished(key(ledger, "a"), State.DELIVERED, external_id="7", results={"id": "7"})
    advance(ledger, [finished], [], owner="me", now=NOW, lease_until=LEASE)
    assert ledger.runs.release(ids, LATER) == 0
    assert claim(ledger, "a", now=LATER, clear_number=9) == []
    row = ledger.deliveries.rows([key(ledger, "a")])[key(ledger, "a")]
    assert (row.state, row.results) == (State.DELIVERED, {"id": "7"})


def test_a_failed_delivery_is_tried_again_only_after_a_person_cleared_the_run(ledger):
    """Airflow's own retries keep the clear number; clearing raises it."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a"))), NOW)
    claim(ledger, "a")
    advance(
        ledger,
        [Finished(key(ledger, "a"), State.FAILED, "refused")],
        [],
        owner="me",
        now=NOW,
        lease_until=LEASE,
        clear_number=3,
    )
    assert claim(ledger, "a", now=LATER, clear_number=3) == []
    assert claim(ledger, "a", now=LATER, clear_number=4) == ["a"]


def test_a_worker_that_died_before_the_call_leaves_the_delivery_free(ledger):
    """Claimed under an expired lease goes back to released."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a"))), NOW)
    claim(ledger, "a")
    assert ledger.deliveries.free_expired(NOW) == 0
    assert ledger.deliveries.free_expired(LATER) == 1
    assert states(ledger)["a", "mail"] == "released"


def test_a_worker_that_died_during_the_call_leaves_the_delivery_uncertain(ledger):
    """Nobody can tell whether it was sent, so it is neither resent nor dropped."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a"))), NOW)
    claim(ledger, "a")
    advance(ledger, [], [key(ledger, "a")], owner="me", now=NOW, lease_until=LEASE)
    assert ledger.deliveries.call_uncertain([key(ledger, "a")], LATER, LATER) == 1
    assert claim(ledger, "a", now=LATER, clear_number=9) == []


def test_the_answer_of_a_slow_call_is_the_truth_even_after_recovery(ledger):
    """The owner comes back with the answer after its delivery was called uncertain."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a"))), NOW)
    claim(ledger, "a")
    advance(ledger, [], [key(ledger, "a")], owner="me", now=NOW, lease_until=LEASE)
    ledger.deliveries.call_uncertain([key(ledger, "a")], LATER, LATER)
    finished = Finished(key(ledger, "a"), State.DELIVERED)
    advance(ledger, [finished], [], owner="me", now=LATER, lease_until=LATER)
    assert states(ledger)["a", "mail"] == "delivered"


def test_a_skip_is_judged_again_on_the_next_pass(ledger):
    """A contact who opted back in can be sent to when the task is cleared."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a"))), NOW)
    ledger.deliveries.skip([key(ledger, "a")], "opted_out", NOW)
    assert states(ledger)["a", "mail"] == "skipped:opted_out"
    assert claim(ledger, "a") == ["a"]


def test_a_planned_delivery_cannot_be_skipped_into_being_claimable(ledger):
    """Conditions run although the guard released nothing: the delivery stays planned."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    ledger.deliveries.skip([key(ledger, "a")], "conditions", NOW)
    ledger.deliveries.unskip([key(ledger, "a")], "conditions", NOW)
    assert states(ledger)["a", "mail"] == "planned"


def test_what_a_pass_may_skip_and_what_it_may_not(ledger):
    """A failure is judged again by conditions; what is under way, or had its effect, is not."""
    skipped = {State.RELEASED, State.HELD, State.WAITING, State.SKIPPED, State.FAILED}
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    for state in State:
        with ledger.engine.begin() as connection:
            connection.execute(update(deliveries).values(state=state, reason=""))
        ledger.deliveries.skip([key(ledger, "a")], "conditions", NOW)
        found = states(ledger)["a", "mail"]
        assert found == ("skipped:conditions" if state in skipped else state)


def test_a_suppressed_span_is_planned_again_when_the_policy_lets_go(ledger):
    """A backfill that recorded only, cleared with deliver: true."""
    run_ = run(is_backfill=True)
    span = detected(stretch(21, 22), added("a"), Reason.BACKFILL)
    ids = record(ledger, run_, span)
    assert ledger.runs.release(ids, NOW) == 0
    again = detected(stretch(21, 22), added("a"))
    recorded = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    ledger.runs.record_again(run_, [(recorded[0], again)], ("mail",), DEFINITION, NOW)
    assert states(ledger)["a", "mail"] == "planned"


def test_a_cleared_run_that_is_too_old_suppresses_what_it_did_not_send(ledger):
    """Max age binds a second pass, and leaves what was delivered alone."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    ledger.runs.release(ids, NOW)
    claim(ledger, "a")
    finished = Finished(key(ledger, "a"), State.DELIVERED)
    advance(ledger, [finished], [], owner="me", now=NOW, lease_until=LEASE)
    again = detected(stretch(21, 22), added("a", "b"), Reason.MAX_AGE)
    recorded = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    ledger.runs.record_again(run(), [(recorded[0], again)], ("mail",), DEFINITION, NOW)
    assert states(ledger) == {("a", "mail"): "delivered", ("b", "mail"): "suppressed:max_age"}


def test_an_old_run_that_is_cleared_sends_neither_what_it_skipped_nor_what_failed(ledger):
    """Ninety days later the contact has opted in again: max age binds skipped and failed, too."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    ledger.runs.release(ids, NOW)
    claim(ledger, "a", "b")
    outcomes = [
        Finished(key(ledger, "a"), State.SKIPPED, "opted_out"),
        Finished(key(ledger, "b"), State.FAILED, "422"),
    ]
    advance(ledger, outcomes, [], owner="me", now=NOW, lease_until=LEASE)
    ledger.runs.withhold(ids[0], Reason.MAX_AGE, LATER)
    assert set(states(ledger).values()) == {"suppressed:max_age"}
    assert claim(ledger, "a", "b", now=LATER, clear_number=9) == []


def test_a_rejection_is_not_taken_back_by_a_policy(ledger):
    """Only what a policy suppressed can a policy let go."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a")))
    ledger.runs.reject(
        ledger.runs.find_run("welcome", "run-1"), ids, Decision("rejected", "ann", NOW)
    )
    [span] = ledger.runs.all_spans("welcome")
    for changes in (added("a"), []):
        again = detected(stretch(21, 22), changes)
        ledger.runs.record_again(run(), [(span, again)], ("mail",), DEFINITION, NOW)
    assert set(states(ledger).values()) == {"suppressed:rejected"}


def test_what_was_only_recorded_can_be_taken_over_and_what_was_released_cannot(ledger):
    """A person decides to deliver what an earlier run recorded."""
    first = record(ledger, run(), detected(stretch(20, 21), added("a"), Reason.MAX_AGE))
    second = record(ledger, run("run-2"), detected(stretch(21, 22), added("b")))
    by_hand = run("by-hand")
    assert ledger.runs.take_over(by_hand, ledger.runs.all_spans("welcome")[:1], NOW)
    assert [
        span.id for span in ledger.runs.spans_of(ledger.runs.find_run("welcome", "by-hand"))
    ] == first
    ledger.runs.release(second, NOW)
    assert not ledger.runs.take_over(by_hand, ledger.runs.all_spans("welcome")[1:], NOW)
    assert [span.run_id for span in ledger.runs.all_spans("welcome")] == ["by-hand", "run-2"]


def test_a_cleared_run_is_accounted_for_under_the_definition_it_has_now(ledger):
    """b is no change any more and an action was added: one change, each action once."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a", "b"))), NOW)
    [span] = ledger.runs.all_spans("welcome")
    again = detected(stretch(21, 22), added("a"))
    ledger.runs.record_again(run(), [(span, again)], ("mail", "ticket"), DEFINITION, NOW)
    assert ledger.queries.count_changes([span.id]) == {"added": 1}
    tally = ledger.queries.tally([span.id])
    assert {action: counts.total() for action, counts in tally.items()} == {"mail": 1, "ticket": 1}


def test_a_change_that_is_none_any_more_is_withdrawn_and_can_come_back(ledger):
    """An edited segment: b is no change now, c is; editing it back restores b."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added("a", "b"))), NOW)
    [span] = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    edited = detected(stretch(21, 22), added("a", "c"))
    ledger.runs.record_again(run(), [(span, edited)], ("mail",), DEFINITION, NOW)
    assert states(ledger) == {
        ("a", "mail"): "released",
        ("b", "mail"): f"skipped:{Reason.NO_LONGER_A_CHANGE}",
        ("c", "mail"): "planned",
    }
    assert claim(ledger, "b") == []
    ledger.runs.record_again(
        run(), [(span, detected(stretch(21, 22), added("a", "b")))], ("mail",), DEFINITION, NOW
    )
    assert states(ledger)["b", "mail"] == "planned"


def test_namespaces_do_not_share_deliveries(ledger):
    """Staging and prod in one database: other keys, other spans."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    staging = Ledger(ledger.engine, "staging")
    record(staging, run(), detected(stretch(21, 22), added("a")))
    assert len(staging.queries.list_deliveries()) == len(ledger.queries.list_deliveries()) == 1
    assert key(ledger, "a") != key(staging, "a")


def test_contact_ids_are_sorted_byte_by_byte(ledger):
    """Upper case before lower case, whatever the database's collation."""
    record(ledger, run(), detected(stretch(21, 22), added("b", "B", "é", "a", "_")))
    found = [row.contact_id for row in ledger.queries.list_deliveries()]
    assert found == ["B", "_", "a", "b", "é"]
    [span] = ledger.runs.all_spans("welcome")
    assert [row[0] for row in ledger.queries.changes_to_handle(span.id)] == found


def test_a_held_delivery_is_withdrawn_with_its_change(ledger):
    """It fell due day by day and, without its change, could never be taken up."""
    [span] = record(ledger, run(), detected(stretch(21, 22), added("a")))
    ledger.runs.release([span], NOW)
    key = ledger.key("welcome", "mail", "a", "added", "2026-11-22")
    ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LATER)
    hold = Finished(key, State.HELD, "quiet_hours", held_until=NOW)
    advance(ledger, [hold], [], owner="me", now=NOW, lease_until=LATER)
    [recorded] = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    again = [(recorded, detected(stretch(21, 22)))]
    ledger.runs.record_again(run(), again, ("mail",), DEFINITION, NOW)
    assert ledger.deliveries.actions_with_work(LATER) == []
    assert ledger.queries.list_deliveries()[0].reason == "no_longer_a_change"
