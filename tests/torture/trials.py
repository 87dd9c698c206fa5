"""A trial: one ledger, one server, and the workers that come and go until all is delivered."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import Queue
from threading import Event, Timer
from types import TracebackType
from typing import Any, Self

from sqlalchemy import select, update

from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade
from segue.ledger.reasons import Reason
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.torture.deadly import DeadlySandbox
from tests.torture.vendors import Vendor
from tests.torture.worker import ACTION, LEFT_TO_RETRY, SNAPSHOT, WORKFLOW
from tests.unit.builders import NOW, added, detected, end_leases, record, run, stretch

NAMESPACE = "torture"
TOO_LONG = 600  # seconds, for one worker
ROOT = Path(__file__).parents[2]


@dataclass
class Ending:
    """What came of one worker."""

    code: int  # negative: the signal that killed it
    done: set[str] = field(default_factory=set)  # slices
    connections: list[str] = field(default_factory=list)  # why passes failed as a whole
    standing: Counter[str] = field(default_factory=Counter)

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL


class Forge:
    """A warm parent of workers; one worker at a time."""

    def __init__(self, folder: Path) -> None:
        self._facts: list[dict[str, Any]] = []  # of the present worker
        self._folder = folder  # for Airflow's home and the workers' log

    def __enter__(self) -> Self:
        home = tempfile.mkdtemp(prefix="airflow-", dir=self._folder)
        self._log = (Path(home) / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.worker"],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins"), str(ROOT)]),
                "AIRFLOW_HOME": home,
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._hear("ready")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def start(self, job: Mapping[str, Any]) -> int:
        """Start a worker and return its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        self._facts = []
        pid = int(self._hear("started")["started"])
        self._hangs = Event()
        self._watch = Timer(TOO_LONG, self._end_a_hanging, [pid])
        self._watch.daemon = True
        self._watch.start()
        return pid

    def wait_for_claim(self) -> None:
        """Wait until the worker is about to claim something, or has ended before."""
        self._hear("claims", "ended")

    def wait(self) -> Ending:
        """Return how the worker ended; a code of its own means a defect, and is raised."""
        ending = Ending(int(self._hear("ended")["ended"]))
        self._watch.cancel()
        if self._hangs.is_set():
            raise RuntimeError(f"a worker did not end within {TOO_LONG} seconds")
        for facts in self._facts:
            if "slice" not in facts:
                continue
            ending.standing.update(facts["standing"])
            ending.done |= {facts["slice"]} if facts["done"] else set()
            ending.connections += [facts["connection"]] if facts["connection"] else []
        if ending.code > 0 and ending.code != LEFT_TO_RETRY:
            self._log.seek(0)
            raise RuntimeError(f"a worker failed by itself:\n{self._log.read()[-4000:]}")
        return ending

    def _end_a_hanging(self, pid: int) -> None:
        self._hangs.set()
        os.kill(pid, signal.SIGKILL)

    def _hear(self, *wanted: str) -> dict[str, Any]:
        """Return the first fact of a kind, whether it was heard before or is yet to come."""
        assert self._process.stdout is not None
        for facts in self._facts:
            if not facts.keys().isdisjoint(wanted):
                return facts
        for line in self._process.stdout:
            facts = json.loads(line)
            self._facts.append(facts)
            if not facts.keys().isdisjoint(wanted):
                return facts
        self._log.seek(0)
        raise RuntimeError(f"the workers' parent ended:\n{self._log.read()[-4000:]}")


@dataclass(frozen=True)
class Figures:
    """What a trial came to; ``received`` and what follows from it is the server's count."""

    deliveries: int
    interruptions: int  # workers killed, or databases restarted
    received: int  # deliveries that the server has at least once
    duplicates: int  # messages beyond one of a delivery
    lost: int  # deliveries that the server has not and nobody reports as uncertain
    uncertain: int  # reported as such
    unsettled: int  # neither delivered nor uncertain in the ledger, in the end
    wrong: str = ""  # what else was not as it should be

    def problems(self, *, can_be_asked: bool) -> list[str]:
        """Return what breaks the guarantee."""
        found = {"duplicates": self.duplicates, "lost": self.lost, "unsettled": self.unsettled}
        if can_be_asked:
            found["uncertain"] = self.uncertain
        return [f"{count} {what}" for what, count in found.items() if count] + (
            [self.wrong] if self.wrong else []
        )


class Trial:
    """Contacts whose deliveries are released, and the server that is to receive them."""

    def __init__(
        self,
        vendor: Vendor,
        sandbox: DeadlySandbox,
        url: str,
        contacts: int,
        *,
        digest: bool,
        waits: bool,
    ) -> None:
        self.vendor, self.sandbox, self.url = vendor, sandbox, url
        self.digest = digest  # one message per slice
        self.waits = waits  # they have waited until now, and segue_release takes them up
        self.contacts = [f"c{number:05}" for number in range(contacts)]
        self.connection = vendor.connection(sandbox)
        self._tries = count(1)
        engine = open_engine(url)
        upgrade(engine)
        self._ledger = Ledger(engine, NAMESPACE)
        ids = record(
            self._ledger,
            run(),
            detected(stretch(21, 22), added(*self.contacts)),
            actions=(ACTION,),
        )
        self._ledger.runs.release(ids, NOW)
        if waits:
            over = {"state": State.WAITING, "reason": Reason.WAIT, "held_until": NOW}
            with engine.begin() as connection:
                connection.execute(update(deliveries).values(**over))

    def delivery_keys(self) -> list[str]:
        """Return the keys of all deliveries, in the contacts' order."""
        key = self._ledger.key
        return [key(WORKFLOW, ACTION, one, "added", SNAPSHOT) for one in self.contacts]

    def marks(self) -> dict[str, str]:
        """Return what the server sees of each delivery, by its key."""
        keys, mark_of = self.delivery_keys(), self.vendor.case.mark_of
        return {key: mark_of(key, one) for key, one in zip(keys, self.contacts, strict=True)}

    def received(self) -> int:
        """Return how many messages the server has."""
        return len(self.sandbox.messages(service=self.vendor.service))

    def slices(self, size: int) -> dict[str, list[str]]:
        """Return the contacts in slices, by number."""
        starts = range(0, len(self.contacts), size)
        return {
            str(number): self.contacts[start : start + size] for number, start in enumerate(starts)
        }

    def job(
        self, slices: Mapping[str, Sequence[str]], step: str | None = None, nth: int = 0
    ) -> dict[str, Any]:
        """Return a try of these slices that dies at a step's n-th time; without one it lives."""
        return {
            "ledger": self.url,
            "namespace": NAMESPACE,
            "channel": self.vendor.case.channel,
            "fields": self.vendor.digest_fields if self.digest else dict(self.vendor.case.short),
            "digest": self.digest,
            "waits": self.waits,
            "environment": {self.vendor.case.connection_variable: self.connection},
            "owner": f"try {next(self._tries)}/",
            "slices": slices,
            "step": step,
            "nth": nth,
        }

    def wait_out_leases(self, owner: str = "") -> None:
        """Let the leases of a dead worker, or of all, and their longest calls be over."""
        self.sandbox.settle()
        end_leases(self._ledger, owner)

    def figures(self, interruptions: int, wrong: str = "") -> Figures:
        """Count what the server has, and what the ledger says of the rest."""
        self.sandbox.settle()
        received, marks = self.vendor.received(self.sandbox), self.marks()
        if self.digest:  # the server's count is of contacts, each of which is a delivery
            received = self.vendor.told(self.sandbox)
            marks = dict(zip(marks, self.contacts, strict=True))
        with self._ledger.engine.connect() as connection:
            query = select(deliveries.c.key, deliveries.c.state)
            states = {row.key: State(row.state) for row in connection.execute(query)}
        uncertain = {one for one in marks if states[one] is State.UNCERTAIN}
        final = (State.DELIVERED, State.UNCERTAIN)
        return Figures(
            deliveries=len(marks),
            interruptions=interruptions,
            received=sum(received[mark] > 0 for mark in marks.values()),
            duplicates=received.total() - len(received),
            lost=sum(not received[mark] and one not in uncertain for one, mark in marks.items()),
            uncertain=len(uncertain),
            unsettled=sum(states[one] not in final for one in marks),
            wrong=wrong,
        )

    def close(self) -> None:
        """Let go of the ledger's database."""
        self._ledger.engine.dispose()


@contextmanager
def trial(
    vendor: Vendor, url: str, contacts: int, *, digest: bool = False, waits: bool = False
) -> Iterator[Trial]:
    """Set up a trial on an empty database."""
    with DeadlySandbox(vendor) as sandbox:
        made = Trial(vendor, sandbox, url, contacts, digest=digest, waits=waits)
        try:
            yield made
        finally:
            made.close()


class Victim:
    """The worker of the moment; killed at most once, and only while it lives."""

    def __init__(self) -> None:
        self._pid: Queue[int | None] = Queue()

    def is_called(self, pid: int) -> None:
        """Name the process; whoever wants to kill it has been waiting for that."""
        self._pid.put(pid)

    def has_ended(self) -> None:
        """Let nobody kill it any more."""
        with suppress(Exception):
            self._pid.get_nowait()
        self._pid.put(None)

    def kill(self) -> None:
        """Kill it now."""
        pid = self._pid.get(timeout=120)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
