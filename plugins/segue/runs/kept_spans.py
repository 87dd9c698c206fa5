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
    span: DetectedSpan,
    others: Sequence[RecordedSpan],
    record: RecordedSpan | None = None,
) -> DetectedSpan:
    """Return a span without what kept spans have sent, and with a finding for rewritten files.

    A change of which only some actions were sent stays, as does one that the span has on record:
    the ledger leaves out what was sent. ``others`` are the workflow's other recorded spans,
    ``record`` is this one where it is detected again.
    """
    if span.kind != SpanKind.CHANGES:
        return span
    queries = context.ledger.queries
    sent_actions = queries.sent_actions(_compared_again(span, others))
    own = queries.changes_of(record.id) if record and sent_actions else frozenset()
    changes = [
        change
        for change in span.changes
        if change[:2] in own
        or any((*change[:2], action) not in sent_actions for action in context.resolved.action_ids)
    ]
    reasons = [span.reason, *_rewritten(span, others)]
    return replace(span, reason="\n".join(filter(None, reasons)), changes=changes)


def _compared_again(span: DetectedSpan, others: Sequence[RecordedSpan]) -> list[int]:
    """Return the spans between the snapshot compared with and the time the span begins at."""
    stretches = set(compared_over(span.stretch, by_end(span.stretch for span in others)))
    return [span.id for span in others if span.stretch in stretches]


def _rewritten(detection: DetectedSpan, others: Sequence[RecordedSpan]) -> Iterator[str]:
    """Yield a line for each snapshot that another run compared with other files than these."""
    files = {
        detection.stretch.previous.key: detection.previous_fingerprint,
        detection.stretch.current.key: detection.current_fingerprint,
    }
    for span in others:
        for key, recorded_print in (
            (span.stretch.previous.key, span.previous_fingerprint),
            (span.stretch.current.key, span.current_fingerprint),
        ):
            new_print = files.get(key)
            if None not in (new_print, recorded_print) and new_print != recorded_print:
                yield (
                    f"snapshot {key} was rewritten after {span.run_id} compared it: whom that run "
                    "acted on may be among these"
                )
