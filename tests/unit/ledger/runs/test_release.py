"""What the guard decides in the ledger, and what takes a decision back; on both databases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segue.ledger import Ledger
from segue.ledger.facts import Decision, Finished
from segue.ledger.reasons import Reason
from segue.ledger.states import State
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    advance,
    detected,
    enrolled,
    record,
    run,
    set_secret,
    states,
    stretch,
)

LEASE = NOW + timedelta(minutes=2)
SNAPSHOT = {"directory": "people", "key": "2026-11-22"}
NO = Decision("rejected", "ann", NOW)
YES = Decision("approved", "bob", NOW)


@pytest.fixture
def two(ledger) -> Ledger:
    """A run of two added contacts, planned."""
    record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    return ledger


def recorded(ledger: Ledger, name: str = "run-1"):
    return ledger.runs.find_run("welcome", name)


def ids(ledger: Ledger) -> list[int]:
    return [span.id for span in ledger.runs.spans_of(recorded(ledger))]


def test_a_rejection_is_recorded_and_no_later_release_takes_it_back(two):
    """Who, when, and what; the guard's own release leaves it alone."""
    assert two.runs.reject(recorded(two), ids(two), NO) == 2
    assert recorded(two).decision == NO
    assert two.runs.release(ids(two), NOW) == 0
    assert states(two) == {"a@22": "suppressed:rejected", "b@22": "suppressed:rejected"}


def test_a_rejection_outlives_a_cleared_run_and_every_policy(two):
    """Detected again, suppressed as too old, and let go: it stays rejected."""
    two.runs.reject(recorded(two), ids(two), NO)
    [span] = two.runs.spans_of(recorded(two))
    for suppressed in (None, Reason.MAX_AGE, None):
        again = detected(stretch(21, 22), added("a", "b"), suppressed)
        two.runs.record_again(run(), [(span, again)], ("mail",), DEFINITION, NOW)
        assert set(states(two).values()) == {"suppressed:rejected"}


def test_an_approval_releases_what_is_planned_and_what_was_rejected_before(two):
    """The same question, asked again."""
    two.runs.reject(recorded(two), ids(two), NO)
    assert two.queries.count_waiting(ids(two)) == {"added": 2}
    assert [row[0] for row in two.queries.changes_to_handle(ids(two)[0])] == ["a", "b"]
    assert two.runs.approve(recorded(two), ids(two), YES) == 2
    assert set(states(two).values()) == {"released"}
    assert recorded(two).decision == YES


def test_a_question_that_is_asked_again_is_open(two):
    """The old answer is no answer to it."""
    two.runs.reject(recorded(two), ids(two), NO)
    two.runs.begin_asking(recorded(two))
    assert recorded(two).decision is None


def test_a_rejection_leaves_alone_what_was_released_before(two):
    """A cleared run found c as well: c is rejected, a and b go on."""
    two.runs.release(ids(two), NOW)
    [span] = two.runs.spans_of(recorded(two))
    again = detected(stretch(21, 22), added("a", "b", "c"))
    two.runs.record_again(run(), [(span, again)], ("mail",), DEFINITION, NOW)
    assert two.runs.reject(recorded(two), ids(two), NO) == 1
    assert states(two) == {"a@22": "released", "b@22": "released", "c@22": "suppressed:rejected"}


def test_a_rejected_span_can_be_taken_over_and_stays_rejected(two):
    """A person triggers the pair with deliver: the guard asks about it anew."""
    two.runs.reject(recorded(two), ids(two), NO)
    assert two.runs.take_over(run("by-hand"), two.runs.all_spans("welcome"), NOW)
    assert set(states(two).values()) == {"suppressed:rejected"}


def test_a_forgotten_contact_is_in_nobodys_way(ledger):
    """What an earlier run only recorded is taken over; the forgotten one stays suppressed."""
    set_secret(ledger, "a long secret text")
    record(ledger, run(), detected(stretch(21, 22), added("a", "b"), Reason.BACKFILL))
    ledger.retention.forget("b", "ann", NOW)
    assert ledger.runs.take_over(run("by-hand"), ledger.runs.all_spans("welcome"), NOW)
    [span] = ledger.runs.spans_of(recorded(ledger, "by-hand"))
    again = [(span, detected(stretch(21, 22), added("a")))]
    ledger.runs.record_again(run("by-hand"), again, ("mail",), DEFINITION, NOW)
    outcomes = sorted(states(ledger).values())
    assert outcomes == ["planned", "suppressed:forgotten"]


def test_what_lies_before_the_watermark_is_taken_over_and_stays_suppressed(ledger):
    """The run that a person triggered says so in its report, and does nothing."""
    record(ledger, run(), detected(stretch(21, 22), added("a"), Reason.PRUNED))
    assert ledger.runs.take_over(run("by-hand"), ledger.runs.all_spans("welcome"), NOW)
    assert states(ledger) == {"a@22": "suppressed:pruned"}


def test_an_approval_is_about_everybody_that_waits(two):
    """The same after a rejection, another one where somebody joined."""
    before = two.queries.waiting_changes(ids(two))
    two.runs.reject(recorded(two), ids(two), NO)
    assert two.queries.waiting_changes(ids(two)) == before
    [span] = two.runs.spans_of(recorded(two))
    again = detected(stretch(21, 22), added("a", "c"))
    two.runs.record_again(run(), [(span, again)], ("mail",), DEFINITION, NOW)
    assert two.queries.waiting_changes(ids(two)) == {("a", "added"), ("c", "added")}


def test_what_was_rejected_and_is_no_change_any_more_waits_for_nobody(two):
    """The snapshot was mended: a is a change still, b is none; an approval releases a alone."""
    two.runs.reject(recorded(two), ids(two), NO)
    [span] = two.runs.spans_of(recorded(two))
    again = detected(stretch(21, 22), added("a"))
    two.runs.record_again(run(), [(span, again)], ("mail",), DEFINITION, NOW)
    assert (
        two.queries.count_rejected(ids(two)) == two.queries.count_waiting(ids(two)) == {"added": 1}
    )
    assert two.queries.waiting_contacts(ids(two), "added", 5) == ["a"]
    assert two.runs.approve(recorded(two), ids(two), YES) == 1
    assert states(two) == {"a@22": "released", "b@22": "suppressed:rejected"}
    two.runs.record_again(
        run(), [(span, detected(stretch(21, 22), added("a", "b")))], ("mail",), DEFINITION, NOW
    )
    assert two.queries.count_rejected(ids(two)) == {
        "added": 1
    }  # and it is rejected when it is one again


def test_an_enrolment_overlaps_nothing_and_covers_nothing(two):
    """It stands at one instant, inside a recorded span or not."""
    record(two, run("enrol"), enrolled(22, "c"))
    record(two, run("again"), enrolled(22, "d"))
    assert [span.run_id for span in two.runs.all_spans("welcome")] == ["run-1"]


def test_whom_the_workflow_reached_is_left_out_of_an_enrolment(ledger):
    """Delivered or about to be: yes. Planned, rejected, failed: not."""
    contacts = added("delivered", "failed", "planned", "released")
    record(ledger, run(), detected(stretch(21, 22), contacts))
    [span] = ledger.runs.spans_of(recorded(ledger))
    keys = {c: ledger.key("welcome", "mail", c, "added", "2026-11-22") for c, *_ in contacts}
    ledger.runs.release([span.id], NOW)
    outcomes = {"delivered": State.DELIVERED, "failed": State.FAILED}
    ledger.deliveries.claim([keys[c] for c in outcomes], owner="me", now=NOW, lease_until=LEASE)
    finished = [Finished(keys[c], state) for c, state in outcomes.items()]
    advance(ledger, finished, [], owner="me", now=NOW, lease_until=LEASE)
    record(ledger, run("later"), detected(stretch(22, 23), added("planned")))
    assert ledger.queries.reached_contacts("welcome") == {"delivered", "released", "planned"}


def test_rows_of_an_enrolment_that_was_never_released_move_to_the_next(ledger):
    """Rejected, or never answered; both runs' sums close, and the rejection stays."""
    record(ledger, run("first"), enrolled(21, "a", "b"))
    [first] = ledger.runs.spans_of(recorded(ledger, "first"))
    ledger.runs.reject(recorded(ledger, "first"), [first.id], NO)
    assert ledger.queries.reached_contacts("welcome") == set()
    record(ledger, run("second"), enrolled(22, "a", "c"))
    [second] = ledger.runs.spans_of(recorded(ledger, "second"))
    assert states(ledger) == {
        "a@22": "suppressed:rejected",
        "b@21": "suppressed:rejected",
        "c@22": "planned",
    }
    for span, count in ((first, 1), (second, 2)):
        assert ledger.queries.count_changes([span.id]).total() == count
        assert ledger.queries.tally([span.id])["mail"].total() == count


def test_an_enrolment_that_was_released_keeps_its_rows(ledger):
    """Once per contact and action, ever."""
    record(ledger, run("first"), enrolled(21, "a"))
    [first] = ledger.runs.spans_of(recorded(ledger, "first"))
    ledger.runs.approve(recorded(ledger, "first"), [first.id], YES)
    assert ledger.queries.reached_contacts("welcome") == {"a"}
    assert ledger.queries.reached_contacts("welcome", but_span=first.id) == set()
    record(ledger, run("second"), enrolled(22, "a"))
    assert states(ledger) == {"a@21": "released"}


@pytest.mark.parametrize(
    ("before", "after", "enrolment"),
    [
        (State.FAILED, "suppressed:reached", "released"),
        (State.SKIPPED, "suppressed:reached", "released"),
        (State.UNCERTAIN, "uncertain", "suppressed:reached"),
        (State.DELIVERED, "delivered", "suppressed:reached"),
        (State.HELD, "held", "suppressed:reached"),
        (State.RELEASED, "released", "suppressed:reached"),
    ],
)
def test_of_added_and_enrolled_one_at_most_can_still_be_claimed(ledger, before, after, enrolment):
    """Whatever became of the first when the second is released, by approval or without one."""
    enrol = record(ledger, run("enrol"), enrolled(23, "a"))
    daily = record(ledger, run("daily"), detected(stretch(21, 22), added("a")))
    ledger.runs.release(daily, NOW)
    added_key = ledger.key("welcome", "mail", "a", "added", "2026-11-22")
    ledger.deliveries.claim([added_key], owner="me", now=NOW, lease_until=LEASE)
    outcome = Finished(added_key, before, "because", held_until=NOW)
    advance(ledger, [outcome], [], owner="me", now=NOW, lease_until=LEASE)
    ledger.runs.approve(ledger.runs.find_run("welcome", "enrol"), enrol, YES)
    found = {row.change: row for row in ledger.queries.list_deliveries()}
    outcomes = {
        change: f"{row.outcome}:{row.reason}" if row.outcome == "suppressed" else None
        for change, row in found.items()
    }
    expected = {"added": after, "enrolled": enrolment}
    for change, text in expected.items():
        assert outcomes[change] == (text if ":" in text else None), (change, found[change])
    keys = [row.key for row in found.values()]
    later = {"now": LEASE + timedelta(days=1), "lease_until": LEASE + timedelta(days=2)}
    claimed = ledger.deliveries.claim(
        keys, owner="you", clear_number=9, resend_uncertain=True, **later
    )
    assert len(claimed) == (before is not State.DELIVERED)


@pytest.mark.parametrize("before", ["planned", "rejected"])
def test_what_reached_a_contact_and_came_to_nothing_reaches_nobody(ledger, before):
    """The enrolment's snapshot is quarantined: the daily run, cleared, stands as it did before."""
    enrol = record(ledger, run("enrol"), enrolled(20, "a"))
    daily = record(ledger, run("daily"), detected(stretch(19, 22), added("a")))
    if before == "rejected":
        ledger.runs.reject(recorded(ledger, "daily"), daily, NO)
    ledger.runs.release(enrol, NOW)
    ledger.runs.withhold(daily[0], None, NOW)
    assert states(ledger)["a@22"] == "suppressed:reached"
    ledger.people.quarantine("people", "2026-11-20", reason="wrong", by="ann", now=NOW)
    [span] = ledger.runs.spans_of(recorded(ledger, "daily"))
    again = [(span, detected(stretch(19, 22), added("a")))]
    ledger.runs.record_again(run("daily"), again, ("mail",), DEFINITION, NOW)
    assert states(ledger)["a@22"].endswith(before)
    assert [row[0] for row in ledger.queries.changes_to_handle(daily[0])] == ["a"]


def test_a_rejection_of_what_was_reached_is_remembered_and_releases_it_for_nobody(ledger):
    """No branch of the run has it: it is rejected when detect_changes judges it again."""
    enrol = record(ledger, run("enrol"), enrolled(20, "a"))
    ledger.runs.release(enrol, NOW)
    daily = record(ledger, run("daily"), detected(stretch(19, 22), added("a", "b")))
    ledger.runs.reject(recorded(ledger, "daily"), daily, NO)
    assert states(ledger)["a@22"] == "suppressed:reached"
    assert [row[0] for row in ledger.queries.changes_to_handle(daily[0])] == ["b"]
    assert ledger.runs.approve(recorded(ledger, "daily"), daily, YES) == 1
    ledger.people.quarantine("people", "2026-11-20", reason="wrong", by="ann", now=NOW)
    [span] = ledger.runs.spans_of(recorded(ledger, "daily"))
    again = [(span, detected(stretch(19, 22), added("a", "b")))]
    ledger.runs.record_again(run("daily"), again, ("mail",), DEFINITION, NOW)
    assert states(ledger)["a@22"] == "suppressed:rejected"


def test_whom_a_failed_addition_kept_from_being_enrolled_can_be_enrolled_again(ledger):
    """The key of an enrolment has no snapshot: its row is the only one there will ever be."""
    first = record(ledger, run("first"), enrolled(22, "a"))
    daily = record(ledger, run("daily"), detected(stretch(21, 22), added("a")))
    ledger.runs.release(daily, NOW)
    assert ledger.runs.approve(recorded(ledger, "first"), first, YES) == 0
    key = ledger.key("welcome", "mail", "a", "added", "2026-11-22")
    ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE)
    failed = [Finished(key, State.FAILED, "422")]
    advance(ledger, failed, [], owner="me", now=NOW, lease_until=LEASE)
    second = record(ledger, run("second"), enrolled(23, "a"))
    assert ledger.runs.approve(recorded(ledger, "second"), second, YES) == 1
    assert states(ledger) == {"a@22": "suppressed:reached", "a@23": "released"}


def test_a_later_addition_that_failed_is_news_and_stays(ledger):
    """The enrolment was at the 21st; a was removed, and added again after the 22nd."""
    enrol = record(ledger, run("enrol"), enrolled(21, "a"))
    daily = record(ledger, run("daily"), detected(stretch(22, 23), added("a")))
    ledger.runs.release(daily, NOW)
    key = ledger.key("welcome", "mail", "a", "added", "2026-11-23")
    ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE)
    failed = [Finished(key, State.FAILED, "422")]
    advance(ledger, failed, [], owner="me", now=NOW, lease_until=LEASE)
    ledger.runs.release(enrol, NOW)
    assert states(ledger) == {"a@21": "released", "a@23": "failed:422"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.RELEASED, "suppressed:reached"),
        (State.CLAIMED, "suppressed:reached"),
        (State.HELD, "suppressed:reached"),
        (State.FAILED, "suppressed:reached"),
        (State.SKIPPED, "suppressed:reached"),
        (State.SENDING, "sending"),
        (State.UNCERTAIN, "uncertain:because"),
        (State.DELIVERED, "delivered"),
    ],
)
def test_a_later_addition_ends_what_the_enrolment_has_not_sent(ledger, before, after):
    """a was enrolled at the 21st, removed, and added after the 22nd: one message, and the news."""
    ledger.runs.release(record(ledger, run("enrol"), enrolled(21, "a", "b")), NOW)
    key = ledger.key("welcome", "mail", "a", "enrolled", "2026-11-21")
    if before is not State.RELEASED:
        ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE)
        advance(ledger, [], [key], owner="me", now=NOW, lease_until=LEASE)
        outcome = Finished(key, before, "because", held_until=NOW)
        advance(ledger, [outcome], [], owner="me", now=NOW, lease_until=LEASE)
    ledger.runs.release(record(ledger, run("daily"), detected(stretch(22, 23), added("a"))), NOW)
    assert states(ledger)["a@21"].startswith(after)
    assert states(ledger)["a@23"] == states(ledger)["b@21"] == "released"
    later = {"now": LEASE + timedelta(days=1), "lease_until": LEASE + timedelta(days=2)}
    assert not ledger.deliveries.claim(
        [key], owner="you", clear_number=9, resend_uncertain=True, **later
    )


def test_what_an_enrolment_may_have_sent_already_stays_in_doubt_after_an_addition(ledger):
    """It was claimed to be sent once more, as `on_uncertain: resend` says."""
    ledger.runs.release(record(ledger, run("enrol"), enrolled(21, "a")), NOW)
    key = ledger.key("welcome", "mail", "a", "enrolled", "2026-11-21")
    mine = {"owner": "me", "now": NOW, "lease_until": LEASE}
    ledger.deliveries.claim([key], **mine)
    advance(ledger, [], [key], **mine)
    advance(ledger, [Finished(key, State.UNCERTAIN, "lost")], [], **mine)
    ledger.deliveries.claim([key], **mine, resend_uncertain=True)
    ledger.runs.release(record(ledger, run("daily"), detected(stretch(22, 23), added("a"))), NOW)
    assert states(ledger) == {"a@21": "uncertain:lost", "a@23": "released"}
    assert not ledger.deliveries.claim([key], **mine, resend_uncertain=True)


def test_an_approval_after_a_quarantine_lifts_no_bar_of_an_addition(ledger):
    """The mail of the enrolment is in doubt; the addition went out since: it is not sent again."""
    enrolment = record(ledger, run("enrol"), enrolled(21, "a"))
    ledger.runs.release(enrolment, NOW)
    key = ledger.key("welcome", "mail", "a", "enrolled", "2026-11-21")
    ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE)
    advance(ledger, [], [key], owner="me", now=NOW, lease_until=LEASE)
    doubt = Finished(key, State.UNCERTAIN, "reset", held_until=NOW)
    advance(ledger, [doubt], [], owner="me", now=NOW, lease_until=LEASE)
    ledger.runs.release(record(ledger, run("daily"), detected(stretch(22, 23), added("a"))), NOW)
    ledger.people.quarantine("people", "2026-11-21", reason="wrong", by="ann", now=NOW)
    ledger.people.end_quarantine("people", "2026-11-21")
    ledger.runs.approve(recorded(ledger, "enrol"), enrolment, YES)
    later = {"now": LEASE + timedelta(days=1), "lease_until": LEASE + timedelta(days=2)}
    assert not ledger.deliveries.claim([key], owner="you", resend_uncertain=True, **later)


@pytest.mark.parametrize("outcome", [State.CLAIMED, State.HELD, State.FAILED, State.SKIPPED])
def test_a_call_for_whom_was_added_meanwhile_is_not_made_again(ledger, outcome):
    """It was under way when the addition was released, and had no effect."""
    ledger.runs.release(record(ledger, run("enrol"), enrolled(21, "a")), NOW)
    key = ledger.key("welcome", "mail", "a", "enrolled", "2026-11-21")
    ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE)
    advance(ledger, [], [key], owner="me", now=NOW, lease_until=LEASE)
    ledger.runs.release(record(ledger, run("daily"), detected(stretch(22, 23), added("a"))), NOW)
    advance(ledger, [Finished(key, outcome, "503")], [], owner="me", now=NOW, lease_until=LEASE)
    assert states(ledger) == {"a@21": "suppressed:reached", "a@23": "released"}


def test_a_rejected_enrolment_that_is_asked_for_again_happens_when_it_is_asked_for(ledger):
    """Its rows move, with their time: a daily run up to then finds the contact reached."""
    first = record(ledger, run("first"), enrolled(21, "a"))
    ledger.runs.reject(recorded(ledger, "first"), first, NO)
    second = record(ledger, run("second"), enrolled(23, "a"))
    ledger.runs.approve(recorded(ledger, "second"), second, YES)
    daily = record(ledger, run("daily"), detected(stretch(22, 23), added("a")))
    assert ledger.runs.release(daily, NOW) == 0
    found = {row.change: row.outcome for row in ledger.queries.list_deliveries()}
    assert found == {"enrolled": "released", "added": "suppressed"}


def test_what_an_enrolment_reached_in_the_meantime_is_not_released(ledger):
    """Both were planned; a is added where the enrolment found a member, b was never enrolled."""
    enrolment = record(ledger, run("enrol"), enrolled(22, "a"))
    daily = record(ledger, run("daily"), detected(stretch(21, 22), added("a", "b")))
    assert ledger.runs.release(enrolment, NOW) == 1
    assert ledger.runs.release(daily, NOW) == 1
    found = {(row.contact_id, row.change): row for row in ledger.queries.list_deliveries()}
    assert found["a", "added"].reason == "reached"
    assert found["b", "added"].outcome == "released"


def test_what_a_daily_run_reached_in_the_meantime_is_not_released_by_an_enrolment(ledger):
    """The other way round, by a person's approval."""
    enrolment = record(ledger, run("enrol"), enrolled(22, "a", "b"))
    daily = record(ledger, run("daily"), detected(stretch(21, 22), added("a")))
    assert ledger.runs.release(daily, NOW) == 1
    assert ledger.runs.approve(ledger.runs.find_run("welcome", "enrol"), enrolment, YES) == 1
    found = {(row.contact_id, row.change): row for row in ledger.queries.list_deliveries()}
    assert found["a", "enrolled"].reason == "reached"


def test_a_rejection_and_its_quarantine_happen_both_or_not_at_all(two, monkeypatch):
    """A worker that dies between them would leave tomorrow's run to compare with the snapshot."""

    class Died(BaseException):
        pass

    def die(*_):
        raise Died

    question = recorded(two), ids(two), NO
    with monkeypatch.context() as broken, pytest.raises(Died):
        broken.setattr(two.runs, "_write_decision", die)
        two.runs.reject_snapshot(*question, **SNAPSHOT)
    assert two.people.quarantined("people") == {}
    assert states(two) == {"a@22": "planned", "b@22": "planned"}
    assert two.runs.reject_snapshot(*question, **SNAPSHOT).rejected == 2
    assert two.people.quarantined("people") == {"2026-11-22": "rejected in welcome"}
    assert set(states(two).values()) == {"suppressed:rejected"}
    assert recorded(two).decision == NO


@pytest.mark.parametrize("decide", ["release", "approve", "reject"])
@pytest.mark.parametrize("before", ["planned", "rejected"])
def test_what_is_planned_of_a_removed_action_is_never_released(ledger, before, decide):
    """Two actions, of which mail is gone when the guard decides: nothing would send it."""
    of_both = detected(stretch(21, 22), added("a"))
    record(ledger, run(), of_both, actions=("mail", "chat"))
    span = ids(ledger)
    if before == "rejected":
        ledger.runs.reject(recorded(ledger), span, NO)
    defined = ["chat"]
    released = {
        "release": lambda: ledger.runs.release(span, NOW, defined),
        "approve": lambda: ledger.runs.approve(recorded(ledger), span, YES, defined),
        "reject": lambda: ledger.runs.reject(recorded(ledger), span, NO) * 0,
    }[decide]()
    found = {row.action: (row.outcome, row.reason) for row in ledger.queries.list_deliveries()}
    stays_rejected = decide == "reject" or before == "rejected"
    rejected, removed = ("suppressed", "rejected"), ("skipped", "no_longer_a_change")
    assert found["mail"] == (rejected if stays_rejected else removed)
    assert released == (found["chat"] == ("released", ""))
    assert ledger.queries.count_waiting(span, defined) == (
        {"added": 1} if found["chat"] == rejected else {}
    )
    assert ledger.queries.waiting_contacts(span, "added", 5, defined) == list(
        ledger.queries.count_waiting(span, defined) and "a"
    )


def test_a_removed_action_that_is_defined_again_is_asked_about_again(ledger):
    """Once its run is cleared: what was planned is, and what was rejected waits for an answer."""
    record(ledger, run(), detected(stretch(21, 22), added("a")), actions=("mail", "chat"))
    ledger.runs.approve(recorded(ledger), ids(ledger), YES, ["chat"])
    [span] = ledger.runs.spans_of(recorded(ledger))
    again = detected(stretch(21, 22), added("a"))
    ledger.runs.record_again(run(), [(span, again)], ("mail", "chat"), DEFINITION, NOW)
    found = {row.action: row.outcome for row in ledger.queries.list_deliveries()}
    assert found == {"mail": "planned", "chat": "released"}
