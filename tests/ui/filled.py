"""A ledger with something of everything, as the pages' tests look at it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, Run, SpanKind
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from segue.ledger.stretches import Point, Stretch

BEGUN = datetime.now(UTC)  # of all tests: midnight may come in the middle of one
HOSTILE = "<img src=x onerror=alert(1)>\"'{{ 7*7 }}"


def day_key(back: int) -> str:
    """The key of the snapshot that shows the changes of so many days ago."""
    return (BEGUN - timedelta(days=back)).date().isoformat()


def span(back: int, *contacts: str, change: str = "added") -> DetectedSpan:
    """A span that ends so many days ago."""
    ends = [
        datetime.combine((BEGUN - timedelta(days=number)).date(), datetime.min.time(), UTC)
        + timedelta(days=1)
        for number in (back + 1, back)
    ]
    points = [Point(at, (at - timedelta(days=1)).date().isoformat()) for at in ends]
    changes = [(contact, change, "") for contact in sorted(contacts)]
    return DetectedSpan(SpanKind.CHANGES, "", Stretch(*points), "p", "c", 10, 12, changes)


def record(
    ledger: Ledger,
    workflow: str,
    run_id: str,
    back: int,
    *contacts: str,
    actions: tuple[str, ...] = ("mail",),
    definition: tuple[str, str] = (
        "0" * 64,
        '{"directory": {"directory": "people"}, "segment": {"segment": "vip"}}',
    ),
) -> None:
    """Record a run with these contacts added, so many days ago."""
    run = Run(workflow, run_id)
    spans = [span(back, *contacts)]
    now = datetime.now(UTC)
    ledger.runs.record_spans(run, spans, actions, definition, now, recorded_only=False)


def settle(ledger: Ledger, contact: str, state: State, **values) -> str:
    """Put the deliveries of a contact into a state; returns the key of the last."""
    found = ledger.queries.list_deliveries(contact_id=contact)
    for row in found:
        with ledger.engine.begin() as connection:
            connection.execute(
                deliveries.update()
                .where(deliveries.c.key == row.key)
                .values(state=state, updated_at=datetime.now(UTC), **values)
            )
    return found[-1].key
