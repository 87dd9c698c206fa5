"""The ledger: the only memory that decides whether something is sent.

All of Segue's memory about deliveries goes through ``Ledger``. Each public method is one
transaction, or several where it works in batches and any prefix of them is a valid state.
"""

from __future__ import annotations

from segue.delivery.ledger.deciding import Deciding
from segue.delivery.ledger.quarantining import Quarantining
from segue.delivery.ledger.reading import Reading
from segue.delivery.ledger.recording import Recording
from segue.delivery.ledger.records import (
    NO_LONGER_A_CHANGE,
    POLICY_REASONS,
    SKIPPED_AFTER,
    SKIPPED_CONDITIONS,
    SKIPPED_DELETED,
    SKIPPED_IF,
    SKIPPED_NO_ADDRESS,
    SKIPPED_NOT_FOUND,
    SKIPPED_OPTED_OUT,
    SUPPRESSED_BACKFILL,
    SUPPRESSED_MAX_AGE,
    SUPPRESSED_REJECTED,
    Decision,
    DeliveryRow,
    DetectedSpan,
    Finished,
    Quarantined,
    RecordedRun,
    RecordedSpan,
    Run,
    SpanKind,
    SpanTaken,
    Wishes,
)
from segue.delivery.ledger.sending import Sending


class Ledger(Recording, Deciding, Quarantining, Sending, Reading):
    """The ledger of one namespace in one database."""


__all__ = [
    "NO_LONGER_A_CHANGE",
    "POLICY_REASONS",
    "SKIPPED_AFTER",
    "SKIPPED_CONDITIONS",
    "SKIPPED_DELETED",
    "SKIPPED_IF",
    "SKIPPED_NOT_FOUND",
    "SKIPPED_NO_ADDRESS",
    "SKIPPED_OPTED_OUT",
    "SUPPRESSED_BACKFILL",
    "SUPPRESSED_MAX_AGE",
    "SUPPRESSED_REJECTED",
    "Decision",
    "DeliveryRow",
    "DetectedSpan",
    "Finished",
    "Ledger",
    "Quarantined",
    "RecordedRun",
    "RecordedSpan",
    "Run",
    "SpanKind",
    "SpanTaken",
    "Wishes",
]
