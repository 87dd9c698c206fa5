"""How a directory names the Delta tables that it reads in place, by time travel."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationInfo, model_validator

from segue.cron import Start, start_instant
from segue.directory.take_source import TableName
from segue.documents import Definition, Location, ProblemsFound, Unpadded

_PASSWORD = re.compile(r"//[^/@]*:[^/@]*@")


class Lake(Definition):
    """Tables of a lake that keep their own history: a snapshot is all of them at one instant."""

    format: Literal["delta"]
    # A folder or URL of each table.
    tables: Annotated[
        dict[TableName, Annotated[Unpadded, Field(min_length=1)]], Field(min_length=1)
    ]
    # The ends of days, or of hours.
    keys: Literal["daily", "hourly"] = "daily"
    # Without it, from the oldest version on that all tables have kept.
    start: Start | None = None

    @model_validator(mode="after")
    def _has_contacts_and_no_password(self) -> Self:
        problems: list[tuple[Location, str]] = [
            (("tables", name), "has a password in it; credentials come from the environment")
            for name, place in self.tables.items()
            if _PASSWORD.search(place)
        ]
        if "contacts" not in self.tables:
            problems.append((("tables",), "contacts is missing: every snapshot has contacts"))
        if problems:
            raise ProblemsFound(problems)
        return self

    @model_validator(mode="after")
    def _resolves_paths(self, info: ValidationInfo) -> Self:
        folder = Path((info.context or {}).get("folder", Path()))
        for name, place in self.tables.items():
            if "://" not in place:
                self.tables[name] = str((folder / Path(place).expanduser()).resolve())
        return self

    def start_instant(self, zone: ZoneInfo) -> datetime | None:
        """Return ``start`` as an instant in UTC; a date is its midnight in ``zone``."""
        return None if self.start is None else start_instant(self.start, zone)
