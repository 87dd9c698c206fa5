"""Requests to send again and to settle: filed by people, carried out once; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from segue.errors import LedgerError, SettingsError
from segue.ledger import Ledger
from segue.ledger.facts import Finished
from segue.ledger.people.release_requests import RequestKind, Seen, Selection, Settlement
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.upkeep import interventions as asking
from tests.unit.builders import NOW, added, advance, detected, record, run, stretch

LATER = NOW + timedelta(minutes=5)
RETRY, SETTLE = RequestKind.RETRY, RequestKind.SETTLE


def key(ledger: Ledger, contact_id: str, action: str = "mail") -> str:
    return ledger.key("welcome", action, contact_id, "added", "2026-11-22")


@pytest.fixture
def ended(ledger):
    """a was delivered; b failed for its address and c for the connection; d is uncertain."""
    ids = record(ledger, run(), detected(stretch(21, 22), added(*"abcd")), actions=("mail",))
    ledger.runs.release(ids, NOW)
    keys = [key(ledger, contact) for contact in "abcd"]
    mine = {"owner": "me", "now": NOW, "lease_until": LATER}
    ledger.deliveries.claim(keys, **mine)
    advance(ledger, [], keys, **mine)
    outcomes = [
        Finished(keys[0], State.DELIVERED),
        Finished(keys[1], State.FAILED, "550 No Such User"),
        Finished(keys[2], State.FAILED, "100%_odd"),
        Finished(keys[3], State.UNCERTAIN, "the answer was lost"),
    ]
    advance(ledger, outcomes, [], **mine)
    return ledger


def carry_out(ledger: Ledger, kind, selection, settlement=None) -> str:
    ledger.people.file_request(kind, selection, "ann@host", NOW, settlement)
    [request] = ledger.people.open_requests()
    return ledger.people.carry_out(request, LATER)


def rows(ledger: Ledger) -> dict[str, tuple[str, str]]:
    return {row.contact_id: (row.outcome, row.reason) for row in ledger.queries.list_deliveries()}


def test_a_retry_makes_what_failed_due_and_nothing_else(ended):
    assert carry_out(ended, RETRY, Selection("welcome")) == "2 to be sent again"
    found = rows(ended)
    assert found["b"] == found["c"] == ("held", "retry requested by ann@host")
    assert (found["a"][0], found["d"][0]) == ("delivered", "uncertain")
    held = [row.held_until for row in ended.queries.list_deliveries(outcome="held")]
    assert held == [LATER, LATER]


@pytest.mark.parametrize(
    ("selection", "contacts"),
    [
        (Selection("welcome", error="no such user"), "b"),
        (Selection("welcome", error="0%_O"), "c"),
        (Selection("welcome", error="%"), "c"),
        (Selection("welcome", contact="c"), "c"),
        (Selection("welcome", action="mail"), "bc"),
        (Selection("welcome", action="other"), ""),
        (Selection("other"), ""),
    ],
)
def test_a_selection_means_what_all_of_its_parts_hold_for(ended, selection, contacts):
    """Text is contained as it stands, whatever its case: no wildcards."""
    assert ended.people.matching(RETRY, selection) == len(contacts)
    carry_out(ended, RETRY, selection)
    held = {contact for contact, (state, _) in rows(ended).items() if state == "held"}
    assert held == set(contacts)


def test_a_selection_by_key_never_reaches_what_was_delivered(ended):
    selection = Selection("welcome", keys=[key(ended, "a"), key(ended, "b")])
    assert carry_out(ended, RETRY, selection) == "1 to be sent again"
    assert rows(ended)["a"][0] == "delivered"


def test_an_uncertain_delivery_is_settled_as_delivered(ended):
    selection = Selection(keys=[key(ended, "d")])
    outcome = carry_out(ended, SETTLE, selection, Settlement.DELIVERED)
    assert outcome == "1 settled as delivered"
    assert rows(ended)["d"] == ("delivered", "settled by ann@host")
    [settled] = ended.queries.list_deliveries(contact_id="d")
    assert settled.delivered_at is not None


def test_an_uncertain_delivery_that_did_not_arrive_is_due_again(ended):
    outcome = carry_out(ended, SETTLE, Selection("welcome"), Settlement.NOT_DELIVERED)
    assert outcome == "1 to be sent again"
    assert rows(ended)["d"] == ("held", "settled as not delivered by ann@host")
    assert rows(ended)["b"][0] == "failed"


@pytest.fixture
def digests(ledger):
    """Two digests are uncertain, one about a, b and c, the other about d and e."""
    ids = record(ledger, run(), detected(stretch(21, 22), added(*"abcde")), actions=("mail",))
    ledger.runs.release(ids, NOW)
    mine = {"owner": "me", "now": NOW, "lease_until": LATER}
    ledger.deliveries.claim([key(ledger, contact) for contact in "abcde"], **mine)
    for contacts in ("abc", "de"):
        keys = [key(ledger, contact) for contact in contacts]
        advance(ledger, [], keys, **mine, together=contacts)
        lost = [Finished(one, State.UNCERTAIN, f"lost {one[0]}") for one in keys]
        advance(ledger, lost, [], **mine)
    return ledger


@pytest.mark.parametrize("settlement", Settlement)
@pytest.mark.parametrize(
    "selection",
    [
        lambda ledger: Selection(keys=(key(ledger, "a"),)),
        lambda _: Selection("welcome", contact="b"),
        lambda ledger: Selection("welcome", error=f"lost {key(ledger, 'c')[0]}", contact="c"),
    ],
)
def test_a_digest_in_doubt_is_settled_for_all_contacts_in_it(digests, selection, settlement):
    """It was one message; whoever settles the rest otherwise comes too late."""
    chosen = selection(digests)
    assert digests.people.matching(SETTLE, chosen) == 3
    digests.people.file_request(SETTLE, chosen, "ann", NOW, settlement)
    assert digests.people.matching(SETTLE, Selection("welcome")) == 2
    [request] = digests.people.open_requests()
    assert digests.people.carry_out(request, LATER).startswith("3 ")
    state = "delivered" if settlement is Settlement.DELIVERED else "held"
    outcomes = {contact: outcome for contact, (outcome, _) in rows(digests).items()}
    assert outcomes == {**dict.fromkeys("abc", state), **dict.fromkeys("de", "uncertain")}


def test_a_request_is_carried_out_once(ended):
    """What failed after it is another request's."""
    ended.people.file_request(RETRY, Selection("welcome", contact="b"), "ann", NOW)
    [request] = ended.people.open_requests()
    with ThreadPoolExecutor(4) as pool:
        outcomes = set(pool.map(lambda _: ended.people.carry_out(request, LATER), range(4)))
    assert outcomes == {"1 to be sent again"}
    assert ended.people.open_requests() == []
    [done] = ended.people.list_requests()
    assert (done.done_at, done.outcome) == (LATER, "1 to be sent again")


def test_a_request_is_kept_as_it_was_filed(ledger):
    selection = Selection("welcome", "mail", "é", "x", ("k1", "k2"))
    number = ledger.people.file_request(SETTLE, selection, "ann", NOW, Settlement.DELIVERED)
    [request] = ledger.people.open_requests()
    assert (request.id, request.kind, request.settlement) == (number, "settle", "delivered")
    assert (request.requested_by, request.requested_at) == ("ann", NOW)
    assert request.selection == Selection("welcome", "mail", "é", "x", ["k1", "k2"])


def test_requests_are_of_one_namespace(ended):
    staging = Ledger(ended.engine, "staging")
    assert staging.people.matching(RETRY, Selection("welcome")) == 0
    staging.people.file_request(RETRY, Selection("welcome"), "ann", NOW)
    assert ended.people.open_requests() == []


@pytest.mark.parametrize(
    ("kind", "selection", "settlement"),
    [
        (RETRY, Selection(), None),
        (SETTLE, Selection("welcome"), None),
        (RETRY, Selection("welcome"), Settlement.DELIVERED),
    ],
)
def test_a_request_that_says_nothing_or_too_much_is_refused(ledger, kind, selection, settlement):
    with pytest.raises(LedgerError):
        ledger.people.file_request(kind, selection, "ann", NOW, settlement)
    assert ledger.people.list_requests() == []


# ---- what a person saw -------------------------------------------------------------------------


def test_a_request_means_what_was_seen_and_had_not_moved_since(ended):
    """Not what failed between the look and the request, be it one second."""
    seen = ended.people.look(RETRY, Selection("welcome", contact="b"))
    assert (seen.count, seen.until) == (1, NOW)
    with ended.engine.begin() as connection:
        late = deliveries.update().where(deliveries.c.contact_id == "c")
        connection.execute(late.values(updated_at=NOW + timedelta(microseconds=1)))
    assert ended.people.look(RETRY, Selection("welcome"), seen).count == 1
    ended.people.file_request(RETRY, Selection("welcome"), "ann", NOW, seen=seen)
    [request] = ended.people.open_requests()
    assert ended.people.carry_out(request, LATER) == "1 to be sent again"
    assert rows(ended)["c"][0] == "failed"


def test_more_than_was_seen_is_not_filed(ended):
    """Committed late with an earlier time, so that its time does not give it away."""
    seen = Seen(1, NOW)
    with pytest.raises(SettingsError, match="2 deliveries are meant by now, and you saw 1"):
        ended.people.file_request(RETRY, Selection("welcome"), "ann", NOW, seen=seen)
    assert ended.people.list_requests() == []
    assert ended.people.matching(RETRY, Selection("welcome")) == 2


def test_states_are_told_of_the_workflow_that_is_asked_about(ended):
    keys = [key(ended, "a"), key(ended, "d"), "0" * 64]
    states = {key(ended, "a"): State.DELIVERED, key(ended, "d"): State.UNCERTAIN}
    assert ended.people.states_of(keys, "welcome") == states
    assert ended.people.states_of(keys, None) == states
    assert ended.people.states_of(keys, "other") == {}


def test_requests_are_listed_by_workflow_in_full_pages(ended):
    for number in range(5):
        ended.people.note(
            "stop", Selection("other"), "ann", NOW, reason=f'é \\ " {number}', outcome=""
        )
        ended.people.note("stop", Selection("welcome"), "ann", NOW, reason="", outcome="")
    ended.people.note("suppress", Selection(contact="a"), "ann", NOW, reason="", outcome="")
    mine = ended.people.newest_requests(3, workflows=["welcome", "nothing"])
    assert [(item.selection.workflow, item.id) for item in mine] == [
        ("welcome", 10),
        ("welcome", 8),
        ("welcome", 6),
    ]
    rest = ended.people.newest_requests(9, mine[-1].id, ["welcome"])
    assert [item.id for item in rest] == [4, 2]
    assert ended.people.newest_requests(9, workflows=[]) == []
    assert len(ended.people.newest_requests(99)) == 11


@pytest.mark.parametrize(
    ("settlement", "state"), [("delivered", "delivered"), ("not_delivered", "held")]
)
def test_what_a_person_settles_is_not_sent_by_a_run_before_it_is_carried_out(
    ended, settlement, state
):
    """With ``on_uncertain: resend`` the person's word about one call would count for another."""
    ended.people.file_request(SETTLE, Selection("welcome"), "ann", NOW, Settlement(settlement))
    claim = {"owner": "run", "now": NOW, "lease_until": LATER, "resend_uncertain": True}
    assert ended.deliveries.claim([key(ended, "d")], **claim) == []
    [request] = ended.people.open_requests()
    ended.people.carry_out(request, LATER)
    assert rows(ended)["d"][0] == state


@pytest.mark.parametrize("error", ["", " "])
def test_an_empty_part_of_a_reason_does_not_mean_every_reason(ended, error):
    """As a script sends it whose variable was not set."""
    with pytest.raises(SettingsError, match="is empty"):
        asking.retry(ended, Selection("welcome", error=error), "ann", NOW)
    assert ended.people.list_requests() == []


def test_what_a_person_gave_up_is_not_sent_before_it_is_carried_out(ended):
    carry_out(ended, RETRY, Selection("welcome", contact="b"))
    ended.people.file_request(RequestKind.DROP, Selection("welcome"), "ann", LATER)
    claim = {"owner": "run", "now": LATER, "lease_until": LATER + timedelta(minutes=5)}
    assert ended.deliveries.claim([key(ended, "b")], **claim) == []
    [request] = ended.people.open_requests()
    assert ended.people.carry_out(request, LATER) == "1 dropped"


def test_a_retry_does_not_mean_the_failure_of_a_call_that_began_after_it(ended):
    """Its run was cleared in between: the vendor refused it once more, and nobody has seen that."""
    ended.people.file_request(RETRY, Selection("welcome", contact="b"), "ann", NOW)
    mine = {"owner": "run", "now": LATER, "lease_until": LATER + timedelta(minutes=5)}
    ended.deliveries.claim([key(ended, "b")], **mine, clear_number=1)
    advance(ended, [], [key(ended, "b")], **mine)
    advance(ended, [Finished(key(ended, "b"), State.FAILED, "550 closed")], [], **mine)
    [request] = ended.people.open_requests()
    assert ended.people.carry_out(request, LATER) == "0 to be sent again"
    assert rows(ended)["b"] == ("failed", "550 closed")
