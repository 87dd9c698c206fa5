"""The guard's task: how Airflow is made to ask, and that an answer reaches the core."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk import DAG

try:
    from airflow.sdk.exceptions import TaskDeferred
except ImportError:  # Airflow 3.1
    from airflow.exceptions import TaskDeferred

from segue.airflow_compat import (
    AirflowFailException,
    question_needs_triggerer,
    wait_at_most,
)
from segue.operators import Guard
from tests.unit.runs.test_span_detection import Place

ANN = {"id": "1", "name": "ann"}
WAITING = TaskDeferred if question_needs_triggerer() else hitl.TaskAwaitingInput


class Task:
    """The guard of the run of the 10th, over a real ledger; Airflow's side is a list."""

    def __init__(self, place: Place, asked: list) -> None:
        self.place, self.asked = place, asked
        self.place.day(10)

    def context(self, try_number: int = 1) -> dict:
        ti = SimpleNamespace(id="ti", try_number=try_number, xcom_push=lambda **_: None)
        run = SimpleNamespace(
            run_id="day-10",
            run_type="scheduled",
            data_interval_start=None,
            data_interval_end=None,
            clear_number=0,
            conf={},
        )
        dag = SimpleNamespace(params={})
        return {"ti": ti, "task_instance": ti, "dag_run": run, "params": {}, "dag": dag}

    @property
    def guard(self) -> Guard:
        return Guard(task_id="guard", workflow=self.place.workflow)

    def ask(self, try_number: int = 1) -> dict:
        with pytest.raises(WAITING):
            self.guard.execute(self.context(try_number))
        return self.asked[-1]

    def answer(self, option: str, **params) -> None:
        event = {
            "chosen_options": [option],
            "params_input": params,
            "responded_at": self.place.now,
            "responded_by_user": ANN,
        }
        self.guard.execute_complete(self.context(), event)

    @property
    def outcomes(self) -> set[str]:
        rows = self.place.ledger.queries.list_deliveries()
        return {f"{row.outcome} {row.reason}".strip() for row in rows}

    @property
    def decision(self):
        return self.place.ledger.runs.find_run("greet", "day-10").decision


@pytest.fixture
def task(tmp_path, monkeypatch) -> Task:
    """A workflow of which any change is beyond the limits."""
    asked: list = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **facts: asked.append(facts))
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SEGUE_NAMESPACE", "test")
    place = Place(tmp_path)
    place.more = {"guard": {"at_most": 0}, "policies": {"max_age": None}}
    place.snapshot(8, "a", "b")
    place.snapshot(9, "b", "c")
    return Task(place, asked)


def test_the_parameters_of_the_run_are_not_the_question_s(task):
    """Airflow 3.1 keeps them with a task's own: no answer would have fitted."""
    with DAG("greet", schedule=None, params={"deliver": False}):
        assert list(task.guard.params) == ["quarantine"]


def test_within_the_limits_all_is_released_without_a_question(task):
    """Two changes, one action."""
    task.place.more["guard"] = {"at_most": 1}
    assert task.guard.execute(task.context()) == 2
    assert (task.outcomes, task.asked, task.decision) == ({"released"}, [], None)


def test_beyond_them_it_asks_and_waits_as_long_as_the_deadline_says(task):
    """Nothing is released meanwhile, and nothing is a template."""
    task.place.more["guard"] = {"at_most": 0, "deadline": "90m"}
    with pytest.raises(WAITING) as waiting:
        task.guard.execute(task.context())
    spare = timedelta(minutes=5) if question_needs_triggerer() else timedelta()
    assert waiting.value.timeout == timedelta(minutes=90) + spare
    assert task.asked[0]["subject"] == "greet: act on 1 added, 1 removed?"
    assert task.asked[0]["params"]["quarantine"]["value"] is False
    assert task.outcomes == {"planned"}
    assert tuple(task.guard.template_fields) == ()


def test_a_guard_whose_worker_died_is_tried_again_where_a_time_out_is_final(task, monkeypatch):
    """So it is from Airflow 3.3 on; before, the time-out of a deferral would ask again."""
    assert task.guard.retries == 3
    monkeypatch.delattr(hitl, "TaskAwaitingInput")
    assert task.guard.retries == 0


def test_where_a_triggerer_hears_the_answer_it_says_so_and_waits_not_for_ever(
    task, monkeypatch, capsys
):
    """So it is before Airflow 3.3; without a triggerer the scheduler fails the task."""
    monkeypatch.setattr(hitl, "AIRFLOW_V_3_3_PLUS", False, raising=False)
    monkeypatch.delattr(hitl, "TaskAwaitingInput", raising=False)
    task.place.more["guard"] = {"at_most": 0, "deadline": "90m"}
    with pytest.raises(TaskDeferred) as waiting:
        task.guard.execute(task.context())
    assert waiting.value.timeout == timedelta(minutes=95)
    assert "where none runs (airflow triggerer), it is not acted on" in capsys.readouterr().out
    task.answer("Approve")
    assert task.outcomes == {"released"}


def test_an_older_operator_has_another_name_for_how_long_it_waits():
    question = SimpleNamespace(execution_timeout=None)
    wait_at_most(question, timedelta(hours=1))
    assert question.execution_timeout == timedelta(hours=1)


def test_an_approval_releases_and_names_who_gave_it(task):
    task.ask()
    task.answer("Approve")
    assert task.outcomes == {"released"}
    assert (task.decision.word, task.decision.by) == ("approved", "ann")


def test_a_rejection_can_quarantine_the_snapshot(task):
    task.ask()
    task.answer("Reject", quarantine=True)
    assert task.outcomes == {"suppressed rejected"}
    assert task.place.ledger.people.quarantined("people") == {"2026-11-09": "rejected in greet"}
    assert task.place.spans() == []


def test_no_answer_by_the_deadline_rejects_and_fails(task):
    task.ask()
    event = {"error": "no response", "error_type": "timeout"}
    with pytest.raises(AirflowFailException, match="nobody answered within 24h"):
        task.guard.execute_complete(task.context(), event)
    assert task.outcomes == {"suppressed rejected"}
    assert (task.decision.word, task.decision.by) == ("timed_out", "")


def test_an_answer_that_makes_no_sense_fails_the_task_at_once(task):
    """The API lets anything through; no retry would help."""
    task.ask()
    with pytest.raises(AirflowFailException, match="contradict"):
        task.answer("Approve", quarantine=True)
    assert (task.outcomes, task.decision) == ({"planned"}, None)


def test_a_cleared_guard_fails_where_airflow_would_show_an_old_question(task):
    """It keeps the text of the first one: whoever approves would not know of what."""
    task.ask()
    task.place.match = {"field": "tier", "equals": "silver"}
    task.place.day(10)
    with pytest.raises(AirflowFailException, match=r'trigger greet --conf .*"deliver": true'):
        task.guard.execute(task.context(try_number=2))
    assert len(task.asked) == 1


def test_the_question_of_a_deleted_run_does_not_count(task):
    """The run was deleted in Airflow and created again: its first try shows a new question."""
    task.ask()
    task.place.match = {"field": "tier", "equals": "silver"}
    task.place.day(10)
    assert task.ask(try_number=1)["subject"] == "greet: act on 1 added, 1 removed?"
    assert len(task.asked) == 2
