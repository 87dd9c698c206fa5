"""``segue deliveries``, ``delivery``, ``gaps``, ``db upgrade``: what the ledger holds and lacks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import (
    Format,
    Reference,
    console,
    count,
    note,
    plain,
    print_listing,
    shown,
    working,
)
from segue.errors import SettingsError

if TYPE_CHECKING:
    from segue.cli.workspace import Workspace
    from segue.ledger import Ledger
    from segue.ledger.facts import ListedDelivery
    from segue.runs.bridges import Bridge
    from segue.runs.gaps import Gap

# a contract: these first, in this order; more may follow
_COLUMNS = (
    *("workflow", "action", "contact_id", "change"),
    *("snapshot", "outcome", "reason", "external_id"),
    *("url", "attempts", "updated_at", "key"),
    *("channel", "planned_at", "called_at", "delivered_at", "held_until", "digest", "message_key"),
)
_IN_A_TABLE = ("snapshot", "workflow", "action", "contact_id", "change", "outcome", "detail")
_GAP_COLUMNS = (
    *("workflow", "previous", "current", "previous_as_of", "current_as_of"),
    *("due", "too_old", "command"),
)
_BROKEN = 2


def deliveries(
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="WORKFLOW", help="Those of one workflow.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="ACTION", help="Those of one action.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option("--contact", metavar="ID", help="Those of one contact.")
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", metavar="KEY", help="Those of one snapshot's changes."),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(
            "--outcome",
            metavar="OUTCOME",
            help="Those of one outcome: delivered, failed, skipped, suppressed, uncertain, …",
        ),
    ] = None,
    message: Annotated[
        str | None,
        typer.Option("--message", metavar="KEY", help="Those that went out with one digest."),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option("--error", metavar="TEXT", help="Those whose reason contains this text."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="Those that moved since then: 7d, or 2026-11-22 (UTC)."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many.")
    ] = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List deliveries and what became of them, from the ledger."""
    from segue.cli.workspace import reading_ledger

    _require_outcome(outcome)
    criteria = {
        "workflow": workflow,
        "action": action,
        "contact_id": contact,
        "snapshot": snapshot,
        "outcome": outcome,
        "message": message,
        "error": error,
        "since": None if since is None else _instant(since),
        "limit": limit,
    }
    with reading_ledger() as ledger:
        listing = [] if ledger is None else _list(ledger, criteria)
    if output is Format.TABLE:
        print_listing(_IN_A_TABLE, map(_table_row, listing), output)
    else:
        rows = ([getattr(row, column) for column in _COLUMNS] for row in listing)
        print_listing(_COLUMNS, rows, output)
    more = " (as many as --limit allows)" if limit is not None and len(listing) == limit else ""
    note(f"{count(len(listing), 'delivery', 'deliveries')}{more}")


def delivery(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Key of the delivery.")],
    output: OutputFormat = Format.TABLE,
) -> None:
    """Show all that the ledger holds of one delivery: its times, its run, what the vendor said."""
    from segue.cli.workspace import reading_ledger

    with reading_ledger() as ledger:
        row = None if ledger is None else ledger.queries.find_delivery(key)
        is_message_key = (
            ledger is not None
            and row is None
            and ledger.queries.list_deliveries(message=key, limit=1)
        )
    if is_message_key:
        raise SettingsError(
            f"{key!r} is the key of a digest; whom it was about is listed by segue deliveries "
            f"--message {key}"
        )
    if row is None:
        raise SettingsError(
            f"there is no delivery with the key {key!r}; segue deliveries --format json lists keys"
        )
    if output is Format.TABLE:
        for name, value in asdict(row).items():
            print(f"{name:<15} {shown(value)}".rstrip())
    else:
        print_listing(tuple(asdict(row)), [list(asdict(row).values())], output)


def gaps(
    workflow: Annotated[
        str | None, typer.Argument(metavar="WORKFLOW", help="One workflow; all by default.")
    ] = None,
    home: Home = None,
    output: OutputFormat = Format.TABLE,
) -> None:
    """List time since a workflow's start that no run covers, and the command that fills it.

    Beside that, the spans that bridge a missing snapshot are named.
    """
    from segue.cli.workspace import Workspace, reading_ledger

    workspace = Workspace.open(home)
    names = [workflow] if workflow is not None else workspace.catalog.names("workflows")
    with reading_ledger(workspace.settings) as ledger, working("Comparing spans with snapshots"):
        holes, bridges, unusable = _find_gaps(workspace, ledger, names, one=workflow is not None)
    _print_gaps(holes, output)
    if not names:
        note("there is no workflow")
    elif not holes and not unusable:
        note("no gap: every snapshot since the start is covered")
    for bridge in bridges:
        note(plain(f"{bridge.workflow}: {bridge}"))
    for reason in unusable:
        note(f"not looked at: {reason}")
    if unusable:
        raise typer.Exit(_BROKEN)


def upgrade() -> None:
    """Bring the ledger's tables to this version's; safe to run again."""
    from segue.cli.workspace import ledger_url
    from segue.ledger.engine import open_engine, shown
    from segue.ledger.engine import upgrade as upgrade_tables
    from segue.settings import Settings

    engine = open_engine(ledger_url(Settings.from_environment()))
    with working("Upgrading"):
        revision = upgrade_tables(engine)
    engine.dispose()
    print(f"the ledger at {shown(engine)} is at revision {revision}")


def _require_outcome(outcome: str | None) -> None:
    from segue.documents import did_you_mean
    from segue.ledger.states import State

    names = [str(state) for state in State]
    if outcome is not None and outcome not in names:
        raise SettingsError(
            f"--outcome is {outcome!r}; allowed: {', '.join(names)}{did_you_mean(outcome, names)}"
        )


def _instant(text: str) -> datetime:
    """Read ``7d`` (before now) or an ISO date or time (UTC where it names no zone)."""
    from segue.cli.workspace import ago

    try:
        return ago(text)
    except ValueError:
        pass
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"--since is {text!r}; allowed: a duration such as 7d, a date such as 2026-11-22, or "
            "a time such as 2026-11-22T06:00:00Z"
        ) from None


def _list(ledger: Ledger, wanted: dict[str, Any]) -> list[ListedDelivery]:
    """Return what is wanted; raise for a workflow that does not exist: a mistyped name."""
    from segue.cli.workspace import require_workflow

    listing = ledger.queries.list_deliveries(**wanted)
    if not listing and wanted["workflow"] is not None:
        require_workflow(wanted["workflow"], ledger)
    return listing


def _table_row(row: ListedDelivery) -> list[Any]:
    detail = row.reason or Reference(row.external_id or "")
    return [*(getattr(row, column) for column in _IN_A_TABLE[:-1]), detail]


def _find_gaps(
    workspace: Workspace, ledger: Ledger | None, names: list[str], *, one: bool
) -> tuple[list[Gap], list[Bridge], list[str]]:
    """Return the gaps and bridges of these workflows, and why some could not be looked at."""
    from segue.errors import DataError, DefinitionError
    from segue.runs.report import all_bridges, all_gaps

    holes: list[Gap] = []
    bridges: list[Bridge] = []
    unusable = []
    for name in names:
        try:
            resolved = workspace.catalog.resolve(name)
            holes += all_gaps(resolved, ledger, workspace.now)
            bridges += all_bridges(resolved, ledger)
        except (DefinitionError, DataError) as error:
            if one:
                raise
            unusable.append(f"{name}: {error}")
    return holes, bridges, unusable


def _print_gaps(found: list[Gap], output: Format) -> None:
    if output is not Format.TABLE:
        print_listing(_GAP_COLUMNS, map(_gap_row, found), output)
    elif found:
        columns = ("workflow", "previous", "current", "note")
        rows = [
            [gap.workflow, gap.stretch.previous.key, gap.stretch.current.key, _remark(gap)]
            for gap in found
        ]
        print_listing(columns, rows, output)
        fillable = [gap for gap in found if gap.fillable]
        if fillable:
            console().print("\nTo fill them:")
        for gap in fillable:
            console().print(plain(gap.command), soft_wrap=True)
    if any(gap.too_old for gap in found):
        note(
            'Runs record changes older than max_age and send nothing; add "deliver": true to the '
            "conf of those that should be acted on."
        )


def _gap_row(gap: Gap) -> list[Any]:
    previous, current = gap.stretch.previous, gap.stretch.current
    ends = [previous.key, current.key, previous.as_of, current.as_of]
    return [gap.workflow, *ends, gap.due, gap.too_old, gap.command]


def _remark(gap: Gap) -> str:
    if not gap.fillable:
        return "nobody's: a snapshot is quarantined"
    if gap.due is not None:
        return f"due at {gap.due:%Y-%m-%d %H:%M} UTC"
    return "older than max_age" if gap.too_old else ""
