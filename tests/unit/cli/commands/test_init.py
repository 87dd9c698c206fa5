"""``segue init``: what it writes works as it is, and nothing that is there is touched."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


@pytest.fixture
def project(segue, tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "mine"
    answer = segue("init", str(folder))
    assert answer.code == 0, answer.err
    monkeypatch.setenv("SEGUE_HOME", str(folder / "include"))
    return folder


def test_the_project_s_own_dag_files_are_those_that_init_writes(project):
    for path in sorted((ROOT / "dags").glob("segue_*.py")):
        assert (project / "dags" / path.name).read_text() == path.read_text()


def test_everything_it_writes_is_right_and_its_examples_pass(segue, project):
    assert segue("validate").code == 0
    assert segue("test").out.count("✓") == 2


def test_the_first_workflow_has_somebody_to_write_to(segue, project):
    """Two of yesterday's new gold customers; the third opted out."""
    answer = segue("plan", "welcome_gold")
    assert answer.code == 0
    assert answer.out.count("send") == 2
    assert "skipped: opted_out" in answer.out
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert (project / f"include/snapshots/customers/{yesterday:%Y-%m-%d}/_SUCCESS").exists()


def test_the_editor_s_settings_name_schemas_that_are_there(project):
    schemas = json.loads((project / ".vscode/settings.json").read_text())["yaml.schemas"]
    for schema, pattern in schemas.items():
        assert "$schema" in json.loads((project / schema).read_text())
        assert list(project.glob(pattern)) or pattern == "include/actions/*.yaml", pattern


def test_nothing_that_is_there_is_overwritten(segue, project):
    workflow = project / "include/workflows/welcome_gold.yaml"
    workflow.write_text("mine")
    (project / "dags/segue_dags.py").unlink()
    answer = segue("init", str(project))
    assert workflow.read_text() == "mine"
    assert (project / "dags/segue_dags.py").exists()
    assert f"kept   {workflow}" in answer.err.replace("\n", "")


def test_without_a_folder_it_is_airflow_s_home_where_nothing_has_to_be_set(
    segue, tmp_path, monkeypatch
):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "airflow/include"))
    answer = segue("init")
    assert (tmp_path / "airflow/dags/segue_dags.py").exists()
    assert "SEGUE_HOME" not in answer.out


def test_elsewhere_it_says_what_to_set(segue, tmp_path):
    answer = segue("init", str(tmp_path / "mine"))
    assert f"export SEGUE_HOME={tmp_path / 'mine/include'}" in answer.out
    assert "in the API server" in answer.out


def test_a_file_in_the_folder_s_place_is_an_error(segue, tmp_path):
    (tmp_path / "mine").touch()
    answer = segue("init", str(tmp_path / "mine"))
    assert (answer.code, answer.out) == (2, "")
    assert "is not a folder" in answer.err


def test_what_is_missing_for_the_next_commands_is_said(segue, tmp_path, monkeypatch):
    remark = "pip install 'airflow-segue[sandbox]'"
    assert remark not in segue("init", str(tmp_path / "all")).out
    monkeypatch.setattr("segue.cli.commands.init.find_spec", lambda _name: None)
    answer = segue("init", str(tmp_path / "some"))
    assert remark in answer.out
    assert "airflow db migrate" in answer.out
