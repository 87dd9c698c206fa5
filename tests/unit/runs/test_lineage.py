"""Names of what was read and written, as OpenLineage has them for files, stores and tables."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine

from segue.directory.definition import DirectoryDefinition
from segue.runs.lineage import Dataset, lineage_of_delivery, lineage_of_detection, snapshot
from tests.unit.runs.test_span_detection import Place


def stored(place: str) -> DirectoryDefinition:
    """Return a directory whose snapshots are there; the packages of its storage may be missing."""
    content = {"directory": "customers", "snapshots": "/nowhere", "consent": "none"}
    directory = DirectoryDefinition.model_validate(content)
    return directory.model_copy(update={"snapshots": place})


@pytest.mark.parametrize(
    ("place", "namespace", "name"),
    [
        ("/data/customers", "file", "/data/customers/2026-11-22"),
        ("file:///data/customers/", "file", "/data/customers/2026-11-22"),
        ("s3://shop/customers", "s3://shop", "customers/2026-11-22"),
        ("gs://shop/a/b/", "gs://shop", "a/b/2026-11-22"),
        ("s3a://shop", "s3://shop", "2026-11-22"),
        (
            "abfs://c@shop.dfs.core.windows.net/a",
            "abfss://c@shop.dfs.core.windows.net",
            "a/2026-11-22",
        ),
        ("sftp://ann:secret@files.example.com/a", "sftp://files.example.com", "a/2026-11-22"),
    ],
)
def test_a_snapshot_is_its_folder(place, namespace, name):
    assert snapshot(stored(place), "2026-11-22") == Dataset(namespace, name)


def test_a_run_reads_two_snapshots_and_writes_the_ledger(tmp_path):
    """A baseline has one; a ledger in a file is the file."""
    place = Place(tmp_path)
    for day, golden in ((7, "a"), (8, "ab"), (9, "bc")):
        place.snapshot(day, *golden)
    place.day(10)
    spans = place.ledger.runs.all_spans("greet")
    lineage = lineage_of_detection(stored("/data"), spans, place.ledger)
    names = [dataset.name.rpartition("/")[2] for dataset in lineage.inputs]
    assert names == ["2026-11-08", "2026-11-09"]
    assert len({dataset.version for dataset in lineage.inputs}) == 2
    assert lineage.outputs == [Dataset("file", str(tmp_path / "segue.db"))]


def test_tables_of_a_server_are_named_one_by_one():
    """Without the password."""
    engine = create_engine("postgresql+psycopg://segue:secret@db.example.com/ledgers")
    ledger = SimpleNamespace(engine=engine)
    lineage = lineage_of_delivery(ledger)  # type: ignore[arg-type]
    place = "postgres://db.example.com:5432"
    assert lineage.inputs == [Dataset(place, "ledgers.public.changes")]
    assert lineage.outputs == [Dataset(place, "ledgers.public.deliveries")]
