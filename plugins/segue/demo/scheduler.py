"""Airflow's scheduler with what tasks import in memory: ``python -m segue.demo.scheduler``.

Each task is a fork of the scheduler's workers, or of Celery's, of which the arguments tell:
``python -m segue.demo.scheduler celery worker``. With pandas, the ledger and the rest of Segue
loaded before they fork, a task takes a quarter of a core's second where it took a whole one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from runpy import run_module

_OF_TASKS = (
    "pandas",
    "segue.dag_builder",
    "segue.channels.email.message",
    "segue.channels.http.sender",
    "segue.channels.slack.message",
    "segue.channels.tickets.base",
    "segue.delivery.steps",
    "segue.runs.guard",
    "segue.runs.report",
    "segue.runs.start",
)


def main() -> None:
    """Import it, and be the command ``airflow scheduler``, or the one that the arguments name."""
    for name in _OF_TASKS:
        import_module(name)
    sys.argv = ["airflow", *(sys.argv[1:] or ["scheduler"])]
    run_module("airflow", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
