"""The start of a run: its changes are detected and cut into branches."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segue.contacts.change import changes_of_span
from segue.ledger.facts import RecordedSpan
from segue.runs.areas import RunArea
from segue.runs.branches import BranchRef, cut
from segue.runs.context import RunContext
from segue.runs.span_detection import detect
from segue.segments.membership.changes import Memberships

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What a run has to do: a slice per branch; or, in words, why there is nothing."""

    branches: Sequence[BranchRef]
    news: Mapping[str, Any]  # the workflow, the run, its snapshots, how many changes of each kind
    spans: Sequence[RecordedSpan] = ()
    reason: str = ""


def start_run(context: RunContext, store: Memberships, area: RunArea) -> Start:
    """Record what a run covers and write the slices of its changes; a run may be started again.

    Raises as ``detect`` does.
    """
    detection = detect(context, store)
    if detection.outcome != "recorded":
        return Start((), {}, reason=detection.reason)
    queries, spans = context.ledger.queries, detection.spans
    changes = [
        change
        for span in spans
        for change in changes_of_span(span.stretch, queries.changes_to_handle(span.id))
    ]
    counts = dict(queries.count_changes([span.id for span in spans]))
    _tell_of(spans)
    log.info("changes: %s; %s to handle", counts, len(changes))
    area.write_audience(context.resolved.audience)
    slices = cut(changes, context.resolved.definition.branches)
    news = {
        "workflow": context.run.workflow,
        "run_id": context.run.run_id,
        "snapshots": [span.stretch.current.key for span in spans],
        "changes": counts,
    }
    return Start(area.write_slices(slices), news, spans)


def _tell_of(spans: Sequence[RecordedSpan]) -> None:
    for span in spans:
        stretch, sizes = span.stretch, (span.previous_size, span.current_size)
        log.info("%s: %s -> %s, %s -> %s members", span.kind, *stretch.keys, *sizes)
        for remark in span.left_out:
            log.warning("%s", remark)
