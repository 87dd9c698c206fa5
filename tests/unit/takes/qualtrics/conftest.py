"""A directory of Qualtrics that the sandbox serves, and snapshots that are taken of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from upath import UPath

from segue.directory.definition import DirectoryDefinition
from segue.directory.snapshots import list_snapshots
from segue.directory.tables import SnapshotTables
from segue.documents import parse_document, validate
from segue.operators.databases import opened_for
from segue.sandbox.server import Sandbox
from segue.sandbox.vendors.qualtrics_api import TOKEN
from segue.takes.moments import moment_of_run
from segue.takes.take import TakeResult, take_snapshot
from tests.unit.channels.conftest import set_connection  # noqa: F401 - a fixture

ALL = """
    embedded_data: [tier, lifecycle, points]
    mailing_lists: all
    segments: all
    transactions: [type, amount]
"""


class XmDirectory:
    """A directory of Segue that is taken from one of the sandbox."""

    def __init__(self, root: UPath, sandbox: Sandbox) -> None:
        self.root, self.sandbox = root, sandbox

    def definition(self, size: int, fields: str = "") -> DirectoryDefinition:
        text = (
            f"directory: people\nsnapshots: {self.root}\ntake:\n  start: 2026-11-01\n"
            f"  qualtrics:\n    directory: POOL_of{size}\n    connection: xm\n{fields}"
        )
        return validate(DirectoryDefinition, parse_document(text, "people.yaml"))

    def take(self, size: int, fields: str = "", **keys: Any) -> TakeResult:
        definition = self.definition(size, fields)
        assert definition.take is not None
        moment, why_not = moment_of_run(definition, None, datetime.now(UTC))
        assert moment is not None, why_not
        take = definition.take
        return take_snapshot(
            definition, moment, lambda: opened_for(take), remark=lambda _: None, **keys
        )

    def snapshot(self, size: int, fields: str = "") -> SnapshotTables:
        """Return the only snapshot."""
        definition = self.definition(size, fields)
        [one] = list_snapshots(definition, now=datetime.now(UTC))
        assert one.complete, one.why_incomplete
        return SnapshotTables(definition, one)

    def ids(self, size: int, fields: str = "") -> list[str]:
        return sorted(self.snapshot(size, fields).contacts()["contact_id"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Change the sandbox's directory."""
        response = requests.request(
            method,
            f"{self.sandbox.url}/qualtrics/API/v3/directories/{path}",
            json=body,
            headers={"X-API-TOKEN": TOKEN},
            timeout=60,
        )
        assert response.status_code == 200, response.text
        return response.json().get("result")

    def files(self) -> list[str]:
        return self.root.fs.find(self.root.path)


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[Sandbox]:
    """A sandbox whose minutes are seconds, so that the limits of a minute bite nobody here."""
    begin = datetime.now(UTC)
    with Sandbox(clock=lambda: begin + 60 * (datetime.now(UTC) - begin)) as sandbox:
        yield sandbox


@pytest.fixture
def connection(running_sandbox: Sandbox) -> dict[str, Any]:
    """The fields of the connection ``xm``."""
    host = f"{running_sandbox.url}/qualtrics"
    return {"conn_type": "http", "host": host, "password": TOKEN, "extra": {"segue_rate": "none"}}


@pytest.fixture
def xm(
    running_sandbox: Sandbox,
    root: UPath,
    set_connection: Any,  # noqa: F811
    connection: dict[str, Any],
) -> XmDirectory:
    running_sandbox.clear()
    set_connection("xm", **connection)
    return XmDirectory(root, running_sandbox)
