"""The guard: the only thing that turns ``planned`` deliveries into ``released``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from segue.delivery.ledger import Ledger, RecordedSpan
from segue.workflows.definition import GuardLimits


def beyond_limits(limits: GuardLimits, planned: Mapping[str, int], before: int | None) -> list[str]:
    """Return, in words, each limit that the planned changes of a run go beyond.

    ``planned`` counts contacts per kind of change, and limits hold for each kind; ``share`` is of
    ``before``, how many members there were before the run's spans.
    """
    found = []
    for kind, count in sorted(planned.items()):
        if limits.at_most is not None and count > limits.at_most:
            found.append(f"{count} contacts {kind}, guard.at_most is {limits.at_most}")
        if limits.share is not None and before is not None and count > limits.share * before:
            found.append(
                f"{count} of {before} contacts {kind}, guard.share is {limits.share * 100:g}%"
            )
    return found


def members_before(spans: Sequence[RecordedSpan]) -> int | None:
    """Return how many members the segment had before the first of the spans, where known."""
    return next((span.previous_size for span in spans if span.previous_size is not None), None)


def release(spans: Sequence[RecordedSpan], ledger: Ledger, now: datetime) -> int:
    """Release everything that is planned in the spans; returns how many deliveries."""
    return ledger.release([span.id for span in spans], now)
