"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from segue.cli.output import Format


class ListByDefault(TyperGroup):
    """A group whose command ``list`` needs no name: ``segue snapshots customers`` lists."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``list`` before arguments that begin with no command's name."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


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
