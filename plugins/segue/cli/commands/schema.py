"""``segue schema``: JSON Schemas of the definitions, for editors that complete and check YAML."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from segue.cli.output import json_of, note


class Kind(StrEnum):
    """What is defined in YAML."""

    DIRECTORY = "directory"
    SEGMENT = "segment"
    ACTION = "action"
    WORKFLOW = "workflow"
    PROJECT = "project"  # segue.yaml


def schema(
    kind: Annotated[Kind | None, typer.Argument(help="One kind; all, by name, by default.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Write KIND.schema.json files there."),
    ] = None,
) -> None:
    """Print the JSON Schemas of definitions, channels included, and of segue.yaml (project).

    An editor uses one with `# yaml-language-server: $schema=FILE` as a definition's first line.
    """
    from segue.cli.editor_schema import definition_schema

    kinds = [kind] if kind is not None else list(Kind)
    schemas = {str(each): definition_schema(str(each)) for each in kinds}
    if folder is None:
        output: Any = schemas[str(kind)] if kind is not None else schemas
        print(json_of(output, indent=2))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in schemas.items():
        path = folder / f"{name}.schema.json"
        path.write_text(json_of(body, indent=2) + "\n", encoding="utf-8")
        note(f"wrote {path}")
