"""The door and the ticket channels: answers that hide an effect, and contacts who come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from segue.channels.tickets.base import HelpDeskTicket
from segue.channels.tickets.freshdesk_ticket import FreshdeskTicket
from segue.channels.tickets.zendesk_ticket import ZendeskTicket
from segue.contacts.change import Change
from segue.contacts.fields import load_details
from segue.delivery.calls import Pass
from segue.delivery.door import Door
from segue.delivery.heartbeat import LEASE
from segue.delivery.judgement import Terms
from segue.delivery.steps import Slice, send
from segue.directory.snapshots import find_snapshot
from segue.ledger import Ledger
from segue.ledger.states import State
from segue.segments.population import Population
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow
from tests.unit.builders import NOW, added, detected, record, run, stretch
from tests.unit.channels.conftest import (  # noqa: F401 - fixtures
    running_sandbox,
    sandbox,
    set_connection,
)
from tests.unit.channels.support import http, vendor
from tests.unit.delivery.test_door import candidate, outcome, released

VENDORS = ("zendesk", "freshdesk")
# until a call in doubt may be asked for: acceptable, and what the wait is made of
LATER = LEASE + timedelta(seconds=HelpDeskTicket.longest_call) + timedelta(seconds=1)


def channel(name: str, on_existing: str = "create") -> HelpDeskTicket:
    fields: dict[str, Any] = {"subject": "s", "on_existing": on_existing}
    if name == "zendesk":
        return ZendeskTicket.model_validate({**fields, "comment": "{{ snapshot }}"})
    fields |= {"email": "team@example.com", "description": "{{ snapshot }}"}
    return FreshdeskTicket.model_validate(fields)


def deliver(ledger: Ledger, name: str, owner: str = "one", after: timedelta = timedelta(0)) -> Pass:
    door = Door(ledger, channel(name), Terms("welcome"), owner=owner, clock=_Clock(after))
    return door.deliver([candidate(ledger, "a")])


def test_the_wait_of_a_doubt_is_a_few_minutes():
    assert LATER.total_seconds() < 240


@pytest.mark.parametrize("name", VENDORS)
def test_a_502_after_the_effect_makes_one_ticket(ledger, sandbox, name):  # noqa: F811
    """It is looked up at once, and delivered in the same pass."""
    released(ledger, "a")
    sandbox.fault(name, "bad_gateway_after_effect")
    for owner in ("one", "two"):
        assert deliver(ledger, name, owner).is_complete
    assert outcome(ledger, "a") == "delivered"
    assert len(sandbox.messages()) == 1


def test_a_500_before_any_effect_makes_one_ticket_in_the_end(
    ledger,
    sandbox,  # noqa: F811
    set_connection,  # noqa: F811
):
    """In doubt at first, because absent now may be under way; sent once it surely is not."""
    released(ledger, "a")
    with vendor(http("500 X")) as url:
        set_connection("freshdesk_default", conn_type="http", host=url)
        assert deliver(ledger, "freshdesk").standing == {State.SENDING: 1}
    host = f"{sandbox.url}/freshdesk"
    set_connection("freshdesk_default", conn_type="http", host=host, login="sandbox", password="X")
    assert deliver(ledger, "freshdesk", "two").standing == {State.SENDING: 1}
    assert sandbox.messages() == []
    assert deliver(ledger, "freshdesk", "three", LATER).is_complete
    assert deliver(ledger, "freshdesk", "four", LATER).is_complete
    assert outcome(ledger, "a") == "delivered"
    assert len(sandbox.messages()) == 1


DEFINITIONS = {
    "directories/customers": (
        "directory: customers\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n"
    ),
    "segments/gold": "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n",
    "workflows/welcome": """
workflow: welcome
segment: gold
changes: [added]
start: 2026-11-01
actions: [{id: mail, slack_message: {channel: c, text: x}}]
""",
}


class Home:
    """A workflow with one ticket action, whose contact ``a`` is added day after day."""

    def __init__(self, folder: Path, ledger: Ledger, through: HelpDeskTicket) -> None:
        self.ledger = ledger
        for name, text in DEFINITIONS.items():
            path = folder / "include" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        snapshot = folder / "include/snapshots/2026-11-20"
        snapshot.mkdir(parents=True)
        (snapshot / "contacts.csv").write_text("contact_id,tier\na,gold\n")
        (snapshot / "_SUCCESS").touch()
        found = Catalog(folder / "include").resolve("welcome")
        self.resolved = ResolvedWorkflow(
            found.definition, found.segment, found.directory, {"mail": through}
        )

    def details(self, _: str) -> Population:
        directory = self.resolved.directory
        snapshot = find_snapshot(directory, "2026-11-20", now=datetime.now(UTC))
        return load_details(self.resolved.definition, directory, snapshot, {"a"}, referred={})

    def day(self, day: int, owner: str = "", after: timedelta = timedelta(0)) -> str:
        """Record, release and send the day's change; return what became of it."""
        key = self.ledger.key("welcome", "mail", "a", "added", f"2026-11-{day}")
        if not self.ledger.deliveries.rows([key]):
            ids = record(
                self.ledger, run(f"run-{day}"), detected(stretch(day - 1, day), added("a"))
            )
            self.ledger.runs.release(ids, NOW)
        action = self.resolved.definition.action("mail")
        change = Change("a", "added", "", f"2026-11-{day}", "2026-11-20")
        clock = _Clock(after)
        name = owner or f"task-{day}"
        slices = [Slice([change], self.details)]
        send(self.resolved, action, slices, self.ledger, owner=name, clock=clock)
        found = self.ledger.queries.find_delivery(key)
        assert found is not None
        words = (found.outcome, found.reason, found.external_id)
        return ":".join(word for word in words if word)


class _Clock:
    def __init__(self, after: timedelta) -> None:
        self._after = after

    def now(self) -> datetime:
        return datetime.now(UTC) + self._after

    def sleep(self, seconds: float) -> None:
        """Wait for nothing."""


def number_of(said: str) -> str:
    return said.rpartition(":")[2]


@pytest.mark.parametrize("name", VENDORS)
def test_the_ledger_knows_which_ticket_to_comment_on(
    ledger,
    sandbox,  # noqa: F811
    tmp_path,
    name,
):
    """Two changes of a contact: one ticket, one comment, both delivered with its number."""
    home = Home(tmp_path, ledger, channel(name, "comment"))
    first, second = home.day(21), home.day(22)
    assert first == second
    assert first.startswith("delivered:")
    kinds = [message.kind for message in sandbox.messages()]
    assert kinds == ["ticket", "ticket_update" if name == "zendesk" else "note"]


@pytest.mark.parametrize("name", VENDORS)
def test_a_skipped_contact_says_which_ticket_is_open(
    ledger,
    sandbox,  # noqa: F811
    tmp_path,
    name,
):
    home = Home(tmp_path, ledger, channel(name, "skip"))
    number = number_of(home.day(21))
    assert home.day(22) == f"skipped:open_ticket: {number}"
    assert len(sandbox.messages()) == 1


@pytest.mark.parametrize("name", VENDORS)
def test_a_comment_whose_answer_was_lost_is_written_once(
    ledger,
    sandbox,  # noqa: F811
    tmp_path,
    name,
):
    """Nobody could be asked at once; the ledger still knows in which ticket to look."""
    home = Home(tmp_path, ledger, channel(name, "comment"))
    first = home.day(21)
    path = "notes" if name == "freshdesk" else f"{number_of(first)}.json"
    sandbox.fault(name, "reset_after_effect", path=path)
    sandbox.fault(name, "rate_limited", path="audits")
    sandbox.fault(name, "rate_limited", path="conversations")
    assert home.day(22).startswith("sending")
    assert home.day(22, "two", LATER) == first
    assert len(sandbox.messages()) == 2
