"""Times in a browser: in the zone that was chosen in Airflow, one notation, the zone named.

The pages are served by Airflow's own application on a port, without a scheduler.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from segue.ledger import Ledger
from segue.ledger.states import State
from tests.ui.browsing import CHROMIUM, browser
from tests.ui.conftest import USERS
from tests.ui.filled import record, settle

pytestmark = pytest.mark.browser
DATED = "2026-11-30 02:05"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        missing = "there is no chromium on the PATH; SEGUE_TEST_CHROMIUM names another browser"
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            pytest.fail(missing)
        pytest.skip(missing)
    with browser() as started:
        yield started


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The application on a free port, in a thread."""
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def opened(airflow_app, chromium, place) -> Iterator[Callable[..., Any]]:
    """A page in a browser of one zone, with what Airflow keeps of its user's choice."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    from segue.web import connections

    token = get_auth_manager().generate_jwt(
        SimpleAuthManagerUser(username="una", role=USERS["una"])
    )
    contexts = []
    with served(airflow_app) as url:

        def open_page(path: str, zone: str, choice: str | None = None, **more: Any) -> Any:
            context = chromium.new_context(timezone_id=zone, **more)
            contexts.append(context)
            context.add_cookies([{"name": "_token", "value": token, "url": url}])
            if choice is not None:
                script = f"localStorage.setItem('timezone', {json.dumps(choice)})"
                context.add_init_script(script)
            page = context.new_page()
            page.goto(f"{url}/segue/{path}")
            return page

        yield open_page
        for context in contexts:
            context.close()
    connections._ledger.cache_clear()


@pytest.fixture
def key(ledger: Ledger, definitions) -> str:
    """A delivery that moved at five past two at night, in Greenwich."""
    from segue.ledger.schema import deliveries

    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann")
    key = settle(ledger, "ann", State.DELIVERED)
    moved = datetime.fromisoformat(f"{DATED}Z")
    with ledger.engine.begin() as connection:
        connection.execute(deliveries.update().values(updated_at=moved, called_at=moved))
    ledger.people.stop("welcome", "una", "not now", moved)
    return key


def written(zone: str) -> str:
    instant = datetime.fromisoformat(f"{DATED}Z").astimezone(ZoneInfo(zone))
    return f"{instant:%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("browsers", "choice", "shown"),
    [
        ("America/New_York", None, "America/New_York"),
        ("America/New_York", '"UTC"', "UTC"),
        ("UTC", '"Asia/Kolkata"', "Asia/Kolkata"),
        ("Asia/Tokyo", '"no zone at all"', "Asia/Tokyo"),
        ("Asia/Tokyo", "no JSON", "Asia/Tokyo"),
        ("Asia/Tokyo", "7", "Asia/Tokyo"),
    ],
)
def test_times_are_in_airflow_s_zone_and_it_is_named(opened, key, browsers, choice, shown):
    page = opened(f"delivery?workflow=welcome&key={key}", browsers, choice)
    moved = page.locator("dt", has_text="Last moved").locator("xpath=following-sibling::dd[1]/time")
    assert moved.inner_text() == written(shown)
    assert f"{DATED} UTC" in moved.get_attribute("title")
    assert shown in page.locator("footer.zone").inner_text()


def test_the_notation_is_one_whatever_the_browser_s_language(opened, key):
    for language in ("en-US", "de-DE", "ar-EG", "fa-IR", "th-TH"):
        page = opened("workflow?workflow=welcome", "UTC", locale=language)
        assert page.locator(".notice time").inner_text() == DATED


def test_another_choice_in_airflow_changes_what_is_shown(opened, key):
    page = opened("workflow?workflow=welcome", "UTC", '"UTC"')
    stop = page.locator(".notice time")
    assert stop.inner_text() == DATED
    page.evaluate(
        """localStorage.setItem("timezone", '"Asia/Tokyo"');
        dispatchEvent(new StorageEvent("storage", {key: "timezone"}))"""
    )
    assert stop.inner_text() == written("Asia/Tokyo")


def test_the_login_page_has_its_style(chromium, airflow_app, ledger):
    """And nothing in it is refused by its own policy."""
    with served(airflow_app) as url:
        page = chromium.new_context().new_page()
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text))
        assert page.goto(f"{url}/segue/workflows").status == 401
        weight = page.locator("h1").evaluate("it => getComputedStyle(it).fontWeight")
        page.context.close()
    assert weight == "600"
    assert [text for text in wrong if "401" not in text] == []


@pytest.mark.parametrize("path", ["workflows", "segments", "contact?id=ann", "requests"])
def test_a_phone_shows_a_page_without_scrolling_sideways(opened, key, path):
    page = opened(path, "UTC", viewport={"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
