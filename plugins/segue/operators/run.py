"""The operators of a run as a whole: detect changes, guard them, report what became of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, BaseOperator, Param, TriggerRule
from airflow.sdk.definitions.param import ParamsDict

from segue.airflow_compat import (
    AirflowFailException,
    AirflowSkipException,
    question_needs_triggerer,
    wait_at_most,
)
from segue.operators.failures import is_dags_test, shown_plainly
from segue.operators.lineage import TellsLineage
from segue.operators.notices import notifiers
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    from airflow.sdk import Context

_MAP_INDEX = re.compile(r"_[0-9]+$")  # Airflow names a mapped instance task_3
_BROKEN = ("failed", "upstream_failed")
_REAL_RUN = (
    "airflow dags test is a real run: it records in the ledger that SEGUE_LEDGER names here, and "
    "sends. A scheduler on the same database of Airflow gives some of its tasks to its own workers"
)
_TRIGGERER = (
    "with this Airflow, or this version of apache-airflow-providers-standard, a triggerer hears "
    "the answer: where none runs (airflow triggerer), it is not acted on, and this task fails "
    "after the deadline"
)
_AFTER_THE_DEADLINE = timedelta(minutes=5)  # the triggerer's own clock goes first
_QUARANTINE_SHOWN = {
    "title": "Quarantine the snapshot",
    "description": (
        "With Reject: the snapshot itself is wrong. No workflow of the directory uses it any more, "
        "and the next run compares with the one before."
    ),
}


def segment_asset(workflow: ResolvedWorkflow) -> Asset:
    """Return the asset that stands for a segment; detecting its changes updates it."""
    segment, directory = workflow.segment.segment, workflow.directory.directory
    name, place = segment, f"directory/{directory}/segment/{segment}"
    if workflow.project:
        name, place = f"{workflow.project}.{name}", f"project/{workflow.project}/{place}"
    return Asset(name=f"segue_segment_{name}", uri=f"segue://{place}")


class DetectChanges(TellsLineage, BaseOperator):
    """Record the run's span, its changes and planned deliveries; return a slice per branch.

    Skips itself, saying why, when other runs cover the span or there is no snapshot to look at.
    """

    ui_color = "#dbe9f6"

    def __init__(self, *, workflow: ResolvedWorkflow, **kwargs: Any) -> None:
        super().__init__(outlets=[segment_asset(workflow)], **kwargs)
        self.workflow = workflow

    @shown_plainly
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return references to the branches, for the fan-out to map over."""
        from segue.operators.environment import (
            run_area,
            run_context,
            settings_of,
            shared_memberships,
            wishes_of,
        )
        from segue.runs.lineage import lineage_of_detection
        from segue.runs.start import start_run

        if is_dags_test(context):
            self.log.warning(_REAL_RUN)
        run = run_context(self.workflow, context, wishes_of(context))
        settings = settings_of(context, self.workflow.project or None)
        store = shared_memberships(self.workflow, run.ledger, settings)
        start = start_run(run, store, run_area(run))
        if start.reason:
            raise AirflowSkipException(start.reason)
        self.lineage = lineage_of_detection(run.directory, start.spans, run.ledger)
        context["outlet_events"][segment_asset(self.workflow)].extra = dict(start.news)
        return [branch.as_xcom() for branch in start.branches]


class Guard(ApprovalOperator):
    """Release the run's planned deliveries: the only permission to send.

    Beyond the workflow's ``guard`` limits, or where a snapshot looks odd, it asks a person first:
    approved, all of it is released; rejected, nothing of it is sent and the run ends well; without
    an answer by the deadline it is rejected and the task fails. Clearing it asks anew.
    """

    ui_color = "#fde8c8"
    template_fields = ()  # the question is put together here; ids are no templates

    def __init__(self, *, workflow: ResolvedWorkflow, **kwargs: Any) -> None:
        defaults: dict[str, Any] = {
            # of a worker that dies; where a triggerer hears the answer, a time-out is an error of
            # Airflow's own, and a further try would ask again
            "retries": 0 if question_needs_triggerer() else 3,
            "subject": f"{workflow.name}: act on these changes?",
            "notifiers": notifiers(workflow.definition.notify.on_approval),
        }
        switch = Param(False, type="boolean", source="task", **_QUARANTINE_SHOWN)
        # the time for execution, which Airflow adds to kwargs, would be the one for the answer
        own = {"params": {"quarantine": switch}, "execution_timeout": None}
        super().__init__(**{**defaults, **kwargs, **own})
        # the DAG's own parameters, which Airflow adds and 3.1 keeps, are not the question's
        self.params = ParamsDict({"quarantine": switch})
        self.workflow = workflow
        self.wait = timedelta()

    @shown_plainly
    def execute(self, context: Context) -> Any:
        """Return how many deliveries were released, or wait for a person's answer."""
        from segue.operators.environment import run_area, run_context, wishes_of
        from segue.runs.guard import release_or_ask

        run = run_context(self.workflow, context, wishes_of(context))
        is_first_try = context["ti"].try_number <= 1
        result = release_or_ask(run, run_area(run), is_first_try=is_first_try)
        if isinstance(result, int):
            return result
        deadline = self.workflow.definition.guard.deadline.after(run.now, run.directory.zone)
        self.subject, self.body = result.subject, result.body(deadline)
        self.wait = deadline - run.now
        wait_at_most(self, self.wait)
        if question_needs_triggerer():
            self.log.warning(_TRIGGERER)
        return super().execute(context)

    def defer(self, **kwargs: Any) -> NoReturn:
        """Wait in a trigger, as Airflow before 3.3 does; no longer than until after the deadline.

        Without a triggerer nobody hears of the deadline: then the scheduler fails the task.
        """
        super().defer(**{**kwargs, "timeout": self.wait + _AFTER_THE_DEADLINE})

    @shown_plainly
    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Do what the answer says; raises AirflowFailException without one."""
        from segue.operators.environment import run_area, run_context
        from segue.runs.guard import obey, time_out

        run = run_context(self.workflow, context)
        if event.get("error_type") == "timeout":
            time_out(run)
            raise AirflowFailException(
                f"nobody answered within {self.workflow.definition.guard.deadline}: nothing was "
                "sent. Clear this task to be asked again"
            )
        event = {**event, "params_input": {**self.params, **(event["params_input"] or {})}}
        user = event["responded_by_user"] or {}
        person = str(user.get("name") or user.get("id") or "")
        obey(run, run_area(run), event["chosen_options"], event["params_input"], person)
        return super().execute_complete(context, event)


class Report(BaseOperator):
    """Account for every detected change; fail the run when something is missing or failed."""

    ui_color = "#e2f0d9"

    def __init__(
        self, *, workflow: ResolvedWorkflow, watched: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**{"trigger_rule": TriggerRule.ALL_DONE, **kwargs})
        self.workflow = workflow
        self.watched = tuple(watched)  # tasks whose failure no ledger row can show

    @shown_plainly
    def execute(self, context: Context) -> list[str]:
        """Return the report's lines."""
        from segue.operators.environment import run_context
        from segue.operators.metrics import emit
        from segue.runs.report import account_for

        run = run_context(self.workflow, context)
        account = account_for(run, self._broken_tasks(context))
        for line in account.lines:
            self.log.info("%s", line)
        emit(account)
        if account.report.needs_a_look:
            for notifier in notifiers(self.workflow.definition.notify.on_held):
                notifier({**context, "report": account.lines})
        if account.problems:
            raise AirflowFailException("; ".join(account.problems))
        return account.lines

    def _broken_tasks(self, context: Context) -> list[str]:
        ti, run_id = context["ti"], context["dag_run"].run_id
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[run_id]).get(run_id, {})
        return sorted(
            f"{task} {state}"
            for task, state in states.items()
            if state in _BROKEN and _MAP_INDEX.sub("", task) in self.watched
        )
