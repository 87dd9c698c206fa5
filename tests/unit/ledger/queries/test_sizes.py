"""What the ledger tells of segments over time, and of one contact, on both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from segue.ledger import Ledger
from segue.ledger.facts import Run
from segue.ledger.queries.sizes import Crossings
from segue.ledger.schema import changes
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    detected,
    enrolled,
    point,
    record,
    run,
    stretch,
)

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
OTHER = ("1" * 64, '{"directory": {"directory": "people"}, "segment": {"segment": "big"}}')


def record_as(ledger: Ledger, workflow: str, name: str, span, definition=DEFINITION) -> None:
    ledger.runs.record_spans(
        Run(workflow, name), [span], ("mail",), definition, NOW, recorded_only=False
    )


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """``welcome`` and ``thanks`` on the segment vip, ``other`` on big; ann is in all of them."""
    record(ledger, run("first"), detected(stretch(20, 21), added("ann", "bob")))
    record(ledger, run("second"), detected(stretch(21, 22), [("ann", "removed", "deleted")]))
    record_as(ledger, "thanks", "third", detected(stretch(20, 21), added("ann")))
    record_as(ledger, "other", "fourth", detected(stretch(20, 22), added("ann", "anna")), OTHER)
    return ledger


def test_sizes_are_of_the_segment_that_was_recorded_in_order_of_time(filled: Ledger):
    found = filled.queries.sizes_since(["vip"], ["welcome", "thanks"], BEGINNING)
    assert [(size.workflow, size.key, size.members) for size in found] == [
        ("welcome", "2026-11-21", 11),
        ("thanks", "2026-11-21", 11),
        ("welcome", "2026-11-22", 11),
    ]
    assert filled.queries.sizes_since(["vip"], ["welcome"], point(23).as_of) == []
    assert filled.queries.sizes_since(["big"], ["welcome"], BEGINNING) == []


def test_the_newest_size_is_found_however_old(filled: Ledger):
    newest = filled.queries.newest_size("vip", ["welcome", "thanks"])
    assert (newest.workflow, newest.key) == ("welcome", "2026-11-22")
    assert filled.queries.newest_size("vip", ["other"]) is None


def test_a_withdrawn_span_says_nothing_of_sizes(filled: Ledger):
    filled.people.quarantine("people", "2026-11-22", reason="odd", by="ann", now=NOW)
    assert filled.queries.newest_size("vip", ["welcome"]).key == "2026-11-21"
    assert filled.queries.newest_size("big", ["other"]) is None


def test_crossings_are_counted_by_snapshot_workflow_and_kind(filled: Ledger):
    assert filled.queries.crossings_since(["vip", "big"], ["welcome", "other"], BEGINNING) == [
        Crossings("vip", "welcome", point(21).as_of, "added", 2),
        Crossings("big", "other", point(22).as_of, "added", 2),
        Crossings("vip", "welcome", point(22).as_of, "removed", 1),
    ]


def test_versions_are_where_a_definition_began_to_be_used(ledger: Ledger):
    """Going back to an earlier one is an edit, too."""
    again = (OTHER[0], DEFINITION[1])  # another definition of the workflow, the same segment
    for day, definition in ((20, DEFINITION), (21, DEFINITION), (22, again), (23, DEFINITION)):
        span = detected(stretch(day - 1, day))
        record_as(ledger, "welcome", f"run-{day}", span, definition)
    found = ledger.queries.versions_since("vip", ["welcome"], BEGINNING)
    assert [(version.key[-2:], version.digest[0]) for version in found] == [
        ("23", "0"),
        ("22", "1"),
        ("20", "0"),
    ]
    assert json.loads(found[0].body)["segment"]["segment"] == "vip"


def test_everything_recorded_is_known_by_segment_and_workflow(filled: Ledger):
    assert filled.queries.recorded_segments() == {
        ("vip", "welcome"),
        ("vip", "thanks"),
        ("big", "other"),
    }
    assert Ledger(filled.engine, "elsewhere").queries.recorded_segments() == set()


def test_a_cleared_run_whose_workflow_changed_segments_moves(ledger: Ledger):
    record(ledger, run(), detected(stretch(21, 22), added("ann")))
    [recorded] = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    ledger.runs.record_again(
        run(), [(recorded, detected(stretch(21, 22), added("ann")))], ("mail",), OTHER, NOW
    )
    assert ledger.queries.recorded_segments() == {("big", "welcome")}


# ---- one contact -------------------------------------------------------------------------------


def test_events_of_a_contact_come_newest_first_and_those_of_one_change_together(filled: Ledger):
    found = filled.queries.events("ann", ["welcome", "thanks", "other"], limit=10)
    assert [(event.current[-2:], event.segment, event.workflow) for event in found] == [
        ("22", "big", "other"),
        ("22", "vip", "welcome"),
        ("21", "vip", "thanks"),
        ("21", "vip", "welcome"),
    ]
    assert found[1].reason == "deleted"
    assert [row.action for row in found[1].deliveries] == ["mail"]
    assert all(row.contact_id == "ann" for event in found for row in event.deliveries)


def test_events_come_in_pages_and_are_counted(filled: Ledger):
    every = ["welcome", "thanks", "other"]
    pages = [filled.queries.events("ann", every, limit=3, offset=offset) for offset in (0, 3)]
    assert [len(page) for page in pages] == [3, 1]
    assert filled.queries.count_events("ann", every) == 4
    assert filled.queries.count_events("ann", ["other"]) == 1
    assert filled.queries.count_events("nobody", every) == 0


def test_a_change_that_was_withdrawn_is_known_by_its_deliveries(filled: Ledger):
    with filled.engine.begin() as connection:
        connection.execute(changes.delete().where(changes.c.contact_id == "ann"))
    found = filled.queries.events("ann", ["other"], limit=10)
    assert [(event.reason, len(event.deliveries)) for event in found] == [(None, 1)]


def test_an_enrolment_is_an_event_without_a_previous_snapshot(ledger: Ledger):
    record(ledger, run(), enrolled(22, "ann"))
    [event] = ledger.queries.events("ann", ["welcome"], limit=1)
    assert (event.change, event.previous, event.kind) == ("enrolled", None, "enrolment")


def test_contacts_are_offered_by_how_their_ids_begin(filled: Ledger):
    every = ["welcome", "thanks", "other"]
    assert filled.queries.contacts_beginning("an", every, 10) == ["ann", "anna"]
    assert filled.queries.contacts_beginning("an", every, 1) == ["ann"]
    assert filled.queries.contacts_beginning("an", ["welcome"], 10) == ["ann"]
    assert filled.queries.contacts_beginning("An", every, 10) == []
    assert filled.queries.contacts_beginning("%", every, 10) == []
