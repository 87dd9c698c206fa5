"""One running sandbox for all tests of a module, and Airflow connections that point at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue.sandbox.server import Sandbox
from segue.sandbox.vendors import qualtrics_api, teams_api, twilio_api
from tests.unit.channels.support import PATIENCE

SetConnection = Callable[..., None]


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def set_connection(monkeypatch: pytest.MonkeyPatch) -> SetConnection:
    """Set an Airflow connection for one test."""

    def set_to(connection: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection.upper()}", json.dumps(fields))

    return set_to


def _patience(test: pytest.Item) -> int:
    """Seconds to wait for an answer: few only where none is to come, for a busy machine is slow."""
    callspec = getattr(test, "callspec", None)
    late = callspec is not None and callspec.params.get("fault") == "time_out_after_effect"
    return 2 if late else PATIENCE


@pytest.fixture
def sandbox(
    running_sandbox: Sandbox, set_connection: SetConnection, request: pytest.FixtureRequest
) -> Sandbox:
    """The sandbox, empty, behind the connections that the channels use by default, and ``crm``."""
    running_sandbox.clear()
    _connect(running_sandbox, set_connection, _patience(request.node))
    return running_sandbox


@pytest.fixture
def be_patient(sandbox: Sandbox, set_connection: SetConnection) -> Callable[[], None]:
    """Wait for answers again, once the one that did not come is given up."""
    return lambda: _connect(sandbox, set_connection, PATIENCE)


def _connect(running_sandbox: Sandbox, set_connection: SetConnection, patience: int) -> None:
    url = running_sandbox.url
    set_connection(
        "slack_default",
        conn_type="slack",
        password="xoxb-sandbox",
        extra={"base_url": f"{url}/slack/api/", "timeout": patience},
    )
    set_connection(
        "slack_webhook_default",
        conn_type="slackwebhook",
        host=f"{url}/slack/services",
        password="T00000000/B00000000/sandbox",
        extra={"timeout": patience},
    )
    set_connection(
        "zendesk_default",
        conn_type="http",
        host=f"{url}/zendesk",
        login="agent@example.com/token",
        password="sandbox",
        extra={"timeout": patience},
    )
    set_connection(
        "freshdesk_default",
        conn_type="http",
        host=f"{url}/freshdesk",
        login="sandbox",
        password="X",
        extra={"timeout": patience},
    )
    set_connection(
        "jira_default",
        conn_type="http",
        host=f"{url}/jira",
        login="agent@example.com",
        password="sandbox",
        extra={"timeout": patience},
    )
    set_connection(
        "servicenow_default",
        conn_type="http",
        host=f"{url}/servicenow",
        login="segue.integration",
        password="sandbox",
        extra={"timeout": patience},
    )
    set_connection(
        "twilio_default",
        conn_type="http",
        host=f"{url}/twilio",
        login=twilio_api.ACCOUNT_SID,
        password=twilio_api.AUTH_TOKEN,
        extra={"timeout": patience},
    )
    set_connection(
        "qualtrics_default",
        conn_type="http",
        host=f"{url}/qualtrics",
        password=qualtrics_api.TOKEN,
        extra={"timeout": patience},
    )
    set_connection(
        "teams_default",
        conn_type="http",
        password=f"{url}/teams{teams_api.WEBHOOK}",
        extra={"timeout": patience},
    )
    set_connection(
        "crm",
        conn_type="http",
        host=f"{url}/http",
        extra={"Authorization": "Bearer sandbox", "timeout": patience},
    )
    set_connection(
        "smtp_default",
        conn_type="smtp",
        host=running_sandbox.host,
        port=running_sandbox.smtp_port,
        extra={
            "disable_ssl": True,
            "disable_tls": True,
            "timeout": max(patience, 4),  # of each reply, the greeting's too
            "from_email": "segue@example.com",
        },
    )
