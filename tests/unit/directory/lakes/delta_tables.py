"""Delta tables whose commits are of chosen times, and a directory that reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import find_snapshot
from segue.directory.tables import SnapshotTables

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def noon(day: date | str) -> datetime:
    """Return the middle of a day, in UTC."""
    return datetime.combine(date.fromisoformat(str(day)), time(12), UTC)


@dataclass(frozen=True)
class DeltaFolder:
    """A Delta table on the local disk."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / "_delta_log"

    def commits(self) -> list[Path]:
        """Return the files of its commits, in order."""
        return sorted(self.log.glob("*.json"))

    def at(self, when: datetime, work: Callable[[], Any]) -> None:
        """Do something to the table, and let all that was committed be of ``when``."""
        before = set(self.commits())
        work()
        news = [path for path in self.commits() if path not in before]
        assert news
        for path in news:
            os.utime(path, (when.timestamp(), when.timestamp()))

    def write(self, when: datetime, rows: pa.Table, **options: Any) -> None:
        """Write rows; the table's first, or by ``mode``."""
        from deltalake import write_deltalake

        self.at(when, lambda: write_deltalake(str(self.path), rows, **options))

    def note_time(self, number: int, when: datetime) -> None:
        """Write a commit's own time into it, as a table with in-commit timestamps has it."""
        path = self.log / f"{number:020}.json"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        info = next(line for line in lines if "commitInfo" in line)
        info["commitInfo"]["inCommitTimestamp"] = int(when.timestamp() * 1000)
        lines.sort(key=lambda line: line is not info)
        path.write_text("\n".join(map(json.dumps, lines)))


def definition(*, keys: str = "daily", fmt: str = "delta", **others: Any) -> DirectoryDefinition:
    """Return a directory of the tables that ``tables`` names."""
    lake = {"format": fmt, "keys": keys, "tables": {}}
    lake |= {name: others.pop(name) for name in ("tables", "start", "catalog") if name in others}
    content = {"directory": "customers", "lake": lake, "consent": "none", **others}
    return DirectoryDefinition.model_validate(content)


def tables_of(directory: DirectoryDefinition, key: str, now: datetime = NOW) -> SnapshotTables:
    """Return a snapshot's tables."""
    return SnapshotTables(directory, find_snapshot(directory, key, now=now))


def people(*ids: str, **columns: Any) -> pa.Table:
    """Return contacts of these ids."""
    return pa.table({"contact_id": list(ids), **columns})


def after(day: str, days: int) -> str:
    """Return the day that is so many days later."""
    return (date.fromisoformat(day) + timedelta(days)).isoformat()
