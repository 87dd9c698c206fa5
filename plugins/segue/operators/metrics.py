"""Metrics of a run, through Airflow's own: StatsD or OpenTelemetry, whichever it is set up with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta

from segue.airflow_compat import conf, set_gauge
from segue.ledger.states import DUE_LATER, OPEN_STATES, State
from segue.runs.report import Account

_COUNTED = (State.DELIVERED, State.FAILED, *DUE_LATER, State.UNCERTAIN)
_TAGGING = ("statsd_influxdb_enabled", "statsd_datadog_enabled")  # forms of StatsD that have tags


def emit(account: Account) -> None:
    """Set the gauges ``segue.delivered`` and so on, tagged with the workflow.

    They count the run's deliveries by state, as its report does; ``under_way`` those not tried to
    the end; ``gaps`` is of the whole workflow. ``segue.action.delivered`` and so on are the same of
    each action, tagged with it, too. ``latency`` is set where something was delivered. Where
    metrics have no tags, those end the name (``segue.delivered.call_back``): else the gauges of all
    would overwrite each other.
    """
    report, latencies = account.report, account.latencies
    workflow = {"workflow": report.run.workflow}
    whole = {**_by_name(report.states), "gaps": len(account.gaps), **_latency(latencies.values())}
    for name, value in whole.items():
        _set(f"segue.{name}", value, workflow)
    for action, outcomes in report.actions.items():
        states: Counter[str] = Counter()
        for (state, _), count in outcomes.items():
            states[state] += count
        own = [latencies[action]] if action in latencies else []
        for name, value in {**_by_name(states), **_latency(own)}.items():
            _set(f"segue.action.{name}", value, {**workflow, "action": action})


def _by_name(states: Counter[str]) -> dict[str, int]:
    under_way = sum(states[state] for state in OPEN_STATES)
    return {**{str(state): states[state] for state in _COUNTED}, "under_way": under_way}


def _latency(latencies: Collection[timedelta]) -> dict[str, int]:
    """Return the longest, in seconds; from the as-of of a change to its delivery."""
    return {"latency": int(max(latencies).total_seconds())} if latencies else {}


def _set(name: str, value: int, tags: Mapping[str, str]) -> None:
    end = "".join(f".{tag}" for tag in tags.values()) if _drops_tags() else ""
    set_gauge(f"{name}{end}", value, tags)


def _drops_tags() -> bool:
    """Tell whether the metrics go to plain StatsD, whose messages have no place for tags."""
    if not conf.getboolean("metrics", "statsd_on", fallback=False):
        return False
    return not any(conf.getboolean("metrics", name, fallback=False) for name in _TAGGING)
