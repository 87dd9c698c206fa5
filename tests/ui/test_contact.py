"""The contact's page: where it went in and out, what was sent or not, why, and who sees it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote_plus

import pytest

from segue.ledger import Ledger
from segue.ledger.reasons import Reason, in_words
from segue.ledger.states import State
from tests.ui.filled import HOSTILE, day_key, record, settle
from tests.ui.test_messages import sent  # noqa: F401 - a fixture

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def definition(segment: str) -> tuple[str, str]:
    body = f'{{"directory": {{"directory": "people"}}, "segment": {{"segment": "{segment}"}}}}'
    return segment.ljust(64, "0"), body


@pytest.fixture
def filled(ledger: Ledger, definitions) -> Ledger:
    """``ann`` entered two segments on one day, one of them watched by two workflows."""
    for name in ("welcome", "thanks", "secret"):
        definitions(name)
    record(ledger, "welcome", "w1", 2, "ann", HOSTILE, definition=definition("vip"))
    record(ledger, "thanks", "t1", 2, "ann", actions=("mail", "call"), definition=definition("vip"))
    record(ledger, "secret", "s1", 1, "ann", definition=definition("hidden"))
    settle(ledger, "ann", State.SKIPPED, reason="opted_out")
    settle(ledger, HOSTILE, State.FAILED, reason=f"400: {HOSTILE}")
    return ledger


def page(client, who: str, contact: str, **query: str):
    return client(who).get("/segue/contact", params={"id": contact, **query})


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


def moments(text: str) -> list[str]:
    return [plain(found) for found in re.findall(r'<li class="moment .*?</li>', text, re.DOTALL)]


def test_one_change_that_two_workflows_recorded_is_one_moment(client, filled):
    newest, older = moments(page(client, "una", "ann").text)
    assert newest.startswith(f" entered hidden between {day_key(2)} and {day_key(1)}")
    assert older.startswith(f" entered vip between {day_key(3)} and {day_key(2)}")
    assert older.count("skipped") == 3
    assert "thanks in t1" in older
    assert "welcome in w1" in older
    assert "the contact had opted out" in older


def test_each_moment_leads_to_why(client, filled):
    text = page(client, "una", "ann").text
    why = f"segment=vip&amp;contact=ann&amp;at={day_key(2)}&amp;from={day_key(3)}"
    assert why in text


def test_a_change_that_is_none_any_more_keeps_its_deliveries(client, filled):
    from segue.ledger.schema import changes

    with filled.engine.begin() as connection:
        connection.execute(changes.delete().where(changes.c.contact_id == "ann"))
    found = moments(page(client, "una", "ann").text)
    assert len(found) == 2
    assert all("this is no change any more" in moment for moment in found)


def test_many_changes_come_in_pages(client, ledger, definitions):
    definitions("welcome")
    for back in range(1, 31):
        record(ledger, "welcome", f"run{back}", back, "ann", definition=definition("vip"))
    first, second = page(client, "una", "ann"), page(client, "una", "ann", page="2")
    assert len(moments(first.text)) == 25
    assert len(moments(second.text)) == 5
    assert "30 changes" in plain(first.text)
    assert day_key(1) in first.text
    assert day_key(30) in second.text


def test_nobody_is_found_but_whoever_begins_so_is_offered(client, filled):
    text = page(client, "una", "an").text
    assert "Nothing is recorded of “an”" in text
    assert '<a class="mono" href="/segue/contact?id=ann">ann</a>' in text
    assert "Did you mean" not in page(client, "una", "Ann").text


def test_without_an_id_the_page_says_what_it_is_for(client, filled):
    assert "Why did this customer get that message?" in client("una").get("/segue/contact").text


def test_a_hostile_id_and_reason_are_text(client, filled):
    for contact in (HOSTILE, HOSTILE[:4]):
        text = page(client, "una", contact).text
        assert "<img" not in text
        assert "{{ 7*7 }}" in unescape(text)
    assert quote_plus(HOSTILE[:8]) in page(client, "una", HOSTILE[:4]).text


def test_a_suppressed_contact_says_so(client, filled):
    assert 'data-confirms="suppress"' in page(client, "una", "ann").text
    filled.people.suppress(["ann"], "somebody", "asked us", NOW)
    text = page(client, "una", "ann").text
    assert "nothing is written to it any more" in text
    assert 'data-confirms="suppress"' not in text


# ---- rights ------------------------------------------------------------------------------------


def test_contacts_need_the_stronger_right(client, filled, monkeypatch):
    assert page(client, "vera", "ann").status_code == 403
    assert "SEGUE_UI_CONTACTS" in page(client, "vera", "ann").text
    monkeypatch.setenv("SEGUE_UI_CONTACTS", "read")
    assert page(client, "vera", "ann").status_code == 200
    monkeypatch.setenv("SEGUE_UI_CONTACTS", "nobody")
    refused = page(client, "anna", "ann")
    assert refused.status_code == 403
    assert "Seeing contacts is nobody&#39;s here" in refused.text
    assert "the right to" not in refused.text  # which she has


def test_what_other_teams_do_is_left_out(client, filled, only_reads):
    """And whom only they know is not even offered."""
    record(filled, "secret", "s2", 4, "annabel", definition=definition("hidden"))
    assert "annabel" in page(client, "una", "annab").text
    only_reads("welcome")
    (only,) = moments(page(client, "una", "ann").text)
    assert "welcome in w1" in only
    assert "thanks" not in only
    assert "2 workflows are left out" in page(client, "una", "ann").text
    assert "Nothing is recorded" in page(client, "una", "annabel").text
    assert "Did you mean" not in page(client, "una", "annab").text


def test_with_no_workflow_at_all_the_page_is_empty_and_not_refused(client, ledger):
    assert page(client, "vera", "ann").status_code == 200


# ---- messages ----------------------------------------------------------------------------------


def test_a_message_is_rendered_when_it_is_opened(client, sent):  # noqa: F811
    text = page(client, "una", "ann").text
    assert "Firstname" not in text
    address = f"/segue/contact/message?workflow=welcome&amp;key={sent}"
    assert f'data-loads="{address}"' in text
    part = client("una").get(unescape(address)).text
    assert "Exactly what was sent." in part
    assert "Dear &lt;img" in part
    assert "<img" not in part


def test_a_message_needs_the_stronger_right_and_its_own_workflow(client, sent, definitions):  # noqa: F811
    definitions("other")
    path = "/segue/contact/message?workflow={}&key={}"
    assert client("vera").get(path.format("welcome", sent)).status_code == 403
    assert client("una").get(path.format("other", sent)).status_code == 404
    assert client("una").get(path.format("welcome", "0" * 64)).status_code == 404


# ---- words -------------------------------------------------------------------------------------


def test_every_reason_has_words():
    assert all(reason.words and reason.words != reason for reason in Reason)


def test_words_keep_the_detail_and_leave_errors_alone():
    assert in_words("skipped", "after: ticket failed") == (
        "an action before it was not delivered: ticket failed"
    )
    assert in_words("failed", "400: conditions") == "400: conditions"
    assert in_words("planned", "") == "waits for the guard"


def test_who_is_suppressed_in_others_workflows_alone_is_not_told(client, filled, only_reads):
    """Nor why: what was written beside it was written about somebody else's workflow."""
    record(filled, "secret", "s2", 3, "zoe", definition=definition("hidden"))
    filled.people.suppress(["ann", "zoe"], "boss", "a complaint about secret", NOW)
    assert "boss put it there" in page(client, "una", "zoe").text
    only_reads("welcome", "thanks")
    zoe, ann = page(client, "una", "zoe").text, page(client, "una", "ann").text
    assert "suppress" not in zoe.replace("segue suppress", "")
    assert "This contact is on the suppression list" in ann
    for text in (zoe, ann):
        assert "boss" not in text
        assert "a complaint" not in text
