"""What the pages look at: the ledger, the definitions, and what Airflow knows of the DAGs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from segue.errors import NotSetUp, SettingsError
from segue.ledger import Ledger
from segue.ledger.engine import missing_file
from segue.operators.environment import ledger_url, refuse_local_files_on_many_hosts, task_settings
from segue.settings import Settings
from segue.web.projects import AllProjects, find_projects
from segue.workflows.catalog import FOLDERS, Catalog, catalog_of
from segue.workflows.files import PROJECT_FILE, paths_below

_READ = (*FOLDERS, "templates")  # what definitions are made of


def _open_ledger() -> Ledger:
    """Return this process's ledger; looking at it neither makes nor migrates it.

    Raises NotSetUp where there is none yet, LedgerError or SettingsError.
    """
    settings = task_settings()
    url = ledger_url(settings.ledger)
    refuse_local_files_on_many_hosts(url, settings.state)
    missing = missing_file(url)
    if missing is not None:
        raise NotSetUp(f"there is no ledger at {missing} yet")
    return _ledger(url, settings.namespace, settings.secret)


def _ledger_of(request: Request) -> Ledger:
    """Return the ledger; to who only looks an empty one, where there is none yet."""
    try:
        return _open_ledger()
    except NotSetUp:
        if request.method != "GET":
            raise
        return _nothing(task_settings().namespace)


def workflow_owners() -> Mapping[str, str]:
    """Return the project of each workflow that the ledger knows; of none where there is none."""
    try:
        return _open_ledger().runs.owners()
    except NotSetUp:
        return {}


def is_nothing(ledger: Ledger) -> bool:
    """Tell whether a ledger stands for one that is not there yet."""
    return ledger is _nothing(ledger.namespace)


@lru_cache(maxsize=4)
def _ledger(url: str, namespace: str, secret: str | None) -> Ledger:
    return Ledger.open(url, namespace, secret, may_upgrade=False)


@lru_cache(maxsize=4)
def _nothing(namespace: str) -> Ledger:
    return Ledger.empty(namespace)


def _open_catalog() -> Catalog:
    settings = task_settings()
    homes = find_projects(settings)
    own = [replace(settings, home=home, project=name) for name, home in homes.items()]
    catalogs = [_catalog(each, _stamp(each.home)) for each in own]
    owners = workflow_owners()
    has_names = len(catalogs) > 1 or catalogs[0].project or any(owners.values())
    return AllProjects(catalogs, owners) if has_names else catalogs[0]


def _stamp(home: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file of the definitions does."""
    paths = [home / PROJECT_FILE]
    paths += sorted(path for folder in _READ for path in paths_below(home / folder))
    return tuple((str(path), *_status(path)) for path in paths)


def _status(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # a link to nowhere, or a file that a checkout takes away at this moment
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=32)
def _catalog(settings: Settings, _: tuple[tuple[str, int, int], ...]) -> Catalog:
    """Return definitions that are read once, until one of their files changes."""
    return catalog_of(settings)


def without_home(error: Exception) -> str:
    """Return an error's message with files as they are named below their project's folder."""
    text = str(error)
    try:
        for home in find_projects(task_settings()).values():
            text = text.replace(f"{home}/", "")
    except SettingsError:
        pass
    return text


OpenLedger = Annotated[Ledger, Depends(_ledger_of)]
Definitions = Annotated[Catalog, Depends(_open_catalog)]
