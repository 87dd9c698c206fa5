"""Waiting for the snapshot that a run compares, without occupying a worker meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from segue.operators.failures import shown_plainly
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    from airflow.sdk import Context

POKE_SECONDS = 60  # never below 15: faster re-queueing loses tasks in Airflow's LocalExecutor


class WaitForSnapshot(BaseSensorOperator):
    """Wait until the run's current snapshot is complete, or its deadline has passed.

    The deadline is the end of the run's interval plus ``policies.wait_timeout``; a run whose
    deadline is long past does not wait at all. With ``missing_snapshot: fail`` the task fails
    then; with ``skip`` it ends, and ``detect_changes`` records the skip.
    """

    ui_color = "#dbe9f6"

    def __init__(self, *, workflow: ResolvedWorkflow, **kwargs: Any) -> None:
        patience = workflow.definition.policies.wait_timeout.approximate() + timedelta(days=1)
        defaults = {"mode": "reschedule", "poke_interval": POKE_SECONDS}
        super().__init__(**{**defaults, "timeout": patience.total_seconds(), **kwargs})
        self.workflow = workflow

    @shown_plainly
    def poke(self, context: Context) -> bool:
        """Return True when there is nothing to wait for any more."""
        from segue.operators.environment import run_context, wishes_of
        from segue.runs.snapshot_pair import can_go_on

        run = run_context(self.workflow, context, wishes_of(context))
        interval = run.run.interval
        return can_go_on(run, interval[1] if interval else context["dag_run"].run_after)
