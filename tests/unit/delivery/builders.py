"""Runs, spans and changes for the ledger's tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from segue.delivery.ledger import DetectedSpan, Finished, Ledger, Run, StartRules
from segue.delivery.spans import Point, Stretch

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)


def point(day: int) -> Point:
    """The snapshot of a day of November 2026, in UTC."""
    return Point(datetime(2026, 11, day, tzinfo=UTC) + timedelta(days=1), f"2026-11-{day:02}")


def stretch(previous: int, current: int) -> Stretch:
    """The span between two days' snapshots."""
    return Stretch(point(previous), point(current))


def run(name: str = "run-1", **values) -> Run:
    """A run of the workflow ``welcome``."""
    return Run("welcome", name, **values)


def detected(
    span: Stretch, changes: Sequence[tuple[str, str, str]] = (), suppressed: str | None = None
) -> DetectedSpan:
    """A span as detection hands it to the ledger."""
    return DetectedSpan("changes", "", span, "before", "after", 10, 11, list(changes), suppressed)


def added(*contact_ids: str) -> list[tuple[str, str, str]]:
    """Changes of contacts that were added."""
    return [(contact_id, "added", "") for contact_id in sorted(contact_ids)]


def record(
    ledger: Ledger, run_: Run, *spans: DetectedSpan, actions: tuple[str, ...] = ("mail",)
) -> list[int]:
    """Record a run with these spans and return their ids."""
    ledger.record_spans(run_, spans, actions, ("0" * 64, "{}"), NOW, recorded_only=False)
    recorded = ledger.find_run(run_.workflow, run_.run_id)
    return [span.id for span in ledger.spans_of(recorded)]


RULES = StartRules("recording", "team")


def advance(ledger: Ledger, finished: Sequence[Finished], starting: Sequence[str], **values):
    """Write outcomes and begin calls as the door does; returns the keys of the begun."""
    traces = {key: {} for key in starting}
    return ledger.advance(finished, traces, **{"rules": RULES, **values}).mine
