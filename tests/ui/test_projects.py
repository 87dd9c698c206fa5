"""Pages of several projects: each one's definitions, wherever Airflow found its DAG file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from sqlalchemy import delete, insert

from segue.web import projects
from tests.ui.filled import record
from tests.ui.test_dags import row

RELEASE = "segue_release"


@pytest.fixture
def bundle(airflow_app, place: Path, definitions, monkeypatch) -> Path:
    """The bundle of the project growth; its segment and directory are called as the other's."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    definitions("welcome")
    root = place / "bundles/growth"
    for folder in ("directories", "segments", "workflows"):
        text = (place / "include" / folder / "welcome.yaml").read_text()
        data = yaml.safe_load(text)
        if folder == "workflows":
            data["workflow"] = "growing"
        path = root / "include" / folder / f"{data[folder_key(folder)]}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump({**data, "description": "of growth"}))
    config = {
        "name": "growth",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(root / "dags")},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([config]))
    monkeypatch.setattr(projects, "_bundles", projects._Bundles())
    dags = {RELEASE: "away", f"{RELEASE}_growth": "growth", "growing": "growth", "far": "away"}
    with create_session() as session:
        for name in ("growth", "away"):
            session.execute(row(DagBundleModel.__table__, name=name, active=True))
        for name, bundle_name in dags.items():
            values = {
                "dag_id": name,
                "bundle_name": bundle_name,
                "bundle_version": "0a1b2c3d4e5f60718293" if bundle_name == "away" else None,
                "relative_fileloc": "all.py",
                "is_paused": False,
                "is_stale": False,
                "fileloc": "",
                "max_active_tasks": 1,
                "has_task_concurrency_limits": False,
            }
            session.execute(row(DagModel.__table__, **values))
    yield root
    with create_session() as session:
        session.execute(delete(DagModel).where(DagModel.bundle_name.in_(["growth", "away"])))
        session.execute(delete(DagBundleModel).where(DagBundleModel.name.in_(["growth", "away"])))


def folder_key(folder: str) -> str:
    return {"directories": "directory", "segments": "segment", "workflows": "workflow"}[folder]


def test_the_workflows_of_all_projects_are_listed_each_with_its_own_segment(bundle, client, ledger):
    page = client("una").get("/segue/workflows").text
    assert "segment=welcome" in page
    assert "segment=growth/welcome" in page or "segment=growth%2Fwelcome" in page
    assert "not defined" not in page
    page = client("una").get("/segue/segment", params={"segment": "growth/welcome"}).text
    assert "of growth" in page
    page = client("una").get("/segue/segment", params={"segment": "welcome"}).text
    assert "of growth" not in page


def test_directories_of_one_name_have_a_page_each(bundle, client, ledger):
    page = client("una").get("/segue/segment", params={"segment": "growth/welcome"}).text
    assert 'href="/segue/directory?directory=growth%2Fwelcome"' in page
    page = client("una").get("/segue/directory", params={"directory": "growth/welcome"}).text
    assert "segment=growth%2Fwelcome" in page
    assert "segment=welcome" not in page


def test_segments_of_one_name_have_their_own_members(bundle, client, ledger):
    """What one project's runs counted is in no other's chart."""
    ledger.runs.claim("growing", "growth")
    body = '{"directory": {"directory": "welcome"}, "segment": {"segment": "welcome"}}'
    for name in ("growing", "welcome"):
        record(ledger, name, "run", 1, "ann", definition=("0" * 64, body))
    sizes = ledger.queries.sizes_since
    begin, both = datetime(2020, 1, 1, tzinfo=UTC), ("growing", "welcome")
    assert {(one.segment, one.workflow) for one in sizes(["welcome"], both, begin)} == {
        ("welcome", "welcome")
    }
    assert {(one.segment, one.workflow) for one in sizes(["growth/welcome"], both, begin)} == {
        ("growth/welcome", "growing")
    }
    assert ledger.queries.recorded_segments() == {
        ("welcome", "welcome"),
        ("growth/welcome", "growing"),
    }


def test_who_reads_one_project_sees_no_segment_of_the_other(bundle, client, ledger, only_reads):
    only_reads("welcome")
    page = client("una").get("/segue/segments").text
    assert "growth" not in page
    answer = client("una").get("/segue/segment", params={"segment": "growth/welcome"})
    assert answer.status_code == 403


def test_a_workflow_is_its_own_projects_and_nobodys_namesake(bundle, client, ledger):
    """Who may read its DAG would see contacts of another project's directory in its preview."""
    path = bundle / "include/workflows/growing.yaml"
    namesake = path.read_text().replace("growing", "welcome")
    path.with_name("welcome.yaml").write_text(namesake.replace("of growth", "the namesake"))
    page = client("una").get("/segue/workflow", params={"workflow": "welcome"}).text
    assert "the namesake" not in page
    ledger.runs.claim("welcome", "growth")
    record(ledger, "welcome", "run", 1, "ann")
    page = client("una").get("/segue/workflow", params={"workflow": "welcome"}).text
    assert "the namesake" in page
    ledger.runs.move("welcome", "another")
    for visited in ("/segue/workflow", "/segue/plan"):
        page = client("una").get(visited, params={"workflow": "welcome"}).text
        assert "the namesake" not in page


def test_a_workflow_that_this_server_cannot_read_is_not_called_undefined(bundle, client, ledger):
    """It says where Airflow found it; one that is nowhere is not defined any more."""
    record(ledger, "far", "run", 1, "ann")
    record(ledger, "gone", "run", 1, "ann")
    page = client("una").get("/segue/workflow", params={"workflow": "far"}).text
    assert "its DAG is in the bundle away, version 0a1b2c3d4e5f;" in page
    page = client("una").get("/segue/workflow", params={"workflow": "gone"}).text
    assert "not defined any more" in page


def test_an_edit_in_a_bundle_is_seen_at_once(bundle, client, ledger):
    path = bundle / "include/segments/welcome.yaml"
    client("una").get("/segue/segments")
    path.write_text(path.read_text().replace("of growth", "edited"))
    page = client("una").get("/segue/segment", params={"segment": "growth/welcome"}).text
    assert "edited" in page


def test_without_segue_home_the_definitions_are_where_airflow_found_the_release(
    bundle, client, ledger, monkeypatch
):
    """As the tasks of that DAG file find them."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    monkeypatch.delenv("SEGUE_HOME")
    with create_session() as session:
        mine = DagModel.dag_id == RELEASE
        session.execute(update(DagModel).where(mine).values(bundle_name="growth"))
        session.execute(delete(DagModel).where(DagModel.dag_id == f"{RELEASE}_growth"))
    page = client("una").get("/segue/segment", params={"segment": "welcome"}).text
    assert "of growth" in page


def test_the_history_of_a_teams_workflow_is_no_other_teams_once_its_dag_is_gone(
    bundle, airflow_app, ledger, monkeypatch
):
    """Airflow knows no team of a DAG that it does not know; the ledger knows whose it was."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models.team import Team, dag_bundle_team_association_table
    from airflow.utils.session import create_session
    from fastapi.testclient import TestClient

    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    ledger.runs.claim("gone", "growth")
    record(ledger, "gone", "run", 1, "ann")
    table = dag_bundle_team_association_table
    with create_session() as session:
        session.add(Team(name="growers"))
        session.flush()
        session.execute(insert(table).values(dag_bundle_name="growth", team_name="growers"))
    try:
        codes = {}
        for team in ("growers", "sellers"):
            user = SimpleAuthManagerUser(username=team, role="viewer", teams=[team])
            browser = TestClient(airflow_app, follow_redirects=False)
            browser.cookies.set("_token", get_auth_manager().generate_jwt(user))
            answers = [
                browser.get("/segue/workflow", params={"workflow": name})
                for name in ("gone", "growing")
            ]
            codes[team] = [answer.status_code for answer in answers]
        assert codes == {"growers": [200, 200], "sellers": [403, 403]}
    finally:
        with create_session() as session:
            session.execute(delete(table))
            session.execute(delete(Team))
