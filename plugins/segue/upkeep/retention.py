"""Housekeeping on a schedule: what is older than people want to keep goes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from zoneinfo import ZoneInfo

from segue.directory.whole_files import remove_unfinished
from segue.durations import Duration
from segue.ledger import Ledger
from segue.runs.areas import remove_areas

_UTC = ZoneInfo("UTC")


def keep_house(
    ledger: Ledger,
    state: str,
    now: datetime,
    *,
    retention: Duration | None,
    run_areas: Duration,
) -> dict[str, int]:
    """Prune the ledger, delete old run areas and unfinished files.

    Returns counts for the log, by what was deleted. ``retention`` None keeps the ledger for ever.
    An area stays while its run has anything that is open, held or uncertain: it may still be sent
    from there.
    """
    counts: dict[str, int] = {}
    if retention is not None:
        counts |= asdict(ledger.retention.prune(retention.before(now, _UTC)))
    open_runs = ledger.retention.needed_runs(run_areas.before(now, _UTC))
    counts["run_areas"] = remove_areas(state, ledger.namespace, open_runs)
    counts["unfinished_files"] = remove_unfinished(state, now)
    return counts
