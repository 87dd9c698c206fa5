"""A small world for scheduler tests: directories as CSV, definitions, and one running Airflow."""

from __future__ import annotations

import csv
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from segue.airflow_compat import question_needs_triggerer
from segue.ledger import Ledger
from segue.sandbox.server import Sandbox
from tests.airflow.driven import DrivenAirflow

SLACK = {
    "id": "alert",
    "slack_message": {"channel": "#team", "text": "{{ contact.contact_id }} {{ change }}"},
}
EMAIL = {
    "id": "mail",
    "email": {
        "from": "shop@example.com",
        "subject": "Hello",
        "text": "Dear {{ contact.first_name }}",
    },
}
TICKET = {
    "id": "ticket",
    "zendesk_ticket": {
        "subject": "Call {{ contact.contact_id }}",
        "comment": "{{ contact.first_name | default('somebody') }}",
    },
}


WAITING = "deferred" if question_needs_triggerer() else "awaiting_input"
PAIR = {"previous": "2026-11-01", "current": "2026-11-02"}


def contact(contact_id: str, **fields: Any) -> dict[str, Any]:
    """A contact whose every text names it, so that leaks can be found."""
    return {
        "contact_id": contact_id,
        "first_name": f"Firstname-{contact_id}",
        "last_name": f"Lastname-{contact_id}",
        "email": f"{contact_id}@people.example.com",
        "phone": f"+44 20 7946 {contact_id}",
        "tier": "gold",
        "unsubscribed": "false",
        **fields,
    }


class World:
    """Definitions and snapshots below ``home``, an Airflow that runs them, and the sandbox."""

    def __init__(self, home: Path, airflow: DrivenAirflow, sandbox: Sandbox, ledger: str) -> None:
        self.home, self.airflow, self.sandbox = home, airflow, sandbox
        self._ledger = ledger

    @property
    def settings(self) -> dict[str, str]:
        """The environment in which the command line sees this world."""
        return {
            "SEGUE_HOME": str(self.home / "include"),
            "SEGUE_LEDGER": self._ledger,
            "SEGUE_STATE": str(self.home / "state"),
        }

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self._ledger, "default")

    def snapshot(self, name: str, key: str, contacts: Sequence[Mapping[str, Any]]) -> None:
        """Write one complete snapshot of the directory ``name``."""
        folder = self.home / "snapshots" / name / key
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "contacts.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(contacts[0]))
            writer.writeheader()
            writer.writerows(contacts)
        (folder / "_SUCCESS").touch()

    def workflow(self, name: str, actions: Sequence[Mapping[str, Any]], **more: Any) -> None:
        """Define a workflow with a directory and a segment (tier gold) of its own."""
        self._write(
            "directories",
            name,
            {
                "directory": name,
                "snapshots": f"../../snapshots/{name}",
                "complete_marker": "_SUCCESS",
            },
        )
        match = more.pop("match", {"field": "tier", "equals": "gold"})
        self._write("segments", name, {"segment": name, "directory": name, "match": match})
        self._write(
            "workflows",
            name,
            {
                "workflow": name,
                "segment": name,
                "changes": ["added"],
                "schedule": "0 6 * * *",
                "start": "2026-11-01",
                "policies": {"max_age": None},
                **more,
                "actions": list(actions),
            },
        )

    def _write(self, folder: str, name: str, data: Mapping[str, Any]) -> None:
        path = self.home / "include" / folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True))

    def days(self, dag_id: str, first: int, last: int) -> dict[str, str]:
        """Run the intervals that end on these days at 06:00; return the states by run id.

        A run's current snapshot is the one of the day before its interval ends. Runs that were
        completed are done again.
        """
        before = datetime.now(UTC)
        self.airflow.backfill(
            dag_id,
            f"2026-11-{first - 1:02}T06:00:00Z",
            f"2026-11-{last - 1:02}T06:00:00Z",
            conf={"deliver": True},
            reprocess="completed",
        )
        ended: list[dict[str, Any]] = []
        for ended in self.airflow.wait_for_runs(  # noqa: B007
            dag_id, expected=last - first + 1, seconds=480, after=before
        ):
            pass
        return {run["dag_run_id"]: run["state"] for run in ended}

    def begin(self, *dag_ids: str, **conf: Any) -> dict[str, str]:
        """Trigger a run of each, of the first two snapshots or ``conf``; return the ids by DAG.

        They run side by side, which takes little longer than one of them.
        """
        return {dag_id: self.airflow.trigger(dag_id, conf or PAIR) for dag_id in dag_ids}

    def end(self, dag_id: str, run_id: str, *, expected: int = 1) -> str:
        """Wait until a run, and so many of its DAG, have ended; return its state."""
        return self.airflow.finish(dag_id, expected=expected, seconds=480)[run_id]

    def pair(self, dag_id: str, *, expected: int = 1) -> tuple[str, str]:
        """Run the first two snapshots by hand; return (run id, state)."""
        run_id = self.begin(dag_id)[dag_id]
        return run_id, self.end(dag_id, run_id, expected=expected)

    def asked(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """Wait until the run's guard asks a person; return the question."""
        deadline = time.monotonic() + 240
        while self.airflow.task_states(dag_id, run_id).get(("guard", -1)) != WAITING:
            assert time.monotonic() < deadline, self.airflow.task_states(dag_id, run_id)
            self.airflow.alive()
            time.sleep(1)
        return dict(self.airflow.call("GET", self._question(dag_id, run_id)))

    def answer(self, dag_id: str, run_id: str, option: str, **params: Any) -> None:
        """Answer the guard's question once it is asked."""
        self.asked(dag_id, run_id)
        time.sleep(3)  # Airflow's LocalExecutor loses a task that is queued again at once
        body = {"chosen_options": [option], "params_input": params}
        self.airflow.call("PATCH", self._question(dag_id, run_id), json=body)

    @staticmethod
    def _question(dag_id: str, run_id: str) -> str:
        return f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/guard/-1/hitlDetails"

    def told(self) -> str:
        """Return what the notifiers of ``tests/airflow/told.py`` were asked to tell."""
        path = self.home / "told.txt"
        return path.read_text() if path.exists() else ""

    def again(self, dag_id: str, run_id: str, *task_ids: str) -> str:
        """Clear tasks of a run, wait for it to end, and return its state."""
        self.airflow.clear(dag_id, run_id, *task_ids)
        return self.end(dag_id, run_id)

    def received(self, contains: str) -> Counter[str]:
        """Count, per service, what the servers received that contains a text."""
        return Counter(message.service for message in self.sandbox.messages(contains=contains))

    def outcomes(self, dag_id: str) -> dict[tuple[str, str], str]:
        """Return outcome(reason) of each delivery by (contact, action)."""
        return {
            (row.contact_id, row.action): f"{row.outcome}({row.reason})".replace("()", "")
            for row in self.ledger.queries.list_deliveries(workflow=dag_id)
        }

    def everything_airflow_stores(self) -> str:
        """Return every text in Airflow's database, its XCom included."""
        return everything_stored(self.airflow.home / "airflow.db")

    def logs(self) -> str:
        """Return every task log."""
        return "\n".join(
            path.read_text(errors="replace")
            for path in (self.airflow.home / "logs").rglob("dag_id=*/**/*.log")
        )


def everything_stored(path: Path) -> str:
    """Return every value in a SQLite database."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return json.dumps(
            [
                [str(value) for row in connection.execute(f"SELECT * FROM {name}") for value in row]
                for (name,) in tables.fetchall()
            ],
            ensure_ascii=False,
        )
