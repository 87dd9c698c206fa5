"""Durations: exact ones count seconds, calendar ones keep the wall clock of the zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from segue.durations import EARLIEST, LATEST, Duration, DurationField, localize, parse_duration

LONDON = ZoneInfo("Europe/London")


def instant(text: str, zone=LONDON) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.mark.parametrize(
    ("duration", "at", "before"),
    [
        ("45m", "2026-11-22T00:00", "2026-11-21T23:15"),
        ("30d", "2026-11-22T00:00", "2026-10-23T00:00"),  # over the end of summer time
        ("12h", "2026-10-25T06:00", "2026-10-24T19:00"),  # 12 hours, not 12 on the wall clock
        ("1mo", "2026-03-31T09:00", "2026-02-28T09:00"),  # the last day of February
        ("1mo", "2024-03-31T09:00", "2024-02-29T09:00"),
        ("1y", "2024-02-29T09:00", "2023-02-28T09:00"),
        ("2w", "2026-11-22T00:00", "2026-11-08T00:00"),
        ("1d", "2026-03-30T01:30", "2026-03-29T02:30"),  # 01:30 did not exist: it moves forward
        ("1d", "2026-10-26T01:30", "2026-10-25T01:30"),  # 01:30 was twice: the first
    ],
)
def test_a_duration_before_an_instant(duration, at, before):
    """docs/conditions.md, "Dates"."""
    found = parse_duration(duration).before(instant(at), LONDON)
    assert found == instant(before).astimezone(UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("step", ["1d", "1w", "1mo", "1y"])
@pytest.mark.parametrize(
    "name",
    [
        "Africa/Cairo",
        "America/Asuncion",
        "America/Havana",
        "America/Santiago",
        "Asia/Beirut",
        "Atlantic/Azores",
        "Europe/London",  # forward at one: its days begin at midnight
    ],
)
def test_steps_from_a_days_beginning_lead_to_a_days_beginning(name, step):
    """Where the clock goes forward at midnight, too: windows of a day neither overlap nor gape."""
    zone = ZoneInfo(name)

    def beginning(day: date) -> datetime:
        return localize(datetime.combine(day, time.min), zone)

    for day in (date(2023, 1, 1) + timedelta(days=n) for n in range(365)):
        if day.day > 28:
            continue
        later = {
            "1d": day + timedelta(days=1),
            "1w": day + timedelta(days=7),
            "1mo": day.replace(year=day.year + day.month // 12, month=day.month % 12 + 1),
            "1y": day.replace(year=day.year + 1),
        }[step]
        assert parse_duration(step).after(beginning(day), zone) == beginning(later)
        assert parse_duration(step).before(beginning(later), zone) == beginning(day)


def test_the_first_of_two_equal_wall_clock_times_is_meant():
    """01:30 on the night the clocks go back is in summer time."""
    twice = datetime.fromisoformat("2026-10-25T01:30")
    assert localize(twice, LONDON) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_after_is_the_way_forward():
    """31 January + 1 month is the last day of February."""
    found = parse_duration("1mo").after(instant("2026-01-31T12:00"), LONDON)
    assert found == instant("2026-02-28T12:00")


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("unit", ["s", "m", "h", "d", "w", "mo", "y"])
def test_beyond_the_calendar_is_its_end(unit, zone):
    """Whatever a person writes, nothing that reckons with it fails."""
    longest = Duration(999_999, unit)
    assert longest.after(LATEST, ZoneInfo(zone)) == LATEST
    assert longest.before(EARLIEST, ZoneInfo(zone)) == EARLIEST


def test_a_definitions_duration_is_up_to_a_century():
    """So that what reckons with it stays within the calendar."""
    read = TypeAdapter(DurationField).validate_python
    assert read("100y") == Duration(100, "y")
    for text in ("101y", "999999d", "1300mo", "999999h"):
        with pytest.raises(ValidationError, match=f"found {text}; allowed: up to a century"):
            read(text)


@pytest.mark.parametrize("text", ["", "30", "d", "30 d", "-1d", "1.5h", "30D", "1e3d", 30, None])
def test_anything_else_is_refused_with_what_is_allowed(text):
    """The message shows the form."""
    with pytest.raises(ValueError, match="such as 30d"):
        parse_duration(text)


def test_a_duration_prints_as_it_was_written():
    """It goes back into YAML and into hashes."""
    assert str(parse_duration("3mo")) == "3mo"
    assert Duration(2, "d").approximate() == timedelta(days=2)
