"""The operators of Segue's own DAGs: what no run of a workflow does by itself.

Requests are carried out, claims of dead workers freed, and whatever is due is taken through the
door, one task per workflow and action.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from segue.airflow_compat import AirflowException
from segue.documents import did_you_mean
from segue.errors import SettingsError
from segue.operators.failures import EndsInOrder, shown_plainly, waits_for_set_up
from segue.operators.notices import notifiers

if TYPE_CHECKING:
    from airflow.sdk import Context

    from segue.workflows.definition import Notice

# of what may be done again: an API server that is not up yet is nobody's alarm
_RETRIED: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(minutes=1)}
_UPGRADE = "upgrade_ledger"  # a parameter of segue_housekeeping
_LABEL = "{{ task.work['workflow'] }} {{ task.work['action'] }}"


class _OfProject(BaseOperator):
    """A task of Segue's own DAGs; what is another ``project``'s is none of its work."""

    def __init__(self, *, project: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = project  # None: of the process's settings


class FindWork(_OfProject):
    """Carry out what people requested and free expired claims; return what is to be resumed."""

    ui_color = "#fde8c8"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**_RETRIED, **kwargs})

    @shown_plainly
    @waits_for_set_up
    def execute(self, context: Context) -> list[dict[str, str]]:
        """Return a workflow and an action for each task that is to come."""
        from segue.operators.environment import present_ledger, settings_of
        from segue.upkeep.due_work import find_work

        project = settings_of(context, self.project).project
        return [
            {"workflow": workflow, "action": action}
            for workflow, action in find_work(present_ledger(), datetime.now(UTC), project)
        ]


class TryOut(_OfProject):
    """Carry out what people asked for that is no delivery: checks of connections, test messages."""

    ui_color = "#fde8c8"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"retries": 0, **kwargs})

    @shown_plainly
    @waits_for_set_up
    def execute(self, context: Context) -> None:
        """Write down what came of each; one that goes wrong does not hold up the others."""
        from segue.operators.environment import owner_of, present_ledger, settings_of
        from segue.upkeep.trials import carry_out_trials

        settings, now = settings_of(context, self.project), datetime.now(UTC)
        problems = carry_out_trials(settings, present_ledger(), now, owner=owner_of(context))
        if problems:
            raise AirflowException("; ".join(problems))


class KeepHouse(BaseOperator):
    """Delete what is older than the settings say; bring the ledger up to date where asked to."""

    ui_color = "#e2f0d9"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**_RETRIED, **kwargs})

    @shown_plainly
    def execute(self, context: Context) -> dict[str, int]:
        """Return how many of each were deleted."""
        from segue.operators.environment import upgrade_ledger

        if _is_upgrade(context):
            self.log.info("the ledger is at revision %s", upgrade_ledger())
        return self._keep_house()

    @waits_for_set_up
    def _keep_house(self) -> dict[str, int]:
        from segue.operators.environment import present_ledger, task_settings
        from segue.upkeep.retention import keep_house

        settings = task_settings()
        return keep_house(
            present_ledger(),
            settings.state,
            datetime.now(UTC),
            retention=settings.retention,
            run_areas=settings.run_areas,
        )


def _is_upgrade(context: Context) -> bool:
    """Tell whether a person asked for the upgrade; a slip of the pen is not taken for no wish."""
    for key in context["dag_run"].conf or {}:
        if key != _UPGRADE:
            hint = did_you_mean(key, [_UPGRADE])
            raise SettingsError(f"the run's conf has the key {key!r}; allowed: {_UPGRADE}{hint}")
    return bool(context["params"].get(_UPGRADE))


class Resume(EndsInOrder):
    """Take up what is due of one action of one workflow."""

    template_fields: Sequence[str] = ("work",)
    ui_color = "#fce4ec"

    def __init__(self, *, work: Any, project: str | None = None, **kwargs: Any) -> None:
        super().__init__(**{"map_index_template": _LABEL, "retries": 0, **kwargs})
        self.work = work
        self.project = project  # None: of the process's settings

    @shown_plainly
    def execute(self, context: Context) -> None:
        """Go through the door, and tell what went wrong; the next run is the retry."""
        from segue.operators.environment import (
            is_paused,
            open_ledger,
            open_memberships,
            owner_of,
            settings_of,
            workflow_link,
        )
        from segue.upkeep.due_work import due_work, take_up, tell_late_news
        from segue.workflows.catalog import catalog_of

        name, catalog = self.work["workflow"], catalog_of(settings_of(context, self.project))
        work = due_work(catalog, name, self.work["action"], open_ledger())
        problems = take_up(
            work,
            owner=owner_of(context),
            memberships=open_memberships(),
            link=workflow_link(name),
            is_paused=lambda: is_paused(name, context),
        )
        problems += tell_late_news(work, partial(_tell, context))
        if problems:
            raise AirflowException("; ".join(problems))


def _tell(context: Context, notices: Sequence[Notice], lines: Sequence[str]) -> bool:
    """Tell whom the notices name; False where no notifier could tell anybody."""
    named_notifiers = notifiers(notices)
    for notifier in named_notifiers:
        notifier({**context, "report": lines})
    return not named_notifiers or any(notifier.has_told for notifier in named_notifiers)
