"""The stage on which the cases are played: definitions, a sandbox, and a process that runs DAGs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from segue.ledger import Ledger
from segue.ledger.facts import DeliveryInFull
from segue.sandbox.faults import Fault, Faults
from segue.sandbox.server import Sandbox
from segue.sandbox.store import Message
from tests.airflow.driven import DrivenAirflow
from tests.airflow.world import World, everything_stored
from tests.channels import people
from tests.channels.case import ChannelCase, Sent, Servers
from tests.channels.run import CURRENT, PREVIOUS
from tests.unit.builders import end_leases

ROOT = Path(__file__).resolve().parents[2]
PAUSE = 2  # seconds that a rate limit asks for; after other errors a second is waited
RATE = "100/second"  # more than the vendors' own limits: they would space the calls out
OUTLASTS_A_PASS = {"fault": "server_error", "times": 3}
FAULTS: dict[str, dict[str, Any]] = {
    people.TRANSIENT: {"fault": "server_error"},
    people.PERSISTENT: OUTLASTS_A_PASS,
    people.LIMITED: {"fault": "rate_limited", "retry_after": PAUSE},
    people.LOST: {"fault": "reset_after_effect"},
    people.UNSENT: {"fault": "reset"},
    people.OVERDUE: OUTLASTS_A_PASS,
}


class WatchedFaults(Faults):
    """Faults that remember when each was met, and when each request came."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[tuple[datetime, Fault]] = []
        self.requests: list[tuple[datetime, str]] = []  # to which service

    def take(self, service: str, **request: Any) -> Fault | None:
        """Return the fault for a request, and note the time."""
        now = datetime.now(UTC)
        self.requests.append((now, service))
        fault = super().take(service, **request)
        if fault is not None:
            self.met.append((now, fault))
        return fault


@dataclass(frozen=True)
class Delivery:
    """One delivery after a run: what the ledger says of it, and what the server received."""

    row: DeliveryInFull
    messages: tuple[Message, ...]
    sent: Sent

    @property
    def outcome(self) -> str:
        """``delivered``, or ``failed(why)``."""
        return f"{self.row.outcome}({self.row.reason})".replace("()", "")


@dataclass(frozen=True)
class Run:
    """One run of a case's workflow, by (action, kind of contact)."""

    tasks: Mapping[str, str]  # states
    deliveries: Mapping[tuple[str, str], Delivery]

    def of(self, kind: str, action: str = "main") -> Delivery:
        """Return one delivery."""
        return self.deliveries[action, kind]


class Stage:
    """Everything that the cases share; used as a context manager."""

    def __init__(self, home: Path, cases: Mapping[str, ChannelCase]) -> None:
        self.faults = WatchedFaults()
        self._home, self._cases = home, cases
        self._played: dict[str, tuple[Run, Run]] = {}
        self.log = home / "run.log"

    def __enter__(self) -> Self:
        self.sandbox = Sandbox()
        self.sandbox.faults = self.faults
        self.sandbox.__enter__()
        self.world = World(self._home, self._airflow(), self.sandbox, self._ledger_url)
        for case in self._cases.values():
            self._write(case)
        self.world.airflow.run("db", "migrate")
        with self.log.open("wb") as log:
            self._runner = subprocess.Popen(
                [sys.executable, "-m", "tests.channels.run"],
                cwd=ROOT,
                env=self.world.airflow.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner.stdin is not None
        with suppress(BrokenPipeError):
            self._runner.stdin.close()
        self._runner.wait()
        self.sandbox.__exit__(kind, error, trace)

    @property
    def ledger(self) -> Ledger:
        """The ledger that the runs write."""
        return self.world.ledger

    def play(self, case: ChannelCase) -> tuple[Run, Run]:
        """Run a case's workflow, let what is in doubt be over, and do the same run again.

        Once: a case that was played stays as it is.
        """
        if case.channel not in self._played:
            self._played[case.channel] = self._play(case)
        return self._played[case.channel]

    def written_down(self) -> str:
        """Return all that Airflow and the ledger keep, logs included."""
        return "\n".join(
            (
                everything_stored(self._home / "segue.db"),
                self.world.everything_airflow_stores(),
                self.world.logs(),
                self.log.read_text(errors="replace"),
            )
        )

    def _play(self, case: ChannelCase) -> tuple[Run, Run]:
        for kind, options in FAULTS.items():
            match = people.contact_id(case.channel, kind)
            self.sandbox.fault(case.service, match=match, **options)
        if case.can_be_asked:
            self.sandbox.fault(case.service, "server_error", **case.look_up)
        first = self._run(case)
        end_leases(self.ledger)
        if case.can_be_asked:
            match = people.contact_id(case.channel, people.OVERDUE)
            self.sandbox.fault(case.service, "reset_after_effect", match=match)
        return first, self._run(case)

    def _run(self, case: ChannelCase) -> Run:
        assert self._runner.stdin is not None
        assert self._runner.stdout is not None
        self._runner.stdin.write(f"{case.channel}\n")
        self._runner.stdin.flush()
        answer = self._runner.stdout.readline()
        if not answer:
            raise RuntimeError(f"the runner ended:\n{self.log.read_text()[-4000:]}")
        return Run(json.loads(answer)["tasks"], self._deliveries(case))

    def _deliveries(self, case: ChannelCase) -> dict[tuple[str, str], Delivery]:
        """Return what became of each delivery, as it is now."""
        by_mark: dict[str, list[Message]] = {}
        for message in self.sandbox.messages(service=case.service):
            for mark in dict.fromkeys(case.marks_in(message)):
                by_mark.setdefault(mark, []).append(message)
        found = {}
        for action in case.actions:
            for kind in people.KINDS:
                if action != "main" and kind in people.IN_TROUBLE:
                    continue
                person = people.contact(case.channel, kind, case.contacts.get(kind, {}))
                who = person["contact_id"]
                key = self.ledger.key(case.channel, action, who, "added", CURRENT)
                row = self.ledger.queries.find_delivery(key)
                assert row is not None, (action, kind)
                messages = tuple(by_mark.get(case.mark_of(key, who), ()))
                sent = Sent(person, key, self.sandbox.url)
                found[action, kind] = Delivery(row, messages, sent)
        return found

    @property
    def _ledger_url(self) -> str:
        return f"sqlite:///{self._home / 'segue.db'}"

    def _airflow(self) -> DrivenAirflow:
        dags = self._home / "dags"
        dags.mkdir()
        shutil.copy(ROOT / "dags/segue_dags.py", dags)
        servers = Servers(self.sandbox.url, self.sandbox.host, self.sandbox.smtp_port)
        connections = {
            case.connection_variable: case.connection_json(servers, segue_rate=RATE)
            for case in self._cases.values()
        }
        return DrivenAirflow(
            self._home / "airflow",
            dags=dags,
            environment={
                **connections,
                "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)]),
                "SEGUE_HOME": str(self._home / "include"),
                "SEGUE_LEDGER": self._ledger_url,
                "SEGUE_STATE": str(self._home / "state"),
            },
        )

    def _write(self, case: ChannelCase) -> None:
        """Write a case's directory, segment and workflow: everybody turns gold at once."""
        name = case.channel
        everybody = [
            people.contact(name, kind, case.contacts.get(kind, {})) for kind in people.KINDS
        ]
        silver = [{**person, "tier": "silver"} for person in everybody]
        self.world.snapshot(name, PREVIOUS, silver)
        self.world.snapshot(name, CURRENT, everybody)
        for folder in ("templates", "attachments"):
            shutil.copytree(
                ROOT / "include" / folder, self._home / "include" / folder, dirs_exist_ok=True
            )
        self.world.workflow(
            name,
            actions_of(case),
            guard={"share": None},
            branches={"max": 1, "slice_size": len(everybody)},
            retries=0,  # the same run is done again instead
        )


def actions_of(case: ChannelCase) -> list[dict[str, Any]]:
    """Return the actions of a case's workflow."""
    calm = {"if": {"field": "kind", "one_of": [people.PLAIN, "hostile"]}}
    return [
        {"id": name, case.channel: dict(written.fields), **({} if name == "main" else calm)}
        for name, written in case.actions.items()
    ]
