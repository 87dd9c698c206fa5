"""The process that makes a plan for ``planning``: a wish on stdin, the plan on stdout, as JSON.

It imports the core alone, neither Airflow nor the pages.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segue.directory.snapshots import find_snapshot
from segue.errors import SegueError
from segue.preview.plan import plan
from segue.workflows.catalog import Catalog


def main() -> None:
    """Answer with the plan, or with the problem in the words of its error."""
    try:
        answer = _planned(json.load(sys.stdin))
    except SegueError as error:
        answer = {"problem": str(error)}
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")


def _planned(wish: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    resolved = Catalog(Path(wish["home"])).resolve(wish["workflow"])
    previous = wish["previous"]
    preview = plan(
        resolved,
        find_snapshot(resolved.directory, previous, now=now) if previous else None,
        find_snapshot(resolved.directory, wish["current"], now=now),
        namespace=wish["namespace"],
        now=now,
        quarantined=wish["quarantined"],
        most=wish["most"],
    )
    return {**asdict(preview), "counts": dict(preview.counts)}


if __name__ == "__main__":
    main()
