"""The demo: sample, sandbox, five consecutive days of real DAG runs, and what came of them."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from segue.demo.local_airflow import LocalAirflow
from segue.durations import localize
from segue.ledger import Ledger
from segue.ledger.facts import ListedDelivery
from segue.sample.days import ZONE
from segue.sample.generator import keep_up, newest_day
from segue.sandbox.connections import connections_by_channel
from segue.sandbox.server import HTTP_PORT, SMTP_PORT, Sandbox
from segue.settings import BUNDLE_ROOT, Settings
from segue.workflows.catalog import Catalog
from segue.workflows.definition import WorkflowDefinition

HOME = BUNDLE_ROOT / ".airflow"
SAMPLE = BUNDLE_ROOT / "include" / "sample" / "customers"
DAYS = 5
UI_PORT = 8080


def demo() -> int:
    """Run five days of every workflow on a real scheduler; print who changed and what was sent."""
    console = _console()
    _tell_of_own_settings(console)
    start = time.monotonic()
    workflows = _workflows()
    names = [workflow.workflow for workflow in workflows]
    newest = newest_day(datetime.now(UTC))
    days = days_shown(newest)
    with _steps(console) as show:
        show("Writing the sample's snapshots")
        keep_up(SAMPLE, newest)
        show("Starting the sandbox and Airflow (logs: .airflow/logs)")
        with (
            Sandbox(folder=HOME / "sandbox") as sandbox,
            _airflow(sandbox, port=0) as airflow,
        ):
            totals_before = Counter(message.service for message in sandbox.messages())
            airflow.wait_for_dags(*names)
            total = DAYS * len(names)
            show("DAG runs", 0, total)
            runs = _run_days(airflow, names, days, lambda n: show("DAG runs", n, total))
            totals = Counter(message.service for message in sandbox.messages())
    _print_days(console, workflows, days)
    _print_received(console, totals, totals_before)
    failures = sorted(
        f"{run['dag_id']} {run['dag_run_id']}" for run in runs if run["state"] == "failed"
    )
    for run in failures:
        console.print(f"[red]failed:[/] {run}")
    console.print(_what_next(time.monotonic() - start, len(runs)), highlight=False)
    return 1 if failures else 0


def up() -> int:
    """Start Airflow's UI with the sample, and the sandbox beside it, until Ctrl-C."""
    console = _console()
    _tell_of_own_settings(console)
    console.print("Writing the sample, starting the sandbox and Airflow …")
    newest = newest_day(datetime.now(UTC))
    first = keep_up(SAMPLE, newest)
    with (
        Sandbox(http_port=HTTP_PORT, smtp_port=SMTP_PORT, folder=HOME / "sandbox") as sandbox,
        _airflow(sandbox, port=UI_PORT, with_triggerer=True, scheduled=True) as airflow,
    ):
        console.print(_where_things_are(airflow, sandbox, first, newest), highlight=False)
        while True:
            time.sleep(2)
            airflow.alive()
            if newest < newest_day(datetime.now(UTC)):  # a day is over: its snapshot is due
                newest = newest_day(datetime.now(UTC))
                keep_up(SAMPLE, newest)


def days_shown(newest: date) -> list[date]:
    """Return the days that the demo runs: the last but the newest, which is left for ``up``."""
    return [newest - timedelta(days=ago) for ago in range(DAYS, 0, -1)]


def bounds_of(days: Sequence[date]) -> tuple[datetime, datetime]:
    """Return the first and the last moment of consecutive days in London, in UTC."""
    first = datetime.combine(days[0], time_of_day.min)
    last = datetime.combine(days[-1], time_of_day.max)
    return localize(first, ZONE), localize(last, ZONE)


def _workflows() -> list[WorkflowDefinition]:
    catalog = Catalog(BUNDLE_ROOT / "include")
    return [catalog.workflow(name) for name in catalog.names("workflows")]


def _airflow(
    sandbox: Sandbox, *, port: int, with_triggerer: bool = False, scheduled: bool = False
) -> LocalAirflow:
    # the sample is two weeks old, and its workflows' start may be years ago
    ours = {**connections(sandbox), "SEGUE_CATCH_UP": "false"}
    return LocalAirflow(
        HOME,
        dags=BUNDLE_ROOT / "dags",
        environment={**_no_own_settings(), **ours},
        port=port,
        with_triggerer=with_triggerer,
        scheduled=scheduled,
    )


_IDS = {  # of connections, by the channel that uses each
    "slack": "slack_message",
    "freshdesk": "freshdesk_ticket",
    "jira": "jira_issue",
    "servicenow": "servicenow_record",
    "qualtrics": "survey_invitation",
    "zendesk": "zendesk_ticket",
    "smtp": "email",
}


def connections(sandbox: Sandbox) -> dict[str, str]:
    """Return Airflow's connections to a sandbox, as environment variables."""
    by_channel = connections_by_channel(sandbox)
    return {
        f"AIRFLOW_CONN_{name.upper()}_DEFAULT": json.dumps(by_channel[channel])
        for name, channel in _IDS.items()
    }


def _tell_of_own_settings(console: Console) -> None:
    names = ", ".join(sorted(_no_own_settings()))
    if names:
        console.print(f"Ignored here, where all is the sample's own: {names}")


def _no_own_settings() -> dict[str, str]:
    """Blank out the user's own SEGUE_… variables: the demo has a ledger of its own."""
    return {name: "" for name in os.environ if name.startswith("SEGUE_")}


def _run_days(
    airflow: LocalAirflow, names: list[str], days: Sequence[date], progress: Any
) -> list[dict[str, Any]]:
    """Run, or run again, the days of every workflow, and return the runs.

    A backfill only records by default; ``deliver`` is a person's decision to act on it.
    """
    now = datetime.now(UTC)
    first, last = (instant.isoformat() for instant in bounds_of(days))
    for name in names:  # paused, or on SQLite the scheduler would race for the runs being made
        airflow.pause(name)
        airflow.cancel_backfills(name)
    for name in names:
        airflow.backfill(name, first, last, conf={"deliver": True}, reprocess="completed")
    for name in names:
        airflow.unpause(name)
    finals: list[dict[str, Any]] = []
    total = DAYS * len(names)
    progress_of_runs = airflow.wait_for_runs(*names, expected=total, seconds=3600, after=now)
    for finals in progress_of_runs:  # seconds for the slowest of machines
        progress(len(finals))
    for name in names:  # as it was: ``make up`` starts with every workflow off
        airflow.pause(name)
    return finals


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=120)


@contextmanager
def _steps(console: Console) -> Iterator[Callable[..., None]]:
    """Show which step is under way, and how far it is: a bar, or lines where there is no terminal.

    Yields a function of the step's name, how much is done and how much there is.
    """
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        step = progress.add_task("", total=None)

        def show(name: str, done: int = 0, total: int | None = None) -> None:
            progress.update(step, description=name, completed=done, total=total)

        yield show


@dataclass
class _Lines:
    """Prints a line for each step, and for each advance in it."""

    console: Console
    last: str = ""

    def __call__(self, name: str, done: int = 0, total: int | None = None) -> None:
        line = name if total is None else f"{name} {done}/{total}"
        if line != self.last:
            self.console.print(line, highlight=False)
        self.last = line


def _ledger() -> Ledger:
    settings = Settings.from_environment({"AIRFLOW_HOME": str(HOME)})
    return Ledger.open(settings.ledger, settings.namespace)


def _print_days(
    console: Console, workflows: Sequence[WorkflowDefinition], days: Sequence[date]
) -> None:
    """Print, per day and workflow, who changed and what was delivered."""
    rows = _ledger().queries.list_deliveries()
    for day in map(str, days):
        table = _table(day)
        for column in ("workflow", "contact", "change", "outcome"):
            table.add_column(column, overflow="fold")
        for workflow in workflows:
            here = (day, workflow.workflow)
            for line in _changes_of(
                workflow, [row for row in rows if (row.snapshot, row.workflow) == here]
            ):
                table.add_row(workflow.workflow, *line)
        console.print(table)


def _changes_of(
    workflow: WorkflowDefinition, deliveries: Sequence[ListedDelivery]
) -> Iterator[tuple[str, str, str]]:
    """Yield (contact, change, what became of each action) of a workflow's day."""
    for contact, change in sorted({(row.contact_id, row.change) for row in deliveries}):
        theirs = [row for row in deliveries if row.contact_id == contact]
        outcomes = {row.action: _outcome(row) for row in theirs}
        yield contact, change, ", ".join(outcomes[action.id] for action in workflow.actions)


def _outcome(row: ListedDelivery) -> str:
    if row.outcome == "delivered":
        return f"[green]{row.action} delivered[/]"
    return f"{row.action} {row.outcome}" + (f"({row.reason})" if row.reason else "")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def _print_received(console: Console, received: Counter[str], before: Counter[str]) -> None:
    table = _table("What the servers received")
    for column in ("server", "in this demo", "in all"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for service in ("zendesk", "slack", "freshdesk", "smtp"):
        table.add_row(service, str(received[service] - before[service]), str(received[service]))
    console.print(table)


def _what_next(seconds: float, runs: int) -> str:
    return (
        f"{runs} DAG runs in {seconds:.0f} s. Run [bold]make demo[/] again: the same days run "
        "again, and nothing is delivered twice.\n"
        f"  every delivery   [bold].venv/bin/segue deliveries[/]\n"
        f"  the messages     [bold]make sandbox[/], then http://127.0.0.1:{HTTP_PORT}\n"
        f"  Airflow's UI     [bold]make up[/], then http://127.0.0.1:{UI_PORT}"
    )


def _where_things_are(airflow: LocalAirflow, sandbox: Sandbox, first: date, newest: date) -> str:
    return (
        f"Airflow          {airflow.url}   (no log-in; everybody on this machine is admin)\n"
        f"Inbox            {sandbox.url}   (what Slack, Zendesk, Freshdesk and SMTP received)\n"
        f"The sample covers {first} … {newest} and grows by a day at midnight in London.\n"
        "Turn a workflow on: its newest interval runs at once, and then one every morning at six.\n"
        "For an earlier day, trigger it with current: DAY, deliver: true, or create a backfill.\n"
        "Ctrl-C stops everything."
    )
