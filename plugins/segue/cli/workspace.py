"""What a command works with: the definitions, the snapshots, the ledger and the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from segue.catalog import Catalog
from segue.cli.output import note
from segue.directory.snapshots import Snapshot, find_snapshot, list_snapshots
from segue.errors import LedgerError, SettingsError, SnapshotMissing
from segue.settings import Settings

if TYPE_CHECKING:
    from segue.delivery.ledger import Ledger
    from segue.directory.definition import DirectoryDefinition


@dataclass(frozen=True)
class Workspace:
    """The settings of one command and what they lead to."""

    settings: Settings
    now: datetime

    @classmethod
    def open(cls, home: Path | None = None) -> Workspace:
        """Read the settings; raise SettingsError where the definitions' folder does not exist."""
        settings = Settings.from_environment()
        if home is not None:
            settings = replace(settings, home=home.expanduser().resolve())
        if not settings.home.is_dir():
            raise SettingsError(
                f"{settings.home} is not a folder; --home or SEGUE_HOME names the folder with "
                "directories/, segments/ and workflows/"
            )
        return cls(settings, datetime.now(UTC))

    @cached_property
    def catalog(self) -> Catalog:
        """The definitions."""
        return Catalog(self.settings.home)

    def complete_snapshots(self, directory: DirectoryDefinition) -> list[Snapshot]:
        """Return the complete snapshots of a directory in order of time."""
        return [item for item in list_snapshots(directory, now=self.now) if item.complete]

    def snapshot(self, directory: DirectoryDefinition, key: str | None) -> Snapshot:
        """Return the snapshot ``key``, or the newest complete one; raise SnapshotMissing."""
        if key is not None:
            return find_snapshot(directory, key, now=self.now)
        complete = self.complete_snapshots(directory)
        if not complete:
            raise SnapshotMissing(f"directory {directory.directory} has no complete snapshot")
        note(f"at {complete[-1].key}, the newest complete snapshot")
        return complete[-1]

    def snapshot_before(self, directory: DirectoryDefinition, current: Snapshot) -> Snapshot | None:
        """Return the last complete snapshot before ``current``, if there is one."""
        earlier = [item for item in self.complete_snapshots(directory) if item < current]
        return earlier[-1] if earlier else None


def open_ledger(settings: Settings) -> Ledger | None:
    """Open the ledger; None, said on stderr, where its SQLite file does not exist yet."""
    from segue.delivery.database import open_engine
    from segue.delivery.ledger import Ledger

    url = ledger_url(settings)
    engine = open_engine(url) if not url.startswith("sqlite") else None
    if engine is None and (missing := _missing_file(url)):
        note(
            f"there is no ledger at {missing} yet: nothing is recorded. SEGUE_LEDGER names "
            "another; without it, it is segue.db in AIRFLOW_HOME"
        )
        return None
    return Ledger.open(url, settings.namespace)


def ledger_url(settings: Settings) -> str:
    """Return the ledger's URL; raise SettingsError for one that only Airflow can resolve."""
    scheme, _, connection = settings.ledger.partition("://")
    if scheme == "airflow":
        raise SettingsError(
            f"SEGUE_LEDGER is {settings.ledger}, and only Airflow's tasks can look the connection "
            f"{connection!r} up; for the command line, set SEGUE_LEDGER to the database's own "
            "URL, such as postgresql://user:password@host/database"
        )
    return settings.ledger


def _missing_file(url: str) -> str | None:
    """Return the file of a SQLite URL if it does not exist."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        database = make_url(url).database
    except ArgumentError:
        return None  # opening it says what is wrong
    in_a_file = database not in (None, "", ":memory:")
    return database if in_a_file and not Path(str(database)).exists() else None


def choose_pair(
    workspace: Workspace, directory: DirectoryDefinition, previous: str | None, current: str | None
) -> tuple[Snapshot | None, Snapshot]:
    """Return (previous, current); what is not named is the newest, and the one before it."""
    now = workspace.snapshot(directory, current)
    if previous is None:
        before = workspace.snapshot_before(directory, now)
        note(f"from {before.key} to {now.key}" if before else f"nothing is earlier than {now.key}")
        return before, now
    before = workspace.snapshot(directory, previous)
    if not before < now:
        raise SettingsError(f"--from ({before.key}) must be before the other ({now.key})")
    return before, now


__all__: Sequence[str] = ("LedgerError", "Workspace", "choose_pair", "ledger_url", "open_ledger")
