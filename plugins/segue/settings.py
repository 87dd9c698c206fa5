"""Settings from the environment; the names are a contract (docs/design.md, "What stays").

SEGUE_HOME       definitions: the folder with directories/, segments/, workflows/, templates/
SEGUE_LEDGER     SQLAlchemy URL of the ledger, or ``airflow://conn_id`` inside Airflow
SEGUE_STATE      root of memberships and run areas: a folder or any fsspec URL
SEGUE_NAMESPACE  prod, staging, …: part of every delivery's key
SEGUE_NEW_NAMESPACE  a namespace that may begin in a ledger where workflows ran under another one
SEGUE_SECRET     key of the digests that stand for forgotten contacts
SEGUE_RETENTION  how long the ledger keeps runs, such as 400d; for ever by default
SEGUE_RUN_AREAS  how long run areas are kept
SEGUE_CATCH_UP   whether a DAG that was off runs the intervals it missed: true or false
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

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; raise SettingsError for a value that cannot be used."""
        env = os.environ if environ is None else environ
        airflow_home = find_airflow_home(env)
        namespace = env.get("SEGUE_NAMESPACE") or "default"
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", namespace):
            raise SettingsError(
                f"SEGUE_NAMESPACE is {namespace!r}; allowed: up to 63 lower-case letters, digits, "
                "'-' and '_'"
            )
        return cls(
            home=Path(env.get("SEGUE_HOME") or _default_home(airflow_home)).expanduser().resolve(),
            ledger=env.get("SEGUE_LEDGER") or f"sqlite:///{airflow_home / 'segue.db'}",
            state=env.get("SEGUE_STATE") or str(airflow_home / "segue"),
            namespace=namespace,
            secret=env.get("SEGUE_SECRET") or None,
            retention=_duration(env, "SEGUE_RETENTION", None),
            run_areas=_duration(env, "SEGUE_RUN_AREAS", RUN_AREAS),
            catch_up=_choice(env, "SEGUE_CATCH_UP", CATCH_UP) == "true",
            ui_contacts=_choice(env, "SEGUE_UI_CONTACTS", UI_CONTACTS),
            new_namespace=env.get("SEGUE_NEW_NAMESPACE") or None,
        )


def find_airflow_home(environ: Mapping[str, str]) -> Path:
    """Return AIRFLOW_HOME, else ``.airflow`` at the bundle's root if it is there, else ~/airflow.

    ``make demo`` and ``make up`` keep their Airflow in ``.airflow``, so that a plain ``segue``
    in the project shows what they did.
    """
    if environ.get("AIRFLOW_HOME"):
        return Path(environ["AIRFLOW_HOME"]).expanduser().resolve()
    in_project = BUNDLE_ROOT / ".airflow"
    return in_project if in_project.is_dir() else Path("~/airflow").expanduser()


def _default_home(airflow_home: Path) -> Path:
    in_bundle = BUNDLE_ROOT / "include"
    return in_bundle if in_bundle.is_dir() else airflow_home / "include"


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
