"""Segue, as ``detect_changes`` calls it: checks, fingerprints and the membership store included."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import Snapshot, find_snapshot
from segue.segments.definition import SegmentDefinition
from segue.segments.membership.changes import changes_of_pieces, segment_changes
from segue.segments.membership.store import MembershipStore
from tests.benchmarks.job import CALLS, TODAY, WINDOW, YESTERDAY, Job

RULE = {
    "all": [
        {"field": "lifecycle", "equals": "customer"},
        {
            "transactions": {
                "where": {"field": "type", "equals": "support_call"},
                "in_past": f"{WINDOW.days}d",
            },
            "count": {"at_least": CALLS},
        },
    ]
}
MATCHES = {"at_risk": RULE, "everybody": {"field": "contact_id", "is_set": True}}
LATER = timedelta(days=1)  # files that were just written count as settled


def definition(name: str) -> SegmentDefinition:
    data = {"segment": name, "directory": "generated", "match": MATCHES[name]}
    return SegmentDefinition.model_validate(data)


def directory(snapshots: Path) -> DirectoryDefinition:
    return DirectoryDefinition(directory="generated", snapshots=str(snapshots))


def snapshot(snapshots: Path, day: str) -> Snapshot:
    return find_snapshot(directory(snapshots), day, now=datetime.now(UTC) + LATER)


def whole_run(job: Job) -> pd.DataFrame:
    """With an empty store this is the cold run, with yesterday's membership in it the daily one."""
    previous, current = (snapshot(job.snapshots, day) for day in (YESTERDAY, TODAY))
    store = MembershipStore(str(job.state))
    segment = definition("at_risk")
    return segment_changes(segment, directory(job.snapshots), previous, current, store).changes


def stored(job: Job) -> pd.DataFrame:
    store, segment = MembershipStore(str(job.state)), definition("everybody")

    def pieces(day: str) -> Callable[[], Iterator[pa.Table]]:
        at = snapshot(job.snapshots, day)
        return lambda: store.pieces(segment, directory(job.snapshots), at)

    found = changes_of_pieces(pieces(YESTERDAY), pieces(TODAY))
    return found.to_pandas().assign(reason="")


def rows_of(found: pd.DataFrame) -> list[tuple[str, str, str]]:
    return list(found[["contact_id", "change", "reason"]].itertuples(index=False, name=None))


def prepare(snapshots: Path, state: Path) -> None:
    """Store the memberships that a job starts from, and an index of their files."""
    store = MembershipStore(str(state))
    index: dict[str, dict[str, str]] = {}
    for name, day in (("at_risk", YESTERDAY), ("everybody", YESTERDAY), ("everybody", TODAY)):
        before = set(state.rglob("*.parquet"))
        for _ in store.pieces(definition(name), directory(snapshots), snapshot(snapshots, day)):
            pass
        (file,) = set(state.rglob("*.parquet")) - before
        index.setdefault(name, {})[day] = str(file.relative_to(state))
    (state / "index.json").write_text(json.dumps(index))


RUNS = {"daily": whole_run, "cold": whole_run, "stored": stored}

if __name__ == "__main__":
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
