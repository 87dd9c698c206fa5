"""Runs, spans and changes for the ledger's tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import update

from segue.ledger import Deliveries, Ledger
from segue.ledger.base import LedgerDatabase
from segue.ledger.facts import DetectedSpan, Finished, Run, SpanKind, StartRules
from segue.ledger.schema import deliveries
from segue.ledger.stretches import Point, Stretch

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
LONG_AGO = timedelta(hours=1)  # more than a lease and any channel's longest call
_BODY = {
    "directory": {"directory": "people"},
    "segment": {"segment": "vip"},
    "workflow": {"actions": [{"id": "mail"}]},
}
DEFINITION = ("0" * 64, json.dumps(_BODY))


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
    return DetectedSpan(
        SpanKind.CHANGES, "", span, "before", "after", 10, 11, list(changes), suppressed
    )


def enrolled(day: int, *contact_ids: str) -> DetectedSpan:
    """An enrolment at a day's snapshot."""
    changes = [(contact_id, "enrolled", "") for contact_id in sorted(contact_ids)]
    span = Stretch(point(day), point(day))
    return DetectedSpan(SpanKind.ENROLMENT, "", span, None, "after", None, 11, changes)


def states(ledger: Ledger) -> dict[str, str]:
    """``delivered`` or ``suppressed:rejected`` by contact and snapshot's day: ``a@22``."""
    return {
        f"{row.contact_id}@{row.snapshot[-2:]}": ":".join(filter(None, (row.outcome, row.reason)))
        for row in ledger.queries.list_deliveries()
    }


def added(*contact_ids: str) -> list[tuple[str, str, str]]:
    """Changes of contacts that were added."""
    return [(contact_id, "added", "") for contact_id in sorted(contact_ids)]


def record(
    ledger: Ledger, run_: Run, *spans: DetectedSpan, actions: tuple[str, ...] = ("mail",)
) -> list[int]:
    """Record a run with these spans and return their ids."""
    ledger.runs.record_spans(run_, spans, actions, DEFINITION, NOW, recorded_only=False)
    recorded = ledger.runs.find_run(run_.workflow, run_.run_id)
    return [span.id for span in ledger.runs.spans_of(recorded)]


RULES = StartRules("recording", "team")


def advance(ledger: Ledger, finished: Sequence[Finished], starting: Sequence[str], **values):
    """Write outcomes and begin calls as the door does; returns the keys of the begun."""
    traces = {key: {} for key in starting}
    return ledger.deliveries.advance(finished, traces, **{"rules": RULES, **values}).mine


def with_deliveries(ledger: Ledger, kind: type[Deliveries]) -> Ledger:
    """Return a ledger on the same database whose store of deliveries is one of the test's."""
    other = Ledger(ledger.engine, ledger.namespace)
    other.deliveries = kind(ledger.engine, ledger.namespace)
    return other


def stores_of(ledger: Ledger) -> list[LedgerDatabase]:
    """Return the stores of a ledger."""
    return [store for store in vars(ledger).values() if isinstance(store, LedgerDatabase)]


def set_secret(ledger: Ledger, secret: str) -> None:
    """Let a ledger forget contacts under a secret."""
    for store in stores_of(ledger):
        store.secret = secret


def end_leases(ledger: Ledger, owner: str = "") -> None:
    """Let the leases of an owner who is dead, or of all, and their longest calls be over.

    Nobody's clock is changed: the leases are moved into the past.
    """
    over = update(deliveries).where(
        deliveries.c.lease_until.is_not(None), deliveries.c.owner.startswith(owner)
    )
    with ledger.engine.begin() as connection:
        connection.execute(over.values(lease_until=datetime.now(UTC) - LONG_AGO))


def planned_again(ledger: Ledger, span_id: int) -> None:
    """What a policy had suppressed of a span, as a cleared detect_changes gives it back."""
    with ledger._write() as connection:
        ledger.runs._judge(connection, span_id, None, NOW)
