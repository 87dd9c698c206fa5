"""What a task works with: the settings, the ledger, the caches, and the run as Segue sees it.

Imported by operators when they execute, never when a DAG file is parsed.
"""

from __future__ import annotations

import os
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowRuntimeError

from segue.airflow_compat import AirflowNotFoundException, conf
from segue.documents import did_you_mean
from segue.errors import LedgerError, NotSetUp, SegueError, SettingsError
from segue.ledger import Ledger
from segue.ledger.alone import alone
from segue.ledger.engine import missing_file, open_engine, upgrade
from segue.ledger.facts import Run, Wishes
from segue.operators.databases import database_destination, postgresql_url
from segue.operators.failures import is_dags_test
from segue.operators.snapshot_event import as_followed
from segue.runs.context import NO_WISHES, RunContext
from segue.settings import AIRFLOW, Settings, is_set, variable

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.runs.areas import RunArea
    from segue.segments.definition import SegmentDefinition
    from segue.segments.membership.shared import SharedMemberships
    from segue.segments.membership.store import MembershipStore
    from segue.upkeep.exports.export import Destination
    from segue.workflows.resolved import ResolvedWorkflow

_LARGEST_SKEW = timedelta(seconds=30)  # half a lease: nobody takes over what is under way
_ONE_HOST = frozenset({"LocalExecutor", "SequentialExecutor"})
# of a run's conf, what makes its changes others
_OF_OTHER_CHANGES = ("previous", "current", "enroll_current_members")
# the run types that a schedule gives an interval; for all others Airflow infers the last whole one
_OF_A_SCHEDULE = frozenset({"scheduled", "backfill"})


def task_settings(dag_file: str | None = None, project: str | None = None) -> Settings:
    """Return the settings of a task: Airflow's own home decides where the defaults are."""
    home = os.environ.get("AIRFLOW_HOME") or str(Path("~/airflow").expanduser())
    environ = {**os.environ, "AIRFLOW_HOME": home}
    return Settings.from_environment(environ, dag_file=dag_file, project=project)


def settings_of(context: Context, project: str | None) -> Settings:
    """Return the settings of a task, with the definitions of its own DAG file and project."""
    return task_settings(getattr(context["dag"], "fileloc", None), project)


def present_ledger() -> Ledger:
    """Open this process's ledger; NotSetUp where there is none yet: no file is made for it."""
    url = _usable_url(task_settings())
    path = missing_file(url)
    if path is not None:
        raise NotSetUp(f"there is no ledger at {path}; the first run of a workflow makes it")
    return open_ledger()


def upgrade_ledger() -> str:
    """Bring the ledger's tables to this version's; return their revision."""
    engine = open_engine(_usable_url(task_settings()))
    try:
        return upgrade(engine)
    finally:
        engine.dispose()


def _usable_url(settings: Settings) -> str:
    url = ledger_url(settings.ledger)
    refuse_local_files_on_many_hosts(url, settings.state)
    return url


def open_ledger() -> Ledger:
    """Open this process's ledger; raise LedgerError or SettingsError."""
    settings = task_settings()
    url = _usable_url(settings)
    is_new = settings.new_namespace == settings.namespace
    ledger = _ledger(url, settings.namespace, settings.secret, is_new)
    refuse_another_time(ledger.clock_ahead(lambda: datetime.now(UTC)))
    return ledger


def open_memberships() -> MembershipStore:
    """Open the cache of memberships below SEGUE_STATE."""
    from segue.segments.membership.store import MembershipStore  # brings pandas

    return MembershipStore(task_settings().state)


def shared_memberships(
    workflow: ResolvedWorkflow, ledger: Ledger, settings: Settings
) -> SharedMemberships:
    """Open the same cache, where one run judges the segments of all workflows of a directory."""
    from segue.segments.membership.shared import SharedMemberships  # brings pandas
    from segue.workflows.catalog import catalog_of
    from segue.workflows.segments_in_use import segments_in_use

    def others() -> list[SegmentDefinition]:
        return segments_in_use(catalog_of(settings), workflow.segment.directory)

    return SharedMemberships(open_memberships(), others, partial(alone, ledger.engine))


def ledger_url(setting: str, unknown: str | None = None) -> str:
    """Return a database URL; ``airflow://conn_id`` is looked up among Airflow's connections.

    ``unknown`` says what is the matter where it is not found.
    """
    scheme, _, conn_id = setting.partition("://")
    if scheme != "airflow":
        return setting
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise SettingsError(
            f"SEGUE_LEDGER is {setting}, and "
            + (unknown or f"Airflow has no connection {conn_id!r}")
        ) from None
    return postgresql_url(connection, f"SEGUE_LEDGER is {setting}, a connection")


def interval_of(context: Context) -> tuple[datetime, datetime] | None:
    """Return what a run's interval is, begin and end; None for what has none.

    Only the schedule's own runs have an interval, and those of `airflow dags test`, which are given
    a date. What is triggered, by a person, by another DAG or by an asset, has none.
    """
    dag_run = context["dag_run"]
    if dag_run.run_type not in _OF_A_SCHEDULE and not is_dags_test(context):
        return None
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    return (start, end) if start and end and start < end else None


def run_of(workflow: str, context: Context) -> Run:
    """Return the DAG run of a task as the ledger knows it.

    One without an interval covers from the last recorded span to the newest snapshot.
    """
    dag_run = context["dag_run"]
    return Run(
        workflow=workflow,
        run_id=_id_of_dags_test(dag_run) if is_dags_test(context) else dag_run.run_id,
        interval=interval_of(context),
        is_backfill=dag_run.run_type == "backfill",
        clear_number=dag_run.clear_number or 0,
        until=dag_run.logical_date if is_dags_test(context) else None,
    )


def _id_of_dags_test(dag_run: Any) -> str:
    """Return what the ledger calls such a run: one that is started again goes on with what it has.

    To Airflow it is another run, which takes the place of the first.
    """
    conf = getattr(dag_run, "conf", None) or {}
    asked = [f"{name}={conf[name]}" for name in _OF_OTHER_CHANGES if conf.get(name)]
    return " ".join(["dags test", dag_run.logical_date.isoformat(), *asked])


def run_context(
    workflow: ResolvedWorkflow, context: Context, wishes: Wishes = NO_WISHES
) -> RunContext:
    """Return what a task decides with: its run, this process's ledger, the time."""
    run = run_of(workflow.name, context)
    if workflow.definition.follows_snapshots:
        run = as_followed(run, workflow, context)
    state = task_settings().state
    return RunContext(workflow, run, open_ledger(), datetime.now(UTC), wishes, state)


def run_area(run: RunContext) -> RunArea:
    """Return where the files of a run are."""
    from segue.runs.areas import RunArea  # brings pandas

    settings = task_settings()
    return RunArea.of_run(settings.state, settings.namespace, run.run.workflow, run.run.run_id)


def owner_of(context: Context) -> str:
    """Return who claims deliveries: this try of this task."""
    ti = context["ti"]
    return f"{ti.id}/{ti.try_number}"


def wishes_of(context: Context) -> Wishes:
    """Return what a person asked of the run, from its parameters.

    Raises SettingsError for a key that means nothing, so that a slip of the pen is not taken for
    a run without wishes.
    """
    names = [field.name for field in fields(Wishes)]
    for key in context["dag_run"].conf or {}:
        if key not in names and key not in context["dag"].params:
            hint = did_you_mean(key, names)
            raise SettingsError(
                f"the run's conf has the key {key!r}; allowed: {', '.join(names)}{hint}"
            )
    params: dict[str, Any] = dict(context["params"])
    for key in ("deliver", "accept_rewritten", "enroll_current_members"):
        if not isinstance(params.get(key, False), bool):
            raise SettingsError(
                f"the run's parameter {key} is {params[key]!r}; allowed: true, false"
            )
    return Wishes(
        previous=params.get("previous") or None,
        current=params.get("current") or None,
        deliver=bool(params.get("deliver")),
        accept_rewritten=bool(params.get("accept_rewritten")),
        enroll_current_members=bool(params.get("enroll_current_members")),
    )


def is_paused(workflow: str, context: Context) -> bool:
    """Tell whether a workflow's DAG is paused; one that has no DAG of its name is not.

    Nobody can be asked where Airflow does not supervise the task.
    """
    get_dag = getattr(context["ti"], "get_dag", None)
    if get_dag is None:
        return False
    try:
        return bool(get_dag(workflow).is_paused)
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") == 404:
            return False
        raise


def refuse_another_time(ahead: timedelta) -> None:
    """Raise LedgerError where a host's clock is not the ledger's: leases and holds would be wrong.

    ``ahead`` is by how much this host's clock is ahead of it.
    """
    if abs(ahead) > _LARGEST_SKEW:
        word = "ahead of" if ahead > timedelta() else "behind"
        raise LedgerError(
            f"this host's clock is {abs(ahead).total_seconds():.0f} s {word} that of the ledger's "
            f"database; allowed: {_LARGEST_SKEW.total_seconds():.0f} s. Set the clock (NTP)"
        )


def run_link(dag_id: str, run_id: str) -> str:
    """Return the address of a run in Airflow's UI."""
    return f"{workflow_link(dag_id)}/runs/{quote(run_id)}"


def workflow_link(dag_id: str) -> str:
    """Return the address of a DAG in Airflow's UI."""
    base = conf.get("api", "base_url", fallback="http://localhost:8080/")
    return f"{base.rstrip('/')}/dags/{quote(dag_id)}"


def task_destination() -> Destination:
    """Return where segue_export goes; SettingsError where it is not one place for all tasks."""
    place = task_settings().export
    if place is None:
        raise SettingsError("SEGUE_EXPORT is not set: there is nowhere to export to")
    if "://" not in place and not Path(place).is_absolute():
        raise SettingsError(f"SEGUE_EXPORT is {place}; allowed: an absolute path, or a URL")
    elsewhere = _executors_elsewhere()
    if elsewhere and "://" not in place:
        raise SettingsError(
            f"SEGUE_EXPORT is the local folder {place}, and {', '.join(elsewhere)} runs tasks on "
            "several hosts. Use a URL such as s3://bucket/segue-log, or file:///mnt/segue-log for "
            "a folder that all hosts share"
        )
    if place.startswith(AIRFLOW):
        return database_destination(place)
    from segue.upkeep.exports.parquet_folder import ParquetFolder  # brings Arrow

    return ParquetFolder(place)


def _executors_elsewhere() -> list[str]:
    """Return the executors that run tasks on other hosts than this one."""
    executors = {name.strip() for name in conf.get("core", "executor").split(",")}
    return sorted(name for name in executors if name.split(":")[-1] not in _ONE_HOST)


def refuse_local_files_on_many_hosts(ledger: str, state: str) -> None:
    """Raise SettingsError where workers on several hosts would each have a ledger of their own."""
    if "://" not in state and not Path(state).is_absolute():
        raise SettingsError(f"SEGUE_STATE is {state}; allowed: an absolute path, or a URL")
    elsewhere = _executors_elsewhere()
    if not elsewhere:
        return
    if ledger.startswith("sqlite"):
        raise _unshared(
            "ledger",
            f"SEGUE_LEDGER is a SQLite file, and {', '.join(elsewhere)} runs tasks on several "
            "hosts: each would have a ledger of its own and send everything again. Use PostgreSQL",
        )
    if "://" not in state:
        raise _unshared(
            "state",
            f"SEGUE_STATE is the local folder {state}, and {', '.join(elsewhere)} runs tasks on "
            "several hosts. Use a URL such as s3://bucket/segue, or file:///mnt/segue for a "
            "folder that all hosts share",
        )


def _unshared(option: str, message: str) -> SegueError:
    """Return what is wrong with a setting; where nobody made it, Segue is not set up yet."""
    if is_set(option, os.environ):
        return SettingsError(message)
    return NotSetUp(f"{variable(option)} is not set; by default {message}")


@lru_cache(maxsize=4)
def _ledger(url: str, namespace: str, secret: str | None, is_new: bool) -> Ledger:
    return Ledger.open(url, namespace, secret, is_new=is_new)
