"""What no run of a workflow does by itself: carry out requests, take up what is due, tell of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from segue.delivery.resumption import await_definition, resume
from segue.errors import SegueError
from segue.ledger import Ledger
from segue.ledger.facts import LateOutcome
from segue.ledger.states import State
from segue.segments.membership.changes import Memberships
from segue.workflows.catalog import Catalog
from segue.workflows.definition import Notice, Notify, ReportRules
from segue.workflows.resolved import ResolvedWorkflow

log = logging.getLogger(__name__)


def find_work(ledger: Ledger, now: datetime, project: str = "") -> list[tuple[str, str]]:
    """Carry out what people requested and free expired claims.

    Returns the (workflow, action) of which something is due, of a project's workflows.
    """
    for request in ledger.people.open_requests():
        outcome = ledger.people.carry_out(request, now)
        log.info("request %s by %s: %s", request.id, request.requested_by, outcome)
    claims = ledger.deliveries.free_expired(now)
    if claims:
        log.info("%s claims of workers that ended are free again", claims)
    withdrawals = ledger.deliveries.drop_withdrawn(now)
    if withdrawals:
        log.info("%s were held of changes that were taken back meanwhile", withdrawals)
    return ledger.deliveries.actions_with_work(now, project)


@dataclass(frozen=True, slots=True)
class DueWork:
    """An action of which something is due, with its workflow as it is defined now."""

    workflow: str
    action: str
    ledger: Ledger
    resolved: ResolvedWorkflow | None
    problem: str = ""  # why nothing of it can be sent now, in words


def due_work(catalog: Catalog, workflow: str, action: str, ledger: Ledger) -> DueWork:
    """Return an action's work; where its definition is away, or has a slip, that is a problem."""
    try:
        resolved = catalog.resolve(workflow) if workflow in catalog.names("workflows") else None
    except SegueError as error:  # a file is half copied, or has a slip
        return DueWork(workflow, action, ledger, None, str(error))
    if resolved is None or action not in resolved.action_ids:
        problem = _undefined_action(catalog, workflow, action, ledger)
        return DueWork(workflow, action, ledger, resolved, problem)
    return DueWork(workflow, action, ledger, resolved)


def _undefined_action(catalog: Catalog, workflow: str, action: str, ledger: Ledger) -> str:
    """Return, in words, that an action is not defined and what waits for it."""
    number = await_definition(workflow, action, ledger, datetime.now(UTC))
    where = f" in {catalog.home}"
    if not catalog.home.is_dir():
        where = f": there is no folder {catalog.home}"
    return (
        f"{workflow} {action} is not defined{where}; {number} deliveries that are held, "
        "waiting or in doubt wait until it is. If it was removed for good: "
        f"segue drop {workflow} --action {action}"
    )


def take_up(
    work: DueWork,
    *,
    owner: str,
    memberships: Memberships,
    link: str,
    is_paused: Callable[[], bool],
) -> list[str]:
    """Go through the door with what is due; return what a person should look at, in words."""
    if work.problem or work.resolved is None:
        return [work.problem]
    pause = is_paused()
    if pause:
        log.info("the DAG %s is paused: nothing of it is sent", work.workflow)
    resumption = resume(
        work.resolved,
        work.action,
        work.ledger,
        owner=owner,
        memberships=memberships,
        link=link,
        paused=pause,
    )
    for each in resumption.passes:
        outcomes = {str(state): count for state, count in sorted(each.outcomes.items())}
        text = outcomes or "nothing could be sent yet"
        log.info("%s %s: %s", work.workflow, work.action, text)
    connections = (each.connection for each in resumption.passes)
    return [*resumption.problems, *filter(None, connections)]


def tell_late_news(
    work: DueWork, tell: Callable[[Sequence[Notice], Sequence[str]], bool]
) -> list[str]:
    """Tell, once, what went wrong of an action after its runs had ended; return it, in words.

    As the run's report would have told it: failures that the workflow allows are no news. ``tell``
    returns False where a notice names somebody and nobody could be told: the next run tells it.
    """
    untold = work.ledger.deliveries.untold(work.workflow, work.action)
    lines: list[str] = []
    notices: Sequence[Notice] = ()
    if untold.outcomes:
        notify, rules = _audience(work)
        lines = _late_lines(work, untold.outcomes, rules.max_failed)
        notices = notify.on_failure if lines else ()
    if tell(notices, lines):
        work.ledger.deliveries.mark_told(untold)
    return lines


def _late_lines(work: DueWork, outcomes: Sequence[LateOutcome], max_failed: int) -> list[str]:
    failures = work.ledger.deliveries.failed_of_runs({each.run for each in outcomes})
    name = f"{work.workflow} {work.action}"
    return [
        f"{name}: {each.count} {each.outcome} after the end of run {each.run_id}"
        for each in outcomes
        if each.outcome != State.FAILED or failures.get(each.run, 0) > max_failed
    ]


def _audience(work: DueWork) -> tuple[Notify, ReportRules]:
    """Return what the definition says; where it is away, what the newest recorded one said."""
    if work.resolved is not None:
        return work.resolved.definition.notify, work.resolved.definition.report
    body = work.ledger.queries.newest_definition(work.workflow)
    parts = json.loads(body)["workflow"] if body else {}
    return (
        Notify.model_validate_json(json.dumps(parts.get("notify", {}))),
        ReportRules.model_validate_json(json.dumps(parts.get("report", {}))),
    )
