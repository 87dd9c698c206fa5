"""Builds the DAGs: one per workflow definition, and Segue's own small ones.

A DAG file is parsed again in every task process, so nothing here imports pandas, a channel's SDK
or the ledger, and a task process builds only the DAG it was started for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zlib import crc32

from airflow.sdk import (
    DAG,
    BaseOperator,
    Param,
    get_parsing_context,
    task_group,
)

from segue.airflow_compat import follow
from segue.dag_parts import place, tags, timetable, weight
from segue.errors import DefinitionError
from segue.operators import (
    CheckConditions,
    Deliver,
    DeliverDigest,
    DetectChanges,
    ExportLog,
    FindWork,
    Guard,
    KeepHouse,
    LoadContactDetails,
    Report,
    Resume,
    TryOut,
)
from segue.operators.arguments import callbacks_of, task_arguments
from segue.operators.notices import notifiers
from segue.operators.snapshot_event import snapshot_asset
from segue.sensors import WaitForSnapshot
from segue.settings import Settings, dag_id_of, is_untouched
from segue.take_dags import take_dags
from segue.workflows.catalog import Catalog, catalog_of
from segue.workflows.definition import Action, WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow
from segue.workflows.validation import find_problems

if TYPE_CHECKING:
    from airflow.sdk.definitions._internal.node import DAGNode

RUN_PARAMS = {
    "previous": Param(
        None, type=["null", "string"], description="Key of the snapshot to compare from"
    ),
    "current": Param(
        None, type=["null", "string"], description="Key of the snapshot to compare to"
    ),
    "deliver": Param(
        False,
        type="boolean",
        description="Act on the changes even in a backfill, and whatever their age",
    ),
    "accept_rewritten": Param(
        False,
        type="boolean",
        description="Go on although a snapshot's files changed after the run recorded them",
    ),
    "enroll_current_members": Param(
        False,
        type="boolean",
        description="Act on the segment's present members, after approval, instead of changes",
    ),
}
HOUSEKEEPING_PARAMS = {
    "upgrade_ledger": Param(
        False,
        type="boolean",
        description="Make the ledger's tables, or bring them to this version's: segue db upgrade",
    ),
}
_WEIGHT_OF_RELEASE = 10  # what is due goes before the tasks of workflows, which weigh 1


def all_dags(dag_file: str, *, project: str | None = None) -> dict[str, DAG]:
    """Return every DAG of Segue by its id: what one DAG file needs, ``globals().update(…)``.

    ``dag_file`` is the caller's own ``__file__``, beside which definitions may stand. ``project``
    is a name for them, where one Airflow has several: then they stand there and nowhere else, and
    have a release and a housekeeping of their own. The process of a task builds the one DAG that
    it was started for.
    """
    settings = Settings.from_environment(dag_file=dag_file, project=project)
    own = {"release": release_dag, "housekeeping": housekeeping_dag}
    if settings.export is not None:
        own["export"] = export_dag
    only = get_parsing_context().dag_id
    catalog = catalog_of(settings)
    of_definitions = (*_workflow_dags(catalog, settings), *take_dags(catalog, settings))
    dags = {dag.dag_id: dag for dag in of_definitions}
    for work, build in own.items():
        name = dag_id_of(work, settings.project)
        if only is None or only == name:
            dags[name] = build(settings.project)
    return dags


def workflow_dags(dag_file: str | None = None, *, project: str | None = None) -> Iterator[DAG]:
    """Yield the DAG of every healthy workflow, or only the one this process was started for.

    ``dag_file`` is the caller's, beside which definitions may stand (``Settings``), ``project``
    their name as of ``all_dags``. A definition that is wrong yields no DAG here;
    ``check_definitions`` shows what is wrong.
    """
    settings = Settings.from_environment(dag_file=dag_file, project=project)
    return _workflow_dags(catalog_of(settings), settings)


def _workflow_dags(catalog: Catalog, settings: Settings) -> Iterator[DAG]:
    only = get_parsing_context().dag_id
    for name in catalog.names("workflows"):
        if only is None or only == name:
            try:
                dag = workflow_dag(catalog.resolve(name), settings)
            except DefinitionError:
                continue
            yield dag


def check_definitions(dag_file: str | None = None, *, project: str | None = None) -> None:
    """Raise DefinitionError with every problem of every definition: an import error in the UI.

    Where nobody has set anything up yet, nothing is wrong.
    """
    settings = Settings.from_environment(dag_file=dag_file, project=project)
    if is_untouched(settings, os.environ):
        return
    problems = find_problems(catalog_of(settings))
    if problems:
        raise DefinitionError(problems)


def workflow_dag(resolved: ResolvedWorkflow, settings: Settings | None = None) -> DAG:
    """Return the DAG of one workflow, by the environment's settings where none are given.

    Raises DefinitionError for a pod that cannot be made here.
    """
    settings = settings or Settings.from_environment()
    definition = resolved.definition
    with DAG(
        dag_id=resolved.name,
        description=definition.description or resolved.segment.description,
        schedule=_schedule(resolved),
        start_date=definition.start_instant(resolved.directory.zone),
        catchup=settings.catch_up,
        is_paused_upon_creation=True,
        max_active_runs=definition.airflow.max_active_runs,
        default_args=task_defaults(resolved, settings),
        tags=tags(resolved.project, resolved.segment.segment, *definition.tags),
        params=RUN_PARAMS,
        doc_md=_documentation(resolved),
        **_run_callbacks(definition),
    ) as dag:
        wait = WaitForSnapshot(task_id="wait_for_snapshot", workflow=resolved)
        detect = DetectChanges(task_id="detect_changes", workflow=resolved)
        guard = Guard(task_id="guard", workflow=resolved)
        contacts = contact_group(resolved, detect)
        watched_tasks = (wait.task_id, detect.task_id, guard.task_id, *preparing_tasks())
        report = Report(task_id="report", workflow=resolved, watched=watched_tasks)
        wait >> detect >> guard >> contacts >> report
        add_digests(dag, resolved, report)
    return dag


def _schedule(resolved: ResolvedWorkflow) -> Any:
    """Return when a workflow runs: by cron, as its directory's snapshots land, or by hand."""
    if resolved.definition.follows_snapshots:
        return follow(snapshot_asset(resolved.directory.full_name))
    return timetable(resolved.definition.cron, resolved.directory.timezone)


def task_defaults(resolved: ResolvedWorkflow, settings: Settings) -> dict[str, Any]:
    """Return what each task of a workflow's DAG has unless it says otherwise: ``default_args``."""
    definition = resolved.definition
    return {
        "owner": definition.owner,
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        **place(settings.pool, settings.queue),
        **weight(1),
        **task_arguments(definition.airflow, f"the workflow {resolved.name}"),
    }


def _run_callbacks(definition: WorkflowDefinition) -> dict[str, Any]:
    """Return who hears of a run's end: functions, and notifiers of a failure."""
    own = callbacks_of(definition.airflow)
    failure = [*notifiers(definition.notify.on_failure), *own.pop("on_failure_callback", ())]
    return {**own, "on_failure_callback": failure or None}


def _own_arguments(resolved: ResolvedWorkflow, action: Action) -> dict[str, Any]:
    """Return what an action says of its tasks; the workflow's counts for whatever it does not."""
    where = f"the action {action.id} of the workflow {resolved.name}"
    return {**task_arguments(action.airflow, where), **callbacks_of(action.airflow)}


def contact_group(resolved: ResolvedWorkflow, detect: BaseOperator) -> DAGNode:
    """Return the mapped ``contact`` group: a branch per contact, or per slice of contacts."""

    @task_group(group_id="contact")
    def contact(branch: Any) -> None:
        load = LoadContactDetails(task_id="load_contact_details", workflow=resolved, branch=branch)
        conditions = CheckConditions(task_id="conditions", workflow=resolved, branch=load.output)
        each = [action for action in resolved.definition.actions if not action.digest]
        tasks = {
            action.id: Deliver(
                task_id=action.id,
                workflow=resolved,
                action=action.id,
                branch=conditions.output,
                **_own_arguments(resolved, action),
            )
            for action in each
        }
        for action in each:
            for other in action.after:
                tasks[other] >> tasks[action.id]

    return contact.expand(branch=detect.output)


def add_digests(dag: DAG, resolved: ResolvedWorkflow, report: BaseOperator) -> None:
    """Add a task per digest, behind the conditions of all branches and before the report.

    They stand outside the mapped group: a digest is one message about the whole run.
    """
    conditions = dag.get_task("contact.conditions")
    digests = [action for action in resolved.definition.actions if action.digest]
    tasks = {
        action.id: DeliverDigest(
            task_id=action.id,
            workflow=resolved,
            action=action.id,
            branches=conditions.output,
            **_own_arguments(resolved, action),
        )
        for action in digests
    }
    for action in digests:
        for other in action.after:
            prerequisite = tasks[other] if other in tasks else dag.get_task(f"contact.{other}")
            prerequisite >> tasks[action.id]
        tasks[action.id] >> report


def preparing_tasks() -> tuple[str, ...]:
    """Return the ids of the tasks that prepare a branch before its actions."""
    return ("contact.load_contact_details", "contact.conditions")


def release_dag(project: str = "") -> DAG:
    """Return ``segue_release``: what no run of a project does by itself, every five minutes."""
    about = "Sends what was held or asked for, settles calls in doubt, tries connections"
    priority = _WEIGHT_OF_RELEASE
    with _own_dag("release", project, about, "*/5 * * * *", priority=priority) as dag:
        find = FindWork(task_id="find_work", project=project)
        Resume.partial(task_id="resume", project=project).expand(work=find.output)
        TryOut(task_id="try_out", project=project)
    return dag


def housekeeping_dag(project: str = "") -> DAG:
    """Return ``segue_housekeeping``: what is older than the settings say goes, every night.

    Of the whole ledger, so each project's has a minute of its own.
    """
    about = "Applies SEGUE_RETENTION and SEGUE_RUN_AREAS; upgrades the ledger when asked to"
    schedule = f"{crc32(project.encode()) % 60} 2 * * *"
    with _own_dag("housekeeping", project, about, schedule, params=HOUSEKEEPING_PARAMS) as dag:
        KeepHouse(task_id="keep_house")
    return dag


def export_dag(project: str = "") -> DAG:
    """Return ``segue_export``: the delivery log as tables, every hour."""
    about = "Appends what changed in the ledger to SEGUE_EXPORT"
    with _own_dag("export", project, about, "20 * * * *") as dag:
        ExportLog(task_id="export")
    return dag


def _own_dag(
    work: str,
    project: str,
    description: str,
    schedule: str,
    *,
    priority: int = 1,
    params: Mapping[str, Param] | None = None,
) -> DAG:
    settings = Settings.from_environment()
    own = {**place(settings.pool, settings.queue), **weight(priority)}
    return DAG(
        dag_id=dag_id_of(work, project),
        description=description,
        schedule=schedule,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args={"owner": "segue", **own},
        tags=tags(project),
        params=dict(params or {}),
    )


def _documentation(resolved: ResolvedWorkflow) -> str:
    definition = resolved.definition
    actions = "\n".join(
        f"- `{action.id}`: {action.channel}{', one message per run' if action.digest else ''}"
        for action in definition.actions
    )
    return (
        f"Segment **{resolved.segment.segment}** of directory "
        f"**{resolved.directory.directory}**, changes: {', '.join(definition.changes)}.\n\n"
        f"Actions:\n{actions}\n\n"
        "Clearing tasks is safe: what was delivered is never sent again."
    )
