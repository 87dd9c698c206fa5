"""What people ask and do, through one set of functions for the command line and the UI."""

from __future__ import annotations

import pytest

from segue.delivery import asking
from segue.delivery.ledger import Ledger, Selection, Settlement
from segue.delivery.schema import State, deliveries
from segue.errors import SettingsError
from tests.unit.delivery.builders import NOW, added, detected, record, run, stretch


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    record(ledger, run(), detected(stretch(21, 22), added("ann", "bob")))
    for contact, state in (("ann", State.FAILED), ("bob", State.UNCERTAIN)):
        with ledger.engine.begin() as connection:
            mine = deliveries.c.contact_id == contact
            connection.execute(deliveries.update().where(mine).values(state=state))
    return ledger


def key_of(ledger: Ledger, contact: str) -> str:
    (row,) = ledger.list_deliveries(contact_id=contact)
    return row["key"]


def test_a_retry_that_concerns_nothing_is_not_filed(filled: Ledger):
    with pytest.raises(SettingsError, match="there is no failed delivery of workflow other"):
        asking.retry(filled, Selection("other"), "ann@host", NOW)
    assert filled.list_requests() == []
    number = asking.retry(filled, Selection("welcome"), "ann@host", NOW)
    assert [request.id for request in filled.open_requests()] == [number]


def test_only_uncertain_deliveries_are_settled(filled: Ledger):
    wrong = Selection("welcome", keys=(key_of(filled, "ann"),))
    with pytest.raises(SettingsError, match="it is failed"):
        asking.settle(filled, wrong, Settlement.DELIVERED, "ann@host", NOW)
    right = Selection("welcome", keys=(key_of(filled, "bob"),))
    asking.settle(filled, right, Settlement.DELIVERED, "ann@host", NOW)
    (request,) = filled.open_requests()
    assert request.settlement == "delivered"


def test_what_is_done_at_once_is_noted_and_never_carried_out_again(filled: Ledger):
    asking.stop(filled, "welcome", "ann", "why", NOW)
    assert asking.go(filled, "welcome", "bob", NOW)
    assert not asking.go(filled, "welcome", "bob", NOW)
    assert asking.suppress(filled, ["ann"], "ann", "asked", NOW, "welcome") == 1
    assert asking.suppress(filled, ["ann"], "ann", "asked", NOW, "welcome") == 0
    assert asking.allow(filled, ["ann"], "bob", NOW) == 1
    assert asking.suppress(filled, ["x", "y"], "ann", "", NOW) == 2
    noted = [(item.kind, item.requested_by, item.outcome) for item in filled.list_requests()]
    assert noted == [
        ("stop", "ann", "welcome was stopped by ann at 2026-11-23 06:00 UTC: why"),
        ("go", "bob", "welcome may go"),
        ("suppress", "ann", "1 put on the suppression list"),
        ("allow", "bob", "1 taken off the suppression list"),
        ("suppress", "ann", "2 put on the suppression list"),
    ]
    assert filled.open_requests() == []
    assert [item.id for item in filled.newest_requests(2, before=3)] == [2, 1]


def test_a_forgotten_contact_is_in_no_note(filled: Ledger):
    """Neither its id nor what somebody typed about it."""
    ledger = Ledger(filled.engine, filled.namespace, secret="a long secret text")
    asking.suppress(ledger, ["ann"], "bob", "ann shouted at us", NOW, "welcome")
    ledger.forget("ann", "bob", NOW)
    (note,) = ledger.list_requests()
    assert note.selection.contact != "ann"
    assert "shouted" not in repr(note)
