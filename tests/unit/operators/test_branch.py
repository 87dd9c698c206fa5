"""How an action's task ends: by where the deliveries of its branch stand."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import BaseOperator

from segue.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from segue.delivery.calls import Pass
from segue.errors import TransientFailure
from segue.operators.branch import BACKOFF, LoadContactDetails, _raise_for
from segue.operators.failures import EndsInOrder, shown_plainly
from segue.runs.areas import RunArea
from segue.workflows.definition import WorkflowDefinition
from tests.unit.runs.test_span_detection import Place


def ending(connection: str | None = None, **standing: int) -> str:
    """The kind of exception and its message, or an empty text."""
    try:
        _raise_for(Pass(standing=Counter(standing), connection=connection))
    except AirflowException as error:
        return f"{type(error).__name__}: {error}"
    return ""


def test_told_to_end_it_ends_and_after_a_time_out_it_has_ended_already():
    """Airflow calls ``on_kill`` in both cases; the reason of the second stays the time-out."""
    task = EndsInOrder(task_id="deliver", execution_timeout=timedelta(seconds=1))
    try:
        raise AirflowTaskTimeout  # noqa: TRY301 - as Airflow's alarm does
    except AirflowTaskTimeout:
        task.on_kill()
    with pytest.raises(SystemExit, match="told to end"):
        task.on_kill()


def test_delivered_and_skipped_is_success():
    """Some of the slice were opted out."""
    assert ending(delivered=2, skipped=1) == ""


@pytest.mark.parametrize("standing", [{"skipped": 2}, {"planned": 1}, {"suppressed": 3}])
def test_where_nothing_is_to_be_sent_the_task_is_skipped(standing):
    """Nobody may be sent to, or the guard released nothing."""
    assert ending(**standing).startswith(f"{AirflowSkipException.__name__}: nothing is to be sent")


def test_permanent_failures_end_the_task_for_good():
    """Airflow's retries would not help."""
    assert ending(delivered=5, failed=2, uncertain=1) == (
        f"{AirflowFailException.__name__}: 2 deliveries failed, 1 are uncertain"
    )


def test_what_may_still_work_is_retried_before_failures_count():
    """The vendor was busy: the slice is tried again, the failed one waits."""
    assert ending(delivered=5, failed=2, released=3) == (
        "AirflowException: 3 deliveries are left to be tried again: the failures may pass"
    )
    assert "left to be tried again: 401" in ending(connection="401", released=3)
    assert "in another worker's hands" in ending(claimed=1, sending=1)


def test_an_actions_retries_span_a_day():
    """1, 2, 4 … minutes, then every hour."""
    delay, longest = BACKOFF["retry_delay"], BACKOFF["max_retry_delay"]
    waits = [
        min(delay * 2**n, longest)
        for n in range(WorkflowDefinition.model_fields["retries"].default)
    ]
    assert timedelta(hours=22) < sum(waits, timedelta()) < timedelta(hours=26)


def test_an_edited_segment_ends_the_task_for_good(tmp_path, monkeypatch):
    """Only a person can say with which definition the run goes on; a day of retries cannot."""
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "state"))
    area = RunArea(str(tmp_path / "area"))
    area.write_audience("of the definitions as they were")
    [ref] = area.write_slices([[]])
    task = LoadContactDetails(
        task_id="load", workflow=Place(tmp_path).workflow, branch=ref.as_xcom()
    )
    interval = {"data_interval_start": None, "data_interval_end": None}
    dag_run = SimpleNamespace(run_id="run", run_type="manual", clear_number=0, **interval)
    with pytest.raises(AirflowFailException, match="clear the run from detect_changes"):
        task.execute({"dag_run": dag_run})


class Retried(BaseOperator):
    """A task that meets what may pass."""

    @shown_plainly
    def execute(self, context):
        raise self.error


@pytest.mark.parametrize(
    "error", [TransientFailure("crm answered 503"), AirflowException("3 deliveries are left")]
)
@pytest.mark.parametrize("by", ["dag_test", "ann", None])
def test_airflow_dags_test_waits_for_no_retry_and_says_why(error, by):
    """It would do so in the foreground, for a day; a scheduler's run is retried."""
    task = Retried(task_id="retried")
    task.error = error
    with pytest.raises(AirflowException, match=str(error)) as raised:
        task.execute({"dag_run": SimpleNamespace(triggering_user_name=by)})
    is_final = isinstance(raised.value, AirflowFailException)
    assert is_final == (by == "dag_test")
    assert ("once that is mended, start it again" in str(raised.value)) == is_final
