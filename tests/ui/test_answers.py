"""What a vendor answered is shown to who may see contacts, and to nobody else, on any page."""

from __future__ import annotations

import json

import pytest

from segue.ledger import Ledger
from segue.ledger.states import State
from tests.ui.filled import record, settle
from tests.ui.test_hostile_addresses import address, routes

LINK = "https://survey.example.com/personal?token=SECRET"
ANSWER = {"url": LINK, "results": json.dumps({"note": "R-SECRET"}), "digest": "D-SECRET"}
STATES = (State.DELIVERED, State.FAILED, State.UNCERTAIN, State.HELD)


@pytest.fixture
def key(ledger: Ledger, definitions) -> str:
    """A delivery in each state, each with an answer of the vendor's."""
    definitions("welcome")
    names = ("ann", "bob", "carl", "dora")
    record(ledger, "welcome", "run", 1, *names)
    keys = [settle(ledger, *pair, **ANSWER) for pair in zip(names, STATES, strict=True)]
    return keys[0]


def shown(client, who: str, key: str) -> dict[str, str]:
    """The text of every page, file and answer with these deliveries, by its address."""
    good = {"workflow": "welcome", "run": "run", "task": "contact.mail", "key": key, "id": "ann"}
    texts = {}
    for route in routes("GET"):
        path, query = address(route, good)
        for state in ("", *map(str, STATES)):
            more = {"state": state} if state else {}
            texts[f"{path} {state}"] = (
                client(who).get(f"/segue{path}", params={**query, **more}).text
            )
    return texts


def test_readers_see_no_answer_of_a_vendor(client, key, monkeypatch):
    monkeypatch.setattr("segue.web.workflows.next_pair", lambda *_: None)
    texts = shown(client, "vera", key)
    assert len(texts) > 40
    assert [where for where, text in texts.items() if "SECRET" in text] == []
    assert "ann" in texts["/run "]
    assert "they may be the contact" in texts["/run "]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("run?workflow=welcome&run=run", LINK),
        ("run.csv?workflow=welcome&run=run", LINK),
        ("task?workflow=welcome&task=mail&state=failed", LINK),
        ("task?workflow=welcome&task=mail&run=run", LINK),
        ("deliveries?workflow=welcome&state=failed", LINK),
        ("delivery?workflow=welcome&key={key}", LINK),
        ("delivery?workflow=welcome&key={key}", "R-SECRET"),
        ("contact?id=ann", LINK),
        ("api/v1/workflows/welcome/deliveries?state=failed", LINK),
        ("api/v1/workflows/welcome/deliveries/{key}", LINK),
        ("api/v1/workflows/welcome/deliveries/{key}", "D-SECRET"),
        ("api/v1/workflows/welcome/changes?run=run", LINK),
    ],
)
def test_who_may_see_contacts_sees_them(client, key, path, part, monkeypatch):
    """And nobody, where the setting says so."""
    text = client("una").get(f"/segue/{path.format(key=key)}").text
    assert part in text
    monkeypatch.setenv("SEGUE_UI_CONTACTS", "nobody")
    assert "SECRET" not in client("anna").get(f"/segue/{path.format(key=key)}").text


def test_the_api_says_null_and_why_that_may_be(client, key):
    (first, *_) = (
        client("vera").get("/segue/api/v1/workflows/welcome/changes?run=run").json()["items"]
    )
    assert first["deliveries"][0]["url"] is None
    description = client("vera").get("/segue/api/v1/openapi.json").text
    assert "null without the right to contacts" in description
