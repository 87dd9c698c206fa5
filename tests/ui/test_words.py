"""Pages say it in words, in the workflow's own order, and lead on within the tab they stand in."""

from __future__ import annotations

import re
from html import unescape

import pytest

from segue.ledger import Ledger
from segue.ledger.reasons import Reason
from segue.ledger.states import State
from tests.ui.filled import record, settle
from tests.ui.test_dags import airflow_rows  # noqa: F401 - a fixture

MAIL = {"email": {"subject": "Hello", "text": "Hello"}}
ACTIONS = [
    {"id": "ticket", "zendesk_ticket": {"subject": "Hello", "comment": "Hello"}},
    {"id": "alert", "after": ["ticket"], **MAIL},
]
RUN = "/segue/run?workflow=welcome&run=run"
PAGES = (
    RUN,
    "/segue/task?workflow=welcome&task=contact.mail&state=skipped",
    "/segue/task?workflow=welcome&task=contact.mail&run=run",
    "/segue/deliveries?workflow=welcome&state=skipped",
    "/segue/delivery?workflow=welcome&key={key}",
)


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


@pytest.mark.parametrize("path", PAGES)
def test_reasons_are_in_words_on_every_page_with_the_code_beside_them(
    client, ledger: Ledger, definitions, path
):
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann")
    key = settle(ledger, "ann", State.SKIPPED, reason="frequency_cap: 3 within 7d")
    text = plain(client("vera").get(path.format(key=key)).text)
    assert f"{Reason.FREQUENCY_CAP.words}: 3 within 7d" in text
    assert "frequency_cap: 3 within 7d" in text


def test_a_state_without_a_reason_has_words_too(client, ledger, definitions):
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann")
    assert "waits for the guard" in plain(client("vera").get(RUN).text)


def test_actions_are_in_the_order_of_the_workflow(client, ledger, definitions):
    """The alert comes after the ticket, whose link it has: not by the alphabet."""
    definitions("welcome", actions=ACTIONS)
    record(ledger, "welcome", "run", 1, "ann", "bob", actions=("alert", "gone", "ticket"))
    order = ["ticket", "alert", "gone"]
    vera = client("vera")
    text = vera.get(RUN).text
    tally, contacts = text.split('id="contacts"')
    assert re.findall(r'<th scope="row">(\w+)</th>', tally) == order
    assert re.findall(r"<td>(ticket|alert|gone)</td>", contacts) == order * 2
    assert re.findall(r"<option >(ticket|alert|gone)</option>", contacts) == order
    listing = vera.get("/segue/deliveries?workflow=welcome&state=planned").text
    assert re.findall(r"<option >(ticket|alert|gone)</option>", listing) == order
    contact = client("una").get("/segue/contact?id=ann").text
    assert re.findall(r'<span class="action">(\w+)</span>', contact) == order
    lines = vera.get(RUN.replace("/run?", "/run.csv?")).text.splitlines()[1:]
    assert [line.split(",")[4] for line in lines] == order * 2
    (first, _) = vera.get("/segue/api/v1/workflows/welcome/changes?run=run").json()["items"]
    assert [item["action"] for item in first["deliveries"]] == order


def test_held_deliveries_are_in_the_list(client, ledger, definitions):
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann")
    settle(ledger, "ann", State.HELD, reason="quiet_hours")
    text = client("vera").get("/segue/workflows").text
    assert '/segue/deliveries?workflow=welcome&amp;state=held">1</a>' in text
    assert "<title>1 held</title>" in text  # what the small drawing says under the pointer


@pytest.mark.parametrize("state", [State.FAILED, State.HELD, State.PLANNED])
def test_the_channel_is_the_workflow_s_before_a_call(client, ledger, definitions, state):
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann")
    key = settle(ledger, "ann", state)
    text = client("una").get(f"/segue/delivery?workflow=welcome&key={key}").text
    assert "<dt>Channel</dt><dd>email</dd>" in text
    assert '<span class="none">email</span>' in client("una").get("/segue/contact?id=ann").text


def test_a_run_that_waits_for_a_person_says_so_and_leads_there(
    client,
    ledger,
    definitions,
    airflow_rows,  # noqa: F811
):
    definitions("on")
    record(ledger, "on", "second", 1, "ann")
    record(ledger, "on", "first", 2, "bob")
    vera = client("vera")
    text = vera.get("/segue/run?workflow=on&run=second").text
    assert "This run waits for a person" in text
    assert 'href="/dags/on/runs/second/tasks/guard/required_actions"' in text
    assert "asked: act on 2 added?" in text
    assert "preview" not in text  # which a viewer may not see
    assert "/segue/plan?workflow=on" in client("una").get("/segue/run?workflow=on&run=second").text
    assert "waits for a person" not in vera.get("/segue/run?workflow=on&run=first").text
    settle(ledger, "ann", State.DELIVERED)
    assert "waits for a person" not in vera.get("/segue/run?workflow=on&run=second").text


def test_a_run_that_is_overdue_is_marked(client, ledger, definitions, airflow_rows):  # noqa: F811
    definitions("on")
    definitions("off")
    vera = client("vera")
    assert vera.get("/segue/workflows").text.count("overdue") == 1
    assert "overdue" in vera.get("/segue/workflow?workflow=on").text
    assert "overdue" not in vera.get("/segue/workflow?workflow=off").text


# ---- errors of definitions ---------------------------------------------------------------------


BROKEN = {
    "workflows": ("tag: x", "workflows/welcome.yaml"),
    "segments": ("wrong: 1", "segments/welcome.yaml"),
    "directories": ("wrong: 1", "directories/welcome.yaml"),
}


@pytest.mark.parametrize("folder", BROKEN)
def test_what_is_wrong_with_a_definition_is_shown(client, ledger, definitions, place, folder):
    """With its file below SEGUE_HOME, its line and what is allowed; not where that is."""
    definitions("welcome")
    line, file = BROKEN[folder]
    path = place / "include" / file
    path.write_text(f"{path.read_text()}{line}\n")
    number = len(path.read_text().splitlines())
    for page in ("workflows", "workflow?workflow=welcome"):
        text = client("vera").get(f"/segue/{page}").text
        assert "its definition has errors" in text
        assert f"{file}:{number}" in text
        assert str(place) not in text
    explain = "segment/explain?segment=welcome&contact=ann"
    pages = ["plan?workflow=welcome", *([explain] if folder == "segments" else [])]
    for page in pages:
        answer = client("una").get(f"/segue/{page}")
        assert (answer.status_code, f"{file}:{number}" in answer.text) == (409, True), page
        assert str(place) not in answer.text


def test_a_channel_s_errors_are_on_the_workflow_s_own_page(client, ledger, definitions, place):
    definitions("welcome", actions=[{"id": "mail", "email": {"subject": "Hello", "txt": "x"}}])
    text = client("vera").get("/segue/workflow?workflow=welcome").text
    assert "workflows/welcome.yaml:" in text
    assert "txt" in text
    assert str(place) not in text


# ---- the last page, and tabs -------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "run?workflow=welcome&run=run&page={}",
        "task?workflow=welcome&task=mail&run=run&page={}",
        "workflows?page={}",
        "segments?page={}",
        "contact?id=c000&page={}",
    ],
)
def test_beyond_the_last_page_is_the_last(client, ledger, definitions, path):
    definitions("welcome")
    record(ledger, "welcome", "run", 1, *(f"c{number:03}" for number in range(60)))
    una = client("una")
    last = una.get(f"/segue/{path.format(9_999)}")
    assert last.status_code == 200
    near = una.get(f"/segue/{path.format(2)}")
    same = [re.sub(r'name="csrf" value="[^"]+"', "", answer.text) for answer in (last, near)]
    assert same[0] == same[1]
    assert "like that" not in last.text
    assert "has “" not in last.text


def links(text: str) -> set[str]:
    """The addresses of Segue's own pages that a page leads to, forms among them."""
    found = re.findall(r'(?:<a [^>]*?href|<form [^>]*?action|data-loads)="(/segue/[^"]+)"', text)
    return {unescape(one) for one in found if "/static/" not in one}


def test_what_is_opened_in_a_tab_stays_there(client, ledger, definitions):
    """Whichever way one goes from it: no page shows Segue's navigation within Airflow's tab."""
    definitions("welcome")
    record(ledger, "welcome", "run", 1, "ann", "bob")
    settle(ledger, "ann", State.FAILED)
    una = client("una")
    open_ones, seen = {"/segue/workflow?workflow=welcome&tab=1"}, set()
    while open_ones:
        path = open_ones.pop()
        seen.add(path)
        answer = una.get(path)
        if answer.status_code != 200 or "text/html" not in answer.headers["content-type"]:
            continue
        assert '<nav class="top"' not in answer.text, path
        assert all("tab=1" in link for link in links(answer.text)), (path, links(answer.text))
        for form in re.findall(r'<form [^>]*method="get".*?</form>', answer.text, re.DOTALL):
            assert '<input type="hidden" name="tab" value="1">' in form, path
        if "plan" not in path:
            open_ones |= links(answer.text) - seen
    assert len(seen) > 12
    fields = re.findall(
        r'action="(/segue/stop[^"]*)".*?name="csrf" value="([^"]+)"',
        una.get("/segue/workflow?workflow=welcome&tab=1").text,
        re.DOTALL,
    )
    ((action, csrf),) = fields
    answer = una.post(unescape(action), data={"workflow": "welcome", "csrf": csrf})
    assert "tab=1" in answer.headers["location"]
