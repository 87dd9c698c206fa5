"""What looking at a directory costs on object storage: requests, whatever its history holds."""

from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.spec import AbstractFileSystem

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_content import fingerprint
from segue.directory.snapshots import choose_span, find_snapshot, list_snapshots, listed_files
from segue.directory.tables import SnapshotTables

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
FIRST, DAYS, PARTS = date(2025, 11, 23), 365, 20
TODAY = "2026-11-22"


class ObjectStore(AbstractFileSystem):
    """Objects in memory, listed a thousand a request and read in ranges, as on S3; all counted."""

    protocol = "counted"
    cachable = False
    objects: dict[str, bytes] = {}  # noqa: RUF012 - one store for all who open it
    requests: Counter[str] = Counter()  # noqa: RUF012

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """One request for a thousand names, with the folders for what is below them."""
        root = self._strip_protocol(path).strip("/")
        found: dict[str, dict[str, Any]] = {}
        for name, content in self.objects.items():
            if name.startswith(f"{root}/"):
                first, _, below = name[len(root) + 1 :].partition("/")
                path = f"{root}/{first}"
                found[path] = (
                    {"name": path, "type": "directory", "size": 0}
                    if below
                    else self._info(name, content)
                )
        self.requests["list"] += max(1, -(-len(found) // 1000))
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else list(found)

    def find(self, path: str, maxdepth: Any = None, withdirs: bool = False, **_: Any) -> Any:
        root = self._strip_protocol(path).strip("/")
        found = {
            name: self._info(name, content)
            for name, content in sorted(self.objects.items())
            if name.startswith(f"{root}/")
        }
        self.requests["list"] += max(1, -(-len(found) // 1000))
        return found

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        name = self._strip_protocol(path).strip("/")
        self.requests["head"] += 1
        if name not in self.objects:
            raise FileNotFoundError(path)
        return self._info(name, self.objects[name])

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        self.requests["open"] += 1
        return io.BytesIO(self.objects[self._strip_protocol(path).strip("/")])

    def _info(self, name: str, content: bytes) -> dict[str, Any]:
        tag = f"{hash(content)}"
        return {
            "name": name,
            "type": "file",
            "size": len(content),
            "ETag": tag,
            "LastModified": datetime(2026, 11, 23, tzinfo=UTC),
        }


@pytest.fixture(scope="module")
def directory() -> DirectoryDefinition:
    """A year of snapshots of two tables in twenty parts each."""
    fsspec.register_implementation("counted", ObjectStore, clobber=True)
    parts = []
    for number in range(PARTS):
        written = io.BytesIO()
        pq.write_table(pa.table({"contact_id": [f"c{number}"], "tier": ["gold"]}), written)
        parts.append(written.getvalue())
    ObjectStore.objects = {
        f"bucket/{FIRST + timedelta(day)}/{table}/part-{number}.parquet": content
        for day in range(DAYS)
        for table in ("contacts", "transactions")
        for number, content in enumerate(parts)
    }
    return DirectoryDefinition(directory="people", snapshots="counted://bucket")


def requests(work: Any) -> tuple[Any, Counter[str]]:
    """Return what ``work`` returns, and the requests that it cost."""
    ObjectStore.requests = Counter()
    return work(), ObjectStore.requests


def test_a_poke_lists_the_root_and_the_folders_of_its_span(directory):
    """However long the history is: three requests, where listing all of it takes fifteen."""

    def poke() -> tuple[Any, Any]:
        snapshots = list_snapshots(directory, now=NOW)
        return choose_span(snapshots, NOW - timedelta(days=1), NOW)

    (previous, current), cost = requests(poke)
    assert (previous.key, current.key) == ("2026-11-21", TODAY)
    assert cost == {"list": 3}


def test_one_snapshot_is_found_by_two_listings(directory):
    found, cost = requests(lambda: find_snapshot(directory, TODAY, now=NOW))
    assert cost == {"list": 2}
    assert requests(lambda: fingerprint(found))[1] == {"list": 1}


def test_who_asks_about_all_snapshots_lists_the_history_once(directory):
    def complete() -> int:
        return sum(item.complete for item in list_snapshots(directory, now=NOW))

    found, cost = requests(complete)
    assert found == DAYS
    assert cost["list"] <= 1 + 8 + -(-DAYS * 2 * PARTS // 1000)


def test_their_tables_are_known_from_the_same_listing(directory):
    def tables() -> list[bool]:
        found = list_snapshots(directory, now=NOW)
        both = [SnapshotTables(directory, each, files=listed_files(each)) for each in found]
        return [each.snapshot.complete and each.has("transactions") for each in both]

    found, cost = requests(tables)
    assert found == [True] * DAYS
    assert cost == {"list": 1 + 8 + -(-DAYS * 2 * PARTS // 1000)}


def test_footers_are_read_once_in_a_process_while_a_file_stays_the_same(directory):
    found = find_snapshot(directory, TODAY, now=NOW)
    SnapshotTables(directory, found).columns("contacts")
    again, cost = requests(lambda: SnapshotTables(directory, found).columns("contacts"))
    assert again == ["contact_id", "tier"]
    assert cost == {"list": 1}
    name = f"bucket/{TODAY}/contacts/part-0.parquet"
    written = io.BytesIO()
    pq.write_table(pa.table({"contact_id": ["x"], "tier": ["gold"]}), written)
    before = ObjectStore.objects[name]
    ObjectStore.objects[name] = written.getvalue()
    try:
        rows, cost = requests(lambda: SnapshotTables(directory, found).contacts())
    finally:
        ObjectStore.objects[name] = before
    assert "x" in set(rows["contact_id"])
