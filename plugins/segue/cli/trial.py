"""A trial: the real DAG of a workflow, run once against look-alikes and thrown away.

It runs in an Airflow of its own, which knows no connection but those to the sandbox: neither the
environment's, nor a secrets backend's, nor those of anybody's database.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segue.errors import SegueError, SettingsError
from segue.settings import OPTIONS, Settings, value_of, variable

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from segue.ledger import Ledger
    from segue.sandbox.server import Sandbox
    from segue.workflows.resolved import ResolvedWorkflow

# what leads to somebody's connections, database or functions
_NOT_INHERITED = ("AIRFLOW_", "AIRFLOW__", "SEGUE_")
_OWN = ("home", "ledger", "state", "namespace", "new_namespace", "secret", "project", "pool")
_PASSED_ON = sorted(set(OPTIONS) - {*_OWN, "queue"})
_SECONDS = 600
_DAG_FILE = '''\
"""The Airflow DAG of a trial."""
from segue.cli.trial import trial_dag

dag = trial_dag({workflow!r})
'''


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it: whether the run ended well, and the end of its log."""

    succeeded: bool
    log: Sequence[str]


@contextmanager
def tidied_up_when_told_to_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is done within as Ctrl-C does: in order, and nothing stays.

    Contacts' data is in a trial's folder, and its Airflow would go on without its look-alikes.
    """
    numbers = (signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def connections_of(resolved: ResolvedWorkflow, sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Return a connection to the sandbox for each that a workflow uses, by its id.

    Raises SettingsError for what has no look-alike: it would be reached for real.
    """
    from segue.sandbox.connections import connections_by_channel

    if resolved.live is not None:
        raise SettingsError(
            f"{resolved.name} looks contacts up live ({resolved.live.name}), and the sandbox has "
            "no such source: with `load: snapshot`, as a draft of the workflow, it can be tried"
        )
    by_channel = connections_by_channel(sandbox)
    strangers = {each.name for each in resolved.channels.values()} - by_channel.keys()
    if strangers:
        raise SettingsError(
            f"the sandbox has no look-alike of {', '.join(sorted(strangers))}: nothing of "
            f"{resolved.name} was tried"
        )
    found: dict[str, dict[str, Any]] = {}
    in_order = sorted(resolved.channels.values(), key=lambda each: each.name != "http_request")
    for channel in in_order:  # a vendor's own channel says whose an id is, before any HTTP API
        found[channel.connection] = by_channel[channel.name]
    return found


def run_trial(
    resolved: ResolvedWorkflow,
    pair: Mapping[str, str | None],
    settings: Settings,
    connections: Mapping[str, Mapping[str, Any]],
    folder: Path,
    ledger: Ledger,
) -> Trial:
    """Run the workflow's DAG over a pair of snapshots, with a new Airflow in ``folder``."""
    dags = folder / "dags"
    dags.mkdir()
    (dags / "trial.py").write_text(_DAG_FILE.format(workflow=resolved.name), encoding="utf-8")
    own = replace(
        settings, ledger=str(ledger.engine.url), state=str(folder / "state"), pool=None, queue=None
    )
    environment = _environment(own, connections, folder)
    wishes = json.dumps({**pair, "deliver": True})
    _airflow(environment, "db", "migrate", check=True)
    process = _airflow(environment, "dags", "test", resolved.name, "--conf", wishes)
    lines = (process.stdout + process.stderr).splitlines()
    return Trial(process.returncode == 0 and "state=failed" not in process.stdout, lines)


def trial_dag(workflow: str) -> DAG:
    """Return a workflow's DAG as a trial runs it: it tells nobody, asks nobody, waits for no pool.

    The guard's question is not asked: nobody could answer.
    """
    from segue.dag_builder import workflow_dag
    from segue.workflows.catalog import catalog_of
    from segue.workflows.definition import GuardLimits, Notify

    settings = Settings.from_environment()
    resolved = catalog_of(settings).resolve(workflow)
    no_limits = GuardLimits(at_most=None, share=None, shrunk_to=None, stale=False)
    plain = type(resolved.definition.airflow)()
    actions = tuple(
        action.model_copy(update={"airflow": type(action.airflow)()})
        for action in resolved.definition.actions
    )
    parts = {"notify": Notify(), "guard": no_limits, "airflow": plain, "actions": actions}
    definition = resolved.definition.model_copy(update=parts)
    return workflow_dag(replace(resolved, definition=definition), settings)


def _environment(
    settings: Settings, connections: Mapping[str, Mapping[str, Any]], folder: Path
) -> dict[str, str]:
    inherited = {
        name: text for name, text in os.environ.items() if not name.startswith(_NOT_INHERITED)
    }
    values = {name: value_of(name, os.environ) for name in _PASSED_ON}
    for name in ("home", "ledger", "state", "namespace", "secret", "project"):
        values[name] = str(getattr(settings, name) or "")
    return {
        **inherited,
        **{variable(name): text for name, text in values.items() if text},
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__OPENLINEAGE__DISABLED": "True",  # its own files and variables say to whom else
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        **{
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(dict(fields))
            for name, fields in connections.items()
        },
    }


def _airflow(
    environment: Mapping[str, str], *arguments: str, check: bool = False
) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("airflow")
    try:
        process = subprocess.run(  # noqa: S603 - Airflow's own command line
            [str(program) if program.exists() else "airflow", *arguments],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SegueError(f"the trial's Airflow did not end within {_SECONDS} seconds") from None
    if check and process.returncode:
        end = "\n".join((process.stdout + process.stderr).splitlines()[-5:])
        raise SegueError(f"the trial's own Airflow could not be set up:\n{end}")
    return process
