"""The sandbox behind Airflow connections, as for the channels, and a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.clock import Clock
from segue.ledger import Ledger
from tests.unit.channels.conftest import running_sandbox, sandbox, set_connection
from tests.unit.live.clock import Wrist

__all__ = ["running_sandbox", "sandbox", "set_connection"]


@pytest.fixture(scope="session", autouse=True)
def airflow_logging() -> None:
    """Let Airflow arrange its logging before a test listens to the log, and not meanwhile."""
    from airflow import settings

    settings.initialize()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'segue.db'}", "test")
    yield ledger
    ledger.engine.dispose()


@pytest.fixture
def no_pause() -> Clock:
    """A clock on which pauses take no time."""
    return Wrist().clock
