"""What the pages look at: the ledger, the definitions, and what Airflow knows of the DAGs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import Depends

from segue.errors import LedgerError
from segue.ledger import Ledger
from segue.ledger.engine import missing_file
from segue.operators.environment import ledger_url, refuse_local_files_on_many_hosts, task_settings
from segue.workflows.catalog import FOLDERS, Catalog

_READ = (*FOLDERS, "templates")  # what definitions are made of


class NothingRecorded(LedgerError):
    """There is no ledger yet: no run has made it."""


def _open_ledger() -> Ledger:
    """Return this process's ledger; looking at it neither makes nor migrates it.

    Raises NothingRecorded, LedgerError or SettingsError.
    """
    settings = task_settings()
    url = ledger_url(settings.ledger)
    refuse_local_files_on_many_hosts(url, settings.state)
    missing = missing_file(url)
    if missing is not None:
        raise NothingRecorded(f"there is no ledger at {missing} yet")
    return _ledger(url, settings.namespace, settings.secret)


@lru_cache(maxsize=4)
def _ledger(url: str, namespace: str, secret: str | None) -> Ledger:
    return Ledger.open(url, namespace, secret, may_upgrade=False)


def _open_catalog() -> Catalog:
    home = task_settings().home
    return _catalog(home, _stamp(home))


def _stamp(home: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when a file of the definitions does."""
    files = [path for folder in _READ for path in (home / folder).rglob("*") if path.is_file()]
    status = [(path, path.stat()) for path in sorted(files)]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in status)


@lru_cache(maxsize=2)
def _catalog(home: Path, _: tuple[tuple[str, int, int], ...]) -> Catalog:
    """Return definitions that are read once, until one of their files changes."""
    return Catalog(home)


OpenLedger = Annotated[Ledger, Depends(_open_ledger)]
Definitions = Annotated[Catalog, Depends(_open_catalog)]
