"""Segue's pages in Airflow's API server, in this process, with its simple auth manager."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from segue.ledger import Ledger

USERS = {"vera": "viewer", "una": "user", "otto": "op", "anna": "admin"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def airflow_app(tmp_path_factory):
    """Airflow's own application, its database new, the four roles of the simple auth manager."""
    home = Path(os.environ["AIRFLOW_HOME"])
    os.environ.update(
        {
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path_factory.mktemp("dags")),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{name}:{role}" for name, role in USERS.items()
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__API__SECRET_KEY": "a secret of this test",
            "AIRFLOW__API_AUTH__JWT_SECRET": "another secret, " * 6,
        }
    )
    airflow = Path(sys.executable).parent / "airflow"
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True)
    from airflow import settings

    settings.initialize()
    from airflow.api_fastapi.app import create_app

    app = create_app(apps="core")
    passwords = home / "simple_auth_manager_passwords.json.generated"
    assert set(yaml.safe_load(passwords.read_text())) == set(USERS)
    return app


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for definitions and the ledger, which the pages are told of."""
    for folder in ("directories", "segments", "workflows", "templates"):
        (tmp_path / "include" / folder).mkdir(parents=True)
    monkeypatch.setenv("SEGUE_HOME", str(tmp_path / "include"))
    monkeypatch.setenv("SEGUE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("SEGUE_LEDGER", f"sqlite:///{tmp_path / 'segue.db'}")
    monkeypatch.setenv("SEGUE_NAMESPACE", "test")
    return tmp_path


@pytest.fixture
def ledger(place: Path) -> Iterator[Ledger]:
    """The ledger that the pages look at, with its tables and nothing in them."""
    ledger = Ledger.open(os.environ["SEGUE_LEDGER"], "test")
    yield ledger
    ledger.engine.dispose()


@pytest.fixture
def client(airflow_app, place: Path) -> Iterator[Callable]:
    """A browser by the name of its user, signed in by cookie as Airflow does it; None: nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    def of(name: str | None) -> TestClient:
        client = TestClient(airflow_app, raise_server_exceptions=False, follow_redirects=False)
        if name is not None:
            user = SimpleAuthManagerUser(username=name, role=USERS[name])
            client.cookies.set("_token", get_auth_manager().generate_jwt(user))
        return client

    yield of
    from segue.web import connections

    connections._ledger.cache_clear()


@pytest.fixture
def definitions(place: Path) -> Callable[[str], None]:
    """Defines a workflow with a directory and a segment of its own name."""

    def define(name: str, **more) -> None:
        parts = {
            "directories": {
                "directory": name,
                "snapshots": str(place / "snapshots" / name),
                "settle": "0s",
            },
            "segments": {
                "segment": name,
                "directory": name,
                "match": {"field": "tier", "equals": "gold"},
            },
            "workflows": {
                "workflow": name,
                "segment": name,
                "changes": ["added"],
                "schedule": "0 6 * * *",
                "start": "2026-11-01",
                "actions": [{"id": "mail", "email": {"subject": "Hello", "text": "Hello"}}],
                **more,
            },
        }
        for folder, data in parts.items():
            (place / "include" / folder / f"{name}.yaml").write_text(yaml.safe_dump(data))

    return define


@pytest.fixture
def only_reads(airflow_app, monkeypatch) -> Callable[..., None]:
    """Lets nobody read any DAG but these, as an auth manager with rights per DAG would."""
    from airflow.api_fastapi.app import get_auth_manager

    manager = get_auth_manager()
    before = manager.is_authorized_dag

    def allow(*names: str) -> None:
        def is_authorized_dag(*, details=None, **rest) -> bool:
            inside = details is not None and details.id in names
            return inside and before(details=details, **rest)

        monkeypatch.setattr(manager, "is_authorized_dag", is_authorized_dag)

    return allow
