"""What a workflow and its actions say to Airflow of their tasks: ``airflow:``.

Nothing here decides what is sent: where tasks run, how many at a time, for how long, and which
functions hear of it. Callbacks are names here, which are imported when they are called or checked
(``segue.workflows.callbacks``), and a pod is plain data (``segue.workflows.pods``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from segue.documents import Definition, Items, Location, Unpadded
from segue.durations import Duration, DurationField

_DOTTED = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")
POD_OVERRIDE = "pod_override"
CALLBACKS = (
    "on_execute_callback",
    "on_failure_callback",
    "on_retry_callback",
    "on_skipped_callback",
    "on_success_callback",
)


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _dotted(value: str) -> str:
    if not _DOTTED.search(value):
        raise ValueError(f"found {value!r}; allowed: a function such as my_package.alerts.page")
    return value


def _lasting(value: Duration) -> Duration:
    if not value.amount:
        raise ValueError(f"found {value}; allowed: a time of 1s or more")
    return value


def _described(value: dict[str, Any]) -> dict[str, Any]:
    pod = value.get(POD_OVERRIDE, {})
    if not isinstance(pod, dict):
        raise ValueError(  # noqa: TRY004 - pydantic wants a ValueError
            f"{POD_OVERRIDE} is {pod!r}; allowed: a mapping, as a Pod's manifest has it: "
            "{spec: {containers: …}}"
        )
    return value


AirflowsName = Annotated[Unpadded, Field(min_length=1, max_length=256)]  # of a pool, of a queue
Function = Annotated[
    str, AfterValidator(_dotted), WithJsonSchema({"type": "string", "pattern": _DOTTED.pattern})
]
Functions = Annotated[
    Items[Function], BeforeValidator(_several, json_schema_input_type=Function | Items[Function])
]
Number = Annotated[int, Field(ge=1, le=1000)]


class TaskSettings(Definition):
    """What may be said of all tasks of a workflow, and of an action's."""

    pool: AirflowsName | None = Field(None, description="Airflow's pool, else SEGUE_POOL")
    queue: AirflowsName | None = Field(None, description="The executor's queue, else SEGUE_QUEUE")
    executor: AirflowsName | None = Field(None, description="One of [core] executor")
    executor_config: Annotated[dict[str, Any], AfterValidator(_described)] | None = None
    priority_weight: Number | None = Field(
        None, description="What each task weighs where tasks wait for a slot"
    )
    execution_timeout: Annotated[DurationField, AfterValidator(_lasting)] | None = None
    max_active_tis_per_dag: Number | None = Field(
        None, description="How many instances of a task run at a time, of all runs"
    )

    def arguments(self) -> dict[str, Any]:
        """Return what is said, as Airflow's operators take it, but for callbacks and a pod."""
        own = {key: getattr(self, key) for key in TaskSettings.model_fields}
        if self.execution_timeout is not None:
            own["execution_timeout"] = self.execution_timeout.approximate()
        return {key: value for key, value in own.items() if value is not None}

    def callbacks(self) -> Iterator[tuple[str, int, str]]:
        """Yield (key, place in its list, function) of each callback."""
        for key in CALLBACKS:
            for index, name in enumerate(getattr(self, key, ())):
                yield key, index, name


class WorkflowSettings(TaskSettings):
    """``airflow`` of a workflow: of its DAG, and of each of its tasks."""

    ELSEWHERE: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("on_execute_callback", "on_retry_callback", "on_skipped_callback"),
        "a run is neither retried nor skipped, its tasks are: write it below an action's `airflow`",
    )

    max_active_runs: Number = 4
    deferrable: bool | None = Field(
        None, description="Whether a run waits for its snapshot in the triggerer"
    )
    on_failure_callback: Functions = ()
    on_success_callback: Functions = ()


class ActionSettings(TaskSettings):
    """``airflow`` of an action: of the task, or the tasks, that deliver it."""

    ELSEWHERE: ClassVar[Mapping[str, str]] = {
        "max_active_runs": "a DAG has runs, a task has none: write it below the workflow's own "
        "`airflow`, or bound the action's tasks by `max_active_tis_per_dag`",
        "deferrable": "an action's task does not wait: write it below the workflow's own `airflow`",
    }

    on_execute_callback: Functions = ()
    on_failure_callback: Functions = ()
    on_retry_callback: Functions = ()
    on_skipped_callback: Functions = ()
    on_success_callback: Functions = ()


# keys of ``airflow`` that stood in a workflow itself
MOVED: Mapping[str, str] = {
    key: f"it stands below `airflow`: `airflow: {{{key}: …}}`"
    for key in WorkflowSettings.model_fields
}


def setting_problems(settings: TaskSettings) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with callbacks and a pod; both are imported to find out."""
    from segue.workflows.callbacks import callback_problem
    from segue.workflows.pods import pod_problems

    for key, index, name in settings.callbacks():
        message = callback_problem(name)
        if message is not None:
            yield (key, index), message
    pod = (settings.executor_config or {}).get(POD_OVERRIDE)
    if pod is not None:
        for location, message in pod_problems(pod):
            yield ("executor_config", POD_OVERRIDE, *location), message
