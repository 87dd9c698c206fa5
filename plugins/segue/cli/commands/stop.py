"""``segue stop`` and ``go``: nothing of a workflow, or of all, is sent until a person says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.arguments import OutputFormat
from segue.cli.output import Format, count, note, plain, print_listing

if TYPE_CHECKING:
    from segue.ledger import Ledger

_COLUMNS = ("workflow", "stopped_at", "stopped_by", "reason")

OneWorkflow = Annotated[str | None, typer.Argument(metavar="WORKFLOW", help="One workflow.")]
All = Annotated[bool, typer.Option("--all", help="All workflows of the namespace.")]


def stop(
    workflow: OneWorkflow = None,
    everything: All = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; shown to whoever asks.")
    ] = "",
    listing: Annotated[
        bool, typer.Option("--list", help="List what is stopped, and stop nothing.")
    ] = False,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Stop sending, in tasks that are running too; what is stopped waits until `segue go`."""
    from segue.cli.workspace import person, reading_ledger, this_second, writing_ledger
    from segue.upkeep import interventions as asking

    if listing:
        with reading_ledger() as ledger:
            _print_stops(ledger, output)
        return
    with writing_ledger() as ledger:
        _require_one(workflow, everything, ledger)
        order = asking.stop(ledger, workflow, person(), reason, this_second())
    print(plain(str(order)))
    note("calls that are under way end; nothing else is sent until segue go")


def go(workflow: OneWorkflow = None, everything: All = False) -> None:
    """Lift a stop: what waited is sent by the tasks' retries, or when they are cleared."""
    from segue.cli.workspace import person, this_second, writing_ledger
    from segue.upkeep import interventions as asking

    with writing_ledger() as ledger:
        _require_one(workflow, everything, ledger)
        was_stopped = asking.go(ledger, workflow, person(), this_second())
        remaining_stops = ledger.people.stops()
    name = "everything" if workflow is None else workflow
    print(f"{name} may go" if was_stopped else f"{name} was not stopped")
    for other in remaining_stops:
        if other.workflow is None or everything:
            note(f"still stopped: {plain(str(other))}")


def _require_one(workflow: str | None, everything: bool, ledger: Ledger) -> None:
    """Raise SettingsError unless it is one workflow that exists, or all."""
    from segue.cli.workspace import require_workflow
    from segue.errors import SettingsError

    if (workflow is None) == (not everything):
        raise SettingsError("expected one of: the name of a workflow, --all")
    if workflow is not None:
        require_workflow(workflow, ledger)


def _print_stops(ledger: Ledger | None, output: Format) -> None:
    stops = [] if ledger is None else ledger.people.stops()
    rows = ([stop.workflow or "*", stop.stopped_at, stop.stopped_by, stop.reason] for stop in stops)
    print_listing(_COLUMNS, rows, output)
    note(count(len(stops), "stop"))
