"""How a directory names the Delta or Iceberg tables that it reads in place, by time travel."""

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

_IDENTIFIER = re.compile(r"[^\s.]+(\.[^\s.]+)+")
_PASSWORD = re.compile(r"//[^/@]*:[^/@]*@")


class Lake(Definition):
    """Tables of a lake that keep their own history: a snapshot is all of them at one instant."""

    format: Literal["delta", "iceberg"]
    # Of Iceberg: the catalog's name in PyIceberg's configuration, which has the credentials.
    catalog: Annotated[Unpadded, Field(min_length=1)] | None = None
    # A folder or URL of a Delta table, `namespace.table` of an Iceberg catalog.
    tables: Annotated[
        dict[TableName, Annotated[Unpadded, Field(min_length=1)]], Field(min_length=1)
    ]
    # Each day or each hour that is over; of Iceberg the tags whose names are keys.
    keys: Literal["daily", "hourly", "tags"] = "daily"
    # Without it, from the oldest version on that all tables have kept.
    start: Start | None = None

    @model_validator(mode="after")
    def _fits_its_format(self) -> Self:
        problems: list[tuple[Location, str]] = []
        if "contacts" not in self.tables:
            problems.append((("tables",), "contacts is missing: every snapshot has contacts"))
        problems += self._iceberg_problems() if self.format == "iceberg" else self._delta_problems()
        if problems:
            raise ProblemsFound(problems)
        return self

    @model_validator(mode="after")
    def _resolves_paths(self, info: ValidationInfo) -> Self:
        if self.format == "delta":
            folder = Path((info.context or {}).get("folder", Path()))
            for name, place in self.tables.items():
                if "://" not in place:
                    self.tables[name] = str((folder / Path(place).expanduser()).resolve())
        return self

    def _iceberg_problems(self) -> list[tuple[Location, str]]:
        problems: list[tuple[Location, str]] = [
            (("tables", name), f"found {place!r}; expected a table's name, as in crm.customers")
            for name, place in self.tables.items()
            if not _IDENTIFIER.fullmatch(place)
        ]
        if self.catalog is None:
            message = "an Iceberg table is found by its catalog; expected `catalog: NAME`"
            problems.append((("format",), message))
        return problems

    def _delta_problems(self) -> list[tuple[Location, str]]:
        problems: list[tuple[Location, str]] = [
            (("tables", name), "has a password in it; credentials come from the environment")
            for name, place in self.tables.items()
            if _PASSWORD.search(place)
        ]
        if self.catalog is not None:
            message = "a Delta table is found by its folder; a catalog is for Iceberg"
            problems.append((("catalog",), message))
        if self.keys == "tags":
            problems.append((("keys",), "Delta has no tags; allowed: daily, hourly"))
        return problems

    def start_instant(self, zone: ZoneInfo) -> datetime | None:
        """Return ``start`` as an instant in UTC; a date is its midnight in ``zone``."""
        return None if self.start is None else start_instant(self.start, zone)
