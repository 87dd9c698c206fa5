"""A workflow that looks its contacts up, over a directory of two days, and a run of it."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import update

from segue.contacts.change import changes_of_span
from segue.contacts.live_look_up import Desk
from segue.delivery.resumption import Resumed, resume
from segue.delivery.steps import check_branch, deliver, load_branch
from segue.ledger import Ledger
from segue.ledger.facts import Run, Wishes
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.runs.areas import RunArea
from segue.runs.branches import cut
from segue.runs.context import RunContext
from segue.runs.span_detection import detect
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import qualtrics_api
from segue.segments.membership.store import MembershipStore
from segue.testing import RecordingChannel
from segue.workflows.catalog import Catalog
from segue.workflows.definition import Branches
from tests.unit.live.clock import NOW, Wrist

QUALTRICS = {"qualtrics": {"directory": qualtrics_api.DIRECTORY, "fields": ["level"]}}
DEFINITIONS = {
    "directories/customers": (
        "directory: customers\nsnapshots: ../snapshots\ncomplete_marker: _SUCCESS\n"
    ),
    "segments/gold": "segment: gold\ndirectory: customers\nmatch: {field: tier, equals: gold}\n",
    "workflows/welcome": """
workflow: welcome
segment: gold
changes: [added, removed]
start: 2026-11-01
load: LOAD
policies: POLICIES
CONDITIONS
MORE
actions:
  - {id: mail, slack_message: {channel: c, text: x}}
""",
}
COLUMNS = "contact_id,first_name,tier,unsubscribed\n"
TEXT = (
    "{{ contact.contact_id }} {{ contact.first_name }} {{ contact.tier }} "
    "{{ contact.level | default('-') }} {{ contact.phone | default('-') }}"
)


class World:
    """A workflow, its snapshots, and a run between them."""

    def __init__(
        self,
        root: Path,
        ledger: Ledger,
        load: dict[str, Any] | str = QUALTRICS,
        *,
        policies: str = "{}",
        conditions: str = "",
        more: str = "",
        text: str = TEXT,
        to_contact: bool = False,
    ) -> None:
        self.root, self.ledger = root, ledger
        written = load if isinstance(load, str) else json.dumps(load)
        for name, body in DEFINITIONS.items():
            path = root / "include" / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            filled = body.replace("LOAD", written).replace("POLICIES", policies)
            path.write_text(filled.replace("CONDITIONS", conditions).replace("MORE", more))
        self.wrist = Wrist()
        self.clock = self.wrist.clock
        channel = {"text": text, "to_contact": to_contact}
        self.mail = RecordingChannel.model_validate(channel)
        self.resolved = dataclasses.replace(
            Catalog(root / "include").resolve("welcome"), channels={"mail": self.mail}
        )
        self.area = RunArea(str(root / "area"))

    def snapshot(self, key: str, rows: str, columns: str = COLUMNS) -> None:
        folder = self.root / "include" / "snapshots" / key
        folder.mkdir(parents=True)
        (folder / "contacts.csv").write_text(columns + rows)
        (folder / "_SUCCESS").touch()

    def days(self, *contacts: str, gone: str = "") -> None:
        """Write two days: the contacts turn gold; ``gone`` was gold, and is deleted."""
        first = "".join(f"{contact},Old,silver,no\n" for contact in contacts)
        self.snapshot("2026-11-21", first + (f"{gone},Old,gold,no\n" if gone else ""))
        self.snapshot("2026-11-22", first.replace("silver", "gold"))

    def detect(self, branches: int = 1) -> None:
        """Find the changes, release them, and cut them into so many branches at most."""
        store = MembershipStore(str(self.root / "state"))
        wishes = Wishes(previous="2026-11-21", current="2026-11-22", deliver=True)
        run = Run("welcome", "run-1")
        found = detect(RunContext(self.resolved, run, self.ledger, NOW, wishes), store)
        (span,) = found.spans
        self.ledger.runs.release([span.id], NOW)
        self.area.write_audience(self.resolved.audience)
        changes = changes_of_span(span.stretch, self.ledger.queries.changes_to_handle(span.id))
        self.refs = self.area.write_slices(cut(changes, Branches(max=branches)))
        self.ref = self.refs[0]

    def load(self, clear_number: int = 0) -> int:
        desk = Desk(self.ledger, self.clock)
        return load_branch(self.resolved, self.ref, desk, clear_number=clear_number)

    def deliver(self, clear_number: int = 0) -> None:
        """Check the conditions and deliver, as the tasks behind the details do."""
        check_branch(self.resolved, self.ref, self.ledger, self.now)
        action = self.resolved.definition.action("mail")
        deliver(
            self.resolved,
            action,
            [self.ref],
            self.ledger,
            owner="task",
            clear_number=clear_number,
            clock=self.clock,
        )

    def run(self) -> None:
        self.detect()
        self.load()
        self.deliver()

    def resume(self) -> Resumed:
        return resume(self.resolved, "mail", self.ledger, owner="release", clock=self.clock)

    def let_quiet_hours_end(self) -> None:
        with self.ledger.engine.begin() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.state == State.HELD)
                .values(held_until=self.now - timedelta(minutes=1))
            )

    @property
    def outcomes(self) -> dict[str, str]:
        return {
            row.contact_id: f"{row.outcome}:{row.reason}".rstrip(":")
            for row in self.ledger.queries.list_deliveries()
        }

    @property
    def received(self) -> list[str]:
        return sorted(message["text"] for _, message in self.mail.outbox.received)

    @property
    def now(self) -> datetime:
        return self.wrist.now

    @now.setter
    def now(self, now: datetime) -> None:
        self.wrist.now = now

    @property
    def sleeps(self) -> list[float]:
        return self.wrist.sleeps


def at_qualtrics(sandbox: Sandbox, **fields: Any) -> str:
    """Create a contact in the sandbox's XM Directory; returns its id."""
    answer = httpx.post(
        f"{sandbox.url}/qualtrics/API/v3/directories/{qualtrics_api.DIRECTORY}/contacts",
        json={"firstName": "New", **fields},
        headers={"X-API-TOKEN": qualtrics_api.TOKEN},
    )
    return str(answer.json()["result"]["id"])


def change_at_qualtrics(sandbox: Sandbox, contact: str, **fields: Any) -> None:
    """Update a contact in the sandbox's XM Directory."""
    httpx.put(
        f"{sandbox.url}/qualtrics/API/v3/directories/{qualtrics_api.DIRECTORY}/contacts/{contact}",
        json=fields,
        headers={"X-API-TOKEN": qualtrics_api.TOKEN},
    ).raise_for_status()
