"""``python -m tests.ui.screenshots``: pictures of each page inside Airflow, light and dark.

They are taken of a real Airflow with the sample and written to ``docs/images``. With ``--home`` the
Airflow is kept there and used again the next time: its days need not be run once more.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segue.ledger.people.release_requests import Selection
from segue.upkeep import interventions as asking
from tests.ui.browsing import browser, frame_of, inner_of, log_in
from tests.ui.showroom import RENEWALS, ROOT, release, showroom

DAYS = 10
IMAGES = ROOT / "docs/images"
LARGEST = 200_000  # bytes of a picture
THEMES = ("light", "dark")
WIDTH = 1280


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.ui.screenshots", description=__doc__)
    parser.add_argument("--home", type=Path, help="folder that keeps the Airflow")
    parser.add_argument("--output", type=Path, default=IMAGES)
    parser.add_argument("--only", help="name of one picture")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with _home(arguments.home) as home, showroom(home, DAYS) as world, browser() as chromium:
        if world.ledger.queries.list_deliveries(workflow=RENEWALS, outcome="sending"):
            release(world)  # finds out that nobody can tell
        if not world.ledger.people.list_requests():
            now = datetime.now(UTC)
            asking.retry(world.ledger, Selection(RENEWALS, action="mail"), "anna", now)
        for theme in THEMES:
            for name, height, path in _pages(world):
                if arguments.only in (None, name):
                    page = _open(chromium, world.airflow.url, theme, height)
                    _show(page, world.airflow.url, path)
                    _take(page, arguments.output / f"{name}-{theme}.png")
                    page.context.close()


def _pages(world: Any) -> Iterator[tuple[str, int, str]]:
    """Yield (name, height in pixels, address) of each picture."""
    ledger = world.ledger
    (renewal, *_) = ledger.queries.recent_runs(RENEWALS, 1)
    (risky, *_) = ledger.queries.list_deliveries(workflow="escalate_at_risk", outcome="delivered")
    (*_, welcomed) = ledger.queries.list_deliveries(
        workflow="welcome_high_value", outcome="delivered"
    )
    nav = "segue/{}"
    yield "workflows", 720, nav.format("workflows")
    yield "workflow", 1150, nav.format("workflow?workflow=escalate_at_risk")
    yield "segments", 900, nav.format("segments")
    yield "segment", 1300, nav.format("segment?segment=at_risk")
    yield (
        "explain",
        620,
        nav.format(
            f"segment/explain?segment=at_risk&contact={risky.contact_id}&at={risky.snapshot}"
        ),
    )
    yield "contact", 900, nav.format(f"contact?id={welcomed.contact_id}")
    yield "deliveries", 720, nav.format(f"deliveries?workflow={RENEWALS}&state=failed")
    yield "requests", 620, nav.format("requests")
    yield "run", 900, f"tab:dags/{RENEWALS}/runs/{renewal.run_id}/plugin/segue-run"


def _open(chromium: Any, url: str, theme: str, height: int) -> Any:
    """Return a page of somebody who has logged in and chosen a theme."""
    context = chromium.new_context(viewport={"width": WIDTH, "height": height}, color_scheme=theme)
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page = context.new_page()
    page.set_default_timeout(30_000)
    log_in(page, url, "anna")
    return page


def _show(page: Any, url: str, path: str) -> None:
    """Open a page of ours inside Airflow."""
    if path.startswith("tab:"):
        page.goto(f"{url}/{path.removeprefix('tab:')}", wait_until="networkidle")
        frame_of(page).locator("main h1").wait_for()
    else:
        page.goto(f"{url}/plugin/segue", wait_until="networkidle")
        frame = frame_of(page)
        frame.locator("main h1").wait_for()
        inner_of(page).goto(f"{url}/{path}")
    for summary in frame_of(page).locator("details[data-loads] > summary").all()[:1]:
        summary.click()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(700)  # charts are drawn, fonts are there


def _take(page: Any, path: Path) -> None:
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.name}: {size // 1000} kB")
    if size > LARGEST:
        raise SystemExit(f"{path} has {size} bytes; at most {LARGEST} are to be kept in git")


@contextmanager
def _home(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="segue-showroom-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


if __name__ == "__main__":
    main()
