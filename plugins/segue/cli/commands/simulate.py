"""``segue simulate``: what a workflow would have done over all snapshots of a period."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import Home, OutputFormat, Workflow
from segue.cli.output import (
    Format,
    console,
    count,
    json_of,
    note,
    note_live,
    print_csv,
    print_listing,
    progress,
)
from segue.cli.plots import check_suffix, write_plot

if TYPE_CHECKING:
    from segue.preview.simulation import Day, Simulation
    from segue.workflows.resolved import ResolvedWorkflow

_LONGEST_BAR = 40
_SHORTEST_BAR = 5
_EIGHTHS = " ▏▎▍▌▋▊▉"
_OUTCOMES = ("send", "skipped", "failed")


def simulate(
    workflow: Workflow,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="KEY",
            help="Key of the first snapshot, which is only compared from; the oldest by default.",
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="KEY",
            help="Key of the last snapshot; the newest complete one by default.",
        ),
    ] = None,
    messages: Annotated[
        bool,
        typer.Option(
            "--messages",
            help="Also judge conditions and messages, as plan does: how many each action sends.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the changes per day: .svg, or .png, which needs matplotlib.",
        ),
    ] = None,
    draft: Annotated[
        list[Path] | None,
        typer.Option(
            "--draft",
            metavar="FILE",
            help="A definition to use instead of, or beside, those of the folder; repeatable.",
        ),
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show what a workflow would have done, had it run after every snapshot of a period.

    Sends and writes nothing. A new or draft rule is seen over the past before it goes live.
    """
    from segue.cli.workspace import Workspace
    from segue.preview.simulation import simulate as simulated

    if plot is not None:
        check_suffix(plot)
    workspace = Workspace.open(home, draft or ())
    resolved = workspace.catalog.resolve(workflow)
    snapshots = workspace.period(resolved.directory, first, last)
    with progress(f"Simulating {workflow}", max(len(snapshots) - 1, 0)) as advance:
        simulation = simulated(
            resolved,
            snapshots,
            messages=messages,
            namespace=workspace.settings.namespace,
            now=workspace.now,
            done=lambda _day: advance(),
        )
    _PRINTERS[output](resolved, simulation)
    if messages:
        note_live(resolved)
    _note_summary(resolved, simulation)
    if plot is not None:
        kinds = list(resolved.definition.changes)
        write_plot(
            plot, f"Changes of {workflow} ({resolved.segment.segment})", kinds, simulation.days
        )
        note(f"drawn in {plot}")


def _print_json(resolved: ResolvedWorkflow, found: Simulation) -> None:
    largest = found.largest
    facts = {
        "workflow": resolved.name,
        "segment": resolved.segment.segment,
        "from": found.days[0].previous,
        "to": found.days[-1].snapshot,
        "changes": {kind: found.totals[kind] for kind in resolved.definition.changes},
        "contacts": found.contacts,
        "contacts_reached": found.reached,
        "largest_day": largest and largest.snapshot,
        "stopped_days": [day.snapshot for day in found.stopped],
        "days": [_facts(resolved, day) for day in found.days],
    }
    print(json_of(facts, indent=2))


def _facts(resolved: ResolvedWorkflow, day: Day) -> dict[str, Any]:
    facts = {
        "previous": day.previous,
        "snapshot": day.snapshot,
        "members": day.members,
        "changes": {kind: day.changes.get(kind, 0) for kind in resolved.definition.changes},
        "stopped": day.stopped,
        "baseline": day.baseline,
        "error": day.error,
    }
    return facts if day.outcomes is None else {**facts, "actions": day.outcomes}


def _print_csv(resolved: ResolvedWorkflow, found: Simulation) -> None:
    kinds = resolved.definition.changes
    with_outcomes = any(day.outcomes is not None for day in found.days)
    pairs = [(a, o) for a in resolved.action_ids for o in _OUTCOMES] if with_outcomes else []
    columns = ["previous", "snapshot", "members", *kinds]
    columns += [f"{action}.{outcome}" for action, outcome in pairs]
    print_csv(
        [*columns, "remark"],
        (
            [
                *(day.previous, day.snapshot, day.members),
                *(day.changes.get(kind, 0) for kind in kinds),
                *((day.outcomes or {}).get(a, {}).get(o, 0) for a, o in pairs),
                day.remark,
            ]
            for day in found.days
        ),
    )


def _print_table(resolved: ResolvedWorkflow, found: Simulation) -> None:
    kinds = resolved.definition.changes
    columns = ["snapshot", "members", *kinds]
    rows: list[list[Any]] = [
        [day.snapshot, _number(day.members), *(_number(day.changes.get(kind)) for kind in kinds)]
        for day in found.days
    ]
    bars = _bars([day.total for day in found.days], _room(columns, rows))
    if bars:
        columns.append("changes")
        rows = [[*row, bar] for row, bar in zip(rows, bars, strict=True)]
    print_listing(columns, rows, Format.TABLE)


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _room(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Return how many cells a terminal, or a file, has left beside the columns."""
    widths = [max(map(len, cells)) + 2 for cells in zip(columns, *rows, strict=True)]
    return min(console().width - sum(widths), _LONGEST_BAR)


def _bars(values: Sequence[int], room: int) -> list[str]:
    """Return a bar per value, the longest of ``room`` cells; none where that is too narrow."""
    most = max(values)
    if room < _SHORTEST_BAR or not most:
        return []
    return [_bar(value * room * 8 // most or int(value > 0)) for value in values]


def _bar(eighths: int) -> str:
    """Return a bar so many eighths of a cell long; of ``#`` where blocks cannot be shown."""
    try:
        _EIGHTHS.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#" * -(-eighths // 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + _EIGHTHS[rest].strip()


def _note_summary(resolved: ResolvedWorkflow, found: Simulation) -> None:
    for day in found.days:
        if day.remark:
            note(f"{day.snapshot}: {day.remark}")
    first, last, largest = found.days[0], found.days[-1], found.largest
    kinds = resolved.definition.changes
    note(
        f"{resolved.name}, {first.previous} to {last.snapshot}: "
        f"{count(found.totals.total(), 'change')} "
        f"({', '.join(f'{found.totals[kind]:,} {kind}' for kind in kinds)}) "
        f"of {count(found.contacts, 'contact')} on {count(len(found.days), 'day')}"
    )
    if largest is not None:
        note(f"the largest day: {largest.snapshot}, {count(largest.total, 'change')}")
    _note_guard(resolved, found)
    for action, counts in found.outcomes().items():
        parts = [f"{counts[name]:,} {name}" for name in _OUTCOMES if counts[name]]
        note(f"  {action}: {', '.join(parts) or 'nothing'}")


def _note_guard(resolved: ResolvedWorkflow, found: Simulation) -> None:
    limits = resolved.definition.guard
    if limits.at_most is None and limits.share is None:
        note("there is no guard: every change would have gone on to the conditions")
        return
    days = found.stopped
    total = sum(day.total for day in days)
    note(
        f"the guard would have stopped {count(len(days), 'day')}"
        + (f" with {count(total, 'change')}" if days else "")
        + f"; {count(found.reached, 'contact')} on the others"
    )


_PRINTERS = {Format.TABLE: _print_table, Format.CSV: _print_csv, Format.JSON: _print_json}
