"""The states of a delivery, and the groups of them that have names."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a delivery stands (the diagram is in docs/design.md)."""

    PLANNED = "planned"
    RELEASED = "released"
    CLAIMED = "claimed"
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    HELD = "held"
    SKIPPED = "skipped"
    SUPPRESSED = "suppressed"


OPEN_STATES = frozenset({State.PLANNED, State.RELEASED, State.CLAIMED, State.SENDING})
