"""``segue try``: a run of the real DAG against look-alikes, of which nothing stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.arguments import At, Home, OutputFormat, Workflow
from segue.cli.output import Format, count, note, print_listing, working
from segue.extras import extra

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.ledger import Ledger
    from segue.sandbox.store import Message

_FAILED = 1
_LINES = 30  # of a log that is shown
_OUTCOMES = ("contact_id", "change", "action", "outcome", "reason")
_MESSAGES = ("service", "kind", "to", "subject", "text", "html")
_IN_A_TABLE = _MESSAGES[:5]


def try_out(
    workflow: Workflow,
    previous: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="KEY",
            help="Key of the snapshot to compare from; the one before --at by default.",
        ),
    ] = None,
    at: At = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Run the workflow's real DAG once, against look-alikes of its vendors; nothing of it stays.

    An Airflow, a ledger and a sandbox of its own, which knows no other connection. Shows what
    became of each delivery and what the look-alikes received. Exit code 1 where the run failed.
    """
    with extra("sandbox", "segue try"):
        from segue.sandbox.server import Sandbox
    from segue.cli.trial import connections_of, run_trial, tidied_up_when_told_to_end
    from segue.cli.workspace import Workspace
    from segue.ledger import Ledger
    from segue.ledger.engine import open_engine, upgrade

    workspace = Workspace.open(home)
    resolved = workspace.catalog.resolve(workflow)
    begin, end = workspace.pair(resolved.directory, previous, at)
    pair = {"previous": begin.key if begin else None, "current": end.key}
    settings = workspace.settings
    with (
        tidied_up_when_told_to_end(),
        TemporaryDirectory(prefix="segue-try-") as name,
        Sandbox() as sandbox,
    ):
        folder = Path(name)
        connections = connections_of(resolved, sandbox)
        engine = open_engine(f"sqlite:///{folder / 'ledger.db'}")
        upgrade(engine)
        ledger = Ledger(engine, settings.namespace, settings.secret)
        _protect(workspace, ledger)
        note(f"look-alikes on this machine stand in for {', '.join(sorted(connections))}")
        with working(f"Running {workflow} in an Airflow of its own"):
            trial = run_trial(resolved, pair, settings, connections, folder, ledger)
        _print_outcomes(ledger, output)
        _print_messages(sandbox.messages(), output)
        engine.dispose()
    if not trial.succeeded:
        for line in trial.log[-_LINES:]:
            note(line)
        note("the run failed; these are the last lines of its log")
        raise typer.Exit(_FAILED)


def _protect(workspace: Workspace, ledger: Ledger) -> None:
    """Let whom nobody may write to, and quarantined snapshots, be so in the trial, too."""
    from segue.ledger.people.protection import copy_protection

    with workspace.ledger_if_any("who must not be written to") as real:
        if real is not None:
            copy_protection(real, ledger)


def _print_outcomes(ledger: Ledger, output: Format) -> None:
    """Print what became of each delivery, on stderr where stdout has the messages alone."""
    deliveries = sorted(
        ledger.queries.list_deliveries(), key=lambda row: (row.contact_id, row.action)
    )
    if output is Format.TABLE:
        rows = [[getattr(row, name) for name in _OUTCOMES] for row in deliveries]
        print_listing(_OUTCOMES, rows, output)
    note(count(len(deliveries), "delivery", "deliveries"))


def _print_messages(messages: Sequence[Message], output: Format) -> None:
    columns = _IN_A_TABLE if output is Format.TABLE else _MESSAGES
    rows = [[getattr(message, name) for name in columns] for message in messages]
    print_listing(columns, rows, output)
    note(f"{count(len(messages), 'message')} received; all of it is gone now")
