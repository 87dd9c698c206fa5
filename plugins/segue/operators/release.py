"""The operators of Segue's own DAGs: what no run of a workflow does by itself.

Requests are carried out, claims of dead workers freed, and whatever is due is taken through the
door, one task per workflow and action.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException

from segue.errors import SegueError
from segue.operators.failures import shown_plainly

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.catalog import Catalog
    from segue.delivery.ledger import Ledger, Request
    from segue.delivery.resumption import Resumed

_LABEL = "{{ task.work['workflow'] }} {{ task.work['action'] }}"


class FindWork(BaseOperator):
    """Carry out what people requested and free expired claims; return what is to be resumed."""

    ui_color = "#fde8c8"

    @shown_plainly
    def execute(self, context: Context) -> list[dict[str, str]]:
        """Return a workflow and an action for each task that is to come."""
        from segue.operators.environment import open_ledger

        ledger, now = open_ledger(), datetime.now(UTC)
        for request in ledger.open_requests():
            outcome = ledger.carry_out(request, now)
            self.log.info("request %s by %s: %s", request.id, request.requested_by, outcome)
        freed, dropped = ledger.free_expired(now), ledger.drop_withdrawn(now)
        if freed:
            self.log.info("%s claims of workers that ended are free again", freed)
        if dropped:
            self.log.info("%s were held of changes that were taken back meanwhile", dropped)
        return [
            {"workflow": workflow, "action": action}
            for workflow, action in ledger.actions_with_work(now)
        ]


class TryOut(BaseOperator):
    """Carry out what people asked for that is no delivery: checks of connections, test messages."""

    ui_color = "#fde8c8"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"retries": 0, **kwargs})

    @shown_plainly
    def execute(self, context: Context) -> None:
        """Write down what came of each; one that goes wrong does not hold up the others."""
        from segue.catalog import Catalog
        from segue.operators.environment import open_ledger, task_settings

        ledger, ti = open_ledger(), context["ti"]
        for number in ledger.end_dead_tests(datetime.now(UTC)):
            self.log.warning("request %s was perhaps carried out: its worker ended", number)
        problems = []
        for request in ledger.open_trials():
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
    from segue.delivery.connection_checks import carry_out_check
    from segue.delivery.ledger import RequestKind
    from segue.delivery.trials import send_test

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
        from segue.delivery.retention import keep_house
        from segue.operators.environment import open_ledger, task_settings

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
        from segue.catalog import Catalog
        from segue.delivery.resumption import forget_action, resume
        from segue.operators.environment import (
            open_ledger,
            open_memberships,
            task_settings,
            workflow_link,
        )

        name, action = self.work["workflow"], self.work["action"]
        catalog, ledger = Catalog(task_settings().home), open_ledger()
        resolved = catalog.resolve(name) if name in catalog.names("workflows") else None
        if resolved is None or action not in resolved.action_ids:
            done = forget_action(name, action, ledger)
            self.log.warning("%s %s is not defined any more: %s", name, action, done)
            return
        ti = context["ti"]
        found = resume(
            resolved,
            action,
            ledger,
            owner=f"{ti.id}/{ti.try_number}",
            memberships=open_memberships(),
            link=workflow_link(name),
        )
        for each in found.passes:
            outcomes = {str(state): count for state, count in sorted(each.outcomes.items())}
            self.log.info("%s %s: %s", name, action, outcomes or "nothing could be sent yet")
        _raise_for(found)


def _raise_for(found: Resumed) -> None:
    """Raise where something did not work that a person should look at."""
    troubles = [*found.problems, *(each.connection for each in found.passes if each.connection)]
    if troubles:
        raise AirflowException("; ".join(troubles))
