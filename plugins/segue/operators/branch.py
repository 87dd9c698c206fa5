"""The operators of a branch: load contacts' details, check conditions, deliver an action.

They run inside the mapped ``contact`` task group, one instance per contact or slice; a digest runs
once, behind all of them. No task state is a permission to send: what a delivery may do is decided
by the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule

from segue.airflow_compat import AirflowException, AirflowFailException, AirflowSkipException
from segue.operators.failures import EndsInOrder, shown_plainly
from segue.operators.lineage import TellsLineage, is_told
from segue.workflows.resolved import ResolvedWorkflow

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.delivery.calls import Pass

# 1, 2, 4 … 32 minutes, then every hour: the 28 retries of a workflow's default span 24 hours
BACKOFF: dict[str, Any] = {
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(hours=1),
}
_LABEL = "{{ task.label }}"


class _BranchOperator(EndsInOrder):
    """A task of one branch; ``branch`` is a reference to its slice."""

    template_fields: Sequence[str] = ("branch",)

    def __init__(self, *, workflow: ResolvedWorkflow, branch: Any, **kwargs: Any) -> None:
        super().__init__(**{"map_index_template": _LABEL, **kwargs})
        self.workflow = workflow
        self.branch = branch

    @property
    def label(self) -> str:
        """What Airflow shows instead of the map index: a contact's id, where there is one.

        Airflow tells OpenLineage of it, so there is none where that would leave the house.
        """
        return self.branch["label"] if self.branch and not is_told() else ""


class LoadContactDetails(_BranchOperator):
    """Load the details of a branch's contacts into the run area; hand on the reference.

    A live look-up is retried as deliveries are.
    """

    ui_color = "#ede7f6"

    def __init__(self, **kwargs: Any) -> None:
        workflow = kwargs["workflow"]
        retry_settings = (
            {"retries": workflow.definition.retries, **BACKOFF} if workflow.live else {}
        )
        super().__init__(**{**retry_settings, **kwargs})

    @shown_plainly
    def execute(self, context: Context) -> dict[str, Any]:
        """Return the reference to the branch."""
        from segue.contacts.live_look_up import Desk
        from segue.delivery.steps import load_branch
        from segue.operators.environment import open_ledger, open_memberships, run_of
        from segue.runs.branches import BranchRef

        ref = BranchRef.from_xcom(self.branch)
        number = load_branch(
            self.workflow,
            ref,
            Desk(open_ledger()),
            open_memberships(),
            run_of(self.workflow.name, context).clear_number,
        )
        self.log.info("%s: details of %s contacts loaded", ref.label, number)
        return ref.as_xcom()


class CheckConditions(_BranchOperator):
    """Hand on the contacts that the workflow's conditions hold for; skip when nobody is left."""

    ui_color = "#ede7f6"

    @shown_plainly
    def execute(self, context: Context) -> dict[str, Any]:
        """Return the reference to the branch; raises AirflowSkipException when nobody passes."""
        from segue.delivery.steps import check_branch
        from segue.operators.environment import open_ledger
        from segue.runs.branches import BranchRef

        ref = BranchRef.from_xcom(self.branch)
        number, total = check_branch(self.workflow, ref, open_ledger(), datetime.now(UTC))
        self.log.info("%s: conditions hold for %s of %s changes", ref.label, number, total)
        if not number:
            raise AirflowSkipException("the conditions hold for nobody in this branch")
        return ref.as_xcom()


class Deliver(TellsLineage, _BranchOperator):
    """Deliver one action to the contacts of a branch that passed the conditions.

    Tries the whole slice, then raises: to be retried when something may still work, finally when
    only permanent failures are left.
    """

    ui_color = "#fce4ec"

    def __init__(self, *, action: str, **kwargs: Any) -> None:
        retries = kwargs["workflow"].definition.retries
        defaults = {"retries": retries, **BACKOFF, "trigger_rule": TriggerRule.ALL_DONE}
        super().__init__(**{**defaults, **kwargs})
        self.action = action

    @shown_plainly
    def execute(self, context: Context) -> None:
        """Go through the door once."""
        from segue.delivery.steps import deliver
        from segue.operators.environment import open_ledger, open_memberships, owner_of, run_of
        from segue.runs.branches import BranchRef
        from segue.runs.lineage import lineage_of_delivery

        if self.branch is None:
            raise AirflowSkipException("no contact of this branch passed the conditions")
        ref = BranchRef.from_xcom(self.branch)
        ledger = open_ledger()
        self.lineage = lineage_of_delivery(ledger)
        result = deliver(
            self.workflow,
            self.workflow.definition.action(self.action),
            [ref],
            ledger,
            owner=owner_of(context),
            clear_number=run_of(self.workflow.name, context).clear_number,
            memberships=open_memberships(),
        )
        outcomes = {str(state): count for state, count in sorted(result.outcomes.items())}
        self.log.info("%s: %s", ref.label, outcomes or "nothing was sent")
        _raise_for(result)


class DeliverDigest(TellsLineage, EndsInOrder):
    """Deliver one message about the contacts of all branches that passed the conditions.

    ``branches`` are the references that ``conditions`` handed on.
    """

    ui_color = "#fce4ec"
    template_fields: Sequence[str] = ("branches",)

    def __init__(
        self, *, workflow: ResolvedWorkflow, action: str, branches: Any, **kwargs: Any
    ) -> None:
        retries = workflow.definition.retries
        defaults = {"retries": retries, **BACKOFF, "trigger_rule": TriggerRule.ALL_DONE}
        super().__init__(**{**defaults, **kwargs})
        self.workflow = workflow
        self.action = action
        self.branches = branches

    @shown_plainly
    def execute(self, context: Context) -> None:
        """Go through the door once."""
        from segue.delivery.steps import deliver
        from segue.operators.environment import (
            open_ledger,
            open_memberships,
            owner_of,
            run_link,
            run_of,
        )
        from segue.runs.branches import BranchRef
        from segue.runs.lineage import lineage_of_delivery

        refs = [BranchRef.from_xcom(each) for each in self.branches or () if each]
        if not refs:
            raise AirflowSkipException("no contact of this run passed the conditions")
        ti, ledger = context["ti"], open_ledger()
        self.lineage = lineage_of_delivery(ledger)
        result = deliver(
            self.workflow,
            self.workflow.definition.action(self.action),
            refs,
            ledger,
            owner=owner_of(context),
            clear_number=run_of(self.workflow.name, context).clear_number,
            link=run_link(ti.dag_id, ti.run_id),
            memberships=open_memberships(),
        )
        outcomes = {str(state): count for state, count in sorted(result.outcomes.items())}
        self.log.info("%s", outcomes or "nothing was sent")
        _raise_for(result)


def _raise_for(result: Pass) -> None:
    """Raise what the standing of the branch's deliveries asks for."""
    from segue.ledger.states import State

    counts = result.standing
    if not result.is_complete:
        remainder = counts[State.RELEASED] + result.elsewhere + result.to_resend
        raise AirflowException(f"{remainder} deliveries are left to be tried again: {_why(result)}")
    failures, uncertain = counts[State.FAILED], counts[State.UNCERTAIN]
    if failures or uncertain:
        raise AirflowFailException(f"{failures} deliveries failed, {uncertain} are uncertain")
    if not counts[State.DELIVERED]:
        states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        raise AirflowSkipException(f"nothing is to be sent: {states}")


def _why(result: Pass) -> str:
    if result.stopped:
        return f"{result.stopped}; segue go lets it go on"
    if result.connection:
        return result.connection
    if result.elsewhere:
        return f"{result.elsewhere} are in another worker's hands"
    if result.retry_after:
        return f"the vendor asked for {result.retry_after:.0f} s"
    return "the failures may pass"
