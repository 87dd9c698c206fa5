"""One run, or one of its tasks: every contact with what changed and what became of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import HTMLResponse, StreamingResponse

from segue.errors import DataError, SettingsError
from segue.ledger import Ledger
from segue.ledger.facts import ListedDelivery, RecordedRun, RecordedSpan
from segue.ledger.queries.pages import ChangeRow, Filter
from segue.ledger.states import State
from segue.operators.environment import task_settings
from segue.runs.areas import RunArea
from segue.segments.kinds import ChangeKind
from segue.web.access import ReadableWorkflow
from segue.web.answers import actions_of, in_order, order_of, shown, shown_change
from segue.web.csv_export import csv_response
from segue.web.dags import Question, dag_facts
from segue.web.parameters import ContactId
from segue.web.visits import Part, ThisVisit, Visit
from segue.web.workflows import require_known
from segue.workflows.catalog import Catalog

AT_ONCE = 50  # contacts on one page
_DEEPEST = 20_000  # the last page that is offered: further down, a filter finds more
router = APIRouter(include_in_schema=False)
log = logging.getLogger(__name__)

STATES = [str(state) for state in State]
KINDS = [str(kind) for kind in ChangeKind]
RunId = Annotated[str, Query(max_length=250)]
_EXPORTED = (
    *("contact_id", "change", "change_reason", "conditions", "action", "channel", "outcome"),
    *("reason", "external_id", "url", "attempts", "called_at", "delivered_at", "updated_at", "key"),
)


def _filter(
    contact: ContactId = "",
    change: Annotated[str, Query(max_length=16)] = "",
    action: Annotated[str, Query(max_length=64)] = "",
    state: Annotated[str, Query(max_length=16)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Filter:
    for name, value, choices in (("state", state, STATES), ("change", change, KINDS)):
        if value and value not in choices:
            raise HTTPException(422, f"{name} is {value!r}; allowed: {', '.join(choices)}")
    return Filter(contact, change, action, state, error.strip())


Chosen = Annotated[Filter, Depends(_filter)]


@router.get("/run", name="run")
def run(
    workflow: ReadableWorkflow,
    run: RunId,
    chosen: Chosen,
    visit: ThisVisit,
    number: Annotated[int, Query(alias="page", ge=1, le=_DEEPEST)] = 1,
    descending: bool = False,
) -> HTMLResponse:
    """Show a run's contacts: a page of them, narrowed down and sorted by the database."""
    require_known(workflow, visit.ledger, visit.catalog)
    record, spans = _recorded(visit.ledger, workflow, run)
    ids = [span.id for span in spans]
    own, query = {"workflow": workflow, "run": run}, _query(chosen)
    total = visit.ledger.queries.count_rows(ids, chosen)
    more = {**own, "descending": descending, **query}
    part = visit.part(number, total, AT_ONCE, "run", deepest=_DEEPEST, **more)
    tally = visit.ledger.queries.outcomes_of_spans(ids)
    actions = in_order(tally, order_of(workflow, visit.catalog))
    return visit.page(
        "run.html",
        **part.values,
        workflow=workflow,
        run_id=run,
        recorded=record,
        spans=spans,
        tally={action: tally[action] for action in actions},
        actions=actions,
        rows=_rows(visit, workflow, ids, chosen, part, descending=descending),
        questions=_questions(workflow, run, tally),
        chosen=chosen,
        states=STATES,
        kinds=KINDS,
        descending=descending,
        sees=visit.viewer.may_see_contacts(workflow),
        export=visit.link("run_csv", **own, **query),
    )


@router.get("/run.csv", name="run_csv")
def run_csv(
    workflow: ReadableWorkflow,
    run: RunId,
    chosen: Chosen,
    visit: ThisVisit,
) -> StreamingResponse:
    """Return all of a run's deliveries that a filter leaves, one per line."""
    require_known(workflow, visit.ledger, visit.catalog)
    record, spans = _recorded(visit.ledger, workflow, run)
    if record is None:
        raise HTTPException(404, f"The run {run} of {workflow} has recorded nothing.")
    rows = visit.ledger.queries.all_change_rows([span.id for span in spans], chosen)
    order, sees = order_of(workflow, visit.catalog), visit.viewer.may_see_contacts(workflow)
    visible = (shown_change(row, order, sees=sees) for row in rows)
    return csv_response(f"{workflow} {run}", _EXPORTED, _lines(visible, chosen))


@router.get("/task", name="task")
def task(
    workflow: ReadableWorkflow,
    task: Annotated[str, Query(max_length=250)],
    chosen: Chosen,
    visit: ThisVisit,
    run: RunId = "",
    branch: Annotated[str, Query(max_length=12)] = "-1",
    number: Annotated[int, Query(alias="page", ge=1, le=_DEEPEST)] = 1,
) -> HTMLResponse:
    """Show the deliveries of one task: of its branch in a run, or the newest of all runs."""
    require_known(workflow, visit.ledger, visit.catalog)
    action = task.rsplit(".", 1)[-1]
    common: dict[str, Any] = {
        "workflow": workflow,
        "run_id": run,
        "task": task,
        "action": action,
        "known": action in _actions(workflow, visit.ledger, visit.catalog),
        "sees": visit.viewer.may_see_contacts(workflow),
    }
    if not run:
        return _newest_of_a_task(visit, chosen, common)
    record, spans = _recorded(visit.ledger, workflow, run)
    contacts, problem = _branch(workflow, run, branch) if record else (None, None)
    criteria = replace(chosen, contacts=contacts)
    ids = [span.id for span in spans]
    total = visit.ledger.queries.count_rows(ids, criteria)
    own: dict[str, Any] = {"workflow": workflow, "task": task, "run": run, "branch": branch}
    part = visit.part(number, total, AT_ONCE, "task", **{**own, **_query(chosen)})
    return visit.page(
        "branch.html",
        rows=_rows(visit, workflow, ids, criteria, part),
        **part.values,
        gone=problem,
        **common,
    )


def _newest_of_a_task(visit: Visit, chosen: Filter, common: Mapping[str, Any]) -> HTMLResponse:
    """Show the newest deliveries of a task's action, in whatever run."""
    workflow, action = common["workflow"], common["action"]
    state = chosen.state or _worth_a_look(visit.ledger, workflow)
    chosen = replace(chosen, action=action, state=state)
    newest = (
        visit.ledger.queries.newest_deliveries(workflow, chosen, limit=AT_ONCE)
        if common["known"]
        else []
    )
    rows = [shown(row, sees=common["sees"]) for row in newest]
    return visit.page("task.html", rows=rows, chosen=chosen, states=STATES, gone=None, **common)


def _rows(
    visit: Visit,
    workflow: str,
    span_ids: Sequence[int],
    chosen: Filter,
    part: Part,
    *,
    descending: bool = False,
) -> list[ChangeRow]:
    """Return the contacts of one page, with what this person may see of each."""
    rows = visit.ledger.queries.change_rows(
        span_ids, chosen, limit=AT_ONCE, offset=part.offset, descending=descending
    )
    order, sees = order_of(workflow, visit.catalog), visit.viewer.may_see_contacts(workflow)
    return [shown_change(row, order, sees=sees) for row in rows]


def _questions(workflow: str, run: str, tally: Mapping[str, Counter[State]]) -> list[Question]:
    """Return what the run's guard asks a person; nothing where nothing waits for it."""
    if not any(counts[State.PLANNED] for counts in tally.values()):
        return []
    questions = dag_facts([workflow])[workflow].questions
    return [question for question in questions if question.run_id == run]


def _recorded(
    ledger: Ledger, workflow: str, run_id: str
) -> tuple[RecordedRun | None, Sequence[RecordedSpan]]:
    record = ledger.runs.find_run(workflow, run_id)
    return record, ledger.runs.spans_of(record) if record else ()


def _branch(workflow: str, run: str, branch: str) -> tuple[list[str] | None, str | None]:
    """Return the contacts of a branch (None: of all), and why it is not known who they are."""
    if not branch.isdecimal():
        return None, None  # no mapped task, or all of its branches
    settings = task_settings()
    try:
        area = RunArea.of_run(settings.state, settings.namespace, workflow, run)
        return sorted({change.contact_id for change in area.read_slice(int(branch))}), None
    except DataError:
        why = "it has no such branch, or its files were deleted after SEGUE_RUN_AREAS"
    except (SettingsError, OSError, ImportError, ValueError) as error:  # as storage says no
        log.warning("SEGUE_STATE cannot be read: %s: %s", type(error).__name__, error)
        why = "SEGUE_STATE cannot be read here, and the API server's log says why"
    return None, (
        f"Which contacts branch {branch} of the run handled is not known: {why}. "
        "These are all of the run."
    )


def _actions(workflow: str, ledger: Ledger, catalog: Catalog) -> list[str]:
    return list(actions_of(workflow, catalog)) or ledger.queries.actions_of(workflow)


def _worth_a_look(ledger: Ledger, workflow: str) -> str:
    """Return the state that a list of an action begins with: what waits for a person first."""
    ends = ledger.queries.open_ends([workflow])[workflow]
    states = (State.FAILED, State.UNCERTAIN, State.HELD)
    return next((str(state) for state in states if ends[state]), str(State.DELIVERED))


def _query(chosen: Filter) -> dict[str, str]:
    names = ("contact", "change", "action", "state", "error")
    return {name: getattr(chosen, name) for name in names}


def _lines(rows: Iterator[ChangeRow], chosen: Filter) -> Iterator[Sequence[Any]]:
    for row in rows:
        for item in row.deliveries:
            if _is_chosen(item, chosen):
                own = (row.contact_id, row.change, row.reason, row.verdict)
                yield (*own, *(getattr(item, name) for name in _EXPORTED[len(own) :]))


def _is_chosen(sent: ListedDelivery, chosen: Filter) -> bool:
    """Tell whether a delivery itself is what a filter asks for, not only its contact."""
    return (
        chosen.action in ("", sent.action)
        and chosen.state in ("", sent.outcome)
        and chosen.error.lower() in sent.reason.lower()
    )
