"""Iceberg tables in a SQL catalog (SQLite) whose snapshots are of chosen times."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

CATALOG = "lake"


def environment(root: Path) -> dict[str, str]:
    """Return what configures the catalog, as PyIceberg reads it."""
    prefix = f"PYICEBERG_CATALOG__{CATALOG.upper()}__"
    return {
        f"{prefix}TYPE": "sql",
        f"{prefix}URI": f"sqlite:///{root}/catalog.db",
        f"{prefix}WAREHOUSE": f"file://{root}/warehouse",
    }


@dataclass(frozen=True)
class IcebergFolder:
    """One table of the catalog, in the namespace `crm`."""

    root: Path
    name: str

    @property
    def place(self) -> str:
        return f"crm.{self.name}"

    def load(self) -> Any:
        """Return the table as it is now."""
        return self._catalog().load_table(self.place)

    def create(self, schema: pa.Schema, **options: Any) -> Any:
        """Make the table, without a snapshot."""
        self.root.mkdir(parents=True, exist_ok=True)
        catalog = self._catalog()
        catalog.create_namespace_if_not_exists("crm")
        return catalog.create_table(self.place, schema=schema, **options)

    def at(self, when: datetime, work: Callable[[Any], Any]) -> None:
        """Do something to the table, and let the snapshots that it makes be of ``when``."""
        table = self.load()
        before = {each.snapshot_id for each in table.metadata.snapshots}
        work(table)
        path = Path(self.load().metadata_location.removeprefix("file://"))
        content, millis = json.loads(path.read_text()), int(when.timestamp() * 1000)
        for each in [*content["snapshots"], *content["snapshot-log"]]:
            if each["snapshot-id"] not in before:
                each["timestamp-ms"] = millis
        content["last-updated-ms"] = millis
        path.write_text(json.dumps(content))

    def append(self, when: datetime, rows: pa.Table) -> None:
        """Append rows, to a table that is made for them where there is none."""
        if not self._catalog().table_exists(self.place):
            self.create(rows.schema)
        self.at(when, lambda table: table.append(rows))

    def _catalog(self) -> Any:
        from pyiceberg.catalog import load_catalog

        prefix = f"PYICEBERG_CATALOG__{CATALOG.upper()}__"
        names = environment(self.root)
        options = {name.removeprefix(prefix).lower(): value for name, value in names.items()}
        self.root.mkdir(parents=True, exist_ok=True)
        catalog = load_catalog(CATALOG, **options)
        catalog.create_namespace_if_not_exists("crm")
        return catalog
