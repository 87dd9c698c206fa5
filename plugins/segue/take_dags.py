"""The DAGs of directories that take their own snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from airflow.sdk import DAG, Param, get_parsing_context

from segue.dag_parts import place, tags, timetable, weight
from segue.directory.definition import DirectoryDefinition
from segue.errors import DefinitionError
from segue.operators.take import KeepSnapshots, TakeSnapshot
from segue.settings import Settings, dag_id_of
from segue.workflows.catalog import Catalog

TAKE_PARAMS = {
    "key": Param(
        None,
        type=["null", "string"],
        description="Key of the snapshot to take; the last by default",
    ),
    "replace": Param(
        False,
        type="boolean",
        description="Take a snapshot that is there once more, in the place of what it is",
    ),
}


def take_dags(catalog: Catalog, settings: Settings) -> Iterator[DAG]:
    """Yield the DAG of every healthy directory that takes its own snapshots.

    Or only the one this process was started for.
    """
    only = get_parsing_context().dag_id
    for name in catalog.names("directories"):
        if only is None or only == _dag_id(name, settings.project):
            try:
                directory = catalog.directory(name)
            except DefinitionError:  # an import error of check_definitions
                continue
            if directory.take is not None:
                yield take_dag(directory, settings)


def take_dag(directory: DirectoryDefinition, settings: Settings) -> DAG:
    """Return the DAG that takes a directory's snapshots, ``segue_take_NAME``.

    What knows only the present takes nothing of the past: there is nothing to catch up.
    """
    take = directory.take
    assert take is not None
    with DAG(
        dag_id=_dag_id(directory.directory, settings.project),
        description=f"Takes the snapshots of the directory {directory.directory}",
        schedule=timetable(take.schedule, directory.timezone),
        start_date=take.start_instant(directory.zone),
        catchup=settings.catch_up and not take.knows_only_now,
        is_paused_upon_creation=True,
        max_active_runs=1,
        default_args={
            "owner": "segue",
            "retries": 3,
            "retry_delay": timedelta(minutes=5),
            **place(settings.pool, settings.queue),
            **weight(1),
        },
        tags=tags(settings.project, directory.directory),
        params=TAKE_PARAMS,
    ) as dag:
        take_one = TakeSnapshot(
            task_id="take_snapshot", directory=directory, project=settings.project
        )
        if directory.keep is not None:
            take_one >> KeepSnapshots(task_id="keep_snapshots", directory=directory)
    return dag


def _dag_id(directory: str, project: str) -> str:
    return dag_id_of(f"take_{directory}", project)
