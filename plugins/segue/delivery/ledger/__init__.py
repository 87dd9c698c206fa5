"""The ledger: the only memory that decides whether something is sent.

All of Segue's memory about deliveries goes through ``Ledger``. Each public method is one
transaction, or several where it works in batches and any prefix of them is a valid state.
"""

from __future__ import annotations

from segue.delivery.ledger.deciding import Deciding
from segue.delivery.ledger.forgetting import ErasedRows, Forgetting
from segue.delivery.ledger.limiting import Limiting
from segue.delivery.ledger.listing import ChangeRow, Filter, Listing, RunRow
from segue.delivery.ledger.looking import OPEN_ENDS, Looking, Outcomes
from segue.delivery.ledger.noting import Noting
from segue.delivery.ledger.pruning import Pruned, Pruning
from segue.delivery.ledger.quarantining import Quarantining
from segue.delivery.ledger.reading import Reading
from segue.delivery.ledger.recording import Recording
from segue.delivery.ledger.records import (
    HELD_QUIET_HOURS,
    NO_LONGER_A_CHANGE,
    POLICY_REASONS,
    SKIPPED_AFTER,
    SKIPPED_CAP,
    SKIPPED_CONDITIONS,
    SKIPPED_DELETED,
    SKIPPED_EXPIRED,
    SKIPPED_HOLDOUT,
    SKIPPED_IF,
    SKIPPED_NO_ADDRESS,
    SKIPPED_NOT_FOUND,
    SKIPPED_ONCE,
    SKIPPED_OPEN_TICKET,
    SKIPPED_OPTED_OUT,
    SKIPPED_RECHECK,
    SKIPPED_SUPPRESSED,
    SUPPRESSED_BACKFILL,
    SUPPRESSED_DROPPED,
    SUPPRESSED_FORGOTTEN,
    SUPPRESSED_IN_HAND,
    SUPPRESSED_MAX_AGE,
    SUPPRESSED_PRUNED,
    SUPPRESSED_REACHED,
    SUPPRESSED_REJECTED,
    SUPPRESSED_SENT,
    Decision,
    DeliveryRow,
    DetectedSpan,
    DueDelivery,
    Finished,
    LateOutcome,
    OncePerContact,
    Quarantined,
    RecordedRun,
    RecordedSpan,
    Run,
    SpanKind,
    SpanTaken,
    Started,
    StartRules,
    Wishes,
)
from segue.delivery.ledger.recovering import Recovering
from segue.delivery.ledger.requesting import Request, RequestKind, Selection, Settlement
from segue.delivery.ledger.sending import NOT_SENT_AGAIN, SENT_AGAIN, Sending
from segue.delivery.ledger.sizing import Crossings, Size, Sizing, Version
from segue.delivery.ledger.stopping import Stop, Stopping
from segue.delivery.ledger.suppressing import Suppression, SuppressionKind
from segue.delivery.ledger.tracing import Event, Tracing
from segue.delivery.ledger.trying import TrialResult, Trying, Wanted


class Ledger(
    Recording,
    Deciding,
    Quarantining,
    Sending,
    Recovering,
    Limiting,
    Stopping,
    Trying,
    Forgetting,
    Pruning,
    Reading,
    Looking,
    Listing,
    Noting,
    Sizing,
    Tracing,
):
    """The ledger of one namespace in one database."""


__all__ = [
    "HELD_QUIET_HOURS",
    "NOT_SENT_AGAIN",
    "NO_LONGER_A_CHANGE",
    "OPEN_ENDS",
    "POLICY_REASONS",
    "SENT_AGAIN",
    "SKIPPED_AFTER",
    "SKIPPED_CAP",
    "SKIPPED_CONDITIONS",
    "SKIPPED_DELETED",
    "SKIPPED_EXPIRED",
    "SKIPPED_HOLDOUT",
    "SKIPPED_IF",
    "SKIPPED_NOT_FOUND",
    "SKIPPED_NO_ADDRESS",
    "SKIPPED_ONCE",
    "SKIPPED_OPEN_TICKET",
    "SKIPPED_OPTED_OUT",
    "SKIPPED_RECHECK",
    "SKIPPED_SUPPRESSED",
    "SUPPRESSED_BACKFILL",
    "SUPPRESSED_DROPPED",
    "SUPPRESSED_FORGOTTEN",
    "SUPPRESSED_IN_HAND",
    "SUPPRESSED_MAX_AGE",
    "SUPPRESSED_PRUNED",
    "SUPPRESSED_REACHED",
    "SUPPRESSED_REJECTED",
    "SUPPRESSED_SENT",
    "ChangeRow",
    "Crossings",
    "Decision",
    "DeliveryRow",
    "DetectedSpan",
    "DueDelivery",
    "ErasedRows",
    "Event",
    "Filter",
    "Finished",
    "LateOutcome",
    "Ledger",
    "OncePerContact",
    "Outcomes",
    "Pruned",
    "Quarantined",
    "RecordedRun",
    "RecordedSpan",
    "Request",
    "RequestKind",
    "Run",
    "RunRow",
    "Selection",
    "Settlement",
    "Size",
    "SpanKind",
    "SpanTaken",
    "StartRules",
    "Started",
    "Stop",
    "Suppression",
    "SuppressionKind",
    "TrialResult",
    "Version",
    "Wanted",
    "Wishes",
]
