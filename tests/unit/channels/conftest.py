"""One running sandbox for all tests of a module, and Airflow connections that point at it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from segue.sandbox.server import Sandbox
from tests.channels.case import Servers
from tests.channels.cases import CASES
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
    servers = Servers(running_sandbox.url, running_sandbox.host, running_sandbox.smtp_port)
    for case in CASES.values():
        # of mail, each reply is waited for, the greeting too
        timeout = max(patience, 4) if case.service == "smtp" else patience
        connection = json.loads(case.connection_json(servers, timeout=timeout))
        set_connection(case.connection_id, **connection)
