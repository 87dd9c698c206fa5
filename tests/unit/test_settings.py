"""Settings from the environment."""

from __future__ import annotations

import pytest

from segue.durations import Duration
from segue.errors import SettingsError
from segue.settings import Settings


def test_the_ledger_is_kept_for_ever_and_run_areas_for_a_month_by_default(tmp_path):
    found = Settings.from_environment({"AIRFLOW_HOME": str(tmp_path)})
    assert (found.retention, found.run_areas) == (None, Duration(30, "d"))


def test_how_long_things_are_kept_is_set_as_durations(tmp_path):
    env = {"AIRFLOW_HOME": str(tmp_path), "SEGUE_RETENTION": "400d", "SEGUE_RUN_AREAS": "12h"}
    found = Settings.from_environment(env)
    assert (found.retention, found.run_areas) == (Duration(400, "d"), Duration(12, "h"))


@pytest.mark.parametrize("name", ["SEGUE_RETENTION", "SEGUE_RUN_AREAS"])
def test_a_setting_that_is_no_duration_is_an_error_that_names_it(tmp_path, name):
    with pytest.raises(SettingsError, match=f"{name}: '400' is not a duration; allowed: a whole"):
        Settings.from_environment({"AIRFLOW_HOME": str(tmp_path), name: "400"})


def test_what_was_missed_is_caught_up_unless_it_is_switched_off(tmp_path):
    def catch_up(word: str) -> bool:
        env = {"AIRFLOW_HOME": str(tmp_path), "SEGUE_CATCH_UP": word}
        return Settings.from_environment(env).catch_up

    assert [catch_up(word) for word in ("", "true", "false")] == [True, True, False]
    with pytest.raises(SettingsError, match=r"SEGUE_CATCH_UP is 'no'; allowed: true, false"):
        catch_up("no")
