"""What the guard asks about: limits, odd snapshots, enrolments, what was rejected before."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from segue.ledger import Ledger
from segue.ledger.facts import Decision, Run
from segue.runs.context import RunContext
from segue.runs.guard_question import Question, beyond_limits, members_before, question
from segue.workflows.definition import GuardLimits, Policies
from tests.unit.builders import (
    DEFINITION,
    NOW,
    added,
    advance,
    detected,
    enrolled,
    record,
    run,
    stretch,
)
from tests.unit.runs.test_span_detection import Place, place  # noqa: F401 - a fixture

NO = Decision("rejected", "ann", NOW)


def beyond(limits: GuardLimits, count: int, before: int | None = 1000) -> list[str]:
    return beyond_limits(limits, Counter(added=count), before)


def test_by_default_a_thousand_contacts_or_a_fifth_of_the_members_pass():
    """One more of either is asked about."""
    assert beyond(GuardLimits(), 200) == beyond(GuardLimits(), 1000, 100_000) == []
    assert beyond(GuardLimits(), 201) == ["201 of 1000 contacts added, guard.share is 20%"]
    assert beyond(GuardLimits(), 1001, 100_000) == ["1001 contacts added, guard.at_most is 1000"]


def test_up_to_the_floor_a_share_does_not_count():
    """A segment of 12 members to which 5 are added asks nobody."""
    assert beyond(GuardLimits(), 5, 12) == beyond(GuardLimits(), 25, 0) == []
    assert beyond(GuardLimits(), 26, 12) == ["26 of 12 contacts added, guard.share is 20%"]
    assert beyond(GuardLimits(floor=4), 5, 12) == ["5 of 12 contacts added, guard.share is 20%"]


def test_null_switches_a_limit_off():
    """In so many words."""
    assert beyond(GuardLimits(at_most=None, share=None), 10**6, 1) == []


def test_limits_hold_for_each_kind_of_change(ledger):
    """Three added of ten members, one removed; with two actions each contact counts once."""
    changes = [*added("a", "b", "c"), ("d", "removed", "deleted")]
    ids = record(ledger, run(), detected(stretch(21, 22), sorted(changes)), actions=("x", "y"))
    planned = ledger.queries.count_planned(ids)
    before = members_before(ledger.runs.all_spans("welcome"))
    assert (planned, before) == (Counter(added=3, removed=1), 10)
    limits = GuardLimits(at_most=2, share="25%", floor=0)
    assert beyond_limits(limits, planned, before) == [
        "3 contacts added, guard.at_most is 2",
        "3 of 10 contacts added, guard.share is 25%",
    ]


def asked(ledger: Ledger, name: str = "run-1", **limits) -> Question | None:
    workflow = SimpleNamespace(
        name="welcome",
        action_ids=["mail"],
        segment=SimpleNamespace(segment="gold"),
        directory=SimpleNamespace(directory="people", full_name="people"),
        definition=SimpleNamespace(guard=GuardLimits(**limits), policies=Policies(max_age=None)),
    )
    context = RunContext(workflow, Run("welcome", name), ledger, NOW)
    return question(context, context.record())


def test_within_the_limits_nothing_is_asked(ledger):
    """And nothing where nothing is planned."""
    record(ledger, run(), detected(stretch(21, 22), added("a")))
    assert asked(ledger) is None
    assert asked(ledger, at_most=0) is not None
    record(ledger, run("empty"), detected(stretch(22, 23)))
    assert asked(ledger, "empty", at_most=0) is None


def test_the_question_holds_counts_limits_and_ten_ids(ledger):
    """What a person needs, and what it can do without breaking the table."""
    contacts = [f"c{n:02}" for n in range(11)] + ["a|b`c\nd"]
    record(ledger, run(), detected(stretch(21, 22), added(*contacts)))
    found = asked(ledger, at_most=5)
    assert found.subject == "welcome: act on 12 added?"
    lines = found.body(NOW + timedelta(hours=24)).splitlines()
    assert "Snapshots 2026-11-21 → 2026-11-22: 10 → 11 members" in lines
    assert "- 12 contacts added, guard.at_most is 5" in lines
    [row] = [line for line in lines if line.startswith("| added")]
    assert row.startswith("| added | 12 | `a?b?c?d`, `c00`, ")
    assert row.endswith("`c08` and 2 more |")
    assert lines[-1] == (
        "Without an answer by 2026-11-24 06:00 UTC it is rejected and the run fails."
    )
    assert "segue plan welcome --from 2026-11-21 --at 2026-11-22" in "".join(lines)


def test_what_was_rejected_is_asked_about_again_whatever_the_limits(ledger):
    """With what is planned beside it; approving releases both."""
    ids = record(ledger, run(), detected(stretch(21, 22), added("a", "b")))
    ledger.runs.reject(ledger.runs.find_run("welcome", "run-1"), ids, NO)
    found = asked(ledger)
    assert (found.waiting, found.reasons) == (
        {"added": 2},
        ["2 contacts added were rejected before"],
    )


def test_an_enrolment_is_always_asked_about(ledger):
    """One contact is enough."""
    record(ledger, run(), enrolled(22, "a"))
    found = asked(ledger, at_most=None, share=None)
    assert found.reasons == ["present members are enrolled because a person asked for it"]
    assert "See who they are first: `segue members gold --at 2026-11-22`" in found.body(NOW)
    assert '"enroll_current_members": true' in found.command_to_ask


def test_a_snapshot_that_was_quarantined_meanwhile_is_asked_about(ledger):
    """Whichever end of a span that stays, as b was written to: a cleared run found a as well."""
    [number] = record(ledger, run(), detected(stretch(21, 22), added("b")))
    ledger.runs.release([number], NOW)
    key, lease = ledger.key("welcome", "mail", "b", "added", "2026-11-22"), NOW + timedelta(hours=1)
    ledger.deliveries.claim([key], owner="me", now=NOW, lease_until=lease)
    advance(ledger, [], [key], owner="me", now=NOW, lease_until=lease)
    for end in ("2026-11-21", "2026-11-22"):
        ledger.people.quarantine("people", end, reason="", by="ann", now=NOW)
        again = [(ledger.runs.all_spans("welcome")[0], detected(stretch(21, 22), added("a", "b")))]
        ledger.runs.record_again(run(), again, ("mail",), DEFINITION, NOW)
        assert f"snapshot {end} is quarantined" in asked(ledger).reasons


@pytest.mark.parametrize(("kinds", "asks_on"), [(["removed"], 8), (["added"], 9)])
def test_half_a_snapshot_is_asked_about_on_the_day_or_the_day_after(
    place: Place,  # noqa: F811
    kinds,
    asks_on,
):
    """d, e and f are missing on the 8th: nobody is told they left, or that they came."""
    place.more = {"changes": kinds, "guard": {"floor": 0}}
    contacts = place.folder / "snapshots/2026-11-{:02}/contacts.csv"
    for day, there in ((7, "abcdef"), (8, "abc"), (9, "abcdef")):
        rows = "".join(f"{contact},gold\n" for contact in there)
        Path(str(contacts).format(day)).write_text("contact_id,tier\n" + rows)
    for day in (8, 9):
        place.day(day + 1)
        asks = question(*place.guarded(f"day-{day + 1}"))
        assert (asks is not None) == (day == asks_on)
