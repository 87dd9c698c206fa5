"""A backfill over ten days: recorded by default; delivered, once, when somebody asks for it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from tests.airflow.world import World

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(900)]
DAYS = ("2026-11-02T06:00:00Z", "2026-11-11T06:00:00Z")
NAME = "ten_days"


def backfill(world: World, **options) -> set[str]:
    """Run the ten days, four at a time, and return the states their runs ended in."""
    before = datetime.now(UTC)
    world.airflow.backfill(NAME, *DAYS, **options)
    ended: list[dict] = []
    for ended in world.airflow.wait_for_runs(NAME, expected=10, seconds=600, after=before):  # noqa: B007
        pass
    return {run["state"] for run in ended}


def tickets(world: World) -> Counter[str]:
    """How many tickets the server received for each contact."""
    return Counter(
        f"ten{number:02}"
        for number in range(1, 12)
        for _ in world.sandbox.messages(service="zendesk", contains=f"ten{number:02}")
    )


def test_ten_days_are_recorded_then_delivered_once_then_never_again(world: World):
    """ten02 … ten11 are added on days 2 … 11, ten01 … ten09 removed on days 3 … 11."""
    assert backfill(world) == {"success"}
    assert set(world.outcomes(NAME).values()) == {"suppressed(backfill)"}
    assert tickets(world) == Counter()

    assert backfill(world, conf={"deliver": True}, reprocess="completed") == {"success"}
    once = Counter({f"ten{n:02}": (n >= 2) + (n <= 9) for n in range(1, 12)})
    assert tickets(world) == once

    runs = [run["dag_run_id"] for run in world.airflow.runs(NAME)]
    for run_id in runs:
        world.airflow.clear(NAME, run_id)
    assert set(world.airflow.finish(NAME, expected=10, seconds=600).values()) == {"success"}
    assert backfill(world, conf={"deliver": True}, reprocess="completed") == {"success"}
    assert tickets(world) == once
