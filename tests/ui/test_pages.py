"""What the pages say: workflows, runs, tasks and deliveries."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import quote

import pytest
from sqlalchemy import update

from segue.contacts.change import Change
from segue.ledger import Ledger
from segue.ledger.schema import spans
from segue.ledger.states import State
from segue.runs.areas import RunArea
from tests.ui.filled import HOSTILE, day_key, record, settle

RUN = "scheduled__2026-11-22T06:00:00+00:00"


@pytest.fixture
def filled(ledger: Ledger, definitions) -> Ledger:
    """Two days of the workflow ``welcome``, with every outcome that somebody may look for."""
    definitions("welcome")
    record(ledger, "welcome", "yesterday", 2, "early")
    record(ledger, "welcome", RUN, 1, "ann", "bob", "carl", "dora", "eve", HOSTILE)
    settle(ledger, "early", State.DELIVERED)
    settle(ledger, "ann", State.DELIVERED, url="https://vendor.example/1", external_id="T-1")
    settle(ledger, "bob", State.FAILED, reason=f"400: {HOSTILE}")
    settle(ledger, "carl", State.UNCERTAIN, reason="the answer was lost")
    settle(ledger, "dora", State.SKIPPED, reason="conditions")
    settle(ledger, "eve", State.DELIVERED, url="javascript:alert(1)", external_id="T-2")
    return ledger


def run_page(**query: str) -> str:
    more = "".join(f"&{name}={quote(value)}" for name, value in query.items())
    return f"/segue/run?workflow=welcome&run={quote(RUN)}{more}"


def contacts_in(text: str) -> list[str]:
    return re.findall(r'scope="rowgroup"[^>]*>([^<]*)<', text)


def test_the_list_counts_outcomes_and_leads_to_them(client, filled):
    text = client("vera").get("/segue/workflows").text
    assert "/segue/deliveries?workflow=welcome&amp;state=failed" in text
    assert "/segue/deliveries?workflow=welcome&amp;state=uncertain" in text
    assert 'aria-label="3 delivered, 1 under way, 1 skipped, 1 uncertain, 1 failed"' in text


def test_the_list_is_searched_and_paged(client, ledger, definitions):
    for number in range(53):
        definitions(f"flow{number:02}")
    anna = client("anna")
    first = anna.get("/segue/workflows").text
    assert "flow49" in first
    assert "flow50" not in first
    assert "page 1 of 2" in first
    second = anna.get("/segue/workflows?page=2").text
    assert "flow52" in second
    assert "flow49" not in second
    found = anna.get("/segue/workflows?search=FLOW07").text
    assert "flow07" in found
    assert "flow08" not in found
    assert "No workflow has “nobody” in its name" in anna.get("/segue/workflows?search=nobody").text


def test_a_wrong_definition_is_said_and_hides_no_outcome(client, filled, place):
    (place / "include/workflows/welcome.yaml").write_text("workflow: welcome\nsegment: [\n")
    text = client("vera").get("/segue/workflows").text
    assert "its definition has errors" in text
    page = client("vera").get("/segue/workflow?workflow=welcome")
    assert page.status_code == 200
    assert "segue validate" in page.text


def test_a_workflow_page_shows_what_it_does_and_its_runs(client, filled):
    text = client("vera").get("/segue/workflow?workflow=welcome").text
    for part in ("0 6 * * *", "added", "email", "yesterday", day_key(1), "waiting for approval"):
        assert part in text
    assert "&#34;failed&#34;" in text  # a series of the chart
    assert "data-confirms" not in text  # a viewer stops nothing


def test_only_the_tab_leaves_out_the_navigation(client, filled):
    assert '<nav class="top"' in client("vera").get(run_page()).text
    assert '<nav class="top"' not in client("vera").get(run_page(tab="1")).text


def test_a_run_shows_every_contact_with_verdict_outcome_reason_and_link(client, filled):
    text = client("una").get(run_page()).text
    assert contacts_in(text)[1:] == ["ann", "bob", "carl", "dora", "eve"]
    assert 'href="https://vendor.example/1"' in text
    assert "do not hold" in text
    assert "not judged" in text  # nothing happened to the hostile one yet
    assert "the answer was lost" in text


def test_a_run_says_whom_it_left_out(client, filled):
    """They are lost, and fail the run: whoever opens its page is to see why."""
    with filled.engine.begin() as connection:
        connection.execute(update(spans).values(reason="left out: 1 contact with a NUL\nodd"))
    text = client("vera").get(run_page()).text
    assert '<dd class="bad">left out: 1 contact with a NUL</dd>' in text
    assert '<dd class="bad">odd</dd>' in text


def test_an_address_that_a_browser_would_run_is_no_link(client, filled):
    text = client("una").get(run_page()).text
    assert "javascript:" not in text
    assert "T-2" in text


@pytest.mark.parametrize(
    "path",
    [
        run_page(),
        "/segue/deliveries?workflow=welcome&state=failed",
        "/segue/deliveries?workflow=welcome&state=planned",
        "/segue/task?workflow=welcome&task=contact.mail&state=planned",
    ],
)
def test_what_contacts_and_vendors_wrote_is_text(client, filled, path):
    answer = client("anna").get(path)
    assert answer.status_code == 200
    assert "<img" not in answer.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "failed"}, ["bob"]),
        ({"state": "delivered"}, ["ann", "eve"]),
        ({"state": "delivered", "contact": "e"}, ["eve"]),
        ({"contact": "d"}, ["dora"]),
        ({"error": "ANSWER was"}, ["carl"]),
        ({"error": "%"}, []),
        ({"change": "removed"}, []),
        ({"action": "mail", "state": "uncertain"}, ["carl"]),
        ({"action": "other", "state": "uncertain"}, []),
    ],
)
def test_a_run_is_narrowed_down(client, filled, query, expected):
    assert contacts_in(client("vera").get(run_page(**query)).text) == expected


def test_a_run_is_sorted_and_paged_by_the_database(client, ledger, definitions):
    definitions("welcome")
    names = [f"c{number:03}" for number in range(120)]
    record(ledger, "welcome", RUN, 1, *names)
    vera = client("vera")
    assert contacts_in(vera.get(run_page()).text) == names[:50]
    assert contacts_in(vera.get(run_page(page="3")).text) == names[100:]
    assert contacts_in(vera.get(run_page(descending="true")).text) == names[:69:-1]
    assert "page 1 of 3" in vera.get(run_page()).text


def test_an_unknown_outcome_is_refused_with_what_is_allowed(client, filled):
    answer = client("vera").get(run_page(state="sent"))
    assert answer.status_code == 422
    assert "allowed: planned" in answer.text


def test_a_run_that_recorded_nothing_says_so(client, filled):
    text = client("vera").get("/segue/run?workflow=welcome&run=manual").text
    assert "This run has recorded nothing yet" in text


def test_the_export_has_each_delivery_of_the_filter_and_no_formula(client, ledger, definitions):
    definitions("welcome")
    record(ledger, "welcome", RUN, 1, "=1+1", "ann", "bob", actions=("mail", "note"))
    settle(ledger, "=1+1", State.FAILED, reason='a "quote", and\na line')
    vera = client("vera")
    answer = vera.get(run_page().replace("/run?", "/run.csv?"))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert [(row["contact_id"], row["action"]) for row in rows] == [
        *(("'=1+1", "mail"), ("'=1+1", "note")),
        *(("ann", "mail"), ("ann", "note")),
        *(("bob", "mail"), ("bob", "note")),
    ]
    assert rows[0]["reason"] == 'a "quote", and\na line'
    failed = vera.get(run_page(state="failed", action="note").replace("/run?", "/run.csv?"))
    rows = list(csv.DictReader(io.StringIO(failed.text.removeprefix("\ufeff"))))
    assert [(row["contact_id"], row["action"]) for row in rows] == [("'=1+1", "note")]


def test_a_task_of_a_run_shows_its_branch(client, filled, place):
    area = RunArea.of_run(str(place / "state"), "test", "welcome", RUN)
    area.write_slices(
        [[Change(name, "added", "", day_key(1), day_key(1))] for name in ("ann", "bob")]
    )
    path = f"/segue/task?workflow=welcome&task=contact.mail&run={quote(RUN)}"
    vera = client("vera")
    assert contacts_in(vera.get(f"{path}&branch=1").text) == ["bob"]
    assert len(contacts_in(vera.get(f"{path}&branch=-1").text)) == 6
    gone = vera.get(f"{path}&branch=7").text
    assert "no such branch, or its files were deleted" in gone
    assert len(contacts_in(gone)) == 6


@pytest.mark.parametrize("state", ["nonsense://x", "s3://bucket/x", "{place}/segue.db"])
def test_a_state_that_cannot_be_read_is_no_defect_of_a_page(
    client, filled, place, monkeypatch, state
):
    """An API server may lack the package, the rights, the mount: the run is shown all the same."""
    monkeypatch.setenv("SEGUE_STATE", state.format(place=place))
    path = f"/segue/task?workflow=welcome&task=contact.mail&run={quote(RUN)}&branch=1"
    answer = client("vera").get(path)
    assert answer.status_code == 200
    assert "SEGUE_STATE cannot be read here" in answer.text
    assert str(place) not in answer.text
    assert len(contacts_in(answer.text)) == 6


def test_a_run_that_recorded_nothing_has_no_branches_and_no_file(client, filled):
    """A name that somebody mistyped is no empty export."""
    own = "workflow=welcome&run=nothing"
    vera = client("vera")
    assert "is not known" not in vera.get(f"/segue/task?{own}&task=contact.mail&branch=1").text
    assert vera.get(f"/segue/run.csv?{own}").status_code == 404


def test_a_task_without_a_run_shows_what_needs_a_look(client, filled):
    text = client("vera").get("/segue/task?workflow=welcome&task=contact.mail").text
    assert "400:" in text
    other = client("vera").get("/segue/task?workflow=welcome&task=guard").text
    assert "This task sends nothing" in other


def test_dead_letters_are_listed_newest_first_in_pages(client, ledger, definitions):
    definitions("welcome")
    names = [f"c{number:03}" for number in range(60)]
    record(ledger, "welcome", RUN, 1, *names)
    for name in names:
        settle(ledger, name, State.FAILED)
    vera = client("vera")
    path = "/segue/deliveries?workflow=welcome&state=failed"
    first = vera.get(path).text
    shown = re.findall(r'scope="row" class="mono">(c\d+)<', first)
    assert shown == names[:9:-1]
    older = re.search(r'rel="next" href="([^"]+)"', first)[1].replace("&amp;", "&")
    rest = vera.get(older).text
    assert re.findall(r'scope="row" class="mono">(c\d+)<', rest) == names[9::-1]
    for nothing in ("nonsense", "0001-01-01T00:00%2B14:00|key"):
        assert vera.get(f"{path}&before={nothing}").status_code == 422


def test_a_delivery_of_another_workflow_is_not_shown(client, filled, definitions):
    definitions("other")
    (row,) = filled.queries.list_deliveries(contact_id="ann")
    vera = client("vera")
    assert vera.get(f"/segue/delivery?workflow=welcome&key={row.key}").status_code == 200
    assert vera.get(f"/segue/delivery?workflow=other&key={row.key}").status_code == 404


def test_a_page_shows_the_resolved_definition_and_the_profile(
    client, ledger, definitions, place, monkeypatch
):
    """Variables and defaults in place, as the next run has them; an edit is seen at once."""
    settings = place / "include" / "segue.yaml"
    settings.write_text(
        "variables: {team: {type: text, default: everybody}}\n"
        "defaults: {owner: '${team}'}\n"
        "profiles: {live: {variables: {team: care}}}\n"
    )
    definitions("welcome")
    path = "/segue/workflow?workflow=welcome"
    text = client("vera").get(path).text
    assert "<dd>everybody</dd>" in text
    assert "profile live" not in text
    monkeypatch.setenv("SEGUE_PROFILE", "live")
    text = client("vera").get(path).text
    assert "<dd>care</dd>" in text
    assert "profile live" in text
    settings.write_text(settings.read_text().replace("care", "sales-team"))
    assert "<dd>sales-team</dd>" in client("vera").get(path).text
    settings.write_text(settings.read_text().replace("live: {", "live: {namespace: test, "))
    monkeypatch.setenv("SEGUE_NAMESPACE", "other")
    text = client("vera").get(path).text
    assert "the profile &#39;live&#39; is of the namespace &#39;test&#39;" in text
