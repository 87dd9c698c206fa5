"""Ten days of a Delta table give the changes that ten folders of Parquet files give.

On the local disk, and on a server that speaks S3 (moto's), which the library reads with its own
client. Rows are appended, merged, updated and deleted, columns come, files are compacted.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from segue.directory.snapshots import list_snapshots
from segue.preview.plan import Uncached
from segue.segments.membership.changes import segment_changes
from segue.workflows.catalog import Catalog
from tests.unit.directory.lakes.delta_tables import NOW, DeltaFolder, after, noon, people

deltalake = pytest.importorskip("deltalake")

FIRST, DAYS = "2026-11-20", 10
WHY = "needs moto: pip install 'moto[s3]' flask flask-cors"
SEGMENTS = {
    "gold": {"field": "tier", "equals": "gold"},
    "callers": {
        "transactions": {"where": {"field": "type", "equals": "call"}, "in_past": "2d"},
        "count": {"at_least": 2},
    },
}


@dataclass
class Shop:
    """What the tables are to hold, in plain Python, and the ways to change it at random."""

    contacts: DeltaFolder
    calls: DeltaFolder
    random: random.Random
    people: dict[str, str | None] = field(default_factory=dict)  # tiers
    events: list[dict[str, Any]] = field(default_factory=list)

    def begin(self) -> None:
        self.people = {f"{number:03}": self._tier() for number in range(60)}
        when = noon(FIRST)
        self.contacts.write(when, self._rows(self.people), partition_by=["tier"])
        self._call(FIRST, mode="overwrite")

    def day(self, day: str) -> None:
        """Let one day pass: five kinds of commits to contacts, one to calls."""
        start = noon(day)
        for number, change in enumerate((self._merge, self._update, self._delete, self._compact)):
            change(start + timedelta(hours=number))
        self._call(day, mode="append")

    def rows(self) -> tuple[pa.Table, pa.Table]:
        """Return contacts and calls as they are now."""
        return self._rows(self.people), pa.Table.from_pylist(self.events)

    def _rows(self, tiers: dict[str, str | None]) -> pa.Table:
        return people(*tiers, tier=pa.array(list(tiers.values()), pa.string()))

    def _tier(self) -> str | None:
        return self.random.choice(["gold", "silver", "x/y z", None])

    def _table(self) -> Any:
        return deltalake.DeltaTable(str(self.contacts.path))

    def _merge(self, when: datetime) -> None:
        old = self.random.sample(sorted(self.people), 5)
        new = [f"n{len(self.people)}{self.random.randrange(10**6)}" for _ in range(3)]
        tiers = {each: self._tier() for each in [*old, *new]}
        names = {"source_alias": "s", "target_alias": "t"}
        merger = self._table().merge(self._rows(tiers), "t.contact_id = s.contact_id", **names)
        merger = merger.when_matched_update_all().when_not_matched_insert_all()
        self.contacts.at(when, merger.execute)
        self.people |= tiers

    def _update(self, when: datetime) -> None:
        (one,) = self.random.sample(sorted(self.people), 1)
        new = {"updates": {"tier": "'gold'"}, "predicate": f"contact_id = '{one}'"}
        self.contacts.at(when, lambda: self._table().update(**new))
        self.people[one] = "gold"

    def _delete(self, when: datetime) -> None:
        gone = self.random.sample(sorted(self.people), 3)
        ids = ", ".join(f"'{each}'" for each in gone)
        self.contacts.at(when, lambda: self._table().delete(f"contact_id in ({ids})"))
        for each in gone:
            del self.people[each]

    def _compact(self, when: datetime) -> None:
        self.contacts.at(when, self._table().optimize.compact)

    def _call(self, day: str, mode: str) -> None:
        names = [self.random.choice(sorted(self.people)) for _ in range(30)]
        kinds = self.random.choices(["call", "visit"], k=30)
        pairs = enumerate(zip(names, kinds, strict=True))
        start = noon(day) - timedelta(hours=12)
        events = [
            {"contact_id": name, "date": start + timedelta(minutes=40 * number), "type": kind}
            for number, (name, kind) in pairs
        ]
        self.events += events
        rows = pa.Table.from_pylist(events)
        if day == after(FIRST, 5):
            rows = rows.append_column("channel", pa.array(["web"] * 30))
        self.calls.write(noon(day), rows, mode=mode, schema_mode="merge")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop of ten days, and the same days as folders."""
    root = tmp_path_factory.mktemp("shop")
    shop = Shop(DeltaFolder(root / "lake/c"), DeltaFolder(root / "lake/t"), random.Random(16))
    for number in range(DAYS):
        day = after(FIRST, number)
        shop.begin() if number == 0 else shop.day(day)
        folder = root / "days" / day
        folder.mkdir(parents=True)
        contacts, calls = shop.rows()
        for name, table in (("contacts", contacts), ("transactions", calls)):
            pq.write_table(table, folder / f"{name}.parquet")
            os.utime(folder / f"{name}.parquet", (noon(day).timestamp(),) * 2)
    define(root, "folders", {"snapshots": str(root / "days")})
    tables = {"contacts": str(shop.contacts.path), "transactions": str(shop.calls.path)}
    define(root, "lake", {"lake": {"format": "delta", "tables": tables}})
    return root


def define(root, name, directory) -> None:
    contents = {("directories", name): {"directory": name, "consent": "none", **directory}}
    for segment, match in SEGMENTS.items():
        own = f"{name}_{segment}"
        contents["segments", own] = {"segment": own, "directory": name, "match": match}
    for (folder, file), content in contents.items():
        path = root / folder / f"{file}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(content))


def changes_of(root, directory, segment) -> Iterator[tuple[str, list[list[Any]]]]:
    """Yield each day's changes."""
    catalog = Catalog(root)
    definition, where = catalog.segment(f"{directory}_{segment}"), catalog.directory(directory)
    days = [each for each in list_snapshots(where, now=NOW + timedelta(days=1)) if each.complete]
    days = [each for each in days if FIRST <= each.key < after(FIRST, DAYS)]
    assert len(days) == DAYS
    for before, now in itertools.pairwise(days):
        changes = segment_changes(definition, where, before, now, Uncached()).changes
        yield now.key, changes.astype(str).to_numpy().tolist()


@pytest.mark.parametrize("segment", SEGMENTS)
def test_days_of_a_delta_table_are_those_of_folders(shop, segment):
    expected = list(changes_of(shop, "folders", segment))
    assert all(changes for _, changes in expected)
    assert list(changes_of(shop, "lake", segment)) == expected


@pytest.fixture
def bucket(shop, monkeypatch):
    """The tables on a server that speaks S3, each object as old as the file."""
    pytest.importorskip("moto.server", reason=WHY)
    command = [sys.executable, str(Path(__file__).with_name("s3_server.py")), str(shop / "lake")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        port = int(server.stdout.readline())
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        yield shop
        server.kill()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("segment", SEGMENTS)
def test_so_are_they_in_object_storage(bucket, segment):
    tables = {"contacts": "s3://lake/c", "transactions": "s3://lake/t"}
    define(bucket, "store", {"lake": {"format": "delta", "tables": tables}})
    expected = list(changes_of(bucket, "folders", segment))
    assert list(changes_of(bucket, "store", segment)) == expected
