"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.output import Format

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder with directories/, segments/, workflows/; SEGUE_HOME by default.",
        show_default=False,
    ),
]
OutputFormat = Annotated[
    Format, typer.Option("--format", help="How to print it; csv and json go to stdout alone.")
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="KEY",
        help="Key of the snapshot; the newest complete one by default.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask: for scripts.")]
