"""What Airflow itself knows of the workflows, read from its own tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import delete, insert, update

from segue.ledger.people.release_requests import RequestKind, Selection
from segue.ledger.states import State
from segue.operators.release_now import Start, start_release
from segue.web.dags import dag_facts
from tests.ui.filled import record, settle

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


def row(table, **values):
    """An insert of one row; what a column needs and the test does not care about is empty."""
    for column in table.columns:
        needed = not column.nullable and column.default is None and column.server_default is None
        if needed and column.name not in values and not column.primary_key:
            kind = column.type.python_type
            values[column.name] = NOW if kind is datetime else kind()
    return insert(table).values(values)


@pytest.fixture
def airflow_rows(airflow_app):
    """A DAG that is on with two runs and a question, one that is paused; gone afterwards."""
    import uuid

    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    tasks = {name: uuid.uuid4() for name in ("asked", "answered")}
    with create_session() as session:
        session.execute(row(DagBundleModel.__table__, name="ui-tests", active=True))
        for name, paused in (("on", False), ("off", True)):
            session.execute(
                row(
                    DagModel.__table__,
                    dag_id=name,
                    bundle_name="ui-tests",
                    is_paused=paused,
                    is_stale=False,
                    fileloc="",
                    max_active_tasks=1,
                    has_task_concurrency_limits=False,
                    next_dagrun_create_after=NOW,
                )
            )
        for run_id, state in (("first", "success"), ("second", "running")):
            session.execute(
                row(
                    DagRun.__table__,
                    dag_id="on",
                    run_id=run_id,
                    state=state,
                    run_type="manual",
                    run_after=NOW,
                    start_date=NOW,
                    clear_number=0,
                    log_template_id=1,
                )
            )
        for (name, number), state in zip(tasks.items(), ("awaiting_input", "success"), strict=True):
            session.execute(
                row(
                    TaskInstance.__table__,
                    id=number,
                    dag_id="on",
                    run_id="second" if name == "asked" else "first",
                    task_id="guard",
                    map_index=-1,
                    state=state,
                    pool="default_pool",
                    pool_slots=1,
                )
            )
            session.execute(
                row(
                    HITLDetail.__table__,
                    ti_id=number,
                    options=["Approve", "Reject"],
                    subject=f"{name}: act on 2 added?",
                    params={},
                    created_at=NOW,
                    responded_at=NOW if name == "answered" else None,
                )
            )
    yield
    with create_session() as session:
        session.execute(delete(HITLDetail))
        session.execute(delete(TaskInstance))
        session.execute(delete(DagRun))
        session.execute(delete(DagModel).where(DagModel.bundle_name == "ui-tests"))
        session.execute(delete(DagBundleModel).where(DagBundleModel.name == "ui-tests"))


@pytest.mark.parametrize(
    ("name", "words"), [("on", ""), ("off", "is paused"), ("unknown", "knows no DAG")]
)
def test_pages_say_whether_requests_are_carried_out(
    airflow_rows, client, ledger, definitions, monkeypatch, name, words
):
    """Five minutes are promised only where something keeps them."""
    for module in ("operators.release_now", "web.dags"):
        monkeypatch.setattr(f"segue.{module}.RELEASE", name)
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann", "bob", "carl")
    states = {"ann": State.FAILED, "bob": State.FAILED, "carl": State.HELD}
    keys = [settle(ledger, contact, state, reason="no") for contact, state in states.items()]
    now = datetime.now(UTC)
    ledger.people.file_request(RequestKind.RETRY, Selection("welcome", contact="ann"), "una", now)
    own = "workflow=welcome"
    lists = ("requests", f"deliveries?{own}", f"deliveries?{own}&state=held")
    for path in (*lists, *(f"delivery?{own}&key={key}" for key in keys)):
        text = client("una").get(f"/segue/{path}").text
        assert ("no request is carried out" in text) == bool(words), path
        assert words in text, path


def test_facts_of_dags_are_read_with_the_newest_run_and_open_questions(airflow_rows):
    facts = dag_facts(["on", "off", "unknown"])
    assert facts["on"].paused is False
    assert facts["on"].next_run == NOW
    assert (facts["on"].last_run.run_id, facts["on"].last_run.state) == ("second", "running")
    (question,) = facts["on"].questions
    assert (question.run_id, question.subject) == ("second", "asked: act on 2 added?")
    assert facts["off"].paused is True
    assert facts["off"].last_run is None
    assert facts["unknown"].paused is None


def test_a_question_is_a_click_away(client, ledger, definitions, airflow_rows):
    definitions("on")
    vera = client("vera")
    listing = vera.get("/segue/workflows").text
    assert 'href="/segue/workflow?workflow=on#approvals">1</a>' in listing
    page = vera.get("/segue/workflow?workflow=on").text
    assert 'href="/dags/on/runs/second/tasks/guard/required_actions"' in page
    assert "asked: act on 2 added?" in page


@pytest.mark.parametrize(
    ("name", "outcome"), [("off", Start.PAUSED), ("none", Start.UNKNOWN), ("on", Start.UNKNOWN)]
)
def test_a_release_that_cannot_be_started_is_told_and_nothing_is_raised(
    airflow_rows, monkeypatch, name, outcome
):
    """Of ``on`` Airflow has a row, and no DAG that it could run."""
    monkeypatch.setattr("segue.operators.release_now.RELEASE", name)
    assert start_release("una") is outcome


def test_what_is_asked_for_starts_the_release_unless_one_is_about_to_begin(
    airflow_rows, monkeypatch
):
    """Ten requests at once are one run, which sees all of them."""
    started = []
    monkeypatch.setattr("segue.operators.release_now.RELEASE", "on")
    monkeypatch.setattr(
        "airflow.api.common.trigger_dag.trigger_dag", lambda **values: started.append(values)
    )
    assert start_release("una") is Start.STARTED
    assert [(each["dag_id"], each["triggering_user_name"]) for each in started] == [("on", "una")]
    with create_session() as session:
        session.execute(update(DagRun).where(DagRun.run_id == "second").values(state="queued"))
    assert start_release("una") is Start.STARTED
    assert len(started) == 1
