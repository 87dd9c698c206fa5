"""How a task ends: its errors are one line that says what to do; told to end, it does in order."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseOperator

from segue.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from segue.errors import (
    AudienceEdited,
    DefinitionError,
    NotSetUp,
    RunHalted,
    SegueError,
    SettingsError,
    SnapshotRewritten,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

_DAGS_TEST = "dag_test"  # who triggers a run of `airflow dags test`, as Airflow has it
_NO_RETRY = (
    "airflow dags test waits for no retry: once that is mended, start it again with the same date, "
    "which sends what is left"
)
_TIMED_OUT = (
    "its execution_timeout of %s is over: no further call began, those that had begun were heard "
    "to their end and written down, and the next try takes up what is left"
)
Function = TypeVar("Function", bound=Callable[..., Any])

# what no retry can cure: a person has to change something first
_FINAL = (
    AudienceEdited,
    DefinitionError,
    NotSetUp,
    RunHalted,
    SettingsError,
    SnapshotRewritten,
)


def shown_plainly(execute: Function) -> Function:
    """Turn Segue's errors into Airflow's: final ones fail at once, others may be retried.

    But `airflow dags test` waits for retries in the foreground, for a day: there all are final.
    """

    @wraps(execute)
    def wrapper(self: Any, context: Context, *args: Any, **kwargs: Any) -> Any:
        try:
            return _with_airflows_errors(execute, self, context, *args, **kwargs)
        except AirflowException as error:
            if type(error) is AirflowException and is_dags_test(context):
                raise AirflowFailException(f"{error}; {_NO_RETRY}") from None
            raise
        except AirflowTaskTimeout:
            if is_dags_test(context):
                raise AirflowFailException(f"its execution_timeout is over; {_NO_RETRY}") from None
            raise

    return wrapper  # type: ignore[return-value]


def _with_airflows_errors(execute: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    try:
        return execute(*args, **kwargs)
    except _FINAL as error:
        raise AirflowFailException(str(error)) from None
    except SegueError as error:
        raise AirflowException(str(error)) from None


def is_dags_test(context: Context) -> bool:
    """Tell whether `airflow dags test` made the run: of a date, with or without a scheduler."""
    return getattr(context.get("dag_run"), "triggering_user_name", None) == _DAGS_TEST


def waits_for_set_up(execute: Function) -> Function:
    """Let a task of Segue's own DAGs skip itself, saying why, where there is no ledger yet.

    They are on from the moment their files are copied, and a workflow's run fails for the same
    reason: nothing is passed over in silence.
    """

    @wraps(execute)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except NotSetUp as error:
            raise AirflowSkipException(f"nothing can be due yet: {error}") from None

    return wrapper  # type: ignore[return-value]


class EndsInOrder(BaseOperator):
    """An operator that, told to end, lets its pass write down what it has heard; it is retried."""

    def on_kill(self) -> None:
        """End the process as a signal would, with everything that is to be done before.

        Airflow calls it after a timeout, too: the pass has ended in order by then.
        """
        if isinstance(sys.exception(), AirflowTaskTimeout):
            self.log.error(_TIMED_OUT, self.execution_timeout)
            return
        raise SystemExit("the task was told to end")
