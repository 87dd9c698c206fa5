"""The kinds of change a contact can make, and why one was removed (docs/design.md, "Changes")."""

from __future__ import annotations

from enum import StrEnum


class ChangeKind(StrEnum):
    """How a contact crossed the line of a segment between two snapshots."""

    ADDED = "added"
    REMOVED = "removed"
    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"
    ENROLLED = "enrolled"  # an existing member, acted on because a person asked for it


class RemovalReason(StrEnum):
    """Why a contact left a segment."""

    NO_LONGER_MATCHES = "no_longer_matches"
    DELETED = "deleted"  # it is not among the current snapshot's contacts at all
