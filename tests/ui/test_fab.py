"""The same rights with the FAB auth manager, in a real API server, with roles per DAG.

The provider is no dependency of Segue: install apache-airflow-providers-fab to run this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
import yaml

from segue.demo.local_airflow import LocalAirflow
from segue.ledger import Ledger
from tests.ui.filled import record

pytest.importorskip("airflow.providers.fab", reason="apache-airflow-providers-fab is not installed")
pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
ROLES = {"nobody": "Public", "narrow": "Narrow", "vera": "Viewer", "una": "User", "anna": "Admin"}

DAGS = """
from airflow.sdk import DAG

with DAG("welcome", schedule=None, access_control={"Narrow": {"DAGs": {"can_read"}}}):
    pass
with DAG("secret", schedule=None):
    pass
"""


class Server:
    """A running API server, and its users' tokens."""

    def __init__(self, airflow: LocalAirflow) -> None:
        self.airflow = airflow
        self._tokens: dict[str, str] = {}

    def get(self, user: str | None, path: str) -> requests.Response:
        headers = {} if user is None else {"Authorization": f"Bearer {self._token(user)}"}
        return requests.get(f"{self.airflow.url}/segue/{path}", headers=headers, timeout=240)

    def post(self, user: str, path: str, body: dict) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._token(user)}"}
        url = f"{self.airflow.url}/segue/{path}"
        return requests.post(url, json=body, headers=headers, timeout=240)

    def is_up(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.airflow.url}/api/v2/version", timeout=60).ok
        return False

    def _token(self, user: str) -> str:
        if user not in self._tokens:
            login = {"username": user, "password": user}
            answer = requests.post(f"{self.airflow.url}/auth/token", json=login, timeout=240)
            self._tokens[user] = answer.json()["access_token"]
        return self._tokens[user]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """Two workflows, ``welcome`` and ``secret``; the role Narrow may read ``welcome`` alone."""
    home = tmp_path_factory.mktemp("fab")
    define(home, "welcome")
    define(home, "secret")
    ledger = Ledger.open(f"sqlite:///{home / 'segue.db'}", "default")
    for name in ("welcome", "secret"):
        record(ledger, name, "run", 1, f"contact-of-{name}")
    ledger.engine.dispose()
    (home / "dags").mkdir()
    (home / "dags" / "workflows.py").write_text(DAGS)
    airflow = LocalAirflow(
        home,
        dags=home / "dags",
        environment={
            "AIRFLOW__CORE__AUTH_MANAGER": FAB,
            "SEGUE_HOME": str(home / "include"),
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
            ),
        },
    )
    airflow.run("db", "migrate")
    (home / "logs").mkdir(exist_ok=True)
    airflow._spawn("api-server", airflow._components["api-server"])
    server = Server(airflow)
    try:
        deadline = time.monotonic() + 240
        while not server.is_up():
            assert time.monotonic() < deadline, (home / "logs/api-server.log").read_text()[-2000:]
            time.sleep(1)
        airflow.run("roles", "create", "Narrow")
        airflow.run("dags", "reserialize")  # gives the roles what the DAGs say
        for name, role in ROLES.items():
            email = f"{name}@example.com"
            names = ("-f", name, "-l", name, "-e", email)
            airflow.run("users", "create", "-u", name, "-p", name, "-r", role, *names)
        yield server
    finally:
        airflow.stop()


def define(home: Path, name: str) -> None:
    parts = {
        "directories": {"directory": name, "snapshots": str(home / name)},
        "segments": {"segment": name, "directory": name, "match": {"field": "a", "equals": "b"}},
        "workflows": {
            "workflow": name,
            "segment": name,
            "changes": ["added"],
            "start": "2026-11-01",
            "actions": [{"id": "mail", "email": {"subject": "Hello", "text": "Hello"}}],
        },
    }
    for folder, data in parts.items():
        path = home / "include" / folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data))


def test_without_a_login_everything_is_401(server: Server):
    for path in (
        "workflows",
        "workflow?workflow=welcome",
        "static/segue.css",
        "api/v1/openapi.json",
    ):
        assert server.get(None, path).status_code == 401, path


@pytest.mark.parametrize(
    ("user", "welcome", "secret"),
    [("nobody", 403, 403), ("narrow", 200, 403), ("vera", 200, 200), ("anna", 200, 200)],
)
def test_a_role_reads_the_workflows_whose_dags_it_may_read(server, user, welcome, secret):
    assert server.get(user, "workflow?workflow=welcome").status_code == welcome
    assert server.get(user, "run?workflow=secret&run=run").status_code == secret
    listing = server.get(user, "workflows").text
    assert ("welcome" in listing, "secret" in listing) == (welcome == 200, secret == 200)


@pytest.mark.parametrize(("user", "status"), [("narrow", 403), ("vera", 403), ("una", 200)])
def test_contacts_need_the_right_to_edit(server, user, status):
    answer = server.get(user, "plan?workflow=welcome")
    assert (answer.status_code == 403) == (status == 403)


@pytest.mark.parametrize(("user", "status"), [("narrow", 403), ("vera", 403), ("una", 200)])
def test_acting_needs_the_right_to_edit(server, user, status):
    answer = server.post(user, "api/v1/workflows/welcome/stop", {"reason": "why"})
    assert answer.status_code == status, answer.text
    if status == 200:
        found = server.get(user, "api/v1/requests").json()["items"]
        assert (found[0]["kind"], found[0]["requested_by"]) == ("stop", "una")
        server.post(user, "api/v1/workflows/welcome/go", {})
