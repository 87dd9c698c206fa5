"""What all DAGs of Segue have alike: where their tasks run, how much they weigh, when they run."""

from __future__ import annotations

from typing import Any

from segue.airflow_compat import CronDataIntervalTimetable


def place(pool: str | None, queue: str | None) -> dict[str, str]:
    """Return where tasks run, as far as anybody says; Airflow's defaults otherwise."""
    return {key: name for key, name in (("pool", pool), ("queue", queue)) if name}


def weight(priority: int) -> dict[str, Any]:
    """Return a weight that the tasks behind a task add nothing to.

    By Airflow's own rule the first task of a long DAG goes before all others: each weighs as many
    as come after it, so that a workflow that catches up would hold up everybody's short DAGs.
    """
    return {"priority_weight": priority, "weight_rule": "absolute"}


def tags(project: str, *others: str) -> set[str]:
    """Return the tags of a DAG: Segue's, the project's where it has a name, and others."""
    return {"segue", project, *others} - {""}


def timetable(cron: str | None, zone: str) -> CronDataIntervalTimetable | None:
    """Return when a DAG runs, by a zone's wall clock; None for one that somebody triggers."""
    return CronDataIntervalTimetable(cron, timezone=zone) if cron else None
