"""The operators of Segue's own DAGs: what no run of a workflow does by itself.

Requests are carried out, claims of dead workers freed, and whatever is due is taken through the
door, one task per workflow and action.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from segue.errors import SegueError
from segue.operators.failures import shown_plainly
from segue.operators.notices import notifiers

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.ledger import Ledger
    from segue.ledger.people.release_requests import Request
    from segue.workflows.catalog import Catalog
    from segue.workflows.definition import Notice
    from segue.workflows.resolved import ResolvedWorkflow

_LABEL = "{{ task.work['workflow'] }} {{ task.work['action'] }}"


class FindWork(BaseOperator):
    """Carry out what people requested and free expired claims; return what is to be resumed."""

    ui_color = "#fde8c8"

    @shown_plainly
    def execute(self, context: Context) -> list[dict[str, str]]:
        """Return a workflow and an action for each task that is to come."""
        from segue.operators.environment import open_ledger

        ledger, now = open_ledger(), datetime.now(UTC)
        for request in ledger.people.open_requests():
            outcome = ledger.people.carry_out(request, now)
            self.log.info("request %s by %s: %s", request.id, request.requested_by, outcome)
        claims, withdrawals = (
            ledger.deliveries.free_expired(now),
            ledger.deliveries.drop_withdrawn(now),
        )
        if claims:
            self.log.info("%s claims of workers that ended are free again", claims)
        if withdrawals:
            self.log.info("%s were held of changes that were taken back meanwhile", withdrawals)
        return [
            {"workflow": workflow, "action": action}
            for workflow, action in ledger.deliveries.actions_with_work(now)
        ]


class TryOut(BaseOperator):
    """Carry out what people asked for that is no delivery: checks of connections, test messages."""

    ui_color = "#fde8c8"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"retries": 0, **kwargs})

    @shown_plainly
    def execute(self, context: Context) -> None:
        """Write down what came of each; one that goes wrong does not hold up the others."""
        from segue.operators.environment import open_ledger, task_settings
        from segue.workflows.catalog import Catalog

        ledger, ti = open_ledger(), context["ti"]
        for number in ledger.people.end_dead_tests(datetime.now(UTC)):
            self.log.warning("request %s was perhaps carried out: its worker ended", number)
        problems = []
        for request in ledger.people.open_trials():
            try:
                catalog = Catalog(task_settings().home)
                words = _carry_out(request, catalog, ledger, f"{ti.id}/{ti.try_number}")
                self.log.info("request %s by %s: %s", request.id, request.requested_by, words)
            except SegueError as error:
                problems.append(f"request {request.id}: {error}")
        if problems:
            raise AirflowException("; ".join(problems))


def _carry_out(request: Request, catalog: Catalog, ledger: Ledger, owner: str) -> str:
    """Check connections or send a test; return what came of it, in words."""
    from segue.ledger.people.release_requests import RequestKind
    from segue.upkeep.connection_checks import carry_out_check
    from segue.upkeep.tester_messages import send_test

    if request.kind == RequestKind.CHECK:
        names = request.asked["workflows"] or catalog.names("workflows")
        return carry_out_check(request, names, catalog.resolve, ledger, owner=owner)
    trial = send_test(request, catalog.resolve, ledger, owner=owner)
    return trial.words if trial else "another worker has it"


class KeepHouse(BaseOperator):
    """Delete what is older than the settings say."""

    ui_color = "#e2f0d9"

    @shown_plainly
    def execute(self, context: Context) -> dict[str, int]:
        """Return how many of each were deleted."""
        from segue.operators.environment import open_ledger, task_settings
        from segue.upkeep.retention import keep_house

        settings = task_settings()
        return keep_house(
            open_ledger(),
            settings.state,
            datetime.now(UTC),
            retention=settings.retention,
            run_areas=settings.run_areas,
        )


class Resume(BaseOperator):
    """Take up what is due of one action of one workflow."""

    template_fields: Sequence[str] = ("work",)
    ui_color = "#fce4ec"

    def __init__(self, *, work: Any, **kwargs: Any) -> None:
        super().__init__(**{"map_index_template": _LABEL, "retries": 0, **kwargs})
        self.work = work

    @shown_plainly
    def execute(self, context: Context) -> None:
        """Go through the door; the next run, minutes later, is the retry."""
        from segue.operators.environment import open_ledger, task_settings
        from segue.workflows.catalog import Catalog

        name, action = self.work["workflow"], self.work["action"]
        catalog, ledger = Catalog(task_settings().home), open_ledger()
        try:
            resolved = catalog.resolve(name) if name in catalog.names("workflows") else None
        except SegueError as error:  # a file is half copied, or has a slip
            resolved, problems = None, [str(error)]
        else:
            if resolved is None or action not in resolved.action_ids:
                problems = [_undefined(catalog, name, action, ledger)]
            else:
                problems = self._resume(resolved, ledger, context)
        problems += _tell(name, action, resolved, ledger, context)
        if problems:
            raise AirflowException("; ".join(problems))

    def on_kill(self) -> None:
        """Let a task that is told to end write down what it has heard; it is retried."""
        raise SystemExit("the task was told to end")

    def _resume(self, resolved: ResolvedWorkflow, ledger: Ledger, context: Context) -> list[str]:
        """Return what did not work that a person should look at."""
        from segue.delivery.resumption import resume
        from segue.operators.environment import is_paused, open_memberships, workflow_link

        name, action, ti = resolved.name, self.work["action"], context["ti"]
        pause = is_paused(name, context)
        if pause:
            self.log.info("the DAG %s is paused: nothing of it is sent", name)
        resumption = resume(
            resolved,
            action,
            ledger,
            owner=f"{ti.id}/{ti.try_number}",
            memberships=open_memberships(),
            link=workflow_link(name),
            paused=pause,
        )
        for each in resumption.passes:
            outcomes = {str(state): count for state, count in sorted(each.outcomes.items())}
            self.log.info("%s %s: %s", name, action, outcomes or "nothing could be sent yet")
        return [
            *resumption.problems,
            *(each.connection for each in resumption.passes if each.connection),
        ]


def _undefined(catalog: Catalog, workflow: str, action: str, ledger: Ledger) -> str:
    """Return, in words, that an action is not defined and what waits for it."""
    from segue.delivery.resumption import await_definition

    number = await_definition(workflow, action, ledger, datetime.now(UTC))
    where = f" in {catalog.home}"
    if not catalog.home.is_dir():
        where = f": there is no folder {catalog.home}"
    return (
        f"{workflow} {action} is not defined{where}; {number} deliveries that are held or in "
        "doubt wait until it is. If it was removed for good: "
        f"segue drop {workflow} --action {action}"
    )


@dataclass(frozen=True)
class _Audience:
    """Whom a workflow tells of what went wrong, and of how many failures of a run it does not."""

    notices: Sequence[Notice]
    max_failed: int


def _audience(workflow: str, resolved: ResolvedWorkflow | None, ledger: Ledger) -> _Audience:
    """Return what the definition says; where it is away, what the newest recorded one said."""
    from segue.workflows.definition import Notify, ReportRules

    if resolved is not None:
        definition = resolved.definition
        return _Audience(definition.notify.on_failure, definition.report.max_failed)
    body = ledger.queries.newest_definition(workflow)
    parts = json.loads(body)["workflow"] if body else {}
    notify = Notify.model_validate_json(json.dumps(parts.get("notify", {})))
    rules = ReportRules.model_validate_json(json.dumps(parts.get("report", {})))
    return _Audience(notify.on_failure, rules.max_failed)


def _tell(
    workflow: str,
    action: str,
    resolved: ResolvedWorkflow | None,
    ledger: Ledger,
    context: Context,
) -> list[str]:
    """Tell, once, of what went wrong after its run had ended, as the run's report would have.

    Where none of its notifiers could tell anybody, the next run tells it again.
    """
    from segue.ledger.states import State

    untold = ledger.deliveries.untold(workflow, action)
    failures = ledger.deliveries.failed_of_runs({each.run for each in untold.outcomes})
    audience = _audience(workflow, resolved, ledger) if untold.outcomes else _Audience((), 0)
    lines = [
        f"{workflow} {action}: {each.count} {each.outcome} after the end of run {each.run_id}"
        for each in untold.outcomes
        if each.outcome != State.FAILED or failures.get(each.run, 0) > audience.max_failed
    ]
    named = notifiers(audience.notices) if lines else []
    for notifier in named:
        notifier({**context, "report": lines})
    if not named or any(notifier.has_told for notifier in named):
        ledger.deliveries.mark_told(untold)
    return lines
