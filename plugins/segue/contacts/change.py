"""One contact's change, as everything after detection handles it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from segue.ledger.delivery_keys import delivery_key
from segue.ledger.stretches import Stretch
from segue.segments.kinds import ChangeKind, RemovalReason


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One change to handle: a contact, what happened, between which snapshots."""

    contact_id: str
    change: str
    reason: str
    snapshot: str  # key of the current snapshot, which is part of the delivery's key
    details_at: str  # key of the snapshot that the contact's details come from

    @classmethod
    def between(
        cls, previous: str | None, current: str, contact_id: str, change: str, reason: str
    ) -> Self:
        """Return a change between two snapshots: a deleted contact is in the previous one alone."""
        last_seen = previous if reason == RemovalReason.DELETED else None
        return cls(contact_id, change, reason, current, last_seen or current)

    @classmethod
    def supposed(
        cls, contact_id: str, change: str, snapshot: str, *, deleted: bool = False
    ) -> Self:
        """Return a change that nobody detected, of a contact as it is in a snapshot."""
        why_removed = RemovalReason.DELETED if deleted else RemovalReason.NO_LONGER_MATCHES
        reason = why_removed.value if change == ChangeKind.REMOVED else ""
        return cls(contact_id, change, reason, snapshot, snapshot)

    def key(self, namespace: str, workflow: str, action: str) -> str:
        """Return the key of an action's delivery for this change."""
        contact = self.contact_id
        return delivery_key(namespace, workflow, action, contact, self.change, self.snapshot)


def changes_of_span(stretch: Stretch, rows: Iterable[tuple[str, str, str]]) -> list[Change]:
    """Return the changes of a span; ``rows`` are (contact_id, change, reason)."""
    current, previous = stretch.current.key, stretch.previous.key
    return [Change.between(previous, current, *row) for row in rows]
