"""A request means what the person saw: how many, which, and nothing that moved since."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest

from segue.ledger import Ledger
from segue.ledger.delivery_keys import delivery_key
from segue.ledger.people.release_requests import Selection
from segue.ledger.states import State
from segue.upkeep import interventions as asking
from tests.ui.filled import day_key, record, settle
from tests.ui.test_api import bearer
from tests.unit.builders import NOW

LIST = "/segue/deliveries?workflow=welcome&state={}"


@pytest.fixture
def filled(ledger: Ledger, definitions) -> Ledger:
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann", "bob", "carl", "dora")
    settle(ledger, "ann", State.UNCERTAIN, reason="lost")
    settle(ledger, "carl", State.FAILED, reason="400: no")
    return ledger


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


def form(page: str, dialog: str) -> dict[str, str]:
    """The hidden fields of a dialog."""
    part = re.search(rf'<dialog id="{dialog}".*?</dialog>', page, re.DOTALL)[0]
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', part)
    return {name: unescape(value) for name, value in fields}


def carry_out(ledger: Ledger) -> list[str]:
    return [
        ledger.people.carry_out(request, datetime.now(UTC))
        for request in ledger.people.open_requests()
    ]


def outcomes(ledger: Ledger) -> dict[str, str]:
    return {row.contact_id: row.outcome for row in ledger.queries.list_deliveries()}


@pytest.mark.parametrize(
    ("state", "dialog", "path", "late"),
    [
        ("uncertain", "delivered", "settle", State.UNCERTAIN),
        ("uncertain", "not_delivered", "settle", State.UNCERTAIN),
        ("failed", "retry", "retry", State.FAILED),
    ],
)
def test_what_moved_after_the_page_was_shown_is_not_meant(
    client, filled, state, dialog, path, late
):
    """Three minutes later bob's answer was lost: nobody has looked for bob's message."""
    una = client("una")
    fields = form(una.get(LIST.format(state)).text, dialog)
    settle(filled, "bob", late)
    assert una.post(f"/segue/{path}", data=fields).status_code == 303
    settle(filled, "dora", late)
    assert carry_out(filled)[0].startswith("1 ")
    assert outcomes(filled)["bob"] == outcomes(filled)["dora"] == late


def test_the_same_from_a_delivery_s_own_page(client, filled):
    """It failed once more since: that failure was not seen."""
    una, key = client("una"), settle(filled, "carl", State.FAILED, reason="400: no")
    fields = form(una.get(f"/segue/delivery?workflow=welcome&key={key}").text, f"retry{key}")
    settle(filled, "carl", State.FAILED, reason="400: another")
    answer = una.post("/segue/retry", data=fields)
    assert answer.status_code == 409
    assert "that you saw" in answer.text


def test_more_than_was_shown_is_refused_whatever_its_time(client, filled):
    """A worker's commit may come late, with a time of before the page was shown."""
    una = client("una")
    fields = form(una.get(LIST.format("uncertain")).text, "delivered")
    settle(filled, "bob", State.UNCERTAIN)
    early = datetime.fromisoformat(fields["until"]) - timedelta(seconds=1)
    from segue.ledger.schema import deliveries

    with filled.engine.begin() as connection:
        mine = deliveries.update().where(deliveries.c.contact_id == "bob")
        connection.execute(mine.values(updated_at=early))
    answer = una.post("/segue/settle", data=fields)
    assert answer.status_code == 409
    assert "2 deliveries are meant by now, and you saw 1" in answer.text
    assert filled.people.list_requests() == []


def test_a_key_held_down_opens_a_dialog_and_confirms_nothing(client, filled):
    """What has the focus in it is a field to write in, or the button that closes it."""
    key = filled.queries.list_deliveries(contact_id="carl")[0].key
    pages = [LIST.format("failed"), LIST.format("uncertain"), "workflow?workflow=welcome"]
    pages = [*pages, f"delivery?workflow=welcome&key={key}"]
    una, dialogs = client("una"), []
    for path in pages:
        address = path if path.startswith("/") else f"/segue/{path}"
        dialogs += re.findall(r"<dialog.*?</dialog>", una.get(address).text, re.DOTALL)
    assert len(dialogs) > 4
    for dialog in dialogs:
        assert ("<label>" in dialog) != ("data-closes autofocus" in dialog), dialog
        assert dialog.count("autofocus") <= 1


def test_dialogs_and_buttons_say_how_many(client, filled):
    settle(filled, "bob", State.FAILED)
    text = plain(client("una").get(LIST.format("failed")).text)
    assert "Retry all 2" in text
    assert "2 failed deliveries of welcome are sent again" in text
    text = plain(client("una").get(LIST.format("uncertain")).text)
    assert "All 1 arrived" not in text
    assert "It arrived" in text
    assert "that 1 uncertain delivery of welcome arrived" in text
    narrow = plain(client("una").get(LIST.format("failed") + "&error=400").text)
    assert "1 failed delivery of welcome whose reason contains “400” is sent again" in narrow


def test_a_requested_retry_is_seen_and_not_offered_again(client, filled):
    una, key = client("una"), settle(filled, "carl", State.FAILED)
    page = f"/segue/delivery?workflow=welcome&key={key}"
    assert f'data-confirms="retry{key}"' in una.get(page).text
    number = asking.retry(filled, Selection("welcome", keys=(key,)), "una", NOW)
    text = una.get(page).text
    assert f'data-confirms="retry{key}"' not in text
    assert "A retry was requested by una" in plain(text)
    for path in ("run?workflow=welcome&run=run", "deliveries?workflow=welcome&state=failed"):
        assert f"request {number}, open" in plain(una.get(f"/segue/{path}").text)
    assert "All of these are meant by requests" in plain(una.get(LIST.format("failed")).text)
    rows = una.get("/segue/api/v1/workflows/welcome/deliveries?state=failed").json()["items"]
    assert [row["request"] for row in rows] == [number]
    carry_out(filled)
    assert "was requested by" not in una.get(page).text


# ---- what other workflows' keys tell -----------------------------------------------------------


@pytest.mark.parametrize("state", [None, *State])
def test_another_workflow_s_key_tells_nothing(client, filled, definitions, only_reads, state):
    """It has no secret in it: whoever guesses contact and day can make it."""
    definitions("other")
    if state is not None:
        record(filled, "other", "run", 1, "xavier")
        settle(filled, "xavier", state)
    key = delivery_key("test", "other", "mail", "xavier", "added", day_key(1))
    only_reads("welcome")
    una = client("una")
    csrf = form(una.get("/segue/workflow?workflow=welcome").text, "stop")["csrf"]
    for settlement in ("delivered", "not_delivered"):
        wish = {"settlement": settlement}
        data = {"workflow": "welcome", "csrf": csrf, "key": key, **wish}
        texts = [una.post("/segue/settle", data=data)]
        for path, body in (("settle", wish), ("retry", {})):
            address = f"/segue/api/v1/workflows/welcome/{path}"
            texts.append(una.post(address, json={**body, "keys": [key]}, headers=bearer("una")))
        for answer in texts:
            assert answer.status_code == 409
            assert "there is no" in answer.text
            assert not any(f"is {one}" in answer.text for one in State)


# ---- a token is a token ------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "bearer  ", "BEARER \t", "Basic x", "x"])
def test_a_header_without_a_token_does_not_stand_for_one(client, filled, header):
    """Airflow takes the cookie then: so a form needs its token, and the API refuses."""
    headers = {"Authorization": header}
    una = client("una")
    answer = una.post("/segue/stop", data={"workflow": "welcome"}, headers=headers)
    assert answer.status_code == 403
    answer = una.post("/segue/api/v1/workflows/welcome/stop", json={}, headers=headers)
    assert answer.status_code == 403
    assert filled.people.stopped("welcome") is None


# ---- the list of requests ----------------------------------------------------------------------


def test_the_reason_of_a_suppression_is_shown(client, filled):
    asking.suppress(filled, ["ann"], "una", "asked by phone", NOW, "welcome")
    assert "why: asked by phone" in plain(client("vera").get("/segue/requests").text)
    (item,) = client("vera").get("/segue/api/v1/requests").json()["items"]
    assert item["reason"] == "asked by phone"
    contact = plain(client("una").get("/segue/contact?id=ann").text)
    assert "una put it there" in contact
    assert "asked by phone" in contact


def test_pages_of_requests_are_cut_after_the_rights(client, filled, definitions, only_reads):
    """Whoever reads one workflow sees its requests first, and nothing of how many others make."""
    definitions("secret")
    for number in range(3):
        asking.stop(filled, "welcome", "una", f"mine {number}", NOW)
    for _ in range(60):
        asking.stop(filled, "secret", "una", "hidden", NOW)
    asking.suppress(filled, ["someone"], "cli@host", "", NOW)
    only_reads("welcome")
    text = client("vera").get("/segue/requests").text
    assert [f"mine {number}" in text for number in range(3)] == [True] * 3
    assert "Older" not in text
    assert "secret" not in text
    found = client("vera").get("/segue/api/v1/requests?limit=2").json()
    assert [item["workflow"] for item in found["items"]] == ["welcome"] * 2
    rest = client("vera").get(f"/segue/api/v1/requests?limit=2&before={found['next']}").json()
    assert (len(rest["items"]), rest["next"]) == (1, None)
    only_reads()
    text = client("vera").get("/segue/requests").text
    assert "Nobody has asked for anything yet" in text
    assert "Older" not in text
