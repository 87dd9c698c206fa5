"""The life of a delivery after its run: what may begin again, what is told, what holds mean."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from segue.ledger import Ledger
from segue.ledger.facts import Decision, Finished
from segue.ledger.people.release_requests import RequestKind, Selection, Settlement
from segue.ledger.reasons import Reason
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.builders import (
    DEFINITION,
    NOW,
    RULES,
    added,
    advance,
    detected,
    record,
    run,
    states,
    stretch,
)

LATER = NOW + timedelta(hours=2)
ANN = "ann@host"


def key(ledger: Ledger, contact: str = "a", action: str = "mail") -> str:
    return ledger.key("welcome", action, contact, "added", "2026-11-22")


def begun(ledger: Ledger, owner: str = "me", **record_values) -> list[int]:
    """Record, release and begin the call to a; b was delivered, so that the span is kept."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a", "b")), **record_values)
    ledger.runs.release(ids, NOW)
    keys = [key(ledger), key(ledger, "b")]
    mine = {"owner": owner, "now": NOW, "lease_until": NOW + timedelta(minutes=1)}
    ledger.deliveries.claim(keys, **mine)
    advance(ledger, [], keys, **mine)
    advance(ledger, [Finished(keys[1], State.DELIVERED)], [], **mine)
    return ids


def finish(ledger: Ledger, state: State, reason: str = "", owner: str = "me", **values) -> None:
    done = Finished(key(ledger), state, reason, **values)
    advance(ledger, [done], [], owner=owner, now=NOW, lease_until=NOW + timedelta(minutes=1))


def quarantine(ledger: Ledger) -> None:
    ledger.people.quarantine("people", "2026-11-22", reason="wrong", by="ann", now=NOW)


def claim(ledger: Ledger, now: datetime = LATER) -> list[str]:
    """Claim as the most eager pass would: cleared often, and resending."""
    lease = now + timedelta(minutes=1)
    how = {"clear_number": 9, "resend_uncertain": True}
    rows = ledger.deliveries.claim([key(ledger)], owner="heir", now=now, lease_until=lease, **how)
    return [row.key for row in rows]


def recovered(ledger: Ledger) -> None:
    lease = LATER + timedelta(minutes=1)
    ledger.deliveries.take_doubtful([key(ledger)], LATER, owner="heir", lease_until=lease)
    back = Finished(key(ledger), State.HELD, "the vendor has not got it", held_until=LATER)
    ledger.deliveries.advance([back], {}, rules=RULES, owner="heir", now=LATER, lease_until=lease)


ENDS = {
    "busy": lambda ledger: finish(ledger, State.CLAIMED, "503"),
    "given back": lambda ledger: finish(ledger, State.RELEASED),
    "held": lambda ledger: finish(ledger, State.HELD, Reason.QUIET_HOURS, held_until=NOW),
    "refused": lambda ledger: finish(ledger, State.FAILED, "422"),
    "uncertain": lambda ledger: finish(ledger, State.UNCERTAIN, "lost"),
    "to be resent": lambda ledger: finish(ledger, State.UNCERTAIN, "lost", held_until=NOW),
    "skipped": lambda ledger: finish(ledger, State.SKIPPED, "opted_out"),
    "dead, cannot be asked": lambda ledger: ledger.deliveries.call_uncertain(
        [key(ledger)], LATER, LATER, resends=True
    ),
    "dead, the vendor has not got it": recovered,
}


def settled_as_not_delivered(ledger: Ledger) -> None:
    meant = Selection(keys=(key(ledger),))
    settle, no = RequestKind.SETTLE, Settlement.NOT_DELIVERED
    request = ledger.people.find_request(ledger.people.file_request(settle, meant, ANN, NOW, no))
    ledger.people.carry_out(request, LATER)


def retried(ledger: Ledger) -> None:
    request = ledger.people.find_request(
        ledger.people.file_request(RequestKind.RETRY, Selection("welcome"), ANN, NOW)
    )
    ledger.people.carry_out(request, LATER)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("quarantined", ["during the call", "after it"])
def test_after_a_quarantine_no_call_begins_again_however_it_ended(ledger, end, quarantined):
    """Nor does a request or a settlement begin one; a person's approval alone does."""
    [span] = begun(ledger)
    if quarantined == "during the call":
        quarantine(ledger)
    ENDS[end](ledger)
    if quarantined == "after it":
        quarantine(ledger)
    assert claim(ledger) == []
    mine = {"owner": "me", "now": LATER, "lease_until": LATER}
    assert advance(ledger, [], [key(ledger)], **mine) == frozenset()
    retried(ledger)
    settled_as_not_delivered(ledger)
    assert claim(ledger) == []
    assert states(ledger) == {"a@22": "suppressed:rejected", "b@22": "delivered"}
    ledger.runs.approve(
        ledger.runs.find_run("welcome", "run-1"), [span], Decision("approved", "ann", LATER)
    )
    assert claim(ledger) == [key(ledger)]


@pytest.mark.parametrize(
    ("state", "reason", "stands"),
    [
        (State.DELIVERED, "", "delivered"),
        (State.UNCERTAIN, "lost", "uncertain:lost"),
        (State.SENDING, "lost", "sending:lost"),
    ],
)
def test_what_may_have_had_its_effect_stays_so_after_a_quarantine(ledger, state, reason, stands):
    begun(ledger)
    quarantine(ledger)
    finish(ledger, state, reason)
    assert states(ledger)["a@22"] == stands


# What is told


@pytest.mark.parametrize(
    ("finished", "told"),
    [
        (Finished("", State.FAILED, "550"), [("failed", 1)]),
        (Finished("", State.UNCERTAIN, "lost"), [("uncertain", 1)]),
        (Finished("", State.UNCERTAIN, "lost", held_until=NOW), []),  # is sent once more first
        (Finished("", State.SKIPPED, "expired"), [("expired", 1)]),
        (Finished("", State.SKIPPED, "opted_out"), []),
        (Finished("", State.DELIVERED), []),
        (Finished("", State.CLAIMED, "503"), []),
    ],
)
@pytest.mark.parametrize("in_run", [True, False])
def test_what_goes_wrong_outside_of_a_run_is_to_be_told_until_it_was(
    ledger, finished, told, in_run
):
    """A worker that dies in between has told nobody: the next one does. A run's report tells."""
    begun(ledger)
    done = Finished(key(ledger), finished.state, finished.reason, held_until=finished.held_until)
    how = {"now": NOW, "lease_until": LATER, "clear_number": 0 if in_run else None}
    advance(ledger, [done], [], owner="me", **how)
    found = [
        (each.outcome, each.count) for each in ledger.deliveries.untold("welcome", "mail").outcomes
    ]
    assert found == ([] if in_run else told)
    if found:
        assert ("welcome", "mail") in ledger.deliveries.actions_with_work(NOW)
    ledger.deliveries.mark_told(ledger.deliveries.untold("welcome", "mail"))
    assert ledger.deliveries.untold("welcome", "mail").seen == {}


def judged(ledger: Ledger, span: int, suppressed: str | None, how: str) -> None:
    """The run is cleared, from detect_changes or from the guard, when a policy says so."""
    if how == "withhold":
        ledger.runs.withhold(span, suppressed, NOW)
        return
    [recorded] = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    again = detected(stretch(21, 22), added("a", "b"), suppressed)
    ledger.runs.record_again(run(), [(recorded, again)], ["mail"], DEFINITION, NOW)


@pytest.mark.parametrize("how", ["record_again", "withhold"])
@pytest.mark.parametrize("policy", ["max_age", "backfill"])
@pytest.mark.parametrize("due", [NOW, None])
def test_what_is_in_doubt_is_not_sent_once_more_when_a_policy_forbids_it(ledger, policy, how, due):
    """Neither by a task of the run, nor by segue_release; a run that lifts the policy may."""
    [span] = begun(ledger)
    finish(ledger, State.UNCERTAIN, "lost", held_until=due)
    judged(ledger, span, policy, how)
    expected = f"uncertain:not sent again: {policy}" if due else "uncertain:lost"
    assert states(ledger)["a@22"] == expected
    mine = {"now": LATER, "lease_until": LATER, "resend_uncertain": True}
    assert ledger.deliveries.due("welcome", "mail", LATER, None) == []
    assert ledger.deliveries.claim([key(ledger)], owner="you", **mine) == []
    judged(ledger, span, None, "record_again")
    assert [row.key for row in ledger.deliveries.claim([key(ledger)], owner="you", **mine)] == [
        key(ledger)
    ]


@pytest.mark.parametrize("policy", ["max_age", "backfill", "pruned"])
@pytest.mark.parametrize("outcome", [State.HELD, State.CLAIMED, State.FAILED])
def test_a_call_that_a_policy_overtook_is_not_made_again(ledger, policy, outcome):
    """The vendor refused it, or recovery finds that it has not got it: it is not sent any more."""
    [span] = begun(ledger)
    judged(ledger, span, policy, "record_again")
    assert states(ledger)["a@22"] == "sending"
    finish(ledger, outcome, "because", held_until=NOW)
    assert states(ledger) == {"a@22": f"suppressed:{policy}", "b@22": "delivered"}


def no_change_any_more(ledger: Ledger) -> None:
    [recorded] = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    without = detected(stretch(21, 22), added("b"))
    ledger.runs.record_again(run(), [(recorded, without)], ["mail"], DEFINITION, NOW)


FORBIDDEN = {
    "max_age": lambda ledger, span: judged(ledger, span, "max_age", "withhold"),
    "backfill": lambda ledger, span: judged(ledger, span, "backfill", "record_again"),
    "rejected": lambda ledger, _: quarantine(ledger),
    "no longer a change": lambda ledger, _: no_change_any_more(ledger),
}


@pytest.mark.parametrize("due", [NOW, None])
@pytest.mark.parametrize("why", FORBIDDEN)
def test_what_waits_to_be_sent_once_more_stays_in_doubt_when_that_is_forbidden(ledger, why, due):
    """Its first call may have had its effect: it is nothing that was surely not sent."""
    [span] = begun(ledger)
    finish(ledger, State.UNCERTAIN, "lost", held_until=due)
    assert claim(ledger) == [key(ledger)]
    FORBIDDEN[why](ledger, span)
    assert states(ledger)["a@22"].startswith("uncertain:")
    heirs = {"owner": "heir", "now": LATER, "lease_until": LATER}
    assert advance(ledger, [], [key(ledger)], **heirs) == frozenset()
    assert ledger.deliveries.give_back("heir", LATER) == 0
    if why != "no longer a change":  # no pass has it as a candidate
        assert claim(ledger, LATER + timedelta(days=1)) == []


@pytest.mark.parametrize("in_run", [True, False])
@pytest.mark.parametrize("why", ["max_age", "backfill", "rejected"])
def test_a_second_call_in_vain_leaves_the_first_in_doubt(ledger, why, in_run):
    """It is not called a third time, and is told where no run's report does."""
    [span] = begun(ledger)
    finish(ledger, State.UNCERTAIN, "lost", held_until=NOW)
    assert claim(ledger) == [key(ledger)]
    heirs = {"owner": "heir", "now": LATER, "lease_until": LATER}
    assert advance(ledger, [], [key(ledger)], **heirs) == {key(ledger)}
    FORBIDDEN[why](ledger, span)
    assert states(ledger)["a@22"].startswith("sending")
    busy = [Finished(key(ledger), State.CLAIMED, "sent again: 429")]
    assert not advance(ledger, busy, [key(ledger)], **heirs, clear_number=0 if in_run else None)
    assert states(ledger)["a@22"] == f"uncertain:not sent again: {why}"
    untold = ledger.deliveries.untold("welcome", "mail").outcomes
    assert [each.outcome for each in untold] == ([] if in_run else ["uncertain"])
    assert claim(ledger, LATER + timedelta(days=1)) == []


def test_a_message_in_doubt_says_why_however_many_workers_had_it(ledger):
    begun(ledger)
    finish(ledger, State.UNCERTAIN, "lost", held_until=NOW)
    assert claim(ledger) == [key(ledger)]
    assert claim(ledger, LATER + timedelta(days=1)) == [key(ledger)]  # the first of them died
    ledger.deliveries.give_back("heir", LATER)
    assert states(ledger)["a@22"] == "uncertain:lost"


@pytest.mark.parametrize("resends", [True, False])
def test_a_dead_workers_call_that_a_policy_overtook_is_left_to_a_person(ledger, resends):
    [span] = begun(ledger)
    judged(ledger, span, "backfill", "record_again")
    ledger.deliveries.call_uncertain([key(ledger)], LATER, LATER, resends=resends, in_run=False)
    assert states(ledger)["a@22"] == "uncertain:the worker ended during the call"
    assert ledger.deliveries.due("welcome", "mail", LATER, None) == []
    assert [each.outcome for each in ledger.deliveries.untold("welcome", "mail").outcomes] == [
        "uncertain"
    ]
    meant = Selection("welcome")
    ledger.people.file_request(RequestKind.SETTLE, meant, ANN, LATER, Settlement.NOT_DELIVERED)
    [request] = ledger.people.open_requests()
    assert ledger.people.carry_out(request, LATER).startswith("0 to be sent again, 1 not: ")
    assert states(ledger)["a@22"] == "suppressed:backfill"
    judged(ledger, span, None, "record_again")
    assert states(ledger)["a@22"] == "planned"


def test_a_quarantine_is_no_policy_that_is_lifted(ledger):
    [span] = begun(ledger)
    quarantine(ledger)
    judged(ledger, span, "max_age", "withhold")
    judged(ledger, span, None, "record_again")
    finish(ledger, State.FAILED, "422")
    assert states(ledger)["a@22"] == "suppressed:rejected"


def test_what_comes_while_people_are_told_is_told_the_next_time(ledger):
    """Another delivery that fails meanwhile, and the same one that failed once more."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a", "b", "c")))
    ledger.runs.release(ids, NOW)

    def fail(contact: str, at: datetime) -> None:
        again = deliveries.c.contact_id == contact
        values = {"state": State.FAILED, "untold": 1, "updated_at": at}
        with ledger.engine.begin() as connection:
            connection.execute(update(deliveries).where(again).values(values))

    fail("a", NOW)
    fail("b", NOW)
    told = ledger.deliveries.untold("welcome", "mail")
    fail("b", NOW + timedelta(microseconds=1))
    fail("c", NOW)
    ledger.deliveries.mark_told(told)
    assert sum(each.count for each in ledger.deliveries.untold("welcome", "mail").outcomes) == 2


def test_a_call_of_a_dead_worker_that_nobody_can_ask_for_is_told_outside_of_a_run(ledger):
    begun(ledger)
    ledger.deliveries.call_uncertain([key(ledger)], LATER, LATER, in_run=False)
    assert [each.outcome for each in ledger.deliveries.untold("welcome", "mail").outcomes] == [
        "uncertain"
    ]


def test_a_failure_after_the_run_waits_for_a_person_to_clear_it_after_that(ledger):
    """The run was cleared twice before: Airflow's own retry of that must not try it again."""
    begun(ledger)
    finish(ledger, State.HELD, Reason.QUIET_HOURS, held_until=LATER + timedelta(days=1))
    mine = {"owner": "task", "now": LATER, "lease_until": LATER + timedelta(minutes=1)}
    assert ledger.deliveries.claim([key(ledger)], clear_number=2, **mine) == []  # it is not due yet
    late = {**mine, "now": LATER + timedelta(days=2)}
    ledger.deliveries.claim([key(ledger)], clear_number=None, **late)
    done = Finished(key(ledger), State.FAILED, "550")
    advance(ledger, [done], [], clear_number=None, **late)
    assert ledger.deliveries.claim([key(ledger)], clear_number=2, **late) == []
    assert len(ledger.deliveries.claim([key(ledger)], clear_number=3, **late)) == 1


# Holds

ENDS_A_HOLD = {
    "skipped": lambda ledger, ids: ledger.deliveries.skip([key(ledger)], "conditions", LATER),
    "a policy": lambda ledger, ids: ledger.runs.withhold(ids[0], "max_age", LATER),
    "quarantine": lambda ledger, ids: quarantine(ledger),
    "expired": lambda ledger, ids: ledger.deliveries.expire([key(ledger)], LATER),
    "dropped": lambda ledger, ids: dropped(ledger, Selection("welcome")),
    "delivered": lambda ledger, ids: (claim(ledger), finish(ledger, State.DELIVERED, owner="heir")),
}


def dropped(ledger: Ledger, meant: Selection) -> str:
    request = ledger.people.find_request(
        ledger.people.file_request(RequestKind.DROP, meant, ANN, LATER)
    )
    return ledger.people.carry_out(request, LATER)


@pytest.mark.parametrize("end", ENDS_A_HOLD)
def test_whatever_ends_a_hold_ends_how_long_it_was_held(ledger, end):
    """A later hold expires by its own time, not by that of the first one."""
    ids = begun(ledger)
    finish(ledger, State.HELD, Reason.QUIET_HOURS, held_until=NOW)
    ENDS_A_HOLD[end](ledger, ids)
    with ledger.engine.connect() as connection:
        columns = deliveries.c.state, deliveries.c.held_until, deliveries.c.held_since
        row = connection.execute(select(*columns).where(deliveries.c.key == key(ledger))).one()
    assert row.state != State.HELD
    assert (row.held_until, row.held_since) == (None, None)


def test_dropping_ends_what_is_held_and_what_is_long_in_doubt_and_nothing_else(ledger):
    """A call that may be under way is nobody's to drop."""
    begun(ledger)
    assert (
        ledger.people.matching(RequestKind.DROP, Selection("welcome")) == 1
    )  # by the clock of now
    assert dropped(ledger, Selection("welcome")) == "0 dropped, 1 calls in doubt are uncertain"
    assert states(ledger)["a@22"].startswith("uncertain:nobody was asked")


# Requests


def test_a_request_means_what_was_there_when_it_was_filed(ledger):
    """What fails afterwards was not seen by whoever asked; what changed since is left alone."""
    ids = record(ledger, run(), detected(stretch(21, 22), added(*"abc")))
    ledger.runs.release(ids, NOW)
    keys = [key(ledger, contact) for contact in "abc"]
    mine = {"owner": "me", "now": NOW, "lease_until": LATER}
    ledger.deliveries.claim(keys, **mine)
    advance(ledger, [], keys, **mine)
    failed = [Finished(each, State.FAILED, "422") for each in keys[:2]]
    advance(ledger, failed, [], **mine)
    number = ledger.people.file_request(RequestKind.RETRY, Selection("welcome"), ANN, NOW)
    advance(ledger, [Finished(keys[2], State.FAILED, "422")], [], **mine)
    with ledger.engine.begin() as connection:
        gone = update(deliveries).where(deliveries.c.key == keys[1])
        connection.execute(gone.values(state=State.SKIPPED, reason="conditions"))
    assert (
        ledger.people.carry_out(ledger.people.find_request(number), LATER) == "1 to be sent again"
    )
    assert states(ledger) == {
        "a@22": f"held:retry requested by {ANN}",
        "b@22": "skipped:conditions",
        "c@22": "failed:422",
    }


@pytest.mark.parametrize(
    ("delivered", "failed"),
    [("send_mail", "sendxmail"), ("mail", "mail2"), ("m_il", "mail"), ("a_b", "a%b")],
)
def test_what_follows_one_action_does_not_follow_another_of_nearly_its_name(
    ledger, delivered, failed
):
    """Names are compared exactly: an underscore stands for itself."""
    actions = (delivered, failed, "follower")
    ids = record(ledger, run(), detected(stretch(21, 22), added("a")), actions=actions)
    ledger.runs.release(ids, NOW)
    with ledger.engine.begin() as connection:
        for action, values in {
            delivered: {"state": State.DELIVERED},
            failed: {"state": State.FAILED},
            "follower": {"state": State.SKIPPED, "waits_for": failed},
        }.items():
            its = update(deliveries).where(deliveries.c.action == action)
            connection.execute(its.values(values))
    assert ledger.deliveries.actions_with_work(LATER) == []
    with ledger.engine.begin() as connection:
        its = update(deliveries).where(deliveries.c.action == failed)
        connection.execute(its.values(state=State.DELIVERED))
    assert ledger.deliveries.actions_with_work(LATER) == [("welcome", "follower")]
