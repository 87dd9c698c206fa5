"""Settings from the environment; the names are a contract (docs/design.md, "What stays").

SEGUE_HOME       definitions: the folder with directories/, segments/, workflows/, templates/
SEGUE_LEDGER     SQLAlchemy URL of the ledger, or ``airflow://conn_id``
SEGUE_STATE      root of memberships and run areas: a folder or any fsspec URL
SEGUE_NAMESPACE  prod, staging, …: part of every delivery's key
SEGUE_NEW_NAMESPACE  a namespace that may begin in a ledger where workflows ran under another one
SEGUE_SECRET     key of the digests that stand for forgotten contacts
SEGUE_RETENTION  how long the ledger keeps runs, such as 400d; for ever by default
SEGUE_RUN_AREAS  how long run areas are kept
SEGUE_CATCH_UP   whether a DAG that was off runs the intervals it missed: true or false
SEGUE_POOL       Airflow's pool of the tasks of workflows that name none, and of Segue's own DAGs
SEGUE_QUEUE      the executor's queue of the same tasks
SEGUE_UI_CONTACTS  who sees contacts and messages in Airflow's UI: read, edit (the DAG) or nobody
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from segue.durations import Duration, parse_duration
from segue.errors import SettingsError

Default = TypeVar("Default")
RUN_AREAS = Duration(30, "d")
CATCH_UP = ("true", "false")
UI_CONTACTS = ("edit", "read", "nobody")
BUNDLE_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process of Segue works with."""

    home: Path
    ledger: str
    state: str
    namespace: str
    secret: str | None
    retention: Duration | None  # None: for ever
    run_areas: Duration
    catch_up: bool = True  # run what was missed while a DAG was off, from its start on
    ui_contacts: str = UI_CONTACTS[0]  # the right to a DAG that seeing its contacts needs
    new_namespace: str | None = None  # may begin beside others in one ledger
    pool: str | None = None  # of tasks whose workflow names none; None: Airflow's default
    queue: str | None = None

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, *, dag_file: str | None = None
    ) -> Settings:
        """Read the settings; raise SettingsError for a value that cannot be used.

        Without SEGUE_HOME, the definitions are those beside ``dag_file``, where there are any: of
        a DAG bundle that is the bundle's own version, whatever else is on the machine.
        """
        env = os.environ if environ is None else environ
        airflow_home = find_airflow_home(env)
        namespace = env.get("SEGUE_NAMESPACE") or "default"
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", namespace):
            raise SettingsError(
                f"SEGUE_NAMESPACE is {namespace!r}; allowed: up to 63 lower-case letters, digits, "
                "'-' and '_'"
            )
        home = env.get("SEGUE_HOME") or _default_home(airflow_home, dag_file)
        return cls(
            home=Path(home).expanduser().resolve(),
            ledger=env.get("SEGUE_LEDGER") or f"sqlite:///{airflow_home / 'segue.db'}",
            state=env.get("SEGUE_STATE") or str(airflow_home / "segue"),
            namespace=namespace,
            secret=env.get("SEGUE_SECRET") or None,
            retention=_duration(env, "SEGUE_RETENTION", None),
            run_areas=_duration(env, "SEGUE_RUN_AREAS", RUN_AREAS),
            catch_up=_choice(env, "SEGUE_CATCH_UP", CATCH_UP) == "true",
            ui_contacts=_choice(env, "SEGUE_UI_CONTACTS", UI_CONTACTS),
            new_namespace=env.get("SEGUE_NEW_NAMESPACE") or None,
            pool=env.get("SEGUE_POOL") or None,
            queue=env.get("SEGUE_QUEUE") or None,
        )


def is_untouched(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Tell whether nobody has set anything up: no variable, no definitions, no ledger's file."""
    if any(value for name, value in environ.items() if name.startswith("SEGUE_")):
        return False
    ledger = Path(settings.ledger.removeprefix("sqlite:///"))
    return not settings.home.is_dir() and not ledger.exists()


def find_airflow_home(environ: Mapping[str, str]) -> Path:
    """Return AIRFLOW_HOME, else ``.airflow`` at the bundle's root if it is there, else ~/airflow.

    ``make demo`` and ``make up`` keep their Airflow in ``.airflow``, so that a plain ``segue``
    in the project shows what they did.
    """
    if environ.get("AIRFLOW_HOME"):
        return Path(environ["AIRFLOW_HOME"]).expanduser().resolve()
    in_project = BUNDLE_ROOT / ".airflow"
    return in_project if in_project.is_dir() else Path("~/airflow").expanduser()


def _default_home(airflow_home: Path, dag_file: str | None) -> Path:
    """Return ``include``: in a DAG file's folder or beside it, beside plugins/, else Airflow's."""
    folders = list(Path(dag_file).absolute().parents[:2]) if dag_file else []
    homes = [folder / "include" for folder in (*folders, BUNDLE_ROOT)]
    return next((home for home in homes if home.is_dir()), airflow_home / "include")


def _choice(env: Mapping[str, str], name: str, allowed: Sequence[str]) -> str:
    """Return a setting's word, by default the first; raise SettingsError for any other."""
    word = env.get(name) or allowed[0]
    if word not in allowed:
        raise SettingsError(f"{name} is {word!r}; allowed: {', '.join(allowed)}")
    return word


def _duration(env: Mapping[str, str], name: str, default: Default) -> Duration | Default:
    """Return a setting's duration; raise SettingsError that says what is allowed."""
    if not env.get(name):
        return default
    try:
        return parse_duration(env[name])
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None
