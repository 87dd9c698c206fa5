"""The guard's question in Airflow's own UI: a person reads it, approves it, rejects it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow.test_guard import ONCE
from tests.airflow.world import World

CHROMIUM = os.environ.get("SEGUE_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def page(world: World) -> Iterator:
    """A page of a headless Chromium."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        missing = "there is no chromium on the PATH; SEGUE_TEST_CHROMIUM names another browser"
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def open_question(world: World, page, dag_id: str) -> str:
    """Trigger a run, wait for its question, open its page and return the run id."""
    run_id = world.begin(dag_id)[dag_id]
    world.asked(dag_id, run_id)
    page.goto(
        f"{world.airflow.url}/dags/{dag_id}/runs/{run_id}/tasks/guard/required_actions",
        wait_until="networkidle",
    )
    page.get_by_text(f"{dag_id}: act on 2 added?").first.wait_for()
    return run_id


def shoot(page, name: str, tmp_path: Path) -> None:
    folder = Path(os.environ.get("SEGUE_TEST_SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / f"{name}.png", full_page=True)


def test_a_person_approves_in_the_browser(world: World, page, tmp_path):
    """The page shows why it asks, how many and who; the button releases them."""
    name = "browser_approves"
    run_id = open_question(world, page, name)
    shoot(page, "question", tmp_path)
    for text in ("2 contacts added, guard.at_most is 1", f"{name}0", "Quarantine the snapshot"):
        assert page.get_by_text(text).first.is_visible(), text
    page.get_by_role("button", name="Approve", exact=True).first.click()
    assert world.end(name, run_id) == "success"
    assert world.received(f"{name}0") == world.received(f"{name}1") == ONCE


def test_a_person_rejects_and_quarantines_in_the_browser(world: World, page, tmp_path):
    """Switched on, then rejected: nothing is sent, and no run uses the snapshot again."""
    name = "browser_rejects"
    run_id = open_question(world, page, name)
    page.locator("label:has(input[name*=quarantine])").first.click()
    page.wait_for_timeout(500)  # the switch moves
    shoot(page, "quarantined", tmp_path)
    page.get_by_role("button", name="Reject", exact=True).first.click()
    assert world.end(name, run_id) == "success"
    assert world.received(name) == Counter()
    assert set(world.ledger.people.quarantined(name)) == {"2026-11-02"}
