"""What the ledger is told and what it tells: plain facts, without a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from segue.delivery.schema import State
from segue.delivery.spans import Stretch

# why a delivery is skipped or suppressed; what follows a colon is for the reader
SKIPPED_CONDITIONS = "conditions"
SKIPPED_IF = "if"
SKIPPED_AFTER = "after"
SKIPPED_OPTED_OUT = "opted_out"
SKIPPED_DELETED = "deleted"
SKIPPED_NO_ADDRESS = "no_address"
SKIPPED_NOT_FOUND = "contact_not_found"
NO_LONGER_A_CHANGE = "no_longer_a_change"
SUPPRESSED_BACKFILL = "backfill"
SUPPRESSED_MAX_AGE = "max_age"
# these stay, as a rejection does: they are no policies
SUPPRESSED_FORGOTTEN = "forgotten"
SUPPRESSED_PRUNED = "pruned"
POLICY_REASONS = (SUPPRESSED_BACKFILL, SUPPRESSED_MAX_AGE)


class SpanTaken(Exception):
    """Another run took part of the span in the meantime; detect again with what is left."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a workflow, as the ledger knows it. ``interval`` is (start, end], or None."""

    workflow: str
    run_id: str
    interval: tuple[datetime, datetime] | None = None
    is_backfill: bool = False
    clear_number: int = 0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked of a run through its parameters."""

    previous: str | None = None
    current: str | None = None
    deliver: bool = False
    accept_rewritten: bool = False


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the ledger holds of a run: its outcome and why."""

    id: int
    workflow: str
    run_id: str
    outcome: str
    reason: str
    recorded_only: bool
    interval: tuple[datetime, datetime] | None


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """One span as recorded."""

    id: int
    run_id: str
    kind: str
    reason: str
    stretch: Stretch
    previous_fingerprint: str | None
    current_fingerprint: str
    previous_size: int | None
    current_size: int


@dataclass(frozen=True, slots=True)
class DetectedSpan:
    """A span with its changes, ready to be recorded.

    ``changes`` holds (contact_id, change, reason), sorted; ``suppressed`` is the policy reason
    that keeps all of its deliveries from being released, or None.
    """

    kind: str  # changes | baseline
    reason: str
    stretch: Stretch
    previous_fingerprint: str | None
    current_fingerprint: str
    previous_size: int | None
    current_size: int
    changes: Sequence[tuple[str, str, str]]
    suppressed: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """What later steps need of one delivery."""

    key: str
    action: str
    contact_id: str
    change: str
    span: int
    state: State
    reason: str
    results: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Finished:
    """The outcome of one delivery, to be written."""

    key: str
    state: State
    reason: str = ""
    external_id: str | None = None
    url: str | None = None
    results: Mapping[str, str] | None = None
    digest: str | None = None
