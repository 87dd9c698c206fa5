"""Runs DAGs in one warm process: ``python -m tests.channels.run``.

Each line of standard input names a DAG; it is run by Airflow's own ``DAG.test``, which executes
its tasks as a worker does, without a scheduler. A line of JSON on standard output says what came
of it. A DAG that is named again is the same run, done again.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime

from segue.dag_builder import check_definitions, workflow_dags

WHEN = datetime(2026, 11, 3, 6, tzinfo=UTC)
PREVIOUS, CURRENT = "2026-11-01", "2026-11-02"
CONF = {"previous": PREVIOUS, "current": CURRENT}


def main() -> None:
    """Run one DAG after another."""
    out = os.dup(1)
    os.dup2(2, 1)  # Airflow's log goes to standard error
    check_definitions()
    dags = {dag.dag_id: dag for dag in workflow_dags()}
    for line in sys.stdin:
        name = line.strip()
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = name  # or `test` would read all of them
        run = dags[name].test(logical_date=WHEN, run_after=WHEN, run_conf=CONF)
        states = {one.task_id: str(one.state) for one in run.get_task_instances()}
        tasks = {task.removeprefix("contact."): state for task, state in states.items()}
        facts = {"run_id": run.run_id, "state": str(run.state), "tasks": tasks}
        os.write(out, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    main()
