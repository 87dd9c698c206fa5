"""``segue doctor``: each thing that is wrong is one line, with what to do about it."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import pytest

from segue.cli import installation
from segue.ledger import Ledger
from segue.ledger.engine import open_engine, upgrade


@pytest.fixture
def examined(segue, tmp_path, monkeypatch):
    """The doctor's lines by their check, and its exit code, with an Airflow home of one's own."""
    monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(tmp_path / "plugins"))
    monkeypatch.setattr(
        installation, "paused_dags", lambda: {"segue_release": False, "welcome": False}
    )  # asked by Airflow's own command line, which takes seconds: test_trials.py

    def run() -> tuple[int, dict[str, dict[str, Any]]]:
        answer = segue("doctor", "--format", "json")
        return answer.code, {row["check"]: row for row in json.loads(answer.out)}

    return run


@pytest.fixture
def ledger(home, tmp_path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'segue.db'}")
    upgrade(engine)
    engine.dispose()


def test_a_sound_installation_has_no_remedy_but_to_try_connections(examined, ledger):
    code, checks = examined()
    assert code == 0
    assert [name for name, row in checks.items() if row["result"] != "ok"] == ["connections"]
    assert list(checks) == [
        *("versions", "plugin", "settings", "definitions", "snapshots", "DAGs"),
        *("ledger", "clock", "state", "connections"),
    ]
    assert "smtp_default" in checks["connections"]["detail"]


def test_a_ledger_that_is_not_there_yet_is_a_remark(examined):
    code, checks = examined()
    assert (code, checks["ledger"]["result"]) == (0, "remark")


def test_a_workflow_of_another_project_that_is_defined_here_as_well_is_told(
    examined, ledger, tmp_path, monkeypatch
):
    """Both would be one DAG to Airflow; the project that it is has nothing to be told."""
    opened = Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "test")
    opened.runs.claim("welcome", "growth")
    opened.engine.dispose()
    code, checks = examined()
    assert (code, checks["projects"]["result"]) == (2, "failed")
    assert "welcome is the project growth's" in checks["projects"]["detail"]
    assert "segue projects move" in checks["projects"]["remedy"]
    monkeypatch.setenv("SEGUE_PROJECT", "growth")
    assert "projects" not in examined()[1]


def test_a_copy_in_the_plugins_folder_is_to_be_deleted(examined, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/segue_plugin.py").touch()
    code, checks = examined()
    assert (code, checks["plugin"]["result"]) == (2, "failed")
    assert str(tmp_path / "plugins/segue_plugin.py") in checks["plugin"]["detail"]
    assert "delete" in checks["plugin"]["remedy"]


@pytest.mark.parametrize(
    ("dags", "check", "remedy"),
    [
        ({"segue_release": True, "welcome": True}, "segue_release", "airflow dags unpause"),
        ({"welcome": False}, "DAGs", "segue init"),
        ({"segue_release": False, "welcome": True}, "DAGs", "airflow dags unpause welcome"),
        (None, "DAGs", "airflow db migrate"),
    ],
)
def test_dags_that_are_missing_or_off_are_told(examined, monkeypatch, dags, check, remedy):
    monkeypatch.setattr(installation, "paused_dags", lambda: dags)
    _, checks = examined()
    assert remedy in checks[check]["remedy"]


@pytest.mark.parametrize(("runs", "result"), [(True, None), (None, None), (False, "failed")])
def test_where_questions_need_a_triggerer_its_absence_is_told(examined, monkeypatch, runs, result):
    """So it is before Airflow 3.3; nobody else is bothered with it."""
    monkeypatch.setattr(installation, "question_needs_triggerer", lambda: True)
    monkeypatch.setattr(installation, "has_triggerer", lambda: runs)
    _, checks = examined()
    assert checks.get("triggerer", {}).get("result") == result


@pytest.mark.parametrize(("runs", "result"), [(True, None), (None, None), (False, "remark")])
def test_where_runs_wait_in_a_triggerer_its_absence_is_told(examined, monkeypatch, runs, result):
    """They wait on without one, but longer."""
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    monkeypatch.setattr(installation, "has_triggerer", lambda: runs)
    _, checks = examined()
    assert checks.get("triggerer", {}).get("result") == result
    if result:
        assert "the snapshots of welcome: runs wait on" in checks["triggerer"]["detail"]


@pytest.mark.parametrize(
    ("pools", "result"),
    [({"default_pool", "crm"}, None), (None, None), ({"default_pool"}, "failed")],
)
def test_a_pool_that_airflow_does_not_have_is_told(examined, monkeypatch, pools, result):
    """Its tasks would stay scheduled, and only the scheduler's log says so."""
    monkeypatch.setenv("SEGUE_POOL", "crm")
    monkeypatch.setattr(installation, "pool_names", lambda: pools)
    _, checks = examined()
    assert checks.get("pools", {}).get("result") == result
    if result:
        assert checks["pools"]["remedy"] == "airflow pools set crm 4 'of Segue'"


def test_a_broken_definition_leads_to_validate(examined, home):
    home.define("segments", "gold", "segment: gold\n")
    code, checks = examined()
    assert (code, checks["definitions"]["remedy"]) == (2, "segue validate")


@pytest.mark.parametrize(
    ("snapshots", "result", "detail"),
    [
        ("snapshots: ../elsewhere", "failed", "elsewhere does not exist"),
        ("snapshots: ../empty", "remark", "has no complete snapshot yet"),
    ],
)
def test_a_directory_without_a_snapshot_is_told(examined, home, snapshots, result, detail):
    (home.include / "empty").mkdir()
    home.define("directories", "customers", f"directory: customers\n{snapshots}\n")
    _, checks = examined()
    assert checks["snapshots"]["result"] == result
    assert detail in checks["snapshots"]["detail"]
    assert checks["snapshots"]["remedy"] == "segue snapshots customers"


@pytest.mark.parametrize("name", ["SEGUE_LEGDER", "AIRFLOW__SEGUE__LEGDER"])
def test_a_misspelt_setting_is_told(examined, monkeypatch, name):
    monkeypatch.setenv(name, "postgresql://segue@db/segue")
    monkeypatch.setenv("AIRFLOW__SEGUE__SECRET_CMD", "echo of-its-right-name")
    _, checks = examined()
    assert checks["settings"]["detail"] == f"nothing reads {name}"
    assert "SEGUE_LEDGER" in checks["settings"]["remedy"]


def test_a_state_that_cannot_be_written_is_told(examined, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "file" / "state"))
    code, checks = examined()
    assert (code, checks["state"]["result"]) == (2, "failed")


def test_a_ledger_out_of_reach_is_one_line_and_the_others_are_still_there(examined, monkeypatch):
    monkeypatch.setenv("SEGUE_LEDGER", "postgresql://nobody@127.0.0.1:9/none")
    code, checks = examined()
    assert (code, checks["ledger"]["result"]) == (2, "failed")
    assert checks["state"]["result"] == "ok"


def test_a_requirement_that_is_not_met_is_named(examined, monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ["pandas<1", "no-such-package>=2"])
    code, checks = examined()
    assert code == 2
    assert "pandas<1 is needed" in checks["versions"]["detail"]
    assert "no-such-package>=2 is not installed" in checks["versions"]["detail"]
