"""What the spans that are recorded already mean for one that was just detected.

Spans do not overlap, and still two may find the same change: where a snapshot between them was
rewritten, or quarantined after something was sent from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from segue.ledger.facts import DetectedSpan, RecordedSpan, SpanKind
from segue.ledger.stretches import by_end, compared_over
from segue.runs.context import RunContext


def unsent_part(
    context: RunContext,
    detected: DetectedSpan,
    others: Sequence[RecordedSpan],
    recorded: RecordedSpan | None = None,
) -> DetectedSpan:
    """Return a span without what kept spans have sent, and with a finding for rewritten files.

    A change of which only some actions were sent stays, as does one that the span has on record:
    the ledger leaves out what was sent. ``others`` are the workflow's other recorded spans,
    ``recorded`` is this one where it is detected again.
    """
    if detected.kind != SpanKind.CHANGES:
        return detected
    queries = context.ledger.queries
    sent_actions = queries.sent_actions(_compared_again(detected, others))
    own = queries.changes_of(recorded.id) if recorded and sent_actions else frozenset()
    changes = [
        change
        for change in detected.changes
        if change[:2] in own
        or any((*change[:2], action) not in sent_actions for action in context.resolved.action_ids)
    ]
    reasons = [detected.reason, *_rewritten(detected, others)]
    return replace(detected, reason="\n".join(filter(None, reasons)), changes=changes)


def _compared_again(detected: DetectedSpan, others: Sequence[RecordedSpan]) -> list[int]:
    """Return the spans between the snapshot compared with and the time the span begins at."""
    again = set(compared_over(detected.stretch, by_end(span.stretch for span in others)))
    return [span.id for span in others if span.stretch in again]


def _rewritten(detected: DetectedSpan, others: Sequence[RecordedSpan]) -> Iterator[str]:
    """Yield a line for each snapshot that another run compared with other files than these."""
    files = {
        detected.stretch.previous.key: detected.previous_fingerprint,
        detected.stretch.current.key: detected.current_fingerprint,
    }
    for span in others:
        for key, compared in (
            (span.stretch.previous.key, span.previous_fingerprint),
            (span.stretch.current.key, span.current_fingerprint),
        ):
            now = files.get(key)
            if None not in (now, compared) and now != compared:
                yield (
                    f"snapshot {key} was rewritten after {span.run_id} compared it: whom that run "
                    "acted on may be among these"
                )
