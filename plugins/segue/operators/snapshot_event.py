"""The event that a snapshot has landed: how a task tells it, and what a run reads of it.

Only ``TakeSnapshot`` and tasks of a team's own make one; docs/snapshots.md has an example.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from segue.airflow_compat import set_partition
from segue.directory.asset import asset_name, asset_uri
from segue.directory.snapshot_keys import require_key

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.ledger.facts import Run
    from segue.workflows.resolved import ResolvedWorkflow

_JUST = timedelta(microseconds=1)
_OF_BACKFILL = "backfill"  # in an event's extra: what follows it records, and sends nothing


def snapshot_asset(directory: str) -> Asset:
    """Return the asset that stands for a directory's snapshots; publishing one updates it.

    A directory of a project is named ``PROJECT/DIRECTORY``.
    """
    return Asset(name=asset_name(directory), uri=asset_uri(directory))


def announce(context: Context, directory: str, key: str, **extra: Any) -> None:
    """Let the event of a task, whose outlet is the directory's asset, name the snapshot ``key``.

    It is told once the task has succeeded. ``extra`` is for readers, as Airflow's UI shows it. What
    a backfill's run tells of is recorded by the workflows that follow, as in a backfill of theirs.
    """
    event = context["outlet_events"][snapshot_asset(directory)]
    past = {_OF_BACKFILL: True} if context["dag_run"].run_type == "backfill" else {}
    event.extra = {"key": key, **extra, **past}
    set_partition(event, key)


def as_followed(run: Run, workflow: ResolvedWorkflow, context: Context) -> Run:
    """Return a run of a workflow that follows its directory as one about what has landed.

    Its interval is that of the snapshots which its events name, so that it compares, waits and is
    skipped as a run of the schedule; a run of no such event stays as it is. Raises SettingsError
    for a key that is none.
    """
    keys = _keys(context)
    if not keys:
        return run
    pairs = sorted((require_key(workflow.directory, key) for key in keys), key=lambda pair: pair[1])
    return replace(
        run,
        interval=(pairs[0][1] - _JUST, pairs[-1][1]),
        is_backfill=run.is_backfill or _is_of_backfill(context),
        landed=tuple(dict.fromkeys(key for key, _ in pairs)),
    )


def _keys(context: Context) -> list[str]:
    """Return the run's partition key; before Airflow 3.3 those that its events name."""
    key = getattr(context["dag_run"], "partition_key", None)
    if key:
        return [key]
    return [event.extra["key"] for event in _events(context) if (event.extra or {}).get("key")]


def _is_of_backfill(context: Context) -> bool:
    events = _events(context)
    return bool(events) and all((event.extra or {}).get(_OF_BACKFILL) is True for event in events)


def _events(context: Context) -> list[Any]:
    events_by_asset = context.get("triggering_asset_events") or {}
    return [event for events in events_by_asset.values() for event in events]
