"""What a person does in a browser: log in to Airflow, and look at Segue's pages in their frame."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.ui.showroom import USERS

CHROMIUM = os.environ.get("SEGUE_TEST_CHROMIUM") or shutil.which("chromium")


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium of the system."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


def log_in(page: Any, url: str, name: str) -> None:
    """Log in with Airflow's own form."""
    page.goto(f"{url}/", wait_until="networkidle")
    page.locator("input[name=username]").fill(name)
    page.locator("input[name=password]").fill(USERS[name][1])
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda address: "login" not in address)
    page.wait_for_load_state("networkidle")


def frame_of(page: Any) -> Any:
    """Return the frame in which Airflow shows a page of Segue."""
    return page.frame_locator("iframe").first


def inner_of(page: Any) -> Any:
    """Return the same frame, to be led to another of our pages."""
    return next(frame for frame in page.frames if frame.parent_frame and "/segue/" in frame.url)
