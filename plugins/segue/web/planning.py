"""The plan of a workflow's next run, made in a process of its own.

A directory may hold millions of contacts. The API server, which every task needs, lends neither its
memory nor its time for a preview: one at a time, for a minute at the most.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from segue.directory.snapshots import Snapshot, usable_snapshots
from segue.errors import SegueError
from segue.ledger import Ledger
from segue.ledger.facts import Run
from segue.operators.environment import task_settings
from segue.runs.context import RunContext
from segue.runs.snapshot_pair import snapshots_for
from segue.workflows.resolved import ResolvedWorkflow

MOST = 50  # changes whose messages are rendered
_SECONDS = 60
_PACKAGES = Path(__file__).parents[2]  # Airflow puts the plugins' folder on the path by itself
_one_at_a_time = threading.BoundedSemaphore(1)


class PlanUnavailable(SegueError):
    """The plan cannot be made here, or not now."""


@dataclass(frozen=True, slots=True)
class NextPair:
    """The snapshots that the next run compares; ``seen`` where a run has compared them already."""

    previous: str | None
    current: str
    seen: bool


def next_pair(resolved: ResolvedWorkflow, ledger: Ledger, now: datetime) -> NextPair | None:
    """Return what a run started now would compare; None without a complete snapshot.

    While nothing is new, it is the last pair once more.
    """
    run = RunContext(resolved, Run(resolved.name, "preview"), ledger, now)
    previous, current = snapshots_for(run)
    if current is None:
        return None
    if previous is None or previous.as_of < current.as_of:
        return NextPair(previous.key if previous else None, current.key, seen=False)
    earlier = [item for item in _complete(resolved, ledger, now) if item.as_of < current.as_of]
    return NextPair(earlier[-1].key if earlier else None, current.key, seen=True)


def make_plan(name: str, pair: NextPair, quarantined: Sequence[str]) -> Mapping[str, Any]:
    """Return the plan as plain data; raise PlanUnavailable."""
    settings = task_settings()
    wish = {
        "workflow": name,
        "previous": pair.previous,
        "current": pair.current,
        "quarantined": list(quarantined),
        "home": str(settings.home),
        "namespace": settings.namespace,
        "most": MOST,
    }
    path = [str(_PACKAGES), os.environ.get("PYTHONPATH")]
    if not _one_at_a_time.acquire(blocking=False):
        raise PlanUnavailable("another preview is being made at this moment; try again in a minute")
    try:
        process = subprocess.run(
            [sys.executable, "-m", "segue.web.planner"],
            input=json.dumps(wish),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PlanUnavailable(
            f"the preview takes longer than {_SECONDS} seconds for this directory; on the command "
            f"line it may take its time: segue plan {name}"
        ) from None
    finally:
        _one_at_a_time.release()
    if process.returncode:
        raise PlanUnavailable(
            process.stderr.strip().splitlines()[-1] if process.stderr else "no answer"
        )
    plan: Mapping[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if "problem" in plan:
        raise PlanUnavailable(plan["problem"])
    return plan


def _complete(resolved: ResolvedWorkflow, ledger: Ledger, now: datetime) -> list[Snapshot]:
    bad = ledger.people.quarantined(resolved.directory.directory)
    return [item for item in usable_snapshots(resolved.directory, bad, now=now) if item.complete]
