"""Quarantined snapshots: what becomes of recorded spans; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from segue.ledger import Ledger
from segue.ledger.facts import Decision, Finished, Quarantined, SpanTaken
from segue.ledger.people.release_requests import RequestKind, Selection
from segue.ledger.reasons import Reason
from segue.ledger.schema import deliveries
from segue.ledger.states import State
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    advance,
    detected,
    enrolled,
    record,
    run,
    states,
    stretch,
)

LEASE = NOW + timedelta(minutes=2)
YES = Decision("approved", "bob", NOW)


def quarantine(ledger: Ledger, day: int = 22, directory: str = "people") -> Quarantined:
    key = f"2026-11-{day:02}"
    return ledger.people.quarantine(directory, key, reason="half is missing", by="ann", now=NOW)


def deliver(ledger: Ledger, contact_id: str, day: int) -> None:
    key = ledger.key("welcome", "mail", contact_id, "added", f"2026-11-{day:02}")
    ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE)
    done = Finished(key, State.DELIVERED)
    advance(ledger, [done], [], owner="me", now=NOW, lease_until=LEASE)


def test_a_quarantine_is_known_with_its_reason_until_it_ends(ledger):
    """Of this directory alone; ended once."""
    quarantine(ledger)
    assert ledger.people.quarantined("people") == {"2026-11-22": "half is missing"}
    assert ledger.people.quarantined("others") == {}
    assert ledger.people.end_quarantine("people", "2026-11-22")
    assert not ledger.people.end_quarantine("people", "2026-11-22")
    assert ledger.people.quarantined("people") == {}


def test_a_span_of_which_nothing_was_sent_is_withdrawn_and_its_time_free(ledger):
    """The next day can take 21 to 23, and nothing of the 22nd can be released any more."""
    [number] = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    done = quarantine(ledger)
    assert [span.id for span in done.withdrawn] == [number]
    assert (done.kept, done.rejected) == ([], 2)
    assert ledger.runs.all_spans("welcome") == []
    assert set(states(ledger).values()) == {"suppressed:rejected"}
    assert ledger.runs.release([number], NOW) == 0
    assert ledger.runs.approve(ledger.runs.find_run("welcome", "run-1"), [number], YES) == 0
    record(ledger, run("run-2"), detected(stretch(21, 23), added("c")))
    assert [span.stretch for span in ledger.runs.all_spans("welcome")] == [stretch(21, 23)]


def test_what_was_released_and_not_sent_is_taken_back(ledger):
    """Released or skipped at the door: a cleared task must not send it."""
    [number] = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    ledger.runs.release([number], NOW)
    key = ledger.key("welcome", "mail", "a", "added", "2026-11-22")
    ledger.deliveries.skip([key], "opted_out", NOW)
    assert [span.id for span in quarantine(ledger).withdrawn] == [number]
    assert (
        ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE, clear_number=9) == []
    )


def test_a_span_of_which_something_was_sent_stays_and_the_rest_is_rejected(ledger):
    """The message is out: nobody gets it again, and nobody else gets it."""
    [number] = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    ledger.runs.release([number], NOW)
    deliver(ledger, "a", 22)
    done = quarantine(ledger)
    assert ([span.id for span in done.kept], done.withdrawn, done.rejected) == ([number], [], 1)
    assert states(ledger) == {"a@22": "delivered", "b@22": "suppressed:rejected"}
    assert [span.id for span in ledger.runs.all_spans("welcome")] == [number]


def claimed(ledger: Ledger, *contact_ids: str) -> list[str]:
    """The 22nd, released and claimed by ``me``; returns the keys."""
    ledger.runs.release(record(ledger, run(), detected(stretch(21, 22), added(*contact_ids))), NOW)
    keys = [ledger.key("welcome", "mail", c, "added", "2026-11-22") for c in contact_ids]
    ledger.deliveries.claim(keys, owner="me", now=NOW, lease_until=LEASE)
    return keys


def test_a_worker_that_has_claimed_deliveries_begins_none_after_a_quarantine(ledger):
    """Nor does what it gives back, or a late word of its own, bring one to life."""
    keys = claimed(ledger, "a", "b")
    done = quarantine(ledger)
    assert (len(done.withdrawn), done.rejected) == (1, 2)
    late = [Finished(keys[0], State.HELD), Finished(keys[1], State.CLAIMED)]
    assert advance(ledger, late, keys, owner="me", now=NOW, lease_until=LEASE) == frozenset()
    assert ledger.deliveries.give_back("me", NOW) == 0
    assert ledger.deliveries.free_expired(LEASE + timedelta(days=1)) == 0
    assert set(states(ledger).values()) == {"suppressed:rejected"}


def test_what_failed_before_any_call_is_rejected_and_its_span_withdrawn(ledger):
    """A missing field: neither a cleared task nor `segue retry` sends it."""
    [key] = claimed(ledger, "a")
    failed = Finished(key, State.FAILED, "missing field")
    advance(ledger, [failed], [], owner="me", now=NOW, lease_until=LEASE)
    done = quarantine(ledger)
    assert (len(done.withdrawn), done.kept, done.rejected) == (1, [], 1)
    assert (
        ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=LEASE, clear_number=9) == []
    )
    assert ledger.people.matching(RequestKind.RETRY, Selection("welcome")) == 0


def test_what_a_vendor_refused_is_rejected_and_its_span_stays(ledger):
    """The call was made: nobody can know all of what it did."""
    [key] = claimed(ledger, "a")
    advance(ledger, [], [key], owner="me", now=NOW, lease_until=LEASE)
    refused = Finished(key, State.FAILED, "422")
    advance(ledger, [refused], [], owner="me", now=NOW, lease_until=LEASE)
    done = quarantine(ledger)
    assert (done.withdrawn, len(done.kept), done.rejected) == ([], 1, 1)
    assert states(ledger) == {"a@22": "suppressed:rejected"}


def test_a_span_that_begins_at_the_snapshot_is_withdrawn_too(ledger):
    """What was added from a half-empty day to a whole one is no news."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    record(ledger, run("run-2"), detected(stretch(22, 23), added("b")))
    record(ledger, run("run-3"), detected(stretch(23, 24), added("c")))
    assert len(quarantine(ledger).withdrawn) == 2
    assert [span.stretch for span in ledger.runs.all_spans("welcome")] == [stretch(23, 24)]


def test_spans_of_another_directory_are_left_alone(ledger):
    """Two directories have a snapshot of that day."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    assert quarantine(ledger, directory="others").withdrawn == []
    assert states(ledger) == {"a@22": "planned"}


def test_an_enrolment_at_the_snapshot_is_withdrawn(ledger):
    """Its members are those of a wrong snapshot; enrolled again, the rows move."""
    record(ledger, run(), enrolled(22, "a"))
    assert len(quarantine(ledger).withdrawn) == 1
    record(ledger, run("run-2"), enrolled(23, "a"))
    assert states(ledger) == {"a@23": "suppressed:rejected"}


def test_once_it_may_be_used_again_the_same_pair_is_recorded_anew_and_both_sums_close(ledger):
    """A delivery's key is unique: it moves to the new span, still rejected."""
    [old] = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    quarantine(ledger)
    ledger.people.end_quarantine("people", "2026-11-22")
    ledger.runs.record_spans(
        run(),
        [detected(stretch(21, 22), added("a", "c"))],
        ("mail",),
        DEFINITION,
        NOW,
        recorded_only=False,
    )
    [new] = [span.id for span in ledger.runs.all_spans("welcome")]
    assert states(ledger) == {
        "a@22": "suppressed:rejected",
        "b@22": "suppressed:rejected",
        "c@22": "planned",
    }
    for span_id, count in ((old, 1), (new, 2)):
        assert ledger.queries.count_changes([span_id]).total() == count
        assert ledger.queries.tally([span_id])["mail"].total() == count
    assert ledger.queries.count_waiting([new]) == {"added": 2}


def test_recorded_anew_what_lies_before_the_watermark_moves_and_stays_suppressed(ledger):
    """Else the new span's change would have no delivery."""
    span = detected(stretch(21, 22), added("a"), Reason.PRUNED)
    record(ledger, run(), span)
    quarantine(ledger)
    ledger.people.end_quarantine("people", "2026-11-22")
    old, new = record(ledger, run(), span)
    assert ledger.queries.tally([old]) == {}
    assert ledger.queries.tally([new]) == {"mail": {("suppressed", "pruned"): 1}}
    assert ledger.queries.count_changes([old]).total() == 0


@pytest.mark.parametrize("pair", [(21, 22), (22, 23)])
def test_a_span_whose_snapshot_was_quarantined_while_it_was_detected_is_not_recorded(ledger, pair):
    """Whichever end it is; that of another directory does no harm."""
    quarantine(ledger)
    quarantine(ledger, 23, "others")
    for span in (detected(stretch(*pair), added("a")), enrolled(22, "a")):
        with pytest.raises(SpanTaken):
            record(ledger, run(), span)
    assert ledger.runs.find_run("welcome", "run-1") is None


def test_a_span_that_was_withdrawn_while_it_was_detected_again_stays_withdrawn(ledger):
    """A cleared run must not bring it back."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    [span] = ledger.runs.all_spans("welcome")
    quarantine(ledger)
    again = [(span, detected(stretch(21, 22), added("a", "b")))]
    with pytest.raises(SpanTaken):
        ledger.runs.record_again(run(), again, ("mail",), DEFINITION, NOW)
    assert ledger.runs.all_spans("welcome") == []
    assert states(ledger) == {"a@22": "suppressed:rejected"}


@pytest.mark.parametrize("attempt", range(5))
def test_a_recording_and_a_quarantine_at_once_never_leave_a_span(ledger, attempt):
    """Whichever comes first: it is refused, or withdrawn."""
    spans = [detected(stretch(21, 22), added(*"abcdefgh"))]
    with ThreadPoolExecutor(2) as pool:
        pool.submit(record, ledger, run(), *spans)
        pool.submit(quarantine, ledger).result()
    assert ledger.runs.all_spans("welcome") == []


@pytest.mark.parametrize("attempt", range(5))
def test_a_release_and_a_quarantine_at_once_never_leave_something_released(ledger, attempt):
    """Whichever comes first: of a withdrawn span nothing can be sent."""
    numbers = record(ledger, run(), detected(stretch(21, 22), added(*"abcdefgh")))
    with ThreadPoolExecutor(2) as pool:
        pool.submit(ledger.runs.release, numbers, NOW)
        done = pool.submit(quarantine, ledger).result()
    assert len(done.withdrawn) == 1
    assert set(states(ledger).values()) == {"suppressed:rejected"}


def test_what_has_expired_is_not_rejected_and_so_never_asked_about_again(ledger):
    """It is final, whatever becomes of its snapshot."""
    number = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    ledger.runs.release(number, NOW)
    late = update(deliveries).where(deliveries.c.contact_id == "a")
    with ledger.engine.begin() as connection:
        connection.execute(late.values(state=State.SKIPPED, reason="expired"))
    ledger.people.quarantine("people", "2026-11-22", reason="", by="ann", now=NOW)
    assert states(ledger) == {"a@22": "skipped:expired", "b@22": "suppressed:rejected"}
