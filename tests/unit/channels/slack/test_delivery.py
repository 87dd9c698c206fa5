"""Slack behind the door: the ledger's word on messages to people and through webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from segue.channels.slack.message import SlackMessage
from segue.channels.slack.webhook import SlackWebhook
from segue.clock import Clock
from segue.contracts.channel import Channel
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.heartbeat import LEASE
from segue.delivery.judgement import Terms
from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.slack_api import user_id
from segue.workflows.definition import Policies
from tests.unit.builders import NOW, added, detected, record, run, stretch


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    engine = open_engine(f"sqlite:///{tmp_path / 'segue.db'}")
    upgrade(engine)
    yield Ledger(engine, "test")
    engine.dispose()


def released(ledger: Ledger, **emails: str) -> list[Candidate]:
    """Contacts with these addresses, whose messages the guard has released."""
    ids = record(ledger, run(), detected(stretch(21, 22), added(*emails)))
    ledger.runs.release(ids, NOW)
    return [
        Candidate(
            key=ledger.key("welcome", "mail", contact, "added", "2026-11-22"),
            contact_id=contact,
            change="added",
            snapshot="2026-11-22",
            fields={"contact_id": contact, "email": email},
            opted_in=True,
        )
        for contact, email in emails.items()
    ]


def deliver(
    ledger: Ledger, through: Channel, candidates: list[Candidate], again: int = 0, **policies: str
) -> None:
    """Make one pass; ``again`` counts those before it, whose leases and calls are over."""
    later = again * (timedelta(seconds=through.longest_call) + 2 * LEASE)
    clock = Clock(now=lambda: datetime.now(UTC) + later)
    terms = Terms("welcome", Policies.model_validate(policies))
    Door(ledger, through, terms, owner=f"pass {again}", clock=clock).deliver(candidates)


def outcomes(ledger: Ledger) -> dict[str, str]:
    return {
        row.contact_id: ":".join(filter(None, (row.outcome, row.reason)))
        for row in ledger.queries.list_deliveries()
    }


def texts(sandbox: Sandbox) -> list[str]:
    return [message.text for message in sandbox.messages(service="slack")]


def to_contact() -> SlackMessage:
    fields = {
        "email": "{{ contact.email }}",
        "audience": "contact",
        "text": "{{ contact.contact_id }}",
    }
    return SlackMessage.model_validate(fields)


def webhook() -> SlackWebhook:
    return SlackWebhook.model_validate({"text": "{{ contact.contact_id }}"})


def test_people_are_found_and_written_to_and_their_addresses_are_kept_nowhere(
    sandbox: Sandbox, ledger: Ledger, tmp_path: Path
):
    candidates = released(ledger, a="ana@example.com", b="missing-bo@example.com")
    deliver(ledger, to_contact(), candidates)
    assert outcomes(ledger) == {"a": "delivered", "b": "skipped:no_address"}
    row = ledger.deliveries.rows([candidates[0].key])[candidates[0].key]
    assert row.trace["user"] == user_id("ana@example.com")
    assert texts(sandbox) == ["a"]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"example.com" not in kept


def test_an_answer_lost_at_the_look_up_of_an_address_leaves_no_doubt(
    sandbox: Sandbox, ledger: Ledger
):
    candidates = released(ledger, a="ana@example.com")
    sandbox.fault("slack", "reset", times=3, path="users.lookupByEmail")
    deliver(ledger, to_contact(), candidates)
    assert outcomes(ledger)["a"].startswith("released:Slack's answer was lost")
    deliver(ledger, to_contact(), candidates, again=1)
    assert outcomes(ledger) == {"a": "delivered"}
    assert texts(sandbox) == ["a"]


@pytest.mark.parametrize("fault", ["reset_after_effect", "malformed_answer"])
def test_a_person_who_has_it_is_not_written_to_again(sandbox: Sandbox, ledger: Ledger, fault: str):
    """The answer was lost; the direct messages are read at once."""
    candidates = released(ledger, a="ana@example.com")
    sandbox.fault("slack", fault, path="chat.postMessage")
    deliver(ledger, to_contact(), candidates)
    assert outcomes(ledger) == {"a": "delivered"}
    assert texts(sandbox) == ["a"]


def test_a_person_is_asked_about_when_the_worker_is_long_gone(sandbox: Sandbox, ledger: Ledger):
    """The look-up fails at first, so another pass, which never saw the address, has to ask."""
    candidates = released(ledger, a="ana@example.com")
    sandbox.fault("slack", "reset_after_effect", path="chat.postMessage")
    sandbox.fault("slack", "server_error", path="conversations.open")
    deliver(ledger, to_contact(), candidates)
    assert outcomes(ledger)["a"].startswith("sending")
    deliver(ledger, to_contact(), candidates, again=1)
    assert outcomes(ledger) == {"a": "delivered"}
    assert texts(sandbox) == ["a"]


def test_a_person_who_has_not_got_it_is_written_to_once_more(sandbox: Sandbox, ledger: Ledger):
    candidates = released(ledger, a="ana@example.com")
    sandbox.fault("slack", "reset", path="chat.postMessage")
    deliver(ledger, to_contact(), candidates)
    assert outcomes(ledger)["a"].startswith("sending")
    deliver(ledger, to_contact(), candidates, again=1)
    assert outcomes(ledger) == {"a": "delivered"}
    assert texts(sandbox) == ["a"]


@pytest.mark.parametrize("fault", ["reset", "reset_after_effect", "malformed_answer"])
def test_a_webhook_whose_answer_is_lost_is_uncertain_and_waits(
    sandbox: Sandbox, ledger: Ledger, fault: str
):
    candidates = released(ledger, a="ana@example.com", b="bo@example.com")
    sandbox.fault("slack", fault)
    for again in range(3):
        deliver(ledger, webhook(), candidates, again)
    found = sorted(outcome.partition(":")[0] for outcome in outcomes(ledger).values())
    assert found == ["delivered", "uncertain"]
    assert len(texts(sandbox)) == (1 if fault == "reset" else 2)


def test_a_webhook_is_resent_once_where_the_workflow_says_so(sandbox: Sandbox, ledger: Ledger):
    """As a mail is: it may arrive twice."""
    candidates = released(ledger, a="ana@example.com")
    sandbox.fault("slack", "reset_after_effect")
    for again in range(3):
        deliver(ledger, webhook(), candidates, again, on_uncertain="resend")
    assert outcomes(ledger) == {"a": "delivered"}
    assert texts(sandbox) == ["a", "a"]


def test_a_webhook_that_is_gone_stops_the_slice(sandbox: Sandbox, ledger: Ledger, set_connection):
    candidates = released(ledger, a="ana@example.com", b="bo@example.com")
    set_connection(
        "slack_webhook_default",
        conn_type="slackwebhook",
        host=f"{sandbox.url}/slack/services",
        password="T00000000/B0ARCHIVED/sandbox",
    )
    deliver(ledger, webhook(), candidates)
    assert {outcome.partition(":")[0] for outcome in outcomes(ledger).values()} == {"released"}
    assert texts(sandbox) == []
