"""Counts and pages for people, on both databases, held against plain counting in Python."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import update

from segue.errors import LedgerError
from segue.ledger import Ledger
from segue.ledger.queries.pages import Filter
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.builders import NOW, added, detected, point, record, run, stretch

PEOPLE = [f"c{number:02}" for number in range(30)]
STATES = (State.DELIVERED, State.FAILED, State.UNCERTAIN, State.HELD, State.SKIPPED)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Two runs of ``welcome`` with two actions; the second's deliveries in five states by turns."""
    actions = ("mail", "note")
    record(ledger, run("early"), detected(stretch(20, 21), added("a", "b")), actions=actions)
    record(ledger, run("late"), detected(stretch(21, 22), added(*PEOPLE)), actions=actions)
    rows = ledger.queries.list_deliveries(snapshot="2026-11-22")
    for number, row in enumerate(rows):
        put(ledger, row.key, STATES[number % 5], NOW + timedelta(seconds=number))
    return ledger


def put(ledger: Ledger, key: str, state: State, moved) -> None:
    values = {"state": state, "reason": f"because {state}", "updated_at": moved}
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).where(deliveries.c.key == key).values(**values))


def spans_of(ledger: Ledger, name: str) -> list[int]:
    return [span.id for span in ledger.runs.spans_of(ledger.runs.find_run("welcome", name))]


def test_outcomes_are_counted_by_the_instant_of_the_change(filled: Ledger):
    found = filled.queries.outcomes_since(["welcome", "nothing"], point(21).as_of)
    expected = Counter(
        (row.workflow, row.event_at, row.outcome) for row in filled.queries.list_deliveries()
    )
    assert {(item.workflow, item.event_at, item.state): item.count for item in found} == expected
    assert found == sorted(found, key=lambda item: (item.workflow, item.event_at, item.state))
    late = filled.queries.outcomes_since(["welcome"], point(22).as_of)
    assert {item.event_at for item in late} == {point(22).as_of}
    assert filled.queries.outcomes_since(["welcome"], point(23).as_of) == []
    assert filled.queries.outcomes_since([], point(1).as_of) == []


def test_open_ends_are_what_may_wait_for_somebody(filled: Ledger):
    found = filled.queries.open_ends(["welcome", "nothing"])
    every = Counter(row.outcome for row in filled.queries.list_deliveries())
    worrying = (State.FAILED, State.UNCERTAIN, State.HELD, State.PLANNED)
    assert found == {"welcome": {state: every[state] for state in worrying}, "nothing": {}}


def test_outcomes_of_a_run_are_counted_per_action(filled: Ledger):
    found = filled.queries.outcomes_of_spans(spans_of(filled, "late"))
    rows = filled.queries.list_deliveries(snapshot="2026-11-22")
    for action in ("mail", "note"):
        assert found[action] == Counter(row.outcome for row in rows if row.action == action)


def test_another_namespace_is_not_counted(filled: Ledger):
    other = Ledger(filled.engine, "other")
    assert other.queries.outcomes_since(["welcome"], point(1).as_of) == []
    assert other.queries.open_ends(["welcome"]) == {"welcome": {}}
    assert other.queries.recent_runs("welcome", 10) == []
    assert other.queries.newest_deliveries("welcome", Filter(state="failed"), limit=10) == []
    assert not other.queries.knows_contact("welcome", "c01")
    assert filled.queries.knows_contact("welcome", "c01")
    assert not filled.queries.knows_contact("welcome", "c0")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    "chosen",
    [
        Filter(),
        Filter(contact="c1"),
        Filter(state="failed"),
        Filter(state="failed", action="note"),
        Filter(error="BECAUSE un"),
        Filter(error="because"),
        Filter(change="removed"),
        Filter(contacts=["c03", "c04", "nobody"]),
        Filter(contact="c0", state="skipped", contacts=["c03", "c04", "c08", "c12"]),
    ],
    ids=str,
)
def test_pages_of_a_run_hold_what_the_filter_says_in_order(filled: Ledger, chosen, descending):
    """All pages one after the other are the list; each row has all of its deliveries."""
    rows = filled.queries.list_deliveries(snapshot="2026-11-22")
    expected = sorted({row.contact_id for row in rows if is_meant(row, chosen)})
    if descending:
        expected.reverse()
    ids = spans_of(filled, "late")
    found = []
    while page := filled.queries.change_rows(
        ids, chosen, limit=7, offset=len(found), descending=descending
    ):
        assert len(page) <= 7
        found += page
    assert [row.contact_id for row in found] == expected
    assert filled.queries.count_rows(ids, chosen) == len(expected)
    assert all([d.action for d in row.deliveries] == ["mail", "note"] for row in found)
    if not descending:
        assert [row.contact_id for row in filled.queries.all_change_rows(ids, chosen)] == expected


def is_meant(row, chosen: Filter) -> bool:
    concerned = chosen.state or chosen.error
    return (
        row.contact_id.startswith(chosen.contact)
        and (chosen.contacts is None or row.contact_id in chosen.contacts)
        and chosen.change in ("", row.change)
        and (not concerned or chosen.action in ("", row.action))
        and chosen.state in ("", row.outcome)
        and chosen.error.lower() in row.reason.lower()
        and not (chosen.error and not chosen.state and row.outcome == State.DELIVERED)
    )


def test_a_run_of_several_spans_is_one_list(filled: Ledger):
    ids = [*spans_of(filled, "early"), *spans_of(filled, "late")]
    found = filled.queries.change_rows(ids, Filter(), limit=100)
    assert [row.contact_id for row in found] == sorted(["a", "b", *PEOPLE])
    assert filled.queries.change_rows([], Filter(), limit=100) == []
    assert filled.queries.count_rows([], Filter(state="failed")) == 0


@pytest.mark.parametrize(
    ("mail", "note", "verdict"),
    [
        ((State.SKIPPED, "conditions"), (State.SKIPPED, "conditions"), "do not hold"),
        ((State.SKIPPED, "contact_not_found"), (State.SKIPPED, "x"), "contact not found"),
        ((State.SUPPRESSED, "backfill"), (State.PLANNED, ""), "not judged"),
        ((State.DELIVERED, ""), (State.SKIPPED, "if"), "hold"),
    ],
)
def test_the_verdict_is_what_the_ledger_tells_of_the_conditions(
    filled: Ledger, mail, note, verdict
):
    for row in filled.queries.list_deliveries(contact_id="c00"):
        state, reason = mail if row.action == "mail" else note
        with filled.engine.begin() as connection:
            query = update(deliveries).where(deliveries.c.key == row.key)
            connection.execute(query.values(state=state, reason=reason))
    (row,) = filled.queries.change_rows(spans_of(filled, "late"), Filter(contact="c00"), limit=1)
    assert row.verdict == verdict


def test_the_newest_deliveries_of_a_state_come_in_pages(filled: Ledger):
    rows = [row for row in filled.queries.list_deliveries() if row.outcome == "failed"]
    expected = sorted(rows, key=lambda row: (row.updated_at, row.key), reverse=True)
    found: list = []
    before = None
    while page := filled.queries.newest_deliveries(
        "welcome", Filter(state="failed"), limit=5, before=before
    ):
        found += page
        before = (page[-1].updated_at, page[-1].key)
    assert [row.key for row in found] == [row.key for row in expected]
    assert {row.run_id for row in found} == {"late"}
    with pytest.raises(LedgerError, match="of one state"):
        filled.queries.newest_deliveries("welcome", Filter(), limit=5)


def test_deliveries_that_moved_at_the_same_instant_are_on_one_page_or_the_other(filled: Ledger):
    for row in filled.queries.list_deliveries(snapshot="2026-11-22"):
        put(filled, row.key, State.FAILED, NOW)
    first = filled.queries.newest_deliveries("welcome", Filter(state="failed"), limit=31)
    last = (first[-1].updated_at, first[-1].key)
    rest = filled.queries.newest_deliveries(
        "welcome", Filter(state="failed"), limit=31, before=last
    )
    assert len({row.key for row in (*first, *rest)}) == 60


def test_an_export_goes_on_after_the_row_where_a_page_ended(filled: Ledger, monkeypatch):
    """A contact with two changes is not lost between two pages."""
    two = [("dora", "added", ""), ("dora", "opted_in", ""), ("ed", "added", "")]
    record(filled, run("more"), detected(stretch(22, 23), two))
    monkeypatch.setattr("segue.ledger.queries.pages.BATCH", 4)  # pages of one row
    found = filled.queries.all_change_rows(spans_of(filled, "more"), Filter())
    assert [(row.contact_id, row.change) for row in found] == [two[0][:2], two[1][:2], two[2][:2]]


def test_recent_runs_are_the_newest_first_with_their_snapshots(filled: Ledger):
    found = filled.queries.recent_runs("welcome", 10)
    assert [(item.run_id, item.previous, item.current) for item in found] == [
        ("late", "2026-11-21", "2026-11-22"),
        ("early", "2026-11-20", "2026-11-21"),
    ]
    assert [item.run_id for item in filled.queries.recent_runs("welcome", 1)] == ["late"]
