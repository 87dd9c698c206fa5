"""One contact's change, as everything after detection handles it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segue.ledger.stretches import Stretch
from segue.segments.kinds import RemovalReason


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One change to handle: a contact, what happened, between which snapshots."""

    contact_id: str
    change: str
    reason: str
    snapshot: str  # key of the current snapshot, which is part of the delivery's key
    details_at: str  # key of the snapshot that the contact's details come from


def changes_of_span(stretch: Stretch, rows: Iterable[tuple[str, str, str]]) -> list[Change]:
    """Return the changes of a span; ``rows`` are (contact_id, change, reason)."""
    current, previous = stretch.current.key, stretch.previous.key
    return [
        Change(
            contact_id,
            change,
            reason,
            current,
            previous if reason == RemovalReason.DELETED else current,
        )
        for contact_id, change, reason in rows
    ]
