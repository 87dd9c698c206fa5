"""What Airflow knows of the workflows' DAGs: paused, last and next run, questions that wait."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from segue.operators.release_now import RELEASE, release_dags

_WAITING = "no request is carried out, and nothing that is held is sent"


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run of a DAG."""

    run_id: str
    state: str
    started: datetime | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a guard that nobody has answered yet."""

    run_id: str
    task_id: str
    subject: str
    asked: datetime


@dataclass(frozen=True, slots=True)
class DagFacts:
    """What Airflow knows of one DAG; ``paused`` is None where it does not know the DAG."""

    paused: bool | None = None
    next_run: datetime | None = None
    last_run: LastRun | None = None
    questions: Sequence[Question] = ()
    bundle: str | None = None  # where it is defined, and the version that Airflow read last
    bundle_version: str | None = None


def release_trouble() -> str:
    """Return why requests, and what is held, wait at present; nothing where they do not."""
    pauses = release_dags()
    if not pauses:
        return f"Airflow knows no DAG {RELEASE}: until there is one, {_WAITING}."
    names = ", ".join(name for name, is_paused in pauses.items() if is_paused)
    if names:
        whose = "" if names == RELEASE else " of its project"
        return f"The DAG {names} is paused: until it is on again, {_WAITING}{whose}."
    return ""


def dag_facts(dag_ids: Collection[str]) -> dict[str, DagFacts]:
    """Return the facts of each of these DAGs, with one query per kind of fact."""
    ids = sorted(dag_ids)
    with create_session() as session:
        dags = _dags(session, ids)
        last = _last_runs(session, ids)
        questions = _open_questions(session, ids)
    return {
        name: DagFacts(
            paused=dags[name].is_paused if name in dags and not dags[name].is_stale else None,
            next_run=dags[name].next_dagrun_create_after if name in dags else None,
            last_run=last.get(name),
            questions=questions.get(name, ()),
            **_bundle(dags.get(name)),
        )
        for name in ids
    }


def _bundle(row: Any) -> dict[str, str | None]:
    if row is None or row.is_stale:
        return {}
    return {"bundle": row.bundle_name, "bundle_version": row.bundle_version}


def _dags(session: Session, ids: Sequence[str]) -> dict[str, Any]:
    """Return the rows of DAGs that Airflow knows, by id."""
    query = select(
        DagModel.dag_id,
        DagModel.is_paused,
        DagModel.is_stale,
        DagModel.next_dagrun_create_after,
        DagModel.bundle_name,
        DagModel.bundle_version,
    )
    rows = session.execute(query.where(DagModel.dag_id.in_(ids)))
    return {row.dag_id: row for row in rows}


def _last_runs(session: Session, ids: Sequence[str]) -> dict[str, LastRun]:
    newest = select(func.max(DagRun.id)).where(DagRun.dag_id.in_(ids)).group_by(DagRun.dag_id)
    columns = (DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.start_date)
    rows = session.execute(select(*columns).where(DagRun.id.in_(newest)))
    return {row.dag_id: LastRun(row.run_id, str(row.state), row.start_date) for row in rows}


def _open_questions(session: Session, ids: Sequence[str]) -> dict[str, list[Question]]:
    """Return the questions that nobody has answered, the oldest first, by DAG."""
    query = (
        select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            HITLDetail.subject,
            HITLDetail.created_at,
        )
        .join(TaskInstance, TaskInstance.id == HITLDetail.ti_id)
        .where(TaskInstance.dag_id.in_(ids), HITLDetail.responded_at.is_(None))
        .where(TaskInstance.state.not_in(("success", "failed", "skipped")))
        .order_by(HITLDetail.created_at)
    )
    questions: dict[str, list[Question]] = {}
    for dag_id, run_id, task_id, subject, since in session.execute(query):
        questions.setdefault(dag_id, []).append(Question(run_id, task_id, subject, since))
    return questions
