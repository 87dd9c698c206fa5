"""``segue doctor``: looks an installation over, and says what to do about each thing it meets."""

from __future__ import annotations

import typer

from segue.cli.arguments import Home, OutputFormat
from segue.cli.output import Format, print_listing, working

_BROKEN = 2


def doctor(home: Home = None, output: OutputFormat = Format.TABLE) -> None:
    """Look the installation over: plugin, versions, definitions, snapshots, DAGs, ledger, state.

    It changes nothing but a file in SEGUE_STATE, which it deletes. Ends with 2 where something
    has to be mended. Connections are tried by `segue check-connections`.
    """
    from dataclasses import astuple, fields, replace

    from segue.cli.installation import Check, Verdict, examine
    from segue.settings import Settings

    settings = Settings.from_environment()
    if home is not None:
        settings = replace(settings, home=home.expanduser().resolve())
    with working("Looking at Airflow, the definitions and the ledger"):
        checks = examine(settings)
    print_listing([field.name for field in fields(Check)], map(astuple, checks), output)
    if any(check.result is Verdict.FAILED for check in checks):
        raise typer.Exit(_BROKEN)
