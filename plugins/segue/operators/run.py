"""The operators of a run as a whole: detect changes, guard them, report what became of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator, TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from segue.delivery.resolved import ResolvedWorkflow
from segue.operators.failures import shown_plainly

if TYPE_CHECKING:
    from airflow.sdk import Context

_MAP_INDEX = re.compile(r"_[0-9]+$")  # Airflow names a mapped instance task_3
_BROKEN = ("failed", "upstream_failed")


def segment_asset(workflow: ResolvedWorkflow) -> Asset:
    """Return the asset that stands for a segment; detecting its changes updates it."""
    segment, directory = workflow.segment.segment, workflow.directory.directory
    return Asset(
        name=f"segue_segment_{segment}", uri=f"segue://directory/{directory}/segment/{segment}"
    )


class DetectChanges(BaseOperator):
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
        from segue.delivery.branches import RunArea, changes_of_span, cut
        from segue.delivery.detection import detect
        from segue.operators.environment import (
            open_ledger,
            open_memberships,
            run_of,
            task_settings,
            wishes_of,
        )

        ledger, run = open_ledger(), run_of(self.workflow.name, context)
        found = detect(
            self.workflow,
            run,
            wishes_of(context),
            ledger=ledger,
            store=open_memberships(),
            now=datetime.now(UTC),
        )
        if found.outcome != "recorded":
            raise AirflowSkipException(found.reason)
        changes = [
            change
            for span in found.spans
            for change in changes_of_span(span.stretch, ledger.changes_to_handle(span.id))
        ]
        counts = ledger.count_changes([span.id for span in found.spans])
        for span in found.spans:
            self.log.info(
                "%s: %s -> %s, %s -> %s members",
                span.kind,
                span.stretch.previous.key,
                span.stretch.current.key,
                span.previous_size,
                span.current_size,
            )
        self.log.info("changes: %s; %s to handle", dict(counts), len(changes))
        asset = segment_asset(self.workflow)
        context["outlet_events"][asset].extra = {
            "workflow": run.workflow,
            "run_id": run.run_id,
            "snapshots": [span.stretch.current.key for span in found.spans],
            "changes": dict(counts),
        }
        settings = task_settings()
        area = RunArea.of_run(settings.state, settings.namespace, run.workflow, run.run_id)
        area.write_definition(self.workflow.audience, self.workflow.fingerprint[1])
        slices = cut(changes, self.workflow.definition.branches)
        return [ref.as_xcom() for ref in area.write_slices(slices)]


class Guard(BaseOperator):
    """Release the run's planned deliveries: the only permission to send.

    Fails, and releases nothing, where the workflow's ``guard`` limits are exceeded.
    """

    ui_color = "#fde8c8"

    def __init__(self, *, workflow: ResolvedWorkflow, **kwargs: Any) -> None:
        super().__init__(**{"retries": 0, **kwargs})
        self.workflow = workflow

    @shown_plainly
    def execute(self, context: Context) -> int:
        """Return how many deliveries were released."""
        from segue.delivery.guard import beyond_limits, members_before, release
        from segue.delivery.policies import suppressing_policy
        from segue.operators.environment import open_ledger, run_of, wishes_of

        ledger, run = open_ledger(), run_of(self.workflow.name, context)
        recorded = ledger.find_run(run.workflow, run.run_id)
        if recorded is None:
            raise AirflowFailException("detect_changes has not recorded this run")
        spans, now = ledger.spans_of(recorded), datetime.now(UTC)
        wishes = wishes_of(context)
        record_only = recorded.recorded_only and not wishes.deliver
        for span in spans:  # this task may be cleared long after detect_changes
            reason = suppressing_policy(
                self.workflow, span.stretch, wishes, now, record_only=record_only
            )
            ledger.judge_again(span.id, reason, now)
        planned = ledger.count_planned([span.id for span in spans])
        limits = self.workflow.definition.guard
        beyond = beyond_limits(limits, planned, members_before(spans))
        if beyond:
            raise AirflowFailException(
                f"nothing was released: {'; '.join(beyond)}. If this is right, raise the limit in "
                f"{self.workflow.name}.yaml and clear this task"
            )
        released = release(spans, ledger, now)
        self.log.info("released %s deliveries", released)
        return released


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
        from segue.delivery.report import gap_lines, report_run
        from segue.operators.environment import open_ledger, run_of

        broken = self._broken_tasks(context)
        ledger, run = open_ledger(), run_of(self.workflow.name, context)
        recorded = ledger.find_run(run.workflow, run.run_id)
        if recorded is None or broken:
            failed = ", ".join(broken) or "detect_changes recorded nothing"
            raise AirflowFailException(f"the run did not finish: {failed}")
        report = report_run(self.workflow, recorded, ledger)
        lines = [*report.lines(), *gap_lines(self.workflow, ledger, datetime.now(UTC))]
        for line in lines:
            self.log.info("%s", line)
        if report.problems:
            raise AirflowFailException("; ".join(report.problems))
        return lines

    def _broken_tasks(self, context: Context) -> list[str]:
        ti, run_id = context["ti"], context["dag_run"].run_id
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[run_id]).get(run_id, {})
        return sorted(
            f"{task} {state}"
            for task, state in states.items()
            if state in _BROKEN and _MAP_INDEX.sub("", task) in self.watched
        )
