"""What people ask and do, through one set of functions for the command line and the UI."""

from __future__ import annotations

import pytest

from segue.errors import SettingsError
from segue.ledger import Ledger
from segue.ledger.people.release_requests import RequestKind, Selection, Settlement
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.upkeep import interventions as asking
from tests.unit.builders import NOW, added, detected, record, run, stretch


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    record(ledger, run(), detected(stretch(21, 22), added("ann", "bob")))
    for contact, state in (("ann", State.FAILED), ("bob", State.UNCERTAIN)):
        with ledger.engine.begin() as connection:
            mine = deliveries.c.contact_id == contact
            connection.execute(deliveries.update().where(mine).values(state=state))
    return ledger


def key_of(ledger: Ledger, contact: str) -> str:
    (row,) = ledger.queries.list_deliveries(contact_id=contact)
    return row.key


def test_a_retry_that_concerns_nothing_is_not_filed(filled: Ledger):
    with pytest.raises(SettingsError, match="there is no failed delivery of workflow other"):
        asking.retry(filled, Selection("other"), "ann@host", NOW)
    assert filled.people.list_requests() == []
    number = asking.retry(filled, Selection("welcome"), "ann@host", NOW)
    assert [request.id for request in filled.people.open_requests()] == [number]


def test_only_uncertain_deliveries_are_settled(filled: Ledger):
    wrong = Selection("welcome", keys=(key_of(filled, "ann"),))
    with pytest.raises(SettingsError, match="it is failed"):
        asking.settle(filled, wrong, Settlement.DELIVERED, "ann@host", NOW)
    right = Selection("welcome", keys=(key_of(filled, "bob"),))
    asking.settle(filled, right, Settlement.DELIVERED, "ann@host", NOW)
    (request,) = filled.people.open_requests()
    assert request.settlement == "delivered"


@pytest.mark.parametrize("first", list(Settlement))
def test_of_two_people_who_contradict_each_other_the_first_is_heard(filled: Ledger, first):
    """The second is told whose request it is, whichever deliveries it names."""
    [second] = set(Settlement) - {first}
    mine = Selection(keys=(key_of(filled, "bob"),))
    number = asking.settle(filled, mine, first, "ann@host", NOW)
    for meant in (mine, Selection("welcome")):
        with pytest.raises(SettingsError, match=f"meant by request {number} already"):
            asking.settle(filled, meant, second, "bob@host", NOW)
    late = filled.people.file_request(
        RequestKind.SETTLE, mine, "bob@host", NOW, second
    )  # at that moment
    outcomes = [filled.people.carry_out(each, NOW) for each in filled.people.open_requests()]
    assert [outcome.split()[0] for outcome in outcomes] == ["1", "0"]
    assert filled.people.find_request(late).outcome.startswith("0 ")
    state = State.DELIVERED if first is Settlement.DELIVERED else State.HELD
    assert filled.deliveries.rows(mine.keys)[mine.keys[0]].state is state


def test_a_wider_request_means_what_no_other_means(filled: Ledger):
    """Both are carried out: each of what it counted."""
    one = Selection("welcome", contact="ann")
    with filled.engine.begin() as connection:
        connection.execute(deliveries.update().values(state=State.HELD, held_until=NOW))
    asking.drop(filled, one, "ann@host", NOW)
    assert asking.look(filled, RequestKind.DROP, Selection("welcome")).count == 1
    asking.drop(filled, Selection("welcome"), "bob@host", NOW)
    outcomes = [filled.people.carry_out(each, NOW) for each in filled.people.open_requests()]
    assert outcomes == ["1 dropped", "1 dropped"]


def test_what_is_done_at_once_is_noted_and_never_carried_out_again(filled: Ledger):
    asking.stop(filled, "welcome", "ann", "why", NOW)
    assert asking.go(filled, "welcome", "bob", NOW)
    assert not asking.go(filled, "welcome", "bob", NOW)
    assert asking.suppress(filled, ["ann"], "ann", "asked", NOW, "welcome") == 1
    assert asking.suppress(filled, ["ann"], "ann", "asked", NOW, "welcome") == 0
    assert asking.allow(filled, ["ann"], "bob", NOW) == 1
    assert asking.suppress(filled, ["x", "y"], "ann", "", NOW) == 2
    noted = [(item.kind, item.requested_by, item.outcome) for item in filled.people.list_requests()]
    assert noted == [
        ("stop", "ann", "welcome was stopped by ann at 2026-11-23 06:00 UTC: why"),
        ("go", "bob", "welcome may go"),
        ("suppress", "ann", "1 put on the suppression list"),
        ("allow", "bob", "1 taken off the suppression list"),
        ("suppress", "ann", "2 put on the suppression list"),
    ]
    assert filled.people.open_requests() == []
    assert [item.id for item in filled.people.newest_requests(2, before=3)] == [2, 1]


def test_a_forgotten_contact_is_in_no_note(filled: Ledger):
    """Neither its id nor what somebody typed about it."""
    ledger = Ledger(filled.engine, filled.namespace, secret="a long secret text")
    asking.suppress(ledger, ["ann"], "bob", "ann shouted at us", NOW, "welcome")
    ledger.retention.forget("ann", "bob", NOW)
    (note,) = ledger.people.list_requests()
    assert note.selection.contact != "ann"
    assert "shouted" not in repr(note)
