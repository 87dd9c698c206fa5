"""What a careful person might not want acted on: whole spans, kept from being released."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from segue.errors import LedgerError
from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, Wishes
from segue.ledger.reasons import Reason
from segue.ledger.stretches import Stretch
from segue.runs.context import NO_WISHES
from segue.segments.kinds import ChangeKind
from segue.workflows.resolved import ResolvedWorkflow


def suppressing_policy(
    resolved: ResolvedWorkflow,
    part: Stretch,
    now: datetime,
    wishes: Wishes = NO_WISHES,
    *,
    record_only: bool = False,
) -> str | None:
    """Return the policy that keeps a span's deliveries from being released, or None.

    A person who asks for delivery in a run's parameters has decided about its age, too.
    """
    if record_only:
        return Reason.BACKFILL
    max_age = resolved.definition.policies.max_age
    if max_age is None or wishes.deliver:
        return None
    oldest = max_age.before(now, resolved.directory.zone)
    return Reason.MAX_AGE if part.current.as_of < oldest else None


def within_retention(span: DetectedSpan, ledger: Ledger, workflow: str) -> DetectedSpan:
    """Return what may be recorded of a span: nothing that would be sent twice.

    Where part of it lies before the workflow's watermark, the ledger may have forgotten what was
    sent: all of it is ``suppressed(pruned)``, whatever a person asks of the run. Raises LedgerError
    for an enrolment in a workflow that has a watermark: it would write to old members again.
    """
    watermark = ledger.retention.watermark(workflow)
    if watermark is not None and any(
        change == ChangeKind.ENROLLED for _, change, _ in span.changes
    ):
        raise LedgerError(
            f"deliveries of {workflow} up to {watermark:%Y-%m-%d} were pruned, so nobody knows "
            "which members it has written to. Enrol them in a workflow of another name"
        )
    if is_pruned(span.stretch, watermark):
        return replace(span, suppressed=Reason.PRUNED)
    return span


def is_pruned(stretch: Stretch, watermark: datetime | None) -> bool:
    """Tell whether the ledger may have forgotten what was sent of a span."""
    return watermark is not None and stretch.previous.as_of < watermark
