"""Metrics of a run, through Airflow's own: StatsD or OpenTelemetry, whichever it is set up with."""

from __future__ import annotations

from segue.airflow_compat import conf, set_gauge
from segue.ledger.states import OPEN_STATES, State
from segue.runs.report import RunReport

_COUNTED = (State.DELIVERED, State.FAILED, State.HELD, State.UNCERTAIN)
_TAGGING = ("statsd_influxdb_enabled", "statsd_datadog_enabled")  # forms of StatsD that have tags


def emit(report: RunReport, gaps: int) -> None:
    """Set the gauges ``segue.delivered`` and so on, tagged with the workflow.

    They count the run's deliveries by state, as its report does; ``waiting`` those not tried to
    the end; ``gaps`` is of the whole workflow. Where metrics have no tags, the workflow ends the
    name (``segue.delivered.call_back``): else the gauges of all would overwrite each other.
    """
    values = {str(state): report.states[state] for state in _COUNTED}
    values["waiting"] = sum(report.states[state] for state in OPEN_STATES)
    values["gaps"] = gaps
    workflow = report.run.workflow
    end = f".{workflow}" if _drops_tags() else ""
    for name, value in values.items():
        set_gauge(f"segue.{name}{end}", value, {"workflow": workflow})


def _drops_tags() -> bool:
    """Tell whether the metrics go to plain StatsD, whose messages have no place for tags."""
    if not conf.getboolean("metrics", "statsd_on", fallback=False):
        return False
    return not any(conf.getboolean("metrics", name, fallback=False) for name in _TAGGING)
