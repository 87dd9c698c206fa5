"""The guard: the only thing that turns ``planned`` deliveries into ``released``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from segue.delivery.ledger import Ledger, RecordedSpan
from segue.workflows.definition import GuardLimits


def beyond_limits(limits: GuardLimits, spans: Sequence[RecordedSpan], ledger: Ledger) -> list[str]:
    """Return, in words, each limit that the planned changes of a run go beyond.

    Limits hold per kind of change; ``share`` is of the membership before the run's spans.
    """
    planned = ledger.count_planned([span.id for span in spans])
    before = next((span.previous_size for span in spans if span.previous_size), None)
    found = []
    for kind, count in sorted(planned.items()):
        if limits.at_most is not None and count > limits.at_most:
            found.append(f"{count} contacts {kind}, guard.at_most is {limits.at_most}")
        if limits.share is not None and before and count / before > limits.share:
            found.append(
                f"{count} of {before} contacts {kind}, guard.share is {limits.share * 100:g}%"
            )
    return found


def release(spans: Sequence[RecordedSpan], ledger: Ledger, now: datetime) -> int:
    """Release everything that is planned in the spans; returns how many deliveries."""
    return ledger.release([span.id for span in spans], now)
