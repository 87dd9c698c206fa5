"""What ``make celery`` runs in its environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from segue.demo.run import connections
from segue.ledger import Ledger
from segue.sample.generator import keep_up, newest_day
from segue.sandbox.server import Sandbox
from tests.celery.celery_airflow import CeleryAirflow, redis, running
from tests.matrix.cell import ROOT
from tests.torture.databases import cluster

FIRST = 15  # messages that have arrived when the worker is killed for the first time
BETWEEN = 20  # and between two kills
LONGEST = 45 * 60  # seconds
DIGITS = 26  # of a delivery's key: as many as every vendor has of it, Freshdesk in a tag
WORKFLOWS = ("escalate_at_risk", "report_opt_outs", "welcome_high_value")
OTHER = """
from datetime import datetime, timedelta

from airflow.sdk import dag, task


@dag(schedule="* * * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=3)
def somebodys_own():
    @task
    def first():
        return 1

    @task
    def second(number):
        print(number)

    second(first())


somebodys_own()
"""


def main(days: int, minutes: float, kills: int, folder: str) -> int:
    """Run the experiment; print what came of it, and return 1 where something is wrong."""
    with ExitStack() as stack:
        made = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="segue-celery-"))
        bench = Bench(Path(made).resolve(), stack, days)
        with running(bench.airflow) as airflow:
            airflow.wait_for_dags(*WORKFLOWS, "somebodys_own")
            airflow.unpause("somebodys_own")
            bench.watch("the other DAG alone", lambda: bench.elapsed > minutes * 60)
            alone = Others(bench.delays(), bench.waits())
            for name in WORKFLOWS:
                airflow.unpause(name)
            bench.watch("the catch-up", bench.is_done, kills)
            return bench.tell(alone, Others(bench.delays(), bench.waits()))


@dataclass(frozen=True)
class Others:
    """Seconds of somebody's own DAG: from a run's minute to its end; of its tasks in the queue."""

    delays: list[float]
    waits: list[float]

    def __str__(self) -> str:
        wait = statistics.median(self.waits)
        return f"{self.median:.1f} s ({len(self.delays)} runs; a task was queued for {wait:.1f} s)"

    @property
    def median(self) -> float:
        """How long half of the runs took, or less."""
        return statistics.median(self.delays)


@dataclass
class Bench:
    """The parts of the experiment, and what was noted while it ran."""

    home: Path
    stack: ExitStack
    days: int  # that are caught up
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    killed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.newest = newest_day(datetime.now(UTC))
        self._write_definitions()
        self.sandbox = self.stack.enter_context(Sandbox())
        server = self.stack.enter_context(cluster())
        self.ledger = server.new_database()
        broker = self.stack.enter_context(redis(self.home))
        self.environment = {
            **connections(self.sandbox),
            "SEGUE_HOME": str(self.home / "include"),
            "SEGUE_LEDGER": self.ledger,
            "SEGUE_STATE": (self.home / "state").as_uri(),
            "SEGUE_POOL": "segue",
            "SEGUE_QUEUE": "segue",
        }
        print(f"upgrading the ledger: {self._segue('db', 'upgrade').strip()}", flush=True)
        self.wanted = self._wanted()
        print(f"to be sent: {len(self.wanted)} messages", flush=True)
        self.airflow = CeleryAirflow(
            self.home / "airflow",
            self.home / "dags",
            server.new_database(),
            broker,
            self.environment,
        )

    def _write_definitions(self) -> None:
        """Copy the sample's, which begin days ago and act on what is that old."""
        skip = shutil.ignore_patterns("sample", "__pycache__")
        shutil.copytree(ROOT / "include", self.home / "include", ignore=skip, dirs_exist_ok=True)
        keep_up(self.home / "include/sample/customers", self.newest)
        start = self.newest - timedelta(days=self.days - 1)
        for path in (self.home / "include/workflows").glob("*.yaml"):
            text = re.sub(r"(?m)^start: .*$", f"start: {start}T06:00", path.read_text())
            path.write_text(text + "\npolicies: {max_age: null}\n")
        (self.home / "dags").mkdir(exist_ok=True)
        shutil.copy(ROOT / "dags/segue_dags.py", self.home / "dags")
        (self.home / "dags/somebodys_own.py").write_text(OTHER)

    @property
    def elapsed(self) -> float:
        """How many seconds the present part takes by now."""
        return (datetime.now(UTC) - self.began).total_seconds()

    def watch(self, part: str, is_over: Callable[[], bool], kills: int = 0) -> None:
        """Wait until a part is over; kill Segue's worker as often as that while it is not."""
        self.began, at = datetime.now(UTC), [FIRST + BETWEEN * number for number in range(kills)]
        print(f"{part}: load {os.getloadavg()[0]:.1f}", flush=True)
        while not is_over():
            if self.elapsed > LONGEST:
                raise SystemExit(f"{part} took more than {LONGEST} s: {self._states()}")
            count = len(self.sandbox.messages())
            if at and count >= at[0]:
                at.pop(0)
                number = self.airflow.kill("segue")
                self.killed.append(f"{number} processes after {count} messages")
                print(f"  killed the worker: {self.killed[-1]}", flush=True)
            self.airflow.alive()
            time.sleep(1)
        print(f"  {self.elapsed:.0f} s, load {os.getloadavg()[0]:.1f}", flush=True)

    def is_done(self) -> bool:
        """Tell whether the last of the intervals of every workflow has ended."""
        states = self._states()
        return all(len(each) == self.days for each in states.values()) and not any(
            set(each.values()) - {"success", "failed"} for each in states.values()
        )

    def _states(self) -> dict[str, dict[str, str]]:
        return {
            name: {run["dag_run_id"]: run["state"] for run in self.airflow.runs(name)}
            for name in WORKFLOWS
        }

    def delays(self) -> list[float]:
        """Return how many seconds after its minute each run of the other DAG has ended."""
        return [
            (_instant(run["end_date"]) - _instant(run["run_after"])).total_seconds()
            for run in self.airflow.runs("somebodys_own")
            if run["end_date"] and self.began <= _instant(run["run_after"])
        ]

    def waits(self) -> list[float]:
        """Return how many seconds each task of the other DAG was queued, in this part."""
        instances = self.airflow.call(
            "GET", "dags/somebodys_own/dagRuns/~/taskInstances?limit=1000"
        )
        return [
            (_instant(task["start_date"]) - _instant(task["queued_when"])).total_seconds()
            for task in instances["task_instances"]
            if task["start_date"] and self.began <= _instant(task["run_after"])
        ]

    def _wanted(self) -> set[str]:
        """Return the keys of what has to be sent, as ``segue plan`` tells without any run."""
        days = [self.newest - timedelta(days=ago) for ago in range(self.days)]
        plans = [
            json.loads(self._segue("plan", name, "--at", str(day), "--format", "json"))
            for name in WORKFLOWS
            for day in days
        ]
        actions = [each for plan in plans for row in plan for each in row["actions"]]
        return {each["key"] for each in actions if each["outcome"] == "send"}

    def _segue(self, *words: str) -> str:
        """Run Segue's command line with the settings of Airflow's tasks; return what it prints."""
        ended = subprocess.run(
            [Path(sys.executable).parent / "segue", *words],
            env={**os.environ, **self.environment, "AIRFLOW_HOME": str(self.home / "airflow")},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise SystemExit(f"segue {' '.join(words)}: {ended.stderr}")
        return ended.stdout

    def tell(self, alone: Others, beside: Others) -> int:
        """Print the result; return 1 where something was sent twice, is lost, or others waited."""
        wanted = self.wanted
        received = {key: self.sandbox.messages(contains=key[:DIGITS]) for key in wanted}
        times = Counter({key: len(messages) for key, messages in received.items()})
        beyond = len(self.sandbox.messages()) - times.total()
        ledger = Ledger.open(self.ledger, "default")
        rows = {row.key: row for row in ledger.queries.list_deliveries()}
        outcomes = Counter(str(rows[key].outcome) if key in rows else "none" for key in wanted)
        twice = [key for key, number in times.items() if number > 1]
        unsent = [key for key in wanted if not times[key]]
        # of a call in doubt that nobody can be asked about, the report tells: a person settles it
        lost = [key for key in unsent if key not in rows or rows[key].outcome != "uncertain"]
        states = Counter(state for each in self._states().values() for state in each.values())
        print(
            f"runs: {dict(states)}; kills: {self.killed}\n"
            f"to be sent: {len(wanted)}; in the ledger: {dict(outcomes)}\n"
            f"received once: {sum(number == 1 for number in times.values())}, "
            f"twice: {len(twice)}, never: {len(unsent)} "
            f"{sorted(str(rows[key].outcome) for key in unsent if key in rows)}, "
            f"beyond the plan: {beyond}\n"
            f"the other DAG, median: {alone} alone, {beside} beside the catch-up: "
            f"{beside.median / alone.median - 1:+.0%}"
        )
        return int(bool(twice or lost or beside.median > 1.25 * alone.median))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what it started ends, too
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
