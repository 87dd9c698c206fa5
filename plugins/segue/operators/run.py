"""The operators of a run as a whole: detect changes, guard them, report what became of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, BaseOperator, Param, TriggerRule
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from segue.operators.failures import shown_plainly
from segue.operators.notices import notifiers
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.ledger import Ledger
    from segue.ledger.facts import Decision, RecordedRun
    from segue.runs.areas import RunArea
    from segue.runs.guard import Question
    from segue.runs.report import RunReport

_MAP_INDEX = re.compile(r"_[0-9]+$")  # Airflow names a mapped instance task_3
_BROKEN = ("failed", "upstream_failed")
QUARANTINE = "quarantine"
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
        from segue.contacts.change import changes_of_span
        from segue.operators.environment import (
            open_ledger,
            open_memberships,
            run_of,
            task_settings,
            wishes_of,
        )
        from segue.runs.areas import RunArea
        from segue.runs.branches import cut
        from segue.runs.detection import detect

        ledger, run = open_ledger(), run_of(self.workflow.name, context)
        detection = detect(
            self.workflow,
            run,
            wishes_of(context),
            ledger=ledger,
            store=open_memberships(),
            now=datetime.now(UTC),
        )
        if detection.outcome != "recorded":
            raise AirflowSkipException(detection.reason)
        changes = [
            change
            for span in detection.spans
            for change in changes_of_span(span.stretch, ledger.queries.changes_to_handle(span.id))
        ]
        counts = ledger.queries.count_changes([span.id for span in detection.spans])
        for span in detection.spans:
            self.log.info(
                "%s: %s -> %s, %s -> %s members",
                span.kind,
                span.stretch.previous.key,
                span.stretch.current.key,
                span.previous_size,
                span.current_size,
            )
            for remark in span.left_out:
                self.log.warning("%s", remark)
        self.log.info("changes: %s; %s to handle", dict(counts), len(changes))
        asset = segment_asset(self.workflow)
        context["outlet_events"][asset].extra = {
            "workflow": run.workflow,
            "run_id": run.run_id,
            "snapshots": [span.stretch.current.key for span in detection.spans],
            "changes": dict(counts),
        }
        settings = task_settings()
        area = RunArea.of_run(settings.state, settings.namespace, run.workflow, run.run_id)
        area.write_audience(self.workflow.audience)
        slices = cut(changes, self.workflow.definition.branches)
        return [ref.as_xcom() for ref in area.write_slices(slices)]


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
            "retries": 0,  # a time-out that is retried would ask again
            "subject": f"{workflow.name}: act on these changes?",
            "notifiers": notifiers(workflow.definition.notify.on_approval),
        }
        switch = Param(False, type="boolean", source="task", **_QUARANTINE_SHOWN)
        # the DAG's own parameters, which Airflow adds to kwargs, are not the question's
        super().__init__(**{**defaults, **kwargs, "params": {QUARANTINE: switch}})
        self.workflow = workflow

    @shown_plainly
    def execute(self, context: Context) -> Any:
        """Return how many deliveries were released, or wait for a person's answer."""
        from segue.operators.environment import open_ledger, wishes_of
        from segue.runs.guard import judge_policies, live_spans, question

        ledger, run = open_ledger(), self._recorded(context)
        spans, now = live_spans(run, ledger), datetime.now(UTC)
        judge_policies(self.workflow, run, wishes_of(context), ledger, now)
        for span in spans:
            for remark in span.findings:
                self.log.warning("%s", remark)
        inquiry = question(self.workflow, run, ledger, now)
        if inquiry is None:
            ids = [span.id for span in spans]
            number = ledger.runs.release(ids, now, self.workflow.action_ids)
            self.log.info("released %s deliveries", number)
            return number
        limits = self.workflow.definition.guard
        deadline = limits.deadline.after(now, self.workflow.directory.zone)
        self.subject, self.body = inquiry.subject, inquiry.body(deadline)
        self.response_timeout = deadline - now
        self.log.info("asking a person: %s", "; ".join(inquiry.reasons))
        self._require_shown(inquiry, context)
        ledger.runs.begin_asking(run)
        return super().execute(context)

    def _require_shown(self, asked: Question, context: Context) -> None:
        """Raise AirflowFailException where Airflow would show an earlier question about others.

        It keeps the text of a task's first question when the task is cleared and asks again. Fewer
        than are shown may be asked about: who was forgotten meanwhile stands in nobody's way.
        """
        area = self._area(context)
        if context["ti"].try_number <= 1:
            area.forget_question()
        shown = area.read_question()
        if shown is None:
            area.write_question(asked.about, asked.quarantined)
        elif not (asked.about <= shown and asked.quarantined <= area.quarantines_shown()):
            raise AirflowFailException(
                f"nothing was released: {asked.subject} {'; '.join(asked.reasons)}. Airflow would "
                "show the question of the first time, which was about others. To be asked, run "
                f"{asked.command_to_ask}; to go on without a question, change guard in "
                f"{self.workflow.name}.yaml and clear this task"
            )

    def _area(self, context: Context) -> RunArea:
        from segue.operators.environment import run_of, task_settings
        from segue.runs.areas import RunArea

        settings, run = task_settings(), run_of(self.workflow.name, context)
        return RunArea.of_run(settings.state, settings.namespace, run.workflow, run.run_id)

    @shown_plainly
    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Do what the answer says, and record it; raises AirflowFailException without one."""
        from segue.ledger.facts import Decision
        from segue.operators.environment import open_ledger

        ledger, run, now = open_ledger(), self._recorded(context), datetime.now(UTC)
        if event.get("error_type") == "timeout":
            self._reject(ledger, run, Decision("timed_out", "", now))
            raise AirflowFailException(
                f"nobody answered within {self.workflow.definition.guard.deadline}: nothing was "
                "sent. Clear this task to be asked again"
            )
        options, quarantine = _answer(event)
        user = event["responded_by_user"] or {}
        person = str(user.get("name") or user.get("id") or "")
        if self.APPROVE in options:
            self._approve(ledger, run, Decision("approved", person, now), context)
        elif self.REJECT in options:
            reject = self._reject_snapshot if quarantine else self._reject
            reject(ledger, run, Decision("rejected", person, now))
        return super().execute_complete(context, event)

    def _recorded(self, context: Context) -> RecordedRun:
        from segue.operators.environment import open_ledger, run_of

        run = run_of(self.workflow.name, context)
        record = open_ledger().runs.find_run(run.workflow, run.run_id)
        if record is None:
            raise AirflowFailException("detect_changes has not recorded this run")
        return record

    def _approve(
        self, ledger: Ledger, run: RecordedRun, decision: Decision, context: Context
    ) -> None:
        """Release what was asked about; AirflowFailException where it is something else by now."""
        from segue.runs.guard import live_spans, quarantined_of

        spans, area = live_spans(run, ledger), self._area(context)
        bad = quarantined_of(self.workflow, spans, ledger) - area.quarantines_shown()
        if bad:
            raise AirflowFailException(
                f"nothing was released: snapshot {', '.join(sorted(bad))} was quarantined after "
                "the question was put. Clear this task to be told what to run to be asked again"
            )
        ids = [span.id for span in spans]
        actions = self.workflow.action_ids
        about = ledger.queries.waiting_changes(ids, actions)
        if not about <= (area.read_question() or frozenset()):
            counts = dict(ledger.queries.count_waiting(ids, actions))
            raise AirflowFailException(
                f"nothing was released: {counts or 'nothing'} would be, "
                "and the question was about others. Clear this task to be asked again"
            )
        number = ledger.runs.approve(run, ids, decision, actions)
        self.log.info("approved by %s: released %s deliveries", decision.by, number)

    def _reject(self, ledger: Ledger, run: RecordedRun, decision: Decision) -> None:
        from segue.runs.guard import live_spans

        number = ledger.runs.reject(run, [span.id for span in live_spans(run, ledger)], decision)
        self.log.info("%s: rejected %s deliveries", decision.word, number)

    def _reject_snapshot(self, ledger: Ledger, run: RecordedRun, decision: Decision) -> None:
        from segue.runs.guard import live_spans

        spans = ledger.runs.spans_of(run)
        if not spans:  # another run has taken them over meanwhile
            self._reject(ledger, run, decision)
            return
        key = spans[-1].stretch.current.key
        name = self.workflow.directory.directory
        ids = [span.id for span in live_spans(run, ledger)]
        outcome = ledger.runs.reject_snapshot(run, ids, decision, directory=name, key=key)
        self.log.info(
            "%s: rejected %s deliveries, quarantined snapshot %s of %s",
            decision.word,
            outcome.rejected,
            key,
            name,
        )
        for span in outcome.kept:
            self.log.warning(
                "%s → %s of %s stays recorded: something of it was sent",
                span.stretch.previous.key,
                span.stretch.current.key,
                span.run_id,
            )


def _answer(event: Mapping[str, Any]) -> tuple[Sequence[str], bool]:
    """Return (chosen options, quarantine); the API checks no parameters, so it is done here."""
    options, parameters = event["chosen_options"], dict(event["params_input"] or {})
    quarantine = parameters.pop(QUARANTINE, False)
    if parameters or not isinstance(quarantine, bool):
        raise AirflowFailException(
            f"the answer's params_input may hold {QUARANTINE}: true or false, found "
            f"{event['params_input']}. Nothing was decided; clear this task to be asked again"
        )
    if quarantine and ApprovalOperator.REJECT not in options:
        raise AirflowFailException(
            "to approve changes and to quarantine their snapshot contradict each other. Nothing "
            "was decided; clear this task to be asked again"
        )
    return options, quarantine


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
        from segue.operators.environment import open_ledger, run_of
        from segue.operators.metrics import emit
        from segue.runs.report import gap_lines, lost_gaps, report_run

        tasks = self._broken_tasks(context)
        ledger, run = open_ledger(), run_of(self.workflow.name, context)
        record = ledger.runs.find_run(run.workflow, run.run_id)
        if record is None:
            why = ", ".join(tasks) or "detect_changes recorded nothing"
            raise AirflowFailException(f"the run did not finish: {why}")
        report, now = report_run(self.workflow, record, ledger), datetime.now(UTC)
        gaps = lost_gaps(self.workflow, ledger, now)
        lines = [*report.lines(), *gap_lines(self.workflow.name, gaps)]
        for line in lines:
            self.log.info("%s", line)
        emit(report, len(gaps))
        self._tell_of_held(report, lines, context)
        problems = [f"the run did not finish: {', '.join(tasks)}"] if tasks else []
        problems += report.problems
        if problems:
            raise AirflowFailException("; ".join(problems))
        return lines

    def _tell_of_held(self, report: RunReport, lines: list[str], context: Context) -> None:
        """Tell whom the workflow's ``notify.on_held`` names of deliveries that need a look."""
        from segue.ledger.states import State

        if report.states[State.HELD] or report.states[State.UNCERTAIN]:
            for notifier in notifiers(self.workflow.definition.notify.on_held):
                notifier({**context, "report": lines})

    def _broken_tasks(self, context: Context) -> list[str]:
        ti, run_id = context["ti"], context["dag_run"].run_id
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[run_id]).get(run_id, {})
        return sorted(
            f"{task} {state}"
            for task, state in states.items()
            if state in _BROKEN and _MAP_INDEX.sub("", task) in self.watched
        )
