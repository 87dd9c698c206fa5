"""What a task works with: the settings, the ledger, the caches, and the run as Segue sees it.

Imported by operators when they execute, never when a DAG file is parsed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf

from segue.delivery.ledger import Ledger, Run, Wishes
from segue.errors import SettingsError
from segue.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.segments.membership import MembershipStore

_ONE_HOST = frozenset({"LocalExecutor", "SequentialExecutor"})


def open_ledger() -> Ledger:
    """Open this process's ledger; raise LedgerError or SettingsError."""
    settings = Settings.from_environment()
    _refuse_local_files_on_many_hosts(settings)
    return _ledger(ledger_url(settings.ledger), settings.namespace)


def open_memberships() -> MembershipStore:
    """Open the cache of memberships below SEGUE_STATE."""
    from segue.segments.membership import MembershipStore  # brings pandas

    return MembershipStore(Settings.from_environment().state)


def ledger_url(setting: str) -> str:
    """Return a database URL; ``airflow://conn_id`` is looked up among Airflow's connections."""
    scheme, _, conn_id = setting.partition("://")
    return BaseHook.get_connection(conn_id).get_uri() if scheme == "airflow" else setting


def run_of(workflow: str, context: Context) -> Run:
    """Return the DAG run of a task as the ledger knows it."""
    dag_run = context["dag_run"]
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    return Run(
        workflow=workflow,
        run_id=dag_run.run_id,
        interval=(start, end) if start and end and start < end else None,
        is_backfill=dag_run.run_type == "backfill",
        clear_number=dag_run.clear_number or 0,
    )


def wishes_of(context: Context) -> Wishes:
    """Return what a person asked of the run, from its parameters."""
    params: dict[str, Any] = dict(context["params"])
    return Wishes(
        previous=params.get("previous") or None,
        current=params.get("current") or None,
        deliver=bool(params.get("deliver")),
        accept_rewritten=bool(params.get("accept_rewritten")),
    )


@lru_cache(maxsize=4)
def _ledger(url: str, namespace: str) -> Ledger:
    return Ledger.open(url, namespace)


def _refuse_local_files_on_many_hosts(settings: Settings) -> None:
    """Raise SettingsError where workers on several hosts would each have a ledger of their own."""
    executors = {name.strip() for name in conf.get("core", "executor").split(",")}
    elsewhere = sorted(name for name in executors if name.split(":")[-1] not in _ONE_HOST)
    if not elsewhere:
        return
    if settings.ledger.startswith("sqlite"):
        raise SettingsError(
            f"SEGUE_LEDGER is a SQLite file, and {', '.join(elsewhere)} runs tasks on several "
            "hosts: each would have a ledger of its own and send everything again. Use PostgreSQL"
        )
    if "://" not in settings.state:
        raise SettingsError(
            f"SEGUE_STATE is the local folder {settings.state}, and {', '.join(elsewhere)} runs "
            "tasks on several hosts. Use a URL such as s3://bucket/segue, or file:///mnt/segue "
            "for a folder that all hosts share"
        )
