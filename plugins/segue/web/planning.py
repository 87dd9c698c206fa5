"""The plan of a workflow's next run, made in a process of its own.

A directory may hold millions of contacts. The API server, which every task needs, lends neither its
memory nor its time for a preview: one at a time, for a minute at the most. A few more wait for
their turn; each holds one of the server's forty threads, so they are few.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from segue.directory.snapshots import Snapshot
from segue.errors import SegueError
from segue.ledger import Ledger
from segue.ledger.facts import Run
from segue.operators.environment import ledger_url, task_settings
from segue.runs.context import RunContext
from segue.runs.snapshot_pair import snapshots_for
from segue.web.connections import is_nothing
from segue.workflows.catalog import Catalog
from segue.workflows.resolved import ResolvedWorkflow

MOST = 50  # changes whose messages are rendered
_SECONDS = 60
_PACKAGES = Path(__file__).parents[2]  # Airflow puts the plugins' folder on the path by itself
_WAITING = 3  # people whose preview waits for that of another
_one_at_a_time = threading.BoundedSemaphore(1)
_in_line = threading.BoundedSemaphore(1 + _WAITING)
log = logging.getLogger(__name__)


class PlanUnavailable(SegueError):
    """The plan cannot be made here, or not now."""


@dataclass(frozen=True, slots=True)
class NextPair:
    """The snapshots that a run would compare; ``seen`` where a run has reached the current one."""

    previous: str | None
    current: str
    seen: bool


def next_pair(resolved: ResolvedWorkflow, ledger: Ledger, now: datetime) -> NextPair | None:
    """Return what a run started now would compare; None without a complete snapshot.

    While nothing is new, it is what the last run compared once more.
    """
    run = RunContext(resolved, Run(resolved.name, "preview"), ledger, now)
    previous, current = snapshots_for(run)
    if current is None:
        return None
    if previous is None or previous.as_of < current.as_of:
        return NextPair(previous.key if previous else None, current.key, seen=False)
    return NextPair(_compared_last(run, current), current.key, seen=True)


def _compared_last(run: RunContext, current: Snapshot) -> str | None:
    """Return what the newest span compared with: not the day before, where a week is compared.

    Where that is gone, or nothing was compared, it is the complete snapshot before.
    """
    snapshots = run.usable_snapshots()
    earlier = [item.key for item in snapshots if item.complete and item.as_of < current.as_of]
    spans = run.ledger.runs.all_spans(run.resolved.name)
    ends = [span.stretch for span in spans if span.stretch.current.key == current.key]
    if ends and ends[-1].previous.key in earlier:
        return ends[-1].previous.key
    return earlier[-1] if earlier else None


def make_plan(
    catalog: Catalog, name: str, pair: NextPair, quarantined: Sequence[str], ledger: Ledger
) -> Mapping[str, Any]:
    """Return the plan as plain data; raise PlanUnavailable."""
    settings = task_settings()
    wish = {
        "workflow": name,
        "previous": pair.previous,
        "current": pair.current,
        "quarantined": list(quarantined),
        "home": str(catalog.home),
        "project": catalog.project,
        "profile": settings.profile,
        "namespace": settings.namespace,
        "ledger": None if is_nothing(ledger) else ledger_url(settings.ledger),
        "secret": settings.secret,
        "most": MOST,
    }
    with _a_turn():
        process = _run_planner(wish)
    if process.returncode:
        log.error("the preview of %s: %s", name, _where(process.stderr))
        raise PlanUnavailable("the preview came to no end; the API server's log says why")
    plan: Mapping[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if "problem" in plan:
        raise PlanUnavailable(plan["problem"])
    return plan


def _run_planner(wish: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    path = [str(_PACKAGES), os.environ.get("PYTHONPATH")]
    try:
        return subprocess.run(
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
            f"line it may take its time: segue plan {wish['workflow']}"
        ) from None


def _where(stderr: str) -> str:
    """Return where a process ended and the kind of its error: its text may be a contact's."""
    lines = stderr.strip().splitlines() or ["it said nothing"]
    places = [line.strip() for line in lines if line.startswith("  File ")]
    return "\n".join([lines[-1].split(":")[0], *places])


@contextmanager
def _a_turn() -> Iterator[None]:
    """Wait until nobody else's preview is made; raise PlanUnavailable where too many wait."""
    if not _in_line.acquire(blocking=False):
        raise PlanUnavailable(f"{_WAITING} previews wait already; try again in a minute")
    try:
        if not _one_at_a_time.acquire(timeout=_SECONDS):
            raise PlanUnavailable("other people's previews take long; try again in a minute")
        try:
            yield
        finally:
            _one_at_a_time.release()
    finally:
        _in_line.release()
