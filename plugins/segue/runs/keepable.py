"""Whom the ledger cannot keep: contacts whose id is longer than its index, or has a NUL in it.

What becomes of such a contact cannot be recorded, so nothing is done for it; everybody else is
acted on. It is told by count and row, for such an id may hold anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from segue.directory.checks import ALLOWED_IDS, describe_places, unfit_positions
from segue.directory.tables import SnapshotTables
from segue.ledger.facts import DetectedSpan
from segue.segments.kinds import RemovalReason

Row = tuple[str, str, str]  # contact id, change, reason


def keepable_changes(
    changes: Sequence[Row], current: SnapshotTables, previous: SnapshotTables | None = None
) -> tuple[list[Row], list[str]]:
    """Return the changes that a ledger can keep, and in words what becomes of the others."""
    unfit = set(unfit_positions([contact for contact, _, _ in changes]))
    if not unfit:
        return list(changes), []
    left_out = [changes[position] for position in sorted(unfit)]
    rest = [change for position, change in enumerate(changes) if position not in unfit]
    return rest, [_left_out_line(left_out, current, previous)]


def _left_out_line(
    rows: Sequence[Row], current: SnapshotTables, previous: SnapshotTables | None
) -> str:
    deleted_ids = [contact for contact, _, reason in rows if reason == RemovalReason.DELETED]
    present = [contact for contact, _, reason in rows if reason != RemovalReason.DELETED]
    places = "; ".join(filter(None, (_places(current, present), _places(previous, deleted_ids))))
    many = f"{len(rows)} change{'' if len(rows) == 1 else 's'}"
    return (
        f"{DetectedSpan.LEFT_OUT}{many} of contacts whose id cannot be kept ({places}); "
        f"{ALLOWED_IDS}"
    )


def _places(tables: SnapshotTables | None, ids: Sequence[str]) -> str:
    if tables is None or not ids:
        return ""
    places = describe_places(tables.table("contacts").locate(), ids)
    return f"contacts of {tables.snapshot.key}: {places}"
