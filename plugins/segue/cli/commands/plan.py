"""``segue plan``: what a run would do, with every message, and without doing it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import At, Home, OutputFormat, Workflow
from segue.cli.output import (
    Format,
    console,
    count,
    json_of,
    note,
    note_live,
    plain,
    print_csv,
    print_json_array,
    text_of,
    working,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from segue.directory.definition import DirectoryDefinition
    from segue.directory.snapshots import Snapshot
    from segue.preview.plan import Plan
    from segue.preview.rehearsal import PlannedAction, PlannedChange

_CSV = (
    *("contact_id", "change", "reason", "conditions", "opted_in"),
    *("action", "channel", "outcome", "outcome_reason", "message", "language"),
)
_COLORS = {"send": "green", "skipped": "yellow", "failed": "red"}


def plan(
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
    contact: Annotated[
        str | None,
        typer.Option("--contact", metavar="ID", help="Show the changes of this contact."),
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show what a run would do: each change, its verdict and each rendered message.

    Sends and writes nothing, not even to the ledger: what was delivered before is shown again.
    """
    from segue.cli.workspace import Workspace
    from segue.preview.plan import plan as planned

    workspace = Workspace.open(home)
    resolved = workspace.catalog.resolve(workflow)
    begin, end = workspace.pair(resolved.directory, previous, at)
    namespace = workspace.settings.namespace
    with working(f"Planning {workflow}"):
        preview = planned(
            resolved,
            begin,
            end,
            namespace=namespace,
            now=workspace.now,
            quarantined=workspace.quarantined(resolved.directory),
            without_forgotten=workspace.without_forgotten,
        )
    if contact is not None:
        own = [change for change in preview.changes if change.contact_id == contact]
        preview = replace(preview, changes=own)
        if not own:
            is_gone = workspace.forgotten(contact)
            words = f"the contact {contact!r} was forgotten, and nothing of it is shown"
            note(words if is_gone else _without_change(resolved.directory, [begin, end], contact))
    _PRINTERS[output](preview.without_repeats())
    note_live(resolved)
    if workspace.settings.profile is not None:
        note(f"profile {workspace.settings.profile}, namespace {namespace}")
    for line in _summary(preview):
        note(line)


def _without_change(
    directory: DirectoryDefinition, snapshots: Sequence[Snapshot | None], contact: str
) -> str:
    """Say that a contact has no change, or is in neither snapshot."""
    from segue.directory.tables import SnapshotTables

    tables = [SnapshotTables(directory, snapshot) for snapshot in snapshots if snapshot]
    if all(each.rows("contacts", (), only=[contact]).empty for each in tables):
        keys = " or ".join(each.snapshot.key for each in tables)
        return f"there is no contact {contact!r} in {keys}; ids are compared exactly"
    return f"the contact {contact!r} has no change here"


def _print_json(plan: Plan) -> None:
    span = {"workflow": plan.workflow, "previous": plan.previous, "snapshot": plan.current}
    print_json_array({**span, **asdict(change)} for change in plan.changes)


def _print_csv(plan: Plan) -> None:
    print_csv(
        _CSV,
        (
            [
                *(change.contact_id, change.change, change.reason),
                *(change.conditions, change.opted_in),
                *(action.action, action.channel, action.outcome, action.reason),
                action.message and json_of(action.message),
                action.language,
            ]
            for change in plan.changes
            for action in change.actions
        ),
    )


def _print_blocks(plan: Plan) -> None:
    screen = console()
    for change in plan.changes:
        screen.print(_heading(change))
        for action in change.actions:
            _print_action(screen, action)
        screen.print()


def _heading(change: PlannedChange) -> Text:
    from rich.text import Text

    kind = f"{change.change} ({change.reason})" if change.reason else change.change
    consent = {True: "opted in", False: "opted out", None: "gone from the newest snapshot"}
    verdict = {"passed": "conditions hold", "failed": "conditions do not hold"}
    return Text.assemble(
        (plain(change.contact_id), "bold"),
        f"  {kind}",
        (f"  {verdict.get(change.conditions, change.conditions)}", "dim"),
        (f"  {consent[change.opted_in]}", "dim"),
    )


def _print_action(out: Console, action: PlannedAction) -> None:
    from rich.padding import Padding
    from rich.text import Text

    outcome = f"{action.outcome}: {action.reason}" if action.reason else action.outcome
    if action.wait:
        outcome += f" once it has waited {action.wait}, if it is still to be sent then"
    if action.language:
        outcome += f", in {action.language}"
    if action.digest_of:
        outcome += f", one message about {count(action.digest_of, 'change')}"
    line = Text.assemble(
        f"  {action.action}",
        (f"  {action.channel}  ", "dim"),
        (plain(outcome), _COLORS.get(action.outcome, "")),
    )
    out.print(line)
    if action.message:
        out.print(Padding(_fields(action.message), (0, 0, 0, 4), expand=False))


def _fields(message: Mapping[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in message.items():
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        text = ", ".join(map(text_of, value)) if is_list else text_of(value)
        grid.add_row(Text(name, "dim"), Text(plain(text.rstrip("\n"), keep="\n\t")))
    return grid


def _summary(plan: Plan) -> Iterator[str]:
    if plan.baseline is not None:
        yield f"{plan.current} is a baseline ({plan.baseline}): a run records it and sends nothing"
        return
    yield (
        f"{plan.segment}, {plan.previous} to {plan.current}: {plan.previous_size:,} to "
        f"{plan.current_size:,} members; changes for {plan.workflow}: {len(plan.changes):,}"
    )
    yield from _counts(plan)
    for remark in plan.left_out:
        yield f"  {remark}"
    if plan.forgotten:
        yield f"  {count(plan.forgotten, 'forgotten contact')} left out, as a run leaves them out"
    if plan.beyond_guard:
        yield f"the guard would ask before it releases this: {'; '.join(plan.beyond_guard)}"
    if plan.suppressed is not None:
        yield (
            f"a run today would send nothing of this: policies.{plan.suppressed} suppresses it, "
            'unless it is triggered with {"deliver": true}'
        )


def _counts(plan: Plan) -> Iterator[str]:
    """Yield the number of each outcome, a line per action."""
    actions = (action for change in plan.changes for action in change.actions)
    digests = {action.action for action in actions if action.digest_of}
    for action, counts in plan.outcomes().items():
        parts = ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items()))
        yield f"  {action}: {parts}{', in one message' if action in digests else ''}"


_PRINTERS = {Format.TABLE: _print_blocks, Format.CSV: _print_csv, Format.JSON: _print_json}
