"""Ids that look alike are told apart, and none rewrites the sentence that a person confirms."""

from __future__ import annotations

import re

import pytest

from segue.directory.checks import LONGEST_ID
from segue.ledger.states import State
from segue.web.legible import legible
from tests.ui.filled import record, settle

ODD = {
    "RLO\u202edi": "RLO‹U+202E›di",
    "\u2066a\u2069": "‹U+2066›a‹U+2069›",
    "zw\u200bsp": "zw‹U+200B›sp",
    "two  blanks": "two␣␣blanks",
    " ends ": "␣ends␣",
    "no\u00a0break": "no‹U+00A0›break",
    "tab\tnew\nline": "tab‹U+0009›new‹U+000A›line",
    "e\u0301": "e‹U+0301›",
    "\u3164": "‹U+3164›",
    "x\ufe0f": "x‹U+FE0F›",
    "tag\U000e0041": "tag‹U+E0041›",
}


@pytest.mark.parametrize(("text", "spelt"), ODD.items())
def test_what_nobody_sees_is_spelt_out(text, spelt):
    assert legible(text) == spelt


@pytest.mark.parametrize(
    "text", ["CID_1", "two words", "é", "שלום", "雨桐", "😀", "a?<d>&'e\"", ""]
)
def test_what_is_seen_is_left_as_it_is(text):
    assert legible(text) == text


def test_a_text_keeps_its_blanks_and_what_it_is_told_to_keep():
    assert legible("  a\n b\u202e ", blanks=False, keep="\n") == "  a\n b‹U+202E› "


@pytest.mark.parametrize("contact", ["RLO\u202eDI_3", "two  blanks"])
def test_pages_spell_out_an_id_and_mean_it_exactly(client, ledger, definitions, contact):
    """In the dialog that suppresses somebody, above all: its form has the id itself."""
    definitions("welcome")
    record(ledger, "welcome", "run", 1, contact, contact.replace("\u202e", "").replace("  ", " "))
    key = settle(ledger, contact, State.FAILED, reason="no")
    anna, spelt = client("anna"), legible(contact)
    for path, parameters in {
        "contact": {"id": contact},
        "delivery": {"workflow": "welcome", "key": key},
        "run": {"workflow": "welcome", "run": "run"},
        "deliveries": {"workflow": "welcome"},
    }.items():
        page = anna.get(f"/segue/{path}", params=parameters).text
        shown = re.sub(r'<[^>]*"[^"]*"[^>]*>', "", page)
        assert spelt in page, path
        assert contact not in shown, path
    page = anna.get("/segue/contact", params={"id": contact}).text
    assert f'<input type="hidden" name="contact" value="{contact}">' in page
    refused = anna.get("/segue/segment/explain", params={"segment": "welcome", "contact": contact})
    assert "\u202e" not in re.sub(r'"[^"]*"', "", refused.text)


def test_an_id_as_long_as_the_ledger_keeps_is_taken_everywhere(client, ledger, definitions):
    """Lists link to it, and what failed of it can be sent again."""
    definitions("welcome")
    contact = "L" * LONGEST_ID
    record(ledger, "welcome", "run", 1, contact)
    settle(ledger, contact, State.FAILED, reason="no")
    anna = client("anna")
    page = anna.get("/segue/contact", params={"id": contact})
    assert "entered" in page.text
    for path, more in {
        "run": {"run": "run"},
        "run.csv": {"run": "run"},
        "task": {"task": "mail", "state": "failed"},
        "deliveries": {},
        "api/v1/workflows/welcome/deliveries": {"state": "failed"},
    }.items():
        parameters = {"workflow": "welcome", "contact": contact, **more}
        answer = anna.get(f"/segue/{path}", params=parameters)
        assert (answer.status_code, contact in answer.text) == (200, True), path
    csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
    form = {"workflow": "welcome", "contact": contact, "csrf": csrf}
    for name in ("retry", "suppress"):
        assert anna.post(f"/segue/{name}", data=form).status_code == 303, name
    too_long = anna.get("/segue/contact", params={"id": contact + "L"})
    assert too_long.status_code == 422
