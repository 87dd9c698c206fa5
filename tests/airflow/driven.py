"""Airflow as tests drive it: runs triggered, awaited and cleared, tasks looked at one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.demo.local_airflow import LocalAirflow


class DrivenAirflow(LocalAirflow):
    """A running Airflow that a test has in hand.

    ``login`` is a username and password, where not everybody is an administrator.
    """

    def __init__(
        self,
        home: Path,
        *,
        environment: Mapping[str, str],
        login: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        # a run is seven tasks behind each other, and a test waits for each
        at_once = {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3"}  # seconds; usually 1
        super().__init__(home, environment={**at_once, **environment}, **settings)
        self._login = login

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Trigger a manual run and return its run id."""
        body = {"conf": dict(conf or {}), "logical_date": None, **fields}
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def get(self, address: str, **arguments: Any) -> str:
        """Return what a page of this Airflow holds."""
        return self._request("GET", address, **arguments).text

    def finish(self, dag_id: str, expected: int = 1, seconds: float = 600) -> dict[str, str]:
        """Wait for the runs of a DAG to end; return their states by run id."""
        for runs in self.wait_for_runs(dag_id, expected=expected, seconds=seconds):
            last = runs
        return {run["dag_run_id"]: run["state"] for run in last}

    def task_states(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
        """Return the state of each task instance of a run by (task id, map index)."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=1000"
        instances = self.call("GET", path)["task_instances"]
        return {(item["task_id"], item["map_index"]): item["state"] for item in instances}

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Clear tasks of a run (all where none is named), as the button in the UI does."""
        body: dict[str, Any] = {"dry_run": False, "only_failed": False, "dag_run_id": run_id}
        if task_ids:
            body |= {"task_ids": list(task_ids), "include_downstream": True}
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", json=body)

    def task_log(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
        """Return the log of a task instance's first try as text."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/1"
        log = self.call("GET", f"{path}?map_index={map_index}&full_content=true")
        return json.dumps(log, ensure_ascii=False)

    def _token(self) -> str:
        if self._login is None:
            return super()._token()
        place = f"{self.url}/auth/token"
        answer = self._session.post(place, json=dict(self._login), timeout=30)
        return str(answer.json()["access_token"])
