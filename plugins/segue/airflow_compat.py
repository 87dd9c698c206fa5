"""What differs among the releases of Airflow that Segue runs on; nowhere else are they told apart.

What a release keeps in another place is imported from here. Nothing of Segue is imported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

try:
    from airflow.sdk import CronDataIntervalTimetable
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
except ImportError:  # 3.1
    from airflow.configuration import conf
    from airflow.exceptions import (  # type: ignore[attr-defined, no-redef]
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSkipException,
        AirflowTaskTimeout,
    )
    from airflow.timetables.interval import (  # type: ignore[assignment]
        CronDataIntervalTimetable,
    )

try:  # tasks name the partition of their event since 3.3
    from airflow.sdk import PartitionedAssetTimetable, PartitionedAtRuntime  # noqa: F401
except ImportError:
    PartitionedAssetTimetable = None  # type: ignore[assignment, misc]

if TYPE_CHECKING:
    from airflow.providers.standard.operators.hitl import HITLOperator
    from airflow.sdk import Asset

__all__ = [
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowRescheduleException",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "CronDataIntervalTimetable",
    "conf",
    "follow",
    "of_team",
    "question_needs_triggerer",
    "set_gauge",
    "set_partition",
    "teams_of",
    "wait_at_most",
]


def follow(asset: Asset) -> Any:
    """Return the schedule of a DAG that runs after each event of an asset.

    Since Airflow 3.3 once for each partition that events name, and for none without one; before,
    one run may be of several events.
    """
    if PartitionedAssetTimetable is None:
        return [asset]
    return PartitionedAssetTimetable(assets=asset)


def set_partition(event: Any, key: str) -> None:
    """Let an outlet's event be of the partition ``key``, where Airflow knows of that (3.3)."""
    if hasattr(event, "add_partitions"):
        event.add_partitions(key)


def set_gauge(name: str, value: int, tags: Mapping[str, str]) -> None:
    """Set a gauge among Airflow's metrics."""
    try:
        from airflow.sdk.observability.stats import gauge
    except ImportError:  # 3.1 and 3.2
        from airflow.stats import Stats

        gauge = Stats.gauge
    gauge(name, value, tags=dict(tags))


def teams_of(dag_ids: Collection[str]) -> Mapping[str, str | None]:
    """Return the team of each DAG that has one; Airflow 3.1 knows none."""
    from airflow.models.dag import DagModel

    look_up = getattr(DagModel, "get_dag_id_to_team_name_mapping", None)
    return look_up(sorted(dag_ids)) if look_up else {}


def of_team(team: str | None) -> dict[str, Any]:
    """Return what a question to the auth manager says of a team: nothing in Airflow 3.1."""
    from airflow.models.dag import DagModel

    has_teams = hasattr(DagModel, "get_dag_id_to_team_name_mapping")
    return {"team_name": team} if has_teams else {}


def question_needs_triggerer() -> bool:
    """Tell whether a person's answer is heard by a triggerer alone.

    So it is before Airflow 3.3, and with a standard provider before 1.16.
    """
    from airflow.providers.standard.operators import hitl

    return not hasattr(hitl, "TaskAwaitingInput")


def wait_at_most(question: HITLOperator, time: timedelta) -> None:
    """Bound how long an operator that is about to ask waits for the answer.

    Before the standard provider's 1.13 that was the time for execution, which Airflow has read by
    then for what it means elsewhere.
    """
    if hasattr(question, "response_timeout"):
        question.response_timeout = time
    else:
        question.execution_timeout = time
