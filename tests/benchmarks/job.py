"""What every engine is asked to do, and the files that it is given.

The at-risk rule: customers with at least five support calls in the thirty days before as-of. A
contact is opted out if ``unsubscribed``. Changes are four kinds; of the removed it is told whether
they were deleted. Memberships are Parquet files of contact_id and opted_in, sorted by contact_id.

    daily   evaluate today's snapshot, compare with yesterday's stored membership, write today's
    cold    evaluate both snapshots, compare, write both
    stored  compare two stored memberships of everybody (four kinds, no reasons)
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

AS_OF = {"2026-11-21": datetime(2026, 11, 22), "2026-11-22": datetime(2026, 11, 23)}  # noqa: DTZ001
YESTERDAY, TODAY = AS_OF
WINDOW = timedelta(days=30)
CALLS = 5
KINDS = ("daily", "cold", "stored")

Row = tuple[str, str, str]  # contact_id, change, reason


@dataclass(frozen=True)
class Job:
    """One measurement: ``state`` is Segue's store, ``output`` a folder to write to."""

    kind: str
    snapshots: Path
    state: Path
    output: Path

    @classmethod
    def from_arguments(cls) -> Job:
        kind, *folders = sys.argv[1:5]
        return cls(kind, *map(Path, folders))

    def table(self, day: str, name: str) -> str:
        return str(self.snapshots / day / f"{name}.parquet")

    def stored(self, day: str, segment: str = "at_risk") -> str:
        """The membership that Segue stored of a day: what ``index.json`` says."""
        index = json.loads((self.state / "index.json").read_text())
        return str(self.state / index[segment][day])

    def written(self, day: str) -> str:
        return str(self.output / f"{day}.parquet")
