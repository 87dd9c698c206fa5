"""What differs among the releases of Airflow that Segue runs on; nowhere else are they told apart.

What a release keeps in another place is imported from here. Nothing of Segue is imported.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.providers.standard.operators.hitl import HITLOperator


def question_needs_triggerer() -> bool:
    """Tell whether a person's answer is heard by a triggerer alone.

    So it is before Airflow 3.3, and with a standard provider before 1.16.
    """
    from airflow.providers.standard.operators import hitl

    return not hasattr(hitl, "TaskAwaitingInput")


def wait_at_most(question: HITLOperator, time: timedelta) -> None:
    """Bound how long an operator that is about to ask waits for the answer.

    Before the standard provider's 1.13 that was the time for execution, which Airflow has read by
    then for what it means elsewhere.
    """
    if hasattr(question, "response_timeout"):
        question.response_timeout = time
    else:
        question.execution_timeout = time
