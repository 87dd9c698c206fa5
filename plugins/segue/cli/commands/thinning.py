"""``segue snapshots prune``: delete a directory's old snapshots as its ``keep`` says."""

from __future__ import annotations

from typing import Annotated

import typer

from segue.cli.arguments import Home
from segue.cli.output import count, note, working


def thin(
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="Name of the directory.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
    home: Home = None,
) -> None:
    """Delete the old snapshots that a directory took itself, as its `keep` says."""
    from segue.cli.workspace import Workspace, writing_ledger
    from segue.errors import SettingsError
    from segue.upkeep.thinning import delete_snapshot, plan_thinning

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    if definition.keep is None:
        raise SettingsError(f"directory {directory} has no `keep`: its snapshots stay for ever")
    with writing_ledger(workspace.settings) as ledger, working(f"Pruning {directory}"):
        thinning = plan_thinning(definition, ledger, workspace.now)
    for key, reason in thinning.exceptions.items():
        note(f"{key} is old and stays: {reason}")
    for snapshot in thinning.removals:
        if not dry_run:
            delete_snapshot(snapshot)
        print(snapshot.key)
    verb = "would be deleted" if dry_run else "deleted"
    note(f"{count(len(thinning.removals), 'snapshot')} {verb}")
