"""Settings from the environment, else from the section ``[segue]`` of Airflow's configuration.

The names are a contract (docs/design.md, "What stays"): the option ``ledger`` is the variable
SEGUE_LEDGER, or whatever Airflow reads it from: ``AIRFLOW__SEGUE__LEDGER``, ``…__LEDGER_CMD``,
``…__LEDGER_SECRET`` (a secrets backend) or ``[segue] ledger`` in airflow.cfg.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from segue.durations import Duration, parse_duration
from segue.errors import SettingsError

SECTION = "segue"
AIRFLOW = "airflow://"  # begins what is the name of one of Airflow's connections


@dataclass(frozen=True, slots=True)
class Option:
    """One setting, as ``airflow config list`` and the docs describe it."""

    meaning: str
    example: str
    is_secret: bool = False  # may come from a command or from a secrets backend


OPTIONS: Mapping[str, Option] = {
    "home": Option(
        "Definitions: the folder with directories/, segments/, workflows/ and templates/",
        "/opt/airflow/include",
    ),
    "project": Option(
        "The project of these definitions, where one Airflow has several; its name", "growth"
    ),
    "ledger": Option(
        "The ledger's database: a SQLite or PostgreSQL URL, or airflow://conn_id",
        "postgresql+psycopg://segue@host/segue",
        is_secret=True,
    ),
    "state": Option(
        "Root of memberships and run areas: a folder, or any URL that fsspec opens",
        "s3://bucket/segue",
    ),
    "namespace": Option("prod, staging, …: part of every delivery's key", "prod"),
    "profile": Option(
        "Which profile of segue.yaml is in use: dev, staging, prod, …; none by default", "prod"
    ),
    "new_namespace": Option(
        "A namespace that may begin in a ledger where workflows ran under another one", "staging"
    ),
    "secret": Option(
        "Key of the digests that stand for forgotten contacts; it can never change",
        "at least 16 characters of nothing in particular",
        is_secret=True,
    ),
    "retention": Option("How long the ledger keeps runs; for ever by default", "400d"),
    "run_areas": Option("How long run areas are kept", "30d"),
    "export": Option(
        "Where the DAG segue_export appends the delivery log: a folder, a URL, airflow://conn_id",
        "s3://bucket/segue-log",
    ),
    "catch_up": Option(
        "Whether a DAG that was off runs the intervals it missed: true or false", "true"
    ),
    "pool": Option(
        "Airflow's pool of tasks whose workflow names none, and of Segue's own DAGs", "segue"
    ),
    "queue": Option("The executor's queue of the same tasks", "segue"),
    "ui_contacts": Option(
        "Who sees contacts and messages in Airflow's UI: read, edit (the DAG) or nobody", "edit"
    ),
}

Default = TypeVar("Default")
RUN_AREAS = Duration(30, "d")
CATCH_UP = ("true", "false")
UI_CONTACTS = ("edit", "read", "nobody")
_PROJECT = re.compile(r"[a-z][a-z0-9_]{0,30}")
NAMESPACE = "^[a-z0-9][a-z0-9_-]{0,62}$"  # of profiles, too
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
    project: str = ""  # whose definitions these are; "" where one Airflow has one
    profile: str | None = None  # of segue.yaml
    export: str | None = None  # None: there is no segue_export

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        dag_file: str | None = None,
        project: str | None = None,
    ) -> Settings:
        """Read the settings; raise SettingsError for a value that cannot be used.

        Without SEGUE_HOME, the definitions are those beside ``dag_file``, where there are any: of
        a DAG bundle that is the bundle's own version, whatever else is on the machine. Those of a
        ``project`` that the DAG file names are nowhere else, whatever SEGUE_HOME says.
        """
        env = os.environ if environ is None else environ
        values = _Values(env)
        airflow_home = find_airflow_home(env)
        namespace = values.get("namespace") or "default"
        if not re.fullmatch(NAMESPACE, namespace):
            raise SettingsError(
                f"{values.name('namespace')} is {namespace!r}; allowed: up to 63 lower-case "
                "letters, digits, '-' and '_'"
            )
        own_project = values.get("project") or ""
        if project in (None, "", own_project):
            home = values.get("home") or _default_home(airflow_home, dag_file)
        else:
            home = str(_home_of_project(project, dag_file))
        return cls(
            home=Path(home).expanduser().resolve(),
            ledger=values.get("ledger") or f"sqlite:///{airflow_home / 'segue.db'}",
            state=values.get("state") or str(airflow_home / "segue"),
            namespace=namespace,
            secret=values.get("secret"),
            retention=_duration(values, "retention", None),
            run_areas=_duration(values, "run_areas", RUN_AREAS),
            catch_up=_choice(values, "catch_up", CATCH_UP) == "true",
            ui_contacts=_choice(values, "ui_contacts", UI_CONTACTS),
            new_namespace=values.get("new_namespace"),
            pool=(values.get("pool") or "").strip() or None,
            queue=(values.get("queue") or "").strip() or None,
            project=project_name(values.name("project"), project or own_project),
            profile=(values.get("profile") or "").strip() or None,
            export=(values.get("export") or "").strip() or None,
        )


def variable(option: str) -> str:
    """Return the environment variable of an option: ``SEGUE_LEDGER`` of ``ledger``."""
    return f"{SECTION}_{option}".upper()


def is_set(option: str, environ: Mapping[str, str]) -> bool:
    """Tell whether somebody has set an option, wherever."""
    return value_of(option, environ) is not None


def value_of(option: str, environ: Mapping[str, str]) -> str | None:
    """Return an option as somebody has written it, wherever; None where nobody has."""
    return _Values(environ).get(option)


def is_untouched(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Tell whether nobody has set anything up: no option, no definitions, no ledger's file."""
    values = _Values(environ)
    if any(values.get(option) for option in OPTIONS):
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


def dag_id_of(work: str, project: str) -> str:
    """Return the id of a DAG of Segue's own, ``release`` or ``housekeeping``, of a project."""
    return f"{SECTION}_{work}" + (f"_{project}" if project else "")


def homes_beside(dag_file: str | Path) -> list[Path]:
    """Return where definitions may stand by a DAG file: in its own folder, or beside that."""
    return [folder / "include" for folder in Path(dag_file).absolute().parents[:2]]


def _default_home(airflow_home: Path, dag_file: str | None) -> Path:
    """Return ``include``: in a DAG file's folder or beside it, beside plugins/, else Airflow's."""
    homes = homes_beside(dag_file) if dag_file else []
    homes.append(BUNDLE_ROOT / "include")
    return next((home for home in homes if home.is_dir()), airflow_home / "include")


def _home_of_project(project: str, dag_file: str | None) -> Path:
    """Return the definitions of a project by its DAG file, or where they should be."""
    homes = homes_beside(dag_file) if dag_file else []
    home = next((home for home in homes if home.is_dir()), None)
    if home is None:
        places = " or ".join(map(str, homes)) or "no DAG file"
        raise SettingsError(
            f"the project {project!r} has no definitions; expected the folder {places}"
        )
    return home


def project_name(name: str, value: str) -> str:
    """Return a project's name; raise SettingsError, which calls the value ``name``."""
    if value and not _PROJECT.fullmatch(value):
        raise SettingsError(
            f"{name} is {value!r}; allowed: up to 31 lower-case letters, digits and '_', "
            "the first a letter"
        )
    return value


class _Values:
    """The options' values: of the environment, else of Airflow; what is empty is not set."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._in_airflow = _in_airflow(environ)

    def get(self, option: str) -> str | None:
        return self._environ.get(variable(option)) or self._of_airflow(option)

    def name(self, option: str) -> str:
        """Return what a message calls the option: by where its value is from."""
        own = variable(option)
        return own if self._environ.get(own) or not self._in_airflow else f"[{SECTION}] {option}"

    def _of_airflow(self, option: str) -> str | None:
        return _airflow_option(option, self._in_airflow) if self._in_airflow else None


def _in_airflow(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what Airflow's configuration says of Segue; it is imported only if there is any."""
    prefix = f"AIRFLOW__{SECTION}__".upper()
    items = sorted(item for item in environ.items() if item[0].startswith(prefix) and item[1])
    file = environ.get("AIRFLOW_CONFIG") or find_airflow_home(environ) / "airflow.cfg"
    path = Path(file).expanduser()
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    in_file = [f"{path} of {changed}"] if changed and _has_section(path, changed) else []
    return (*(f"{name}={value}" for name, value in items), *in_file)


@lru_cache(maxsize=128)
def _airflow_option(option: str, configuration: tuple[str, ...]) -> str | None:  # noqa: ARG001
    """Return an option as Airflow has it; once per configuration: a command is run for it."""
    try:
        from airflow.configuration import conf
        from airflow.exceptions import AirflowConfigException
    except ConfigParserError as error:
        raise SettingsError(f"Airflow's configuration cannot be read: {error}") from None
    if OPTIONS[option].is_secret and (SECTION, option) not in conf.sensitive_config_values:
        # before 3.3 it knows what providers say of their options only once it is told to look,
        # and asks no command or secrets backend for what it does not know
        from airflow.providers_manager import ProvidersManager

        ProvidersManager().initialize_providers_configuration()  # type: ignore[no-untyped-call]
    try:
        return (conf.get(SECTION, option, fallback=None) or "").strip() or None
    except (AirflowConfigException, OSError, ValueError) as error:  # a command's are any of these
        raise SettingsError(f"Airflow's option [{SECTION}] {option}: {error}") from None


@lru_cache(maxsize=4)
def _has_section(path: Path, changed: int) -> bool:  # noqa: ARG001 - part of the cache's key
    """Tell whether an airflow.cfg has options of ours; one that nobody can read has none."""
    parser = RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (ConfigParserError, OSError, UnicodeDecodeError):
        return False
    return parser.has_section(SECTION) and any(value for _, value in parser.items(SECTION))


def _choice(values: _Values, option: str, allowed: Sequence[str]) -> str:
    """Return a setting's word, by default the first; raise SettingsError for any other."""
    word = values.get(option) or allowed[0]
    if word not in allowed:
        raise SettingsError(f"{values.name(option)} is {word!r}; allowed: {', '.join(allowed)}")
    return word


def _duration(values: _Values, option: str, default: Default) -> Duration | Default:
    """Return a setting's duration; raise SettingsError that says what is allowed."""
    text = values.get(option)
    if text is None:
        return default
    try:
        return parse_duration(text)
    except ValueError as error:
        raise SettingsError(f"{values.name(option)}: {error}") from None
