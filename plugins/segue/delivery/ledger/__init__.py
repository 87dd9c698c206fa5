"""The ledger: the only memory that decides whether something is sent.

All of Segue's memory about deliveries goes through ``Ledger``. Each public method is one
transaction, or several where it works in batches and any prefix of them is a valid state.
"""

from __future__ import annotations

from segue.delivery.ledger.forgetting import ErasedRows, Forgetting
from segue.delivery.ledger.pruning import Pruned, Pruning
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
    SUPPRESSED_FORGOTTEN,
    SUPPRESSED_MAX_AGE,
    SUPPRESSED_PRUNED,
    DeliveryRow,
    DetectedSpan,
    Finished,
    RecordedRun,
    RecordedSpan,
    Run,
    SpanTaken,
    Wishes,
)
from segue.delivery.ledger.requesting import (
    Request,
    Requesting,
    RequestKind,
    Selection,
    Settlement,
)
from segue.delivery.ledger.sending import Sending
from segue.delivery.ledger.stopping import Stop, Stopping
from segue.delivery.ledger.suppressing import Suppression, SuppressionKind


class Ledger(Recording, Sending, Reading, Stopping, Requesting, Forgetting, Pruning):
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
    "SUPPRESSED_FORGOTTEN",
    "SUPPRESSED_MAX_AGE",
    "SUPPRESSED_PRUNED",
    "DeliveryRow",
    "DetectedSpan",
    "ErasedRows",
    "Finished",
    "Ledger",
    "Pruned",
    "RecordedRun",
    "RecordedSpan",
    "Request",
    "RequestKind",
    "Run",
    "Selection",
    "Settlement",
    "SpanTaken",
    "Stop",
    "Suppression",
    "SuppressionKind",
    "Wishes",
]
