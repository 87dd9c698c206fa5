"""The process that makes a plan for ``planning``: a wish on stdin, the plan on stdout, as JSON.

It imports the core alone, neither Airflow nor the pages.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segue.directory.snapshots import find_snapshot
from segue.errors import LedgerError, SegueError
from segue.ledger import Ledger
from segue.preview.plan import Plan, plan
from segue.workflows.catalog import Catalog


def main() -> None:
    """Answer with the plan, or with the problem in the words of its error."""
    try:
        answer = _planned(json.load(sys.stdin))
    except LedgerError:  # its message may say where the ledger is
        answer = {"problem": "the ledger's database cannot be used for a preview"}
    except SegueError as error:
        answer = {"problem": str(error)}
    sys.stdout.write(json.dumps(answer, ensure_ascii=False, default=str) + "\n")


def _planned(wish: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC)
    profile, namespace = wish["profile"], wish["namespace"]
    home, project = Path(wish["home"]), wish["project"]
    catalog = Catalog(home, project=project, profile=profile, namespace=namespace)
    resolved = catalog.resolve(wish["workflow"])
    previous = wish["previous"]
    preview = plan(
        resolved,
        find_snapshot(resolved.directory, previous, now=now) if previous else None,
        find_snapshot(resolved.directory, wish["current"], now=now),
        namespace=namespace,
        now=now,
        quarantined=wish["quarantined"],
        most=wish["most"],
        ledger=_ledger(wish),
    )
    return {**asdict(_without_digests(preview)), "counts": dict(preview.counts)}


def _ledger(wish: Mapping[str, Any]) -> Ledger | None:
    if wish["ledger"] is None:
        return None
    return Ledger.open(wish["ledger"], wish["namespace"], wish["secret"], may_upgrade=False)


def _without_digests(preview: Plan) -> Plan:
    """Leave the message of a digest out of its changes: it is among ``digests``, once."""
    names = {action.action for action in preview.digests}
    changes = [
        replace(
            change,
            actions=[
                replace(action, message=None) if action.action in names else action
                for action in change.actions
            ],
        )
        for change in preview.changes
    ]
    return replace(preview, changes=changes)


if __name__ == "__main__":
    main()
