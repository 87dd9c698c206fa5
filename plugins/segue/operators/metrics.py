"""Metrics of a run, through Airflow's own: StatsD or OpenTelemetry, whichever it is set up with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from segue.airflow_compat import conf, set_gauge
from segue.ledger.states import OPEN_STATES, State
from segue.runs.report import RunReport

_COUNTED = (State.DELIVERED, State.FAILED, State.HELD, State.UNCERTAIN)
_TAGGING = ("statsd_influxdb_enabled", "statsd_datadog_enabled")  # forms of StatsD that have tags


def emit(report: RunReport, gaps: int) -> None:
    """Set the gauges ``segue.delivered`` and so on, tagged with the workflow.

    They count the run's deliveries by state, as its report does; ``waiting`` those not tried to
    the end; ``gaps`` is of the whole workflow. ``segue.action.delivered`` and so on are the same of
    each action, tagged with it, too. Where metrics have no tags, those end the name
    (``segue.delivered.call_back``): else the gauges of all would overwrite each other.
    """
    workflow = {"workflow": report.run.workflow}
    for name, value in {**_by_name(report.states), "gaps": gaps}.items():
        _set(f"segue.{name}", value, workflow)
    for action, outcomes in report.actions.items():
        states: Counter[str] = Counter()
        for (state, _), count in outcomes.items():
            states[state] += count
        for name, value in _by_name(states).items():
            _set(f"segue.action.{name}", value, {**workflow, "action": action})


def _by_name(states: Counter[str]) -> dict[str, int]:
    waiting = sum(states[state] for state in OPEN_STATES)
    return {**{str(state): states[state] for state in _COUNTED}, "waiting": waiting}


def _set(name: str, value: int, tags: Mapping[str, str]) -> None:
    end = "".join(f".{tag}" for tag in tags.values()) if _drops_tags() else ""
    set_gauge(f"{name}{end}", value, tags)


def _drops_tags() -> bool:
    """Tell whether the metrics go to plain StatsD, whose messages have no place for tags."""
    if not conf.getboolean("metrics", "statsd_on", fallback=False):
        return False
    return not any(conf.getboolean("metrics", name, fallback=False) for name in _TAGGING)
