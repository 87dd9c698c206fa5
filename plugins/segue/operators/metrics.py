"""Metrics of a run, through Airflow's own: StatsD or OpenTelemetry, whichever it is set up with."""

from __future__ import annotations

from airflow.sdk.observability import stats

from segue.ledger.states import OPEN_STATES, State
from segue.runs.report import RunReport

_COUNTED = (State.DELIVERED, State.FAILED, State.HELD, State.UNCERTAIN)


def emit(report: RunReport, gaps: int) -> None:
    """Set the gauges ``segue.delivered`` and so on, tagged with the workflow.

    They count the run's deliveries by state, as its report does; ``waiting`` those not tried to
    the end; ``gaps`` is of the whole workflow.
    """
    values = {str(state): report.states[state] for state in _COUNTED}
    values["waiting"] = sum(report.states[state] for state in OPEN_STATES)
    values["gaps"] = gaps
    for name, value in values.items():
        stats.gauge(f"segue.{name}", value, tags={"workflow": report.run.workflow})
