"""``segue test``: definitions are held against the examples beside them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segue.segments.membership.store import membership_key
from segue.workflows.catalog import Catalog
from tests.unit.cli.conftest import DIRECTORY, SEGMENT, WORKFLOW

LETTER = """
workflow: welcome
segment: gold
changes: [added]
start: 2026-11-21
actions:
  - {{id: mail, email: {{from: shop@example.com, subject: Hi, text: Hi}}}}
tests:
  - {{name: a, as_of: 2026-11-23, contact: {contact}, expect: {{mail: {outcome}}}}}
"""

GOLD = """
segment: gold
directory: customers
match: {field: tier, equals: gold}
tests:
  - name: gold
    as_of: 2026-11-23
    contact: {tier: gold}
    member: true
  - name: silver
    as_of: 2026-11-23
    contact: {tier: silver, unsubscribed: true}
    member: false
    opted_in: false
"""
WELCOME = (
    WORKFLOW
    + """
tests:
  - name: all of it
    as_of: 2026-11-23
    change: added
    contact: {contact_id: c1, name: Ann, phone: "+1", email: ann@example.com, country: us}
    results: {ticket: {url: https://example.com/7}}
    expect:
      ticket: {send: {subject: Call Ann, comment: on +1}}
      alert: {send: {channel: "#gold", text: "c1: https://example.com/7"}}
      mail: {send: {to: ann@example.com, text: "Dear Ann\\n"}}
  - name: a deleted contact without a name
    as_of: 2026-11-23
    change: removed
    deleted: true
    contact: {phone: "+1", email: ann@example.com}
    expect: {ticket: {failed: missing field}, alert: {skipped: after}, mail: {skipped: deleted}}
  - name: no phone
    as_of: 2026-11-23
    change: opted_out
    expect: {ticket: {skipped: conditions}, alert: skipped}
  - name: the ticket fails
    as_of: 2026-11-23
    change: added
    contact: {name: Ann, phone: "+1", country: us}
    results: {ticket: failed}
    expect: {ticket: send, alert: {skipped: "after: ticket failed"}, mail: {skipped: no_address}}
"""
)


@pytest.fixture(autouse=True)
def examples(home):
    """Definitions with examples, and no snapshot."""
    home.define("segments", "gold", GOLD)
    home.define("workflows", "welcome", WELCOME)
    shutil.rmtree(home.snapshots)


def verdicts(segue, *arguments: str, code: int = 0) -> list[dict]:
    answer = segue("test", *arguments, "--format", "json")
    assert answer.code == code, answer.err
    return json.loads(answer.out)


def test_examples_that_hold_pass(segue):
    answer = segue("test")
    assert answer.code == 0
    assert answer.lines == [
        *("segment gold", "  ✓ gold", "  ✓ silver", "workflow welcome", "  ✓ all of it"),
        *("  ✓ a deleted contact without a name", "  ✓ no phone", "  ✓ the ticket fails"),
    ]
    assert "6 examples: 6 passed, 0 failed" in answer.err


def test_names_choose(segue):
    assert {found["name"] for found in verdicts(segue, "welcome")} == {"welcome"}
    answer = segue("test", "gould")
    assert answer.code == 2
    assert "no segment or workflow 'gould'; allowed: gold, welcome" in answer.err


def test_a_segment_that_decides_otherwise_fails_with_its_place_and_reasons(segue, home):
    home.define("segments", "gold", GOLD.replace("equals: gold", "equals: golden"))
    answer = segue("test", "gold")
    assert answer.code == 1
    found = "\n".join(answer.lines)
    assert "  ✗ gold\n    " in found
    assert "gold.yaml:8:5: member\n" in found
    assert "      - expected: true\n      + found:    false\n" in found
    assert "      ✗ tier: equals golden  it is gold" in found
    assert "2 examples: 1 passed, 1 failed" in answer.err


def test_a_message_that_reads_otherwise_fails_with_a_difference_by_line(segue, home):
    text = WELCOME.replace('text: "Dear {{', 'text: "Hello\\nyou\\n{{')
    text = text.replace("Dear Ann", "Hello\\nthere\\nAnn")
    home.define("workflows", "welcome", text)
    answer = segue("test", "welcome")
    assert answer.code == 1
    start = answer.lines.index("        Hello")
    assert answer.lines[start - 1].endswith("expect.mail.send.text")
    assert answer.lines[start + 1 : start + 4] == ["      - there", "      + you", "        Ann"]


def test_another_outcome_is_a_difference(segue, home):
    text = WELCOME.replace("alert: {skipped: after}, mail", "alert: send, mail")
    home.define("workflows", "welcome", text)
    found = verdicts(segue, "welcome", code=1)
    assert [each["passed"] for each in found] == [True, False, True, True]
    (difference,) = found[1]["differences"]
    assert (difference["path"], difference["expected"], difference["found"]) == (
        *("expect.alert", "send"),
        "skipped: after: ticket failed",
    )
    assert difference["line"] == next(
        number for number, line in enumerate(text.split("\n"), 0) if "alert: send, mail" in line
    )


def test_csv_has_a_row_per_difference(segue, home):
    home.define("segments", "gold", GOLD.replace("opted_in: false", "opted_in: true"))
    answer = segue("test", "gold", "--format", "csv")
    first, second = csv.DictReader(io.StringIO(answer.out))
    assert (first["passed"], first["path"]) == ("true", "")
    assert [second[key] for key in ("passed", "path", "expected", "found")] == [
        *("false", "opted_in", "true", "false")
    ]


def test_a_definition_that_is_wrong_ends_with_2_and_the_others_are_tested(segue, home):
    home.define("segments", "bad", "segment: bad\ndirectory: customers\nmatch: {field: tier}\n")
    answer = segue("test")
    assert answer.code == 2
    assert "  ✓ gold" in answer.lines
    assert "bad.yaml:3:" in answer.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "contact: {tier: gold}",
            "contcat: {}",
            "gold.yaml:7:5: tests[0].contcat: unknown key 'contcat'",
        ),
        ("    member: true\n", "", "tests[0].member: the key 'member' is missing"),
        ("as_of: 2026-11-23", "as_of: yesterday", "'yesterday' is not an instant; allowed:"),
        ("tier: gold}\n    m", "contact_id: 7}\n    m", "contact ids are text"),
        ("tier: gold}\n    m", "tier: {a: b}}\n    m", "found a mapping"),
    ],
)
def test_a_segment_s_example_that_is_wrong_is_an_error_with_its_place(
    segue, home, old, new, message
):
    home.define("segments", "gold", GOLD.replace(old, new, 1))
    answer = segue("test", "gold")
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("change: added", "change: enrolled", "found 'enrolled'; the workflow's are added"),
        ("    change: added\n", "", "tests[0]: the key 'change' is missing; one of added,"),
        ("change: removed", "change: added", "only a contact that was removed can be deleted"),
        ("mail: {send: {to", "male: {send: {to", "there is no action 'male'; allowed: alert"),
        ("alert: skipped}", "alert: sent}", "found 'sent'; allowed: send, skipped, failed"),
        ("ticket: failed}", "tacket: failed}", "there is no action 'tacket'"),
        ("{skipped: deleted}", "{skipped: a, failed: b}", "found skipped and failed; expected"),
    ],
)
def test_a_workflow_s_example_that_does_not_fit_is_an_error(segue, home, old, new, message):
    home.define("workflows", "welcome", WELCOME.replace(old, new, 1))
    answer = segue("test", "welcome")
    assert answer.code == 2
    assert message in answer.err


def test_unknown_fields_and_segments_of_examples_are_found_by_validate(segue, home):
    directory = home.include / "directories" / "customers.yaml"
    fields = "fields: {contacts: [tier, name, phone, email, country, unsubscribed]}\n"
    directory.write_text(directory.read_text() + fields)
    assert segue("validate").code == 0
    wrong = GOLD.replace(
        "contact: {tier: gold}", "contact: {teir: gold}\n    segments: {vip: true}"
    )
    home.define("segments", "gold", wrong + "    transactions: [{type: call}]\n")
    answer = segue("validate")
    assert answer.code == 2
    assert "tests[0].contact.teir: unknown field 'teir' in contacts; allowed:" in answer.out
    assert "did you mean 'tier'?" in answer.out
    assert "tests[0].segments.vip: there is no segment 'vip'" in answer.out
    assert "tests[1].transactions[0]: the directory has no table transactions" in answer.out


def test_transactions_lists_and_scopes_are_seen_as_of_the_instant(segue, home):
    home.define(
        "segments",
        "reader",
        """
segment: reader
directory: customers
match:
  all:
    - {mailing_list: news, is: opted_in}
    - transactions: {in_past: 2d}
      count: {equals: 1}
tests:
  - name: one yesterday, one tomorrow
    as_of: 2026-11-23T12:00:00Z
    mailing_lists: {news: true, other: false}
    subscriptions: {"segment:reader": false}
    transactions: [{date: 2026-11-22}, {date: 2026-11-24}, {date: 2026-11-23T12:00:00Z}]
    member: true
    opted_in: false
  - name: not on the list
    as_of: 2026-11-23
    mailing_lists: {news: false}
    transactions: [{date: 2026-11-22, amount: 1}, {date: 2020-01-01, amount: much}]
    member: false
    opted_in: true
""",
    )
    assert [each["passed"] for each in verdicts(segue, "reader")] == [True, True]


def test_segments_are_evaluated_unless_the_example_states_them(segue, home):
    home.define(
        "segments",
        "from_dbt",
        "segment: from_dbt\ndirectory: customers\nimported: {path: '{key}.csv'}\n",
    )
    text = """
segment: both
directory: customers
match: {all: [{segment: gold, is: member}, {segment: from_dbt, is: member}]}
tests:
  - {name: gold, as_of: 2026-11-23, contact: {tier: gold}, segments: {from_dbt: true}, member: true}
  - {name: no, as_of: 2026-11-23, segments: {from_dbt: true, gold: true}, member: true}
  - {name: silent, as_of: 2026-11-23, contact: {tier: gold}, member: true}
"""
    home.define("segments", "both", text)
    first, second, third = verdicts(segue, "both", code=1)
    assert (first["passed"], second["passed"], third["passed"]) == (True, True, False)
    assert "the segment 'from_dbt' is imported; say whether the contact is in it" in third["error"]


def test_a_python_function_is_called_with_the_example(segue, home):
    (home.include / "segments" / "rules.py").write_text(
        "def vip(directory):\n"
        "    contacts = directory.contacts(['points'])\n"
        "    return contacts['points'] > 10\n"
    )
    text = """
segment: vip
directory: customers
python: rules.py:vip
tests:
  - {name: many, as_of: 2026-11-23, contact: {points: 11}, member: true}
  - {name: few, as_of: 2026-11-23, contact: {points: 10}, member: false}
  - {name: unknown, as_of: 2026-11-23, member: false}
"""
    home.define("segments", "vip", text)
    found = verdicts(segue, "vip", code=1)
    assert [each["passed"] for each in found] == [True, True, False]
    assert "no column 'points'" in found[2]["error"]


def test_an_example_that_cannot_be_judged_fails_alone(segue, home):
    """Calendars end, and zones and windows reach beyond; the other examples are judged."""
    text = GOLD
    for as_of in ("0001-01-01", "9999-12-31", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00Z"):
        text += f"  - {{name: end, as_of: {as_of}, member: true}}\n"
    huge = "1" + "0" * 400
    text += f"  - {{name: huge, as_of: 2026-11-23, contact: {{tier: {huge}}}, member: false}}\n"
    home.define("segments", "gold", text)
    answer = segue("test", "gold")
    assert answer.code == 1, answer
    assert "7 examples: 3 passed, 4 failed" in answer.err
    assert "gold.yaml:14:5: as_of: found 0001-01-01; allowed: the years 2 to 9998" in answer.out


def test_examples_are_of_the_kinds_that_the_newest_snapshot_s_columns_have(segue, home):
    """A text in a column of booleans, numbers or dates would be an example of nothing."""
    folder = home.snapshots / "2026-11-24"
    folder.mkdir(parents=True)
    columns = {"vip": [True], "points": [5], "born": [date(1990, 1, 1)], "tier": ["gold"]}
    when = {"seen": [datetime(2026, 11, 1, tzinfo=UTC)], "unsubscribed": [False]}
    pq.write_table(pa.table({"contact_id": ["a"], **columns, **when}), folder / "contacts.parquet")
    (folder / "_SUCCESS").touch()
    rows = {
        "vip: yes": "contact.vip: found 'yes', where snapshot 2026-11-24 has booleans",
        "vip: 1": "contact.vip: found 1, where",
        'points: "5"': "contact.points: found '5', where snapshot 2026-11-24 has numbers",
        "points: true": "contact.points: found True, where",
        "born: yesterday": "contact.born: found 'yesterday', where snapshot 2026-11-24 has dates",
        "seen: 5": "contact.seen: found 5, where snapshot 2026-11-24 has dates",
        "vip: true, points: 1.5, born: 1990-02-03, seen: 2026-11-22T06:00:00Z, tier: x": None,
        "vip: null, points: null, born: null, seen: null, tier: 5": None,
    }
    text = (
        "segment: gold\ndirectory: customers\nmatch: {field: contact_id, is_empty: true}\ntests:\n"
    )
    for row in rows:
        text += f"  - {{name: one, as_of: 2026-11-23, contact: {{{row}}}, member: false}}\n"
    home.define("segments", "gold", text)
    answer = segue("test", "gold")
    assert answer.code == 1, answer
    assert "8 examples: 2 passed, 6 failed" in answer.err
    for line, said in enumerate(rows.values(), 5):
        assert (f"gold.yaml:{line}:5: {said}" in answer.out) or said is None, (said, answer.out)
    match = "match: {field: vip, equals: yes}"
    home.define("segments", "gold", GOLD.replace("match: {field: tier, equals: gold}", match))
    answer = segue("test", "gold")
    assert answer.code == 1
    assert "snapshot 2026-11-24 cannot answer segment gold, match.equals: " in answer.out


def test_examples_change_no_digest(home):
    """Neither the workflow's, nor its audience, nor the key of a stored membership."""
    home.snapshot("2026-11-22", "c1,Ann,,,gold,us,no\n")
    with_examples = Catalog(home.include).resolve("welcome")
    home.define("segments", "gold", SEGMENT)
    home.define("workflows", "welcome", WORKFLOW)
    without = Catalog(home.include).resolve("welcome")
    assert with_examples.definition.tests
    assert with_examples.segment.tests
    assert with_examples.fingerprint == without.fingerprint
    assert with_examples.audience == without.audience
    assert with_examples.segment.facts() == without.segment.facts()
    snapshot = _snapshot(home, without)
    keys = {
        membership_key(each.segment, each.directory, snapshot) for each in (with_examples, without)
    }
    assert len(keys) == 1


def _snapshot(home, resolved):
    from datetime import UTC, datetime

    from segue.directory.snapshots import find_snapshot

    return find_snapshot(resolved.directory, "2026-11-22", now=datetime.now(UTC))


def test_it_leaves_no_trace(segue, home):
    before = home.files()
    verdicts(segue)
    assert home.files() == before


def test_the_sample_s_examples_pass(segue, monkeypatch):
    include = Path(__file__).parents[4] / "include"
    found = verdicts(segue, "--home", str(include))
    assert len(found) > 10
    assert all(each["passed"] for each in found)


@pytest.mark.parametrize(
    ("consent", "mapping", "contact", "opted_in"),
    [
        ("{opted_out: HasOptedOut}", "", "{}", True),
        ("{opted_out: HasOptedOut}", "", "{HasOptedOut: true}", False),
        ("{opted_out: HasOptedOut}", "", "{unsubscribed: true}", False),
        ("{opted_out: HasOptedOut}", "out: HasOptedOut", "{}", True),
        ("{opted_out: HasOptedOut}", "out: HasOptedOut", "{out: true}", False),
        ("{opted_in: agreed}", "", "{}", False),
        ("{opted_in: agreed}", "", "{agreed: true}", True),
        ("{opted_in: agreed}", "", "{unsubscribed: false}", True),
        ("{not_opt_states: [sms_opt_in]}", "", "{sms_opt_in: false}", True),
        ("none", "", "{}", True),
    ],
)
def test_an_example_that_says_nothing_of_consent_is_a_missing_value(
    segue, home, consent, mapping, contact, opted_in
):
    columns = f"columns: {{contacts: {{{mapping}}}}}\n" if mapping else ""
    home.define("directories", "customers", f"{DIRECTORY}consent: {consent}\n{columns}")
    test = f"{{name: a, as_of: 2026-11-23, contact: {contact}, member: false"
    home.define(
        "segments", "gold", f"{SEGMENT}tests: [{test}, opted_in: {str(opted_in).lower()}}}]\n"
    )
    contact = f"{{email: a@example.com, {contact[1:]}"
    outcome = "send" if opted_in else "{skipped: opted_out}"
    home.define("workflows", "welcome", LETTER.format(contact=contact, outcome=outcome))
    assert [each["error"] for each in verdicts(segue)] == [None, None]


@pytest.mark.parametrize(
    ("consent", "contact"),
    [
        ("none", "{unsubscribed: true}"),
        ("{opted_out: gone}", "{gone: perhaps}"),
        ("{}", "{do_not_email: true}"),
    ],
)
def test_an_error_of_an_example_names_no_file(segue, home, consent, contact):
    home.define("directories", "customers", f"{DIRECTORY}consent: {consent}\n")
    test = f"{{name: a, as_of: 2026-11-23, contact: {contact}, member: false}}"
    home.define("segments", "gold", f"{SEGMENT}tests: [{test}]\n")
    (found,) = verdicts(segue, "gold", code=1)
    assert found["error"].startswith("the example")
    assert not any(word in found["error"] for word in ("snapshot", ".parquet"))
