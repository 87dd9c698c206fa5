"""A folder of snapshots to write into, on the local disk and in fsspec's memory."""

from __future__ import annotations

import gzip
import io
import uuid
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import find_snapshot
from segue.directory.tables import SnapshotTables
from segue.errors import DataError

KEY = "2026-11-22"
WHERE = f"directory customers, snapshot {KEY}"
LATER = datetime.now(UTC) + timedelta(hours=1)  # when every file of the tests has settled


class SnapshotFolder:
    """The root of a directory's snapshots."""

    def __init__(self, root: UPath) -> None:
        self.root = root

    def write(self, name: str, content: str | bytes | pa.Table) -> None:
        """Write a file; ``.parquet`` takes a table, ``.gz`` compresses its content."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encode(name, content))

    def definition(self, **keys: object) -> DirectoryDefinition:
        """Return the definition of a directory whose snapshots are here."""
        return DirectoryDefinition.model_validate(
            {"directory": "customers", "snapshots": str(self.root), **keys}
        )

    def tables(self, key: str = KEY, **keys: object) -> SnapshotTables:
        """Return the tables of a snapshot."""
        directory = self.definition(**keys)
        return SnapshotTables(directory, find_snapshot(directory, key, now=LATER))


def _encode(name: str, content: str | bytes | pa.Table) -> bytes:
    if isinstance(content, pa.Table):
        sink = io.BytesIO()
        pq.write_table(content, sink)
        return sink.getvalue()
    data = content.encode() if isinstance(content, str) else content
    return gzip.compress(data) if name.endswith(".gz") else data


@pytest.fixture
def local(tmp_path):
    return SnapshotFolder(UPath(tmp_path / "snapshots"))


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    """The same facts hold on the local disk and on a remote file system."""
    if request.param == "local":
        yield SnapshotFolder(UPath(tmp_path / "snapshots"))
        return
    root = UPath(f"memory://{uuid.uuid4().hex}/snapshots")
    yield SnapshotFolder(root)
    root.fs.rm(root.parent.path, recursive=True) if root.parent.exists() else None


def ids(frame):
    return frame["contact_id"].tolist()


def fails(call, *parts):
    """Return the message of the DataError that ``call`` raises; it must contain ``parts``."""
    with pytest.raises(DataError) as error:
        call()
    message = str(error.value)
    for part in (WHERE, *parts):
        assert part in message
    return message


def contacts_of(folder, content, suffix="csv", **keys):
    folder.write(f"{KEY}/contacts.{suffix}", content)
    return folder.tables(**keys)
