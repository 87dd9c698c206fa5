"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from segue.cli.output import Format


class Group(TyperGroup):
    """A group whose help shows no type beside a flag."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options, the one for help among them."""
        return _untyped_flags(super().get_params(ctx))


class Command(TyperCommand):
    """A command whose help shows no type beside a flag, which takes no value."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the arguments and options, the one for help among them."""
        return _untyped_flags(super().get_params(ctx))


def _untyped_flags(params: Sequence[Any]) -> list[Any]:
    for each in params:
        if getattr(each, "is_flag", False) and each.metavar is None:
            each.metavar = ""
    return list(params)


class ListByDefault(Group):
    """A group whose command ``list`` needs no name: ``segue snapshots customers`` lists."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``list`` before arguments that begin with no command's name."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="Name of the workflow.")]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder with directories/, segments/, workflows/; SEGUE_HOME by default.",
    ),
]
OutputFormat = Annotated[
    Format, typer.Option("--format", help="How to print it; csv and json go to stdout alone.")
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="KEY", help="Key of the snapshot; the newest complete one by default."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask: for scripts.")]
