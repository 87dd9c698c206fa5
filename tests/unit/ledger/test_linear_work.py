"""What the ledger asks of PostgreSQL costs as much per contact in a large run as in a small one.

Right after a large run the server knows nothing of it: it has no statistics, or those of before.
A plan made for one row then reads the whole run once for each of its rows, and never ends. Work is
counted by the server, in rows and pages, so that no other load of the machine matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import URL, text, update

from segue.ledger import Ledger
from segue.ledger.facts import Decision, DetectedSpan, Run, SpanKind, StartRules
from segue.ledger.queries.pages import Filter
from segue.ledger.schema import deliveries
from segue.ledger.stretches import Point, Stretch
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    detected,
    planned_again,
    point,
    run,
    stretch,
)

pytestmark = pytest.mark.postgres
ACTIONS = ("mail", "ticket")
FEW, MANY = 250, 1000  # contacts
ALLOWED = 1.9  # times the work per contact; a quadratic statement takes about four times
LATER = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    "statistics", ["none", pytest.param("of an earlier run", marks=pytest.mark.slow)]
)
def test_every_statement_is_linear_whatever_the_server_knows(make_ledger, statistics):
    """No statement of a run's life reads the run once per contact."""
    work = {}
    for size in (FEW, MANY):
        with make_ledger() as ledger:
            _keep_statistics(ledger, old=statistics != "none")
            work[size] = {name: _work(ledger, step) for name, step in _life(ledger, size)}
    per_contact = {
        name: round(work[MANY][name] / MANY / (work[FEW][name] / FEW), 1) for name in work[FEW]
    }
    assert {name: times for name, times in per_contact.items() if times > ALLOWED} == {}


@pytest.fixture
def database(new_database: URL) -> URL:
    """What the server knows of the tables is part of the question."""
    return new_database


@pytest.fixture
def make_ledger(ledger: Ledger) -> Iterator[Callable[[], Ledger]]:
    """The one ledger, emptied before each use: a new database takes seconds."""
    if ledger.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no statistics of rows that it could be wrong about")
    with ledger.engine.connect() as connection:
        if int(connection.scalar(text("SHOW server_version_num"))) < 150000:
            pytest.skip("PostgreSQL counts a session's work at once from version 15 on")

    @contextmanager
    def emptied():
        with ledger.engine.begin() as connection:
            connection.execute(text("TRUNCATE runs, workflows, quarantines CASCADE"))
            for table in ("changes", "deliveries", "spans"):
                connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
            connection.execute(text("DELETE FROM pg_statistic WHERE starelid > 16383"))
        yield ledger

    return emptied


def _keep_statistics(ledger: Ledger, *, old: bool) -> None:
    if not old:
        return
    few = [(f"old{number:02}", "added", "") for number in range(60)]
    earlier = Run("another", "earlier")
    spans = [detected(stretch(1, 2), few)]
    ledger.runs.record_spans(earlier, spans, ACTIONS, DEFINITION, NOW, recorded_only=False)
    with ledger.engine.begin() as connection:
        connection.execute(update(deliveries).values(state="delivered", called_at=NOW))
        connection.execute(text("ANALYZE"))


def _life(ledger: Ledger, size: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is asked in the life of a run, in its order, by name."""
    people = [f"c{number:05}" for number in range(size)]
    keys = {
        action: [
            ledger.key("welcome", action, contact, "added", "2026-11-22") for contact in people
        ]
        for action in ACTIONS
    }
    whole, half = (detected(stretch(21, 22), added(*chosen)) for chosen in (people, people[::2]))
    over = detected(Stretch(Point(point(22).as_of, point(21).key), point(23)), added(*people))
    here = Stretch(point(22), point(22))
    members = [(contact, "enrolled", "") for contact in people]
    enrolment = DetectedSpan(SpanKind.ENROLMENT, "", here, None, "after", None, 11, members)

    def record(name: str, span: DetectedSpan) -> None:
        ledger.runs.record_spans(run(name), [span], ACTIONS, DEFINITION, NOW, recorded_only=False)

    def again(name: str, span: DetectedSpan) -> None:
        pairs = [(ledger.runs.spans_of(ledger.runs.find_run("welcome", name))[0], span)]
        ledger.runs.record_again(run(name), pairs, ACTIONS, DEFINITION, NOW)

    def ids(name: str) -> list[int]:
        return [span.id for span in ledger.runs.spans_of(ledger.runs.find_run("welcome", name))]

    def decision(word: str) -> Decision:
        return Decision(word, "ann", NOW)

    def move(action: str, change: str = "%", **values: object) -> None:
        which = deliveries.c.action == action, deliveries.c.change.like(change)
        with ledger.engine.begin() as connection:
            connection.execute(update(deliveries).where(*which).values(**values))

    def advance(rules: StartRules) -> None:
        for key in keys["mail"]:
            lease = {"owner": "o", "now": NOW, "lease_until": LATER}
            ledger.deliveries.advance([], {key: {}}, rules=rules, **lease)

    yield "record_spans", lambda: record("r", whole)
    (span,) = ids("r")
    asked = ledger.runs.find_run("welcome", "r")
    cap = StartRules("recording", "contact", cap=(9, timedelta(days=1)))
    page = {"limit": 50, "offset": size // 2}
    yield "withhold", lambda: ledger.runs.withhold(span, "max_age", NOW)
    yield "planned again", lambda: planned_again(ledger, span)
    yield "count_planned", lambda: ledger.queries.count_planned([span])
    yield "waiting_changes", lambda: ledger.queries.waiting_changes([span])
    yield "waiting_contacts", lambda: ledger.queries.waiting_contacts([span], "added", size)
    yield "changes_to_handle, planned", lambda: ledger.queries.changes_to_handle(span)
    yield "reject", lambda: ledger.runs.reject(asked, [span], decision("rejected"))
    yield "changes_to_handle, rejected", lambda: ledger.queries.changes_to_handle(span)
    yield "approve", lambda: ledger.runs.approve(asked, [span], decision("approved"))
    yield "changes_to_handle, released", lambda: ledger.queries.changes_to_handle(span)
    yield "rows", lambda: ledger.deliveries.rows(keys["mail"])
    yield "skip", lambda: ledger.deliveries.skip(keys["mail"], "conditions", NOW)
    yield "tally", lambda: ledger.queries.tally([span])
    yield "unskip", lambda: ledger.deliveries.unskip(keys["mail"], "conditions", NOW)
    yield (
        "claim",
        lambda: ledger.deliveries.claim(keys["mail"], owner="o", now=NOW, lease_until=LATER),
    )
    yield "renew", lambda: ledger.deliveries.renew("o", LATER)
    yield "advance under a cap", lambda: advance(cap)
    move("mail", state="delivered")
    yield "suppress_reached of an enrolment", lambda: record("everybody", enrolment)
    yield "release an enrolment", lambda: ledger.runs.release(ids("everybody"), NOW)
    move("ticket", "added", state="failed", reason="422")
    move("ticket", "enrolled", state="planned", reason="")
    yield "release an enrolment of whom failed", lambda: ledger.runs.release(ids("everybody"), NOW)
    yield "reached_contacts", lambda: ledger.queries.reached_contacts("welcome")
    yield "record_again, the same", lambda: again("r", whole)
    yield "record_again, half of it", lambda: again("r", half)
    yield "record_again, whole again", lambda: again("r", whole)
    move("ticket", state="skipped", reason="after: mail failed", waits_for="mail")
    move("mail", state="delivered")
    yield "actions_with_work", lambda: ledger.deliveries.actions_with_work(NOW)
    yield "due", lambda: ledger.deliveries.due("welcome", "ticket", NOW, None)
    yield "hold_followers", lambda: ledger.deliveries.hold_followers(keys["ticket"], NOW)
    yield "postpone", lambda: ledger.deliveries.postpone(keys["ticket"], "quiet_hours", NOW, NOW)
    yield "drop_withdrawn", lambda: ledger.deliveries.drop_withdrawn(NOW)
    yield "sent_actions", lambda: ledger.queries.sent_actions([span])
    yield "record_spans over a kept one", lambda: record("over", over)
    yield "count_left_to_others", lambda: ledger.queries.count_left_to_others(ids("over"))
    yield "count_rows", lambda: ledger.queries.count_rows([span], Filter())
    yield "change_rows", lambda: ledger.queries.change_rows([span], Filter(), **page)
    yield "take_over", lambda: ledger.runs.take_over(run("other"), ledger.runs.spans_of(asked), NOW)
    yield "needed_runs", lambda: ledger.retention.needed_runs(LATER)
    record("news", detected(stretch(23, 24), added(*people)))
    move("ticket", "enrolled", state="failed", reason="422")
    yield "release additions of whom was enrolled", lambda: ledger.runs.release(ids("news"), NOW)
    yield (
        "quarantine",
        lambda: ledger.people.quarantine("people", "2026-11-22", reason="", by="", now=NOW),
    )
    move("mail", state="delivered", reason="")
    move("ticket", state="delivered", reason="")
    yield "prune", lambda: ledger.retention.prune(NOW + timedelta(days=30))


def _work(ledger: Ledger, step: Callable[[], object]) -> int:
    """Return how many rows and pages the server went through for a step."""
    before = _counted(ledger)
    step()
    return _counted(ledger) - before


def _counted(ledger: Ledger) -> int:
    query = (
        "SELECT tup_returned + tup_fetched + blks_hit + blks_read FROM pg_stat_database "
        "WHERE datname = current_database()"
    )
    with ledger.engine.connect() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        connection.commit()
        return int(connection.scalar(text(query)))
