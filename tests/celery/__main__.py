"""``make celery``: Segue's catch-up of ten days on Celery, a worker killed three times.

CeleryExecutor with Redis and PostgreSQL, FAB's auth manager, a worker for the queue ``segue`` and
one for ``default``. Counts what the servers received of what was to be sent, and how long the runs
of somebody's own DAG take, without the catch-up and during it. By hand: it takes half an hour, and
wants uv, ``redis-server`` and PostgreSQL's programs on this machine. What it starts is its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path

from tests.matrix.cell import ROOT, command

EXTRAS = "celery,fab,postgres"
BROKER = "celery[redis]<5.7"  # which has moved what Airflow's provider imports
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "segue-celery"


def main() -> None:
    """Make the environment, where it is not there yet, and go on in it."""
    parser = argparse.ArgumentParser(prog="make celery", description=__doc__)
    parser.add_argument("--days", type=int, default=10, help="that are caught up")
    parser.add_argument("--minutes", type=float, default=8, help="of the other DAG alone, before")
    parser.add_argument("--kills", type=int, default=3, help="of the worker of Segue's queue")
    parser.add_argument("--folder", type=Path, help="where its files and logs stay")
    parser.add_argument("--environment", type=Path, help="a virtual environment that has it all")
    chosen = parser.parse_args()
    python = (chosen.environment or _environment()) / "bin/python"
    arguments = [str(chosen.days), str(chosen.minutes), str(chosen.kills), str(chosen.folder or "")]
    os.chdir(ROOT)
    os.execv(python, [str(python), "-m", "tests.celery.experiment", *arguments])


def _environment() -> Path:
    """Return an environment with this Airflow, Celery, FAB and Segue; made anew after a change.

    Of the lock's packages some are newer than FAB's provider allows, so that uv resolves anew.
    """
    airflow = f"apache-airflow[{EXTRAS}]=={version('apache-airflow')}"
    wanted = (ROOT / "pyproject.toml").read_text() + airflow + BROKER + sys.version
    folder = CACHE / hashlib.sha256(wanted.encode()).hexdigest()[:12]
    ready, python = folder / ".ready", folder / "bin/python"
    if not ready.exists():
        print(f"Making {folder}", flush=True)
        pip = ("uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", python)
        project = ("--requirements", ROOT / "pyproject.toml", "--extra", "postgres")
        build = ("--group", ROOT / "pyproject.toml:build")
        command("uv", "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        command(*pip, *project, "--extra", "sandbox", *build, airflow, BROKER)
        command(*pip, "--no-build-isolation", "--no-deps", "--editable", ROOT)
        ready.touch()
    return folder


if __name__ == "__main__":
    main()
