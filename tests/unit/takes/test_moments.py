"""A take is of the time that its run stands for, and never of another under its name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshot_keys import require_key
from segue.errors import SettingsError
from segue.takes.moments import moment_of_key, moment_of_run

HISTORY = {"query": "SELECT id FROM customers WHERE since < :as_of"}
PRESENT = {"query": "SELECT id FROM customers", "knows": "now"}


def shop(contacts, **take):
    return DirectoryDefinition.model_validate(
        {
            "directory": "shop",
            "snapshots": "/tmp/shop",
            "timezone": "Europe/London",
            "take": {
                "connection": "shop",
                "start": "2026-11-01",
                "schedule": "30 0 * * *",
                "tables": {"contacts": contacts},
                **take,
            },
        }
    )


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("tick", "key", "as_of"),
    [
        ("2026-11-23T00:30", "2026-11-22", "2026-11-23T00:00"),
        ("2026-07-01T23:30", "2026-07-01", "2026-07-01T23:00"),  # half past midnight in London
        ("2026-10-25T23:30", "2026-10-24", "2026-10-24T23:00"),  # a day of 25 hours is not over
    ],
)
def test_a_day_is_named_by_the_midnight_before(tick, key, as_of):
    directory = shop(HISTORY)
    moment, _ = moment_of_run(directory, at(tick), at("2027-01-01T00:00"))
    assert (moment.key, moment.as_of) == (key, at(as_of))
    assert require_key(directory, moment.key) == (moment.key, moment.as_of)


def test_a_time_names_itself():
    directory = shop(HISTORY, keys="time", schedule="0 * * * *")
    moment, _ = moment_of_run(directory, at("2026-11-23T05:00"), at("2027-01-01T00:00"))
    assert (moment.key, moment.as_of) == ("2026-11-23T05:00:00Z", at("2026-11-23T05:00"))


def test_a_run_without_a_time_takes_what_the_last_tick_would_have():
    moment, _ = moment_of_run(shop(HISTORY), None, at("2026-11-23T00:29"))
    assert moment.key == "2026-11-21"
    moment, _ = moment_of_run(shop(HISTORY), None, at("2026-11-23T00:30"))
    assert moment.key == "2026-11-22"


def test_what_knows_only_the_present_is_named_by_the_present():
    directory = shop(PRESENT)
    now = at("2026-11-23T00:31:07.900000")
    for tick in (None, at("2026-11-23T00:30")):
        moment, _ = moment_of_run(directory, tick, now)
        assert (moment.key, moment.as_of) == ("2026-11-23T00:31:07Z", at("2026-11-23T00:31:07"))


def test_what_knows_only_the_present_takes_nothing_of_the_past():
    moment, why = moment_of_run(shop(PRESENT), at("2026-11-21T00:30"), at("2026-11-23T00:31"))
    assert moment is None
    assert "is over since 2026-11-22T00:30:00Z: contacts" in why
    with pytest.raises(SettingsError, match="under the name of the past"):
        moment_of_key(shop(PRESENT), "2026-11-21", at("2026-11-23T00:31"))


def test_a_key_is_taken_once_it_is_over():
    assert moment_of_key(shop(HISTORY), "2026-11-21", at("2026-11-23T00:00")).key == "2026-11-21"
    with pytest.raises(SettingsError, match="which is to come"):
        moment_of_key(shop(HISTORY), "2026-11-23", at("2026-11-23T12:00"))
    with pytest.raises(SettingsError, match="is not a snapshot key"):
        moment_of_key(shop(HISTORY), "yesterday", at("2026-11-23T12:00"))
