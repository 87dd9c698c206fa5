"""A team's folder of definitions and CSV snapshots, written by tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from segue.directory.plain_columns import TEXT
from segue.directory.snapshots import find_snapshot
from segue.directory.tables import SnapshotTables
from segue.segments.membership.changes import members_table, plain_changes, with_reasons
from segue.segments.membership.store import membership
from segue.workflows.catalog import Catalog

LATER = datetime.now(UTC) + timedelta(days=1)


class Home:
    """Definitions below ``root``; snapshots in ``root/snapshots``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        text = "directory: customers\nsnapshots: ../snapshots\n"
        former = "consent: {former_segments: [other]}\n"  # rows of tables still speak of it
        self.define("directories/customers", text + former)

    def define(self, name: str, text: str) -> Path:
        return self.write(f"{name}.yaml", text)

    def segment(self, name: str, body: str, directory: str = "customers") -> Path:
        text = f"segment: {name}\ndirectory: {directory}\n{body}\n"
        return self.define(f"segments/{name}", text)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def snapshot(self, key: str, **tables: str) -> None:
        """Tables as words, one per row: ``contacts="contact_id,tier a,gold b,silver"``."""
        for table, rows in tables.items():
            self.write(f"snapshots/{key}/{table}.csv", rows.replace(" ", "\n") + "\n")

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.root)

    def tables(self, key: str) -> SnapshotTables:
        directory = self.catalog.directory("customers")
        return SnapshotTables(directory, find_snapshot(directory, key, now=LATER))

    def members(self, name: str, key: str = "2026-11-22") -> list[tuple[str, bool]]:
        """(contact id, opted in) of a segment's members."""
        tables = self.tables(key)
        found = membership(self.catalog.segment(name), tables.directory, tables.snapshot)
        return list(found.itertuples(index=False, name=None))

    def ids(self, name: str, key: str = "2026-11-22") -> list[str]:
        return [contact for contact, _ in self.members(name, key)]


def membership_changes(previous, current, *, current_contact_ids):
    """Return the changes between two frames of members, compared plainly, with their reasons."""
    plain = plain_changes(members_table(previous), members_table(current))
    ids = pa.chunked_array([pa.array(list(current_contact_ids), TEXT)])
    return with_reasons(plain, ids)
