"""What a run and a take read and wrote, by OpenLineage's names of files, object stores and tables.

Followed: https://openlineage.io/docs/spec/naming/ (read in November 2026). It has names for places
of data alone: there is none for an API or a mail server, so what a message went to is not named.
Names of places, and no contacts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import Engine

from segue.directory.definition import DirectoryDefinition
from segue.ledger import Ledger
from segue.ledger.facts import RecordedSpan

_STORES = {"s3a": "s3", "gcs": "gs", "abfs": "abfss"}  # other names of the same
_RECORDED = ("runs", "spans", "changes", "deliveries")
_SERVERS = {"postgresql": ("postgres", 5432)}  # by SQLAlchemy's name; its name, and its usual port


@dataclass(frozen=True, slots=True)
class Dataset:
    """One place of data; ``version`` tells two contents of it apart, where that is known."""

    namespace: str
    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """What was read, and what was written from it."""

    inputs: Sequence[Dataset]
    outputs: Sequence[Dataset]


def lineage_of_detection(
    directory: DirectoryDefinition, spans: Iterable[RecordedSpan], ledger: Ledger
) -> Lineage:
    """Return a run's: the snapshots that it compared, and the tables that it records them in."""
    snapshots: dict[Dataset, None] = {}  # each once, in order
    for span in spans:
        ends = (
            (span.stretch.previous.key, span.previous_fingerprint),
            (span.stretch.current.key, span.current_fingerprint),
        )
        for key, mark in ends:
            snapshots |= dict.fromkeys(snapshots_read(directory, key, mark) if mark else ())
    return Lineage(list(snapshots), _tables(ledger.engine, _RECORDED))


def lineage_of_delivery(ledger: Ledger) -> Lineage:
    """Return an action's: it reads changes, and writes what became of their deliveries."""
    return Lineage(_tables(ledger.engine, ["changes"]), _tables(ledger.engine, ["deliveries"]))


def snapshots_read(directory: DirectoryDefinition, key: str, version: str) -> list[Dataset]:
    """Return a snapshot, or the tables of a lake that it is."""
    lake = directory.lake
    if lake is None:
        return [snapshot(directory, key, version)]
    if lake.catalog is not None:
        return [Dataset(lake.catalog, name, version) for name in lake.tables.values()]
    return [_place(place, version) for place in lake.tables.values()]


def snapshot(directory: DirectoryDefinition, key: str, version: str | None = None) -> Dataset:
    """Return a snapshot: ``file`` and its folder, or ``s3://bucket`` and the key in it."""
    return _place(f"{directory.snapshots.rstrip('/')}/{key}", version)


def _place(place: str, version: str | None) -> Dataset:
    scheme, _, path = place.rpartition("://")
    if scheme in ("", "file", "local"):
        return _file(path, version)
    parts = urlsplit(place)
    scheme = _STORES.get(scheme, scheme)
    # what is in front of an @ is a container there, and elsewhere somebody's password
    where = parts.netloc if scheme == "abfss" else parts.netloc.rpartition("@")[2]
    return Dataset(f"{scheme}://{where}", parts.path.strip("/"), version)


def _file(path: str, version: str | None = None) -> Dataset:
    return Dataset("file", str(Path(path).absolute()), version)


def _tables(engine: Engine, names: Iterable[str]) -> list[Dataset]:
    """Return tables of a ledger; of one in a file, the file, as OpenLineage knows no SQLite."""
    url = engine.url
    if url.get_backend_name() not in _SERVERS:
        return [_file(url.database)] if url.database else []
    scheme, usual = _SERVERS[url.get_backend_name()]
    namespace = f"{scheme}://{url.host or url.query.get('host') or 'localhost'}:{url.port or usual}"
    schema = engine.dialect.default_schema_name or "public"
    database = url.database or url.username
    return [Dataset(namespace, f"{database}.{schema}.{name}") for name in names]
