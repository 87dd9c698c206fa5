"""What a careful person might not want acted on: quiet hours and the share held out."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from segue.delivery.policies import arm_of, is_held_out, quiet_until, wait_end
from segue.workflows.definition import Policies
from segue.workflows.times_of_day import QuietHours, Wait

LONDON = ZoneInfo("Europe/London")


def hours(begin: str, end: str, **more: str) -> QuietHours:
    return QuietHours.model_validate({"from": begin, "to": end, **more})


@pytest.mark.parametrize(
    ("begin", "end", "now", "until"),
    [
        ("21:00", "08:00", "2026-11-23T20:59:59", None),
        ("21:00", "08:00", "2026-11-23T21:00", "2026-11-24T08:00"),
        ("21:00", "08:00", "2026-11-24T07:59:59", "2026-11-24T08:00"),
        ("21:00", "08:00", "2026-11-24T08:00", None),
        ("12:00", "14:00", "2026-11-24T13:00", "2026-11-24T14:00"),
        ("12:00", "14:00", "2026-11-24T14:00", None),
        ("22:00", "00:00", "2026-11-24T23:30", "2026-11-25T00:00"),
        ("00:00", "06:00", "2026-11-24T00:00", "2026-11-24T06:00"),
        # the night in which London's clocks jump from 01:00 to 02:00: 01:30 does not exist
        ("21:00", "01:30", "2026-03-29T00:59", "2026-03-29T01:30"),
        # the hour that is there twice: the first 01:30 has passed when it is 01:15 again
        ("21:00", "01:30", "2026-10-25T01:15", "2026-10-25T01:15:01"),
    ],
)
def test_quiet_hours_end_at_their_wall_clock_time(begin, end, now, until):
    """Times are UTC, and London keeps UTC in winter."""
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    found = quiet_until(hours(begin, end), {}, LONDON, moment)
    assert found == (until and datetime.fromisoformat(until).replace(tzinfo=UTC))


def test_quiet_hours_are_those_of_the_contacts_own_zone():
    """22:00 in Tokyo is 13:00 in UTC; a zone that nobody knows leaves the workflow's."""
    quiet = hours("21:00", "08:00", timezone_field="tz")
    moment = datetime(2026, 11, 23, 13, tzinfo=UTC)
    assert quiet_until(quiet, {"tz": "Asia/Tokyo"}, LONDON, moment) == datetime(
        2026, 11, 23, 23, tzinfo=UTC
    )
    for zone in ("asia/tokyo", " Asia/Tokyo ", "asia_slash_tokyo", "ASIA/TOKYO", "Japan"):
        assert quiet_until(quiet, {"tz": zone}, LONDON, moment) is not None
    for zone in ("Atlantis/Capital", "Asia", "Tokyo Standard Time", "", "../etc/passwd", 7, None):
        assert quiet_until(quiet, {"tz": zone}, LONDON, moment) is None


def test_a_contact_is_held_out_by_workflow_and_id_alone():
    """Known answers: a stable share must not move when the code does."""
    people = [f"c{number}" for number in range(10_000)]
    held = [contact for contact in people if is_held_out("welcome", contact, 0.05)]
    assert held[:3] == ["c54", "c75", "c93"]
    assert 400 < len(held) < 600
    larger = {contact for contact in people if is_held_out("welcome", contact, 0.1)}
    assert set(held) < larger
    assert held != [contact for contact in people if is_held_out("goodbye", contact, 0.05)]


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("once_per_contact", "often", "such as 30d"),
        ("frequency_cap", {"email": "2 per month"}, "such as 2 per week"),
        ("frequency_cap", {"email": "0 per day"}, "such as 2 per week"),
        ("quiet_hours", {"from": "21:00", "to": "21:00"}, "two times"),
        ("quiet_hours", {"from": "24:00", "to": "08:00"}, 'such as "21:00"'),
        ("quiet_hours", {"from": "21:00", "to": "08:00", "timezone": "London"}, "Europe/London"),
        ("holdout", "5", "such as 5%"),
        ("on_uncertain", "panic", "resend"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(key, value, allowed):
    with pytest.raises(ValidationError) as error:
        Policies.model_validate({key: value})
    assert allowed in str(error.value)


@pytest.mark.parametrize(
    ("wait", "begin", "end"),
    [
        ("3d", "2026-11-20T00:00", "2026-11-23T00:00"),
        ("90m", "2026-11-20T00:00", "2026-11-20T01:30"),
        # over the night in which the clocks go forward a day is 23 hours long, in London's calendar
        ("1d", "2026-03-28T12:00", "2026-03-29T11:00"),
        ("1mo", "2026-01-31T00:00", "2026-02-28T00:00"),
        ({"at": "09:00"}, "2026-11-20T09:00", "2026-11-20T09:00"),
        ({"at": "09:00"}, "2026-11-20T09:00:01", "2026-11-21T09:00"),
        ({"for": "1d", "at": "09:00"}, "2026-11-20T10:00", "2026-11-22T09:00"),
        # the 20th is a Friday
        ({"on": ["mon"]}, "2026-11-20T10:00", "2026-11-23T00:00"),
        ({"on": ["fri"]}, "2026-11-20T10:00", "2026-11-20T10:00"),
        ({"on": ["mon", "fri"], "at": "09:00"}, "2026-11-20T10:00", "2026-11-23T09:00"),
        ({"on": ["fri"], "at": "09:00"}, "2026-11-20T10:00", "2026-11-27T09:00"),
        # 01:30 does not exist that night, and is there twice in the other
        ({"at": "01:30"}, "2026-03-29T00:00", "2026-03-29T01:30"),
        ({"at": "01:30"}, "2026-10-25T00:45", "2026-10-26T01:30"),
        # the directory's calendar counts the days, the other zone's clock says the time
        (
            {"for": "1d", "at": "09:00", "timezone": "Asia/Tokyo"},
            "2026-11-20T12:00",
            "2026-11-22T00:00",
        ),
        ({"at": "09:00", "timezone_field": "tz"}, "2026-11-20T12:00", "2026-11-20T14:00"),
    ],
)
def test_a_wait_ends_at_the_first_such_time(wait, begin, end):
    """Times are UTC, the directory is London's, and the contact lives in New York."""
    instants = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (begin, end)]
    fields = {"tz": "America/New_York"}
    assert wait_end(Wait.model_validate(wait), instants[0], fields, LONDON) == instants[1]


@pytest.mark.parametrize(
    ("wait", "message"),
    [
        ({}, "none of for, at and on"),
        ("3", "3"),
        (3, "found 3; allowed: a duration such as 3d"),
        ({"for": "3d", "timezone": "Europe/Berlin"}, "read for `at` and `on` alone"),
        ({"at": "9:00"}, "a time of day in quotes"),
        ({"on": ["monday"]}, "'mon'"),
        ({"on": []}, "at least 1"),
        ({"at": "09:00", "timezone": "Mars/Base"}, "Mars/Base"),
    ],
)
def test_a_wait_says_what_it_allows(wait, message):
    with pytest.raises(ValidationError, match=message):
        Wait.model_validate(wait)


def test_an_arm_follows_from_workflow_and_contact_alone():
    """Known answers: an arm must not move when the code does, nor with the order of the arms."""
    arms = {"a": 0.5, "b": 0.3, "c": 0.2}
    people = [f"c{number}" for number in range(10_000)]
    counts = Counter(arm_of("greet", contact, arms) for contact in people)
    assert all(abs(counts[arm] / 10_000 - share) < 0.02 for arm, share in arms.items())
    backwards = dict(reversed(arms.items()))
    assert all(arm_of("greet", c, arms) == arm_of("greet", c, backwards) for c in people)
    elsewhere = [arm_of("other", contact, arms) for contact in people]
    assert elsewhere != [arm_of("greet", contact, arms) for contact in people]
    assert [arm_of("greet", contact, arms) for contact in people[:6]] == [
        "a",
        "b",
        "a",
        "c",
        "a",
        "b",
    ]


def test_an_arm_is_no_matter_of_the_holdout():
    """Half of those who are held out are in each of two arms."""
    held_out = [c for c in (f"c{n}" for n in range(10_000)) if is_held_out("greet", c, 0.2)]
    ones = [c for c in held_out if arm_of("greet", c, {"a": 0.5, "b": 0.5}) == "a"]
    assert 0.45 < len(ones) / len(held_out) < 0.55
