"""``segue take``: read a directory's tables from where they live, here, and publish a snapshot."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from segue.cli.arguments import Home
from segue.cli.output import note

if TYPE_CHECKING:
    from segue.directory.definition import DirectoryDefinition
    from segue.directory.take_definition import Take
    from segue.takes.moments import Moment
    from segue.takes.reader import TakeReader
    from segue.takes.take import Connect


def take(
    directory: Annotated[
        str, typer.Argument(metavar="DIRECTORY", help="Name of a directory that has `take`.")
    ],
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="KEY",
            help="Key of the snapshot; by default what the schedule took last, or of a table that "
            "knows only now, now.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take one that is there once more, in its place.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check everything, and publish nothing.")
    ] = False,
    home: Home = None,
) -> None:
    """Take a snapshot here, over a connection that AIRFLOW_CONN_… or a secrets backend holds.

    The DAG segue_take_NAME does the same with the connections that Airflow stores.
    """
    from segue.cli.workspace import Workspace
    from segue.takes.take import take_snapshot

    workspace = Workspace.open(home)
    definition = workspace.catalog.directory(directory)
    moment = _moment(definition, as_of, workspace.now)
    note(f"taking {moment.key}, as of {moment.as_of:%Y-%m-%dT%H:%M:%SZ}")
    assert definition.take is not None
    result = take_snapshot(
        definition,
        moment,
        _connect(definition.take),
        replaces=replace,
        publishes=not dry_run,
        definitions=workspace.catalog,
        quarantined=workspace.quarantined(definition),
        remark=note,
    )
    print(result)


def _moment(directory: DirectoryDefinition, key: str | None, now: datetime) -> Moment:
    from segue.errors import SettingsError
    from segue.takes.moments import moment_of_key, moment_of_run

    if directory.take is None:
        raise SettingsError(
            f"directory {directory.directory} takes no snapshots: its definition has no `take`"
        )
    if key is not None:
        return moment_of_key(directory, key, now)
    moment, why_not = moment_of_run(directory, None, now)
    if moment is None:
        raise SettingsError(why_not)
    return moment


def _connect(source: Take) -> Connect:
    """Return how to connect; Airflow, which takes a second, is imported when it is done."""

    def connect() -> AbstractContextManager[TakeReader]:
        from segue.operators.databases import opened_for

        return opened_for(source)

    return connect
