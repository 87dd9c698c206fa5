"""Policies over a whole span: reasons for which none of its deliveries is released."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from segue.delivery.ledger import (
    SUPPRESSED_BACKFILL,
    SUPPRESSED_MAX_AGE,
    SUPPRESSED_PRUNED,
    DetectedSpan,
    Ledger,
    Wishes,
)
from segue.delivery.resolved import ResolvedWorkflow
from segue.delivery.spans import Stretch


def suppressing_policy(
    resolved: ResolvedWorkflow,
    part: Stretch,
    wishes: Wishes,
    now: datetime,
    *,
    record_only: bool,
) -> str | None:
    """Return the policy that keeps a span's deliveries from being released, or None.

    A person who asks for delivery in a run's parameters has decided about its age, too.
    """
    if record_only:
        return SUPPRESSED_BACKFILL
    max_age = resolved.definition.policies.max_age
    if max_age is None or wishes.deliver:
        return None
    oldest = max_age.before(now, resolved.directory.zone)
    return SUPPRESSED_MAX_AGE if part.current.as_of < oldest else None


def bounded(detected: DetectedSpan, ledger: Ledger, workflow: str) -> DetectedSpan:
    """Return what may be recorded of a span: nobody who was forgotten, nothing to send twice.

    Where part of it lies before the workflow's watermark, the ledger may have forgotten what was
    sent: all of it is ``suppressed(pruned)``, whatever a person asks of the run.
    """
    gone = ledger.forgotten(contact for contact, _, _ in detected.changes)
    kept = [change for change in detected.changes if change[0] not in gone]
    watermark = ledger.watermark(workflow)
    if watermark is not None and detected.stretch.previous.as_of < watermark:
        return replace(detected, changes=kept, suppressed=SUPPRESSED_PRUNED)
    return replace(detected, changes=kept)
