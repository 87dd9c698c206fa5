"""One running sandbox for all tests of a module; each test starts with it empty."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from segue.sandbox.server import Sandbox
from tests.unit.channels.support import PATIENCE


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    running_sandbox.clear()
    return running_sandbox


@pytest.fixture
def web(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, timeout=PATIENCE) as client:
        yield client
