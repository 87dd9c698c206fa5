"""Rendered messages: exactly what was sent or not, to whom they are shown, and never run."""

from __future__ import annotations

import csv
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest

from segue.delivery.judgement import message_digest
from segue.ledger import Ledger
from segue.ledger.facts import DetectedSpan, Run, SpanKind
from segue.ledger.states import State
from segue.ledger.stretches import Point, Stretch
from segue.web.deliveries import framed
from segue.web.pages import _framed
from segue.workflows.catalog import Catalog
from tests.ui.filled import BEGUN, HOSTILE, day_key, record, settle
from tests.unit.builders import set_secret

MAIL = {
    "from": "shop@example.com",
    "subject": "Hello",
    "text": "Dear {{ contact.first_name }}",
    "html": "<p>Dear {{ contact.first_name }}</p>",
}


def snapshot(place: Path, back: int, rows: list[dict[str, str]]) -> None:
    folder = place / "snapshots" / "welcome" / day_key(back)
    folder.mkdir(parents=True)
    columns = ["contact_id", "first_name", "email", "tier"]
    with (folder / "contacts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({"email": "a@example.com", "tier": "gold", **row} for row in rows)


@pytest.fixture
def sent(ledger: Ledger, definitions, place, monkeypatch) -> str:
    """A delivered mail to a contact with a hostile name; returns its key."""
    definitions("welcome", actions=[{"id": "mail", "email": MAIL}])
    snapshot(place, 2, [{"contact_id": "old", "first_name": "Old"}])
    snapshot(place, 1, [{"contact_id": "ann", "first_name": HOSTILE}])
    resolved = Catalog(place / "include").resolve("welcome")
    record(ledger, "welcome", "run", 1, "ann", definition=resolved.fingerprint)
    message = resolved.channels["mail"].render(
        {"contact": {"first_name": HOSTILE, "email": "a@example.com"}, "key": "", "change": "added"}
    )
    return settle(ledger, "ann", State.DELIVERED, digest=message_digest(message))


def page_of(key: str, path: str = "delivery") -> str:
    return f"/segue/{path}?workflow=welcome&key={key}"


def test_what_was_sent_is_shown_as_exactly_that_and_as_text(client, sent):
    text = client("una").get(page_of(sent)).text
    assert "Exactly what was sent." in text
    assert "Dear &lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img" not in text


def test_an_edited_workflow_does_not_change_what_was_sent(client, sent, definitions):
    """The run recorded the workflow as it was."""
    edited = {**MAIL, "text": "Goodbye {{ contact.first_name }}"}
    definitions("welcome", actions=[{"id": "mail", "email": edited}])
    text = client("una").get(page_of(sent)).text
    assert "Exactly what was sent." in text
    assert "Goodbye" not in text


def test_a_rewritten_snapshot_is_said_to_differ(client, sent, place):
    file = place / "snapshots/welcome" / day_key(1) / "contacts.csv"
    file.write_text(file.read_text().replace("img", "b"))
    text = client("una").get(page_of(sent)).text
    assert "Not exactly what was sent" in text


def test_a_snapshot_that_is_gone_is_said(client, sent, place):
    folder = place / "snapshots/welcome" / day_key(1)
    (folder / "contacts.csv").unlink()
    folder.rmdir()
    text = client("una").get(page_of(sent)).text
    assert "The text cannot be rendered again" in text
    assert "Dear" not in text


def test_a_viewer_sees_the_delivery_and_not_its_message(client, sent):
    text = client("vera").get(page_of(sent)).text
    assert "needs the right to edit this DAG" in text
    assert "Dear" not in text
    assert client("vera").get(page_of(sent, "message")).status_code == 403
    assert client(None).get(page_of(sent, "message")).status_code == 401


def test_the_right_to_see_messages_is_a_setting(client, sent, monkeypatch):
    monkeypatch.setenv("SEGUE_UI_CONTACTS", "read")
    assert "Exactly what was sent." in client("vera").get(page_of(sent)).text
    monkeypatch.setenv("SEGUE_UI_CONTACTS", "nobody")
    assert "Exactly what was sent." not in client("anna").get(page_of(sent)).text
    assert client("anna").get(page_of(sent, "message")).status_code == 403


def test_html_is_served_under_a_policy_that_lets_it_do_nothing(client, sent):
    """Escaped by the template already; whatever gets through still runs and loads nothing."""
    answer = client("una").get(page_of(sent, "message"))
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert answer.text == "<p>Dear &lt;img src=x onerror=alert(1)&gt;&#34;&#39;{{ 7*7 }}</p>"
    assert answer.headers["x-dns-prefetch-control"] == "off"


@pytest.mark.parametrize("link", ["<link rel=preconnect href=//x>", "<LINK\n>", "</p><Link/>"])
def test_html_has_no_link_that_connects_before_anything_is_loaded(link):
    """No policy of a page covers ``rel="preconnect"``."""
    for html in (framed(link).body.decode(), _framed(link)):
        assert "<link" not in html.lower()
        assert "<no-" in html


def test_the_plan_of_the_next_run_shows_messages_to_whoever_may_see_them(
    client, ledger, definitions, place
):
    """Made by a process of its own, from the same definitions."""
    definitions("welcome", actions=[{"id": "mail", "email": MAIL}], policies={"max_age": None})
    for back, rows in ((2, []), (1, [{"contact_id": "ann", "first_name": HOSTILE}])):
        snapshot(place, back, [{"contact_id": "old", "first_name": "Old"}, *rows])
    answer = client("una").get("/segue/plan?workflow=welcome")
    assert answer.status_code == 200, answer.text
    assert f"{day_key(2)} → {day_key(1)}" in answer.text
    assert "1 added" in answer.text
    assert "Dear &lt;img src=x onerror=alert(1)&gt;" in answer.text
    assert "<img" not in answer.text
    assert client("vera").get("/segue/plan?workflow=welcome").status_code == 403
    assert ledger.queries.list_deliveries() == []


def previewed(client, definitions, place):
    """Define, snapshot and preview a workflow that ann and bob have entered."""
    definitions("welcome", actions=[{"id": "mail", "email": MAIL}], policies={"max_age": None})
    old = {"contact_id": "old", "first_name": "Old"}
    names = [{"contact_id": name, "first_name": name.title()} for name in ("ann", "bob")]
    for back, rows in ((2, []), (1, names)):
        snapshot(place, back, [old, *rows])
    return lambda: client("una").get("/segue/plan?workflow=welcome")


def part_of(text: str, contact: str) -> str:
    """What a preview says of one contact."""
    return next(part for part in text.split("<section>") if f">{contact}<" in part)


def test_a_preview_says_what_is_on_record_already(client, ledger, definitions, place):
    """Who asks whom a message will reach tomorrow reads no “send” of what was sent."""
    look = previewed(client, definitions, place)
    assert "badge-good" in part_of(look().text, "ann")
    record(ledger, "welcome", "run", 1, "ann")
    key = settle(ledger, "ann", State.DELIVERED)
    text = look().text
    ann, bob = part_of(text, "ann"), part_of(text, "bob")
    assert "state-delivered" in ann
    assert "it is not sent again" in ann
    assert f"key={key}" in ann
    assert "badge-good" not in ann
    assert "badge-good" in bob
    settle(ledger, "ann", State.SKIPPED, reason="opted_out")
    assert "already on record; the contact had opted out" in part_of(look().text, "ann")


def test_a_preview_knows_the_suppression_list_and_stops(client, ledger, definitions, place):
    look = previewed(client, definitions, place)
    now = datetime.now(UTC)
    ledger.people.suppress(["ann"], "una", "", now)
    ledger.people.stop("welcome", "una", "not now", now)
    text = look().text
    assert "on the suppression list" in part_of(text, "ann")
    assert "badge-good" not in part_of(text, "ann")
    assert "badge-good" in part_of(text, "bob")
    assert "welcome was stopped by una" in text
    assert "not now" in text


def test_a_preview_shows_a_digest_once_and_what_a_run_leaves_out(
    client, ledger, definitions, place
):
    """It is one message about all of them, the first 50 of whom are shown."""
    text = "{{ digest.count }}: {% for one in digest.contacts %}{{ one.first_name }} {% endfor %}"
    slack = {"channel": "#sales", "text": text}
    definitions(
        "welcome",
        actions=[{"id": "tell", "digest": True, "slack_message": slack}],
        policies={"max_age": None},
        guard={"share": None},
    )
    names = [*(f"n{number:02}" for number in range(60)), "L" * 2001]
    for back, ids in ((2, ["old"]), (1, ["old", *names])):
        snapshot(place, back, [{"contact_id": name, "first_name": name} for name in ids])
    page = client("una").get("/segue/plan?workflow=welcome").text
    assert page.count("60: n00 n01") == 1
    assert "n59" in page
    assert "one message about 60 changes" in page
    assert "The first 50 of 60 changes" in page
    assert "1 change of contacts whose id cannot be kept" in page


def test_a_preview_of_what_was_compared_already_compares_the_same(
    client, ledger, definitions, place
):
    """Of a weekly workflow the week, not the last day; and what the guard waits with is judged."""
    definitions("welcome", actions=[{"id": "mail", "email": MAIL}], policies={"max_age": None})
    for back in (8, 2, 1):
        ids = ["old", *(["ann", "bob"] if back < 8 else [])]
        rows = [{"contact_id": name, "first_name": "N", "email": ""} for name in ids]
        snapshot(place, back, rows)
    now, run = datetime.now(UTC), Run("welcome", "weekly")
    midnight = datetime.combine(BEGUN.date(), datetime.min.time(), UTC)
    ends = [midnight - timedelta(days=7), midnight]
    stretch = Stretch(Point(ends[0], day_key(8)), Point(ends[1], day_key(1)))
    changes = [(name, "added", "") for name in ("ann", "bob")]
    span = DetectedSpan(SpanKind.CHANGES, "", stretch, "p", "c", 1, 3, changes)
    body = ("0" * 64, '{"directory": {"directory": "welcome"}, "segment": {"segment": "welcome"}}')
    ledger.runs.record_spans(run, [span], ("mail",), body, now, recorded_only=False)
    text = client("una").get("/segue/plan?workflow=welcome").text
    assert f"{day_key(8)} → {day_key(1)}" in text
    ann = " ".join(part_of(text, "ann").split())
    assert "already on record; waits for the guard; then" in ann
    assert "the contact has no address that this channel can use" in ann


def test_a_preview_leaves_out_who_was_forgotten(client, ledger, definitions, place, monkeypatch):
    """No run looks at them: neither their names nor their messages are shown."""
    look, secret = previewed(client, definitions, place), "a long random text " * 3
    set_secret(ledger, secret)
    ledger.retention.forget("ann", "una", datetime.now(UTC))
    assert look().status_code == 503  # as nobody could tell who was forgotten, no run would send
    monkeypatch.setenv("SEGUE_SECRET", secret)
    text = look().text
    assert "1 contact was forgotten, and left out" in text
    assert "Dear Ann" not in text
    assert "badge-good" in part_of(text, "bob")


def test_a_preview_knows_what_another_run_did_of_the_same_change(
    client, ledger, definitions, place
):
    """A span that was kept in quarantine: the next run compares over it, and finds ann again."""
    definitions("welcome", actions=[{"id": "mail", "email": MAIL}], policies={"max_age": None})
    for back, names in ((4, ["old"]), (3, ["old", "ann"]), (2, ["old", "ann", "bob"])):
        snapshot(place, back, [{"contact_id": name, "first_name": name} for name in names])
    record(ledger, "welcome", "run", 3, "ann")
    key = settle(ledger, "ann", State.DELIVERED)
    now = datetime.now(UTC)
    ledger.people.quarantine("welcome", day_key(3), reason="half of it", by="una", now=now)
    text = client("una").get("/segue/plan?workflow=welcome").text
    assert f"{day_key(4)} → {day_key(2)}" in text
    assert "another run that holds the same change has sent it" in part_of(text, "ann")
    assert f"key={key}" in part_of(text, "ann")
    assert "badge-good" not in part_of(text, "ann")
    assert "badge-good" in part_of(text, "bob")


def test_a_preview_knows_whom_an_enrolment_reached(client, ledger, definitions, place):
    look, run = previewed(client, definitions, place), Run("welcome", "enrol")
    midnight = datetime.combine(BEGUN.date(), datetime.min.time(), UTC)
    end = Point(midnight, day_key(1))
    members = [("ann", "enrolled", "")]
    span = DetectedSpan(
        SpanKind.ENROLMENT, "", Stretch(end, end), None, "now", None, 3, members, None
    )
    body = ("0" * 64, '{"directory": {"directory": "welcome"}, "segment": {"segment": "welcome"}}')
    now = datetime.now(UTC)
    ledger.runs.record_spans(run, [span], ("mail",), body, now, recorded_only=False)
    assert "badge-good" in part_of(look().text, "ann")  # it waits for its approval
    settle(ledger, "ann", State.DELIVERED)
    text = look().text
    assert "the workflow had acted on the contact as a member before" in part_of(text, "ann")
    assert "badge-good" not in part_of(text, "ann")
    assert "badge-good" in part_of(text, "bob")


def test_a_second_preview_waits_for_its_turn(client, ledger, definitions, place):
    """Not refused because somebody else looks at the same moment."""
    look = previewed(client, definitions, place)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: look(), range(2)))
    assert [answer.status_code for answer in answers] == [200, 200]


def test_too_many_previews_are_refused_and_take_no_thread(client, ledger, definitions, place):
    from segue.web import planning

    look = previewed(client, definitions, place)
    turns = 1 + planning._WAITING
    for _ in range(turns):
        planning._in_line.acquire()
    answer = look()
    for _ in range(turns):
        planning._in_line.release()
    assert answer.status_code == 503
    assert "try again in a minute" in answer.text
    assert look().status_code == 200


def test_a_preview_s_frame_loads_nothing_of_its_own_accord(client, ledger, definitions, place):
    """It has the policy of the page around it, and its own, which lets it load nothing."""
    html = "<!DOCTYPE html>\n<link rel=stylesheet href=/api/v2/version><img src=/api/v2/version>"
    definitions(
        "welcome",
        actions=[{"id": "mail", "email": {**MAIL, "html": html}}],
        policies={"max_age": None},
    )
    for back, names in ((2, ["old"]), (1, ["old", "ann"])):
        snapshot(place, back, [{"contact_id": name, "first_name": "N"} for name in names])
    answer = client("una").get("/segue/plan?workflow=welcome")
    source = unescape(re.search(r'srcdoc="([^"]*)"', answer.text)[1])
    assert source.startswith('<!DOCTYPE html><meta http-equiv="Content-Security-Policy"')
    meta = re.search(r'content="([^"]*)"', source)[1]
    assert meta.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    policy = answer.headers["content-security-policy"]
    assert "img-src data:" in policy


def test_a_plan_that_cannot_be_made_says_why(client, ledger, definitions, place):
    definitions("welcome")
    answer = client("una").get("/segue/plan?workflow=welcome")
    assert answer.status_code == 503
    assert "the folder of snapshots" in answer.text
    (place / "snapshots" / "welcome").mkdir(parents=True)
    answer = client("una").get("/segue/plan?workflow=welcome")
    assert answer.status_code == 200
    assert "There is nothing to compare yet" in answer.text


def test_a_digest_is_not_shown_as_if_it_were_about_one_contact(client, ledger, sent):
    """The page says how to find all whom it was about."""
    settle(ledger, "ann", State.DELIVERED, message_key="d" * 64)
    text = client("una").get(page_of(sent)).text
    assert "It went out in a digest" in text
    assert f"segue deliveries --message {'d' * 64}" in text
    assert "Dear " not in text
