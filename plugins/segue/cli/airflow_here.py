"""What the Airflow of this machine says, asked by its own command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from segue.cli.output import note
from segue.settings import find_airflow_home

_SECONDS = 60


def is_paused(dag_id: str) -> bool | None:
    """Return whether a DAG is paused; None where Airflow cannot be asked, or has no such DAG."""
    return (paused_dags() or {}).get(dag_id)


def paused_dags() -> dict[str, bool] | None:
    """Return whether each of Airflow's DAGs is paused, by its id; None where it cannot be asked.

    An Airflow that is not set up is not asked: its command line would set one up.
    """
    rows = _listed("dags", "list", "--columns", "dag_id,is_paused")
    return None if rows is None else {row[0]: row[1] == "True" for row in rows}


def pool_names() -> set[str] | None:
    """Return the names of Airflow's pools; None where it cannot be asked."""
    rows = _listed("pools", "list")
    return None if rows is None else {row[0] for row in rows}


def has_triggerer() -> bool | None:
    """Return whether a triggerer runs anywhere; None where Airflow cannot be asked."""
    try:
        _asked("jobs", "check", "--job-type", "TriggererJob", "--allow-multiple", "--limit", "0")
    except subprocess.CalledProcessError:
        return False
    except (OSError, subprocess.SubprocessError):
        return None
    return True


def start_release(by: str) -> str:
    """Let segue_release run now: ``started``, ``paused``; ``unknown`` where it cannot be asked."""
    try:
        answer = _run(sys.executable, "-m", "segue.operators.release_now", by)
        return answer.split()[-1]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"


def start_release_for(request: int, by: str) -> bool:
    """Let segue_release run now for a request, and say so; False where it is paused."""
    start = start_release(by)
    if start == "started":
        note(f"segue_release is started for request {request}")
    elif start == "paused":
        note(
            "segue_release is paused, and carries out nothing until it is on: "
            "airflow dags unpause segue_release"
        )
    return start != "paused"


def _listed(*arguments: str) -> list[list[str]] | None:
    """Return the rows of one of Airflow's listings, as texts; None where it cannot be asked."""
    try:
        answer = _asked(*arguments, "--output", "json")
        rows = json.loads(next(line for line in answer.splitlines() if line[:2] == "[{"))
        return [[str(value) for value in row.values()] for row in rows]
    except (OSError, subprocess.SubprocessError, ValueError, AttributeError, StopIteration):
        return None


def _asked(*arguments: str) -> str:
    """Return what Airflow's command line prints; OSError where it is not there or not set up."""
    program = Path(sys.executable).with_name("airflow")
    executable = str(program) if program.exists() else shutil.which("airflow")
    if executable is None:
        raise FileNotFoundError("no airflow")
    return _run(executable, *arguments)


def _run(*command: str) -> str:
    """Return what a program prints that asks Airflow; OSError where that is not set up."""
    home = find_airflow_home(os.environ)
    is_set_up = (home / "airflow.cfg").exists() or "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in (
        os.environ
    )
    if not is_set_up:
        raise FileNotFoundError("no airflow that is set up")
    return subprocess.run(  # noqa: S603 - Airflow's own command line, or a module of ours
        command,
        env={**os.environ, "AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=True,
    ).stdout
