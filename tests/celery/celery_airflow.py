"""An Airflow on CeleryExecutor, with Redis and PostgreSQL of its own, and two workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from tests.airflow.driven import DrivenAirflow
from tests.matrix.cell import free_port, wait_for

AIRFLOW = str(Path(sys.executable).parent / "airflow")
LOGIN = {"username": "admin", "password": "admin"}
QUEUES = {"segue": 4, "default": 2}  # and how many tasks its worker runs at a time
# A worker that dies is noticed after 300 s, and what it had fetched and not begun after 600: here
# a team that wants to wait less says so.
SOONER = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
}


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis server that keeps nothing; yield its URL."""
    program, port = shutil.which("redis-server"), free_port()
    if program is None:
        sys.exit("there is no redis-server on this machine: apt-get install redis-server")
    options = ("--port", str(port), "--save", "", "--dir", str(folder), "--bind", "127.0.0.1")
    with (folder / "redis.log").open("ab") as log:
        server = subprocess.Popen((program, *options), stdout=log, start_new_session=True)
    try:
        wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


class CeleryAirflow(DrivenAirflow):
    """Workers are components like the others; ``kill`` ends one, with its tasks, at once."""

    def __init__(
        self, home: Path, dags: Path, database: str, broker: str, environment: Mapping[str, str]
    ) -> None:
        database = database.replace("+psycopg:", "+psycopg2:")
        ours = {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": "32",
            "AIRFLOW__CORE__AUTH_MANAGER": (
                "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            "AIRFLOW__OPERATORS__DEFAULT_QUEUE": "default",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
            **SOONER,
        }
        super().__init__(
            home, dags=dags, environment={**ours, **environment}, login=LOGIN, scheduled=True
        )
        self._components["scheduler"] = (AIRFLOW, "scheduler")
        for queue, number in QUEUES.items():
            self._components[f"worker-{queue}"] = self._worker(queue, number)

    def _worker(self, queue: str, number: int) -> tuple[str, ...]:
        """Return the command of a worker; Segue's has in memory what its tasks import."""
        place = ("--celery-hostname", f"{queue}@%h", "--pid", str(self.home / f"{queue}.pid"))
        preloaded = (sys.executable, "-m", "segue.demo.scheduler")
        airflow = preloaded if queue == "segue" else (AIRFLOW,)
        command = (*airflow, "celery", "worker", "--queues", queue, "--concurrency", str(number))
        return (*command, *place, "--skip-serve-logs")

    def start(self) -> None:
        """Make what is there before anything runs: tables, an administrator, a pool."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.run("db", "migrate")
        person = ("--firstname", "A", "--lastname", "B", "--email", "admin@example.com")
        login = ("--username", LOGIN["username"], "--password", LOGIN["password"])
        self.run("users", "create", *login, *person, "--role", "Admin")
        self.run("pools", "set", "segue", "8", "tasks of Segue")
        super().start()

    def kill(self, queue: str) -> int:
        """End a worker and all that it runs with SIGKILL, start another; return their number."""
        name = f"worker-{queue}"
        process = self._processes[name]
        family = [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for each in family:  # what had left the group
            if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                each.kill()
        psutil.wait_procs(family, timeout=10)
        (self.home / f"{queue}.pid").unlink(missing_ok=True)
        time.sleep(2)
        self._spawn(name, self._components[name])
        return len(family)


@contextmanager
def running(airflow: CeleryAirflow) -> Iterator[CeleryAirflow]:
    """Keep it running, and what its session holds open no longer than that."""
    with airflow, closing(airflow._session):
        yield airflow
