"""On PostgreSQL, whoever changes several deliveries locks them in one order: that of their keys.

A pass, a quarantine, a request and a cleared run meet in the same rows. Of two that lock them in
different orders the server ends one, and that might be the quarantine of an emergency.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update

from segue.ledger import Ledger
from segue.ledger.facts import Decision, Finished
from segue.ledger.people.release_requests import RequestKind, Selection, Settlement
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.builders import (
    DEFINITION,
    NOW,
    RULES,
    added,
    detected,
    enrolled,
    record,
    run,
    stretch,
)

pytestmark = pytest.mark.postgres
CONTACTS = [f"c{number}" for number in range(8)]
LATER = NOW + timedelta(hours=3)
WELCOME = ("welcome", "mail")
YES = Decision("approved", "bob", NOW)

Act = Callable[[Ledger, Sequence[str], int], object]


def again(ledger: Ledger, span: int, contacts: Sequence[str], suppressed: str | None) -> None:
    """Clear the run from detect_changes."""
    [recorded] = ledger.runs.spans_of(ledger.runs.find_run("welcome", "run-1"))
    here = detected(stretch(21, 22), added(*contacts), suppressed)
    ledger.runs.record_again(run(), [(recorded, here)], ("mail",), DEFINITION, NOW)


def requested(kind: RequestKind, settlement: Settlement | None = None) -> Act:
    """Carry out what a person asks about all deliveries."""

    def act(ledger: Ledger, _keys: Sequence[str], _span: int) -> None:
        [request] = ledger.people.open_requests()
        ledger.people.carry_out(request, NOW)

    def prepare(ledger: Ledger) -> None:
        ledger.people.file_request(kind, Selection("welcome"), "ann", NOW, settlement)

    act.prepare = prepare
    return act


CLAIMED = {"state": State.CLAIMED, "owner": "me", "lease_until": NOW}
SENDING = {"state": State.SENDING, "owner": "me", "lease_until": NOW}
HELD = {"state": State.HELD, "held_until": NOW}
FAILED = {"state": State.FAILED, "reason": "422"}
DUE = {"state": State.UNCERTAIN, "held_until": NOW, "reason": "lost"}
DELIVERED = {"state": State.DELIVERED}
OURS = {"owner": "me", "now": NOW, "lease_until": NOW}

# how the deliveries stand, and what is done with all of them
ACTS: Mapping[str, tuple[Mapping[str, Any], Act]] = {
    "quarantine": (
        CLAIMED,
        lambda ledger, *_: ledger.people.quarantine(
            "people", "2026-11-22", reason="", by="ann", now=NOW
        ),
    ),
    "reject": (
        {"state": State.PLANNED},
        lambda ledger, _, span: ledger.runs.reject(
            ledger.runs.find_run("welcome", "run-1"), [span], YES
        ),
    ),
    "approve": (
        {**SENDING, "barred": 1},
        lambda ledger, _, span: ledger.runs.approve(
            ledger.runs.find_run("welcome", "run-1"), [span], YES
        ),
    ),
    "a cleared run that has fewer changes": (
        FAILED,
        lambda ledger, _, s: again(ledger, s, [], None),
    ),
    "a cleared run that is too old": (
        CLAIMED,
        lambda ledger, _, span: again(ledger, span, CONTACTS, "max_age"),
    ),
    "withhold": (HELD, lambda ledger, _, span: ledger.runs.withhold(span, "max_age", NOW)),
    "finish": (
        SENDING,
        lambda ledger, keys, _: ledger.deliveries.advance(
            [Finished(key, State.DELIVERED) for key in keys], {}, rules=RULES, **OURS
        ),
    ),
    "begin": (
        CLAIMED,
        lambda ledger, keys, _: ledger.deliveries.advance(
            [], {key: {} for key in keys}, rules=RULES, **OURS
        ),
    ),
    "claim": (HELD, lambda ledger, keys, _: ledger.deliveries.claim(keys, clear_number=2, **OURS)),
    "renew": (CLAIMED, lambda ledger, *_: ledger.deliveries.renew("me", LATER)),
    "give_back": (CLAIMED, lambda ledger, *_: ledger.deliveries.give_back("me", NOW)),
    "skip": (FAILED, lambda ledger, keys, _: ledger.deliveries.skip(keys, "conditions", NOW)),
    "unskip": (
        {"state": State.SKIPPED, "reason": "conditions"},
        lambda ledger, keys, _: ledger.deliveries.unskip(keys, "conditions", NOW),
    ),
    "free_expired": (CLAIMED, lambda ledger, *_: ledger.deliveries.free_expired(LATER)),
    "call_uncertain": (
        SENDING,
        lambda ledger, keys, _: ledger.deliveries.call_uncertain(keys, LATER, NOW),
    ),
    "take_doubtful": (
        SENDING,
        lambda ledger, keys, _: ledger.deliveries.take_doubtful(
            keys, LATER, owner="you", lease_until=LATER
        ),
    ),
    "expire": (HELD, lambda ledger, keys, _: ledger.deliveries.expire(keys, NOW)),
    "let_rest": (DUE, lambda ledger, *_: ledger.deliveries.let_rest(*WELCOME, NOW, resends=False)),
    "leave_in_doubt": (
        DUE,
        lambda ledger, keys, _: ledger.deliveries.leave_in_doubt(keys, "stop", NOW),
    ),
    "mark_told": (
        {**FAILED, "untold": 1},
        lambda ledger, *_: ledger.deliveries.mark_told(ledger.deliveries.untold(*WELCOME)),
    ),
    "postpone": (
        HELD,
        lambda ledger, keys, _: ledger.deliveries.postpone(keys, "away", LATER, NOW),
    ),
    "hold_followers": (
        {"state": State.SKIPPED, "waits_for": "other"},
        lambda ledger, keys, _: ledger.deliveries.hold_followers(keys, NOW),
    ),
    "file a request": (
        FAILED,
        lambda ledger, *_: ledger.people.file_request(
            RequestKind.RETRY, Selection("welcome"), "ann", NOW
        ),
    ),
    "retry": (FAILED, requested(RequestKind.RETRY)),
    "settle": (DUE, requested(RequestKind.SETTLE, Settlement.DELIVERED)),
    "drop": (HELD, requested(RequestKind.DROP)),
    "prune": (DELIVERED, lambda ledger, *_: ledger.retention.prune(NOW + timedelta(days=30))),
}


def test_whatever_changes_deliveries_locks_them_in_the_order_of_their_keys(ledger):
    """While another has the first of them, none of the others is locked."""
    _skip_on_sqlite(ledger)
    [span] = record(ledger, run(), detected(stretch(21, 22), added(*CONTACTS)))
    keys = [row.key for row in ledger.queries.list_deliveries()]
    assert keys[0] != min(keys)  # the order in which they were written is another
    locked = {}
    for name, (stand, act) in ACTS.items():
        put(ledger, stand)
        if prepare := getattr(act, "prepare", None):
            prepare(ledger)
        locked[name] = others_locked(ledger, keys, lambda act=act: act(ledger, keys, span))
    assert {name: others for name, others in locked.items() if others} == {}


@pytest.mark.parametrize("suppressed", ["max_age", None])
@pytest.mark.parametrize("contacts", [CONTACTS, []], ids=["the same changes", "no changes"])
def test_a_cleared_run_locks_what_is_in_different_states_in_one_order(ledger, suppressed, contacts):
    """Some is under way, some waits, some has failed: each step of a cleared run changes others."""
    _skip_on_sqlite(ledger)
    [span] = record(ledger, run(), detected(stretch(21, 22), added(*CONTACTS)))
    keys = sorted(row.key for row in ledger.queries.list_deliveries())
    stands = ({**SENDING, "barred": 4}, CLAIMED, {**FAILED, "failed_at_clear": 9}, DUE)
    for shift in range(len(stands)):
        put(ledger, {})
        with ledger.engine.begin() as connection:
            for number, key in enumerate(keys):
                values = stands[(number + shift) % len(stands)]
                connection.execute(update(deliveries).where(deliveries.c.key == key).values(values))
        assert not others_locked(ledger, keys, lambda: again(ledger, span, contacts, suppressed))


def test_additions_of_several_spans_lock_an_enrolments_deliveries_in_one_order(ledger):
    """One release is about all spans of a run."""
    _skip_on_sqlite(ledger)
    ledger.runs.release(record(ledger, run("enrol"), enrolled(20, *CONTACTS)), NOW)
    by_key = {row.key: row.contact_id for row in ledger.queries.list_deliveries()}
    first, *others = (by_key[key] for key in sorted(by_key))
    daily = [detected(stretch(21, 22), added(*others)), detected(stretch(22, 23), added(first))]
    ids = record(ledger, run("daily"), *daily)
    assert not others_locked(ledger, list(by_key), lambda: ledger.runs.release(ids, NOW), by_key)


def _skip_on_sqlite(ledger: Ledger) -> None:
    if ledger.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")


def put(ledger: Ledger, stand: Mapping[str, Any]) -> None:
    """Let all deliveries stand so, and no request mean them."""
    blank = dict.fromkeys(("owner", "lease_until", "held_until", "barred", "untold", "request"))
    values = {**blank, "reason": "", **stand}
    with ledger.engine.begin() as connection:
        connection.execute(text("DELETE FROM quarantines"))
        connection.execute(text("DELETE FROM requests"))
        connection.execute(text("UPDATE spans SET kind = 'changes'"))
        connection.execute(update(deliveries).values(values))


def others_locked(
    ledger: Ledger,
    keys: Sequence[str],
    act: Callable[[], object],
    among: Collection[str] | None = None,
) -> list[str]:
    """Return what is locked while ``act`` waits for the first of the keys, or has ended.

    ``among`` are the keys that matter, None for all.
    """
    first = min(keys)
    lock = select(deliveries.c.key).with_for_update(skip_locked=True)
    with ThreadPoolExecutor(1) as pool:
        with ledger.engine.begin() as connection:
            mine = lock.where(deliveries.c.key == first)
            assert connection.execute(mine).scalars().all() == [first]
            acting = pool.submit(act)
            while not acting.done() and not _anybody_waits(ledger):
                time.sleep(0.01)
            with ledger.engine.connect() as looking:
                free = set(looking.execute(lock.where(deliveries.c.key != first)).scalars())
                there = set(looking.execute(select(deliveries.c.key)).scalars()) - {first}
        acting.result()
    locked = there - free
    return sorted(locked if among is None else locked.intersection(among))


def _anybody_waits(ledger: Ledger) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with ledger.engine.connect() as connection:
        return bool(connection.scalar(text(query)))
