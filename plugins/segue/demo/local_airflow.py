"""A real Airflow on this machine: API server, scheduler and DAG processor on SQLite.

Used by the demo and by the tests that need a scheduler. It listens on loopback alone, everybody
who reaches it is an administrator, and everything it writes is below its home folder. The
settings are the ones under which Airflow 3.3 on SQLite survives hundreds of short tasks.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import requests

from segue.errors import SegueError

PARALLELISM = 8
_STARTUP_SECONDS = 120
_STOP_SECONDS = 10
_TRIES = 8  # of one call, two minutes in all
_SECONDS_FOR_A_LOCK = 30  # of its SQLite file; Python's own 5 are not enough for Airflow's parts
_MOST_RESTARTS = 3  # of one component
_AIRFLOW = str(Path(sys.executable).parent / "airflow")
_COMPONENTS = {
    "api-server": (_AIRFLOW, "api-server", "--workers", "1"),
    "scheduler": (sys.executable, "-m", "segue.demo.scheduler"),
    "dag-processor": (_AIRFLOW, "dag-processor"),
}
_FINAL_STATES = frozenset({"success", "failed"})


class LocalAirflow:
    """A running Airflow, used as a context manager; talks to its public REST API.

    Unless it is ``scheduled``, nothing runs but what is triggered or backfilled.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags: Path,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        with_triggerer: bool = False,
        scheduled: bool = False,
    ) -> None:
        self.home = home
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **_without_airflow(os.environ),
            **_settings(home, dags, self.port),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(scheduled),
            # how often an unchanged DAG file is parsed again, a second's work each time: in a demo
            # or a test nobody adds a workflow, and tasks read the definitions themselves
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30" if scheduled else "600",
            **(environment or {}),
        }
        # every task is a new process: without compiled modules each takes seconds longer
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._components = dict(_COMPONENTS)
        if with_triggerer:
            self._components["triggerer"] = (_AIRFLOW, "triggerer")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: Counter[str] = Counter()
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has no business on loopback

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Migrate the database, start every component and wait until the API answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "logs").mkdir(exist_ok=True)
        self.run("db", "migrate")
        for name, command in self._components.items():
            self._spawn(name, command)
        self._wait_until_up()

    def stop(self) -> None:
        """End all components, by force where they do not listen."""
        processes = [process for process in self._processes.values() if process.poll() is None]
        for process in processes:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        for process in self._processes.values():
            _signal_group(process, signal.SIGKILL)  # workers that outlived their parent, too
            process.wait()
        self._processes.clear()

    def run(self, *arguments: str) -> str:
        """Run an ``airflow`` command to its end and return what it printed."""
        command = [_AIRFLOW, *arguments]
        process = subprocess.run(  # noqa: S603 - our own command line
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if process.returncode:
            raise SegueError(
                f"airflow {' '.join(arguments)} ended with {process.returncode}:\n"
                f"{(process.stdout + process.stderr)[-2000:]}"
            )
        return process.stdout

    def alive(self) -> None:
        """Start a component that ended by itself again; SegueError when it does so repeatedly.

        Airflow's scheduler on SQLite now and then loses a race for a run (StaleDataError).
        """
        for name, process in list(self._processes.items()):
            if process.poll() is None:
                continue
            self._restarts[name] += 1
            if self._restarts[name] > _MOST_RESTARTS:
                log = self.home / "logs" / f"{name}.log"
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise SegueError(f"Airflow's {name} ended by itself; {log} ends with:\n{tail}")
            _signal_group(process, signal.SIGKILL)
            self._spawn(name, self._components[name])

    # ---- the public REST API ---------------------------------------------------------------

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Call ``/api/v2/<path>`` and return the answer's JSON; tries again after a 5xx."""
        for attempt in range(_TRIES):
            response = self._request(method, f"{self.url}/api/v2/{path}", **arguments)
            if response.status_code < 500:
                break
            time.sleep(0.5 * 2**attempt)
        if not response.ok:
            raise SegueError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response.json() if response.content else None

    def wait_for_dags(self, *dag_ids: str, seconds: float = 90) -> None:
        """Wait until the DAG processor has made these DAGs known."""
        deadline = time.monotonic() + seconds
        missing = set(dag_ids)
        while missing:
            present = {dag["dag_id"] for dag in self.call("GET", "dags?limit=1000")["dags"]}
            missing = set(dag_ids) - present
            if missing and time.monotonic() > deadline:
                errors = self.call("GET", "importErrors")["import_errors"]
                raise SegueError(f"Airflow does not know {sorted(missing)}; {errors}")
            if missing:
                self.alive()
                time.sleep(1)

    def pause(self, dag_id: str) -> None:
        """Pause a DAG: its queued runs wait."""
        self.call("PATCH", f"dags/{dag_id}", json={"is_paused": True})

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs start."""
        self.call("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def backfill(
        self,
        dag_id: str,
        start: str,
        end: str,
        *,
        conf: Mapping[str, Any] | None = None,
        reprocess: str = "none",
    ) -> int:
        """Create a backfill over the intervals that start in [start, end]; return its id."""
        body = {
            "dag_id": dag_id,
            "from_date": start,
            "to_date": end,
            "run_backwards": False,
            "dag_run_conf": dict(conf or {}),
            "reprocess_behavior": reprocess,
            "max_active_runs": 4,
        }
        self._wait_for_backfills(dag_id)
        for attempt in range(_TRIES):
            answer = self._request("POST", f"{self.url}/api/v2/backfills", json=body)
            if answer.ok:
                return int(answer.json()["id"])
            if answer.status_code < 500:
                break
            # SQLite was locked half way: what is there of it would refuse another with a 409
            time.sleep(0.5 * 2**attempt)
            self.cancel_backfills(dag_id)
        raise SegueError(f"backfill of {dag_id}: {answer.status_code} {answer.text[:500]}")

    def _wait_for_backfills(self, dag_id: str, seconds: float = 120) -> None:
        """Wait until no backfill of a DAG is active: Airflow allows one and closes it late."""
        deadline = time.monotonic() + seconds
        while self._active_backfills(dag_id) and time.monotonic() < deadline:
            time.sleep(1)

    def _active_backfills(self, dag_id: str) -> list[int]:
        backfills = self.call("GET", f"backfills?dag_id={dag_id}")["backfills"]
        return [backfill["id"] for backfill in backfills if backfill["completed_at"] is None]

    def cancel_backfills(self, dag_id: str) -> None:
        """Cancel the backfills of a DAG that an interrupted demo left active."""
        for number in self._active_backfills(dag_id):
            self.call("PUT", f"backfills/{number}/cancel")

    def runs(self, dag_id: str = "~") -> list[dict[str, Any]]:
        """Return the runs of a DAG, or of all, by run id."""
        dag_runs = self.call("GET", f"dags/{dag_id}/dagRuns?limit=1000")["dag_runs"]
        return sorted(dag_runs, key=lambda run: (run["dag_id"], run["dag_run_id"]))

    def wait_for_runs(
        self,
        *dag_ids: str,
        expected: int = 1,
        seconds: float = 600,
        after: datetime | None = None,
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield the ended runs of these DAGs every second until ``expected`` have ended.

        With ``after`` only runs that ended later count, for runs that are done again.
        """
        deadline = time.monotonic() + seconds
        while True:
            runs = [run for dag_id in dag_ids for run in self.runs(dag_id)]
            finals = [run for run in runs if _has_ended(run, after)]
            yield finals
            states = {run["dag_run_id"]: run["state"] for run in runs}
            if len(finals) >= expected and _FINAL_STATES.issuperset(states.values()):
                return
            if time.monotonic() > deadline:
                raise SegueError(f"runs did not end within {seconds:g} s: {states}")
            self.alive()
            time.sleep(1)

    # ---- inside ------------------------------------------------------------------------------

    def _request(self, method: str, url: str, **arguments: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"
        return self._session.request(method, url, timeout=60, **arguments)

    def _token(self) -> str:
        answer = self._session.get(f"{self.url}/auth/token", timeout=30)
        return str(answer.json()["access_token"])

    def _spawn(self, name: str, command: tuple[str, ...]) -> None:
        with (self.home / "logs" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its workers can be ended with it
            )

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + _STARTUP_SECONDS
        while True:
            self.alive()
            try:
                health = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
                if all(
                    health[part]["status"] == "healthy" for part in ("scheduler", "metadatabase")
                ):
                    return
            except (requests.RequestException, ValueError, KeyError):
                pass  # not up yet
            if time.monotonic() > deadline:
                raise SegueError(
                    f"Airflow did not come up within {_STARTUP_SECONDS} s; see {self.home / 'logs'}"
                )
            time.sleep(0.5)


def _without_airflow(environ: Mapping[str, str]) -> dict[str, str]:
    """Drop the user's own Airflow settings: a secrets backend would know real accounts."""
    return {name: value for name, value in environ.items() if not name.startswith("AIRFLOW_")}


def _has_ended(run: Mapping[str, Any], after: datetime | None) -> bool:
    if run["state"] not in _FINAL_STATES or run["end_date"] is None:
        return False
    return after is None or datetime.fromisoformat(run["end_date"]) > after


def _settings(home: Path, dags: Path, port: int) -> dict[str, str]:
    secret = _kept_secret(home)
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
            f"sqlite:///{home / 'airflow.db'}?timeout={_SECONDS_FOR_A_LOCK}"
        ),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _kept_secret(home: Path) -> str:
    """Return a secret that stays the same for this home, so that a restart keeps log-ins valid."""
    path = home / ".secret"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
