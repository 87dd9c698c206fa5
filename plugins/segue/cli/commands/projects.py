"""``segue projects``: whose each workflow is, where one Airflow has several projects."""

from __future__ import annotations

from typing import Annotated

import typer

from segue.cli.arguments import OutputFormat, Workflow
from segue.cli.output import Format, count, note, print_listing

_COLUMNS = ("workflow", "project", "release")


def projects(output: OutputFormat = Format.TABLE) -> None:
    """List the workflows that the ledger knows, the project of each, and the DAG that releases it.

    A workflow is no project's until a run of a project with a name has begun.
    """
    from segue.cli.workspace import reading_ledger
    from segue.settings import dag_id_of

    with reading_ledger() as ledger:
        owners = {} if ledger is None else ledger.runs.owners()
    rows = [[name, project, dag_id_of("release", project)] for name, project in owners.items()]
    print_listing(_COLUMNS, sorted(rows), output)
    note(count(len(rows), "workflow"))


def move(
    workflow: Workflow,
    to: Annotated[
        str, typer.Option("--to", metavar="PROJECT", help="The project; '-' for the one unnamed.")
    ],
) -> None:
    """Make a workflow another project's: its file was moved there, and its memory goes with it."""
    from segue.cli.workspace import person, this_second, writing_ledger
    from segue.errors import SettingsError
    from segue.settings import dag_id_of, project_name
    from segue.upkeep import interventions as asking

    project = "" if to == "-" else project_name("--to", to)
    with writing_ledger() as ledger:
        if workflow not in ledger.runs.owners():
            raise SettingsError(f"no run of the workflow {workflow} has begun: it is nobody's")
        asking.move(ledger, workflow, project, person(), this_second())
    print(f"{workflow} is {project or 'no project'}'s: {dag_id_of('release', project)} sends")
