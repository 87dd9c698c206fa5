"""What people do from the pages: only by their own forms, only with the right, with their name."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from segue.ledger import Ledger
from segue.ledger.states import State
from tests.ui.filled import record, settle
from tests.ui.test_api import bearer

FORMS = {
    "retry": {},
    "settle": {"settlement": "delivered"},
    "stop": {"reason": "a person says so"},
    "go": {},
    "suppress": {"contact": "bob"},
}


@pytest.fixture
def filled(ledger: Ledger, definitions) -> Ledger:
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann", "bob", "carl")
    settle(ledger, "ann", State.DELIVERED)
    settle(ledger, "bob", State.FAILED, reason="400: no")
    settle(ledger, "carl", State.UNCERTAIN)
    return ledger


def token(client, path: str = "/segue/workflow?workflow=welcome") -> str:
    return re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)[1]


def press(client, name: str, **values):
    data = {"workflow": "welcome", "csrf": token(client), **FORMS[name], **values}
    return client.post(f"/segue/{name}", data=data)


def key_of(ledger: Ledger, contact: str) -> str:
    (row,) = ledger.queries.list_deliveries(contact_id=contact)
    return row.key


@pytest.mark.parametrize("half", [{"count": 1}, {"until": "2026-11-30T00:00:00Z"}])
def test_half_of_what_a_page_showed_does_not_mean_everything(client, filled, half):
    answer = press(client("una"), "retry", **half)
    assert answer.status_code == 422
    assert filled.people.list_requests() == []


def test_a_failed_delivery_is_retried_on_request(client, filled):
    """Filed for segue_release, which carries it out: the pages send nothing themselves."""
    answer = press(client("una"), "retry", key=key_of(filled, "bob"))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/segue/requests"
    (request,) = filled.people.open_requests()
    assert (request.kind, request.requested_by) == ("retry", "una")
    assert request.selection.keys == [key_of(filled, "bob")]
    (row,) = filled.queries.list_deliveries(contact_id="bob")
    assert row.outcome == State.FAILED
    listing = client("vera").get("/segue/requests").text
    assert "una" in listing
    assert "open" in listing


@pytest.mark.parametrize("settlement", ["delivered", "not_delivered"])
def test_an_uncertain_delivery_is_settled_on_request(client, filled, settlement):
    key = key_of(filled, "carl")
    assert press(client("una"), "settle", key=key, settlement=settlement).status_code == 303
    (request,) = filled.people.open_requests()
    assert (request.kind, request.settlement) == ("settle", settlement)


def test_a_workflow_is_stopped_and_let_go_at_once_and_both_are_noted(client, filled):
    una = client("una")
    assert press(una, "stop").status_code == 303
    stop = filled.people.stopped("welcome")
    assert (stop.stopped_by, stop.reason) == ("una", "a person says so")
    page = una.get("/segue/workflow?workflow=welcome").text
    assert "Nothing of it is sent until it may go again" in page
    assert press(una, "go").status_code == 303
    assert filled.people.stopped("welcome") is None
    noted = [
        (note.kind, note.requested_by, note.done_at is None)
        for note in filled.people.list_requests()
    ]
    assert noted == [("stop", "una", False), ("go", "una", False)]


def test_a_contact_of_the_workflow_is_suppressed_and_it_is_noted(client, filled):
    assert press(client("una"), "suppress", reason="asked by phone").status_code == 303
    (row,) = filled.people.list_suppressions()
    assert (row.contact_id, row.added_by, row.reason) == ("bob", "una", "asked by phone")
    (note,) = filled.people.list_requests()
    assert (note.kind, note.selection.contact) == ("suppress", "bob")
    assert press(client("una"), "suppress", contact="stranger").status_code == 404


@pytest.mark.parametrize("name", FORMS)
def test_a_viewer_has_no_buttons_and_is_refused(client, filled, name):
    foreign = token(client("una"))
    data = {"workflow": "welcome", "csrf": foreign, **FORMS[name]}
    assert client("vera").post(f"/segue/{name}", data=data).status_code == 403
    assert filled.people.list_requests() == []


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("csrf", ["", "nonsense", "of somebody else"])
def test_a_form_of_somebody_else_is_refused(client, filled, name, csrf):
    """A cookie alone, a made-up token, and one that another person was given."""
    if csrf == "of somebody else":
        csrf = token(client("anna"))
    answer = press(client("una"), name, csrf=csrf)
    assert answer.status_code == 403
    assert "not sent by one of Segue" in answer.text
    assert filled.people.list_requests() == []
    assert filled.people.stopped("welcome") is None


@pytest.mark.parametrize("name", FORMS)
def test_nothing_is_done_by_get(client, filled, name):
    answer = client("anna").get(f"/segue/{name}?workflow=welcome")
    assert answer.status_code in (404, 405)
    assert filled.people.list_requests() == []


@pytest.mark.parametrize("name", FORMS)
def test_a_workflow_that_one_may_not_edit_is_refused(client, filled, only_reads, name):
    una = client("una")
    csrf = token(una)
    only_reads("other")
    data = {"workflow": "welcome", "csrf": csrf, **FORMS[name]}
    assert una.post(f"/segue/{name}", data=data).status_code == 403


def test_what_somebody_else_has_done_meanwhile_is_said(client, filled):
    una, key = client("una"), key_of(filled, "bob")
    settle(filled, "bob", State.DELIVERED)
    answer = press(una, "retry", key=key)
    assert answer.status_code == 409
    assert "there is no failed delivery of" in answer.text


def test_a_key_of_another_workflow_is_not_touched(client, filled, definitions):
    definitions("other")
    record(filled, "other", "run", 1, "xavier")
    settle(filled, "xavier", State.FAILED)
    answer = press(client("una"), "retry", key=key_of(filled, "xavier"))
    assert answer.status_code == 409
    assert filled.people.list_requests() == []


def test_requests_about_what_one_may_not_read_are_not_listed(
    client, filled, only_reads, definitions
):
    """Those about no workflow name contacts: only who may read all workflows sees them."""
    definitions("other")
    record(filled, "other", "run", 1, "xavier")
    press(client("una"), "stop", reason="the secret reason")
    from segue.upkeep import interventions as asking
    from tests.unit.builders import NOW

    asking.suppress(filled, ["someone"], "cli@host", "", NOW)
    both = client("vera").get("/segue/requests").text
    assert "someone" in both
    assert "a stop" in both or "stop" in both
    only_reads("other")
    some = client("vera").get("/segue/requests").text
    assert "someone" not in some
    assert "welcome" not in some


def test_what_waits_says_until_when_and_how_many_do(client, filled):
    """Nothing is wrong with it: it is no dead letter, and is not shown as what is held."""
    until = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
    key = settle(filled, "ann", State.WAITING, reason="wait", held_until=until)
    page = client("una").get("/segue/workflow?workflow=welcome").text
    assert re.search(r'state=waiting"><strong>1</strong>waiting for their time', page)
    listing = client("una").get("/segue/deliveries?workflow=welcome&state=waiting").text
    assert "the action waits, as its workflow says" in listing
    assert "2031-05-06" in listing
    delivery = client("una").get(f"/segue/delivery?workflow=welcome&key={key}").text
    assert "<dt>Waiting until</dt>" in delivery
    answer = client(None).get("/segue/api/v1/workflows", headers=bearer("una")).json()
    assert [item["waiting"] for item in answer["items"]] == [1]
