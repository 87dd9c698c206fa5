"""Segue's pages as a person uses them: a real Airflow, its login, its frames, a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.airflow.world import World
from tests.ui.browsing import CHROMIUM, browser, frame_of, inner_of, log_in
from tests.ui.filled import HOSTILE
from tests.ui.showroom import CROWD, MAIL, RENEWALS, release, showroom, write_renewals_workflow

DAYS = 1
pytestmark = [
    pytest.mark.airflow,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # the first test waits for the days to be run
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if CHROMIUM is None:
        missing = "there is no chromium on the PATH; SEGUE_TEST_CHROMIUM names another browser"
        if os.environ.get("SEGUE_TEST_REQUIRE_SERVICES"):
            pytest.fail(missing)
        pytest.skip(missing)
    kept = os.environ.get("SEGUE_TEST_SHOWROOM")  # a folder, to use its Airflow again
    home = Path(kept) if kept else tmp_path_factory.mktemp("showroom")
    with showroom(home, DAYS, CROWD) as world:
        if world.ledger.queries.list_deliveries(workflow=RENEWALS, outcome="sending"):
            release(world)
        yield world


@pytest.fixture(scope="module")
def chromium(room: World) -> Iterator[Any]:
    with browser() as found:
        yield found


class Visitor:
    """Somebody with a browser, and what went wrong in it."""

    def __init__(self, chromium: Any, url: str) -> None:
        self.url = url
        self.page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
        self.page.set_default_timeout(120_000)
        self.wrong: list[str] = []
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("console", self._said)

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, message: Any) -> None:
        ours = "/segue/" in (message.location or {}).get("url", "")
        if message.type == "error" and ours:
            self.wrong.append(f"console: {message.text}")

    def inside(self, path: str) -> Any:
        """Open one of Segue's pages in Airflow's frame, and return the frame."""
        self.page.goto(f"{self.url}/plugin/segue", wait_until="domcontentloaded")
        frame_of(self.page).locator("main h1").first.wait_for()
        inner_of(self.page).goto(f"{self.url}/segue/{path}")
        return frame_of(self.page)

    def tab(self, path: str) -> Any:
        """Open one of Airflow's own pages that has a tab of Segue's, and return its frame."""
        self.page.goto(f"{self.url}/{path}", wait_until="domcontentloaded")
        frame = frame_of(self.page)
        frame.locator("main h1").first.wait_for()
        return frame


@pytest.fixture
def anna(chromium, room) -> Iterator[Visitor]:
    """An admin who has logged in; nothing may have gone wrong in the browser afterwards."""
    visitor = Visitor(chromium, room.airflow.url)
    log_in(visitor.page, room.airflow.url, "anna")
    yield visitor
    visitor.page.context.close()
    assert visitor.wrong == []


def run_of(room: World) -> str:
    return room.ledger.queries.recent_runs(RENEWALS, 1)[0].run_id


def key_of(room: World, contact: str, action: str = "mail") -> str:
    (row,) = room.ledger.queries.list_deliveries(
        workflow=RENEWALS, contact_id=contact, action=action
    )
    return row.key


def outcome_of(room: World, contact: str) -> str:
    (row,) = room.ledger.queries.list_deliveries(
        workflow=RENEWALS, contact_id=contact, action="mail"
    )
    return row.outcome


# ---- looking -----------------------------------------------------------------------------------


def test_without_a_login_there_is_a_401_and_a_way_to_sign_in(chromium, room):
    page = chromium.new_context().new_page()
    answer = page.goto(f"{room.airflow.url}/segue/segments")
    assert answer.status == 401
    assert page.get_by_text("You are not signed in").is_visible()
    page.get_by_role("link", name="Sign in to Airflow").click()
    page.locator("input[name=username]").wait_for()
    page.context.close()


def test_airflows_navigation_leads_to_every_page(anna: Visitor):
    page = anna.page
    page.get_by_role("link", name="Segue").first.click()
    frame = frame_of(page)
    frame.get_by_role("heading", name="Workflows").wait_for()
    frame.get_by_role("link", name="escalate_at_risk").first.wait_for()
    for link, heading in (("Segments", "Segments"), ("Contacts", "Contacts"), ("Requests", None)):
        frame.get_by_role("navigation").get_by_role("link", name=link).click()
        frame.get_by_role("heading", name=heading or link).first.wait_for()


def test_segments_draw_real_charts_and_say_what_a_day_was(anna: Visitor):
    """The pointer over a chart shows the numbers of that day."""
    frame = anna.inside("segments")
    canvas = frame.locator("canvas").first
    canvas.wait_for()
    assert frame.locator("canvas").count() >= 4
    before = canvas.screenshot()
    box = canvas.bounding_box()
    anna.page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2)
    while canvas.screenshot() == before:  # until the test's time is over
        anna.page.wait_for_timeout(100)
    frame.get_by_role("link", name="at_risk", exact=True).click()
    frame.get_by_role("heading", name="History of the definition").wait_for()
    assert frame.locator("ul.tree").get_by_text("lifecycle: equals customer").is_visible()
    frame.get_by_label("Period").select_option("90")
    frame.locator("option[value='90'][selected]").wait_for(state="attached")


def test_why_a_contact_is_in_a_segment_is_a_click_away_from_its_page(anna: Visitor, room):
    """From the search for an id to the tree of conditions."""
    (row, *_) = room.ledger.queries.list_deliveries(
        workflow="escalate_at_risk", outcome="delivered"
    )
    frame = anna.inside("contact")
    frame.get_by_label("Contact").fill(row.contact_id)
    frame.get_by_role("button", name="Find").click()
    frame.get_by_role("heading", name="entered at_risk").first.wait_for()
    frame.locator("details[data-loads] summary").first.click()
    frame.get_by_text("Exactly what was sent.").first.wait_for()
    frame.get_by_role("link", name="Why?").first.click()
    frame.get_by_text("count of transactions").first.wait_for()
    assert frame.locator(".verdict").count() == 2
    assert frame.locator(".verdict").nth(0).get_by_text("not in at_risk").is_visible()


def test_the_tabs_of_dag_run_and_task_show_the_workflow(anna: Visitor, room):
    run = quote(run_of(room))
    frame = anna.tab(f"dags/{RENEWALS}/plugin/segue-workflow")
    assert frame.get_by_role("heading", name=RENEWALS).is_visible()
    assert frame.locator("nav.top").count() == 0
    frame = anna.tab(f"dags/{RENEWALS}/runs/{run}/plugin/segue-run")
    assert frame.get_by_role("heading", name="Outcomes").is_visible()
    frame = anna.tab(f"dags/{RENEWALS}/tasks/contact.mail/plugin/segue-task")
    assert frame.get_by_role("heading", name="contact.mail").is_visible()


def choose(frame: Any, label: str, value: str) -> None:
    """Choose in a form that applies a choice by itself, once its page has loaded."""
    frame.locator("body").evaluate(
        "() => new Promise((done) => document.readyState === 'complete' ? done()"
        " : window.addEventListener('load', done))"
    )
    frame.get_by_label(label).select_option(value)


def test_a_runs_contacts_are_searched_filtered_sorted_and_paged(anna: Visitor, room):
    frame = anna.tab(f"dags/{RENEWALS}/runs/{quote(run_of(room))}/plugin/segue-run")
    frame.get_by_text("page 1 of 2").wait_for()
    first = frame.locator("tbody th[scope=rowgroup]").first.inner_text()
    frame.get_by_role("link", name="Next").click()
    frame.get_by_text("page 2 of 2").wait_for()
    choose(frame, "Outcome", "failed")
    frame.get_by_text("1 change", exact=True).wait_for()
    assert frame.locator("tbody th[scope=rowgroup]").all_inner_texts() == ["CID_2002"]
    choose(frame, "Outcome", "")
    frame.get_by_text("page 1 of 2").wait_for()
    apply = frame.get_by_role("button", name="Apply")
    frame.get_by_label("Contact").fill("CID_210")
    apply.click()
    frame.get_by_text("10 changes").wait_for()
    frame.get_by_label("Contact").fill("")
    apply.click()
    frame.get_by_text("page 1 of 2").wait_for()
    frame.get_by_title("turn the order round").click()
    last = frame.locator("tbody th[scope=rowgroup]").first
    last.filter(has_text="CID_2154").wait_for()
    assert first != "CID_2154"


def test_a_viewer_sees_no_contact_and_nothing_to_press(chromium, room):
    visitor = Visitor(chromium, room.airflow.url)
    log_in(visitor.page, room.airflow.url, "vera")
    frame = visitor.inside("contact?id=CID_2001")
    frame.get_by_text("You may not see this").wait_for()
    frame = visitor.inside(f"delivery?workflow={RENEWALS}&key={key_of(room, 'CID_2002')}")
    frame.get_by_text("needs the right to edit this DAG").wait_for()
    assert frame.get_by_role("button").count() == 0
    visitor.page.context.close()


# ---- hostile names -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "contact?id={hostile}",
        "contact?id=CID_2007",
        "segment/explain?segment={workflow}&contact={hostile}",
        "delivery?workflow={workflow}&key={key}",
        "delivery?workflow={workflow}&key={key_of_hostile}",
        "deliveries?workflow={workflow}&state=delivered&contact={hostile}",
        "run?workflow={workflow}&run={run}&contact={hostile}",
        "plan?workflow={workflow}",
    ],
)
def test_hostile_names_are_text_wherever_they_stand(anna: Visitor, room, path):
    """No dialog opens and no image is asked for, in messages that are opened either."""
    values = {
        "hostile": quote(HOSTILE),
        "workflow": RENEWALS,
        "run": quote(run_of(room)),
        "key": key_of(room, "CID_2007"),
        "key_of_hostile": key_of(room, HOSTILE),
    }
    asked: list[str] = []
    anna.page.on("request", lambda request: asked.append(request.url))
    frame = anna.inside(path.format(**values))
    frame.locator("main h1").first.wait_for()
    for summary in frame.locator("summary").all():
        summary.click()
    anna.page.wait_for_timeout(1500)
    assert frame.locator("img").count() == 0
    assert not any(url.endswith("/x") for url in asked)
    if "plan" not in path:
        assert "<img" in frame.locator("body").inner_text()


# ---- doing -------------------------------------------------------------------------------------


def test_a_failed_delivery_is_retried_from_its_page_and_delivered(anna: Visitor, room):
    """The template is mended first; the request bears the name of who asked."""
    assert outcome_of(room, "CID_2002") == "failed"
    default = "{{ contact.first_name | default('you') }}"
    mended = {**MAIL["email"], "text": f"Dear {default}", "html": f"<p>Dear {default}</p>"}
    write_renewals_workflow(room, {**MAIL, "email": mended})
    address = f"delivery?workflow={RENEWALS}&key={key_of(room, 'CID_2002')}"
    frame = anna.inside(address)
    frame.get_by_role("button", name="Retry").first.click()
    frame.get_by_role("dialog").get_by_role("button", name="Retry").click()
    frame.get_by_role("heading", name="Requests").wait_for()
    row = frame.locator("tbody tr").first
    assert "anna" in row.inner_text()
    assert "open" in row.inner_text()
    assert outcome_of(room, "CID_2002") != "delivered"
    release(room)
    frame = anna.inside(address)
    frame.locator("h1 .state-delivered").wait_for()
    assert room.received("nameless@people.example.com")["smtp"] == 1


def test_an_uncertain_delivery_is_settled_from_its_page(anna: Visitor, room):
    assert outcome_of(room, "CID_2003") == "uncertain"
    address = f"delivery?workflow={RENEWALS}&key={key_of(room, 'CID_2003')}"
    frame = anna.inside(address)
    frame.get_by_role("button", name="It arrived").click()
    dialog = frame.get_by_role("dialog")
    dialog.get_by_role("button", name="Cancel").click()
    assert not dialog.is_visible()
    frame.get_by_role("button", name="It arrived").click()
    dialog.get_by_role("button", name="It arrived").click()
    frame.get_by_role("heading", name="Requests").wait_for()
    before = room.received("lost@people.example.com")
    release(room)
    frame = anna.inside(address)
    frame.locator("h1 .state-delivered").wait_for()
    assert room.received("lost@people.example.com") == before
