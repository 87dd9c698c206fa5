"""The ledger: the only memory that decides whether something is sent.

All of Segue's memory about deliveries goes through ``Ledger``. Each public method is one
transaction, or several where it works in batches and any prefix of them is a valid state.
"""

from __future__ import annotations

from segue.ledger.deliveries.claims import NOT_SENT_AGAIN, SENT_AGAIN, Sending
from segue.ledger.deliveries.rates import Limiting
from segue.ledger.deliveries.recovery import Recovering
from segue.ledger.facts import (
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
from segue.ledger.people.notes import Noting
from segue.ledger.people.quarantines import Quarantining
from segue.ledger.people.release_requests import Request, RequestKind, Selection, Settlement
from segue.ledger.people.stops import Stop, Stopping
from segue.ledger.people.suppressions import Suppression, SuppressionKind
from segue.ledger.people.tester_requests import TrialResult, Trying, Wanted
from segue.ledger.queries.history import Event, Tracing
from segue.ledger.queries.pages import ChangeRow, Filter, Listing, RunRow
from segue.ledger.queries.runs import Reading
from segue.ledger.queries.sizes import Crossings, Size, Sizing, Version
from segue.ledger.queries.totals import OPEN_ENDS, Looking, Outcomes
from segue.ledger.retention.forgetting import ErasedRows, Forgetting
from segue.ledger.retention.pruning import Pruned, Pruning
from segue.ledger.runs.recording import Recording
from segue.ledger.runs.release import Deciding


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
