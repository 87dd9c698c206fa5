"""The operator of ``segue_export``: the delivery log as tables, for whoever analyses it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from segue.operators.failures import shown_plainly, waits_for_set_up

if TYPE_CHECKING:
    from airflow.sdk import Context

_RETRIED: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(minutes=1)}


class ExportLog(BaseOperator):
    """Append to SEGUE_EXPORT what has changed in the ledger since the last export."""

    ui_color = "#e2f0d9"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**_RETRIED, **kwargs})

    @shown_plainly
    @waits_for_set_up
    def execute(self, context: Context) -> dict[str, int]:
        """Return how many rows of each table were appended."""
        from segue.operators.environment import present_ledger, task_destination
        from segue.upkeep.exports.export import export

        destination = task_destination()
        outcome = export(present_ledger(), destination, datetime.now(UTC))
        self.log.info("%s: %s", destination.address, outcome)
        return dict(outcome.rows)
