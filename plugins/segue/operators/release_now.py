"""Starting ``segue_release`` at once, rather than at its next tick, for what somebody asks for.

Only its tasks see Airflow's connections, and send. A run of it is asked for where Airflow's own
database is at hand: in the API server, and where the command line is set up as Airflow's is, which
asks by ``python -m segue.operators.release_now WHO``.
"""

from __future__ import annotations

import logging
import sys
from enum import StrEnum

from sqlalchemy.exc import SQLAlchemyError

from segue.airflow_compat import AirflowException
from segue.settings import dag_id_of

log = logging.getLogger(__name__)

RELEASE = dag_id_of("release", "")


class Start(StrEnum):
    """What became of it."""

    STARTED = "started"  # or one was about to begin anyway
    PAUSED = "paused"
    UNKNOWN = "unknown"  # there is no such DAG, or Airflow cannot be asked


def start_release(by: str) -> Start:
    """Let each release that is on run now; never raises: the next tick does it anyway."""
    try:
        pauses = release_dags()
        for dag_id in [name for name, is_paused in pauses.items() if not is_paused]:
            _trigger(dag_id, by)
    except (AirflowException, SQLAlchemyError, ValueError) as error:
        log.warning("segue_release could not be started at once: %s", type(error).__name__)
        return Start.UNKNOWN
    if not pauses:
        return Start.UNKNOWN
    return Start.PAUSED if all(pauses.values()) else Start.STARTED


def release_dags() -> dict[str, bool]:
    """Return whether the release of each project is paused, by its id."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    query = select(DagModel.dag_id, DagModel.is_paused).where(
        DagModel.dag_id.startswith(RELEASE, autoescape=True), DagModel.is_stale.is_(False)
    )
    with create_session() as session:
        rows = session.execute(query.order_by(DagModel.dag_id)).all()
    mine = (row for row in rows if row.dag_id == RELEASE or row.dag_id.startswith(f"{RELEASE}_"))
    return {row.dag_id: bool(row.is_paused) for row in mine}


def _trigger(dag_id: str, by: str) -> None:
    """Ask for a run, unless one has not begun yet: that one sees the request, too."""
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    query = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.state == "queued")
    with create_session() as session:
        if session.execute(query.limit(1)).first():
            return
    trigger_dag(dag_id=dag_id, triggered_by=DagRunTriggeredByType.OPERATOR, triggering_user_name=by)


if __name__ == "__main__":
    sys.stdout.write(f"{start_release(sys.argv[1])}\n")
