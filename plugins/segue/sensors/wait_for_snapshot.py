"""Waiting for the snapshot that a run compares, without occupying a worker meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from segue.airflow_compat import AirflowRescheduleException, conf
from segue.operators.failures import shown_plainly
from segue.workflows.definition import WorkflowDefinition
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.runs.context import RunContext

POKE_SECONDS = 60  # never below 15: faster re-queueing loses tasks in Airflow's LocalExecutor
# what only the ledger knows, as a quarantine that was lifted, no trigger sees: looked at so often
_LONGEST = timedelta(minutes=10)
_WITHOUT_ANSWER = timedelta(minutes=5)  # after which no triggerer is thought to run
_NO_TRIGGERER = (
    "the triggerer did not answer (%s): where none runs (airflow triggerer), this task looks for "
    "the snapshot itself, but more rarely, every %s and more. `airflow: {deferrable: false}` of "
    "the workflow does without one"
)


def waits_in_triggerer(workflow: WorkflowDefinition) -> bool:
    """Tell whether the triggerer watches for a workflow's snapshots: its own word, or Airflow's."""
    own = workflow.airflow.deferrable
    if own is not None:
        return own
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


class WaitForSnapshot(BaseSensorOperator):
    """Wait until the run's current snapshot is complete, or its deadline has passed.

    The deadline is the end of the run's interval, or the time of the event that it follows, plus
    ``policies.wait_timeout``; a run whose deadline is long past does not wait at all. With
    ``missing_snapshot: fail`` the task fails then; with ``skip`` it ends, and ``detect_changes``
    records the skip. Where the workflow, or else Airflow's ``[operators] default_deferrable``,
    says so, the triggerer watches for it.
    """

    ui_color = "#dbe9f6"

    def __init__(self, *, workflow: ResolvedWorkflow, **kwargs: Any) -> None:
        patience = workflow.definition.policies.wait_timeout.approximate() + timedelta(days=1)
        defaults = {"mode": "reschedule", "poke_interval": POKE_SECONDS}
        super().__init__(**{**defaults, "timeout": patience.total_seconds(), **kwargs})
        self.workflow = workflow
        self.deferrable = waits_in_triggerer(workflow.definition)

    def execute(self, context: Context) -> Any:
        """Wait, in the triggerer or by being queued again every minute."""
        return self.look(context) if self.deferrable else super().execute(context)

    @shown_plainly
    def poke(self, context: Context) -> bool:
        """Return True when there is nothing to wait for any more."""
        from segue.runs.snapshot_pair import can_go_on

        run, begin = self._run(context)
        return can_go_on(run, begin)

    @shown_plainly
    def look(self, context: Context, event: object = None) -> None:
        """End where there is nothing to wait for any more; else let a trigger watch for news."""
        from segue.runs.snapshot_pair import can_go_on, deadline_of
        from segue.sensors.snapshot_trigger import SnapshotTrigger, complete_keys, listed_by

        run, begin = self._run(context)
        since = run.run.interval[0] if run.run.interval else None
        keys = complete_keys(run.directory, since)  # before the look: what comes between is news
        if can_go_on(run, begin):
            return
        until = min(deadline_of(run, begin), run.now + _LONGEST)
        trigger = SnapshotTrigger(
            listed_by(run.directory),
            complete=keys,
            until=until.isoformat(),
            since=since.isoformat() if since else None,
        )
        timeout = until - datetime.now(UTC) + _WITHOUT_ANSWER
        self.defer(trigger=trigger, method_name="look", timeout=timeout)

    def resume_execution(
        self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context
    ) -> Any:
        """Look again after news; and where no trigger answers, so that no run waits for ever."""
        if next_method == "look":
            return super().resume_execution(next_method, next_kwargs, context)
        self.log.warning(_NO_TRIGGERER, (next_kwargs or {}).get("error"), _LONGEST)
        if not self.poke(context):  # a trigger may fail at once: not without a pause
            later = datetime.now(UTC) + timedelta(seconds=POKE_SECONDS)
            raise AirflowRescheduleException(later)  # type: ignore[no-untyped-call]
        return None

    def _run(self, context: Context) -> tuple[RunContext, datetime]:
        """Return the run, and from when on it waits."""
        from segue.operators.environment import run_context, wishes_of

        run = run_context(self.workflow, context, wishes_of(context))
        if run.run.interval is None or run.run.landed:
            return run, context["dag_run"].run_after
        return run, run.run.interval[1]
