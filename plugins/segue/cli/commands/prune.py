"""``segue prune``: delete from the ledger what is older than one wants to keep."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

import typer

from segue.cli.output import count, note, working


def prune(
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than",
            metavar="DURATION",
            help="Delete spans that end before so long ago: 400d.",
        ),
    ],
    workflow: Annotated[
        str | None, typer.Option("--workflow", metavar="WORKFLOW", help="Of one workflow.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
) -> None:
    """Delete old runs and deliveries; what they covered is never sent again."""
    from segue.cli.workspace import ago, require_workflow, writing_ledger
    from segue.errors import SettingsError

    try:
        cut = ago(older_than)
    except ValueError as error:
        raise SettingsError(f"--older-than: {error}") from None
    with writing_ledger() as ledger, working("Pruning"):
        if workflow is not None:
            require_workflow(workflow, ledger)
        amounts = (
            ledger.retention.would_prune(cut, workflow)
            if dry_run
            else ledger.retention.prune(cut, workflow)
        )
    print("would be deleted" if dry_run else "deleted", f"(before {cut:%Y-%m-%d %H:%M} UTC):")
    for field in fields(amounts):
        if field.name != "kept_spans":
            print(f"  {field.name:<12}{getattr(amounts, field.name):>10,}")
    if amounts.kept_spans:
        note(
            f"left as they are: {count(amounts.kept_spans, 'old span')} with something open, held, "
            "waiting, uncertain or enrolled, or that a later one is compared over"
        )
