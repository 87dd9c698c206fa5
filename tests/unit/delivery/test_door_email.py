"""Mail through the door, to the sandbox's server: whoever is tried again got nothing before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from segue.channels.email.message import EmailMessage
from segue.clock import Clock as DoorClock
from segue.delivery.calls import Pass
from segue.delivery.candidates import Candidate
from segue.delivery.door import Door
from segue.delivery.judgement import Terms
from segue.ledger import Ledger
from segue.sandbox.server import Sandbox
from segue.workflows.definition import Policies
from tests.unit.builders import NOW, added, detected, record, run, stretch
from tests.unit.channels.support import mail_server


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def use_server(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Empty the sandbox and send there, or to the port that is called for."""
    sandbox.clear()

    def use(port: int) -> None:
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "segue@example.com"}
        fields = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(fields))

    use(sandbox.smtp_port)
    return use


def released(ledger: Ledger, **emails: str) -> list[Candidate]:
    """Candidates with these addresses, whose deliveries the guard has released."""
    ids = record(ledger, run(), detected(stretch(21, 22), added(*emails)))
    ledger.runs.release(ids, NOW)
    return [
        Candidate(
            key=ledger.key("welcome", "mail", contact_id, "added", "2026-11-22"),
            contact_id=contact_id,
            change="added",
            snapshot="2026-11-22",
            fields={"contact_id": contact_id, "email": email},
            opted_in=contact_id != "out",
        )
        for contact_id, email in emails.items()
    ]


class Clock:
    """A clock that moves only while the door sleeps."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def deliver(ledger: Ledger, candidates: list[Candidate], clear: int = 0, **fields: object) -> Pass:
    channel = EmailMessage.model_validate({"subject": "Hello", "text": "Dear friend", **fields})
    clock = Clock()
    door = Door(
        ledger,
        channel,
        Terms("welcome", Policies()),
        owner=f"pass {clear}",
        clear_number=clear,
        clock=DoorClock(clock, clock.sleep),
    )
    return door.deliver(candidates)


def outcomes(ledger: Ledger) -> dict[str, str]:
    return {
        row.contact_id: ":".join(filter(None, (row.outcome, row.reason)))
        for row in ledger.queries.list_deliveries()
    }


@pytest.mark.usefixtures("use_server")
def test_a_copy_that_is_refused_for_now_sends_nobody_anything_twice(
    ledger: Ledger, sandbox: Sandbox
):
    """Three tries, then a pass without the trouble: one mail to each contact and to the copy."""
    candidates = released(ledger, a="a@example.com", b="b@example.com")
    deliver(ledger, candidates, cc="reject-450@example.com")
    assert set(outcomes(ledger).values()) == {
        "released:the mail server refuses the recipient in cc: 450 4.2.1"
    }
    assert sandbox.messages() == []
    for _ in range(2):
        deliver(ledger, candidates, cc="care@example.com")
    received = [message.fields["rcpt_to"] for message in sandbox.messages(service="smtp")]
    assert sorted(received) == [
        ["a@example.com", "care@example.com"],
        ["b@example.com", "care@example.com"],
    ]


@pytest.mark.usefixtures("use_server")
def test_a_copy_that_the_workflow_fixes_and_the_server_refuses_fails_nobody(
    ledger: Ledger, sandbox: Sandbox
):
    candidates = released(ledger, a="a@example.com")
    result = deliver(ledger, candidates, bcc="reject-550@example.com")
    words = "the mail server refuses the recipient in bcc: 550 5.1.1; check the address"
    assert words in str(result.connection)
    assert outcomes(ledger)["a"].startswith("released:")
    deliver(ledger, candidates, clear=1)  # a person took the copy out, and cleared the task
    assert outcomes(ledger) == {"a": "delivered"}
    assert len(sandbox.messages()) == 1


@pytest.mark.usefixtures("use_server")
def test_who_opted_out_gets_no_mail_and_neither_do_copies(ledger: Ledger, sandbox: Sandbox):
    """A template in ``cc`` with ``audience: contact`` binds the mail as one in ``to`` does."""
    candidates = released(ledger, out="out@example.com")
    copy = {"cc": "{{ contact.email }}", "to": "team@example.com", "audience": "contact"}
    for fields in ({"cc": "care@example.com"}, copy):
        deliver(ledger, candidates, **fields)
        assert outcomes(ledger) == {"out": "skipped:opted_out"}
    assert sandbox.messages() == []


def test_an_address_that_the_server_cannot_take_skips_its_contact_alone(
    ledger: Ledger, use_server: Callable[[int], None]
):
    candidates = released(ledger, a="用户@example.com", b="b@example.com")
    with mail_server() as port:
        use_server(port)
        for one in candidates:  # it serves one connection at a time
            deliver(ledger, [one])
    assert outcomes(ledger) == {"a": "skipped:no_address", "b": "delivered"}
