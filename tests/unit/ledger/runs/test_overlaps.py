"""A kept span and one compared over it: of one change, one of them acts; on both databases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import event, update

from segue.ledger import Ledger
from segue.ledger.facts import Decision, DetectedSpan
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.ledger.stretches import Point, Stretch, by_end, compared_over
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    detected,
    enrolled,
    point,
    record,
    run,
    states,
    stretch,
)

KEPT = stretch(21, 22)
LATER = Stretch(Point(point(22).as_of, point(21).key), point(23))  # compared over the kept one
YES = Decision("approved", "bob", NOW)
NO = Decision("rejected", "bob", NOW)

# what another span's delivery in this state means for the same action of the same change
LEFT_OUT: Mapping[tuple[State, str], str | None] = {
    (State.PLANNED, ""): None,
    (State.RELEASED, ""): "suppressed:in_hand",
    (State.CLAIMED, ""): "suppressed:in_hand",
    (State.SENDING, ""): "suppressed:in_hand",
    (State.DELIVERED, ""): "suppressed:sent_before",
    (State.DELIVERED, "settled by ann"): "suppressed:sent_before",
    (State.FAILED, "422"): "suppressed:in_hand",
    (State.UNCERTAIN, "the answer was lost"): "suppressed:in_hand",
    (State.HELD, "quiet_hours"): "suppressed:in_hand",
    (State.WAITING, "wait"): "suppressed:in_hand",
    (State.SKIPPED, "conditions"): "suppressed:in_hand",
    (State.SKIPPED, "no_longer_a_change"): None,
    (State.SUPPRESSED, "rejected"): None,
    (State.SUPPRESSED, "max_age"): None,
}


def put(ledger: Ledger, day: int, state: State, reason: str, contacts: Sequence[str] = "a") -> None:
    """Let the deliveries of a day stand so."""
    mine = deliveries.c.snapshot == point(day).key, deliveries.c.contact_id.in_([*contacts])
    results = '{"id": "7"}' if state is State.DELIVERED else None
    values = {"state": state, "reason": reason, "results": results}
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).where(*mine).values(**values))


def again(ledger: Ledger, name: str, span: DetectedSpan) -> None:
    """A run that is cleared from detect_changes."""
    [recorded] = ledger.runs.spans_of(ledger.runs.find_run("welcome", name))
    ledger.runs.record_again(run(name), [(recorded, span)], ("mail",), DEFINITION, NOW)


def test_all_states_are_in_the_table():
    """A new state has to say what it means to another span."""
    assert {state for state, _ in LEFT_OUT} == set(State)


@pytest.mark.parametrize("earlier", [True, False], ids=["kept", "later"])
def test_what_another_span_has_sent_or_has_in_hand_is_left_out(ledger, earlier):
    """Whichever was first: when it is recorded, at the guard, by an approval, and by a release."""
    spans = detected(KEPT, added("a")), detected(LATER, added("a"))
    ids = {}
    for day, each, one in ((22, "k", spans[0]), (23, "l", spans[1])):
        [ids[day]] = record(ledger, run(each), one)
    theirs, mine = (22, 23) if earlier else (23, 22)
    name, span = ("l", spans[1]) if earlier else ("k", spans[0])
    recorded, at = ledger.runs.find_run("welcome", name), f"a@{mine}"
    for (state, reason), left_out in LEFT_OUT.items():
        case = f"{state}({reason})"
        for before in ((State.PLANNED, ""), (State.SUPPRESSED, "rejected")):
            as_before = ":".join(filter(None, before))
            put(ledger, theirs, state, reason)
            put(ledger, mine, *before)
            again(ledger, name, span)
            assert (case, states(ledger)[at]) == (case, left_out or as_before)
            put(ledger, mine, *before)
            ledger.runs.withhold(ids[mine], None, NOW)
            assert (case, states(ledger)[at]) == (case, left_out or as_before)
            put(ledger, mine, *before)
            ledger.runs.approve(recorded, [ids[mine]], YES)
            assert (case, states(ledger)[at]) == (case, left_out or "released")
        put(ledger, mine, State.PLANNED, "")
        ledger.runs.release([ids[mine]], NOW)
        assert (case, states(ledger)[at]) == (case, left_out or "released")


def test_what_was_in_doubt_is_judged_again_once_its_outcome_is_known(ledger):
    """Not delivered: it is planned. Delivered: what comes after it finds the results."""
    record(ledger, run("k"), detected(KEPT, added("a", "b")))
    put(ledger, 22, State.UNCERTAIN, "the answer was lost", "ab")
    span = detected(LATER, added("a", "b"))
    record(ledger, run("l"), span)
    put(ledger, 22, State.SUPPRESSED, "rejected", "a")
    put(ledger, 22, State.DELIVERED, "settled by ann", "b")
    again(ledger, "l", span)
    found = states(ledger)
    assert (found["a@23"], found["b@23"]) == ("planned", "suppressed:sent_before")
    key = ledger.key("welcome", "mail", "b", "added", point(23).key)
    assert ledger.deliveries.rows([key])[key].results == {"id": "7"}


def test_a_rejection_outlives_the_time_in_another_ones_hands(ledger):
    """Whoever rejected it is asked again, and a rejection reaches what is in another's hands."""
    [kept] = record(ledger, run("k"), detected(KEPT, added("a")))
    record(ledger, run("l"), detected(LATER, added("a")))
    put(ledger, 22, State.SUPPRESSED, "rejected")
    put(ledger, 23, State.SENDING, "")
    ledger.runs.withhold(kept, None, NOW)
    assert ledger.queries.count_waiting([kept]) == {}
    put(ledger, 23, State.SUPPRESSED, "rejected")
    again(ledger, "k", detected(KEPT, added("a")))
    assert states(ledger)["a@22"] == "suppressed:rejected"
    put(ledger, 22, State.SUPPRESSED, "in_hand")
    ledger.runs.reject(ledger.runs.find_run("welcome", "k"), [kept], NO)
    assert states(ledger)["a@22"] == "suppressed:rejected"


def test_of_two_spans_that_are_released_at_once_one_acts(ledger):
    """The earlier one: a run may have taken the other over."""
    both = [
        number
        for name, span in (("k", KEPT), ("l", LATER))
        for number in record(ledger, run(name), detected(span, added("a")))
    ]
    assert ledger.runs.release(both, NOW) == 1
    assert states(ledger) == {"a@22": "released", "a@23": "suppressed:in_hand"}


def test_another_action_another_change_and_the_next_day_are_news(ledger):
    """Only the same action of the same change is left out, and only where the spans overlap."""
    record(ledger, run("k"), detected(KEPT, added("a")))
    put(ledger, 22, State.DELIVERED, "")
    removed = [("a", "removed", "")]
    record(ledger, run("l"), detected(LATER, added("a") + removed), actions=("mail", "post"))
    found = {
        (row.action, row.change): row.reason
        for row in ledger.queries.list_deliveries(snapshot=point(23).key)
    }
    assert found == {
        ("mail", "added"): "sent_before",
        ("post", "added"): "",
        ("mail", "removed"): "",
        ("post", "removed"): "",
    }
    put(ledger, 23, State.DELIVERED, "")
    record(ledger, run("m"), detected(stretch(23, 24), added("a")))
    assert states(ledger)["a@24"] == "planned"


def test_many_contacts_take_as_many_statements_as_one(ledger):
    """What is left out is left out in sets."""
    counts = []
    for workflow, contacts in (("few", ["a"]), ("many", [f"c{i:03}" for i in range(300)])):
        made = run("k"), run("l")
        mine = [type(one)(workflow, one.run_id) for one in made]
        record(ledger, mine[0], detected(KEPT, added(*contacts)))
        put(ledger, 22, State.DELIVERED, "", contacts)
        statements: list[str] = []

        def count(_c, _cursor, statement, *_more, seen=statements):
            seen.append(statement)

        event.listen(ledger.engine, "before_cursor_execute", count)
        record(ledger, mine[1], detected(LATER, added(*contacts)))
        event.remove(ledger.engine, "before_cursor_execute", count)
        counts.append(len(statements))
        rows = ledger.queries.list_deliveries(workflow=workflow, snapshot=point(23).key)
        assert {row.reason for row in rows} == {"sent_before"}
    assert counts[0] == counts[1]


def test_compared_over_walks_through_all_kept_spans_and_no_further():
    """The last first; a usual day is compared over none, nor is an enrolment or a baseline."""
    after = Stretch(Point(point(23).as_of, point(21).key), point(24))
    ends = by_end([stretch(20, 21), KEPT, LATER, after, stretch(24, 25)])
    assert list(compared_over(LATER, ends)) == [KEPT]
    assert list(compared_over(after, ends)) == [LATER, KEPT]
    for usual in (KEPT, stretch(20, 21), stretch(24, 25), Stretch(point(22), point(22))):
        assert list(compared_over(usual, ends)) == []


def over(kept: int, *, since: int) -> Stretch:
    """The span after so many kept ones, compared with the snapshot of the day ``since``."""
    begin = point(since + kept)
    return Stretch(Point(begin.as_of, point(since).key), point(since + kept + 1))


@pytest.mark.parametrize("kept", [1, 3])
@pytest.mark.parametrize("enrolled_on", [21, 22])
def test_whom_an_enrolment_reached_is_seen_over_any_number_of_kept_spans(ledger, kept, enrolled_on):
    """A span reaches back to the snapshot that it is compared with, wherever its time begins."""
    for number in range(kept):
        record(ledger, run(f"kept-{number}"), detected(over(number, since=21)))
    ledger.runs.release(record(ledger, run("enrol"), enrolled(enrolled_on, "a")), NOW)
    daily = record(ledger, run("daily"), detected(over(kept, since=21), added("a")))
    assert states(ledger)[f"a@{22 + kept}"] == "suppressed:reached"
    assert ledger.runs.release(daily, NOW) == 0


@pytest.mark.parametrize("kept", [1, 3])
@pytest.mark.parametrize("before", [State.FAILED, State.SKIPPED])
def test_an_enrolment_ends_what_was_added_over_any_number_of_kept_spans(ledger, kept, before):
    """A person who clears that run later would send both."""
    for number in range(kept):
        record(ledger, run(f"kept-{number}"), detected(over(number, since=21)))
    enrolments = [
        number
        for day, contact in ((21, "a"), (20, "news"))
        for number in record(ledger, run(f"enrol-{contact}"), enrolled(day, contact))
    ]
    record(ledger, run("daily"), detected(over(kept, since=21), added("a", "news")))
    put(ledger, 22 + kept, before, "because", ["a", "news"])
    ledger.runs.release(enrolments, NOW)
    outcomes = states(ledger)
    assert outcomes[f"a@{22 + kept}"] == "suppressed:reached"
    assert outcomes[f"news@{22 + kept}"] == f"{before}:because"  # removed and added again since
